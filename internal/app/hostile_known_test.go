package app

import (
	"bufio"
	"bytes"
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/internal/personalization"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
	"tapnet/tlv"
)

// numberOf is the number of a card of the world, as somebody who has photographed it knows it.
func (a *arena) numberOf(name string) pan.Number {
	a.Helper()
	profile := a.shops.options.Profile
	for _, spec := range profile.Cards {
		if spec.Name == name {
			issuer, _ := profile.Issuer(spec.Issuer)
			n, err := personalization.Number(issuer, spec)
			if err != nil {
				a.Fatal(err)
			}
			return n
		}
	}
	a.Fatalf("no card %s", name)
	return pan.Number{}
}

// forgedChip is chip data that is complete and was signed by nobody.
func forgedChip(kind emv.CID) emv.Data {
	var icc emv.Data
	set := func(tag tlv.Tag, value ...byte) { icc.Set(tag, value) }
	set(emv.TagAC, 1, 2, 3, 4, 5, 6, 7, 8)
	set(emv.TagCID, byte(kind))
	cvr := byte(0xA0)
	if kind == emv.TC {
		cvr = 0x90
	}
	set(emv.TagIAD, 0x07, 0x01, 0x01, 0x03, cvr, 0x00, 0x00, 0x01)
	set(emv.TagUnpredictableNumber, 1, 2, 3, 4)
	set(emv.TagATC, 0x0F, 0xFF)
	set(emv.TagTVR, 0, 0, 0, 0, 0)
	set(emv.TagTransactionDate, 0x26, 0x11, 0x21)
	set(emv.TagTransactionType, 0)
	set(emv.TagAmount, 0, 0, 0, 0, 1, 0)
	set(emv.TagCurrency, 0x01, 0x56)
	set(emv.TagAIP, 0x7C, 0x00)
	set(emv.TagTerminalCountry, 0x01, 0x56)
	set(emv.TagAmountOther, 0, 0, 0, 0, 0, 0)
	return icc
}

// scheme is a message that somebody who is signed on sends, and the answer to it.
type scheme struct {
	name string
	make func(i *intruder) unionpay.Message
	mac  unionpay.MACFunc // nil: the right one
	want unionpay.ResponseCode
}

func noMAC([]byte) ([8]byte, error) { return [8]byte{}, nil }

// changed is a bogus request with a change.
func changed(change func(*intruder, *unionpay.Payment)) func(*intruder) unionpay.Message {
	return func(i *intruder) unionpay.Message {
		m := i.bogus()
		change(i, &m.Payment)
		return m
	}
}

