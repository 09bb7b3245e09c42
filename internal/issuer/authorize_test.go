package issuer

import (
	"testing"
	"time"

	"tapnet/pan"
)

// approvable is a request that no rule refuses; each case below breaks one thing about it.
func approvable(t *testing.T) *request {
	t.Helper()
	expiry, err := pan.ParseExpiry("3012")
	if err != nil {
		t.Fatal(err)
	}
	card := &Card{
		Enrolment: Enrolment{Card: 1, Currency: 156, NoPIN: true, Contactless: true,
			Limits: Limits{TapMinor: 500_000, DayMinor: 1_000_000, DayCount: 5, NoPINDayMinor: 200_000}},
		expiry: expiry, Status: Active, Tries: pinTriesMax, online: 9,
	}
	return &request{
		now: time.Date(2026, 11, 21, 4, 0, 0, 0, time.UTC), businessDate: 20261121, card: card, sale: true, contactless: true, minor: 29_900, currency: 156,
		chip: true, chipAgrees: true, requestAC: true, atc: 10, cryptogram: CryptogramValid, availableFor: func(*Card) int64 { return 1_000_000 },
	}
}

// breakers breaks exactly one rule each.
func breakers() map[Reason]func(*request) {
	status := func(s Status) func(*request) { return func(r *request) { r.card.Status = s } }
	return map[Reason]func(*request){
		FormatError:           func(r *request) { r.malformed = true },
		SystemUnavailable:     func(r *request) { r.unavailable = true },
		UnknownCard:           func(r *request) { r.card = nil },
		CardStolen:            status(Stolen),
		CardLost:              status(Lost),
		CardRestricted:        status(Restricted),
		CardClosed:            status(Closed),
		CardExpired:           func(r *request) { r.now = r.now.AddDate(10, 0, 0) },
		TypeNotPermitted:      func(r *request) { r.sale = false },
		CurrencyNotPermitted:  func(r *request) { r.currency = 344 },
		ContactlessOff:        func(r *request) { r.card.Contactless = false },
		StripeNotAllowed:      func(r *request) { r.stripe = true },
		OfflinePINWrong:       func(r *request) { r.offlineWrong = true },
		ChipDataMissing:       func(r *request) { r.chip = false },
		ChipDataMismatch:      func(r *request) { r.chipAgrees = false },
		CryptogramWrong:       func(r *request) { r.cryptogram = CryptogramInvalid },
		NotARequestCryptogram: func(r *request) { r.requestAC = false },
		CounterUsed:           func(r *request) { r.atc = 9 },
		PINFormatWrong:        func(r *request) { r.pin = PINUnreadable },
		PINBlocked:            func(r *request) { r.pin, r.card.Tries = PINRight, 0 },
		PINWrong:              func(r *request) { r.pin = PINIncorrect },
		NoPINSwitchedOff:      func(r *request) { r.card.NoPIN = false },
		AboveNoPINLimit:       func(r *request) { r.minor = 100_001 },
		AboveTapLimit:         func(r *request) { r.card.Limits.TapMinor = 29_899 },
		AboveDayLimit:         func(r *request) { r.card.days[0] = usage{date: 20261121, minor: 970_101} },
		TooManyToday:          func(r *request) { r.card.days[0] = usage{date: 20261121, count: 5} },
		NotEnoughMoney:        func(r *request) { r.availableFor = func(*Card) int64 { return 29_899 } },
		ProofExhausted:        func(r *request) { r.exhausted = true },
	}
}

func TestASoundRequestIsApproved(t *testing.T) {
	d := decide(approvable(t))
	if !d.Approved() || !d.CounterUsed || d.Tries != pinTriesMax {
		t.Fatalf("decision %+v", d)
	}
}

func TestEachRuleRefusesAlone(t *testing.T) {
	for reason, breakIt := range breakers() {
		r := approvable(t)
		breakIt(r)
		if got := decide(r).Reason; got != reason {
			t.Errorf("broke %q, got %q", reason, got)
		}
	}
}

// TestPrecedence breaks two rules at a time: the one that stands earlier in the list answers. UnknownCard leaves no card to break.
func TestPrecedence(t *testing.T) {
	place := map[Reason]int{}
	for i, rule := range rules {
		place[rule.reason] = i
	}
	all := breakers()
	if len(all) != len(rules) {
		t.Fatalf("%d rules, %d cases", len(rules), len(all))
	}
	sharesAState := func(a, b Reason) bool { // both cases set the same thing, so only one of them holds
		status := func(r Reason) bool { return r >= CardStolen && r <= CardClosed }
		pin := func(r Reason) bool { return r >= PINFormatWrong && r <= AboveNoPINLimit }
		day := func(r Reason) bool { return r == AboveDayLimit || r == TooManyToday }
		return status(a) && status(b) || pin(a) && pin(b) || day(a) && day(b)
	}
	for a := range all {
		for b := range all {
			if place[a] >= place[b] || sharesAState(a, b) || b == UnknownCard || a == UnknownCard {
				continue
			}
			r := approvable(t)
			all[b](r)
			all[a](r)
			if got := decide(r).Reason; got != a {
				t.Errorf("broke %q and %q, got %q", a, b, got)
			}
		}
	}
}

