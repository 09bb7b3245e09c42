package soft

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/money"
	"tapnet/pan"
)

// HTTP statuses of the cloud.
const (
	statusOK        = 200
	statusMalformed = 400
	statusForbidden = 403
	statusUnknown   = 404
	statusConflict  = 409
)

// Why a token is suspended. A copy's reason begins with SuspendedClone.
const (
	SuspendedLost    = "lost"
	SuspendedClone   = "clone: "
	SuspendedGuessed = "wrong password or key"
)

// CloudOptions set a cloud up.
type CloudOptions struct {
	Random io.Reader
	Now    func() time.Time
	Suite  cryptogram.Suite // zero: 3DES
	Scheme cloudkey.Scheme  // nil: QCK1
	// Keys of a batch by class; zero: 10 of ClassDevice and 3 of ClassOpen.
	Device, Open, Password int
	Life                   time.Duration // of a key; zero: 7 days
	OpenLimit              int64         // minor units; 0: 100.00
	AmountCap              int64         // of taps without contact; 0: none
}

// Cloud makes keys for phones and checks their taps. It may be used by many threads.
type Cloud struct {
	mu      sync.Mutex
	o       CloudOptions
	master  cryptogram.Key  // IMK of cryptograms
	base    cloudkey.Secret // BDK of devices
	devices map[string]*deviceRecord
	tokens  map[string]*tokenRecord
}

type deviceRecord struct {
	Sign, Agree []byte
	Suspended   bool
}

type tokenRecord struct {
	Ref, Device, Number string
	Password            cloudkey.Secret `json:"-"`
	Salt                [cloudkey.PasswordSaltBytes]byte
	BSEQ                uint32
	NextATC             int
	Ratchet             cloudkey.Secret            `json:"-"` // what the next request must bring
	nonce               [cloudkey.NonceBytes]byte  // of the last request that was answered
	asked               uint32                     // BSEQ it brought
	last                []byte                     // and its answer
	previous            [cloudkey.SecretBytes]byte // digest of the ratchet it brought
	issued              map[uint16]issued
	used                map[uint16]string
	told                map[uint16]bool // counters the phone has reported
	due                 []uint16        // taps the next report must tell
	wrong               int             // cryptograms, since the last right one
	Suspended           string
	External            bool // somebody asked for the suspension
}

type issued struct {
	bseq     uint32
	slot     cloudkey.Slot
	class    cloudkey.Class
	notAfter int64
}

// NewCloud draws master keys.
func NewCloud(o CloudOptions) (*Cloud, error) {
	if o.Random == nil || o.Now == nil {
		return nil, errors.New("software cloud: random source and clock are needed")
	}
	if o.Suite.IsZero() {
		o.Suite = cryptogram.TDES()
	}
	if o.Scheme == nil {
		o.Scheme = cloudkey.QCK1
	}
	if o.Device+o.Open+o.Password == 0 {
		o.Device, o.Open = 10, 3
	}
	if o.Life == 0 {
		o.Life = 7 * 24 * time.Hour
	}
	if o.OpenLimit == 0 {
		o.OpenLimit = 10_000
	}
	c := &Cloud{o: o, devices: make(map[string]*deviceRecord), tokens: make(map[string]*tokenRecord)}
	base, err := cloudkey.DrawSecret(o.Random)
	if err != nil {
		return nil, err
	}
	master, err := cloudkey.DrawSecret(o.Random)
	if err != nil {
		return nil, err
	}
	key := master.Reveal()
	c.base = base
	c.master, err = cryptogram.NewKey(key[:cryptogram.KeyBytes])
	return c, err
}

// Enrol registers a device with its public keys, uncompressed points of P-256.
func (c *Cloud) Enrol(device string, sign, agree []byte) error {
	if err := cloudkey.CheckRef(device); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), sign); err != nil {
		return errors.New("enrol: signing key is no point of P-256")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.devices[device] = &deviceRecord{Sign: sign, Agree: agree}
	return nil
}

// TokenOrder is a token to be provisioned.
type TokenOrder struct {
	Ref, Device string
	Number      pan.Number // in a token range
	Expiry      pan.Expiry
	Label       string
	AID         emv.AID // "": debit
	Salt        []byte  // 16 bytes; nil: derived from the reference
	Verifier    []byte  // of the payment password, 32 bytes; nil: none
}

// PhonePDOL asks a reader for what the cryptogram covers, and no more.
var PhonePDOL = emv.DOL{
	{Tag: emv.TagTTQ, Len: 4}, {Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagAmountOther, Len: 6}, {Tag: emv.TagTerminalCountry, Len: 2},
	{Tag: emv.TagTVR, Len: 5}, {Tag: emv.TagCurrency, Len: 2}, {Tag: emv.TagTransactionDate, Len: 3}, {Tag: emv.TagTransactionType, Len: 1},
	{Tag: emv.TagUnpredictableNumber, Len: 4},
}

// Salt is the salt of a token's password.
func Salt(ref string) (salt [cloudkey.PasswordSaltBytes]byte) {
	digest := cloudkey.BindingKey(cloudkey.Secret{}, "salt", ref, cloudkey.ClassOpen).Digest()
	copy(salt[:], digest[:])
	return salt
}

