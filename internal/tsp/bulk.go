package tsp

import (
	"fmt"
	"time"

	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/pan"
)

// Bulk makes a vault as it is after years, without the years: the cells of made-up tokens, each of a card and a device of its own, in the last of the
// service's ranges. The cells of cards and devices are left out: nobody looks at them to resolve a token. It is for measurements. Name and Add
// may run anywhere.
type Bulk struct {
	core  *TSP
	key   hsm.DataKey
	given Range
}

// bulkDigits are the digits that count made-up cards and tokens.
const bulkDigits = 8

// NewBulk makes the data key and the requestor of made-up tokens.
func NewBulk(s *TSP) (*Bulk, error) {
	if len(s.deps.Ranges) == 0 {
		return nil, errRange
	}
	b := &Bulk{core: s, given: s.deps.Ranges[len(s.deps.Ranges)-1]}
	var err error
	b.key, err = s.deps.Numbers.NewDataKey(b.given.Issuer, 1)
	return b, err
}

// Token is the number of the n-th made-up token, from 1.
func (b *Bulk) Token(n uint64) (pan.Number, error) { return b.number(b.given.Prefix, n) }

func (b *Bulk) number(prefix string, n uint64) (pan.Number, error) {
	return pan.CompleteLuhn(fmt.Sprintf("%s%0*d", prefix, bulkDigits, n))
}

// Name is the name under which the n-th token is found.
func (b *Bulk) Name(n uint64) ([16]byte, error) {
	token, err := b.Token(n)
	if err != nil {
		return [16]byte{}, err
	}
	return b.core.deps.Vault.PANFingerprint(b.core.deps.Keys.Fingerprint, token)
}

// Settings adds the cells that say how many there are; they come last.
func (b *Bulk) Settings(back *journal.Back, count uint64) {
	q := &Requestor{Number: 1, ID: b.core.deps.Code + "00000001", Entity: "made up", Certificate: "made-up", UseCases: 0xF,
		Policy: tspapi.Policy{TokenMonths: 36, DeviceTokens: 1}}
	kept := &settings{Count: [1 << kindBits]uint64{kindRequestor: 1, kindCard: count, kindDevice: count, kindToken: count}, Keys: []hsm.DataKey{b.key}}
	for _, r := range []record{q, kept} {
		cell := back.Add(r.cell(), r.name(), 1)
		cell.Data = r.append(cell.Data)
	}
	back.Watermark = 1
}

// Add adds the cell of the n-th token, whose record has that number: any, each once.
func (b *Bulk) Add(back *journal.Back, n, record uint64, now time.Time) error {
	s := b.core
	card, err := b.number(b.given.IssuerPrefix, n)
	if err != nil {
		return err
	}
	token, err := b.Token(n)
	if err != nil {
		return err
	}
	t := &Token{
		Number: record, Masked: token.Masked(), Card: record, Device: record, Requestor: 1, Storage: b.given.Storage, Method: b.given.Method, Expiry: "4912",
		State: Active, IDV: idvBankApp, Created: now.Unix(), Activated: now.Unix(), Used: s.deps.Calendar.BusinessDate(now), Reference: fmt.Sprint("phone-", n),
		Account: &Account{Tenant: b.given.Issuer, Epoch: b.key.Epoch, Expiry: "4912", PAR: record},
	}
	if t.Account.Name, err = s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, card); err != nil {
		return err
	}
	if t.Name, err = s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, token); err != nil {
		return err
	}
	if t.Account.Sealed, err = s.deps.Numbers.SealNumber(b.key, t.Account.Name, card); err != nil {
		return err
	}
	if t.Sealed, err = s.deps.Vault.SealPAN(s.deps.Keys.TokenSeal, token); err != nil {
		return err
	}
	cell := back.Add(t.cell(), t.name(), 1)
	cell.Data = t.append(cell.Data)
	return nil
}
