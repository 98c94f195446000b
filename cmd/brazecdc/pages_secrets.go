package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"brazecdc/connector/web"
)

// secretsFolder is where secrets that were typed into a form are kept: beside the configuration, which then only names them.
func (p *program) secretsFolder() string {
	base := filepath.Base(p.config)
	return filepath.Join(filepath.Dir(p.config), strings.TrimSuffix(base, filepath.Ext(base))+".secrets")
}

// secretTries bounds how many files of one secret are kept: an older one may still be named by an older version of the file.
const secretTries = 1000

var secretName = regexp.MustCompile(`^[a-z][a-z-]{0,40}$`)

// keepSecret writes a secret into a new file of its own. An older file of the same secret stays: the process that runs, and the versions to go back to, name it.
func (p *program) keepSecret(name, value string) (string, error) {
	if !secretName.MatchString(name) {
		return "", fmt.Errorf("keep the secret %q: the name must be made of small letters", name)
	}
	folder := p.secretsFolder()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("make the folder for secrets: %w; make it writable, or name a variable such as ${BRAZE_API_KEY} instead", err)
	}
	ignore := filepath.Join(folder, ".gitignore")
	if _, err := os.Lstat(ignore); errors.Is(err, fs.ErrNotExist) {
		// A folder under version control must not take them along. That it could not be written is no reason to refuse the secret.
		_ = os.WriteFile(ignore, []byte("*\n"), 0o600)
	}
	for n := 1; n <= secretTries; n++ {
		file := fmt.Sprintf("%s-%d", name, n)
		f, err := os.OpenFile(filepath.Join(folder, file), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("keep the secret: %w; make the folder writable, or name a variable such as ${BRAZE_API_KEY} instead", err)
		}
		_, err = f.WriteString(value)
		if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
			_ = os.Remove(f.Name())
			return "", fmt.Errorf("keep the secret: %w", err)
		}
		return "${file:" + filepath.ToSlash(filepath.Join(filepath.Base(folder), file)) + "}", nil
	}
	return "", fmt.Errorf("keep the secret: %s holds %d files of %s; remove those that no version of the configuration names", folder, secretTries, name)
}

// ownSecret is how keepSecret names its files.
var ownSecret = regexp.MustCompile(`^[a-z][a-z-]{0,40}-[0-9]+$`)

// secretRest is how old a secret's file must be before it can go: one that was just written may be on its way into a text.
const secretRest = time.Minute

// forgetSecrets removes the files of keepSecret that none of the texts names. Others in the folder are not ours.
func (p *program) forgetSecrets(texts [][]byte) {
	folder := p.secretsFolder()
	files, err := os.ReadDir(folder)
	if err != nil {
		return // there are none
	}
	for _, f := range files {
		name := filepath.Base(folder) + "/" + f.Name() + "}"
		if !ownSecret.MatchString(f.Name()) || slices.ContainsFunc(texts, func(text []byte) bool { return bytes.Contains(text, []byte(name)) }) {
			continue
		}
		if info, err := f.Info(); err != nil || time.Since(info.ModTime()) < secretRest {
			continue
		}
		// What can't be removed now is tried again at the next change.
		_ = os.Remove(filepath.Join(folder, f.Name()))
	}
}

var (
	fileReference     = regexp.MustCompile(`^\$\{file:([^}]+)\}$`)
	variableReference = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)
)

// secretState tells of a reference whether there is something behind it. It looks at no content.
func (p *program) secretState(ref string) web.SecretState {
	if ref == "" {
		return web.SecretState{}
	}
	if m := fileReference.FindStringSubmatch(ref); m != nil {
		s := web.SecretState{Set: true}
		info, err := os.Stat(p.beside(filepath.FromSlash(m[1])))
		if s.Missing = err != nil; !s.Missing {
			s.At = info.ModTime()
		}
		return s
	}
	if m := variableReference.FindStringSubmatch(ref); m != nil {
		_, ok := p.env(m[1])
		return web.SecretState{Set: true, Variable: m[1], Missing: !ok}
	}
	return web.SecretState{Set: true, Literal: true}
}
