package tsp

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

// story is a life with everything in it, as commands and payments that can be given again.
type story struct {
	commands []*Command
	payments []*unionpay.TokenRequest
	cards    []pan.Number
}

// tell runs a story and remembers what was asked.
func tell(r *rig) story {
	r.Helper()
	wallet := r.register()
	s := story{}
	for i := range 3 {
		s.cards = append(s.cards, number(r, "6299991", 100+i))
	}
	do := func(caller Caller, body any, token string, numbers ...pan.Number) Reply {
		r.Helper()
		c := r.commandOf(caller, body, token, numbers...)
		s.commands = append(s.commands, c)
		reply, ok := r.send(c).(Reply)
		if !ok {
			r.Fatalf("%T refused", body)
		}
		return reply
	}
	bank := Caller{CallerIssuer, bankA}
	var tokens []given
	for i, card := range s.cards {
		reply := do(wallet, r.provisionBody(wallet, card, "phone-1"), "", card)
		g := given{Provisioned: into[tspapi.Provisioned](r, reply)}
		n, err := r.core.OpenToken(reply.TokenNumber)
		if err != nil {
			r.Fatal(err)
		}
		g.number = n
		tokens = append(tokens, g)
		do(bank, &tspapi.Assert{Method: []string{"bank-app", "card-tap", "call-centre"}[i]}, g.Token.Reference)
	}
	pay := func(g given, operation unionpay.TokenOperation) {
		r.Helper()
		m := r.payment(g.number, 100, func(p *unionpay.Payment, d *unionpay.TokenData) {
			d.Operation = operation
			p.PINBlock = r.pinFor("1234", g.number)
		})
		s.payments = append(s.payments, m)
		r.ask(m)
	}
	pay(tokens[0], unionpay.OperationResolve)
	do(wallet, &Default{}, tokens[1].Token.Reference)
	do(wallet, &Suspension{Suspender: "CARDHOLDER", Reason: "OTHER"}, tokens[1].Token.Reference)
	do(bank, &Suspension{Suspender: "ISSUER", Reason: "FRAUD"}, tokens[1].Token.Reference)
	pay(tokens[1], unionpay.OperationResolve)
	do(wallet, &Suspension{Suspender: "CARDHOLDER", Resume: true}, tokens[1].Token.Reference)
	fresh := number(r, "6299991", 999)
	s.cards = append(s.cards, fresh)
	do(bank, &tspapi.Relink{Expiry: "3112"}, "", s.cards[0], fresh)
	pay(tokens[0], unionpay.OperationResolve)
	do(operator, &Rekey{Issuer: bankA}, "")
	r.clock.Advance(time.Second)
	do(wallet, &DeviceChange{Device: "phone-1", Lost: true}, "")
	do(wallet, &Deletion{Reason: "CONSUMER"}, tokens[2].Token.Reference)
	pay(tokens[2], unionpay.OperationMap)
	return s
}

