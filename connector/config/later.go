package config

// Unsupported are the settings of the file that this version's run refuses, each with its line. An empty result means run may start.
func Unsupported(cfg *Config) []Fault {
	out := make(Faults, 0, len(cfg.Later))
	for _, l := range cfg.Later {
		line, column := cfg.Locate(l.Path, 0)
		out = append(out, Fault{
			File: cfg.File, Line: line, Column: column, Path: l.Path,
			What: l.Path + " " + l.What, Fix: "this version does not run it yet; remove it to start",
		})
	}
	return out.sorted()
}
