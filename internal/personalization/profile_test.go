package personalization

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/kernel"
)

const goodProduct = `name = "tour"
account = "debit"
title = { en = "tour card", zh = "旅游卡" }
[[application]]
aid = "A000000333010101"
label = "TOUR"
processing = "9910F000"
cvm_limit = "1000.00"
[application.purse]
ceiling = "200.00"
single = "100.00"
reset = "10.00"
`

const goodCarrier = `name = "watch"
title = { en = "watch", zh = "手表" }
interfaces = ["contactless"]
air = "13.56 MHz"
power = "device"
historical = "tapnet"
waiting = 9
frame = 8
wake_ms = 5
command_ms = 6
bytes_per_second = 12000
`

// isFault checks that an error says what, why and what to do, in both languages.
func isFault(t *testing.T, name string, err error) {
	t.Helper()
	var f *Fault
	if !errors.As(err, &f) || !errors.Is(err, ErrProfile) {
		t.Errorf("%s: %v", name, err)
		return
	}
	for _, text := range []string{f.What.EN, f.What.ZH, f.Why.EN, f.Why.ZH, f.Next.EN, f.Next.ZH} {
		if text == "" || !strings.Contains(err.Error(), f.Why.EN) {
			t.Errorf("%s: a part is missing: %+v", name, f)
		}
	}
}

func TestBadProducts(t *testing.T) {
	if _, err := ParseProduct([]byte(goodProduct)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"unknown key":          {`label = "TOUR"`, `lable = "TOUR"`},
		"no TOML":              {`label = "TOUR"`, `label = TOUR`},
		"no name":              {`name = "tour"`, `name = ""`},
		"one language":         {`zh = "旅游卡"`, `zh = ""`},
		"account":              {`account = "debit"`, `account = "gold"`},
		"algorithms":           {`account = "debit"`, "account = \"debit\"\ncrypto = \"rot13\""},
		"no application":       {goodProduct[strings.Index(goodProduct, "[[app"):], ""},
		"identifier":           {"A000000333010101", "A0"},
		"odd digits":           {"A000000333010101", "A00000033301010"},
		"processing missing":   {`processing = "9910F000"`, ""},
		"processing short":     {"9910F000", "9910"},
		"qualifiers long":      {`label = "TOUR"`, `ctq = "800000"`},
		"always verified":      {`label = "TOUR"`, `ctq = "8000"`},
		"always signed":        {`label = "TOUR"`, `ctq = "4000"`},
		"indicator long":       {`label = "TOUR"`, `extended = "0102"`},
		"issuer data":          {`label = "TOUR"`, `issuer_data = "weather"`},
		"withheld":             {`label = "TOUR"`, `withhold = ["soul"]`},
		"linked first":         {`label = "TOUR"`, `account = "linked"`},
		"amount":               {`ceiling = "200.00"`, `ceiling = "200.001"`},
		"negative":             {`single = "100.00"`, `single = "-1.00"`},
		"second without money": {`reset = "10.00"`, "reset = \"10.00\"\n[application.second_purse]\ncurrency = \"XXX\""},
		"second alone":         {"[application.purse]", "[application.second_purse]\ncurrency = \"HKD\""},
		"same identifier":      {`reset = "10.00"`, "reset = \"10.00\"\n[[application]]\naid = \"A000000333010101\"\nprocessing = \"9910F000\""},
		"too long":             {`label = "TOUR"`, "label = \"TOUR\"\n#" + strings.Repeat("x", maxProfileBytes)},
	} {
		text := strings.Replace(goodProduct, change[0], change[1], 1)
		if text == goodProduct {
			t.Errorf("%s: nothing changed", name)
		}
		_, err := ParseProduct([]byte(text))
		isFault(t, name, err)
	}
	five := goodProduct
	for i := range card.MaxApplications {
		five += fmt.Sprintf("[[application]]\naid = \"A00000033301010%d\"\nprocessing = \"9910F000\"\n", i+2)
	}
	_, err := ParseProduct([]byte(five))
	isFault(t, "five applications", err)
	_, err = FindProduct("gold" + strings.Repeat("x", 100))
	isFault(t, "unknown product", err)
	if len(err.Error()) > 400 {
		t.Errorf("the whole name is repeated: %v", err)
	}
}

