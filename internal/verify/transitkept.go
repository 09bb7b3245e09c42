package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"tapnet/glossary"
)

func (k *transitKept) close() error {
	if k.reader == nil {
		return nil
	}
	return k.reader.Close()
}

// compareKept holds the kept state against what the rows up to its row say. How the operator goes about its requests (their sealed data, when it asks next)
// and what a journey is are its own: compared is what it knows, owes and is owed.
func (t *transit) compareKept(ctx context.Context) {
	k := &t.kept
	if !k.sound {
		return
	}
	next := uint64(0)
	r := &keptReader{more: func() []byte {
		if next == k.pieces {
			return nil
		}
		piece, _ := k.piece(ctx, next)
		next++
		return piece
	}}
	for _, part := range []func(*keptReader){
		t.keptBooks, t.keptTotals, t.keptKeys, t.keptDevices, t.keptRiders, t.keptAccounts, t.keptMarks, t.keptList, t.keptRest,
	} {
		if part(r); r.bad {
			t.keptWrong(k.cell, FieldCell, wordUnfit, fill("a state that can be read", "可读取的状态"))
			return
		}
	}
	if len(r.b) > 0 || next != k.pieces {
		t.keptWrong(k.cell, FieldCell, fill("octets behind the state", "状态之后有多余数据"), wordNothing)
		return
	}
	t.report.Kept.Compared = true
}

// keptIs holds one number of the kept state against the rows'.
func (t *transit) keptIs(field string, what glossary.Term, found, expected int64) {
	if found != expected {
		t.keptDiffers(field, what, number(found), number(expected))
	}
}

func (t *transit) keptDiffers(field string, what, found, expected glossary.Term) {
	if found != expected {
		t.keptWrong(t.kept.cell, field, glossary.Term{EN: what.EN + ": " + found.EN, ZH: what.ZH + "：" + found.ZH}, expected)
	}
}

// dayOf is a service day as days since 1970.
func dayOf(number int32) int64 {
	if number == 0 {
		return 0
	}
	const seconds = 24 * 60 * 60
	return time.Date(int(number)/10_000, time.Month(number/100%100), int(number)%100, 0, 0, 0, 0, time.UTC).Unix() / seconds
}

// keptBooks: trace number, batch, day, and the ledger.
func (t *transit) keptBooks(r *keptReader) {
	t.keptIs("stan", fill("last trace number", "最后流水号"), int64(r.u()), int64(t.stan))
	t.keptIs(FieldBatch, fill("batch", "批次"), int64(r.u()), int64(t.batch))
	t.keptIs("business_date", fill("last day closed", "最后日结日"), r.i(), dayOf(t.closed))
	closing := r.flag()
	if closing {
		day := r.i()
		r.u()
		r.u()
		t.keptIs("business_date", fill("day being closed", "正在日结的日期"), day, dayOf(t.day))
	}
	if closing != t.closing {
		t.keptDiffers("business_date", fill("a day is being closed", "正在日结"), verbatim(fmt.Sprint(closing)), verbatim(fmt.Sprint(t.closing)))
	}
	for a := operatorRiders; a <= operatorCounter; a++ {
		var have sums
		have.debitsPending, have.debitsPosted, have.creditsPending, have.creditsPosted, have.last = r.i(), r.i(), r.i(), r.i(), r.u()
		said := t.sums(a)
		want := sums{debitsPosted: said.debits, creditsPosted: said.credits}
		t.keptIs(FieldLast, fill("account %d", "%d号账户", a), int64(have.last), int64(said.last))
		have.last = 0
		t.keptDiffers(FieldAccount, fill("account %d", "%d号账户", a), have.term(), want.term())
	}
}

