package app

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/glossary"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/internal/memnet"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// Where the connections of the demo's world stand in wires: tills dial the acquirer in the order of the merchants; the issuers, then the acquirer, dial the
// switch.
const (
	tillShop1, tillCanteen, tillKiosk = 0, 1, 2
	memberIssuer1, memberIssuer2      = 0, 1
	memberAcquirer                    = 2
)

// fault is one thing broken on purpose.
type fault struct {
	name glossary.Term
	run  func(*story, context.Context) (DemoFault, error)
}

func faults() []fault {
	return []fault{
		{glossary.Term{EN: "answer lost on the way to the till", ZH: "应答在返回终端途中丢失"}, (*story).lostAtTill},
		{glossary.Term{EN: "answer lost between issuer and switch", ZH: "应答在发卡行与交换中心之间丢失"}, (*story).lostAtSwitch},
		{glossary.Term{EN: "same request sent twice", ZH: "同一请求重复发送"}, (*story).repeated},
		{glossary.Term{EN: "cryptogram replayed in a new payment", ZH: "重放旧密文"}, (*story).replayed},
		{glossary.Term{EN: "one byte of the message changed on the wire", ZH: "报文途中被改动一个字节"}, (*story).tamperedMessage},
		{glossary.Term{EN: "one byte of the card's record changed", ZH: "卡片记录被改动一个字节"}, (*story).tamperedRecord},
		{glossary.Term{EN: "card pulled away while paying by purse", ZH: "电子现金支付途中移开卡片"}, (*story).torn},
		{glossary.Term{EN: "stolen card", ZH: "被盗卡"}, (*story).stolen},
		{glossary.Term{EN: "garbage sent to a port", ZH: "端口收到乱码"}, (*story).garbage},
	}
}

func (s *story) faults(ctx context.Context) error {
	for _, f := range faults() {
		s.tell(f.name)
		result, err := f.run(s, ctx)
		if err != nil {
			return fmt.Errorf("fault %q: %w", f.name.EN, err)
		}
		result.Name = f.name
		s.report.Faults = append(s.report.Faults, result)
		if err := s.next(ctx); err != nil {
			return fmt.Errorf("after fault %q: %w", f.name.EN, err)
		}
	}
	return nil
}

func sentence(ok bool, good, bad glossary.Term) DemoFault {
	if ok {
		return DemoFault{OK: true, Detail: good}
	}
	return DemoFault{Detail: bad}
}

// watch looks at the frames that one end of a connection sends. The first frame whose message type is wanted gets the action; every frame is remembered.
type watch struct {
	mu     sync.Mutex
	frames [][]byte
	acted  chan struct{}
}

// put sets a watch on an end. done takes it off.
func put(end *memnet.Conn, dialect unionpay.Dialect, wanted unionpay.MTI, action memnet.Action) (w *watch, done func()) {
	w = &watch{acted: make(chan struct{})}
	split, framing := memnet.BinaryLengthPrefix, iso8583.TerminalFraming
	if dialect == unionpay.Switch {
		split, framing = memnet.DecimalLengthPrefix, iso8583.SwitchFraming
	}
	used := false
	end.SetFault(&memnet.Fault{Split: split, Decide: func(_ int, frame []byte) memnet.Action {
		w.mu.Lock()
		defer w.mu.Unlock()
		if messageType(framing, dialect, frame) != wanted {
			return memnet.Pass
		}
		w.frames = append(w.frames, bytes.Clone(frame))
		if used {
			return memnet.Pass
		}
		used = true
		close(w.acted)
		return action
	}})
	return w, func() { end.SetFault(nil) }
}

// messageType reads the type of the message in a frame, "" when there is none.
func messageType(framing iso8583.Framing, dialect unionpay.Dialect, frame []byte) unionpay.MTI {
	m, err := decodeFrame(framing, dialect, frame)
	if err != nil {
		return ""
	}
	return unionpay.WireType(dialect, m)
}

func decodeFrame(framing iso8583.Framing, dialect unionpay.Dialect, frame []byte) (unionpay.Message, error) {
	f, err := framing.ReadFrame(bufio.NewReader(bytes.NewReader(frame)), nil)
	if err != nil {
		return nil, err
	}
	return unionpay.Decode(dialect, f.Body)
}

func (w *watch) seen() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.frames
}

// pending is a tap that runs while the story breaks something.
type pending struct {
	result TapResult
	err    error
	done   chan struct{}
}

func (s *story) begin(ctx context.Context, sc scene) *pending {
	p := &pending{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		p.result, p.err = s.play(ctx, sc)
	}()
	return p
}

func (p *pending) wait(ctx context.Context) (TapResult, error) {
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
		return TapResult{}, ctx.Err()
	}
}

