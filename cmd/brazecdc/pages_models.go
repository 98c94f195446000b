package main

import "brazecdc/connector/web"

// modelsPages hands what the pages of the models ask over.
func (p *program) modelsPages(_ *pageParts, _ *web.Config) {}
