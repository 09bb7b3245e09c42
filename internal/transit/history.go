package transit

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// ViewHistory asks what the decisions about a rider are found by: the reply is a Trail, or ErrUnknown. See History.
type ViewHistory struct{ Account int64 }

// Trail is what the rows about a rider have in common. It changes nothing and may be followed beside the writer.
type Trail struct {
	Account int64
	Last    uint64 // the last row there is
	cards   []int64
	names   []denylist.ID // of the cards and of the account, under every key in use
	trust   denylist.Trust
}

// Decision is a row about a rider. It holds no number of a card, and nothing that is sealed.
type Decision struct {
	Row        uint64
	At         time.Time
	Kind       journal.Kind
	What       glossary.Term // with its reason
	Credential int64         // 0: of the account
	Bill       uint64        // 0: none
	Minor      int64         // less than zero: the rider is owed it
	Code       unionpay.ResponseCode
	Class      Class     // what the code means; 0: no answer
	Next       time.Time // when a debt is asked for again; zero: not planned here
}

// Money reports whether a decision is about what the rider pays: made, asked for, answered, paid, given back, given up.
func (d *Decision) Money() bool {
	return d.Bill != 0 || d.Kind != journal.CardChanged && d.Kind != journal.Noted
}

// Decisions are those of one answer, in order.
type Decisions struct {
	List []Decision
	Read uint64 // the last row that was looked at: ask for what follows it
}

// History limits.
const (
	// historyRows are looked at for one answer: some seconds at most, of a reader, not of the writer.
	historyRows = 1 << 20
	// maxHistory bounds one answer.
	maxHistory = 500
)

// picker is a store that gives the rows of a few cards without opening the others.
type picker interface {
	Pick(ctx context.Context, after, last uint64, cards []int64, kinds []journal.Kind, fn func(*journal.Row) error) error
}

// loader is any store that can be read from a row on.
type loader interface {
	Load(ctx context.Context, after uint64, fn func(*journal.Row) error) error
}

// bare are the kinds of rows that name no card but may be about one.
var bare = []journal.Kind{journal.CardChanged, journal.Noted}

// viewHistory gives the trail of an account.
func (o *Office) viewHistory(c ViewHistory) any {
	s := o.state
	a := s.accountOf(c.Account)
	if a == nil {
		return ErrUnknown
	}
	t := Trail{Account: int64(a.number), Last: s.last, trust: s.deps.trust()}
	take := func(n *names) {
		for _, called := range s.counting(n) {
			t.names = append(t.names, called.id)
		}
	}
	for _, n := range a.credentials {
		t.cards = append(t.cards, int64(n))
		take(&s.credentials[n].names)
	}
	if a.par != 0 {
		take(&s.marks[a.par].names)
	}
	return t
}

var errEnough = errors.New("enough rows")

