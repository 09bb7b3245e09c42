package terminal

import (
	"fmt"
	"slices"

	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/tlv"
)

// Limits on configuration and directory.
const (
	// MaxCombinations bounds a terminal's table; a scheme has fewer than ten applications.
	MaxCombinations = 64
	// MaxCandidates bounds what one card can make the terminal try. One answer holds some twenty directory entries at most.
	MaxCandidates = 16
	// MaxTapCommands bounds a tap: the directory, a SELECT for each candidate, and one kernel dialogue.
	MaxTapCommands = 1 + MaxCandidates + kernel.MaxCommands
	// MaxRetapCommands bounds a re-tap: selection, identity, counter, two amounts, three objects that say what they mean, the log or the
	// remaining records, and a new tap.
	MaxRetapCommands = 8 + 1 + MaxLogRecords + kernel.MaxRecords + MaxTapCommands

	maxTransactionCounter = 99_999_999 // tag 9F41, eight digits
	lowestPriority        = 16         // of an entry without priority: behind 1 to 15 [EMV BookB 3.3]
)

func (c *Config) check() error {
	switch {
	case c.Currency.IsZero():
		return fmt.Errorf("currency is missing")
	case c.Random == nil:
		return fmt.Errorf("source of unpredictable numbers is missing")
	case len(c.Combinations) == 0 && len(c.Contact.Applications) == 0 || len(c.Combinations) > MaxCombinations:
		return fmt.Errorf("%d combinations, want 1 to %d", len(c.Combinations), MaxCombinations)
	case c.RetapWindow < 0 || c.RetapProcess < 0:
		return fmt.Errorf("negative re-tap time")
	}
	for i := range c.Combinations {
		if err := c.Combinations[i].check(c); err != nil {
			return fmt.Errorf("combination %d: %w", i+1, err)
		}
	}
	if len(c.Contact.Applications) > 0 {
		return c.Contact.Check()
	}
	return nil
}

func (m *Combination) check(c *Config) error {
	if _, err := emv.ParseAID(m.AID.Bytes()); err != nil {
		return err
	}
	if m.Kernel != emv.KernelUnionPay {
		return fmt.Errorf("kernel %02X is not built", m.Kernel)
	}
	if ttq := m.ttq(c); !ttq.Has(emv.TTQQPBOC) {
		return fmt.Errorf("terminal transaction qualifiers %s do not offer qPBOC", ttq.Hex())
	}
	for _, limit := range [...]money.Amount{m.Limits.Transaction, m.Limits.Floor, m.Limits.CVM} {
		if !limit.Currency().IsZero() && limit.Currency() != c.Currency {
			return fmt.Errorf("limit in another currency: %w", money.ErrCurrency)
		}
	}
	return nil
}

func (m *Combination) ttq(c *Config) emv.TTQ {
	if m.TTQ != (emv.TTQ{}) {
		return m.TTQ
	}
	return c.TTQ
}

func (t *Terminal) checkRequest(r *Request) error {
	tx := kernel.Transaction{Amount: r.Amount, Other: r.Other, Country: t.config.Country}
	if err := tx.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrRequest, err)
	}
	if r.Amount.Currency() != t.config.Currency {
		return fmt.Errorf("%w: %w", ErrRequest, money.ErrCurrency)
	}
	if r.Counter > maxTransactionCounter {
		return fmt.Errorf("%w: transaction counter has more than eight digits", ErrRequest)
	}
	return nil
}

// prepared is a combination that may handle this transaction.
type prepared struct {
	*Combination
	ttq emv.TTQ
}

// prepare is pre-processing [EMV BookB 3.1] [REF 7.1]. With no combination left, why says what stood in the way.
func (t *Terminal) prepare(r *Request) (ready []prepared, why kernel.Reason) {
	why = kernel.ReasonNoCommonApplication
	for i := range t.config.Combinations {
		p := prepared{Combination: &t.config.Combinations[i]}
		p.ttq = p.Combination.ttq(&t.config)
		if r.OfflineOnly {
			p.ttq.Set(emv.TTQOfflineOnly)
			p.ttq.Clear(emv.TTQOnlinePIN)
		}
		if refusal := p.prepare(r.Amount); refusal != kernel.ReasonNone {
			why = refusal
			continue
		}
		if r.AskIssuer {
			p.ttq.Set(emv.TTQOnlineCryptogramRequired)
		}
		ready = append(ready, p)
	}
	return ready, why
}

