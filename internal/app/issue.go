package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tapnet/card"
	"tapnet/glossary"
	"tapnet/internal/issuer"
	"tapnet/internal/personalization"
	"tapnet/pinblock"
)

// IssueRequest asks a bank of the world for a new card. Empty fields are chosen for the asker.
type IssueRequest struct {
	Product   string `json:"product"`
	Carrier   string `json:"carrier,omitempty"`
	Crypto    string `json:"crypto,omitempty"`
	Issuer    string `json:"issuer,omitempty"` // institution
	Name      string `json:"name,omitempty"`   // for commands
	Groupings bool   `json:"groupings,omitempty"`
}

// IssuedCard is a new card. It holds no full card number. The PIN is told this once, to whoever asked for the card.
type IssuedCard struct {
	Name         string              `json:"name"`
	Masked       string              `json:"masked"`
	Product      string              `json:"product"`
	ProductTitle glossary.Term       `json:"product_title"`
	Carrier      string              `json:"carrier"`
	CarrierTitle glossary.Term       `json:"carrier_title"`
	Crypto       string              `json:"crypto"`
	Issuer       string              `json:"issuer"`
	Expiry       string              `json:"expiry"`
	PIN          string              `json:"pin"`
	ATR          string              `json:"atr,omitempty"`
	ATS          string              `json:"ats,omitempty"`
	Air          string              `json:"air,omitempty"`
	Applications []IssuedApplication `json:"applications"`
	Groupings    []IssuedGroupings   `json:"groupings,omitempty"`
}

// IssuedApplication is one application of a new card.
type IssuedApplication struct {
	AID         string `json:"aid"`
	Label       string `json:"label"`
	Contactless bool   `json:"contactless"`
	Contact     bool   `json:"contact"`
	Optional    bool   `json:"optional"` // the cardholder may switch it off
}

// IssuedGroupings is what is written to one application of a card, or to a directory: the data groupings and the commands that carry them, secrets
// enciphered under a session of the public TEST key.
type IssuedGroupings struct {
	AID       string           `json:"aid"`
	Groupings []IssuedGrouping `json:"groupings"`
	Commands  []string         `json:"commands"`
}

// IssuedGrouping is one data grouping. Data are hexadecimal.
type IssuedGrouping struct {
	DGI    string        `json:"dgi"`
	Name   glossary.Term `json:"name"`
	Secret bool          `json:"secret,omitempty"` // the data are enciphered
	Data   string        `json:"data"`
}

// Bureau issues cards into a world.
type Bureau interface {
	// IssueCard makes a card and tells its bank. The error wraps *personalization.Fault when the request is to blame, or ErrIssue when the bank will not.
	IssueCard(ctx context.Context, r IssueRequest) (IssuedCard, error)
}

var (
	_ Bureau = (*Network)(nil)
	_ Bureau = (*Client)(nil)
)

// ErrIssue says that this network cannot take a new card now.
var ErrIssue = errors.New("no card can be issued here")

// Limits of cards issued into one world, and of their names: a file and an argument of commands.
const (
	maxIssued     = 10_000
	maxIssuedName = 24
	issuedFile    = "issued.json"
	issuedHolder  = "TEST/CARD"
	issuedExpiry  = "3012"
	issuedSerial  = 1000 // the first number; a profile's own cards have lower ones
	issuedDigits  = 6    // of a PIN
	issuedMoney   = "1000.00"
	issuedPurse   = "100.00"
	serialTries   = 16
)

// issued are the cards that were made while the world ran. Unlike those of the profile they come at any time, so that they have a lock.
type issued struct {
	mu      sync.RWMutex
	making  sync.Mutex // one card at a time
	holders map[string]*holder
	specs   []personalization.CardSpec // without PINs: those are on the chips
}

// holderNamed finds a card of the world.
func (n *Network) holderNamed(name string) (*holder, bool) {
	if h, ok := n.holders[name]; ok {
		return h, true
	}
	n.issued.mu.RLock()
	defer n.issued.mu.RUnlock()
	h, ok := n.issued.holders[name]
	return h, ok
}

