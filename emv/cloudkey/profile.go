package cloudkey

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/money"
	"tapnet/pan"
)

// Limits of a profile.
const (
	MaxProfileBytes = 6144
	maxRecords      = 8
	maxRecordBytes  = 200 // one answer holds it with template and status word
	maxLabelBytes   = 16  // tag 50
	profileVersion  = 1
)

// Profile is a token as the cloud gives it to a phone, once, inside an envelope: what the phone shows a reader, and what it needs to ask for
// keys. It holds the token's number: print it freely, store it only sealed.
type Profile struct {
	Token, Device string
	Scheme        SchemeID
	AID           emv.AID
	Label         string
	Priority      byte
	Language      string
	PDOL          emv.DOL
	AIP           emv.AIP
	CTQ           emv.CTQ // the bits that do not depend on the tap
	Track2        pan.Track2
	Sequence      string // tag 5F34, two digits
	DKI, CVN      byte
	Algorithm     byte // of the cryptogram suite
	Currency      money.Currency
	OpenLimit     int64 // largest amount of a key without cardholder verification, minor units; 0: the server alone decides
	AFL           emv.AFL
	Records       []ProfileRecord
	Salt          [PasswordSaltBytes]byte
	Ratchet       Secret // R(0)
	Bindings      []Binding
}

// ProfileRecord is the contents of template 70 of one record.
type ProfileRecord struct {
	SFI, Number byte
	Body        []byte
}

// Binding is K_bind of a class in an envelope for the device's key store.
type Binding struct {
	Class   Class
	Wrapped []byte
}

// BindingAlias is what a key store calls K_bind of a token and class; it is the context of the envelope as well.
func BindingAlias(token string, class Class) string { return fmt.Sprintf("bind/%s/%d", token, class) }

// Suite is the cryptogram suite of the token.
func (p *Profile) Suite() (cryptogram.Suite, error) {
	suite, ok := cryptogram.Standard(p.Algorithm)
	if !ok {
		return cryptogram.Suite{}, fmt.Errorf("algorithm %02X: %w", p.Algorithm, ErrFormat)
	}
	return suite, nil
}

type profileFile struct {
	Version                   int
	Token, Device             string
	Scheme                    SchemeID
	AID                       []byte
	Label, Language, Sequence string
	Priority                  byte
	PDOL, AIP, CTQ, Track2    []byte
	DKI, CVN, Algorithm       byte
	Currency                  string
	OpenLimit                 int64           `json:",omitempty"`
	AFL                       []byte          `json:",omitempty"`
	Records                   []ProfileRecord `json:",omitempty"`
	Salt, Ratchet             []byte
	Bindings                  []Binding `json:",omitempty"`
}

// Bytes is the profile in the clear, as JSON: for an envelope or sealed storage.
func (p *Profile) Bytes() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("encode profile: %w", err)
	}
	f := profileFile{
		Version: profileVersion, Token: p.Token, Device: p.Device, Scheme: p.Scheme, AID: p.AID.Bytes(), Label: p.Label, Language: p.Language,
		Sequence: p.Sequence, Priority: p.Priority, PDOL: p.PDOL.Bytes(), AIP: p.AIP[:], CTQ: p.CTQ[:], Track2: p.Track2.Packed(), DKI: p.DKI,
		CVN: p.CVN, Algorithm: p.Algorithm, Currency: p.Currency.Code(), OpenLimit: p.OpenLimit, AFL: p.AFL.Bytes(), Records: p.Records,
		Salt: p.Salt[:], Ratchet: p.Ratchet.b[:], Bindings: p.Bindings,
	}
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode profile: %w", err)
	}
	return b, nil
}

