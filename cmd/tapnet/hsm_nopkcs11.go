//go:build !pkcs11

package main

func openRoot(keyFile) ([]byte, error) { return nil, errNoPKCS11 }

func makeRoot(keyFile) ([]byte, error) { return nil, errNoPKCS11 }