func TestBadCarriers(t *testing.T) {
	if _, err := ParseCarrier([]byte(goodCarrier)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"unknown key":       {"frame", "fream"},
		"name":              {`name = "watch"`, `name = ""`},
		"title":             {`zh = "手表"`, `zh = ""`},
		"interface":         {`["contactless"]`, `["smoke"]`},
		"no interface":      {`["contactless"]`, `[]`},
		"air":               {"13.56 MHz", "125 kHz"},
		"protocol":          {`["contactless"]`, `["contact", "contactless"]`},
		"needless protocol": {`frame = 8`, "frame = 8\nprotocol = \"T=0\""},
		"power":             {`power = "device"`, `power = "sun"`},
		"history":           {`historical = "tapnet"`, `historical = "tapnet and its friends"`},
		"waiting":           {"waiting = 9", "waiting = 15"},
		"frame":             {"frame = 8", "frame = 9"},
		"slow":              {"command_ms = 6", "command_ms = 6000"},
		"speed":             {"bytes_per_second = 12000", "bytes_per_second = 0"},
	} {
		_, err := ParseCarrier([]byte(strings.Replace(goodCarrier, change[0], change[1], 1)))
		isFault(t, name, err)
	}
	_, err := FindCarrier("ring")
	isFault(t, "unknown carrier", err)
}

func TestCarriers(t *testing.T) {
	for _, row := range []struct {
		name, atr, ats string
		offers         card.Interface
		inductive      bool
		finishes       bool
	}{
		{"dual-interface", "3B660000" + "7461706E6574", "0B78808002" + "7461706E6574", card.Contact | card.Contactless, true, false},
		{"contactless", "", "0B78809002" + "7461706E6574", card.Contactless, true, false},
		{"sim", "", "0F7880A002" + "7461706E65742053494D", card.Contactless, true, false},
		{"smart-sd", "", "0E7880A002" + "7461706E6574205344", card.Contactless, true, true},
		{"secure-element", "", "0E78809002" + "7461706E6574205345", card.Contactless, true, true},
		{"rfid-sim", "", "", card.Contactless, false, true},
	} {
		c, err := FindCarrier(row.name)
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprintf("%X", c.ATR()) != row.atr || fmt.Sprintf("%X", c.ATS()) != row.ats {
			t.Errorf("%s: ATR %X, ATS %X", row.name, c.ATR(), c.ATS())
		}
		if c.Offers() != row.offers || c.Seen(InductiveAir) != row.inductive || c.Seen(RadioAir) == row.inductive || c.FinishesWrites() != row.finishes {
			t.Errorf("%s: offers %v, seen %t, finishes %t", row.name, c.Offers(), c.Seen(InductiveAir), c.FinishesWrites())
		}
		if c.Wake() <= 0 || c.Takes(255, 257) <= c.Takes(5, 2) || c.Takes(255, 257) > time.Second {
			t.Errorf("%s: wakes in %v, a long command takes %v", row.name, c.Wake(), c.Takes(255, 257))
		}
	}
	t1 := Carrier{Interfaces: []string{nameContact}, Protocol: protocolT1, Historical: "tapnet"}
	if got := fmt.Sprintf("%X", t1.ATR()); got != "3BE600008131FE457461706E6574F7" || t1.ATS() != nil {
		t.Errorf("T=1: %s", got)
	}
}

