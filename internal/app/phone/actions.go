package phone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
	"tapnet/terminal"
)

// Status is what the phone shows, as hce.Engine.StatusJSON tells it.
type Status struct {
	Device   string   `json:"device"`
	Tokens   []Token  `json:"tokens"`
	Damaged  []string `json:"damaged,omitempty"`
	WantsCVM bool     `json:"wants_cvm"`
}

// Token is one token on the phone.
type Token struct {
	Ref          string `json:"ref"`
	Label        string `json:"label"`
	LastFour     string `json:"last_four"`
	Default      bool   `json:"default"`
	State        string `json:"state"` // ready, needs_network
	Suspended    string `json:"suspended,omitempty"`
	Batch        uint32 `json:"batch"`
	KeysCVM      int    `json:"keys_cvm"`
	KeysOpen     int    `json:"keys_open"`
	NotAfter     string `json:"not_after"`
	NeedsNetwork bool   `json:"needs_network"`
	Why          string `json:"why,omitempty"`
	Counter      int    `json:"counter"`
}

// Ready reports whether the token can pay without network.
func (t Token) Ready() bool { return t.State == "ready" }

// Status reads the engine's status, and from the cloud what the phone itself cannot know.
func (p *Phone) Status() (Status, error) {
	var s Status
	if err := json.Unmarshal([]byte(p.Engine.StatusJSON()), &s); err != nil {
		return Status{}, fmt.Errorf("read the phone's status: %w", err)
	}
	for i := range s.Tokens {
		s.Tokens[i].Suspended = p.cloud.State(s.Tokens[i].Ref)
	}
	return s, nil
}

// life of a token.
const lifeYears = 3

// Add provisions a token and fetches its first keys. password is the payment password, six digits; "" is none.
func (p *Phone) Add(label, password string) (ref string, err error) {
	return p.AddCard(label, password, "")
}

// AddCard is Add with the card that the token stands for, where the cloud has a token service.
func (p *Phone) AddCard(label, password, card string) (ref string, err error) {
	if err := checkPassword(password); err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	if p.o.Offline {
		return "", fmt.Errorf("add token: %w", errOffline)
	}
	order, err := p.order(card)
	if err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	ref, order.Device, order.Label = order.Ref, p.device, label
	// A token without a password gets a verifier nobody knows the password of: its keys of that class never work.
	unknown, err := cloudkey.DrawSecret(p.o.Random)
	if err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	raw := unknown.Reveal()
	if _, whole := p.cloud.(Provider); !whole { // there, a batch has keys of one way of verifying: by password, or by what the device knows of its holder
		order.Verifier = raw[:]
	}
	if password != "" {
		salt := soft.Salt(ref)
		order.Verifier = p.platform.Verifier(password, salt[:])
	}
	wrapped, err := p.cloud.Provision(order)
	if err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	p.list.Tokens[ref] = order.Number.Reveal()
	if err := errors.Join(p.keep(), p.Engine.AddToken(wrapped)); err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	return ref, p.Engine.ReplenishToken(ref)
}

// order asks the cloud's token service for a token, or makes one up.
func (p *Phone) order(card string) (soft.TokenOrder, error) {
	if provider, ok := p.cloud.(Provider); ok {
		return provider.NewToken(p.device, card)
	}
	ref, err := p.reference("T")
	if err != nil {
		return soft.TokenOrder{}, err
	}
	number, err := p.number()
	if err != nil {
		return soft.TokenOrder{}, err
	}
	expiry, err := pan.ParseExpiry(p.o.Now().AddDate(lifeYears, 0, 0).Format("0601"))
	return soft.TokenOrder{Ref: ref, Number: number, Expiry: expiry}, err
}

func checkPassword(password string) error {
	if password == "" {
		return nil
	}
	if len(password) != passwordSize {
		return ErrPassword
	}
	for _, c := range []byte(password) {
		if c < '0' || c > '9' {
			return ErrPassword
		}
	}
	return nil
}

// tokenPrefix is the range of made-up tokens.
const tokenPrefix = "629998"

// number draws a token's number.
func (p *Phone) number() (pan.Number, error) {
	const drawn = 9
	b := make([]byte, drawn)
	if _, err := io.ReadFull(p.o.Random, b); err != nil {
		return pan.Number{}, fmt.Errorf("draw a number: %w", err)
	}
	digits := []byte(tokenPrefix)
	for _, c := range b {
		digits = append(digits, '0'+c%10)
	}
	return pan.CompleteLuhn(string(digits))
}

// Verification is how the holder proves to be the holder.
type Verification int32

// The ways, as hce.Engine.Arm takes them.
const (
	NotVerified Verification = Verification(hce.CVMNone)
	Fingerprint Verification = Verification(hce.CVMFingerprint)
	Password    Verification = Verification(hce.CVMPassword)
)

// TapRequest is one payment with the phone.
type TapRequest struct {
	Token        string // "": the default
	Verification Verification
	Password     string // with Password
	Amount       money.Amount
}

