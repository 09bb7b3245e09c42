package cloudse

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Prepare does what costs time and needs no state of the writer: cryptogram and device tag of a payment, the signature of a request and the batch that may
// answer it. It runs in parallel and changes nothing.
func (s *Service) Prepare(ev *journal.Event) {
	if m, ok := ev.Message.(*unionpay.TokenRequest); ok {
		ev.Finding = s.prepareVerify(m)
		return
	}
	switch c := ev.Command.(type) {
	case cloudseapi.Enrolment:
		ev.Finding = s.prepareEnrolment(c)
	case cloudseapi.Replenish:
		ev.Finding = s.prepareRefill(c)
	case cloudseapi.Confirm:
		ev.Finding = s.prepareConfirm(c)
	}
}

// finding is what Prepare found out about a payment.
type finding struct {
	key      string
	content  [16]byte
	data     unionpay.TokenData
	number   [16]byte // fingerprint of the token's number
	chip     chip
	slot     slot // of the key that was tried
	tried    bool
	result   hsm.CloudResult
	recalled journal.Recall[answer]
	failed   bool // the security module or the store could not answer
}

// chip is what field 55 says, read once.
type chip struct {
	present bool // everything a cryptogram needs is there
	agrees  bool // with the message
	atc     uint16
	iad     cloudkey.IAD
	input   cloudkey.TagInput
	claimed bool // the terminal says that the phone has verified its holder
	remote  remote
}

// prepareVerify reads the chip's data and lets the security module verify what can be verified.
func (s *Service) prepareVerify(m *unionpay.TokenRequest) *finding {
	f := &finding{key: unionpay.NetworkKey(m), content: unionpay.ContentHash(m)}
	var err error
	if f.data, err = m.Data(); err != nil || f.data.Operation != unionpay.OperationVerify {
		f.failed = true
		return f
	}
	f.recalled = s.state.payments.Foresee(f.key, s.state.look)
	t, err := s.state.cache.look(nameOf(f.data.Reference))
	if err != nil {
		f.failed = true
		return f
	}
	if t == nil {
		return f
	}
	if f.number, err = s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, m.PAN); err != nil {
		f.failed = true
		return f
	}
	if f.number != t.fingerprint {
		return f
	}
	f.chip = readChip(m)
	if !f.chip.present || !f.chip.agrees || !t.speaks(&f.chip.iad) {
		return f
	}
	// What was never given out is refused without a word of the security module: there is nothing to learn from it.
	if _, f.slot = t.find(f.chip.atc); f.slot.found {
		s.try(t, m, f)
	}
	return f
}

// dataBytes is room for what cryptograms of the known versions cover: 37 bytes [REF 4.2].
const dataBytes = 40

func (s *Service) try(t *token, m *unionpay.TokenRequest, f *finding) {
	suite := t.suite()
	data, err := suite.AppendData(make([]byte, 0, dataBytes), f.chip.iad.CVN, f.chip.iad.CVR, m.ICC)
	f.tried = true
	if err != nil {
		return
	}
	f.result, err = s.deps.Vault.VerifyCloud(hsm.CloudCheck{
		Keys:   s.keys(t.algorithm),
		Token:  hsm.CloudToken{Number: m.PAN, Sequence: t.sequence, Suite: suite, Token: t.ref, Device: t.device},
		Scheme: t.scheme, Slot: f.slot.slot, Class: f.slot.class, Data: data, Tag: f.chip.iad.Tag, Input: f.chip.input,
	})
	f.failed = err != nil
}

func (s *Service) keys(algorithm byte) hsm.CloudKeys {
	return hsm.CloudKeys{Master: s.deps.Keys.Master(algorithm), Base: s.deps.Keys.Base, Data: s.deps.Keys.Data}
}

// speaks reports whether issuer data are of the token's own keys: generation of the master, version and algorithm.
func (t *token) speaks(iad *cloudkey.IAD) bool {
	return iad.DKI == t.dki && iad.CVN == t.cvn && iad.Algorithm == t.algorithm
}

// readChip reads field 55 and compares what the phone signed with what the message says.
func readChip(m *unionpay.TokenRequest) chip {
	var c chip
	counter, okCounter := m.ICC.Value(emv.TagATC)
	ac, okAC := m.ICC.Value(emv.TagAC)
	issuerData, okIAD := m.ICC.Value(emv.TagIAD)
	amount, okAmount := m.ICC.Value(emv.TagAmount)
	currency, okCurrency := m.ICC.Value(emv.TagCurrency)
	un, okUN := m.ICC.Value(emv.TagUnpredictableNumber)
	if !okCounter || !okAC || !okIAD || !okAmount || !okCurrency || !okUN || len(counter) != 2 || len(ac) != 8 || len(amount) != 6 || len(currency) != 2 ||
		len(un) != 4 {
		return c
	}
	iad, err := cloudkey.ParseIAD(issuerData)
	if err != nil {
		return c
	}
	c.present, c.iad, c.atc = true, iad, binary.BigEndian.Uint16(counter)
	c.input = cloudkey.TagInput{ATC: c.atc, UnpredictableNumber: [4]byte(un), Amount: [6]byte(amount), Currency: [2]byte(currency), Evidence: iad.Evidence,
		Cryptogram: [8]byte(ac)}
	c.claimed = claimsVerification(m.ICC)
	want, err := m.Amount.BCD()
	c.agrees = err == nil && want == c.input.Amount && numberBCD(currency) == m.Amount.Currency().Number()
	c.readRemote(m)
	return c
}

// numberBCD reads a packed number, -1 when a digit is none.
func numberBCD(b []byte) int {
	n := 0
	for _, octet := range b {
		high, low := int(octet>>4), int(octet&15)
		if high > 9 || low > 9 {
			return -1
		}
		n = n*100 + high*10 + low
	}
	return n
}

// hashPayment recognises the payment that uses a counter: the same one may come again with another transmission time.
func hashPayment(m *unionpay.TokenRequest, c *chip) paymentHash {
	b := append(make([]byte, 0, 128), "tapnet cloud use\x00"...)
	b = append(b, c.input.Cryptogram[:]...)
	b = append(b, c.input.UnpredictableNumber[:]...)
	b = append(append(b, c.input.Amount[:]...), c.input.Currency[:]...)
	b = appendText(b, m.Acquirer)
	b = appendText(b, strconv.FormatUint(uint64(m.STAN), 10))
	sum := sha256.Sum256(b)
	return paymentHash(sum[:len(paymentHash{})])
}

// claimsVerification: the qualifiers that a reader has passed on say so, or what it made of them, which is all that field 55 of a till carries. A phone takes
// no PIN from a terminal, so an offline PIN that was right is the device's verification, by its other name [REF 2.7].
func claimsVerification(icc emv.Data) bool {
	if b, ok := icc.Value(emv.TagCTQ); ok {
		if ctq, err := emv.ParseCTQ(b); err == nil && ctq.Has(emv.CTQCDCVM) {
			return true
		}
	}
	b, _ := icc.Value(emv.TagCVMResults)
	results, err := emv.ParseCVMResults(b)
	return err == nil && results.Code() == emv.CVMPlaintextPIN && results.Result() == emv.CVMResultSuccessful
}
