package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"tapnet/internal/app/operator"
	"tapnet/internal/lang"
	"tapnet/internal/verify"
)

// transitVerified is the report about an operator for a program.
type transitVerified struct {
	Dir      string               `json:"dir"`
	OK       bool                 `json:"ok"`
	Rows     uint64               `json:"rows"`
	End      verify.Anchor        `json:"end"`
	Devices  int                  `json:"devices"`
	Taps     uint64               `json:"taps"`
	Opened   uint64               `json:"opened"`
	Riders   int                  `json:"credentials"`
	Bills    uint64               `json:"bills"`
	Charged  int64                `json:"charged_minor"`
	Credited int64                `json:"credited_minor"`
	Paid     int64                `json:"paid_minor"`
	Refunded int64                `json:"refunded_minor"`
	Settled  int64                `json:"settled_minor"`
	Owed     int64                `json:"owed_minor"`
	Lost     int64                `json:"written_off_minor"`
	Purse    int64                `json:"purse_minor"`
	Requests uint64               `json:"requests"`
	Compared uint64               `json:"compared"`
	Underway uint64               `json:"underway"`
	List     verify.TransitListed `json:"deny_list"`
	Kept     verify.TransitKept   `json:"kept_state"`
	Total    int                  `json:"total"`
	Findings []verify.Wrong       `json:"findings"`
	Seconds  float64              `json:"seconds"`
}

// transit verifies the journal of a transit operator.
func (c verifyCommand) transit(ctx context.Context, s *session) error {
	options := verify.TransitOptions{Most: c.Most, Settled: c.Settled, Network: c.Network, ListKey: listKey(c.Dir)}
	if c.Since != "" {
		text, err := s.readInput(c.Since, maxReportBytes)
		if err != nil {
			return err
		}
		var earlier transitVerified
		if err := json.Unmarshal(text, &earlier); err != nil || earlier.End.Row == 0 {
			return &problem{
				code: exitUsage, what: lang.Fill(lang.VerifySinceBad, printable(c.Since)), next: lang.Verbatim("tapnet verify DIR --json > report.json"), err: err,
			}
		}
		options.Anchor = earlier.End
	}
	r, err := verify.TransitDir(ctx, c.Dir, options)
	if err != nil {
		return c.problem(ctx, err)
	}
	if !r.Clean() {
		s.code = exitNo
	}
	if s.json {
		findings := r.Findings
		if findings == nil {
			findings = []verify.Wrong{}
		}
		return s.printJSON(s.out, transitVerified{
			Dir: r.Dir, OK: r.Clean(), Rows: r.Rows, End: r.Anchor, Devices: r.Devices, Taps: r.Taps, Opened: r.Opened, Riders: r.Riders, Bills: r.Bills,
			Charged: r.ChargedMinor, Credited: r.CreditedMinor, Paid: r.PaidMinor, Refunded: r.RefundedMinor, Settled: r.SettledMinor, Owed: r.OwedMinor,
			Lost: r.LostMinor, Purse: r.PurseMinor, Requests: r.Requests, Compared: r.Compared, Underway: r.Underway, Total: r.Total, Findings: findings,
			List: r.List, Kept: r.Kept,
			Seconds: r.Elapsed.Seconds(),
		})
	}
	s.printTransitVerified(&r)
	return nil
}

// transitSecret is the file of an operator's secret in its directory.
const transitSecret = "transit.secret"

// listKey is the public key of the deny list, when the operator's directory tells it; nil for a copy without the secret.
func listKey(dir string) ed25519.PublicKey {
	text, err := os.ReadFile(filepath.Join(dir, transitSecret))
	if err != nil {
		return nil
	}
	secret, err := operator.ParseSecret(string(text))
	if err != nil {
		return nil
	}
	key, _ := secret.Signer().Public().(ed25519.PublicKey)
	return key
}

func (s *session) printTransitVerified(r *verify.TransitReport) {
	count := func(n uint64) string { return lang.Int(int64(n)) }
	s.line(s.screen.Bold(s.text(lang.VerifyTitle, printable(r.Dir))))
	s.line("")
	s.line(s.wrapped(lang.Fill(lang.VerifyTransitAll, count(r.Taps), count(uint64(r.Riders)), count(uint64(r.Devices)), count(r.Bills), count(r.Requests),
		count(r.Compared))))
	s.facts([]fact{
		{lang.TransitCharged, s.minor(r.ChargedMinor)}, {lang.TransitCredited, s.minor(r.CreditedMinor)}, {lang.TransitPaid, s.minor(r.PaidMinor)},
		{lang.TransitSettled, s.minor(r.SettledMinor)}, {lang.TransitRefunded, s.minor(r.RefundedMinor)}, {lang.TransitOwed, s.minor(r.OwedMinor)},
		{lang.TransitLost, s.minor(r.LostMinor)},
	})
	s.line("")
	s.line(s.wrapped(lang.Fill(lang.VerifyTransitList, count(uint64(r.List.Epoch)), count(r.List.Sequence), count(uint64(r.List.Listed)),
		count(uint64(r.List.Waiting)))))
	if !r.List.Signed && r.List.Sequence > 0 {
		s.line(s.wrapped(lang.VerifyTransitBare))
	}
	if r.Kept.Compared {
		s.line(s.wrapped(lang.Fill(lang.VerifyTransitKept, count(r.Kept.Row), count(r.Kept.Bytes))))
	}
	s.line("")
	if r.Clean() {
		s.line(s.screen.Mark(true) + " " + s.text(lang.VerifyTransitClean, count(r.Rows)))
	} else {
		s.line(s.screen.Mark(false) + " " + s.text(lang.VerifyTransitFound, lang.Int(int64(r.Total)), count(r.Rows)))
		s.printWrong(&verify.Report{Findings: r.Findings, Total: r.Total})
	}
	rate := lang.Int(int64(float64(r.Rows) / max(r.Elapsed, time.Microsecond).Seconds()))
	s.line(s.screen.Dim(s.text(lang.VerifyTook, lang.Duration(r.Elapsed), rate)))
}
