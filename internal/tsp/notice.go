package tsp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tapnet/internal/delivery"
	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
)

// WebhookPeer begins the names of those who are told of changes by webhook; the requestor's id or the bank's follows. The shell sends what goes there over
// https, signed, and gives a Delivered once it was taken.
const WebhookPeer = "webhook:"

// Webhook is a notice on its way. It travels like a message, so that the queue of messages can repeat it until somebody has taken it.
type Webhook struct {
	ID     string // the same however often it is sent
	Notice tspapi.Notice
	Code   []byte // a one-time code for the bank, sealed; see OpenCode
}

// Type makes a webhook fit where messages go; it has none of theirs.
func (*Webhook) Type() unionpay.MTI { return "" }

// Delivered is the command that says that a webhook was taken by whom it was for.
type Delivered struct{ Peer, ID string }

// notice is a webhook before it has a number.
type notice struct {
	to   string
	body tspapi.Notice
	code []byte
}

// noticesOf says whom a change of a token concerns: its requestor and the card's bank, if they want to know.
func (s *TSP) noticesOf(e Event, t *Token, card *Card, q *Requestor, view tspapi.Token, reason string, code []byte) []notice {
	body := tspapi.Notice{Event: "token " + e.String(), Token: view.Reference, PAR: view.PAR, State: view.State, Suspended: t.Suspenders.Names(), Reason: reason}
	if e == 0 {
		body.Event = "token verification"
	}
	var all []notice
	if q.Webhook != "" {
		all = append(all, notice{WebhookPeer + q.ID, body, nil})
	}
	if bank := s.issuer(card.Tenant); bank != nil && bank.Webhook != "" {
		all = append(all, notice{WebhookPeer + bank.Institution, body, code})
	}
	return all
}

// WebhookAddress is where a peer wants to be told, "" when nowhere. It may be called at any time.
func (s *TSP) WebhookAddress(peer string) string {
	id := strings.TrimPrefix(peer, WebhookPeer)
	if q := s.state.requestor(id); q != nil {
		return q.Webhook
	}
	if bank := s.issuer(id); bank != nil {
		return bank.Webhook
	}
	return ""
}

// stored is a notice in its row.
type stored struct {
	To   string        `json:"to"`
	Body tspapi.Notice `json:"body"`
	Code []byte        `json:"code,omitempty"`
}

// tell makes a notice durable and sends it for the first time.
func (s *TSP) tell(now time.Time, n *notice, step *journal.Step) {
	key := fmt.Sprintf("%s%016d", noticePrefix, step.NextSeq())
	n.body.ID, n.body.At = strings.TrimPrefix(key, noticePrefix), now.UTC()
	text, err := json.Marshal(stored{n.to, n.body, n.code})
	if err != nil {
		panic("tsp: a notice that is no JSON: " + err.Error())
	}
	s.append(step, now, journal.Row{Kind: journal.Queued, Key: key, Payment: n.body.Token, Note: text})
	s.queue.Send(key, n.to, &Webhook{ID: n.body.ID, Notice: n.body, Code: n.code}, step)
}

// delivered ends a notice.
func (s *TSP) delivered(now time.Time, d Delivered, step *journal.Step) {
	key := noticePrefix + d.ID
	if !s.queue.Acknowledged(key, d.Peer, step) {
		return
	}
	for seq, k := range s.state.seq {
		if k == key {
			s.append(step, now, journal.Row{Kind: journal.Acknowledged, Linked: seq})
			return
		}
	}
}

// pickUp sends after a restart what nobody has taken.
func (s *TSP) pickUp(step *journal.Step) {
	var left []string
	for _, key := range s.closed {
		row, found, err := s.noticeRow(key)
		n := stored{}
		if err == nil && found {
			err = json.Unmarshal(row.Note, &n)
		}
		if err != nil || !found {
			left = append(left, key)
			continue
		}
		s.queue.Send(key, n.To, &Webhook{ID: n.Body.ID, Notice: n.Body, Code: n.Code}, step)
	}
	if s.closed = left; len(left) > 0 {
		step.Emit(delivery.PickUpLater())
	}
}

// noticeRow finds the row of a notice.
func (s *TSP) noticeRow(key string) (*journal.Row, bool, error) {
	if s.state.archive == nil {
		return nil, false, nil
	}
	return s.state.archive.FindKey(context.Background(), key)
}
