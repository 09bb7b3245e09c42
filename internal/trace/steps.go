package trace

import (
	"fmt"
	"strings"
	"time"

	"tapnet/explain"
	"tapnet/glossary"
	"tapnet/internal/journal"
	"tapnet/internal/ledger"
	"tapnet/money"
)

// step is one record as the timeline shows it. A command and its answer share a number.
type step struct {
	record Record
	number int
	lost   bool // sent, and the role it was sent to did not get it
}

type line struct {
	kind, middle, text string
	elapsed            time.Duration
}

// stepsOf numbers the records. A message is shown once: its arrival where its sending is known as well says nothing new.
func stepsOf(records []Record) []step {
	sent := make(map[string]int)
	roles := make(map[string]bool)
	for _, r := range records {
		roles[r.Role] = true
	}
	arrived := make(map[string]int)
	for _, r := range records {
		if r.Kind == MessageIn {
			arrived[messageKey(r)]++
		}
	}
	var steps []step
	number := 0
	for _, r := range records {
		key := messageKey(r)
		switch {
		case r.Kind == MessageIn && sent[key] > 0:
			sent[key]--
			continue
		case r.Kind == MessageOut:
			sent[key]++
		}
		s := step{record: r}
		if r.Kind == MessageOut {
			arrived[key]--
			s.lost = arrived[key] < 0 && roles[r.Peer]
		}
		if r.Kind != Response {
			number++
			s.number = number
		}
		steps = append(steps, s)
	}
	return steps
}

// messageKey tells messages apart by their bytes.
func messageKey(r Record) string {
	if r.Node == nil || !r.Kind.isMessage() {
		return ""
	}
	return r.Dialect.String() + r.Node.Masked()
}

// lines are what the timeline says about a step.
func (s step) lines(l glossary.Lang, reveal bool) []line {
	r := s.record
	first := line{kind: r.Kind.Term().In(l), elapsed: r.Elapsed, text: titleOf(r).In(l), middle: r.Role}
	var more []line
	switch {
	case r.Kind.isAPDU():
		first.middle = shortHex(r)
		first.text = joinText(first.text, apduText(r, l))
		if r.Kind == Command {
			more = inputLines(r, l)
		}
	case r.Kind.isMessage():
		first.kind = messageType(r)
		first.middle = route(r)
		first.text = joinText(messageText(r, l, reveal), first.text)
		if s.lost {
			first.text = joinText(first.text, term("did not arrive", "未送达").In(l))
		}
	case r.Row != nil:
		// A role that names amount and accounts in its details has said it better.
		if moved := rowText(r.Row, l); moved != "" && r.Kind == Posting && len(r.Detail) == 0 {
			first.text = joinText(first.text, moved)
		}
	}
	if r.Problem.EN != "" {
		first.text = joinText(first.text, r.Problem.In(l))
	}
	lines := append([]line{first}, more...)
	for _, d := range r.Detail {
		lines = append(lines, line{text: joinName(d.Name.In(l), d.Value, l)})
	}
	return lines
}

func joinText(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, " · ")
}

func joinName(name, value string, l glossary.Lang) string {
	if name == "" || value == "" {
		return name + value
	}
	return name + term(": ", "：").In(l) + value
}

const (
	shortCommand  = 10 // hexadecimal characters of a command's head
	shortData     = 9
	shortResponse = 14
)

// shortHex is the beginning of an APDU, and the status word of an answer.
func shortHex(r Record) string {
	if r.Node == nil {
		return ""
	}
	hex := r.Node.Masked()
	if r.Kind == Command {
		if len(hex) <= shortCommand {
			return hex
		}
		return hex[:shortCommand] + " " + cutHex(hex[shortCommand:], shortData)
	}
	if len(hex) <= 4 {
		return hex
	}
	return cutHex(hex[:len(hex)-4], shortResponse) + " " + hex[len(hex)-4:]
}

func cutHex(hex string, n int) string {
	if len(hex) <= n {
		return hex
	}
	return hex[:n] + "…"
}

func apduText(r Record, l glossary.Lang) string {
	if r.Node == nil {
		return ""
	}
	if r.Kind == Command {
		return commandText(*r.Node, l)
	}
	return responseText(*r.Node, l)
}

// valueOf is the decoded value of the first node with the key, or else its meaning.
func valueOf(n explain.Node, key string, l glossary.Lang) string {
	found, _ := n.Find(key)
	if found.Value != "" {
		return found.Value
	}
	return found.Meaning.In(l)
}

// meaning is the decoded value or the meaning of the first node with the key.
func meaning(n explain.Node, key string, l glossary.Lang) string {
	found, ok := n.Find(key)
	if !ok {
		return ""
	}
	return joinText(found.Value, found.Meaning.In(l))
}

func commandText(n explain.Node, l glossary.Lang) string {
	name := n.Meaning.In(l)
	ins, _ := n.Find("INS")
	switch ins.Hex {
	case "A4":
		return strings.TrimSpace(name + " " + valueOf(n, "84", l))
	case "B2", "CA", "DA", "DC", "AE", "24", "20":
		return joinText(name, meaning(n, "P1", l), meaning(n, "P2", l))
	}
	return name
}

// inputLines are the two things every command with terminal data says: what the terminal can do, and how much is to be paid.
func inputLines(r Record, l glossary.Lang) []line {
	if r.Node == nil {
		return nil
	}
	var lines []line
	for _, key := range []string{"9F66", "9F02"} {
		if n, ok := r.Node.Find(key); ok {
			name := map[string]string{"9F66": "9F66 TTQ ", "9F02": "9F02 "}[key]
			lines = append(lines, line{middle: name + n.Hex, text: joinText(n.Value, n.Meaning.In(l))})
		}
	}
	return lines
}

