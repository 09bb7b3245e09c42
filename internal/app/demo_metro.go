package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv/oda"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/internal/app/validator"
	"tapnet/internal/clock"
	"tapnet/internal/issuer"
	"tapnet/internal/taplog"
	"tapnet/internal/transit"
	"tapnet/money"
)

var metroChapter = glossary.Term{EN: "A day on the metro", ZH: "地铁一日"}

// The riders: one pays, one may spend no fare at a time, one's card is cancelled at the bank.
const (
	payingRider, indebtedRider, cancelledRider = "ming", "hao", "kai"
)

// metroStory is the story of one service day.
type metroStory struct {
	*story
	gates map[byte]*validator.Validator // by the letter of the station
	power map[byte]*mains               // of their disks
	line  validator.HTTP
	copy  *card.Card // of the paying rider's card, made in the morning
}

// metroScene is one thing that happens. The proof is what must be found afterwards.
type metroScene struct {
	name   glossary.Term
	amount string
	play   func(*metroStory, context.Context) (bool, error)
	proof  glossary.Term
}

func metroScenes() []metroScene {
	return []metroScene{
		{
			name: glossary.Term{EN: "in at A and out at C, no network", ZH: "A 站进、C 站出，闸机无网络"}, play: (*metroStory).ride,
			proof: glossary.Term{EN: "two gates opened by what the card proves; the bank was asked afterwards", ZH: "凭卡片脱机认证开门，事后联机验证"},
		},
		{
			name: glossary.Term{EN: "cancelled card", ZH: "已挂失的卡"}, play: (*metroStory).cancelled,
			proof: glossary.Term{EN: "passed once; the bank said no, the list reached the gates, it is stopped", ZH: "放行一次；发卡行拒绝后黑名单下发，再次刷卡被拦"},
		},
		{
			name: glossary.Term{EN: "copy of a card", ZH: "复制卡"}, play: (*metroStory).copied,
			proof: glossary.Term{EN: "its counter did not advance: the gate stays shut", ZH: "计数器未递增，闸机不开"},
		},
		{
			name: glossary.Term{EN: "the power goes while a tap is written", ZH: "写入刷卡记录时断电"}, play: (*metroStory).powerCut,
			proof: glossary.Term{
				EN: "shut; the half record is cut off at the start, each opened gate is in the log; tapped again, open",
				ZH: "闸机不开；启动时截去残缺记录，已开门的记录一条不少；再次刷卡放行",
			},
		},
		{
			name: glossary.Term{EN: "three rides, the third under the day's cap; the day is closed", ZH: "三次乘车，第三次触及日封顶，日终结算"}, amount: "15.00",
			play:  (*metroStory).capped,
			proof: glossary.Term{EN: "5.00 + 5.00 + 7.00 = 17.00, charged 15.00 in one payment", ZH: "5.00+5.00+7.00=17.00，合并扣款15.00"},
		},
		{
			name: glossary.Term{EN: "a debt, paid by a later tap", ZH: "欠费，再次刷卡时补扣"}, amount: "5.00", play: (*metroStory).debt,
			proof: glossary.Term{EN: "refused, listed, shut; limit raised, tapped, paid; off the list, open", ZH: "拒付、列入黑名单、拒绝进站；调高限额后刷卡补扣，移出名单并放行"},
		},
	}
}

// rides tells a day on the metro.
func (s *story) rides(ctx context.Context) (err error) {
	m, err := s.newMetro(ctx)
	if err != nil {
		return err
	}
	defer func() {
		for _, g := range m.gates {
			err = errors.Join(err, g.Close())
		}
	}()
	chapter := DemoChapter{Title: metroChapter}
	for _, scene := range metroScenes() {
		s.tell(scene.name)
		good, err := scene.play(m, ctx)
		if err != nil {
			return fmt.Errorf("scene %q: %w", scene.name.EN, err)
		}
		step := DemoStep{Name: scene.name, Amount: scene.amount, OK: good, Proof: scene.proof, Result: POSResult{TapResult: TapResult{Outcome: OutcomeDone}}}
		if !good {
			step.Proof = glossary.Term{EN: "not shown: " + scene.proof.EN, ZH: "未证实：" + scene.proof.ZH}
		}
		chapter.Steps = append(chapter.Steps, step)
		if err := s.next(ctx); err != nil {
			return err
		}
	}
	s.report.Chapters = append(s.report.Chapters, chapter)
	return nil
}

