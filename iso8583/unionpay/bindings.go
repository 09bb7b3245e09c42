package unionpay

import (
	"fmt"
	"strconv"

	"tapnet/emv"
	"tapnet/iso8583"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// binding ties a field of payment messages to its place in Payment. Either text is set, for fields that are
// characters, or put and take.
type binding struct {
	number int
	text   func(p *Payment) *string
	check  func(text []byte) bool // may be nil
	// put appends the field's characters; nothing appended means absent.
	put func(p *Payment, dst []byte) ([]byte, error)
	// take reads the field's characters; m gives access to the others.
	take func(p *Payment, m *iso8583.Message, text []byte) error
}

// bindings are in the order of their numbers.
var bindings = [...]binding{
	{number: fieldPAN, put: putPAN, take: takePAN},
	{number: fieldProcessing, text: func(p *Payment) *string { return (*string)(&p.Processing) }},
	{number: fieldAmount, put: putAmount, take: takeAmount},
	{number: fieldTransmission, text: func(p *Payment) *string { return &p.TransmissionTime }, check: isDateTime[[]byte]},
	{number: fieldSTAN, put: putSTAN, take: takeSTAN},
	{number: fieldLocalTime, text: func(p *Payment) *string { return &p.LocalTime }, check: isTime[[]byte]},
	{number: fieldLocalDate, text: func(p *Payment) *string { return &p.LocalDate }, check: isDate[[]byte]},
	{number: fieldExpiry, put: putExpiry, take: takeExpiry},
	{number: fieldSettlement, text: func(p *Payment) *string { return &p.SettlementDate }, check: isDate[[]byte]},
	{number: fieldMerchantType, text: func(p *Payment) *string { return &p.MerchantType }},
	{number: fieldCountry, text: func(p *Payment) *string { return &p.Country }},
	{number: fieldEntryMode, text: func(p *Payment) *string { return (*string)(&p.EntryMode) }},
	{number: fieldCardSequence, text: func(p *Payment) *string { return &p.CardSequence }},
	{number: fieldCondition, text: func(p *Payment) *string { return &p.Condition }},
	{number: fieldPINCapture, text: func(p *Payment) *string { return &p.PINCapture }},
	{number: fieldFee, text: func(p *Payment) *string { return &p.Fee }, check: isFee[[]byte]},
	{number: fieldAcquirer, text: func(p *Payment) *string { return &p.Acquirer }},
	{number: fieldForwarder, text: func(p *Payment) *string { return &p.Forwarder }},
	{number: fieldTrack2, put: putTrack2, take: takeTrack2},
	{number: fieldTrack3, put: putTrack3, take: takeTrack3},
	{number: fieldRRN, text: func(p *Payment) *string { return &p.RRN }},
	{number: fieldAuthCode, text: func(p *Payment) *string { return &p.AuthCode }},
	{number: fieldResponse, text: func(p *Payment) *string { return (*string)(&p.Response) }},
	{number: fieldTerminal, text: func(p *Payment) *string { return &p.Terminal }},
	{number: fieldMerchant, text: func(p *Payment) *string { return &p.Merchant }},
	{number: fieldMerchantName, text: func(p *Payment) *string { return &p.MerchantName }},
	{number: fieldInstitutions, text: func(p *Payment) *string { return &p.Institutions }},
	{number: fieldAdditional, text: func(p *Payment) *string { return (*string)(&p.Additional) }},
	{number: fieldCurrency, put: putCurrency, take: takeCurrency},
	{number: fieldPIN, put: putPIN, take: takePIN},
	{number: fieldSecurity, text: func(p *Payment) *string { return &p.Security }},
	{number: fieldBalance, put: putBalance, take: takeBalance},
	{number: fieldICC, put: putICC, take: takeICC},
	{number: fieldNewPIN, put: putNewPIN, take: takeNewPIN},
	{number: fieldPBOC, text: func(p *Payment) *string { return (*string)(&p.PBOC) }},
	{number: fieldDetail, text: func(p *Payment) *string { return (*string)(&p.Detail) }},
	{number: fieldInfo, put: putInfo, take: takeInfo},
	{number: fieldOriginal, put: putOriginal, take: takeOriginal},
	{number: fieldCustom, text: func(p *Payment) *string { return (*string)(&p.Custom) }},
	{number: fieldReserved, text: func(p *Payment) *string { return (*string)(&p.Reserved) }},
	{number: fieldOriginalSwitch, put: putOriginalSwitch, take: takeOriginalSwitch},
	{number: fieldReceiver, text: func(p *Payment) *string { return &p.Receiver }},
	{number: fieldAccountFrom, text: func(p *Payment) *string { return (*string)(&p.AccountFrom) }},
	{number: fieldAccountTo, text: func(p *Payment) *string { return (*string)(&p.AccountTo) }},
	{number: fieldNational, text: func(p *Payment) *string { return (*string)(&p.National[0]) }},
	{number: fieldNational + 1, text: func(p *Payment) *string { return (*string)(&p.National[1]) }},
	{number: fieldNational + 2, text: func(p *Payment) *string { return (*string)(&p.National[2]) }},
}

// place is what a dialect makes of a binding, looked up once.
type place struct {
	bound  *binding
	max    int  // characters
	padded bool // filled up with blanks on the right
	apart  bool // what is sensitive shares no memory with what may be kept for long
}

// placesOf holds the places of each dialect by field number; the bindings a dialect does not have are nil in encoding and a refusal in decoding.
var placesOf = [...][iso8583.MaxField + 1]place{Terminal: newPlaces(Terminal), Switch: newPlaces(Switch)}

func newPlaces(d Dialect) (table [iso8583.MaxField + 1]place) {
	for i := range fieldRows {
		row := &fieldRows[i]
		if spec, ok := row.spec(d); ok {
			table[row.number] = place{bound: bindingOf[row.number], max: spec.Max, padded: isPadded(spec), apart: row.sensitive}
		}
	}
	return table
}

// bindingOf finds a binding by its number.
var bindingOf = func() (table [iso8583.MaxField + 1]*binding) {
	for i := range bindings {
		table[bindings[i].number] = &bindings[i]
	}
	return table
}()

func putPAN(p *Payment, dst []byte) ([]byte, error) {
	if p.PAN.IsZero() {
		return dst, nil
	}
	return p.PAN.RevealTo(dst), nil
}

func takePAN(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	p.PAN, err = pan.Parse(string(text))
	return err
}

func hasCurrency(a money.Amount) bool { return a.Currency() != money.Currency{} }

// putAmount always gives the amount; encodePayment leaves out a zero that nobody asks for.
func putAmount(p *Payment, dst []byte) ([]byte, error) {
	if !hasCurrency(p.Amount) {
		if !p.Amount.IsZero() {
			return dst, fmt.Errorf("amount without currency: %w", ErrContent)
		}
		return dst, nil
	}
	return p.Amount.AppendN12(dst)
}

func takeAmount(_ *Payment, m *iso8583.Message, _ []byte) error {
	if !m.Has(fieldCurrency) {
		return fmt.Errorf("amount without currency: %w", ErrMissing)
	}
	return nil // takeCurrency reads both
}

func putCurrency(p *Payment, dst []byte) ([]byte, error) {
	if !hasCurrency(p.Amount) {
		return dst, nil
	}
	return appendNumber(dst, uint64(p.Amount.Currency().Number()), 3), nil
}

func takeCurrency(p *Payment, m *iso8583.Message, text []byte) error {
	currency, err := parseCurrency(text)
	if err != nil {
		return err
	}
	p.Amount = money.New(0, currency)
	if m.Has(fieldAmount) {
		var digits [12]byte
		p.Amount, err = parseN12(m.Text(digits[:0], fieldAmount), currency)
	}
	return err
}

func parseN12(digits []byte, currency money.Currency) (money.Amount, error) {
	minor, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return money.Amount{}, ErrContent
	}
	return money.New(minor, currency), nil
}