// commonSchemes are tried by terminals and members alike. None may be approved. odd is the answer to a request whose parts do not fit each other.
func commonSchemes(odd unionpay.ResponseCode) []scheme {
	garbled, _ := pinblock.FromBytes([]byte("notapin!"))
	onLin := func(icc emv.Data) func(*intruder) unionpay.Message {
		return changed(func(i *intruder, p *unionpay.Payment) { p.PAN, p.ICC, p.CardSequence = i.numberOf("lin"), icc, "001" })
	}
	return []scheme{
		{name: "wrong MAC", make: changed(func(*intruder, *unionpay.Payment) {}), mac: noMAC, want: unionpay.MACError},
		{name: "reversal with a wrong MAC", make: func(i *intruder) unionpay.Message { return i.bogusReversal() }, mac: noMAC, want: unionpay.MACError},
		{name: "answer with a wrong MAC", make: func(i *intruder) unionpay.Message {
			return unionpay.Respond(i.bogus(), unionpay.Answer{Response: unionpay.Approved})
		}, mac: noMAC, want: silence},
		{name: "answer to nothing", make: func(i *intruder) unionpay.Message {
			return unionpay.Respond(i.bogus(), unionpay.Answer{Response: unionpay.Approved, AuthCode: "000001"})
		}, want: silence},
		{name: "acknowledgement of nothing", make: func(i *intruder) unionpay.Message {
			return unionpay.Respond(i.bogusReversal(), unionpay.Answer{Response: unionpay.Approved})
		}, want: silence},
		{name: "card that no bank has issued", make: changed(func(*intruder, *unionpay.Payment) {}), want: unionpay.InvalidCardNumber},
		{name: "card of no bank", make: changed(func(i *intruder, p *unionpay.Payment) { p.PAN = strangersNumber(i, "62888800") }), want: unionpay.NoSuchIssuer},
		{name: "number without chip", make: onLin(emv.Data{}), want: unionpay.FormatError},
		{name: "number with forged chip data", make: onLin(forgedChip(emv.ARQC)), want: unionpay.SuspectedFraud},
		{name: "forged chip data in an upload", make: func(i *intruder) unionpay.Message {
			m := onLin(forgedChip(emv.TC))(i).(*unionpay.FinancialRequest)
			m.Info.MessageType, m.Reserved = unionpay.KindOfflineUpload, "CUP"
			return m
		}, want: unionpay.SuspectedFraud},
		{name: "PIN block of garbage", make: changed(func(i *intruder, p *unionpay.Payment) {
			p.PAN, p.PINBlock, p.PINCapture, p.Security = i.numberOf("lin"), &garbled, "12", "2600000000000000"
		}), want: unionpay.PINFormatError},
		{name: "pre-authorisation", make: func(i *intruder) unionpay.Message {
			m := onLin(forgedChip(emv.ARQC))(i).(*unionpay.FinancialRequest)
			m.Authorization, m.Processing, m.Info.MessageType = true, unionpay.ProcessingPreAuth, unionpay.KindPreAuth
			return m
		}, want: unionpay.SuspectedFraud},
		{name: "a sale that gives money back", make: onLinWith(unionpay.ProcessingVoid), want: odd},
		{name: "a sale that loads a purse", make: onLinWith(unionpay.ProcessingLoad), want: odd},
		{name: "same key, other content", make: func(i *intruder) unionpay.Message {
			i.stan-- // the trace number of the one before
			m := i.bogus()
			m.Amount = money.New(77, money.CNY)
			return m
		}, want: unionpay.DuplicateTransmission},
	}
}

func onLinWith(code unionpay.ProcessingCode) func(*intruder) unionpay.Message {
	return changed(func(i *intruder, p *unionpay.Payment) {
		p.PAN, p.Processing, p.ICC = i.numberOf("lin"), code, forgedChip(emv.ARQC)
	})
}

// try sends a scheme and checks the answer.
func (i *intruder) try(s scheme) {
	i.Helper()
	sign := s.mac
	if sign == nil {
		sign = i.mac
	}
	i.write(i.frame(i.encode(s.make(i), sign)))
	got := silence
	if s.want == silence {
		i.untilBarrier(func(p *unionpay.Payment) { got = p.Response })
	} else {
		got = i.code()
	}
	if got != s.want {
		i.Errorf("%s: %s, want %s", s.name, got, s.want)
	}
}

// untilBarrier sends a payment that the other side refuses at once, and tells of every answer that comes before that refusal. The role answers in the order
// of arrival; an echo would not do, because the link answers it by itself.
func (i *intruder) untilBarrier(told func(p *unionpay.Payment)) {
	i.Helper()
	m := i.bogus()
	m.Amount = money.New(0, money.CNY)
	if i.dialect == unionpay.Switch {
		m.PAN = strangersNumber(i, "62888800")
	}
	i.send(m)
	for {
		answer := i.read()
		p := unionpay.PaymentOf(answer)
		if p == nil {
			i.Fatalf("instead of a refusal: %v", answer)
		}
		if p.STAN == m.STAN {
			return
		}
		told(p)
	}
}

// afterNothing goes on with a payment of another terminal: under its own name there is none.
func afterNothing(kind unionpay.MessageType) func(*intruder) unionpay.Message {
	return func(i *intruder) unionpay.Message {
		m := i.bogus()
		m.PAN, m.Info.MessageType, m.Processing = i.numberOf("lin"), kind, unionpay.ProcessingVoid
		m.Original, m.RRN, m.AuthCode, m.Reserved = &unionpay.Original{Batch: 1, STAN: 1}, "632502000001", "000001", "CUP"
		if kind == unionpay.KindCompletion || kind == unionpay.KindCompletionNote {
			m.Processing = unionpay.ProcessingSale
		}
		m.Authorization, m.Advice = kind == unionpay.KindPreAuthCancel, kind == unionpay.KindRefund || kind == unionpay.KindCompletionNote
		return m
	}
}

