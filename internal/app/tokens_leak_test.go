package app

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tapnet/emv/cloudkey"
	"tapnet/internal/app/phone"
	"tapnet/internal/clock"
	"tapnet/internal/personalization"
	"tapnet/internal/tsp"
	"tapnet/pan"
	"tapnet/sdk/hce/soft"
)

// listening takes everything that leaves a network beside its messages.
type listening struct {
	mu    sync.Mutex
	log   bytes.Buffer
	hooks [][]byte
}

func (l *listening) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(p)
}

func (l *listening) hook(peer string, hook *tsp.Webhook) error {
	text, err := json.Marshal(hook.Notice)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hooks = append(l.hooks, text, fmt.Appendf(nil, "%s %v %+v %x", peer, hook, hook, hook.Code))
	return err
}

// formsOf is how a number might be written.
func formsOf(n pan.Number) [][]byte {
	packed := n.BCD()
	return [][]byte{[]byte(n.Reveal()), packed, []byte(hex.EncodeToString(packed)), fmt.Appendf(nil, "%X", []byte(n.Reveal()))}
}

// found looks for any form in a text, upper and lower case alike, as it is and without the blanks of groups.
func foundIn(text []byte, forms [][]byte) bool {
	joined := bytes.ReplaceAll(bytes.ToLower(text), []byte(" "), nil)
	for _, form := range forms {
		if bytes.Contains(text, form) || bytes.Contains(joined, bytes.ToLower(form)) {
			return true
		}
	}
	return false
}

// openedState is what the phone's storage says once its own keys have opened it: what a dump of the application would show.
func openedState(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, phone.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := cloudkey.NewSecret(raw)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sealed := map[string][]byte{}
	for _, entry := range entries {
		name, is := strings.CutSuffix(entry.Name(), ".record")
		if !is {
			continue
		}
		record, err := hex.DecodeString(name)
		if err != nil {
			t.Fatal(err)
		}
		if sealed[string(record)], err = os.ReadFile(filepath.Join(dir, entry.Name())); err != nil {
			t.Fatal(err)
		}
	}
	plain, err := soft.Open(key, sealed["keystore"], []byte("keystore"))
	if err != nil {
		t.Fatal(err)
	}
	opened := map[string][]byte{"keystore": plain}
	var keys struct{ Rest []byte }
	if err := json.Unmarshal(plain, &keys); err != nil {
		t.Fatal(err)
	}
	rest, err := cloudkey.NewSecret(keys.Rest)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range sealed {
		if plain, err := soft.Open(rest, text, []byte(name)); err == nil {
			opened[name] = plain
		} else if plain, err := soft.Open(key, text, []byte(name)); err == nil {
			opened[name] = plain
		}
	}
	if len(opened) < 4 || len(opened) != len(sealed) {
		t.Fatalf("%d of %d records of the phone could be opened", len(opened), len(sealed))
	}
	return opened
}

// TestNoNumberAnywhere runs a phone's whole life in a network and then searches for the card numbers in every table, file, log, trace, answer and webhook, and
// in the phone's own state with every seal opened. The phone knows its token; nobody but the vault and the bank that issued it knows the card, and both keep
// the number sealed.
func TestNoNumberAnywhere(t *testing.T) {
	profile, err := personalization.Load("demo")
	if err != nil {
		t.Fatal(err)
	}
	dir, seed, heard := t.TempDir(), uint64(7), &listening{}
	n, err := Start(t.Context(), Options{
		Profile: profile, Dir: dir, Seed: &seed, Roles: EveryRole(), Clock: clock.NewManual(demoStart), Quiet: true, hooks: heard.hook,
		Log: slog.New(slog.NewTextHandler(heard, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string][]byte{}
	run := func(r PhoneRequest) PhoneResult {
		t.Helper()
		r.Phone, r.Merchant = "pixel", "shop-1"
		result, err := n.Phone(t.Context(), r)
		texts[fmt.Sprint("answer ", len(texts))] = fmt.Appendf(nil, "%v %+v %#v %v", result, result, result, err)
		if result.Tap != nil {
			saved, err := n.TraceOf(t.Context(), result.Tap.Trace)
			if err != nil {
				t.Fatal(err)
			}
			texts["trace of "+result.Tap.Trace] = saved
		}
		return result
	}
	run(PhoneRequest{Verb: PhoneAdd, Card: "lin", Label: "LANTERN DEBIT", Password: "147258"})
	run(PhoneRequest{Verb: PhoneAdd, Card: "liu", Label: "WILLOW CREDIT"})
	paid := run(PhoneRequest{Verb: PhoneTap, Amount: "1200.00", Verification: int32(phone.Password), Password: "147258"})
	remote := run(PhoneRequest{Verb: PhonePay, Amount: "30.00", Verification: int32(phone.Password), Password: "147258"})
	if !paid.Paid() || !remote.Paid() {
		t.Fatalf("%+v, %+v", paid.Tap, remote.Tap)
	}
	run(PhoneRequest{Verb: PhoneTap, Amount: "30.00", Verification: int32(phone.Password), Password: "000000"})
	run(PhoneRequest{Verb: PhoneRefresh})
	after, err := n.POS(t.Context(), POSRequest{Verb: POSVoid, Merchant: "shop-1", Trace: paid.STAN, HTML: true})
	texts["void"] = fmt.Appendf(nil, "%+v %s %s %v", after, after.Slip, after.HTML, err)
	run(PhoneRequest{Verb: PhoneLose})
	run(PhoneRequest{Verb: PhoneTap, Amount: "30.00", Verification: int32(phone.Password), Password: "147258"})
	held, err := n.openPhone(t.Context(), PhoneRequest{Phone: "pixel"})
	if err != nil {
		t.Fatal(err)
	}
	texts["engine"] = fmt.Appendf(nil, "%v %+v %#v %v %#v %s", held.Engine, held.Engine, held.Engine, held, held, held.Engine.StatusJSON())
	_, token, _, err := held.Arm(phone.TapRequest{Verification: phone.NotVerified})
	if err != nil || held.Close() != nil || n.Stop(t.Context()) != nil {
		t.Fatal(err)
	}
	opened := openedState(t, filepath.Join(dir, phoneDirectory, "pixel"))
	for name, text := range opened {
		texts["the phone's state, opened: "+name] = text
	}
	texts["log"] = heard.log.Bytes()
	for i, text := range heard.hooks {
		texts[fmt.Sprint("webhook ", i)] = text
	}
	files := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		texts[path], err = os.ReadFile(path)
		return err
	})
	if files != nil || len(texts) < 40 || len(heard.hooks) < 4 || len(texts["log"]) == 0 {
		t.Fatalf("%d texts, %d webhooks, %d bytes of log: %v", len(texts), len(heard.hooks), len(texts["log"]), files)
	}
	knows := 0
	for where, text := range texts {
		for _, card := range []string{"lin", "liu"} {
			if foundIn(text, formsOf(n.holders[card].personal.PAN)) {
				t.Errorf("%s has the number of %s", where, card)
			}
		}
		switch token := foundIn(text, formsOf(token)); {
		case token && opened[strings.TrimPrefix(where, "the phone's state, opened: ")] != nil:
			knows++ // the phone itself, behind its key store
		case token:
			t.Errorf("%s has the number of the token", where)
		}
		if bytes.Contains(text, []byte("147258")) {
			t.Errorf("%s has the payment password", where)
		}
	}
	if knows == 0 {
		t.Error("the token was not found where it must be: the search finds nothing")
	}
}
