package pos_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/internal/clock"
	"tapnet/internal/journal"
	"tapnet/internal/networktest"
	"tapnet/internal/pos"
	"tapnet/internal/receipt"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pinblock"
	"tapnet/terminal"
	"tapnet/tlv"
)

// host is an acquirer and the bank behind it, as a till sees them. It books what it approves and takes back what is reversed.
type host struct {
	testing.TB
	issued *cardtest.Issued
	code   unionpay.ResponseCode                                   // of its answers to payments; "" is approved
	silent func(unionpay.Message) bool                             // it does not answer these
	script func(icc emv.Data, m *unionpay.FinancialRequest) []byte // template 72 of its answers
	books  map[string]*booking
	seen   map[string][16]byte // content by key
	differ bool                // its totals are others
	lists  map[unionpay.DownloadKind]published
	spoil  func(*unionpay.NetworkResponse) // what goes wrong on the way
	heard  []unionpay.Message
}

type published struct {
	version uint32
	list    []byte
}

// booking is what stands for one request.
type booking struct {
	minor    int64
	approved bool
	reversed bool
	verb     unionpay.MessageType
	results  string // of scripts, in hexadecimal
}

func newHost(t testing.TB, issued *cardtest.Issued) *host {
	return &host{TB: t, issued: issued, books: map[string]*booking{}, seen: map[string][16]byte{}, lists: map[unionpay.DownloadKind]published{}}
}

// answer is what the till hears, nil when the host is silent.
func (h *host) answer(m unionpay.Message) unionpay.Message {
	h.Helper()
	h.heard = append(h.heard, m)
	switch m := m.(type) {
	case *unionpay.FinancialRequest:
		h.book(m)
		if h.silent != nil && h.silent(m) {
			return nil
		}
		return h.decide(m)
	case *unionpay.ReversalRequest:
		if h.silent != nil && h.silent(m) {
			return nil
		}
		key := unionpay.OriginalKey(m)
		if h.books[key] == nil {
			h.books[key] = &booking{}
		}
		h.books[key].reversed = true
		return unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved})
	case *unionpay.ScriptNotice:
		if h.silent != nil && h.silent(m) {
			return nil
		}
		if b := h.books[unionpay.OriginalKey(m)]; b != nil {
			b.results = hexOf(m.ICC.Get(emv.TagScriptResults))
		}
		return unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved})
	case *unionpay.SettlementRequest:
		if h.silent != nil && h.silent(m) {
			return nil
		}
		s, err := unionpay.ParseSettlement(m.Additional)
		if err != nil {
			h.Fatal(err)
		}
		s.DomesticAgreement = unionpay.TotalsAgree
		if h.differ {
			s.DomesticAgreement = unionpay.TotalsDiffer
		}
		r := unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved}).(*unionpay.SettlementResponse)
		if r.Additional, err = s.Field48(); err != nil {
			h.Fatal(err)
		}
		return r
	case *unionpay.NetworkRequest:
		if h.silent != nil && h.silent(m) {
			return nil
		}
		return h.publish(m)
	}
	return nil
}

// book takes a request in: the same one twice is one booking.
func (h *host) book(m *unionpay.FinancialRequest) {
	h.Helper()
	key, content := unionpay.TerminalKey(m), unionpay.ContentHash(m)
	if first, twice := h.seen[key]; twice && first != content {
		h.Errorf("key %q came with other content", key)
	}
	h.seen[key] = content
	b := h.books[key]
	if b == nil {
		b = &booking{minor: m.Amount.Minor(), verb: m.Info.MessageType}
		h.books[key] = b
	}
	b.approved = h.code == "" || h.code.Approved()
}

func (h *host) decide(m *unionpay.FinancialRequest) unionpay.Message {
	code := h.code
	if code == "" {
		code = unionpay.Approved
	}
	a := unionpay.Answer{Response: code, RRN: "632504000001", SettlementDate: "1121", LocalDate: "1121", LocalTime: "120000"}
	if code.Approved() {
		a.AuthCode = "000042"
	}
	if m.Processing == unionpay.ProcessingBalance && code.Approved() {
		a.Balance = &unionpay.Balance{AccountType: "00", AmountType: unionpay.BalanceAvailable, Amount: money.New(123_456, money.CNY)}
	}
	if !m.EntryMode.Contactless() && len(m.ICC.Get(emv.TagAC)) == 8 && !m.Advice {
		h.speakToCard(m, code, &a)
	}
	return unionpay.Respond(m, a)
}

