package verify

import (
	"encoding/json"
	"fmt"
	"slices"

	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
)

// Reasons of CardChanged rows that say whether a credential may ride, and of what belongs to whom.
const (
	reasonPAR     = 8
	reasonBlock   = 9
	reasonUnblock = 10
)

// Kinds and reasons of entries on the deny list, and of removals.
const (
	kindCredential  = 1
	kindPAR         = 3
	kindEnd         = 4
	denyCounterfeit = 1
	denyStolen      = 2
	denyLost        = 3
	denyClosed      = 4
	denyOperator    = 5
	denyDebt        = 6
	denyEnd         = 7
	removalEnd      = 5
)

// class is what an answer means for who asked: there is no money now, a machine is in trouble, this card will not pay again, or yes.
type class uint8

const (
	classFunds class = iota + 1
	classSystem
	classCard
	classApproved
)

// classOf gives the class of an answer, and the reason on the list of a card that will not pay again. It is the operator's table of answers a second time;
// what stands in neither row is a machine in trouble.
func classOf(code unionpay.ResponseCode) (of class, stop uint8) {
	switch code {
	case unionpay.CallIssuer, unionpay.DoNotHonour, unionpay.InsufficientFunds, unionpay.AmountLimit, unionpay.FrequencyLimit, unionpay.WrongPIN,
		unionpay.PINTriesExceeded, unionpay.AccountWrong, unionpay.InvalidAmount:
		return classFunds, 0
	case unionpay.SuspectedFraud, unionpay.FraudPickUp:
		return classCard, denyCounterfeit
	case unionpay.StolenCard:
		return classCard, denyStolen
	case unionpay.LostCard:
		return classCard, denyLost
	case unionpay.PickUp, unionpay.InvalidCardNumber, unionpay.NoSuchIssuer, unionpay.CardNotInitialised, unionpay.PINTriesExceededPickUp,
		unionpay.ExpiredCard, unionpay.NotPermittedToCard, unionpay.RestrictedCard:
		return classCard, denyClosed
	}
	if code.Approved() {
		return classApproved, 0
	}
	return classSystem, 0
}

// transitRider is a credential as far as the deny list goes. They have numbers from 1 in order of appearance.
type transitRider struct {
	names   transitNames
	up      int32 // the credential, lower by number, whose payment account it is found to share; 0 for none
	twin    int32 // the credential that it turned out to be; 0 for none
	owing   int32 // bills that keep it on the list
	outside int32 // the mark of what somebody else says of it; 0 for none
	stop    uint8 // reason on the list while the card will not pay or the operator stopped it
	refused bool  // the last verification was, for want of money
	// verifying is set while a verification has not ended.
	verifying bool
	atc       uint16
	approved  int64 // instant of the last approval
	claimed   int64 // and of the last first ride that was granted before one
}

// transitRiders are all of them, and which belong to one payment account.
type transitRiders struct {
	all     []transitRider // from 1
	index   nameIndex
	members map[int32][]int32 // of accounts of more than one, by the lowest number
	pars    map[int32]int32   // the mark of an account's reference
}

func newTransitRiders() transitRiders {
	return transitRiders{all: make([]transitRider, 1), index: newNameIndex(), members: map[int32][]int32{}, pars: map[int32]int32{}}
}

// find gives the number of a credential by one of its names, 0 for one that nobody knows.
func (x *transitRiders) find(e *transitEpochs, id keyed) (found int32) {
	x.index.each(id, func(n int32) bool {
		if e.counts(&x.all[n].names, id) {
			found = n
		}
		return found == 0
	})
	return found
}

// credential is the number of a credential by its names, the first of which is the gate's; it has it from now on.
func (t *transit) credential(names ...transitName) (n int32) {
	x, e := &t.riders, &t.epochs
	e.starts(names[0].epoch)
	for _, name := range names {
		if n = x.find(e, name.id); n != 0 {
			break
		}
	}
	if n == 0 {
		n = int32(len(x.all))
		x.all = append(x.all, transitRider{})
		x.all[n].names.all[0], x.all[n].names.n = names[0], 1
		x.index.put(names[0].id, n)
		t.attach(n, names[0].id)
	}
	for _, name := range names {
		if e.alive(name.epoch) && !name.id.none() {
			n = t.calls(n, name)
		}
	}
	return n
}

// calls gives a credential a name. Two that have it turn out to be one: the older number, which it returns, keeps the names of both.
func (t *transit) calls(n int32, name transitName) int32 {
	x := &t.riders
	switch other := x.find(&t.epochs, name.id); {
	case other == n:
	case other != 0:
		return t.united(min(n, other), max(n, other))
	case !x.all[n].names.take(name):
		t.contradicts(n, name.epoch)
	default:
		x.index.put(name.id, n)
		if name.epoch == t.epochs.force { // what the list said, it said under another key
			delete(t.list.listed, n)
			t.unsettled(n)
		}
		t.attach(n, name.id)
	}
	return n
}

