package config

// Changes are the edits that make the values of one text those of another. Items of lists are told by their names.
func Changes(before, after []byte) ([]Edit, error) { return nil, nil }
