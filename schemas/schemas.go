// Package schemas holds the schema of the records that the connector reads from topics which people write themselves, and an encoder for those who do so in Go.
package schemas

import (
	_ "embed" // for the files beside this one
)

// RowChangeAvro is row_change.avsc, the Avro schema of one change of one row. Its doc attributes say what each field means.
//
//go:embed row_change.avsc
var RowChangeAvro string

// RowChangeExample is a row_change record in JSON.
//
//go:embed row_change.example.json
var RowChangeExample string

// RowChangeHeader is what precedes a record in Avro's single-object encoding (Avro specification): two fixed bytes and the schema's fingerprint. It tells a
// row_change record from everything else without a schema registry.
const RowChangeHeader = "\xc3\x01\x5e\x23\xa8\xb0\x4d\xb4\x8d\x3d"
