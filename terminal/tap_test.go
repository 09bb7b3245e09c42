package terminal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/kernel"
	"tapnet/terminal"
	"tapnet/tlv"
)

// cryptogramOK checks 9F26 as the issuer does: from the data record alone.
func cryptogramOK(t testing.TB, issued *cardtest.Issued, data emv.Data) bool {
	t.Helper()
	iad, err := emv.ParseIAD(data.Get(emv.TagIAD))
	if err != nil {
		t.Fatal(err)
	}
	suite, keys := keysFor(t, issued, data)
	input, err := suite.AppendData(nil, iad.CVN, iad.CVR, data, data)
	if err != nil {
		t.Fatal(err)
	}
	atc := data.Get(emv.TagATC)
	session := suite.SessionKey(keys.AC, uint16(atc[0])<<8|uint16(atc[1]))
	return suite.Verify(session, input, [8]byte(data.Get(emv.TagAC)))
}

// keysFor are suite and keys that the issuer takes for a card's data: those that the issuer application data name [REF 1.7].
func keysFor(t testing.TB, issued *cardtest.Issued, data emv.Data) (cryptogram.Suite, cryptogram.CardKeys) {
	t.Helper()
	iad, err := emv.ParseIAD(data.Get(emv.TagIAD))
	switch {
	case err != nil:
		t.Fatal(err)
	case iad.Algorithm == issued.Suite.AlgorithmID():
		return issued.Suite, issued.CardKeys
	case iad.Algorithm == cryptogram.AlgorithmSM4 && issued.Image.Applications[0].SM != nil:
		return cryptogram.SM4(), issued.SM
	}
	t.Fatalf("algorithm %02X", iad.Algorithm)
	return cryptogram.Suite{}, cryptogram.CardKeys{}
}

func TestOnlineTap(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	term := newTerminal(t, onlineConfig(issued))
	r := tap(t, term, card.NewField(c), request(29900))
	want(t, r, kernel.OnlineRequest, kernel.ReasonIssuerDecides)
	if r.Outcome.CVM != kernel.CVMNone || r.AID != emv.AIDDebit || r.Torn != nil {
		t.Errorf("verification %v, application %v", r.Outcome.CVM, r.AID)
	}
	if !cryptogramOK(t, issued, r.Outcome.Data) {
		t.Error("the issuer cannot verify the cryptogram from the data record")
	}
	if number, ok := r.Outcome.PAN(); !ok || number != issued.PAN {
		t.Errorf("account number %v", number)
	}
	if balance(c) != 8750 {
		t.Error("an online tap spent electronic cash")
	}
}

func TestTapAsksForPIN(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	r := tap(t, newTerminal(t, onlineConfig(issued)), card.NewField(c), request(100_000))
	want(t, r, kernel.OnlineRequest, kernel.ReasonIssuerDecides)
	if r.Outcome.CVM != kernel.CVMOnlinePIN || r.Outcome.UI.Message != kernel.MessageEnterPIN {
		t.Errorf("verification %v, shows %v", r.Outcome.CVM, r.Outcome.UI.Message)
	}
	if !cryptogramOK(t, issued, r.Outcome.Data) {
		t.Error("cryptogram")
	}
}

// A card product that demands the PIN on every tap gets it, or no payment.
func TestPINOnEveryTap(t *testing.T) {
	always := cardtest.Options{Change: func(im *card.Image) { im.Applications[0].CTQ.Set(emv.CTQOnlinePIN) }}
	c, issued := cardtest.New(t, always)
	r := tap(t, newTerminal(t, onlineConfig(issued)), card.NewField(c), request(100))
	want(t, r, kernel.OnlineRequest, kernel.ReasonIssuerDecides)
	if r.Outcome.CVM != kernel.CVMOnlinePIN {
		t.Errorf("verification %v", r.Outcome.CVM)
	}
	cfg := onlineConfig(issued)
	cfg.TTQ.Clear(emv.TTQOnlinePIN)
	want(t, tap(t, newTerminal(t, cfg), card.NewField(c), request(100)), kernel.Declined, kernel.ReasonNoCVM)
}

func TestECashTap(t *testing.T) {
	for name, o := range map[string]cardtest.Options{"signature in the answer": {}, "signature in the last record": {LongKey: true}} {
		t.Run(name, func(t *testing.T) {
			c, issued := cardtest.New(t, o)
			for _, offlineOnly := range []bool{false, true} {
				before := balance(c)
				q := request(1250)
				q.OfflineOnly = offlineOnly
				r := tap(t, newTerminal(t, config(issued)), card.NewField(c), q)
				want(t, r, kernel.Approved, kernel.ReasonApproved)
				if r.Outcome.ODA.Status != kernel.ODAPassed || r.Outcome.ODA.Version != 1 || balance(c) != before-1250 {
					t.Errorf("authentication %+v, balance %d", r.Outcome.ODA, balance(c))
				}
				if !cryptogramOK(t, issued, r.Outcome.Data) {
					t.Error("cryptogram")
				}
				left, ok := kernel.Minor(r.Outcome.Data.Get(emv.TagAvailableOffline))
				if !ok || left != balance(c) {
					t.Errorf("receipt says %d are left", left)
				}
			}
		})
	}
}

// A key cache makes no difference to the result.
func TestECashTapWithCache(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	cfg := config(issued)
	cfg.Kernel.Cache = new(kernel.MemoryCache)
	term := newTerminal(t, cfg)
	for range 3 {
		want(t, tap(t, term, card.NewField(c), request(150)), kernel.Approved, kernel.ReasonApproved)
	}
}

