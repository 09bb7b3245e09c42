package tsm

import (
	"errors"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/oda"
	"tapnet/internal/hsm"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/scp03"
)

// Vault is what the service manager asks of its HSM. Keys are named; none is seen.
type Vault interface {
	ElementChallenge() (scp03.Challenge, error)
	OpenElement(c hsm.ElementChannel, g scp03.Greeting, level scp03.Level) (apdu.Command, scp03.State, error)
	WrapElement(c hsm.ElementChannel, st scp03.State, command apdu.Command) (apdu.Command, scp03.State, error)
	UnwrapElement(c hsm.ElementChannel, st scp03.State, r apdu.Response) (apdu.Response, error)
	VerifyCryptogram(check hsm.CryptogramCheck) (hsm.CryptogramResult, error)
	SealElementCardKeys(q hsm.ElementCardKeyRequest) (sealed, values cps.Grouping, err error)
	SealElementSignKey(q hsm.ElementSignKeyRequest) (public oda.PublicKey, sealed cps.List, err error)
}

// Token is what an application is made of.
type Token struct {
	Number    pan.Number
	Sequence  string // two digits
	Expiry    pan.Expiry
	Service   string // service code, three digits
	Algorithm byte   // of the cryptogram suite
	DKI, CVN  byte
	Currency  money.Currency
}

// Tokens is who knows tokens. Error ErrNoToken says that there is none, or none for secure elements.
type Tokens interface {
	Token(ref string) (Token, error)
}

// ErrNoToken is returned for a reference that names nothing.
var ErrNoToken = errors.New("tsm: no such token")

// Certification asks for the certificates of an application's key.
type Certification struct {
	Algorithm oda.Algorithm
	AID       emv.AID
	Number    pan.Number
	Expiry    pan.Expiry
	Serial    [3]byte
	Public    oda.PublicKey
	Static    []byte // what the certificate covers besides
}

// Certificates are the bodies of two records: the issuer's certificate with its authority's index, and the application's.
type Certificates struct{ Issuer, Card []byte }

// Certifier certifies keys for the bank whose token it is. The same question gets the same answer: a script is made again at every step.
type Certifier interface {
	Certify(q Certification) (Certificates, error)
}

// KeyNames names the keys in the HSM. Masters of card keys serve one suite each: the algorithm is that of the suite.
type KeyNames struct {
	Elements string // master of the elements' channels
	Sign     string // master of the applications' signature keys; needed with a Certifier
	Masters  func(algorithm byte) (ac, mac, enc string)
}

// Deps is what a Service is made of.
type Deps struct {
	Institution string
	Vault       Vault
	Tokens      Tokens
	Keys        KeyNames
	// Certifier is nil where applications do not sign: then they pay online only, whatever their profile says.
	Certifier Certifier
	// Wallets are the profiles; nil: those of the package.
	Wallets []Wallet
}

var errDeps = errors.New("tsm: institution, vault, tokens and key names are needed")

func (d *Deps) check() error {
	if d.Institution == "" || d.Vault == nil || d.Tokens == nil || d.Keys.Elements == "" || d.Keys.Masters == nil || d.Certifier != nil && d.Keys.Sign == "" {
		return errDeps
	}
	return nil
}
