package web

import "brazecdc/connector"

func (r *request) groupsTab(status int, d *drafted, m *connector.Model) error { return nil }

func (s *Server) groupSave(r *request) error   { return nil }
func (s *Server) groupRemove(r *request) error { return nil }
func (s *Server) ruleCheck(r *request) error   { return nil }
