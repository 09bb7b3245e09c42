package tsp

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/pan"
)

// CallerRole says who calls the interface.
type CallerRole uint8

// The callers.
const (
	CallerRequestor CallerRole = iota + 1 // ID is the token requestor id
	CallerIssuer                          // ID is the institution
	CallerOperator                        // of the token service
)

// Caller is who calls, as the certificate of the connection says.
type Caller struct {
	Role CallerRole
	ID   string
}

// Command is one call of the interface. Prepare must have seen it. The reply is a Reply or a *tspapi.Problem.
type Command struct {
	Caller Caller
	Key    string // idempotency key; "" for what only reads
	Body   any    // a request of tspapi, or Deletion, Default, Read or List
	Token  string // token reference, where the call is about one
	Number pan.Number
	Other  pan.Number // the new card's number, of a Relink
}

// Deletion deletes the token of the command.
type Deletion struct{ Reason string }

// Default makes the token of the command its device's default.
type Default struct{}

// Rekey begins to move a bank's numbers to a new data key.
type Rekey struct {
	Issuer string `json:"issuer"`
}

// Reply is what a command gets. Body is JSON of a tspapi type. TokenNumber, when set, opens with OpenToken: it goes into an encrypted payload.
type Reply struct {
	Body        json.RawMessage
	TokenNumber []byte
}

// Idempotency keys are the caller's; they lie before the keys of payments, so that those rise with time.
const (
	apiPrefix    = "!api "
	maxKeyChars  = 64
	noticePrefix = "!notice "
)

// commandFinding is what Prepare found out about a command.
type commandFinding struct {
	key        string
	content    [16]byte
	earlier    journal.Recall[answer]
	problem    *tspapi.Problem // set when the command cannot be carried out
	token      hint
	tokenID    uint64
	name       [16]byte // of the card
	card       hint
	otherName  [16]byte
	other      hint
	deviceName [16]byte
	device     hint
	candidates []candidate
	sealed     []byte       // the account number (of a Relink: the new one)
	seal       *hsm.DataKey // under which it is sealed
	fresh      bool         // that key is new
	code       string       // one-time code
	codeSum    [16]byte
	codeSealed []byte
	reply      any // of what only reads
}

type candidate struct {
	number pan.Number
	name   [16]byte
	sealed []byte
	taken  hint
}

// outcome is what a command does.
type outcome struct {
	problem *tspapi.Problem
	kind    journal.Kind
	event   Event
	reason  string // in the history, instead of the command's own
	records []record
	token   *Token
	sealed  []byte // token number for the reply
	reply   any
	notices []notice
	effects []journal.Effect
}

func refusal(status int, code, format string, args ...any) *tspapi.Problem {
	return &tspapi.Problem{Status: status, Code: code, Reason: fmt.Sprintf(format, args...)}
}

// unavailable asks to try again: nothing was decided.
func unavailable() *tspapi.Problem {
	return &tspapi.Problem{Status: 503, Code: "unavailable", Reason: "the vault or the store does not answer", RetryAfter: 5}
}

func denied() *tspapi.Problem { return refusal(403, "not-allowed", "the caller may not do that") }

func noToken() *tspapi.Problem {
	return refusal(404, "no-such-token", "there is no such token, or it is somebody else's")
}

// content identifies what a command asks, without its key.
func (c *Command) content(f *commandFinding) [16]byte {
	body, err := json.Marshal(c.Body)
	if err != nil {
		panic("tsp: a command that is no JSON: " + err.Error())
	}
	h := sha256.New()
	fmt.Fprintf(h, "%T\x00%d\x00%s\x00%s\x00%x\x00%x\x00", c.Body, c.Caller.Role, c.Caller.ID, c.Token, f.name, f.otherName)
	h.Write(body)
	return [16]byte(h.Sum(nil)[:16])
}

func (c *Command) rowKey() string {
	return fmt.Sprintf("%s%d %s %s", apiPrefix, c.Caller.Role, c.Caller.ID, c.Key)
}

// command answers a call: the first answer to a repeat, a decision to a new one.
func (s *TSP) command(now time.Time, ev *journal.Event, c *Command, step *journal.Step) {
	f, _ := ev.Finding.(*commandFinding)
	if f == nil {
		step.Emit(journal.Effect{Reply: unavailable()})
		return
	}
	if c.Key == "" {
		if f.problem == nil && f.reply == nil {
			f.problem = refusal(422, "idempotency-key", "a request that changes something needs an idempotency key")
		}
		if f.problem != nil {
			step.Emit(journal.Effect{Reply: f.problem})
			return
		}
		step.Emit(journal.Effect{Reply: replyAt(now, f.reply)})
		return
	}
	first, known, err := s.state.answers.Find(f.key, f.earlier, s.state.look)
	switch {
	case err != nil:
		step.Emit(journal.Effect{Reply: unavailable()})
		return
	case known && first.content != f.content:
		step.Emit(journal.Effect{Reply: refusal(409, "idempotency-key-used", "the idempotency key was used for another request")})
		return
	case known:
		step.Emit(journal.Effect{Reply: s.again(first)})
		return
	}
	o := s.carryOut(now, c, f)
	if o.problem != nil {
		s.refuseCommand(now, c, f, o.problem, step)
		return
	}
	s.record(now, c, f, &o, step)
}

