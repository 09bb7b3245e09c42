package card

import (
	"crypto/subtle"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
)

// ExtendedFile is a file of the extended application: records of merchants, each under a key of its own [REF 2.8]. Its opening key is
// with the card's other keys.
type ExtendedFile struct{ SFI byte }

// ExtendedCrypto is what a Crypto can do besides when the card has files of the extended application.
type ExtendedCrypto interface {
	// OpenRecord checks the MAC of APPEND RECORD under the opening key of a file and takes the record's key out of it.
	OpenRecord(sfi byte, wrapped [cryptogram.KeyBytes]byte, command []byte, mac [4]byte) (RecordKey, bool)
	// RecordMAC is the MAC of a command or an answer under a record's key, its chain started with the counter.
	RecordMAC(key RecordKey, atc uint16, command []byte) [4]byte
}

// RecordKey protects the changes of one merchant record.
type RecordKey [cryptogram.KeyBytes]byte

// String shows no key.
func (RecordKey) String() string { return redacted }

// Format shows no key, whatever the verb.
func (RecordKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText masks the key.
func (RecordKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Kinds of extended payment: DF60 in the PDOL [REF 1.3].
const (
	extendedNone byte = iota
	extendedSegment
	extendedPreauthorise
	extendedComplete
)

// idBytes is the merchant's identifier at the start of a record.
const idBytes = 2

// extendedPayment is the part of a contactless payment that belongs to the extended application, in RAM.
type extendedPayment struct {
	kind    byte
	amount  int64
	cached  bool // a record waits to be written with the payment
	place   int  // in State.Extended
	length  byte
	content [MaxExtendedBytes]byte
}

// extended is DF61 as it stands.
func (a *application) extended(s *ApplicationState) (e emv.ExtendedIndicator) {
	copy(e[:], a.setting(s, emv.TagExtendedIndicator))
	return e
}

// extendedKind is what the terminal asks for, if the card can do it; anything else is an ordinary payment.
func (a *application) extendedKind(s *ApplicationState, terminal emv.Data) byte {
	asked := terminal.Get(emv.TagCAPPIndicator)
	if len(asked) != 1 || len(a.Files) == 0 {
		return extendedNone
	}
	indicator := a.extended(s)
	switch {
	case asked[0] == extendedSegment && (indicator.Has(emv.EISegmented) || indicator.Has(emv.EIPreauthorisation)):
		return extendedSegment
	case (asked[0] == extendedPreauthorise || asked[0] == extendedComplete) && indicator.Has(emv.EIPreauthorisation):
		return asked[0]
	}
	return extendedNone
}

// segmentRoom is what segmented deduction may still advance to the first purse.
func (a *application) segmentRoom(s *ApplicationState, second bool) int64 {
	if second || len(a.Files) == 0 {
		return 0
	}
	return max(0, a.segmentLimit(s)-s.SegmentUsed)
}

func (a *application) segmentLimit(s *ApplicationState) int64 {
	limit, _ := parseN12(a.setting(s, emv.TagSegmentLimit))
	return limit
}

// takeFromPurse spends; what the purse lacks is advanced [REF 2.8]. The checks have passed.
func (s *ApplicationState) takeFromPurse(purse int, amount int64) {
	p := &s.Purses[purse]
	if amount <= p.Balance {
		p.Balance -= amount
		return
	}
	s.SegmentUsed += amount - p.Balance
	p.Balance = 0
}

// reserved is what open pre-authorisations have set aside.
func (s *ApplicationState) reserved() (total int64) {
	for i := range s.Preauths {
		total += s.Preauths[i].Amount
	}
	return total
}

// largestReserve is what a completion could take back at most: which one it is, the record tells later.
func (s *ApplicationState) largestReserve() (amount int64, open int) {
	for i := range s.Preauths {
		if s.Preauths[i].Open {
			amount, open = max(amount, s.Preauths[i].Amount), open+1
		}
	}
	return amount, open
}

// refuseExtended is asked before the decision tree: a fourth pre-authorisation and a completion of nothing have their own answers.
func (s *ApplicationState) refuseExtended(kind byte) apdu.SW {
	_, open := s.largestReserve()
	switch {
	case kind == extendedPreauthorise && open == MaxPreauthorizations:
		return apdu.TooManyPreauthorizations
	case kind == extendedComplete && open == 0:
		return apdu.NoMatchingPreauthorization
	}
	return apdu.OK
}

// writeSegmentLimit keeps the limit and the balance limit together below the largest amount [REF 1.3], and not below what is advanced.
func writeSegmentLimit(c *Card, a *application, s *ApplicationState, value []byte) apdu.SW {
	limit, ok := parseN12(value)
	if !ok || limit < s.SegmentUsed || limit+s.Purses[0].BalanceLimit >= MaxMinor {
		return apdu.WrongData
	}
	return setting(emv.TagSegmentLimit)(c, a, s, value)
}

func (a *application) checkExtended() error {
	if len(a.Files) == 0 {
		return nil
	}
	if _, ok := a.crypto.(ExtendedCrypto); !ok {
		return fmt.Errorf("the extended application has files, but there are no keys for them")
	}
	if a.Extended == (emv.ExtendedIndicator{}) || a.fundsMode() != fundsLowValue {
		return fmt.Errorf("the extended application needs its indicator and the low-value check")
	}
	seen := map[byte]bool{a.Log.SFI: true, a.LoadLog.SFI: true}
	for _, f := range a.Files {
		if f.SFI == 0 || f.SFI > maxSFI || seen[f.SFI] || a.files[f.SFI] {
			return fmt.Errorf("file %d of the extended application is not its own", f.SFI)
		}
		seen[f.SFI] = true
	}
	if value := a.Objects.Get(emv.TagSegmentLimit); value != nil {
		if _, ok := parseN12(value); !ok {
			return fmt.Errorf("%v is not an amount", emv.TagSegmentLimit)
		}
	}
	return nil
}

func (a *application) hasFile(sfi byte) bool {
	for _, f := range a.Files {
		if f.SFI == sfi {
			return true
		}
	}
	return false
}

// findExtended looks a merchant's record up, by number or, with number 0, by its identifier alone.
func (s *State) findExtended(application, sfi, number byte, id []byte) int {
	for i := range s.Extended {
		r := &s.Extended[i]
		if r.Length == 0 || r.Application != application || r.SFI != sfi || number != 0 && r.Number != number {
			continue
		}
		if string(r.Bytes[:idBytes]) == string(id) {
			return i
		}
	}
	return -1
}

// appendRecord creates a merchant's record with its key [REF 2.8]. The MAC does not cover a counter, so that a record that is there
// already is refused: an old command changes nothing.
func (c *Card) appendRecord(cmd apdu.Command) (apdu.Response, error) {
	a := &c.applications[c.selected]
	keys, ok := a.crypto.(ExtendedCrypto)
	sfi, end := cmd.P2>>sfiShift, len(cmd.Data)-scriptMACBytes
	content := end - cryptogram.KeyBytes
	switch {
	case cmd.P1 != 0:
		return refuse(apdu.WrongParameters), nil
	case !ok || !a.hasFile(sfi):
		return refuse(apdu.FileNotFound), nil
	case c.state.Applications[c.selected].Blocked:
		return refuse(apdu.ConditionsNotSatisfied), nil
	case content <= idBytes || content > MaxExtendedBytes:
		return refuse(apdu.WrongLength), nil
	}
	command := append([]byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, byte(len(cmd.Data))}, cmd.Data[:end]...)
	key, good := keys.OpenRecord(sfi, [cryptogram.KeyBytes]byte(cmd.Data), command, [4]byte(cmd.Data[end:]))
	if !good {
		return refuse(apdu.SecureMessagingIncorrect), nil
	}
	record := ExtendedRecord{Application: byte(c.selected), SFI: sfi, Length: byte(content), Key: key}
	copy(record.Bytes[:], cmd.Data[cryptogram.KeyBytes:end])
	next := c.state
	if next.findExtended(record.Application, sfi, 0, record.Bytes[:idBytes]) >= 0 {
		return refuse(apdu.WrongData), nil
	}
	place := -1
	for i := range next.Extended {
		r := &next.Extended[i]
		if r.Length == 0 && place < 0 {
			place = i
		}
		if r.Length != 0 && r.Application == record.Application && r.SFI == sfi {
			record.Number = max(record.Number, r.Number)
		}
	}
	if place < 0 {
		return refuse(apdu.NotEnoughMemory), nil
	}
	record.Number++
	next.Extended[place] = record
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	return answer(nil)
}

// nextRecord in P2 asks for a further record with the identifier. On this card an identifier has one record.
const nextRecord = 0x02

// readExtended answers a merchant's record by its identifier, with a MAC when the card gives one [REF 2.8].
func (c *Card) readExtended(cmd apdu.Command) (apdu.Response, error) {
	a, s := &c.applications[c.selected], &c.state.Applications[c.selected]
	const random = 8
	withMAC := a.extended(s).Has(emv.EIRMAC)
	want := idBytes
	if withMAC {
		want += random
	}
	sfi, mode := cmd.P2>>sfiShift, cmd.P2&(1<<sfiShift-1)
	switch {
	case c.tx.extended.kind == extendedNone:
		return refuse(apdu.ConditionsNotSatisfied), nil
	case mode != 0 && mode != nextRecord:
		return refuse(apdu.WrongParameters), nil
	case len(cmd.Data) != want:
		return refuse(apdu.WrongLength), nil
	case !a.hasFile(sfi):
		return refuse(apdu.FileNotFound), nil
	}
	place := c.state.findExtended(byte(c.selected), sfi, cmd.P1, cmd.Data[:idBytes])
	if place < 0 || mode == nextRecord {
		return refuse(apdu.RecordNotFound), nil
	}
	r := &c.state.Extended[place]
	data := append([]byte(nil), r.Bytes[:r.Length]...)
	if withMAC {
		mac := a.crypto.(ExtendedCrypto).RecordMAC(r.Key, s.ATC, append(append([]byte(nil), cmd.Data[idBytes:]...), data...))
		data = append(data, mac[:]...)
	}
	return answer(data)
}

// updateExtended keeps a merchant's record in RAM until the payment ends, under a MAC for this payment [REF 2.8].
func (c *Card) updateExtended(cmd apdu.Command) (apdu.Response, error) {
	a, s, x := &c.applications[c.selected], &c.state.Applications[c.selected], &c.tx.extended
	sfi, end := cmd.P2>>sfiShift, len(cmd.Data)-scriptMACBytes
	switch {
	case x.kind == extendedNone || !c.tx.staged || x.cached:
		return refuse(apdu.ConditionsNotSatisfied), nil
	case end < 0:
		return refuse(apdu.SecureMessagingMissing), nil
	case end <= idBytes || end > MaxExtendedBytes:
		return refuse(apdu.WrongLength), nil
	case !a.hasFile(sfi):
		return refuse(apdu.FileNotFound), nil
	}
	place := c.state.findExtended(byte(c.selected), sfi, cmd.P1, cmd.Data[:idBytes])
	if place < 0 {
		return refuse(apdu.RecordNotFound), nil
	}
	r := &c.state.Extended[place]
	command := append([]byte{cmd.CLA, cmd.INS, cmd.P1, cmd.P2, byte(len(cmd.Data))}, cmd.Data[:end]...)
	want := a.crypto.(ExtendedCrypto).RecordMAC(r.Key, s.ATC, command)
	if subtle.ConstantTimeCompare(want[:], cmd.Data[end:]) != 1 {
		return refuse(apdu.SecureMessagingIncorrect), nil
	}
	if sw := c.tx.next.settlePreauthorization(x, r); sw != apdu.OK {
		return refuse(sw), nil
	}
	x.cached, x.place, x.length = true, place, byte(end)
	x.content = [MaxExtendedBytes]byte{}
	copy(x.content[:], cmd.Data[:end])
	return answer(nil)
}

// settlePreauthorization sets money aside for the merchant of a record, or takes back what a completion leaves over.
func (s *ApplicationState) settlePreauthorization(x *extendedPayment, r *ExtendedRecord) apdu.SW {
	id := [idBytes]byte(r.Bytes[:idBytes])
	found, free := -1, -1
	for i := range s.Preauths {
		p := &s.Preauths[i]
		switch {
		case !p.Open && free < 0:
			free = i
		case p.Open && p.SFI == r.SFI && p.ID == id:
			found = i
		}
	}
	switch {
	case x.kind == extendedPreauthorise && found >= 0:
		return apdu.DuplicatePreauthorization
	case x.kind == extendedPreauthorise && free < 0:
		return apdu.TooManyPreauthorizations
	case x.kind == extendedPreauthorise:
		s.Purses[0].Balance -= x.amount
		s.Preauths[free] = Preauthorization{Open: true, SFI: r.SFI, ID: id, Amount: x.amount}
	case x.kind == extendedComplete && (found < 0 || x.amount > s.Purses[0].Balance+s.Preauths[found].Amount):
		return apdu.NoMatchingPreauthorization
	case x.kind == extendedComplete:
		s.Purses[0].Balance += s.Preauths[found].Amount - x.amount
		s.Preauths[found] = Preauthorization{}
	}
	return apdu.OK
}

// getTransProve answers the certificate of the latest approved payment [REF 2.8]. Setting money aside has none: zeros.
func (c *Card) getTransProve(cmd apdu.Command) (apdu.Response, error) {
	a, s := &c.applications[c.selected], &c.state.Applications[c.selected]
	switch {
	case cmd.P1 != 0 || cmd.P2 != 0:
		return refuse(apdu.WrongParameters), nil
	case len(cmd.Data) != 2:
		return refuse(apdu.WrongLength), nil
	case len(a.Files) == 0:
		return refuse(apdu.FunctionNotSupported), nil
	case s.Proof.ATC == 0 || s.Proof.ATC != uint16(cmd.Data[0])<<8|uint16(cmd.Data[1]):
		return refuse(apdu.TransProveUnavailable), nil
	}
	return answer(append([]byte(nil), s.Proof.Cryptogram[:]...))
}
