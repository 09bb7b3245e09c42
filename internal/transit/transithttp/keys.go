package transithttp

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/gate/denylist"
	"tapnet/internal/transit"
	"tapnet/pan"
)

// Keys is how far the keys of the deny list are.
type Keys struct {
	Epoch    uint32         `json:"epoch" doc:"of the key in force"`
	Next     uint32         `json:"next,omitempty" doc:"of a rotation under way"`
	Former   uint32         `json:"former,omitempty" doc:"still understood"`
	Since    string         `json:"since,omitempty" format:"date-time" doc:"when the key in force came into force by a rotation"`
	Forgets  string         `json:"forgets,omitempty" format:"date-time" doc:"when a day's close forgets the former key"`
	Looked   bool           `json:"looked" doc:"everything was looked at since the rotation began"`
	Moved    int            `json:"moved" doc:"cards and entries known under the newest key"`
	Left     int            `json:"left" doc:"whose data could not be opened; they are tried again every minute"`
	Cannot   int            `json:"cannot_be_moved" doc:"without data; a card's next tap names it"`
	Missing  int            `json:"missing_from_list" doc:"of these, listed under the former key and not under this one"`
	Devices  int            `json:"devices" doc:"heard of within a day"`
	Holding  map[string]int `json:"devices_by_key" doc:"by epoch of the keys that they hold"`
	Lists    map[string]int `json:"devices_by_list" doc:"by epoch of their list"`
	Without  []string       `json:"without_newest_key"`
	Behind   []string       `json:"on_former_list"`
	Awaiting bool           `json:"awaiting" doc:"a rotation waits for what is left, or for devices"`
}

// Entry is a card, token or account of somebody else's stop list. What it holds is checked by the office, so that no refusal repeats a number.
type Entry struct {
	Kind      string `json:"kind" enum:"credential,token,par" doc:"credential: number, sequence and expiry; token: number; par: reference"`
	Number    string `json:"number,omitempty" maxLength:"19"`
	Sequence  string `json:"sequence,omitempty" maxLength:"2"`
	Expiry    string `json:"expiry,omitempty" maxLength:"4" doc:"year and month, like 3012"`
	Reference string `json:"reference,omitempty" maxLength:"35"`
	Reason    string `json:"reason,omitempty" enum:"counterfeit,stolen,lost,closed,operator,debt" doc:"not needed to end an entry"`
	Until     string `json:"until,omitempty" maxLength:"10" doc:"the last day, like 2026-12-31; empty is without end"`
}

// maxEntriesBody bounds a page of entries.
const maxEntriesBody = int64(128 << 10)

type (
	keysOutput struct{ Body Keys }
	forceInput struct {
		Body struct {
			Force bool `json:"force,omitempty"`
		}
	}
	entriesInput struct {
		Body struct {
			Entries []Entry `json:"entries" maxItems:"400"`
		}
	}
	listedOutput   struct{ Body transit.Listed }
	unlistedOutput struct{ Body transit.Unlisted }
)

