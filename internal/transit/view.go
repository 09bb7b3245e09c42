package transit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/journal"
	"tapnet/internal/transit/fares"
	"tapnet/iso8583/unionpay"
)

// What can be asked without changing anything. The replies belong to whoever asked.
type (
	// ViewAccount asks for a rider: the reply is an AccountView, or ErrUnknown.
	ViewAccount struct{ Account int64 }
	// FindToken asks whose token a hash is: the reply is an int64, the account, or ErrUnknown.
	FindToken struct{ Hash [32]byte }
	// FindCredential asks which credential an ID is: the reply is an AccountView, or ErrUnknown.
	FindCredential struct{ ID denylist.ID }
	// ViewDevices asks for all devices: the reply is a []DeviceView.
	ViewDevices struct{}
	// ViewReport asks for what has become of everything: the reply is a Report.
	ViewReport struct{}
	// ViewDebts asks for bills that are owed, those above After, so many: the reply is a []BillView.
	ViewDebts struct {
		After uint64
		Most  int
	}
	// ViewDay asks for what one service day was billed: the reply is a DayView.
	ViewDay struct{ Day fares.Date }
	// ViewProgress asks how far a close is: the reply is a Closing.
	ViewProgress struct{}
	// ViewList asks how far the deny list is: the reply is a ListView.
	ViewList struct{}
)

// AccountView is a rider.
type AccountView struct {
	Account     int64
	Category    string
	Credentials []CredentialView
	Statement   *fares.Statement
	Bills       []BillView
	TapStates   map[fares.TapID]TapState
	Paid        []PaidView // taps that the card paid by itself
}

// CredentialView is a card or token without its number.
type CredentialView struct {
	Credential int64
	Medium     string // its name in journeys
	ID         denylist.ID
	Approved   time.Time
	Stop       denylist.Reason // 0: none
	Listed     bool
	Credit     int64
}

// BillView is a bill.
type BillView struct {
	Bill       uint64
	Account    int64
	Credential int64
	Day        fares.Date
	State      BillState
	Minor      int64
	Refunded   int64
	Next       time.Time
	Code       unionpay.ResponseCode
}

// DeviceView is a device as the office knows it.
type DeviceView struct {
	Device  string
	Reached gate.Head
	Missing []Gap
	Taps    uint64
	Opened  uint64
	Refused uint64
	Why     string
	Ahead   uint64
	Heard   time.Time
	Health  gate.Health
	ListAge time.Duration // of the device's list, by the office's clock; negative when it has none
	Clock   time.Duration // by how much the office's clock was ahead of the device's when it reported last
}

// Report is what has become of everything, and what bad cards cost.
type Report struct {
	Totals   Totals
	Accounts int
	Bills    map[BillState]uint64
	Listed   int
	Riders   int64 // owed by riders, less what is owed to them
	Acquirer int64
	Counter  int64
	// LossPerMillion is minor units lost or owed for a million taps that opened.
	LossPerMillion float64
	Troubles       uint64
	PurseRefused   uint64 // payments of cards by themselves that the acquirer does not pay
}

// DayView is what one service day came to.
type DayView struct {
	Day      fares.Date
	Closed   bool
	Journeys int
	Minor    int64 // billed for journeys of that day, corrections included
	Bills    int   // made by its close
	Billed   int64
	Paid     int64 // of these, settled by the acquirer or the rider
	Owed     int64
	Lost     int64
	Refunded int64
	Open     int64 // asked for, or to be
}

// ListView is how far the deny list is.
type ListView struct {
	Sequence uint64
	Entries  int
	Waiting  int // accounts and entries from outside that change with the next delta
	At       time.Time
	Outside  int            // entries from outside
	Epoch    denylist.Epoch // of the key in force
	Next     denylist.Epoch // of a rotation under way; 0 for none
	Former   denylist.Epoch // still understood; 0 for none
}

// view answers a question; false when the command is none.
func (o *Office) view(now time.Time, command any) (reply any, ok bool) {
	s := o.state
	switch c := command.(type) {
	case ViewAccount:
		return o.viewAccount(now, s.accountOf(c.Account)), true
	case FindCredential:
		at, known := s.known(c.ID)
		if !known {
			return ErrUnknown, true
		}
		return o.viewAccount(now, s.accountOf(int64(s.credentials[at].account))), true
	case FindToken:
		if a := s.accountOf(int64(s.tokens[c.Hash])); a != nil {
			return int64(a.number), true
		}
		return ErrUnknown, true
	case ViewDevices:
		return o.viewDevices(now), true
	case ViewReport:
		return o.report(), true
	case ViewDebts:
		return o.viewDebts(c), true
	case ViewDay:
		return o.viewDay(c.Day), true
	case ViewProgress:
		return o.progress(), true
	case ViewHistory:
		return o.viewHistory(c), true
	case ViewStatements:
		return o.statements(now, c), true
	case ViewList:
		return ListView{Sequence: s.list.sequence, Entries: len(s.list.told), Waiting: len(s.list.stale) + len(s.list.pending), At: s.list.at,
			Outside: s.listedOutside, Epoch: s.keys.now, Next: s.keys.next, Former: s.keys.former}, true
	case ViewKeys:
		return o.viewKeys(now), true
	}
	return nil, false
}

