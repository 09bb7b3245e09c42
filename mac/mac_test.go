package mac

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"tapnet/sm"
)

type vector struct {
	line            int
	algorithm       string
	key, data, want []byte
}

func readVectors(t testing.TB, path string) []vector {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "source:") || strings.HasPrefix(line, "comment:") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 4 {
			t.Fatalf("%s:%d: %d fields, want 4", path, i+1, len(f))
		}
		v := vector{line: i + 1, algorithm: f[0], key: unhex(t, f[1]), want: unhex(t, f[3])}
		if f[2] != "-" {
			v.data = unhex(t, f[2])
		}
		vectors = append(vectors, v)
	}
	return vectors
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("hex %q: %v", s, err)
	}
	return b
}

// blockOf schedules 8 bytes as DES, 16 and 24 as TDES.
func blockOf(t testing.TB, key []byte) cipher.Block {
	t.Helper()
	var block cipher.Block
	var err error
	switch len(key) {
	case 8:
		block, err = des.NewCipher(key)
	case 16:
		block, err = des.NewTripleDESCipher(append(append([]byte{}, key...), key[:8]...))
	default:
		block, err = des.NewTripleDESCipher(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func aesOf(t testing.TB, key []byte) cipher.Block {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	return block
}

func compute(t testing.TB, v vector) []byte {
	t.Helper()
	var code [8]byte
	switch v.algorithm {
	case "retail":
		code = Retail([16]byte(v.key), v.data)
	case "retail-zero":
		code = RetailZeroPad([16]byte(v.key), v.data)
	case "cbc":
		code = CBC(blockOf(t, v.key), v.data)
	case "legacy-ecb":
		code = LegacyECB(blockOf(t, v.key), v.data)
	case "legacy-ecb16-sm4":
		block, err := sm.NewCipher(v.key)
		if err != nil {
			t.Fatal(err)
		}
		code = LegacyECB16(block, v.data)
	case "cmac-aes":
		return CMAC(aesOf(t, v.key), v.data)
	case "cmac-tdes":
		return CMAC(blockOf(t, v.key), v.data)
	default:
		t.Fatalf("line %d: unknown algorithm %q", v.line, v.algorithm)
	}
	return code[:]
}

func TestVectors(t *testing.T) {
	vectors := readVectors(t, "testdata/vectors/mac.txt")
	if len(vectors) < 30 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		before := bytes.Clone(v.data)
		if got := compute(t, v); !bytes.Equal(got, v.want) {
			t.Errorf("line %d: %s = %X, want %X", v.line, v.algorithm, got, v.want)
		}
		if !bytes.Equal(before, v.data) {
			t.Errorf("line %d: %s changed its input", v.line, v.algorithm)
		}
	}
}

// Every code changes with every byte of every vector's data, except where it is known not to.
func TestEveryByteCounts(t *testing.T) {
	for _, v := range readVectors(t, "testdata/vectors/mac.txt") {
		for i := range v.data {
			changed := v
			changed.data = bytes.Clone(v.data)
			changed.data[i] ^= 0x01
			if Equal(compute(t, changed), v.want) {
				t.Errorf("line %d: %s does not see byte %d", v.line, v.algorithm, i)
			}
		}
	}
}

// The padding rules, and the known weaknesses that the comments name.
func TestPadding(t *testing.T) {
	key := [16]byte(unhex(t, "0123456789ABCDEFFEDCBA9876543210"))
	single := blockOf(t, key[:8])
	short, zeros := []byte{1, 2, 3}, []byte{1, 2, 3, 0, 0, 0, 0, 0}

	if Retail(key, short) == Retail(key, zeros) {
		t.Error("Retail: trailing zeros do not count")
	}
	if Retail(key, nil) == Retail(key, make([]byte, 8)) {
		t.Error("Retail: empty data and a zero block share a code")
	}
	if RetailZeroPad(key, short) != RetailZeroPad(key, zeros) {
		t.Error("RetailZeroPad is not padding method 1")
	}
	if RetailZeroPad(key, nil) != RetailZeroPad(key, make([]byte, 8)) {
		t.Error("RetailZeroPad: empty data are not one zero block")
	}
	if CBC(single, short) != CBC(single, zeros) || CBC(single, nil) != CBC(single, make([]byte, 8)) {
		t.Error("CBC is not padding method 1")
	}
	marked := append([]byte{1, 2, 3, 0x80}, 0, 0, 0, 0)
	if Retail(key, short) != RetailZeroPad(key, marked) {
		t.Error("Retail is not RetailZeroPad over data padded by hand")
	}
	swapped := []byte{9, 9, 9, 9, 9, 9, 9, 9, 1, 2, 3, 4, 5, 6, 7, 8}
	if LegacyECB(single, swapped) != LegacyECB(single, append(bytes.Clone(swapped[8:]), swapped[:8]...)) {
		t.Error("LegacyECB sees the order of blocks: then it is not the terminals' code")
	}
}

// With equal halves algorithm 3 falls back to algorithm 1.
func TestRetailWithEqualHalvesIsCBC(t *testing.T) {
	half := unhex(t, "0123456789ABCDEF")
	key := [16]byte(append(bytes.Clone(half), half...))
	data := []byte("a message of some length")
	if RetailZeroPad(key, data) != CBC(blockOf(t, half), data) {
		t.Error("RetailZeroPad with equal halves differs from CBC")
	}
	left, right := blockOf(t, key[:8]), blockOf(t, key[8:])
	if RetailBlocks(left, right, data) != Retail(key, data) {
		t.Error("RetailBlocks differs from Retail")
	}
}

func TestEqual(t *testing.T) {
	a := []byte{1, 2, 3, 4}
	for _, c := range []struct {
		b    []byte
		want bool
	}{
		{[]byte{1, 2, 3, 4}, true}, {[]byte{1, 2, 3, 5}, false}, {[]byte{0, 2, 3, 4}, false},
		{[]byte{1, 2, 3}, false}, {[]byte{1, 2, 3, 4, 0}, false}, {nil, false},
	} {
		if got := Equal(a, c.b); got != c.want {
			t.Errorf("Equal(%X, %X) = %t", a, c.b, got)
		}
	}
}

func TestWrongCipherPanics(t *testing.T) {
	wide := aesOf(t, make([]byte, 16))
	narrow := blockOf(t, make([]byte, 8))
	for name, f := range map[string]func(){
		"CBC":                func() { CBC(wide, nil) },
		"LegacyECB":          func() { LegacyECB(wide, nil) },
		"LegacyECB16":        func() { LegacyECB16(narrow, nil) },
		"RetailBlocks left":  func() { RetailBlocks(wide, narrow, nil) },
		"RetailBlocks right": func() { RetailBlocks(narrow, wide, nil) },
		"CMAC":               func() { CMAC(oddBlock{}, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic on a cipher of the wrong width")
				}
			}()
			f()
		})
	}
}

