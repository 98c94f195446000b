package web

import (
	"strings"

	"github.com/goccy/go-yaml"
)

// written is what the text of a configuration says of the connections, references as they stand: what a form shows, and must not read.
type written struct {
	Version any `yaml:"version"`
	Braze   struct {
		Workspace string `yaml:"workspace"`
		Endpoint  string `yaml:"endpoint"`
		APIKey    string `yaml:"api_key"`
	} `yaml:"braze"`
	Source struct {
		TimeZone string           `yaml:"time_zone"`
		Postgres *writtenPostgres `yaml:"postgres"`
		Kafka    *writtenKafka    `yaml:"kafka"`
	} `yaml:"source"`
}

type writtenPostgres struct {
	URL         string `yaml:"url"`
	Slot        string `yaml:"slot"`
	Publication string `yaml:"publication"`
	Create      *bool  `yaml:"create"`
}

type writtenKafka struct {
	Brokers    []string `yaml:"brokers"`
	Group      string   `yaml:"group"`
	Format     string   `yaml:"format"`
	StateTopic string   `yaml:"state_topic"`
	Registry   struct {
		URL      string `yaml:"url"`
		User     string `yaml:"user"`
		Password string `yaml:"password"`
	} `yaml:"registry"`
	TLS *struct {
		CA string `yaml:"ca"`
	} `yaml:"tls"`
	SASL struct {
		Mechanism string `yaml:"mechanism"`
		User      string `yaml:"user"`
		Password  string `yaml:"password"`
	} `yaml:"sasl"`
}

// readWritten reads what it can; what has another shape is left empty, and told as a fault elsewhere. The YAML library's panics on odd input are such a shape.
func readWritten(text []byte) (w written) {
	defer func() {
		if recover() != nil {
			w = written{}
		}
	}()
	if yaml.Unmarshal(text, &w) != nil {
		return written{}
	}
	return w
}

// secretIsReference tells a reference, which may be shown, from a secret that stands in the file as it is.
func secretIsReference(s string) bool { return wholeReference.MatchString(strings.TrimSpace(s)) }
