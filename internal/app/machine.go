package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/iso8583/unionpay"
	"tapnet/terminal"
)

// Machines serve themselves [row C7]: one sells and has no PIN pad, one loads purses and has. Nobody stands beside them, so that nobody looks at a signature
// or a document. A machine without a network keeps what it was paid until somebody comes and collects it.
const (
	machineSells = "vending"
	machineLoads = "load"
)

// Terminal types [EMV B4 A1].
const (
	terminalUnattendedOnlineBank = 0x14 // of a financial institution
	terminalUnattended           = 0x25 // of a merchant, offline with online capability
	terminalUnattendedOffline    = 0x26 // of a merchant, offline only
)

// unattended makes a terminal one without a cashier.
func unattended(config *terminal.Config, m personalization.Merchant) {
	switch m.Machine {
	case machineSells:
		config.Kernel.Type = terminalUnattended
		if m.Offline {
			config.Kernel.Type = terminalUnattendedOffline
		}
		config.Kernel.Capabilities = emv.TerminalCapabilities{0x20, 0x08, 0xC8} // chip; no verification; SDA, DDA, CDA
		config.TTQ.Clear(emv.TTQOnlinePIN)
		config.TTQ.Clear(emv.TTQSignature)
	case machineLoads:
		config.Kernel.Type = terminalUnattendedOnlineBank
		config.Kernel.Capabilities = emv.TerminalCapabilities{0x20, 0xD8, 0xC8} // and PINs: in the clear, online, enciphered
		config.TTQ.Clear(emv.TTQSignature)
	}
}

// machineVerbs are what a machine can be asked for.
var machineVerbs = map[string]map[POSVerb]bool{
	machineSells: {POSSale: true, POSCashBalance: true, POSCollect: true, POSReprint: true, POSDownload: true, POSRollback: true, POSSettle: true},
	machineLoads: {POSLoad: true, POSBalance: true, POSCashBalance: true, POSChangePIN: true, POSUnblockPIN: true, POSCollect: true, POSReprint: true,
		POSDownload: true, POSRollback: true, POSSettle: true},
}

var (
	whyNoCashier  = glossary.Term{EN: "this is a machine without a cashier: it does not do that", ZH: "此为自助终端，不办理该业务"}
	nextCashier   = glossary.Term{EN: "Go to a till or to the bank's counter.", ZH: "请到收银台或银行柜台办理。"}
	whyNoMachine  = glossary.Term{EN: "there is nothing to collect: this till is connected", ZH: "无需采集：该终端已联机"}
	nextConnected = glossary.Term{EN: "tapnet pos settle", ZH: "tapnet pos settle"}
)

// refuseAtMachine says no to what needs a cashier, or keys that the terminal was never given; false when the verb may go on.
func (j *counterJob) refuseAtMachine() bool {
	switch kind := j.till.merchant.Machine; {
	case kind != "" && !machineVerbs[kind][j.Verb]:
		j.took = pos.Receipt{End: pos.NotBegun, Why: whyNoCashier, Next: nextCashier}
	case j.Verb == POSCollect && j.till.line == nil:
		j.took = pos.Receipt{End: pos.NotBegun, Why: whyNoMachine, Next: nextConnected}
	case j.unsigned(j.till):
		j.took = pos.Receipt{End: pos.NotBegun, Why: whyNotSignedOn, Next: nextNotSignedOn}
	default:
		return false
	}
	return true
}

// carriedLine is that of a machine without a network: it is there only while somebody collects.
type carriedLine struct {
	visit sync.Mutex // one at a time
	now   atomic.Pointer[dialer]
	open  func() (*dialer, error)
	node  *node
}

var errNoLine = errors.New("the machine has no line now")

func (l *carriedLine) send(_ string, m unionpay.Message) error {
	d := l.now.Load()
	if d == nil {
		return errNoLine
	}
	return d.Send(m)
}

// carried is the line of a machine without a network, nil for a till that has one.
func (n *Network) carried(node *node, m personalization.Merchant, ring *keyring.Ring) *carriedLine {
	if m.Machine == "" || !m.Offline {
		return nil
	}
	l := &carriedLine{node: node, open: func() (*dialer, error) {
		return n.dial(node, RoleAcquirer, m.Terminal, m.ID, n.options.Profile.Acquirer.Institution, unionpay.Terminal, ring)
	}}
	node.apart.Store(true)
	node.send = l.send
	return l
}

// during opens the line, waits until what the machine holds has been delivered, runs do, and closes the line.
func (n *Network) during(ctx context.Context, l *carriedLine, till *pos.Till, do func() error) error {
	l.visit.Lock()
	defer l.visit.Unlock()
	d, err := l.open()
	if err != nil {
		return err
	}
	running, hangUp := context.WithCancel(n.background.ctx)
	ended := make(chan struct{})
	l.now.Store(d)
	l.node.apart.Store(false)
	go func() {
		defer close(ended)
		if err := d.Run(running); err != nil {
			l.node.log.Error("link stopped", "error", err)
		}
	}()
	defer func() {
		hangUp()
		<-ended
		l.now.Store(nil)
		l.node.apart.Store(true)
	}()
	within, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	select {
	case <-d.up:
	case <-within.Done():
		return fmt.Errorf("collect: the acquirer does not answer: %w", within.Err())
	}
	if err := n.delivered(ctx, l.node, till); err != nil {
		return err
	}
	return do()
}

// delivered waits until the acquirer has everything that the machine held.
func (n *Network) delivered(ctx context.Context, at *node, till *pos.Till) error {
	for {
		seen, waiting := n.committed.mark(), 0
		if err := at.look(ctx, func() { waiting = till.Outstanding() }); err != nil {
			return err
		}
		if waiting == 0 {
			return nil
		}
		if err := n.committed.wait(ctx, seen); err != nil {
			return fmt.Errorf("collect: %d payments wait to be delivered: %w", waiting, err)
		}
	}
}

// held is how many payments a till has that the acquirer does not have yet.
func (j *counterJob) held(ctx context.Context) (int, error) {
	waiting := 0
	err := j.till.look(ctx, func() { waiting = j.till.core.Outstanding() })
	return waiting, err
}

// tellHeld says how many payments wait in a machine to be collected.
func (j *counterJob) tellHeld(ctx context.Context) error {
	if j.till.line == nil {
		return nil
	}
	held, err := j.held(ctx)
	j.result.Held = &held
	return err
}

// collect takes away what a machine was paid, and settles its batch.
func (j *counterJob) collect(ctx context.Context) error {
	held, err := j.held(ctx)
	if err != nil {
		return err
	}
	if err := j.during(ctx, j.till.line, j.till.core, func() error { return j.settle(ctx) }); err != nil {
		return err
	}
	j.result.Collected = &held
	return nil
}