// keptTotals: what was counted since the journal began.
func (t *transit) keptTotals(r *keptReader) {
	var paid, settled, owed, lost, refunded int64
	for _, b := range t.bills {
		refunded += b.refunded
		switch b.state {
		case billPaid:
			paid += b.minor
		case billSettled:
			settled += b.minor
		case billLost:
			lost += b.minor
		case billOwed, billStopped:
			owed += b.minor
		}
	}
	report := &t.report
	for _, line := range []struct {
		what     glossary.Term
		expected int64
	}{
		{fill("taps", "刷卡"), int64(report.Taps)}, {fill("taps that opened", "开门刷卡"), int64(report.Opened)}, {fill("bills", "账单"), int64(len(t.bills))},
		{fill("bills that were a debt", "曾欠费账单"), int64(t.debts)},
	} {
		t.keptIs(FieldTotal, line.what, int64(r.u()), line.expected)
	}
	for _, line := range []struct {
		what     glossary.Term
		expected int64
	}{
		{fill("charged", "应收"), report.ChargedMinor}, {fill("credited", "退补"), report.CreditedMinor}, {fill("paid", "已支付"), paid},
		{fill("settled", "已补缴"), settled}, {fill("owed", "欠费"), owed}, {fill("written off", "已核销"), lost}, {fill("refunded", "已退款"), refunded},
		{fill("paid by cards", "卡内支付"), report.PurseMinor},
	} {
		t.keptIs(FieldTotal, line.what, r.i(), line.expected)
	}
	var states [mostStates]int64
	for _, stand := range t.taps {
		if stand.credential != 0 {
			states[stand.state]++
		}
	}
	states[stateRefused] += int64(report.Taps - report.Opened)
	for state := 1; state < mostStates; state++ {
		t.keptIs(FieldTotal, fill("taps in state %d", "状态为%d的刷卡", state), int64(r.u()), states[state])
	}
}

// keptKeys: which keys are in use.
func (t *transit) keptKeys(r *keptReader) {
	e := &t.epochs
	found := [3]uint64{r.u(), r.u(), r.u()}
	if expected := [3]uint64{uint64(e.force), uint64(e.next), uint64(e.former)}; e.known && found != expected {
		t.keptDiffers(FieldEpoch, fill("in force, next, former", "现用、下一、旧"), verbatim(fmt.Sprint(found)), verbatim(fmt.Sprint(expected)))
	}
	t.keptIs(FieldEpoch, fill("in force since", "生效时间"), r.i(), e.forced)
	t.keptIs(FieldEpoch, fill("begun by row", "开始于行"), int64(r.u()), int64(e.begun))
	t.keptIs("key", fill("rows with sealed values", "含密封值的行数"), int64(r.u()), int64(t.marks.pages))
}

// keptDevices: names, taps, and how far each log is here.
func (t *transit) keptDevices(r *keptReader) {
	n := r.count()
	t.keptIs("terminal", fill("devices", "设备"), int64(n), int64(len(t.names)))
	for at := uint64(0); at < n && !r.bad; at++ {
		name := string(r.text())
		found := transitSeen{r.u(), r.u()}
		r.u() // from the future
		var spans []transitSpan
		for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
			sp := transitSpan{first: r.u(), last: r.u()}
			r.raw(sp.before[:])
			r.raw(sp.after[:])
			r.flag()
			spans = append(spans, sp)
		}
		r.i()
		r.i()
		r.json(&json.RawMessage{})
		if at >= uint64(len(t.names)) || r.bad {
			continue
		}
		what := glossary.Term{EN: "device " + t.names[at], ZH: "设备" + t.names[at]}
		t.keptDiffers("terminal", what, quoted(name), quoted(t.names[at]))
		t.keptDiffers(FieldTotal, what, fill("%d taps, %d opened", "刷卡%d次，开门%d次", found.taps, found.opened),
			fill("%d taps, %d opened", "刷卡%d次，开门%d次", t.seen[at].taps, t.seen[at].opened))
		t.keptSpans(what, spans, t.spans[int32(at)])
	}
}

