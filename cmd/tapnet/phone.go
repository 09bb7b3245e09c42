package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/app/phone"
	"tapnet/internal/lang"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
)

type phoneCommand struct {
	Show    phoneShowCommand    `cmd:"" help:"${phone_show}"`
	Add     phoneAddCommand     `cmd:"" help:"${phone_add}"`
	Tap     phoneTapCommand     `cmd:"" help:"${phone_tap}"`
	Pay     phonePayCommand     `cmd:"" help:"${phone_pay}"`
	Refresh phoneRefreshCommand `cmd:"" help:"${phone_refresh}"`
	Lose    phoneLoseCommand    `cmd:"" help:"${phone_lose}"`
	Find    phoneFindCommand    `cmd:"" help:"${phone_find}"`
	Drill   phoneDrillCommand   `cmd:"" help:"${phone_drill}"`
	Default phoneDefaultCommand `cmd:"" help:"${phone_default}"`
	Remove  phoneRemoveCommand  `cmd:"" help:"${phone_remove}"`
}

// phoneFlag names a phone. Phones lie below the data directory.
type phoneFlag struct {
	Phone string `default:"phone" placeholder:"NAME" help:"${flag_phone}"`
	dataFlag
}

// open switches the phone on.
func (f phoneFlag) open(s *session, offline bool) (*phone.Phone, error) {
	if cloudkey.CheckRef(f.Phone) != nil {
		return nil, &problem{code: exitUsage, what: lang.PhoneName, next: lang.Verbatim("tapnet phone show")}
	}
	p, err := phone.Open(phone.Options{Dir: filepath.Join(f.dir(s), "phones", f.Phone), Random: rand.Reader, Now: s.now, Offline: offline})
	switch {
	case errors.Is(err, phone.ErrInUse):
		return nil, &problem{code: exitEnvironment, what: lang.PhoneInUse, next: lang.RunAgain, err: err}
	case err != nil:
		return nil, &problem{code: exitEnvironment, what: lang.PhoneFails, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
	}
	return p, nil
}

// with runs one action on the phone and switches it off again.
func (f phoneFlag) with(s *session, offline bool, act func(*phone.Phone) error) error {
	p, err := f.open(s, offline)
	if err != nil {
		return err
	}
	return errors.Join(act(p), p.Close())
}

type phoneShowCommand struct{ phoneFlag }

// Run shows the tokens.
func (c phoneShowCommand) Run(ctx context.Context, s *session) error {
	if done, err := c.throughNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneShow}, glossary.Term{}); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error { return s.showPhone(c.Phone, p) })
}

func (s *session) showPhone(name string, p *phone.Phone) error {
	status, err := p.Status()
	if err != nil {
		return err
	}
	return s.showStatus(name, status)
}

func (s *session) showStatus(name string, status phone.Status) error {
	if s.json {
		return s.printJSON(s.out, status)
	}
	s.line(s.screen.Bold(s.text(lang.PhoneTitle, name)))
	if len(status.Tokens)+len(status.Damaged) == 0 {
		s.say(lang.PhoneEmpty)
		s.because(s.out, glossary.Term{}, lang.PhoneEmptyNext)
		return nil
	}
	t := &lang.Table{Indent: 1, Gap: 2, Right: []bool{false, false, false, true, true}}
	t.Row(s.text(lang.PhoneHeadToken), s.text(lang.PhoneHeadLabel), s.text(lang.PhoneHeadLast), s.text(lang.PhoneHeadTaps), s.text(lang.PhoneHeadOpen),
		s.text(lang.PhoneHeadUntil), s.text(lang.PhoneHeadState))
	for _, token := range status.Tokens {
		until, _, _ := strings.Cut(token.NotAfter, "T")
		t.Row(token.Ref, token.Label, "**** "+token.LastFour, fmt.Sprint(token.KeysCVM), fmt.Sprint(token.KeysOpen), until, s.tokenState(token))
	}
	for _, ref := range status.Damaged {
		t.Row(ref, "", "", "", "", "", s.text(lang.PhoneDamaged))
	}
	s.table(t)
	return nil
}