// speakToCard adds the issuer's proof and its script.
func (h *host) speakToCard(m *unionpay.FinancialRequest, code unionpay.ResponseCode, a *unionpay.Answer) {
	arc := [2]byte{code[0], code[1]}
	atc, arqc := binary.BigEndian.Uint16(m.ICC.Get(emv.TagATC)), [8]byte(m.ICC.Get(emv.TagAC))
	arpc := h.issued.Suite.ARPC(h.issued.Suite.SessionKey(h.issued.CardKeys.AC, atc), arqc, arc)
	auth := cryptogram.IssuerAuthData(arpc, arc)
	a.ICC.Set(emv.TagIssuerAuthData, auth[:])
	if h.script != nil && code.Approved() {
		a.ICC.Set(emv.TagScript2, h.script(m.ICC, m))
	}
}

// putData is a script that writes an amount.
func (h *host) putData(icc emv.Data, tag tlv.Tag, minor int64) []byte {
	value, err := money.New(minor, money.CNY).BCD()
	if err != nil {
		h.Fatal(err)
	}
	header := [5]byte{0x04, apdu.InsPutData, byte(tag >> 8), byte(tag), byte(len(value) + 4)}
	atc, arqc := binary.BigEndian.Uint16(icc.Get(emv.TagATC)), [8]byte(icc.Get(emv.TagAC))
	mac := h.issued.Suite.Script(h.issued.CardKeys, atc, arqc).MAC(header, value[:])
	command := append(append(header[:], value[:]...), mac[:]...)
	return append(tlv.Append(nil, emv.TagScriptID, []byte{0, 0, 0, 1}), tlv.Append(nil, emv.TagScriptCommand, command)...)
}

// fill is the script of a load, a void or an unload.
func (h *host) fill(icc emv.Data, m *unionpay.FinancialRequest) []byte {
	iad, err := emv.ParseIAD(icc.Get(emv.TagIAD))
	if err != nil {
		h.Fatal(err)
	}
	balance, _ := iad.Balance()
	switch m.Processing {
	case unionpay.ProcessingUnload:
		balance = 0
	case unionpay.ProcessingLoadCashCancel:
		balance -= m.Amount.Minor()
	default:
		balance += m.Amount.Minor()
	}
	return h.putData(icc, emv.TagECBalance, balance)
}

func (h *host) publish(m *unionpay.NetworkRequest) unionpay.Message {
	kind, step, ok := m.Code.Download()
	if !ok {
		h.Fatalf("code %v", m.Code)
	}
	p, r := h.lists[kind], m.Answer(unionpay.Approved)
	switch step {
	case unionpay.DownloadQuery:
		r.Data = unionpay.DownloadStatus{Version: p.version, Length: uint32(len(p.list)), Checksum: unionpay.ChecksumOf(p.list)}.Field62()
	case unionpay.DownloadGet:
		ask, err := unionpay.ParseDownloadAsk(m.Data)
		if err != nil {
			h.Fatal(err)
		}
		part, _ := unionpay.PartOf(p.list, p.version, ask.Part)
		r.Data = part.Field62()
	}
	if h.spoil != nil {
		h.spoil(r)
	}
	return r
}

func hexOf(b []byte) string {
	const digits = "0123456789ABCDEF"
	out := make([]byte, 0, 2*len(b))
	for _, c := range b {
		out = append(out, digits[c>>4], digits[c&15])
	}
	return string(out)
}

// counter is a till at a counter, with a real terminal, a card and the host.
type counter struct {
	*networktest.Rig
	till *pos.Till
	host *host
	chip *card.Card
	hsm  pos.Vault
	term *terminal.Terminal
	deps func(*pos.Deps)
	sent []sent // what left, with the rows that were there
}

type sent struct {
	message unionpay.Message
	rows    int
}

type digits struct{ n byte }

func (d *digits) Read(b []byte) (int, error) {
	for i := range b {
		d.n++
		b[i] = d.n
	}
	return len(b), nil
}

func newCounter(t testing.TB, o cardtest.Options, deps func(*pos.Deps)) *counter {
	t.Helper()
	o.Contact = true
	chip, issued := cardtest.New(t, o)
	c := &counter{chip: chip, host: newHost(t, issued), hsm: networktest.NewHSM(t, 3, map[string]string{bank: "terminal"}), deps: deps}
	var err error
	if c.term, err = terminal.New(terminalConfig(issued, 0)); err != nil {
		t.Fatal(err)
	}
	c.till = c.newTill(t)
	c.Rig = networktest.NewRig(t, c.till, journal.NewMemStore(), clock.NewManual(networktest.Start), func(string) unionpay.Dialect { return unionpay.Terminal })
	c.attach()
	return c
}

