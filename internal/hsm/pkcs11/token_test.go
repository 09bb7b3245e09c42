//go:build pkcs11

package pkcs11

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/miekg/pkcs11"

	"tapnet/internal/hsm"
)

// module is where Debian keeps SoftHSM2. TAPNET_PKCS11_MODULE names another one.
func module() string {
	if m := os.Getenv("TAPNET_PKCS11_MODULE"); m != "" {
		return m
	}
	return "/usr/lib/softhsm/libsofthsm2.so"
}

const testPIN = "1234"

// newToken makes a token in a directory of its own and gives its label.
func newToken(t *testing.T, label string) {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "softhsm2.conf")
	if err := os.WriteFile(config, []byte("directories.tokendir = "+dir+"\nobjectstore.backend = file\nlog.level = ERROR\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", config)
	out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", label, "--pin", testPIN, "--so-pin", "5678").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func open(t *testing.T, label string) *Token {
	t.Helper()
	token, err := Open(module(), label, testPIN)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// TestSoftHSMRoot: a key file whose root is wrapped in the token opens with the token, again after the token was closed, and not with another one.
func TestSoftHSMRoot(t *testing.T) {
	newToken(t, "tapnet")
	token := open(t, "tapnet")
	wrapped, root, err := token.NewRoot()
	if err != nil || len(wrapped) != wrappedBytes || bytes.Contains(wrapped, root[:8]) {
		t.Fatalf("%d bytes, %v", len(wrapped), err)
	}
	path := filepath.Join(t.TempDir(), "keys.hsm")
	h := hsm.New(rand.Reader)
	if _, err := h.Generate("k", hsm.UsageData, hsm.ModeBoth, hsm.AES256, hsm.NotExportable); err != nil {
		t.Fatal(err)
	}
	if err := h.Save(path, root); err != nil {
		t.Fatal(err)
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	token = open(t, "tapnet")
	again, err := token.Unwrap(wrapped)
	if err != nil || !bytes.Equal(again, root) {
		t.Fatalf("the root is another one: %v", err)
	}
	if _, err := hsm.Open(rand.Reader, path, again); err != nil {
		t.Error(err)
	}
	for at := range wrapped {
		changed := bytes.Clone(wrapped)
		changed[at] ^= 1
		if _, err := token.Unwrap(changed); !errors.Is(err, ErrWrapped) {
			t.Fatalf("byte %d changed: %v", at, err)
		}
	}
	for _, n := range []int{0, 8, 39, 41} {
		if _, err := token.Unwrap(make([]byte, n)); !errors.Is(err, ErrWrapped) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := token.Close(); err != nil {
		t.Fatal(err)
	}
	newToken(t, "other")
	other := open(t, "other")
	if _, err := other.Unwrap(wrapped); !errors.Is(err, ErrWrapped) {
		t.Errorf("another token: %v", err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSoftHSMKeepsItsKey: the wrapping key cannot be read or wrapped, and does nothing but wrap.
func TestSoftHSMKeepsItsKey(t *testing.T) {
	newToken(t, "tapnet")
	token := open(t, "tapnet")
	defer func() { _ = token.Close() }()
	if v, err := token.module.GetAttributeValue(token.session, token.key, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); err == nil {
		t.Errorf("read: %d bytes", len(v[0].Value))
	}
	if _, err := token.module.WrapKey(token.session, aesWrap(), token.key, token.key); err == nil {
		t.Error("wrapped under itself")
	}
	ecb := []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_ECB, nil)}
	if err := token.module.EncryptInit(token.session, ecb, token.key); err == nil {
		t.Error("it enciphers")
	}
	if err := token.module.DecryptInit(token.session, ecb, token.key); err == nil {
		t.Error("it deciphers: a wrapped root could be opened outside of unwrapping")
	}
}

// TestSoftHSMRefuses: a wrong label, PIN or module.
func TestSoftHSMRefuses(t *testing.T) {
	newToken(t, "tapnet")
	if _, err := Open(module(), "none", testPIN); !errors.Is(err, ErrToken) {
		t.Errorf("label: %v", err)
	}
	if _, err := Open(module(), "tapnet", "0000"); err == nil {
		t.Error("a wrong PIN")
	}
	if _, err := Open("/none.so", "tapnet", testPIN); err == nil {
		t.Error("no module")
	}
}
