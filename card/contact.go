package card

import (
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/tlv"
)

// ContactProfile is the dialogue that ends in GENERATE AC: on contact, and over contactless for a reader that asks for it there. The lists
// of what the card wants to be told (8C, 8D, 9F49) are taken from the records, so that they cannot differ from what a terminal reads.
type ContactProfile struct {
	PDOL emv.DOL // of the answer to SELECT on contact; empty: 9F38 is left out
	AIP  emv.AIP
	AFL  emv.AFL

	// Electronic cash on contact [REF 2.9]; an empty CashAFL: none.
	CashAIP emv.AIP
	CashAFL emv.AFL

	// The same dialogue over contactless [REF 2.1]; an empty FullAFL: not offered. FullAIP has AIPFullContactless.
	FullAIP emv.AIP
	FullAFL emv.AFL
	// FullOnly: the application has no qPBOC and answers every reader that knows the full dialogue with it.
	FullOnly bool

	Format2 bool   // answers in template 77 instead of 80 [EMV B3 6.5.5.4]
	CVN     byte   // 0: as on contactless
	IDD     byte   // issuer discretionary data of the cryptograms here; 0: none
	Checks  Checks // velocity checks of card action analysis

	PINVariant  cryptogram.PINVariant // which key a PIN change is mixed with [REF 3.4]
	PINTryLimit byte                  // what 9F17 is set back to; 0: 3
}

// Checks are the card's own velocity checks on contact [REF 1.3]. Each needs its limit on the card.
type Checks uint8

// The checks.
const (
	CheckConsecutive Checks = 1 << iota // 9F58 and 9F59 in Application.Objects
	CheckCurrency                       // 9F53: ApplicationState.InternationalLimit
	CheckCountry                        // 9F72 and 9F57 in Application.Objects
	CheckCumulative                     // 9F54 and 9F5C: ApplicationState.CumulativeLimit and CumulativeUpperLimit
	CheckDual                           // 9F75, 9F76 and 9F73 in Application.Objects

	checksAll = CheckConsecutive | CheckCurrency | CheckCountry | CheckCumulative | CheckDual
)

// Has reports whether every named check is switched on.
func (c Checks) Has(checks Checks) bool { return c&checks == checks }

const defaultPINTries = 3

// contact is a ContactProfile made ready.
type contact struct {
	ContactProfile
	fci, directory     []byte
	cdol1, cdol2, ddol emv.DOL
	issuerCountry      [2]byte
}

// dialogue is a payment by GENERATE AC, in RAM until the next selection.
type dialogue struct {
	aip         emv.AIP
	cash        bool     // the card chose electronic cash
	pdol, first emv.Data // what the terminal told in GPO and in the first GENERATE AC
	told        [][]byte // the same as it came, for the combined signature

	triesBefore byte    // PIN tries at the start
	cvr         emv.CVR // of the first cryptogram; before it, the bits that verification and authentication set
	ac          [8]byte // the first cryptogram: ARPC and script MACs refer to it
	changed     bool    // electronic cash: the terminal told another payment than in GPO

	authentication authentication
	arc            [2]byte // that the issuer authenticated
	scripts        bool    // the issuer may change the card
	scriptFailed   bool
	macFailed      bool

	challenge  [challengeBytes]byte
	challenged bool
}

// authentication is what became of issuer authentication.
type authentication uint8

const (
	authenticationMissing authentication = iota
	authenticationGood
	authenticationFailed
)

