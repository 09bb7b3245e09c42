package transit

import (
	"slices"
	"time"

	"tapnet/gate"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/transit/fares"
)

// A card that pays by itself at a gate has paid whether the gate opened or not. What it paid is told to the acquirer until that answers; what it paid for no
// ride, because the gate stayed shut or its rider did not go through, is given back the way it came: as a refund of the upload, as soon as the acquirer has
// taken that.

// PurseState is where the money of a card that paid by itself stands.
type PurseState uint8

// States.
const (
	PurseWaits     PurseState = iota + 1 // the acquirer has not answered yet
	PurseTaken                           // the acquirer has taken it
	PurseRefused                         // the acquirer does not pay: the ride was given away
	PurseReturning                       // it goes back to the card's account
	PurseReturned                        // it has gone
	PurseKept                            // the acquirer does not take the refund: the service desk pays it back
	purseStateEnd
)

var purseStateTerms = [...]glossary.Term{
	PurseWaits:     {EN: "paid by the card, not told to the acquirer yet", ZH: "已由卡内电子现金支付，待上送"},
	PurseTaken:     {EN: "paid by the card", ZH: "已由卡内电子现金支付"},
	PurseRefused:   {EN: "paid by the card, refused by the acquirer", ZH: "已由卡内电子现金支付，收单行拒绝"},
	PurseReturning: {EN: "paid by the card, being given back", ZH: "已由卡内电子现金支付，退还中"},
	PurseReturned:  {EN: "paid by the card, given back", ZH: "已由卡内电子现金支付，已退还"},
	PurseKept:      {EN: "paid by the card, to be given back at the service desk", ZH: "已由卡内电子现金支付，待客服退还"},
}

// Term is the state in both languages.
func (s PurseState) Term() glossary.Term {
	if s == 0 || s >= purseStateEnd {
		return glossary.Term{}
	}
	return purseStateTerms[s]
}

// paid is a tap that the card paid by itself. It is kept as JSON with what else few riders have.
type paid struct {
	Device     int32      `json:"d"`
	Sequence   uint64     `json:"s"`
	Row        uint64     `json:"r"` // first record of the Uploaded row
	At         int64      `json:"t"`
	Station    uint32     `json:"p"`
	Credential int32      `json:"c"`
	Minor      int64      `json:"m"`
	Back       bool       `json:"b,omitempty"` // for no ride
	State      PurseState `json:"x"`
	Request    uint64     `json:"q,omitempty"` // row of the request that told it
	RRN        string     `json:"n,omitempty"`
	STAN       uint32     `json:"a,omitempty"`
	Batch      uint32     `json:"h,omitempty"`
	Date       string     `json:"e,omitempty"`
}

// maxPaid are remembered of one rider, and those beyond that still have to be given back.
const maxPaid = 64

// pays takes up what a card paid by itself, and that it has to be told.
func (s *state) pays(d *device, row uint64, g *gate.Record, at time.Time, c *credential, back bool) {
	if g.Amount <= 0 || len(g.Sealed) == 0 {
		return
	}
	s.purses = append(s.purses, purse{c.number, g.Amount, material{device: d.number, row: row, sequence: g.Sequence}})
	p := s.accounts[c.account].own()
	if len(p.paid) >= maxPaid {
		if at := slices.IndexFunc(p.paid, func(x paid) bool { return !x.Back && x.State == PurseTaken || x.State == PurseReturned }); at >= 0 {
			p.paid = slices.Delete(p.paid, at, at+1)
		}
	}
	p.paid = append(p.paid, paid{Device: d.number, Sequence: g.Sequence, Row: row, At: at.UnixMilli(), Station: g.Station, Credential: c.number, Minor: g.Amount,
		Back: back, State: PurseWaits})
}

// paidAt finds what a card of an account paid at a tap; nil for nothing.
func (a *account) paidAt(key tapKey) *paid {
	for i := range a.paid {
		if p := &a.paid[i]; p.Device == key.device && p.Sequence == key.sequence {
			return p
		}
	}
	return nil
}

