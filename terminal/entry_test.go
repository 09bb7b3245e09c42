package terminal_test

import (
	"errors"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/terminal"
	"tapnet/tlv"
)

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*terminal.Config){
		"no currency":          func(c *terminal.Config) { c.Currency = money.Currency{} },
		"no random":            func(c *terminal.Config) { c.Random = nil },
		"no combination":       func(c *terminal.Config) { c.Combinations = nil },
		"too many":             func(c *terminal.Config) { c.Combinations = make([]terminal.Combination, terminal.MaxCombinations+1) },
		"short identifier":     func(c *terminal.Config) { c.Combinations[0].AID = "\xA0" },
		"another kernel":       func(c *terminal.Config) { c.Combinations[0].Kernel = 3 },
		"not for qPBOC":        func(c *terminal.Config) { c.TTQ = emv.TTQ{0x16} },
		"limit in Hong Kong $": func(c *terminal.Config) { c.Combinations[0].Limits.CVM = money.New(1, money.HKD) },
		"negative window":      func(c *terminal.Config) { c.RetapWindow = -1 },
	} {
		c := config(mustIssue(t))
		change(&c)
		if _, err := terminal.New(c); !errors.Is(err, terminal.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// directory answers SELECT of the PPSE with the given entries, any other SELECT with an application, and notes what it is asked.
type directory struct {
	entries  []byte
	fci      map[string][]byte // by name; missing: 6A82
	selected []string
	ttq      emv.TTQ // out of GET PROCESSING OPTIONS
}

func entry(aid emv.AID, more ...[]byte) []byte {
	return tlv.Wrap(emv.TagApplicationTemplate, append([][]byte{tlv.Append(nil, emv.TagAID, aid.Bytes())}, more...)...)
}

func priority(p byte) []byte { return tlv.Append(nil, emv.TagPriority, []byte{p}) }

func application(t testing.TB, aid emv.AID) []byte {
	return tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, aid.Bytes()),
		tlv.Wrap(emv.TagFCIProprietary, tlv.Append(nil, emv.TagPDOL, unhex(t, "9F6604"))))
}

func (d *directory) reply(c apdu.Command) []byte {
	switch {
	case c.INS == apdu.InsSelect && string(c.Data) == string(emv.PPSE):
		return apdu.OK.Append(tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, []byte(emv.PPSE)),
			tlv.Wrap(emv.TagFCIProprietary, tlv.Wrap(emv.TagFCIDiscretionary, d.entries))))
	case c.INS == apdu.InsSelect:
		d.selected = append(d.selected, emv.AID(c.Data).String())
		if fci, ok := d.fci[string(c.Data)]; ok {
			return apdu.OK.Append(append([]byte(nil), fci...))
		}
		return apdu.FileNotFound.Append(nil)
	case c.INS == apdu.InsGPO:
		copy(d.ttq[:], c.Data[2:])
		return apdu.ConditionsNotSatisfied.Append(nil)
	}
	return apdu.InstructionNotSupported.Append(nil)
}