func (s *story) newMetro(ctx context.Context) (*metroStory, error) {
	handler, _, err := s.Network.metro.plan.Handler(s.Network.metro.ask, s.Network.metro.core.Archive)
	if err != nil {
		return nil, err
	}
	m := &metroStory{story: s, gates: map[byte]*validator.Validator{}, power: map[byte]*mains{}}
	m.line = validator.HTTP{Base: "http://office", Client: &http.Client{Transport: direct{handler}}, Trust: m.trust()}
	for _, station := range []byte("abcd") {
		if m.gates[station], err = m.open(station); err != nil {
			return nil, err
		}
	}
	h := s.holders[payingRider]
	m.copy, err = card.New(&h.personal.Image, h.personal.Crypto, &copiedMemory{h.state()}, s.random.source("copied card"))
	if err != nil {
		return nil, err
	}
	return m, m.exchange(ctx, "abcd")
}

// copiedMemory is a chip's memory as it was when somebody read it out.
type copiedMemory struct{ state card.State }

func (c *copiedMemory) Load() (card.State, error) { return c.state, nil }
func (c *copiedMemory) Commit(s *card.State) error {
	c.state = *s
	return nil
}

// direct carries requests to a handler of this process.
type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &written{header: http.Header{}, status: http.StatusOK}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	d.handler.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.status, Header: w.header, Body: nopCloser{&w.body}, Request: r, ContentLength: int64(w.body.Len())}, nil
}

// written is an answer in memory.
type written struct {
	header http.Header
	body   bytes.Buffer
	status int
}

func (w *written) Header() http.Header         { return w.header }
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }
func (w *written) WriteHeader(status int)      { w.status = status }

type nopCloser struct{ *bytes.Buffer }

func (nopCloser) Close() error { return nil }

// home is where a gate's files lie.
func (m *metroStory) home(station byte) string {
	return filepath.Join(TransitDir(m.options.Dir), "gates", "gate-"+string(station))
}

func (m *metroStory) trust() denylist.Trust { return m.Network.metro.plan.Trust() }

// open starts the gate of a station from its files.
func (m *metroStory) open(station byte) (*validator.Validator, error) {
	plan, device := m.Network.metro.plan, "gate-"+string(station)
	taps, tapsErr := taplog.Dir(filepath.Join(m.home(station), "taps"))
	lists, listsErr := taplog.Dir(filepath.Join(m.home(station), "lists"))
	keys, keysErr := oda.NewKeys(m.options.Profile.Authorities()...)
	chain, chainErr := plan.Secret.Device(device)
	ids, idErr := plan.Secret.IDs(plan.Deps.Epoch)
	box, boxErr := plan.Secret.BoxWith(m.random.source("seals of " + device))
	if err := errors.Join(tapsErr, listsErr, keysErr, chainErr, idErr, boxErr); err != nil {
		return nil, err
	}
	m.power[station] = &mains{Disk: taps}
	o := validator.Options{
		Gate: gate.Config{Device: device, ChainKey: chain, Station: uint32(station-'a') + 1, Amount: money.New(0, m.options.Profile.Money()), Country: countryChina},
		Taps: m.power[station], Lists: lists, CAKeys: keys, IDs: []gate.Identifier{ids}, Sealer: box, Name: "METRO", Clock: m.clock,
		Random: m.random.source("gate " + device), Line: m.line,
	}
	o.Courier.Trust = m.trust()
	return validator.Open(o)
}

