package card

import (
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/tlv"
)

// application is an Application made ready: what never changes is built once.
type application struct {
	Application
	crypto                   Crypto
	suite                    cryptogram.Suite
	directory, fci           []byte
	records                  map[recordID]record
	files                    map[byte]bool // short identifiers that hold records
	last                     recordID      // of the offline AFL
	hasLast, lastOnline      bool          // lastOnline: the online AFL lists it too
	lastBody                 []byte
	currency, secondCurrency [2]byte
	sequence, track2         []byte
	contact                  *contact     // nil: qPBOC only
	sm                       *application // with the second set of algorithms; nil: there is one
	secondSet                bool         // this is the second set
}

// Limits of what personalisation may write [EMV B3 Annex A].
const (
	maxLabel   = 16
	maxHolder  = 26
	productLen = 16
	minLogSFI  = 11 // files 11 to 30 are for the payment system and the issuer [EMV B3 5.3.2.2]
)

// prepare checks the image and makes its applications ready.
func prepare(image *Image, crypto Crypto) ([]application, error) {
	n := len(image.Applications)
	if n == 0 || n > MaxApplications {
		return nil, fmt.Errorf("%w: %d applications, want 1 to %d", ErrImage, n, MaxApplications)
	}
	if image.Interfaces&^bothInterfaces != 0 && image.Interfaces != NoInterface {
		return nil, fmt.Errorf("%w: unknown interface", ErrImage)
	}
	if len(image.Historical) > MaxHistoricalBytes {
		return nil, fmt.Errorf("%w: %d historical bytes, at most %d", ErrImage, len(image.Historical), MaxHistoricalBytes)
	}
	keyring, many := crypto.(Keyring)
	if many && len(keyring) != n {
		return nil, fmt.Errorf("%w: keys for %d applications, image has %d", ErrImage, len(keyring), n)
	}
	prepared := make([]application, n)
	for i := range image.Applications {
		a := &prepared[i]
		a.Application, a.crypto = image.Applications[i], crypto
		if many {
			a.crypto = keyring[i]
		}
		keys := a.crypto
		if dual, two := keys.(Dual); two && dual.Crypto != nil {
			a.crypto = dual.Crypto
		}
		if a.suite = a.crypto.Suite(); a.suite.IsZero() {
			return nil, fmt.Errorf("%w: keys without a suite", ErrImage)
		}
		if err := a.prepareAll(keys); err != nil {
			return nil, fmt.Errorf("%w: application %d (%v): %w", ErrImage, i+1, a.AID, err)
		}
		for j := range i {
			if prepared[j].AID == a.AID {
				return nil, fmt.Errorf("%w: applications %d and %d have the same identifier", ErrImage, j+1, i+1)
			}
		}
	}
	return prepared, nil
}

// prepareAll makes an application ready under each set of algorithms.
func (a *application) prepareAll(keys Crypto) error {
	if err := a.prepare(); err != nil {
		return err
	}
	return a.prepareSM(keys)
}