func parseCurrency(text []byte) (money.Currency, error) {
	if string(text) == "156" { // nearly all of them
		return money.CNY, nil
	}
	number, err := strconv.ParseUint(string(text), 10, 16)
	if err != nil {
		return money.Currency{}, ErrContent
	}
	return money.CurrencyByNumber(int(number))
}

func putSTAN(p *Payment, dst []byte) ([]byte, error) { return appendSTAN(dst, p.STAN) }

func takeSTAN(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	p.STAN, err = parseSTAN(text)
	return err
}

func appendSTAN(dst []byte, stan uint32) ([]byte, error) {
	if stan > maxSTAN {
		return dst, fmt.Errorf("trace number of more than six digits: %w", ErrContent)
	}
	if stan == 0 {
		return dst, nil
	}
	return appendNumber(dst, uint64(stan), 6), nil
}

func parseSTAN(text []byte) (uint32, error) {
	stan := parseNumber(text)
	if stan == 0 {
		return 0, fmt.Errorf("trace number zero: %w", ErrContent)
	}
	return stan, nil
}

func putExpiry(p *Payment, dst []byte) ([]byte, error) {
	if p.Expiry.IsZero() {
		return dst, nil
	}
	return p.Expiry.AppendYYMM(dst), nil
}

func takeExpiry(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	p.Expiry, err = pan.ParseExpiry(string(text))
	return err
}

