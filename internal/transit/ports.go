package transit

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/delivery"
	"tapnet/internal/transit/fares"
	"tapnet/money"
)

// Opener opens what a gate sealed for the back office: the card's data objects, bound to the record they belong to.
type Opener interface {
	Open(sealed, additional []byte) ([]byte, error)
}

// Keys are the keys of the deny list in the operator's security module: any epoch's, made when first asked for, and never lost. They are asked by many
// goroutines.
type Keys interface {
	Of(epoch denylist.Epoch) (gate.Identifier, error)
	// For is an epoch's key for a device that does not hold it.
	For(device string, epoch denylist.Epoch) (gate.SealedKey, error)
}

// OneKey is the key of an operator that has no other: a rotation is refused.
func OneKey(ids gate.Identifier) Keys { return oneKey{ids} }

type oneKey struct{ ids gate.Identifier }

var errOneKey = errors.New("transit: there is one key and no other")

func (k oneKey) Of(epoch denylist.Epoch) (gate.Identifier, error) {
	if k.ids == nil || epoch != k.ids.Epoch() {
		return nil, fmt.Errorf("key of epoch %d: %w", epoch, errOneKey)
	}
	return k.ids, nil
}

func (k oneKey) For(_ string, epoch denylist.Epoch) (gate.SealedKey, error) {
	return gate.SealedKey{}, fmt.Errorf("key of epoch %d: %w", epoch, errOneKey)
}

// Place is where a station's number stands in the tariff.
type Place struct {
	Service   string
	Place     string
	Route     string
	Direction string
	Stop      int
	// Inspects is set for devices of inspectors: their taps are never charged.
	Inspects bool
}

// Deps is what an office needs from outside.
type Deps struct {
	Terminal string // field 41: the office is a terminal of its acquirer
	Merchant string // field 42
	Acquirer string // the acquirer as a peer
	Vault    delivery.Sealer
	SealKey  string
	Opener   Opener
	Keys     Keys           // of the deny list
	Epoch    denylist.Epoch // the first one; later ones follow from the journal
	Signer   crypto.Signer  // Ed25519, of the deny list
	Devices  map[string]gate.ChainKey
	Stations map[uint32]Place
	Book     *fares.Book
	Calendar fares.Calendar // the same as the book's
	Currency money.Currency
	Profile  Profile
	// AnswerWithin is how long the acquirer may take; zero is the practice of the trade [REF 6.5].
	AnswerWithin time.Duration
	// Under is how many requests may be under way at a time; zero is underDefault.
	Under int
	// ListEvery is the time between two deltas when something has changed; ListLife is how long a gate may go without a newer one.
	ListEvery, ListLife time.Duration
	// ClockAhead is how far a device's clock may be ahead; a tap from further in the future is taken to be of when it came in.
	ClockAhead time.Duration
}

// Defaults of Deps.
const (
	answerWithinDefault = 60 * time.Second
	underDefault        = 64
	listEveryDefault    = time.Minute
	listLifeDefault     = day
	clockAheadDefault   = 5 * time.Minute
)

func (d *Deps) withDefaults() {
	set := func(value *time.Duration, to time.Duration) {
		if *value <= 0 {
			*value = to
		}
	}
	set(&d.AnswerWithin, answerWithinDefault)
	set(&d.ListEvery, listEveryDefault)
	set(&d.ListLife, listLifeDefault)
	set(&d.ClockAhead, clockAheadDefault)
	if d.Under <= 0 {
		d.Under = underDefault
	}
}

func (d *Deps) check() error {
	if d.Terminal == "" || d.Merchant == "" || d.Acquirer == "" || d.Vault == nil || d.SealKey == "" || d.Opener == nil || d.Keys == nil || d.Signer == nil ||
		d.Book == nil || d.Currency.IsZero() {
		return errors.New("transit: terminal, merchant, acquirer, vault, seal key, opener, keys of the deny list, signer, tariffs and currency are needed")
	}
	if _, err := d.Keys.Of(d.Epoch); err != nil {
		return fmt.Errorf("transit: the deny list's first key: %w", err)
	}
	if _, ok := d.Signer.Public().(ed25519.PublicKey); !ok {
		return errors.New("transit: the deny list is signed with an Ed25519 key")
	}
	for number, place := range d.Stations {
		if place.Service == "" {
			return fmt.Errorf("transit: station %d has no service", number)
		}
	}
	return d.Profile.Check()
}

// closingInstant is when a service day ends.
func (d *Deps) closingInstant(date fares.Date) time.Time { return d.Calendar.Begins(date + 1) }

// trust is whose lists this office makes.
func (d *Deps) trust() denylist.Trust {
	key, _ := d.Signer.Public().(ed25519.PublicKey)
	trust, err := denylist.NewTrust(key)
	if err != nil {
		return denylist.Trust{} // trusts nobody; New has refused such a signer
	}
	return trust
}
