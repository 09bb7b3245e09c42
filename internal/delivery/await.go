package delivery

import (
	"strings"
	"time"

	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

const (
	// awaitPrefix starts the names of timers that wait for an answer; the payment's key follows.
	awaitPrefix = "answer "
	// pickUpTimer tries again to open, after a restart, what the security module could not open.
	pickUpTimer = "pick up"
	pickUpAfter = 30 * time.Second
	// atOnce is the wait of a payment whose answer may have been lost with the process.
	atOnce = time.Nanosecond
)

// Await sets the timer of a payment that waits for its answer.
func Await(key string, within time.Duration) journal.Effect {
	return journal.Effect{Timer: awaitPrefix + key, After: within}
}

// Overdue lets the payment's timer fall due at once.
func Overdue(key string) journal.Effect { return Await(key, atOnce) }

// Awaited cancels the payment's timer.
func Awaited(key string) journal.Effect { return Await(key, -1) }

// PickUpLater sets the timer after which what could not be opened is tried again.
func PickUpLater() journal.Effect { return journal.Effect{Timer: pickUpTimer, After: pickUpAfter} }

// Due does what a timer that fell due says: it calls late with the key of a payment whose answer did not come, or pickUp, or sends a message again.
func (q *Queue) Due(timer string, step *journal.Step, late func(key string), pickUp func()) {
	if key, ok := strings.CutPrefix(timer, awaitPrefix); ok {
		late(key)
		return
	}
	if timer == pickUpTimer {
		pickUp()
		return
	}
	q.Fire(timer, step)
}

// Sealer is what sealing asks of a security module.
type Sealer interface {
	SealData(name, context string, data []byte) ([]byte, error)
	OpenData(name, context string, sealed []byte) ([]byte, error)
}

// Envelope seals messages for rest and opens them again: card numbers are never stored in clear.
type Envelope struct {
	Vault   Sealer
	Key     string // name of the key in the security module
	Context string // whose messages they are
	Dialect unionpay.Dialect
}

// Seal gives the sealed message, nil when it cannot be written or the security module cannot seal it now.
func (e Envelope) Seal(m unionpay.Message) []byte {
	plain, err := unionpay.Encode(e.Dialect, nil, m, nil)
	if err != nil {
		return nil
	}
	sealed, err := e.Vault.SealData(e.Key, e.Context, plain)
	if err != nil {
		return nil
	}
	return sealed
}

// Open gives the message again, nil when the security module cannot open it now.
func (e Envelope) Open(sealed []byte) unionpay.Message {
	plain, err := e.Vault.OpenData(e.Key, e.Context, sealed)
	if err != nil {
		return nil
	}
	m, err := unionpay.Decode(e.Dialect, plain)
	if err != nil {
		return nil
	}
	return m
}

// OpenRequest is Open for a payment's request.
func (e Envelope) OpenRequest(sealed []byte) *unionpay.FinancialRequest {
	request, _ := e.Open(sealed).(*unionpay.FinancialRequest)
	return request
}
