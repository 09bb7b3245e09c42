package link

import (
	"bufio"
	"errors"
	"testing"
	"time"

	"tapnet/internal/hsm"
	"tapnet/internal/memnet"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
)

func importMaster(t testing.TB, s *side, peer, key string) {
	t.Helper()
	_, err := s.hsm.ImportClear("master/"+peer, hsm.UsageKeyEncryption, hsm.ModeDecrypt, hsm.TDES, hsm.NotExportable, []byte(key))
	must(t, err)
}

// fakeKeys answers as told and notes what it was asked.
type fakeKeys struct {
	testing.TB
	unknown, refuse bool
	err             error
	calls           []string
}

func (k *fakeKeys) note(call string) { k.calls = append(k.calls, call) }

func (k *fakeKeys) MAC(string, []byte) ([8]byte, error)        { return [8]byte{}, k.err }
func (k *fakeKeys) MACPending(string, []byte) ([8]byte, error) { return [8]byte{}, k.err }
func (k *fakeKeys) MACPair(string, []byte, []byte) (a, b [8]byte, err error) {
	return a, b, k.err
}
func (k *fakeKeys) VerifyMACPair(string, []byte, []byte, [8]byte, [8]byte) (a, b bool, err error) {
	return !k.refuse, !k.refuse, k.err
}
func (k *fakeKeys) VerifyMAC(string, []byte, [8]byte) (bool, error) {
	return !k.refuse, k.err
}

func (k *fakeKeys) Issue(_ string, macKey, pinKey bool) (keys unionpay.WrappedKeys, known bool, err error) {
	k.note("issue")
	if macKey {
		keys.MAC, keys.MACKCV = make([]byte, 8), [4]byte{1}
	}
	if pinKey {
		keys.PIN, keys.PINKCV = make([]byte, 16), [4]byte{2}
	}
	return keys, !k.unknown, k.err
}

func (k *fakeKeys) Install(string, unionpay.WrappedKeys) (bool, error) {
	k.note("install")
	return !k.refuse, k.err
}
func (k *fakeKeys) Reset(string)         { k.note("reset") }
func (k *fakeKeys) Confirm(string) error { k.note("confirm"); return nil }
func (k *fakeKeys) Retire(string)        { k.note("retire") }

func machine(t *testing.T, d unionpay.Dialect, opener bool) (*SignOn, *fakeKeys) {
	t.Helper()
	keys := &fakeKeys{TB: t}
	w := newWorld(t, d)
	c := w.host.config
	if opener {
		c = w.opener.config
	}
	c.Keys = keys
	c, err := c.complete(opener)
	must(t, err)
	m := newSignOn(&c, opener)
	m.Start(start0)
	return m, keys
}

// sent gives the response code of the only answer among actions, and why the machine closes.
func outcome(t *testing.T, actions []Action) (code unionpay.ResponseCode, closes error) {
	t.Helper()
	for _, a := range actions {
		switch {
		case a.Kind == ActClose:
			closes = a.Err
		case a.Kind == ActSend:
			if r, ok := a.Message.(*unionpay.NetworkResponse); ok {
				code = r.Response
			}
		}
	}
	return code, closes
}

func yes() bool { return true }
func no() bool  { return false }

