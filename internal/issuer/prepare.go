package issuer

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
)

// Finding is what Prepare found out about a request: everything that costs time and needs no state of the writer.
type Finding struct {
	id         identity
	number     pan.Number // of the card whose chip speaks
	card       *Enrolment
	payer      *Enrolment // the card that pays, of a load from another account
	loaded     *loaded    // the card, when memory did not have it
	earlier    *recall    // what the journal says of the key, when memory may have forgotten it
	chip       chipData
	cryptogram Cryptogram
	check      hsm.CryptogramResult
	pin        PINResult
	against    [16]byte  // the reference it was compared with
	newPIN     PINResult // of a change
	// newReference is what the bank keeps of the new PIN, enciphered what the chip gets.
	newReference, enciphered [16]byte
	token                    *unionpay.TokenData // what the network says of a token
	failed                   bool                // the HSM could not answer
}

// chipData is what field 55 says, read once.
type chipData struct {
	present  bool // the data the decision needs is there
	agrees   bool // it says what the message says
	kind     emv.CID
	atc      uint16
	ac       [8]byte
	iad      emv.IAD
	sequence string
}

// Prepare checks cryptogram and PIN of a payment request and puts a *Finding into the event. It runs in parallel and changes nothing.
func (i *Issuer) Prepare(ev *journal.Event) {
	if m, ok := ev.Message.(*unionpay.ReversalRequest); ok {
		i.prepareReversal(ev, m)
		return
	}
	if m, ok := ev.Message.(*unionpay.ScriptNotice); ok {
		f := &Finding{number: m.PAN}
		ev.Finding = f
		f.failed = !m.PAN.IsZero() && !i.findCard(f)
		return
	}
	m, ok := ev.Message.(*unionpay.FinancialRequest)
	if !ok {
		return
	}
	f := &Finding{id: identify(m, nil), number: m.PAN}
	ev.Finding = f
	if f.failed = !i.find(m, f); f.failed || f.card == nil {
		return
	}
	if f.token = tokenOf(m); f.token == nil {
		f.chip = readChip(m)
		i.checkCryptogram(m, f)
	}
	i.checkPIN(ev.From, m, f)
	i.prepareNewPIN(ev.From, m, f)
}

// find looks the key and the card up, as far as that can be done beside the writer. It is false when the security module or the store cannot answer.
func (i *Issuer) find(m *unionpay.FinancialRequest, f *Finding) bool {
	var err error
	if f.earlier, err = i.state.foresee(f.id.key); err != nil {
		return false
	}
	if o, _ := loading(m); o.reason == LoadOtherHeld {
		// The message is about the account that pays; the chip is that of the card it names beside.
		payer := Finding{number: m.PAN}
		if !i.findCard(&payer) {
			return false
		}
		f.payer = payer.card
		if f.number, err = unionpay.LoadTarget(m.Additional); err != nil {
			return true // nobody's card
		}
	}
	return i.findCard(f)
}

func (i *Issuer) findCard(f *Finding) bool {
	fingerprint, err := i.deps.Vault.PANFingerprint(i.deps.Keys.PANFingerprint, f.number)
	if err != nil {
		return false
	}
	if f.card = i.state.directory.find(fingerprint); f.card != nil {
		return true
	}
	if f.loaded, err = i.state.fetch(fingerprint); err != nil {
		return false
	}
	if f.loaded != nil {
		f.card = &f.loaded.card.Enrolment
	}
	return true
}

// reversalFinding is what Prepare found out about a reversal.
type reversalFinding struct{ own, original *recall }

// prepareReversal looks keys up that memory may have forgotten. An archive that does not answer is asked again by the writer.
func (i *Issuer) prepareReversal(ev *journal.Event, m *unionpay.ReversalRequest) {
	f := &reversalFinding{}
	f.own, _ = i.state.foresee(unionpay.NetworkKey(m))
	f.original, _ = i.state.foresee(unionpay.OriginalKey(m))
	ev.Finding = f
}

