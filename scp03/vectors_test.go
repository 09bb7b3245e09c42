package scp03

import (
	"bytes"
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"tapnet/apdu"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectors reads the lines of a file, without source and comments.
func vectors(t testing.TB, name string) (rows [][]string) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors/" + name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "source:") && !strings.HasPrefix(line, "comment:") {
			rows = append(rows, strings.Fields(line))
		}
	}
	return rows
}

func command(t testing.TB, s string) apdu.Command {
	t.Helper()
	c, err := apdu.ParseCommand(unhex(t, s))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// testKeys are those of the vectors: 00…, 10…, 20…, repeated to length.
func testKeys(t testing.TB, n int) Keys {
	t.Helper()
	key := func(from byte) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = from + byte(i%16)
		}
		return b
	}
	k, err := NewKeys(key(0x00), key(0x10), key(0x20))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestDerivationVectors(t *testing.T) {
	for i, row := range vectors(t, "derivation.txt") {
		constant, err := strconv.ParseUint(row[1], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		want := unhex(t, row[3])
		if got := derive(newBlock(unhex(t, row[0])), byte(constant), len(want), unhex(t, row[2])); !bytes.Equal(got, want) {
			t.Errorf("row %d: %X, want %X", i+1, got, want)
		}
	}
}

// TestSessionVectors runs both ends of each traced session.
func TestSessionVectors(t *testing.T) {
	plain := []string{"80E2910006BF3E035C015A00", "80F22002", "80CA006600", "80F220020A4F0212345C054F9F70C5", "80F28002024F0000"}
	for _, row := range vectors(t, "sessions.txt") {
		n, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		keys, level := testKeys(t, n), Level(unhex(t, row[1])[0])
		begin := command(t, row[2])
		version, host, err := ParseInitializeUpdate(begin)
		if err != nil || !bytes.Equal(InitializeUpdate(version, host).Bytes(), begin.Bytes()) {
			t.Fatalf("%s/%s: %v", row[0], row[1], err)
		}
		g, err := ParseGreeting(unhex(t, row[3]))
		if err != nil || !bytes.Equal(g.Bytes(), unhex(t, row[3])) || keys.Greet(host, g) != g || g.Option != 0x70 {
			t.Fatalf("%s/%s: greeting %v: %v", row[0], row[1], g, err)
		}
		session := keys.Session(host, g.Challenge)
		prove, st, err := session.Open(host, g, level)
		if err != nil || !bytes.Equal(prove.Bytes(), unhex(t, row[4])) {
			t.Fatalf("%s/%s: EXTERNAL AUTHENTICATE %X: %v", row[0], row[1], prove.Bytes(), err)
		}
		card, err := session.Accept(host, g, command(t, row[4]))
		if err != nil || card != st {
			t.Fatalf("%s/%s: %v: %v", row[0], row[1], card, err)
		}
		for i, text := range plain {
			c, after, err := session.Wrap(st, command(t, text))
			if err != nil || !bytes.Equal(c.Bytes(), unhex(t, row[5+i])) {
				t.Errorf("%s/%s, command %d: %X: %v", row[0], row[1], i+1, c.Bytes(), err)
			}
			back, cardAfter, err := session.Unwrap(card, command(t, row[5+i]))
			if err != nil || !bytes.Equal(back.Bytes(), unhex(t, text)) || cardAfter != after {
				t.Errorf("%s/%s, command %d unwrapped: %X: %v", row[0], row[1], i+1, back.Bytes(), err)
			}
			if st, card = after, cardAfter; i == 0 {
				checkAnswer(t, session, st, unhex(t, row[10]))
			}
		}
	}
}

func checkAnswer(t *testing.T, session Session, st State, sent []byte) {
	t.Helper()
	want := unhex(t, "BF3E125A1089882119900000000000000000000005")
	got, err := session.UnwrapAnswer(st, apdu.Response{Data: sent, SW: apdu.OK})
	if err != nil || !bytes.Equal(got.Data, want) {
		t.Errorf("answer %X: %v", got.Data, err)
	}
	made, err := session.WrapAnswer(st, apdu.Response{Data: want, SW: apdu.OK})
	if err != nil || !bytes.Equal(made.Data, sent) {
		t.Errorf("answer made %X: %v", made.Data, err)
	}
}

// TestPseudoRandomVectors: the same traces, whose challenges follow from counter and name of the domain.
func TestPseudoRandomVectors(t *testing.T) {
	aid := unhex(t, "A0000005591010FFFFFFFF8900000100") // root security domain of an eUICC
	for _, row := range vectors(t, "sessions.txt") {
		n, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		g, err := ParseGreeting(unhex(t, row[3]))
		if err != nil {
			t.Fatal(err)
		}
		if got := testKeys(t, n).PseudoRandom(g.Sequence, aid); got != g.Challenge {
			t.Errorf("%s/%s: %X, want %X", row[0], row[1], got, g.Challenge)
		}
	}
}

// TestDiversifyVector is the vector of GlobalPlatformPro's test of KDF3 (TestSCP03).
func TestDiversifyVector(t *testing.T) {
	k, err := Diversify(unhex(t, "8C72C72CF908411653018807950D82FBAD947562F0828A0B10B8B9606ABF3BCD"), Diversification(unhex(t, "D9B1DE5D0362DEDCE4FB")))
	if err != nil {
		t.Fatal(err)
	}
	if enc, _, _ := k.Reveal(); !bytes.Equal(enc, unhex(t, "9AAC5D0B3601F89438A0D9D0B6B256CFB47E6462DFA5228D3420C4AC7C224781")) {
		t.Errorf("%X", enc)
	}
}
