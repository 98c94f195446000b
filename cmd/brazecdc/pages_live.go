package main

import "brazecdc/connector/web"

// livePages hands what the live page shows over.
func (p *program) livePages(_ *pageParts, _ *web.Config) {}
