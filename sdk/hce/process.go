package hce

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
)

// phase is how far the dialogue with a reader has come.
type phase uint8

const (
	phaseSilent    phase = iota // nothing armed: every command is refused
	phaseWaiting                // armed, nothing selected
	phaseDirectory              // the PPSE is selected
	phaseSelected               // the token is selected
	phaseAnswered               // the cryptogram has left: records, then silence
)

// armed is everything a tap needs. It holds a key: erase it.
type armed struct {
	token       string
	layout      *layout
	mac         maker
	tagKey      cloudkey.Secret
	atc         uint16
	iad         cloudkey.IAD // without what is known at the tap only
	ageMs       int64
	open        bool // the key stands for no verification
	openLimit   int64
	amountLeft  int64 // -1: no cap
	armedNs     int64
	windowNs    int64
	directory   []byte
	answer      []byte
	iadAt, acAt int
	fixed       [fixedBytes]byte
}

func (a *armed) erase() { a.mac.erase(); a.tagKey = cloudkey.Secret{} }

// answered is a tap that has been answered and not yet written down.
type answered struct {
	token  string
	atc    uint16
	amount int64 // in the token's currency
}

// maxRefusals is how often a reader may be refused in one field before it gets no service. A real one needs none; one that probes needs many.
const maxRefusals = 10

// tap is what lives in memory between arming and the end of the field.
type tap struct {
	phase     phase
	arming    bool
	wantsCVM  bool // the reader wanted a verification that the armed key does not stand for
	refusals  int
	lastNs    int64
	latencyNs int64
	timed     bool // lastNs counts
	armed     armed
	done      answered
	data      [maxMACData]byte
}

// forget makes the phone silent and erases the key.
func (t *tap) forget() {
	t.armed.erase()
	t.armed = armed{}
	t.phase = phaseSilent
	clear(t.data[:])
}

// present puts a key in place.
func (t *tap) present(a *armed) {
	t.armed, t.phase, t.wantsCVM = *a, phaseWaiting, false
	t.timed, t.latencyNs = false, 0 // what came before arming is no part of the tap
}

// leave is the end of a field. A phone that was armed and has not heard a reader since stays so: the field was another one.
func (t *tap) leave() {
	if t.phase != phaseWaiting || t.timed {
		t.forget()
	}
	t.refusals, t.timed, t.lastNs, t.latencyNs = 0, false, 0, 0
}

