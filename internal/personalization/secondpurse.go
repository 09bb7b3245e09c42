package personalization

import (
	"fmt"

	"tapnet/money"
)

// secondRecord is what the issuer learns of a card's second currency; nil when the product has none.
func (p *Product) secondRecord(spec CardSpec) (*SecondRecord, error) {
	if len(p.Applications) == 0 || p.Applications[0].SecondPurse == nil {
		return nil, nil
	}
	currency, err := money.ParseCurrency(p.Applications[0].SecondPurse.Currency)
	if err != nil {
		return nil, fmt.Errorf("second purse: %w", err)
	}
	r := &SecondRecord{Currency: currency.Number()}
	if r.PurseMinor, err = minorIn(spec.SecondPurse, currency); err == nil {
		r.OpeningMinor, err = minorIn(spec.SecondBalance, currency)
	}
	if err != nil {
		return nil, fmt.Errorf("second purse: %w", err)
	}
	return r, nil
}