func (o *Office) viewAccount(now time.Time, a *account) any {
	if a == nil {
		return ErrUnknown
	}
	s := o.state
	v := AccountView{Account: int64(a.number), Category: a.category, TapStates: map[fares.TapID]TapState{}, Paid: s.viewPaid(a)}
	for _, n := range a.credentials {
		c := s.credentials[n]
		_, listed := s.list.told[c.subject()]
		v.Credentials = append(v.Credentials, CredentialView{
			Credential: int64(n), Medium: c.medium(), ID: c.id, Approved: c.approved.Time(), Stop: c.stop, Listed: listed, Credit: c.credit,
		})
		for _, seq := range c.bills {
			v.Bills = append(v.Bills, s.viewBill(s.bills[seq]))
		}
	}
	slices.SortFunc(v.Bills, func(x, y BillView) int { return cmp.Compare(x.Bill, y.Bill) })
	for i := range a.taps {
		t := &a.taps[i]
		v.TapStates[fares.TapID{Device: s.devices[t.device].name, Sequence: t.sequence}] = t.state
	}
	rider := fares.Rider{Account: fmt.Sprint(a.number), Category: a.category, Corrections: slices.Clone(a.corrections), Earlier: a.earlier}
	statement, err := s.deps.Book.Rate(rider, s.fareTaps(a), now)
	if err != nil {
		return err
	}
	v.Statement = statement
	return v
}

func (s *state) viewBill(b *bill) BillView {
	return BillView{
		Bill: b.seq, Account: int64(s.credentials[b.credential].account), Credential: int64(b.credential), Day: b.day, State: b.state,
		Minor: b.minor, Refunded: b.refunded, Next: b.next.Time(), Code: unionpay.UnpackResponseCode(b.code),
	}
}

func (o *Office) viewDevices(now time.Time) []DeviceView {
	views := make([]DeviceView, 0, len(o.state.devices))
	for _, d := range o.state.devices {
		v := DeviceView{
			Device: d.name, Reached: reached(d.spans), Missing: gaps(d.spans), Taps: d.taps, Opened: d.opened, Refused: d.refused, Why: d.why,
			Ahead: d.ahead, Heard: d.heard, Health: d.health, ListAge: -1,
		}
		if d.reported != 0 {
			v.Clock = d.reported.Time().Sub(d.health.At)
		}
		if d.health.ListAge >= 0 && !d.heard.IsZero() && d.health.ListSequence > 0 {
			v.ListAge = time.Duration(d.health.ListAge)*time.Second + now.Sub(d.heard)
		}
		views = append(views, v)
	}
	slices.SortFunc(views, func(x, y DeviceView) int { return cmp.Compare(x.Device, y.Device) })
	return views
}

func (o *Office) report() Report {
	s := o.state
	r := Report{Totals: s.totals, Accounts: len(s.accounts) - 1, Bills: map[BillState]uint64{}, Listed: len(s.list.told), Riders: s.balance(AccountRiders),
		Acquirer: s.balance(AccountAcquirer), Counter: s.balance(AccountCounter), LossPerMillion: s.totals.perMillion(s.totals.Owed + s.totals.Lost),
		Troubles: o.troubles, PurseRefused: s.tallies.purse}
	r.Totals.States = map[TapState]uint64{}
	for state, n := range s.totals.States {
		r.Totals.States[state] = n
	}
	for state, n := range s.tallies.states {
		if n > 0 {
			r.Bills[BillState(state)] = n
		}
	}
	return r
}

// maxDebts bounds one answer.
const maxDebts = 1000

func (o *Office) viewDebts(c ViewDebts) []BillView {
	most := c.Most
	if most <= 0 || most > maxDebts {
		most = maxDebts
	}
	var found []BillView
	for seq := range o.state.tallies.debts {
		if seq > c.After {
			found = append(found, o.state.viewBill(o.state.bills[seq]))
		}
	}
	slices.SortFunc(found, func(x, y BillView) int { return cmp.Compare(x.Bill, y.Bill) })
	return found[:min(most, len(found))]
}

func (o *Office) viewDay(date fares.Date) DayView {
	s := o.state
	v := DayView{}
	if kept := s.tallies.days[date]; kept != nil {
		v = *kept
	}
	v.Day, v.Closed = date, s.closed >= date && s.closed != 0
	return v
}

// maxDeltas bounds the deltas of one answer: a day of them.
const maxDeltas = 2000

// Deltas gives the signed deltas above a number, one behind the other, out of the archive. It may run beside the writer.
func Deltas(ctx context.Context, archive journal.Archive, after uint64) ([]byte, error) {
	var out []byte
	for n := after + 1; n <= after+maxDeltas; n++ {
		row, found, err := archive.FindKey(ctx, fmt.Sprintf(deltaKeyFormat, n))
		if err != nil {
			return nil, fmt.Errorf("read delta %d: %w", n, err)
		}
		if !found {
			break
		}
		out = append(out, row.Note...)
	}
	return out, nil
}

// Archive is where the office's rows can be read beside the writer; nil before the journal is open.
func (o *Office) Archive() journal.Archive { return o.archive }