func (a *application) prepare() error {
	checks := [...]func() error{
		a.checkIdentity, a.checkPDOL, a.checkFunds, a.checkPrivacy, a.prepareRecords, a.prepareLast, a.checkLogs, a.checkAnswer, a.prepareContact,
		a.checkUpdatable, a.checkExtended,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	a.directory, a.fci = a.buildDirectoryEntry(), a.buildFCI(a.PDOL, a.Extended)
	if len(a.fci) > MaxRecordBytes {
		return fmt.Errorf("answer to SELECT has %d bytes, at most %d", len(a.fci), MaxRecordBytes)
	}
	return nil
}

func (a *application) checkIdentity() error {
	if _, err := emv.ParseAID(a.AID.Bytes()); err != nil {
		return err
	}
	switch {
	case len(a.Label) > maxLabel || len(a.PreferredName) > maxLabel || len(a.Holder) > maxHolder:
		return fmt.Errorf("a name is too long")
	case len(a.Language)%2 != 0 || len(a.Language) > 8:
		return fmt.Errorf("language preference is not one to four codes of two letters")
	case len(a.Product) != 0 && len(a.Product) != productLen:
		return fmt.Errorf("product identification has %d bytes, want %d", len(a.Product), productLen)
	case a.Track2.IsZero():
		return fmt.Errorf("track 2 is missing")
	case a.Sequence != "" && (len(a.Sequence) != 2 || !digit(a.Sequence[0]) || !digit(a.Sequence[1])):
		return fmt.Errorf("sequence number is not two digits")
	case a.AIP.Has(emv.AIPFullContactless):
		return fmt.Errorf("the bit for the full dialogue over contactless belongs into its own profile")
	case a.AIP.Has(emv.AIPDDA) && a.crypto.SignatureLength() == 0:
		return fmt.Errorf("profile promises dynamic signatures, but there is no ICC key")
	case a.Algorithm != a.suite.AlgorithmID():
		return fmt.Errorf("algorithm %02X, but the keys are for %02X", a.Algorithm, a.suite.AlgorithmID())
	}
	a.track2 = a.Track2.Packed()
	if a.Sequence != "" {
		a.sequence = []byte{(a.Sequence[0]-'0')<<4 | (a.Sequence[1] - '0')}
	}
	return nil
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// pdolNeeds is what the decision tree and the signature read from the PDOL data.
var pdolNeeds = [...]emv.DOLEntry{{Tag: emv.TagTTQ, Len: 4}, {Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagCurrency, Len: 2},
	{Tag: emv.TagUnpredictableNumber, Len: 4}}

// contactOnly: without a PDOL there is no contactless payment, and the application is not to be seen there.
func (a *application) contactOnly() bool { return a.Contact != nil && len(a.PDOL) == 0 }

func (a *application) checkPDOL() error {
	if a.contactOnly() {
		return nil
	}
	if a.PDOL.Length() > apdu.MaxPDOLBytes {
		return fmt.Errorf("PDOL asks for %d bytes, at most %d", a.PDOL.Length(), apdu.MaxPDOLBytes)
	}
	terminal, err := a.PDOL.Split(make([]byte, a.PDOL.Length()))
	if err != nil {
		return err
	}
	for _, need := range pdolNeeds {
		if len(terminal.Get(need.Tag)) != need.Len {
			return fmt.Errorf("PDOL does not ask for %v with %d bytes", need.Tag, need.Len)
		}
	}
	if _, err := a.suite.AppendData(nil, a.CVN, emv.NewCVR(), &cardValues{aip: a.AIP}, terminal); err != nil {
		return fmt.Errorf("PDOL does not serve cryptogram version %02X: %w", a.CVN, err)
	}
	return nil
}

func (a *application) checkFunds() error {
	set := 0
	for _, bit := range [...]emv.AdditionalProcessingBit{emv.APLowValue, emv.APLowValueAndCTTA, emv.APLowValueOrCTTA} {
		if a.Processing.Has(bit) {
			set++
		}
	}
	switch {
	case set > 1:
		return fmt.Errorf("more than one offline funds check is switched on")
	case a.Currency.IsZero():
		return fmt.Errorf("currency is missing")
	case a.SecondCurrency == a.Currency:
		return fmt.Errorf("both purses have the same currency")
	case !a.SecondCurrency.IsZero() && !a.Processing.Has(emv.APLowValue):
		return fmt.Errorf("a second currency needs the low-value check")
	case len(a.OfflineAFL) == 0 && (set > 0 || a.Processing.Has(emv.APAllowMismatchedCurrency)):
		return fmt.Errorf("profile can approve offline, but there is no offline AFL")
	case a.IDD > emv.IDDAvailable:
		return fmt.Errorf("issuer discretionary data %02X are not known", a.IDD)
	}
	a.currency = numeric(a.Currency)
	if !a.SecondCurrency.IsZero() {
		a.secondCurrency = numeric(a.SecondCurrency)
	}
	return nil
}

// checkPrivacy refuses an image that withholds the balance and would tell it in every answer all the same.
func (a *application) checkPrivacy() error {
	if a.Withhold&^withholdAll != 0 {
		return fmt.Errorf("unknown object to withhold")
	}
	if a.Withhold.Has(WithholdBalance) && (a.IDD != 0 || a.Processing.Has(emv.APReturnAvailable)) {
		return fmt.Errorf("balance is withheld, but 9F10 or 9F5D would tell it")
	}
	return nil
}

func (a *application) prepareRecords() error {
	a.records, a.files = make(map[recordID]record, len(a.Records)), make(map[byte]bool)
	for _, r := range a.Records {
		id := recordID{r.SFI, r.Number}
		if r.SFI == 0 || r.SFI > maxSFI || r.Number == 0 {
			return fmt.Errorf("record %d.%d cannot be addressed", r.SFI, r.Number)
		}
		if _, twice := a.records[id]; twice {
			return fmt.Errorf("record %d.%d is there twice", r.SFI, r.Number)
		}
		if _, err := tlv.Decode(r.Body); err != nil {
			return fmt.Errorf("record %d.%d: %w", r.SFI, r.Number, err)
		}
		ready := record{answer: tlv.Wrap(emv.TagRecord, r.Body), withhold: tells(r.Body), updatable: r.Updatable}
		if len(ready.answer) > MaxRecordBytes {
			return fmt.Errorf("record %d.%d has %d bytes, at most %d", r.SFI, r.Number, len(ready.answer), MaxRecordBytes)
		}
		a.records[id], a.files[r.SFI] = ready, true
	}
	return a.checkAFL(a.OnlineAFL)
}

// checkAFL checks that each record is there, once.
func (a *application) checkAFL(afl emv.AFL) error {
	if len(afl) == 0 {
		return nil
	}
	if _, err := emv.ParseAFL(afl.Bytes()); err != nil {
		return err
	}
	seen := make(map[recordID]bool)
	for r := range afl.Records() {
		id := recordID{r.SFI, r.Number}
		if _, ok := a.records[id]; !ok {
			return fmt.Errorf("AFL lists record %d.%d, which is not there", r.SFI, r.Number)
		}
		if seen[id] {
			return fmt.Errorf("AFL lists record %d.%d twice", r.SFI, r.Number)
		}
		seen[id] = true
	}
	return nil
}

// prepareLast finds the record that ends an offline payment. It may be virtual: there only to carry the signature.
func (a *application) prepareLast() error {
	if len(a.OfflineAFL) == 0 {
		return nil
	}
	if _, err := emv.ParseAFL(a.OfflineAFL.Bytes()); err != nil {
		return err
	}
	last, _ := a.OfflineAFL.Last()
	if last.Signed {
		return fmt.Errorf("the last record of the offline AFL changes with each payment and cannot be certified")
	}
	a.last, a.hasLast = recordID{last.SFI, last.Number}, true
	for r := range a.OnlineAFL.Records() {
		a.lastOnline = a.lastOnline || recordID{r.SFI, r.Number} == a.last
	}
	for _, r := range a.Records {
		if (recordID{r.SFI, r.Number}) == a.last {
			a.lastBody = r.Body
		}
	}
	if _, ok := a.records[a.last]; !ok {
		a.records[a.last], a.files[a.last.sfi] = record{}, true
	}
	if err := a.checkAFL(a.OfflineAFL); err != nil {
		return err
	}
	const version01Bytes = 11 // 9F69 08 and its value
	longest := len(a.lastBody)
	if a.FDDA01 {
		longest += version01Bytes
	}
	if n := a.crypto.SignatureLength(); n > signatureInAnswer {
		longest += len(tlv.Append(nil, emv.TagSDAD, make([]byte, n)))
	}
	if n := len(tlv.Wrap(emv.TagRecord, make([]byte, longest))); n > MaxRecordBytes {
		return fmt.Errorf("the last record can grow to %d bytes, at most %d", n, MaxRecordBytes)
	}
	return nil
}

func (a *application) checkLogs() error {
	if a.Log.SFI == 0 && a.Processing.Has(emv.APLogOffline) {
		return errors.New("profile writes a log, but has no log file")
	}
	if a.Log.SFI != 0 && a.Log.SFI == a.LoadLog.SFI {
		return errors.New("both logs have the same file")
	}
	if err := a.checkLog(a.Log, 0); err != nil {
		return err
	}
	return a.checkLog(a.LoadLog, loadHead)
}

// checkLog checks a log file; head is what a record holds besides its format.
func (a *application) checkLog(log LogLayout, head int) error {
	if log.SFI == 0 {
		return nil
	}
	switch n := head + log.Format.Length(); {
	case log.SFI < minLogSFI || log.SFI > maxSFI:
		return fmt.Errorf("log file %d, want %d to %d", log.SFI, minLogSFI, maxSFI)
	case a.files[log.SFI]:
		return fmt.Errorf("log file %d holds records", log.SFI)
	case n == head || n > MaxLogRecordBytes:
		return fmt.Errorf("log record has %d bytes, want 1 to %d", n, MaxLogRecordBytes)
	}
	return nil
}

// checkUpdatable: a record that the card itself relies on cannot be changed under it.
func (a *application) checkUpdatable() error {
	for _, r := range a.Records {
		if !r.Updatable {
			continue
		}
		if a.hasLast && (recordID{r.SFI, r.Number}) == a.last {
			return fmt.Errorf("record %d.%d ends a payment and cannot be changed", r.SFI, r.Number)
		}
		for _, tag := range [...]tlv.Tag{emv.TagCDOL1, emv.TagCDOL2, emv.TagDDOL} {
			if _, found := tlv.Find(r.Body, tag); found {
				return fmt.Errorf("record %d.%d holds %v and cannot be changed", r.SFI, r.Number, tag)
			}
		}
	}
	return nil
}

// checkAnswer builds the longest answer to GET PROCESSING OPTIONS.
func (a *application) checkAnswer() error {
	const longestIAD = 24 // with two amounts [REF 1.7]
	signature := make([]byte, a.crypto.SignatureLength())
	if len(signature) > signatureInAnswer {
		signature = nil
	}
	longest := len(a.template(emv.ARQC, &answerData{afl: a.OnlineAFL.Bytes(), iad: make([]byte, longestIAD)}))
	if len(a.OfflineAFL) > 0 {
		offline := &answerData{afl: a.OfflineAFL.Bytes(), iad: make([]byte, longestIAD), signature: signature}
		longest = max(longest, len(a.template(emv.TC, offline)))
		if a.Extended.Has(emv.EIODAForOnline) {
			longest = max(longest, len(a.template(emv.ARQC, offline)))
		}
	}
	if longest > MaxRecordBytes {
		return fmt.Errorf("answer to GET PROCESSING OPTIONS can grow to %d bytes, at most %d", longest, MaxRecordBytes)
	}
	return nil
}
