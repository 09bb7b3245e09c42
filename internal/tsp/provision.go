package tsp

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/pan"
)

// maxTokensOfDevice bounds a device's tokens and with them its cell.
const maxTokensOfDevice = 32

// prepareEligibility answers whether a card can be tokenised: it reads only.
func (s *TSP) prepareEligibility(c *Command, b *tspapi.Eligibility, f *commandFinding) error {
	q := s.state.requestor(c.Caller.ID)
	if c.Caller.Role != CallerRequestor || q == nil || c.Number.IsZero() {
		f.problem = denied()
		return nil
	}
	out := tspapi.Eligible{}
	r := rangeFor(s.deps.Ranges, c.Number, storageNamed(b.Storage))
	expiry, err := pan.ParseExpiry(b.Expiry)
	if r == nil || err != nil || !q.allows(storageNamed(b.Storage)) || !c.Number.LuhnValid() {
		f.reply = out
		return nil
	}
	bank := s.issuer(r.Issuer)
	out = tspapi.Eligible{Eligible: true, Terms: bank.Terms, Methods: bank.Methods, Last4: c.Number.Last4(), Issuer: bank.Institution}
	f.reply = timed(func(now time.Time) (any, error) {
		if expiry.Expired(now) {
			return tspapi.Eligible{}, nil
		}
		out.ID, err = s.eligibility(c.Number, q.ID, b.Device.Reference, b.Storage, s.deps.Calendar.BusinessDate(now))
		return out, err
	})
	return nil
}

func (q *Requestor) allows(storage uint8) bool {
	return storage > 0 && q.UseCases&(1<<(storage-1)) != 0
}

// decision is green, yellow or red, with the reasons.
type decision struct {
	colour  string
	reasons []string
}

// decideProvision weighs the circumstances. A red reason refuses, a yellow one wants the holder verified; green needs none of both.
func decideProvision(now time.Time, b *tspapi.Provision, q *Requestor, card *Card, d *Device, expiry pan.Expiry) decision {
	var red, yellow []string
	when := func(list *[]string, condition bool, reason string) {
		if condition {
			*list = append(*list, reason)
		}
	}
	when(&red, q.Suspended, "requestor suspended")
	when(&red, !q.allows(storageNamed(b.Storage)), "storage not allowed to the requestor")
	when(&red, expiry.Expired(now), "card expired")
	when(&red, b.Score == 1, "bad account score")
	when(&red, card != nil && card.State != cardOpen, "card closed or replaced")
	when(&red, card != nil && len(card.Tokens) >= maxTokensOfCard, "too many tokens of the card")
	if d != nil {
		when(&red, d.Lost, "device reported lost")
		when(&red, len(d.Tokens) >= min(q.Policy.DeviceTokens, maxTokensOfDevice), "too many cards on the device")
		when(&red, d.Owner != "" && b.Device.Owner != "" && d.Owner != b.Device.Owner, "device of another person")
		when(&yellow, q.Policy.WatchedTokens > 0 && len(d.Tokens) >= q.Policy.WatchedTokens, "many cards on the device")
	}
	when(&yellow, b.Device.SIMChanged, "SIM changed lately")
	when(&yellow, b.Device.Attestation != "hardware", "device without hardware attestation")
	when(&yellow, b.Source != "issuer-app" && b.Source != "on-file", "card number entered by hand or read by the phone")
	when(&yellow, b.Score < 4, "account score not good")
	switch {
	case len(red) > 0:
		return decision{"red", red}
	case len(yellow) > 0:
		return decision{"yellow", yellow}
	}
	return decision{colour: "green"}
}

// provision gives out a token.
func (s *TSP) provision(now time.Time, c *Command, b *tspapi.Provision, f *commandFinding) outcome {
	q := s.state.requestor(c.Caller.ID)
	if c.Caller.Role != CallerRequestor || q == nil {
		return outcome{problem: denied()}
	}
	r := rangeFor(s.deps.Ranges, c.Number, storageNamed(b.Storage))
	expiry, err := pan.ParseExpiry(b.Expiry)
	if r == nil || err != nil || !c.Number.LuhnValid() {
		return outcome{problem: refusal(422, "not-eligible", "the card cannot be tokenised")}
	}
	if p := s.checkProvision(now, c, b, r); p != nil {
		return outcome{problem: p}
	}
	card, _, err := as[*Card](s.state.getName(f.name, f.card))
	if err != nil {
		return outcome{problem: unavailable()}
	}
	d, _, err := as[*Device](s.state.getName(f.deviceName, f.device))
	if err != nil {
		return outcome{problem: unavailable()}
	}
	if p := s.checkTwin(card, d); p != nil {
		return outcome{problem: p}
	}
	verdict := decideProvision(now, b, q, card, d, expiry)
	if verdict.colour == "red" {
		p := refusal(403, "red", "the token is refused")
		for _, reason := range verdict.reasons {
			p.Reason += "; " + reason
		}
		return outcome{problem: p}
	}
	return s.giveOut(now, b, f, r, q, card, d, verdict, c.Number)
}

