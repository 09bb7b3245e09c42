package link

import (
	"errors"
	"fmt"
	"time"

	"tapnet/iso8583/unionpay"
)

// Timer names the timers a sign-on machine asks for.
type Timer uint8

// The timers.
const (
	TimerSignOn Timer = iota // a step of sign-on or key change
	TimerIdle                // nothing heard
	TimerEcho                // the answer to an echo
	TimerGrace               // the old MAC key is no longer accepted
	timerCount
)

// ActionKind is what the machine wants done.
type ActionKind uint8

// The kinds of action.
const (
	ActSend   ActionKind = iota + 1 // send Message, with a MAC as Sign says
	ActTimer                        // set Timer to After from now; After 0 stops it
	ActUp                           // business may pass; the peer is known
	ActDown                         // business may not pass
	ActBadMAC                       // count a message that was not authentic
	ActClose                        // send what is queued, then close because of Err
)

// Signing says how a message of the machine is authenticated.
type Signing uint8

// The ways of signing.
const (
	Unsigned Signing = iota
	SignInForce
	SignPending
	// signWhenWritten is SignInForce with the key that is in force when the message is written: messages that wait are signed two at a time.
	signWhenWritten
)

// Action is one thing the machine wants done, in order.
type Action struct {
	Kind    ActionKind
	Message unionpay.Message
	Sign    Signing
	Timer   Timer
	After   time.Duration
	Err     error
}

// keyPart is one of the two keys a host of the switch exchanges, a message each.
type keyPart uint8

const (
	macKey keyPart = iota
	pinKey
)

type phase uint8

const (
	phaseDown   phase = iota
	phaseAsked        // an opener waits for the answer to its sign-on; a host for a sign-on
	phaseKeying       // signed on, working keys are being exchanged
	phaseUp
	phaseClosed
)

// SignOn is the sign-on, key-change and echo machine of one side of a session: events in, actions out, no clock and no connection of
// its own. It is not safe for concurrent use.
type SignOn struct {
	config  *Config
	opener  bool
	phase   phase
	peer    string
	asked   uint32    // trace number of the question under way
	todo    []keyPart // host at the switch: keys still to be exchanged; the first is under way
	gotMAC  bool      // member: which keys have come since sign-on
	gotPIN  bool
	echoed  time.Time // when the last echo was sent
	actions []Action
}

func newSignOn(c *Config, opener bool) *SignOn {
	m := &SignOn{config: c, opener: opener}
	if opener {
		m.peer = c.Peer
	}
	return m
}

// Peer is who the other side is: known from the start to an opener, from sign-on to a host.
func (m *SignOn) Peer() string { return m.peer }

// Up reports whether business may pass.
func (m *SignOn) Up() bool { return m.phase == phaseUp }

// Start opens the exchange: the opener signs on, the host begins to wait. An opener may start again to get new keys.
func (m *SignOn) Start(now time.Time) []Action {
	m.begin()
	if m.phase == phaseUp {
		m.act(Action{Kind: ActDown})
	}
	m.phase = phaseAsked
	m.gotMAC, m.gotPIN = false, false
	m.timer(TimerSignOn, m.config.Limits.SignOnTimeout)
	if m.opener {
		m.config.Keys.Reset(m.peer)
		m.ask(now, unionpay.SignOn, nil, Unsigned)
	}
	return m.actions
}

// SignOff ends an opener's session in an orderly way.
func (m *SignOn) SignOff(now time.Time) []Action {
	m.begin()
	if m.phase == phaseUp {
		m.act(Action{Kind: ActDown})
	}
	m.phase = phaseClosed
	m.timer(TimerSignOn, m.config.Limits.SignOnTimeout)
	m.ask(now, unionpay.SignOff, nil, Unsigned)
	return m.actions
}

// ChangeKeys makes a host of the switch issue new working keys. Business goes on meanwhile.
func (m *SignOn) ChangeKeys(now time.Time) ([]Action, error) {
	m.begin()
	if m.opener || m.config.Dialect != unionpay.Switch || m.phase != phaseUp {
		return nil, fmt.Errorf("link: changing keys: %w", ErrNotSignedOn)
	}
	if len(m.todo) > 0 {
		return nil, errors.New("link: changing keys: a change is under way")
	}
	m.todo = []keyPart{macKey, pinKey}
	m.nextKey(now)
	return m.actions, nil
}

// IsSessionMessage says whether a message belongs to the machine: sign-on, sign-off, echo and key exchange with their answers.
func IsSessionMessage(m unionpay.Message) bool {
	code := unionpay.NoNetworkCode
	switch m := m.(type) {
	case *unionpay.NetworkRequest:
		code = m.Code
	case *unionpay.NetworkResponse:
		code = m.Code
	}
	return code.SignsOn() || code == unionpay.SignOff || code == unionpay.Echo || code == unionpay.KeyExchange
}