type oddBlock struct{}

func (oddBlock) BlockSize() int          { return 4 }
func (oddBlock) Encrypt(dst, src []byte) { copy(dst, src) }
func (oddBlock) Decrypt(dst, src []byte) { copy(dst, src) }

// An independent spelling of algorithm 3 for any data: encipher all blocks but the last under the left half, the last
// one under the whole key as TDES.
func FuzzRetail(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("12345678"))
	f.Add([]byte("123456789"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key := [16]byte(unhex(t, "0123456789ABCDEFFEDCBA9876543210"))
		padded := append(bytes.Clone(data), 0x80)
		for len(padded)%8 != 0 {
			padded = append(padded, 0)
		}
		state := make([]byte, 8)
		body, last := padded[:len(padded)-8], padded[len(padded)-8:]
		if len(body) > 0 {
			out := make([]byte, len(body))
			cipher.NewCBCEncrypter(blockOf(t, key[:8]), state).CryptBlocks(out, body)
			state = out[len(out)-8:]
		}
		want := make([]byte, 8)
		cipher.NewCBCEncrypter(blockOf(t, key[:]), state).CryptBlocks(want, last)
		if got := Retail(key, data); !bytes.Equal(got[:], want) {
			t.Errorf("Retail(%X) = %X, want %X", data, got, want)
		}
	})
}

func BenchmarkRetail37(b *testing.B) {
	key := [16]byte{1, 2, 3}
	left, right := halves(key)
	data := make([]byte, 37)
	b.ReportAllocs()
	for b.Loop() {
		RetailBlocks(left, right, data)
	}
}