// TestCrashAtEveryRow: the rows up to any of them lead to the state that the service had then, and what was answered is answered the same.
func TestCrashAtEveryRow(t *testing.T) {
	r := newRig(t)
	s := tell(r)
	rows, whole := r.rows(), r.digest()
	for n := 0; n <= len(rows); n++ {
		store := journal.NewMemStore()
		epoch, err := store.Claim(t.Context(), "prefix")
		if err == nil && n > 0 {
			err = store.Commit(t.Context(), epoch, rows[:n], nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		again := &rig{TB: t, hsm: r.hsm, vault: r.vault, store: store, clock: r.clock, verdict: r.verdict, deps: r.deps, untaken: true}
		again.start()
		half := again.digest()
		again.restart()
		if again.digest() != half {
			t.Fatalf("row %d: two starts differ", n)
		}
		if n < len(rows) {
			continue
		}
		if half != whole {
			t.Error("the rows do not lead to the state that the service had")
		}
		for i, c := range s.commands {
			if _, ok := again.send(c).(Reply); !ok || len(again.rows()) != len(rows) {
				t.Errorf("command %d is not answered as before", i)
			}
		}
		for _, m := range s.payments {
			if out := again.ask(m); out.Response == "96" || len(again.rows()) != len(rows) {
				t.Errorf("payment: %s", out.Response)
			}
		}
	}
}

// TestCommitThatFailsAtEveryRow: the same commands after any crash end in the same tokens: what was answered stays, what was not is decided then.
func TestCommitThatFailsAtEveryRow(t *testing.T) {
	full := newRig(t)
	tell(full)
	for n := range len(full.rows()) {
		r := newRig(t)
		r.untaken = true
		crashed := false
		r.store.SetFaults(journal.Faults{AfterCommit: func(rows []journal.Row) error {
			if rows[len(rows)-1].Seq >= uint64(n+1) && !crashed {
				crashed = true
				return fmt.Errorf("power cut after row %d", n+1)
			}
			return nil
		}})
		wallet := Caller{CallerRequestor, "62900000001"}
		body := &tspapi.RegisterRequestor{Entity: "W", UseCases: []string{"HCE"}, Certificate: "w", Policy: tspapi.Policy{TokenMonths: 36, DeviceTokens: 5}}
		r.persist(r.commandOf(operator, body, ""))
		card := number(t, "6299991", 5)
		p := into[tspapi.Provisioned](t, r.persist(r.commandOf(wallet, r.provisionBody(wallet, card, "p"), "", card)))
		r.persist(r.commandOf(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "bank-app"}, p.Token.Reference))
		kept := r.core.state.settings.Load()
		if kept.Count != [4]uint64{1, 1, 1, 1} {
			t.Fatalf("crash after row %d: %v", n+1, kept.Count)
		}
		if n > 8 {
			break // the rest of the story is longer than these commands
		}
	}
}

// persist gives a command again until it is answered, over crashes.
func (r *rig) persist(c *Command) (reply any) {
	r.Helper()
	for range 3 {
		ev := journal.Event{Command: c, Reply: func(v any) { reply = v }}
		r.core.Prepare(&ev)
		if _, err := r.stepper.Step(r.Context(), ev); err == nil {
			return reply
		}
		r.restart()
	}
	r.Fatal("no answer")
	return nil
}

// TestNoNumberAnywhere looks for the account numbers in everything that is kept or told.
func TestNoNumberAnywhere(t *testing.T) {
	r := newRig(t)
	s := tell(r)
	var all bytes.Buffer
	details := ""
	for _, row := range r.rows() {
		all.Write(row.AppendBinary(nil))
		all.WriteString(r.core.Describe(&row).EN)
		for _, said := range r.core.Details(&row) {
			fmt.Fprintf(&all, "%s %s\n", said.EN, said.ZH)
			details += said.EN + "\n"
		}
	}
	all.WriteString(r.digest())
	for _, h := range r.hooks {
		fmt.Fprintf(&all, "%+v %s\n", h.Notice, h.Code)
	}
	for _, c := range s.commands {
		fmt.Fprintf(&all, "%+v %v\n", *c, c)
	}
	for _, m := range s.payments {
		fmt.Fprintf(&all, "%+v\n", *m)
	}
	if !strings.Contains(details, "token SUSPENDED by DEVICE_LOST") || !strings.Contains(details, "holder verified: ") {
		t.Errorf("details: %s", details)
	}
	for _, card := range s.cards {
		digits := card.Reveal()
		for _, form := range []string{digits, digits[6:], string(card.BCD()), fmt.Sprintf("%x", digits)} {
			if strings.Contains(all.String(), form) {
				t.Errorf("%s is there in clear", card)
			}
		}
	}
}

// invariants hold whatever was done.
func invariants(t interface {
	Fatalf(string, ...any)
}, r *rig,
) {
	kept := r.core.state.settings.Load()
	names, live := map[[16]byte]bool{}, map[[3]uint64]bool{}
	onDevice := map[uint64][]uint64{}
	for n := uint64(1); n <= kept.Count[kindToken]; n++ {
		token, err := r.core.state.token(n)
		if err != nil || token == nil {
			t.Fatalf("token %d: %v", n, err)
		}
		if names[token.Name] {
			t.Fatalf("token %d: its number was given out before", n)
		}
		names[token.Name] = true
		if (token.State == Active) != (token.State != Inactive && token.State != Deactivated && token.Suspenders == 0) {
			t.Fatalf("token %d: %s suspended by [%s]", n, token.State, token.Suspenders)
		}
		if token.State == Suspended && token.Suspenders == 0 || token.State == Deactivated && token.Suspenders != 0 {
			t.Fatalf("token %d: %s suspended by [%s]", n, token.State, token.Suspenders)
		}
		if token.State == Deactivated {
			if token.Account != nil {
				t.Fatalf("token %d: deleted, and keeps its account", n)
			}
			continue
		}
		if card, err := r.core.state.card(token.Card); err != nil || string(card.Sealed) != string(token.Account.Sealed) || card.PAR != token.Account.PAR {
			t.Fatalf("token %d: its copy of the account is not its card's (%v)", n, err)
		}
		key := [3]uint64{token.Card, token.Device, token.Requestor}
		if live[key] {
			t.Fatalf("token %d: a second one of card %d on device %d", n, token.Card, token.Device)
		}
		live[key] = true
		onDevice[token.Device] = append(onDevice[token.Device], n)
		if card, err := r.core.state.card(token.Card); err != nil || !slices.Contains(card.Tokens, n) || card.State != cardOpen {
			t.Fatalf("token %d: its card does not know of it (%v)", n, err)
		}
	}
	for n := uint64(1); n <= kept.Count[kindDevice]; n++ {
		d, err := r.core.state.device(n)
		if err != nil {
			t.Fatalf("device %d: %v", n, err)
		}
		slices.Sort(onDevice[n])
		if listed := slices.Sorted(slices.Values(d.Tokens)); !slices.Equal(listed, onDevice[n]) {
			t.Fatalf("device %d lists %v and has %v", n, listed, onDevice[n])
		}
		if len(d.Tokens) > 0 != slices.Contains(d.Tokens, d.Default) || len(d.Tokens) == 0 && d.Default != 0 {
			t.Fatalf("device %d: default %d of %v", n, d.Default, d.Tokens)
		}
	}
}

// TestAnyOrder does things in any order, with so little memory that records come and go, and restarts in between.
func TestAnyOrder(t *testing.T) {
	bank := Caller{CallerIssuer, bankA}
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, func(d *Deps) {
			d.Capacity = Capacity{Records: 4, Ended: 4, Rows: rapid.IntRange(1, 8).Draw(rt, "rows")}
		})
		wallets := []Caller{r.register(), r.register(func(b *tspapi.RegisterRequestor) { b.Policy.DeviceTokens = 3 })}
		var tokens []string
		cards := []int{1, 2, 3}
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			wallet := rapid.SampledFrom(wallets).Draw(rt, "wallet")
			device := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "device")
			at := rapid.IntRange(0, len(cards)-1).Draw(rt, "card")
			card := number(t, "6299991", cards[at])
			token := ""
			if len(tokens) > 0 {
				token = rapid.SampledFrom(tokens).Draw(rt, "token")
			}
			who := rapid.SampledFrom(suspenderNames[:]).Draw(rt, "who")
			switch rapid.IntRange(0, 11).Draw(rt, "what") {
			case 0, 1, 2:
				if reply, ok := r.do(wallet, r.provisionBody(wallet, card, device), "", card).(Reply); ok {
					tokens = append(tokens, into[tspapi.Provisioned](t, reply).Token.Reference)
				}
			case 3:
				r.do(bank, &tspapi.Assert{Method: "bank-app"}, token)
			case 4:
				r.do(operator, &Suspension{Suspender: who}, token)
			case 5:
				r.do(operator, &Suspension{Suspender: who, Resume: true}, token)
			case 6:
				r.do(wallet, &Deletion{}, token)
			case 7:
				r.do(wallet, &Default{}, token)
			case 8:
				fresh := 100 + r.key
				if _, ok := r.do(bank, &tspapi.Relink{Expiry: "3112"}, "", card, number(t, "6299991", fresh)).(Reply); ok {
					cards[at] = fresh
				}
			case 9:
				r.do(wallet, &DeviceChange{Device: device, Lost: rapid.Bool().Draw(rt, "lost")}, "")
			case 10:
				r.do(bank, &tspapi.Assert{Method: "bank-app", Found: true}, token)
			case 11:
				if err := r.core.Warm(t.Context()); err != nil {
					rt.Fatal(err)
				}
			}
			if rapid.IntRange(0, 4).Draw(rt, "crash") == 0 {
				r.restart()
			}
			invariants(rt, r)
		}
		r.do(operator, &Rekey{Issuer: bankA}, "")
		r.clock.Advance(time.Second)
		before := r.digest()
		r.restart()
		if r.digest() != before {
			rt.Fatalf("a restart changes the state")
		}
	})
}

