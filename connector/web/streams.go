package web

// Stop ends what would hold a stop of the listener back: streams of live figures. It may be called once.
func (s *Server) Stop() {
	close(s.stopping)
	s.jobs.runs.Wait()
}
