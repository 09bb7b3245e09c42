package gate

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tapnet/gate/denylist"
)

// What device and back office say to each other beside chunks and lists. Each message is its JSON text and a code over it under the
// device's key: a forged receipt would make a device throw records away that nobody has.
//
//	POST /v1/gates/{device}/chunks   EncodeChunk  → EncodeReceipt
//	POST /v1/gates/{device}/health   EncodeHealth → EncodeHealthAnswer
//	POST /v1/gates/{device}/claims   EncodeClaim  → EncodeClaimAnswer
//	GET  /v1/deny/base               → one signed base image; 304 with If-None-Match of its sequence number
//	GET  /v1/deny/deltas?after=N     → the signed deltas above N, one behind the other; 410 when the log begins later: fetch the base
//
// A chunk that is refused for good is answered 422, one that does not follow what the back office has 409 with a receipt of what it has.

// MaxMessage bounds a message that is not a chunk or a list, in bytes: a thousand approvals.
const MaxMessage = 128 << 10

// MaxApprovals bounds the approvals in one answer.
const MaxApprovals = 1000

// ErrMessage is wrapped when authentic bytes are not the message they should be.
var ErrMessage = errors.New("message is not usable")

// Receipt says how far the back office durably has a device's log: every record up to Sequence, without a gap. Link is that record's, so
// that a device whose log was exchanged notices.
type Receipt struct {
	Device   string `json:"device"`
	Sequence uint64 `json:"sequence"`
	Link     Link   `json:"link"`
}

// Health is what a device says about itself.
type Health struct {
	Device       string         `json:"device"`
	Number       uint64         `json:"number"` // counts up; the answer repeats it
	At           time.Time      `json:"at"`     // by the device's clock
	Sequence     uint64         `json:"sequence"`
	ListEpoch    denylist.Epoch `json:"list_epoch"`
	ListSequence uint64         `json:"list_sequence"` // 0 with ListAge -1: no list
	ListAge      int64          `json:"list_age_seconds"`
	Backlog      uint64         `json:"backlog_records"`
	BacklogBytes int64          `json:"backlog_bytes"`
	ClockOffset  int64          `json:"clock_offset_ms"` // back office less device, as measured last; 0 before that
	Taps         uint64         `json:"taps"`            // since the start
	Opened       uint64         `json:"opened"`
	Refused      uint64         `json:"refused_messages"` // lists and answers that were forged, older or out of order
	Trouble      string         `json:"trouble,omitempty"`
	// Epochs are those whose keys the device holds, rising; none: its keys are not the back office's business.
	Epochs []denylist.Epoch `json:"epochs,omitempty"`
}

// HealthAnswer is the back office's.
type HealthAnswer struct {
	Device   string        `json:"device"`
	Number   uint64        `json:"number"` // of the Health it answers
	Time     time.Time     `json:"time"`   // by the back office's clock
	Approved []denylist.ID `json:"approved,omitempty"`
	Keys     []SealedKey   `json:"keys,omitempty"` // at most MaxKeys, rising: of epochs whose keys the device does not hold
}

// Claim asks for the one ride on trust of a credential before its first approval.
type Claim struct {
	Device string         `json:"device"`
	Number uint64         `json:"number"`
	ID     denylist.ID    `json:"id"`
	Epoch  denylist.Epoch `json:"epoch"`
}

// ClaimAnswer grants it, or says that an earlier one is not approved yet.
type ClaimAnswer struct {
	Device  string `json:"device"`
	Number  uint64 `json:"number"`
	Granted bool   `json:"granted"`
}

// MarshalText is the link in hexadecimal.
func (l Link) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, l[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (l *Link) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(l) {
		return fmt.Errorf("link of %d digits: %w", len(text), ErrMessage)
	}
	if _, err := hex.Decode(l[:], text); err != nil {
		return fmt.Errorf("link: %w: %w", ErrMessage, err)
	}
	return nil
}

// EncodeReceipt seals a receipt for its device.
func EncodeReceipt(key ChainKey, r Receipt) []byte { return encode(key, purposeAnswer+" receipt", r) }

// ParseReceipt opens what EncodeReceipt made for this device.
func ParseReceipt(key ChainKey, device string, b []byte) (Receipt, error) {
	var r Receipt
	return r, parse(key, purposeAnswer+" receipt", b, &r, func() bool { return r.Device == device })
}

// EncodeHealth seals a report.
func EncodeHealth(key ChainKey, h Health) []byte { return encode(key, purposeReport+" health", h) }

// ParseHealth opens what EncodeHealth made on this device.
func ParseHealth(key ChainKey, device string, b []byte) (Health, error) {
	var h Health
	return h, parse(key, purposeReport+" health", b, &h, func() bool { return h.Device == device && rising(h.Epochs) })
}

// EncodeHealthAnswer seals an answer.
func EncodeHealthAnswer(key ChainKey, a HealthAnswer) []byte {
	return encode(key, purposeAnswer+" health", a)
}

// ParseHealthAnswer opens the answer to the report of a number: an old one, played again, would set the clock back.
func ParseHealthAnswer(key ChainKey, device string, number uint64, b []byte) (HealthAnswer, error) {
	var a HealthAnswer
	return a, parse(key, purposeAnswer+" health", b, &a, func() bool {
		return a.Device == device && a.Number == number && len(a.Approved) <= MaxApprovals && usable(a.Keys)
	})
}

// EncodeClaim seals a claim.
func EncodeClaim(key ChainKey, c Claim) []byte { return encode(key, purposeReport+" claim", c) }

// ParseClaim opens what EncodeClaim made on this device.
func ParseClaim(key ChainKey, device string, b []byte) (Claim, error) {
	var c Claim
	return c, parse(key, purposeReport+" claim", b, &c, func() bool { return c.Device == device })
}

// EncodeClaimAnswer seals an answer.
func EncodeClaimAnswer(key ChainKey, a ClaimAnswer) []byte {
	return encode(key, purposeAnswer+" claim", a)
}

// ParseClaimAnswer opens the answer to the claim of a number.
func ParseClaimAnswer(key ChainKey, device string, number uint64, b []byte) (ClaimAnswer, error) {
	var a ClaimAnswer
	return a, parse(key, purposeAnswer+" claim", b, &a, func() bool { return a.Device == device && a.Number == number })
}

// encode cannot fail: the messages are plain values.
func encode(key ChainKey, purpose string, message any) []byte {
	text, err := json.Marshal(message)
	if err != nil {
		panic(fmt.Sprintf("gate message: %v", err))
	}
	return key.sealed(purpose, text)
}

func parse(key ChainKey, purpose string, b []byte, into any, fits func() bool) error {
	if len(b) > MaxMessage {
		return fmt.Errorf("message of %d bytes: %w", len(b), ErrMessage)
	}
	text, err := key.unseal(purpose, b)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil { // fields that a later version adds are passed over
		return fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if !fits() {
		return fmt.Errorf("message is for another device or question, or out of its limits: %w", ErrMessage)
	}
	return nil
}
