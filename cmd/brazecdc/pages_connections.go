package main

import "brazecdc/connector/web"

// connectionsPages hands what the pages of the connections and of the first run ask and do over.
func (p *program) connectionsPages(_ *pageParts, _ *web.Config) {}
