package transittest

import (
	"fmt"

	"tapnet/internal/delivery"
	"tapnet/iso8583/unionpay"
)

// Bank is the acquirer's side: it answers by a script, gives a repeat the first answer, and keeps its own books.
type Bank struct {
	// Says is asked for the answer to a request; nil approves. "" stays silent.
	Says func(*unionpay.FinancialRequest) unionpay.ResponseCode
	// References gives the account reference of an answer by card number; nil for none.
	References func(*unionpay.FinancialRequest) string

	Minor    int64 // owed to the merchant: payments and completions, less reversals and refunds
	HeldMine int64 // approved pre-authorizations that are neither completed nor taken back
	Requests []*unionpay.FinancialRequest
	first    map[string]deal
	serial   int
}

type deal struct {
	answer  unionpay.Answer
	minor   int64
	held    bool
	done    bool // reversed or completed
	content [16]byte
}

// Name of the acquirer as a peer.
const Name = "30010000"

// Answer handles one message of the office and gives the reply, nil for silence.
func (b *Bank) Answer(m unionpay.Message) unionpay.Message {
	if b.first == nil {
		b.first = map[string]deal{}
	}
	switch m := m.(type) {
	case *unionpay.FinancialRequest:
		return b.request(m)
	case *unionpay.ReversalRequest:
		key := unionpay.OriginalKey(m)
		d, known := b.first[key]
		if known && !d.done && d.answer.Response.Approved() {
			if d.held {
				b.HeldMine -= d.minor
			} else {
				b.Minor -= d.minor
			}
		}
		d.done = true
		if d.answer.Response == "" {
			d.answer.Response = unionpay.ResponseLate
		}
		b.first[key] = d
		return unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved})
	}
	return nil
}

// tells reports whether a request tells of what has happened: it comes again until the answer is definite, and one that was not is no first answer.
func tells(m *unionpay.FinancialRequest) bool {
	return m.Advice || m.Info.MessageType == unionpay.KindOfflineUpload
}

func (b *Bank) request(m *unionpay.FinancialRequest) unionpay.Message {
	key, content := unionpay.TerminalKey(m), unionpay.ContentHash(m)
	if d, known := b.first[key]; known && (d.done || !tells(m) || d.answer.Response != "" && delivery.Definite(d.answer.Response)) {
		if d.content != content && d.content != [16]byte{} {
			return unionpay.Respond(m, unionpay.Answer{Response: unionpay.DuplicateTransmission})
		}
		return unionpay.Respond(m, d.answer)
	}
	b.Requests = append(b.Requests, m)
	code := unionpay.Approved
	if b.Says != nil {
		code = b.Says(m)
	}
	b.serial++
	answer := unionpay.Answer{Response: code, RRN: fmt.Sprintf("%012d", b.serial)}
	if b.References != nil {
		if reference := b.References(m); reference != "" {
			answer.ICC.Set(0x9F24, []byte(reference))
		}
	}
	d := deal{answer: answer, minor: m.Amount.Minor(), content: content}
	if code.Approved() {
		d.answer.AuthCode = fmt.Sprintf("%06d", b.serial)
		switch m.Info.MessageType {
		case unionpay.KindPreAuth:
			d.held = true
			b.HeldMine += d.minor
		case unionpay.KindCompletion, unionpay.KindCompletionNote:
			if o, ok := b.first[unionpay.OriginalKey(m)]; ok && o.held && !o.done {
				o.done = true
				b.HeldMine -= o.minor
				b.first[unionpay.OriginalKey(m)] = o
			}
			b.Minor += d.minor
		case unionpay.KindRefund, unionpay.KindOfflineRefund:
			b.Minor -= d.minor
			d.minor = -d.minor
		default:
			b.Minor += d.minor
		}
	}
	b.first[key] = d
	if code == "" {
		return nil
	}
	return unionpay.Respond(m, d.answer)
}