// loseAnswer drops the answer to a tap at one end, then lets the simulated clock run to the next deadline.
func (s *story) loseAnswer(ctx context.Context, end *memnet.Conn, dialect unionpay.Dialect) (result TapResult, before, after int64, err error) {
	if before, err = s.balanceOf(ctx, "lin"); err != nil {
		return result, 0, 0, err
	}
	w, done := put(end, dialect, unionpay.TypeFinancialResponse, memnet.Drop)
	defer done()
	tap := s.begin(ctx, scene{card: "lin", at: "shop-1", amount: "66.00"})
	select {
	case <-w.acted:
	case <-tap.done:
		return result, 0, 0, fmt.Errorf("the tap ended before its answer was lost: %w", tap.err)
	case <-ctx.Done():
		return result, 0, 0, ctx.Err()
	}
	if at, ok := s.clock.NextAt(); ok {
		s.clock.Advance(at.Sub(s.clock.Now()))
	}
	if result, err = tap.wait(ctx); err != nil {
		return result, 0, 0, err
	}
	if err = s.Settle(ctx); err != nil {
		return result, 0, 0, err
	}
	after, err = s.balanceOf(ctx, "lin")
	return result, before, after, err
}

func (s *story) lostAtTill(ctx context.Context) (DemoFault, error) {
	result, before, after, err := s.loseAnswer(ctx, s.wires.of(RoleAcquirer, tillShop1).listener, unionpay.Terminal)
	if err != nil {
		return DemoFault{}, err
	}
	f := sentence(result.Outcome == OutcomeReversed && before == after,
		glossary.Term{EN: "reversed, balance unchanged", ZH: "已冲正，余额不变"},
		glossary.Term{EN: fmt.Sprintf("%s, balance moved by %d", result.Outcome, after-before), ZH: fmt.Sprintf("%s，余额变动 %d", result.Outcome, after-before)})
	f.Trace = result.Trace
	return f, nil
}

func (s *story) lostAtSwitch(ctx context.Context) (DemoFault, error) {
	result, before, after, err := s.loseAnswer(ctx, s.wires.of(RoleSwitch, memberIssuer1).dialler, unionpay.Switch)
	if err != nil {
		return DemoFault{}, err
	}
	f := sentence(result.ResponseCode == string(unionpay.IssuerTimeout) && before == after,
		glossary.Term{EN: "98 to the till, reversed at the issuer, balance unchanged", ZH: "终端收到 98，发卡行已冲正，余额不变"},
		glossary.Term{EN: fmt.Sprintf("%s %s, balance moved by %d", result.Outcome, result.ResponseCode, after-before),
			ZH: fmt.Sprintf("%s %s，余额变动 %d", result.Outcome, result.ResponseCode, after-before)})
	f.Trace = result.Trace
	return f, nil
}

// repeated sends the acquirer's request to the switch a second time and compares the two answers.
func (s *story) repeated(ctx context.Context) (DemoFault, error) {
	link := s.wires.of(RoleSwitch, memberAcquirer)
	requests, doneRequests := put(link.dialler, unionpay.Switch, unionpay.TypeFinancialRequest, memnet.Pass)
	defer doneRequests()
	first, doneFirst := put(link.listener, unionpay.Switch, unionpay.TypeFinancialResponse, memnet.Pass)
	result, err := s.play(ctx, scene{card: "lin", at: "shop-1", amount: "31.00"})
	doneFirst()
	if err != nil {
		return DemoFault{}, err
	}
	before, err := s.balanceOf(ctx, "lin")
	if err != nil {
		return DemoFault{}, err
	}
	second, doneSecond := put(link.listener, unionpay.Switch, unionpay.TypeFinancialResponse, memnet.Pass)
	defer doneSecond()
	if len(requests.seen()) != 1 || len(first.seen()) != 1 {
		return DemoFault{}, fmt.Errorf("saw %d requests and %d answers, want one each", len(requests.seen()), len(first.seen()))
	}
	if _, err := link.dialler.Write(requests.seen()[0]); err != nil {
		return DemoFault{}, fmt.Errorf("send again: %w", err)
	}
	select {
	case <-second.acted:
	case <-ctx.Done():
		return DemoFault{}, ctx.Err()
	}
	after, err := s.balanceOf(ctx, "lin")
	if err != nil {
		return DemoFault{}, err
	}
	same := bytes.Equal(first.seen()[0], second.seen()[0])
	f := sentence(same && before == after && result.Paid(),
		glossary.Term{EN: "one posting, same answer byte for byte", ZH: "只入账一次，应答逐字节相同"},
		glossary.Term{EN: fmt.Sprintf("same answer: %t, balance moved by %d", same, after-before), ZH: fmt.Sprintf("应答相同：%t，余额变动 %d", same, after-before)})
	f.Trace = result.Trace
	return f, nil
}

