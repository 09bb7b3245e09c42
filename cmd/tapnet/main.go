package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"tapnet/internal/lang"
)

// grammar is the command line. Help texts are keys of lang.Help.
type grammar struct {
	Lang string `placeholder:"en|zh" help:"${flag_lang}"`
	JSON bool   `name:"json" help:"${flag_json}"`

	Demo     demoCommand     `cmd:"" help:"${demo}"`
	Up       upCommand       `cmd:"" help:"${up}"`
	Tap      tapCommand      `cmd:"" help:"${tap}"`
	Phone    phoneCommand    `cmd:"" help:"${phone}"`
	Element  elementCommand  `cmd:"" help:"${element}"`
	Pos      posCommand      `cmd:"" name:"pos" help:"${pos}"`
	Merchant merchantCommand `cmd:"" help:"${merchant}"`
	Transit  transitCommand  `cmd:"" help:"${transit}"`
	Gate     gateCommand     `cmd:"" help:"${gate}"`
	Token    tokenCommand    `cmd:"" help:"${token}"`
	Trace    traceCommand    `cmd:"" help:"${trace}"`
	Verify   verifyCommand   `cmd:"" help:"${verify}"`
	Sim      simCommand      `cmd:"" help:"${sim}"`
	Bench    benchCommand    `cmd:"" help:"${bench}"`
	Decode   decodeCommand   `cmd:"" help:"${decode}"`
	Card     cardCommand     `cmd:"" help:"${card}"`
	ODA      odaCommand      `cmd:"" name:"oda" help:"${oda}"`
	HSM      hsmCommand      `cmd:"" name:"hsm" help:"${hsm}"`
	Doctor   doctorCommand   `cmd:"" help:"${doctor}"`
	Docs     docsCommand     `cmd:"" help:"${docs}"`
	Version  versionCommand  `cmd:"" help:"${version}"`
}

type cardCommand struct {
	List     cardListCommand     `cmd:"" help:"${card_list}"`
	Read     cardReadCommand     `cmd:"" help:"${card_read}"`
	Serve    cardServeCommand    `cmd:"" help:"${card_serve}"`
	Products cardProductsCommand `cmd:"" help:"${card_products}"`
	Issue    cardIssueCommand    `cmd:"" help:"${card_issue}"`
	Load     cardLoadCommand     `cmd:"" help:"${card_load}"`
	Unload   cardUnloadCommand   `cmd:"" help:"${card_unload}"`
	Log      cardLogCommand      `cmd:"" help:"${card_log}"`
	PIN      cardPINCommand      `cmd:"" name:"pin" help:"${card_pin}"`
	Switch   cardSwitchCommand   `cmd:"" help:"${card_switch}"`
	Lost     cardLostCommand     `cmd:"" help:"${card_lost}"`
	PayOut   cardPayOutCommand   `cmd:"" name:"payout" help:"${card_payout}"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], systemStreams())
	stop()
	os.Exit(int(code))
}

// finished leaves kong's parser after it printed help.
type finished struct{}

// run is the program without its process: arguments and streams in, exit code out.
func run(ctx context.Context, args []string, streams streams) (code exitCode) {
	s, err := newSession(args, streams)
	if err != nil {
		return s.fail(err)
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case finished:
			code = exitDone
		default:
			panic(p)
		}
	}()
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parser, err := newParser(&grammar{}, s)
	if err != nil {
		return s.fail(err)
	}
	command, err := parser.Parse(args)
	if err != nil {
		return s.fail(wrongUse(err, args))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(s); err != nil {
		return s.fail(err)
	}
	return s.code
}

// newParser builds the grammar in the session's language.
func newParser(g *grammar, s *session) (*kong.Kong, error) {
	texts := kong.Vars{}
	for _, h := range lang.Help() {
		texts[h.Key] = s.screen.Say(h.Text)
	}
	parser, err := kong.New(g, kong.Name("tapnet"), kong.Description(texts["app"]), texts,
		kong.Writers(s.out, s.err), kong.Exit(func(int) { panic(finished{}) }), kong.Help(s.help))
	if err != nil {
		return nil, errors.Join(errors.New("build the command line"), err)
	}
	parser.Model.HelpFlag.Help = texts["flag_help"]
	return parser, nil
}