// readChip reads field 55 [REF 6.1] and compares what the chip signed with what the message says: amount, currency, and the number on the chip's track.
func readChip(m *unionpay.FinancialRequest) chipData {
	var d chipData
	counter, okCounter := m.ICC.Value(emv.TagATC)
	ac, okAC := m.ICC.Value(emv.TagAC)
	issuerData, okIAD := m.ICC.Value(emv.TagIAD)
	amount, okAmount := m.ICC.Value(emv.TagAmount)
	currency, okCurrency := m.ICC.Value(emv.TagCurrency)
	iad, err := emv.ParseIAD(issuerData)
	if !okCounter || !okAC || !okIAD || !okAmount || !okCurrency || err != nil || len(counter) != 2 || len(ac) != 8 {
		return d
	}
	d.present, d.iad, d.kind = true, iad, iad.CryptogramType()
	if second, asked := iad.CVR.Second(); asked { // it is the last word of a dialogue that began with another [REF 1.8]
		d.kind = second.Type()
	}
	d.atc = binary.BigEndian.Uint16(counter)
	copy(d.ac[:], ac)
	d.sequence = sequenceOf(m.CardSequence)
	want, err := m.Amount.BCD()
	d.agrees = err == nil && string(want[:]) == string(amount) && numberBCD(currency) == m.Amount.Currency().Number() &&
		(m.Track2.IsZero() || m.Track2.PAN() == m.PAN)
	return d
}