func TestPreProcessing(t *testing.T) {
	limits := terminal.Limits{Transaction: yuan(10_000), Floor: yuan(5000), CVM: yuan(3000), StatusCheck: true, ZeroAllowed: true}
	for _, x := range []struct {
		name    string
		change  func(*terminal.Config, *terminal.Request)
		minor   int64
		ttq     emv.TTQ
		refused kernel.Reason
	}{
		{"small", nil, 200, emv.TTQ{0x36, 0, 0, 0x80}, 0},
		{"one unit is a status check", nil, 100, emv.TTQ{0x36, 0x80, 0, 0x80}, 0},
		{"one unit without status check", func(c *terminal.Config, _ *terminal.Request) { c.Combinations[0].Limits.StatusCheck = false }, 100, emv.TTQ{0x36, 0, 0, 0x80}, 0},
		{"below verification", nil, 2999, emv.TTQ{0x36, 0, 0, 0x80}, 0},
		{"verification", nil, 3000, emv.TTQ{0x36, 0x40, 0, 0x80}, 0},
		{"at the floor", nil, 5000, emv.TTQ{0x36, 0x40, 0, 0x80}, 0},
		{"above the floor", nil, 5001, emv.TTQ{0x36, 0xC0, 0, 0x80}, 0},
		{"below the limit", nil, 9999, emv.TTQ{0x36, 0xC0, 0, 0x80}, 0},
		{"at the limit", nil, 10_000, emv.TTQ{}, kernel.ReasonAmountTooHigh},
		{"nothing", nil, 0, emv.TTQ{0x36, 0x80, 0, 0x80}, 0},
		{"nothing, not allowed", func(c *terminal.Config, _ *terminal.Request) { c.Combinations[0].Limits.ZeroAllowed = false }, 0, emv.TTQ{}, kernel.ReasonZeroAmount},
		{"nothing, offline only", func(_ *terminal.Config, r *terminal.Request) { r.OfflineOnly = true }, 0, emv.TTQ{}, kernel.ReasonZeroAmount},
		{"offline only", func(_ *terminal.Config, r *terminal.Request) { r.OfflineOnly = true }, 200, emv.TTQ{0x3A, 0, 0, 0x80}, 0},
		{"no limits", func(c *terminal.Config, _ *terminal.Request) { c.Combinations[0].Limits = terminal.Limits{} }, 99_999, emv.TTQ{0x36, 0, 0, 0x80}, 0},
		{"dynamic bits of the configuration do not count", func(c *terminal.Config, _ *terminal.Request) { c.TTQ = emv.TTQ{0x36, 0xC0, 0, 0x80} }, 200, emv.TTQ{0x36, 0, 0, 0x80}, 0},
		{"qualifiers of the combination", func(c *terminal.Config, _ *terminal.Request) { c.Combinations[0].TTQ = emv.TTQ{0x28, 0, 0, 0x80} }, 200, emv.TTQ{0x28, 0, 0, 0x80}, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			cfg, q := config(mustIssue(t)), request(x.minor)
			cfg.Combinations[0].Limits = limits
			if x.change != nil {
				x.change(&cfg, &q)
			}
			d := &directory{entries: entry(emv.AIDDebit), fci: map[string][]byte{string(emv.AIDDebit): application(t, emv.AIDDebit)}}
			r := tap(t, newTerminal(t, cfg), reply(d.reply), q)
			if x.refused != 0 {
				want(t, r, kernel.TryAnotherInterface, x.refused)
				return
			}
			want(t, r, r.Outcome.Kind, kernel.ReasonCardRefused)
			if d.ttq != x.ttq {
				t.Errorf("qualifiers %s, want %s", d.ttq.Hex(), x.ttq.Hex())
			}
		})
	}
}

