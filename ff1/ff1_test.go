package ff1

import (
	"crypto/aes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func newCipher(t testing.TB, key string, radix int) *Cipher {
	t.Helper()
	b, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(b)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(block, radix)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const testKey = "2B7E151628AED2A6ABF7158809CF4F3C"

func TestSamples(t *testing.T) {
	content, err := os.ReadFile("testdata/vectors/nist.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(content)) {
		f := strings.Fields(line)
		if len(f) != 5 || strings.HasSuffix(f[0], ":") {
			continue
		}
		count++
		radix, err := strconv.Atoi(f[1])
		if err != nil {
			t.Fatal(err)
		}
		tweak, err := hex.DecodeString(strings.Trim(f[2], "-"))
		if err != nil {
			t.Fatal(err)
		}
		c := newCipher(t, f[0], radix)
		for _, run := range []func([]byte, string, int, int, bool) ([]byte, error){c.narrow, c.wide} {
			u := len(f[3]) / 2
			if radix == 36 && len(f[3]) > 24 {
				continue
			}
			got, err := run(tweak, f[3], u, len(f[3])-u, false)
			if err != nil || string(got) != f[4] {
				t.Errorf("sample %d: %s, %v, want %s", count, got, err, f[4])
			}
			back, err := run(tweak, f[4], u, len(f[3])-u, true)
			if err != nil || string(back) != f[3] {
				t.Errorf("sample %d back: %s, %v", count, back, err)
			}
		}
		if got, err := c.Encrypt(tweak, f[3]); err != nil || got != f[4] {
			t.Errorf("sample %d: %s, %v", count, got, err)
		}
	}
	if count != 9 {
		t.Errorf("%d samples", count)
	}
}

func TestInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		radix := rapid.IntRange(MinRadix, MaxRadix).Draw(t, "radix")
		block, _ := aes.NewCipher(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
		c, err := New(block, radix)
		if err != nil {
			t.Fatal(err)
		}
		tweak := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "tweak")
		n := rapid.IntRange(c.MinChars(), 60).Draw(t, "length")
		text := make([]byte, n)
		for i := range text {
			text[i] = alphabet[rapid.IntRange(0, radix-1).Draw(t, "digit")]
		}
		hidden, err := c.Encrypt(tweak, string(text))
		if err != nil || len(hidden) != n {
			t.Fatal(hidden, err)
		}
		if back, err := c.Decrypt(tweak, hidden); err != nil || back != string(text) {
			t.Fatalf("%s, %v, want %s", back, err, text)
		}
	})
}

// TestWalk stays among the even numbers and meets none twice.
func TestWalk(t *testing.T) {
	c := newCipher(t, testKey, 10)
	even := func(s string) bool { return s[5]%2 == 0 }
	seen := map[string]bool{}
	for n := range 10000 {
		text := fmt.Sprintf("%06d", n)
		if !even(text) {
			if _, err := c.Walk(nil, text, even); !errors.Is(err, ErrWalk) {
				t.Fatal("walked from outside")
			}
			continue
		}
		out, err := c.Walk([]byte{1}, text, even)
		if err != nil || !even(out) || seen[out] {
			t.Fatalf("%s became %s, %v", text, out, err)
		}
		seen[out] = true
		if back, err := c.Unwalk([]byte{1}, out, even); err != nil || back != text {
			t.Fatalf("%s came back as %s, %v", text, back, err)
		}
		if n >= 300 {
			break
		}
	}
}

func TestRefused(t *testing.T) {
	c := newCipher(t, testKey, 10)
	for _, text := range []string{"", "1", "12345", "12345x", "12345a", "-123456", "12345 6", strings.Repeat("1", MaxChars+1), strings.Repeat("1", 40) + "a"} {
		if _, err := c.Encrypt(nil, text); !errors.Is(err, ErrText) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := c.Decrypt(nil, text); !errors.Is(err, ErrText) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := c.Encrypt(make([]byte, MaxTweakBytes+1), "1234567"); !errors.Is(err, ErrTweak) {
		t.Error(err)
	}
	if _, err := c.Walk(nil, "123456", func(s string) bool { return s == "123456" }); err != nil && !errors.Is(err, ErrWalk) {
		t.Error(err)
	}
	block, _ := aes.NewCipher(make([]byte, 16))
	for _, radix := range []int{-1, 0, 1, 37, 65536} {
		if _, err := New(block, radix); err == nil {
			t.Errorf("radix %d was taken", radix)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "{") {
		t.Error(s)
	}
}

func FuzzFF1(f *testing.F) {
	f.Add([]byte("tweak"), "6299980000000017")
	f.Add([]byte(nil), "0123456789")
	f.Fuzz(func(t *testing.T, tweak []byte, text string) {
		c := newCipher(t, testKey, 10)
		out, err := c.Encrypt(tweak, text)
		if err != nil {
			return
		}
		if back, err := c.Decrypt(tweak, out); err != nil || back != text {
			t.Fatalf("%q became %q, %v", text, back, err)
		}
	})
}

func BenchmarkEncrypt(b *testing.B) {
	c := newCipher(b, testKey, 10)
	for b.Loop() {
		if _, err := c.Encrypt([]byte("62900000001"), "0000000017"); err != nil {
			b.Fatal(err)
		}
	}
}