// prepare sets the dynamic bits of the qualifiers; ReasonNone: the combination may be used.
func (p *prepared) prepare(amount money.Amount) kernel.Reason {
	p.ttq.Clear(emv.TTQOnlineCryptogramRequired)
	p.ttq.Clear(emv.TTQCVMRequired)
	l := &p.Limits
	online := l.StatusCheck && amount.Minor() == unit(amount.Currency())
	if amount.IsZero() {
		if !l.ZeroAllowed || p.ttq.Has(emv.TTQOfflineOnly) {
			return kernel.ReasonZeroAmount
		}
		online = true
	}
	if limited(l.Transaction) && amount.Cmp(l.Transaction) >= 0 {
		return kernel.ReasonAmountTooHigh
	}
	if online || limited(l.Floor) && amount.Cmp(l.Floor) > 0 {
		p.ttq.Set(emv.TTQOnlineCryptogramRequired)
	}
	if limited(l.CVM) && amount.Cmp(l.CVM) >= 0 {
		p.ttq.Set(emv.TTQCVMRequired)
	}
	return kernel.ReasonNone
}

func limited(limit money.Amount) bool { return !limit.Currency().IsZero() }

// unit is one unit of a currency in minor units: 100 for CNY.
func unit(c money.Currency) int64 {
	u := int64(1)
	for range c.Exponent() {
		u *= 10
	}
	return u
}

// entry is one application in the card's directory.
type entry struct {
	aid      emv.AID
	priority int    // 1 is the best
	kernel   []byte // 9F2A, may be absent
	extended []byte // 9F29, may be absent
	label    []byte
}

// parseDirectory reads the answer to SELECT of the PPSE [REF 1.2]. Entries that cannot be read are passed over; a directory
// that cannot be read at all is an error of the card.
func parseDirectory(fci []byte) (entries []entry, ok bool) {
	list, found := tlv.Find(fci, emv.TagFCI, emv.TagFCIProprietary, emv.TagFCIDiscretionary)
	if !found {
		return nil, false
	}
	for _, err := range tlv.All(list) {
		if err != nil {
			return nil, false
		}
	}
	return parseEntries(list, MaxCandidates), true
}

// parseEntries reads the entries of a directory, at most so many. One that cannot be read is passed over.
func parseEntries(list []byte, most int) (entries []entry) {
	for e, err := range tlv.All(list) {
		if err != nil || len(entries) == most {
			return entries
		}
		if e.Tag != emv.TagApplicationTemplate {
			continue
		}
		data, err := emv.ParseData(e.Value)
		if err != nil {
			continue
		}
		aid, err := emv.ParseAID(data.Get(emv.TagAID))
		if err != nil {
			continue
		}
		next := entry{aid: aid, priority: lowestPriority, kernel: data.Get(emv.TagKernelID), extended: data.Get(emv.TagExtendedSelection),
			label: data.Get(emv.TagApplicationLabel)}
		if b := data.Get(emv.TagPriority); len(b) == 1 && b[0]&0xF != 0 {
			next.priority = int(b[0] & 0xF)
		}
		entries = append(entries, next)
	}
	return entries
}

// anyKernel: the card leaves the kernel to the terminal.
const anyKernel = 0

// kernelID is the kernel the card wants: what 9F2A says, or the kernel of the provider; anyKernel of a provider without one
// [EMV BookB 3.3] [REF 1.1].
func (e *entry) kernelID() byte {
	const longForm = 0x80 // the two high bits say whether country code and provider follow
	if len(e.kernel) > 0 && e.kernel[0] != 0 && e.kernel[0]&longForm == 0 {
		return e.kernel[0]
	}
	if id, known := e.aid.Kernel(); known {
		return id
	}
	return anyKernel
}

// candidate is a directory entry with the combination that handles it.
type candidate struct {
	entry
	prepared
}

// candidates are the entries that the terminal handles, best first [EMV BookB 3.3]. Of several combinations that match, the
// one with the longest identifier has the most particular limits.
func candidates(ready []prepared, entries []entry) []candidate {
	var list []candidate
	for i := range entries {
		e := &entries[i]
		best := -1
		for j := range ready {
			if id := e.kernelID(); id != anyKernel && ready[j].Kernel != id || !e.aid.Matches(ready[j].AID, true) {
				continue
			}
			if best < 0 || len(ready[j].AID) > len(ready[best].AID) {
				best = j
			}
		}
		if best >= 0 {
			list = append(list, candidate{*e, ready[best]})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.priority - b.priority })
	return list
}

// sortEntries puts the best first.
func sortEntries(entries []entry) {
	slices.SortStableFunc(entries, func(a, b entry) int { return a.priority - b.priority })
}

// name is what SELECT is sent with.
func (c *candidate) name() []byte {
	const maxName = 16
	name := c.aid.Bytes()
	if c.ExtendedSelection && len(name)+len(c.extended) <= maxName {
		name = append(name, c.extended...)
	}
	return name
}
