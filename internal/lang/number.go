package lang

import (
	"fmt"
	"strings"
	"time"

	"tapnet/glossary"
	"tapnet/money"
)

// digitGroup is the number of digits between separators, in both languages: accounts in China are written in threes too.
const digitGroup = 3

// Amount writes an amount the way the language does: "1,000.01 CNY", "1,000.01元".
func Amount(l glossary.Lang, a money.Amount) string {
	if l == glossary.Chinese && a.Currency() == money.CNY {
		return Decimal(a) + "元"
	}
	return Decimal(a) + " " + a.Currency().Code()
}

// AmountTerm is Amount in both languages.
func AmountTerm(a money.Amount) glossary.Term {
	return glossary.Term{EN: Amount(glossary.English, a), ZH: Amount(glossary.Chinese, a)}
}

// Decimal is the amount with separated thousands and without its currency.
func Decimal(a money.Amount) string {
	text := a.Decimal()
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, fraction, found := strings.Cut(text, ".")
	whole = group(whole)
	if found {
		return sign + whole + "." + fraction
	}
	return sign + whole
}

// Int is a whole number with separated thousands.
func Int(n int64) string {
	text := fmt.Sprint(n)
	if n < 0 {
		return "-" + group(text[1:])
	}
	return group(text)
}

func group(digits string) string {
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%digitGroup == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Duration writes a duration with two significant parts of a unit a person reads: "0.1 ms", "2.9 ms", "0.3 s", "12 s".
func Duration(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < 100*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d s", int64(d.Seconds()))
}