func (t *transit) keptSpans(what glossary.Term, found, expected []transitSpan) {
	sorted := slices.SortedFunc(slices.Values(expected), func(a, b transitSpan) int { return compareUint(a.first, b.first) })
	if !slices.Equal(found, sorted) {
		t.keptWrong(t.kept.cell, FieldChain, glossary.Term{EN: what.EN + ": " + spanText(found), ZH: what.ZH + "：" + spanText(found)}, verbatim(spanText(sorted)))
	}
}

func compareUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func spanText(spans []transitSpan) string {
	text := ""
	for i := range spans {
		text += fmt.Sprintf(" %d-%d %x", spans[i].first, spans[i].last, spans[i].after[:4])
	}
	return text
}

// keptRiders: every credential's names, standing, and bills.
func (t *transit) keptRiders(r *keptReader) {
	n := r.count()
	t.keptIs("card", fill("credentials", "凭证"), int64(n), int64(len(t.riders.all)-1))
	bills := 0
	for number := uint64(1); number <= n && !r.bad; number++ {
		found := keptRider{names: r.names(), account: r.n32(), atc: uint16(r.u()), bits: r.u(), stop: r.octet(), owing: r.n32(), outside: r.n32(), twin: r.n32()}
		r.material()
		if found.bits&keptProof != 0 {
			r.u()
			r.u()
			r.text()
		}
		found.approved, found.credit = r.i(), r.i()
		r.i() // the last attempt because of a tap
		found.claimed = r.i()
		count := r.count()
		for i := uint64(0); i < count && !r.bad; i++ {
			t.keptBill(int32(number), r.bill())
			bills++
		}
		if number < uint64(len(t.riders.all)) && !r.bad {
			t.keptRider(int32(number), &found)
		}
	}
	t.keptIs(FieldTotal, fill("bills of credentials", "凭证的账单"), int64(bills), int64(len(t.bills)))
}

// keptRider is a credential in the kept state.
type keptRider struct {
	names            transitNames
	account          int32
	atc              uint16
	bits             uint64
	stop             uint8
	owing            int32
	outside, twin    int32
	approved, credit int64
	claimed          int64
}

// Bits of a credential in the kept state.
const (
	keptVerifying = 1
	keptRefused   = 2
	keptProof     = 4
)

func (t *transit) keptRider(n int32, found *keptRider) {
	c := &t.riders.all[n]
	want := keptRider{names: c.names, account: t.riders.account(n), atc: c.atc, stop: c.stop, owing: c.owing, outside: c.outside, twin: c.twin,
		approved: c.approved, claimed: c.claimed, credit: t.owed[n], bits: found.bits &^ (keptVerifying | keptRefused)}
	if c.verifying {
		want.bits |= keptVerifying
	}
	if c.refused {
		want.bits |= keptRefused
	}
	if want.names.n == 2 && !t.epochs.alive(want.names.all[0].epoch) { // it does not count any more
		want.names = transitNames{all: [2]transitName{want.names.all[1]}, n: 1}
	}
	if *found == want {
		return
	}
	what := fill("credential %d", "凭证%d", n)
	have, said := found.names.differ(&want.names)
	t.keptDiffers(FieldIdentity, what, have, said)
	t.keptDiffers(FieldIdentity, what, fill("of account %d, mark %d, turned out to be %d", "属账户%d，标记%d，实为%d", found.account, found.outside, found.twin),
		fill("of account %d, mark %d, turned out to be %d", "属账户%d，标记%d，实为%d", want.account, want.outside, want.twin))
	t.keptIs("atc", what, int64(found.atc), int64(want.atc))
	t.keptDiffers(FieldStanding, what, found.standing(), want.standing())
	t.keptIs("credit", what, found.credit, want.credit)
}

func (k *keptRider) standing() glossary.Term {
	return fill("stopped for %d, %d debts, verifying %t, refused %t, approved at %d, first ride granted at %d",
		"停用原因%d，欠费%d笔，验证中%t，被拒%t，批准时间%d，首次乘车许可时间%d", k.stop, k.owing, k.bits&keptVerifying != 0, k.bits&keptRefused != 0, k.approved, k.claimed)
}