func terminalConfig(issued *cardtest.Issued, floor int64) terminal.Config {
	tvr := func(b ...byte) emv.TVR { return emv.TVR(b) }
	yuan := func(minor int64) money.Amount { return money.New(minor, money.CNY) }
	return terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: new(digits),
		Combinations: []terminal.Combination{{AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay,
			Limits: terminal.Limits{Transaction: yuan(5_000_000), Floor: yuan(floor), CVM: yuan(100_000), ZeroAllowed: true}}},
		Kernel: kernel.Config{Type: 0x22, Capabilities: emv.TerminalCapabilities{0xE0, 0xF9, 0xC8}, Additional: emv.AdditionalTerminalCapabilities{0x70, 0, 0xF0, 0xB0, 1},
			MerchantName: "CANTEEN ONE", SerialNumber: "00000001", CAKeys: issued.CAKeys},
		Contact: contact.Config{Applications: []contact.Application{{AID: emv.UnionPayKernelPrefix, FloorLimit: yuan(20_000), ECLimit: yuan(100_000),
			TACDefault: tvr(0xD8, 0x40, 0, 0xA8, 0), TACOnline: tvr(0xD8, 0x40, 4, 0xF8, 0), TACDenial: tvr(0, 0x10, 0, 0, 0)}}},
	}
}

// terminalWithFloor lets the card pay small amounts alone.
func terminalWithFloor(t testing.TB, c *counter) *terminal.Terminal {
	t.Helper()
	term, err := terminal.New(terminalConfig(c.host.issued, 5_000))
	if err != nil {
		t.Fatal(err)
	}
	return term
}

func (c *counter) newTill(t testing.TB) *pos.Till {
	t.Helper()
	deps := pos.Deps{
		Terminal: networktest.Terminal, Merchant: networktest.Merchant, Acquirer: bank, Vault: c.hsm, PINKey: networktest.PINKey(bank),
		SealKey: networktest.KeySeal, Calendar: networktest.Shanghai, NoPINLimit: money.New(100_000, money.CNY), Tap: c.term, AdviseTC: true,
	}
	if c.deps != nil {
		c.deps(&deps)
	}
	till, err := pos.New(deps)
	if err != nil {
		t.Fatal(err)
	}
	return till
}

// attach joins till and host: whatever leaves is answered at once; when somebody would wait for ever, time passes.
func (c *counter) attach() {
	c.till.Attach(func(_ context.Context, command any) (any, error) {
		ended := len(c.Findings)
		reply := c.Command(command)
		c.pump(c.Out)
		switch command.(type) {
		case pos.Authorize, pos.Settle, pos.Fetch:
			for round := 0; len(c.Findings) == ended && round < 20; round++ {
				c.pump(c.Advance(30 * time.Second))
			}
		}
		if err, failed := reply.(error); failed {
			return nil, err
		}
		return reply, nil
	})
}

// pump lets the host answer until nobody has anything to say.
func (c *counter) pump(out []networktest.Sent) {
	c.Helper()
	for queue := out; len(queue) > 0; {
		m := queue[0].Message
		queue = queue[1:]
		c.sent = append(c.sent, sent{m, len(c.Rows())})
		if reply := c.host.answer(m); reply != nil {
			queue = append(queue, c.Deliver(bank, reply)...)
		}
	}
}

// sale is what a cashier keys in; the holder knows the PIN.
func (c *counter) sale(minor int64) pos.Sale {
	return pos.Sale{Amount: money.New(minor, money.CNY), Now: func() time.Time { return c.Clock.Now().In(clock.Shanghai()) },
		EnterPIN: func() (pinblock.PIN, bool) { return cardtest.HolderPIN(), true }}
}

func (c *counter) tap() pos.Presented {
	return pos.Presented{Entry: receipt.Contactless, Reader: card.NewField(c.chip)}
}

func (c *counter) slot() pos.Presented {
	return pos.Presented{Entry: receipt.Contact, Reader: card.NewSlot(c.chip)}
}

func (c *counter) purse() int64 { return c.chip.State().Applications[0].Purses[0].Balance }

// must ends as it should.
func (c *counter) must(end pos.End) func(pos.Receipt, error) pos.Receipt {
	c.Helper()
	return func(r pos.Receipt, err error) pos.Receipt {
		c.Helper()
		if err != nil || r.End != end {
			c.Fatalf("%s ended as %d, want %d: %v; %s; refusal %q, code %s", r.Verb, r.End, end, err, r.Why.EN, r.Refusal.Term().EN, r.Code)
		}
		return r
	}
}

func of(r pos.Receipt) pos.Original { return pos.Original{Trace: r.Trace} }

var shopSlip = pos.Print{Shop: pos.Shop{Merchant: receipt.Merchant{Name: glossary.Term{EN: "CANTEEN ONE"}}, Languages: []glossary.Lang{glossary.English}}}

func (c *counter) text(r receipt.Receipt, err error) string {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
	return r.Text()
}
