package tsm

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/iso8583/unionpay"
)

// The service made the card keys of its applications, so it is whom the token service asks about their cryptograms (0104, OperationVerify). A counter serves
// one payment: the same one may come again with another transmission time, another one is told that the counter is used. Payments may come late and in any
// order, as those of gates do.

// useWindow is how many counters back from the highest one a payment may be. A gate uploads within the day; a phone taps some hundred times in it at most.
const useWindow = 1024

// paymentHash recognises the payment that uses a counter.
type paymentHash [16]byte

// use is one counter of a token that a payment has used.
type use struct {
	Token string
	ATC   uint16
	Hash  paymentHash
}

// uses are the counters of one token.
type uses struct {
	high uint16
	by   map[uint16]paymentHash
}

// look says what a counter means for a payment: TokenVerified when it is free, or was used by this very payment.
func (u *uses) look(atc uint16, hash paymentHash) (reason unionpay.TokenReason, again bool) {
	if u == nil {
		return unionpay.TokenVerified, false
	}
	first, used := u.by[atc]
	switch {
	case used && first == hash:
		return unionpay.TokenVerified, true
	case used:
		return unionpay.CounterRepeated, false
	case int(atc)+useWindow <= int(u.high):
		return unionpay.CredentialExpired, false
	}
	return unionpay.TokenVerified, false
}

// add uses a counter and forgets those that are too old to be asked about.
func (u *uses) add(atc uint16, hash paymentHash) {
	u.by[atc] = hash
	if atc <= u.high {
		return
	}
	was := u.high
	u.high = atc
	for old := max(0, int(was)-useWindow); old <= int(atc)-useWindow; old++ {
		delete(u.by, uint16(old)) //nolint:gosec // below atc
	}
}

// cryptogramFinding is what Prepare found out about a payment.
type cryptogramFinding struct {
	data   unionpay.TokenData
	reason unionpay.TokenReason // why it is refused whatever the counter; 0: it is not
	tried  bool                 // the security module has looked at the cryptogram
	atc    uint16
	hash   paymentHash
	failed bool // nobody can say now
}

// prepareVerify holds a payment to the token's keys.
func (s *Service) prepareVerify(m *unionpay.TokenRequest) *cryptogramFinding {
	f := &cryptogramFinding{}
	var err error
	if f.data, err = m.Data(); err != nil || f.data.Operation != unionpay.OperationVerify {
		f.failed = true
		return f
	}
	t, err := s.deps.Tokens.Token(f.data.Reference)
	switch {
	case errors.Is(err, ErrNoToken):
		f.reason = unionpay.TokenUnknown
	case err != nil:
		f.failed = true
	case t.Number != m.PAN:
		f.reason = unionpay.TokenUnknown
	default:
		f.reason = s.tryCryptogram(f, &t, m)
	}
	return f
}

// tryCryptogram reads the chip's data, compares them with the message and lets the security module look at the cryptogram.
func (s *Service) tryCryptogram(f *cryptogramFinding, t *Token, m *unionpay.TokenRequest) unionpay.TokenReason {
	atc, ac, un := m.ICC.Get(emv.TagATC), m.ICC.Get(emv.TagAC), m.ICC.Get(emv.TagUnpredictableNumber)
	iad, err := emv.ParseIAD(m.ICC.Get(emv.TagIAD))
	if err != nil || len(atc) != 2 || len(ac) != 8 || len(un) != 4 {
		return unionpay.TokenNoCryptogram
	}
	if kind, ok := emv.IADCryptogramType(m.ICC.Get(emv.TagIAD)); !ok || kind != emv.ARQC {
		return unionpay.TokenNoCryptogram // a declined payment asks for nothing
	}
	f.atc = binary.BigEndian.Uint16(atc)
	amount, err := m.Amount.BCD()
	if err != nil || string(amount[:]) != string(m.ICC.Get(emv.TagAmount)) || !sameCurrency(m) {
		return unionpay.CredentialEvidence
	}
	suite, known := cryptogram.Standard(t.Algorithm)
	sequence := m.CardSequence == "" || m.CardSequence == "0"+t.Sequence
	if !known || !sequence || iad.Algorithm != t.Algorithm || iad.DKI != t.DKI || iad.CVN != t.CVN {
		return unionpay.CredentialUnknown
	}
	const dataBytes = 40 // what cryptograms of the known versions cover: 37 [REF 4.2]
	data, err := suite.AppendData(make([]byte, 0, dataBytes), iad.CVN, iad.CVR, m.ICC)
	if err != nil {
		return unionpay.TokenNoCryptogram
	}
	master, _, _ := s.deps.Keys.Masters(t.Algorithm)
	result, err := s.deps.Vault.VerifyCryptogram(hsm.CryptogramCheck{
		MasterKey: master, PAN: t.Number, Sequence: t.Sequence, ATC: f.atc, Data: data, AC: [8]byte(ac), Suite: suite,
	})
	f.tried, f.failed = true, err != nil
	if !result.OK {
		return unionpay.CredentialCryptogram
	}
	f.hash = hashOf(m, ac, un)
	return 0
}

