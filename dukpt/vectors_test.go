package dukpt

import (
	"bytes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"tapnet/mac"
)

// vector is one block of a vector file: "name: value" lines.
type vector struct {
	where  string
	fields map[string]string
}

func readVectors(t testing.TB, file string) []vector {
	t.Helper()
	text, err := os.ReadFile("testdata/vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	for i, block := range strings.Split(string(text), "\n\n") {
		v := vector{where: fmt.Sprintf("%s/%d", file, i), fields: map[string]string{}}
		for line := range strings.Lines(block) {
			name, value, found := strings.Cut(strings.TrimSpace(line), ": ")
			if found && !strings.HasPrefix(line, "#") {
				v.fields[name] = value
			}
		}
		if len(v.fields) > 0 {
			vectors = append(vectors, v)
		}
	}
	return vectors
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustKey(t testing.TB, kind Type, b []byte) Key {
	t.Helper()
	k, err := NewKey(kind, b)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustCipher(t testing.TB, k Key) cipher.Block {
	t.Helper()
	block, err := k.Cipher()
	if err != nil {
		t.Fatal(err)
	}
	return block
}

const (
	tdesBDK = "0123456789ABCDEFFEDCBA9876543210"
	aesBDK  = "FEDCBA9876543210F1F1F1F1F1F1F1F1"
)

func tdesKSN(t testing.TB, s string) TDESKSN {
	t.Helper()
	ksn, err := ParseTDESKSN(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return ksn
}

func tdesInitial(t testing.TB) Key {
	t.Helper()
	initial, err := TDESInitialKey(mustKey(t, TDEA2, unhex(t, tdesBDK)), tdesKSN(t, "FFFF9876543210E00000"))
	if err != nil {
		t.Fatal(err)
	}
	return initial
}

// TestTDESVectors checks annex A: keys, and what they make of a PIN block and a message.
func TestTDESVectors(t *testing.T) {
	checked := 0
	for _, v := range readVectors(t, "tdes.txt") {
		initial := tdesInitial(t)
		want := func(name string, got []byte) {
			if v.fields[name] == "" {
				return
			}
			checked++
			if !bytes.Equal(got, unhex(t, v.fields[name])) {
				t.Errorf("%s: %s is %X, want %s", v.where, name, got, v.fields[name])
			}
		}
		want("initial", initial.Reveal())
		ksn := tdesKSN(t, v.fields["ksn"])
		if ksn.Counter() == 0 {
			continue
		}
		transaction, err := TDESTransactionKey(initial, ksn)
		if err != nil {
			t.Fatalf("%s: %v", v.where, err)
		}
		want("transaction", transaction.Reveal())
		working := func(u Usage) Key {
			k, err := TDESWorkingKey(transaction, u)
			if err != nil {
				t.Fatalf("%s: %v", v.where, err)
			}
			return k
		}
		want("pin", working(PINEncryption).Reveal())
		block := unhex(t, v.fields["pinblock"])
		mustCipher(t, working(PINEncryption)).Encrypt(block, block)
		want("enciphered", block)

		message := unhex(t, v.fields["message"])
		for name, u := range map[string]Usage{"mac request": MACGeneration, "mac response": MACVerification} {
			code := mac.RetailZeroPad([16]byte(working(u).Reveal()), message)
			want(name, code[:])
		}
		for name, u := range map[string]Usage{"data request": DataEncrypt, "data response": DataDecrypt} {
			padded := append(message, make([]byte, (8-len(message)%8)%8)...)
			cipher.NewCBCEncrypter(mustCipher(t, working(u)), make([]byte, 8)).CryptBlocks(padded, padded)
			want(name, padded)
		}
		if !working(MACBoth).Equal(working(MACGeneration)) || !working(DataBoth).Equal(working(DataEncrypt)) {
			t.Errorf("%s: the keys for both directions are not those of requests", v.where)
		}
	}
	if checked < 80 {
		t.Errorf("only %d values checked", checked)
	}
}

var aesID = [InitialKeyIDBytes]byte{0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34, 0x56}

func aesType(bytes int) Type { return map[int]Type{16: AES128, 24: AES192, 32: AES256}[bytes] }

func aesInitial(t testing.TB, bdk string) Key {
	t.Helper()
	b := unhex(t, bdk)
	initial, err := AESInitialKey(mustKey(t, aesType(len(b)), b), aesID)
	if err != nil {
		t.Fatal(err)
	}
	return initial
}

func TestAESVectors(t *testing.T) {
	checked := 0
	for _, v := range readVectors(t, "aes.txt") {
		initial := aesInitial(t, v.fields["bdk"])
		device, err := NewAESDevice(initial, aesID)
		if err != nil {
			t.Fatal(err)
		}
		update, err := AESUpdateKey(initial, aesID)
		if err != nil {
			t.Fatal(err)
		}
		var ksn AESKSN
		var transaction Key
		if text := v.fields["counter"]; text != "" {
			counter, err := strconv.ParseUint(text, 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			ksn = NewAESKSN(aesID, uint32(counter))
			if transaction, err = AESTransactionKey(initial, ksn); err != nil {
				t.Fatalf("%s: %v", v.where, err)
			}
		}
		for name, want := range v.fields {
			var got Key
			kind, use, _ := strings.Cut(name, " ")
			switch {
			case name == "initial":
				got = initial
			case name == "update":
				got = update
			case name == "transaction":
				got = transaction
			case kind == "register":
				j, err := strconv.Atoi(use)
				if err != nil {
					t.Fatal(err)
				}
				got = device.walk.registers[j]
			default:
				for u := PINEncryption; u <= KeyEncryption; u++ {
					for k := TDEA2; k <= AES256; k++ {
						if k.String() == kind && u.String() == use {
							if got, err = AESWorkingKey(transaction, ksn, u, k); err != nil {
								t.Fatalf("%s: %v", v.where, err)
							}
						}
					}
				}
				if got.IsZero() {
					continue // not a key
				}
			}
			checked++
			if hex.EncodeToString(got.Reveal()) != strings.ToLower(want) {
				t.Errorf("%s: %s is %X, want %s", v.where, name, got.Reveal(), want)
			}
		}
	}
	if checked < 110 {
		t.Errorf("only %d values checked", checked)
	}
}

// TestAESPINBlockVector is the worked PIN block of format 4 that the vectors carry: PIN field, enciphered, account field added, enciphered again.
func TestAESPINBlockVector(t *testing.T) {
	device, err := NewAESDevice(aesInitial(t, aesBDK), aesID)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"A912150391AB65A67E52883D81CE2D15", "52A00503BD34BA1383F6A7EE9FE2547F"} {
		transaction, err := device.Next()
		if err != nil {
			t.Fatal(err)
		}
		key, err := transaction.Key(PINEncryption, AES128)
		if err != nil {
			t.Fatal(err)
		}
		block, account := unhex(t, "441234AAAAAAAAAA2F69ADDE2E9E7ACE"), unhex(t, "44111111111111111000000000000000")
		c := mustCipher(t, key)
		c.Encrypt(block, block)
		for i := range block {
			block[i] ^= account[i]
		}
		c.Encrypt(block, block)
		if got := fmt.Sprintf("%X", block); got != want {
			t.Errorf("%v: %s, want %s", transaction, got, want)
		}
	}
}

// TestAESMACVectors: source: tests of github.com/moov-io/dukpt, counter 1, message of annex A; CMAC with AES-128, HMAC-SHA-256 with HMAC-128.
func TestAESMACVectors(t *testing.T) {
	device, err := NewAESDevice(aesInitial(t, aesBDK), aesID)
	if err != nil {
		t.Fatal(err)
	}
	transaction, err := device.Next()
	if err != nil {
		t.Fatal(err)
	}
	message := unhex(t, "3430313233343536373839303944393837")
	for _, v := range []struct {
		usage      Usage
		cmac, hmac string
	}{
		{MACGeneration, "A2EB5C1C35809E58404E873C3C411E31", "B6F8B3159CD4E140159DA87A68C0FB7AF2F123D222662E98988C76386E8E8A02"},
		{MACVerification, "DD4E1895FD9BF53D8DAF25568ABF551D", "DDE7CB7BDE05AC9A934919B5D94C37954F2376BAF5D45031A56FE74D94C4B64D"},
	} {
		key, err := transaction.Key(v.usage, AES128)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%X", mac.CMAC(mustCipher(t, key), message)); got != v.cmac {
			t.Errorf("%v: CMAC %s, want %s", v.usage, got, v.cmac)
		}
		if key, err = transaction.Key(v.usage, HMAC128); err != nil {
			t.Fatal(err)
		}
		code := hmac.New(sha256.New, key.Reveal())
		code.Write(message)
		if got := fmt.Sprintf("%X", code.Sum(nil)); got != v.hmac {
			t.Errorf("%v: HMAC %s, want %s", v.usage, got, v.hmac)
		}
	}
}

// TestTDESIndependent compares random devices with implementations that are not ours.
func TestTDESIndependent(t *testing.T) {
	names := map[string]Usage{"pin": PINEncryption, "mac request": MACGeneration, "mac response": MACVerification,
		"data request": DataEncrypt, "data response": DataDecrypt}
	for _, v := range readVectors(t, "tdes-independent.txt") {
		ksn := tdesKSN(t, v.fields["ksn"])
		initial, err := TDESInitialKey(mustKey(t, TDEA2, unhex(t, v.fields["bdk"])), ksn)
		if err != nil || fmt.Sprintf("%X", initial.Reveal()) != v.fields["initial"] {
			t.Fatalf("%s: initial key %X, %v", v.where, initial.Reveal(), err)
		}
		transaction, err := TDESTransactionKey(initial, ksn)
		if err != nil || fmt.Sprintf("%X", transaction.Reveal()) != v.fields["transaction"] {
			t.Fatalf("%s: transaction key %X, %v", v.where, transaction.Reveal(), err)
		}
		for name, usage := range names {
			key, err := TDESWorkingKey(transaction, usage)
			if err != nil || fmt.Sprintf("%X", key.Reveal()) != v.fields[name] {
				t.Errorf("%s: %s key %X, %v, want %s", v.where, name, key.Reveal(), err, v.fields[name])
			}
		}
		next := "none"
		if counter := tdesLadder.next(ksn.Counter()); counter != 0 {
			next = ksn.WithCounter(counter).String()
		}
		if next != v.fields["next"] {
			t.Errorf("%s: next %s, want %s", v.where, next, v.fields["next"])
		}
	}
}
