package personalization

import (
	"bytes"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/money"
)

//go:embed products/*.toml
var productFiles embed.FS

// Product is what the cards of a kind have in common: applications, limits, what they tell and what they ask. Amounts are decimal strings of the world's
// currency unless a purse names another.
type Product struct {
	Name         string               `toml:"name"`
	Title        Title                `toml:"title"`
	Account      string               `toml:"account"` // what the bank keeps for it: debit, credit or e-cash
	Crypto       string               `toml:"crypto"`  // "" is that of the card, or RSA with 3DES
	Stripe       bool                 `toml:"stripe"`  // there is no chip: the first application gives the stripe its number and service code, and no more
	Applications []ProductApplication `toml:"application"`
}

// Title is a name in both languages.
type Title struct {
	EN string `toml:"en"`
	ZH string `toml:"zh"`
}

// Term is the title for a person.
func (t Title) Term() glossary.Term { return glossary.Term(t) }

// ProductApplication is one application of a product.
type ProductApplication struct {
	AID      hexText `toml:"aid"`
	Label    string  `toml:"label"`
	Language string  `toml:"language"` // "" is zh
	Priority int     `toml:"priority"` // 0 is the place on the card
	Account  string  `toml:"account"`  // "" is that of the card, "linked" one of its own
	Optional bool    `toml:"optional"` // the cardholder may switch it off

	Service           string   `toml:"service"`    // service code on track 2; "" is 201
	Processing        hexText  `toml:"processing"` // 9F68
	CTQ               hexText  `toml:"ctq"`        // 9F6C; "" is no bit
	CVMLimit          string   `toml:"cvm_limit"`  // 9F6B
	IssuerData        string   `toml:"issuer_data"`
	Withhold          []string `toml:"withhold"`
	Nameless          bool     `toml:"nameless"` // the holder's name is not on the chip
	NoPIN             bool     `toml:"no_pin"`   // the chip has no PIN
	DeclineWithoutCVM bool     `toml:"decline_without_cvm"`
	NoContactless     bool     `toml:"no_contactless"`
	RecordCVMList     hexText  `toml:"record_cvm_list"` // 8E in the records of a contactless payment; "" is online PIN or none

	Extended     hexText `toml:"extended"` // DF61
	Files        []int   `toml:"files"`    // of the extended application
	SegmentLimit string  `toml:"segment_limit"`

	Purse       *ProductPurse   `toml:"purse"`
	SecondPurse *ProductPurse   `toml:"second_purse"`
	Contact     *ProductContact `toml:"contact"`
}

// ProductPurse is electronic cash in one currency [REF 1.3].
type ProductPurse struct {
	Currency string `toml:"currency"` // of a second purse
	Ceiling  string `toml:"ceiling"`  // 9F77
	Single   string `toml:"single"`   // 9F78
	Reset    string `toml:"reset"`    // 9F6D
	CVMLimit string `toml:"cvm_limit"`
}

// ProductContact is the dialogue with GENERATE AC [REF 1.3] [REF 1.9].
type ProductContact struct {
	CVMList         hexText `toml:"cvm_list"`
	Cash            bool    `toml:"cash"`             // electronic cash is spent here too
	FullContactless bool    `toml:"full_contactless"` // the same dialogue for readers in the field that ask for it
	FullOnly        bool    `toml:"full_only"`        // and nothing else in the field: no qPBOC
	DefaultAction   hexText `toml:"default_action"`   // 9F52; "" is every check that goes online or declines, none that blocks

	IACDefault hexText `toml:"iac_default"` // "" are those of [REF 1.11]
	IACDenial  hexText `toml:"iac_denial"`
	IACOnline  hexText `toml:"iac_online"`

	ConsecutiveLower int     `toml:"consecutive_lower"` // 9F58
	ConsecutiveUpper int     `toml:"consecutive_upper"` // 9F59
	ForeignCurrency  int     `toml:"foreign_currency"`  // 9F53
	ForeignCountry   int     `toml:"foreign_country"`   // 9F72
	TotalLower       string  `toml:"total_lower"`       // 9F54
	TotalUpper       string  `toml:"total_upper"`       // 9F5C
	Conversion       hexText `toml:"conversion"`        // 9F73
	BothTotal        string  `toml:"both_total"`        // 9F75
}

