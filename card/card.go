package card

import (
	"errors"
	"fmt"
	"io"

	"tapnet/apdu"
)

// phase is how far the dialogue has come. Handlers name the phases they are allowed in.
type phase uint8

const (
	phaseIdle      phase = 1 << iota // powered, nothing selected
	phaseDirectory                   // the PPSE is selected
	phaseSelected                    // an application is selected
	phaseInitiated                   // GET PROCESSING OPTIONS has been answered

	phaseAny = phaseIdle | phaseDirectory | phaseSelected | phaseInitiated
)

// Card runs one card. It is not safe for concurrent use: a card talks to one reader at a time.
type Card struct {
	noContactless bool
	historical    []byte
	applications  []application
	memory        Memory
	random        io.Reader
	state         State // what is durable, as far as the card knows

	// RAM: lost with the power.
	powered   Interface
	phase     phase
	selected  int         // index of the selected application, valid from phaseSelected on
	name      string      // the name of the last SELECT, for the next occurrence
	tx        transaction // of the selected application
	decision  Decision
	decided   bool
	faultHook func(before bool) bool // set by Field: true means the power fails here
}

// handler is one command of the card. Further commands join as rows; the dispatcher decides nothing else.
type handler struct {
	class, instruction byte
	phases             phase     // where it is allowed; elsewhere 6985
	interfaces         Interface // where it is offered; elsewhere 6985
	run                func(*Card, apdu.Command) (apdu.Response, error)
}

// handlers is the command set [REF 2.1], [REF 3.1].
var handlers = [...]handler{
	{apdu.ClaInterindustry, apdu.InsSelect, phaseAny, Contactless | Contact, (*Card).selectByName},
	{apdu.ClaProprietary, apdu.InsGPO, phaseSelected, Contactless, (*Card).getProcessingOptions},
	{apdu.ClaInterindustry, apdu.InsReadRecord, phaseSelected | phaseInitiated, Contactless | Contact, (*Card).readRecord},
	{apdu.ClaProprietary, apdu.InsGetData, phaseSelected | phaseInitiated, Contactless | Contact, (*Card).getData},
}

// New puts a card together and checks that it is one. memory may be nil: then the card starts from the image's state and
// keeps it in this process; otherwise the memory's state counts and the image's is not looked at. random gives the card
// random number of dynamic signatures. The image is not kept and not changed.
func New(image *Image, crypto Crypto, memory Memory, random io.Reader) (*Card, error) {
	if image == nil || crypto == nil || random == nil {
		return nil, fmt.Errorf("build card: %w: image, crypto and random are needed", ErrImage)
	}
	if memory == nil {
		memory = NewVolatile(image.State)
	}
	c := &Card{noContactless: image.NoContactless, historical: append([]byte(nil), image.Historical...), memory: memory, random: random}
	var err error
	if c.applications, err = prepare(image, crypto); err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	if err := c.load(); err != nil {
		return nil, fmt.Errorf("build card: %w", err)
	}
	return c, nil
}

func (c *Card) load() error {
	state, err := c.memory.Load()
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	if err := state.check(); err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	c.state = state
	return nil
}

// PowerOn wakes the card on one interface and returns its historical bytes. What the card knew in RAM is gone; the state is
// what the memory holds. A card whose memory cannot be read stays silent: nil, and Process answers ErrTorn.
func (c *Card) PowerOn(i Interface) []byte {
	c.PowerOff()
	if i != Contactless && i != Contact {
		return nil
	}
	if err := c.load(); err != nil {
		return nil
	}
	c.powered, c.phase = i, phaseIdle
	return append([]byte{}, c.historical...)
}

// PowerOff takes the power away.
func (c *Card) PowerOff() {
	c.powered, c.phase, c.selected, c.name, c.tx = 0, 0, 0, "", transaction{}
}

// State returns a copy of the durable state.
func (c *Card) State() State { return c.state }

// String names the card, never what is on it.
func (c *Card) String() string { return fmt.Sprintf("card with %d applications", len(c.applications)) }

// Format prints String for every verb: inside are keys and card data.
func (c *Card) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// Process answers one command with response data and status word. err is only ever ErrTorn: the card has no power, or lost
// it now.
func (c *Card) Process(command []byte) (response []byte, err error) {
	if c.powered == 0 {
		return nil, ErrTorn
	}
	r, err := c.dispatch(command)
	if err != nil {
		c.PowerOff()
		return nil, ErrTorn
	}
	return r.Bytes(), nil
}

// dispatch finds the handler. The order of refusals: form of the command, class, instruction, order of commands
// [ISO 7816-4 5.6].
func (c *Card) dispatch(command []byte) (apdu.Response, error) {
	cmd, err := apdu.ParseCommand(command)
	if err != nil {
		return refuse(apdu.WrongLength), nil
	}
	classKnown, instructionKnown := false, false
	for i := range handlers {
		h := &handlers[i]
		classKnown = classKnown || h.class == cmd.CLA
		instructionKnown = instructionKnown || h.instruction == cmd.INS
		if h.class != cmd.CLA || h.instruction != cmd.INS {
			continue
		}
		if c.phase&h.phases == 0 || c.powered&h.interfaces == 0 {
			return refuse(apdu.ConditionsNotSatisfied), nil
		}
		return h.run(c, cmd)
	}
	if !classKnown || instructionKnown {
		return refuse(apdu.ClassNotSupported), nil
	}
	return refuse(apdu.InstructionNotSupported), nil
}

// refuse is an answer without data.
func refuse(sw apdu.SW) apdu.Response { return apdu.Response{SW: sw} }

func answer(data []byte) (apdu.Response, error) { return apdu.Response{Data: data, SW: apdu.OK}, nil }

// commit makes the next state durable. ok is false when the memory refused and nothing was written.
func (c *Card) commit(next *State) (ok bool, err error) {
	if c.faultHook != nil && c.faultHook(true) {
		return false, ErrTorn
	}
	if err := c.memory.Commit(next); err != nil {
		if errors.Is(err, ErrTorn) {
			return false, ErrTorn
		}
		return false, nil
	}
	if c.faultHook != nil && c.faultHook(false) {
		return false, ErrTorn
	}
	c.state = *next
	return true, nil
}
