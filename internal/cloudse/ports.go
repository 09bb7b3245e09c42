package cloudse

import (
	"errors"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/pan"
)

// Vault is what the cloud secure element asks of its HSM. Keys are named; none is seen.
type Vault interface {
	PANFingerprint(key string, number pan.Number) ([16]byte, error)
	SealPAN(key string, number pan.Number) ([]byte, error)
	OpenPAN(key string, sealed []byte) (pan.Number, error)
	EnrolCloudDevice(e hsm.CloudEnrolment) (hsm.CloudEnrolled, error)
	DeriveCloudBatch(o hsm.CloudOrder) (hsm.CloudBatch, error)
	VerifyCloud(check hsm.CloudCheck) (hsm.CloudResult, error)
}

// KeyNames names the keys in the HSM. A master serves the tokens of one suite: its name is Master and the algorithm of the suite.
type KeyNames struct {
	Master      func(algorithm byte) string
	Base        string
	Data        string // seals passwords' verifiers and tokens' numbers
	Fingerprint string
}

// Policy is what the institution decides. Zero values are the defaults beside them.
type Policy struct {
	CVMKeys       int           // 10: keys with cardholder verification in a batch
	OpenKeys      int           // 3: keys without
	KeyLife       time.Duration // 7 days
	SoftwareLife  time.Duration // 72 hours, of keys in software
	ConfirmGrace  time.Duration // 2 hours: keys of the batch before stay good so long after a confirmation
	LateGrace     time.Duration // 24 hours: payments that reach us late, after the life of their key
	RepeatWindow  time.Duration // 1 minute: a request that was answered may still be on its way so long
	WrongMost     int           // 3: wrong cryptograms before the keys are suspended
	RefillAt      byte          // 3 keys left
	RefillPercent byte          // 70 of the life
	ArmSeconds    byte          // 60
	Limits        cloudseapi.Limits
	Country       string        // 156: taps elsewhere are foreign
	CVMAge        time.Duration // 30 s: older verifications do not count above the limit without verification
	MaxLatency    time.Duration // 300 ms: the phone waited longer for the reader, as with a relay; negative: not looked at
	CVMCategories []string      // merchant categories that need a verified cardholder at any amount: cash and gambling
}

// DefaultPolicy is what a zero Policy means [REF 8].
func DefaultPolicy() Policy {
	return Policy{
		CVMKeys: 10, OpenKeys: 3, KeyLife: 7 * 24 * time.Hour, SoftwareLife: 72 * time.Hour, ConfirmGrace: 2 * time.Hour, LateGrace: 24 * time.Hour,
		RepeatWindow: time.Minute, WrongMost: 3, RefillAt: 3, RefillPercent: 70, ArmSeconds: 60, Country: "156",
		CVMAge: 30 * time.Second, MaxLatency: 300 * time.Millisecond,
		CVMCategories: []string{"6010", "6011", "6051", "7995"},
		Limits: cloudseapi.Limits{OpenTapMinor: 100_000, TapMinor: 500_000, DayMinor: 2_000_000, DayCount: 50, ForeignDayMinor: 500_000, ContactTaps: 13,
			ContactMinor: 2_000_000},
	}
}

func (p Policy) orDefault() Policy {
	d := DefaultPolicy()
	set(&p.CVMKeys, d.CVMKeys)
	set(&p.OpenKeys, d.OpenKeys)
	set(&p.KeyLife, d.KeyLife)
	set(&p.SoftwareLife, d.SoftwareLife)
	set(&p.ConfirmGrace, d.ConfirmGrace)
	set(&p.LateGrace, d.LateGrace)
	set(&p.RepeatWindow, d.RepeatWindow)
	set(&p.WrongMost, d.WrongMost)
	set(&p.RefillAt, d.RefillAt)
	set(&p.RefillPercent, d.RefillPercent)
	set(&p.ArmSeconds, d.ArmSeconds)
	set(&p.Country, d.Country)
	set(&p.CVMAge, d.CVMAge)
	set(&p.MaxLatency, d.MaxLatency)
	if p.CVMCategories == nil {
		p.CVMCategories = d.CVMCategories
	}
	p.Limits = limitsOr(p.Limits, d.Limits)
	return p
}

// limitsOr fills in what is zero.
func limitsOr(l, d cloudseapi.Limits) cloudseapi.Limits {
	set(&l.OpenTapMinor, d.OpenTapMinor)
	set(&l.TapMinor, d.TapMinor)
	set(&l.DayMinor, d.DayMinor)
	set(&l.DayCount, d.DayCount)
	set(&l.ForeignDayMinor, d.ForeignDayMinor)
	set(&l.ContactTaps, d.ContactTaps)
	set(&l.ContactMinor, d.ContactMinor)
	return l
}

func set[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Deps is what the cloud secure element needs from outside.
type Deps struct {
	Institution string // own institution id
	Vault       Vault
	Keys        KeyNames
	Calendar    clock.Calendar
	Policy      Policy
	Capacity    Capacity
	// Notify is told of alarms after their commit, on the goroutine of Finish; it must not block. Nil tells nobody.
	Notify func(cloudseapi.Alarm)
}

// errKeys says that a batch would have no keys, or more than a phone takes.
var errKeys = errors.New("cloudse: a batch has 1 to 32 keys")

func (d *Deps) check() error {
	k := d.Keys
	if d.Institution == "" || d.Vault == nil || k.Master == nil || k.Base == "" || k.Data == "" || k.Fingerprint == "" {
		return errors.New("cloudse: institution, vault and key names are needed")
	}
	return nil
}

// Capacity bounds what is kept in memory; zero is the default of each.
type Capacity struct {
	Tokens int // tokens; more than these may be held while they wait to be written back
	journal.Capacity
}

// defaultTokens take some 500 MB, in a service that has so many.
const defaultTokens = 1 << 19

func (c Capacity) orDefault() Capacity {
	c.Capacity = c.Capacity.OrDefault()
	if c.Tokens <= 0 {
		c.Tokens = defaultTokens
	}
	return c
}
