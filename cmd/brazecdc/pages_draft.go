package main

import "brazecdc/connector/web"

// draftPages hands what the pages of the draft ask and do over.
func (p *program) draftPages(_ *pageParts, _ *web.Config) {}
