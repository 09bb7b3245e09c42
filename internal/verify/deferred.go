package verify

import (
	"encoding/binary"
	"strconv"

	"tapnet/glossary"
	"tapnet/internal/journal"
)

// flagDeferred in the note of a decision: rides were paid after they were taken. The counter of a gate's cryptogram need not be above all others, only new;
// without a counter an earlier request of the card's has proven the ride.
const flagDeferred = 128

// deferred tells a decision about rides.
func deferred(r *journal.Row) bool { return len(r.Note) > 0 && r.Note[0]&flagDeferred != 0 }

// uncounted tells a decision that rests on no counter of the card's.
func uncounted(r *journal.Row) bool { return byToken(r) || deferred(r) && r.ATC == 0 }

// honours reports whether the counter of a decision may be honoured.
func (h *holder) honours(r *journal.Row) bool {
	switch {
	case uncounted(r), h.swiped(r):
		return true
	case deferred(r):
		return h.window.fresh(r.ATC)
	}
	return h.rises(r.ATC)
}

const (
	reasonProofExhausted = 72
	reasonProofServes    = 155
	reasonVerified       = 156

	// proofMinorDefault is what may rest on one cryptogram of a gate when the world does not say otherwise, servesMost how many payments may.
	proofMinorDefault = 15_000
	servesMost        = 32
)

// answers tells the Noted rows of an issuer that are the answer to a request, from those that say what became of one.
func answers(r *journal.Row) bool {
	return r.Reason == reasonBalance || r.Reason == reasonVerified || grantsPIN(r)
}

// recalled tells a decision about rides that rests on the cryptogram of an earlier request.
func recalled(r *journal.Row) bool { return deferred(r) && r.ATC == 0 }

// proofOf is the key of that request: in the note, behind the flags and a balance that was told.
func proofOf(r *journal.Row) string {
	const flags = 2
	if len(r.Note) < flags {
		return ""
	}
	rest := r.Note[flags:]
	if r.Reason == reasonBalance {
		_, n := binary.Varint(rest)
		rest = rest[max(n, 0):]
	}
	return string(rest)
}

// proofLasts decides again whether what has been approved on a cryptogram leaves room for one more payment.
func (a *auditor) proofLasts(m *member, r *journal.Row) (reason uint16, found, limit glossary.Term) {
	most := m.ProofMinor
	if most == 0 {
		most = proofMinorDefault
	}
	proof := proofOf(r)
	served := m.bank.served[proof]
	sum := a.taken(m, m.keyed(proof))
	for _, seq := range served {
		sum += a.taken(m, m.row(seq))
	}
	if len(served) >= servesMost || sum+r.Amount > most {
		return reasonProofExhausted, number(sum + r.Amount), fill("at most %d on one cryptogram", "同一密文累计不超过%d", most)
	}
	return reasonApproved, glossary.Term{}, glossary.Term{}
}

// taken is what a payment took, less what was given back since.
func (a *auditor) taken(m *member, of *journal.Row) int64 {
	if of == nil || of.Kind != journal.Approved {
		return 0
	}
	c, held := m.bank.chains[of.Seq], a.stillHeld(m, of)
	switch {
	case !held && (of.Reason != reasonPreAuth || c == nil || c.marks == 0):
		return 0
	case c == nil:
		return of.Amount
	case c.became == reasonVoid || c.became == reasonPreAuthVoid:
		return 0
	}
	return of.Amount - c.refunded
}

// serves holds the proof of a decision against the row that it names, and keeps what now rests on it.
func (a *auditor) serves(m *member, r *journal.Row) {
	proof := proofOf(r)
	of := m.keyed(proof)
	if of == nil || of.Card != r.Card || len(of.Note) == 0 || of.Note[0]&flagCounterUsed == 0 || of.Kind == journal.Uploaded {
		m.fault(r, "note", quoted(proof), fill("the key of a request of the card that came with its cryptogram", "该卡带密文的请求的键"))
		return
	}
	if r.Kind != journal.Approved {
		return
	}
	served := append(m.bank.served[proof], r.Seq)
	m.bank.served[proof] = served
	m.bank.due = append(m.bank.due, dueMark{key: proof + "p" + strconv.Itoa(len(served)), of: r.Key, by: r.Seq, became: reasonProofServes})
}

// keyed reads a row again by its key, also where the rows are in memory.
func (m *member) keyed(key string) *journal.Row {
	for at := min(int(m.last), len(m.rows)) - 1; at >= 0 && key != ""; at-- {
		if m.rows[at].Key == key {
			return &m.rows[at]
		}
	}
	return m.find(key)
}
