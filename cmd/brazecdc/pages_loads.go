package main

import "brazecdc/connector/web"

// loadsPages hands what the pages of loads and schedules ask and do over.
func (p *program) loadsPages(_ *pageParts, _ *web.Config) {}
