package tsp

import (
	"math"
	"time"

	"tapnet/internal/tsp/tspapi"
)

// What happened to a token is a record of its own beside it, which only its changes and its readers look at. It comes in the row of the change.

// historyBase is above every other record's cell and below the settings': history of token n is cell historyBase + n.
const historyBase int64 = 1 << 39

// maxLived entries are kept, the first one and the latest: a token whose phone is lost and found once a month has years.
const maxLived = 32

// actor is who changed a token.
type actor uint8

const (
	actorRequestor = actor(CallerRequestor)
	actorIssuer    = actor(CallerIssuer)
	actorOperator  = actor(CallerOperator)
	actorService   = actorOperator + 1 // the service itself, for what a payment showed
)

var actorNames = [...]string{actorRequestor: "requestor", actorIssuer: "issuer", actorOperator: "operator", actorService: "token service"}

// lived is one change of a token.
type lived struct {
	Row        uint64
	At         int64 // seconds since 1970
	Event      Event // 0: a verification was asked for, or a wrong code given
	State      State // afterwards
	Suspenders Suspenders
	Actor      actor
	Who        string // id of the caller
	Reason     string
}

// history is what happened to one token, oldest first.
type history struct {
	Token   uint64
	Dropped uint64 // entries behind the first that are not kept any more
	Lived   []lived
}

func (h *history) cell() int64    { return historyBase + int64(h.Token) }
func (h *history) name() [16]byte { return [16]byte{} }

func isHistory(cell int64) bool { return cell >= historyBase && cell < settingsCell }

func (h *history) append(dst []byte) []byte {
	w := writer(append(dst, recordVersion))
	w.number(h.Dropped)
	w.number(uint64(len(h.Lived)))
	for i := range h.Lived {
		l := &h.Lived[i]
		w.number(l.Row)
		w.number(uint64(l.At))
		for _, b := range [...]byte{byte(l.Event), byte(l.State), byte(l.Suspenders), byte(l.Actor)} {
			w.octet(b)
		}
		w.text(l.Who)
		w.text(l.Reason)
	}
	return w
}

func (r *reader) history(token uint64) *history {
	h := &history{Token: token, Dropped: r.upTo(math.MaxInt64)}
	for range r.upTo(maxLived) {
		h.Lived = append(h.Lived, lived{
			Row: r.upTo(math.MaxInt64), At: int64(r.upTo(math.MaxInt64)), Event: Event(r.octet()), State: State(r.octet()), Suspenders: Suspenders(r.octet()),
			Actor: actor(r.octet()), Who: r.text(), Reason: r.text(),
		})
		l := &h.Lived[len(h.Lived)-1]
		if l.Event > eventEnd || l.State < Requested || l.State > Deactivated || l.Actor < actorRequestor || l.Actor > actorService {
			r.bad = true
		}
	}
	return h
}

// with is the history with one change more.
func (h *history) with(l lived) *history {
	next := &history{Token: h.Token, Dropped: h.Dropped, Lived: append(make([]lived, 0, len(h.Lived)+1), h.Lived...)}
	if len(next.Lived) == maxLived {
		next.Lived = append(next.Lived[:1], next.Lived[2:]...)
		next.Dropped++
	}
	next.Lived = append(next.Lived, l)
	return next
}

// histories are the histories of the tokens among the records, with what the row of that number does to them.
func (s *TSP) histories(records []record, l lived) (all []record, err error) {
	for _, r := range records {
		t, ok := r.(*Token)
		if !ok {
			continue
		}
		h, found, err := as[*history](s.state.get(historyBase + int64(t.Number)))
		if err != nil {
			return nil, err
		}
		if !found {
			h = &history{Token: t.Number}
		}
		l.State, l.Suspenders = t.State, t.Suspenders
		all = append(all, h.with(l))
	}
	return all, nil
}

// because is the reason that a command gives for what it does.
func (c *Command) because() string {
	switch b := c.Body.(type) {
	case *Suspension:
		return b.Reason
	case *Deletion:
		return b.Reason
	case *tspapi.Challenge:
		return b.Method
	case *tspapi.Assert:
		return b.Method
	case *tspapi.Activate:
		return idvOTP.info().name
	case *tspapi.CloseCard:
		return "ACCOUNT_CLOSED"
	case *tspapi.Provision:
		return b.Source
	case *DeviceChange:
		if b.Lost {
			return "LOST"
		}
	}
	return ""
}

// History asks what happened to the token of the command.
type History struct{}

// readHistory shows it to whoever may see the token. Names of the service's own people and numbers of its rows are for its own people.
func (s *TSP) readHistory(c *Command, f *commandFinding) error {
	v, ok, err := s.visible(c.Caller, f.tokenID)
	if err != nil {
		return err
	}
	if !ok {
		f.problem = noToken()
		return nil
	}
	r, _, err := s.state.find(historyBase + int64(f.tokenID))
	h, found, err := as[*history](r, err)
	if err != nil {
		return err
	}
	out := tspapi.History{Token: v.Reference, Changes: []tspapi.Changed{}}
	if found {
		out.Dropped = h.Dropped
		for i := range h.Lived {
			out.Changes = append(out.Changes, h.Lived[i].view(c.Caller.Role == CallerOperator))
		}
	}
	f.reply = out
	return nil
}

func (l *lived) view(own bool) tspapi.Changed {
	c := tspapi.Changed{
		At: time.Unix(l.At, 0).UTC(), Event: "verification", State: l.State.String(), Suspenders: l.Suspenders.Names(), Actor: actorNames[l.Actor], Reason: l.Reason,
	}
	if l.Event != 0 {
		c.Event = l.Event.String()
	}
	if own || l.Actor != actorOperator {
		c.Who = l.Who
	}
	if own {
		c.Row = l.Row
	}
	return c
}