// tokenState says in a few words what a holder should know.
func (s *session) tokenState(t phone.Token) string {
	var state string
	switch {
	case t.Suspended != "":
		state = s.text(lang.PhoneSuspended, suspension(t.Suspended))
	case !t.Ready():
		state = s.text(lang.PhoneRefresh)
	case t.NeedsNetwork:
		state = s.text(lang.PhoneRefreshDue)
	default:
		state = s.text(lang.PhoneReady)
	}
	if t.Default {
		state = s.text(lang.PhoneDefault) + ", " + state
	}
	return state
}

type phoneAddCommand struct {
	Label    string `arg:"" placeholder:"NAME" help:"${phone_add_label}"`
	Card     string `default:"lin" placeholder:"NAME" help:"${phone_add_card}"`
	Password string `placeholder:"DIGITS" help:"${phone_add_password}"`
	phoneFlag
}

// Run provisions a token.
func (c phoneAddCommand) Run(ctx context.Context, s *session) error {
	password, err := s.secret(c.Password)
	if err != nil {
		return err
	}
	if done, err := c.addOnNetwork(ctx, s, password); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error {
		ref, err := p.Add(c.Label, password)
		switch {
		case errors.Is(err, phone.ErrPassword):
			return &problem{code: exitUsage, what: lang.PhonePassword, next: lang.Verbatim("tapnet phone add --help"), err: err}
		case err != nil:
			return &problem{code: exitUsage, what: lang.PhoneNotAdded, why: lang.Verbatim(err.Error()), next: lang.Verbatim("tapnet phone add --help"), err: err}
		case s.json:
			return s.showPhone(c.Phone, p)
		}
		left, err := tapsLeft(p, ref)
		if err != nil {
			return err
		}
		s.line(s.screen.Mark(true) + " " + s.text(lang.PhoneAdded, ref, left))
		s.because(s.out, glossary.Term{}, lang.PhoneTapNext)
		return nil
	})
}

func tapsLeft(p *phone.Phone, ref string) (int, error) {
	status, err := p.Status()
	for _, t := range status.Tokens {
		if t.Ref == ref {
			return t.KeysCVM, err
		}
	}
	return 0, err
}

// secret reads what a flag gives, or a line of standard input for "-".
func (s *session) secret(flag string) (string, error) {
	if flag != "-" {
		return flag, nil
	}
	text, err := s.readPIN()
	if err != nil {
		return "", &problem{code: exitEnvironment, what: lang.InputUnreadable, why: reason(err), next: lang.TapPINNext}
	}
	return text, nil
}

type phoneTapCommand struct {
	Amount    string `required:"" placeholder:"12.50" help:"${tap_amount}"`
	At        string `default:"shop-1" placeholder:"MERCHANT" help:"${phone_tap_at}"`
	Token     string `placeholder:"REF" help:"${phone_tap_token}"`
	Verify    string `default:"fingerprint" enum:"fingerprint,password,none" placeholder:"HOW" help:"${phone_tap_verify}"`
	Password  string `placeholder:"DIGITS" help:"${phone_tap_password}"`
	NoNetwork bool   `help:"${flag_no_network}"`
	phoneFlag
}

// Run taps. The answer is no when the cloud does not vouch for the tap.
func (c phoneTapCommand) Run(ctx context.Context, s *session) error {
	amount, err := money.Parse(c.Amount, currency)
	if err != nil || amount.Sign() <= 0 {
		return &problem{code: exitUsage, what: lang.TapAmount, why: lang.TapAmountWhy, next: lang.PhoneTapNext, err: err}
	}
	r := phone.TapRequest{Token: c.Token, Amount: amount}
	switch c.Verify {
	case "fingerprint":
		r.Verification = phone.Fingerprint
	case "password":
		r.Verification = phone.Password
		if r.Password, err = s.secret(c.Password); err != nil {
			return err
		}
	}
	if done, err := c.tapOnNetwork(ctx, s, r); done {
		return err
	}
	return c.with(s, c.NoNetwork, func(p *phone.Phone) error {
		result, err := p.Tap(ctx, r)
		if errors.Is(err, phone.ErrUnknownToken) {
			return unknownToken(c.Token, err)
		}
		if err != nil {
			return err
		}
		if !result.Paid() {
			s.code = exitNo
		}
		left, err := tapsLeft(p, result.Token)
		if err != nil {
			return err
		}
		if s.json {
			return s.printJSON(s.out, phoneTapJSON(result, left))
		}
		s.printPhoneTap(amount, result, left)
		return nil
	})
}

