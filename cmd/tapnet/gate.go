package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/emv/oda"
	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/app/operator"
	"tapnet/internal/app/validator"
	"tapnet/internal/clock"
	"tapnet/internal/lang"
	"tapnet/internal/taplog"
	"tapnet/money"
)

type gateCommand struct {
	Tap   gateTapCommand   `cmd:"" help:"${gate_tap}"`
	Run   gateRunCommand   `cmd:"" help:"${gate_run}"`
	Bench gateBenchCommand `cmd:"" help:"${gate_bench}"`
	Sim   gateSimCommand   `cmd:"" help:"${gate_sim}"`
}

// laneFlags say which gate it is.
type laneFlags struct {
	Station uint32 `required:"" placeholder:"N" help:"${gate_station}"`
	Dir     string `default:"" enum:",in,out,ride,inspect" placeholder:"in|out|ride|inspect" help:"${gate_dir}"`
	Profile string `default:"metro" enum:"metro,rail,bus,ferry,taxi,machine,vending,attraction,event" placeholder:"KIND" help:"${gate_profile}"`
	Amount  string `placeholder:"7.00" help:"${gate_amount}"`
	Purse   bool   `help:"${gate_purse}"`
	// Segmented implies Purse.
	Segmented bool   `help:"${gate_segmented}"`
	Claim     bool   `help:"${gate_claim}"`
	Config    string `placeholder:"FILE" help:"${gate_config}"`
	Office    string `placeholder:"URL" help:"${gate_office}"`
	Device    string `placeholder:"NAME" help:"${gate_device}"`
	Network   string `placeholder:"DIR" help:"${gate_network}"`
	operatorFlag
}

type gateTapCommand struct {
	laneFlags
	Card string `default:"lin" placeholder:"NAME" help:"${gate_card}"`
}

var gateDirections = map[string]gate.Direction{"in": gate.In, "out": gate.Out, "ride": gate.Ride, "inspect": gate.Inspect}

// gateTap is a tap for a program.
type gateTap struct {
	Device       string `json:"device"`
	Station      uint32 `json:"station"`
	Direction    string `json:"direction"`
	Rider        string `json:"rider"`
	Masked       string `json:"masked"`
	Open         bool   `json:"open"`
	Reason       string `json:"reason"`
	ReasonCode   int    `json:"reason_code"`
	Next         string `json:"next"`
	Record       uint64 `json:"record"`
	Counter      uint16 `json:"card_counter"`
	ListSequence uint64 `json:"list_sequence"`
	ListEpoch    uint32 `json:"list_epoch"` // 0: no list
	KeyEpochs    []int  `json:"key_epochs"` // whose keys the gate holds
	Flags        uint16 `json:"flags"`
	Amount       string `json:"amount"` // that the card signed, or paid out of its purse
	Backlog      uint64 `json:"backlog_records"`
	CutBytes     int    `json:"log_bytes_cut"`
	ReadingUs    int64  `json:"reading_us"`
	DecidingUs   int64  `json:"deciding_us"`
}

// Run taps. The answer is no when the gate stays shut.
func (c gateTapCommand) Run(ctx context.Context, s *session) (err error) {
	v, network, shut, err := c.open(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	chip, masked, release, err := c.rider(ctx, s, network)
	if err != nil {
		return err
	}
	defer release()
	if err := v.Exchange(ctx); err != nil {
		return gateProblem(err)
	}
	result, err := v.Tap(ctx, chip, gate.Read{Direction: c.direction()})
	if err != nil {
		return gateProblem(err)
	}
	if err := v.Exchange(ctx); err != nil {
		return gateProblem(err)
	}
	if result.Reason() != gate.OK {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, c.report(s, v, result, masked))
	}
	c.print(s, v, result, masked)
	return nil
}

