//go:build thirdparty

package thirdparty

import (
	"bytes"
	"crypto/aes"
	"crypto/des"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/mac"
	"tapnet/pan"
)

// seed makes the random inputs the same in every run; a failure names length and input.
const seed = 20261121

// openssl runs the program with stdin and returns its stdout.
func openssl(t testing.TB, stdin []byte, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), "openssl", args...)
	command.Stdin = bytes.NewReader(stdin)
	var complaint bytes.Buffer
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, complaint.Bytes())
	}
	return out
}

// encipher is OpenSSL's block cipher without padding. Three equal keys make triple DES single DES, which OpenSSL 3 no longer has by itself.
func encipher(t testing.TB, cipher string, key, iv, data []byte) []byte {
	t.Helper()
	args := []string{"enc", "-e", "-nopad", "-" + cipher, "-K", hex.EncodeToString(key)}
	if iv != nil {
		args = append(args, "-iv", hex.EncodeToString(iv))
	}
	return openssl(t, data, args...)
}

func singleDES(key []byte) []byte { return bytes.Join([][]byte{key[:8], key[:8], key[:8]}, nil) }

func doubleDES(key []byte) []byte { return bytes.Join([][]byte{key[:16], key[:8]}, nil) }

// zeroPad and markPad are padding methods 1 and 2. [ISO 9797-1 6.3]
func zeroPad(data []byte) []byte {
	padded := append([]byte{}, data...)
	for len(padded)%8 != 0 || len(padded) == 0 {
		padded = append(padded, 0)
	}
	return padded
}

func markPad(data []byte) []byte { return zeroPad(append(append([]byte{}, data...), 0x80)) }

// inputs yields messages of every length around the block borders.
func inputs() [][]byte {
	source := rand.NewChaCha8([32]byte{seed % 251})
	var all [][]byte
	for _, length := range []int{1, 7, 8, 9, 15, 16, 17, 37, 64, 200} {
		data := make([]byte, length)
		_, _ = source.Read(data)
		all = append(all, data)
	}
	return all
}

var (
	doubleKey = [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98, 0x76, 0x54, 0x32, 0x10}
	zeroIV    = make([]byte, 8)
)

func same(t *testing.T, what string, input, ours, theirs []byte) {
	t.Helper()
	if !bytes.Equal(ours, theirs) {
		t.Errorf("%s of %X:\n  ours   %X\n  theirs %X", what, input, ours, theirs)
	}
}

func TestOpenSSLMACs(t *testing.T) {
	left, err := des.NewCipher(doubleKey[:8])
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range inputs() {
		ours := mac.CBC(left, data)
		chain := encipher(t, "des-ede3-cbc", singleDES(doubleKey[:]), zeroIV, zeroPad(data))
		same(t, "X9.9 MAC", data, ours[:], chain[len(chain)-8:])

		retail := mac.Retail(doubleKey, data)
		same(t, "retail MAC, padding 2", data, retail[:], retailByOpenSSL(t, doubleKey, markPad(data)))
		retailZero := mac.RetailZeroPad(doubleKey, data)
		same(t, "retail MAC, padding 1", data, retailZero[:], retailByOpenSSL(t, doubleKey, zeroPad(data)))
	}
}

// retailByOpenSSL composes ISO 9797-1 algorithm 3 from two calls: a single DES chain over all blocks but the last, then the last under both halves.
func retailByOpenSSL(t testing.TB, key [16]byte, padded []byte) []byte {
	t.Helper()
	iv := zeroIV
	if body := padded[:len(padded)-8]; len(body) > 0 {
		chain := encipher(t, "des-ede3-cbc", singleDES(key[:]), zeroIV, body)
		iv = chain[len(chain)-8:]
	}
	return encipher(t, "des-ede3-cbc", doubleDES(key[:]), iv, padded[len(padded)-8:])
}