// TestCarriersAtReaders: what a reader sees of each carrier, and what a carrier does with a write when it is taken away in the middle.
func TestCarriersAtReaders(t *testing.T) {
	for _, carrier := range Carriers() {
		c := issue(t, "e-cash", carrier.Name, "")
		term := c.till(5000, false)
		for _, air := range []string{InductiveAir, RadioAir} {
			r, err := term.Tap(context.Background(), carrier.Field(c.chip, air), request(100))
			if err != nil {
				t.Fatal(err)
			}
			if seen := r.Outcome.Reason != kernel.ReasonCardRemoved; seen != carrier.Seen(air) || seen && r.Outcome.Kind != kernel.Approved {
				t.Errorf("%s at %s: %v, %v", carrier.Name, air, r.Outcome.Kind, r.Outcome.Reason)
			}
		}
		_, err := carrier.Slot(c.chip).Transceive(context.Background(), apdu.Select([]byte(emv.PSE)).Bytes())
		if slot := err == nil; slot != (carrier.Offers()&card.Contact != 0) {
			t.Errorf("%s in a slot: %v", carrier.Name, err)
		}
		before := c.chip.State().Applications[0].Purses[0].Balance
		air := carrier.Air
		field := carrier.Field(c.chip, air)
		field.TearBeforeCommit(2) // the one that pays
		r, err := term.Tap(context.Background(), field, request(100))
		if err != nil || r.Torn == nil {
			t.Fatalf("%s: not torn: %v, %v", carrier.Name, r.Outcome.Reason, err)
		}
		paid := before - c.chip.State().Applications[0].Purses[0].Balance
		if want := map[bool]int64{true: 100}[carrier.FinishesWrites()]; paid != want {
			t.Errorf("%s: %d left the purse, want %d", carrier.Name, paid, want)
		}
		// Either way the second tap settles it, once.
		if r, err = term.Retap(context.Background(), carrier.Field(c.chip, air), r.Torn, today); err != nil || r.Outcome.Kind != kernel.Approved {
			t.Errorf("%s: second tap: %v, %v, %v", carrier.Name, r.Outcome.Kind, r.Outcome.Reason, err)
		}
		if left := c.chip.State().Applications[0].Purses[0].Balance; left != before-100 {
			t.Errorf("%s: the purse holds %d, want %d", carrier.Name, left, before-100)
		}
	}
}