// Receive takes a session message. verify tells whether its MAC is right under any key of the peer; the machine calls it after it has
// installed a key, because the message that brings the first key is authenticated with it.
func (m *SignOn) Receive(now time.Time, message unionpay.Message, verify func() bool) []Action {
	m.begin()
	switch message := message.(type) {
	case *unionpay.NetworkRequest:
		m.request(now, message, verify)
	case *unionpay.NetworkResponse:
		m.response(now, message, verify)
	}
	return m.actions
}

func (m *SignOn) request(now time.Time, r *unionpay.NetworkRequest, verify func() bool) {
	switch {
	case r.Code == unionpay.Echo:
		m.answer(now, r, unionpay.Approved, nil, Unsigned)
	case r.Code == unionpay.SignOff && !m.opener:
		m.answer(now, r, unionpay.Approved, nil, Unsigned)
		m.close(ErrSignedOff)
	case r.Code.SignsOn() && !m.opener:
		m.admit(now, r)
	case r.Code == unionpay.KeyExchange && m.opener && m.config.Dialect == unionpay.Switch:
		m.install(now, r, verify)
	default:
		m.answer(now, r, unionpay.FunctionUnsupported, nil, Unsigned)
	}
}

// admit is the host's answer to a sign-on. Asking again on the same connection gives new keys; another identity is refused.
func (m *SignOn) admit(now time.Time, r *unionpay.NetworkRequest) {
	peer, atOnce := r.Terminal, true
	if m.config.Dialect == unionpay.Switch {
		peer, atOnce = r.Institution, false
	}
	if r.Code != unionpay.SignOn {
		m.answer(now, r, unionpay.FunctionUnsupported, nil, Unsigned)
		return
	}
	if peer == "" || (m.peer != "" && m.peer != peer) {
		m.answer(now, r, unionpay.TerminalNotRegistered, nil, Unsigned)
		m.close(fmt.Errorf("%w: identity missing or changed", ErrSignOnRefused))
		return
	}
	if atOnce {
		m.config.Keys.Reset(peer)
	} // else the key in force stays: a sign-on proves nothing, and the member may be at work over another connection
	keys, known, err := m.config.Keys.Issue(peer, true, atOnce)
	if err != nil || !known {
		code := unionpay.TerminalNotRegistered
		if err != nil {
			code = unionpay.SystemFault
		}
		m.answer(now, r, code, nil, Unsigned)
		m.close(errors.Join(ErrSignOnRefused, err))
		return
	}
	m.peer = peer
	if m.phase == phaseUp {
		m.act(Action{Kind: ActDown})
	}
	if m.config.Dialect == unionpay.Terminal {
		m.answer(now, r, unionpay.Approved, &keys, Unsigned)
		m.inForce()
		m.up()
		return
	}
	m.answer(now, r, unionpay.Approved, nil, Unsigned)
	m.phase = phaseKeying
	m.todo = []keyPart{macKey, pinKey}
	m.sendKey(now, keys)
}

// nextKey issues the first key on the list.
func (m *SignOn) nextKey(now time.Time) {
	keys, known, err := m.config.Keys.Issue(m.peer, m.todo[0] == macKey, m.todo[0] == pinKey)
	if err != nil || !known {
		m.close(errors.Join(ErrKeyChange, err))
		return
	}
	m.sendKey(now, keys)
}

func (m *SignOn) sendKey(now time.Time, keys unionpay.WrappedKeys) {
	sign := SignInForce
	// The first key of a session vouches for itself: a member that has lost the old one could not check anything else.
	if first := m.phase == phaseKeying && m.todo[0] == macKey; first || m.config.KeyChangeMAC == NewKey {
		sign = SignPending
	}
	m.timer(TimerSignOn, m.config.Limits.SignOnTimeout)
	m.ask(now, unionpay.KeyExchange, &keys, sign)
}

// install is the member's side of a key exchange.
func (m *SignOn) install(now time.Time, r *unionpay.NetworkRequest, verify func() bool) {
	if r.Keys == nil || m.phase == phaseDown || m.phase == phaseClosed {
		m.answer(now, r, unionpay.FormatError, nil, Unsigned)
		return
	}
	ok, err := m.config.Keys.Install(m.peer, *r.Keys)
	if err != nil || !ok {
		m.answer(now, r, unionpay.SystemFault, nil, Unsigned)
		m.close(errors.Join(ErrKeyChange, err))
		return
	}
	if !verify() {
		m.act(Action{Kind: ActBadMAC})
		m.answer(now, r, unionpay.MACError, nil, Unsigned)
		m.close(fmt.Errorf("%w: the message is not authentic", ErrKeyChange))
		return
	}
	if len(r.Keys.MAC) > 0 {
		m.gotMAC = true
		m.inForce()
	}
	m.gotPIN = m.gotPIN || len(r.Keys.PIN) > 0
	m.answer(now, r, unionpay.Approved, nil, SignInForce)
	if m.phase == phaseKeying && m.gotMAC && m.gotPIN {
		m.up()
	}
}

