package config

import (
	"bytes"
	"reflect"
	"strings"
)

// Written is Partial for a page: the texts of models stand as they are written, ${NAME} included. What a variable or a file holds may be a secret, and a
// constant that names one must not tell it.
func Written(name string, data []byte, env func(string) (string, bool), readFile func(string) ([]byte, error)) (*Config, Faults) {
	cfg, faults := Partial(name, data, env, readFile)
	if cfg == nil || !bytes.Contains(data, []byte("${")) {
		return cfg, faults
	}
	named, _ := Partial(name, data, func(name string) (string, bool) { return "${" + name + "}", true },
		func(path string) ([]byte, error) { return []byte("${file:" + path + "}"), nil })
	if named == nil {
		cfg.Models = nil // it can't be told what of them is a secret
		return cfg, faults
	}
	putReferences(reflect.ValueOf(&cfg.Models).Elem(), reflect.ValueOf(&named.Models).Elem())
	return cfg, faults
}

// putReferences writes the references of a value into the same value with what they stand for. The id of a subscription group is no secret, and is checked.
func putReferences(v, named reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(named.String(), "${") && v.CanSet() {
			v.Set(named)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != "ID" {
				putReferences(v.Field(i), named.Field(i))
			}
		}
	case reflect.Slice:
		if v.Len() != named.Len() { // what has a fault with one of them is left out
			v.Set(named)
			return
		}
		for i := range v.Len() {
			putReferences(v.Index(i), named.Index(i))
		}
	case reflect.Pointer:
		if !v.IsNil() && !named.IsNil() {
			putReferences(v.Elem(), named.Elem())
		}
	}
}
