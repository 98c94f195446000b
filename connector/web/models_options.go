package web

import "brazecdc/connector"

func (r *request) optionsTab(status int, d *drafted, m *connector.Model) error { return nil }

func (s *Server) optionsSave(r *request) error   { return nil }
func (s *Server) modelTextSave(r *request) error { return nil }