// knownTerminal is a terminal with good keys that lies.
func (a *arena) knownTerminal() {
	before := a.books()
	i := a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn()
	honest := a.shops.options.Profile.Merchants[0]
	for _, s := range append(commonSchemes(unionpay.InvalidTransaction),
		scheme{name: "another terminal's number", make: changed(func(_ *intruder, p *unionpay.Payment) { p.Terminal, p.Merchant = honest.Terminal, honest.ID }),
			want: unionpay.TerminalNotRegistered},
		scheme{name: "a reversal in another terminal's name", make: func(i *intruder) unionpay.Message {
			m := i.bogusReversal()
			m.Terminal, m.Merchant = honest.Terminal, honest.ID
			return m
		}, want: unionpay.TerminalNotRegistered},
		scheme{name: "a terminal that does not exist", make: changed(func(_ *intruder, p *unionpay.Payment) { p.Terminal = "T9999999" }),
			want: unionpay.TerminalNotRegistered},
		scheme{name: "another merchant", make: changed(func(_ *intruder, p *unionpay.Payment) { p.Merchant = honest.ID }), want: unionpay.InvalidMerchant},
		scheme{name: "amount zero", make: changed(func(_ *intruder, p *unionpay.Payment) { p.Amount = money.New(0, money.CNY) }), want: unionpay.InvalidAmount},
		scheme{name: "other currency", make: changed(func(i *intruder, p *unionpay.Payment) { p.Amount = money.New(100, dollars(i)) }),
			want: unionpay.NotPermittedToTerminal},
		scheme{name: "most money there is", make: changed(func(i *intruder, p *unionpay.Payment) {
			p.PAN, p.Amount, p.ICC = i.numberOf("lin"), money.New(999_999_999_999, money.CNY), forgedChip(emv.ARQC)
		}), want: unionpay.SuspectedFraud},
		scheme{name: "notice about a script", make: func(i *intruder) unionpay.Message {
			p := i.bogus().Payment
			p.Acquirer, p.RRN, p.Original = "30010000", "632502000001", &unionpay.Original{Batch: 1, STAN: 1}
			return &unionpay.ScriptNotice{Payment: p}
		}, want: unionpay.Approved}, // taken and passed on: it names nothing and moves nothing
		scheme{name: "void of nothing", make: afterNothing(unionpay.KindVoid), want: unionpay.OriginalNotFound},
		scheme{name: "refund of nothing", make: afterNothing(unionpay.KindRefund), want: unionpay.OriginalNotFound},
		scheme{name: "completion of nothing", make: afterNothing(unionpay.KindCompletion), want: unionpay.OriginalNotFound},
		scheme{name: "notice of a completion of nothing", make: afterNothing(unionpay.KindCompletionNote), want: unionpay.OriginalNotFound},
		scheme{name: "cancellation of nothing", make: afterNothing(unionpay.KindPreAuthCancel), want: unionpay.OriginalNotFound},
	) {
		i.try(s)
	}
	if after := a.books(); after != before {
		a.Errorf("a lying terminal moved money:\n%s\n%s", before, after)
	}
	a.hostileFields()
}

// hostileFields damages single fields of messages that carry a right MAC: whatever decodes is refused, whatever does not is not answered.
func (a *arena) hostileFields() {
	for _, number := range []int{2, 3, 4, 11, 22, 25, 41, 42, 49, 60} {
		i := a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn() // errors add up on a connection
		i.stan = uint32(1000 * number)
		spec := unionpay.SpecOf(i.dialect)
		for _, content := range []byte{0x00, 0xFF, 0x0A, '\'', 0xE4} {
			body := i.encode(i.bogus(), nil)
			var m iso8583.Message
			if err := spec.Unpack(body, &m); err != nil {
				a.Fatal(err)
			}
			start, end := m.Range(number)
			for at := start; at < end; at++ {
				body[at] = content
			}
			i.write(i.frame(i.resign(body)))
			i.untilBarrier(func(p *unionpay.Payment) {
				if p.Response == unionpay.Approved {
					a.Errorf("field %d of %02X was approved", number, content)
				}
			})
		}
	}
}