// replayed takes the chip data of a payment that was made and asks for another one with it.
func (s *story) replayed(ctx context.Context) (DemoFault, error) {
	requests, done := put(s.wires.of(RoleAcquirer, tillShop1).dialler, unionpay.Terminal, unionpay.TypeFinancialRequest, memnet.Pass)
	defer done()
	if _, err := s.play(ctx, scene{card: "lin", at: "shop-1", amount: "42.00"}); err != nil {
		return DemoFault{}, err
	}
	m, err := decodeFrame(iso8583.TerminalFraming, unionpay.Terminal, requests.seen()[0])
	if err != nil {
		return DemoFault{}, err
	}
	stolen, ok := m.(*unionpay.FinancialRequest)
	if !ok {
		return DemoFault{}, fmt.Errorf("the till sent %s", m.Type())
	}
	outcome, err := s.tills["shop-1"].core.Send(ctx, *stolen, nil)
	if err != nil {
		return DemoFault{}, err
	}
	node := s.issuers[s.holders["lin"].personal.Record.Issuer]
	var reason issuer.Reason
	if err := node.look(ctx, func() { reason = node.core.ReasonOf(outcome.Answer.RRN) }); err != nil {
		return DemoFault{}, err
	}
	f := sentence(reason == issuer.CounterUsed && !outcome.Answer.Response.Approved(),
		glossary.Term{EN: "declined: " + reason.Term().EN, ZH: "拒绝：" + reason.Term().ZH},
		glossary.Term{EN: "answered " + string(outcome.Answer.Response) + ": " + reason.Term().EN, ZH: "应答 " + string(outcome.Answer.Response) + "：" + reason.Term().ZH})
	f.Trace = outcome.Answer.RRN
	return f, nil
}

// tamperedMessage changes the amount in a request on its way from the till to the acquirer.
func (s *story) tamperedMessage(ctx context.Context) (DemoFault, error) {
	till := s.wires.of(RoleAcquirer, tillKiosk).dialler
	w, done := put(till, unionpay.Terminal, unionpay.TypeFinancialRequest, memnet.Drop)
	defer done()
	before, err := rowCount(ctx, s.acquirer.node, journal.Requested)
	if err != nil {
		return DemoFault{}, err
	}
	tap := s.begin(ctx, scene{card: "liu", at: "kiosk", amount: "18.00"})
	select {
	case <-w.acted:
	case <-ctx.Done():
		return DemoFault{}, ctx.Err()
	}
	frame := bytes.Clone(w.seen()[0])
	at := bytes.Index(frame, []byte{0x00, 0x00, 0x00, 0x00, 0x18, 0x00})
	if at < 0 {
		return DemoFault{}, fmt.Errorf("the request does not hold its amount")
	}
	frame[at+4] = 0x08 // 8.00 instead of 18.00
	if _, err := till.Write(frame); err != nil {
		return DemoFault{}, fmt.Errorf("send the changed request: %w", err)
	}
	result, err := tap.wait(ctx)
	if err != nil {
		return DemoFault{}, err
	}
	after, err := rowCount(ctx, s.acquirer.node, journal.Requested)
	if err != nil {
		return DemoFault{}, err
	}
	f := sentence(result.ResponseCode == string(unionpay.MACError) && before == after,
		glossary.Term{EN: "MAC does not match: refused with A0, nothing booked", ZH: "MAC 校验失败：以 A0 拒绝，未入账"},
		glossary.Term{EN: fmt.Sprintf("%s %s", result.Outcome, result.ResponseCode), ZH: fmt.Sprintf("%s %s", result.Outcome, result.ResponseCode)})
	f.Trace = result.Trace
	return f, nil
}

// flip changes one bit in the answer to one command, as somebody between card and reader would.
type flip struct {
	apdu.Transceiver
	command []byte // the beginning of the command whose answer is changed
	at      int    // which byte of the answer
}

// Transceive passes everything on and changes one answer.
func (f flip) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	response, err := f.Transceiver.Transceive(ctx, command)
	if err == nil && bytes.HasPrefix(command, f.command) && len(response) > f.at+2 {
		response = bytes.Clone(response)
		response[f.at] ^= 0x01
	}
	return response, err
}

