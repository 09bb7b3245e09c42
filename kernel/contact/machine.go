package contact

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/pan"
)

// stage says what a card that is taken out leaves behind.
type stage uint8

const (
	stageOpen   stage = iota // nothing has happened
	stageAsked               // a cryptogram was asked for that may be a payment
	stageHost                // the host was asked and has approved
	stageSealed              // the payment is decided; only scripts remain
)

// Machine runs one payment with one card. It is for one goroutine.
type Machine struct {
	config Config
	tx     Transaction
	random io.Reader

	// What is awaited: a response to a command, or an answer to a question.
	reply    func(apdu.Response) Action
	answered func(Event) Action
	commands int
	done     bool
	stage    stage

	selection selection
	candidate Candidate // the application that runs
	fci       []byte

	terminal emv.Data // what the terminal says
	options  emv.Data // the answer to GET PROCESSING OPTIONS
	records  emv.Data
	pdolData []byte
	aip      emv.AIP
	list     []emv.AFLRecord
	next     int
	signed   []oda.Record
	identity kernel.Identity

	tvr emv.TVR
	tsi emv.TSI
	cvm verification

	method ODAMethod
	oda    kernel.ODAResult
	icc    oda.ICCKey
	forged bool // a combined signature was asked for and does not verify

	cash  cash // electronic cash
	risk  risk
	first cryptogram
	last  cryptogram
	cdol1 []byte // data of the first GENERATE AC
	asked emv.CID

	host    HostAnswer
	online  bool // the host was asked
	scripts scripting
}

// New prepares a payment. The configuration and the transaction have passed Check: one that has not panics.
func New(cfg Config, tx Transaction) *Machine {
	if err := cfg.Check(); err != nil {
		panic("contact: " + err.Error())
	}
	if err := tx.Check(); err != nil {
		panic("contact: " + err.Error())
	}
	tx.Type = tx.Purse.transactionType(tx.Type)
	return &Machine{config: cfg, tx: tx, random: stream(tx.Seed)}
}

// stream is what a seed draws: the same for the same seed.
func stream(seed [32]byte) io.Reader {
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		panic("contact: " + err.Error()) // 32 bytes are a key
	}
	return cipher.StreamReader{S: cipher.NewCTR(block, make([]byte, aes.BlockSize)), R: zeros{}}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// Format prints the progress only: a machine holds card data.
func (m *Machine) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "contact.Machine{"+m.candidate.AID.String()+"}")
}

// Start returns the first action: the selection of the payment system environment [EMV B1 12.3.2].
func (m *Machine) Start() Action {
	m.mustBeNew()
	return m.send(apdu.Select([]byte(emv.PSE)), m.directory)
}

// StartSelected goes on from an application that the caller has selected: over the air, where a reader that does not offer qPBOC
// holds the full dialogue [REF 2.1].
func (m *Machine) StartSelected(aid emv.AID, fci []byte) Action {
	m.mustBeNew()
	application := m.config.application(aid)
	if application == nil {
		return m.end(kernel.SelectNext, ReasonNoCommonApplication, glossary.Term{})
	}
	m.candidate = Candidate{AID: aid, application: application}
	if !m.readFCI(fci) {
		return m.end(kernel.EndApplication, ReasonCardAnswerMalformed, glossary.Term{})
	}
	return m.initiate()
}

// StartOpened goes on from a dialogue that a card has opened over the air, at a reader that offered QuickPass as well [REF 2.1]. The
// transaction is the one that GET PROCESSING OPTIONS told the card.
func (m *Machine) StartOpened(aid emv.AID, fci []byte, opened kernel.Opened) Action {
	m.mustBeNew()
	application := m.config.application(aid)
	response, err := apdu.ParseResponse(opened.Response)
	if application == nil || err != nil {
		return m.end(kernel.EndApplication, ReasonNoCommonApplication, glossary.Term{})
	}
	m.candidate = Candidate{AID: aid, application: application}
	if !m.readFCI(fci) {
		return m.end(kernel.EndApplication, ReasonCardAnswerMalformed, glossary.Term{})
	}
	m.commands++
	m.begin()
	m.terminal = m.objects()
	m.refresh()
	m.pdolData = clone(opened.PDOL)
	return m.readOptions(response)
}

// application is what the terminal has for a card's application; nil: nothing.
func (c *Config) application(aid emv.AID) *Application {
	for i := range c.Applications {
		if a := &c.Applications[i]; aid.Matches(a.AID, !a.ExactOnly) {
			return a
		}
	}
	return nil
}

// Takes reports whether the terminal has an application for the card's.
func (c *Config) Takes(aid emv.AID) bool { return c.application(aid) != nil }

