package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/internal/lang"
	"tapnet/internal/transit"
	"tapnet/internal/transit/transithttp"
	"tapnet/pan"
)

type transitKeysCommand struct {
	operatorFlag
	Rotate bool `help:"${transit_keys_rotate}"`
	Retire bool `help:"${transit_keys_retire}"`
	Force  bool `help:"${transit_keys_force}"`
}

// Run shows how far the keys of the deny list are, begins a rotation or ends one.
func (c transitKeysCommand) Run(ctx context.Context, s *session) error {
	method, path := http.MethodGet, "/v1/deny/keys"
	var body any
	switch {
	case c.Rotate && c.Retire:
		return &problem{code: exitUsage, what: lang.Fill(lang.UsageExclusive, "--rotate", "--retire"), next: lang.Verbatim("tapnet transit keys --help")}
	case c.Force && !c.Rotate && !c.Retire:
		return &problem{code: exitUsage, what: lang.TransitForceWhat, next: lang.Verbatim("tapnet transit keys --help")}
	case c.Rotate:
		method, path, body = http.MethodPost, path+"/rotate", map[string]bool{"force": c.Force}
	case c.Retire:
		method, path, body = http.MethodPost, path+"/retire", map[string]bool{"force": c.Force}
	}
	var keys transithttp.Keys
	answer, err := c.call(ctx, s, method, path, body, &keys)
	if err != nil {
		var refused *problem
		if errors.As(err, &refused) && refused.code == exitNo {
			refused.next = lang.Verbatim("tapnet transit keys")
		}
		return err
	}
	if s.json {
		return s.show(answer)
	}
	s.printKeys(keys)
	return nil
}

// printKeys says how far the keys are, and what is to be done.
func (s *session) printKeys(k transithttp.Keys) {
	switch {
	case k.Next != 0:
		s.say(lang.TransitKeysRunning, k.Next, k.Epoch)
	case k.Former != 0:
		s.say(lang.TransitKeysFormer, k.Epoch, k.Former, day(k.Forgets))
	default:
		s.say(lang.TransitKeysOne, k.Epoch)
	}
	facts := []fact{{lang.TransitKeysDevices, lang.Int(int64(k.Devices))}}
	for _, epoch := range epochsOf(k.Holding) {
		facts = append(facts, fact{lang.Fill(lang.TransitKeysHolding, epoch), lang.Int(int64(k.Holding[epoch]))})
	}
	for _, epoch := range epochsOf(k.Lists) {
		facts = append(facts, fact{lang.Fill(lang.TransitKeysLists, epoch), lang.Int(int64(k.Lists[epoch]))})
	}
	if k.Next != 0 || k.Former != 0 {
		facts = append(facts, fact{lang.TransitKeysMoved, lang.Int(int64(k.Moved))}, fact{lang.TransitKeysLeft, lang.Int(int64(k.Left))},
			fact{lang.TransitKeysCannot, lang.Int(int64(k.Cannot))}, fact{lang.TransitKeysMissing, lang.Int(int64(k.Missing))})
	}
	s.facts(facts)
	switch {
	case k.Next != 0 && len(k.Without) > 0:
		s.say(lang.TransitKeysWaits, someOf(k.Without))
	case k.Next != 0 && !k.Looked:
		s.say(lang.TransitKeysMoves)
	case k.Former != 0 && len(k.Behind) > 0:
		s.say(lang.TransitKeysBehind, k.Former, someOf(k.Behind))
	}
}

// day is the date of an instant.
func day(instant string) string {
	date, _, _ := strings.Cut(instant, "T")
	return date
}

func epochsOf(counts map[string]int) []string {
	epochs := make([]string, 0, len(counts))
	for e := range counts {
		epochs = append(epochs, e)
	}
	slices.SortFunc(epochs, func(a, b string) int {
		x, _ := strconv.ParseUint(a, 10, 32)
		y, _ := strconv.ParseUint(b, 10, 32)
		return int(x) - int(y)
	})
	return epochs
}

// epochsHeld are the keys of a device; a dash for one that says nothing of them.
func epochsHeld(keys []uint32) string {
	if len(keys) == 0 {
		return "–"
	}
	text := make([]string, len(keys))
	for i, e := range keys {
		text[i] = strconv.FormatUint(uint64(e), 10)
	}
	return strings.Join(text, " ")
}

// devicesShown are as many as a line names.
const devicesShown = 6

func someOf(devices []string) string {
	text := make([]string, 0, devicesShown)
	for _, d := range devices[:min(len(devices), devicesShown)] {
		text = append(text, printable(d))
	}
	if len(devices) > devicesShown {
		text = append(text, fmt.Sprintf("+%d", len(devices)-devicesShown))
	}
	return strings.Join(text, " ")
}

// The columns of a stop list: kind, number, sequence, expiry or reference, reason, last day.
const (
	columnKind = iota
	columnNumber
	columnSequence
	columnExpiry
	columnReason
	columnUntil
	entryColumns
)

// stopList reads entries of somebody else's stop list. What is wrong is named by its line, never repeated: it may be a card's number.
type stopList struct {
	lines *csv.Reader
	first bool
	ends  bool // for ending entries no reason is needed
}

