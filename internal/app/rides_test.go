package app

import (
	"errors"
	"testing"

	"tapnet/internal/personalization"
)

// TestWhatBanksSayOfRides: the tables of a world, where each bound alone is sound, must fit together with the defaults.
func TestWhatBanksSayOfRides(t *testing.T) {
	load := func() *personalization.Profile {
		p, err := personalization.Load("demo")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := load()
	p.Issuers[0].Transit = personalization.IssuerTransit{Categories: []string{"4111"}, Gate: "5", Request: "20.50", Proof: "60", GatherDays: 2, RecoverDays: 9}
	p.Acquirer.Transit = personalization.AcquirerTransit{Categories: []string{"4112"}, Request: "30"}
	policy, err := ridesAtIssuer(p, p.Issuers[0])
	if err != nil || policy.NominalMinor != 500 || policy.CumulativeMinor != 2_050 || policy.ProofMinor != 6_000 || policy.GatherDays != 2 ||
		policy.RecoverDays != 9 || len(policy.Categories) != 1 || proofMinor(p, p.Issuers[0]) != 6_000 || proofMinor(p, p.Issuers[1]) != 15_000 {
		t.Errorf("%+v, %v", policy, err)
	}
	if rule, err := ridesAtAcquirer(p); err != nil || rule.MostMinor != 3_000 || !rule.Names("4112") || rule.Names("4111") {
		t.Errorf("%+v, %v", rule, err)
	}
	for name, change := range map[string]func(*personalization.IssuerTransit){
		"a request above all on a proof": func(i *personalization.IssuerTransit) { i.Request = "150.01" },
		"a proof below one request":      func(i *personalization.IssuerTransit) { i.Proof = "49.99" },
		"a gate above one request":       func(i *personalization.IssuerTransit) { i.Gate = "50.01" },
		"gathering beyond recovery":      func(i *personalization.IssuerTransit) { i.GatherDays = 31 },
	} {
		p := load()
		change(&p.Issuers[1].Transit)
		if err := CheckProfile(p); !errors.Is(err, personalization.ErrProfile) {
			t.Errorf("%s: %v", name, err)
		}
		p.Issuers[1].Transit.Off = true
		if err := CheckProfile(p); err != nil || proofMinor(p, p.Issuers[1]) != 0 {
			t.Errorf("%s, off: %v", name, err)
		}
	}
}