// paidBy finds what a request told.
func (s *state) paidBy(credential int32, request uint64) *paid {
	a := s.accounts[s.credentials[credential].account]
	for i := range a.paid {
		if p := &a.paid[i]; p.Request == request {
			return p
		}
	}
	return nil
}

// putPaid gives all that is remembered.
func (p *person) putPaid(put func(...any)) {
	for i := range p.paid {
		x := &p.paid[i]
		put(x.Device, x.Sequence, x.Minor, x.Back, uint8(x.State), x.Request, x.RRN)
	}
}

// goesBack says that a payment was for no ride.
func (s *state) goesBack(p *paid) {
	p.Back = true
	if p.State == PurseTaken {
		s.returns[p.Request] = p.Credential
	}
}

// told follows the answer to an upload.
func (s *state) told(p *payment, approved bool, rrn string) {
	if approved {
		s.totals.Purse += p.minor
	} else {
		s.tallies.purse++
	}
	x := s.paidBy(p.credential, p.seq)
	if x == nil {
		return
	}
	if x.State = PurseRefused; approved {
		x.State, x.RRN, x.STAN, x.Batch, x.Date = PurseTaken, rrn, p.stan, p.batch, p.date
		if x.Back {
			s.goesBack(x)
		}
	}
}

// returned follows the answer to a refund of what a card paid.
func (s *state) returned(p *payment, approved bool) {
	if approved {
		s.totals.Purse -= p.minor
	}
	if x := s.paidBy(p.credential, p.bill); x != nil {
		if x.State = PurseKept; approved {
			x.State = PurseReturned
		}
	}
}

// sendReturns asks the acquirer to take back what cards paid for no ride, as far as there is room.
func (o *Office) sendReturns(now time.Time, step *journal.Step) {
	for _, request := range sortedKeys(o.state.returns) {
		if o.under >= o.deps.Under {
			return
		}
		x := o.state.paidBy(o.state.returns[request], request)
		if x == nil {
			delete(o.state.returns, request)
			continue
		}
		upload := &bill{seq: request, credential: x.Credential, paid: &receipt{rrn: x.RRN, stan: x.STAN, batch: x.Batch, date: x.Date}}
		from := material{device: x.Device, row: x.Row, sequence: x.Sequence}
		if o.sendWith(now, AskReturn, o.state.credentials[x.Credential], upload, x.Minor, from, false, step) {
			o.under++
		}
	}
}

func sortedKeys(m map[uint64]int32) []uint64 {
	if len(m) == 0 {
		return nil
	}
	keys := make([]uint64, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// PaidView is a tap that the card paid by itself.
type PaidView struct {
	Tap     fares.TapID
	At      time.Time
	Day     fares.Date
	Service string
	Place   string
	Medium  string
	Minor   int64
	State   PurseState
	Back    bool
}

func (s *state) viewPaid(a *account) (views []PaidView) {
	for i := range a.paid {
		p := &a.paid[i]
		place, known := s.deps.Stations[p.Station]
		if !known {
			place = unknownPlace
		}
		at := time.UnixMilli(p.At).UTC()
		views = append(views, PaidView{
			Tap: fares.TapID{Device: s.devices[p.Device].name, Sequence: p.Sequence}, At: at, Day: s.deps.Book.ServiceDate(at), Service: place.Service,
			Place: place.Place, Medium: s.credentials[p.Credential].medium(), Minor: p.Minor, State: p.State, Back: p.Back,
		})
	}
	return views
}

// takePaid finds what still has to be told or given back among what a kept account paid.
func (s *state) takePaid(a *account, credentials int32) bool {
	for i := range a.paid {
		p := &a.paid[i]
		if p.Credential <= 0 || p.Credential >= credentials || p.Device < 0 || int(p.Device) >= len(s.devices) || p.State == 0 || p.State >= purseStateEnd {
			return false
		}
		if p.Back && p.State == PurseTaken {
			s.returns[p.Request] = p.Credential
		}
		if p.State == PurseRefused {
			s.tallies.purse++
		}
	}
	return true
}
