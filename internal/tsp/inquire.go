package tsp

import (
	"cmp"
	"slices"
	"strconv"

	"tapnet/internal/tsp/tspapi"
)

// Read asks for the token of the command.
type Read struct{}

// AccountReference asks for the payment account reference of a card (Number) or a token (Token).
type AccountReference struct{}

// List asks for tokens: of the card in Number, of an account reference, of a device, or all of the caller's in the order in which they were given out.
type List struct {
	Device string
	PAR    string
	Cursor string
	Limit  int
}

// Bounds of a page: what is asked for, and how many tokens are looked at for it, so that a list costs a bounded time. A page may be empty and have a cursor.
const (
	maxPage   = 100
	maxLooked = 400
)

// view is a token as the interface shows it.
func (s *TSP) view(t *Token, card *Card, d *Device, q *Requestor) (v tspapi.Token, err error) {
	v = tspapi.Token{
		Masked: t.Masked, Card: card.Last4, Requestor: q.ID, Device: d.Reference, Default: d.Default == t.Number, Storage: storageNames[t.Storage],
		State: t.State.String(), Suspenders: t.Suspenders.Names(), Expiry: t.Expiry, Assurance: t.IDV.info().assurance, Limited: t.limited(), Domain: q.Domain,
	}
	if t.Narrowed {
		v.Domain = joined(q.Domain, t.Domain)
	}
	if until := t.coolingUntil(q.Policy); !until.IsZero() {
		v.CoolingTo = &until
	}
	if t.Used > 0 {
		v.LastUsed = strconv.Itoa(int(t.Used))
	}
	if v.Reference, err = s.reference(t); err != nil {
		return v, err
	}
	v.PAR, err = s.par(card.PAR)
	return v, err
}

// joined is what both domains allow: where both say something, what they have in common.
func joined(a, b tspapi.Domain) tspapi.Domain {
	both := func(x, y []string) []string {
		if len(x) == 0 || len(y) == 0 {
			return slices.Concat(x, y)
		}
		return slices.DeleteFunc(slices.Clone(y), func(s string) bool { return !slices.Contains(x, s) })
	}
	return tspapi.Domain{
		Presentments: both(a.Presentments, b.Presentments), Merchants: both(a.Merchants, b.Merchants), Categories: both(a.Categories, b.Categories),
		Countries: both(a.Countries, b.Countries), Currencies: both(a.Currencies, b.Currencies),
	}
}

// read carries out what only reads, beside the writer: it sees every token as it was a moment ago.
func (s *TSP) read(c *Command, f *commandFinding) error {
	switch b := c.Body.(type) {
	case *Read:
		v, ok, err := s.visible(c.Caller, f.tokenID)
		if err != nil {
			return err
		}
		if f.reply = v; !ok {
			f.problem = noToken()
		}
	case *AccountReference:
		return s.readAccount(c, f)
	case *History:
		return s.readHistory(c, f)
	case *List:
		return s.list(c, b, f)
	}
	return nil
}

// visible shows a token to somebody who may see it.
func (s *TSP) visible(caller Caller, number uint64) (v tspapi.Token, ok bool, err error) {
	if number == 0 {
		return v, false, nil
	}
	r, _, err := s.state.find(cellOf(kindToken, number))
	t, found, err := as[*Token](r, err)
	if err != nil || !found {
		return v, false, err
	}
	r, _, err = s.state.find(cellOf(kindCard, t.Card))
	card, found, err := as[*Card](r, err)
	if err != nil || !found {
		return v, false, err
	}
	r, _, err = s.state.find(cellOf(kindDevice, t.Device))
	d, found, err := as[*Device](r, err)
	if err != nil || !found {
		return v, false, err
	}
	q := s.state.requestorAt(t.Requestor)
	if q == nil || !mayTouch(caller, q, card) {
		return v, false, nil
	}
	v, err = s.view(t, card, d, q)
	return v, err == nil, err
}