// hexText is bytes written in hexadecimal.
type hexText []byte

// UnmarshalText reads the digits.
func (h *hexText) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return errors.New("not pairs of hexadecimal digits")
	}
	*h = b
	return nil
}

// or gives the bytes, or those of a constant when there are none.
func (h hexText) or(constant string) []byte {
	if len(h) == 0 {
		return unhex(constant)
	}
	return h
}

// aid is the identifier, which was checked.
func (a ProductApplication) aid() emv.AID {
	id, err := emv.ParseAID(a.AID)
	if err != nil {
		panic("personalization: the identifier was checked: " + err.Error())
	}
	return id
}

// issuerData are the values of issuer_data [REF 1.7].
var issuerData = map[string]byte{
	"": 0, "balance": emv.IDDBalance, "total": emv.IDDCTTA, "balance and total": emv.IDDBalanceAndCTTA, "total and limit": emv.IDDCTTAAndCTTAL,
	"available": emv.IDDAvailable,
}

// withholdable are the values of withhold.
var withholdable = map[string]card.Withhold{
	"number": card.WithholdNumber, "expiry": card.WithholdExpiry, "counter": card.WithholdCounter, "log": card.WithholdLog, "balance": card.WithholdBalance,
}

// Products are the products that come with the program, by name.
func Products() []Product { return embedded(productFiles, "products", ParseProduct) }

// FindProduct gives one of them.
func FindProduct(name string) (Product, error) {
	for _, p := range Products() {
		if p.Name == name {
			return p, nil
		}
	}
	return Product{}, unknown(name, glossary.Term{EN: "product", ZH: "产品"}, productNames())
}

func productNames() (names []string) {
	for _, p := range Products() {
		names = append(names, p.Name)
	}
	return names
}

func unknown(name string, kind glossary.Term, known []string) error {
	list := strings.Join(known, ", ")
	return &Fault{
		What: glossary.Term{EN: fmt.Sprintf("there is no %s %q", kind.EN, shortened(name)), ZH: fmt.Sprintf("没有%s“%s”", kind.ZH, shortened(name))},
		Why:  glossary.Term{EN: "known are " + list, ZH: "已有：" + list},
		Next: glossary.Term{EN: "choose one of them, or describe your own in the profile", ZH: "请从中选择，或在环境文件中自行描述"},
	}
}

// shortened is what an error repeats of a name.
func shortened(name string) string {
	const most = 32
	if len(name) > most {
		return strings.ToValidUTF8(name[:most], "") + "…"
	}
	return name
}

// embedded reads files that come with the program. They are tested, so that a fault is a bug.
func embedded[T any](files embed.FS, dir string, parse func([]byte) (T, error)) []T {
	entries, err := files.ReadDir(dir)
	if err != nil {
		panic("personalization: " + err.Error())
	}
	var all []T
	for _, e := range entries {
		text, err := files.ReadFile(dir + "/" + e.Name())
		if err != nil {
			panic("personalization: " + err.Error())
		}
		one, err := parse(text)
		if err != nil {
			panic("personalization: " + e.Name() + ": " + err.Error())
		}
		all = append(all, one)
	}
	return all
}

