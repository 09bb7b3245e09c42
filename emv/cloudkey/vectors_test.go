package cloudkey

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tapnet/emv/cryptogram"
	"tapnet/pan"
)

type vector struct {
	testing.TB
	at     string
	fields map[string]string
}

func (v vector) hex(name string) []byte {
	v.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(v.fields[name], " ", ""))
	if err != nil || len(b) == 0 {
		v.Fatalf("%s: field %s: %q, %v", v.at, name, v.fields[name], err)
	}
	return b
}

func (v vector) key(name string) cryptogram.Key {
	v.Helper()
	key, err := cryptogram.NewKey(v.hex(name))
	if err != nil {
		v.Fatalf("%s: %v", v.at, err)
	}
	return key
}

func (v vector) secret(name string) Secret {
	v.Helper()
	s, err := NewSecret(v.hex(name))
	if err != nil {
		v.Fatalf("%s: %v", v.at, err)
	}
	return s
}

func (v vector) atc() uint16 { b := v.hex("atc"); return uint16(b[0])<<8 | uint16(b[1]) }

func (v vector) number(name string) int {
	v.Helper()
	n, err := strconv.Atoi(v.fields[name])
	if err != nil {
		v.Fatalf("%s: field %s: %v", v.at, name, err)
	}
	return n
}

func (v vector) slot() (Scheme, Slot) {
	v.Helper()
	scheme, err := SchemeOf(SchemeID(v.number("scheme")))
	if err != nil {
		v.Fatal(err)
	}
	slot := Slot{ATC: v.atc()}
	if v.fields["index"] != "" {
		if slot.Index, err = ParseIndex([4]byte(v.hex("index"))); err != nil {
			v.Fatal(err)
		}
	}
	return scheme, slot
}

func (v vector) compute() []byte {
	v.Helper()
	switch kind := v.fields["kind"]; kind {
	case "cardkey":
		n, err := pan.Parse(v.fields["pan"])
		if err != nil {
			v.Fatal(err)
		}
		b := cryptogram.SuiteTDES.CardKey(v.key("imk"), n, v.fields["sequence"]).OddParity().Reveal()
		return b[:]
	case "derive":
		scheme, slot := v.slot()
		key, err := scheme.Derive(CardKeyMaster(cryptogram.SuiteTDES, v.key("card")), slot)
		if err != nil {
			v.Fatal(err)
		}
		b := key.Reveal()
		return b[:]
	case "cryptogram":
		scheme, slot := v.slot()
		ac, err := Expected(scheme, CardKeyMaster(cryptogram.SuiteTDES, v.key("card")), slot, cryptogram.SuiteTDES, v.hex("data"))
		if err != nil {
			v.Fatal(err)
		}
		return ac[:]
	case "pin":
		key, err := UnlockWithPIN(v.key("key"), v.fields["pin"])
		if err != nil {
			v.Fatal(err)
		}
		b := key.Reveal()
		return b[:]
	case "bind":
		b := BindingKey(v.secret("base"), v.fields["device"], v.fields["token"], Class(v.number("cls"))).Reveal()
		return b[:]
	case "mask":
		code := MaskCode(v.secret("bind"), v.fields["token"], v.atc(), Class(v.number("cls")), v.secret("password"))
		b := Mask(cryptogram.Key{}, code).Reveal()
		return b[:]
	case "tagkey":
		b := TagKey(v.secret("bind"), v.atc()).Reveal()
		return b[:]
	case "tag":
		tag := DeviceTag(v.secret("key"), v.fields["token"], TagInput{
			ATC: v.atc(), UnpredictableNumber: [4]byte{0xA1, 0xB2, 0xC3, 0xD4}, Amount: [6]byte{4: 0x10}, Currency: [2]byte{1, 0x56},
			Evidence:   Evidence{BSEQ: 0x000102, CVM: CVMTypeFingerprint, CVMAge: 5, Risk: 1, Latency: 9},
			Cryptogram: [8]byte{0x04, 0xA7, 0xDD, 0x19, 0x45, 0xEF, 0xB1, 0xAD},
		})
		return tag[:]
	case "ratchet":
		bseq := uint32(v.number("bseq")) //nolint:gosec // a small number of the vector
		b := NextRatchet(v.secret("base"), v.fields["token"], bseq, v.secret("current"), [NonceBytes]byte(v.hex("nonce"))).Reveal()
		return b[:]
	default:
		v.Fatalf("%s: unknown kind %q", v.at, kind)
		return nil
	}
}

func TestVectors(t *testing.T) {
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	count := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for n, block := range strings.Split(string(text), "\n\n") {
			v := vector{t, name + " block " + strconv.Itoa(n+1), map[string]string{}}
			for _, line := range strings.Split(block, "\n") {
				if key, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, "#") {
					v.fields[key] = strings.TrimSpace(value)
				}
			}
			if v.fields["kind"] == "" {
				continue
			}
			count++
			if got, want := v.compute(), v.hex("expect"); !bytes.Equal(got, want) {
				t.Errorf("%s (%s): %X, want %X", v.at, v.fields["kind"], got, want)
			}
		}
	}
	if count < 25 {
		t.Errorf("only %d vectors", count)
	}
}
