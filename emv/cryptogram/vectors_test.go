package cryptogram

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// vector is one block of a vector file: "name: value" lines.
type vector struct {
	where  string
	fields map[string]string
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vector files: %v", err)
	}
	var vectors []vector
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "\n\n") {
			v := vector{where: fmt.Sprintf("%s/%d", filepath.Base(file), i), fields: map[string]string{}}
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
	}
	return vectors
}

func (v vector) bytes(t testing.TB, name string) []byte {
	t.Helper()
	return unhex(t, v.fields[name])
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v vector) key(t testing.TB, name string) Key {
	t.Helper()
	key, err := NewKey(v.bytes(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return key
}

func (v vector) atc(t testing.TB) uint16 {
	t.Helper()
	b := v.bytes(t, "atc")
	return uint16(b[0])<<8 | uint16(b[1])
}

func mustPAN(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.Parse(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestVectors runs every vector of the reference, V-1 to V-7. Method: a vector's kind picks the computation; what it
// expects, and every intermediate value it names, must come out.
func TestVectors(t *testing.T) {
	kinds := map[string]func(testing.TB, vector){
		"cardkey": checkCardKey, "sessionkey": checkSessionKey, "cryptogram": checkCryptogram, "mac": checkMAC,
		"iddmac": checkIDDMAC, "arpc": checkARPC, "script": checkScript, "pinchange": checkPINChange, "kcv": checkKCV,
		"iddvalue": checkIDDValue, "encipher": checkEncipher, "scriptkey": checkScriptKey,
	}
	vectors := readVectors(t)
	const want = 36 + 43 + 38 // so that a vector lost by a typing error is noticed
	if len(vectors) != want {
		t.Errorf("%d vectors, want %d", len(vectors), want)
	}
	for _, v := range vectors {
		t.Run(v.where, func(t *testing.T) {
			check := kinds[v.fields["kind"]]
			if check == nil || v.fields["source"] == "" {
				t.Fatalf("kind %q, source %q", v.fields["kind"], v.fields["source"])
			}
			check(t, v)
		})
	}
}

func wantHex(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if g := strings.ToUpper(hex.EncodeToString(got)); g != strings.ReplaceAll(want, " ", "") {
		t.Errorf("%s = %s, want %s", what, g, want)
	}
}

func checkKey(t testing.TB, v vector, key Key) {
	t.Helper()
	if v.fields["parity"] == "odd" {
		key = key.OddParity()
	}
	b := key.Reveal()
	wantHex(t, "key", b[:], v.fields["expect"])
	if want, given := v.fields["kcv"]; given {
		kcv := key.KCV()
		wantHex(t, "KCV", kcv[:], want)
	}
}

// suite is the suite a vector names, that of 3DES when it names none.
func (v vector) suite(t testing.TB) Suite {
	t.Helper()
	switch v.fields["suite"] {
	case "":
		return SuiteTDES
	case "sm4":
		return SuiteSM4
	case "aes":
		return SuiteAES
	}
	t.Fatalf("suite %q", v.fields["suite"])
	return Suite{}
}

func checkKCV(t testing.TB, v vector) {
	kcv := v.suite(t).KCV(v.key(t, "key"))
	wantHex(t, "KCV", kcv[:], v.fields["expect"])
}

func checkIDDValue(t testing.TB, v vector) {
	got := v.suite(t).IDDMAC(v.key(t, "session"), v.atc(t), v.bytes(t, "value"))
	wantHex(t, "IDD MAC", got[:], v.fields["expect"])
}

func checkEncipher(t testing.TB, v vector) {
	got := v.suite(t).EncipherScript(v.key(t, "session"), v.bytes(t, "data"))
	wantHex(t, "enciphered data", got, v.fields["expect"])
	back, err := v.suite(t).DecipherScript(v.key(t, "session"), got)
	if err != nil || !bytes.Equal(back, v.bytes(t, "data")) {
		t.Errorf("DecipherScript = %X, %v", back, err)
	}
}

func checkScriptKey(t testing.TB, v vector) {
	suite := v.suite(t).WithScript(ScriptProfile{KeysFromCryptogram: true})
	checkKey(t, v, suite.scriptKey(v.key(t, "card"), v.atc(t), [8]byte(v.bytes(t, "arqc"))))
}

func checkCardKey(t testing.TB, v vector) {
	suite := v.suite(t)
	if v.fields["option"] == "B" {
		suite = suite.WithOptionB()
	}
	n := mustPAN(t, v.fields["pan"])
	if want, given := v.fields["y"]; given {
		y := suite.diversify(n, v.fields["sequence"])
		wantHex(t, "Y", y[:8], want)
	}
	checkKey(t, v, suite.CardKey(v.key(t, "master"), n, v.fields["sequence"]))
}

func checkSessionKey(t testing.TB, v vector) {
	checkKey(t, v, v.suite(t).SessionKey(v.key(t, "card"), v.atc(t)))
}

func dataOf(t testing.TB, text string) emv.Data {
	t.Helper()
	var data emv.Data
	for _, field := range strings.Fields(text) {
		name, value, _ := strings.Cut(field, ":")
		tag, err := tlv.ParseTagText(name)
		if err != nil {
			t.Fatal(err)
		}
		data.Set(tag, unhex(t, value))
	}
	return data
}

func checkCryptogram(t testing.TB, v vector) {
	cvr, err := emv.ParseCVR(v.bytes(t, "cvr"))
	if err != nil {
		t.Fatal(err)
	}
	cvn := v.bytes(t, "cvn")[0]
	data, err := v.suite(t).AppendData(nil, cvn, cvr, dataOf(t, v.fields["tags"]))
	if err != nil {
		t.Fatal(err)
	}
	if length, _ := v.suite(t).DataLength(cvn); len(data) != length {
		t.Errorf("%d bytes of data, DataLength says %d", len(data), length)
	}
	if want, given := v.fields["data"]; given {
		wantHex(t, "data", data, want)
	}
	ac := v.suite(t).Cryptogram(v.key(t, "session"), data)
	wantHex(t, "cryptogram", ac[:], v.fields["expect"])
	if !v.suite(t).Verify(v.key(t, "session"), data, ac) {
		t.Error("Verify refuses the cryptogram")
	}
	ac[7] ^= 1
	if v.suite(t).Verify(v.key(t, "session"), data, ac) {
		t.Error("Verify accepts another cryptogram")
	}
}

func checkMAC(t testing.TB, v vector) {
	got := v.suite(t).Cryptogram(v.key(t, "session"), v.bytes(t, "data"))
	wantHex(t, "MAC", got[:], v.fields["expect"])
}

func checkIDDMAC(t testing.TB, v vector) {
	iad, err := emv.ParseIAD(v.bytes(t, "iad"))
	if err != nil {
		t.Fatal(err)
	}
	got := SuiteTDES.IDDMAC(v.key(t, "session"), v.atc(t), iad.IDDValue())
	wantHex(t, "IDD MAC", got[:], v.fields["expect"])
	if got != iad.IDDMAC {
		t.Errorf("MAC in the IAD is %X", iad.IDDMAC)
	}
}

func checkARPC(t testing.TB, v vector) {
	arc := [2]byte(v.bytes(t, "arc"))
	arpc := v.suite(t).ARPC(v.key(t, "session"), [8]byte(v.bytes(t, "arqc")), arc)
	wantHex(t, "ARPC", arpc[:], v.fields["expect"])
	tag91 := IssuerAuthData(arpc, arc)
	if want, given := v.fields["tag91"]; given {
		wantHex(t, "tag 91", tag91[:], want)
	}
	gotARPC, gotARC, ok := ParseIssuerAuthData(tag91[:])
	if !ok || gotARPC != arpc || gotARC != arc {
		t.Errorf("ParseIssuerAuthData = %X %X %t", gotARPC, gotARC, ok)
	}
}

func checkCommand(t testing.TB, v vector, session Key, command []byte) {
	t.Helper()
	header, data, mac := [5]byte(command), command[5:len(command)-4], command[len(command)-4:]
	if int(header[4]) != len(command)-5 {
		t.Fatalf("Lc %d, %d bytes follow", header[4], len(command)-5)
	}
	got := v.suite(t).ScriptMAC(session, header, v.atc(t), [8]byte(v.bytes(t, "arqc")), data)
	if !bytes.Equal(got[:], mac) {
		t.Errorf("script MAC %X, want %X", got, mac)
	}
}

func checkScript(t testing.TB, v vector) {
	checkCommand(t, v, v.key(t, "session"), v.bytes(t, "command"))
}

// exampleKeys are the card keys of the published example A.
func exampleKeys(t testing.TB) CardKeys {
	t.Helper()
	return CardKeys{
		AC:  mustKey(t, "014D996FCC8F49157DC8B49E3BCDFD99"),
		MAC: mustKey(t, "4189345AD478091860D3586478D14AB1"),
		ENC: mustKey(t, "36B13B54CA7B3D35122CAEA263B7FC1B"),
	}
}

func mustKey(t testing.TB, text string) Key {
	t.Helper()
	key, err := NewKey(unhex(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustPIN(t testing.TB, digits string) pinblock.PIN {
	t.Helper()
	pin, err := pinblock.ParsePIN(digits)
	if err != nil {
		t.Fatal(err)
	}
	return pin
}

func checkPINChange(t testing.TB, v vector) {
	keys, command := exampleKeys(t), v.bytes(t, "command")
	if v.fields["cardENC"] != "" {
		keys = CardKeys{AC: v.key(t, "cardAC"), MAC: v.key(t, "cardMAC"), ENC: v.key(t, "cardENC")}
	}
	suite := v.suite(t)
	variant := PINVariantENC
	if v.fields["variant"] == PINVariantAC.String() {
		variant = PINVariantAC
	}
	next := mustPIN(t, v.fields["pin"])
	got := suite.EncipherPINChange(keys, v.atc(t), variant, next, pinblock.PIN{})
	if want := command[5:21]; !bytes.Equal(got[:], want) {
		t.Errorf("enciphered PIN change %X, want %X", got, want)
	}
	checkCommand(t, v, suite.SessionKey(keys.MAC, v.atc(t)), command)
	script := suite.Script(keys, v.atc(t), [8]byte(v.bytes(t, "arqc")))
	if script.EncipherPINChange(variant, next, pinblock.PIN{}) != got || script.MAC([5]byte(command), command[5:21]) != [4]byte(command[21:]) {
		t.Error("Script gives another command")
	}
	if again, err := script.DecipherPINChange(variant, got, pinblock.PIN{}); err != nil || !again.Equal(next) {
		t.Errorf("Script deciphers another PIN, %v", err)
	}
	back, err := suite.DecipherPINChange(keys, v.atc(t), variant, got, pinblock.PIN{})
	if err != nil || !back.Equal(next) {
		t.Errorf("DecipherPINChange: %v, PIN equal %t", err, err == nil && back.Equal(next))
	}
}
