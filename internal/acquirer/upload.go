package acquirer

import (
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// UploadOutcome is what the acquirer's books say of a payment that a terminal uploads after its totals differed, or of the end of the upload. The numbers are
// stored.
type UploadOutcome uint16

// The outcomes.
const (
	UploadUnjudged    UploadOutcome = iota // neither a payment nor the end
	UploadAgrees                           // a payment that stands with this amount, or as many as the books have
	UploadUnknown                          // no such payment was ever asked for
	UploadOtherAmount                      // with another amount
	UploadNotStanding                      // refused, reversed, or not answered yet
	UploadOtherCount                       // the books have more or fewer payments in this batch
	UploadUnreadable                       // the end without its count
	lastUploadOutcome = UploadUnreadable
)

var uploadTerms = [...]glossary.Term{
	UploadUnjudged:    {EN: "nothing to compare", ZH: "无可核对内容"},
	UploadAgrees:      {EN: "as in the books", ZH: "与账务一致"},
	UploadUnknown:     {EN: "a payment that nobody asked for", ZH: "账务中无此交易"},
	UploadOtherAmount: {EN: "another amount in the books", ZH: "金额与账务不符"},
	UploadNotStanding: {EN: "refused, reversed or open in the books", ZH: "账务中该交易已拒绝、已冲正或未完成"},
	UploadOtherCount:  {EN: "another number of payments in the books", ZH: "笔数与账务不符"},
	UploadUnreadable:  {EN: "the end of an upload without its count", ZH: "批上送结束报文缺少笔数"},
}

// Term names the outcome.
func (o UploadOutcome) Term() glossary.Term {
	if o <= lastUploadOutcome {
		return uploadTerms[o]
	}
	return glossary.Term{EN: "unknown outcome", ZH: "未知结果"}
}

// compare holds an uploaded payment against the one with its trace number in the same batch, and the end against what the batch adds up to.
func (a *Acquirer) compare(m *unionpay.BatchUpload) (UploadOutcome, error) {
	switch m.Info.NetworkCode {
	case unionpay.NetworkUploadEnd:
		return a.compareEnd(m), nil
	case unionpay.NetworkUploadICGood, unionpay.NetworkUploadICFail:
	default:
		return UploadUnjudged, nil
	}
	named := &unionpay.FinancialRequest{Payment: unionpay.Payment{Terminal: m.Terminal, STAN: m.STAN, Info: unionpay.Info{Batch: m.Info.Batch}}}
	p, known, err := a.state.payments.Find(unionpay.TerminalKey(named), journal.Recall[*payment]{}, a.state.look)
	switch {
	case err != nil:
		return UploadUnjudged, err
	case !known || p.network == "" && len(p.answer) == 0:
		return UploadUnknown, nil
	case p.approved() == (m.Info.NetworkCode == unionpay.NetworkUploadICFail):
		return UploadNotStanding, nil
	case p.approved() && p.amount != m.Amount.Minor():
		return UploadOtherAmount, nil
	}
	return UploadAgrees, nil
}

func (a *Acquirer) compareEnd(m *unionpay.BatchUpload) UploadOutcome {
	count, err := unionpay.UploadCount(m.Additional)
	if err != nil {
		return UploadUnreadable
	}
	have := 0
	if s := a.state.tills[m.Terminal].sheet(m.Info.Batch); s != nil {
		have = s.totals.Debit.Count + s.totals.Credit.Count
	}
	if count != have {
		return UploadOtherCount
	}
	return UploadAgrees
}
