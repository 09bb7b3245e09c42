package app

import (
	"context"
	"fmt"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/money"
	"tapnet/terminal"
	"tapnet/tlv"
)

// CardReading is what any reader can read from a card without a payment [row A4]. What the card withholds is absent. The number is masked.
type CardReading struct {
	Name         string               `json:"name"`
	Applications []ApplicationReading `json:"applications"`
	Reason       glossary.Term        `json:"reason"` // why there are none
}

// ApplicationReading is one application as read.
type ApplicationReading struct {
	AID           string        `json:"aid"`
	Label         string        `json:"label"`
	Masked        string        `json:"masked,omitempty"`
	Expiry        string        `json:"expiry,omitempty"` // YYMM
	Sequence      string        `json:"sequence,omitempty"`
	Holder        string        `json:"holder,omitempty"`
	ATC           *uint16       `json:"atc,omitempty"`
	LastOnlineATC *uint16       `json:"last_online_atc,omitempty"`
	PINTries      *byte         `json:"pin_tries,omitempty"`
	Balance       *money.Amount `json:"balance,omitempty"`
	SecondBalance *money.Amount `json:"second_balance,omitempty"` // of a purse in another currency
	BalanceLimit  *money.Amount `json:"balance_limit,omitempty"`
	SingleLimit   *money.Amount `json:"single_limit,omitempty"`
	Log           []LogReading  `json:"log"` // newest first
}

// LogReading is one record of the card's log.
type LogReading struct {
	Date     string        `json:"date"` // YYMMDD
	Time     string        `json:"time"` // hhmmss
	Amount   string        `json:"amount"`
	Merchant string        `json:"merchant"`
	ATC      string        `json:"atc"`
	Type     string        `json:"type,omitempty"` // tag 9C, two digits; empty when the card's log does not keep it
	Kind     glossary.Term `json:"kind"`           // what it was; empty for a purchase
}

// ReadCard reads a card of the world as a stranger's reader would.
func (n *Network) ReadCard(ctx context.Context, name string) (CardReading, error) {
	h, ok := n.holderNamed(name)
	if !ok {
		return CardReading{}, fmt.Errorf("%w: %q", ErrUnknownCard, shown(name))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	field := card.NewField(h.chip)
	defer field.Remove()
	reading, err := terminal.Read(ctx, field)
	if err != nil {
		return CardReading{}, fmt.Errorf("read card %q: %w", name, err)
	}
	out := CardReading{Name: name, Reason: reading.Reason.Term()}
	for i := range reading.Applications {
		out.Applications = append(out.Applications, applicationReading(&reading.Applications[i]))
	}
	return out, nil
}

func applicationReading(a *terminal.CardApplication) ApplicationReading {
	r := ApplicationReading{
		AID: a.AID.String(), Label: a.Label, Sequence: a.Sequence, Holder: a.Holder, ATC: a.ATC, LastOnlineATC: a.LastOnlineATC, PINTries: a.PINTries,
		Balance: a.Balance, SecondBalance: a.SecondBalance, BalanceLimit: a.BalanceLimit, SingleLimit: a.SingleLimit,
	}
	if !a.PAN.IsZero() {
		r.Masked, r.Expiry = a.PAN.Masked(), a.Expiry.YYMM()
	}
	for _, record := range a.Log.Records {
		r.Log = append(r.Log, logReading(record, a.Currency))
	}
	return r
}

// logReading puts a record of a card's log into words. An amount is in the currency that the record names, or in the application's.
func logReading(record emv.Data, currency money.Currency) LogReading {
	if b := record.Get(emv.TagCurrency); len(b) == 2 {
		number := int(b[0]>>4)*1000 + int(b[0]&0xF)*100 + int(b[1]>>4)*10 + int(b[1]&0xF)
		if own, err := money.CurrencyByNumber(number); err == nil {
			currency = own
		}
	}
	hex := func(tag tlv.Tag) string { return fmt.Sprintf("%X", record.Get(tag)) }
	l := LogReading{Date: hex(emv.TagTransactionDate), Time: hex(emv.TagTransactionTime), ATC: hex(emv.TagATC)}
	if amount, err := money.FromBCD(record.Get(emv.TagAmount), currency); err == nil {
		l.Amount = amount.String()
	}
	l.Merchant = printable(record.Get(emv.TagMerchantName))
	if kind := record.Get(emv.TagTransactionType); len(kind) == 1 {
		if l.Type = hex(emv.TagTransactionType); kind[0] != 0 {
			l.Kind = explain.TransactionType(kind[0])
		}
	}
	return l
}

// printable keeps the printable ASCII of a card's text, without the padding.
func printable(b []byte) string {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c >= ' ' && c < 0x7F {
			out = append(out, c)
		}
	}
	for len(out) > 0 && out[len(out)-1] == ' ' {
		out = out[:len(out)-1]
	}
	return string(out)
}