// tamperedRecord changes a byte of the signed record that holds the card number and expiry.
func (s *story) tamperedRecord(ctx context.Context) (DemoFault, error) {
	before := s.holders["sun"].purse(s.options.Profile.Money())
	signedRecord := apdu.ReadRecord(3, 1).Bytes()[:4]
	result, err := s.play(ctx, scene{card: "sun", at: "canteen", amount: "15.00", options: tapOptions{
		offlineOnly: true, wrap: func(t apdu.Transceiver) apdu.Transceiver { return flip{t, signedRecord, tamperedByte} },
	}})
	if err != nil {
		return DemoFault{}, err
	}
	after := s.holders["sun"].purse(s.options.Profile.Money())
	f := sentence(result.Outcome == OutcomeDeclined,
		glossary.Term{EN: "offline authentication failed, e-cash refused", ZH: "脱机数据认证失败，拒绝电子现金"},
		glossary.Term{EN: string(result.Outcome), ZH: string(result.Outcome)})
	f.Detail.EN += fmt.Sprintf(" (%s)", result.Why.EN)
	f.Detail.ZH += fmt.Sprintf("（%s）", result.Why.ZH)
	s.unpaid(before, after)
	f.Trace = result.Trace
	return f, nil
}

// tamperedByte lies in the usage control of the signed record: nothing but the signature notices.
const tamperedByte = 30

// unpaid remembers purse money that left a card without a payment: the terminal refused after the card had paid. The checks of the books count it.
func (s *story) unpaid(before, after money.Amount) { s.stranded += before.Minor() - after.Minor() }

// torn takes the card away before its last record is read, then presents it again.
func (s *story) torn(ctx context.Context) (DemoFault, error) {
	currency := s.options.Profile.Money()
	before := s.holders["lin"].purse(currency)
	result, err := s.play(ctx, scene{card: "lin", at: "canteen", amount: "5.00", options: tapOptions{
		offlineOnly: true, presentAgain: true, field: func(f *card.Field) { f.TearAfterCommit(purseCommit) },
	}})
	if err != nil {
		return DemoFault{}, err
	}
	after := s.holders["lin"].purse(currency)
	paid := before.Minor() - after.Minor()
	f := sentence(result.Outcome == OutcomeApprovedOffline && paid == result.Amount.Minor(),
		glossary.Term{EN: "re-tap of the same card: paid once", ZH: "同卡重新挥卡：只扣一次"},
		glossary.Term{EN: fmt.Sprintf("%s, purse moved by %d", result.Outcome, paid), ZH: fmt.Sprintf("%s，余额变动 %d", result.Outcome, paid)})
	f.Trace = result.Trace
	return f, nil
}

// purseCommit is the second write of a purse payment: the first makes the counter durable, this one the new balance.
const purseCommit = 2

// stolen reports a card as stolen at its bank and taps it.
func (s *story) stolen(ctx context.Context) (DemoFault, error) {
	record := s.holders["he"].personal.Record
	node, status := s.issuers[record.Issuer], issuer.Stolen
	if _, err := node.ask(ctx, issuer.Alter{Change: issuer.Change{Card: record.Card, Status: &status}}); err != nil {
		return DemoFault{}, err
	}
	result, err := s.play(ctx, scene{card: "he", at: "kiosk", amount: "50.00"})
	if err != nil {
		return DemoFault{}, err
	}
	f := sentence(result.Outcome == OutcomeDeclined && result.ResponseCode == string(unionpay.StolenCard),
		glossary.Term{EN: "declined 43, the reported card pays nothing", ZH: "以 43 拒绝，被盗卡不能支付"},
		glossary.Term{EN: fmt.Sprintf("%s %s", result.Outcome, result.ResponseCode), ZH: fmt.Sprintf("%s %s", result.Outcome, result.ResponseCode)})
	f.Trace = result.Trace
	return f, nil
}

// garbage talks nonsense to the acquirer's port, then pays at a till as if nothing had happened.
func (s *story) garbage(ctx context.Context) (DemoFault, error) {
	conn, err := s.memory.Dial(ctx, RoleAcquirer)
	if err != nil {
		return DemoFault{}, err
	}
	if _, err := conn.Write(bytes.Repeat([]byte{0xFF}, 512)); err != nil {
		return DemoFault{}, fmt.Errorf("send garbage: %w", err)
	}
	_, readErr := io.Copy(io.Discard, conn) // ends when the acquirer closes
	result, err := s.play(ctx, scene{card: "liu", at: "kiosk", amount: "9.00"})
	if err != nil {
		return DemoFault{}, err
	}
	f := sentence(result.Paid(),
		glossary.Term{EN: "connection closed, others pay on", ZH: "连接已关闭，其他交易照常"},
		glossary.Term{EN: fmt.Sprintf("then a tap ended %s (%v)", result.Outcome, readErr), ZH: fmt.Sprintf("随后的交易：%s（%v）", result.Outcome, readErr)})
	f.Trace = result.Trace
	return f, nil
}