// strictly decodes TOML without unknown keys and within the size of a profile.
func strictly(text []byte, into any) error {
	next := glossary.Term{EN: "correct the line, and compare with a profile that comes with the program", ZH: "修改该行，并参照程序自带的配置文件"}
	what := glossary.Term{EN: "the profile cannot be read", ZH: "配置文件无法读取"}
	if len(text) > maxProfileBytes {
		why := fmt.Sprintf("%d bytes, at most %d", len(text), maxProfileBytes)
		return &Fault{What: what, Why: glossary.Term{EN: why, ZH: why}, Next: next}
	}
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(into)
	if err == nil {
		return nil
	}
	why := err.Error()
	var strict *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		row, _ := strict.Errors[0].Position()
		why = fmt.Sprintf("line %d: unknown key %s", row, strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &wrong):
		row, _ := wrong.Position()
		why = fmt.Sprintf("line %d: %v", row, err)
	}
	return &Fault{What: what, Why: glossary.Term{EN: why, ZH: why}, Next: next}
}

// ParseProduct reads one product. What a card cannot be is found when one is made of it. The error is a *Fault.
func ParseProduct(text []byte) (Product, error) {
	var p Product
	if err := strictly(text, &p); err != nil {
		return Product{}, err
	}
	return p, p.check()
}

var accounts = []string{"debit", "credit", "e-cash"}

func (p *Product) fault(why, next glossary.Term) error {
	name := shortened(p.Name)
	return &Fault{What: glossary.Term{EN: fmt.Sprintf("product %q cannot be used", name), ZH: fmt.Sprintf("产品“%s”无法使用", name)}, Why: why, Next: next}
}

func (p *Product) check() error {
	switch {
	case p.Name == "":
		return p.fault(glossary.Term{EN: "it has no name", ZH: "缺少名称"}, glossary.Term{EN: `write name = "…"`, ZH: `请写明 name = "…"`})
	case p.Title.EN == "" || p.Title.ZH == "":
		return p.fault(glossary.Term{EN: "its title is not in both languages", ZH: "标题缺少一种语言"}, glossary.Term{EN: `write title = { en = "…", zh = "…" }`, ZH: `请写明 title = { en = "…", zh = "…" }`})
	case !slices.Contains(accounts, p.Account):
		list := strings.Join(accounts, ", ")
		return p.fault(glossary.Term{EN: fmt.Sprintf("no bank keeps an account %q", shortened(p.Account)), ZH: fmt.Sprintf("没有账户类型“%s”", shortened(p.Account))},
			glossary.Term{EN: "set account to one of " + list, ZH: "account可取：" + list})
	case len(p.Applications) == 0 || len(p.Applications) > card.MaxApplications:
		return p.fault(glossary.Term{EN: fmt.Sprintf("it has %d applications", len(p.Applications)), ZH: fmt.Sprintf("应用数为%d", len(p.Applications))},
			glossary.Term{EN: fmt.Sprintf("describe 1 to %d under [[application]]", card.MaxApplications), ZH: fmt.Sprintf("在[[application]]下描述1至%d个应用", card.MaxApplications)})
	}
	if _, err := cryptoOf(p.Crypto); err != nil {
		return err
	}
	for i := range p.Applications {
		if err := p.checkApplication(i); err != nil {
			return err
		}
	}
	return nil
}

