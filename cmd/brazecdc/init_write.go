package main

import (
	"fmt"
	"regexp"
	"strings"

	"brazecdc/connector/config"
)

const configHead = `# Configuration of brazecdc, written by "brazecdc init". The lines marked CHOOSE wait for you; "brazecdc check" tells what is still wrong.
version: 1

braze:
  workspace: main                # a label of your own for the Braze workspace; what is kept in data/ is bound to it
  endpoint: ${BRAZE_ENDPOINT}    # the REST endpoint of your instance, like https://rest.fra-01.braze.eu
  api_key: ${BRAZE_API_KEY}      # a REST API key; "brazecdc check" tells which permissions it needs
  # rate: { share: 50% }         # leave room for your app and other tools; default 100%

source:
  time_zone: UTC                 # the zone of timestamps without one
  postgres:
    url: ${DATABASE_URL}
    # slot: brazecdc             # created at the first start, as is the publication
    # publication: brazecdc

# never_send: [ssn]              # columns that must not leave, whatever a mapping says; not a key

models:
`

// writeConfig gives the file's text. The chosen tables come first.
func writeConfig(tables []initTable) string {
	var b strings.Builder
	b.WriteString(config.SchemaLine + configHead)
	owner := true
	for i := range tables {
		if tables[i].chosen {
			writeModel(&b, &tables[i], owner)
			owner = false
		}
	}
	var rest []string
	for i := range tables {
		if t := &tables[i]; !t.chosen {
			rest = append(rest, fmt.Sprintf("#   %-40s %s%s\n", comment(t.full()), rowCount(t.rows), linkNote(t)))
		}
	}
	if len(rest) > 0 {
		b.WriteString("\n# Other tables. \"brazecdc init --table NAME --output other.yaml\" writes a model for one.\n")
		b.WriteString(strings.Join(rest, ""))
	}
	return b.String()
}

func writeModel(b *strings.Builder, t *initTable, owner bool) {
	id := externalID(t)
	fmt.Fprintf(b, "  # %s: %s\n", comment(t.full()), rowCount(t.rows))
	fmt.Fprintf(b, "  - name: %s\n    kind: users\n    table: %s\n", yamlText(t.name), yamlText(t.full()))
	b.WriteString("    # CHOOSE the mode:\n" +
		"    #   sync      Braze follows the table: rows create, update and delete profiles\n" +
		"    #   additive  rows create and update profiles; nothing is ever deleted\n" +
		"    #   enrich    rows update profiles that exist; none is created or deleted\n" +
		"    mode:                        # CHOOSE: sync | additive | enrich\n")
	b.WriteString("    # CHOOSE what happens to the rows that are there already. Loading them can start campaigns in Braze.\n" +
		"    load:                        # CHOOSE: all | none\n")
	if !owner {
		b.WriteString("    owns_users: false            # another model owns the profiles: only its deletes delete one\n")
	}
	if id == "" {
		b.WriteString("    # No column is a key of its own. CHOOSE one that names the user and is never NULL:\n    identify: { external_id: }   # CHOOSE\n")
	} else {
		fmt.Fprintf(b, "    identify: { external_id: %s }\n", yamlText(id))
		writeIdentityNote(b, t, id)
	}
	used := map[string]bool{id: true}
	writeFields(b, t, used)
	writeCustom(b, t, used)
}

func writeIdentityNote(b *strings.Builder, t *initTable, id string) {
	for _, c := range t.columns {
		if c.name == id && !c.key && t.identity != "f" {
			fmt.Fprintf(b, "    # %s is not the primary key. So that a delete names its user, run: ALTER TABLE %s REPLICA IDENTITY FULL;\n", comment(id), comment(t.full()))
		}
	}
}

func writeFields(b *strings.Builder, t *initTable, used map[string]bool) {
	list := suggest(t.names(), t.samples)
	if len(list) == 0 {
		b.WriteString("    # fields:                    # Braze's profile fields: email, first_name, last_name, phone, dob, country, …\n")
		return
	}
	active := false
	for _, s := range list {
		active = active || s.share >= likely
	}
	if active {
		b.WriteString("    fields:                      # Braze's profile fields, suggested by name and values: look at each\n")
	} else {
		b.WriteString("    # fields:                    # Braze's profile fields\n")
	}
	for _, s := range list {
		used[s.column] = true
		note := ""
		if s.sampled > 0 {
			note = fmt.Sprintf("   # fits %.0f %% of %d values", 100*s.share, s.sampled)
		}
		mark := ""
		if s.share < likely {
			mark = "# "
		}
		fmt.Fprintf(b, "      %s%s: %s%s\n", mark, s.field, yamlText(s.column), note)
	}
}

func writeCustom(b *strings.Builder, t *initTable, used map[string]bool) {
	var rest, private, consent []string
	for _, c := range t.columns {
		switch {
		case used[c.name]:
		case looksPrivate(c.name):
			private = append(private, comment(c.name))
		case isConsent(c.name):
			consent = append(consent, comment(c.name))
		default:
			rest = append(rest, fmt.Sprintf("    #   %s: %s   # %s\n", yamlText(c.name), yamlText(c.name), comment(c.typ)))
		}
	}
	if len(rest) > 0 {
		b.WriteString("    # Custom attributes; take the # away from \"custom:\" and from those you want. Under some contracts each costs a data point when it changes.\n    # custom:\n")
		b.WriteString(strings.Join(rest, ""))
	}
	if len(consent) > 0 {
		fmt.Fprintf(b, "    # Looks like consent, which belongs to a subscription group: %s\n", strings.Join(consent, ", "))
	}
	if len(private) > 0 {
		fmt.Fprintf(b, "    # Looks private, so it is not suggested: %s\n", strings.Join(private, ", "))
	}
}

func linkNote(t *initTable) string {
	for _, c := range t.columns {
		if p := plainName(c.name); p == "userid" || p == "customerid" {
			return fmt.Sprintf(", has %s: may be a second model of the same users", comment(c.name))
		}
	}
	return ""
}

func rowCount(n int64) string {
	if n < 0 {
		return "rows not counted yet"
	}
	return fmt.Sprintf("about %d rows", n)
}

var plainScalar = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// wordsOfYAML are plain scalars that some reader takes for something else than text.
var wordsOfYAML = []string{"null", "true", "false", "yes", "no", "on", "off", "y", "n"}

// yamlText writes a name as a YAML scalar that every reader takes for text.
func yamlText(s string) string {
	if plainScalar.MatchString(s) && !contains(wordsOfYAML, strings.ToLower(s)) {
		return s
	}
	// A $ begins a variable in this file.
	return "'" + strings.NewReplacer("'", "''", "$", "$$", "\n", " ").Replace(s) + "'"
}

// comment keeps a name on its comment's line.
func comment(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
