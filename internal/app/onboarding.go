package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"tapnet/glossary"
	"tapnet/internal/acquirer"
)

// MerchantWorld is what the acquirer's staff decide about merchants [row C3]. Only terminals of approved merchants sign on and pay.
type MerchantWorld interface {
	// Merchants lists the merchants and how they stand.
	Merchants(ctx context.Context) ([]MerchantStanding, error)
	// SetMerchant approves, suspends or ends a merchant. A refusal is in the result.
	SetMerchant(ctx context.Context, r MerchantRequest) (MerchantResult, error)
}

// MerchantStanding is a merchant and how it stands with its bank.
type MerchantStanding struct {
	Name     string        `json:"name"`
	Label    string        `json:"label"`
	Category string        `json:"category"`
	Terminal string        `json:"terminal"`
	Currency string        `json:"currency"`
	Standing glossary.Term `json:"standing"`
}

// MerchantRequest changes how a merchant stands: approved, suspended or ended.
type MerchantRequest struct {
	Merchant string `json:"merchant"`
	Standing string `json:"standing"`
}

// MerchantResult says what became of it.
type MerchantResult struct {
	Merchant string        `json:"merchant"`
	Done     bool          `json:"done"`
	Standing glossary.Term `json:"standing"` // afterwards
	Why      glossary.Term `json:"why"`
}

// merchantStandings are the standings that somebody can ask for.
var merchantStandings = map[string]acquirer.Standing{
	"approved": acquirer.MerchantApproved, "suspended": acquirer.MerchantSuspended, "ended": acquirer.MerchantEnded,
}

// Merchants implements MerchantWorld.
func (n *Network) Merchants(ctx context.Context) ([]MerchantStanding, error) {
	if n.acquirer == nil {
		return nil, ErrNoAcquirer
	}
	var list []MerchantStanding
	err := n.acquirer.look(ctx, func() {
		for _, m := range n.options.Profile.Merchants {
			standing, _ := n.acquirer.core.Standing(m.ID)
			info := MerchantStanding{Name: m.Name, Label: m.Label, Category: m.Category, Terminal: m.Terminal, Standing: standing.Term()}
			if currency, err := n.options.Profile.MoneyOf(m); err == nil {
				info.Currency = currency.Code()
			}
			list = append(list, info)
		}
	})
	return list, err
}

// SetMerchant implements MerchantWorld. Terminals that are signed on and may not be any more are refused from their next payment on.
func (n *Network) SetMerchant(ctx context.Context, r MerchantRequest) (MerchantResult, error) {
	if n.acquirer == nil {
		return MerchantResult{}, ErrNoAcquirer
	}
	m, ok := n.options.Profile.Merchant(r.Merchant)
	if !ok {
		return MerchantResult{}, fmt.Errorf("%w: %q", ErrUnknownMerchant, shown(r.Merchant))
	}
	standing, ok := merchantStandings[r.Standing]
	if !ok {
		return MerchantResult{}, fmt.Errorf("%w: standing: there is no %q", errBadRequest, shown(r.Standing))
	}
	result := MerchantResult{Merchant: r.Merchant}
	_, err := n.acquirer.ask(ctx, acquirer.SetMerchant{Merchant: m.ID, Standing: standing})
	if result.Done = err == nil; errors.Is(err, acquirer.ErrMerchant) {
		result.Why = glossary.Term{EN: "as it stands now that is not possible", ZH: "商户当前状态不允许"}
	} else if err != nil {
		return MerchantResult{}, err
	}
	err = n.acquirer.look(ctx, func() {
		now, _ := n.acquirer.core.Standing(m.ID)
		result.Standing = now.Term()
	})
	return result, err
}

var (
	whyNotSignedOn  = glossary.Term{EN: "the terminal has not signed on: the acquirer has not approved the merchant", ZH: "终端未签到：收单机构尚未审核通过该商户"}
	nextNotSignedOn = glossary.Term{EN: "tapnet merchant list; the terminal signs on within half a minute of the approval", ZH: "tapnet merchant list；审核通过后半分钟内终端自动签到"}
)

// unsigned reports whether a till has never had keys, because its merchant is not approved.
func (n *Network) unsigned(till *tillNode) bool {
	if till.dialer == nil || n.acquirer == nil || n.acquirer.core.Admits(till.merchant.Terminal) {
		return false
	}
	select {
	case <-till.dialer.up:
		return false
	default:
		return true
	}
}

// merchantHandler adds the acquirer's desk to the control socket.
func (n *Network) merchantHandler(others http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", others)
	mux.HandleFunc("GET /v1/merchants", func(w http.ResponseWriter, r *http.Request) {
		list, err := n.Merchants(r.Context())
		answer(w, list, err)
	})
	mux.HandleFunc("POST /v1/merchants", func(w http.ResponseWriter, r *http.Request) {
		request, err := readRequest[MerchantRequest](w, r)
		if err != nil {
			answer(w, nil, err)
			return
		}
		result, err := n.SetMerchant(r.Context(), request)
		answer(w, result, err)
	})
	return mux
}

// Merchants asks the running network.
func (c *Client) Merchants(ctx context.Context) ([]MerchantStanding, error) {
	return get[[]MerchantStanding](ctx, c, "/v1/merchants")
}

// SetMerchant asks the running network.
func (c *Client) SetMerchant(ctx context.Context, r MerchantRequest) (MerchantResult, error) {
	return ask[MerchantResult](ctx, c, "/v1/merchants", r)
}
