package explain

import (
	"strings"

	"tapnet/emv"
	"tapnet/pan"
	"tapnet/tlv"
)

const (
	star         = "*"
	redactedText = "[redacted]"
	hexPerByte   = 2
	panShownHead = 6  // as package pan masks
	panShownTail = 4  //
	panDigitsMin = 12 // the shortest number package pan knows
	panDigitsMax = 19
	scrubDigits  = 13 // a run of so many digits in bytes nobody can name may be an account number
)

// hide masks a node and keeps what Reveal shows.
func hide(n *Node, hex, value string) {
	n.clear = &clear{n.Hex, n.Value}
	n.Hex, n.Value, n.Sensitive = hex, value, true
}

// conceal masks all of a node but its header.
func conceal(n *Node) {
	value := ""
	if n.Value != "" {
		value = redactedText
	}
	hide(n, starred(n.Hex, n.Header), value)
}

// redact masks all of a node but its header and keeps nothing: PIN blocks and keys.
func redact(n *Node) {
	n.Hex, n.Value, n.Sensitive, n.clear = starred(n.Hex, n.Header), redactedText, true, nil
}

// starred keeps the header of a hexadecimal text.
func starred(hex string, header int) string {
	keep := min(header*hexPerByte, len(hex))
	return hex[:keep] + strings.Repeat(star, len(hex)-keep)
}

// maskDigits stars all but the first six and last four of an account number; one that is none is starred whole.
func maskDigits(digits string) string {
	if n, err := pan.Parse(digits); err == nil {
		return n.Masked()
	}
	return strings.Repeat(star, len(digits))
}

// maskTrack2 masks digits, separator and the rest: the number keeps its ends, the rest nothing.
func maskTrack2(track string) string {
	at := strings.IndexAny(track, "D=d")
	if at < 0 {
		return strings.Repeat(star, len(track))
	}
	return maskDigits(track[:at]) + track[at:at+1] + strings.Repeat(star, len(track)-at-1)
}

// maskASCII carries the stars of a masked text over to the hexadecimal of the same text.
func maskASCII(hex, masked string) string {
	var s strings.Builder
	for i := range len(masked) {
		if masked[i] == '*' {
			s.WriteString("**")
		} else {
			s.WriteString(hex[i*hexPerByte : (i+1)*hexPerByte])
		}
	}
	return s.String()
}

// scrub masks what could be an account number in bytes nobody can name: the middle of every long run of decimal digits,
// packed or as characters (whose two nibbles are decimal too). Hex and text are treated alike.
func scrub(text string) string {
	var s strings.Builder
	for i := 0; i < len(text); {
		end := i
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		switch run := text[i:end]; {
		case run == "":
			s.WriteByte(text[i])
			i++
			continue
		case len(run) < scrubDigits:
			s.WriteString(run)
		default:
			s.WriteString(run[:panShownHead] + strings.Repeat(star, len(run)-panShownHead-panShownTail) + run[len(run)-panShownTail:])
		}
		i = end
	}
	return s.String()
}

// scrubNode applies scrub to a leaf whose content has no name.
func scrubNode(n *Node) {
	header := min(n.Header*hexPerByte, len(n.Hex))
	hex := n.Hex[:header] + scrub(n.Hex[header:])
	value := scrub(n.Value)
	if strings.Contains(hex, star) && n.Value != "" && value == n.Value {
		value = redactedText // the text says in another way what the hex hides
	}
	if hex != n.Hex || value != n.Value {
		hide(n, hex, value)
	}
}

// scrubText applies scrub to a text with a name, and stars the same characters in the bytes that hold it.
func scrubText(n *Node) {
	value := scrub(n.Value)
	if value == n.Value {
		return
	}
	header := min(n.Header*hexPerByte, len(n.Hex))
	content := n.Hex[header:]
	if shown := len(value) * hexPerByte; shown <= len(content) {
		content = maskASCII(content[:shown], value) + content[shown:]
	} else {
		content = strings.Repeat(star, len(content))
	}
	hide(n, n.Hex[:header]+content, value)
}

// veil masks a value that could not be read, as strictly as its tag asks for.
func veil(n *Node, tag tlv.Tag) {
	switch {
	case tag == emv.TagPINData:
		redact(n)
	case sensitiveTag(tag):
		conceal(n)
	default:
		scrubNode(n)
	}
}

// printable shows bytes as ASCII, anything else as a dot: text from a wire must not reach a terminal as it is.
func printable(b []byte) string {
	text := make([]byte, len(b))
	for i, c := range b {
		if c < 0x20 || c > 0x7E {
			c = '.'
		}
		text[i] = c
	}
	return string(text)
}

func isPrintable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7E {
			return false
		}
	}
	return true
}

func isDecimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