// ParseProfile reads a profile. The error wraps ErrFormat.
func ParseProfile(b []byte) (*Profile, error) {
	if len(b) > MaxProfileBytes {
		return nil, fmt.Errorf("parse profile of %d bytes, at most %d: %w", len(b), MaxProfileBytes, ErrFormat)
	}
	var f profileFile
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("parse profile: %w", ErrFormat) // the cause may quote the profile
	}
	if f.Version != profileVersion || d.More() {
		return nil, fmt.Errorf("parse profile: version %d, want %d: %w", f.Version, profileVersion, ErrFormat)
	}
	p := &Profile{
		Token: f.Token, Device: f.Device, Scheme: f.Scheme, Label: f.Label, Language: f.Language, Sequence: f.Sequence, Priority: f.Priority,
		DKI: f.DKI, CVN: f.CVN, Algorithm: f.Algorithm, OpenLimit: f.OpenLimit, Records: f.Records, Bindings: f.Bindings,
	}
	var failed string
	read := func(name string, parse func() error) {
		if failed == "" && parse() != nil {
			failed = name
		}
	}
	read("application identifier", func() (err error) { p.AID, err = emv.ParseAID(f.AID); return })
	read("PDOL", func() (err error) { p.PDOL, err = emv.ParseDOL(f.PDOL); return })
	read("AIP", func() (err error) { p.AIP, err = emv.ParseAIP(f.AIP); return })
	read("CTQ", func() (err error) { p.CTQ, err = emv.ParseCTQ(f.CTQ); return })
	read("track 2", func() (err error) { p.Track2, err = pan.ParseTrack2(f.Track2); return })
	read("currency", func() (err error) { p.Currency, err = money.ParseCurrency(f.Currency); return })
	read("ratchet", func() (err error) { p.Ratchet, err = NewSecret(f.Ratchet); return })
	read("AFL", func() (err error) {
		if len(f.AFL) > 0 {
			p.AFL, err = emv.ParseAFL(f.AFL)
		}
		return err
	})
	if failed == "" && copy(p.Salt[:], f.Salt) != len(f.Salt) || failed == "" && len(f.Salt) != PasswordSaltBytes {
		failed = "salt"
	}
	if failed != "" {
		return nil, fmt.Errorf("parse profile: %s is malformed: %w", failed, ErrFormat)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("parse profile: %w", err)
	}
	return p, nil
}

// check is what a profile must be to be served.
func (p *Profile) check() error {
	if err := CheckRef(p.Token); err != nil {
		return err
	}
	if err := CheckRef(p.Device); err != nil {
		return err
	}
	if _, err := SchemeOf(p.Scheme); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if _, err := p.Suite(); err != nil {
		return err
	}
	switch {
	case p.Track2.IsZero() || p.Currency.IsZero() || p.Ratchet.IsZero():
		return fmt.Errorf("profile has no track 2, currency or ratchet: %w", ErrFormat)
	case len(p.Label) == 0 || len(p.Label) > maxLabelBytes || len(p.Language)%2 != 0 || len(p.Language) > 8:
		return fmt.Errorf("label or language of a profile is too long: %w", ErrFormat)
	case len(p.Sequence) != 2 || p.Sequence[0] < '0' || p.Sequence[0] > '9' || p.Sequence[1] < '0' || p.Sequence[1] > '9':
		return fmt.Errorf("sequence number is not two digits: %w", ErrFormat)
	case p.AIP.Has(emv.AIPFullContactless) || p.AIP.Has(emv.AIPDDA) || p.AIP.Has(emv.AIPSDA):
		return fmt.Errorf("a phone's token authenticates nothing offline: %w", ErrFormat)
	case len(p.Records) > maxRecords || p.OpenLimit < 0 || len(p.Bindings) > int(ClassPassword)+1:
		return fmt.Errorf("profile has too many records or bindings: %w", ErrFormat)
	}
	for _, b := range p.Bindings {
		if !b.Class.Valid() || len(b.Wrapped) > MaxEnvelopeBytes {
			return fmt.Errorf("binding of %v is malformed: %w", b.Class, ErrFormat)
		}
	}
	return p.checkRecords()
}

func (p *Profile) checkRecords() error {
	for _, r := range p.Records {
		if r.SFI == 0 || r.SFI > 30 || r.Number == 0 || len(r.Body) == 0 || len(r.Body) > maxRecordBytes {
			return fmt.Errorf("record %d.%d cannot be served: %w", r.SFI, r.Number, ErrFormat)
		}
		if _, err := emv.ParseData(r.Body); err != nil {
			return fmt.Errorf("record %d.%d: %w", r.SFI, r.Number, ErrFormat)
		}
	}
	for listed := range p.AFL.Records() {
		found := false
		for _, r := range p.Records {
			found = found || r.SFI == listed.SFI && r.Number == listed.Number
		}
		if !found {
			return fmt.Errorf("AFL lists record %d.%d, which is not there: %w", listed.SFI, listed.Number, ErrFormat)
		}
	}
	return nil
}

// String names the token, never its number.
func (p *Profile) String() string {
	return fmt.Sprintf("profile of token %s (%s)", p.Token, p.Track2.PAN().Masked())
}

// Format prints String for every verb.
func (p Profile) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// MarshalText is String, which keeps the number out of JSON.
func (p Profile) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Format names the record, never its contents.
func (r ProfileRecord) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "record %d.%d, %d bytes", r.SFI, r.Number, len(r.Body))
}
