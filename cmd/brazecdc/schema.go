package main

import (
	"os"

	"github.com/spf13/cobra"

	"brazecdc/connector"
	"brazecdc/connector/config"
)

func newSchema(p *program) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file, for editors",
		Long: `schema prints the JSON Schema (draft-07) of the configuration file: every setting with a description, its default, examples and the words it may have.

Editors with a YAML language server complete and check the file by it where the file begins with the line
  # yaml-language-server: $schema=./brazecdc.schema.json
and the schema lies beside it. "brazecdc init" and the pages write both. After an update of brazecdc write it anew with --output.

The schema knows the settings; what only this program can judge (do the columns exist, is the key granted) is told by "brazecdc check".`,
		Example: "  brazecdc schema --output brazecdc.schema.json\n  brazecdc schema | jq .properties.braze",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if output == "" {
				p.printf("%s", config.Schema())
				return nil
			}
			if err := os.WriteFile(output, config.Schema(), 0o644); err != nil {
				return &connector.StopError{Code: 1, What: "the schema can't be written", Err: err, Fix: "name a file in a folder that exists with --output"}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write this `file` instead of printing; one that exists is replaced")
	return cmd
}