// initiateContact answers GET PROCESSING OPTIONS on contact [EMV B3 6.5.8]. The card chooses electronic cash here [REF 2.9].
func (c *Card) initiateContact(cmd apdu.Command) (apdu.Response, error) {
	a := &c.applications[c.selected]
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return refuse(apdu.WrongParameters), nil
	}
	if a.contact == nil {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	value, sw := commandTemplate(cmd.Data)
	if sw != apdu.OK {
		return refuse(sw), nil
	}
	terminal, err := a.contact.PDOL.Split(value)
	if err != nil {
		return refuse(apdu.WrongLength), nil
	}
	a = a.chosen(terminal)
	d := dialogue{aip: a.contact.AIP, pdol: terminal, told: [][]byte{append([]byte(nil), value...)}}
	afl, second := a.contact.AFL, false
	if d.cash, second = a.choosesCash(terminal, &c.state.Applications[c.selected]); d.cash {
		d.aip, afl = a.contact.CashAIP, a.contact.CashAFL
	}
	return c.openDialogue(a, &d, afl, second)
}

// openDialogue uses up a counter and answers with profile and files.
func (c *Card) openDialogue(a *application, d *dialogue, afl emv.AFL, second bool) (apdu.Response, error) {
	next := c.state
	s := &next.Applications[c.selected]
	if s.ATC == exhausted {
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	s.ATC++
	c.phase, c.tx = phaseInitiated, transaction{}
	if ok, err := c.commit(&next); !ok {
		return refuse(apdu.MemoryFailure), err
	}
	if s.ATC == exhausted {
		c.decision, c.decided = Decision{SW: apdu.ConditionsNotSatisfied, Reason: ReasonCounterExhausted}, true
		return refuse(apdu.ConditionsNotSatisfied), nil
	}
	d.triesBefore, d.cvr = s.PINTries, emv.NewCVR()
	c.phase, c.tx = phaseDialogue, transaction{answered: true, second: second, sm: a.secondSet, dialogue: *d}
	if a.contact.Format2 {
		return answer(tlv.Wrap(emv.TagResponse2, tlv.Append(nil, emv.TagAIP, d.aip[:]), tlv.Append(nil, emv.TagAFL, afl.Bytes())))
	}
	return answer(tlv.Wrap(emv.TagResponse1, d.aip[:], afl.Bytes()))
}

// commandTemplate takes the data out of template 83 [EMV B3 6.5.8.3].
func commandTemplate(data []byte) (value []byte, sw apdu.SW) {
	element, rest, err := tlv.Next(data)
	switch {
	case err == nil && element.Tag != emv.TagCommandTemplate:
		return nil, apdu.WrongData
	case err != nil || len(rest) != 0:
		return nil, templateFault(err)
	}
	return element.Value, apdu.OK
}

// choosesCash: the terminal supports electronic cash, the payment is in a currency of the card and within the purse and its limit for one payment, the PIN is
// not blocked, and nothing of the last online payment is pending [REF 2.9]. Whatever it chooses, a transaction in the second currency is about the second
// purse [REF 1.3]: a load of it must prove the balance of that one.
func (a *application) choosesCash(terminal emv.Data, s *ApplicationState) (cash, second bool) {
	support, currency := terminal.Get(emv.TagECTerminalSupport), terminal.Get(emv.TagCurrency)
	if len(currency) != 2 {
		return false, false
	}
	second = !a.SecondCurrency.IsZero() && [2]byte(currency) == a.secondCurrency
	amount, ok := parseN12(terminal.Get(emv.TagAmount))
	if len(a.contact.CashAFL) == 0 || s.Blocked || !ok || len(support) != 1 || support[0] != 1 {
		return false, second
	}
	if !second && [2]byte(currency) != a.currency {
		return false, false
	}
	purse := &s.Purses[0]
	if second {
		purse = &s.Purses[1]
	}
	cash = amount <= purse.Balance && amount <= purse.SingleLimit &&
		!s.History.IssuerAuthFailed && !s.History.ScriptFailed && s.PINTries != 0
	return cash, second
}

// prepareContact makes the dialogue ready: lists from the records, answers to SELECT, checks.
func (a *application) prepareContact() error {
	if a.Contact == nil {
		return nil
	}
	k := &contact{ContactProfile: *a.Contact}
	a.contact = k
	if k.CVN == 0 {
		k.CVN = a.CVN
	}
	if k.PINTryLimit == 0 {
		k.PINTryLimit = defaultPINTries
	}
	if k.PINTryLimit > maxPINTries || k.Checks&^checksAll != 0 || k.IDD > emv.IDDAvailable {
		return fmt.Errorf("contact: a number is out of range")
	}
	if a.Withhold.Has(WithholdBalance) && k.IDD != 0 {
		return fmt.Errorf("contact: balance is withheld, but 9F10 would tell it")
	}
	for _, check := range [...]func() error{k.checkPDOL, a.checkContactFiles, a.checkLists, a.checkVelocity} {
		if err := check(); err != nil {
			return fmt.Errorf("contact: %w", err)
		}
	}
	k.fci, k.directory = a.buildFCI(k.PDOL, a.Extended), a.buildPSERecord()
	if len(k.fci) > MaxRecordBytes || len(k.directory) > MaxRecordBytes {
		return fmt.Errorf("contact: answer to SELECT has %d bytes, at most %d", len(k.fci), MaxRecordBytes)
	}
	return nil
}

func (k *contact) checkPDOL() error {
	if k.PDOL.Length() > apdu.MaxPDOLBytes {
		return fmt.Errorf("PDOL asks for %d bytes, at most %d", k.PDOL.Length(), apdu.MaxPDOLBytes)
	}
	terminal, err := k.PDOL.Split(make([]byte, k.PDOL.Length()))
	if err != nil || len(k.CashAFL) == 0 {
		return err
	}
	for _, need := range [...]emv.DOLEntry{{Tag: emv.TagECTerminalSupport, Len: 1}, {Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagCurrency, Len: 2}} {
		if len(terminal.Get(need.Tag)) != need.Len {
			return fmt.Errorf("PDOL does not ask for %v with %d bytes, as electronic cash needs", need.Tag, need.Len)
		}
	}
	return nil
}

// checkContactFiles checks each file list and finds the lists in its records. Two file lists cannot ask for different data.
func (a *application) checkContactFiles() error {
	k := a.contact
	if len(k.FullAFL) > 0 != k.FullAIP.Has(emv.AIPFullContactless) || k.AIP.Has(emv.AIPFullContactless) || k.CashAIP.Has(emv.AIPFullContactless) {
		return fmt.Errorf("the bit for the full dialogue over contactless belongs into its own profile alone")
	}
	if k.FullOnly && len(k.FullAFL) == 0 {
		return fmt.Errorf("the full dialogue is all there is over contactless, but it has no files")
	}
	for i, files := range [...]struct {
		aip emv.AIP
		afl emv.AFL
	}{{k.AIP, k.AFL}, {k.CashAIP, k.CashAFL}, {k.FullAIP, k.FullAFL}} {
		if len(files.afl) == 0 && i > 0 {
			continue
		}
		if len(files.afl) == 0 {
			return fmt.Errorf("file list is missing")
		}
		if (files.aip.Has(emv.AIPDDA) || files.aip.Has(emv.AIPCDA)) && a.crypto.SignatureLength() == 0 {
			return fmt.Errorf("profile promises dynamic signatures, but there is no ICC key")
		}
		if err := a.checkAFL(files.afl); err != nil {
			return err
		}
		if err := a.findLists(files.afl, i == 0); err != nil {
			return err
		}
	}
	return nil
}

// findLists reads 8C, 8D and 9F49 from the records of a file list.
func (a *application) findLists(afl emv.AFL, set bool) error {
	k := a.contact
	for _, list := range [...]struct {
		tag  tlv.Tag
		into *emv.DOL
	}{{emv.TagCDOL1, &k.cdol1}, {emv.TagCDOL2, &k.cdol2}, {emv.TagDDOL, &k.ddol}} {
		var found []byte
		for r := range afl.Records() {
			if value, ok := tlv.Find(a.records[recordID{r.SFI, r.Number}].body(), list.tag); ok {
				found = value
			}
		}
		dol, err := emv.ParseDOL(found)
		if err != nil {
			return fmt.Errorf("%v: %w", list.tag, err)
		}
		if !set && dol.String() != list.into.String() {
			return fmt.Errorf("two file lists lead to different %v", list.tag)
		}
		*list.into = dol
	}
	return nil
}

// contactNeeds is what card action analysis reads from the first GENERATE AC.
var contactNeeds = [...]emv.DOLEntry{{Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagCurrency, Len: 2}, {Tag: emv.TagTerminalCountry, Len: 2},
	{Tag: emv.TagTVR, Len: 5}, {Tag: emv.TagUnpredictableNumber, Len: 4}}

func (a *application) checkLists() error {
	k := a.contact
	first, err := k.cdol1.Split(make([]byte, k.cdol1.Length()))
	if err != nil {
		return fmt.Errorf("CDOL1: %w", err)
	}
	second, err := k.cdol2.Split(make([]byte, k.cdol2.Length()))
	if err != nil {
		return fmt.Errorf("CDOL2: %w", err)
	}
	for _, need := range contactNeeds {
		if len(first.Get(need.Tag)) != need.Len {
			return fmt.Errorf("CDOL1 does not ask for %v with %d bytes", need.Tag, need.Len)
		}
		if second.Has(need.Tag) && len(second.Get(need.Tag)) != need.Len {
			return fmt.Errorf("CDOL2 asks for %v with other than %d bytes", need.Tag, need.Len)
		}
	}
	if len(second.Get(emv.TagARC)) != 2 {
		return fmt.Errorf("CDOL2 does not ask for the response code")
	}
	values := &cardValues{aip: k.AIP}
	if _, err := a.suite.AppendData(nil, k.CVN, emv.NewCVR(), values, first); err != nil {
		return fmt.Errorf("CDOL1 does not serve cryptogram version %02X: %w", k.CVN, err)
	}
	_, err = a.suite.AppendData(nil, k.CVN, emv.NewCVR(), values, second, first)
	return err
}

// checkVelocity: a check without its limit would silently pass everything.
func (a *application) checkVelocity() error {
	k := a.contact
	for _, row := range [...]struct {
		check  Checks
		tag    tlv.Tag
		length int
	}{
		{CheckConsecutive, emv.TagLowerConsecutiveLimit, 1}, {CheckConsecutive, emv.TagUpperConsecutiveLimit, 1},
		{CheckCountry, emv.TagConsecutiveIntlCountry, 1}, {CheckCountry, emv.TagIssuerCountryCard, 2},
		{CheckDual, emv.TagDualCurrencyLimit, 6}, {CheckDual, emv.TagSecondCurrency, 2}, {CheckDual, emv.TagConversionFactor, 4},
	} {
		if k.Checks.Has(row.check) && len(a.Objects.Get(row.tag)) != row.length {
			return fmt.Errorf("a velocity check needs %v with %d bytes", row.tag, row.length)
		}
	}
	copy(k.issuerCountry[:], a.Objects.Get(emv.TagIssuerCountryCard))
	if value := a.Objects.Get(emv.TagDefaultAction); value != nil && len(value) != len(emv.DefaultAction{}) {
		return fmt.Errorf("default action has %d bytes", len(value))
	}
	return nil
}

// defaultAction is 9F52; a card without it has no bit set.
func (a *application) defaultAction() (action emv.DefaultAction) {
	copy(action[:], a.Objects.Get(emv.TagDefaultAction))
	return action
}

// authenticationMandatory is 9F56 b8.
func (a *application) authenticationMandatory() bool {
	value := a.Objects.Get(emv.TagIssuerAuthIndicator)
	indicator, err := emv.ParseIssuerAuthIndicator(value)
	return err == nil && indicator.Has(emv.IAIMandatory)
}
