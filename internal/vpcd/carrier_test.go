package vpcd

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"tapnet/card"
	"tapnet/internal/clock"
)

// chip answers by a table; what is not in it is 6D00.
type chip struct {
	historical []byte
	answers    map[string]string
	side       card.Interface
	commands   int
	torn       bool
	absent     bool // it has not the side it is asked for
}

func (c *chip) PowerOn(i card.Interface) []byte {
	if c.absent {
		return nil
	}
	c.side = i
	return append([]byte{}, c.historical...)
}
func (c *chip) PowerOff() { c.side = 0 }
func (c *chip) Process(command []byte) ([]byte, error) {
	c.commands++
	if c.torn {
		return nil, errors.New("torn")
	}
	answer, ok := c.answers[strings.ToUpper(hex.EncodeToString(command))]
	if !ok {
		answer = "6D00"
	}
	return hex.DecodeString(answer)
}

func hexBytes(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func dressed(t testing.TB, c *chip, d Dress) *Carrier {
	t.Helper()
	if d.Random == nil {
		d.Random = bytes.NewReader(bytes.Repeat([]byte{0x11, 0x22, 0x33}, 4))
	}
	carrier, err := NewCarrier(c, d)
	if err != nil {
		t.Fatal(err)
	}
	return carrier
}

func TestATRs(t *testing.T) {
	for _, c := range []struct {
		form             Form
		historical, want string
	}{
		{Contactless, "", "3B80800101"},
		{Contactless, "746170", "3B83800174617067"},
		{Contactless, strings.Repeat("41", 15), "3B8F8001" + strings.Repeat("41", 15) + "4F"},
		{ContactT0, "", "3B600000"},
		{ContactT0, "746170", "3B630000746170"},
		{ContactT1, "", "3BE000008131FE45EB"},
		{ContactT1, "746170", ""},
	} {
		carrier := dressed(t, &chip{historical: hexBytes(t, c.historical)}, Dress{Form: c.form})
		if err := CheckATR(carrier.ATR()); err != nil {
			t.Errorf("%X: %v", carrier.ATR(), err)
		}
		if c.want != "" && !strings.EqualFold(hex.EncodeToString(carrier.ATR()), c.want) {
			t.Errorf("form %d, history %s: %X, want %s", c.form, c.historical, carrier.ATR(), c.want)
		}
	}
}

func TestCheckATR(t *testing.T) {
	for text, ok := range map[string]bool{
		"3B6E000080318066B0840C016E0183009000":     true, // contact, T=0
		"3B8F8001804F0CA000000306030001000000006A": true, // PC/SC part 3, a storage card
		"3B600000":                      true,
		"3B6000":                        false,
		"3B":                            false,
		"":                              false,
		"3A600000":                      false,
		"3B80800100":                    false, // wrong TCK
		"3B808001":                      false, // no TCK
		"3B8080":                        false,
		"3B61000041FF":                  false, // one too many
		"3BF0":                          false,
		"3B" + strings.Repeat("80", 40): false,
		"3B8F8001804F0CA0000003060300010000000068": false,
		"3B80" + strings.Repeat("80", 32):          false,
		"3BFF" + strings.Repeat("FF", 31):          false,
	} {
		if err := CheckATR(hexBytes(t, text)); (err == nil) != ok || err != nil && !errors.Is(err, ErrATR) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDress(t *testing.T) {
	if _, err := NewCarrier(&chip{}, Dress{}); err == nil {
		t.Error("contactless without randomness: accepted")
	}
	if _, err := NewCarrier(&chip{historical: make([]byte, 16)}, Dress{Form: ContactT0}); err == nil {
		t.Error("16 historical bytes: accepted")
	}
	if _, err := NewCarrier(&chip{}, Dress{Form: ContactT0, ATR: []byte{0x3B}}); err == nil {
		t.Error("half an ATR: accepted")
	}
	if _, err := NewCarrier(&chip{absent: true}, Dress{Form: ContactT0}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("no contacts: %v", err)
	}
	own := hexBytes(t, "3B6E000080318066B0840C016E0183009000")
	if c := dressed(t, &chip{}, Dress{Form: ContactT0, ATR: own}); !bytes.Equal(c.ATR(), own) {
		t.Errorf("%X", c.ATR())
	}
}

// TestPace: a slow carrier takes its time to wake up and for each command, however long it says that takes.
func TestPace(t *testing.T) {
	hands := clock.NewManual(time.Unix(0, 0))
	var lengths [2]int
	carrier := dressed(t, &chip{answers: map[string]string{"00A40400": "61109000"}}, Dress{Pace: Pace{Wake: 20 * time.Millisecond, Clock: hands,
		Takes: func(command, response int) time.Duration {
			lengths = [2]int{command, response}
			return 5 * time.Millisecond
		}}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		carrier.PowerOn()
		carrier.Process([]byte{0x00, 0xA4, 0x04, 0x00})
	}()
	for range 2 {
		waitFor(t, hands)
		next, _ := hands.NextAt()
		hands.Set(next)
	}
	<-done
	if took := hands.Now().Sub(time.Unix(0, 0)); took != 25*time.Millisecond || lengths != [2]int{4, 4} {
		t.Errorf("took %v, lengths %v", took, lengths)
	}
}

func TestSides(t *testing.T) {
	for form, want := range map[Form]card.Interface{Contactless: card.Contactless, ContactT0: card.Contact, ContactT1: card.Contact} {
		c := &chip{}
		carrier := dressed(t, c, Dress{Form: form})
		if c.side != 0 {
			t.Error("the chip keeps its power after it was asked for its history")
		}
		if carrier.PowerOn(); c.side != want {
			t.Errorf("form %d powers side %d", form, c.side)
		}
		if carrier.PowerOff(); c.side != 0 {
			t.Errorf("form %d leaves the power on", form)
		}
	}
}

func TestReaderData(t *testing.T) {
	c := &chip{historical: []byte("tap")}
	carrier := dressed(t, c, Dress{})
	carrier.PowerOn()
	for command, want := range map[string]string{
		"FFCA000000": "081122339000", "FFCA000004": "081122339000", "FFCA000007": "081122339000", "FFCA000002": "6C04",
		"FFCA010000": "7461709000", "FFCA020000": "6A81", "FFCA000100": "6A81", "FFCA000001AA": "6A81", "FF82000000": "6D00",
	} {
		got, ok := carrier.Process(hexBytes(t, command))
		if !ok || !bytes.Equal(got, hexBytes(t, want)) {
			t.Errorf("%s: %X, want %s", command, got, want)
		}
	}
	if c.commands != 1 {
		t.Errorf("the chip heard %d commands, want the one that is not for the reader", c.commands)
	}
	carrier.PowerOn()
	if got, _ := carrier.Process(hexBytes(t, "FFCA000000")); !bytes.Equal(got, hexBytes(t, "081122339000")) {
		t.Errorf("%X", got)
	}
	contact := dressed(t, &chip{}, Dress{Form: ContactT1})
	if got, _ := contact.Process(hexBytes(t, "FFCA000000")); !bytes.Equal(got, []byte{0x6A, 0x81}) {
		t.Errorf("contact: %X", got)
	}
	for atr, want := range map[string]string{"3B80800101": "9000", "3B83800174617067": "7461709000", "3B600000": "6A81"} {
		other := dressed(t, &chip{}, Dress{ATR: hexBytes(t, atr)})
		if got, _ := other.Process(hexBytes(t, "FFCA010000")); !bytes.Equal(got, hexBytes(t, want)) {
			t.Errorf("given ATR %s: %X", atr, got)
		}
	}
}

func TestT0(t *testing.T) {
	long := strings.Repeat("AB", 100)
	answers := map[string]string{
		"00A4040002A000": "6F01AA9000", "00A4040002A00000": "6F01AA9000", "00B2010C00": "7001BB9000", "00B2010C03": "7001BB9000",
		"0084000008": "01020304050607089000", "80CA9F3600": "6A88", "0082000001AA": "9000", "80A8000002830000": long + "9000", "80A80000028300": long + "9000",
	}
	for name, c := range map[string][]string{
		"fetch":                 {"00A4040002A000 > 6103", "00C0000003 > 6F01AA9000", "00C0000003 > 6D00"},
		"fetch everything":      {"00A4040002A000 > 6103", "00C0000000 > 6F01AA9000"},
		"fetch in pieces":       {"00A4040002A000 > 6103", "00C0000001 > 6F6102", "00C0000002 > 01AA9000"},
		"fetch too much":        {"00A4040002A000 > 6103", "00C0000010 > 6C03", "00C0000003 > 6F01AA9000"},
		"fetch late":            {"00A4040002A000 > 6103", "80CA9F3600 > 6A88", "00C0000003 > 6D00"},
		"correct Le":            {"00B2010C00 > 6C03", "00B2010C03 > 7001BB9000"},
		"right Le":              {"0084000008 > 01020304050607089000"},
		"both lengths at once":  {"00A4040002A00000 > 6F01AA9000", "80A8000002830000 > " + long + "9000"},
		"no data, no more":      {"0082000001AA > 9000", "80CA9F3600 > 6A88"},
		"not a command":         {"00 > 6D00"},
		"fetch without promise": {"00C0000003 > 6D00"},
	} {
		carrier := dressed(t, &chip{answers: answers}, Dress{Form: ContactT0})
		carrier.PowerOn()
		for _, line := range c {
			command, want, _ := strings.Cut(line, " > ")
			got, ok := carrier.Process(hexBytes(t, command))
			if !ok || !bytes.Equal(got, hexBytes(t, want)) {
				t.Errorf("%s: %s answers %X, want %s", name, command, got, want)
			}
		}
	}
}

// TestT0AsksOnce: a command that was told its right Le has been carried out; it is not carried out again. A power-off forgets it.
func TestT0AsksOnce(t *testing.T) {
	c := &chip{answers: map[string]string{"0084000000": "01029000", "0084000002": "03049000"}}
	carrier := dressed(t, c, Dress{Form: ContactT0})
	ask := func(command string) string {
		got, _ := carrier.Process(hexBytes(t, command))
		return strings.ToUpper(hex.EncodeToString(got))
	}
	if ask("0084000000") != "6C02" || ask("0084000002") != "01029000" || c.commands != 1 {
		t.Errorf("%d commands", c.commands)
	}
	ask("0084000000")
	carrier.PowerOff()
	carrier.PowerOn()
	if got := ask("0084000002"); got != "03049000" {
		t.Errorf("after a power-off: %s", got)
	}
	c.torn = true
	if _, ok := carrier.Process(hexBytes(t, "0084000002")); ok {
		t.Error("a torn card answers")
	}
}

// FuzzCarrier: no command sequence makes the carrier panic or answer without a status word.
func FuzzCarrier(f *testing.F) {
	f.Add([]byte{5, 0x00, 0xB2, 1, 0x0C, 0, 5, 0x00, 0xC0, 0, 0, 3}, byte(1))
	f.Add([]byte{5, 0xFF, 0xCA, 0, 0, 0}, byte(0))
	f.Fuzz(func(t *testing.T, commands []byte, form byte) {
		c := &chip{answers: map[string]string{"00B2010C00": "7001BB9000", "00A4040002A000": "6F01AA9000"}}
		carrier := dressed(t, c, Dress{Form: Form(form % 3)})
		carrier.PowerOn()
		for len(commands) > 0 {
			n := min(int(commands[0]), len(commands)-1)
			answer, ok := carrier.Process(commands[1 : 1+n])
			if !ok || len(answer) < 2 || len(answer) > maxAnswerBytes {
				t.Fatalf("%X, %v", answer, ok)
			}
			commands = commands[1+n:]
		}
	})
}

func FuzzCheckATR(f *testing.F) {
	f.Add([]byte{0x3B, 0x80, 0x80, 0x01, 0x01})
	f.Add([]byte{0x3B, 0x60, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := CheckATR(b); err != nil && !errors.Is(err, ErrATR) {
			t.Fatal(err)
		}
	})
}
