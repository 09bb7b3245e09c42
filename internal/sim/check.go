package sim

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/internal/pos"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
)

// The invariants of this package. Those of verify read journals; these know what people saw and what crossed the wires.
var (
	lawAcknowledged = Law{"acknowledged-once", glossary.Term{EN: "what a till approved stands exactly once at an issuer", ZH: "终端批准的交易在发卡行恰好成立一次"}}
	lawRefused      = Law{"refused-none", glossary.Term{EN: "nothing stands at an issuer that no till approved", ZH: "终端未批准的交易在发卡行不成立"}}
	lawReceipt      = Law{"receipt-in-journal", glossary.Term{EN: "what the cashier saw is in the till's journal", ZH: "收银员所见与终端日志一致"}}
	lawFirst        = Law{"first-answer-again", glossary.Term{EN: "a repeat gets the first answer, byte for byte", ZH: "重复报文得到与首次逐字节相同的应答"}}
	lawReplay       = Law{"replay-same-books", glossary.Term{EN: "a role rebuilt from its journal, or from its cells, has the same books", ZH: "由日志或存储单元重建的角色账目相同"}}
	lawSettles      = Law{"settles", glossary.Term{EN: "when nobody pays, everything under way comes to its end", ZH: "停止交易后，一切在途事项终会结束"}}
	lawChip         = Law{"chip-pays-once", glossary.Term{EN: "a purse pays once for a sale, and only for a sale", ZH: "电子现金每笔交易只扣一次，且仅因交易而扣"}}
	lawLoad         = Law{"load-old-or-new", glossary.Term{EN: "a load leaves the old balance or the new one", ZH: "圈存后余额非旧即新"}}
	lawFence        = Law{"fence", glossary.Term{EN: "a process whose journal was taken over writes no more", ZH: "日志被接管的进程不再写入"}}
	lawMessages     = Law{"messages-readable", glossary.Term{EN: "every message can be written, sent and read", ZH: "所有报文均可编码、发送和解码"}}
	lawSurprise     = Law{"no-surprise", glossary.Term{EN: "no process fails of itself", ZH: "没有进程自行失败"}}
)

var own = []Law{
	lawAcknowledged, lawRefused, lawReceipt, lawFirst, lawReplay, lawSettles, lawChip, lawLoad, lawFence, lawMessages, lawSurprise,
}

// find reports a broken invariant.
func (w *world) find(law Law, en, zh string, args ...any) {
	if w.over {
		return
	}
	w.findings = append(w.findings, Finding{Name: law.Name, Title: law.Title, Taps: w.taps, At: w.now(),
		Detail: glossary.Term{EN: fmt.Sprintf(en, args...), ZH: fmt.Sprintf(zh, args...)}})
}

// broken reports an error that should not be.
func (w *world) broken(err error) {
	var chain *journal.ChainError
	if errors.As(err, &chain) {
		w.findings = append(w.findings, Finding{Name: "hash-chain", Title: verify.Invariants()[0].Title, Taps: w.taps, At: w.now(),
			Detail: glossary.Term{EN: err.Error(), ZH: err.Error()}})
		return
	}
	w.find(lawSurprise, "%v", "%v", err)
}

// read brings what sim knows of a journal up to date.
func (w *world) read(n *node) []journal.Row {
	err := n.disk.Reopen().Load(context.Background(), uint64(len(n.rows)), func(r *journal.Row) error {
		n.rows = append(n.rows, *r)
		return nil
	})
	if err != nil {
		w.broken(fmt.Errorf("%s: %w", n.name, err))
	}
	return n.rows
}

// reread forgets what was read of the journals, so that the next check reads every row again.
func (w *world) reread() {
	for _, n := range w.nodes {
		n.rows = nil
	}
}

// check tries every invariant. quiet means that nothing is under way.
func (w *world) check(quiet bool) {
	if len(w.findings) > 0 {
		return
	}
	defer w.catch()
	w.counts.Checks++
	s := w.snapshot(quiet)
	if w.observe != nil {
		w.observe(s)
	}
	for _, f := range verify.Check(s) {
		w.find(Law{f.Name, f.Title}, "%[1]s", "%[2]s", f.Detail.EN, f.Detail.ZH)
	}
	if w.inspect != nil {
		if err := w.inspect(s); err != nil {
			w.find(lawSurprise, "inspection: %v", "检查：%v", err)
		}
	}
	w.checkReceipts()
	if quiet {
		w.checkReplay()
		w.checkBothEnds()
	}
}