// resign adds a MAC to a body that has none.
func (i *intruder) resign(body []byte) []byte {
	i.Helper()
	bit := 64
	if i.dialect == unionpay.Switch {
		bit = 128
	}
	bitmap := 2
	if i.dialect == unionpay.Switch {
		bitmap = 4
	}
	body[bitmap+(bit-1)/8] |= 0x01
	code, err := i.mac(body)
	if err != nil {
		i.Fatal(err)
	}
	return append(body, code[:]...)
}

// framesOfOthers replays what a till really sent, to a connection that is not its own, and what the intruder sent in an earlier session.
func (a *arena) framesOfOthers() {
	a.pay("lin", "shop-1", "5.00")
	before, rows := a.books(), a.rows()
	stolen := businessFrames(a.overheard.take())
	if len(stolen) == 0 {
		a.Fatal("overheard nothing")
	}
	stranger := a.intrude(RoleAcquirer)
	known := a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn()
	for _, frame := range stolen[max(0, len(stolen)-5):] {
		for _, i := range []*intruder{stranger, known} {
			i.write(frame)
			if got := i.code(); got != unionpay.MACError {
				a.Errorf("a till's frame over another connection: %s", got)
			}
		}
	}
	if after := a.rows(); after != rows {
		a.Errorf("replayed frames made %d rows", after-rows)
	}
	m := known.bogus()
	frame := known.frame(known.encode(m, known.mac))
	known.write(frame)
	first := known.code()
	rows = a.rows()
	again := a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn()
	again.write(frame) // the old key is still good for messages under way: a repeat, and no more than that
	if got := again.code(); got != first {
		a.Errorf("a frame of the session before: %s, want %s again", got, first)
	}
	a.clock.Advance(61 * time.Second)
	again.write(frame)
	if got := again.code(); got != unionpay.MACError {
		a.Errorf("a frame of the session before, too late: %s", got)
	}
	if after := a.rows(); after != rows {
		a.Errorf("replayed frames made %d rows", after-rows)
	}
	if after := a.books(); after != before {
		a.Error("replayed frames moved money")
	}
}

// businessFrames takes the payment requests out of what was overheard on several connections: every frame that stands whole.
func businessFrames(text []byte) (frames [][]byte) {
	for at := 0; at+2 < len(text); at++ {
		reader := bytes.NewReader(text[at:])
		frame, err := iso8583.TerminalFraming.ReadFrame(bufio.NewReaderSize(reader, 16), nil)
		if err != nil {
			continue
		}
		if m, err := unionpay.Decode(unionpay.Terminal, frame.Body); err == nil && m.Type() == unionpay.TypeFinancialRequest {
			size := 2 + len(frame.TPDU) + len(frame.Header) + len(frame.Body)
			frames = append(frames, bytes.Clone(text[at:at+size]))
			at += size - 1
		}
	}
	return frames
}

// reversalsOfNothing floods acquirer and switch with reversals of payments that never were.
func (a *arena) reversalsOfNothing() {
	const count, window = 1500, 500 // at most so many answers under way: a session has room for a thousand
	for _, i := range []*intruder{
		a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn(), a.intrude(RoleSwitch).withKeys(evilMember, "").signOn(),
	} {
		held := heap()
		i.stan += 100_000
		for range count / window {
			for range window {
				i.send(i.bogusReversal())
			}
			a.pay("liu", "kiosk", "1.00")
			for range window {
				if got := i.code(); got != unionpay.Approved {
					a.Fatalf("%s: a reversal of nothing: %s", i.name, got)
				}
			}
		}
		a.snapshot() // everything settled
		grown := int64(heap()) - int64(held)
		a.Logf("%s: %d bytes of memory for each reversal of nothing", i.name, grown/count)
		if grown > count*reversalBudget {
			a.Errorf("%s: %d reversals of nothing cost %d bytes", i.name, count, grown)
		}
	}
}

