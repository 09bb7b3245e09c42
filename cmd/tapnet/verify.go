package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"time"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/journal/journalsql"
	"tapnet/internal/lang"
	"tapnet/internal/verify"
	"tapnet/money"
)

type verifyCommand struct {
	Dir     string `arg:"" name:"dir" optional:"" help:"${verify_dir}"`
	Store   string `env:"TAPNET_STORE" placeholder:"URL" help:"${verify_store}"`
	Settled bool   `help:"${verify_settled}"`
	Since   string `placeholder:"FILE" help:"${verify_since}"`
	Most    int    `default:"100" placeholder:"N" help:"${verify_most}"`
	Network string `placeholder:"DIR" help:"${verify_network}"`
}

// maxReportBytes bounds an earlier report: a thousand members and ten thousand findings need a tenth of it.
const maxReportBytes = 64 << 20

// Run verifies a data directory. The answer is no when a row does not hold.
func (c verifyCommand) Run(ctx context.Context, s *session) error {
	if c.Dir == "" && c.Store == "" {
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageArgumentMissing, "DIR"), next: lang.Verbatim("tapnet verify --help")}
	}
	if c.Most < 1 {
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageFlagValue, "--most"), why: lang.VerifyMostWhy, next: lang.Verbatim("tapnet verify --help")}
	}
	if c.Store == "" && verify.IsTransit(c.Dir) {
		return c.transit(ctx, s)
	}
	options := verify.Options{Most: c.Most, Settled: c.Settled}
	if err := c.anchors(s, &options); err != nil {
		return err
	}
	shown, progress := s.now(), s.progress()
	options.Progress = func(done, of uint64) {
		if now := s.now(); now.Sub(shown) >= progressEvery {
			shown = now
			progress.tell(lang.Fill(lang.VerifyProgress, lang.Int(int64(done)), lang.Int(int64(of))))
		}
	}
	report, err := c.verify(ctx, options)
	progress.end()
	if err != nil {
		return c.problem(ctx, err)
	}
	if !report.Clean() {
		s.code = exitNo
	}
	if s.json {
		return s.printJSON(s.out, verifyJSON(&report))
	}
	s.printVerify(&report)
	return nil
}

func (c verifyCommand) verify(ctx context.Context, o verify.Options) (verify.Report, error) {
	if c.Store != "" {
		return app.VerifyStore(ctx, c.Store, c.Dir, o)
	}
	return app.Verify(ctx, c.Dir, o)
}

func (c verifyCommand) problem(ctx context.Context, err error) error {
	dir := printable(c.Dir)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, app.ErrStore):
		return &problem{code: exitEnvironment, what: lang.UpStore, why: lang.Verbatim(err.Error()), next: lang.UpStoreNext, err: err}
	case errors.Is(err, verify.ErrNoJournals), errors.Is(err, fs.ErrNotExist), errors.Is(err, journalsql.ErrNotJournal):
		return &problem{code: exitEnvironment, what: lang.Fill(lang.VerifyNoDir, dir), why: lang.Verbatim(err.Error()), next: lang.VerifyNoDirNext, err: err}
	}
	return &problem{code: exitEnvironment, what: lang.Fill(lang.VerifyFailed, dir), why: lang.Verbatim(err.Error()), next: lang.VerifyCopyNext, err: err}
}

// anchors reads the ends of the journals from an earlier report.
func (c verifyCommand) anchors(s *session, o *verify.Options) error {
	if c.Since == "" {
		return nil
	}
	text, err := s.readInput(c.Since, maxReportBytes)
	if err != nil {
		return err
	}
	var earlier verifyReport
	if err := json.Unmarshal(text, &earlier); err != nil || len(earlier.Members) == 0 {
		return &problem{
			code: exitUsage, what: lang.Fill(lang.VerifySinceBad, printable(c.Since)),
			next: lang.Verbatim("tapnet verify DIR --json > report.json"), err: err,
		}
	}
	o.Anchors = map[string]verify.Anchor{}
	for _, m := range earlier.Members {
		o.Anchors[m.Journal] = m.End
	}
	return nil
}

// verifyReport is a report for a program.
type verifyReport struct {
	Dir           string         `json:"dir"`
	OK            bool           `json:"ok"`
	Rows          uint64         `json:"rows"`
	Payments      uint64         `json:"payments"`
	Underway      uint64         `json:"underway"`
	Total         int            `json:"total"`
	Findings      []verify.Wrong `json:"findings"`
	Members       []verifyMember `json:"members"`
	Seconds       float64        `json:"seconds"`
	RowsPerSecond float64        `json:"rows_per_second"`
}

