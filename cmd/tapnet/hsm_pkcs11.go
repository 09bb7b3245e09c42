//go:build pkcs11

package main

import (
	"fmt"
	"os"

	"tapnet/internal/hsm/pkcs11"
)

// pinVariable is where the token's PIN is read from: an argument would show it to everybody on the machine.
const pinVariable = "TAPNET_PKCS11_PIN"

func openToken(f keyFile) (*pkcs11.Token, error) {
	return pkcs11.Open(f.Root, f.Label, os.Getenv(pinVariable))
}

// openRoot unwraps the key file's passphrase in the token.
func openRoot(f keyFile) (passphrase []byte, err error) {
	wrapped, err := os.ReadFile(f.rootFile())
	if err != nil {
		return nil, fmt.Errorf("read the wrapped root: %w", err)
	}
	t, err := openToken(f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }()
	return t.Unwrap(wrapped)
}

// makeRoot draws a passphrase in the token and keeps it wrapped.
func makeRoot(f keyFile) (passphrase []byte, err error) {
	t, err := openToken(f)
	if err != nil {
		return nil, err
	}
	defer func() { _ = t.Close() }()
	wrapped, passphrase, err := t.NewRoot()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(f.rootFile(), wrapped, 0o600); err != nil {
		return nil, fmt.Errorf("keep the wrapped root: %w", err)
	}
	return passphrase, nil
}

// rootFile holds the root wrapped in a token. It is worth nothing without the token.
func (f keyFile) rootFile() string { return f.File + ".root" }