// readAccount gives the account reference behind a card or token.
func (s *TSP) readAccount(c *Command, f *commandFinding) error {
	if f.tokenID != 0 {
		v, ok, err := s.visible(c.Caller, f.tokenID)
		if err != nil {
			return err
		}
		if f.reply = (tspapi.PAR{PAR: v.PAR}); !ok {
			f.problem = noToken()
		}
		return nil
	}
	card, err := s.cardNamed(f.name)
	if err != nil {
		return err
	}
	// Whoever has the number may know the account reference: it cannot be paid with, and does not lead back.
	if card == nil || c.Number.IsZero() {
		f.problem = refusal(404, "no-such-card", "no card with tokens has that number")
		return nil
	}
	par, err := s.par(card.PAR)
	f.reply = tspapi.PAR{PAR: par}
	return err
}

func (s *TSP) cardNamed(name [16]byte) (*Card, error) {
	if name == [16]byte{} {
		return nil, nil
	}
	r, _, err := s.state.findName(name)
	card, _, err := as[*Card](r, err)
	return card, err
}

// list makes a page.
func (s *TSP) list(c *Command, b *List, f *commandFinding) error {
	numbers, err := s.listed(c, b, f)
	if err != nil {
		return err
	}
	limit := min(cmp.Or(max(b.Limit, 0), maxPage), maxPage)
	after, err := strconv.ParseUint(cmp.Or(b.Cursor, "0"), 10, 37)
	if err != nil {
		f.problem = refusal(422, "cursor", "the cursor is none that a list gave")
		return nil
	}
	page := tspapi.Tokens{Tokens: []tspapi.Token{}}
	looked := 0
	for number := range numbers(after) {
		if looked++; looked > maxLooked || len(page.Tokens) == limit {
			page.Cursor = strconv.FormatUint(number-1, 10)
			break
		}
		v, ok, err := s.visible(c.Caller, number)
		if err != nil {
			return err
		}
		if ok {
			page.Tokens = append(page.Tokens, v)
		}
	}
	f.reply = page
	return nil
}

// listed gives the numbers of the tokens a list is about, rising, above the one it is asked to begin after.
func (s *TSP) listed(c *Command, b *List, f *commandFinding) (func(after uint64) func(yield func(uint64) bool), error) {
	of := func(all []uint64) func(uint64) func(func(uint64) bool) {
		sorted := slices.Sorted(slices.Values(all))
		return func(after uint64) func(func(uint64) bool) {
			return func(yield func(uint64) bool) {
				for _, n := range sorted {
					if n > after && !yield(n) {
						return
					}
				}
			}
		}
	}
	switch {
	case !c.Number.IsZero():
		card, err := s.cardNamed(f.name)
		if err != nil || card == nil {
			return of(nil), err
		}
		return of(card.Tokens), nil
	case b.PAR != "":
		card, err := s.cardOf(b.PAR)
		if err != nil || card == nil {
			return of(nil), err
		}
		return of(card.Tokens), nil
	case b.Device != "":
		r, _, err := s.state.findName(deviceName(c.Caller.ID, b.Device))
		d, found, err := as[*Device](r, err)
		if err != nil || !found {
			return of(nil), err
		}
		return of(d.Tokens), nil
	}
	last := s.state.settings.Load().Count[kindToken]
	return func(after uint64) func(func(uint64) bool) {
		return func(yield func(uint64) bool) {
			for n := after + 1; n <= last && yield(n); n++ {
			}
		}
	}, nil
}

// cardOf is the card that an account reference leads to: the one that replaced the one that replaced the first.
func (s *TSP) cardOf(par string) (*Card, error) {
	number, err := s.accountNamed(par)
	for err == nil && number != 0 {
		var card *Card
		r, _, err := s.state.find(cellOf(kindCard, number))
		card, found, err := as[*Card](r, err)
		if err != nil || !found || card.Successor == 0 {
			return card, err
		}
		number = card.Successor
	}
	return nil, err
}
