package app

import (
	"context"
	"encoding/hex"
	"errors"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/issuer"
)

// SwitchRequest asks for a function of a card to go off or on.
type SwitchRequest struct {
	Card string `json:"card"`
	// What is SwitchContactless, SwitchNoPIN, or the identifier of an application in hexadecimal.
	What string `json:"what"`
	On   bool   `json:"on"`
}

// The functions that every card has.
const (
	SwitchContactless = "contactless" // on the chip: no application answers in the field
	SwitchNoPIN       = "no-pin"      // at the bank: small payments need the PIN too
)

// SwitchResult says whether it was done. Why is the reason when it was not.
type SwitchResult struct {
	Card string        `json:"card"`
	What string        `json:"what"`
	On   bool          `json:"on"`
	Done bool          `json:"done"`
	Name glossary.Term `json:"name"` // of the function, or the label of the application
	Why  glossary.Term `json:"why"`
}

var (
	switchContactless = glossary.Term{EN: "contactless payment", ZH: "非接触支付"}
	switchNoPIN       = glossary.Term{EN: "small payments without PIN", ZH: "小额免密"}

	whyNoApplication = glossary.Term{EN: "the card has no such application; tapnet card read lists them", ZH: "卡片没有该应用；可用tapnet card read查看"}
	whyNotOptional   = glossary.Term{EN: "this application cannot be switched off: the card is made for it", ZH: "该应用为卡片主应用，不可停用"}
	whyStanding      = glossary.Term{EN: "the card's standing does not allow it", ZH: "卡片当前状态不允许"}
)

// SwitchCard implements BankWorld. The rest of the card stays as it is.
func (n *Network) SwitchCard(ctx context.Context, r SwitchRequest) (SwitchResult, error) {
	node, h, err := n.bankOf(r.Card)
	if err != nil {
		return SwitchResult{}, err
	}
	result := SwitchResult{Card: r.Card, What: r.What, On: r.On}
	switch r.What {
	case SwitchNoPIN:
		result.Name = switchNoPIN
		_, err = node.ask(ctx, issuer.Alter{Change: issuer.Change{Card: h.personal.Record.Card, NoPIN: &r.On}})
		if errors.Is(err, issuer.ErrChange) {
			result.Why = whyStanding
			return result, nil
		}
	case SwitchContactless:
		result.Name = switchContactless
		h.mu.Lock()
		err = h.chip.SetContactless(r.On)
		h.mu.Unlock()
	default:
		err = h.switchApplication(&result)
	}
	result.Done = err == nil && result.Why == glossary.Term{}
	return result, err
}

// switchApplication switches one application on both interfaces. The card's own payment application stays: a card without it is closed at the bank.
func (h *holder) switchApplication(r *SwitchResult) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	name, _ := hex.DecodeString(r.What) // what is no identifier no card has
	aid, err := emv.ParseAID(name)
	for i := range h.personal.Image.Applications {
		a := &h.personal.Image.Applications[i]
		if err != nil || a.AID != aid {
			continue
		}
		r.Name = glossary.Term{EN: a.Label, ZH: a.Label}
		if !r.On && !h.personal.Product.Applications[i].Optional {
			r.Why = whyNotOptional
			return nil
		}
		return h.chip.SetApplication(aid, r.On)
	}
	r.Why = whyNoApplication
	return nil
}