// States of a bill in the kept state.
const (
	keptDue = iota + 1
	keptAsked
	keptUnsure
	keptPaid
	keptOwed
	keptRecovering
	keptDoubtful
	keptStopped
	keptLost
	keptPaidOtherwise
	keptReturning
)

// standing is where a bill is, its request included.
func (t *transit) standing(b *transitBill) uint8 {
	with := func(free, asked, silent uint8) uint8 {
		a := t.asks[b.asked]
		switch {
		case b.asked == 0 || a == nil:
			return free
		case a.status == askSilent:
			return silent
		}
		return asked
	}
	switch b.state {
	case billDue:
		return with(keptDue, keptAsked, keptUnsure)
	case billOwed:
		return with(keptOwed, keptRecovering, keptDoubtful)
	case billPaid:
		return with(keptPaid, keptReturning, keptReturning)
	case billSettled:
		return keptPaidOtherwise
	case billLost:
		return keptLost
	}
	return keptStopped
}

func (t *transit) keptBill(credential int32, found keptBill) {
	b := t.bills[found.seq]
	if b == nil || b.credential != credential {
		t.keptWrong(t.kept.cell, "linked", fill("a bill of row %d for credential %d", "凭证%[2]d的第%[1]d行账单", found.seq, credential), fill("a bill that a row made", "由该行产生的账单"))
		return
	}
	want := keptBill{seq: found.seq, state: t.standing(b), code: b.code, minor: b.minor, refunded: b.refunded, returning: b.returning, rrn: b.rrn,
		paid: b.state == billPaid, day: b.day, ridden: b.ridden, tries: b.tries}
	if found == want {
		return
	}
	t.keptDiffers(FieldState, fill("bill of row %d", "第%d行的账单", found.seq), found.term(), want.term())
}

func (b *keptBill) term() glossary.Term {
	return fill("state %d of %d, %d refunded, %d on the way back, code %04x, paid by %q, of day %d, ridden on day %d, %d tries",
		"状态%d，金额%d，已退%d，退款中%d，应答码%04x，支付参考号%q，所属第%d日，乘车第%d日，尝试%d次", b.state, b.minor, b.refunded, b.returning, b.code, b.rrn, b.day, b.ridden, b.tries)
}

// keptAccounts: which credentials, which taps that are not forgotten, what each journey was billed.
func (t *transit) keptAccounts(r *keptReader) {
	n := r.count()
	t.keptIs(FieldAccount, fill("accounts", "账户"), int64(n), int64(len(t.riders.all)-1))
	var waiting int64
	for number := uint64(1); number <= n && !r.bad; number++ {
		waiting += t.keptAccount(r, int32(number))
	}
	var pending int64
	for _, stand := range t.taps {
		if stand.state == statePending {
			pending++
		}
	}
	t.keptIs(FieldTotal, fill("taps to be decided", "待定刷卡"), waiting, pending)
}

