package money

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	gomoney "github.com/Rhymond/go-money"
)

// ErrCurrency is wrapped when a currency is unknown or two amounts differ in currency.
var ErrCurrency = errors.New("unknown or different currency")

// Currency is a currency of [ISO 4217]. Currencies compare with ==. The zero value is no currency.
type Currency struct {
	code     string // three upper-case letters
	number   uint16 // 1 to 999
	exponent uint8  // digits of the minor unit
}

// Currencies of the markets the project plays in.
var (
	CNY = mustCurrency("CNY")
	MOP = mustCurrency("MOP")
	HKD = mustCurrency("HKD")
	USD = mustCurrency("USD")
)

const (
	codeChars   = 3
	numberMax   = 999
	exponentMax = 4 // no currency of the standard has a smaller minor unit
)

// numberOfSeveral names the currency that a number stands for where the table lists two: the Caribbean guilder
// took over the number of the Antillean one.
var numberOfSeveral = map[uint16]string{532: "XCG"}

func mustCurrency(code string) Currency {
	c, err := ParseCurrency(code)
	if err != nil {
		panic(err)
	}
	return c
}

// ParseCurrency finds a currency by its three upper-case letters. The error wraps ErrCurrency.
func ParseCurrency(code string) (Currency, error) {
	if len(code) != codeChars {
		return Currency{}, fmt.Errorf("parse currency: want three letters: %w", ErrCurrency)
	}
	c, ok := fromTable(gomoney.GetCurrency(code))
	if !ok || c.code != code {
		return Currency{}, fmt.Errorf("parse currency %q: %w", code, ErrCurrency)
	}
	return c, nil
}

// fromTable copies a row. Rows of withdrawn currencies have no number; a message cannot carry them, so they do not exist here.
func fromTable(row *gomoney.Currency) (Currency, bool) {
	if row == nil || len(row.Code) != codeChars || len(row.NumericCode) != codeChars {
		return Currency{}, false
	}
	number, err := strconv.ParseUint(row.NumericCode, 10, 16)
	if err != nil || number == 0 || number > numberMax || row.Fraction < 0 || row.Fraction > exponentMax {
		return Currency{}, false
	}
	return Currency{code: row.Code, number: uint16(number), exponent: uint8(row.Fraction)}, true
}

// byNumber indexes the table once, because the table itself is searched row by row and in no fixed order.
var byNumber = sync.OnceValue(func() *[numberMax + 1]Currency {
	var index [numberMax + 1]Currency
	for n := 1; n <= numberMax; n++ {
		number := uint16(n)
		if code, ok := numberOfSeveral[number]; ok {
			index[n] = mustCurrency(code)
			continue
		}
		if c, ok := fromTable(gomoney.GetCurrencyByNumericCode(fmt.Sprintf("%03d", n))); ok {
			index[n] = c
		}
	}
	return &index
})

// CurrencyByNumber finds a currency by its number, 156 for CNY. The error wraps ErrCurrency.
func CurrencyByNumber(n int) (Currency, error) {
	if n == int(CNY.number) {
		return CNY, nil
	}
	if n < 1 || n > numberMax || byNumber()[n] == (Currency{}) {
		return Currency{}, fmt.Errorf("find currency number %d: %w", n, ErrCurrency)
	}
	return byNumber()[n], nil
}

// Code returns the three letters, "" for the zero value.
func (c Currency) Code() string { return c.code }

// Number returns the number, 0 for the zero value.
func (c Currency) Number() int { return int(c.number) }

// Exponent returns the digits of the minor unit: 2 for CNY, 0 for JPY.
func (c Currency) Exponent() int { return int(c.exponent) }

// NumberString returns the number as three digits: "156".
func (c Currency) NumberString() string { return fmt.Sprintf("%03d", c.number) }

// IsZero reports whether c is the zero value.
func (c Currency) IsZero() bool { return c == Currency{} }

// Equal reports whether both are the same currency.
func (c Currency) Equal(other Currency) bool { return c == other }

// String returns what Code returns.
func (c Currency) String() string { return c.code }

// MarshalText returns the three letters.
func (c Currency) MarshalText() ([]byte, error) { return []byte(c.code), nil }

// UnmarshalText reads the three letters; no letters are the zero value.
func (c *Currency) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*c = Currency{}
		return nil
	}
	parsed, err := ParseCurrency(string(text))
	if err != nil {
		return err
	}
	*c = parsed
	return nil
}
