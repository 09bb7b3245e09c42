package cps

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/pinblock"
	"tapnet/tlv"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustGrouping(t testing.TB, id DGI, data []byte) Grouping {
	t.Helper()
	g, err := NewGrouping(id, data)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func record(n int) []byte { return tlv.Wrap(tagRecord, tlv.Wrap(0x9F10, make([]byte, n))) }

// sample is a small application with a grouping of every kind.
func sample(t testing.TB) List {
	t.Helper()
	key := func(b byte) cryptogram.Key {
		k, err := cryptogram.NewKey(bytes.Repeat([]byte{b}, 16))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	pin, err := pinblock.ParsePIN("1234")
	if err != nil {
		t.Fatal(err)
	}
	component := func(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
	rsa, err := RSAKey{P: component(5, 88), Q: component(4, 88), DP: component(3, 88), DQ: component(2, 87), QInverse: component(1, 88)}.Groupings(ICCKeyQInverse)
	if err != nil {
		t.Fatal(err)
	}
	list := List{mustGrouping(t, 0x0101, record(10)), mustGrouping(t, 0x0201, record(240)), mustGrouping(t, 0x0202, record(300))}
	list = append(list, CardKeyGroupings(cryptogram.CardKeys{AC: key(1), MAC: key(2), ENC: key(3)})...)
	list = append(list, PINGroupings(pin, 3)...)
	list = append(list, rsa...)
	return append(list, mustGrouping(t, FCI, unhex(t, "A5 03 50 01 41")), mustGrouping(t, GPOResponse, unhex(t, "82 02 7C00 94 04 08010100")),
		mustGrouping(t, IssuerApplicationData, unhex(t, "9F10 08 0701010300000001")))
}

// TestVectors: lists and commands written out by hand.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("testdata/vectors/storedata.txt")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for i, block := range strings.Split(string(text), "\n\n") {
		var list List
		var framing Framing
		var want []string
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			switch name {
			case "grouping":
				id, data, _ := strings.Cut(value, " ")
				raw := unhex(t, id)
				list = append(list, mustGrouping(t, DGI(raw[0])<<8|DGI(raw[1]), unhex(t, data)))
			case "size":
				if _, err := fmt.Sscan(value, &framing.DataBytes); err != nil {
					t.Fatal(err)
				}
			case "packed":
				framing.Packed = true
			case "command":
				want = append(want, strings.ReplaceAll(value, " ", ""))
			}
		}
		if len(list) == 0 {
			continue
		}
		commands, err := Commands(list, framing)
		if err != nil || len(commands) != len(want) {
			t.Errorf("vector %d: %d commands, want %d: %v", i, len(commands), len(want), err)
			continue
		}
		for n, c := range commands {
			checked++
			if got := fmt.Sprintf("%X", c.Bytes()); got != want[n] {
				t.Errorf("vector %d: command %d is\n%s, want\n%s", i, n, got, want[n])
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d commands checked", checked)
	}
}

func TestParse(t *testing.T) {
	list := sample(t)
	parsed, err := Parse(list.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed) != len(list) || !bytes.Equal(parsed.Bytes(), list.Bytes()) {
		t.Errorf("%v became %v", list, parsed)
	}
	if err := parsed.Check(); err != nil {
		t.Error(err)
	}
	keys, ok := parsed.Find(CardKeys)
	if !ok || keys.Len() != 48 {
		t.Errorf("card keys: %v, %t", keys, ok)
	}
	dq, ok := parsed.Find(ICCKeyDQ)
	if !ok || dq.Len() != 88 || dq.Reveal()[0] != 0 || dq.Reveal()[1] != 2 {
		t.Errorf("d mod (q-1) is not filled on the left: %v, %t", dq, ok)
	}
	if _, ok := parsed.Find(0x7777); ok {
		t.Error("found what is not there")
	}
	if empty, err := Parse(nil); err != nil || len(empty) != 0 {
		t.Errorf("nothing: %v, %v", empty, err)
	}
	twice := List{mustGrouping(t, FCI, []byte{1}), mustGrouping(t, FCI, []byte{2})}
	if g, _ := twice.Find(FCI); g.Reveal()[0] != 2 {
		t.Error("the first of two groupings counts")
	}
}

func TestLengths(t *testing.T) {
	for n, want := range map[int]string{0: "910200", 1: "910201", 254: "9102FE", 255: "9102FF00FF", 256: "9102FF0100", MaxDataBytes: "9102FFFFFF"} {
		wire := mustGrouping(t, FCI, make([]byte, n)).appendTo(nil)
		if got := fmt.Sprintf("%X", wire[:len(wire)-n]); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
		if list, err := Parse(wire); err != nil || list[0].Len() != n {
			t.Errorf("%d bytes: %v, %v", n, list, err)
		}
	}
}

func TestParseRefused(t *testing.T) {
	many := bytes.Repeat([]byte{0x91, 0x02, 0x00}, MaxGroupings+1)
	for name, c := range map[string]struct {
		wire []byte
		want error
	}{
		"one byte":                     {unhex(t, "91"), ErrFormat},
		"identifier only":              {unhex(t, "9102"), ErrFormat},
		"data missing":                 {unhex(t, "910201"), ErrFormat},
		"data cut":                     {unhex(t, "9102030102"), ErrFormat},
		"long length cut":              {unhex(t, "9102FF01"), ErrFormat},
		"long length without data":     {unhex(t, "9102FF0100"), ErrFormat},
		"long form for a short length": {append(unhex(t, "9102FF00FE"), make([]byte, 254)...), ErrFormat},
		"long form for nothing":        {unhex(t, "9102FF0000"), ErrFormat},
		"second one cut":               {unhex(t, "91020101 9103"), ErrFormat},
		"too many":                     {many, ErrLimit},
		"too long":                     {make([]byte, MaxListBytes+1), ErrLimit},
		"card keys of 15 bytes":        {append(unhex(t, "80000F"), make([]byte, 15)...), ErrContent},
		"no card keys":                 {unhex(t, "800000"), ErrContent},
		"check values of 4 bytes":      {unhex(t, "90000401020304"), ErrContent},
		"PIN block of 7 bytes":         {unhex(t, "801007 241234FFFFFFFF"), ErrContent},
		"one PIN counter":              {unhex(t, "90100103"), ErrContent},
		"record without template":      {unhex(t, "010103 9F3600"), ErrContent},
		"empty record":                 {unhex(t, "010100"), ErrContent},
		"two templates":                {unhex(t, "010104 7000 7000"), ErrContent},
		"template cut":                 {unhex(t, "010103 700281"), ErrContent},
	} {
		if _, err := Parse(c.wire); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := NewGrouping(FCI, make([]byte, MaxDataBytes+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	for _, r := range [][2]byte{{0, 1}, {31, 1}, {1, 0}, {0x0D, 1}, {0x0E, 1}} {
		if _, err := Record(r[0], r[1], record(1)); !errors.Is(err, ErrContent) {
			t.Errorf("record %d of file %d: %v", r[1], r[0], err)
		}
	}
	if g, err := Record(11, 1, []byte("anything")); err != nil || g.ID() != 0x0B01 {
		t.Errorf("record of a file without templates: %v, %v", g, err)
	}
}

func TestListRefused(t *testing.T) {
	list := sample(t)
	without := func(id DGI) (out List) {
		for _, g := range list {
			if g.ID() != id {
				out = append(out, g)
			}
		}
		return out
	}
	long := List{}
	for range 3 {
		long = append(long, mustGrouping(t, FCI, make([]byte, MaxDataBytes)))
	}
	for name, c := range map[string]struct {
		list List
		want error
	}{
		"two check values for three keys": {append(without(KeyCheckValues), mustGrouping(t, KeyCheckValues, make([]byte, 6))), ErrContent},
		"a component missing":             {without(ICCKeyQ), ErrContent},
		"a component of another length":   {append(without(ICCKeyQ), mustGrouping(t, ICCKeyQ, make([]byte, 80))), ErrContent},
		"part of a PIN key":               {append(without(0), mustGrouping(t, PINKeyP, make([]byte, 80))), ErrContent},
		"too long":                        {long, ErrLimit},
		"too many":                        {make(List, MaxGroupings+1), ErrLimit},
	} {
		if err := c.list.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := Commands(c.list, Framing{}); c.want == ErrLimit && !errors.Is(err, ErrLimit) {
			t.Errorf("%s: commands: %v, want %v", name, err, c.want)
		}
		if _, err := (Sealing{}).Seal(c.list); !errors.Is(err, c.want) {
			t.Errorf("%s: seal: %v, want %v", name, err, c.want)
		}
	}
	for _, size := range []int{-1, 1, 15, 256} {
		if _, err := Commands(list, Framing{DataBytes: size}); !errors.Is(err, ErrLimit) {
			t.Errorf("commands of %d bytes: %v", size, err)
		}
	}
	if _, err := Commands(List{mustGrouping(t, FCI, make([]byte, 16*MaxCommands))}, Framing{DataBytes: 16}); !errors.Is(err, ErrLimit) {
		t.Errorf("more commands than P2 numbers: %v", err)
	}
	key := RSAKey{P: []byte{1}, Q: []byte{1}, DP: []byte{1}, DQ: []byte{1}}
	if _, err := key.Groupings(ICCKeyQInverse); !errors.Is(err, ErrContent) {
		t.Errorf("no inverse: %v", err)
	}
	if _, err := key.Groupings(ICCKeyP); !errors.Is(err, ErrContent) {
		t.Errorf("from the wrong identifier on: %v", err)
	}
	key.QInverse = make([]byte, maxComponentBytes+1)
	if _, err := key.Groupings(PINKeyQInverse); !errors.Is(err, ErrContent) {
		t.Errorf("a component that is too long: %v", err)
	}
}

// TestCommandsAndBack cuts random lists in every way and puts them together again.
func TestCommandsAndBack(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, seed))
	for range 300 {
		list := sample(t)[:r.IntN(8)]
		for range r.IntN(5) {
			list = append(list, mustGrouping(t, DGI(0xA000+r.IntN(16)), make([]byte, r.IntN(600))))
		}
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		commands, err := Commands(list, Framing{DataBytes: 16 + r.IntN(240), Packed: r.IntN(2) == 0})
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		var receiver Receiver
		var got List
		for i, c := range commands {
			wire, err := apdu.ParseCommand(c.Bytes())
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			received, err := receiver.Receive(wire)
			if err != nil {
				t.Fatalf("seed %d, command %d of %d: %v", seed, i, len(commands), err)
			}
			for _, x := range received {
				secret := x.Grouping.ID().Secret()
				if x.Enciphered == NoneEnciphered && secret || x.Enciphered == AllEnciphered && !secret {
					t.Fatalf("seed %d: %v came with encipherment %d", seed, x.Grouping, x.Enciphered)
				}
				got = append(got, x.Grouping)
			}
			if receiver.Done() != (i == len(commands)-1) {
				t.Fatalf("seed %d: done after command %d of %d", seed, i, len(commands))
			}
		}
		if !bytes.Equal(got.Bytes(), list.Bytes()) {
			t.Fatalf("seed %d: %v became %v", seed, list, got)
		}
	}
}

func TestReceiveRefused(t *testing.T) {
	good := apdu.Command{CLA: 0x84, INS: InsStoreData, Data: unhex(t, "9102020102")}
	with := func(change func(*apdu.Command)) apdu.Command {
		c := good
		change(&c)
		return c
	}
	last := with(func(c *apdu.Command) { c.P1 = p1Last })
	for name, c := range map[string]struct {
		commands []apdu.Command
		want     error
	}{
		"another instruction":     {[]apdu.Command{with(func(c *apdu.Command) { c.INS = 0xDA })}, ErrSequence},
		"begins with block 1":     {[]apdu.Command{with(func(c *apdu.Command) { c.P2 = 1 })}, ErrSequence},
		"a block twice":           {[]apdu.Command{good, good}, ErrSequence},
		"a block left out":        {[]apdu.Command{good, with(func(c *apdu.Command) { c.P2 = 2 })}, ErrSequence},
		"after the last":          {[]apdu.Command{last, with(func(c *apdu.Command) { c.P2 = 1 })}, ErrSequence},
		"reserved bits":           {[]apdu.Command{with(func(c *apdu.Command) { c.P1 = 1 })}, ErrFormat},
		"reserved encipherment":   {[]apdu.Command{with(func(c *apdu.Command) { c.P1 = 0x40 })}, ErrFormat},
		"no data":                 {[]apdu.Command{with(func(c *apdu.Command) { c.Data = nil })}, ErrFormat},
		"unfinished at the last":  {[]apdu.Command{with(func(c *apdu.Command) { c.P1, c.Data = p1Last, unhex(t, "91020201") })}, ErrFormat},
		"header cut at the last":  {[]apdu.Command{with(func(c *apdu.Command) { c.P1, c.Data = p1Last, unhex(t, "9102FF01") })}, ErrFormat},
		"long form for short":     {[]apdu.Command{with(func(c *apdu.Command) { c.Data = unhex(t, "9102FF0001") })}, ErrFormat},
		"wrong content in clear":  {[]apdu.Command{with(func(c *apdu.Command) { c.Data = unhex(t, "80100101") })}, ErrContent},
		"a record in no template": {[]apdu.Command{with(func(c *apdu.Command) { c.P1, c.Data = p1AllSecret, unhex(t, "01010101") })}, ErrContent},
	} {
		var receiver Receiver
		var err error
		for _, command := range c.commands {
			_, err = receiver.Receive(command)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := receiver.Receive(with(func(c *apdu.Command) { c.P2 = byte(receiver.next) })); !errors.Is(err, ErrSequence) {
			t.Errorf("%s: a command after the refusal: %v", name, err)
		}
	}
	var receiver Receiver
	for i := range MaxCommands {
		if _, err := receiver.Receive(with(func(c *apdu.Command) { c.P2 = byte(i) })); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := receiver.Receive(good); !errors.Is(err, ErrSequence) {
		t.Errorf("block 256: %v", err)
	}
}

func sealing(t testing.TB, padding Padding, blockBytes int) (seal, open Sealing) {
	t.Helper()
	block, err := aes.NewCipher([]byte("a key of a test."))
	if err != nil {
		t.Fatal(err)
	}
	ecb := func(one func(dst, src []byte)) Cipher {
		return func(_ DGI, data []byte) ([]byte, error) {
			out := make([]byte, len(data))
			for i := 0; i < len(data); i += 16 {
				one(out[i:i+16], data[i:i+16])
			}
			return out, nil
		}
	}
	return Sealing{ecb(block.Encrypt), blockBytes, padding}, Sealing{ecb(block.Decrypt), blockBytes, padding}
}

func TestSeal(t *testing.T) {
	list := sample(t)
	seal, open := sealing(t, PadAlways, 16)
	sealed, err := seal.Seal(list)
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range sealed {
		if same := bytes.Equal(g.data, list[i].data); same == g.ID().Secret() || g.ID().Secret() && g.Len()%16 != 0 {
			t.Errorf("%v: %v", list[i], g)
		}
	}
	opened, err := open.Open(sealed)
	if err != nil || !bytes.Equal(opened.Bytes(), list.Bytes()) {
		t.Errorf("%v became %v: %v", list, opened, err)
	}
	commands, err := Commands(sealed, Framing{Packed: true})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{}
	for _, c := range commands {
		seen[c.P1&p1SecretMask] = true
	}
	if !seen[0] || !seen[p1MixedSecret] || !seen[p1AllSecret] {
		t.Errorf("P1 of the commands: %v", seen)
	}

	needed, back := sealing(t, PadWhenNeeded, 16)
	keys := List{list[3]}
	sealed, err = needed.Seal(keys)
	if err != nil || sealed[0].Len() != 48 {
		t.Fatalf("%v: %v", sealed, err)
	}
	if opened, err = back.Open(sealed); err != nil || !bytes.Equal(opened.Bytes(), keys.Bytes()) {
		t.Errorf("%v: %v", opened, err)
	}
}

func TestSealRefused(t *testing.T) {
	list := sample(t)
	never, _ := sealing(t, PadNever, 16)
	if _, err := never.Seal(list); !errors.Is(err, ErrContent) {
		t.Errorf("a PIN block of 8 bytes in blocks of 16: %v", err)
	}
	short := Sealing{func(DGI, []byte) ([]byte, error) { return nil, nil }, 8, PadNever}
	if _, err := short.Seal(list); !errors.Is(err, ErrContent) {
		t.Errorf("a cipher that loses bytes: %v", err)
	}
	broken := errors.New("broken")
	if _, err := (Sealing{func(DGI, []byte) ([]byte, error) { return nil, broken }, 8, PadWhenNeeded}).Seal(list); !errors.Is(err, broken) {
		t.Errorf("a broken cipher: %v", err)
	}
	for _, s := range []Sealing{{}, {BlockBytes: 8}, {Cipher: short.Cipher}, {Cipher: short.Cipher, BlockBytes: 7}} {
		if _, err := s.Seal(list); !errors.Is(err, ErrContent) {
			t.Errorf("%d: %v", s.BlockBytes, err)
		}
	}
	seal, open := sealing(t, PadAlways, 16)
	sealed, err := seal.Seal(list)
	if err != nil {
		t.Fatal(err)
	}
	sealed[3].data = sealed[3].data[:40]
	if _, err := open.Open(sealed); !errors.Is(err, ErrContent) {
		t.Errorf("enciphered data cut: %v", err)
	}
	if _, err := open.Open(List{{id: CardKeys, data: make([]byte, 16)}}); !errors.Is(err, ErrContent) {
		t.Errorf("no padding: %v", err)
	}
	clear := Sealing{func(_ DGI, data []byte) ([]byte, error) { return data, nil }, 8, PadWhenNeeded}
	if _, err := clear.Open(List{{id: CardKeys, data: make([]byte, 24)}}); !errors.Is(err, ErrContent) {
		t.Errorf("keys of 24 bytes: %v", err)
	}
	for _, data := range []string{"", "0000000000000000", "0000000000000001", "80000000000000000000"} {
		if _, err := unpad(unhex(t, data), 8); !errors.Is(err, ErrContent) {
			t.Errorf("padding of %q: %v", data, err)
		}
	}
}

func TestNothingPrintsData(t *testing.T) {
	g := mustGrouping(t, CardKeys, bytes.Repeat([]byte{0xAB}, 16))
	list := List{g}
	key := RSAKey{P: bytes.Repeat([]byte{0xAB}, 64)}
	var out strings.Builder
	for _, v := range []any{g, &g, list, key, &key, Received{Grouping: g}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, form := range []string{"abab", "ABAB", "171", "\xAB", "q6ur"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("data were printed as %q:\n%s", form, out.String())
		}
	}
}

func TestNames(t *testing.T) {
	for id, term := range names {
		if id.Term() != term || term.EN == "" || term.ZH == "" {
			t.Errorf("%v: %v", id, term)
		}
	}
	if got := DGI(0x0203).Term(); got.EN != "file 2, record 3" || got.In(glossary.Chinese) != "文件2记录3" {
		t.Errorf("%v", got)
	}
	if got := DGI(0x7001).Term().EN; got != "data of the application 7001" {
		t.Errorf("%v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f).Bytes())
	f.Add(unhex(f, "9102FF01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := Parse(b)
		if err != nil {
			return
		}
		if !bytes.Equal(list.Bytes(), b) {
			t.Errorf("%X became %X", b, list.Bytes())
		}
	})
}

// FuzzReceive feeds commands, each as length, P1 and data. What is received fits into what was sent, in order.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x05\x00\x91\x02\x02\x01\x02\x05\x80\x91\x02\x02\x01\x02"))
	f.Add([]byte("\x04\x00\x91\x02\x03\x01\x02\x80\x01\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var receiver Receiver
		var sent []byte
		var got List
		for n := 0; len(b) >= 2; n++ {
			length := min(int(b[0]), len(b)-2)
			c := apdu.Command{INS: InsStoreData, P1: b[1], P2: byte(n), Data: b[2 : 2+length]}
			b = b[2+length:]
			received, err := receiver.Receive(c)
			if err != nil {
				return
			}
			sent = append(sent, c.Data...)
			for _, x := range received {
				got = append(got, x.Grouping)
			}
		}
		if !bytes.HasPrefix(sent, got.Bytes()) || receiver.Done() && len(sent) != len(got.Bytes()) {
			t.Errorf("%X became %X", sent, got.Bytes())
		}
	})
}