func gateProblem(err error) error {
	if errors.Is(err, operator.ErrConfig) {
		return &problem{code: exitUsage, what: lang.GateFails, why: lang.Verbatim(err.Error()), next: lang.Verbatim("tapnet gate tap --help"), err: err}
	}
	return &problem{code: exitEnvironment, what: lang.GateFails, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
}

// operatorSecret is the file that says that an operator lives in a directory.
const operatorSecret = "transit.secret"

// secret is the operator's of the data directory, false when there is none: the gate then has keys of its own and no back office.
func (c laneFlags) secret(s *session) (operator.Secret, bool, error) {
	if _, err := os.Stat(filepath.Join(c.dir(s), operatorSecret)); err != nil {
		return operator.Secret{}, false, nil
	}
	secret, err := operator.OpenSecret(c.dir(s))
	return secret, err == nil, err
}

// device is the gate's name: by station, as the city that comes with the program names them.
func (c laneFlags) device(ofOperator bool) string {
	const letters = 26
	switch {
	case c.Device != "":
		return c.Device
	case c.Profile != laneMetro:
		return fmt.Sprintf("%s-%d", c.Profile, c.Station)
	case ofOperator && c.Station <= letters:
		return "gate-" + string(rune('a'+c.Station-1))
	}
	return fmt.Sprintf("GATE-%d", c.Station)
}

// dial finds the network whose cards are tapped; nil for the made-up riders of the gates.
func (c laneFlags) dial(ctx context.Context) (*app.Client, error) {
	if c.Network == "" {
		return nil, nil //nolint:nilnil // no network is asked for
	}
	client, err := app.Dial(ctx, c.Network, currency)
	if err != nil {
		where := printable(c.Network)
		return nil, &problem{code: exitEnvironment, what: lang.Fill(lang.GateNoNetwork, where), next: lang.Verbatim("tapnet up --data " + where), err: err}
	}
	return client, nil
}

// behind gives the authorities behind the network's cards, or the made-up riders'.
func behind(ctx context.Context, network *app.Client) (*oda.Keys, error) {
	if network == nil {
		return validator.Authorities()
	}
	known, err := network.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	return oda.NewKeys(known...)
}

// amount is what the gate's cards sign.
func (c laneFlags) amount() (money.Amount, error) {
	amount, err := money.Parse(cmp.Or(c.Amount, laneProfiles[c.Profile].amount), currency)
	if err != nil || amount.Sign() < 0 {
		return amount, &problem{code: exitUsage, what: lang.GateAmount, next: lang.Verbatim("tapnet gate tap --help"), err: err}
	}
	if c.direction() == 0 {
		return amount, &problem{code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--dir"), next: lang.Verbatim("tapnet gate tap --help")}
	}
	if c.Station == 0 {
		return amount, &problem{code: exitUsage, what: lang.GateStation, next: lang.Verbatim("tapnet gate tap --help")}
	}
	return amount, nil
}

// open starts the station's gate from its files. One process at a time has them.
func (c laneFlags) open(ctx context.Context, s *session) (v *validator.Validator, network *app.Client, shut func() error, err error) {
	amount, err := c.amount()
	if err != nil {
		return nil, nil, nil, err
	}
	network, err = c.dial(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	secret, ofOperator, err := c.secret(s)
	if err != nil {
		return nil, nil, nil, gateProblem(err)
	}
	device := c.device(ofOperator)
	home := filepath.Join(c.dir(s), "gates", filepath.Base(device))
	keys, keysErr := taplog.Dir(home)
	taps, tapsErr := taplog.Dir(filepath.Join(home, "taps"))
	lists, listsErr := taplog.Dir(filepath.Join(home, "lists"))
	trusted, authErr := behind(ctx, network)
	if err := errors.Join(keysErr, tapsErr, listsErr, authErr); err != nil {
		return nil, nil, nil, gateProblem(err)
	}
	unlock, err := app.Lock(home)
	if err != nil {
		return nil, nil, nil, gateProblem(err)
	}
	defer func() {
		if err != nil {
			_ = unlock()
		}
	}()
	kind := laneProfiles[c.Profile]
	o := validator.Options{
		Gate: kind.gate(c, amount),
		Taps: taps, Lists: lists, CAKeys: trusted, Purse: c.Purse, Name: kind.name, Clock: clock.Real(), Random: rand.Reader,
	}
	office := c.Office
	var where operator.Where
	if ofOperator {
		where, _ = operator.Find(c.dir(s)) // an office that never ran is nowhere
		office = cmp.Or(office, where.URL)
		err = fillFromOperator(&o, secret, device, where)
	} else {
		var p validator.Provision
		if p, err = validator.LoadProvision(keys, device, rand.Reader); err == nil {
			err = p.Fill(&o, rand.Reader)
		}
		office = cmp.Or(office, p.Office)
	}
	if err = errors.Join(err, c.configure(&o, where)); err != nil {
		return nil, nil, nil, gateProblem(err)
	}
	if office != "" {
		o.Line = validator.HTTP{Base: strings.TrimRight(office, "/"), Client: &http.Client{Timeout: gate.DefaultLongTimeout}, Trust: o.Courier.Trust}
	}
	if v, err = validator.Open(o); err != nil {
		return nil, nil, nil, gateProblem(err)
	}
	return v, network, func() error { return errors.Join(v.Close(), unlock()) }, nil
}

// fillFromOperator gives a gate of a test operator its keys, and the zone of its day. Everything else of the configuration is the office's.
func fillFromOperator(o *validator.Options, secret operator.Secret, device string, where operator.Where) error {
	const epoch = 1 // of the city that comes with the program
	chain, chainErr := secret.Device(device)
	ids, idErr := secret.IDs(epoch)
	box, boxErr := secret.Box()
	trust, trustErr := denylist.NewTrust(secret.Signer().Public().(ed25519.PublicKey)) //nolint:forcetypeassert // of that kind by its type
	o.Gate.Device, o.Gate.ChainKey, o.IDs, o.Sealer, o.Courier.Trust = device, chain, []gate.Identifier{ids}, box, trust
	var zoneErr error
	if where.Zone != "" {
		o.Zone, zoneErr = time.LoadLocation(where.Zone)
	}
	return errors.Join(chainErr, idErr, boxErr, trustErr, zoneErr)
}

// countryChina is the number of the gates' country [ISO 3166].
const countryChina = 156

// rider is who taps: a card of the network, or a made-up rider's. release takes the card out of the field.
func (c gateTapCommand) rider(ctx context.Context, s *session, network *app.Client) (chip apdu.Transceiver, masked string, release func(), err error) {
	unknown := func(names []string, err error) error {
		return &problem{code: exitUsage, what: lang.Fill(lang.GateRider, printable(c.Card)),
			why: lang.Fill(lang.GateRiders, strings.Join(names, ", ")), next: lang.Verbatim("tapnet gate tap --help"), err: err}
	}
	var names []string
	if network != nil {
		cards, err := network.Cards(ctx)
		if err != nil {
			return nil, "", nil, gateProblem(err)
		}
		for _, known := range cards {
			if names = append(names, known.Name); known.Name == c.Card {
				masked = known.Masked
			}
		}
		field, err := network.Field(ctx, c.Card)
		switch {
		case errors.Is(err, app.ErrUnknownCard):
			return nil, "", nil, unknown(names, err)
		case err != nil:
			return nil, "", nil, gateProblem(err)
		}
		return field, masked, func() { _ = field.Close() }, nil
	}
	disk, err := taplog.Dir(filepath.Join(c.dir(s), "gates", "riders"))
	if err != nil {
		return nil, "", nil, gateProblem(err)
	}
	made, issued, err := validator.Card(c.Card, disk, rand.Reader)
	switch {
	case errors.Is(err, validator.ErrUnknownRider):
		for _, r := range validator.Riders() {
			names = append(names, r.Name)
		}
		return nil, "", nil, unknown(names, err)
	case err != nil:
		return nil, "", nil, gateProblem(err)
	}
	return card.NewField(made), issued.PAN.Masked(), func() {}, nil
}

func (c gateTapCommand) report(s *session, v *validator.Validator, r validator.Result, masked string) gateTap {
	t := gateTap{
		Device: r.Record.Device, Station: c.Station, Direction: cmp.Or(c.Dir, "ride"), Rider: c.Card, Masked: masked, Open: r.Open, Reason: s.text(r.Reason().Term()),
		ReasonCode: int(r.Reason()), Next: s.text(r.Reason().Next()), Record: r.Record.Sequence, Counter: r.Record.ATC, ListSequence: r.Record.List,
		Flags: uint16(r.Record.Flags), Amount: money.New(r.Record.Amount, currency).Decimal(), Backlog: v.Health().Backlog,
		CutBytes: v.Started().Cut, ReadingUs: r.Reading.Microseconds(), DecidingUs: r.Deciding.Microseconds(),
	}
	if snapshot := v.Snapshot(); snapshot != nil {
		t.ListEpoch = uint32(snapshot.Epoch())
	}
	for _, e := range v.Epochs() {
		t.KeyEpochs = append(t.KeyEpochs, int(e))
	}
	return t
}

func (c gateTapCommand) print(s *session, v *validator.Validator, r validator.Result, masked string) {
	if cut := v.Started().Cut; cut > 0 {
		s.line(s.wrapped(lang.Fill(lang.GateTorn, lang.Int(int64(cut)))))
	}
	switch {
	case r.Open:
		s.line(s.screen.Mark(true) + " " + s.text(lang.GateOpens, s.text(r.Reason().Term()), c.Station))
	case r.Reason() == gate.OK:
		s.line(s.screen.Mark(true) + " " + s.text(lang.GateLooked, c.Card))
	default:
		p := &problem{code: exitNo, what: lang.Fill(lang.GateShut, r.Reason().Term()), next: r.Reason().Next()}
		if r.Outcome.Detail != (glossary.Term{}) {
			p.why = r.Outcome.Detail
		}
		s.explain(s.out, p)
	}
	t := &lang.Table{Indent: 2, Gap: 2}
	t.Row(s.text(lang.TapLabelCard), masked)
	if r.Reason() == gate.OK {
		t.Row(s.text(lang.GateLabelODA), s.text(gateODA(r)))
	}
	t.Row(s.text(lang.GateLabelLog), s.text(lang.GateRecord, r.Record.Sequence, r.Record.Device))
	list := lang.GateNoList
	if snapshot := v.Snapshot(); snapshot != nil {
		list = lang.Fill(lang.GateList, snapshot.Position().Sequence, lang.Duration(snapshot.Age(s.now()).Round(time.Second)))
	}
	t.Row(s.text(lang.GateLabelList), s.text(list))
	t.Row(s.text(lang.GateLabelTime), s.text(lang.GateTime, s.screen.Fold(lang.Duration(r.Reading.Round(time.Microsecond))),
		s.screen.Fold(lang.Duration(r.Deciding.Round(time.Microsecond)))))
	if h := v.Health(); h.Backlog > 0 {
		t.Row(s.text(lang.GateLabelWait), s.text(lang.GateWaiting, lang.Int(int64(h.Backlog))))
	}
	s.table(t)
}

func gateODA(r validator.Result) glossary.Term {
	switch {
	case r.Record.Flags.Has(gate.FlagNoODA):
		return lang.GateTrust
	case r.Record.Flags.Has(gate.FlagPurse):
		return lang.Fill(lang.GatePaid, r.Outcome.ODA.Version, lang.AmountTerm(money.New(r.Record.Amount, currency)))
	}
	return lang.Fill(lang.GateODA, r.Outcome.ODA.Version)
}