func (m *SignOn) response(now time.Time, r *unionpay.NetworkResponse, verify func() bool) {
	switch {
	case r.Code == unionpay.Echo:
		m.timer(TimerEcho, 0)
	case r.STAN != m.asked:
		// A late or stray answer: what it answered is no longer being asked.
	case r.Code == unionpay.SignOff && m.opener:
		m.close(ErrSignedOff)
	case r.Code == unionpay.SignOn && m.opener && m.phase == phaseAsked:
		m.signedOn(r)
	case r.Code == unionpay.KeyExchange && !m.opener && len(m.todo) > 0:
		m.keyTaken(now, r, verify)
	}
}

// signedOn is the opener's reading of the answer to its sign-on.
func (m *SignOn) signedOn(r *unionpay.NetworkResponse) {
	if !r.Response.Approved() {
		m.close(fmt.Errorf("%w: response code %s", ErrSignOnRefused, r.Response))
		return
	}
	if m.config.Dialect == unionpay.Switch {
		m.phase = phaseKeying
		m.timer(TimerSignOn, m.config.Limits.SignOnTimeout)
		return
	}
	if r.Keys == nil {
		m.close(fmt.Errorf("%w: the answer brings no keys", ErrSignOnRefused))
		return
	}
	ok, err := m.config.Keys.Install(m.peer, *r.Keys)
	if err != nil || !ok {
		m.close(errors.Join(ErrKeyChange, err))
		return
	}
	m.inForce()
	m.up()
}

// keyTaken is the host's reading of the answer to a key exchange.
func (m *SignOn) keyTaken(now time.Time, r *unionpay.NetworkResponse, verify func() bool) {
	if !r.Response.Approved() {
		m.close(fmt.Errorf("%w: response code %s", ErrKeyChange, r.Response))
		return
	}
	if !verify() {
		m.act(Action{Kind: ActBadMAC})
		m.close(fmt.Errorf("%w: the answer is not authentic", ErrKeyChange))
		return
	}
	if m.todo[0] == macKey {
		m.inForce()
	}
	m.todo = m.todo[1:]
	if len(m.todo) > 0 {
		m.nextKey(now)
		return
	}
	m.timer(TimerSignOn, 0)
	if m.phase == phaseKeying {
		m.up()
	}
}

// inForce puts the pending MAC key in force; the one before is accepted for a while.
func (m *SignOn) inForce() {
	if err := m.config.Keys.Confirm(m.peer); err != nil {
		m.close(errors.Join(ErrKeyChange, err))
		return
	}
	m.timer(TimerGrace, m.config.Limits.Grace)
}

func (m *SignOn) up() {
	if m.phase == phaseClosed {
		return
	}
	m.phase = phaseUp
	m.timer(TimerSignOn, 0)
	m.act(Action{Kind: ActUp})
	if idle := m.idleLimit(); idle > 0 {
		m.timer(TimerIdle, idle)
	}
}

// idleLimit is how long nothing may be heard before this side acts.
func (m *SignOn) idleLimit() time.Duration {
	if m.waitsForTerminal() {
		return m.config.Limits.IdleClose
	}
	return m.config.Limits.EchoAfter
}

// waitsForTerminal: hosts do not send questions to terminals, so a host can only wait and close.
func (m *SignOn) waitsForTerminal() bool { return !m.opener && m.config.Dialect == unionpay.Terminal }

// Expire takes a timer that has run down. heard is when the last frame arrived.
func (m *SignOn) Expire(now, heard time.Time, t Timer) []Action {
	m.begin()
	switch t {
	case TimerSignOn:
		switch {
		case m.phase == phaseClosed:
			m.close(ErrSignedOff)
		case len(m.todo) > 0 || (m.opener && m.phase == phaseKeying):
			m.close(fmt.Errorf("%w: no answer in time", ErrKeyChange))
		default:
			m.close(ErrSignOnTimeout)
		}
	case TimerIdle:
		m.idle(now, heard)
	case TimerEcho:
		// Any frame since the echo shows that the peer lives, whatever became of the answer.
		if heard.Before(m.echoed) {
			m.close(ErrSilent)
		}
	case TimerGrace:
		m.config.Keys.Retire(m.peer)
	}
	return m.actions
}

func (m *SignOn) idle(now, heard time.Time) {
	limit := m.idleLimit()
	if limit <= 0 || m.phase != phaseUp {
		return
	}
	if rest := heard.Add(limit).Sub(now); rest > 0 {
		m.timer(TimerIdle, rest)
		return
	}
	if m.waitsForTerminal() {
		m.close(ErrSilent)
		return
	}
	m.echoed = now
	m.timer(TimerEcho, m.config.Limits.EchoTimeout)
	m.timer(TimerIdle, limit)
	m.echo(now)
}

func (m *SignOn) begin()                         { m.actions = m.actions[:0] }
func (m *SignOn) act(a Action)                   { m.actions = append(m.actions, a) }
func (m *SignOn) close(err error)                { m.phase = phaseClosed; m.act(Action{Kind: ActClose, Err: err}) }
func (m *SignOn) timer(t Timer, d time.Duration) { m.act(Action{Kind: ActTimer, Timer: t, After: d}) }
