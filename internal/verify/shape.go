package verify

import (
	"math"
	"math/bits"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// columns are the parts of a row that a kind uses or leaves empty.
type columns uint32

const (
	hasContent columns = 1 << iota
	hasSTAN
	hasCard
	hasATC
	hasReason
	hasDebit
	hasCredit
	hasAmount
	hasCurrency
	hasPhase
	hasResolves
	hasLinked
	hasKey
	hasPayment
	hasRRN
	hasTerminal
	hasAnswer
	hasNote
)

// columnNames in the order of the bits.
var columnNames = [...]string{"content", "stan", "card", "atc", "reason", "debit", "credit", "amount", "currency", "phase", "resolves", "linked", "key",
	"payment", "rrn", "terminal", "answer", "note"}

// shape is what a row of a kind must have and may have.
type shape struct{ must, may columns }

const (
	hasSum    = hasAmount | hasCurrency
	hasMoney  = hasDebit | hasCredit
	hasDevice = hasTerminal | hasSTAN
)

// shapes say which kinds of rows a role writes and with what, as the comments of the roles' state machines have it.
var shapes = [roles][math.MaxUint8 + 1]shape{
	theTills: {
		journal.Requested:        {hasKey | hasContent | hasPayment | hasDevice | hasCurrency | hasNote, hasAmount | hasATC},
		journal.Queued:           {hasKey | hasContent | hasPayment | hasDevice | hasSum | hasNote, hasATC},
		journal.Advised:          {hasKey | hasContent | hasPayment | hasDevice | hasSum | hasNote, hasATC | hasLinked},
		journal.Noted:            {hasKey | hasContent | hasPayment | hasDevice | hasNote, hasATC | hasSum},
		journal.ScriptSent:       {hasKey | hasContent | hasPayment | hasDevice | hasNote, hasATC | hasSum | hasLinked},
		journal.Cleared:          {hasKey | hasContent | hasPayment | hasDevice | hasNote, hasSum},
		journal.Completed:        {hasLinked | hasPayment | hasDevice, hasATC | hasSum | hasNote},
		journal.Reversed:         {hasLinked | hasPayment | hasDevice, hasATC | hasSum | hasNote | hasReason},
		journal.Declined:         {hasLinked | hasPayment | hasDevice, hasATC | hasSum | hasNote},
		journal.Expired:          {hasLinked | hasPayment | hasDevice, hasATC | hasSum | hasNote | hasReason},
		journal.ScriptReported:   {hasLinked | hasPayment | hasDevice, hasATC | hasSum | hasNote | hasReason | hasRRN},
		journal.BatchClosed:      {hasLinked | hasPayment | hasDevice | hasNote, hasReason},
		journal.BatchOpened:      {hasTerminal, 0},
		journal.ParameterChanged: {hasTerminal | hasNote, hasKey},
		journal.Answered:         {hasLinked | hasPayment | hasReason | hasAnswer | hasDevice | hasCurrency, hasAmount | hasRRN | hasATC},
		journal.TimedOut:         {hasLinked | hasPayment | hasReason | hasDevice | hasCurrency, hasAmount | hasATC},
		journal.Acknowledged:     {hasLinked | hasPayment | hasReason | hasDevice, hasRRN | hasATC | hasSum},
	},
	theAcquirers: {
		journal.Requested: {hasKey | hasContent | hasPayment | hasRRN | hasDevice | hasCurrency | hasNote, hasAmount | hasATC | hasReason | hasAnswer},
		journal.Declined:  {hasKey | hasContent | hasRRN | hasDevice | hasReason | hasAnswer, hasATC | hasSum},
		journal.Answered: {hasLinked | hasPayment | hasReason | hasAnswer | hasRRN | hasDevice | hasCurrency,
			hasAmount | hasMoney | hasPhase | hasKey | hasResolves | hasNote},
		journal.TimedOut: {hasLinked | hasPayment | hasReason | hasAnswer | hasRRN | hasDevice | hasCurrency, hasAmount | hasKey},
		journal.Reversed: {hasKey | hasContent | hasNote | hasDevice,
			hasReason | hasRRN | hasPayment | hasLinked | hasSum | hasMoney | hasPhase | hasResolves | hasAnswer},
		journal.ScriptReported: {hasKey | hasContent | hasPayment | hasDevice | hasNote,
			hasRRN | hasSum | hasMoney | hasPhase | hasResolves | hasLinked | hasAnswer},
		journal.BatchClosed:      {hasKey | hasContent | hasDevice | hasReason | hasNote | hasAnswer, 0},
		journal.Advised:          {hasKey | hasContent | hasDevice, hasPayment | hasSum | hasRRN | hasReason},
		journal.KeysChanged:      {hasDevice | hasReason | hasNote, 0},
		journal.Noted:            {hasPayment | hasDevice | hasReason | hasATC, hasKey | hasLinked},
		journal.MerchantChanged:  {hasNote | hasReason, 0},
		journal.ParameterChanged: {hasReason | hasSTAN, hasKey | hasNote},
		journal.TerminalChanged:  {hasReason | hasDevice, 0},
		journal.Refused:          markerShape,
		journal.Acknowledged:     {hasLinked | hasPayment | hasReason, hasRRN | hasDevice | hasSum},
	},
	theSwitches: {
		journal.Requested:      {hasKey | hasContent | hasPayment | hasRRN | hasDevice | hasCurrency | hasNote, hasAmount | hasReason | hasAnswer},
		journal.ScriptReported: {hasKey | hasContent | hasNote, hasPayment | hasRRN | hasDevice | hasSum},
		journal.Declined:       {hasKey | hasContent | hasPayment | hasReason | hasAnswer, hasRRN | hasDevice | hasSum | hasNote},
		journal.Answered:       {hasLinked | hasPayment | hasReason | hasAnswer | hasRRN | hasDevice | hasCurrency, hasAmount | hasKey},
		journal.TimedOut:       {hasLinked | hasKey | hasPayment | hasReason | hasAnswer | hasRRN | hasDevice | hasCurrency, hasAmount},
		journal.Reversed:       {hasKey | hasContent | hasPayment | hasNote, hasReason | hasRRN | hasDevice | hasSum},
		journal.Refused:        markerShape,
		journal.Acknowledged:   {hasLinked | hasPayment | hasReason, hasRRN | hasDevice | hasSum},
	},
	theIssuers: {
		journal.Opened:      {hasCard | hasNote, 0},
		journal.Posted:      {hasCard | hasMoney | hasSum | hasLinked, 0},
		journal.CardChanged: {hasCard | hasNote, 0},
		journal.Approved: {hasKey | hasContent | hasPayment | hasRRN | hasDevice | hasCard | hasSum | hasMoney | hasPhase | hasAnswer | hasNote,
			hasATC | hasReason},
		journal.Declined: {hasKey | hasContent | hasPayment | hasReason | hasNote, hasRRN | hasDevice | hasCard | hasATC | hasSum | hasAnswer},
		journal.Held: {hasPayment | hasCard | hasSum | hasMoney | hasPhase | hasReason | hasNote,
			hasATC | hasKey | hasContent | hasRRN | hasDevice | hasAnswer | hasLinked},
		journal.Loaded:         {hasCard | hasATC | hasSum | hasMoney | hasPhase | hasResolves | hasLinked | hasReason, 0},
		journal.Voided:         {hasCard | hasSum | hasMoney | hasPhase | hasResolves | hasLinked | hasReason, hasATC | hasPayment | hasNote | hasAnswer},
		journal.Completed:      {hasCard | hasATC | hasSum | hasMoney | hasPhase | hasResolves | hasLinked | hasReason | hasNote, 0},
		journal.Adjusted:       {hasCard | hasATC | hasSum | hasMoney | hasLinked | hasReason, 0},
		journal.ScriptReported: {hasCard | hasATC | hasNote, hasReason | hasLinked},
		journal.Uploaded: {hasKey | hasContent | hasPayment | hasRRN | hasDevice | hasCard | hasSum | hasMoney | hasReason | hasAnswer | hasNote,
			hasATC | hasLinked},
		journal.Reversed: {hasKey | hasContent | hasPayment | hasNote | hasReason,
			hasRRN | hasDevice | hasCard | hasPhase | hasResolves | hasMoney | hasSum | hasAnswer | hasLinked},
		journal.Refunded: {hasKey | hasContent | hasPayment | hasRRN | hasDevice | hasCard | hasSum | hasMoney | hasReason | hasAnswer | hasNote | hasLinked, 0},
		journal.Noted: {hasKey | hasPayment | hasCard,
			hasLinked | hasReason | hasAmount | hasNote | hasContent | hasRRN | hasDevice | hasCurrency | hasATC | hasAnswer},
		journal.Refused: {hasContent | hasPayment | hasReason, hasRRN | hasDevice | hasSum},
	},
	theTokenServices: {
		journal.Opened:           {hasKey | hasContent | hasAnswer | hasNote, hasCard | hasReason},
		journal.CardChanged:      {hasKey | hasContent | hasAnswer | hasNote, hasCard | hasReason | hasPayment},
		journal.ParameterChanged: {hasKey | hasContent | hasAnswer | hasNote | hasPayment, 0},
		journal.KeysChanged:      {hasNote, hasKey | hasContent | hasAnswer | hasPayment},
		journal.Refused:          {hasKey | hasContent | hasAnswer, hasPayment | hasNote | hasCard},
		journal.Answered: {hasKey | hasContent | hasPayment | hasReason | hasCard | hasAnswer | hasSTAN | hasCurrency,
			hasAmount | hasRRN | hasTerminal | hasNote},
		journal.Declined: {hasKey | hasContent | hasPayment | hasReason | hasAnswer | hasSTAN | hasCurrency,
			hasAmount | hasRRN | hasTerminal | hasNote | hasCard},
		journal.Queued:       {hasKey | hasNote, hasPayment},
		journal.Acknowledged: {hasLinked, 0},
	},
	theCloudElements: {
		journal.Opened:       {hasCard | hasPayment | hasNote, 0},
		journal.KeysChanged:  {hasCard | hasPayment | hasNote | hasAnswer, 0},
		journal.Acknowledged: {hasCard | hasPayment, 0},
		journal.CardChanged:  {hasCard | hasPayment | hasReason, 0},
		journal.Noted:        {hasCard | hasPayment | hasReason, 0},
		journal.Answered:     {hasNote, 0},
		journal.Refused:      {hasContent | hasPayment | hasReason, hasRRN},
		journal.Approved:     {hasKey | hasContent | hasReason | hasNote | hasPayment | hasCard | hasATC | hasSum | hasSTAN, hasRRN | hasTerminal},
		journal.Declined:     {hasKey | hasContent | hasReason | hasNote | hasCurrency | hasSTAN, hasPayment | hasCard | hasATC | hasAmount | hasRRN | hasTerminal},
	},
}

// sequelShape is a row of an issuer that follows an earlier payment under a key of its own.
var sequelShape = shape{hasKey | hasContent | hasPayment | hasRRN | hasDevice | hasCard | hasSum | hasReason | hasAnswer | hasNote | hasLinked,
	hasMoney | hasPhase | hasResolves}

// markerShape is a Refused row behind an early reversal.
var markerShape = shape{hasKey | hasPayment | hasReason | hasLinked, 0}

// has lists what a row has.
func has(r *journal.Row) (c columns) {
	set := func(bit columns, present bool) {
		if present {
			c |= bit
		}
	}
	set(hasContent, r.Content != [16]byte{})
	set(hasSTAN, r.STAN != 0)
	set(hasCard, r.Card != 0)
	set(hasATC, r.ATC != 0)
	set(hasReason, r.Reason != 0)
	set(hasDebit, r.Debit != 0)
	set(hasCredit, r.Credit != 0)
	set(hasAmount, r.Amount != 0)
	set(hasCurrency, r.Currency != 0)
	set(hasPhase, r.Phase != ledger.Single)
	set(hasResolves, r.Resolves != 0)
	set(hasLinked, r.Linked != 0)
	set(hasKey, r.Key != "")
	set(hasPayment, r.Payment != "")
	set(hasRRN, r.RRN != "")
	set(hasTerminal, r.Terminal != "")
	set(hasAnswer, len(r.Answer) != 0)
	set(hasNote, len(r.Note) != 0)
	return c
}

// shaped compares a row with its shape; false for a kind that the role does not write.
func (m *member) shaped(r *journal.Row) bool {
	s := shapes[m.role][r.Kind]
	if s.must == 0 {
		role := RoleTerm(m.Role)
		m.fault(r, "kind", r.Kind.Term(), glossary.Term{EN: "a kind that the role writes: " + role.EN, ZH: role.ZH + "会写的类型"})
		return false
	}
	if m.role < noRole && m.isMarker(r) {
		s = markerShape
	}
	if m.role == theIssuers && r.Key != "" && (r.Kind == journal.Voided || r.Kind == journal.Completed) {
		s = sequelShape
	}
	if m.role == theIssuers && r.Kind == journal.Voided && r.Key == "" && r.Reason != reasonTakesOver {
		s.may &^= hasNote | hasAnswer
	}
	found := has(r)
	for odd := found &^ (s.must | s.may); odd != 0; odd &= odd - 1 {
		m.fault(r, columnNames[bits.TrailingZeros32(uint32(odd))], wordSomething, wordNothing)
	}
	for odd := s.must &^ found; odd != 0; odd &= odd - 1 {
		m.fault(r, columnNames[bits.TrailingZeros32(uint32(odd))], wordNothing, wordSomething)
	}
	return true
}

// fault adds a finding about a row.
func (m *member) fault(r *journal.Row, field string, found, expected glossary.Term) {
	m.auditor.findings.add(m.wrong(r, field, found, expected))
}

// same adds a finding when a number of a row is not what it must be.
func same[T ~int | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64](m *member, r *journal.Row, field string, found, expected T) bool {
	if found == expected {
		return true
	}
	m.fault(r, field, number(found), number(expected))
	return false
}

// sameText is same for texts. Texts of rows hold no card number.
func sameText(m *member, r *journal.Row, field, found, expected string) bool {
	if found == expected {
		return true
	}
	m.fault(r, field, quoted(found), quoted(expected))
	return false
}
