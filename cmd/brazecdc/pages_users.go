package main

import "brazecdc/connector/web"

// usersPages hands what the pages of the users ask and do over.
func (p *program) usersPages(_ *pageParts, _ *web.Config) {}
