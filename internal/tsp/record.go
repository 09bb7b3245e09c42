package tsp

import (
	"slices"
	"time"

	"tapnet/internal/hsm"
	"tapnet/internal/tsp/tspapi"
)

// What the service keeps is records of six kinds, each a cell in the store. Records are never changed: a decision makes a new one, so that Prepare may read
// beside the writer. A record's number counts its kind from 1, and its cell's number is number<<2 | kind; the settings are one cell of their own.
const (
	kindRequestor = 0
	kindCard      = 1
	kindDevice    = 2
	kindToken     = 3

	kindBits = 2
	// settingsCell is above every record's and below those of what is open (journal.FirstBegun).
	settingsCell int64 = 1<<40 - 1
	// maxRecords of a kind keep cells below settingsCell.
	maxRecords = 1<<37 - 1
)

func cellOf(kind int64, number uint64) int64 { return int64(number)<<kindBits | kind }

// kindOf is the kind of a cell that counts, -1 for the settings and for histories.
func kindOf(cell int64) int64 {
	if cell >= historyBase {
		return -1
	}
	return cell & (1<<kindBits - 1)
}

// record is one of *Requestor, *Card, *Device, *Token, *history and *settings.
type record interface {
	cell() int64
	// name is the second way to find the record; zero for none.
	name() [16]byte
	append(dst []byte) []byte
}

// Requestor is a token requestor.
type Requestor struct {
	Number      uint64
	ID          string // token requestor id, 11 digits
	Entity      string
	Certificate string // common name it calls with
	UseCases    uint8  // bit per storage, 1 << (storage-1)
	Domain      tspapi.Domain
	Policy      tspapi.Policy
	Webhook     string
	Suspended   bool
}

func (r *Requestor) cell() int64    { return cellOf(kindRequestor, r.Number) }
func (r *Requestor) name() [16]byte { return [16]byte{} }

// cardState is a card's standing here.
type cardState uint8

const (
	cardOpen     cardState = iota + 1
	cardReplaced           // its tokens are another card's now
	cardClosed
)

// Card is an account number as the vault has it, with the tokens that stand for it.
type Card struct {
	Number    uint64
	Name      [16]byte // keyed fingerprint of the account number
	Sealed    []byte   // the account number; nil once it is replaced
	Tenant    string   // the bank whose number it is
	Epoch     uint32   // of the data key
	Expiry    string   // YYMM
	Sequence  string
	Last4     string
	State     cardState
	PAR       uint64   // from which the payment account reference is made: the number of the first card of the account
	Successor uint64   // the card that replaced it
	Tokens    []uint64 // that are not deleted, oldest first
}

func (c *Card) cell() int64    { return cellOf(kindCard, c.Number) }
func (c *Card) name() [16]byte { return c.Name }

// maxTokensOfCard bounds a card's tokens and with them its cell and the rows that change all of them: one per device and requestor, and nobody has so many.
const maxTokensOfCard = 32

// Account is what a resolution needs of a card. A token that is not deleted carries a copy, so that one look into the store is enough; every change of the card
// changes the copies in the same row.
type Account struct {
	Name     [16]byte // the card's
	Sealed   []byte
	Tenant   string
	Epoch    uint32
	Expiry   string
	Sequence string
	PAR      uint64
}

func (c *Card) account() *Account {
	return &Account{Name: c.Name, Sealed: c.Sealed, Tenant: c.Tenant, Epoch: c.Epoch, Expiry: c.Expiry, Sequence: c.Sequence, PAR: c.PAR}
}

// Device is where tokens of one requestor are.
type Device struct {
	Number    uint64
	Name      [16]byte // hash of requestor and reference
	Reference string
	Requestor uint64
	Owner     string
	Hardware  bool  // its keys are vouched for by hardware
	SIM       int64 // when a change of its SIM was told last, seconds since 1970
	Lost      bool
	Tokens    []uint64 // that are not deleted, oldest first
	Default   uint64   // one of them; 0 only when there are none
}

func (d *Device) cell() int64    { return cellOf(kindDevice, d.Number) }
func (d *Device) name() [16]byte { return d.Name }

// Token stands for a card on a device.
type Token struct {
	Number     uint64
	Name       [16]byte // keyed fingerprint of the token number
	Sealed     []byte   // the token number
	Masked     string
	Card       uint64
	Device     uint64
	Requestor  uint64
	Storage    uint8
	Method     Method
	Expiry     string // YYMM
	State      State
	Suspenders Suspenders
	IDV        idvMethod // how its holder was verified; 0 not
	Created    int64     // seconds since 1970
	Activated  int64     // 0: never
	Used       int32     // business date of the last resolution
	Narrowed   bool      // Domain counts, instead of the requestor's
	Domain     tspapi.Domain
	Challenge  challenge
	Reference  string   // of the device
	Account    *Account // nil once it is deleted
}

// challenge is a verification of the holder that is under way. The zero value is none.
type challenge struct {
	Method  idvMethod
	Expires int64    // seconds since 1970
	Tries   uint8    // left
	Code    [16]byte // keyed hash of the one-time code
}

func (t *Token) cell() int64    { return cellOf(kindToken, t.Number) }
func (t *Token) name() [16]byte { return t.Name }

// coolingUntil is when the token's first hours are over.
func (t *Token) coolingUntil(p tspapi.Policy) time.Time {
	if t.Activated == 0 || p.CoolingHours == 0 {
		return time.Time{}
	}
	return time.Unix(t.Activated, 0).UTC().Add(time.Duration(p.CoolingHours) * time.Hour)
}

// limited reports whether the holder was only weakly verified.
func (t *Token) limited() bool { return !t.IDV.info().full }

// settings is what there is one of: how many records of each kind, the data keys, and how far a re-key has come.
type settings struct {
	Count [1 << kindBits]uint64
	Keys  []hsm.DataKey // those in use; of a tenant with two, numbers move to the later one
	Rekey rekey
}

// rekey is a change of a tenant's data key under way. The zero value is none.
type rekey struct {
	Tenant string
	Done   uint64 // every card up to this number has been looked at
}

func (s *settings) cell() int64    { return settingsCell }
func (s *settings) name() [16]byte { return [16]byte{} }

// key finds a data key.
func (s *settings) key(tenant string, epoch uint32) (hsm.DataKey, bool) {
	for _, k := range s.Keys {
		if k.Tenant == tenant && k.Epoch == epoch {
			return k, true
		}
	}
	return hsm.DataKey{}, false
}

// latest is the data key of a tenant under which new numbers are sealed.
func (s *settings) latest(tenant string) (key hsm.DataKey, found bool) {
	for _, k := range s.Keys {
		if k.Tenant == tenant && (!found || k.Epoch > key.Epoch) {
			key, found = k, true
		}
	}
	return key, found
}

func (s *settings) clone() *settings {
	c := *s
	c.Keys = slices.Clone(s.Keys)
	return &c
}

// without gives a list with one number less; the given one stays as it is.
func without(list []uint64, number uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(list), func(n uint64) bool { return n == number })
}

// with gives a list with one number more; the given one stays as it is.
func with(list []uint64, number uint64) []uint64 {
	return append(slices.Clip(slices.Clone(list)), number)
}