// sameCurrency reports whether the cryptogram is of the message's currency.
func sameCurrency(m *unionpay.TokenRequest) bool {
	b, n := m.ICC.Get(emv.TagCurrency), m.Amount.Currency().Number()
	return len(b) == 2 && int(b[0]&15) == n/100 && int(b[1]>>4) == n/10%10 && int(b[1]&15) == n%10
}

// hashOf recognises a payment: what the chip signed, and whose payment it is.
func hashOf(m *unionpay.TokenRequest, ac, un []byte) paymentHash {
	h := sha256.New()
	h.Write([]byte("tapnet element use\x00"))
	h.Write(ac)
	h.Write(un)
	h.Write(binary.BigEndian.AppendUint32(nil, m.STAN))
	h.Write([]byte(m.Acquirer + "\x00" + m.Terminal))
	return paymentHash(h.Sum(nil)[:len(paymentHash{})])
}

// verify answers the token service.
func (s *Service) verify(now time.Time, ev *journal.Event, m *unionpay.TokenRequest, step *journal.Step) {
	f, ok := ev.Finding.(*cryptogramFinding)
	if !ok || f.failed {
		// No row: asked again, it may be otherwise.
		s.answerVerify(ev.From, m, unionpay.TokenData{Reason: unionpay.VerifierUnavailable, Verification: unionpay.NotVerified}, step)
		return
	}
	reason, again := f.reason, false
	if state := s.state.application(f.data.Reference); reason == 0 || reason == unionpay.CredentialCryptogram {
		switch {
		case state == "":
			reason = unionpay.TokenUnknown
		case state == tsmapi.Locked:
			reason = unionpay.CredentialSuspended
		case state != tsmapi.Active:
			reason = unionpay.CredentialUnknown // nothing has confirmed that the keys are where they belong
		case reason == 0:
			reason, again = s.state.used(f.data.Reference).look(f.atc, f.hash)
		}
	}
	d := unionpay.TokenData{Reason: reason, Reference: f.data.Reference, Requestor: f.data.Requestor, Verification: unionpay.NotVerified}
	switch {
	case reason == unionpay.TokenVerified:
		d.Verification = unionpay.CryptogramVerified
	case f.tried && reason != unionpay.TokenUnknown:
		d.Verification = unionpay.CryptogramRefused
	}
	if !again {
		row := journal.Row{Kind: journal.Declined, Payment: f.data.Reference, RRN: m.RRN, Terminal: m.Terminal, STAN: m.STAN, ATC: f.atc, Reason: uint16(reason),
			Amount: m.Amount.Minor(), Currency: uint16(m.Amount.Currency().Number())} //nolint:gosec // three digits
		if reason == unionpay.TokenVerified {
			row.Kind, row.Note = journal.Approved, noteOf(note{Use: &use{f.data.Reference, f.atc, f.hash}})
		}
		step.Decide(now, row, s.state.apply)
	}
	s.answerVerify(ev.From, m, d, step)
}

func (s *Service) answerVerify(to string, m *unionpay.TokenRequest, d unionpay.TokenData, step *journal.Step) {
	d.Operation, d.Storage = unionpay.OperationVerify, unionpay.StorageSE
	body, err := d.Opaque()
	if err != nil {
		panic("tsm: own answer: " + err.Error()) // every part was parsed
	}
	out, ok := unionpay.Respond(m, unionpay.Answer{Response: d.Reason.ResponseCode()}).(*unionpay.TokenResponse)
	if !ok {
		panic("tsm: a token request has another response")
	}
	out.Additional = body
	step.Emit(journal.Effect{To: to, Message: out})
}
