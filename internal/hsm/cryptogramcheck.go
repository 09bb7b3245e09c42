package hsm

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"tapnet/emv/cryptogram"
	"tapnet/mac"
	"tapnet/pan"
	"tapnet/pinblock"
)

// CryptogramCheck asks whether an application cryptogram is the card's.
type CryptogramCheck struct {
	MasterKey    string // issuer master key AC, usage E0
	MACMasterKey string // issuer master key MAC, usage E2; empty when neither the IDD MAC nor a script is wanted
	ENCMasterKey string // issuer master key ENC, usage E1; empty when no script data is enciphered
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
	acMaster  *entry
	macMaster *entry
	encMaster *entry
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
	session := &cardSession{suite: check.Suite, pan: check.PAN, sequence: check.Sequence, atc: check.ATC, arqc: check.AC, acMaster: master}
	if session.macMaster, err = h.scriptMaster("checking an issuer data MAC", check.MACMasterKey, UsageEMVMAC, check.Suite); err != nil {
		return CryptogramResult{}, err
	}
	if session.encMaster, err = h.scriptMaster("enciphering a script", check.ENCMasterKey, UsageEMVENC, check.Suite); err != nil {
		return CryptogramResult{}, err
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

// scriptMaster finds a master key that the caller may leave out; nil when it did.
func (h *HSM) scriptMaster(operation, name string, usage Usage, suite cryptogram.Suite) (*entry, error) {
	if name == "" {
		return nil, nil
	}
	e, err := h.use(operation, name, usage, ModeDerive)
	if err != nil {
		return nil, err
	}
	if _, err := e.masterFor(suite); err != nil {
		return nil, err
	}
	return e, nil
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
	script, err := r.script("computing a script MAC", false)
	if err != nil {
		return [4]byte{}, err
	}
	return script.MAC(header, data), nil
}

// EncipherScript enciphers the data field of an issuer script command under the ENC session key of the transaction [EMV B2 9.3]. The
// check must have named the MAC and the ENC master key. More than cryptogram.MaxScriptData bytes are an error.
func (r CryptogramResult) EncipherScript(data []byte) ([]byte, error) {
	if len(data) > cryptogram.MaxScriptData {
		return nil, fmt.Errorf("hsm: enciphering a script: %d bytes, at most %d", len(data), cryptogram.MaxScriptData)
	}
	script, err := r.script("enciphering a script", true)
	if err != nil {
		return nil, err
	}
	return script.Encipher(data), nil
}

// EncipherPINChange gives the data of a PIN CHANGE command [REF 3.4]: next is the new PIN as an enciphered block under a zone key of h.
// A malformed block gives PINBadFormat. The check must have named the MAC and the ENC master key.
func (h *HSM) EncipherPINChange(r CryptogramResult, v cryptogram.PINVariant, pinKey string, next PINBlock) ([16]byte, PINResult, error) {
	script, err := r.script("enciphering a PIN change", true)
	if err != nil {
		return [16]byte{}, PINWrong, err
	}
	zone, err := h.use("deciphering a PIN", pinKey, UsagePINEncryption, ModeBoth, ModeDecrypt)
	if err != nil {
		return [16]byte{}, PINWrong, err
	}
	pin, result, err := zone.openPIN(next, r.session().pan)
	if err != nil || result != PINOK {
		return [16]byte{}, result, err
	}
	return script.EncipherPINChange(v, pin, pinblock.PIN{}), PINOK, nil
}

// script gives the secure messaging of the transaction, with everything both sides have to agree on in one value.
func (r CryptogramResult) script(operation string, enciphered bool) (cryptogram.Script, error) {
	if r.session == nil {
		return cryptogram.Script{}, fmt.Errorf("hsm: %s: the cryptogram was not verified", operation)
	}
	s := r.session()
	var keys cryptogram.CardKeys
	for _, m := range [...]struct {
		name   string
		master *entry
		needed bool
		key    *cryptogram.Key
	}{
		{"MAC", s.macMaster, true, &keys.MAC}, {"ENC", s.encMaster, enciphered, &keys.ENC}, {"AC", s.acMaster, enciphered, &keys.AC},
	} {
		if !m.needed {
			continue
		}
		if m.master == nil {
			return cryptogram.Script{}, fmt.Errorf("hsm: %s: the check named no %s master key", operation, m.name)
		}
		var err error
		if *m.key, err = m.master.cardKey(s.suite, s.pan, s.sequence); err != nil {
			return cryptogram.Script{}, err
		}
	}
	return s.suite.Script(keys, s.atc, s.arqc), nil
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
	master, err := e.masterFor(suite)
	if err != nil {
		return cryptogram.Key{}, err
	}
	return suite.CardKey(master, n, sequence), nil
}

// masterFor gives a master key to a suite of its own cipher: the same bytes under another would be a second use of the key.
func (e *entry) masterFor(suite cryptogram.Suite) (cryptogram.Key, error) {
	if AlgorithmOf(suite) != e.info.Algorithm {
		return cryptogram.Key{}, &MisuseError{
			Operation: "deriving from a key of " + e.info.Algorithm.String() + " with suite " + suite.Name(), Key: e.info.Name,
			Usage: e.info.Usage, Mode: e.info.Mode,
		}
	}
	master, err := cryptogram.NewKey(e.value)
	if err != nil {
		return cryptogram.Key{}, fmt.Errorf("hsm: deriving from key %q: %w", e.info.Name, err)
	}
	return master, nil
}

// AlgorithmOf is the algorithm that the master keys of a suite have; 0 when there is no suite.
func AlgorithmOf(suite cryptogram.Suite) Algorithm {
	switch suite.Cipher() {
	case cryptogram.CipherTDES:
		return TDES
	case cryptogram.CipherSM4:
		return SM4
	case cryptogram.CipherAES:
		return AES128
	}
	return 0
}
