package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/personalization"
)

type cardProductsCommand struct{}

type cardIssueCommand struct {
	Profile string `required:"" placeholder:"NAME" help:"${card_issue_profile}"`
	Carrier string `placeholder:"NAME" help:"${card_issue_carrier}"`
	Crypto  string `placeholder:"NAME" help:"${card_issue_crypto}"`
	Bank    string `placeholder:"ID" help:"${card_issue_bank}"`
	Name    string `placeholder:"NAME" help:"${card_issue_name}"`
	DGI     bool   `name:"dgi" help:"${card_issue_dgi}"`
	Out     string `placeholder:"FILE" help:"${card_issue_out}"`
	dataFlag
}

// listedKind is a product or a carrier for a program.
type listedKind struct {
	Name  string   `json:"name"`
	Title string   `json:"title"`
	AIDs  []string `json:"aids,omitempty"`
}

// Run lists what cards can be issued.
func (c cardProductsCommand) Run(s *session) error {
	var products, carriers []listedKind
	for _, p := range personalization.Products() {
		k := listedKind{Name: p.Name, Title: s.text(p.Title.Term())}
		for _, a := range p.Applications {
			k.AIDs = append(k.AIDs, fmt.Sprintf("%X", []byte(a.AID)))
		}
		products = append(products, k)
	}
	for _, c := range personalization.Carriers() {
		carriers = append(carriers, listedKind{Name: c.Name, Title: s.text(c.Title.Term())})
	}
	if s.json {
		return s.printJSON(s.out, map[string]any{"products": products, "carriers": carriers, "cryptos": personalization.Cryptos()})
	}
	for _, part := range []struct {
		title glossary.Term
		kinds []listedKind
	}{{lang.ProductsTitle, products}, {lang.CarriersTitle, carriers}} {
		s.say(part.title)
		t := &lang.Table{Indent: 2, Gap: 2}
		for _, k := range part.kinds {
			t.Row(k.Name, k.Title)
		}
		s.table(t)
	}
	s.say(lang.CryptosTitle)
	s.line("  " + strings.Join(personalization.Cryptos(), "  "))
	return nil
}

// Run issues a card. It ends with 0 when the card is there, 2 when no such card can be, 3 when the network or the file is to blame.
func (c cardIssueCommand) Run(ctx context.Context, s *session) (err error) {
	world, err := openWorld(ctx, s, c.dir(s))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.close(ctx)) }()
	if world.throwaway && !s.json {
		for _, line := range lang.Wrap(s.text(lang.IssueThrown, world.dir), s.screen.Columns) {
			fmt.Fprintln(s.err, line)
		}
	}
	bureau, ok := world.World.(app.Bureau)
	if !ok {
		return &problem{code: exitEnvironment, what: lang.IssueRefused, next: lang.IssueRefusedNext}
	}
	issued, err := bureau.IssueCard(ctx, app.IssueRequest{
		Product: c.Profile, Carrier: c.Carrier, Crypto: c.Crypto, Issuer: c.Bank, Name: c.Name, Groupings: c.DGI,
	})
	if err != nil {
		return issueProblem(err)
	}
	if c.Out != "" {
		if err := c.write(s.issuedJSON(issued)); err != nil {
			return err
		}
	}
	if s.json {
		return s.printJSON(s.out, s.issuedJSON(issued))
	}
	s.printIssued(issued)
	if c.Out != "" {
		s.say(lang.IssueWritten, c.Out)
	}
	if !world.throwaway {
		s.say(lang.IssueNext, issued.Name)
	}
	return nil
}

// issueProblem gives an error its three parts.
func issueProblem(err error) error {
	var fault *personalization.Fault
	switch {
	case errors.As(err, &fault):
		return &problem{code: exitUsage, what: sentence(fault.What), why: fault.Why, next: fault.Next, err: err}
	case errors.Is(err, app.ErrIssue):
		return &problem{code: exitEnvironment, what: lang.IssueRefused, why: lang.Verbatim(err.Error()), next: lang.IssueRefusedNext, err: err}
	}
	return fmt.Errorf("issue a card: %w", err)
}

// write makes the file for its owner alone: the PIN stands in it.
func (c cardIssueCommand) write(issued issuedJSON) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(issued)
	if err == nil {
		err = os.WriteFile(c.Out, text.Bytes(), 0o600)
	}
	if err != nil {
		return &problem{code: exitEnvironment, what: lang.Fill(lang.FileUnwritable, c.Out), why: reason(err), next: lang.Fill(lang.CheckPath, c.Out), err: err}
	}
	return nil
}

// issuedJSON is a new card for a program, names in the language of the command.
type issuedJSON struct {
	app.IssuedCard
	ProductTitle string          `json:"product_title"`
	CarrierTitle string          `json:"carrier_title"`
	Groupings    []groupingsJSON `json:"groupings,omitempty"`
}

type groupingsJSON struct {
	AID       string         `json:"aid"`
	Groupings []groupingJSON `json:"groupings"`
	Commands  []string       `json:"commands"`
}

type groupingJSON struct {
	app.IssuedGrouping
	Name string `json:"name"`
}

func (s *session) issuedJSON(c app.IssuedCard) issuedJSON {
	out := issuedJSON{IssuedCard: c, ProductTitle: s.text(c.ProductTitle), CarrierTitle: s.text(c.CarrierTitle)}
	for _, g := range c.Groupings {
		instance := groupingsJSON{AID: g.AID, Commands: g.Commands}
		for _, one := range g.Groupings {
			instance.Groupings = append(instance.Groupings, groupingJSON{one, s.text(one.Name)})
		}
		out.Groupings = append(out.Groupings, instance)
	}
	return out
}

// printIssued says what the card is.
func (s *session) printIssued(c app.IssuedCard) {
	for _, line := range lang.Wrap(s.text(lang.IssueTitle, c.Name, s.text(c.ProductTitle), s.text(c.CarrierTitle)), s.screen.Columns) {
		s.line(s.screen.Bold(line))
	}
	t := &lang.Table{Indent: 2, Gap: 2}
	for _, row := range []struct {
		label glossary.Term
		value string
	}{
		{lang.IssueNumber, c.Masked}, {lang.IssueExpiry, c.Expiry}, {lang.IssueBank, c.Issuer}, {lang.IssuePIN, c.PIN}, {lang.IssueCrypto, c.Crypto},
		{lang.IssueATR, c.ATR}, {lang.IssueATS, c.ATS},
	} {
		if row.value != "" {
			t.Row(s.text(row.label), row.value)
		}
	}
	for _, a := range c.Applications {
		how := lang.IssueContact
		switch {
		case a.Contact && a.Contactless:
			how = lang.IssueBoth
		case a.Contactless:
			how = lang.IssueContactless
		}
		text := a.AID + "  " + a.Label + "  " + s.text(how)
		if a.Optional {
			text += ", " + s.text(lang.IssueOptional)
		}
		t.Row(s.text(lang.IssueApplication), text)
	}
	s.table(t)
	for _, g := range c.Groupings {
		s.say(lang.IssueGroupings, g.AID, len(g.Commands))
		t := &lang.Table{Indent: 2, Gap: 2}
		for _, one := range g.Groupings {
			name := s.text(one.Name)
			if one.Secret {
				name += ": " + s.text(lang.IssueSealed)
			}
			t.Row(one.DGI, fmt.Sprint(len(one.Data)/2), name)
		}
		s.table(t)
	}
}
