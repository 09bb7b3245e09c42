package app

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tapnet/apdu"
	"tapnet/internal/tsp"
	"tapnet/internal/tsp/tspapi"
	"tapnet/internal/verify"
	"tapnet/money"
	"tapnet/pan"
)

// onElement runs one action with a phone that has a secure element.
func onElement(t *testing.T, n *Network, r ElementRequest) ElementResult {
	t.Helper()
	if r.Phone == "" {
		r.Phone = "watch"
	}
	result, err := n.Element(t.Context(), r)
	if err != nil {
		t.Fatalf("%s: %v", r.Verb, err)
	}
	return result
}

func elementTap(amount string) ElementRequest {
	return ElementRequest{Verb: ElementTap, Merchant: "shop-1", Amount: amount}
}

// TestElementPays: a token is put on a secure element through the phone, pays at the unchanged till, is locked, unlocked and deleted.
func TestElementPays(t *testing.T) {
	n, dir := tokenNetwork(t)
	if r := onElement(t, n, ElementRequest{Verb: ElementList}); len(r.Status.Tokens) != 0 || r.Status.SEID == "" {
		t.Errorf("a new phone: %+v", r.Status)
	}
	added := onElement(t, n, ElementRequest{Verb: ElementProvision, Card: "lin", Label: "LANTERN DEBIT"})
	if len(added.Status.Tokens) != 1 || added.Status.Tokens[0].Ref != added.Token || added.Status.Tokens[0].Service != "active" {
		t.Fatalf("%+v", added)
	}
	view, err := askToken[tspapi.Token](t.Context(), n.tokens.service, &tsp.Command{Caller: tokenOperator, Body: &tsp.Read{}, Token: added.Token})
	if err != nil || !slices.Equal(view.Domain.Presentments, []string{tsp.PresentContactless}) { // an element makes no cryptogram for an application
		t.Errorf("domain of an element's token: %+v, %v", view.Domain, err)
	}
	for i := range 3 {
		if r := onElement(t, n, elementTap("12.50")); r.Tap == nil || !r.Tap.Paid() || r.Token != added.Token || r.Tap.Masked[:6] != tokenPrefix {
			t.Fatalf("tap %d: %+v", i+1, r.Tap)
		}
	}
	if _, err := n.Element(t.Context(), ElementRequest{Verb: ElementProvision, Phone: "watch", Card: "lin"}); !errors.Is(err, ErrElementExists) {
		t.Errorf("the same card again: %v", err)
	}
	for range 2 { // again changes nothing
		onElement(t, n, ElementRequest{Verb: ElementLock, Token: added.Token})
	}
	if r := onElement(t, n, elementTap("12.50")); r.Tap.Paid() {
		t.Errorf("locked: %+v", r.Tap)
	}
	if r, err := n.Tap(t.Context(), TapRequest{Card: "lin", Merchant: "shop-1", Amount: money.New(1250, money.CNY)}); err != nil || !r.Paid() {
		t.Errorf("the card itself: %+v, %v", r, err)
	}
	for range 2 {
		onElement(t, n, ElementRequest{Verb: ElementUnlock, Token: added.Token})
	}
	if r := onElement(t, n, elementTap("12.50")); !r.Tap.Paid() {
		t.Errorf("unlocked: %+v", r.Tap)
	}
	second := onElement(t, n, ElementRequest{Verb: ElementProvision, Card: "zhao", Label: "SECOND", SM: true})
	if r := onElement(t, n, elementTap("1.00")); r.Token != second.Token {
		t.Errorf("the new one is the default: %+v", r)
	}
	onElement(t, n, ElementRequest{Verb: ElementDefault, Token: added.Token})
	if r := onElement(t, n, elementTap("1.00")); !r.Tap.Paid() || r.Token != added.Token {
		t.Errorf("the default is the first again: %+v", r)
	}
	onElement(t, n, ElementRequest{Verb: ElementDelete, Token: added.Token})
	onElement(t, n, ElementRequest{Verb: ElementDelete, Token: second.Token})
	if r := onElement(t, n, elementTap("12.50")); r.Tap.Paid() || len(r.Status.Tokens) != 0 {
		t.Errorf("deleted: %+v", r)
	}
	if err := n.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	report, err := Verify(t.Context(), dir, verify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		t.Errorf("%+v", f)
	}
}

