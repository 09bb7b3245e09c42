package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/internal/transit/transithttp"
)

// history shows every decision about a rider, oldest first. The office looks through its journal piece by piece.
func (c transitReportCommand) history(ctx context.Context, s *session) error {
	if c.Account == 0 {
		return &problem{
			code: exitUsage, what: lang.Fill(lang.UsageFlagsMissing, "--account"), why: lang.TransitHistoryAlone, next: lang.Verbatim("tapnet transit report --help"),
		}
	}
	path := "/v1/accounts/" + strconv.FormatInt(c.Account, 10) + "/history?most=500&after="
	whole := transithttp.History{Decisions: []transithttp.Decision{}}
	progress := s.progress()
	for {
		var page transithttp.History
		if _, err := c.call(ctx, s, http.MethodGet, path+strconv.FormatUint(whole.Read, 10), nil, &page); err != nil {
			return err
		}
		page.Decisions = append(whole.Decisions, page.Decisions...)
		if whole = page; page.Read >= page.Last {
			break
		}
		progress.tell(lang.Fill(lang.TransitHistoryRead, lang.Int(int64(page.Read)), lang.Int(int64(page.Last))))
	}
	progress.end()
	if s.json {
		text, err := json.Marshal(whole)
		if err != nil {
			return err
		}
		return s.show(bytes.TrimSpace(text))
	}
	if len(whole.Decisions) == 0 {
		s.say(lang.TransitHistoryNone)
		return nil
	}
	s.printHistory(whole.Decisions)
	return nil
}

func (s *session) printHistory(decisions []transithttp.Decision) {
	for i := range decisions {
		d := &decisions[i]
		head := d.At
		if d.Bill != 0 {
			head += "  " + s.text(lang.TransitBill) + " " + strconv.FormatUint(d.Bill, 10)
		}
		if d.Amount != "" {
			head += "  " + d.Amount
		}
		if d.Next != "" {
			head += "  " + s.text(lang.TransitHistoryNext, d.Next)
		}
		s.line(s.screen.Bold(head))
		s.line(s.wrapped(glossary.Term{EN: oneLine(d.What.EN), ZH: oneLine(d.What.ZH)}))
	}
}