// again gives a first answer once more.
func (s *TSP) again(first answer) any {
	if first.problem {
		p := &tspapi.Problem{}
		if json.Unmarshal(first.body, p) != nil {
			return unavailable()
		}
		return p
	}
	r := Reply{Body: first.body}
	if t, err := s.state.token(first.token); err == nil && t != nil {
		r.TokenNumber = t.Sealed
	}
	return r
}

// timed is a reply that depends on the instant.
type timed func(now time.Time) (any, error)

func replyAt(now time.Time, reply any) any {
	if at, ok := reply.(timed); ok {
		var err error
		if reply, err = at(now); err != nil {
			return unavailable()
		}
	}
	return replyOf(reply, nil)
}

func replyOf(body any, sealed []byte) any {
	text, err := json.Marshal(body)
	if err != nil {
		panic("tsp: a reply that is no JSON: " + err.Error())
	}
	return Reply{Body: text, TokenNumber: sealed}
}

// refuseCommand remembers a refusal, unless trying again may help.
func (s *TSP) refuseCommand(now time.Time, c *Command, f *commandFinding, p *tspapi.Problem, step *journal.Step) {
	if p.RetryAfter == 0 {
		body, err := json.Marshal(p)
		if err != nil {
			panic("tsp: a problem that is no JSON: " + err.Error())
		}
		s.append(step, now, journal.Row{Kind: journal.Refused, Key: f.key, Content: f.content, Answer: body, Payment: c.Token})
	}
	step.Emit(journal.Effect{Reply: p})
}

// record makes a decision durable and answers.
func (s *TSP) record(now time.Time, c *Command, f *commandFinding, o *outcome, step *journal.Step) {
	body, err := json.Marshal(o.reply)
	if err != nil {
		panic("tsp: a reply that is no JSON: " + err.Error())
	}
	happened, err := s.histories(o.records, lived{
		Row: step.NextSeq(), At: now.Unix(), Event: o.event, Actor: actor(c.Caller.Role), Who: c.Caller.ID, Reason: cmp.Or(o.reason, c.because()),
	})
	if err != nil {
		step.Emit(journal.Effect{Reply: unavailable()})
		return
	}
	row := journal.Row{
		Kind: o.kind, Key: f.key, Content: f.content, Reason: uint16(o.event), Answer: body,
		Note: appendRecords(nil, slices.Concat(o.records, happened)), Payment: c.Token,
	}
	refused, isProblem := o.reply.(*tspapi.Problem)
	if isProblem {
		row.Kind = journal.Refused // with a change: a wrong code costs a try
	}
	if o.token != nil {
		row.Card = int64(o.token.Number)
	}
	s.append(step, now, row)
	for i := range o.notices {
		s.tell(now, &o.notices[i], step)
	}
	for _, e := range o.effects {
		step.Emit(e)
	}
	if isProblem {
		step.Emit(journal.Effect{Reply: refused})
		return
	}
	step.Emit(journal.Effect{Reply: Reply{Body: body, TokenNumber: o.sealed}})
}

// carryOut decides a command that changes something.
func (s *TSP) carryOut(now time.Time, c *Command, f *commandFinding) outcome {
	if f.problem != nil {
		return outcome{problem: f.problem}
	}
	switch b := c.Body.(type) {
	case *tspapi.RegisterRequestor:
		return s.register(c, b)
	case *tspapi.SuspendRequestor:
		return s.suspendRequestor(c, b)
	case *tspapi.Provision:
		return s.provision(now, c, b, f)
	case *tspapi.Challenge:
		return s.challenge(now, c, b, f)
	case *tspapi.Activate:
		return s.activate(now, c, b, f)
	case *tspapi.Assert:
		return s.assert(now, c, b, f)
	case *Suspension:
		return s.suspend(now, c, b, f)
	case *Deletion:
		return s.delete(now, c, b, f)
	case *Default:
		return s.makeDefault(c, f)
	case *tspapi.Relink:
		return s.relink(now, c, b, f)
	case *tspapi.CloseCard:
		return s.closeCard(now, c, f)
	case *DeviceChange:
		return s.changeDevice(now, c, b, f)
	case *Rekey:
		return s.beginRekey(c, b, f)
	}
	return outcome{problem: refusal(400, "unknown", "there is no such request")}
}

// own finds the token of a command for a caller who may touch it: its requestor, the bank of its card, an operator.
func (s *TSP) own(c *Command, f *commandFinding) (t *Token, card *Card, d *Device, problem *tspapi.Problem) {
	if f.tokenID == 0 {
		return nil, nil, nil, noToken()
	}
	t, err := s.state.token(f.tokenID, f.token)
	if err != nil {
		return nil, nil, nil, unavailable()
	}
	if t == nil {
		return nil, nil, nil, noToken()
	}
	if card, err = s.state.card(t.Card, f.card); err != nil || card == nil {
		return nil, nil, nil, unavailable()
	}
	if d, err = s.state.device(t.Device, f.device); err != nil || d == nil {
		return nil, nil, nil, unavailable()
	}
	if q := s.state.requestorAt(t.Requestor); q == nil || !mayTouch(c.Caller, q, card) {
		return nil, nil, nil, noToken()
	}
	return t, card, d, nil
}

func mayTouch(caller Caller, q *Requestor, card *Card) bool {
	switch caller.Role {
	case CallerRequestor:
		return caller.ID == q.ID
	case CallerIssuer:
		return caller.ID == card.Tenant
	}
	return caller.Role == CallerOperator
}