func (t *transit) keptAccount(r *keptReader, number int32) (waiting int64) {
	merged := r.n32()
	r.i()
	r.u()
	r.flag()
	var credentials []int32
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		credentials = append(credentials, r.n32())
	}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		r.i()
		key := transitTap{sequence: r.u(), device: r.n32()}
		found := tapStand{credential: r.n32()}
		r.u()
		r.u()
		found.state = r.octet()
		r.u()
		found.atc = uint16(r.u())
		if found.state == statePending {
			waiting++
		}
		if want := t.taps[key]; found != want && !r.bad {
			t.keptDiffers(FieldState, fill("tap %d of device %d", "设备%[2]d的第%[1]d次刷卡", key.sequence, key.device), found.term(), want.term())
		}
	}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		key, minor := r.key(), r.i()
		r.i()
		r.u()
		r.u()
		if minor != t.journeys[key] && !r.bad {
			t.keptIs("amount", fill("journey of tap %d of device %d", "设备%[2]d第%[1]d次刷卡的行程", key.sequence, key.device), minor, t.journeys[key])
		}
	}
	var person struct {
		PAR        int32 `json:"par"`
		Restricted int   `json:"restricted"`
		Forgiven   int   `json:"forgiven"`
	}
	if r.flag() {
		r.json(&person)
	}
	if r.bad || int(number) >= len(t.riders.all) {
		return waiting
	}
	want := t.riders.of(number)
	if merged != 0 {
		want = nil
	}
	t.keptIs(FieldStanding, fill("year of the restriction of account %d", "账户%d受限年份", number), int64(person.Restricted), int64(t.stops.restricted[number]))
	t.keptIs(FieldStanding, fill("year forgiven to account %d", "账户%d豁免年份", number), int64(person.Forgiven), int64(t.stops.forgiven[number]))
	if merged == t.riders.all[number].up && slices.Equal(credentials, want) && person.PAR == t.riders.pars[number] {
		return waiting
	}
	what := fill("account %d", "账户%d", number)
	t.keptIs(FieldAccount, glossary.Term{EN: what.EN + " became part of", ZH: what.ZH + "并入"}, int64(merged), int64(t.riders.all[number].up))
	t.keptDiffers(FieldAccount, what, verbatim(fmt.Sprint(credentials)), verbatim(fmt.Sprint(want)))
	t.keptIs(FieldIdentity, glossary.Term{EN: "mark of " + what.EN, ZH: what.ZH + "的标记"}, int64(person.PAR), int64(t.riders.pars[number]))
	return waiting
}

// keptMarks: references and what somebody outside named.
func (t *transit) keptMarks(r *keptReader) {
	n := r.count()
	t.keptIs(FieldIdentity, fill("marks", "标记"), int64(n), int64(len(t.marks.all)-1))
	for number := uint64(1); number <= n && !r.bad; number++ {
		found := transitMark{names: r.names(), entry: transitListing{kind: r.octet(), reason: r.octet(), until: uint16(r.u())}, of: r.n32(), page: r.u()}
		if number >= uint64(len(t.marks.all)) || r.bad {
			continue
		}
		want := t.marks.all[number]
		if want.names.n == 2 && !t.epochs.alive(want.names.all[0].epoch) {
			want.names = transitNames{all: [2]transitName{want.names.all[1]}, n: 1}
		}
		if found == want {
			continue
		}
		what := fill("mark %d", "标记%d", number)
		have, said := found.names.differ(&want.names)
		t.keptDiffers(FieldIdentity, what, have, said)
		t.keptDiffers(FieldIdentity, what, fill("of %d, sealed in %d", "属%d，密封于%d", found.of, found.page), fill("of %d, sealed in %d", "属%d，密封于%d", want.of, want.page))
		t.keptDiffers(FieldDenyList, what, found.entry.term(), want.entry.term())
	}
}