// specs are the cards of the profile, then those issued since.
func (n *Network) specs() []personalization.CardSpec {
	n.issued.mu.RLock()
	defer n.issued.mu.RUnlock()
	return slices.Concat(n.options.Profile.Cards, n.issued.specs)
}

// IssueCard makes a card, keeps its chip with the others, and enrols it with its bank.
func (n *Network) IssueCard(ctx context.Context, r IssueRequest) (IssuedCard, error) {
	n.issued.making.Lock()
	defer n.issued.making.Unlock()
	spec, pin, err := n.issueSpec(r)
	if err != nil {
		return IssuedCard{}, err
	}
	node := n.issuers[spec.Issuer]
	if node == nil || n.options.Shards > 0 {
		return IssuedCard{}, fmt.Errorf("%w: its bank does not run whole in this process", ErrIssue)
	}
	for try := 0; ; try++ {
		personal, err := n.personalize(spec, pin)
		if err != nil {
			return IssuedCard{}, err
		}
		err = n.enrolIssued(ctx, node, personal)
		if errors.Is(err, issuer.ErrEnrolment) && try < serialTries {
			spec.Serial++ // somebody has that number: a card that was issued when the machine stopped
			continue
		}
		if err != nil {
			return IssuedCard{}, fmt.Errorf("%w: %w", ErrIssue, err)
		}
		if err := n.keepIssued(spec, personal); err != nil {
			return IssuedCard{}, fmt.Errorf("%w: %w", ErrIssue, err)
		}
		return describeIssued(personal, r.Groupings)
	}
}

// issueSpec fills in what the request leaves open.
func (n *Network) issueSpec(r IssueRequest) (spec personalization.CardSpec, pin pinblock.PIN, err error) {
	p, all := n.options.Profile, n.specs()
	product, err := p.Product(r.Product)
	if err != nil {
		return spec, pin, err
	}
	if r.Issuer == "" && len(p.Issuers) > 0 {
		r.Issuer = p.Issuers[0].Institution
	}
	spec = personalization.CardSpec{Name: r.Name, Holder: issuedHolder, Issuer: r.Issuer, Product: r.Product, Carrier: r.Carrier, Crypto: r.Crypto,
		Serial: issuedSerial + len(n.issued.specs), Sequence: "01", Expiry: issuedExpiry, NoPIN: true}
	if spec.Carrier == "" {
		spec.Carrier = "dual-interface"
	}
	for i := 1; spec.Name == ""; i++ {
		if name := fmt.Sprintf("%s-%d", r.Product, i); !named(all, name) {
			spec.Name = name
		}
	}
	if _, bank := p.Issuer(spec.Issuer); !bank {
		return spec, pin, &personalization.Fault{
			What: glossary.Term{EN: "there is no such bank", ZH: "没有该发卡行"},
			Why:  glossary.Term{EN: "a bank is named by the eight digits of its institution", ZH: "发卡行以八位机构代码表示"},
			Next: glossary.Term{EN: "tapnet card list --json names those of this world", ZH: "tapnet card list --json 可查看本环境的发卡行"},
		}
	}
	switch {
	case named(all, spec.Name) || len(spec.Name) > maxIssuedName || strings.Trim(spec.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return spec, pin, &personalization.Fault{
			What: glossary.Term{EN: "the card cannot have this name", ZH: "卡片不能使用此名称"},
			Why:  glossary.Term{EN: "a name is its own, of small letters, digits and hyphens, at most 24", ZH: "名称不得重复，且只能由小写字母、数字和连字符组成，最多24个字符"},
			Next: glossary.Term{EN: "choose another, or none", ZH: "请换一个名称，或省略"},
		}
	case len(n.issued.specs) >= maxIssued:
		return spec, pin, fmt.Errorf("%w: the world has %d issued cards", ErrIssue, maxIssued)
	}
	fund(&spec, &product)
	number, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return spec, pin, fmt.Errorf("draw a PIN: %w", err)
	}
	pin, err = pinblock.ParsePIN(fmt.Sprintf("%0*d", issuedDigits, number))
	return spec, pin, err
}