func TestCandidates(t *testing.T) {
	const foreign emv.AID = "\xA0\x00\x00\x00\x03\x10\x10"
	kernelID := func(b ...byte) []byte { return tlv.Append(nil, emv.TagKernelID, b) }
	for _, x := range []struct {
		name    string
		entries [][]byte
		want    []emv.AID // selected, in order; all are refused by the card
		why     kernel.Reason
	}{
		{"by priority", [][]byte{entry(emv.AIDDebit, priority(2)), entry(emv.AIDCredit, priority(1))}, []emv.AID{emv.AIDCredit, emv.AIDDebit}, kernel.ReasonCardRefused},
		{"priority nothing is last", [][]byte{entry(emv.AIDDebit, priority(0)), entry(emv.AIDCredit, priority(15))}, []emv.AID{emv.AIDCredit, emv.AIDDebit}, kernel.ReasonCardRefused},
		{"high nibble does not count", [][]byte{entry(emv.AIDDebit, priority(0x12)), entry(emv.AIDCredit, priority(0x81))}, []emv.AID{emv.AIDCredit, emv.AIDDebit}, kernel.ReasonCardRefused},
		{"equal priority by position", [][]byte{entry(emv.AIDDebit, priority(1)), entry(emv.AIDCredit, priority(1))}, []emv.AID{emv.AIDDebit, emv.AIDCredit}, kernel.ReasonCardRefused},
		{"kernel named", [][]byte{entry(emv.AIDDebit, kernelID(7))}, []emv.AID{emv.AIDDebit}, kernel.ReasonCardRefused},
		{"kernel nothing", [][]byte{entry(emv.AIDDebit, kernelID(0))}, []emv.AID{emv.AIDDebit}, kernel.ReasonCardRefused},
		{"another kernel", [][]byte{entry(emv.AIDDebit, kernelID(3))}, nil, kernel.ReasonNoCommonApplication},
		{"foreign application", [][]byte{entry(foreign)}, nil, kernel.ReasonNoCommonApplication},
		{"foreign application first", [][]byte{entry(foreign, priority(1)), entry(emv.AIDDebit, priority(2))}, []emv.AID{emv.AIDDebit}, kernel.ReasonCardRefused},
		{"entry without identifier", [][]byte{tlv.Wrap(emv.TagApplicationTemplate, priority(1)), entry(emv.AIDDebit)}, []emv.AID{emv.AIDDebit}, kernel.ReasonCardRefused},
		{"entry that is no TLV", [][]byte{tlv.Append(nil, emv.TagApplicationTemplate, []byte{0x4F}), entry(emv.AIDDebit)}, []emv.AID{emv.AIDDebit}, kernel.ReasonCardRefused},
		{"none", nil, nil, kernel.ReasonNoCommonApplication},
	} {
		t.Run(x.name, func(t *testing.T) {
			d := &directory{}
			for _, e := range x.entries {
				d.entries = append(d.entries, e...)
			}
			r := tap(t, newTerminal(t, config(mustIssue(t))), reply(d.reply), request(200))
			want(t, r, kernel.TryAnotherInterface, x.why)
			if len(d.selected) != len(x.want) {
				t.Fatalf("selected %v, want %v", d.selected, x.want)
			}
			for i, aid := range x.want {
				if d.selected[i] != aid.String() {
					t.Errorf("selected %v, want %v", d.selected, x.want)
				}
			}
		})
	}
}

// TestKernelOfIdentifier: without 9F2A the provider of the identifier names the kernel; a provider without one leaves it to the terminal
// [EMV BookB 3.3].
func TestKernelOfIdentifier(t *testing.T) {
	const (
		visa     emv.AID = "\xA0\x00\x00\x00\x03\x10\x10"
		operator emv.AID = "\xF0\x00\x00\x00\x42\x01"
	)
	for _, x := range []struct {
		aid    emv.AID
		kernel []byte // 9F2A
		taken  bool
	}{
		{emv.AIDDebit, nil, true}, {emv.AIDTransitCash, nil, true}, {operator, nil, true}, {visa, nil, false},
		{visa, []byte{7}, true}, {operator, []byte{7}, true}, {operator, []byte{3}, false}, {operator, []byte{0}, true},
		{visa, []byte{0x87, 1, 2}, false}, {operator, []byte{0x83, 1, 2}, true}, // the long form names a kernel of one country: not ours
	} {
		e := entry(x.aid)
		if x.kernel != nil {
			e = entry(x.aid, tlv.Append(nil, emv.TagKernelID, x.kernel))
		}
		d, cfg := &directory{entries: e}, config(mustIssue(t))
		for _, aid := range []emv.AID{visa, operator, emv.AIDTransitCash} {
			cfg.Combinations = append(cfg.Combinations, terminal.Combination{AID: aid, Kernel: emv.KernelUnionPay})
		}
		tap(t, newTerminal(t, cfg), reply(d.reply), request(200))
		if taken := len(d.selected) == 1; taken != x.taken {
			t.Errorf("%v, kernel %X: selected %v", x.aid, x.kernel, d.selected)
		}
	}
}

