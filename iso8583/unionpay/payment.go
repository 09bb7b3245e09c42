package unionpay

import (
	"tapnet/emv"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// Payment holds the fields that payment messages share. A zero value means the field is absent. Text fields hold
// no blanks at the end: the wire's padding is added by Encode and taken off by Decode.
type Payment struct {
	PAN        pan.Number     // field 2
	Processing ProcessingCode // field 3
	// Amount is field 4 and its currency field 49. A zero amount with a currency sends field 4 only where the
	// message type demands one (a balance inquiry has a currency and no amount).
	Amount           money.Amount
	TransmissionTime string          // field 7, MMDDhhmmss in UTC, switch only
	STAN             uint32          // field 11, system trace audit number, 1..999999
	LocalTime        string          // field 12, hhmmss
	LocalDate        string          // field 13, MMDD
	Expiry           pan.Expiry      // field 14
	SettlementDate   string          // field 15, MMDD
	MerchantType     string          // field 18, merchant category code, switch only
	Country          string          // field 19, ISO 3166 number of the acquirer's country, switch only
	EntryMode        EntryMode       // field 22
	CardSequence     string          // field 23, three digits
	Condition        string          // field 25, two digits
	PINCapture       string          // field 26, two digits: longest PIN the terminal takes
	Fee              string          // field 28, 'C' or 'D' and eight digits, switch only
	Acquirer         string          // field 32, acquiring institution, up to 11 digits
	Forwarder        string          // field 33, forwarding institution, up to 11 digits, switch only
	Track2           pan.Track2      // field 35
	Track3           Track3          // field 36
	RRN              string          // field 37, retrieval reference number, 12 characters
	AuthCode         string          // field 38, up to 6 characters
	Response         ResponseCode    // field 39: the answer, or the reason of a reversal
	Terminal         string          // field 41, up to 8 characters
	Merchant         string          // field 42, up to 15 characters
	MerchantName     string          // field 43, up to 40 printable ASCII characters, switch only
	Institutions     string          // field 44, issuer and acquirer shown on the slip, terminal only
	Additional       Opaque          // field 48
	PINBlock         *pinblock.Block // field 52, always enciphered
	Security         string          // field 53, 16 digits
	Balance          *Balance        // field 54
	ICC              emv.Data        // field 55
	NewPIN           *pinblock.Block // field 57, of a PIN change, enciphered under the key of field 52
	PBOC             Opaque          // field 58, terminal only
	Detail           Opaque          // field 59
	Info             Info            // field 60
	Original         *Original       // field 61 (terminal), field 90 (switch)
	Custom           Opaque          // field 62, terminal only
	Reserved         Opaque          // field 63, terminal only
	Receiver         string          // field 100, receiving institution, up to 11 digits, switch only
	AccountFrom      Opaque          // field 102, switch only
	AccountTo        Opaque          // field 103, switch only
	National         [3]Opaque       // fields 121 to 123, switch only
}

// ProcessingCode is field 3: six digits.
type ProcessingCode string

// The processing codes of [REF 6.1] and [REF 5].
const (
	ProcessingSale           ProcessingCode = "000000"
	ProcessingVoid           ProcessingCode = "200000" // void, refund, cancellation: the other fields tell them apart
	ProcessingBalance        ProcessingCode = "310000"
	ProcessingPreAuth        ProcessingCode = "030000"
	ProcessingLoad           ProcessingCode = "600000" // load from the designated account
	ProcessingLoadOther      ProcessingCode = "620000" // load from another account
	ProcessingLoadCash       ProcessingCode = "630000"
	ProcessingLoadCashCancel ProcessingCode = "170000"
	// ProcessingUnload takes the whole balance off the chip; no public source has a code for it, so this one is ours.
	ProcessingUnload ProcessingCode = "640000"
	// ProcessingPINChange and ProcessingPINUnblock let the issuer change what the chip knows of the PIN. No public source has codes for them at a terminal; these
	// follow the practice of other networks.
	ProcessingPINChange  ProcessingCode = "700000"
	ProcessingPINUnblock ProcessingCode = "720000"
)

// The conditions of [REF 6.1].
const (
	ConditionNormal  = "00"
	ConditionPreAuth = "06"
	ConditionLoad    = "91"
)

// EntryMode is field 22: two digits for how the card number came in, one for the PIN.
type EntryMode string

// The entry modes of [REF 6.1], first two digits.
const (
	EntryManual          = "01"
	EntryStripe          = "02"
	EntryCode            = "03" // QR code or bar code
	EntryContact         = "05"
	EntryContactless     = "07"
	EntryContactlessMSD  = "91"
	EntryUnreliable      = "95"
	EntryPhone           = "96"
	EntryContactlessFull = "98"
)

// The third digit of field 22.
const (
	EntryPINUnspecified = '0'
	EntryPINPresent     = '1'
	EntryPINAbsent      = '2'
)

// NewEntryMode joins how the card was read and whether a PIN was entered.
func NewEntryMode(mode string, pinEntered bool) EntryMode {
	if pinEntered {
		return EntryMode(mode + string(rune(EntryPINPresent)))
	}
	return EntryMode(mode + string(rune(EntryPINAbsent)))
}

// Mode is the first two digits, "" when the value is not one of three digits.
func (e EntryMode) Mode() string {
	if len(e) != 3 {
		return ""
	}
	return string(e[:2])
}

// Contactless says whether the chip was read through the contactless interface (07, 96, 98), not as a stripe.
func (e EntryMode) Contactless() bool {
	switch e.Mode() {
	case EntryContactless, EntryPhone, EntryContactlessFull:
		return true
	}
	return false
}

// Chip says whether the chip was read, by contact or contactless.
func (e EntryMode) Chip() bool {
	return e.Contactless() || e.Mode() == EntryContact || e.Mode() == EntryUnreliable
}

// PINEntered says whether the third digit tells of a PIN.
func (e EntryMode) PINEntered() bool { return len(e) == 3 && e[2] == EntryPINPresent }

// Info is field 60. At the switch the same digits travel in ASCII. The zero value is absent; the sub-fields are a
// prefix: when one is "" those after it must be too, except that Batch always follows MessageType.
type Info struct {
	MessageType    MessageType // 60.1, two digits
	Batch          uint32      // 60.2, up to 999999
	NetworkCode    string      // 60.3, three digits; "" in a payment is sent as 000 when a later sub-field follows
	ReadCapability string      // 60.4: 2 stripe, 5 and contact chip, 6 and contactless
	ICCondition    string      // 60.5: 0 chip not used or well, 1 last read well, 2 fallback
	PartialAuth    string      // 60.6: 1 the terminal takes a partial approval
	AccountType    string      // 60.7, three digits
}

// MessageType is field 60.1, the kind of transaction [REF 6.1] [REF 5].
type MessageType string

// The kinds of transaction.
const (
	KindNetwork        MessageType = "00"
	KindBalance        MessageType = "01"
	KindPreAuth        MessageType = "10"
	KindPreAuthCancel  MessageType = "11"
	KindCompletion     MessageType = "20"
	KindCompletionVoid MessageType = "21"
	KindSale           MessageType = "22"
	KindVoid           MessageType = "23"
	KindCompletionNote MessageType = "24"
	KindRefund         MessageType = "25"
	KindOfflineRefund  MessageType = "27"
	KindOfflineUpload  MessageType = "36"
	KindLoad           MessageType = "45"
	KindLoadCash       MessageType = "46"
	KindLoadOther      MessageType = "47"
	KindLoadCashCancel MessageType = "51"
	KindUnload         MessageType = "52" // ours, see ProcessingUnload
	KindPINChange      MessageType = "53" // ours, see ProcessingPINChange
	KindPINUnblock     MessageType = "54" // ours
)

// Values of 60.4 and 60.5.
const (
	ReadStripe      = "2"
	ReadContact     = "5"
	ReadContactless = "6"

	ICConditionNone     = "0"
	ICConditionGood     = "1"
	ICConditionFallback = "2"
)

// Original names an earlier payment. The terminal's field 61 carries Batch, STAN and Date; the switch's field 90
// carries Type, STAN, TransmissionTime, Acquirer and Forwarder. Decode gives the institutions of field 90 in their
// 11-digit form, zeros in front.
type Original struct {
	Batch            uint32
	STAN             uint32
	Date             string // MMDD
	Type             MTI
	TransmissionTime string // MMDDhhmmss
	Acquirer         string
	Forwarder        string
}

// Balance is field 54: one balance of an account.
type Balance struct {
	AccountType string       // two digits, 00 unspecified
	AmountType  string       // two digits, 01 ledger, 02 available
	Amount      money.Amount // may be negative
}

// The balance types of field 54 [ISO 8583:1987].
const (
	BalanceLedger    = "01"
	BalanceAvailable = "02"
)