// reversalBudget is what a reversal of an unknown payment may cost all members together: it must be remembered, because the payment may still come.
const reversalBudget = 16 << 10

// knownMember is a bank with good keys that lies.
func (a *arena) knownMember() {
	honest := a.pay("lin", "shop-1", "6.00")
	victim := a.lastNetworkKey()
	before, rows := a.books(), a.rows()
	i := a.intrude(RoleSwitch).withKeys(evilMember, "").signOn()
	acquirer := a.banks.options.Profile.Acquirer.Institution
	original := &unionpay.Original{Type: unionpay.TypeFinancialRequest, TransmissionTime: victim[:10], Acquirer: acquirer, Forwarder: acquirer}
	if _, err := fmt.Sscanf(victim[10:16], "%d", &original.STAN); err != nil {
		a.Fatal(err)
	}
	take := func(forwarder string) func(*intruder) unionpay.Message {
		return func(i *intruder) unionpay.Message {
			m := i.bogusReversal()
			m.PAN, m.TransmissionTime, m.STAN, m.Original, m.Amount = i.numberOf("lin"), original.TransmissionTime, original.STAN, original, honest.Amount
			m.Acquirer, m.Forwarder = acquirer, forwarder
			return m
		}
	}
	for _, s := range []scheme{
		{name: "another member's payment taken back, in its name", make: take(acquirer), want: unionpay.TerminalNotRegistered},
		{name: "another member's payment taken back", make: take(evilMember), want: unionpay.TerminalNotRegistered},
		{name: "a payment in another member's name", make: changed(func(_ *intruder, p *unionpay.Payment) { p.Acquirer, p.Forwarder = acquirer, acquirer }),
			want: unionpay.TerminalNotRegistered},
		{name: "an answer for another issuer", make: func(i *intruder) unionpay.Message {
			p := take(acquirer)(i).(*unionpay.ReversalRequest).Payment
			p.Response, p.Original = unionpay.InsufficientFunds, nil
			return &unionpay.FinancialResponse{Payment: p}
		}, want: silence},
		{name: "an acknowledgement for another issuer", make: func(i *intruder) unionpay.Message {
			p := take(acquirer)(i).(*unionpay.ReversalRequest).Payment
			p.Response, p.Original = unionpay.Approved, nil
			return &unionpay.ReversalResponse{Payment: p}
		}, want: silence},
	} {
		i.try(s)
	}
	if after := a.rows(); after != rows+2 { // those of the two barriers
		a.Errorf("a member's lies made %d rows", after-rows-2)
	}
	for _, s := range commonSchemes(unionpay.NotPermittedToCard) {
		i.try(s)
	}
	if after := a.books(); after != before {
		a.Errorf("a lying member moved money:\n%s\n%s", before, after)
	}
	i.name = "10010000"
	i.sendUnsigned(i.network(unionpay.SignOn))
	if got := i.code(); got != unionpay.TerminalNotRegistered {
		a.Errorf("another identity on the same connection: %s", got)
	}
	if got := i.code(); got != closed {
		a.Errorf("after it: %s", got)
	}
}

// lastNetworkKey is the key under which the acquirer sent its last payment.
func (a *arena) lastNetworkKey() string {
	a.Helper()
	rows, err := a.banks.acquirer.rows(a.Context())
	if err != nil {
		a.Fatal(err)
	}
	key := ""
	for i := range rows {
		if rows[i].Kind == journal.Requested {
			key = rows[i].Payment
		}
	}
	return key
}

// evilCard is a payment with a card of the evil bank at the evil shop.
func (i *intruder) evilCard() *unionpay.FinancialRequest {
	i.Helper()
	m := i.bogus()
	m.PAN = strangersNumber(i, evilPrefix)
	return m
}