// snapshot is what verify checks: every journal, the books, and what the chips say.
func (w *world) snapshot(quiet bool) verify.Snapshot {
	s := verify.Snapshot{Calendar: w.calendar, Quiet: quiet, At: w.now().Add(w.offMost())}
	for _, n := range w.nodes {
		m := verify.Member{Role: n.kind, Name: n.name, Rows: w.read(n)}
		keeper := n.role
		if !n.up {
			// A process that is down shows the books it will have: its last life may have decided what never became durable.
			again, err := n.rebuild()
			if err != nil {
				w.broken(fmt.Errorf("%s: replay: %w", n.name, err))
				continue
			}
			keeper = again
		}
		if n.kind == verify.Issuer {
			w.bankMember(n, keeper, &m)
		} else if b := book(keeper); b != nil {
			m.Balances = map[ledger.Account]ledger.Balance{}
			for line := range b.Lines() {
				m.Balances[line.Account] = line.Balance
			}
		}
		s.Members = append(s.Members, m)
	}
	for _, h := range w.holders {
		s.Cards = append(s.Cards, verify.CardState{
			Issuer: h.personal.Record.Issuer, Card: h.personal.Record.Card, ATC: h.atc(), PurseMinor: h.purse() + h.stranded + w.paying(h),
		})
	}
	return s
}

// paying is what has left a purse in a sale that goes on: no till has written it down yet.
func (w *world) paying(h *holder) int64 {
	for _, t := range w.tills {
		if len(t.sales) == 0 {
			continue
		}
		if before, shown := t.sales[len(t.sales)-1].before[h]; shown {
			return before - h.purse()
		}
	}
	return 0
}

// checkReplay builds every role again from its rows: the books must be the same.
func (w *world) checkReplay() {
	for _, n := range w.nodes {
		again, err := n.rebuild()
		if err != nil {
			w.find(lawReplay, "%s: %v", "%s：%v", n.name, err)
			continue
		}
		if live, ok := asBank(n.role); ok {
			w.checkBank(n, again, live)
			continue
		}
		// Holds of what has ended are not all in memory; the balances have them.
		if have, want := book(again), book(n.role); want != nil && !slices.Equal(have.Sheet(), want.Sheet()) {
			w.find(lawReplay, "%s: the journal gives other books", "%s：由日志得到的账目不同", n.name)
		}
	}
}

// payment is one payment as a till's rows tell it.
type payment struct {
	till     *node
	row      *journal.Row
	ended    bool
	approved bool
}

// payments reads a till's journal.
func (w *world) payments(n *node) []*payment {
	var all []*payment
	bySeq := map[uint64]*payment{}
	rows := w.read(n)
	for i := range rows {
		r := &rows[i]
		switch r.Kind {
		case journal.Requested, journal.Queued:
			p := &payment{till: n, row: r, approved: r.Kind == journal.Queued}
			all = append(all, p)
			bySeq[r.Seq] = p
		case journal.Answered:
			if p := bySeq[r.Linked]; p != nil {
				p.ended, p.approved = true, unionpay.UnpackResponseCode(r.Reason).Approved() || p.approved
			}
		case journal.Reversed: // the card in the slot did not follow
			if p := bySeq[r.Linked]; p != nil {
				p.approved = false
			}
		case journal.TimedOut:
			if p := bySeq[r.Linked]; p != nil {
				p.ended = true
			}
		}
	}
	return all
}

