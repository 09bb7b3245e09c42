// Package verify is the second opinion on the books: it derives balances, limits, counters and outcomes again from the members' journals and says where they
// do not hold together.
//
// It follows no standard. It imports no role, so it cannot repeat a role's mistake: what the rows of a role mean is written down here a second time, from
// their description. It promises that a sound set of journals has no findings, and that each of its invariants finds the error it is named for. It changes
// nothing, sends nothing and repairs nothing; it sees no card number, because journals hold none.
//
// There are two ways in. Check tries invariants on a Snapshot in memory, as the simulator and the demo have one. Dir reads the journals of a data directory,
// of a network that runs or of a copy, side by side in the order of time: it derives every row again from those before it, holds the members' rows about
// each payment against each other, and names every row that does not fit, with what was found and what was expected. A payment leaves memory once it is
// settled, so what Dir needs grows with the cards and with what is under way, and by one byte a row. Payments under way are no findings.
//
// TransitDir reads a transit operator's journal: taps, bills, money, the deny list with its keys and what comes from outside, and the state that the operator
// keeps beside its rows, which its next start takes for true.
//
// What nobody but the writer of a row knows cannot be checked, only that it is what was written first: content hashes, sealed messages, the instant of an
// answer. The hash chain holds them together; whoever rewrites a journal and its chain is found by an earlier report's Anchors.
package verify

import (
	"fmt"
	"slices"
	"time"

	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
)

// The roles whose rows verify reads.
const (
	Issuer   = "issuer"
	Switch   = "switch"
	Acquirer = "acquirer"
	Till     = "till"
	// TokenService and CloudSE are who is asked about payments by token; only Dir reads their rows.
	TokenService = "tsp"
	CloudSE      = "cloudse"
)

// Member is one role's journal and what its books say.
type Member struct {
	Role string // one of the constants above
	Name string
	Rows []journal.Row // all of them, in order
	// Balances are the books as the member shows them; accounts without movement may be left out. A till keeps no books.
	Balances map[ledger.Account]ledger.Balance
	// Cells are what an issuer's store keeps beside the rows, in order of number, and Watermark how far all of them are; a member that keeps
	// everything in memory has none.
	Cells     []journal.Cell
	Watermark uint64
	// Shown are the cards as an issuer shows them; those left out are not checked.
	Shown []CardShown
}

// CardShown is a card as its issuer shows it. Standing is in the issuer's numbers.
type CardShown struct {
	Card                              int64
	Standing                          uint8
	Tries                             int
	NoPIN, Contactless                bool
	TapMinor, DayMinor, NoPINDayMinor int64
	DayCount                          int
	AvailableMinor                    int64
}

// CardState is what a chip says.
type CardState struct {
	Issuer     string // Name of its issuer's Member
	Card       int64  // number in that issuer's journal
	ATC        uint16
	PurseMinor int64
}

// Snapshot is what is checked together.
type Snapshot struct {
	Members []Member
	// Cards may be empty; then what needs the chips' state is not checked.
	Cards    []CardState
	Calendar clock.Calendar
	// Quiet means that nothing is under way: every payment has ended and every message was acknowledged. Otherwise payments that have not ended yet
	// are left out of comparisons between members.
	Quiet bool
	// At is when the snapshot was taken; zero leaves out what needs it.
	At time.Time

	derived map[*Member]*derived
}

// Invariant is one statement about a snapshot.
type Invariant struct {
	Name  string // short and fixed, for reports and tests
	Title glossary.Term
	// Check reports whether the statement holds and, where it does not, the first place where it fails.
	Check func(*Snapshot) (ok bool, detail glossary.Term)
}

// Finding is an invariant that does not hold.
type Finding struct {
	Name   string
	Title  glossary.Term
	Detail glossary.Term
}

// String is the finding in English.
func (f Finding) String() string { return f.Name + ": " + f.Detail.EN }

// Check tries every invariant, or only those with the given names.
func Check(s Snapshot, only ...string) []Finding {
	var findings []Finding
	for _, v := range Invariants() {
		if len(only) > 0 && !slices.Contains(only, v.Name) {
			continue
		}
		if ok, detail := v.Check(&s); !ok {
			findings = append(findings, Finding{Name: v.Name, Title: v.Title, Detail: detail})
		}
	}
	return findings
}