// denying registers what the operator does about the deny list as a whole.
func (s *server) denying(api huma.API) {
	huma.Register(api, operatorOperation("get-deny-keys", http.MethodGet, "/v1/deny/keys", "How far the keys of the deny list are."),
		func(ctx context.Context, _ *struct{}) (*keysOutput, error) { return s.keys(ctx, transit.ViewKeys{}) })
	huma.Register(api, operatorOperation("post-deny-keys-rotate", http.MethodPost, "/v1/deny/keys/rotate",
		"Begin a rotation to a new key; with force put the one under way in force now."),
		func(ctx context.Context, in *forceInput) (*keysOutput, error) {
			return s.keys(ctx, transit.Rotate{Force: in.Body.Force})
		})
	huma.Register(api, operatorOperation("post-deny-keys-retire", http.MethodPost, "/v1/deny/keys/retire", "Forget the former key."),
		func(ctx context.Context, in *forceInput) (*keysOutput, error) {
			return s.keys(ctx, transit.Retire{Force: in.Body.Force})
		})
	entries := func(name, method, summary string) huma.Operation {
		op := operatorOperation(name, method, "/v1/deny/entries", summary)
		op.MaxBodyBytes = maxEntriesBody
		op.Errors = append(op.Errors, http.StatusUnprocessableEntity)
		return op
	}
	huma.Register(api, entries("post-deny-entries", http.MethodPost, "Take entries of somebody else's stop list, of cards that need not have tapped."),
		func(ctx context.Context, in *entriesInput) (*listedOutput, error) {
			page, err := outsideOf(in.Body.Entries, true)
			if err != nil {
				return nil, err
			}
			done, err := ask[transit.Listed](ctx, s, transit.List{Entries: page})
			return &listedOutput{done}, err
		})
	huma.Register(api, entries("delete-deny-entries", http.MethodDelete, "End entries of somebody else's stop list."),
		func(ctx context.Context, in *entriesInput) (*unlistedOutput, error) {
			page, err := outsideOf(in.Body.Entries, false)
			if err != nil {
				return nil, err
			}
			done, err := ask[transit.Unlisted](ctx, s, transit.Unlist{Entries: page})
			return &unlistedOutput{done}, err
		})
}

func (s *server) keys(ctx context.Context, command any) (*keysOutput, error) {
	v, err := ask[transit.KeysView](ctx, s, command)
	if err != nil {
		return nil, err
	}
	k := Keys{
		Epoch: uint32(v.InForce), Next: uint32(v.Next), Former: uint32(v.Former), Since: instant(v.Since), Forgets: instant(v.Forgets), Looked: v.Looked,
		Moved: v.Moved, Left: v.Left, Cannot: v.Cannot, Missing: v.Missing, Devices: v.Devices, Holding: byEpoch(v.Holding), Lists: byEpoch(v.Lists),
		Without: append([]string{}, v.Without...), Behind: append([]string{}, v.Behind...), Awaiting: v.Next != 0,
	}
	return &keysOutput{k}, nil
}

func byEpoch(counts map[denylist.Epoch]int) map[string]int {
	out := map[string]int{}
	for e, n := range counts {
		out[strconv.FormatUint(uint64(e), 10)] = n
	}
	return out
}

var entryKinds = map[string]denylist.Kind{"credential": denylist.Credential, "token": denylist.Token, "par": denylist.PAR}

// entryReasons are those of an operator, and a debt.
func entryReason(name string) denylist.Reason {
	if name == "debt" {
		return denylist.Debt
	}
	return stops[name]
}

// outsideOf reads entries. What cannot be read is refused by its place, never repeated.
func outsideOf(entries []Entry, reasons bool) ([]transit.Outside, error) {
	page := make([]transit.Outside, len(entries))
	for i := range entries {
		e, o := &entries[i], &page[i]
		refuse := func(what string) ([]transit.Outside, error) {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("entry %d: %s", i+1, what))
		}
		*o = transit.Outside{Kind: entryKinds[e.Kind], Sequence: e.Sequence, Reference: e.Reference, Reason: entryReason(e.Reason)}
		if !reasons && o.Reason == 0 {
			o.Reason = denylist.Operator // of no matter
		}
		var err error
		if e.Number != "" {
			if o.Number, err = pan.Parse(e.Number); err != nil {
				return refuse("the number is no card number")
			}
		}
		if e.Expiry != "" {
			if o.Expiry, err = pan.ParseExpiry(e.Expiry); err != nil {
				return refuse("the expiry is not year and month, like 3012")
			}
		}
		if e.Until != "" {
			day, err := time.Parse(time.DateOnly, e.Until)
			if err != nil || denylist.DayOf(day) == 0 {
				return refuse("the last day does not look like 2026-12-31")
			}
			o.Until = denylist.DayOf(day)
		}
	}
	return page, nil
}