// checkReceipts compares what cashiers saw with what their tills wrote down.
func (w *world) checkReceipts() {
	for _, t := range w.tills {
		byTrace := map[string]*payment{} // batch and trace number
		for _, p := range w.payments(t.node) {
			byTrace[p.row.Key[len(t.name):len(t.name)+12]] = p
		}
		for _, s := range t.sales {
			if !s.over || s.receipt.STAN == 0 || s.loads() || s.verb == pos.VerbBalance {
				continue
			}
			approved := s.receipt.End == pos.ApprovedOnline || s.receipt.End == pos.ApprovedOffline
			p := byTrace[fmt.Sprintf("%06d%06d", s.receipt.Trace.Batch, s.receipt.Trace.STAN)]
			if p == nil || p.row.Amount != s.minor || p.approved != approved || !p.ended && s.receipt.End != pos.ApprovedOffline {
				w.find(lawReceipt, "%s: the cashier saw trace number %d as %s, the journal says otherwise", "%s：流水号%d收银员所见为“%s”，日志不符",
					t.name, s.receipt.STAN, endName(s.receipt.End))
				return
			}
		}
	}
}

// standing is a hold or transfer of an issuer for a payment.
type standing struct {
	issuer *node
	row    *journal.Row
	found  bool // by a till's payment
}

// standings are what issuers hold or have moved, by the payment's key between institutions.
func (w *world) standings() map[string]*standing {
	all := map[string]*standing{}
	for _, n := range w.nodes {
		if n.kind != verify.Issuer {
			continue
		}
		bySeq := map[uint64]string{}
		rows := w.read(n)
		for i := range rows {
			switch r := &rows[i]; r.Kind {
			case journal.Approved, journal.Uploaded:
				if r.Reason == preAuthReason {
					continue // package verify follows what becomes of it
				}
				all[r.Key] = &standing{issuer: n, row: r}
				bySeq[r.Seq] = r.Key
			case journal.Reversed:
				delete(all, bySeq[r.Resolves])
			}
		}
	}
	return all
}

// preAuthReason is the reason of an issuer's row that holds money for a pre-authorization.
const preAuthReason = uint16(issuer.PreAuthHeld)

// uploadBusiness is the highest number by which an acquirer's row says that a merchant is paid: a sale is 0, an offline sale 1.
const uploadBusiness = 1

// checkBothEnds joins every payment of a till with what stands at an issuer, over the keys that the acquirer gave them.
func (w *world) checkBothEnds() {
	network, loads, all := map[string]string{}, map[string]bool{}, w.standings()
	for _, n := range w.nodes {
		if n.kind != verify.Acquirer {
			continue
		}
		for i, rows := 0, w.read(n); i < len(rows); i++ {
			switch {
			case rows[i].Kind != journal.Requested:
			case rows[i].Reason <= uploadBusiness:
				network[rows[i].Key] = rows[i].Payment
			default:
				loads[rows[i].Key] = true
			}
		}
	}
	for _, t := range w.tills {
		for _, p := range w.payments(t.node) {
			if loads[p.row.Key] {
				continue // package verify holds both sides of a load against each other
			}
			stands := all[network[p.row.Key]]
			sound := stands != nil && stands.row.Amount == p.row.Amount && stands.row.ATC == p.row.ATC && !stands.found
			switch {
			case p.approved && !sound:
				w.find(lawAcknowledged, "%s: the payment of row %d (trace number %d, %d) is approved and stands at no issuer", "%s：第%d行交易（流水号%d，金额%d）已批准，但发卡行无对应",
					t.name, p.row.Seq, p.row.STAN, p.row.Amount)
				return
			case !p.approved && stands != nil:
				w.find(lawRefused, "%s: the payment of row %d (trace number %d, %d) is not approved, but row %d of issuer %s stands",
					"%s：第%d行交易（流水号%d，金额%d）未批准，但发卡行%[6]s第%[5]d行成立", t.name, p.row.Seq, p.row.STAN, p.row.Amount, stands.row.Seq, stands.issuer.name)
				return
			}
			if stands != nil {
				stands.found = true
			}
		}
	}
	for _, n := range w.nodes {
		for i := range n.rows {
			if stands := all[n.rows[i].Key]; stands != nil && stands.row == &n.rows[i] && !stands.found {
				w.find(lawRefused, "issuer %s: row %d stands, and no till knows of it", "发卡行%s：第%d行成立，但无终端对应", n.name, stands.row.Seq)
				return
			}
		}
	}
}