// History follows a trail through the archive from behind a row, as far as one answer goes. It reads what is on disk, beside the writer, which does not wait.
// The deny list is told by hashes: an entry made under a key that nobody uses any more is not found, the decision behind it is.
func History(ctx context.Context, archive journal.Archive, t Trail, after uint64, most int) (Decisions, error) {
	if most <= 0 || most > maxHistory {
		most = maxHistory
	}
	h := follower{trail: t, archive: archive, asked: map[uint64]uint64{}}
	out := Decisions{Read: min(t.Last, after+historyRows)}
	err := pick(ctx, archive, after, out.Read, t.cards, func(r *journal.Row) error {
		found, err := h.decisions(ctx, r)
		if err != nil {
			return err
		}
		if out.List = append(out.List, found...); len(out.List) >= most {
			out.Read = r.Seq
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return Decisions{}, fmt.Errorf("read the history of account %d: %w", t.Account, err)
	}
	return out, nil
}

// pick reads rows of cards, and bare ones.
func pick(ctx context.Context, archive journal.Archive, after, last uint64, cards []int64, fn func(*journal.Row) error) error {
	if p, ok := archive.(picker); ok {
		return p.Pick(ctx, after, last, cards, bare, fn)
	}
	l, ok := archive.(loader)
	if !ok || after >= last {
		return nil
	}
	err := l.Load(ctx, after, func(r *journal.Row) error {
		if r.Seq > last {
			return errWhole
		}
		if r.Card != 0 && slices.Contains(cards, r.Card) || r.Card == 0 && slices.Contains(bare, r.Kind) {
			return fn(r)
		}
		return nil
	})
	if errors.Is(err, errWhole) {
		return nil
	}
	return err
}

// follower reads the rows of one answer.
type follower struct {
	trail   Trail
	archive journal.Archive
	asked   map[uint64]uint64 // bill of a request, by its row
}

// decisions are what a row says about the rider.
func (f *follower) decisions(ctx context.Context, r *journal.Row) ([]Decision, error) {
	d := Decision{Row: r.Seq, At: r.At, Kind: r.Kind, What: (&Office{}).Describe(r), Credential: r.Card, Minor: r.Amount}
	switch r.Kind {
	case journal.Noted:
		return f.told(r)
	case journal.CardChanged:
		if r.Card == 0 && !f.claimed(r) {
			return nil, nil
		}
		d.Bill = billIn(r)
		if more := detail(r); more != (glossary.Term{}) {
			d.What = glossary.Term{EN: d.What.EN + ": " + more.EN, ZH: d.What.ZH + "：" + more.ZH}
		}
	case journal.Charged:
		if d.Bill = r.Seq; r.Debit == AccountFares {
			d.Bill, d.Minor = 0, -r.Amount
		}
	case journal.Requested:
		d.Bill = billAsked(r)
		f.asked[r.Seq] = d.Bill
	case journal.Answered, journal.TimedOut, journal.Voided, journal.Acknowledged:
		bill, err := f.billOf(ctx, r)
		if err != nil {
			return nil, err
		}
		d.Bill, d.Next = bill, parseNext(r.Note)
		if r.Kind == journal.Answered {
			d.Code = unionpay.UnpackResponseCode(r.Reason)
			d.Class, _ = ClassOf(d.Code)
		}
	case journal.Expired, journal.Settled, journal.Adjusted:
		d.Bill = r.Linked
	default:
		return nil, nil
	}
	return []Decision{d}, nil
}

// billOf is the bill of the request that a row follows; of one before what this answer looks at, its row is read.
func (f *follower) billOf(ctx context.Context, r *journal.Row) (uint64, error) {
	bill, known := f.asked[r.Linked]
	if known || r.Linked == 0 {
		return bill, nil
	}
	err := pick(ctx, f.archive, r.Linked-1, r.Linked, f.trail.cards, func(asked *journal.Row) error {
		bill = billAsked(asked)
		return nil
	})
	f.asked[r.Linked] = bill
	return bill, err
}

// billAsked is the bill that a request is for; what a card paid by itself has none.
func billAsked(r *journal.Row) uint64 {
	if ask := Ask(r.Reason); ask == AskUpload || ask == AskReturn {
		return 0
	}
	return r.Linked
}

// claimed reports whether a ride before the first approval was granted to one of the rider's cards.
func (f *follower) claimed(r *journal.Row) bool {
	var note change
	return Reason(r.Reason) == ReasonClaim && json.Unmarshal(r.Note, &note) == nil && note.ID != nil && slices.Contains(f.trail.names, *note.ID)
}

// billIn is the bill that a word about a credential names; 0 for none.
func billIn(r *journal.Row) uint64 {
	var note change
	if json.Unmarshal(r.Note, &note) != nil {
		return 0
	}
	return note.Bill
}

// detail is what a word about a credential or account says besides its reason. It leaves out what is a secret of the rider's app, and hashes.
func detail(r *journal.Row) glossary.Term {
	var note change
	if json.Unmarshal(r.Note, &note) != nil {
		return glossary.Term{}
	}
	same := func(text string) glossary.Term { return glossary.Term{EN: text, ZH: text} }
	switch Reason(r.Reason) {
	case ReasonBlock:
		return denylist.Reason(note.Stop).Term()
	case ReasonStatement:
		return same(fmt.Sprintf("%s/%d %s", note.Device, note.Sequence, note.Place))
	case ReasonCategory:
		return same(note.Category)
	case ReasonRestricted, ReasonFreed:
		return same(fmt.Sprint(note.Year))
	case ReasonUnited:
		return glossary.Term{EN: fmt.Sprintf("account %d", note.Account), ZH: fmt.Sprintf("账户%d", note.Account)}
	}
	return glossary.Term{}
}

// told are the lines of a delta about the rider.
func (f *follower) told(r *journal.Row) (all []Decision, err error) {
	delta, err := denylist.OpenDelta(r.Note, f.trail.trust)
	if err != nil {
		return nil, fmt.Errorf("row %d: %w", r.Seq, err)
	}
	for _, c := range delta.Changes() {
		hash := c.Entry().Hash()
		if !slices.ContainsFunc(f.trail.names, func(id denylist.ID) bool { return id.Hash() == hash }) {
			continue
		}
		d := Decision{Row: r.Seq, At: r.At, Kind: r.Kind}
		if c.Removal() != 0 {
			why := c.Removal().Term()
			d.What = glossary.Term{EN: "taken off the deny list: " + why.EN, ZH: "移出黑名单：" + why.ZH}
		} else {
			why := c.Entry().Reason().Term()
			d.What = glossary.Term{EN: "on the deny list: " + why.EN, ZH: "列入黑名单：" + why.ZH}
		}
		if n := len(all); n == 0 || all[n-1].What != d.What { // a card and its account are one line
			all = append(all, d)
		}
	}
	return all, nil
}

// nextBytes is the length of an instant in the note of a row that plans when a bill is asked for again.
const nextBytes = 8

// planned is the note of an answer to a bill: when it is asked for next. Nobody needs it but who reads the row; applying an answer plans the same.
func (s *state) planned(b *bill, class Class, now time.Time) []byte {
	if b == nil || class == ClassApproved || class == ClassCard || int(b.tries) >= len(s.deps.Profile.Retries) {
		return nil
	}
	return binary.BigEndian.AppendUint64(nil, uint64(stampOf(now.Add(s.deps.Profile.Retries[b.tries]))))
}

// plannedAfterSilence is the same for a bill whose request is taken back.
func (s *state) plannedAfterSilence(p *payment, now time.Time) []byte {
	if p.status != silent {
		return nil
	}
	return s.planned(s.bills[p.bill], ClassSystem, now)
}

func parseNext(note []byte) time.Time {
	if len(note) != nextBytes {
		return time.Time{}
	}
	return stamp(binary.BigEndian.Uint64(note)).Time()
}