// Names of invariants that are tried alone.
const (
	CellsFromRows = "cells-from-rows"
	CardsFromRows = "cards-from-rows"
)

// Invariants lists all statements, in the order of reports.
func Invariants() []Invariant {
	return []Invariant{
		{"hash-chain", glossary.Term{EN: "no journal row was changed, removed or inserted", ZH: "日志各行未被篡改、删除或插入"}, checkChain},
		{"one-key-one-content", glossary.Term{EN: "a key stands for one message, and the members agree on it", ZH: "一个键对应一条报文，各方一致"}, checkKeys},
		{"ledger-balanced", glossary.Term{EN: "debits equal credits in each currency, posted and held", ZH: "各币种借贷平衡（已入账与冻结）"}, checkBalanced},
		{"balances-from-rows", glossary.Term{EN: "the books are what the journal adds up to", ZH: "账面余额与日志累计一致"}, checkBalances},
		{"no-overdraft", glossary.Term{EN: "no cardholder account is below its credit line", ZH: "持卡人账户未透支超过授信"}, checkOverdraft},
		{"counter-once", glossary.Term{EN: "each counter of a card is honoured once", ZH: "每个卡片计数器只被接受一次"}, checkCounters},
		{"counter-of-chip", glossary.Term{EN: "no honoured counter is ahead of the chip", ZH: "已接受的计数器不超过芯片计数器"}, checkChipCounter},
		{"pin-tries", glossary.Term{EN: "PIN tries are 0 to 3 and follow from the rows", ZH: "密码尝试次数在0至3之间且与日志一致"}, checkPINTries},
		{"day-limits", glossary.Term{EN: "no approval is beyond the card's limits", ZH: "批准的交易未超过卡片限额"}, checkLimits},
		{"business-date", glossary.Term{EN: "business dates follow from instant and cut-off", ZH: "业务日期与时间及日切一致"}, checkDates},
		{"payment-ends-once", glossary.Term{EN: "every payment ends once at every member", ZH: "每笔交易在各方只结束一次"}, checkEnds},
		{"outcomes-agree", glossary.Term{EN: "what one member says is approved, the next one towards the issuer approved", ZH: "一方认定批准的交易，上游一方也已批准"}, checkOutcomes},
		{"holds-equal-claims", glossary.Term{EN: "issuers owe what acquirers claim, payment by payment and in total", ZH: "发卡行应付与收单行应收逐笔及合计一致"}, checkClaims},
		{"purse-conserved", glossary.Term{EN: "loaded less spent is what the chips hold", ZH: "圈存减消费等于芯片余额"}, checkPurses},
		{"early-reversals", glossary.Term{EN: "a reversal says what it gives back, and one that came early spends the key", ZH: "冲正写明所退还的额度，提前到达的冲正占用该键"}, checkEarly},
		{CellsFromRows, glossary.Term{EN: "what is kept beside the journal is what its rows say", ZH: "日志之外的存储单元与日志各行一致"}, checkCells},
		{CardsFromRows, glossary.Term{EN: "a card is what the rows say, after a restart as well", ZH: "卡片状态与日志一致，重启后亦然"}, checkShown},
		{"deliveries-acknowledged", glossary.Term{EN: "no reversal or upload is left without acknowledgement", ZH: "没有未确认的冲正或上送"}, checkDeliveries},
	}
}

var good = glossary.Term{}

// bad builds a detail in both languages from the same values.
func bad(en, zh string, args ...any) (bool, glossary.Term) {
	return false, glossary.Term{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}
}

// of yields the members of a role.
func (s *Snapshot) of(role string) []*Member {
	var members []*Member
	for i := range s.Members {
		if s.Members[i].Role == role {
			members = append(members, &s.Members[i])
		}
	}
	return members
}

func (s *Snapshot) member(role, name string) *Member {
	for _, m := range s.of(role) {
		if m.Name == name {
			return m
		}
	}
	return nil
}
