package receipt

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/money"
	"tapnet/pan"
)

var update = flag.Bool("update", false, "write the golden files again")

var (
	both    = []glossary.Lang{glossary.Chinese, glossary.English}
	chinese = []glossary.Lang{glossary.Chinese}
	english = []glossary.Lang{glossary.English}
)

func cny(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ParseCurrency("CNY")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

func usd(t testing.TB, minor int64) money.Amount {
	t.Helper()
	c, err := money.ParseCurrency("USD")
	if err != nil {
		t.Fatal(err)
	}
	return money.New(minor, c)
}

const testCard = "6299990000000017"

// sample is a contactless sale.
func sample(t testing.TB) Data {
	t.Helper()
	card, err := pan.Parse(testCard)
	if err != nil {
		t.Fatal(err)
	}
	return Data{
		Kind: Sale,
		Merchant: Merchant{Name: glossary.Term{EN: "Corner Tea House", ZH: "街角茶馆"}, Number: "301000059940003",
			Address: "北京市海淀区学院路30号一层"},
		Terminal: "10000001", Cashier: "01",
		Acquirer: glossary.Term{EN: "Test Acquirer", ZH: "测试收单行"}, Issuer: glossary.Term{EN: "Test Issuer", ZH: "测试发卡行"},
		Card: card, Entry: Contactless, Verification: NoVerification,
		Chip: Chip{AID: emv.AIDDebit, Label: "QuickPass Debit", TVR: emv.TVR{0, 0, 0, 0x80, 0}, TSI: emv.TSI{0xE8, 0}, ATC: 0x2A, CryptogramType: "TC",
			Cryptogram: [8]byte{0xAD, 3, 0xEE, 0x81, 0x1A, 0xFA, 0xD4, 0x84}},
		Amount: cny(t, 123456), Time: time.Date(2026, 11, 22, 9, 5, 30, 0, time.FixedZone("CST", 8*3600)),
		Trace: "000123", Batch: "000007", Reference: "632609000123", AuthCode: "A1B2C3",
		Languages: both,
	}
}

// cases are the receipts of the golden files.
func cases(t testing.TB) map[string]Data {
	original := Original{Date: time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC), Trace: "000099", Reference: "632518000099", AuthCode: "Z9Y8X7"}
	change := func(f func(*Data)) Data {
		d := sample(t)
		f(&d)
		return d
	}
	return map[string]Data{
		"sale-cardholder": sample(t),
		"sale-merchant-signed": change(func(d *Data) {
			d.Copy, d.Verification, d.Entry, d.Languages = MerchantCopy, PINAndSignature, Contact, chinese
			d.Tip = cny(t, 1000)
		}),
		"void-reprint": change(func(d *Data) { d.Kind, d.Reprint, d.Original = SaleVoid, true, original }),
		"refund-english": change(func(d *Data) {
			d.Kind, d.Languages, d.Original, d.Verification = Refund, english, original, OnlinePIN
			d.Note = glossary.Term{EN: "Thank you. Keep this receipt for returns.", ZH: "谢谢惠顾"}
		}),
		"preauthorization": change(func(d *Data) { d.Kind, d.Verification, d.Copy = Preauthorization, Signature, MerchantCopy }),
		"completion": change(func(d *Data) {
			d.Kind, d.Original, d.Languages, d.Entry = Completion, original, chinese, Keyed
			d.Chip = Chip{}
		}),
		"cash-load": change(func(d *Data) { d.Kind, d.PurseBalance, d.Verification = CashLoad, cny(t, 100000), OnlinePIN }),
		"cash-sale-qr": change(func(d *Data) {
			d.Kind, d.PurseBalance, d.Languages, d.AuthCode = CashSale, cny(t, 8800), chinese, ""
			d.QR = "https://receipts.example/r/7Q2M4K8D1Z6X?batch=000007&trace=000123"
		}),
		"balance": change(func(d *Data) {
			d.Kind, d.Amount, d.Available, d.Verification = Balance, money.Amount{}, cny(t, 99999999), OnlinePIN
		}),
	}
}

func mustNew(t testing.TB, d Data) Receipt {
	t.Helper()
	r, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func html(t testing.TB, r Receipt) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, d := range cases(t) {
		r := mustNew(t, d)
		for ending, got := range map[string]string{".txt": r.Text(), ".html": html(t, r)} {
			file := filepath.Join("testdata", "golden", name+ending)
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs; go test -update ./internal/receipt writes it again\n%s", file, got)
			}
		}
	}
}