func TestOfflineOnlyDeclines(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	q := request(9000) // above floor and balance
	q.OfflineOnly = true
	r := tap(t, newTerminal(t, config(issued)), card.NewField(c), q)
	if r.Outcome.Kind != kernel.Declined || balance(c) != 8750 {
		t.Errorf("%v, balance %d", r.Outcome.Kind, balance(c))
	}
}

// An expired card is not charged for a payment that the terminal is going to decline.
func TestExpiredCardKeepsItsMoney(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	q := request(1250)
	q.Now = q.Now.AddDate(5, 0, 0)
	want(t, tap(t, newTerminal(t, config(issued)), card.NewField(c), q), kernel.Declined, kernel.ReasonExpired)
	if balance(c) != 8750 {
		t.Errorf("balance %d", balance(c))
	}
}

// What somebody changed between card and terminal never pays.
func TestTampering(t *testing.T) {
	for _, tag := range []tlv.Tag{emv.TagIssuerCertificate, emv.TagIssuerRemainder, emv.TagICCCertificate, emv.TagExpiryDate, emv.TagPAN,
		emv.TagCardVersion, emv.TagSDAD, emv.TagCardAuthData, emv.TagATC, emv.TagUsageControl} {
		t.Run(tag.String(), func(t *testing.T) {
			c, issued := cardtest.New(t, cardtest.Options{})
			done := false
			reader := &through{to: card.NewField(c), change: func(cmd apdu.Command, b []byte) []byte {
				for _, template := range []tlv.Tag{emv.TagRecord, emv.TagResponse2} {
					if value, ok := tlv.Find(b, template, tag); ok && !done && len(value) > 0 {
						value[len(value)-1] ^= 0x01
						done = true
					}
				}
				return b
			}}
			r := tap(t, newTerminal(t, config(issued)), reader, request(1250))
			if !done {
				t.Fatal("nothing was changed")
			}
			switch r.Outcome.Kind {
			case kernel.Approved, kernel.OnlineRequest:
				t.Errorf("%v", r.Outcome.Kind)
			}
			if r.Outcome.ODA.Status != kernel.ODAFailed && r.Outcome.Kind != kernel.EndApplication {
				t.Errorf("%v, authentication %d", r.Outcome.Reason, r.Outcome.ODA.Status)
			}
		})
	}
}

// What a reader recorded from one tap is worth nothing at the next terminal.
func TestReplayedTap(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	answers := map[string][]byte{}
	cfg := config(issued)
	cfg.Random = bytes.NewReader(make([]byte, 4))
	tap(t, newTerminal(t, cfg), &through{to: card.NewField(c), change: func(cmd apdu.Command, b []byte) []byte {
		answers[key(cmd)] = b
		return b
	}}, request(1250))
	clone := reply(func(cmd apdu.Command) []byte { return answers[key(cmd)] })
	r := tap(t, newTerminal(t, config(issued)), clone, request(1250))
	want(t, r, kernel.Declined, kernel.ReasonODAFailed)
}

// key names a command by what a clone can tell apart: GET PROCESSING OPTIONS by its header only.
func key(c apdu.Command) string {
	if c.INS == apdu.InsGPO {
		return "GPO"
	}
	return fmt.Sprintf("%X", c.Bytes())
}

// watcher writes down what an observer sees.
type watcher struct{ seen []string }

func (w *watcher) Exchange(command, response []byte, err error) {
	w.seen = append(w.seen, fmt.Sprintf("%X", command[:2]))
}
func (w *watcher) Screen(u kernel.UIRequest) { w.seen = append(w.seen, u.Message.String()) }

func TestObserver(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	w := new(watcher)
	cfg := config(issued)
	cfg.Observer = w
	r := tap(t, newTerminal(t, cfg), card.NewField(c), request(1250))
	got := strings.Join(w.seen, ", ")
	const wanted = "Present card, 00A4, Processing, 00A4, 80A8, 00B2, 00B2, 00B2, 00B2, Card read OK, please remove card, Approved"
	if got != wanted {
		t.Errorf("%s\nwant %s", got, wanted)
	}
	if len(r.UI) != 4 {
		t.Errorf("%d screens in the result", len(r.UI))
	}
}

func TestReaderTrouble(t *testing.T) {
	for n := 1; n <= 7; n++ {
		c, issued := cardtest.New(t, cardtest.Options{})
		r, err := newTerminal(t, config(issued)).Tap(context.Background(), &broken{to: card.NewField(c), n: n}, request(1250))
		if !errors.Is(err, errReader) {
			t.Errorf("command %d: %v", n, err)
		}
		if (r.Torn != nil) != (n > 3) {
			t.Errorf("command %d: torn %v", n, r.Torn)
		}
	}
	c, issued := cardtest.New(t, cardtest.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := newTerminal(t, config(issued)).Tap(ctx, card.NewField(c), request(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	cfg := config(issued)
	cfg.Random = bytes.NewReader(nil)
	if _, err := newTerminal(t, cfg).Tap(context.Background(), card.NewField(c), request(1)); err == nil {
		t.Error("paid without an unpredictable number")
	}
}

func TestRequestRefused(t *testing.T) {
	c, issued := cardtest.New(t, cardtest.Options{})
	term := newTerminal(t, config(issued))
	for name, r := range map[string]terminal.Request{
		"nothing": {}, "negative": request(-1), "too large": request(1e12), "counter": {Amount: yuan(1), Counter: 100_000_000},
	} {
		if _, err := term.Tap(context.Background(), card.NewField(c), r); !errors.Is(err, terminal.ErrRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := term.Retap(context.Background(), card.NewField(c), nil, cardtest.Today); !errors.Is(err, terminal.ErrRequest) {
		t.Errorf("re-tap of nothing: %v", err)
	}
}