func putTrack2(p *Payment, dst []byte) ([]byte, error) {
	if p.Track2.IsZero() {
		return dst, nil
	}
	return p.Track2.AppendASCII(dst), nil
}

func takeTrack2(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	p.Track2, err = pan.ParseTrack2String(string(text))
	return err
}

func putTrack3(p *Payment, dst []byte) ([]byte, error) { return append(dst, p.Track3.digits...), nil }

func takeTrack3(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	for i := range text {
		if text[i] == 'D' {
			text[i] = '='
		}
	}
	p.Track3, err = ParseTrack3(string(text))
	return err
}

func putPIN(p *Payment, dst []byte) ([]byte, error) { return appendBlock(dst, p.PINBlock) }

func putNewPIN(p *Payment, dst []byte) ([]byte, error) { return appendBlock(dst, p.NewPIN) }

func appendBlock(dst []byte, b *pinblock.Block) ([]byte, error) {
	if b == nil {
		return dst, nil
	}
	block := b.Reveal()
	return append(dst, block[:]...), nil
}

func takeNewPIN(p *Payment, _ *iso8583.Message, text []byte) error {
	block, err := pinblock.FromBytes(text)
	p.NewPIN = &block
	return err
}

func takePIN(p *Payment, _ *iso8583.Message, text []byte) error {
	block, err := pinblock.FromBytes(text)
	p.PINBlock = &block
	return err
}

func putICC(p *Payment, dst []byte) ([]byte, error) { return p.ICC.AppendTo(dst), nil }

func takeICC(p *Payment, _ *iso8583.Message, text []byte) (err error) {
	p.ICC, err = emv.ParseData(text)
	return err
}

// putBalance writes account type 2, amount type 2, currency 3, sign 1, amount 12.
func putBalance(p *Payment, dst []byte) ([]byte, error) {
	if p.Balance == nil {
		return dst, nil
	}
	balance := p.Balance
	if !isDigits(balance.AccountType, 2) || !isDigits(balance.AmountType, 2) || !hasCurrency(balance.Amount) {
		return dst, fmt.Errorf("balance types or currency: %w", ErrContent)
	}
	dst = append(append(dst, balance.AccountType...), balance.AmountType...)
	dst = appendNumber(dst, uint64(balance.Amount.Currency().Number()), 3)
	amount := balance.Amount
	if amount.Minor() >= 0 {
		return amount.AppendN12(append(dst, 'C'))
	}
	amount, err := money.New(0, amount.Currency()).Sub(amount)
	if err != nil {
		return dst, err
	}
	return amount.AppendN12(append(dst, 'D'))
}

func takeBalance(p *Payment, _ *iso8583.Message, text []byte) error {
	balance := &Balance{AccountType: string(text[:2]), AmountType: string(text[2:4])}
	sign, digits := text[7], string(text[8:])
	if !isDigits(balance.AccountType, 2) || !isDigits(balance.AmountType, 2) || !isDigits(digits, 12) || sign != 'C' && sign != 'D' {
		return ErrContent
	}
	currency, err := parseCurrency(text[4:7])
	if err != nil {
		return err
	}
	if balance.Amount, err = parseN12(text[8:], currency); err != nil {
		return err
	}
	if sign == 'D' {
		if balance.Amount.IsZero() {
			return fmt.Errorf("zero owed: %w", ErrContent) // a second spelling of zero
		}
		balance.Amount = money.New(-balance.Amount.Minor(), currency)
	}
	p.Balance = balance
	return nil
}
