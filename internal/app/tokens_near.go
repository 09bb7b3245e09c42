package app

import (
	"sync/atomic"

	"tapnet/internal/journal"
	"tapnet/internal/link"
	"tapnet/iso8583/unionpay"
)

// nearby is a token role that runs in the same process as the other one, nil while it does not. Between the two, messages need no line: each goes to the
// other's queue as it would come out of one, and into the trace as far as there is room for it.
type nearby struct{ node atomic.Pointer[node] }

// hand gives a message of one token role to the other and reports whether that is there. The line between them stays for when they run apart.
func (n *Network) hand(to *nearby, from *node, sender, receiver string, m unionpay.Message) bool {
	other := to.node.Load()
	if other == nil || n.options.Listen == nil {
		return false
	}
	if at := n.options.Clock.Now(); n.trace.Room(at) {
		if raw, err := unionpay.Encode(unionpay.Switch, nil, m, nil); err == nil {
			n.traceMessage(from, unionpay.Switch, link.TraceEvent{Session: sender, Peer: receiver, Direction: link.Out, At: at, Raw: raw, Message: m})
			n.traceMessage(other, unionpay.Switch, link.TraceEvent{Session: receiver, Peer: sender, Direction: link.In, At: at, Raw: raw, Message: m})
		}
	}
	other.submit(journal.Event{From: sender, Message: m})
	return true
}