// ProcessInto answers one command of a reader into out and returns the length; ProcessPending while arming is under way; a negative number
// when out is too short. cmd and out are not kept. elapsedNs is the monotonic time at which the command arrived: the longest silence
// between two commands goes to the issuer, as a sign of a relay.
func (e *Engine) ProcessInto(cmd, out []byte, elapsedNs int64) (n int32) {
	defer func() {
		if recover() != nil {
			e.disarm("")
			n = status(out, 0, apdu.SW(0x6F00))
		}
	}()
	if len(out) < maxAnswer+2 {
		return ProcessBuffer
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.tap.arming {
		return ProcessPending
	}
	length, sw := e.tap.process(cmd, out, elapsedNs)
	if sw != apdu.OK {
		length = 0
		if e.tap.refusals++; e.tap.refusals >= maxRefusals {
			e.tap.forget()
		}
	}
	return status(out, length, sw)
}

func status(out []byte, length int, sw apdu.SW) int32 {
	if len(out) < length+2 {
		return ProcessBuffer
	}
	out[length], out[length+1] = byte(sw>>8), byte(sw)
	return int32(length + 2) //nolint:gosec // at most 258
}

// command is a short APDU. It is taken apart here because apdu.ParseCommand describes what it refuses, which allocates.
type command struct {
	cla, ins, p1, p2 byte
	data             []byte
}

// parse accepts exactly what apdu.ParseCommand does.
func parse(b []byte) (c command, ok bool) {
	const header = 4
	if len(b) < header || len(b) > header+1+apdu.MaxDataBytes+1 {
		return c, false
	}
	c = command{cla: b[0], ins: b[1], p1: b[2], p2: b[3]}
	body := b[header:]
	if len(body) <= 1 {
		return c, true
	}
	lc := int(body[0])
	if lc == 0 || len(body) != 1+lc && len(body) != 2+lc {
		return c, false
	}
	c.data = body[1 : 1+lc]
	return c, true
}

// process finds the command. Only an armed phone does anything.
func (t *tap) process(cmd, out []byte, elapsedNs int64) (int, apdu.SW) {
	t.time(elapsedNs)
	c, ok := parse(cmd)
	switch {
	case t.refusals >= maxRefusals:
		return 0, apdu.ConditionsNotSatisfied
	case !ok:
		return 0, apdu.WrongLength
	case c.cla != apdu.ClaInterindustry && c.cla != apdu.ClaProprietary:
		return 0, apdu.ClassNotSupported
	}
	switch {
	case c.cla == apdu.ClaInterindustry && c.ins == apdu.InsSelect:
		return t.selectName(c, out)
	case c.cla == apdu.ClaProprietary && c.ins == apdu.InsGPO:
		return t.options(c, out, elapsedNs)
	case c.cla == apdu.ClaInterindustry && c.ins == apdu.InsReadRecord:
		return t.readRecord(c, out)
	case c.ins == apdu.InsSelect || c.ins == apdu.InsGPO || c.ins == apdu.InsReadRecord:
		return 0, apdu.ClassNotSupported
	}
	return 0, apdu.InstructionNotSupported
}

// time notes how long the reader was silent, and ends what has been armed for too long. A clock that goes back counts as no time.
func (t *tap) time(elapsedNs int64) {
	if t.timed {
		t.latencyNs = max(t.latencyNs, elapsedNs-t.lastNs)
	}
	t.timed, t.lastNs = true, elapsedNs
	if t.phase != phaseSilent && t.phase != phaseAnswered && elapsedNs-t.armed.armedNs > t.armed.windowNs {
		t.forget()
	}
}

// selectName answers the directory and the armed token.
func (t *tap) selectName(c command, out []byte) (int, apdu.SW) {
	const byName, first, next, minName, maxName = 0x04, 0x00, 0x02, 5, 16
	switch {
	case c.p1 != byName || c.p2 != first && c.p2 != next:
		return 0, apdu.WrongParameters
	case len(c.data) < minName || len(c.data) > maxName:
		return 0, apdu.WrongLength
	case t.phase == phaseSilent || t.phase == phaseAnswered:
		return 0, apdu.ConditionsNotSatisfied
	case c.p2 == next:
		return 0, apdu.FileNotFound // one token shows itself at a time
	case string(c.data) == string(emv.PPSE):
		t.phase, t.latencyNs = phaseDirectory, 0 // a dialogue begins
		return copy(out, t.armed.directory), apdu.OK
	case t.names(c.data):
		t.phase = phaseSelected
		return copy(out, t.armed.layout.fci), apdu.OK
	}
	return 0, apdu.FileNotFound
}

// names reports whether a name is the beginning of the armed token's identifier.
func (t *tap) names(name []byte) bool {
	aid := t.armed.layout.aid
	return len(name) <= len(aid) && aid[:len(name)] == string(name)
}

// readRecord answers the records of the profile, after the cryptogram and not before: they may hold the token's number.
func (t *tap) readRecord(c command, out []byte) (int, apdu.SW) {
	const sfiShift, numberInP1 = 3, 0x04
	switch {
	case t.phase != phaseAnswered:
		return 0, apdu.ConditionsNotSatisfied
	case c.p2&(1<<sfiShift-1) != numberInP1 || c.p1 == 0 || c.p2>>sfiShift == 0:
		return 0, apdu.WrongParameters
	case len(c.data) != 0:
		return 0, apdu.WrongLength
	}
	for i := range t.armed.layout.records {
		if r := &t.armed.layout.records[i]; r.sfi == c.p2>>sfiShift && r.number == c.p1 {
			return copy(out, r.answer), apdu.OK
		}
	}
	return 0, apdu.RecordNotFound
}
