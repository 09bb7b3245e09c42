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
	phaseInitiated                   // GET PROCESSING OPTIONS has decided a contactless payment
	phaseDialogue                    // GET PROCESSING OPTIONS has opened a dialogue that ends in GENERATE AC
	phaseOnline                      // the first GENERATE AC asks the issuer
	phaseCompleted                   // the last GENERATE AC has been answered

	phaseApplication = phaseSelected | phaseInitiated | phaseDialogue | phaseOnline | phaseCompleted
	phaseScripts     = phaseOnline | phaseCompleted
	phaseAny         = phaseIdle | phaseDirectory | phaseApplication
)

// Card runs one card. It is not safe for concurrent use: a card talks to one reader at a time.
type Card struct {
	noContactless bool
	noPSE         bool
	interfaces    Interface
	historical    []byte
	applications  []application
	memory        Memory
	random        io.Reader
	state         State // what is durable, as far as the card knows
	stale         bool  // the power failed during a write: only the memory knows

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

// bothInterfaces is the dialogue with GENERATE AC, which runs on contact and, where the profile offers it, over contactless.
const bothInterfaces = Contactless | Contact

// handlers is the command set [REF 2.1], [REF 2.8], [REF 3.1].
var handlers = [...]handler{
	{apdu.ClaInterindustry, apdu.InsSelect, phaseAny, bothInterfaces, (*Card).selectByName},
	{apdu.ClaProprietary, apdu.InsGPO, phaseSelected, bothInterfaces, (*Card).getProcessingOptions},
	{apdu.ClaInterindustry, apdu.InsReadRecord, phaseDirectory | phaseApplication, bothInterfaces, (*Card).readRecord},
	{apdu.ClaProprietary, apdu.InsGetData, phaseApplication, bothInterfaces, (*Card).getData},

	{apdu.ClaInterindustry, apdu.InsInternalAuthenticate, phaseDialogue, bothInterfaces, (*Card).internalAuthenticate},
	{apdu.ClaInterindustry, apdu.InsGetChallenge, phaseDialogue, bothInterfaces, (*Card).getChallenge},
	{apdu.ClaInterindustry, apdu.InsVerify, phaseDialogue, Contact, (*Card).verify}, // a PIN never goes through the air
	{apdu.ClaProprietary, apdu.InsGenerateAC, phaseDialogue | phaseOnline, bothInterfaces, (*Card).generateAC},
	{apdu.ClaInterindustry, apdu.InsExternalAuthenticate, phaseOnline, bothInterfaces, (*Card).externalAuthenticate},

	{apdu.ClaInterindustryMAC, apdu.InsPutData, phaseScripts, bothInterfaces, (*Card).putData},
	{apdu.ClaInterindustryMAC, apdu.InsUpdateRecord, phaseScripts, bothInterfaces, (*Card).updateRecord},
	{apdu.ClaProprietaryMAC, apdu.InsApplicationBlock, phaseScripts, bothInterfaces, (*Card).applicationBlock},
	{apdu.ClaProprietaryMAC, apdu.InsApplicationUnblock, phaseScripts, bothInterfaces, (*Card).applicationUnblock},
	{apdu.ClaProprietaryMAC, apdu.InsCardBlock, phaseScripts, bothInterfaces, (*Card).cardBlock},
	{apdu.ClaProprietary, apdu.InsReadCAPPData, phaseInitiated, Contactless, (*Card).readExtended},
	{apdu.ClaProprietaryMAC, apdu.InsUpdateCAPPDataCache, phaseInitiated, Contactless, (*Card).updateExtended},
	{apdu.ClaInterindustryMAC, apdu.InsAppendRecord, phaseSelected, bothInterfaces, (*Card).appendRecord},
	{apdu.ClaProprietary, apdu.InsGetTransProve, phaseApplication, bothInterfaces, (*Card).getTransProve},

	{apdu.ClaProprietaryMAC, apdu.InsPINChange, phaseScripts, bothInterfaces, (*Card).pinChange},
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
	c := &Card{
		noContactless: image.NoContactless, noPSE: image.NoPSE, interfaces: image.Interfaces, historical: append([]byte(nil), image.Historical...),
		memory: memory, random: random,
	}
	if c.interfaces == 0 {
		c.interfaces = bothInterfaces
	}
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
	c.state, c.stale = state, false
	return nil
}

// PowerOn wakes the card on one interface and returns its historical bytes. What the card knew in RAM is gone; the state is
// what the memory holds. A card that does not have the interface, or whose memory cannot be read, stays silent: nil, and Process
// answers ErrTorn.
func (c *Card) PowerOn(i Interface) []byte {
	c.PowerOff()
	if i != Contactless && i != Contact || c.interfaces&i == 0 {
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

// State returns a copy of the durable state. After a write that lost its power it is what the memory holds; when that cannot be
// read, what it held before.
func (c *Card) State() State {
	if c.stale {
		_ = c.load() // keeps what is known
	}
	return c.state
}

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
		if cmd.INS != apdu.InsVerify {
			c.tx.dialogue.challenged = false // good for the next command only [EMV B3 6.5.6]
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
			c.stale = true
			return false, ErrTorn
		}
		return false, nil
	}
	c.state = *next
	if c.faultHook != nil && c.faultHook(false) {
		return false, ErrTorn
	}
	return true, nil
}
