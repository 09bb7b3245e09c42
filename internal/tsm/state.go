package tsm

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/scp03"
)

// session is one session as rows keep it. Nothing in it is secret.
type session struct {
	ID, Key, SEID, Token string
	Kind                 tsmapi.Kind
	AID                  []byte
	Number               int // of the commands that are out
	Host                 scp03.Challenge
	Card                 scp03.Challenge // valid once the channel is open
	Level                scp03.Level
	Script               [32]byte
	Sent                 int       // commands of the script that are out or answered
	Out                  []waiting // what was sent under the channel and is not answered; empty: the greeting is out
	Asked                [32]byte  // digest of the answers that led here
	Ended                bool
	Reason               tsmapi.Reason // why it failed; 0: it did not
	Word                 apdu.SW       // the element's last word, of a session that failed
}

// waiting is a command that is out: the channel's state after it. The place in the script is -1 for EXTERNAL AUTHENTICATE.
type waiting struct {
	State scp03.State
	Place int
}

// channel is what the HSM needs of a session.
func (s *session) channel(master string) hsm.ElementChannel {
	c := hsm.ElementChannel{Keys: hsm.ElementKeys{Master: master}, Host: s.Host, Card: s.Card}
	if b, err := hex.DecodeString(s.SEID); err == nil {
		copy(c.Keys.Element[:], b)
	}
	return c
}

// known is an element as the service knows it. It is replaced, never changed: Prepare reads it while the writer goes on.
type known struct {
	element      tsmapi.Element
	applications []tsmapi.Application
	session      *session // the latest
	reply        tsmapi.Progress
	version      uint64 // number of the row that led here
}

func (k *known) find(token string) int {
	return slices.IndexFunc(k.applications, func(a tsmapi.Application) bool { return a.Token == token })
}

// nextAID is a name that no application of the element has.
func (k *known) nextAID(w *Wallet) (emv.AID, bool) {
	for n := range maxApplications {
		aid, err := w.aid(n)
		if err == nil && !slices.ContainsFunc(k.applications, func(a tsmapi.Application) bool { return a.AID == aid.String() }) {
			return aid, true
		}
	}
	return "", false
}

// state is everything the journal knows.
type state struct {
	mu       sync.RWMutex
	elements map[string]*known
	sessions map[string]string // latest session of an element to its SEID
	tokens   map[string]string // token to the SEID of its element; it stays when the token is deleted: a token has one life on one element
	uses     map[string]*uses  // by token; the writer's alone
}

// MaxElements bounds the service's memory: about a kilobyte for each.
const MaxElements = 1 << 20

// maxApplications is what an element has room for.
const maxApplications = 4

func newState() *state {
	return &state{elements: make(map[string]*known), sessions: make(map[string]string), tokens: make(map[string]string), uses: make(map[string]*uses)}
}

func (s *state) look(seid string) *known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.elements[seid]
}

func (s *state) session(id string) *known {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.elements[s.sessions[id]]
}

func (s *state) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.elements)
}

// taken reports whether a token is, or was, on an element, and which.
func (s *state) taken(token string) (seid string, taken bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	seid, taken = s.tokens[token]
	return seid, taken
}

// application is the state of a token's application, "" when there is none.
func (s *state) application(token string) tsmapi.State {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if k := s.elements[s.tokens[token]]; k != nil {
		if at := k.find(token); at >= 0 {
			return k.applications[at].State
		}
	}
	return ""
}

// used are the counters of a token; nil when none is used.
func (s *state) used(token string) *uses { return s.uses[token] }

// note is what a row keeps: an element, a session, or a counter that is used.
type note struct {
	Element *tsmapi.Element `json:",omitempty"`
	Session *session        `json:",omitempty"`
	Use     *use            `json:",omitempty"`
}

func noteOf(n note) []byte {
	b, err := json.Marshal(n)
	if err != nil {
		panic("tsm: a note that is no JSON: " + err.Error())
	}
	return b
}

// apply brings the state to where a row leaves it, decided now or replayed.
func (s *state) apply(r *journal.Row) error {
	if r.Kind == journal.Declined {
		return nil // a refused payment uses no counter
	}
	var n note
	if err := json.Unmarshal(r.Note, &n); err != nil {
		return fmt.Errorf("tsm: row %d: %w", r.Seq, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Element != nil {
		s.elements[n.Element.SEID] = &known{element: *n.Element, version: r.Seq}
		return nil
	}
	if n.Use != nil {
		u := s.uses[n.Use.Token]
		if u == nil {
			u = &uses{by: make(map[uint16]paymentHash)}
			s.uses[n.Use.Token] = u
		}
		u.add(n.Use.ATC, n.Use.Hash)
		return nil
	}
	if n.Session == nil || s.elements[n.Session.SEID] == nil {
		return fmt.Errorf("tsm: row %d: no such element", r.Seq)
	}
	was := s.elements[n.Session.SEID]
	next := &known{element: was.element, applications: slices.Clone(was.applications), session: n.Session, version: r.Seq}
	if err := json.Unmarshal(r.Answer, &next.reply); err != nil {
		return fmt.Errorf("tsm: row %d: %w", r.Seq, err)
	}
	if was.session != nil {
		delete(s.sessions, was.session.ID)
	}
	s.sessions[n.Session.ID] = n.Session.SEID
	if n.Session.Kind == tsmapi.Personalize {
		s.tokens[n.Session.Token] = n.Session.SEID
	}
	next.settle()
	s.elements[n.Session.SEID] = next
	return nil
}

// settle brings the applications to where the session leaves them.
func (k *known) settle() {
	se := k.session
	at := k.find(se.Token)
	if se.Kind == tsmapi.Personalize && at < 0 {
		at = len(k.applications)
		k.applications = append(k.applications, tsmapi.Application{Token: se.Token, AID: emv.AID(se.AID).String(), State: tsmapi.Loading})
	}
	if at < 0 || !se.Ended || se.Reason != 0 {
		return
	}
	switch se.Kind {
	case tsmapi.Personalize, tsmapi.Unlock:
		k.applications[at].State = tsmapi.Active
	case tsmapi.Lock:
		k.applications[at].State = tsmapi.Locked
	case tsmapi.Delete:
		k.applications = slices.Delete(k.applications, at, at+1)
	}
}

// fits reports whether an application's state allows a session.
func fits(kind tsmapi.Kind, state tsmapi.State) bool {
	switch kind {
	case tsmapi.Personalize:
		return state == "" || state == tsmapi.Loading
	case tsmapi.Default, tsmapi.Lock:
		return state == tsmapi.Active
	case tsmapi.Unlock:
		return state == tsmapi.Locked
	case tsmapi.Delete:
		return state != ""
	}
	return false
}
