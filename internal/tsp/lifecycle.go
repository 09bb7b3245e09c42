package tsp

import (
	"slices"
	"strings"

	"tapnet/glossary"
)

// State is where a token is in its life.
type State uint8

// The states. Deactivated is final: the number is never given out again.
const (
	Requested   State = iota + 1 // asked for, nothing decided yet
	Inactive                     // there is a number; its holder is not verified
	Active                       // pays
	Suspended                    // somebody has suspended it
	Deactivated                  // deleted
)

var stateNames = [...]string{Requested: "REQUESTED", Inactive: "INACTIVE", Active: "ACTIVE", Suspended: "SUSPENDED", Deactivated: "DEACTIVATED"}

var stateTerms = [...]glossary.Term{
	Requested: {EN: "requested", ZH: "已申请"}, Inactive: {EN: "not activated", ZH: "未激活"}, Active: {EN: "active", ZH: "已激活"},
	Suspended: {EN: "suspended", ZH: "已暂停"}, Deactivated: {EN: "deleted", ZH: "已删除"},
}

// String is the state's name on the interface.
func (s State) String() string {
	if s < Requested || s > Deactivated {
		return "UNKNOWN"
	}
	return stateNames[s]
}

// Term names the state in both languages.
func (s State) Term() glossary.Term {
	if s < Requested || s > Deactivated {
		return glossary.Term{EN: "unknown", ZH: "未知"}
	}
	return stateTerms[s]
}

// Suspenders is a set of those who have suspended a token. It pays only while the set is empty: one of them cannot lift what another has imposed.
type Suspenders uint8

// The suspenders.
const (
	ByIssuer Suspenders = 1 << iota
	ByRisk
	ByRequestor
	ByCardholder
	ByDeviceLost
	ByPasswordLocked
)

var suspenderNames = [...]string{"ISSUER", "TSP_RISK", "REQUESTOR", "CARDHOLDER", "DEVICE_LOST", "PASSWORD_LOCKED"}

// Names lists the suspenders in a fixed order.
func (s Suspenders) Names() []string {
	var names []string
	for i, name := range suspenderNames {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// String joins the names.
func (s Suspenders) String() string { return strings.Join(s.Names(), " ") }

// suspenderOf finds one suspender by name, 0 when there is none.
func suspenderOf(name string) Suspenders {
	if i := slices.Index(suspenderNames[:], name); i >= 0 {
		return 1 << i
	}
	return 0
}

// Event is what happens to a token.
type Event uint8

// The events.
const (
	EventDecideGreen  Event = iota + 1 // provisioning decided: no further verification
	EventDecideYellow                  // provisioning decided: the holder is to be verified
	EventActivate                      // the holder is verified
	EventSuspend                       // a suspender joins the set
	EventResume                        // a suspender leaves the set, others stay
	EventResumeLast                    // the last one leaves
	EventDelete                        // by anybody who may
	EventRelink                        // the card was replaced
	EventFound                         // the lost device is back, and the holder is verified

	eventEnd = EventFound
)

var eventNames = [...]string{
	EventDecideGreen: "decided green", EventDecideYellow: "decided yellow", EventActivate: "activated", EventSuspend: "suspended", EventResume: "resumed",
	EventResumeLast: "resumed, the last", EventDelete: "deleted", EventRelink: "re-linked",
	EventFound: "found, the holder verified",
}

// String is a short fixed name.
func (e Event) String() string {
	if e < EventDecideGreen || e > eventEnd {
		return "unknown"
	}
	return eventNames[e]
}

var eventTerms = [...]glossary.Term{
	EventDecideGreen: {EN: "given out", ZH: "已发放"}, EventDecideYellow: {EN: "given out, its holder is to be verified", ZH: "已发放，待验证持卡人"},
	EventActivate: {EN: "activated", ZH: "已激活"}, EventSuspend: {EN: "suspended", ZH: "已暂停"}, EventResume: {EN: "resumed", ZH: "已恢复"},
	EventResumeLast: {EN: "resumed", ZH: "已恢复"}, EventDelete: {EN: "deleted", ZH: "已删除"}, EventRelink: {EN: "re-linked to another card", ZH: "已换卡"},
	EventFound: {EN: "resumed on a device that was found, its holder verified", ZH: "设备已找回，持卡人已验证，令牌已恢复"},
}

// Term names the event in both languages.
func (e Event) Term() glossary.Term {
	if e < EventDecideGreen || e > eventEnd {
		return glossary.Term{EN: "changed", ZH: "已变更"}
	}
	return eventTerms[e]
}

// transition is a line of the life cycle.
type transition struct {
	from  State
	event Event
	to    State
}

// transitions is the life cycle; what is not in it is refused. A token that is not active yet can be suspended too: the set grows and the state stays, so that
// activating it leads to Suspended (activate).
var transitions = [...]transition{
	{Requested, EventDecideGreen, Active},
	{Requested, EventDecideYellow, Inactive},
	{Inactive, EventActivate, Active},
	{Inactive, EventSuspend, Inactive},
	{Inactive, EventResume, Inactive},
	{Inactive, EventResumeLast, Inactive},
	{Inactive, EventRelink, Inactive},
	{Inactive, EventFound, Active},
	{Inactive, EventDelete, Deactivated},
	{Active, EventSuspend, Suspended},
	{Active, EventRelink, Active},
	{Active, EventDelete, Deactivated},
	{Suspended, EventActivate, Suspended},
	{Suspended, EventSuspend, Suspended},
	{Suspended, EventResume, Suspended},
	{Suspended, EventResumeLast, Active},
	{Suspended, EventFound, Active},
	{Suspended, EventRelink, Suspended},
	{Suspended, EventDelete, Deactivated},
}

// next is the state after an event, false when the event is not allowed.
func (s State) next(e Event) (State, bool) {
	for _, t := range transitions {
		if t.from == s && t.event == e {
			return t.to, true
		}
	}
	return s, false
}

// Transition is a line of the life cycle, for documents.
type Transition struct {
	From  State
	Event Event
	To    State
}

// Transitions lists the life cycle, for documents.
func Transitions() []Transition {
	all := make([]Transition, len(transitions))
	for i, t := range transitions {
		all[i] = Transition{t.from, t.event, t.to}
	}
	return all
}

// SuspenderNames lists who may suspend a token.
func SuspenderNames() []string { return slices.Clone(suspenderNames[:]) }

// MarshalText is the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalText is the event's name.
func (e Event) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// move applies an event with its change of the set and reports whether it is allowed.
func (t *Token) move(e Event, who Suspenders) bool {
	suspenders := t.Suspenders
	switch e {
	case EventSuspend:
		suspenders |= who
	case EventResume:
		if suspenders&who == 0 {
			return false
		}
		if suspenders &^= who; suspenders == 0 {
			e = EventResumeLast
		}
	case EventFound:
		suspenders &^= ByDeviceLost
	case EventDelete:
		suspenders = 0
	}
	to, ok := t.State.next(e)
	if !ok {
		return false
	}
	if to == Active && suspenders != 0 { // suspended before it was activated, or by others too
		to = Suspended
	}
	t.State, t.Suspenders = to, suspenders
	return true
}