type verifyMember struct {
	Role        string        `json:"role"`
	Name        string        `json:"name"`
	Journal     string        `json:"journal"`
	Rows        uint64        `json:"rows"`
	End         verify.Anchor `json:"end"`
	Currency    uint16        `json:"currency"`
	PostedMinor int64         `json:"posted_minor"`
	HeldMinor   int64         `json:"held_minor"`
	Approved    uint64        `json:"approved"`
	Declined    uint64        `json:"declined"`
	Reversed    uint64        `json:"reversed"`
	Cards       int           `json:"cards"`
	PurseMinor  int64         `json:"purse_minor"`
	Outstanding uint64        `json:"outstanding"`
}

// A report for a program has no text of its own: what is found is said in both languages.
func verifyJSON(r *verify.Report) verifyReport {
	out := verifyReport{
		Dir: r.Dir, OK: r.Clean(), Rows: r.Rows, Payments: r.Payments, Underway: r.Underway, Total: r.Total, Findings: r.Findings,
		Seconds: r.Elapsed.Seconds(), RowsPerSecond: float64(r.Rows) / r.Elapsed.Seconds(),
	}
	if out.Findings == nil {
		out.Findings = []verify.Wrong{}
	}
	for _, m := range r.Members {
		out.Members = append(out.Members, verifyMember{
			Role: m.Role, Name: m.Name, Journal: m.Journal, Rows: m.Rows, End: m.Anchor, Currency: m.Currency, PostedMinor: m.PostedMinor, HeldMinor: m.HeldMinor,
			Approved: m.Approved, Declined: m.Declined, Reversed: m.Reversed, Cards: m.Cards, PurseMinor: m.PurseMinor, Outstanding: m.Outstanding,
		})
	}
	return out
}

func (s *session) printVerify(r *verify.Report) {
	s.line(s.screen.Bold(s.text(lang.VerifyTitle, printable(r.Dir))))
	s.line("")
	t := &lang.Table{Indent: 1, Gap: 2, Right: []bool{false, true, true, true, true, true}}
	t.Row("", s.text(lang.VerifyRows), s.text(lang.VerifyApproved), s.text(lang.VerifyReversed), s.text(lang.VerifyPosted), s.text(lang.VerifyHeld))
	for _, m := range r.Members {
		t.Row(s.text(verify.RoleTerm(m.Role))+" "+m.Name, lang.Int(int64(m.Rows)), lang.Int(int64(m.Approved)), lang.Int(int64(m.Reversed)),
			s.minor(m.PostedMinor), s.minor(m.HeldMinor))
	}
	s.table(t)
	s.line("")
	if r.Underway > 0 {
		s.say(lang.VerifyUnderway, lang.Int(int64(r.Underway)))
	}
	rate := lang.Int(int64(float64(r.Rows) / max(r.Elapsed, time.Microsecond).Seconds()))
	if r.Clean() {
		s.line(s.screen.Mark(true) + " " + s.text(lang.VerifyClean, lang.Int(int64(r.Rows)), lang.Int(int64(r.Payments))))
		s.line(s.screen.Dim(s.text(lang.VerifyTook, lang.Duration(r.Elapsed), rate)))
		return
	}
	s.line(s.screen.Mark(false) + " " + s.text(lang.VerifyFound, lang.Int(int64(r.Total)), lang.Int(int64(r.Rows)), lang.Int(int64(r.Payments))))
	s.printWrong(r)
	s.line(s.screen.Dim(s.text(lang.VerifyTook, lang.Duration(r.Elapsed), rate)))
}

// minor is an amount of the test world's currency.
func (s *session) minor(minor int64) string { return lang.Decimal(money.New(minor, currency)) }

func (s *session) printWrong(r *verify.Report) {
	for i, w := range r.Findings {
		t := &lang.Table{Indent: 2, Gap: 2, Min: []int{lang.Width(s.text(lang.VerifyExpected))}}
		title := s.text(w.Place())
		if i == 0 {
			title += "  " + s.text(lang.VerifyFirst)
		}
		s.line("")
		s.line(s.screen.Bold(title))
		said := func(label, text glossary.Term) { t.Row(s.text(label), s.text(text)) }
		said(lang.VerifyField, verify.FieldTerm(w.Field))
		said(lang.VerifyFoundIs, w.Found)
		said(lang.VerifyExpected, w.Expected)
		if by := w.Witness.Place(); by != (glossary.Term{}) {
			said(lang.VerifyWitness, by)
		}
		s.table(t)
	}
	s.line("")
	if more := r.Total - len(r.Findings); more > 0 {
		s.say(lang.VerifyMore, lang.Int(int64(more)))
	}
}