// TestHostMachine: what a host answers, and when it closes.
func TestHostMachine(t *testing.T) {
	signOn := func(id string) *unionpay.NetworkRequest {
		return &unionpay.NetworkRequest{STAN: 1, Terminal: id, Institution: id, Merchant: merchantID, Code: unionpay.SignOn}
	}
	type want struct {
		code   unionpay.ResponseCode
		closes error
		up     bool
	}
	for name, v := range map[string]struct {
		dialect  unionpay.Dialect
		prepare  func(m *SignOn, k *fakeKeys)
		message  unionpay.Message
		verified func() bool
		want     want
	}{
		"terminal signs on": {unionpay.Terminal, nil, signOn("T"), yes, want{unionpay.Approved, nil, true}},
		"member signs on":   {unionpay.Switch, nil, signOn("1"), yes, want{unionpay.Approved, nil, false}},
		"nobody signs on":   {unionpay.Terminal, nil, signOn(""), yes, want{unionpay.TerminalNotRegistered, ErrSignOnRefused, false}},
		"unknown terminal": {
			unionpay.Terminal, func(_ *SignOn, k *fakeKeys) { k.unknown = true }, signOn("T"), yes,
			want{unionpay.TerminalNotRegistered, ErrSignOnRefused, false},
		},
		"keys fail": {
			unionpay.Terminal, func(_ *SignOn, k *fakeKeys) { k.err = errors.New("broken") }, signOn("T"), yes,
			want{unionpay.SystemFault, ErrSignOnRefused, false},
		},
		"another identity": {
			unionpay.Terminal, func(m *SignOn, _ *fakeKeys) { m.Receive(start0, signOn("T"), yes) }, signOn("U"), yes,
			want{unionpay.TerminalNotRegistered, ErrSignOnRefused, false},
		},
		"same identity again": {
			unionpay.Terminal, func(m *SignOn, _ *fakeKeys) { m.Receive(start0, signOn("T"), yes) }, signOn("T"), yes,
			want{unionpay.Approved, nil, true},
		},
		"single-length keys": {
			unionpay.Terminal, nil, &unionpay.NetworkRequest{Terminal: "T", Code: unionpay.SignOnSingleLength}, yes,
			want{unionpay.FunctionUnsupported, nil, false},
		},
		"echo before sign-on": {
			unionpay.Switch, nil, &unionpay.NetworkRequest{Code: unionpay.Echo}, yes,
			want{unionpay.Approved, nil, false},
		},
		"sign-off": {
			unionpay.Terminal, nil, &unionpay.NetworkRequest{Code: unionpay.SignOff}, yes,
			want{unionpay.Approved, ErrSignedOff, false},
		},
		"key from a member": {
			unionpay.Switch, nil, &unionpay.NetworkRequest{Code: unionpay.KeyExchange, Keys: &unionpay.WrappedKeys{}}, yes,
			want{unionpay.FunctionUnsupported, nil, false},
		},
		"stray answer": {
			unionpay.Switch, nil, &unionpay.NetworkResponse{STAN: 7, Code: unionpay.KeyExchange, Response: unionpay.Approved}, yes,
			want{},
		},
		"answer to nothing": {
			unionpay.Switch, nil, &unionpay.NetworkResponse{Code: unionpay.SignOn, Response: unionpay.Approved}, yes,
			want{},
		},
		"key refused by member": {
			unionpay.Switch, func(m *SignOn, _ *fakeKeys) { m.Receive(start0, signOn("1"), yes); m.asked = 7 }, &unionpay.NetworkResponse{STAN: 7, Code: unionpay.KeyExchange, Response: unionpay.SystemFault}, yes,
			want{"", ErrKeyChange, false},
		},
		"forged acceptance": {
			unionpay.Switch, func(m *SignOn, _ *fakeKeys) { m.Receive(start0, signOn("1"), yes); m.asked = 7 }, &unionpay.NetworkResponse{STAN: 7, Code: unionpay.KeyExchange, Response: unionpay.Approved}, no,
			want{"", ErrKeyChange, false},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, keys := machine(t, v.dialect, false)
			if v.prepare != nil {
				v.prepare(m, keys)
			}
			code, closes := outcome(t, m.Receive(start0, v.message, v.verified))
			if code != v.want.code || !errors.Is(closes, v.want.closes) || m.Up() != v.want.up {
				t.Errorf("answered %q, closes %v, up %t; want %+v", code, closes, m.Up(), v.want)
			}
		})
	}
}

// TestOpenerMachine: how an opener takes answers to its sign-on and keys it is given.
func TestOpenerMachine(t *testing.T) {
	answer := func(m *SignOn, code unionpay.ResponseCode, keys *unionpay.WrappedKeys) *unionpay.NetworkResponse {
		return &unionpay.NetworkResponse{STAN: m.asked, Code: unionpay.SignOn, Response: code, Keys: keys}
	}
	both := &unionpay.WrappedKeys{PIN: make([]byte, 16), MAC: make([]byte, 8)}
	give := func(k *unionpay.WrappedKeys) *unionpay.NetworkRequest {
		return &unionpay.NetworkRequest{STAN: 3, Code: unionpay.KeyExchange, Keys: k}
	}
	for name, v := range map[string]struct {
		dialect unionpay.Dialect
		refuse  bool
		message func(m *SignOn) unionpay.Message
		verify  func() bool
		closes  error
		up      bool
	}{
		"terminal gets keys": {unionpay.Terminal, false, func(m *SignOn) unionpay.Message { return answer(m, "00", both) }, yes, nil, true},
		"no keys":            {unionpay.Terminal, false, func(m *SignOn) unionpay.Message { return answer(m, "00", nil) }, yes, ErrSignOnRefused, false},
		"keys do not unwrap": {unionpay.Terminal, true, func(m *SignOn) unionpay.Message { return answer(m, "00", both) }, yes, ErrKeyChange, false},
		"refused":            {unionpay.Terminal, false, func(m *SignOn) unionpay.Message { return answer(m, "97", nil) }, yes, ErrSignOnRefused, false},
		"member must wait":   {unionpay.Switch, false, func(m *SignOn) unionpay.Message { return answer(m, "00", nil) }, yes, nil, false},
		"another number": {unionpay.Terminal, false, func(m *SignOn) unionpay.Message {
			r := answer(m, "97", nil)
			r.STAN++
			return r
		}, yes, nil, false},
		"key without key":     {unionpay.Switch, false, func(*SignOn) unionpay.Message { return give(nil) }, yes, nil, false},
		"forged key":          {unionpay.Switch, false, func(*SignOn) unionpay.Message { return give(both) }, no, ErrKeyChange, false},
		"key does not unwrap": {unionpay.Switch, true, func(*SignOn) unionpay.Message { return give(both) }, yes, ErrKeyChange, false},
		"key to a terminal":   {unionpay.Terminal, false, func(*SignOn) unionpay.Message { return give(both) }, yes, nil, false},
		"sign-on to opener":   {unionpay.Switch, false, func(*SignOn) unionpay.Message { return &unionpay.NetworkRequest{Code: unionpay.SignOn} }, yes, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, keys := machine(t, v.dialect, true)
			keys.refuse = v.refuse
			_, closes := outcome(t, m.Receive(start0, v.message(m), v.verify))
			if !errors.Is(closes, v.closes) || (closes == nil) != (v.closes == nil) || m.Up() != v.up {
				t.Errorf("closes %v, up %t", closes, m.Up())
			}
		})
	}
}

