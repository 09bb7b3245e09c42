package trace

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/tlv"
)

// Prefixes of identifiers. Records that share one belong to the same payment.
const (
	prefixRRN      = "rrn:"  // retrieval reference number
	prefixTerminal = "term:" // terminal/batch/trace number
	prefixNetwork  = "net:"  // transmission time/trace number/acquirer/forwarder
	prefixCard     = "card:" // fingerprint of the card number/ATC
	prefixTap      = "tap:"  // terminal/number
	prefixRow      = "row:"  // role/row number
	prefixKey      = "key:"  // a payment key of another form
	prefixManage   = "mgmt:" // network management: no payment
)

var (
	wirePrefixes    = []string{prefixRRN, prefixTap, prefixTerminal, prefixNetwork, prefixCard}
	paymentPrefixes = append(wirePrefixes[:len(wirePrefixes):len(wirePrefixes)], prefixRow, prefixKey)
)

// fingerprintBytes is long enough that two cards of a trace do not meet.
const fingerprintBytes = 8

// fingerprint names a card without its number: only who has the key can tell whether a number is behind it.
func (s *Store) fingerprint(n pan.Number) string {
	if n.IsZero() || len(s.key) == 0 {
		return ""
	}
	sum := hmac.New(sha256.New, s.key)
	sum.Write([]byte(n.Reveal()))
	return hex.EncodeToString(sum.Sum(nil)[:fingerprintBytes])
}

// CardID joins what one card did with one counter, across boxes that share the store's key.
func (s *Store) CardID(n pan.Number, atc uint16) string {
	if print := s.fingerprint(n); print != "" {
		return fmt.Sprintf("%s%s/%04X", prefixCard, print, atc)
	}
	return ""
}

func terminalID(terminal string, batch, stan uint32) string {
	if strings.TrimSpace(terminal) == "" || stan == 0 {
		return ""
	}
	return fmt.Sprintf("%s%s/%06d/%06d", prefixTerminal, strings.TrimSpace(terminal), batch, stan)
}

func networkID(at string, stan uint32, acquirer, forwarder string) string {
	if strings.Trim(at, "0") == "" || stan == 0 {
		return ""
	}
	return fmt.Sprintf("%s%s/%06d/%s/%s", prefixNetwork, at, stan, strings.TrimLeft(acquirer, "0"), strings.TrimLeft(forwarder, "0"))
}

func rrnID(rrn string) string {
	if rrn = strings.TrimSpace(rrn); rrn != "" {
		return prefixRRN + rrn
	}
	return ""
}

// messageIDs derives identifiers from a message. The terminal's batch is in its own dialect only.
func (s *Store) messageIDs(d unionpay.Dialect, m unionpay.Message) []string {
	p := unionpay.PaymentOf(m)
	if p == nil {
		return []string{managementID(m)}
	}
	ids := []string{rrnID(p.RRN), networkID(p.TransmissionTime, p.STAN, p.Acquirer, p.Forwarder)}
	if d == unionpay.Terminal {
		ids = append(ids, terminalID(p.Terminal, p.Info.Batch, p.STAN))
	}
	if o := p.Original; o != nil {
		ids = append(ids, networkID(o.TransmissionTime, o.STAN, o.Acquirer, o.Forwarder))
		if o.Type == "" {
			ids = append(ids, terminalID(p.Terminal, o.Batch, o.STAN))
		}
	}
	number := p.PAN
	if d, err := unionpay.ParseTokenData(p.Additional); err == nil && !d.Token.IsZero() {
		number = d.Token // the counter is the token's; the card behind it has counters of its own
	}
	if number.IsZero() {
		number = p.Track2.PAN()
	}
	if number.IsZero() {
		number = cardNumber(p.ICC)
	}
	if atc := p.ICC.Get(emv.TagATC); len(atc) == 2 {
		ids = append(ids, s.CardID(number, uint16(atc[0])<<8|uint16(atc[1])))
	}
	return ids
}

