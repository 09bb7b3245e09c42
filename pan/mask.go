package pan

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	firstShown = 6 // digits a masked number shows at the front: the old length of a BIN
	lastShown  = 4 // and at the end, as on a receipt
	maskRune   = "*"
)

// mask keeps the first six and the last four digits. A number has at least twelve, so some are always hidden.
func mask(digits string) string {
	hidden := len(digits) - firstShown - lastShown
	return digits[:firstShown] + strings.Repeat(maskRune, hidden) + digits[len(digits)-lastShown:]
}

// writeMasked prints masked under every verb. %q and %#v quote it, width and the minus flag pad it, so that tables
// line up; precision is ignored because it could cut the stars away and leave a misleading text.
func writeMasked(f fmt.State, verb rune, masked string) {
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		masked = strconv.Quote(masked)
	}
	width, ok := f.Width()
	if !ok {
		width = 0
	}
	if f.Flag('-') {
		width = -width
	}
	_, _ = fmt.Fprintf(f, "%*s", width, masked)
}
