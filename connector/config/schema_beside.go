package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteSchemaBeside leaves the schema beside a configuration file, where editors look for it. One that is there stays.
func WriteSchemaBeside(file string) error {
	path := filepath.Join(filepath.Dir(file), SchemaName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = f.Write(Schema())
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("write the schema for editors: %w", err)
	}
	return nil
}