func TestRekey(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	var tokens []given
	for i := range 3 * rekeyRecords {
		tokens = append(tokens, r.provision(wallet, number(t, "6299991", i), fmt.Sprintf("phone-%d", i)))
	}
	if p := problemOf(t, r.do(wallet, &Rekey{Issuer: bankA}, "")); p.Status != 403 {
		t.Error(p)
	}
	r.do(operator, &Rekey{Issuer: bankA}, "")
	r.clock.Advance(rekeyPause) // one slice
	if p := problemOf(t, r.do(operator, &Rekey{Issuer: bankA}, "")); p.Code != "rekey-running" {
		t.Error(p)
	}
	late := r.provision(wallet, number(t, "6299991", 5000), "late")
	r.restart()
	r.do(Caller{CallerIssuer, bankA}, &tspapi.Relink{Expiry: "3112"}, "", number(t, "6299991", 90), number(t, "6299991", 9000))
	r.clock.Advance(10 * time.Second)
	kept := r.core.state.settings.Load()
	if kept.Rekey.Tenant != "" || len(kept.Keys) != 1 || kept.Keys[0].Epoch != 2 {
		t.Fatalf("%+v", kept)
	}
	for i, g := range append(tokens, late) {
		r.do(Caller{CallerIssuer, bankA}, &tspapi.Assert{Method: "bank-app"}, g.Token.Reference)
		if out := r.ask(r.payment(g.number, 100)); out.Response != "00" {
			t.Fatalf("token %d: %s", i, dataOf(t, out).Reason)
		}
	}
}