// checkProvision looks at what the requestor claims.
func (s *TSP) checkProvision(now time.Time, c *Command, b *tspapi.Provision, r *Range) *tspapi.Problem {
	if b.Terms != s.issuer(r.Issuer).Terms {
		return refusal(422, "terms", "the holder must accept the terms %s", s.issuer(r.Issuer).Terms)
	}
	for _, day := range [...]time.Time{now, now.AddDate(0, 0, -1)} {
		proof, err := s.eligibility(c.Number, c.Caller.ID, b.Device.Reference, b.Storage, s.deps.Calendar.BusinessDate(day))
		if err != nil {
			return unavailable()
		}
		if proof == b.Eligibility {
			if b.Domain != nil {
				if what := wrongDomain(b.Domain); what != "" {
					return refusal(422, "domain", "%s of the domain are not sound", what)
				}
			}
			return nil
		}
	}
	return refusal(422, "eligibility", "the eligibility is not this card's, or is older than a day")
}

// checkTwin refuses a second token of one card on one device for one requestor. A device belongs to one requestor, so two records tell.
func (s *TSP) checkTwin(card *Card, d *Device) *tspapi.Problem {
	if card == nil || d == nil {
		return nil
	}
	for _, number := range card.Tokens {
		if slices.Contains(d.Tokens, number) {
			p := refusal(409, "token-exists", "the card has a token on this device")
			if t, err := s.state.token(number); err == nil && t != nil {
				if reference, err := s.reference(t); err == nil {
					p.Reason += ": " + reference
				}
			}
			return p
		}
	}
	return nil
}

// giveOut makes the records of a new token.
func (s *TSP) giveOut(now time.Time, b *tspapi.Provision, f *commandFinding, r *Range, q *Requestor, card *Card, d *Device, v decision, n pan.Number) outcome {
	chosen := s.free(f)
	kept := s.state.settings.Load()
	latest, found := kept.latest(r.Issuer)
	if chosen == nil || f.seal == nil || found && latest.Epoch != f.seal.Epoch || !found && !f.fresh {
		return outcome{problem: unavailable()} // taken, or the data key changed, between Prepare and now
	}
	o := outcome{kind: journal.Opened, sealed: chosen.sealed}
	if !found {
		grown := kept.clone()
		grown.Keys = append(grown.Keys, *f.seal)
		o.records = append(o.records, grown)
	}
	t := &Token{
		Number: kept.Count[kindToken] + 1, Name: chosen.name, Sealed: chosen.sealed, Masked: chosen.number.Masked(), Requestor: q.Number,
		Storage: storageNamed(b.Storage), Method: r.Method, Expiry: expiryAfter(now, q.Policy.TokenMonths), State: Requested, Created: now.Unix(),
	}
	if b.Domain != nil {
		t.Narrowed, t.Domain = true, *b.Domain
	}
	if card == nil {
		number := kept.Count[kindCard] + 1
		card = &Card{Number: number, Name: f.name, Sealed: f.sealed, Tenant: r.Issuer, Epoch: f.seal.Epoch, Last4: n.Last4(), State: cardOpen, PAR: number}
	} else {
		twin := *card
		card = &twin
	}
	card.Expiry, card.Sequence, card.Tokens = b.Expiry, threeDigits(b.Sequence), with(card.Tokens, t.Number)
	if d == nil {
		d = &Device{Number: kept.Count[kindDevice] + 1, Name: f.deviceName, Reference: b.Device.Reference, Requestor: q.Number, Owner: b.Device.Owner}
	} else {
		twin := *d
		d = &twin
	}
	d.Hardware, d.Tokens = b.Device.Attestation == "hardware", with(d.Tokens, t.Number)
	if b.Device.SIMChanged {
		d.SIM = now.Unix()
	}
	if d.Default == 0 {
		d.Default = t.Number
	}
	t.Card, t.Device, t.Reference, t.Account = card.Number, d.Number, d.Reference, card.account()
	o.event = EventDecideYellow
	if v.colour == "green" {
		o.event, t.IDV, t.Activated = EventDecideGreen, idvRisk, now.Unix()
		if b.Source == "issuer-app" {
			t.IDV = idvIssuer
		}
	}
	if !t.move(o.event, 0) {
		panic("tsp: a new token cannot be given out")
	}
	view, err := s.view(t, card, d, q)
	if err != nil {
		return outcome{problem: unavailable()}
	}
	o.records, o.token = append(o.records, card, d, t), t
	out := tspapi.Provisioned{Token: view, Decision: v.colour, Reasons: v.reasons}
	if v.colour == "yellow" {
		out.Methods = s.issuer(r.Issuer).Methods
	}
	o.reply = out
	o.notices = s.noticesOf(o.event, t, card, q, view, "", nil)
	return o
}

// free gives a candidate that is nobody's yet.
func (s *TSP) free(f *commandFinding) *candidate {
	for i := range f.candidates {
		r, err := s.state.getName(f.candidates[i].name, f.candidates[i].taken)
		if err == nil && r == nil {
			return &f.candidates[i]
		}
	}
	return nil
}

// expiryAfter is the month so many months later, YYMM.
func expiryAfter(now time.Time, months int) string {
	at := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, months, 0)
	return fmt.Sprintf("%02d%02d", at.Year()%100, at.Month())
}

// threeDigits is field 23's form of a sequence number.
func threeDigits(s string) string {
	if s == "" {
		return ""
	}
	return strings.Repeat("0", max(0, 3-len(s))) + s
}