func unknownToken(ref string, err error) error {
	if ref == "" {
		return &problem{code: exitUsage, what: lang.PhoneEmpty, next: lang.PhoneEmptyNext, err: err}
	}
	return &problem{code: exitUsage, what: lang.Fill(lang.PhoneUnknown, printable(ref)), next: lang.PhoneUnknownNext, err: err}
}

// phoneTapReport is a tap for a program.
type phoneTapReport struct {
	Token    string `json:"token"`
	Paid     bool   `json:"paid"`
	Reason   string `json:"reason,omitempty"`
	ArmCode  int32  `json:"arm_code"`
	Outcome  string `json:"outcome,omitempty"`
	ATC      uint16 `json:"atc,omitempty"`
	BSEQ     uint32 `json:"bseq,omitempty"`
	CVM      string `json:"cvm,omitempty"`
	TapsLeft int    `json:"taps_left"`
}

func phoneTapJSON(r phone.TapResult, left int) phoneTapReport {
	report := phoneTapReport{Token: r.Token, Paid: r.Paid(), ArmCode: r.ArmCode, TapsLeft: left}
	if r.ArmCode == hce.ArmOK {
		report.Outcome = r.Outcome.Kind.String()
	}
	if r.Asked {
		report.Reason, report.ATC, report.BSEQ, report.CVM = r.Verdict.Reason, r.Verdict.ATC, r.Evidence.BSEQ, r.Evidence.CVM.String()
	}
	return report
}

func (s *session) printPhoneTap(amount money.Amount, r phone.TapResult, left int) {
	if !r.Paid() {
		s.explain(s.out, phoneRefusal(r))
		return
	}
	s.line(s.screen.Mark(true) + " " + s.text(lang.PhonePaid, lang.AmountTerm(amount)))
	t := &lang.Table{Indent: 2, Gap: 2}
	t.Row(s.text(lang.PhoneCounter), fmt.Sprint(r.Verdict.ATC))
	t.Row(s.text(lang.PhoneBatch), fmt.Sprint(r.Evidence.BSEQ))
	t.Row(s.text(lang.PhoneVerified), s.text(verifiedBy(r.Evidence.CVM)))
	t.Row(s.text(lang.PhoneLatency), s.screen.Fold(lang.Duration(time.Duration(r.Evidence.Latency)*cloudkey.LatencyUnitMillis*time.Millisecond)))
	t.Row(s.text(lang.PhoneLeft), fmt.Sprint(left))
	s.table(t)
}

func verifiedBy(t cloudkey.CVMType) glossary.Term {
	switch t {
	case cloudkey.CVMTypeNone:
		return lang.PhoneByNobody
	case cloudkey.CVMTypePassword:
		return lang.PhoneByPassword
	}
	return lang.PhoneByFingerprint
}

// phoneRefusal says why a tap paid nothing.
func phoneRefusal(r phone.TapResult) *problem {
	p := &problem{code: exitNo, what: lang.PhoneNotPaid, next: lang.PhoneUnknownNext}
	switch {
	case r.ArmCode == hce.ArmNeedsNetwork:
		p.why, p.next = lang.PhoneArmNetwork, lang.Verbatim("tapnet phone refresh")
	case r.ArmCode == hce.ArmNoPassword:
		p.why, p.next = lang.PhoneArmPassword, lang.Verbatim("tapnet phone tap --help")
	case r.ArmCode == hce.ArmLocked:
		p.why = lang.PhoneArmLocked
	case r.ArmCode != hce.ArmOK:
		p.why = lang.PhoneArmOther
	case r.Asked:
		p.what = lang.Fill(lang.PhoneRefused, cloudReason(r.Verdict.Reason))
	case r.Outcome.Reason == kernel.ReasonSeePhone:
		p.why, p.next = lang.PhoneAskHolder, lang.PhoneAskNext
	default:
		p.why = r.Outcome.Reason.Term()
	}
	return p
}

