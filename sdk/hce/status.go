package hce

import "encoding/json"

// status is what StatusJSON tells. Nothing in it is secret; a number appears as its last four digits.
type engineStatus struct {
	Device   string        `json:"device"`
	Tokens   []tokenStatus `json:"tokens"`
	Damaged  []string      `json:"damaged,omitempty"`
	Picked   string        `json:"picked,omitempty"`
	Armed    string        `json:"armed,omitempty"`
	WantsCVM bool          `json:"wants_cvm"` // the last reader wanted a verification that was not there: arm again with one
	Refused  bool          `json:"refused"`   // a reader has sent too much that is wrong
}

type tokenStatus struct {
	Ref          string `json:"ref"`
	Label        string `json:"label"`
	LastFour     string `json:"last_four"`
	Default      bool   `json:"default"`
	State        string `json:"state"` // ready, needs_network (cannot pay before Replenish)
	Scheme       string `json:"scheme"`
	Batch        uint32 `json:"batch"`
	KeysCVM      int    `json:"keys_cvm"`      // taps left with verification
	KeysOpen     int    `json:"keys_open"`     // taps left without
	NotAfter     string `json:"not_after"`     // of the last key, RFC 3339
	NeedsNetwork bool   `json:"needs_network"` // Replenish soon
	Why          string `json:"why,omitempty"` // first, keys, taps, amount, age, unconfirmed, unanswered
	Taps         int    `json:"taps"`          // since the last contact
	Counter      int    `json:"counter"`       // the last one given up since then; 0: none
}

// StatusJSON tells what an application shows: tokens, keys left, and whether the network is needed.
func (e *Engine) StatusJSON() (status string) {
	defer func() {
		if recover() != nil {
			status = "{}"
		}
	}()
	now := e.platform.NowMs()
	e.store.Lock()
	s := engineStatus{Device: e.config.Device, Tokens: []tokenStatus{}, Damaged: e.damaged, Picked: e.picked}
	for _, t := range e.tokens {
		s.Tokens = append(s.Tokens, e.tokenStatus(t, now))
	}
	e.store.Unlock()
	e.mu.Lock()
	if e.tap.phase != phaseSilent && e.tap.phase != phaseAnswered {
		s.Armed = e.tap.armed.token
	}
	s.WantsCVM, s.Refused = e.tap.wantsCVM, e.tap.refusals >= maxRefusals
	e.mu.Unlock()
	b, err := json.Marshal(s)
	if err != nil {
		return "{}"
	}
	return string(b)
}

func (e *Engine) tokenStatus(t *token, nowMs int64) tokenStatus {
	why, blocked := t.why(nowMs)
	cvm, open := t.count(nowMs)
	s := tokenStatus{
		Ref: t.profile.Token, Label: t.profile.Label, LastFour: t.profile.Track2.PAN().Last4(), Default: t.profile.Token == e.standard,
		State: "ready", Scheme: t.scheme.Name(), Batch: t.BSEQ, KeysCVM: cvm, KeysOpen: open, NotAfter: instant(t.Expires),
		NeedsNetwork: why != "", Why: why, Taps: t.Taps,
	}
	if blocked {
		s.State = "needs_network"
	}
	if n := len(t.Used); n > 0 {
		s.Counter = int(t.Used[n-1].ATC)
	}
	return s
}