// tornAt loses the element before, or after, the n-th command of a session.
type tornAt struct {
	apdu.Transceiver
	left  *int
	after bool
}

func (c tornAt) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	*c.left--
	if *c.left < 0 || *c.left == 0 && !c.after {
		return nil, apdu.ErrCardLost
	}
	answer, err := c.Transceiver.Transceive(ctx, command)
	if *c.left == 0 {
		return nil, apdu.ErrCardLost
	}
	return answer, err
}

// TestElementTornAtEveryCommand: the personalization is torn at each command, and after the last one, whose answer is lost. What is on the element then pays or is
// not there, and the same request made again goes through.
func TestElementTornAtEveryCommand(t *testing.T) {
	n, _ := tokenNetwork(t)
	whole := 0
	count := func(c apdu.Transceiver) apdu.Transceiver { return counted{c, &whole} }
	if _, err := n.element(t.Context(), ElementRequest{Verb: ElementProvision, Phone: "whole", Card: "lin", Label: "L"}, elementOptions{between: count}); err != nil {
		t.Fatal(err)
	}
	if whole < 10 {
		t.Fatalf("a session of %d commands", whole)
	}
	for at := 1; at <= whole+1; at++ {
		name, left, after := fmt.Sprintf("torn-%d", at), min(at, whole), at > whole
		r := ElementRequest{Verb: ElementProvision, Phone: name, Card: "lin", Label: "L"}
		_, err := n.element(t.Context(), r, elementOptions{between: func(c apdu.Transceiver) apdu.Transceiver { return tornAt{c, &left, after} }})
		if !errors.Is(err, ErrElementTorn) {
			t.Fatalf("%s: %v", name, err)
		}
		tap := elementTap("1.00")
		tap.Phone = name
		if r, err := n.Element(t.Context(), tap); err != nil || r.Tap.Paid() {
			t.Errorf("%s: something half done pays: %+v, %v", name, r.Tap, err)
		}
		if _, err := n.Element(t.Context(), r); err != nil {
			t.Fatalf("%s, again: %v", name, err)
		}
		if r, err := n.Element(t.Context(), tap); err != nil || !r.Tap.Paid() {
			t.Errorf("%s, again: %+v, %v", name, r.Tap, err)
		}
	}
}

type counted struct {
	apdu.Transceiver
	n *int
}

func (c counted) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	*c.n++
	return c.Transceiver.Transceive(ctx, command)
}

// TestElementNumbersStayHidden searches for the number of the card and of its token wherever a token on a secure element leaves something.
func TestElementNumbersStayHidden(t *testing.T) {
	n, dir := tokenNetwork(t)
	added := onElement(t, n, ElementRequest{Verb: ElementProvision, Card: "lin", Label: "LANTERN DEBIT"})
	paid := onElement(t, n, elementTap("12.50"))
	if !paid.Tap.Paid() {
		t.Fatalf("%+v", paid.Tap)
	}
	text, err := n.TraceOf(t.Context(), paid.Tap.Trace)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]byte{"trace": text}
	for _, at := range []string{journalDirectory, handsetDirectory, elementTokensFile} {
		err := filepath.WalkDir(filepath.Join(dir, at), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			seen[path], err = os.ReadFile(path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	token, err := n.elements.tokens.Token(added.Token)
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []pan.Number{n.holders["lin"].personal.PAN, token.Number} {
		for _, secret := range [][]byte{[]byte(number.Reveal()), number.BCD(), []byte(hex.EncodeToString(number.BCD()))} {
			for name, text := range seen {
				if bytes.Contains(text, secret) || bytes.Contains(bytes.ToLower(text), secret) {
					t.Errorf("%s holds a number", name)
				}
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d texts were searched", len(seen))
	}
}
