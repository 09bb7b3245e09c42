package app

import (
	"context"
	"errors"
	"fmt"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/explain"
	"tapnet/tlv"
)

// CardDump is everything that a card at a reader told without a payment, in the order it was asked. Numbers and names are masked.
type CardDump struct {
	Reader   string     `json:"reader"`
	ATR      string     `json:"atr"`
	Protocol string     `json:"protocol"`
	Steps    []DumpStep `json:"steps"`
	// Applications is how many payment applications answered.
	Applications int `json:"applications"`
}

// DumpStep is one command and what came back.
type DumpStep struct {
	Command string       `json:"command"` // name and header
	SW      string       `json:"sw"`
	Answer  explain.Node `json:"answer"`
}

// Limits of a dump: what one card can make a reader ask.
const (
	maxDumpNames   = 16 // applications
	maxDumpFile    = 30 // short file identifiers end there [ISO 7816-4 7.1.3]
	maxDumpRecords = 16 // of a file; logs keep ten [REF 1.3]
	maxDumpFailed  = 2  // records that are not there end a file
	// maxDumpSteps is what is kept of a card that answers everything; a real one gives below a hundred answers.
	maxDumpSteps = 1000
)

// errEnough ends a dump that is as long as it may be.
var errEnough = errors.New("the card answers without end")

// dumpTags is what GET DATA is asked for: column G of [REF 1.3].
var dumpTags = [...]tlv.Tag{
	emv.TagATC, emv.TagLastOnlineATC, emv.TagPINTryCounter, emv.TagLogFormat, emv.TagLoadLogFormat, emv.TagECCurrency, emv.TagDefaultAction,
	emv.TagConsecutiveIntlCurrency, emv.TagCTTAL, emv.TagIssuerAuthIndicator, emv.TagIssuerCountryCard, emv.TagLowerConsecutiveLimit,
	emv.TagUpperConsecutiveLimit, emv.TagCTTAUL, emv.TagAvailableOffline, emv.TagAdditionalProcessing, emv.TagCardCVMLimit,
	emv.TagECResetThreshold, emv.TagConsecutiveIntlCountry, emv.TagConversionFactor, emv.TagDualCurrencyLimit, emv.TagSecondCurrency,
	emv.TagECBalanceLimit, emv.TagECSingleLimit, emv.TagECBalance, emv.TagExtendedIndicator, emv.TagSegmentLimit, emv.TagSegmentUsed,
	emv.TagSMSupport, emv.TagSecondECCurrency, emv.TagSecondCVMLimit, emv.TagSecondResetThreshold, emv.TagSecondBalanceLimit,
	emv.TagSecondSingleLimit, emv.TagSecondBalance,
}

// dumper asks a card and keeps the answers.
type dumper struct {
	ctx     context.Context
	card    apdu.Transceiver
	explain *explain.Session
	steps   []DumpStep
	names   [][]byte
}

// dump asks a card for everything that any reader may know: both directories, the applications in them, their records and data objects.
// It starts no payment, so the card's counter stays where it is. The error is that of the reader; what was read before it is returned.
func dump(ctx context.Context, card apdu.Transceiver) (steps []DumpStep, applications int, err error) {
	d := &dumper{ctx: ctx, card: card, explain: explain.NewSession(explain.Context{})}
	applications, err = d.run()
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("read card: %w", err)
	}
	return d.steps, applications, err
}

func (d *dumper) run() (applications int, err error) {
	for _, directory := range []emv.AID{emv.PPSE, emv.PSE} {
		if err := d.directory(directory); err != nil {
			return 0, err
		}
	}
	if len(d.names) == 0 { // no directory tells: try the names that there are
		for _, aid := range []emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit, emv.AIDElectronicCash} {
			d.names = append(d.names, aid.Bytes())
		}
	}
	for _, name := range d.names {
		found, err := d.application(name)
		if found {
			applications++
		}
		if err != nil {
			return applications, err
		}
	}
	return applications, nil
}

// ask sends a command. The answer is kept when the card had one, or when always is set.
func (d *dumper) ask(c apdu.Command, always bool) (apdu.Response, error) {
	if len(d.steps) == maxDumpSteps {
		return apdu.Response{}, errEnough
	}
	command := c.Bytes()
	b, err := d.card.Transceive(d.ctx, command)
	if err != nil {
		return apdu.Response{}, err
	}
	r, err := apdu.ParseResponse(b)
	if err != nil {
		return apdu.Response{}, err
	}
	_, _ = d.explain.Command(command)
	node, _ := d.explain.Response(b) // what cannot be read is in the tree, and says so
	if always || len(r.Data) > 0 {
		d.steps = append(d.steps, DumpStep{Command: c.String(), SW: r.SW.String(), Answer: node})
	}
	return r, nil
}

// directory selects one, reads its file where it has one, and remembers the applications it names [REF 1.2].
func (d *dumper) directory(name emv.AID) error {
	r, err := d.ask(apdu.Select(name.Bytes()), true)
	if err != nil || r.SW != apdu.OK {
		return err
	}
	d.remember(r.Data)
	sfi, ok := tlv.Find(r.Data, emv.TagFCI, emv.TagFCIProprietary, emv.TagSFI)
	if !ok || len(sfi) != 1 || sfi[0] == 0 || sfi[0] > maxDumpFile {
		return nil
	}
	return d.file(sfi[0])
}

// file reads the records of a file.
func (d *dumper) file(sfi byte) error {
	failed := 0
	for number := byte(1); number <= maxDumpRecords && failed < maxDumpFailed; number++ {
		r, err := d.ask(apdu.ReadRecord(sfi, number), false)
		if err != nil {
			return err
		}
		switch {
		case r.SW == apdu.OK:
			d.remember(r.Data)
		case r.SW == apdu.FileNotFound:
			return nil
		default:
			failed++
		}
	}
	return nil
}

// remember collects the application identifiers of directory entries, wherever they stand.
func (d *dumper) remember(data []byte) {
	for e, err := range tlv.All(data) {
		if err != nil {
			return
		}
		switch {
		case e.Tag == emv.TagApplicationTemplate:
			if aid, ok := tlv.Find(e.Value, emv.TagAID); ok {
				d.add(aid)
			}
		case e.Tag == emv.TagFCI || e.Tag == emv.TagFCIProprietary || e.Tag == emv.TagFCIDiscretionary || e.Tag == emv.TagRecord:
			d.remember(e.Value)
		}
	}
}

func (d *dumper) add(name []byte) {
	if _, err := emv.ParseAID(name); err != nil || len(d.names) == maxDumpNames {
		return
	}
	for _, known := range d.names {
		if string(known) == string(name) {
			return
		}
	}
	d.names = append(d.names, append([]byte(nil), name...))
}

// application selects one and reads what it tells.
func (d *dumper) application(name []byte) (found bool, err error) {
	r, err := d.ask(apdu.Select(name), true)
	if err != nil || r.SW != apdu.OK && r.SW != apdu.ApplicationBlocked {
		return false, err
	}
	for _, tag := range dumpTags {
		if _, err := d.ask(apdu.GetData(tag), false); err != nil {
			return true, err
		}
	}
	for sfi := byte(1); sfi <= maxDumpFile; sfi++ {
		if err := d.file(sfi); err != nil {
			return true, err
		}
	}
	return true, nil
}