// exchange lets gates hand in their taps and fetch the list, one after the other, until what follows of it has ended.
func (m *metroStory) exchange(ctx context.Context, stations string) error {
	for _, station := range []byte(stations) {
		if err := m.gates[station].Exchange(ctx); err != nil {
			return err
		}
		if err := m.Settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the next list and brings it to all gates.
func (m *metroStory) publish(ctx context.Context) error {
	if _, err := m.Network.metro.ask(ctx, transit.Publish{}); err != nil {
		return err
	}
	return m.exchange(ctx, "abcd")
}

// at holds a card of the world to a gate some time later.
func (m *metroStory) at(ctx context.Context, later time.Duration, rider string, station byte, direction gate.Direction) (gate.Reason, error) {
	h := m.holders[rider]
	h.mu.Lock()
	defer h.mu.Unlock()
	return m.tapChip(ctx, later, card.NewField(h.chip), station, direction)
}

func (m *metroStory) tapChip(ctx context.Context, later time.Duration, chip apdu.Transceiver, station byte, direction gate.Direction) (gate.Reason, error) {
	m.clock.Advance(later)
	r, err := m.gates[station].Tap(ctx, chip, gate.Read{Direction: direction})
	return r.Reason(), err
}

// all reports whether each of the taps ended so.
func (m *metroStory) all(ctx context.Context, want gate.Reason, rider string, taps string) (bool, error) {
	good := true
	for place, station := range []byte(strings.ToLower(taps)) {
		direction := gate.In
		if place%2 == 1 {
			direction = gate.Out
		}
		got, err := m.at(ctx, 20*time.Minute, rider, station, direction)
		if err != nil {
			return false, err
		}
		good = good && got == want
	}
	return good, nil
}

// office reads the office's report.
func (m *metroStory) office(ctx context.Context) (r transit.Report, err error) {
	reply, err := m.Network.metro.ask(ctx, transit.ViewReport{})
	if err == nil {
		r, _ = reply.(transit.Report)
	}
	return r, err
}

func (m *metroStory) ride(ctx context.Context) (bool, error) {
	open, err := m.all(ctx, gate.OK, payingRider, "AC")
	if err != nil {
		return false, err
	}
	before, err := m.office(ctx)
	if err != nil {
		return false, err
	}
	if err := m.exchange(ctx, "ac"); err != nil {
		return false, err
	}
	after, err := m.office(ctx)
	return open && before.Totals.Taps == 0 && after.Totals.Opened == 2, err
}

func (m *metroStory) cancelled(ctx context.Context) (bool, error) {
	node, h, err := m.bankOf(cancelledRider)
	if err != nil {
		return false, err
	}
	lost := issuer.Lost
	if _, err := node.ask(ctx, issuer.Alter{Change: issuer.Change{Card: h.personal.Record.Card, Status: &lost}}); err != nil {
		return false, err
	}
	first, err := m.at(ctx, time.Minute, cancelledRider, 'b', gate.In)
	if err != nil {
		return false, err
	}
	if err := m.exchange(ctx, "b"); err != nil {
		return false, err
	}
	if err := m.publish(ctx); err != nil {
		return false, err
	}
	second, err := m.at(ctx, 10*time.Minute, cancelledRider, 'd', gate.In)
	return first == gate.OK && second == gate.DeniedBlocked, err
}

func (m *metroStory) copied(ctx context.Context) (bool, error) {
	got, err := m.tapChip(ctx, 30*time.Minute, card.NewField(m.copy), 'a', gate.In)
	return got == gate.CounterBack, err
}

func (m *metroStory) powerCut(ctx context.Context) (bool, error) {
	const station = 'b'
	before := m.gates[station].Health().Sequence
	m.power[station].armed = true
	shut, err := m.at(ctx, time.Minute, indebtedRider, station, gate.In)
	if err != nil && !errors.Is(err, errPower) {
		return false, err
	}
	cut := m.power[station].cut
	_ = m.gates[station].Close() // its disk is gone
	if m.gates[station], err = m.open(station); err != nil {
		return false, err
	}
	found := m.gates[station].Started()
	in, err := m.at(ctx, 2*time.Minute, indebtedRider, station, gate.In)
	if err != nil {
		return false, err
	}
	out, err := m.at(ctx, 20*time.Minute, indebtedRider, 'd', gate.Out)
	torn := cut && shut == gate.LogFailed && found.Cut > 0 && found.Records == before
	return torn && in == gate.OK && out == gate.OK, errors.Join(err, m.exchange(ctx, "bd"))
}

// mains is the power of a gate's disk. Once armed, it goes in the middle of the next write.
type mains struct {
	taplog.Disk
	armed, cut bool
}

var errPower = errors.New("the power is gone")

// Create implements taplog.Disk.
func (m *mains) Create(name string) (taplog.File, error) {
	if m.cut {
		return nil, errPower
	}
	f, err := m.Disk.Create(name)
	return &poweredFile{f, m}, err
}

// Rename implements taplog.Disk.
func (m *mains) Rename(from, to string) error {
	if m.cut {
		return errPower
	}
	return m.Disk.Rename(from, to)
}

// Remove implements taplog.Disk.
func (m *mains) Remove(name string) error {
	if m.cut {
		return errPower
	}
	return m.Disk.Remove(name)
}

// poweredFile is a file on a disk that may lose its power.
type poweredFile struct {
	taplog.File
	power *mains
}

// Write leaves a half of the write in the file when the power goes.
func (f *poweredFile) Write(b []byte) (int, error) {
	if f.power.armed && !f.power.cut && len(b) > 1 {
		f.power.cut = true
		n, err := f.File.Write(b[:len(b)/2])
		return n, errors.Join(errPower, err, f.File.Sync())
	}
	if f.power.cut {
		return 0, errPower
	}
	return f.File.Write(b)
}

// Sync implements taplog.File.
func (f *poweredFile) Sync() error {
	if f.power.cut {
		return errPower
	}
	return f.File.Sync()
}

func (m *metroStory) capped(ctx context.Context) (bool, error) {
	back, err := m.all(ctx, gate.OK, payingRider, "CA")
	if err != nil {
		return false, err
	}
	far, err := m.all(ctx, gate.OK, payingRider, "AD")
	if err != nil {
		return false, err
	}
	if err := m.exchange(ctx, "abcd"); err != nil {
		return false, err
	}
	before, err := m.balanceOf(ctx, payingRider)
	if err != nil {
		return false, err
	}
	if err := m.closeDay(ctx); err != nil {
		return false, err
	}
	after, err := m.balanceOf(ctx, payingRider)
	if err != nil {
		return false, err
	}
	once, err := m.paidAtOnce(ctx, 1500)
	return back && far && once && before-after == 1500, err
}

// paidAtOnce reports whether there is one rider whose journeys cost so much, in one bill, and that is paid.
func (m *metroStory) paidAtOnce(ctx context.Context, minor int64) (bool, error) {
	r, err := m.office(ctx)
	if err != nil {
		return false, err
	}
	found := 0
	for n := range int64(r.Accounts) {
		reply, err := m.Network.metro.ask(ctx, transit.ViewAccount{Account: n + 1})
		if err != nil {
			return false, err
		}
		v, ok := reply.(transit.AccountView)
		if ok && v.Statement.Total.Minor() == minor && len(v.Bills) == 1 && v.Bills[0].Minor == minor && v.Bills[0].State == transit.Paid {
			found++
		}
	}
	return found == 1, nil
}

// closeDay lets the night pass and closes the service day.
func (m *metroStory) closeDay(ctx context.Context) error {
	office := m.Network.metro
	day := office.plan.Deps.Book.ServiceDate(m.clock.Now())
	local := m.clock.Now().In(clock.Shanghai())
	m.clock.Set(time.Date(local.Year(), local.Month(), local.Day()+1, 5, 0, 0, 0, clock.Shanghai()))
	if _, err := office.ask(ctx, transit.CloseDay{Day: day}); err != nil {
		return err
	}
	if _, err := office.ask(ctx, transit.CloseOn{}); err != nil {
		return err
	}
	return m.Settle(ctx)
}

func (m *metroStory) debt(ctx context.Context) (bool, error) {
	owed, err := m.office(ctx)
	if err != nil {
		return false, err
	}
	if err := m.publish(ctx); err != nil {
		return false, err
	}
	shut, err := m.at(ctx, 3*time.Hour, indebtedRider, 'b', gate.In)
	if err != nil {
		return false, err
	}
	node, h, err := m.bankOf(indebtedRider)
	if err != nil {
		return false, err
	}
	limits := issuer.Limits{TapMinor: 100_000, DayMinor: 100_000, DayCount: 50}
	if _, err := node.ask(ctx, issuer.Alter{Change: issuer.Change{Card: h.personal.Record.Card, Limits: &limits}}); err != nil {
		return false, err
	}
	if err := m.exchange(ctx, "b"); err != nil { // hands the refused tap in: with its data the debt is asked for
		return false, err
	}
	paid, err := m.office(ctx)
	if err != nil {
		return false, err
	}
	if err := m.publish(ctx); err != nil {
		return false, err
	}
	open, err := m.at(ctx, 10*time.Minute, indebtedRider, 'c', gate.In)
	return owed.Totals.Owed == 500 && paid.Totals.Owed == 0 && paid.Totals.Paid-owed.Totals.Paid == 500 && shut == gate.DeniedDebt && open == gate.OK, err
}
