package archtest

import (
	"bytes"
	"regexp"
	"strings"
)

// Account numbers have 12 to 19 digits [ISO 7812]; ours and those of the published vectors have at least 13.
const (
	minAccountDigits = 13
	maxAccountDigits = 19
)

// testRanges are the prefixes that belong to nobody: card numbers and tokens of the test world.
var testRanges = []string{"629999", "629998"}

var (
	// Tag 5A as it stands inside a longer hexadecimal string.
	taggedAccount = regexp.MustCompile(`(?i)5A(?:07[0-9]{13,14}|08[0-9]{15,16}|09[0-9]{17,18}|0A[0-9]{19,20})`)
	// Four groups, as printed on a card.
	groupedAccount = regexp.MustCompile(`\b[0-9]{4}([ -])[0-9]{4}[ -][0-9]{4}[ -][0-9]{1,7}\b`)
)

// AccountNumbers checks that no number that could be somebody's card stands in the tree.
func AccountNumbers(t *Tree) []Finding {
	var found []Finding
	for _, file := range append(append([]*File{}, t.Go...), t.Text...) {
		for i, line := range bytes.Split(file.Text, []byte("\n")) {
			for _, digits := range accountsIn(string(line)) {
				if suspicious(digits) && !t.Exempt.covers("pan", digits) {
					found = append(found, Finding{Rule: "pan", Path: file.Path, Line: i + 1,
						Text: digits[:6] + "…" + digits[len(digits)-4:] + " could be a real card: use 629999… or 629998…, " +
							"or list a published vector in internal/archtest/exempt.txt"})
				}
			}
		}
	}
	return found
}

// accountsIn collects the digit runs of a line that stand where account numbers stand: alone, before a track 2 separator, in tag 5A,
// or in groups.
func accountsIn(line string) []string {
	var runs []string
	for i := 0; i < len(line); {
		if !isDigit(line[i]) {
			i++
			continue
		}
		end := i
		for end < len(line) && isDigit(line[end]) {
			end++
		}
		if (i == 0 || !isWord(line[i-1])) && endsAccount(line[end:]) {
			runs = append(runs, line[i:end])
		}
		i = end
	}
	for _, tagged := range taggedAccount.FindAllString(line, -1) {
		runs = append(runs, tagged[4:])
	}
	for _, grouped := range groupedAccount.FindAllString(line, -1) {
		runs = append(runs, strings.NewReplacer(" ", "", "-", "").Replace(grouped))
	}
	return runs
}

// endsAccount reports whether the text after a digit run can follow an account number: a word boundary, one F of padding,
// or a track 2 separator and a date.
func endsAccount(rest string) bool {
	switch {
	case rest == "" || !isWord(rest[0]) && rest[0] != '=':
		return true
	case rest[0] == 'F' || rest[0] == 'f':
		return len(rest) == 1 || !isWord(rest[1])
	case rest[0] == 'D' || rest[0] == 'd' || rest[0] == '=':
		return len(rest) >= 5 && isDigit(rest[1]) && isDigit(rest[2]) && isDigit(rest[3]) && isDigit(rest[4])
	}
	return false
}

// suspicious reports whether digits could be a card of a real issuer. Numbers starting with 0 or 1 are amounts, times and counters;
// a number that starts with a day of this century is a time stamp.
func suspicious(digits string) bool {
	if len(digits) < minAccountDigits || len(digits) > maxAccountDigits || digits[0] < '2' || !luhnValid(digits) {
		return false
	}
	for _, prefix := range testRanges {
		if strings.HasPrefix(digits, prefix) {
			return false
		}
	}
	return !startsWithDate(digits) && !asciiDigits(digits)
}

// asciiDigits reports whether a run is itself text in hexadecimal: 3130303030 is how "10000" lies on the wire.
func asciiDigits(digits string) bool {
	for i := 0; i < len(digits); i += 2 {
		if digits[i] != '3' {
			return false
		}
	}
	return len(digits)%2 == 0
}

func startsWithDate(digits string) bool {
	month, day := digits[4:6], digits[6:8]
	return digits[:2] == "20" && month >= "01" && month <= "12" && day >= "01" && day <= "31"
}

func luhnValid(digits string) bool {
	sum := 0
	for i := range len(digits) {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}