// contradicts reports a credential that is called otherwise under a key than before: each card has one hash under each.
func (t *transit) contradicts(n int32, epoch uint32) {
	t.fault(t.row, FieldIdentity, fill("another name of credential %d under epoch %d", "凭证%d在纪元%d下的另一名称", n, epoch), fill("one name under each key", "每个密钥下仅一个名称"))
}

// united makes one of two credentials.
func (t *transit) united(older, younger int32) int32 {
	x := &t.riders
	c, d := &x.all[older], &x.all[younger]
	names := d.names
	d.names, d.twin = transitNames{}, older
	for _, name := range names.all[:names.n] {
		switch {
		case !t.epochs.alive(name.epoch):
		case c.names.take(name):
			x.index.put(name.id, older)
		default:
			t.contradicts(older, name.epoch)
		}
	}
	if c.outside == 0 && d.outside != 0 {
		c.outside = d.outside
		t.marks.all[d.outside].of = older
	}
	d.outside, c.approved, c.claimed = 0, max(c.approved, d.approved), max(c.claimed, d.claimed)
	if t.claims[younger] {
		delete(t.claims, younger)
		if c.approved < c.claimed {
			t.claims[older] = true
		}
	}
	if said, has := t.list.listed[younger]; has {
		delete(t.list.listed, younger)
		t.list.listed[older] = said
	}
	t.stops.unites(older, younger)
	t.joins(older, younger)
	for _, n := range x.of(x.account(older)) {
		if x.all[n].twin == younger {
			x.all[n].twin = older
		}
	}
	t.unsettled(older)
	return older
}

// rider is the credential of a row's Card column; nil, and a finding, when there is none.
func (t *transit) rider(r *journal.Row) *transitRider {
	if r.Card <= 0 || r.Card >= int64(len(t.riders.all)) {
		t.fault(r, "card", number(r.Card), fill("a credential that has tapped", "已刷过卡的凭证"))
		return nil
	}
	return &t.riders.all[r.Card]
}

// numbered is a credential by its number; nil for none.
func (t *transit) numbered(n int32) *transitRider {
	if n <= 0 || int(n) >= len(t.riders.all) {
		return nil
	}
	return &t.riders.all[n]
}

// account is the lowest number of those that share a payment account.
func (x *transitRiders) account(n int32) int32 {
	for n > 0 && int(n) < len(x.all) && x.all[n].up != 0 {
		n = x.all[n].up
	}
	return n
}

// of gives the credentials of an account.
func (x *transitRiders) of(account int32) []int32 {
	if all := x.members[account]; all != nil {
		return all
	}
	return []int32{account}
}

// owes reports whether a bill of any of an account's credentials keeps it on the list.
func (x *transitRiders) owes(account int32) bool {
	if all := x.members[account]; all != nil {
		return slices.ContainsFunc(all, func(n int32) bool { return x.all[n].owing > 0 })
	}
	return x.all[account].owing > 0
}

// belongs says that a credential is of the account behind a reference, by its names, and gives the reference's mark.
func (t *transit) belongs(n int32, names ...transitName) (m int32) {
	x := &t.riders
	a := x.account(n)
	if m = t.marked(names); m == 0 {
		if x.pars[a] != 0 {
			t.unsettled(a)
			return 0
		}
		m = t.mark(kindPAR, names[0])
	}
	for _, name := range names {
		t.renames(m, name)
	}
	mark := &t.marks.all[m]
	switch b := x.account(mark.of); {
	case x.pars[a] == m:
	case b == 0:
		if x.pars[a] == 0 {
			x.pars[a], mark.of = m, a
		}
		t.unsettled(a)
	default:
		t.joins(a, b)
	}
	return m
}

// joins makes one of two accounts: the older number and its reference stay.
func (t *transit) joins(a, b int32) {
	x := &t.riders
	if a, b = x.account(a), x.account(b); a == b {
		return
	}
	older, younger := min(a, b), max(a, b)
	x.members[older] = append(slices.Clone(x.of(older)), x.of(younger)...)
	x.all[younger].up = older
	t.stops.joins(older, younger)
	switch par := x.pars[younger]; {
	case par == 0:
	case x.pars[older] == 0:
		x.pars[older], t.marks.all[par].of = par, older
	default:
		t.list.marks[par] = true // it speaks for itself from now on
	}
	delete(x.members, younger)
	delete(x.pars, younger)
	t.unsettled(older)
}

