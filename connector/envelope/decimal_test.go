package envelope

import "testing"

func TestVariableScale(t *testing.T) {
	t.Run("cdc 92: a decimal that carries its scale, and its neighbours, are one value each, with a schema and without", func(t *testing.T) {
		row := `{"op":"c","source":{"ts_ms":1},"before":null,"after":{"id":1,"price":{"scale":2,"value":"AwQ="},"born":19723,"seen":1764064800000000}}`
		schema := `{"type":"struct","fields":[{"field":"before","type":"struct","optional":true,"fields":[` + valueFields + `]},` +
			`{"field":"after","type":"struct","optional":true,"fields":[` + valueFields + `]},{"field":"source","type":"struct","fields":[{"field":"ts_ms","type":"int64"}]},{"field":"op","type":"string"}]}`
		types := map[string]string{"price": "numeric", "born": "date", "seen": "timestamp"}
		for name, value := range map[string]string{"without": row, "with": `{"schema":` + schema + `,"payload":` + row + `}`} {
			cfg := Config{}
			if name == "without" {
				cfg.Columns = []Columns{{Topics: only("t"), Types: types}}
			}
			got := told(t, decoder(t, cfg), []*Record{{Topic: "t", Offset: 1, Key: []byte(`{"id":1}`), Value: []byte(value)}})
			same(t, got, `insert 1 after{id=int 1 price=decimal "7.72" born=date 19723 seen=timestamp 1764064800000000}`)
		}
	})
}

const valueFields = `{"field":"id","type":"int32","optional":false},` +
	`{"field":"price","type":"struct","name":"io.debezium.data.VariableScaleDecimal","optional":true,"fields":[{"field":"scale","type":"int32"},{"field":"value","type":"bytes"}]},` +
	`{"field":"born","type":"int32","name":"io.debezium.time.Date","optional":true},` +
	`{"field":"seen","type":"int64","name":"io.debezium.time.MicroTimestamp","optional":true}`
