package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
)

type posMenuCommand struct{ counterFlags }

// question is something the menu asks for before a verb.
type question uint8

const (
	askCard question = iota
	askEntry
	askInsert
	askAmount
	askPart
	askPIN
	askNewPIN
	askTrace
	askLast
	askFrom
	askList
)

// menuItem is a line of the menu. lang.PosMenuContent has their names, in the same order.
type menuItem struct {
	verb      app.POSVerb
	questions []question
}

var menuItems = [...]menuItem{
	{app.POSSale, []question{askAmount, askCard, askEntry, askPIN}},
	{app.POSVoid, []question{askTrace}},
	{app.POSRefund, []question{askTrace, askPart}},
	{app.POSPreAuth, []question{askAmount, askCard, askEntry, askPIN}},
	{app.POSCancel, []question{askTrace}},
	{app.POSComplete, []question{askTrace, askPart}},
	{app.POSVoidCompletion, []question{askTrace}},
	{app.POSBalance, []question{askCard, askEntry, askPIN}},
	{app.POSCashBalance, []question{askCard, askInsert}},
	{app.POSLoad, []question{askAmount, askCard, askFrom, askPIN}},
	{app.POSVoidLoad, []question{askTrace, askCard, askPIN}},
	{app.POSUnload, []question{askCard, askPIN}},
	{app.POSSettle, nil},
	{app.POSReprint, []question{askLast}},
	{app.POSDownload, []question{askList}},
	{app.POSRollback, []question{askList}},
	{app.POSChangePIN, []question{askCard, askPIN, askNewPIN}},
	{app.POSUnblockPIN, []question{askCard, askPIN}},
	{app.POSCollect, nil},
}

// menuLine is the longest line that anybody types.
const menuLine = 256

// menu is a cashier at the keyboard.
type menu struct {
	*session
	lines *bufio.Reader
}

// Run asks for one verb after another until the cashier leaves. What goes wrong is said, and the menu goes on.
func (c posMenuCommand) Run(ctx context.Context, s *session) (err error) {
	world, err := openWorld(ctx, s, c.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	c.announce(s, world)
	m := &menu{session: s, lines: bufio.NewReaderSize(s.in, menuLine)}
	for ctx.Err() == nil {
		m.show(c.At)
		text, ok := m.read(lang.PosMenuChoose)
		if !ok || text == "0" {
			break
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > len(menuItems) {
			fmt.Fprintln(s.err, s.text(lang.PosMenuWrong))
			continue
		}
		r, ok := m.ask(menuItems[n-1])
		if !ok {
			break
		}
		if err := c.ask(ctx, s, world, r); err != nil {
			s.explain(s.err, asProblem(err))
		}
	}
	s.code = exitDone // each answer was shown
	return nil
}

// show writes the menu.
func (m *menu) show(at string) {
	if m.json {
		return
	}
	fmt.Fprintln(m.err)
	fmt.Fprintln(m.err, m.screen.Bold(m.text(lang.PosMenuTitle, at)))
	for i, name := range lang.PosMenuContent {
		fmt.Fprintf(m.err, "%4d  %s\n", i+1, m.text(name))
	}
	fmt.Fprintf(m.err, "%4d  %s\n", 0, m.text(lang.PosMenuLeave))
}

// read asks and reads a line; false at the end of the input.
func (m *menu) read(prompt glossary.Term) (string, bool) {
	if !m.json {
		fmt.Fprint(m.err, m.text(prompt))
	}
	line, err := m.lines.ReadString('\n')
	if err != nil && (!errors.Is(err, io.EOF) || line == "") {
		return "", false
	}
	return strings.TrimSpace(line), true
}

// readPIN does not show what is typed.
func (m *menu) readPIN(prompt glossary.Term) (string, bool) {
	file, ok := m.in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || m.lines.Buffered() > 0 {
		return m.read(prompt)
	}
	fmt.Fprint(m.err, m.text(prompt))
	digits, err := term.ReadPassword(int(file.Fd()))
	fmt.Fprintln(m.err)
	return strings.TrimSpace(string(digits)), err == nil
}

// inSlot are the verbs for which the card is always inserted.
var inSlot = map[app.POSVerb]bool{app.POSLoad: true, app.POSVoidLoad: true, app.POSUnload: true, app.POSChangePIN: true, app.POSUnblockPIN: true}

// ask fills a request in; false at the end of the input.
func (m *menu) ask(item menuItem) (app.POSRequest, bool) {
	r := app.POSRequest{Verb: item.verb, Insert: inSlot[item.verb]}
	for _, q := range item.questions {
		ok := false
		text := ""
		switch q {
		case askCard:
			r.Card, ok = m.read(lang.PosAskCard)
		case askEntry:
			text, ok = m.read(lang.PosAskEntry)
			text = strings.ToLower(text)
			r.Insert, r.Swipe = strings.HasPrefix(text, "i") || strings.HasPrefix(text, "y"), strings.HasPrefix(text, "s")
		case askInsert:
			text, ok = m.read(lang.PosAskInsert)
			r.Insert = strings.HasPrefix(strings.ToLower(text), "y")
		case askAmount:
			r.Amount, ok = m.read(lang.PosAskAmount)
		case askPart:
			r.Amount, ok = m.read(lang.PosAskAll)
		case askPIN:
			r.PIN, ok = m.readPIN(lang.PosAskPIN)
		case askNewPIN:
			r.NewPIN, ok = m.readPIN(lang.PosAskNewPIN)
		case askTrace:
			text, ok = m.read(lang.PosAskTrace)
			r.Trace = traceNumber(text)
		case askLast:
			text, ok = m.read(lang.PosAskLast)
			r.Trace = traceNumber(text)
		case askFrom:
			r.From, ok = m.read(lang.PosAskFrom)
		case askList:
			r.List, ok = m.read(lang.PosAskList)
		}
		if !ok {
			return r, false
		}
	}
	return r, true
}

// traceNumber reads up to six digits; anything else is none.
func traceNumber(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n > 999_999 {
		return 0
	}
	return uint32(n)
}