// A world may bring products and carriers of its own.
func TestOwnProduct(t *testing.T) {
	text, err := profiles.ReadFile("profiles/demo.toml")
	if err != nil {
		t.Fatal(err)
	}
	own := string(text) + "\n[[product]]\n" + strings.NewReplacer("[[application]]", "[[product.application]]", "[application.purse]", "[product.application.purse]").Replace(goodProduct) +
		"\n[[carrier]]\n" + goodCarrier + `
[[card]]
name = "guest"
issuer = "10010000"
product = "tour"
carrier = "watch"
serial = 900
expiry = "3012"
pin = "1234"
purse = "51.00"
`
	p, err := Parse([]byte(own))
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.Personalize("guest", vault(), keyNames())
	if err != nil || c.Product.Title.EN != "tour card" || c.Carrier.Name != "watch" || c.Image.State.Applications[0].Purses[0].BalanceLimit != 20_000 {
		t.Fatalf("%v, %v", c, err)
	}
	for name, change := range map[string][2]string{
		"product":  {`product = "tour"`, `product = "trip"`},
		"carrier":  {`carrier = "watch"`, `carrier = "clock"`},
		"contents": {`account = "debit"`, `account = "gold"`},
		"speed":    {`bytes_per_second = 12000`, `bytes_per_second = 0`},
		"crypto":   {`carrier = "watch"`, `crypto = "rot13"`},
	} {
		_, err := Parse([]byte(strings.Replace(own, change[0], change[1], 1)))
		isFault(t, name, err)
	}
	for name, change := range map[string][2]string{
		"PIN":    {`pin = "1234"`, `pin = "12"`},
		"expiry": {`serial = 900`, `serial = 0`},
		"purse":  {`purse = "51.00"`, `purse = "-51.00"`},
		"bank":   {"issuer = \"10010000\"\nproduct = \"tour\"", "issuer = \"1001\"\nproduct = \"tour\""},
	} {
		if _, err := Parse([]byte(strings.Replace(own, change[0], change[1], 1))); !errors.Is(err, ErrProfile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// More money than the purse holds is found when the card is made.
	rich, err := Parse([]byte(strings.Replace(own, `purse = "51.00"`, `purse = "510.00"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = rich.Personalize("guest", vault(), keyNames())
	isFault(t, "money", err)
}

// The account of a second application cannot have a number that another card has.
func TestLinkedSerials(t *testing.T) {
	p := world(t)
	p.Cards = []CardSpec{specOf(t, "co-brand", "", ""), specOf(t, "debit", "", "")}
	p.Cards[1].Name, p.Cards[1].Serial = "other", linkedSerial(p.Cards[0].Serial)
	if err := p.check(); err == nil {
		t.Error("two cards have one number")
	}
	p.Cards[0], p.Cards[1] = p.Cards[1], p.Cards[0]
	if err := p.check(); err == nil {
		t.Error("two cards have one number")
	}
}

// Most cards of the demonstration are what they were before products had files: contactless QuickPass and nothing else. Those that the story inserts have a
// carrier with contacts and a PIN on the chip; one knows the national algorithms too.
func TestDemoCards(t *testing.T) {
	p, err := Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	contacts := map[string]string{"mei": CryptoRSA, "tao": CryptoBoth}
	for _, spec := range p.Cards {
		c, err := p.Personalize(spec.Name, vault(), keyNames())
		if err != nil {
			t.Fatal(err)
		}
		a, state := c.Image.Applications[0], c.Image.State.Applications[0]
		algorithms, inserted := contacts[spec.Name]
		product, err := p.Product(spec.Product)
		if err != nil {
			t.Fatal(err)
		}
		if a.IDD != emv.IDDBalance || c.Record.Product != product.Account || len(c.Image.Applications) != 1 || string(c.Image.Historical) != "tapnet" {
			t.Errorf("%s: %+v", spec.Name, c)
		}
		switch {
		case inserted && (a.Contact == nil || c.Image.Interfaces != card.Contact|card.Contactless || state.PIN.IsZero() || c.Algorithms() != algorithms ||
			(a.SM != nil) != (algorithms == CryptoBoth)):
			t.Errorf("%s: cannot be inserted, or not with %s: %+v", spec.Name, algorithms, c)
		case !inserted && (a.Contact != nil || len(a.Records) != 4 || c.Image.Interfaces != 0 || !state.PIN.IsZero() || c.Algorithms() != CryptoRSA):
			t.Errorf("%s: is no plain card: %+v", spec.Name, c)
		}
		delete(contacts, spec.Name)
		again, err := p.Personalize(spec.Name, vault(), keyNames())
		if err != nil || string(marshalled(t, again.Image)) != string(marshalled(t, c.Image)) {
			t.Errorf("%s: made twice differently, %v", spec.Name, err)
		}
	}
	if len(contacts) != 0 {
		t.Errorf("missing: %v", contacts)
	}
	if _, err := p.Personalize("nobody", vault(), keyNames()); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
	if _, err := Load("nothing"); !errors.Is(err, ErrProfile) {
		t.Error(err)
	}
}

// An issuer without masters of a cipher makes no card of it, and says so.
func TestMissingMasters(t *testing.T) {
	names := keyNames()
	names.SM4, names.AES = MasterNames{}, MasterNames{AC: "ac-aes"}
	for _, algorithms := range []string{CryptoSM, CryptoAES} {
		_, err := world(t, specOf(t, "debit", "", algorithms)).Personalize("card", vault(), names)
		isFault(t, algorithms, err)
	}
	names = keyNames()
	names.SM4 = names.AES // masters of another cipher: the HSM refuses
	if _, err := world(t, specOf(t, "debit", "", CryptoSM)).Personalize("card", vault(), names); err == nil {
		t.Error("derived SM4 keys from AES masters")
	}
}

func TestAuthorities(t *testing.T) {
	keys := world(t).Authorities()
	algorithms, providers := map[oda.Algorithm]int{}, map[[5]byte]int{}
	for _, k := range keys {
		algorithms[k.Algorithm]++
		providers[k.RID]++
		if k.Role != "test" {
			t.Errorf("role %s", k.Role)
		}
	}
	if algorithms[oda.RSA] != algorithms[oda.SM2] || len(providers) != 2 || providers[emv.RIDUnionPay] != 2 {
		t.Errorf("%v %v", algorithms, providers)
	}
	if _, err := oda.NewKeys(keys...); err != nil {
		t.Error(err)
	}
}

func TestWithoutEnciphered(t *testing.T) {
	for _, row := range [][2]string{
		{"0000000000000000440341031E031F00", "000000000000000041031E031F00"}, {"00000000000000000503", "0000000000000000"},
		{"00000000000000001F00", "00000000000000001F00"}, {"00", "00"},
	} {
		if got := fmt.Sprintf("%X", withoutEnciphered(unhex(row[0]))); got != row[1] {
			t.Errorf("%s: %s", row[0], got)
		}
	}
}

// TestTransitTables reads what banks say about rides, and refuses what they cannot.
func TestTransitTables(t *testing.T) {
	demo, err := profiles.ReadFile("profiles/demo.toml")
	if err != nil {
		t.Fatal(err)
	}
	with := func(at, lines string) []byte { return []byte(strings.Replace(string(demo), at, at+lines, 1)) }
	const issuer, acquirer, metro = "key = 0\n", "name = \"Harbour Merchant Bank\"\n", "terminal = \"T0000004\"\n"
	p, err := Parse(with(issuer, "[issuer.transit]\ncategories = [\"4111\"]\nproof = \"120.50\"\ngather_days = 3\n"))
	if err != nil || p.Issuers[0].Transit.Proof != "120.50" || p.Issuers[0].Transit.GatherDays != 3 || p.Issuers[1].Transit.Off {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = Parse(with(acquirer, "[acquirer.transit]\nrequest = \"40\"\n")); err != nil || p.Acquirer.Transit.Request != "40" {
		t.Errorf("%+v, %v", p, err)
	}
	if p, err = Parse(with(metro, "ride_limit = \"45.00\"\n")); err != nil || p.Merchants[3].RideLimit != "45.00" {
		t.Errorf("%+v, %v", p, err)
	}
	for name, text := range map[string][]byte{
		"an unknown key":       with(issuer, "[issuer.transit]\nfares = 1\n"),
		"a category of three":  with(issuer, "[issuer.transit]\ncategories = [\"411\"]\n"),
		"an amount":            with(issuer, "[issuer.transit]\ngate = \"a lot\"\n"),
		"a negative amount":    with(issuer, "[issuer.transit]\nrequest = \"-1\"\n"),
		"too much":             with(issuer, "[issuer.transit]\nproof = \"1000.01\"\n"),
		"too many days":        with(issuer, "[issuer.transit]\nrecover_days = 93\n"),
		"negative days":        with(issuer, "[issuer.transit]\ngather_days = -1\n"),
		"too many categories":  with(acquirer, "[acquirer.transit]\ncategories = ["+strings.Repeat("\"4111\", ", 17)+"]\n"),
		"too much of one":      with(acquirer, "[acquirer.transit]\nrequest = \"1000.01\"\n"),
		"a limit with letters": with(metro, "ride_limit = \"x\"\n"),
		"a negative limit":     with(metro, "ride_limit = \"-1\"\n"),
	} {
		if _, err := Parse(text); !errors.Is(err, ErrProfile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