const shownCryptogram = 8

func responseText(n explain.Node, l glossary.Lang) string {
	sw, _ := n.Find("SW")
	if sw.Hex != "9000" {
		return sw.Meaning.In(l)
	}
	if ac, ok := n.Find("9F26"); ok {
		kind := ""
		for _, key := range []string{"9F10", "9F27"} {
			if found, ok := n.Find(key); ok && found.Value != "" {
				kind = found.Value
			}
		}
		return joinText(strings.TrimSpace(kind+" "+cutHex(valueHex(ac), shownCryptogram)), keyed(n, "ATC", "9F36"), keyed(n, "CTQ", "9F6C"),
			wishes(n, l))
	}
	if n.Length == 2 {
		return term("done", "完成").In(l)
	}
	if _, ok := n.Find("6F"); ok {
		return selectText(n, l)
	}
	var keys []string
	for leaf := range n.Leaves() {
		if leaf.Key != "header" && leaf.Key != "SW" && len(leaf.Key) <= 4 && leaf.Header > 0 {
			keys = append(keys, leaf.Key)
		}
	}
	return strings.Join(keys, " ")
}

// wishes is what the card wants of the terminal, empty when it wants nothing.
func wishes(n explain.Node, l glossary.Lang) string {
	ctq, ok := n.Find("9F6C")
	if !ok || strings.Trim(valueHex(ctq), "0") == "" {
		return ""
	}
	return ctq.Meaning.In(l)
}

// valueHex is a node's hexadecimal without tag and length.
func valueHex(n explain.Node) string { return n.Hex[min(2*n.Header, len(n.Hex)):] }

func keyed(n explain.Node, name, key string) string {
	if found, ok := n.Find(key); ok {
		return name + " " + valueHex(found)
	}
	return ""
}

// selectText sums up an answer to SELECT: the applications of a directory, or what an application asks for.
func selectText(n explain.Node, l glossary.Lang) string {
	var names []string
	for node := range n.All() {
		if node.Key == "4F" {
			names = append(names, joinText(valueHex(node), node.Meaning.In(l)))
		}
	}
	if len(names) > 0 {
		return strings.Join(names, ", ")
	}
	label, _ := n.Find("50")
	asks := ""
	if pdol, ok := n.Find("9F38"); ok {
		count := 0
		for _, child := range pdol.Children {
			if child.Key != "header" {
				count++
			}
		}
		asks = fmt.Sprintf(term("asks for %d values", "要求 %d 项数据").In(l), count)
	}
	return joinText(label.Value, asks)
}

func messageType(r Record) string {
	if r.Node != nil {
		if mti, ok := r.Node.Find("MTI"); ok {
			return mti.Value
		}
	}
	return "????"
}

func route(r Record) string {
	from, to := r.Role, r.Peer
	if r.Kind == MessageIn {
		from, to = to, from
	}
	return from + " → " + to
}

// messageText names the fields that tell what a message is about.
func messageText(r Record, l glossary.Lang, reveal bool) string {
	if r.Node == nil {
		return ""
	}
	n := *r.Node
	var parts []string
	for _, key := range []string{"F39", "F4", "F22", "F70", "F37", "F38"} {
		found, ok := n.Find(key)
		if !ok {
			continue
		}
		_, value := found.Shown(reveal)
		switch key {
		case "F39":
			value += " " + found.Meaning.In(l)
		case "F22":
			value = digitsOf(found)
		case "F70":
			value += " " + found.Meaning.In(l)
		}
		parts = append(parts, key+" "+value)
	}
	if code, ok := n.Find("60.3"); ok && code.Meaning.EN != "" {
		parts = append(parts, code.Meaning.In(l))
	}
	if icc, ok := n.Find("F55"); ok {
		count := 0
		for _, child := range icc.Children {
			if child.Key != "header" && child.Key != "00" {
				count++
			}
		}
		parts = append(parts, fmt.Sprintf(term("F55 %d tags", "F55 %d 个标签").In(l), count))
		if arpc, ok := n.Find("ARPC"); ok {
			parts = append(parts, "ARPC "+cutHex(arpc.Hex, shownCryptogram))
		}
	}
	for _, key := range []string{"F52", "F64", "F128"} {
		if _, ok := n.Find(key); ok {
			parts = append(parts, key+map[string]string{"F52": " PIN", "F64": " MAC", "F128": " MAC"}[key])
		}
	}
	return strings.Join(parts, " · ")
}

// digitsOf joins the sub-fields of a field.
func digitsOf(n explain.Node) string {
	var s strings.Builder
	for _, child := range n.Children {
		s.WriteString(child.Value)
	}
	return s.String()
}

// rowText says what a row does with money, in the row's own terms: phase, amount, and the two accounts.
func rowText(r *journal.Row, l glossary.Lang) string {
	amount := fmt.Sprint(r.Amount)
	if c, err := money.CurrencyByNumber(int(r.Currency)); err == nil {
		amount = money.New(r.Amount, c).String()
	}
	verbs := map[ledger.Phase]glossary.Term{
		ledger.Single: term("moves", "记账"), ledger.Pending: term("holds", "冻结"), ledger.Post: term("posts", "入账"), ledger.Void: term("releases", "释放"),
	}
	text := verbs[r.Phase].In(l)
	if r.Amount != 0 {
		text += " " + amount
	}
	if r.Debit != 0 && r.Credit != 0 {
		text += fmt.Sprintf(term(", debit %d, credit %d", "，借 %d，贷 %d").In(l), r.Debit, r.Credit)
	}
	return text
}