// TestMachineTimers: what each timer means in each state.
func TestMachineTimers(t *testing.T) {
	host, _ := machine(t, unionpay.Switch, false)
	if _, err := outcome(t, host.Expire(start0, start0, TimerSignOn)); !errors.Is(err, ErrSignOnTimeout) {
		t.Errorf("no sign-on: %v", err)
	}
	host, _ = machine(t, unionpay.Switch, false)
	host.Receive(start0, &unionpay.NetworkRequest{STAN: 1, Institution: "1", Code: unionpay.SignOn}, yes)
	if _, err := outcome(t, host.Expire(start0, start0, TimerSignOn)); !errors.Is(err, ErrKeyChange) {
		t.Errorf("no answer to a key: %v", err)
	}
	opener, keys := machine(t, unionpay.Terminal, true)
	opener.Receive(start0, &unionpay.NetworkResponse{STAN: opener.asked, Code: unionpay.SignOn, Response: "00",
		Keys: &unionpay.WrappedKeys{PIN: make([]byte, 16), MAC: make([]byte, 8)}}, yes)
	now := start0.Add(time.Minute)
	actions := opener.Expire(now, start0.Add(20*time.Second), TimerIdle)
	if len(actions) != 1 || actions[0].Timer != TimerIdle || actions[0].After != 20*time.Second {
		t.Errorf("heard 40 s ago: %+v", actions)
	}
	if opener.Expire(now, start0, TimerIdle); opener.echoed != now {
		t.Error("no echo after a minute of silence")
	}
	if _, err := outcome(t, opener.Expire(now.Add(15*time.Second), now, TimerEcho)); err != nil {
		t.Errorf("heard since the echo: %v", err)
	}
	if _, err := outcome(t, opener.Expire(now.Add(15*time.Second), now.Add(-1), TimerEcho)); !errors.Is(err, ErrSilent) {
		t.Errorf("nothing heard since the echo: %v", err)
	}
	opener.Expire(now, now, TimerGrace)
	if keys.calls[len(keys.calls)-1] != "retire" {
		t.Errorf("the grace ended with %v", keys.calls)
	}
}

// TestSignOnDoesNotDisturbAMember: whoever knows a member's number can begin to sign on. Before he has shown that he has the keys, nothing changes for the
// member, which works on over its own connection.
func TestSignOnDoesNotDisturbAMember(t *testing.T) {
	w := newWorld(t, unionpay.Switch)
	a, b := memnet.Pipe(w.clock)
	opener, host := w.connect(t, a, b)
	near, far := memnet.Pipe(w.clock)
	pretended, err := Accept(far, w.host.config)
	must(t, err)
	t.Cleanup(func() { _ = near.Close(); finish(t, pretended) })
	_, err = near.Write(frame(t, unionpay.Switch, &unionpay.NetworkRequest{STAN: 1, Time: "1121010203", Institution: acquirerID, Code: unionpay.SignOn}, nil))
	must(t, err)
	reader := bufio.NewReader(near)
	for range 2 { // the answer, and the first key
		_, err := iso8583.SwitchFraming.ReadFrame(reader, nil)
		must(t, err)
	}
	works := func(stan uint32) {
		t.Helper()
		must(t, opener.Send(sale(t, stan)))
		next(t, "question", w.host.got)
		must(t, host.Send(approval(t, sale(t, stan))))
		next(t, "answer", w.opener.got)
	}
	works(1)
	_ = near.Close()
	next(t, "the pretender's end", w.host.down)
	works(2)
	if s := opener.Stats(); s.BadMAC != 0 {
		t.Errorf("%d messages could not be authenticated", s.BadMAC)
	}
}