// issuersAnswers lets the evil bank answer payments with its own cards as it likes. It declines, so no money is at stake; everybody must survive it.
func (a *arena) issuersAnswers() {
	bank := a.intrude(RoleSwitch).withKeys(evilMember, "").signOn()
	shop := a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn()
	shop.stan = 500_000
	fat := emv.Data{}
	fat.Set(emv.TagIssuerAuthData, bytes.Repeat([]byte{0xFF}, 16))
	fat.Set(emv.TagPAN, []byte{0x62, 0x99, 0x99, 0x66, 0x66, 0x60, 0x00, 0x1F})
	fat.Set(tlv.Tag(0x72), bytes.Repeat([]byte{0x86}, 200))
	for name, change := range map[string]func(*unionpay.Payment){
		"plain":                func(*unionpay.Payment) {},
		"unknown code":         func(p *unionpay.Payment) { p.Response = "ZZ" },
		"half a code":          func(p *unionpay.Payment) { p.Response = "5" },
		"no keys":              func(p *unionpay.Payment) { p.Response = unionpay.MACError },
		"other amount":         func(p *unionpay.Payment) { p.Amount = money.New(99_999_999, money.CNY) },
		"other terminal":       func(p *unionpay.Payment) { p.Terminal, p.Merchant = "T0000001", "301000054110001" },
		"other reference":      func(p *unionpay.Payment) { p.RRN = "999999999999" },
		"strange approval":     func(p *unionpay.Payment) { p.AuthCode = "ZZZZZZ" },
		"scripts and a number": func(p *unionpay.Payment) { p.ICC = fat },
		"balance owed": func(p *unionpay.Payment) {
			p.Balance = &unionpay.Balance{AccountType: "99", AmountType: "99", Amount: money.New(-999_999_999_999, money.CNY)}
		},
		"another day": func(p *unionpay.Payment) { p.SettlementDate = "0229" },
	} {
		shop.send(shop.evilCard())
		request, ok := bank.read().(*unionpay.FinancialRequest)
		if !ok {
			a.Fatalf("%s: no request", name)
		}
		answer := unionpay.Respond(request, unionpay.Answer{Response: unionpay.DoNotHonour})
		change(unionpay.PaymentOf(answer))
		bank.send(answer)
		bank.send(answer) // and once more
		if got := shop.code(); got == closed || got == unionpay.Approved {
			a.Errorf("%s: the terminal got %s", name, got)
		}
	}
	a.pay("lin", "shop-1", "1.00")
}

// issuersSilence lets the evil bank not answer at all, and acknowledge the reversal badly before it does so well.
func (a *arena) issuersSilence() {
	bank := a.intrude(RoleSwitch).withKeys(evilMember, "").signOn()
	shop := a.intrude(RoleAcquirer).withKeys(evilTerminal, evilMerchant).signOn()
	shop.stan = 600_000
	shop.send(shop.evilCard())
	request, ok := bank.read().(*unionpay.FinancialRequest)
	if !ok {
		a.Fatal("no request")
	}
	more := func(p *unionpay.Payment) { a.Errorf("the switch says %s as well", p.Response) }
	bank.untilBarrier(more) // now the switch's timer is set
	a.clock.Advance(31 * time.Second)
	if got := shop.code(); got != unionpay.IssuerTimeout {
		a.Errorf("the terminal got %s", got)
	}
	for range 2 {
		reversal, ok := bank.read().(*unionpay.ReversalRequest)
		if !ok {
			a.Fatal("no reversal")
		}
		bank.send(unionpay.Respond(request, unionpay.Answer{Response: unionpay.Approved})) // too late
		bank.send(unionpay.Respond(reversal, unionpay.Answer{Response: unionpay.SystemFault}))
		bank.untilBarrier(more)
		a.clock.Advance(61 * time.Second)
	}
	reversal, ok := bank.read().(*unionpay.ReversalRequest)
	if !ok {
		a.Fatal("the reversal was given up")
	}
	bank.send(unionpay.Respond(reversal, unionpay.Answer{Response: unionpay.Approved}))
	a.pay("lin", "shop-1", "1.00")
}