// The kernel sends an application away that has no PDOL for it, and the next one is tried.
func TestSelectNext(t *testing.T) {
	bare := tlv.Wrap(emv.TagFCI, tlv.Append(nil, emv.TagDFName, emv.AIDCredit.Bytes()))
	d := &directory{
		entries: append(entry(emv.AIDCredit, priority(1)), entry(emv.AIDDebit, priority(2))...),
		fci:     map[string][]byte{string(emv.AIDCredit): bare, string(emv.AIDDebit): application(t, emv.AIDDebit)},
	}
	r := tap(t, newTerminal(t, config(mustIssue(t))), reply(d.reply), request(200))
	if len(d.selected) != 2 || r.AID != emv.AIDDebit {
		t.Errorf("selected %v, application %v", d.selected, r.AID)
	}
	delete(d.fci, string(emv.AIDDebit))
	d.fci[string(emv.AIDDebit)] = bare
	want(t, tap(t, newTerminal(t, config(mustIssue(t))), reply(d.reply), request(200)), kernel.TryAnotherInterface, kernel.ReasonNotThisKernel)
}

// Of two combinations for one application the more particular one sets the limits.
func TestLongestCombination(t *testing.T) {
	cfg := config(mustIssue(t))
	cfg.Combinations = append(cfg.Combinations, terminal.Combination{
		AID: emv.AIDDebit, Kernel: emv.KernelUnionPay, Limits: terminal.Limits{Floor: yuan(0)},
	})
	d := &directory{entries: entry(emv.AIDDebit), fci: map[string][]byte{string(emv.AIDDebit): application(t, emv.AIDDebit)}}
	tap(t, newTerminal(t, cfg), reply(d.reply), request(200))
	if !d.ttq.Has(emv.TTQOnlineCryptogramRequired) {
		t.Errorf("qualifiers %s", d.ttq.Hex())
	}
}

func TestExtendedSelection(t *testing.T) {
	for _, supported := range []bool{true, false} {
		cfg := config(mustIssue(t))
		cfg.Combinations[0].ExtendedSelection = supported
		d := &directory{entries: entry(emv.AIDDebit, tlv.Append(nil, emv.TagExtendedSelection, []byte{0xAA}))}
		tap(t, newTerminal(t, cfg), reply(d.reply), request(200))
		wanted := emv.AIDDebit.String()
		if supported {
			wanted += "AA"
		}
		if len(d.selected) != 1 || d.selected[0] != wanted {
			t.Errorf("selected %v, want %s", d.selected, wanted)
		}
	}
}

func TestCardsThatDoNotPay(t *testing.T) {
	contactlessOff := cardtest.Options{Change: func(im *card.Image) { im.NoContactless = true }}
	blocked := cardtest.Options{Change: func(im *card.Image) { im.State.Blocked = true }}
	applicationBlocked := cardtest.Options{Change: func(im *card.Image) { im.State.Applications[0].Blocked = true }}
	for name, x := range map[string]struct {
		o   cardtest.Options
		why kernel.Reason
	}{
		"contactless switched off": {contactlessOff, kernel.ReasonNoDirectory},
		"card blocked":             {blocked, kernel.ReasonCardBlocked},
		"application blocked":      {applicationBlocked, kernel.ReasonApplicationBlocked},
	} {
		c, issued := cardtest.New(t, x.o)
		r := tap(t, newTerminal(t, config(issued)), card.NewField(c), request(200))
		if r.Outcome.Kind != kernel.TryAnotherInterface || r.Outcome.Reason != x.why {
			t.Errorf("%s: %v, %v", name, r.Outcome.Kind, r.Outcome.Reason)
		}
	}
	cfg := config(mustIssue(t))
	cfg.TTQ.Clear(emv.TTQContact)
	want(t, tap(t, newTerminal(t, cfg), reply(func(apdu.Command) []byte { return apdu.FileNotFound.Append(nil) }), request(200)),
		kernel.EndApplication, kernel.ReasonNoDirectory)
	want(t, tap(t, newTerminal(t, cfg), reply(func(apdu.Command) []byte { return []byte{0x90} }), request(200)),
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed)
	want(t, tap(t, newTerminal(t, cfg), reply(func(apdu.Command) []byte { return nil }), request(200)), kernel.TryAgain, kernel.ReasonCardRemoved)
}