func TestOpenSSLTerminalMAC(t *testing.T) {
	triple, err := des.NewTripleDESCipher(doubleDES(doubleKey[:]))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range inputs() {
		folded := make([]byte, 8)
		for i, b := range zeroPad(data) {
			folded[i%8] ^= b
		}
		text := []byte(strings.ToUpper(hex.EncodeToString(folded)))
		first := encipher(t, "des-ede", doubleKey[:], nil, text[:8])
		for i := range first {
			first[i] ^= text[8+i]
		}
		second := encipher(t, "des-ede", doubleKey[:], nil, first)
		ours := mac.LegacyECB(triple, data)
		same(t, "field 64", data, ours[:], []byte(strings.ToUpper(hex.EncodeToString(second[:4]))))
	}
}

func TestOpenSSLCMAC(t *testing.T) {
	aes128, err := aes.NewCipher(doubleKey[:])
	if err != nil {
		t.Fatal(err)
	}
	triple, err := des.NewTripleDESCipher(doubleDES(doubleKey[:]))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range inputs() {
		theirs := openssl(t, data, "mac", "-binary", "-cipher", "AES-128-CBC", "-macopt", "hexkey:"+hex.EncodeToString(doubleKey[:]), "-in", "-", "CMAC")
		same(t, "AES-CMAC", data, mac.CMAC(aes128, data), theirs)
		theirs = openssl(t, data, "mac", "-binary", "-cipher", "DES-EDE3-CBC", "-macopt", "hexkey:"+hex.EncodeToString(doubleDES(doubleKey[:])), "-in", "-", "CMAC")
		same(t, "3DES-CMAC", data, mac.CMAC(triple, data), theirs)
	}
}

// TestOpenSSLKeysAndCryptograms derives a card's keys, its session keys, a cryptogram and the answer to it a second time. [REF 4]
func TestOpenSSLKeysAndCryptograms(t *testing.T) {
	suite := cryptogram.SuiteTDES
	master, err := cryptogram.NewKey(doubleKey[:])
	if err != nil {
		t.Fatal(err)
	}
	number, err := pan.Parse("6299990000000017")
	if err != nil {
		t.Fatal(err)
	}
	y := []byte{0x99, 0x99, 0x00, 0x00, 0x00, 0x00, 0x17, 0x01} // the last 16 digits of number and sequence
	card := suite.CardKey(master, number, "01").Reveal()
	same(t, "card key", y, card[:], encipher(t, "des-ede", doubleKey[:], nil, append(y, complement(y)...)))
	for atc := uint16(1); atc < 0x8000; atc = atc*5 + 1 {
		key, err := cryptogram.NewKey(card[:])
		if err != nil {
			t.Fatal(err)
		}
		session := suite.SessionKey(key, atc)
		raw := session.Reveal()
		high, low := byte(atc>>8), byte(atc)
		same(t, "session key", []byte{high, low}, raw[:],
			encipher(t, "des-ede", card[:], nil, []byte{0, 0, 0, 0, 0, 0, high, low, 0, 0, 0, 0, 0, 0, ^high, ^low}))

		data := append([]byte{high, low}, inputs()[7]...)
		ac := suite.Cryptogram(session, data)
		same(t, "cryptogram", data, ac[:], retailByOpenSSL(t, raw, markPad(data)))
		mixed := ac
		mixed[0], mixed[1] = mixed[0]^'0', mixed[1]^'0'
		arpc := suite.ARPC(session, ac, [2]byte{'0', '0'})
		same(t, "ARPC", ac[:], arpc[:], encipher(t, "des-ede", raw[:], nil, mixed[:]))
	}
}