// fund puts money on the accounts and purses of a new card.
func fund(spec *personalization.CardSpec, product *personalization.Product) {
	switch product.Account {
	case "credit":
		spec.Credit = issuedMoney
	case "debit":
		spec.Balance = issuedMoney
	}
	for i, a := range product.Applications {
		if a.Purse != nil && i == 0 {
			spec.Purse = issuedPurse
		}
		if a.Purse != nil && a.Account != "" {
			spec.LinkedPurse = issuedPurse
		}
		if a.SecondPurse != nil {
			spec.SecondPurse = issuedPurse
		}
	}
}

func named(all []personalization.CardSpec, name string) bool {
	return slices.ContainsFunc(all, func(c personalization.CardSpec) bool { return c.Name == name })
}

// personalize makes a card that is not in the profile.
func (n *Network) personalize(spec personalization.CardSpec, pin pinblock.PIN) (*personalization.Card, error) {
	with := *n.options.Profile
	spec.PIN = pin.Reveal()
	with.Cards = append(slices.Clip(n.specs()), spec)
	return with.Personalize(spec.Name, n.vaults[spec.Issuer], personalizationKeys())
}

// enrolIssued tells the bank of the card, and of the account of its second application.
func (n *Network) enrolIssued(ctx context.Context, node *issuerNode, personal *personalization.Card) error {
	for _, record := range append([]personalization.Record{personal.Record}, personal.Linked...) {
		if _, err := node.ask(ctx, issuer.Enrol{Enrolment: enrolment(record)}); err != nil {
			return fmt.Errorf("enrol card %q: %w", record.Name, err)
		}
	}
	return nil
}

// keepIssued writes the chip's memory and the list of issued cards, and puts the card among the others.
func (n *Network) keepIssued(spec personalization.CardSpec, personal *personalization.Card) error {
	h, memory, err := n.chip(personal)
	if err != nil {
		return err
	}
	if err := memory.Commit(&personal.Image.State); err != nil {
		return err
	}
	spec.PIN = ""
	specs := append(slices.Clone(n.issued.specs), spec)
	text, err := json.MarshalIndent(specs, "", " ")
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(n.options.Dir, issuedFile), text); err != nil {
		return err
	}
	n.issued.mu.Lock()
	defer n.issued.mu.Unlock()
	n.issued.specs = specs
	if n.issued.holders == nil {
		n.issued.holders = map[string]*holder{}
	}
	n.issued.holders[spec.Name] = h
	return nil
}

func (n *Network) chip(personal *personalization.Card) (*holder, *chipFile, error) {
	name := personal.Spec.Name
	memory := n.chipMemory(filepath.Join(n.options.Dir, cardDirectory, name+chipSuffix), personal)
	chip, err := card.New(&personal.Image, personal.Crypto, memory, n.random.source("card "+name))
	if err != nil {
		return nil, nil, fmt.Errorf("card %q: %w", name, err)
	}
	return &holder{personal: personal, chip: chip}, memory, nil
}