func TestALockedVaultDecidesNothing(t *testing.T) {
	r := newRig(t)
	wallet := r.register()
	g := r.active(wallet, number(t, "6299991", 17), "phone-1")
	r.vault.Lock()
	rows := len(r.rows())
	if d := dataOf(t, r.ask(r.payment(g.number, 100))); d.Reason != unionpay.TokenServiceUnavailable {
		t.Error(d.Reason)
	}
	b := r.provisionBody(wallet, number(t, "6299991", 18), "phone-1")
	if p := problemOf(t, r.do(wallet, b, "", number(t, "6299991", 18))); p.Status != 503 || p.RetryAfter == 0 || len(r.rows()) != rows {
		t.Error(p)
	}
}

// TestMethods: what each way of making tokens promises, and what it does not.
func TestMethods(t *testing.T) {
	r := newRig(t)
	for _, m := range []Method{MethodRandom, MethodHash, MethodDigits} {
		g := Range{Prefix: "62999891", Issuer: bankA, IssuerPrefix: "6299991", Storage: 2, Method: m, Digits: 16}
		seen := map[string]pan.Number{}
		for i := range 300 {
			card := number(t, "6299991", i)
			token, err := g.Candidate(r.hsm, r.deps.Keys, card, "62900000001", "phone", 0)
			if err != nil || !token.LuhnValid() || !token.HasPrefix(g.Prefix) || token.HasPrefix(g.IssuerPrefix) {
				t.Fatalf("%s: %v, %v", m, token, err)
			}
			if _, twice := seen[token.Reveal()]; twice {
				t.Fatalf("%s: given out twice", m)
			}
			seen[token.Reveal()] = card
			again, err := g.Candidate(r.hsm, r.deps.Keys, card, "62900000001", "phone", 0)
			if err != nil || again.Equal(token) != (m != MethodRandom) {
				t.Fatalf("%s: the same again: %v", m, err)
			}
			for what, other := range map[string]func() (pan.Number, error){
				"requestor": func() (pan.Number, error) { return g.Candidate(r.hsm, r.deps.Keys, card, "62900000002", "phone", 0) },
				"attempt":   func() (pan.Number, error) { return g.Candidate(r.hsm, r.deps.Keys, card, "62900000001", "phone", 1) },
			} {
				if n, err := other(); err != nil || n.Equal(token) {
					t.Fatalf("%s: another %s gives the same token, %v", m, what, err)
				}
			}
			back, err := g.Reverse(r.hsm, r.deps.Keys, token, "62900000001", 0)
			if m == MethodDigits && (err != nil || !back.Equal(card)) || m != MethodDigits && err == nil {
				t.Fatalf("%s: back to %v, %v", m, back, err)
			}
		}
	}
	for _, bad := range []Range{
		{}, {Prefix: "62999", Issuer: bankA, IssuerPrefix: "6299991", Storage: 1, Method: MethodRandom, Digits: 16},
		{Prefix: "629999", Issuer: bankA, IssuerPrefix: "6299991", Storage: 1, Method: MethodRandom, Digits: 16},
		{Prefix: "6299981", Issuer: bankA, IssuerPrefix: "6299991", Storage: 1, Method: MethodRandom, Digits: 20},
		{Prefix: "6299981", Issuer: bankA, IssuerPrefix: "6299991", Storage: 1, Method: 9, Digits: 16},
	} {
		if bad.check() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

// TestABurntNumberStaysBurnt: a method that would give a deleted token's number again counts on.
func TestABurntNumberStaysBurnt(t *testing.T) {
	r := newRig(t)
	wallet, card := r.register(), number(t, "6299991", 17)
	seen := map[string]bool{}
	for range 3 {
		g := r.provision(wallet, card, "phone-1", func(b *tspapi.Provision) { b.Storage = "QR" })
		if seen[g.number.Reveal()] {
			t.Fatal("a deleted token's number was given out again")
		}
		seen[g.number.Reveal()] = true
		r.do(wallet, &Deletion{}, g.Token.Reference)
		r.restart()
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, one := range []record{
		&Requestor{Number: 1, ID: "62900000001"}, &Card{Number: 1, Tenant: bankA, State: cardOpen, Tokens: []uint64{1, 2}}, &Device{Number: 1, Reference: "d"},
		&Token{Number: 1, State: Active, Storage: 1, Narrowed: true, Challenge: challenge{Method: idvOTP}}, &settings{},
	} {
		f.Add(one.cell(), one.append(nil))
	}
	f.Fuzz(func(t *testing.T, cell int64, in []byte) {
		one, err := parseRecord(cell, in)
		if err != nil {
			return
		}
		again, err := parseRecord(one.cell(), one.append(nil))
		if err != nil || !bytes.Equal(again.append(nil), one.append(nil)) {
			t.Fatalf("%x: %v", in, err)
		}
	})
}