func complement(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

// TestOpenSSLIssues has OpenSSL be the CA and the issuer: it makes the keys and signs, from layouts written down here a second time, an issuer
// certificate and signed static data, which our terminal side must accept. [EMV B2 5.1] [EMV B2 5.4]
func TestOpenSSLIssues(t *testing.T) {
	const caBits, issuerBits = 1408, 1152
	caPath, caModulus := keyByOpenSSL(t, caBits)
	issuerPath, issuerModulus := keyByOpenSSL(t, issuerBits)
	exponent := []byte{3}

	room := len(caModulus) - 36
	header := []byte{0x02, 0x62, 0x99, 0x99, 0xFF, 0x12, 0x49, 0x00, 0x00, 0x01, 0x01, 0x01, byte(len(issuerModulus)), 0x01}
	body, remainder := append(header, issuerModulus[:min(room, len(issuerModulus))]...), []byte(nil)
	if len(issuerModulus) > room {
		remainder = issuerModulus[room:]
	}
	body = append(body, bytes.Repeat([]byte{0xBB}, len(caModulus)-22-len(body))...)
	certificate := signByOpenSSL(t, caPath, body, remainder, exponent)

	static := []byte("static data of the card")
	dac := []byte{0xDA, 0xC5}
	padding := bytes.Repeat([]byte{0xBB}, len(issuerModulus)-26)
	signed := signByOpenSSL(t, issuerPath, append([]byte{0x03, 0x01, dac[0], dac[1]}, padding...), static)

	ca := oda.CAKey{RID: [5]byte{0xA0, 0, 0, 3, 0x33}, Index: 0xF1, Modulus: caModulus, Exponent: exponent, Expiry: "20491231", Role: "test"}
	ca.SHA1 = ca.Checksum()
	number, err := pan.Parse("6299990000000017")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	issuer, err := oda.RecoverIssuerKey(ca, certificate, remainder, exponent, number, now)
	if err != nil {
		t.Fatalf("issuer certificate: %v", err)
	}
	got, err := oda.VerifySSAD(issuer, signed, static)
	if err != nil || got != [2]byte(dac) {
		t.Errorf("signed static data: DAC %X, %v", got, err)
	}
	if _, err := oda.VerifySSAD(issuer, signed, append(static, 0)); err == nil {
		t.Error("signed static data verify over other data")
	}
}

// keyByOpenSSL makes an RSA key with exponent 3 and returns the path of its file and its modulus.
func keyByOpenSSL(t testing.TB, bits int) (path string, modulus []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "private.pem")
	openssl(t, nil, "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:"+strconv.Itoa(bits),
		"-pkeyopt", "rsa_keygen_pubexp:3", "-out", path)
	line := strings.TrimSpace(string(openssl(t, nil, "rsa", "-noout", "-modulus", "-in", path)))
	modulus, err := hex.DecodeString(strings.TrimPrefix(line, "Modulus="))
	if err != nil || len(modulus)*8 != bits {
		t.Fatalf("openssl printed the modulus as %q: %v", line, err)
	}
	return path, modulus
}

// signByOpenSSL frames a body as 6A ‖ body ‖ SHA-1(body ‖ covered…) ‖ BC and applies the private key. [EMV B2 A2.1]
func signByOpenSSL(t testing.TB, path string, body []byte, covered ...[]byte) []byte {
	t.Helper()
	hash := sha1.Sum(append(append([]byte{}, body...), bytes.Join(covered, nil)...))
	block := bytes.Join([][]byte{{0x6A}, body, hash[:], {0xBC}}, nil)
	// Raw deciphering is the private operation; -sign takes hashes only.
	return openssl(t, block, "pkeyutl", "-decrypt", "-inkey", path, "-pkeyopt", "rsa_padding_mode:none")
}

// TestOpenSSLRecoversRSA has OpenSSL apply every published CA key to a block.
func TestOpenSSLRecoversRSA(t *testing.T) {
	for _, ca := range oda.PublishedCAKeys() {
		key, err := oda.NewPublicKey(ca.Modulus, ca.Exponent)
		if err != nil {
			t.Fatal(err)
		}
		block := make([]byte, key.Len())
		source := rand.NewChaCha8([32]byte{ca.Index})
		_, _ = source.Read(block)
		block[0] = 0 // below the modulus
		ours, err := oda.Recover(key, block)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "RSA recovery", block, ours, recoverByOpenSSL(t, key, block))
	}
}

// recoverByOpenSSL is the raw public operation.
func recoverByOpenSSL(t testing.TB, key oda.PublicKey, block []byte) []byte {
	t.Helper()
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(key.Modulus()), E: int(new(big.Int).SetBytes(key.Exponent()).Int64())}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return openssl(t, block, "pkeyutl", "-verifyrecover", "-pubin", "-inkey", path, "-pkeyopt", "rsa_padding_mode:none")
}
