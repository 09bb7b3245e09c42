package element

import (
	"fmt"
	"slices"

	"tapnet/glossary"
)

// Life is a state in the life of the element, coded as GET STATUS gives it.
type Life byte

// The element's life.
const (
	Ready       Life = 0x01 // OP_READY
	Initialized Life = 0x07
	Secured     Life = 0x0F
	Locked      Life = 0x7F // only the domain answers
	Terminated  Life = 0xFF
)

// ApplicationLife is a state in the life of an application. The highest bit is set while it is locked.
type ApplicationLife byte

// An application's life. INSTALLED does not occur: applications are made selectable when they are installed.
const (
	Selectable   ApplicationLife = 0x07
	Personalized ApplicationLife = 0x0F
	lockBit      ApplicationLife = 0x80
)

type term = glossary.Term

var lives = map[Life]glossary.Term{
	Ready: {EN: "ready", ZH: "就绪"}, Initialized: {EN: "initialized", ZH: "已初始化"}, Secured: {EN: "secured", ZH: "安全运行"},
	Locked: {EN: "locked", ZH: "已锁定"}, Terminated: {EN: "terminated", ZH: "已终止"},
}

var applicationLives = map[ApplicationLife]glossary.Term{
	Selectable: {EN: "installed, without data", ZH: "已安装，未个人化"}, Personalized: {EN: "personalized", ZH: "已个人化"},
	Selectable | lockBit: {EN: "locked, without data", ZH: "已锁定，未个人化"}, Personalized | lockBit: {EN: "locked", ZH: "已锁定"},
}

// Term names the state in both languages.
func (l Life) Term() glossary.Term {
	if t, ok := lives[l]; ok {
		return t
	}
	return term{EN: fmt.Sprintf("state %02X", byte(l)), ZH: fmt.Sprintf("状态%02X", byte(l))}
}

// Term names the state in both languages.
func (l ApplicationLife) Term() glossary.Term {
	if t, ok := applicationLives[l]; ok {
		return t
	}
	return term{EN: fmt.Sprintf("state %02X", byte(l)), ZH: fmt.Sprintf("状态%02X", byte(l))}
}

// IsLocked reports whether the application does not answer.
func (l ApplicationLife) IsLocked() bool { return l&lockBit != 0 }

// steps are the element's legal transitions. What is not here is refused.
var steps = map[Life][]Life{
	Ready:       {Initialized, Terminated},
	Initialized: {Secured, Terminated},
	Secured:     {Locked, Terminated},
	Locked:      {Secured, Terminated},
	Terminated:  nil,
}

// applicationSteps are an application's: personalization alone leads from the first state to the second.
var applicationSteps = map[ApplicationLife][]ApplicationLife{
	Selectable:             {Personalized, Selectable | lockBit},
	Personalized:           {Personalized | lockBit},
	Selectable | lockBit:   {Selectable},
	Personalized | lockBit: {Personalized},
}

// Legal reports whether the element can go from one state to another.
func (l Life) Legal(to Life) bool { return slices.Contains(steps[l], to) }

// Legal reports whether an application can go from one state to another.
func (l ApplicationLife) Legal(to ApplicationLife) bool {
	return slices.Contains(applicationSteps[l], to)
}
