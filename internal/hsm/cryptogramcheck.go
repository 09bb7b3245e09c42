package hsm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"tapnet/emv/cryptogram"
	"tapnet/mac"
	"tapnet/pan"
)

// CryptogramCheck asks whether an application cryptogram is the card's.
type CryptogramCheck struct {
	MasterKey    string // issuer master key AC, usage E0
	MACMasterKey string // issuer master key MAC, usage E2; empty when neither the IDD MAC nor a script is wanted
	PAN          pan.Number
	Sequence     string // PAN sequence number, two digits
	ATC          uint16
	Data         []byte // what the card signed, as cryptogram.Suite.AppendData builds it
	AC           [8]byte
	Suite        cryptogram.Suite
}

// CryptogramResult says whether the cryptogram was right and, when it was, can answer the card without showing a key. The zero value
// is a refusal.
type CryptogramResult struct {
	OK bool
	// session gives the keys. It is a function because fmt follows pointers in unexported fields when the verb does not fit, but
	// prints only the address of a function.
	session func() *cardSession
}

// cardSession holds the keys of one transaction.
type cardSession struct {
	suite     cryptogram.Suite
	ac        cryptogram.Key
	macMaster *entry
	pan       pan.Number
	sequence  string
	atc       uint16
	arqc      [8]byte
}

// Format masks a session that reaches a printer.
func (s *cardSession) Format(f fmt.State, _ rune) { io.WriteString(f, "hsm.session") }

// String tells only the outcome.
func (r CryptogramResult) String() string { return fmt.Sprintf("cryptogram(ok=%t)", r.OK) }

// Format masks under every verb.
func (r CryptogramResult) Format(f fmt.State, _ rune) { io.WriteString(f, r.String()) }

// LogValue masks in structured logs.
func (r CryptogramResult) LogValue() slog.Value { return slog.StringValue(r.String()) }

// VerifyCryptogram derives the card key and the session key of this ATC from the issuer master key [REF 4.1] and compares the
// cryptogram in constant time. A wrong cryptogram is a result; an unknown or unfit key is an error.
func (h *HSM) VerifyCryptogram(check CryptogramCheck) (CryptogramResult, error) {
	master, err := h.use("verifying a cryptogram", check.MasterKey, UsageEMVAC, ModeDerive)
	if err != nil {
		return CryptogramResult{}, err
	}
	if check.Suite.IsZero() || check.PAN.IsZero() {
		return CryptogramResult{}, errors.New("hsm: verifying a cryptogram: suite or account number is missing")
	}
	session := &cardSession{suite: check.Suite, pan: check.PAN, sequence: check.Sequence, atc: check.ATC, arqc: check.AC}
	if check.MACMasterKey != "" {
		session.macMaster, err = h.use("checking an issuer data MAC", check.MACMasterKey, UsageEMVMAC, ModeDerive)
		if err != nil {
			return CryptogramResult{}, err
		}
	}
	card, err := master.cardKey(check.Suite, check.PAN, check.Sequence)
	if err != nil {
		return CryptogramResult{}, err
	}
	session.ac = check.Suite.SessionKey(card, check.ATC)
	if !check.Suite.Verify(session.ac, check.Data, check.AC) {
		return CryptogramResult{}, nil
	}
	return CryptogramResult{OK: true, session: func() *cardSession { return session }}, nil
}

// ARPC computes the issuer's answer to the verified cryptogram, method 1 [REF 4.4]. After a failed check there is no session key:
// it gives zeros, which no card accepts.
func (r CryptogramResult) ARPC(arc [2]byte) [8]byte {
	if r.session == nil {
		return [8]byte{}
	}
	s := r.session()
	return s.suite.ARPC(s.ac, s.arqc, arc)
}

// VerifyIDD reports whether the MAC over the issuer discretionary data [REF 1.7] is right. The check must have named the MAC master key.
func (r CryptogramResult) VerifyIDD(value []byte, code [4]byte) (bool, error) {
	key, err := r.macSession("checking an issuer data MAC")
	if err != nil {
		return false, err
	}
	s := r.session()
	want := s.suite.IDDMAC(key, s.atc, value)
	return mac.Equal(want[:], code[:]), nil
}

// ScriptMAC computes the MAC of an issuer script command [REF 3.4] under the MAC session key of the transaction. The check must have
// named the MAC master key.
func (r CryptogramResult) ScriptMAC(header [5]byte, data []byte) ([4]byte, error) {
	key, err := r.macSession("computing a script MAC")
	if err != nil {
		return [4]byte{}, err
	}
	s := r.session()
	return s.suite.ScriptMAC(key, header, s.atc, s.arqc, data), nil
}

func (r CryptogramResult) macSession(operation string) (cryptogram.Key, error) {
	if r.session == nil {
		return cryptogram.Key{}, fmt.Errorf("hsm: %s: the cryptogram was not verified", operation)
	}
	s := r.session()
	if s.macMaster == nil {
		return cryptogram.Key{}, fmt.Errorf("hsm: %s: the check named no MAC master key", operation)
	}
	card, err := s.macMaster.cardKey(s.suite, s.pan, s.sequence)
	if err != nil {
		return cryptogram.Key{}, err
	}
	return s.suite.SessionKey(card, s.atc), nil
}

func (e *entry) cardKey(suite cryptogram.Suite, n pan.Number, sequence string) (cryptogram.Key, error) {
	master, err := cryptogram.NewKey(e.value)
	if err != nil {
		return cryptogram.Key{}, fmt.Errorf("hsm: deriving from key %q: %w", e.info.Name, err)
	}
	return suite.CardKey(master, n, sequence), nil
}
