package main

import (
	"strings"
	"testing"
)

func TestTheDemoTellsThatItKeepsItsConfiguration(t *testing.T) {
	t.Parallel()
	p := &program{}
	err := p.applier(&pageParts{demo: true}).Apply(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "the demo keeps") || !strings.Contains(err.Error(), "brazecdc ui") {
		t.Errorf("it says %v", err)
	}
}
