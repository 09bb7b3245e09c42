package gate

import (
	"bytes"
	"time"

	"tapnet/emv"
	"tapnet/gate/denylist"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// tap is one card in front of the rules.
type tap struct {
	config   *Config
	read     *Read
	snapshot *denylist.Snapshot
	past     past
	now      time.Time

	number    pan.Number
	hasNumber bool
	expiry    pan.Expiry
	hasExpiry bool
	atc       uint16
	hasATC    bool
	id        denylist.ID
	epoch     denylist.Epoch
	rule      Rule
	hasRule   bool
	onTrust   bool // no authentication, and the rule for its numbers allows that
	amount    money.Amount
	entry     denylist.Entry
	listed    bool
	stale     bool
}

// look finds everything the rules ask for.
func (g *Gate) look(r *Read, snapshot *denylist.Snapshot, now time.Time) *tap {
	t := &tap{config: &g.config, read: r, snapshot: snapshot, now: now, amount: r.asked(&g.config)}
	o := &r.Outcome
	t.number, t.hasNumber = o.PAN()
	t.expiry, t.hasExpiry = o.Expiry()
	t.atc, t.hasATC = o.ATC()
	ids, matches := g.identifier(snapshot)
	t.stale = g.stale(snapshot, now)
	if !t.hasNumber || !t.hasExpiry {
		return t
	}
	t.id, t.epoch = ids.Credential(t.number, o.Sequence(), t.expiry), ids.Epoch()
	g.recall(t)
	t.rule, t.hasRule = g.config.rule(t.number)
	t.onTrust = t.rule.WithoutODA && o.ODA.Status == kernel.ODANotPerformed
	if snapshot != nil && matches {
		t.search(ids)
	}
	return t
}

// stale reports whether the list is none, of another key, or older than it may be.
func (g *Gate) stale(snapshot *denylist.Snapshot, now time.Time) bool {
	if snapshot == nil || snapshot.Age(now) > g.config.ListAge || snapshot.Overdue(now) {
		return true
	}
	_, matches := g.identifier(snapshot)
	return !matches
}

// Forbids is what Tap will hold against any card with this number, paid or not: WrongAmount, ListStale or NotAccepted, 0 when nothing is. Of r direction and
// amount count. A reader whose cards pay by themselves asks before one pays, and gives the answer to Tap as Read.Refused: afterwards the gate can only say no
// to a rider who has paid.
func (g *Gate) Forbids(n pan.Number, r Read, snapshot *denylist.Snapshot, now time.Time) Reason {
	t := &tap{config: &g.config, read: &r, amount: r.asked(&g.config), stale: g.stale(snapshot, now)}
	if t.rule, t.hasRule = g.config.rule(n); !t.allowed() {
		return WrongAmount
	}
	if reason := t.fresh(); reason != 0 {
		return reason
	}
	return t.accepted()
}

// asked is what the card was asked to sign.
func (r *Read) asked(c *Config) money.Amount {
	if r.Amount.Currency().IsZero() {
		return c.Amount
	}
	return r.Amount
}

// recall finds what the gate remembers of the card, whichever of its keys was in use then.
func (g *Gate) recall(t *tap) {
	approved := uint64(0)
	for _, ids := range g.ports.IDs {
		id := t.id
		if ids.Epoch() != t.epoch {
			id = ids.Credential(t.number, t.read.Outcome.Sequence(), t.expiry)
		}
		t.past.add(g.memory.find(id), t.now, g.config.VelocityWindow)
		approved = max(approved, g.approved[id])
	}
	t.past.settle(approved)
}

// identifier is the one of the list's epoch; without such a list, the last, and false.
func (g *Gate) identifier(snapshot *denylist.Snapshot) (Identifier, bool) {
	if snapshot != nil {
		for _, ids := range g.ports.IDs {
			if ids.Epoch() == snapshot.Epoch() {
				return ids, true
			}
		}
	}
	return g.ports.IDs[len(g.ports.IDs)-1], false
}

// search asks the list for the card, for the number as a token, and for the account. The strongest reason counts.
func (t *tap) search(ids Identifier) {
	day := denylist.DayOf(t.now)
	consider := func(id denylist.ID) {
		e, listed := t.snapshot.Lookup(id.Hash(), day)
		if listed && (!t.listed || e.Reason() < t.entry.Reason()) {
			t.entry, t.listed = e, true
		}
	}
	consider(t.id)
	consider(ids.Token(t.number))
	if reference := t.card(emv.TagPAR); len(reference) > 0 {
		consider(ids.PAR(string(reference)))
	}
}

// card is a data object that the kernel or the reader has; nil when neither does.
func (t *tap) card(tag tlv.Tag) []byte {
	if value, ok := t.read.Outcome.Data.Value(tag); ok {
		return value
	}
	if value, ok := t.read.Card.Value(tag); ok {
		return value
	}
	return t.read.Outcome.Discretionary.Get(tag)
}

// forOffice is the card's data as the back office gets them: the kernel's record, and the account where the card shows it beside.
func (t *tap) forOffice() []byte {
	plain := t.read.Outcome.Data.Bytes()
	if reference := t.card(emv.TagPAR); len(reference) > 0 && !t.read.Outcome.Data.Has(emv.TagPAR) {
		plain = tlv.Append(plain, emv.TagPAR, reference)
	}
	return plain
}

// stoppedBefore: the kernel has asked the list, and the card has not paid. Its cryptogram was for a payment that did not happen.
func (t *tap) stoppedBefore() bool { return t.read.Outcome.Reason == kernel.ReasonExceptionFile }

func (t *tap) list() uint64 {
	if t.snapshot == nil {
		return 0
	}
	return t.snapshot.Position().Sequence
}

// decide goes through the rules in order. The first that fails is the reason.
func (t *tap) decide() (Reason, Flags) {
	flags := t.flags()
	for _, rule := range [...]func(*tap) Reason{
		(*tap).readable, (*tap).restrictions, (*tap).authentic, (*tap).signedHere, (*tap).denied, (*tap).fresh, (*tap).accepted,
		(*tap).trusted, (*tap).passBack, (*tap).counter, (*tap).velocity,
	} {
		if reason := rule(t); reason != 0 {
			return reason, flags
		}
	}
	return OK, flags
}

func (t *tap) flags() (f Flags) {
	set := func(flag Flags, on bool) {
		if on {
			f |= flag
		}
	}
	set(FlagStaleList, t.stale)
	set(FlagNoODA, t.read.Outcome.ODA.Status != kernel.ODAPassed)
	set(FlagCounter, t.counter() != 0)
	set(FlagPassBack, t.passBack() == PassBack)
	set(FlagTooOften, t.velocity() != 0)
	set(FlagListed, t.listed)
	set(FlagPurse, t.purse())
	return f
}

// readable: the kernel came to an end that says something about the card.
func (t *tap) readable() Reason {
	o := &t.read.Outcome
	switch o.Reason {
	case kernel.ReasonExpired, kernel.ReasonExpiredOnline:
		return Expired
	case kernel.ReasonODAFailed, kernel.ReasonODAFailedOnline, kernel.ReasonODAFailedSwitch:
		return ODAFailed
	case kernel.ReasonExceptionFile: // the same list: the rider hears what it says
		if reason := t.denied(); reason != 0 {
			return reason
		}
	}
	if t.read.Refused != 0 && o.Kind != kernel.Approved {
		return t.read.Refused
	}
	switch o.Kind {
	case kernel.TryAgain:
		return ReadAgain
	case kernel.Approved, kernel.OnlineRequest:
		if !t.hasNumber || !t.hasExpiry || !t.hasATC {
			return NotReadable
		}
		return 0
	case kernel.Declined:
		return CardDeclined
	}
	return NotReadable
}

// restrictions: dates and usage control [EMV B3 10.4.2] [EMV B3 10.4.3].
func (t *tap) restrictions() Reason {
	if t.expiry.Expired(t.now) {
		return Expired
	}
	if effective, ok := kernel.Date(t.card(emv.TagEffectiveDate)); ok && effective.After(dayAsUTC(t.now)) {
		return Expired
	}
	usage, err := emv.ParseUsageControl(t.card(emv.TagUsageControl))
	if err != nil { // the card says nothing about it
		return 0
	}
	services := emv.AUCDomesticServices
	if issuer := t.card(emv.TagIssuerCountry); len(issuer) == 2 && !bytes.Equal(issuer, packedCountry(t.config.Country)) {
		services = emv.AUCInternationalServices
	}
	if !usage.Has(emv.AUCNotATM) || !usage.Has(services) {
		return NotForTransit
	}
	return 0
}

// dayAsUTC is the calendar day of t, as dates on cards are read.
func dayAsUTC(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// packedCountry is a country as it stands in tag 5F28: four digits, packed.
func packedCountry(n uint16) []byte {
	const ten, hundred, thousand = 10, 100, 1000
	return []byte{byte(n/thousand%ten<<4 | n/hundred%ten), byte(n/ten%ten<<4 | n%ten)}
}

// authentic: the card proved itself with a dynamic signature [REF 2.6], and the kernel let it pass for now [REF 2.7]; or it is a token
// of a range that may ride on trust.
func (t *tap) authentic() Reason {
	o := &t.read.Outcome
	switch {
	case o.ODA.Status == kernel.ODAPassed && o.Kind == kernel.Approved:
		return 0
	case o.ODA.Status == kernel.ODAPassed: // a PIN, a signature: nothing for a gate
		return CardDeclined
	case t.onTrust && o.Kind == kernel.OnlineRequest && (o.CVM == kernel.CVMNone || o.CVM == kernel.CVMConfirmationCode):
		return 0
	}
	return ODAFailed
}

// signedHere: number, amount and currency are those of this gate and this tap, so that nothing read elsewhere opens it.
func (t *tap) signedHere() Reason {
	d := &t.read.Outcome.Data
	amount, err := t.amount.BCD()
	currency := packedCountry(uint16(t.config.Amount.Currency().Number()))
	if err != nil || !t.allowed() || !bytes.Equal(d.Get(emv.TagAmount), amount[:]) || !bytes.Equal(d.Get(emv.TagCurrency), currency) ||
		!bytes.Equal(d.Get(emv.TagUnpredictableNumber), t.read.Random[:]) {
		return WrongAmount
	}
	return 0
}

// allowed reports whether an amount that the tap names is one this device may take.
func (t *tap) allowed() bool {
	if t.amount == t.config.Amount {
		return true
	}
	highest := t.config.Highest
	return !highest.IsZero() && t.amount.Currency() == highest.Currency() && t.amount.Sign() >= 0 && t.amount.Minor() <= highest.Minor()
}

// leaves reports whether the rider is already inside: whoever owes a fare is let out, and the back office knows.
func (t *tap) leaves() bool { return t.read.Direction == Out && !t.config.ShutIn }

func (t *tap) denied() Reason {
	switch {
	case !t.listed || t.leaves():
		return 0
	case t.entry.Reason() == denylist.Debt:
		return DeniedDebt
	}
	return DeniedBlocked
}

func (t *tap) fresh() Reason {
	if t.stale && t.config.Stale == StaleShuts && !t.leaves() {
		return ListStale
	}
	return 0
}

// accepted: the rule for the number, and what the card did about the money.
func (t *tap) accepted() Reason {
	if t.rule.Refuse || !t.hasRule && len(t.config.Rules) > 0 || t.purse() && !t.config.Purse {
		return NotAccepted
	}
	return 0
}

// purse reports whether the card has paid already, with an approval of its own.
func (t *tap) purse() bool { return t.read.Outcome.Kind == kernel.Approved && !t.read.Outcome.Deferred }

// trusted: a first ride is not approved yet, or is not granted.
func (t *tap) trusted() Reason {
	switch {
	case t.leaves() || t.inspected():
		return 0
	case t.rule.Claim && !t.purse() && !t.read.Granted:
		return FirstRideOpen
	case t.onTrust && !t.read.Granted && within(t.past.trusted, t.now, t.config.FirstRideWait):
		return FirstRideOpen
	}
	return 0
}

// inspected: an inspector looks at the card, nobody wants to pass.
func (t *tap) inspected() bool { return t.read.Direction == Inspect }

// passBack: the last tap that opened was in the same direction, a moment or some minutes ago. Whoever pays each ride at the gate, out of a purse,
// may pay for others.
func (t *tap) passBack() Reason {
	switch {
	case t.inspected() || t.paid():
		return 0
	case t.past.open == 0 || t.past.direction != t.read.Direction:
		return 0
	case within(t.past.at, t.now, t.config.DoubleTap):
		return DoubleTap
	case within(t.past.at, t.now, t.config.PassBack):
		return PassBack
	}
	return 0
}

// counter: a card counts every transaction, so a number that was seen before is a copy, or a tap that was recorded and played again.
func (t *tap) counter() Reason {
	if t.past.hasATC && t.hasATC && t.atc <= t.past.atc {
		return CounterBack
	}
	return 0
}

// paid: this card's ride is paid already, and the gate takes that.
func (t *tap) paid() bool { return t.purse() && t.config.Purse }

func (t *tap) velocity() Reason {
	if t.inspected() || t.paid() {
		return 0
	}
	if t.past.taps >= t.config.VelocityLimit {
		return TooOften
	}
	return 0
}