// next is the next entry, io.EOF behind the last.
func (l *stopList) next() (e transithttp.Entry, line int, err error) {
	for {
		record, err := l.lines.Read()
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return e, bad.Line, errEntryLine
		}
		if err != nil {
			return e, 0, err
		}
		line, _ = l.lines.FieldPos(0)
		heading := l.first && strings.EqualFold(strings.TrimSpace(record[columnKind]), "kind")
		if l.first = false; heading {
			continue
		}
		for len(record) < entryColumns {
			record = append(record, "")
		}
		for i := range record {
			record[i] = strings.TrimSpace(record[i])
		}
		e, err = l.entry(record)
		return e, line, err
	}
}

var errEntryLine = errors.New("not a line of a stop list")

func (l *stopList) entry(record []string) (transithttp.Entry, error) {
	e := transithttp.Entry{Kind: strings.ToLower(record[columnKind]), Number: record[columnNumber], Sequence: record[columnSequence], Expiry: record[columnExpiry],
		Reason: strings.ToLower(record[columnReason]), Until: record[columnUntil]}
	if len(e.Sequence) == 1 {
		e.Sequence = "0" + e.Sequence
	}
	bad := func(why string) (transithttp.Entry, error) { return e, fmt.Errorf("%w: %s", errEntryLine, why) }
	switch e.Kind {
	case "par":
		e.Reference, e.Expiry = e.Expiry, ""
		if e.Reference == "" || e.Number != "" {
			return bad("par")
		}
	case "credential", "token":
		if _, err := pan.Parse(e.Number); err != nil {
			return bad("number")
		}
		if _, err := pan.ParseExpiry(e.Expiry); err != nil && e.Kind == "credential" {
			return bad("expiry")
		}
		if e.Kind == "token" {
			e.Sequence, e.Expiry = "", ""
		}
	default:
		return bad("kind")
	}
	if e.Until != "" {
		if _, err := time.Parse(time.DateOnly, e.Until); err != nil {
			return bad("until")
		}
	}
	reasons := []string{"counterfeit", "stolen", "lost", "closed", "operator", "debt"}
	if e.Kind == "par" {
		reasons = reasons[4:]
	}
	switch {
	case l.ends:
		e.Reason, e.Until = "", ""
	case !slices.Contains(reasons, e.Reason):
		return bad("reason")
	}
	return e, nil
}

// entriesTaken is what came of a file, for a program.
type entriesTaken struct {
	Lines   int `json:"lines"`
	New     int `json:"new"`
	Changed int `json:"changed"`
	Same    int `json:"same"`
	Removed int `json:"removed"`
	Unknown int `json:"unknown"`
}

// outside hands a stop list over, page by page.
func (c transitDenyCommand) outside(ctx context.Context, s *session, name, method string) error {
	from := s.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return unreadable(name, err)
		}
		defer func() { _ = file.Close() }() // it is only read
		from = file
	}
	lines := csv.NewReader(from)
	lines.FieldsPerRecord, lines.ReuseRecord, lines.Comment = -1, true, '#'
	l := &stopList{lines: lines, first: true, ends: method == http.MethodDelete}
	var done entriesTaken
	page := make([]transithttp.Entry, 0, transit.MaxEntries)
	progress := s.progress()
	defer progress.end()
	hand := func() error {
		if len(page) == 0 {
			return nil
		}
		var part entriesTaken
		if _, err := c.call(ctx, s, method, "/v1/deny/entries", map[string]any{"entries": page}, &part); err != nil {
			return err
		}
		done.Lines += len(page)
		done.New, done.Changed, done.Same = done.New+part.New, done.Changed+part.Changed, done.Same+part.Same
		done.Removed, done.Unknown = done.Removed+part.Removed, done.Unknown+part.Unknown
		progress.tell(lang.Fill(lang.TransitImporting, lang.Int(int64(done.Lines))))
		page = page[:0]
		return nil
	}
	for {
		e, line, err := l.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, errEntryLine) {
			return errors.Join(hand(), badEntry(name, line, done.Lines+len(page), err))
		}
		if err != nil {
			return unreadable(name, err)
		}
		if page = append(page, e); len(page) == transit.MaxEntries {
			if err := hand(); err != nil {
				return err
			}
		}
	}
	if err := hand(); err != nil {
		return err
	}
	progress.end()
	if s.json {
		return s.printJSON(s.out, done)
	}
	if l.ends {
		s.say(lang.TransitEnded, lang.Int(int64(done.Removed)), lang.Int(int64(done.Unknown)))
		return nil
	}
	s.say(lang.TransitImported, lang.Int(int64(done.New)), lang.Int(int64(done.Changed)), lang.Int(int64(done.Same)))
	return nil
}

// badEntry says which line is wrong and in which column.
func badEntry(name string, line, before int, err error) error {
	why := lang.TransitEntryShape
	for column, term := range map[string]glossary.Term{
		"par": lang.TransitEntryPAR, "number": lang.TransitEntryNumber, "expiry": lang.TransitEntryExpiry, "kind": lang.TransitEntryKind,
		"until": lang.TransitEntryUntil, "reason": lang.TransitEntryReason,
	} {
		if strings.HasSuffix(err.Error(), ": "+column) {
			why = term
		}
	}
	return &problem{
		code: exitUsage, what: lang.Fill(lang.TransitEntryBad, line, printable(name)), why: why, next: lang.Fill(lang.TransitEntryNext, before), err: err,
	}
}
