package pan

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestCoverIsOneToOne: digits come back, equal digits have equal forms and different digits different ones, leading zeros included.
func TestCoverIsOneToOne(t *testing.T) {
	digits := rapid.StringMatching(`[0-9]{0,32}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := digits.Draw(t, "a"), digits.Draw(t, "b")
		if got := cover(a).digits(); got != a {
			t.Fatalf("%q came back as %q", a, got)
		}
		if (cover(a) == cover(b)) != (a == b) {
			t.Fatalf("%q and %q", a, b)
		}
		if (cover(a) == covered{}) != (a == "") {
			t.Fatalf("%q is taken for nothing", a)
		}
	})
}

// TestCoverHides prints a number where fmt does not see its methods, in every form that shows digits or bytes.
func TestCoverHides(t *testing.T) {
	n, err := Parse("6299991234567890")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%X", "%o", "%b"} {
		text := fmt.Sprintf(verb, struct{ inner covered }{n.digits})
		for _, part := range []string{"629999", "123456", "7890", "739AAA", "739aaa", "2345678", "8901"} {
			if strings.Contains(text, part) && len(part) > 4 {
				t.Errorf("%s shows %s", verb, part)
			}
		}
	}
}

func TestCoverDoesNotAllocate(t *testing.T) {
	text := []byte("6299991234567890=30122201234567890")
	var buf [64]byte
	for name, f := range map[string]func(){
		"parse and reveal": func() {
			n, _ := Parse(string(text[:16]))
			n.RevealTo(buf[:0])
		},
		"compare": func() {
			a, _ := Parse(string(text[:16]))
			b, _ := Parse(string(text[:15]))
			if a == b {
				panic("equal")
			}
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