// TapResult is how it ended.
type TapResult struct {
	Token    string // reference
	ArmCode  int32  // hce.ArmOK, or why the phone was not ready
	Outcome  kernel.Outcome
	Asked    bool         // the cloud was asked
	Verdict  soft.Verdict // its answer
	Evidence cloudkey.Evidence
}

// Paid reports whether the tap is good.
func (r TapResult) Paid() bool { return r.Asked && r.Verdict.OK() }

// Tap arms the phone, holds it to a terminal that asks the issuer about everything, and asks the cloud. The terminal is online even when the
// phone is not.
func (p *Phone) Tap(ctx context.Context, r TapRequest) (TapResult, error) {
	result := TapResult{}
	var number pan.Number
	var err error
	if result.Token, number, result.ArmCode, err = p.Arm(r); err != nil || result.ArmCode != hce.ArmOK {
		return result, err
	}
	term, err := p.terminal()
	if err != nil {
		return TapResult{}, fmt.Errorf("tap: %w", err)
	}
	reader, leave := p.Field()
	defer leave()
	tapped, err := term.Tap(ctx, reader, terminal.Request{Amount: r.Amount, Other: money.New(0, r.Amount.Currency()), Now: p.o.Now(), Counter: 1})
	if err != nil {
		return TapResult{}, fmt.Errorf("tap: %w", err)
	}
	if result.Outcome = tapped.Outcome; tapped.Outcome.Kind != kernel.OnlineRequest {
		return result, nil
	}
	result.Asked, result.Verdict = true, p.cloud.Verify(number, tapped.Outcome.Data)
	result.Evidence = result.Verdict.Evidence
	return result, p.keep()
}

// Arm gets the token of the request ready for the next reader, and says with which number it will pay. Any code but hce.ArmOK says why it is not ready.
func (p *Phone) Arm(r TapRequest) (token string, number pan.Number, code int32, err error) {
	if token, err = p.known(r.Token); err != nil {
		return "", number, 0, fmt.Errorf("tap: %w", err)
	}
	if number, err = pan.Parse(p.list.Tokens[token]); err != nil {
		return "", number, 0, fmt.Errorf("tap: %w", err)
	}
	if r.Verification == Password {
		p.platform.SetPassword(r.Password)
	}
	return token, number, p.Engine.Arm(token, int32(r.Verification), 0), nil
}

// known is the token of a reference, or the default one for "".
func (p *Phone) known(ref string) (string, error) {
	var s Status
	if err := json.Unmarshal([]byte(p.Engine.StatusJSON()), &s); err != nil {
		return "", fmt.Errorf("read the phone's status: %w", err)
	}
	for _, t := range s.Tokens {
		if ref == "" && t.Default {
			ref = t.Ref
		}
	}
	if _, known := p.list.Tokens[ref]; !known {
		return "", ErrUnknownToken
	}
	return ref, nil
}

// cvmLimitMinor is the amount from which the terminal wants verification: 1000 yuan [REF 7.4].
const cvmLimitMinor = 100_000

func (p *Phone) terminal() (*terminal.Terminal, error) {
	yuan := func(minor int64) money.Amount { return money.New(minor, money.CNY) }
	const attended = 0x22
	return terminal.New(terminal.Config{
		Country: 156, Currency: money.CNY, TTQ: emv.TTQ{0x36, 0, 0, 0x80}, Random: p.o.Random,
		Combinations: []terminal.Combination{{AID: emv.UnionPayKernelPrefix, Kernel: emv.KernelUnionPay,
			Limits: terminal.Limits{Transaction: yuan(5_000_000), Floor: yuan(0), CVM: yuan(cvmLimitMinor)}}},
		Kernel: kernel.Config{Type: attended, Capabilities: emv.TerminalCapabilities{0xE0, 0xE1, 0xC8}, SerialNumber: "PHONE001", TerminalID: "PHONE001"},
	})
}

// Refresh fetches new keys for every token, needed or not.
func (p *Phone) Refresh() error {
	status, err := p.Status()
	if err != nil {
		return err
	}
	var failed []error
	for _, t := range status.Tokens {
		failed = append(failed, p.Engine.ReplenishToken(t.Ref))
	}
	return errors.Join(failed...)
}

// Lose says that the phone is lost: its tokens stop at the service at once. The phone need not be reached, and does not notice.
func (p *Phone) Lose() error {
	p.cloud.Suspend(p.device, soft.SuspendedLost)
	return p.keep()
}

// Find lets the tokens go on, with new keys: what was on the phone meanwhile is revoked.
func (p *Phone) Find() error {
	p.cloud.Suspend(p.device, "")
	return errors.Join(p.keep(), p.Refresh())
}

// Elapsed since the phone was switched on, for a reader of its own.
func (p *Phone) Elapsed() time.Duration { return time.Duration(p.elapsed()) }