func TestRulesStandInTheOrderOfTheReasonTable(t *testing.T) {
	listed := map[Reason]int{}
	for i, row := range reasonTable {
		listed[row.reason] = i
	}
	for i := 1; i < len(rules); i++ {
		if listed[rules[i-1].reason] >= listed[rules[i].reason] {
			t.Errorf("%q stands before %q in rules, after it in the reason table", rules[i-1].reason, rules[i].reason)
		}
	}
}

func TestNoPINLimitByEffectiveDate(t *testing.T) {
	for _, c := range []struct {
		date int32
		want int64
	}{{20141231, 0}, {20150101, 30_000}, {20180531, 30_000}, {20180601, 100_000}, {20261121, 100_000}} {
		if got := NoPINLimitMinor(c.date); got != c.want {
			t.Errorf("%d: limit %d, want %d", c.date, got, c.want)
		}
	}
}

func TestTheNoPINLimitItselfNeedsNoPIN(t *testing.T) {
	r := approvable(t)
	r.minor = 100_000
	if d := decide(r); !d.Approved() {
		t.Errorf("at the limit: %s", d.Reason)
	}
	r.minor, r.pin = 100_001, PINRight
	if d := decide(r); !d.Approved() {
		t.Errorf("above the limit with PIN: %s", d.Reason)
	}
}

func TestPINTries(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(*request)
		tries   int
		want    int
	}{
		{"wrong takes one", func(r *request) { r.pin = PINIncorrect }, 3, 2},
		{"the last wrong one blocks", func(r *request) { r.pin = PINIncorrect }, 1, 0},
		{"right gives them back", func(r *request) { r.pin = PINRight }, 1, 3},
		{"blocked stays blocked even with the right PIN", func(r *request) { r.pin = PINRight }, 0, 0},
		{"a stolen card teaches nothing", func(r *request) { r.pin, r.card.Status = PINIncorrect, Stolen }, 3, 3},
		{"a replay teaches nothing", func(r *request) { r.pin, r.atc = PINIncorrect, 9 }, 3, 3},
		{"right, then refused for money, gives them back", func(r *request) {
			r.pin, r.availableFor = PINRight, func(*Card) int64 { return 0 }
		}, 1, 3},
		{"no PIN changes nothing", func(*request) {}, 2, 2},
	} {
		r := approvable(t)
		r.card.Tries = c.tries
		c.prepare(r)
		if got := decide(r).Tries; got != c.want {
			t.Errorf("%s: %d tries, want %d", c.name, got, c.want)
		}
	}
}

func TestCounterWindow(t *testing.T) {
	var c counter
	for _, step := range []struct {
		atc   uint16
		fresh bool
	}{{100, true}, {100, false}, {102, true}, {101, true}, {101, false}, {160, true}, {99, true}, {96, false}, {97, true}, {300, true}, {230, false}, {237, true}} {
		if got := c.fresh(step.atc); got != step.fresh {
			t.Fatalf("counter %d: fresh %t, want %t", step.atc, got, step.fresh)
		}
		if step.fresh {
			c.use(step.atc)
		}
	}
}

func TestEveryReasonHasBothLanguages(t *testing.T) {
	for _, row := range reasonTable {
		if row.term.EN == "" || row.term.ZH == "" {
			t.Errorf("reason %d lacks a language", row.reason)
		}
		if row.next.EN != "" && row.next.ZH == "" {
			t.Errorf("reason %d: next step lacks 中文", row.reason)
		}
		if _, of := row.reason.Position(); of != len(Rules()) {
			t.Errorf("reason %d: wrong count", row.reason)
		}
	}
}

func TestStatusTransitions(t *testing.T) {
	for from := Active; from <= Closed; from++ {
		if from.May(from) {
			t.Errorf("%s may become itself", from.Term().EN)
		}
		if Closed.May(from) {
			t.Errorf("closed may become %s", from.Term().EN)
		}
	}
	if !Active.May(Lost) || !Lost.May(Active) || Stolen.May(Active) {
		t.Error("transitions are not those of the table")
	}
}
