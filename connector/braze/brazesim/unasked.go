package brazesim

import (
	"fmt"
	"time"
)

const keepUnasked = 1000

// Unasked returns what was refused, or dropped without a word, though no Fault asked for it: objects with an entry of errors, calls with a status of 4xx
// because of their body, and values without effect, each with user and reason. Values are not in it. An update-only object whose user does not exist is no
// fault of its sender, nor is a rename of an id that is not there: both are left out. It holds the newest 1,000, oldest first.
func (s *Server) Unasked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle(time.Now())
	return append([]string{}, s.unasked...)
}

// note adds to Unasked. The caller holds mu.
func (s *Server) note(format string, args ...any) {
	s.unasked = keep(append(s.unasked, fmt.Sprintf(format, args...)), keepUnasked)
}

// noteBody notes a call that was refused because of its body.
func (s *Server) noteBody(c *call, bad *reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("%s %s: %d %s", c.method, c.path, bad.status, bad.body)
}