// sequenceOf turns field 23 (three digits) into the two-digit PAN sequence number of key derivation; absent means 00 [EMV B2 A1.4.1].
func sequenceOf(field23 string) string {
	n, err := strconv.Atoi(field23)
	if err != nil || n > 99 {
		return "00"
	}
	return string([]byte{'0' + byte(n/10), '0' + byte(n%10)})
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

// cryptogramDataBytes is room for what cryptograms of the known versions cover: 37 bytes [REF 4.2].
const cryptogramDataBytes = 40

// checkCryptogram lets the HSM recompute the application cryptogram from the data the chip says it signed [REF 4.2].
func (i *Issuer) checkCryptogram(m *unionpay.FinancialRequest, f *Finding) {
	if !f.chip.present {
		return
	}
	f.cryptogram = CryptogramInvalid
	p, known := i.profiles[f.chip.iad.Algorithm]
	if !known || !f.card.uses(f.chip.iad.Algorithm) {
		return
	}
	data, err := p.suite.AppendData(make([]byte, 0, cryptogramDataBytes), f.chip.iad.CVN, f.chip.iad.CVR, m.ICC)
	if err != nil {
		return
	}
	f.check, err = i.deps.Vault.VerifyCryptogram(hsm.CryptogramCheck{
		MasterKey: p.masters.AC, MACMasterKey: p.masters.MAC, ENCMasterKey: p.masters.ENC, PAN: f.number, Sequence: f.chip.sequence, ATC: f.chip.atc,
		Data: data, AC: f.chip.ac, Suite: p.suite,
	})
	if err != nil {
		f.failed = true
		return
	}
	if f.check.OK && i.issuerDataHolds(f) {
		f.cryptogram = CryptogramValid
	}
}

// derivationIndex is the generation of master keys with which this issuer's cards are made.
const derivationIndex = 1

// issuerDataHolds checks what the cryptogram does not cover: the key generation, the identifier of the issuer discretionary data, and by its own MAC the
// value (the purse balance). Data without it is held to nothing [REF 1.7].
func (i *Issuer) issuerDataHolds(f *Finding) bool {
	if f.chip.iad.DKI != derivationIndex {
		return false
	}
	if len(f.chip.iad.IDD) == 0 {
		return true
	}
	if f.chip.iad.IDD[0] != emv.IDDBalance {
		return false
	}
	ok, err := f.check.VerifyIDD(f.chip.iad.IDDValue(), f.chip.iad.IDDMAC)
	if err != nil {
		f.failed = true
	}
	return ok && err == nil
}

func (i *Issuer) checkPIN(peer string, m *unionpay.FinancialRequest, f *Finding) {
	if m.PINBlock == nil {
		return
	}
	holder := f.card
	if o, _ := loading(m); o.reason == LoadOtherHeld {
		holder = f.payer
	}
	if holder == nil {
		return
	}
	i.verifyPIN(peer, m, f, i.state.directory.reference(holder))
}

func (i *Issuer) verifyPIN(peer string, m *unionpay.FinancialRequest, f *Finding, reference [16]byte) {
	f.against = reference
	result, err := i.deps.Vault.VerifyPIN(i.deps.Keys.PINKey(peer), *m.PINBlock, m.PAN, i.deps.Keys.PINReference, reference)
	switch {
	case err != nil:
		f.failed = true
	case result == hsm.PINOK:
		f.pin = PINRight
	case result == hsm.PINBadFormat:
		f.pin = PINUnreadable
	default:
		f.pin = PINIncorrect
	}
}

// request joins the message, what Prepare found and the card as it is now.
func (i *Issuer) request(now time.Time, m *unionpay.FinancialRequest, f *Finding) (*request, error) {
	if f == nil {
		f = &Finding{failed: true}
	}
	r := &request{
		now: i.local(now), businessDate: i.businessDate(now, m.SettlementDate), unavailable: f.failed,
		sale:        m.Processing == unionpay.ProcessingSale && !m.Authorization && !m.Advice,
		contactless: m.EntryMode.Contactless(), minor: m.Amount.Minor(), currency: m.Amount.Currency().Number(),
		chip: f.chip.present, chipAgrees: f.chip.agrees, requestAC: f.chip.kind == emv.ARQC, approvalAC: f.chip.kind == emv.TC,
		atc: f.chip.atc, cryptogram: f.cryptogram, pin: f.pin, availableFor: i.state.availableIn(m.Amount.Currency().Number()),
		stripe: m.EntryMode.Mode() == unionpay.EntryStripe, reaches: reaches(m.EntryMode), cvr: f.chip.iad.CVR, fromPurse: fromPurse(m),
	}
	r.vouch(f.token)
	r.operation, _ = loading(m)
	if r.cryptogram == CryptogramValid {
		// Both versions of the cryptogram cover what is said about the PIN.
		r.offlineWrong = r.cvr.Has(emv.CVROfflinePINFailed)
		r.offlinePIN = r.cvr.Has(emv.CVROfflinePINPerformed) && !r.offlineWrong
		r.balance, r.proven = f.chip.iad.Balance()
	}
	var err error
	if r.card, err = i.state.touch(f); r.card != nil {
		r.side, _ = r.card.side(r.currency)
	}
	r.swipe(m)
	r.preAuth = m.Processing == unionpay.ProcessingPreAuth && m.Authorization
	r.inquiry = m.Processing == unionpay.ProcessingBalance && !m.Authorization && !m.Advice
	r.sale = r.sale || r.preAuth || r.inquiry
	r.malformed = r.minor < 0 || r.minor == 0 && !r.inquiry
	if r.pinOrder = pinOrder(m); r.pinOrder != 0 {
		r.newPIN, r.malformed = f.newPIN, r.minor != 0 || (m.NewPIN != nil) != (r.pinOrder == PINChangeSent)
	}
	return r, err
}

// local is the instant on the wall of the bank: a card expires by the date there.
func (i *Issuer) local(now time.Time) time.Time {
	if zone := i.deps.Calendar.Zone; zone != nil {
		return now.In(zone)
	}
	return now.UTC()
}

// businessDate is the settlement date the network named in field 15 when it is the bank's own or the one before or after it: members may cut the day at
// other moments, but no date further off may open a fresh day's limits. Anything else is the bank's own date. Field 15 has no year.
func (i *Issuer) businessDate(now time.Time, settlement string) int32 {
	own := i.deps.Calendar.BusinessDate(now)
	monthDay, err := strconv.Atoi(settlement)
	if err != nil || len(settlement) != 4 || int32(monthDay) == own%10000 {
		return own
	}
	noon := time.Date(int(own)/10000, time.Month(own/100%100), int(own)%100, 12, 0, 0, 0, time.UTC)
	for _, days := range [...]int{-1, 1} {
		if year, month, day := noon.AddDate(0, 0, days).Date(); int(month)*100+day == monthDay {
			return int32(year*10000 + monthDay)
		}
	}
	return own
}

// answer emits the response to a payment. It depends on the request, the reason and the code only, so that a repeat gets the same bytes.
func (i *Issuer) answer(ev *journal.Event, m *unionpay.FinancialRequest, reason Reason, authCode string, step *journal.Step) {
	i.answerChip(ev, m, reason, authCode, nil, step)
}

// answerFirst gives the first answer again.
func (i *Issuer) answerFirst(ev *journal.Event, m *unionpay.FinancialRequest, first payment, step *journal.Step) {
	i.answerTold(ev, m, first.reason, first.code.String(), i.state.recent.scripts[keyOf(unionpay.NetworkKey(m))], first.minor, step)
}

// answerTold is answerChip, with the balance in field 54 where it was asked for.
func (i *Issuer) answerTold(ev *journal.Event, m *unionpay.FinancialRequest, reason Reason, authCode string, s scripts, minor int64, step *journal.Step) {
	if reason == BalanceTold {
		told := *m
		told.Balance = &unionpay.Balance{AccountType: accountUnspecified, AmountType: unionpay.BalanceAvailable, Amount: money.New(minor, m.Amount.Currency())}
		m = &told
	}
	i.answerChip(ev, m, reason, authCode, s, step)
}

// accountUnspecified is the first part of field 54 [ISO 8583:1987].
const accountUnspecified = "00"

// appendTold puts the balance that was told behind a note's flags.
func appendTold(note []byte, minor int64) []byte { return binary.AppendVarint(note, minor) }

func toldOf(r *journal.Row) (int64, error) {
	minor, n := binary.Varint(r.Note[noteBytes:])
	if n <= 0 || noteBytes+n != len(r.Note) && r.Note[0]&flagDeferred == 0 {
		return 0, fmt.Errorf("row %d: %w", r.Seq, errCell)
	}
	return minor, nil
}

// answerChip is answer with scripts for the card.
func (i *Issuer) answerChip(ev *journal.Event, m *unionpay.FinancialRequest, reason Reason, authCode string, s scripts, step *journal.Step) {
	answer := unionpay.Answer{Response: reason.ResponseCode(), AuthCode: authCode, Balance: m.Balance}
	effect := journal.Effect{To: ev.From, Message: unionpay.Respond(m, answer), Finding: ev.Finding}
	if f, ok := ev.Finding.(*Finding); ok && len(s) > 0 {
		effect.Finding = &closing{f, s}
	}
	if reason == SystemUnavailable {
		effect.Finding = nil // a repeat must not depend on what works by then
	}
	step.Emit(effect)
}

func (i *Issuer) acknowledge(ev *journal.Event, m *unionpay.ReversalRequest, reason Reason, step *journal.Step) {
	step.Emit(journal.Effect{To: ev.From, Message: unionpay.Respond(m, unionpay.Answer{Response: reason.ResponseCode()})})
}

// Finish adds the response cryptogram, method 1, where the request's cryptogram was valid [REF 4.4].
func (i *Issuer) Finish(eff *journal.Effect) {
	m, ok := eff.Message.(*unionpay.FinancialResponse)
	f, found := eff.Finding.(*Finding)
	var carried scripts
	if c, also := eff.Finding.(*closing); also {
		f, found, carried = c.finding, true, c.scripts
	}
	if !ok || !found || !f.check.OK || len(m.Response) != 2 || f.chip.kind != emv.ARQC {
		return
	}
	arc := [2]byte{m.Response[0], m.Response[1]}
	data := cryptogram.IssuerAuthData(f.check.ARPC(arc), arc)
	m.ICC.Set(emv.TagIssuerAuthData, data[:])
	if len(carried) == 0 {
		return
	}
	// Without the security module the commands stay behind; the card proves with its next cryptogram that it did not get them.
	if template, err := f.sign(carried); err == nil {
		m.ICC.Set(emv.TagScript2, template)
	}
}
