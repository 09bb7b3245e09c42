package contact

import (
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
)

// Outcome is the end of a payment. Tags in Data are what field 55 and the receipt are made of.
//
// Kind is one of kernel.Approved, kernel.Declined, kernel.EndApplication (nothing was decided, try otherwise) and kernel.TryAgain
// (insert again).
type Outcome struct {
	Kind       kernel.OutcomeKind
	Reason     Reason
	Detail     glossary.Term // more than Reason says: a status word, the verification results that decided; may be empty
	UI         kernel.UIRequest
	Cryptogram emv.CID // the last one; meaningful when Data has 9F26

	TVR emv.TVR
	TSI emv.TSI
	CVM emv.CVMResults // 9F34

	OnlinePIN bool // a PIN was entered for the issuer
	Signature bool // the holder signs
	ODA       kernel.ODAResult
	Method    ODAMethod

	Online       bool // the host was asked
	HostApproved bool
	// Reverse: the host approved and the card did not follow, so what the host booked has to be reversed [EMV B4].
	Reverse bool
	// Uncertain: the card was taken out when only it knew whether it had paid or been loaded. Read its balance and log.
	Uncertain bool
	Removed   bool // the card was taken out during the dialogue

	Scripts []ScriptResult // what became of the issuer's scripts; also in Data as DF31

	ElectronicCash bool
	BalanceBefore  *money.Amount // of the purse, when it was asked
	BalanceAfter   *money.Amount

	Data          emv.Data // data record: of the last cryptogram, with the final TVR
	Discretionary emv.Data
}

// record borrows the kernel's reading of a data record.
func (o *Outcome) record() *kernel.Outcome { return &kernel.Outcome{Data: o.Data} }

// PAN is the account number out of tag 5A, or of track 2 where there is no 5A.
func (o *Outcome) PAN() (pan.Number, bool) { return o.record().PAN() }

// Expiry is the month of tag 5F24, or of track 2 where there is no 5F24.
func (o *Outcome) Expiry() (pan.Expiry, bool) { return o.record().Expiry() }

// Track2 is tag 57.
func (o *Outcome) Track2() (pan.Track2, bool) { return o.record().Track2() }

// Sequence is the two digits of tag 5F34; empty when the card sent none.
func (o *Outcome) Sequence() string { return o.record().Sequence() }

// ATC is the card's transaction counter, tag 9F36.
func (o *Outcome) ATC() (uint16, bool) { return o.record().ATC() }

// ODAMethod is how the card was authenticated offline [EMV B3 10.3].
type ODAMethod uint8

// Methods. The zero value: none.
const (
	ODANone ODAMethod = iota
	ODAStatic
	ODADynamic
	ODACombined
)

// String is SDA, DDA, CDA or "none".
func (m ODAMethod) String() string {
	names := [...]string{"none", "SDA", "DDA", "CDA"}
	if int(m) >= len(names) {
		m = ODANone
	}
	return names[m]
}

// PurseOperation is what happens to the electronic cash on the card with its issuer's help [REF 5].
type PurseOperation uint8

// Operations. The zero value: none, a sale.
const (
	PurseNone            PurseOperation = iota
	PurseLoad                           // from the account the card is bound to; online PIN
	PurseCashLoad                       // against cash at the counter
	PurseLoadFromAnother                // from another card's account: its PIN, not this card's
	PurseCashLoadVoid                   // a cash load is taken back
	PurseUnload                         // everything is taken out, for closing
	purseOperationCount
)

// Transaction types, tag 9C: the first two digits of the processing code [ISO 8583:1987] [REF 5].
const (
	typeCash             = 0x01
	typeCashback         = 0x09
	typePurseVoid        = 0x17
	typePurseLoad        = 0x60
	typePurseFromAnother = 0x62
	typePurseCashLoad    = 0x63
)

var purseTerms = [purseOperationCount]glossary.Term{
	PurseNone:            {EN: "sale", ZH: "消费"},
	PurseLoad:            {EN: "load from the card's account", ZH: "指定账户圈存"},
	PurseCashLoad:        {EN: "cash load", ZH: "现金充值"},
	PurseLoadFromAnother: {EN: "load from another account", ZH: "非指定账户圈存"},
	PurseCashLoadVoid:    {EN: "void of a cash load", ZH: "现金充值撤销"},
	PurseUnload:          {EN: "unload", ZH: "圈提"},
}

// Term names the operation.
func (p PurseOperation) Term() glossary.Term {
	if p >= purseOperationCount {
		return purseTerms[PurseNone]
	}
	return purseTerms[p]
}

// String is the operation in English.
func (p PurseOperation) String() string { return p.Term().EN }

// transactionType is tag 9C of the operation; the sale's own for a sale. The sources give none for unloading: it takes that of the
// void, which also lowers the balance.
func (p PurseOperation) transactionType(sale byte) byte {
	switch p {
	case PurseLoad:
		return typePurseLoad
	case PurseCashLoad:
		return typePurseCashLoad
	case PurseLoadFromAnother:
		return typePurseFromAnother
	case PurseCashLoadVoid, PurseUnload:
		return typePurseVoid
	}
	return sale
}

// after is the balance an operation leaves, in minor units.
func (p PurseOperation) after(before, amount int64) int64 {
	switch p {
	case PurseCashLoadVoid:
		return before - amount
	case PurseUnload:
		return 0
	}
	return before + amount
}

// After is the balance an operation of amount leaves in a purse that held before.
func (p PurseOperation) After(before, amount money.Amount) money.Amount {
	return money.New(p.after(before.Minor(), amount.Minor()), before.Currency())
}

// ScriptResult is what became of one issuer script [REF 5].
type ScriptResult struct {
	ID     [4]byte // 9F18; zeros: the script had none
	Status ScriptStatus
	Failed int  // number of the command that failed, from 1; 0: none did
	Final  bool // template 72: behind the second GENERATE AC
	SW     uint16
}

// ScriptStatus is the high digit of the first byte of a script result.
type ScriptStatus uint8

// Statuses.
const (
	ScriptNotPerformed ScriptStatus = iota
	ScriptFailed
	ScriptDone
)

// Bytes is the result as tag DF31 holds it, five bytes.
func (r ScriptResult) Bytes() []byte {
	const maxSequence = 0xF // "that one or a later one" [EMV B4 Annex A5]
	first := byte(r.Status)<<4 | byte(min(r.Failed, maxSequence))
	return append([]byte{first}, r.ID[:]...)
}
