package personalization

import (
	"fmt"
	"strings"

	"tapnet/money"
)

// IssuerTransit is what a bank lets operators of transport ask for after a ride [REF 2.7]. What is left out is the bank's own default:
//
//	[issuer.transit]
//	off = false                            # true: nobody pays so
//	categories = ["4111", "4112", "4131"]  # merchants that may: local transport, railways, buses
//	gate = "15.00"                         # the most that a gate's cryptogram may be about
//	request = "50.00"                      # the most that one request asks for
//	proof = "150.00"                       # the most that all requests come to which rest on one cryptogram, at most 1000.00
//	gather_days = 8                        # rides are asked for within so many days
//	recover_days = 30                      # and debts, as long as the cryptogram proves the ride; at most 92
type IssuerTransit struct {
	Off         bool     `toml:"off"`
	Categories  []string `toml:"categories"`
	Gate        string   `toml:"gate"`
	Request     string   `toml:"request"`
	Proof       string   `toml:"proof"`
	GatherDays  int      `toml:"gather_days"`
	RecoverDays int      `toml:"recover_days"`
}

// AcquirerTransit is what an acquirer holds operators of transport to:
//
//	[acquirer.transit]
//	categories = ["4111", "4112", "4131"]
//	request = "50.00"                      # the most of one request for rides when nothing is agreed: ride_limit of a merchant
type AcquirerTransit struct {
	Categories []string `toml:"categories"`
	Request    string   `toml:"request"`
}

// Bounds of what these tables may say; the roles check what they make of them again.
const (
	rideCategoriesMax = 16
	rideMinorMax      = 100_000
	rideDaysMax       = 92
)

func checkRides(categories []string, c money.Currency, amounts ...string) error {
	if len(categories) > rideCategoriesMax {
		return fmt.Errorf("transit: %d categories, at most %d", len(categories), rideCategoriesMax)
	}
	for _, category := range categories {
		if len(category) != 4 || strings.Trim(category, "0123456789") != "" {
			return fmt.Errorf("transit: category %q is not four digits", shortened(category))
		}
	}
	for _, amount := range amounts {
		minor, err := minorIn(amount, c)
		if err != nil {
			return fmt.Errorf("transit: %w", err)
		}
		if minor > rideMinorMax {
			return fmt.Errorf("transit: amount %q is above %s", amount, money.New(rideMinorMax, c))
		}
	}
	return nil
}

func (t *IssuerTransit) check(c money.Currency) error {
	if t.GatherDays < 0 || t.RecoverDays < 0 || t.GatherDays > rideDaysMax || t.RecoverDays > rideDaysMax {
		return fmt.Errorf("transit: gather_days %d or recover_days %d is not from 0 to %d", t.GatherDays, t.RecoverDays, rideDaysMax)
	}
	return checkRides(t.Categories, c, t.Gate, t.Request, t.Proof)
}

// checkTransit checks what banks say about rides.
func (p *Profile) checkTransit() error {
	for _, i := range p.Issuers {
		if err := i.Transit.check(p.Money()); err != nil {
			return fmt.Errorf("issuer %s: %w", i.Name, err)
		}
	}
	if err := checkRides(p.Acquirer.Transit.Categories, p.Money(), p.Acquirer.Transit.Request); err != nil {
		return fmt.Errorf("acquirer: %w", err)
	}
	for _, m := range p.Merchants {
		currency, err := p.MoneyOf(m)
		if err != nil {
			return fmt.Errorf("merchant %q: %w", m.Name, err)
		}
		if _, err := minorIn(m.RideLimit, currency); err != nil {
			return fmt.Errorf("merchant %q: ride_limit: %w", m.Name, err)
		}
	}
	return nil
}