// changed follows what is said about credentials: their numbers, their accounts, and whether they may ride.
func (t *transit) changed(r *journal.Row) {
	t.moves(r, 0, 0, 0)
	var note struct {
		ID     *idText `json:"i"`
		Epoch  uint32  `json:"e"`
		PAR    *idText `json:"r"`
		Other  *idText `json:"o"`
		Beside uint32  `json:"f"`
		Sealed []byte  `json:"v"`
		Stop   uint8   `json:"x"`
		// Account and Year are of a restriction.
		Account int64 `json:"a"`
		Year    int   `json:"y"`
		// Bill is asked for again.
		Bill uint64 `json:"b"`
	}
	if json.Unmarshal(r.Note, &note) != nil {
		t.fault(r, "note", wordUnfit, wordReadable)
		return
	}
	if note.Epoch == 0 {
		note.Epoch = t.epochs.first
	}
	if r.Reason == reasonClaim && note.ID != nil {
		n := t.credential(transitName{note.Epoch, keyed(*note.ID)})
		t.riders.all[n].claimed, t.claims[n] = r.At.UnixMicro(), true
		return
	}
	rider := t.rider(r)
	if rider == nil {
		return
	}
	n := int32(r.Card)
	switch r.Reason {
	case reasonPAR:
		if note.PAR == nil {
			t.fault(r, "note", wordNothing, fill("a payment account reference", "支付账户参考号"))
			return
		}
		names := []transitName{{note.Epoch, keyed(*note.PAR)}}
		if note.Other != nil {
			names = append(names, transitName{note.Beside, keyed(*note.Other)})
		}
		for _, name := range names {
			t.inUse(r, name.epoch)
		}
		m := t.belongs(n, names...)
		if len(note.Sealed) > 0 || r.Key != "" {
			if page := t.page(r); m != 0 {
				t.marks.all[m].page = page
			}
		}
	case reasonBlock:
		if note.Stop == 0 || note.Stop >= denyEnd {
			t.fault(r, "note", number(note.Stop), fill("a reason of the deny list", "黑名单原因"))
			return
		}
		rider.stop = note.Stop
		t.unsettled(n)
	case reasonUnblock:
		t.releases(r, n)
	case reasonCopied, reasonBarred, reasonFreed, reasonUnited:
		t.found(r, n, note.Stop, note.Account, note.Year)
	case reasonAgain, reasonAsks:
		if b := t.bills[note.Bill]; b == nil || b.credential != n {
			t.fault(r, "note", fill("bill %d", "账单%d", note.Bill), fill("one of the credential's", "该凭证的账单"))
		}
	}
}

// judged follows an answer as far as it says whether the card may ride.
func (t *transit) judged(r *journal.Row, a *transitAsk, of class, stop uint8) {
	n := a.credential
	rider := t.numbered(n)
	if a.kind == askRefund || a.kind == askReturn || rider == nil {
		return
	}
	if a.kind == askUpload {
		if of == classCard {
			rider.stop = stop
		}
		t.unsettled(n)
		return
	}
	switch of {
	case classCard:
		rider.stop = stop
	case classApproved:
		rider.refused, rider.approved = false, r.At.UnixMicro()
		delete(t.claims, n)
	}
	if a.kind == askVerify || a.kind == askHold {
		rider.refused, rider.verifying = of == classFunds, false
	}
	t.unsettled(n)
}

// stands puts a bill into another state, and counts it where it denies.
func (t *transit) stands(b *transitBill, to billState) {
	if rider := t.numbered(b.credential); rider != nil && b.state.denies() != to.denies() {
		if to.denies() {
			rider.owing++
			t.debts++
		} else {
			rider.owing--
		}
		t.unsettled(b.credential)
	}
	b.state = to
}

// denies reports whether a bill in this state keeps its credential on the list.
func (s billState) denies() bool { return s == billOwed || s == billStopped || s == billLost }

// term says what the list says, or should say, of one hash.
func (l transitListing) term() glossary.Term {
	if l == (transitListing{}) {
		return fill("not listed", "未列入")
	}
	what := [...]glossary.Term{{EN: "?", ZH: "？"}, {EN: "credential", ZH: "凭证"}, {EN: "token", ZH: "令牌"}, {EN: "account", ZH: "账户"}}[l.kind%kindEnd]
	why := [...]glossary.Term{{EN: "?", ZH: "？"}, {EN: "counterfeit", ZH: "伪卡"}, {EN: "stolen", ZH: "失窃"}, {EN: "lost", ZH: "挂失"}, {EN: "closed", ZH: "注销"},
		{EN: "stopped by the operator", ZH: "运营方停用"}, {EN: "debt", ZH: "欠费"}}[l.reason%denyEnd]
	said := glossary.Term{EN: "listed as " + what.EN + ": " + why.EN, ZH: "列入" + what.ZH + "：" + why.ZH}
	if l.until != 0 {
		said.EN, said.ZH = said.EN+fmt.Sprintf(" until day %d", l.until), said.ZH+fmt.Sprintf("（至第%d日）", l.until)
	}
	return said
}