// Provision makes a token for a device and returns its profile in an envelope.
func (c *Cloud) Provision(o TokenOrder) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.devices[o.Device]
	if d == nil {
		return nil, errors.New("provision: device is not enrolled")
	}
	ratchet, err := cloudkey.DrawSecret(c.o.Random)
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	track2, err := pan.NewTrack2(o.Number, o.Expiry, "201", "")
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	t := &tokenRecord{Ref: o.Ref, Device: o.Device, Number: o.Number.Reveal(), NextATC: 1, Ratchet: ratchet, issued: make(map[uint16]issued),
		used: make(map[uint16]string), told: make(map[uint16]bool), Salt: Salt(o.Ref)}
	if o.Verifier != nil {
		if t.Password, err = cloudkey.NewSecret(o.Verifier); err != nil {
			return nil, fmt.Errorf("provision: %w", err)
		}
	}
	if o.AID == "" {
		o.AID = emv.AIDDebit
	}
	p := &cloudkey.Profile{
		Token: o.Ref, Device: o.Device, Scheme: c.o.Scheme.ID(), AID: o.AID, Label: o.Label, Priority: 1, Language: "zh", PDOL: PhonePDOL,
		AIP: emv.AIP{0x10, 0}, Track2: track2, Sequence: sequence, DKI: 1, CVN: cryptogram.CVN01, Algorithm: c.o.Suite.AlgorithmID(),
		Currency: money.CNY, OpenLimit: c.o.OpenLimit, Salt: t.Salt, Ratchet: ratchet,
	}
	for class := cloudkey.ClassOpen; class.Valid(); class++ {
		key := cloudkey.BindingKey(c.base, o.Device, o.Ref, class).Reveal()
		wrapped, err := c.wrap(cloudkey.PurposeBinding, cloudkey.BindingAlias(o.Ref, class), d.Agree, key[:])
		if err != nil {
			return nil, fmt.Errorf("provision: %w", err)
		}
		p.Bindings = append(p.Bindings, cloudkey.Binding{Class: class, Wrapped: wrapped})
	}
	plain, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	c.tokens[o.Ref] = t
	return c.wrap(cloudkey.PurposeProfile, o.Device, d.Agree, plain)
}

const sequence = "01"

func (c *Cloud) wrap(purpose, context string, recipient, plain []byte) ([]byte, error) {
	ephemeral, err := cloudkey.NewEphemeral(c.o.Random)
	if err != nil {
		return nil, err
	}
	return cloudkey.Wrap(purpose, context, recipient, plain, ephemeral)
}

// Suspend stops a device's tokens at once: the phone need not be reached. With "" those that Suspend stopped go on; what the cloud itself
// stopped, for a copy or wrong passwords, does not.
func (c *Cloud) Suspend(device, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tokens {
		if t.Device == device && (why != "" && t.Suspended == "" || why == "" && t.External) {
			t.Suspended, t.External = why, why != ""
		}
	}
}

// State says why a token is suspended; "" when it is not.
func (c *Cloud) State(ref string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.tokens[ref]; t != nil {
		return t.Suspended
	}
	return "unknown"
}

// Post is the cloud's network: replenish and confirm.
func (c *Cloud) Post(path string, body []byte) (status int, answer []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasSuffix(path, "/keys:replenish"):
		status, answer = c.replenish(body)
	case strings.HasSuffix(path, "/keys:confirm"):
		status = c.confirm(body)
	default:
		status = statusUnknown
	}
	return status, answer, nil
}

// known finds token and device of a request and checks the signature.
func (c *Cloud) known(token, device string, signed cloudkey.Signed) (*tokenRecord, *deviceRecord, int) {
	t, d := c.tokens[token], c.devices[device]
	if t == nil || d == nil || t.Device != device {
		return nil, nil, statusUnknown
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), d.Sign)
	if err != nil || !signed.By(key) || t.Suspended != "" {
		return nil, nil, statusForbidden
	}
	return t, d, statusOK
}

func (c *Cloud) replenish(body []byte) (int, []byte) {
	q, signed, err := cloudkey.ParseReplenish(body)
	if err != nil {
		return statusMalformed, nil
	}
	t, d, status := c.known(q.Token, q.Device, signed)
	if status != statusOK {
		return status, nil
	}
	switch {
	case t.last != nil && q.Nonce == t.nonce && q.BSEQ == t.asked && q.Ratchet.Digest() == t.previous:
		return statusOK, t.last // the same request again
	case q.BSEQ != t.BSEQ || !q.Ratchet.Equal(t.Ratchet):
		t.Suspended = SuspendedClone + "ratchet fork" // two phones hold one state
		return statusForbidden, nil
	}
	claimed := make(map[uint16]bool, len(q.Used))
	for _, u := range q.Used {
		claimed[u.ATC] = true
	}
	for _, atc := range t.due {
		if !claimed[atc] {
			t.Suspended = SuspendedClone + "unknown tap" // a tap that this phone did not make
			return statusForbidden, nil
		}
	}
	batch, err := c.batch(t, d, &q)
	if err != nil {
		return statusConflict, nil
	}
	// The request may have waited while the phone tapped on: what it does not tell now it tells the next time.
	t.due = nil
	for atc := range t.used {
		if !claimed[atc] && !t.told[atc] {
			t.due = append(t.due, atc)
		}
	}
	maps.Copy(t.told, claimed)
	t.nonce, t.asked, t.previous, t.last = q.Nonce, q.BSEQ, q.Ratchet.Digest(), batch.Bytes()
	return statusOK, t.last
}

func (c *Cloud) confirm(body []byte) int {
	q, signed, err := cloudkey.ParseConfirm(body)
	if err != nil {
		return statusMalformed
	}
	t, _, status := c.known(q.Token, q.Device, signed)
	if status != statusOK {
		return status
	}
	if q.BSEQ != t.BSEQ {
		return statusConflict
	}
	for atc, k := range t.issued {
		if _, tapped := t.used[atc]; k.bseq < t.BSEQ && !tapped {
			delete(t.issued, atc) // revoked; a real service waits for late taps
		}
	}
	return statusOK
}
