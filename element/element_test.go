package element_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/card/imprint"
	"tapnet/element"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/scp03"
	"tapnet/sdk/hce/hcetest"
	"tapnet/tlv"
)

// memory counts commits and loses the power at one of them.
type memory struct {
	element.Volatile
	commits, tear int
	after         bool // at that commit the new value is durable already
	full          bool
}

var errFull = errors.New("memory is worn out")

func (m *memory) Commit(value []byte) error {
	m.commits++
	switch {
	case m.full:
		return errFull
	case m.commits != m.tear:
		return m.Volatile.Commit(value)
	case m.after:
		_ = m.Volatile.Commit(value)
	}
	return card.ErrTorn
}

func random(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func keys(t testing.TB, n int) scp03.Keys {
	t.Helper()
	key := func(b byte) []byte { return bytes.Repeat([]byte{b, b ^ 0x5A}, n/2) }
	k, err := scp03.NewKeys(key(0x41), key(0x42), key(0x43))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// rig is an element with whoever manages it.
type rig struct {
	testing.TB
	memory  *memory
	element *element.Element
	keys    scp03.Keys
	host    *element.Field
	session scp03.Session
	state   scp03.State
}

func newRig(t testing.TB, b element.Blank) *rig {
	t.Helper()
	if b.Keys.IsZero() {
		b.Keys = keys(t, 16)
	}
	if b.Version == 0 {
		b.Version = 0x30
	}
	value, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, memory: &memory{Volatile: *element.NewVolatile(value)}, keys: b.Keys}
	if r.element, err = element.New(r.memory, random(1)); err != nil {
		t.Fatal(err)
	}
	return r
}

// send sends a command as it is on the host's side.
func (r *rig) send(c apdu.Command) (apdu.Response, error) {
	r.Helper()
	if r.host == nil {
		r.host = element.NewHost(r.element)
	}
	b, err := r.host.Transceive(context.Background(), c.Bytes())
	if err != nil {
		return apdu.Response{}, err
	}
	return apdu.ParseResponse(b)
}

// open opens a session.
func (r *rig) open(level scp03.Level) error {
	r.Helper()
	r.host = element.NewHost(r.element)
	for _, step := range []func() error{
		func() error { _, err := r.send(apdu.Select(element.Domain.Bytes())); return err },
		func() error { return r.authenticate(level) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) authenticate(level scp03.Level) error {
	host := scp03.Challenge{1, 2, 3}
	answer, err := r.send(scp03.InitializeUpdate(0, host))
	if err != nil || answer.SW != apdu.OK {
		return fmt.Errorf("INITIALIZE UPDATE: %v: %w", answer.SW, orSW(err))
	}
	g, err := scp03.ParseGreeting(answer.Data)
	if err != nil {
		return err
	}
	r.session = r.keys.Session(host, g.Challenge)
	c, st, err := r.session.Open(host, g, level)
	if err != nil {
		return err
	}
	if answer, err = r.send(c); err != nil || answer.SW != apdu.OK {
		return fmt.Errorf("EXTERNAL AUTHENTICATE: %v: %w", answer.SW, orSW(err))
	}
	r.state = st
	return nil
}

var errSW = errors.New("refused")

func orSW(err error) error {
	if err != nil {
		return err
	}
	return errSW
}

// command sends a command through the channel.
func (r *rig) command(c apdu.Command) (apdu.Response, error) {
	r.Helper()
	wrapped, after, err := r.session.Wrap(r.state, c)
	if err != nil {
		r.Fatal(err)
	}
	answer, err := r.send(wrapped)
	if err != nil {
		return answer, err
	}
	r.state = after
	return r.session.UnwrapAnswer(after, answer)
}

// do expects a status word.
func (r *rig) do(c apdu.Command, want apdu.SW) apdu.Response {
	r.Helper()
	answer, err := r.command(c)
	if err != nil || answer.SW != want {
		r.Errorf("%v: %v, want %v: %v", c, answer.SW, want, err)
	}
	return answer
}

func field(b []byte) []byte { return append([]byte{byte(len(b))}, b...) }

func install(aid emv.AID) apdu.Command {
	var data []byte
	for _, f := range [][]byte{element.Package.Bytes(), element.Module.Bytes(), aid.Bytes(), {0}, {0xC9, 0}, nil} {
		data = append(data, field(f)...)
	}
	return apdu.Command{CLA: 0x80, INS: 0xE6, P1: 0x0C, Data: data, Le: apdu.MaxLe}
}

func personalize(aid emv.AID) apdu.Command {
	data := append([]byte{0, 0}, field(aid.Bytes())...)
	return apdu.Command{CLA: 0x80, INS: 0xE6, P1: 0x20, Data: append(data, 0, 0, 0), Le: apdu.MaxLe}
}

func named(aid emv.AID) []byte { return tlv.Append(nil, 0x4F, aid.Bytes()) }

func remove(aid emv.AID) apdu.Command {
	return apdu.Command{CLA: 0x80, INS: 0xE4, Data: named(aid), Le: apdu.MaxLe}
}

func setStatus(p1, p2 byte, data []byte) apdu.Command {
	return apdu.Command{CLA: 0x80, INS: 0xF0, P1: p1, P2: p2, Data: data, Le: apdu.NoLe}
}

// script is the STORE DATA commands that make a test card's application.
func (r *rig) script(i *cardtest.Issued, level scp03.Level) []apdu.Command {
	r.Helper()
	list, err := imprint.Write(&i.Image.Applications[0], &i.Image.State.Applications[0], &imprint.Keys{Suite: i.Suite, Card: i.CardKeys, Private: i.Key})
	if err != nil {
		r.Fatal(err)
	}
	seal, _ := element.Sealing(r.keys)
	if list, err = seal.Seal(list); err != nil {
		r.Fatal(err)
	}
	commands, err := cps.Commands(list, cps.Framing{DataBytes: scp03.Room(level), Packed: true})
	if err != nil {
		r.Fatal(err)
	}
	return commands
}

func issue(t testing.TB, o cardtest.Options, aid emv.AID) *cardtest.Issued {
	t.Helper()
	o.Change = func(im *card.Image) {
		im.Applications[0].Extended.Set(emv.EIODAForOnline)
		if aid != "" {
			im.Applications[0].AID = aid
		}
	}
	_, i := cardtest.New(t, o)
	return i
}

// load installs and personalizes an application; the first error ends it.
func (r *rig) load(i *cardtest.Issued, level scp03.Level) error {
	r.Helper()
	if err := r.open(level); err != nil {
		return err
	}
	aid := i.Image.Applications[0].AID
	for _, c := range append([]apdu.Command{install(aid), personalize(aid)}, r.script(i, level)...) {
		answer, err := r.command(c)
		if err != nil {
			return err
		}
		if answer.SW != apdu.OK {
			return fmt.Errorf("%v: %v", c, answer.SW)
		}
	}
	return nil
}

// paying is the element as a subject of the conformance suite.
type paying struct {
	*cardtest.Issued
	field *element.Field
}

func (p *paying) Present() apdu.Transceiver { p.field.Present(); return p.field }
func (p *paying) Remove()                   { p.field.Remove() }
func (p *paying) AID() emv.AID              { return p.Image.Applications[0].AID }
func (p *paying) Authorities() *oda.Keys    { return p.CAKeys }

func (p *paying) Verify(icc emv.Data) string {
	iad, err := emv.ParseIAD(icc.Get(emv.TagIAD))
	atc := icc.Get(emv.TagATC)
	if err != nil || len(atc) != 2 {
		return "issuer data are malformed"
	}
	data, err := p.Suite.AppendData(nil, iad.CVN, iad.CVR, icc)
	if err != nil {
		return err.Error()
	}
	if !p.Suite.Verify(p.Suite.SessionKey(p.CardKeys.AC, uint16(atc[0])<<8|uint16(atc[1])), data, [8]byte(icc.Get(emv.TagAC))) {
		return "cryptogram is wrong"
	}
	return ""
}

// TestConformance runs the one suite for everything that pays.
func TestConformance(t *testing.T) {
	for name, suite := range map[string]cryptogram.Suite{"3DES": cryptogram.TDES(), "AES": cryptogram.AES(), "SM4": cryptogram.SM4()} {
		t.Run(name, func(t *testing.T) {
			hcetest.Suite(t, func(t testing.TB) hcetest.Subject {
				r := newRig(t, element.Blank{Option: 0x70})
				i := issue(t, cardtest.Options{Suite: suite}, "")
				if err := r.load(i, scp03.LevelComplete); err != nil {
					t.Fatal(err)
				}
				return &paying{i, element.NewField(r.element)}
			})
		})
	}
}

// TestEveryVariant personalizes under every key length and every variant, and pays.
func TestEveryVariant(t *testing.T) {
	i := issue(t, cardtest.Options{}, "")
	for _, n := range []int{16, 24, 32} {
		for _, option := range []scp03.Option{0x00, 0x10, 0x20, 0x30, 0x60, 0x70} {
			r := newRig(t, element.Blank{Option: option, Keys: keys(t, n)})
			if err := r.load(i, option.Strongest()); err != nil {
				t.Errorf("%d, %02X: %v", n, option, err)
				continue
			}
			p := &paying{i, element.NewField(r.element)}
			if why := p.Verify(hcetest.Tap(t, hcetest.Terminal(t), p.Present(), 100).Data); why != "" {
				t.Errorf("%d, %02X: %s", n, option, why)
			}
		}
	}
}

const second = emv.AIDCredit

// TestSeveral: two applications, the default first in the directory; locked, hidden and deleted ones do not answer, and keep or lose what they have.
func TestSeveral(t *testing.T) {
	r := newRig(t, element.Blank{Option: 0x30})
	one, two := issue(t, cardtest.Options{}, ""), issue(t, cardtest.Options{PAN: "629999100000002"}, second)
	for _, i := range []*cardtest.Issued{one, two} {
		if err := r.load(i, scp03.LevelENCRMAC); err != nil {
			t.Fatal(err)
		}
	}
	listed := func() (all []emv.AID) {
		answer, err := element.NewField(r.element).Transceive(context.Background(), apdu.Select([]byte(emv.PPSE)).Bytes())
		if err != nil {
			t.Fatal(err)
		}
		fci, err := apdu.ParseResponse(answer)
		if err != nil {
			t.Fatal(err)
		}
		for _, aid := range []emv.AID{emv.AIDDebit, second} {
			if at := bytes.Index(fci.Data, named(aid)); at >= 0 {
				all = append(all, aid)
			}
		}
		if len(all) == 2 && bytes.Index(fci.Data, named(second)) < bytes.Index(fci.Data, named(emv.AIDDebit)) {
			all[0], all[1] = all[1], all[0]
		}
		return all
	}
	pay := func(i *cardtest.Issued) (atc int) {
		o := hcetest.Tap(t, hcetest.Terminal(t), element.NewField(r.element), 100)
		p := &paying{i, nil}
		if why := p.Verify(o.Data); why != "" {
			t.Errorf("%v: %s", p.AID(), why)
		}
		b := o.Data.Get(emv.TagATC)
		return int(b[0])<<8 | int(b[1])
	}
	want := func(when string, all ...emv.AID) {
		t.Helper()
		if got := listed(); fmt.Sprint(got) != fmt.Sprint(all) {
			t.Errorf("%s: %v, want %v", when, got, all)
		}
	}
	manage := func(c apdu.Command, sw apdu.SW) {
		t.Helper()
		if err := r.open(scp03.LevelENCRMAC); err != nil {
			t.Fatal(err)
		}
		r.do(c, sw)
	}
	want("two", emv.AIDDebit, second)
	before := pay(one)
	manage(setStatus(0x02, 1, named(second)), apdu.OK)
	want("the other first", second, emv.AIDDebit)
	pay(two)
	manage(setStatus(0x40, 0x80, second.Bytes()), apdu.OK)
	want("the first locked", emv.AIDDebit)
	if after := pay(one); after != before+1 {
		t.Errorf("counter %d after %d", after, before)
	}
	manage(setStatus(0x40, 0x80, second.Bytes()), apdu.ConditionsNotSatisfied)
	manage(setStatus(0x40, 0x00, second.Bytes()), apdu.OK)
	want("unlocked", second, emv.AIDDebit)
	manage(setStatus(0x01, 0, named(second)), apdu.OK)
	want("hidden", emv.AIDDebit)
	manage(setStatus(0x01, 1, named(second)), apdu.OK)
	manage(remove(second), apdu.OK)
	want("deleted", emv.AIDDebit)
	manage(remove(second), apdu.DataNotFound)
	if after := pay(one); after != before+2 {
		t.Errorf("counter %d after %d", after, before+1)
	}
	manage(remove(emv.AIDDebit), apdu.OK)
	want("nothing left")
	value, err := r.memory.Load()
	if err != nil {
		t.Fatal(err)
	}
	if n := one.PAN.BCD(); bytes.Contains(value, n) {
		t.Error("a deleted application's number is still there")
	}
}

// TestKilledAtEveryWrite tears every commit of a personalization, before and after it is durable: the memory holds the old or the new, and the same
// script from its beginning then goes through.
func TestKilledAtEveryWrite(t *testing.T) {
	i := issue(t, cardtest.Options{}, "")
	whole := newRig(t, element.Blank{Option: 0x70})
	if err := whole.load(i, scp03.LevelComplete); err != nil {
		t.Fatal(err)
	}
	for tear := 1; tear <= whole.memory.commits; tear++ {
		for _, after := range []bool{false, true} {
			r := newRig(t, element.Blank{Option: 0x70})
			r.memory.tear, r.memory.after = tear, after
			if err := r.load(i, scp03.LevelComplete); !errors.Is(err, apdu.ErrCardLost) {
				t.Fatalf("write %d: %v", tear, err)
			}
			again, err := element.New(&r.memory.Volatile, random(2))
			if err != nil {
				t.Fatalf("write %d, after %t: %v", tear, after, err)
			}
			written := tear
			if !after {
				written--
			}
			lives := []element.ApplicationLife{0, 0, element.Selectable, element.Personalized}
			var life element.ApplicationLife
			if all := again.Applications(); len(all) > 0 {
				life = all[0].Life
			}
			if life != lives[written] {
				t.Errorf("write %d, after %t: %v", tear, after, life.Term())
			}
			r.element, r.memory.tear = again, 0
			if life == element.Selectable || life == element.Personalized {
				if err := r.open(scp03.LevelComplete); err != nil {
					t.Fatal(err)
				}
				r.do(remove(emv.AIDDebit), apdu.OK)
			}
			if err := r.load(i, scp03.LevelComplete); err != nil {
				t.Errorf("write %d, after %t, again: %v", tear, after, err)
			}
		}
	}
}

// TestTapTorn: a payment's counter is durable before its cryptogram, or the tap never was.
func TestTapTorn(t *testing.T) {
	i := issue(t, cardtest.Options{}, "")
	for _, after := range []bool{false, true} {
		r := newRig(t, element.Blank{})
		if err := r.load(i, scp03.LevelMACENC); err != nil {
			t.Fatal(err)
		}
		r.memory.tear, r.memory.after = r.memory.commits+1, after
		f := element.NewField(r.element)
		gpo := func() ([]byte, error) {
			f.Present()
			for _, c := range []apdu.Command{apdu.Select([]byte(emv.PPSE)), apdu.Select(emv.AIDDebit.Bytes())} {
				if _, err := f.Transceive(context.Background(), c.Bytes()); err != nil {
					return nil, err
				}
			}
			var d emv.Data
			d.Set(emv.TagTTQ, []byte{0x36, 0x80, 0, 0x80})
			d.Set(emv.TagAmount, []byte{0, 0, 0, 0, 1, 0})
			d.Set(emv.TagCurrency, []byte{1, 0x56})
			return f.Transceive(context.Background(), apdu.GPO(i.Image.Applications[0].PDOL.Build(nil, &d)).Bytes())
		}
		if _, err := gpo(); !errors.Is(err, apdu.ErrCardLost) {
			t.Fatalf("torn: %v", err)
		}
		answer, err := gpo()
		if err != nil || !bytes.HasSuffix(answer, []byte{0x90, 0}) {
			t.Fatalf("%X: %v", answer, err)
		}
		want := byte(2)
		if after {
			want = 3
		}
		if atc, ok := tlv.Find(answer[:len(answer)-2], emv.TagResponse2, emv.TagATC); !ok || atc[1] != want {
			t.Errorf("counter %X, want %d", atc, want)
		}
	}
}

// TestLifeOfTheElement tries every step from every state.
func TestLifeOfTheElement(t *testing.T) {
	all := []element.Life{element.Ready, element.Initialized, element.Secured, element.Locked, element.Terminated}
	for _, from := range all {
		for _, to := range append(all, 0x00, 0x03, 0x80) {
			r := newRig(t, element.Blank{Life: from})
			if err := r.open(scp03.LevelMAC); from == element.Terminated {
				if err == nil {
					t.Error("a terminated element opens a session")
				}
				continue
			} else if err != nil {
				t.Fatal(err)
			}
			answer, err := r.command(setStatus(0x80, byte(to), nil))
			if err != nil {
				t.Fatal(err)
			}
			now := from
			if from.Legal(to) {
				now = to
			}
			if (answer.SW == apdu.OK) != from.Legal(to) || r.element.Life() != now {
				t.Errorf("%v to %v: %v, now %v", from.Term().EN, to.Term().EN, answer.SW, r.element.Life().Term().EN)
			}
		}
	}
	r := newRig(t, element.Blank{Life: element.Locked})
	if err := r.open(scp03.LevelMAC); err != nil {
		t.Fatal(err)
	}
	r.do(install(emv.AIDDebit), apdu.ConditionsNotSatisfied)
	r.do(remove(emv.AIDDebit), apdu.ConditionsNotSatisfied)
	r.do(setStatus(0x80, byte(element.Terminated), nil), apdu.OK)
	r.do(apdu.Command{CLA: 0x80, INS: 0xF2, P1: 0x80, P2: 2, Data: []byte{0x4F, 0}, Le: apdu.MaxLe}, apdu.ConditionsNotSatisfied)
}

// TestScriptsRefused: what is repeated, left out, reordered, altered or sent in clear ends the session and changes nothing.
func TestScriptsRefused(t *testing.T) {
	i := issue(t, cardtest.Options{}, "")
	for name, spoil := range map[string]func(all []apdu.Command) []apdu.Command{
		"repeated":  func(all []apdu.Command) []apdu.Command { return append(all[:4:4], all[3:]...) },
		"left out":  func(all []apdu.Command) []apdu.Command { return append(all[:3:3], all[4:]...) },
		"reordered": func(all []apdu.Command) []apdu.Command { all[3], all[4] = all[4], all[3]; return all },
		"altered": func(all []apdu.Command) []apdu.Command {
			all[3].Data = bytes.Clone(all[3].Data)
			all[3].Data[5] ^= 1
			return all
		},
		"in clear": func(all []apdu.Command) []apdu.Command { all[3].CLA, all[3].Data = 0x80, all[3].Data[:8]; return all },
	} {
		r := newRig(t, element.Blank{Option: 0x70})
		if err := r.open(scp03.LevelComplete); err != nil {
			t.Fatal(err)
		}
		var sent []apdu.Command
		for _, c := range append([]apdu.Command{install(emv.AIDDebit), personalize(emv.AIDDebit)}, r.script(i, scp03.LevelComplete)...) {
			wrapped, after, err := r.session.Wrap(r.state, c)
			if err != nil {
				t.Fatal(err)
			}
			sent, r.state = append(sent, wrapped), after
		}
		var last apdu.SW
		for _, c := range spoil(sent) {
			answer, err := r.send(c)
			if err != nil {
				t.Fatal(err)
			}
			if last = answer.SW; last != apdu.OK {
				break
			}
		}
		if last != apdu.SecurityStatusNotSatisfied {
			t.Errorf("%s: %v", name, last)
		}
		if answer, err := r.send(sent[len(sent)-1]); err != nil || answer.SW != apdu.SecurityStatusNotSatisfied {
			t.Errorf("%s: the session goes on: %v, %v", name, answer.SW, err)
		}
		if all := r.element.Applications(); len(all) != 1 || all[0].Life != element.Selectable {
			t.Errorf("%s: %v", name, all)
		}
	}
}

func TestCommandsRefused(t *testing.T) {
	r := newRig(t, element.Blank{Option: 0x20})
	i := issue(t, cardtest.Options{}, "")
	for name, c := range map[string]struct {
		command apdu.Command
		want    apdu.SW
	}{
		"before a session":     {install(emv.AIDDebit), apdu.SecurityStatusNotSatisfied},
		"nothing to answer":    {apdu.Command{CLA: 0x84, INS: 0x82, P1: 1, Data: make([]byte, 16)}, apdu.ConditionsNotSatisfied},
		"unknown version":      {scp03.InitializeUpdate(0x31, scp03.Challenge{}), apdu.DataNotFound},
		"no challenge":         {apdu.Command{CLA: 0x80, INS: 0x50}, apdu.WrongData},
		"unknown instruction":  {apdu.Command{CLA: 0x80, INS: 0xFE}, apdu.InstructionNotSupported},
		"unknown class":        {apdu.Command{CLA: 0x90, INS: 0xE6}, apdu.ClassNotSupported},
		"a payment on host":    {apdu.Select(emv.AIDDebit.Bytes()), apdu.FileNotFound},
		"the directory, too":   {apdu.Select([]byte(emv.PPSE)), apdu.FileNotFound},
		"data that are not":    {apdu.GetData(0x9F36), apdu.DataNotFound},
		"SELECT of the second": {apdu.SelectNext(element.Domain.Bytes()), apdu.WrongParameters},
	} {
		if answer, err := r.send(c.command); err != nil || answer.SW != c.want {
			t.Errorf("%s: %v, want %v: %v", name, answer.SW, c.want, err)
		}
	}
	if err := r.open(scp03.LevelNone); err != nil {
		t.Fatal(err)
	}
	r.do(install(emv.AIDDebit), apdu.SecurityStatusNotSatisfied)
	if err := r.open(scp03.LevelENCRMAC); err != nil {
		t.Fatal(err)
	}
	store := r.script(i, scp03.LevelENCRMAC)
	change := func(c apdu.Command, do func(*apdu.Command)) apdu.Command {
		c.Data = bytes.Clone(c.Data)
		do(&c)
		return c
	}
	for _, c := range []struct {
		command apdu.Command
		want    apdu.SW
	}{
		{store[0], apdu.ConditionsNotSatisfied}, {personalize(emv.AIDDebit), apdu.DataNotFound}, {install(emv.PPSE), apdu.WrongData},
		{install(element.Domain), apdu.WrongData}, {install("abcd"), apdu.WrongData}, {change(install(second), func(c *apdu.Command) { c.Data[3] ^= 1 }), apdu.DataNotFound},
		{change(install(second), func(c *apdu.Command) { c.P1 = 0x02 }), apdu.WrongParameters}, {change(install(second), func(c *apdu.Command) { c.P2 = 1 }), apdu.WrongParameters},
		{change(install(second), func(c *apdu.Command) { c.Data = c.Data[:9] }), apdu.WrongData}, {install(emv.AIDDebit), apdu.OK},
		{install(emv.AIDDebit), apdu.ConditionsNotSatisfied}, {change(personalize(emv.AIDDebit), func(c *apdu.Command) { c.Data[0] = 1 }), apdu.WrongData},
		{setStatus(0x02, 1, named(emv.AIDDebit)), apdu.ConditionsNotSatisfied}, {setStatus(0x01, 1, named(second)), apdu.DataNotFound},
		{setStatus(0x40, byte(element.Personalized), emv.AIDDebit.Bytes()), apdu.ConditionsNotSatisfied}, {setStatus(0x20, 0, nil), apdu.WrongParameters},
		{setStatus(0x01, 1, []byte{0x4F}), apdu.WrongData}, {remove(second), apdu.DataNotFound},
		{personalize(emv.AIDDebit), apdu.OK}, {store[1], apdu.WrongData}, {store[0], apdu.ConditionsNotSatisfied}, {personalize(emv.AIDDebit), apdu.OK},
		{change(store[0], func(c *apdu.Command) { c.P1 |= 0x80 }), apdu.WrongData}, {install(second), apdu.OK}, {install(second + "\x01"), apdu.OK},
		{install(second + "\x02"), apdu.OK}, {install(second + "\x03"), apdu.NotEnoughMemory},
	} {
		r.do(c.command, c.want)
	}
	r.memory.full = true
	r.do(remove(second), apdu.MemoryFailure)
	if len(r.element.Applications()) != 4 {
		t.Error("deleted although the memory refused")
	}
}

// TestFieldHasNoDomain: a reader cannot manage an element, and the host cannot pay with it.
func TestFieldHasNoDomain(t *testing.T) {
	for _, personalized := range []bool{false, true} {
		r := newRig(t, element.Blank{Option: 0x70})
		if personalized {
			if err := r.load(issue(t, cardtest.Options{}, ""), scp03.LevelComplete); err != nil {
				t.Fatal(err)
			}
		}
		before := r.memory.commits
		f := element.NewField(r.element)
		for _, c := range []apdu.Command{apdu.Select(element.Domain.Bytes()), scp03.InitializeUpdate(0, scp03.Challenge{}), install(second), remove(emv.AIDDebit),
			{CLA: 0x84, INS: 0x82, P1: 1, Data: make([]byte, 16)}} {
			b, err := f.Transceive(context.Background(), c.Bytes())
			if answer, parseErr := apdu.ParseResponse(b); err != nil || parseErr != nil || answer.SW == apdu.OK || len(answer.Data) > 0 {
				t.Errorf("personalized %t, %v: %v, %v", personalized, c, answer, err)
			}
		}
		if r.memory.commits != before {
			t.Error("something was written")
		}
	}
}

// TestSecretsInClear: keys that come without encipherment are not taken.
func TestSecretsInClear(t *testing.T) {
	r := newRig(t, element.Blank{})
	i := issue(t, cardtest.Options{}, "")
	if err := r.open(scp03.LevelMACENC); err != nil {
		t.Fatal(err)
	}
	r.do(install(emv.AIDDebit), apdu.OK)
	r.do(personalize(emv.AIDDebit), apdu.OK)
	list, err := imprint.Write(&i.Image.Applications[0], &i.Image.State.Applications[0], &imprint.Keys{Suite: i.Suite, Card: i.CardKeys, Private: i.Key})
	if err != nil {
		t.Fatal(err)
	}
	g, ok := list.Find(cps.CardKeys)
	if !ok {
		t.Fatal("no keys")
	}
	r.do(apdu.Command{CLA: 0x80, INS: 0xE2, Data: cps.List{g}.Bytes(), Le: apdu.NoLe}, apdu.SecurityStatusNotSatisfied)
}

func TestReports(t *testing.T) {
	r := newRig(t, element.Blank{Option: 0x10, Serial: scp03.Diversification{9, 8, 7}})
	if err := r.load(issue(t, cardtest.Options{}, ""), scp03.LevelMACENC); err != nil {
		t.Fatal(err)
	}
	get := func(p1 byte, name []byte) []byte {
		return r.do(apdu.Command{CLA: 0x80, INS: 0xF2, P1: p1, P2: 2, Data: tlv.Append(nil, 0x4F, name), Le: apdu.MaxLe}, apdu.OK).Data
	}
	if got := fmt.Sprintf("%X", get(0x80, nil)); got != "E3114F08A0000001510000009F70010FC50100" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%X", get(0x40, emv.AIDDebit.Bytes()[:5])); got != "E3114F08A0000003330101019F70010FC50100" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%X", r.do(apdu.GetData(0x0045), apdu.OK).Data); got != "450A09080700000000000000" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%X", r.do(apdu.GetData(0x00C1), apdu.OK).Data); got != "C103000001" {
		t.Error(got)
	}
	if got := fmt.Sprintf("%X", r.do(apdu.GetData(0x00E0), apdu.OK).Data); got != "E012C00401308810C00402308810C00403308810" {
		t.Error(got)
	}
	enc, _, _ := r.keys.Reveal()
	for _, verb := range []string{"%v", "%+v", "%#v", "%x"} {
		if text := fmt.Sprintf(verb, r.element); strings.Contains(text, fmt.Sprintf("%x", enc[:4])) || len(text) > 100 {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// TestDamagedState: a value that was cut, or is not an element's, is refused.
func TestDamagedState(t *testing.T) {
	r := newRig(t, element.Blank{})
	if err := r.load(issue(t, cardtest.Options{}, ""), scp03.LevelMACENC); err != nil {
		t.Fatal(err)
	}
	value, err := r.memory.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 1, 4, 5, 100, len(value) - 1} {
		if _, err := element.New(element.NewVolatile(value[:n]), random(1)); !errors.Is(err, element.ErrState) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, b := range []element.Blank{{}, {Keys: keys(t, 16)}, {Keys: keys(t, 16), Version: 0x80}, {Keys: keys(t, 16), Version: 1, Life: 2},
		{Keys: keys(t, 16), Version: 1, Option: 0x40}} {
		if _, err := b.Bytes(); !errors.Is(err, element.ErrState) {
			t.Errorf("%+v: %v", b, err)
		}
	}
}

// FuzzProcess feeds both sides with commands. They are answered, and nothing changes without a session.
func FuzzProcess(f *testing.F) {
	r := newRig(f, element.Blank{})
	if err := r.load(issue(f, cardtest.Options{}, ""), scp03.LevelMACENC); err != nil {
		f.Fatal(err)
	}
	value, err := r.memory.Load()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{4, 0x80, 0xE6, 0x0C, 0}, true)
	f.Add(append([]byte{13}, scp03.InitializeUpdate(0, scp03.Challenge{1}).Bytes()...), true)
	f.Add([]byte{5, 0, 0xA4, 4, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, host bool) {
		m := &memory{Volatile: *element.NewVolatile(value)}
		e, err := element.New(m, random(1))
		if err != nil {
			t.Fatal(err)
		}
		side := card.Contactless
		if host {
			side = card.Contact
		}
		e.PowerOn(side)
		for len(b) > 0 {
			n := min(int(b[0]), len(b)-1)
			answer, err := e.Process(b[1 : 1+n])
			if err != nil || len(answer) < 2 {
				t.Fatalf("%X: %X, %v", b, answer, err)
			}
			b = b[1+n:]
		}
		if host && m.commits > 0 {
			t.Error("written without a session")
		}
	})
}