// keptList: how far the deny list is, and what it says.
func (t *transit) keptList(r *keptReader) {
	l := &t.list
	t.keptIs(FieldDenyList, fill("last delta", "最后增量"), int64(r.u()), int64(l.sequence))
	var digest [32]byte
	r.raw(digest[:])
	if digest != l.digest {
		found, expected := hashes(digest, l.digest)
		t.keptDiffers(FieldDenyList, fill("digest of the last delta", "最后增量的摘要"), found, expected)
	}
	r.i()
	t.keptIs(FieldEpoch, fill("last delta", "最后增量"), int64(r.u()), int64(l.epoch))
	told := map[int32]bool{}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		at := r.i()
		found := transitListing{kind: r.octet(), reason: r.octet(), until: uint16(r.u())}
		subject := int32(at)
		if at >= int64(len(t.riders.all)) || at <= -int64(len(t.marks.all)) || at == 0 {
			t.keptDiffers(FieldDenyList, whose(subject), found.term(), fill("one that is known", "已知的编号"))
			continue
		}
		told[subject] = true
		if _, named := t.hash(subject); named || l.listed[subject] != (transitListing{}) {
			t.keptDiffers(FieldDenyList, whose(subject), found.term(), l.listed[subject].term())
		}
	}
	for subject, want := range l.listed {
		if !told[subject] && !r.bad {
			t.keptDiffers(FieldDenyList, whose(subject), transitListing{}.term(), want.term())
		}
	}
	waits := map[int32]bool{}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		waits[r.n32()] = true
	}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		waits[-r.n32()] = true
	}
	for _, subject := range t.missing() {
		if !r.bad && !waits[subject] && !(subject > 0 && waits[t.riders.account(subject)]) && !t.speaks(subject, waits) {
			t.keptDiffers(FieldDenyList, whose(subject), fill("%s, and nothing is to be told", "%s，且无待下发变更", l.listed[subject].term().EN), t.wanted(subject).term())
		}
	}
}

// speaks reports whether the account of a mark waits for it.
func (t *transit) speaks(subject int32, waits map[int32]bool) bool {
	return subject < 0 && t.marks.all[-subject].of != 0 && waits[t.riders.account(t.marks.all[-subject].of)]
}

// keptRest: taps taken back before they came, uploads to be told, claims, approvals, and requests that have not ended.
func (t *transit) keptRest(r *keptReader) {
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		if key := r.key(); !r.bad && t.taps[key].state != stateTakenBack && t.taps[key].state != statePurse {
			t.keptWrong(t.kept.cell, FieldState, fill("tap %d of device %d taken back", "设备%[2]d的第%[1]d次刷卡被撤回", key.sequence, key.device), fill("a record that says so", "相应的记录"))
		}
	}
	n := r.count()
	t.keptIs(FieldPurse, fill("uploads to be told", "待上送"), int64(n), t.purses)
	for i := uint64(0); i < n && !r.bad; i++ {
		r.u()
		r.i()
		r.material()
	}
	claims := map[int32]bool{}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ {
		claims[r.n32()] = true
	}
	if !maps.Equal(claims, t.claims) && !r.bad {
		t.keptDiffers(FieldStanding, fill("first rides granted to credentials not approved yet", "已许可首次乘车而未获批的凭证"), listed(claims), listed(t.claims))
	}
	for i, n := uint64(0), r.count(); i < n && !r.bad; i++ { // approvals of late, for gates
		r.i()
		r.u()
	}
	n = r.count()
	t.keptIs(FieldOpen, fill("requests that have not ended", "未结束的请求"), int64(n), int64(len(t.asks)))
	for i := uint64(0); i < n && !r.bad; i++ {
		var found keptAsk
		if r.json(&found); r.bad {
			return
		}
		var want keptAsk
		if a := t.asks[found.Seq]; a != nil {
			want = keptAsk{Seq: a.seq, Key: a.key, Ask: a.kind, Credential: a.credential, Bill: a.bill, Minor: a.minor, Status: uint8(a.status)}
		}
		if found != want {
			t.keptDiffers(FieldOpen, fill("request of row %d", "第%d行的请求", found.Seq), verbatim(fmt.Sprintf("%+v", found)), verbatim(fmt.Sprintf("%+v", want)))
		}
	}
	t.keptFreed(r)
}

// keptAsk is a request in the kept state.
type keptAsk struct {
	Seq        uint64 `json:"seq"`
	Key        string `json:"key"`
	Ask        uint16 `json:"ask"`
	Credential int32  `json:"credential"`
	Bill       uint64 `json:"bill"`
	Minor      int64  `json:"minor"`
	Status     uint8  `json:"status"`
}

// listed are the numbers of a set, in order.
func listed(set map[int32]bool) glossary.Term {
	return verbatim(fmt.Sprint(slices.Sorted(maps.Keys(set))))
}