func (m *Machine) mustBeNew() {
	if m.commands > 0 || m.done {
		panic("contact: started twice")
	}
}

// Next takes what happened. An event that does not answer the last action is a bug and panics.
func (m *Machine) Next(ev Event) Action {
	switch {
	case ev == nil:
		panic("contact: no event")
	case m.done:
		panic("contact: the payment has ended")
	case m.reply != nil:
		return m.respond(ev)
	case m.answered == nil:
		panic("contact: Next called before Start")
	}
	then := m.answered
	m.answered = nil
	if _, stop := ev.(Cancelled); stop && m.stage == stageOpen {
		return m.cancelled()
	}
	return then(ev)
}

func (m *Machine) respond(ev Event) Action {
	then := m.reply
	m.reply = nil
	switch ev := ev.(type) {
	case CardLost:
		return m.lost()
	case Response:
		r, err := apdu.ParseResponse(ev.Data)
		if err != nil {
			return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
		}
		return then(r)
	}
	panic(fmt.Sprintf("contact: %T instead of the card's answer", ev))
}

// send asks the card; then takes the answer. The budget ends a card that keeps the terminal busy.
func (m *Machine) send(c apdu.Command, then func(apdu.Response) Action) Action {
	if m.commands++; m.commands > MaxCommands {
		return m.broken(ReasonCardAnswerMalformed, glossary.Term{})
	}
	m.reply = then
	return Action{Send: &c}
}

// ask puts a question to people or to the host.
func (m *Machine) ask(a Action, then func(Event) Action) Action {
	m.answered = then
	return a
}

func unexpected(ev Event) string { return fmt.Sprintf("contact: %T does not answer the question", ev) }

// lost is what becomes of a card that was taken out.
func (m *Machine) lost() Action { return m.leave(true, ReasonCardRemoved, glossary.Term{}) }

// broken ends a payment whose card does not keep to the rules.
func (m *Machine) broken(why Reason, detail glossary.Term) Action { return m.leave(false, why, detail) }

// leave ends the dialogue before its time. What was already decided stays decided; what the host approved is reversed.
func (m *Machine) leave(removed bool, why Reason, detail glossary.Term) Action {
	kind := kernel.EndApplication
	if removed {
		kind = kernel.TryAgain
	}
	switch m.stage {
	case stageSealed:
		m.scripts.abandon(m)
		a := m.conclude()
		a.Outcome.Removed = removed
		return a
	case stageHost:
		return m.leaveHost(removed, why, detail)
	case stageAsked:
		kind = kernel.EndApplication
		if removed {
			why = ReasonTorn
		}
	case stageOpen:
		if m.host.ARC != [2]byte{} { // the issuer has declined already
			kind, why, detail = m.refusedByHost()
		}
	}
	a := m.end(kind, why, detail)
	a.Outcome.Removed = removed
	a.Outcome.Uncertain = m.stage == stageAsked && m.cash.on && m.asked == emv.TC
	return a
}

// leaveHost: the host has approved and the card did not finish [EMV B4]. Scripts before the last cryptogram may have been carried
// out, so a purse is uncertain as well.
func (m *Machine) leaveHost(removed bool, why Reason, detail glossary.Term) Action {
	if removed {
		why = ReasonRemovedAfterHost
	}
	uncertain := m.scripts.anySent()
	if m.tx.Purse != PurseNone && uncertain {
		why = ReasonLoadUnknown
	}
	m.scripts.abandon(m)
	a := m.end(kernel.Declined, why, detail)
	a.Outcome.Removed, a.Outcome.Uncertain = removed, uncertain && m.tx.Purse != PurseNone
	a.Outcome.Reverse = m.reversible() && !a.Outcome.Uncertain
	return a
}

// end concludes with an outcome.
func (m *Machine) end(kind kernel.OutcomeKind, why Reason, detail glossary.Term) Action {
	m.done, m.reply, m.answered = true, nil, nil
	o := m.newOutcome(kind, why, detail)
	return Action{Outcome: &o}
}

// Identity is the record that held the account number, if it has been read: to recognise the card again.
func (m *Machine) Identity() (kernel.Identity, bool) { return m.identity, len(m.identity.Raw) > 0 }

// AID is the application that runs; empty while there is none.
func (m *Machine) AID() emv.AID { return m.candidate.AID }

// pan is the account number as far as the card has told it.
func (m *Machine) pan() (pan.Number, bool) { return (&kernel.Outcome{Data: m.records}).PAN() }

// clone keeps an answer: responses alias the caller's buffer.
func clone(b []byte) []byte { return append([]byte(nil), b...) }