// TestNoFullNumber: neither form shows the account number, and a text that holds it is refused, however it is written.
func TestNoFullNumber(t *testing.T) {
	for name, d := range cases(t) {
		r := mustNew(t, d)
		for _, out := range []string{r.Text(), html(t, r), fmt.Sprintf("%v %+v %#v", r, r, r), fmt.Sprintf("%v", d)} {
			if strings.Contains(digitsOf(out), testCard) {
				t.Errorf("%s shows the account number", name)
			}
		}
		if !strings.Contains(r.Text(), "629999******0017") || !strings.Contains(html(t, r), "629999******0017") {
			t.Errorf("%s does not show the masked number", name)
		}
	}
	for _, written := range []string{testCard, "6299 9900 0000 0017", "card 6299-9900-0000-0017.", "x=" + testCard + "&y", "６２９９９９００００００００１７"} {
		for name, change := range map[string]func(*Data){
			"merchant": func(d *Data) { d.Merchant.Name.ZH = written }, "number": func(d *Data) { d.Merchant.Number = written },
			"address": func(d *Data) { d.Merchant.Address = written }, "cashier": func(d *Data) { d.Cashier = written },
			"issuer": func(d *Data) { d.Issuer.EN = written }, "label": func(d *Data) { d.Chip.Label = written },
			"reference": func(d *Data) { d.Reference = written }, "original": func(d *Data) { d.Original.Trace = written },
			"code": func(d *Data) { d.QR = written }, "note": func(d *Data) { d.Note.EN = written }, "terminal": func(d *Data) { d.Terminal = written },
		} {
			d := sample(t)
			change(&d)
			_, err := New(d)
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%s %q: %v", name, written, err)
			} else if strings.Contains(digitsOf(err.Error()), testCard) {
				t.Errorf("%s: the error shows the account number", name)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	long := strings.Repeat("字", maxText+1)
	for name, change := range map[string]func(*Data){
		"no kind": func(d *Data) { d.Kind = 0 }, "unknown kind": func(d *Data) { d.Kind = CashUnload + 1 },
		"unknown copy": func(d *Data) { d.Copy = 2 }, "unknown entry": func(d *Data) { d.Entry = 99 }, "unknown verification": func(d *Data) { d.Verification = 99 },
		"no time": func(d *Data) { d.Time = time.Time{} }, "no merchant": func(d *Data) { d.Merchant.Name = glossary.Term{} },
		"no merchant number": func(d *Data) { d.Merchant.Number = "" }, "no terminal": func(d *Data) { d.Terminal = "" },
		"no amount": func(d *Data) { d.Amount = money.Amount{} }, "negative amount": func(d *Data) { d.Amount = cny(t, -1) },
		"tip in another currency": func(d *Data) { d.Tip = usd(t, 1) }, "sum too large": func(d *Data) { d.Amount, d.Tip = cny(t, 1<<62), cny(t, 1<<62) },
		"negative tip": func(d *Data) { d.Tip = cny(t, -1) }, "negative purse": func(d *Data) { d.PurseBalance = cny(t, -1) },
		"no language": func(d *Data) { d.Languages = nil }, "a language twice": func(d *Data) { d.Languages = []glossary.Lang{0, 0} },
		"three languages": func(d *Data) { d.Languages = []glossary.Lang{0, 1, 0} }, "unknown language": func(d *Data) { d.Languages = []glossary.Lang{7} },
		"line feed": func(d *Data) { d.Merchant.Name.EN = "a\nb" }, "escape": func(d *Data) { d.Chip.Label = "\x1b[2J" },
		"not UTF-8": func(d *Data) { d.Note.ZH = "\xff" }, "text direction": func(d *Data) { d.Issuer.EN = "a\u202eb" },
		"name too long": func(d *Data) { d.Merchant.Name.ZH = long }, "label too long": func(d *Data) { d.Chip.Label = long },
		"code too long": func(d *Data) { d.QR = strings.Repeat("x", maxQR+1) }, "note too long": func(d *Data) { d.Note.EN = strings.Repeat("x", maxNote+1) },
	} {
		d := sample(t)
		change(&d)
		if _, err := New(d); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	overdrawn := sample(t)
	overdrawn.Kind, overdrawn.Amount, overdrawn.Available = Balance, money.Amount{}, cny(t, -500)
	if !strings.Contains(mustNew(t, overdrawn).Text(), "-5.00") {
		t.Error("an overdrawn account does not show")
	}
}

// TestLinesFit prints random receipts: no line is too wide, and nothing of a value is lost at the breaks.
func TestLinesFit(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, seed))
	letters := []rune("ab XY-09茶馆（）。,é½ ")
	random := func(n int) string {
		runes := make([]rune, 1+r.IntN(n))
		for i := range runes {
			runes[i] = letters[r.IntN(len(letters))]
		}
		return strings.TrimSpace(string(runes)) + "x"
	}
	for range 500 {
		d := sample(t)
		d.Kind, d.Copy, d.Reprint = Kind(1+r.IntN(int(CashUnload))), Copy(r.IntN(2)), r.IntN(2) == 0
		d.Verification, d.Entry = Verification(r.IntN(int(OnDevice)+1)), Entry(r.IntN(int(QRCode)+1))
		d.Merchant.Name = glossary.Term{EN: random(60), ZH: random(60)}
		d.Merchant.Address, d.Note.ZH, d.QR, d.Chip.Label = random(190), random(190), strings.ReplaceAll(random(500), " ", ""), random(60)
		d.Amount = cny(t, r.Int64N(1e15))
		d.Languages = [][]glossary.Lang{both, chinese, english}[r.IntN(3)]
		text := mustNew(t, d).Text()
		for line := range strings.Lines(text) {
			line = strings.TrimSuffix(line, "\n")
			if lang.Width(line) > Columns || strings.HasSuffix(line, " ") {
				t.Fatalf("seed %d: %d cells: %q", seed, lang.Width(line), line)
			}
		}
		bare := strings.NewReplacer(" ", "", "\n", "").Replace(text)
		for _, want := range []string{d.Merchant.Address, d.QR, d.Amount.Currency().Code()} {
			if !strings.Contains(bare, strings.ReplaceAll(want, " ", "")) {
				t.Fatalf("seed %d: %q is not on the receipt:\n%s", seed, want, text)
			}
		}
	}
}

// TestPage: the page is well-formed, loads nothing, runs nothing, escapes what it shows and names its languages.
func TestPage(t *testing.T) {
	hostile := sample(t)
	hostile.Merchant.Name.EN = `<script>alert("x")</script> & co`
	hostile.QR = `"><img src=x onerror=alert(1)>`
	all := cases(t)
	all["hostile"] = hostile
	for name, d := range all {
		out := html(t, mustNew(t, d))
		for _, forbidden := range []string{"<script", "<img", "<link", "<iframe", "url(", "@import"} {
			if strings.Contains(out, forbidden) {
				t.Errorf("%s: the page holds %q", name, forbidden)
			}
		}
		wantLang := map[glossary.Lang]string{glossary.English: `<html lang="en">`, glossary.Chinese: `<html lang="zh-CN">`}[d.Languages[0]]
		if !strings.Contains(out, wantLang) || strings.Count(out, "<h1>") != 1 || strings.Count(out, "<main>") != 1 {
			t.Errorf("%s: no language, main or heading", name)
		}
		if len(d.Languages) == 2 && !strings.Contains(out, `<span lang="en">Card no.</span>`) {
			t.Errorf("%s: the second language is not marked", name)
		}
		body := out[strings.Index(out, "<body>") : strings.Index(out, "</body>")+len("</body>")]
		decoder := xml.NewDecoder(strings.NewReader(strings.ReplaceAll(strings.ReplaceAll(body, "<hr>", "<hr/>"), "<pre data-qr>", "<pre>")))
		for {
			if _, err := decoder.Token(); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
		}
	}
}

func TestKinds(t *testing.T) {
	for k := Sale; k <= CashUnload; k++ {
		d := sample(t)
		d.Kind = k
		text := mustNew(t, d).Text()
		minus := strings.Contains(text, "CNY -1,234.56")
		if k.Term().EN == "" || k.Term().ZH == "" || !strings.Contains(strings.ReplaceAll(text, "\n", ""), k.Term().ZH) || minus != k.negative() {
			t.Errorf("%v:\n%s", k.Term(), text)
		}
	}
	if Kind(99).Term().ZH == "" {
		t.Error("an unknown kind has no name")
	}
	for copyOf, want := range map[Copy]bool{CardholderCopy: false, MerchantCopy: true} {
		d := sample(t)
		d.Copy, d.Verification = copyOf, Signature
		if got := strings.Contains(mustNew(t, d).Text(), signTerm.ZH); got != want {
			t.Errorf("copy %d: signature %t", copyOf, got)
		}
	}
}

// broken fails after some bytes.
type broken struct{ room int }

func (b *broken) Write(p []byte) (int, error) {
	if b.room -= len(p); b.room < 0 {
		return 0, os.ErrClosed
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	if err := mustNew(t, sample(t)).HTML(&broken{room: 100}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("街角茶馆", "note", "https://receipts.example/1")
	f.Add(testCard, "a\u0301", "")
	f.Fuzz(func(t *testing.T, name, note, qr string) {
		d := sample(t)
		d.Merchant.Name.EN, d.Note.EN, d.QR = name, note, qr
		r, err := New(d)
		if err != nil {
			return
		}
		for line := range strings.Lines(r.Text()) {
			if lang.Width(strings.TrimSuffix(line, "\n")) > Columns {
				t.Errorf("too wide: %q", line)
			}
		}
		html(t, r)
	})
}