func managementID(m unionpay.Message) string {
	switch m := m.(type) {
	case *unionpay.NetworkRequest:
		return fmt.Sprintf("%s%s%s/%s/%06d", prefixManage, m.Terminal, m.Institution, m.Time, m.STAN)
	case *unionpay.NetworkResponse:
		return fmt.Sprintf("%s%s%s/%s/%06d", prefixManage, m.Terminal, m.Institution, m.Time, m.STAN)
	}
	return ""
}

func cardNumber(source emv.Source) pan.Number {
	if value, ok := source.Value(emv.TagTrack2); ok {
		if t, err := pan.ParseTrack2(value); err == nil {
			return t.PAN()
		}
	}
	if value, ok := source.Value(emv.TagPAN); ok {
		if n, err := pan.FromBCD(value); err == nil {
			return n
		}
	}
	return pan.Number{}
}

// rowIDs derives identifiers from a row: its keys, and the rows it belongs to.
func rowIDs(role string, r *journal.Row) []string {
	ids := []string{rrnID(r.RRN), keyID(role, r.Key), fmt.Sprintf("%s%s/%d", prefixRow, role, r.Seq)}
	if r.Key == "" || wireKey(r.Payment) {
		ids = append(ids, keyID(role, r.Payment)) // of a message with a key of its own, anything else is an account: a token has many payments
	}
	for _, other := range []uint64{r.Linked, r.Resolves} {
		if other != 0 {
			ids = append(ids, fmt.Sprintf("%s%s/%d", prefixRow, role, other))
		}
	}
	return ids
}

// Widths of the payment keys of package unionpay: class digit last.
const (
	terminalKeyBytes = 8 + 6 + 6 + 1
	networkKeyBytes  = 10 + 6 + 11 + 11 + 1
)

// endMark stands behind a payment's key on the row that ends it.
const endMark = "e"

// keyID reads a payment key of package unionpay; a key of any other form joins rows of its role only.
func keyID(role, key string) string {
	key = strings.TrimSuffix(key, endMark)
	switch {
	case key == "":
		return ""
	case !wireKey(key):
	case len(key) == terminalKeyBytes:
		return terminalID(key[:8], number(key[8:14]), number(key[14:20]))
	default:
		return networkID(key[:10], number(key[10:16]), key[16:27], key[27:38])
	}
	if id := prefixKey + role + "/" + key; clean(id) == id {
		return id
	}
	return "" // masked, it would be that of others too and join their payments
}

// wireKey reports whether a key is one of package unionpay.
func wireKey(key string) bool {
	key = strings.TrimSuffix(key, endMark)
	return len(key) == terminalKeyBytes && digitsOnly(key[8:]) || len(key) == networkKeyBytes && digitsOnly(key)
}

func digitsOnly(s string) bool { return strings.Trim(s, "0123456789") == "" }

func number(digits string) (n uint32) {
	for _, c := range digits {
		n = n*10 + uint32(c-'0')
	}
	return n
}

// cardSeen is what the exchanges of a tap have shown of the card so far.
type cardSeen struct {
	number pan.Number
	atc    uint16
	known  bool // atc
}

// look picks card number and counter out of a response.
func (c *cardSeen) look(command, response []byte) {
	answer, err := apdu.ParseResponse(response)
	if err != nil || len(answer.Data) == 0 {
		return
	}
	for _, template := range []tlv.Tag{emv.TagResponse2, emv.TagRecord} {
		if n := cardNumber(under{answer.Data, template}); !n.IsZero() {
			c.number = n
		}
	}
	if atc, ok := tlv.Find(answer.Data, emv.TagResponse2, emv.TagATC); ok && len(atc) == 2 {
		c.atc, c.known = uint16(atc[0])<<8|uint16(atc[1]), true
	}
	if sent, err := apdu.ParseCommand(command); err == nil && sent.INS == apdu.InsGenerateAC {
		// Format 1: cryptogram information, counter, cryptogram [EMV B3 6.5.5].
		if value, ok := tlv.Find(answer.Data, emv.TagResponse1); ok && len(value) >= 3 {
			c.atc, c.known = uint16(value[1])<<8|uint16(value[2]), true
		}
	}
}

// under is a Source over the elements of one template.
type under struct {
	data     []byte
	template tlv.Tag
}

func (u under) Value(tag tlv.Tag) ([]byte, bool) { return tlv.Find(u.data, u.template, tag) }