// reopenIssued makes the cards again that were issued when the network ran before. Their memories know their PINs; nobody else does.
func (n *Network) reopenIssued() error {
	text, err := os.ReadFile(filepath.Join(n.options.Dir, issuedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var specs []personalization.CardSpec
	if err == nil {
		err = json.Unmarshal(text, &specs)
	}
	if err == nil && len(specs) > maxIssued {
		err = fmt.Errorf("%d cards, at most %d", len(specs), maxIssued)
	}
	if err != nil {
		return fmt.Errorf("read issued cards: %w", err)
	}
	forgotten, err := pinblock.ParsePIN("0000")
	if err != nil {
		return err
	}
	n.issued.holders = map[string]*holder{}
	for _, spec := range specs {
		personal, err := n.personalize(spec, forgotten)
		if err != nil {
			return err
		}
		h, _, err := n.chip(personal)
		if err != nil {
			return err
		}
		n.issued.specs, n.issued.holders[spec.Name] = append(n.issued.specs, spec), h
	}
	return nil
}

// describeIssued says what the card is.
func describeIssued(c *personalization.Card, groupings bool) (IssuedCard, error) {
	d := IssuedCard{
		Name: c.Spec.Name, Masked: c.PAN.Masked(), Product: c.Product.Name, ProductTitle: c.Product.Title.Term(), Carrier: c.Carrier.Name,
		CarrierTitle: c.Carrier.Title.Term(), Crypto: c.Algorithms(), Issuer: c.Spec.Issuer, Expiry: c.Spec.Expiry, PIN: c.PIN.Reveal(),
		ATR: upperHex(c.Carrier.ATR()), ATS: upperHex(c.Carrier.ATS()), Air: c.Carrier.Air,
	}
	for i, a := range c.Image.Applications {
		d.Applications = append(d.Applications, IssuedApplication{
			AID: a.AID.String(), Label: a.Label, Optional: c.Product.Applications[i].Optional,
			Contactless: c.Carrier.Offers()&card.Contactless != 0 && !a.NoContactless, Contact: a.Contact != nil,
		})
	}
	if !groupings {
		return d, nil
	}
	all, err := c.Groupings()
	if err != nil {
		return d, fmt.Errorf("card %q: %w", c.Spec.Name, err)
	}
	for i, instance := range all {
		session, err := personalization.NewSession(personalization.TestPersonalizationKey(), uint16(i+1))
		if err != nil {
			return d, err
		}
		sealed, err := session.Seal(instance.List)
		if err != nil {
			return d, err
		}
		commands, err := session.Commands(instance)
		if err != nil {
			return d, err
		}
		g := IssuedGroupings{AID: instance.AID.String()}
		for _, one := range sealed {
			g.Groupings = append(g.Groupings, IssuedGrouping{DGI: one.ID().String(), Name: one.ID().Term(), Secret: one.ID().Secret(), Data: upperHex(one.Reveal())})
		}
		for _, command := range commands {
			g.Commands = append(g.Commands, upperHex(command.Bytes()))
		}
		d.Groupings = append(d.Groupings, g)
	}
	return d, nil
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// issueAnswer is what the control socket says: one of the two.
type issueAnswer struct {
	Card  *IssuedCard            `json:"card,omitempty"`
	Fault *personalization.Fault `json:"fault,omitempty"`
}

// bureauHandler adds issuing to the control socket.
func (n *Network) bureauHandler(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("POST /v1/issue", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[IssueRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		issued, err := n.IssueCard(r.Context(), request)
		var fault *personalization.Fault
		if errors.As(err, &fault) {
			answer(w, issueAnswer{Fault: fault}, nil)
			return
		}
		answer(w, issueAnswer{Card: &issued}, err)
	})
	return mux
}

// IssueCard asks the running network.
func (c *Client) IssueCard(ctx context.Context, r IssueRequest) (IssuedCard, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return IssuedCard{}, err
	}
	text, err := c.call(ctx, http.MethodPost, "/v1/issue", strings.NewReader(string(body)))
	if err != nil {
		return IssuedCard{}, fmt.Errorf("%w: %w", ErrIssue, err)
	}
	var a issueAnswer
	switch err := json.Unmarshal(text, &a); {
	case err != nil:
		return IssuedCard{}, fmt.Errorf("control socket: %w", err)
	case a.Fault != nil:
		return IssuedCard{}, a.Fault
	case a.Card == nil:
		return IssuedCard{}, fmt.Errorf("control socket: %w: no card", ErrIssue)
	}
	return *a.Card, nil
}