func (p *Product) checkApplication(i int) error {
	a := &p.Applications[i]
	wrong := func(key, enWhy, zhWhy string) error {
		at := fmt.Sprintf("application %d: %s", i+1, key)
		return p.fault(glossary.Term{EN: at + " " + enWhy, ZH: at + " " + zhWhy}, glossary.Term{EN: "change " + key, ZH: "修改" + key})
	}
	if _, err := emv.ParseAID(a.AID); err != nil {
		return wrong("aid", "is no identifier of 5 to 16 bytes", "不是5至16字节的标识符")
	}
	for _, other := range p.Applications[:i] {
		if bytes.Equal(other.AID, a.AID) {
			return wrong("aid", "is that of another application", "与另一应用重复")
		}
	}
	if a.Account != "" && (a.Account != "linked" || i == 0) {
		return wrong("account", `is neither "" nor, behind the first, "linked"`, `只能为空，或在非首个应用中为linked`)
	}
	for key, field := range map[string]struct {
		bytes hexText
		want  int
	}{"processing": {a.Processing, 4}, "ctq": {a.CTQ, 2}, "extended": {a.Extended, 1}} {
		if len(field.bytes) != field.want && (len(field.bytes) != 0 || key == "processing") {
			return wrong(key, fmt.Sprintf("has %d bytes, want %d", len(field.bytes), field.want), fmt.Sprintf("长度为%d字节，应为%d", len(field.bytes), field.want))
		}
	}
	if a.contradicts() {
		return wrong("ctq", "wants every payment verified, and the purse pays without: a reader would refuse what the chip has paid", "要求每笔交易验证持卡人，而电子现金脱机支付无需验证：芯片已扣款，终端却会拒绝")
	}
	if _, ok := issuerData[a.IssuerData]; !ok {
		return wrong("issuer_data", "is not known", "取值未知")
	}
	for _, w := range a.Withhold {
		if _, ok := withholdable[w]; !ok {
			return wrong("withhold", fmt.Sprintf("names %q: known are number, expiry, counter, log, balance", shortened(w)), "只能取number、expiry、counter、log、balance")
		}
	}
	if a.SecondPurse != nil {
		if _, err := money.ParseCurrency(a.SecondPurse.Currency); err != nil || a.Purse == nil {
			return wrong("second_purse", "needs a currency of its own and a first purse beside it", "需要自己的币种，并须有第一钱包")
		}
	}
	if err := a.checkAmounts(); err != nil {
		return wrong(err.Error(), "is no amount", "不是有效金额")
	}
	return nil
}

// contradicts: the card spends offline [REF 1.6], and its qualifiers ask for PIN or signature whatever the payment is.
func (a *ProductApplication) contradicts() bool {
	const wantsPIN, wantsSignature, spends = 0x80, 0x40, 0xE0 // 9F6C and 9F68, first byte each
	return len(a.CTQ) == 2 && len(a.Processing) == 4 && a.CTQ[0]&(wantsPIN|wantsSignature) != 0 && a.Processing[0]&spends != 0
}

// checkAmounts names the first key whose amount cannot be read in any currency with two places.
func (a *ProductApplication) checkAmounts() error {
	rows := [][2]string{{"cvm_limit", a.CVMLimit}, {"segment_limit", a.SegmentLimit}}
	for _, purse := range []*ProductPurse{a.Purse, a.SecondPurse} {
		if purse != nil {
			rows = append(rows, [][2]string{{"ceiling", purse.Ceiling}, {"single", purse.Single}, {"reset", purse.Reset}, {"cvm_limit", purse.CVMLimit}}...)
		}
	}
	if k := a.Contact; k != nil {
		rows = append(rows, [][2]string{{"total_lower", k.TotalLower}, {"total_upper", k.TotalUpper}, {"both_total", k.BothTotal}}...)
	}
	for _, row := range rows {
		if _, err := minorIn(row[1], money.CNY); err != nil {
			return errors.New(row[0])
		}
	}
	return nil
}

// minorIn reads an amount in minor units; "" is zero.
func minorIn(amount string, c money.Currency) (int64, error) {
	if amount == "" {
		return 0, nil
	}
	a, err := money.Parse(amount, c)
	if err != nil {
		return 0, fmt.Errorf("amount %q: %w", shortened(amount), err)
	}
	if a.Minor() < 0 {
		return 0, fmt.Errorf("amount %q is negative", shortened(amount))
	}
	return a.Minor(), nil
}

// linked reports whether an application has an account of its own.
func (p *Product) linked() bool {
	return slices.ContainsFunc(p.Applications, func(a ProductApplication) bool { return a.Account == "linked" })
}

// alwaysPIN reports whether the card wants the PIN for every payment. Its bank then takes no small payment without one either, whatever a till skips.
func (p *Product) alwaysPIN() bool {
	return slices.ContainsFunc(p.Applications, func(a ProductApplication) bool {
		ctq, err := emv.ParseCTQ(a.CTQ)
		return err == nil && ctq.Has(emv.CTQOnlinePIN)
	})
}
