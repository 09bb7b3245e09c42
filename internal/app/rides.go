package app

import (
	"cmp"
	"fmt"

	"tapnet/internal/acquirer"
	"tapnet/internal/issuer"
	"tapnet/internal/personalization"
	"tapnet/money"
)

// ridesAtIssuer is a bank's rule for rides that are paid later: what the profile says, and the bank's default for the rest.
func ridesAtIssuer(p *personalization.Profile, i personalization.Issuer) (issuer.TransitPolicy, error) {
	policy, says := issuer.DefaultTransit(), i.Transit
	policy.Off = says.Off
	if len(says.Categories) > 0 {
		policy.Categories = says.Categories
	}
	for _, amount := range [...]struct {
		to   *int64
		says string
	}{{&policy.NominalMinor, says.Gate}, {&policy.CumulativeMinor, says.Request}, {&policy.ProofMinor, says.Proof}} {
		minor, err := p.Minor(amount.says)
		if err != nil {
			return policy, fmt.Errorf("%w: issuer %s: transit: %w", personalization.ErrProfile, i.Name, err)
		}
		if amount.says != "" {
			*amount.to = minor
		}
	}
	policy.GatherDays, policy.RecoverDays = cmp.Or(says.GatherDays, policy.GatherDays), cmp.Or(says.RecoverDays, policy.RecoverDays)
	if err := policy.Check(); err != nil {
		return policy, fmt.Errorf("%w: issuer %s: %w", personalization.ErrProfile, i.Name, err)
	}
	return policy, nil
}

// ridesAtAcquirer is the same of the merchants' bank.
func ridesAtAcquirer(p *personalization.Profile) (acquirer.TransitRule, error) {
	rule, says := acquirer.DefaultTransit(), p.Acquirer.Transit
	if len(says.Categories) > 0 {
		rule.Categories = says.Categories
	}
	minor, err := p.Minor(says.Request)
	if err != nil {
		return rule, fmt.Errorf("%w: acquirer: transit: %w", personalization.ErrProfile, err)
	}
	rule.MostMinor = cmp.Or(minor, rule.MostMinor)
	if err := rule.Check(); err != nil {
		return rule, fmt.Errorf("%w: %w", personalization.ErrProfile, err)
	}
	return rule, nil
}

// CheckProfile says before anything starts whether the banks of a profile can do what it says about rides. The error wraps personalization.ErrProfile.
func CheckProfile(p *personalization.Profile) error {
	for _, i := range p.Issuers {
		if _, err := ridesAtIssuer(p, i); err != nil {
			return err
		}
	}
	_, err := ridesAtAcquirer(p)
	return err
}

// rideLimit is what a merchant has agreed on with its bank; the profile was checked.
func (n *Network) rideLimit(m personalization.Merchant) int64 {
	if m.RideLimit == "" {
		return 0
	}
	currency, err := n.options.Profile.MoneyOf(m)
	if err != nil {
		return 0
	}
	limit, err := money.Parse(m.RideLimit, currency)
	if err != nil {
		return 0
	}
	return limit.Minor()
}

// proofMinor is the most that a bank lets rest on one cryptogram of a gate, for verify.
func proofMinor(p *personalization.Profile, i personalization.Issuer) int64 {
	policy, err := ridesAtIssuer(p, i)
	if err != nil || policy.Off {
		return 0
	}
	return policy.ProofMinor
}