// cloudReason says in both languages why the cloud refuses a tap.
func cloudReason(reason string) glossary.Term {
	terms := map[string]glossary.Term{
		soft.ReasonUnknown: lang.PhoneWhyUnknown, soft.ReasonSuspended: lang.PhoneWhySuspended, soft.ReasonEvidence: lang.PhoneWhyEvidence,
		soft.ReasonCounter: lang.PhoneWhyCounter, soft.ReasonExpired: lang.PhoneWhyExpired, soft.ReasonWrong: lang.PhoneWhyWrong,
		soft.ReasonTag: lang.PhoneWhyTag, soft.ReasonClone: lang.PhoneWhyClone, soft.ReasonClass: lang.PhoneWhyClass,
	}
	if term, ok := terms[reason]; ok {
		return term
	}
	return lang.Verbatim(reason)
}

// suspension says in both languages why a token is stopped.
func suspension(why string) glossary.Term {
	switch {
	case why == soft.SuspendedLost:
		return lang.PhoneWhyLost
	case why == soft.SuspendedGuessed:
		return lang.PhoneWhyGuessed
	case strings.HasPrefix(why, soft.SuspendedClone):
		return lang.PhoneWhyCopied
	}
	return lang.Verbatim(why)
}

type phoneRefreshCommand struct{ phoneFlag }

// Run fetches keys.
func (c phoneRefreshCommand) Run(ctx context.Context, s *session) error {
	if done, err := c.throughNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneRefresh}, lang.PhoneRefreshed); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error {
		if err := p.Refresh(); err != nil {
			return &problem{code: exitNo, what: lang.PhoneNoKeys, why: lang.Verbatim(err.Error()), next: lang.PhoneUnknownNext, err: err}
		}
		return s.afterwards(lang.PhoneRefreshed, c.Phone, p)
	})
}

// afterwards says what was done and shows the phone.
func (s *session) afterwards(done glossary.Term, name string, p *phone.Phone) error {
	if !s.json {
		s.line(s.screen.Mark(true) + " " + s.text(done))
	}
	return s.showPhone(name, p)
}

type phoneLoseCommand struct{ phoneFlag }

// Run reports the phone lost.
func (c phoneLoseCommand) Run(ctx context.Context, s *session) error {
	if done, err := c.throughNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneLose}, lang.PhoneLost); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error {
		if err := p.Lose(); err != nil {
			return err
		}
		return s.afterwards(lang.PhoneLost, c.Phone, p)
	})
}

type phoneFindCommand struct{ phoneFlag }

// Run reports the phone found.
func (c phoneFindCommand) Run(ctx context.Context, s *session) error {
	if done, err := c.throughNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneFind}, lang.PhoneFoundBank); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error {
		if err := p.Find(); err != nil {
			return &problem{code: exitNo, what: lang.PhoneNoKeys, why: lang.Verbatim(err.Error()), next: lang.PhoneUnknownNext, err: err}
		}
		return s.afterwards(lang.PhoneFound, c.Phone, p)
	})
}

type phoneDefaultCommand struct {
	Token string `arg:"" placeholder:"REF" help:"${phone_default_token}"`
	phoneFlag
}

// Run sets the default.
func (c phoneDefaultCommand) Run(ctx context.Context, s *session) error {
	said := lang.Fill(lang.PhoneDefaulted, printable(c.Token))
	if done, err := c.throughNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneDefault, Token: c.Token}, said); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error {
		if err := p.Engine.SetDefault(c.Token); err != nil {
			return unknownToken(c.Token, err)
		}
		return s.afterwards(lang.Fill(lang.PhoneDefaulted, printable(c.Token)), c.Phone, p)
	})
}

type phoneRemoveCommand struct {
	Token string `arg:"" placeholder:"REF" help:"${phone_default_token}"`
	phoneFlag
}

// Run takes a token off.
func (c phoneRemoveCommand) Run(ctx context.Context, s *session) error {
	said := lang.Fill(lang.PhoneRemoved, printable(c.Token))
	if done, err := c.throughNetwork(ctx, s, app.PhoneRequest{Verb: app.PhoneRemove, Token: c.Token}, said); done {
		return err
	}
	return c.with(s, false, func(p *phone.Phone) error {
		status, err := p.Status()
		if err != nil {
			return err
		}
		known := false
		for _, t := range status.Tokens {
			known = known || t.Ref == c.Token
		}
		if !known {
			return unknownToken(c.Token, phone.ErrUnknownToken)
		}
		if err := p.Engine.RemoveToken(c.Token); err != nil {
			return err
		}
		return s.afterwards(lang.Fill(lang.PhoneRemoved, printable(c.Token)), c.Phone, p)
	})
}
