package issuer

import (
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/iso8583/unionpay"
)

// A card that nobody answered may approve by itself, with the counter that it has shown to the network already (response code Y3 of its terminal). Whatever
// became of the first request, the payment is one: its upload names the request, and takes the place of what the bank has decided on it.

// fromPurse reports whether the chip took an offline payment off its purse: every one by tap, and by contact those whose records carry the issuer's code for
// electronic cash [REF 2.9]. The others are the account's.
func fromPurse(m *unionpay.FinancialRequest) bool {
	_, cash := m.ICC.Value(emv.TagECAuthCode)
	return cash || !reaches(m.EntryMode)
}

// joinFirst finds the request that an upload names, if this is its sequel: of the same card and amount, the one that has spent the counter, and the card says
// under its cryptogram that it could not ask. Nothing has become of the request since, for then the merchant has had his answer.
func (i *Issuer) joinFirst(m *unionpay.FinancialRequest, r *request) (key string, err error) {
	key = unionpay.OriginalKey(m)
	if key == "" || r.card == nil || r.cryptogram != CryptogramValid || !r.chipAgrees || !r.approvalAC || !r.cvr.Has(emv.CVRUnableOnline) ||
		r.card.window.fresh(r.atc) {
		return "", nil
	}
	first, seen, err := i.state.payment(key, nil)
	if err != nil || !seen || first.early || first.card != r.card.Enrolment.Card || !first.spends || first.atc != r.atc || first.minor != r.minor ||
		first.reason >= Approving {
		return "", err
	}
	if r.became, err = i.state.standing(key, first); err != nil || r.became.marks != 0 {
		return "", err
	}
	r.original, r.takesOver = first, true
	return key, nil
}

// takeOver lets go of the hold of the request whose place an upload takes.
func (i *Issuer) takeOver(now time.Time, r *request, key string, step *journal.Step) {
	if !r.original.held {
		return
	}
	hold, _ := i.state.book.Hold(r.original.seq)
	i.append(step, now, journal.Row{Kind: journal.Voided, Card: r.original.card, ATC: r.atc, BusinessDate: r.businessDate, Payment: key, Note: []byte(key),
		Reason: uint16(OfflineTakesOver), Linked: r.original.seq, Phase: ledger.Void, Resolves: r.original.seq, Debit: hold.Debit, Credit: hold.Credit,
		Amount: hold.Amount, Currency: hold.Currency, Answer: taken{date: r.original.date, noPIN: r.original.noPIN}.bytes()})
}

// payer is the account that an offline payment is booked from. The chip has given the money away, so what is not on the account the bank bears.
func (i *Issuer) offlinePayer(r *request) (ledger.Account, Reason) {
	switch {
	case r.fromPurse:
		return r.side.purse, PurseAccepted
	case i.state.availableOn(r.side) < r.minor:
		return r.side.funding, OfflineAccepted
	}
	return r.side.account, OfflineAccepted
}
