package config

import _ "embed"

//go:embed testdata/reference.yaml
var referenceText string

// Reference is a commented file with every setting, its default, and five typical models. Parse accepts it.
func Reference() string { return referenceText }
