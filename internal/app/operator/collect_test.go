package operator

import (
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/internal/transit"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// profileOf is what a file with these lines over a profile comes to.
func profileOf(t *testing.T, tariff, lines string) (transit.Profile, error) {
	t.Helper()
	text := "currency = \"CNY\"\ntariffs = [\"t\"]\n" + lines
	c, book, _, err := parseConfig([]byte(text), func(string) ([]byte, error) { return []byte(tariff), nil })
	if err != nil {
		return transit.Profile{}, err
	}
	return c.profile(money.CNY, book)
}

// every line of the file, and what it does.
const everySetting = `
profile = "aggregate"
verify_kind = "sale"
nominal = "0.10"
present = "journey"
limit = "12.00"
window = "72h"
maximum = "60.00"
bill_most = "30.00"
trust_days = 7
risk_trust = "6h"
hold_life = "48h"
retries = ["1h", "24h"]
tap_recovery = "10m"
rider_retries = 5
corrections_per_year = 4
refund_days = 30
`

// TestCollection: what a file sets is what the office goes by; what it does not set is the profile's, but for the highest fare, which is the tariffs'.
func TestCollection(t *testing.T) {
	got, err := profileOf(t, string(cityTariff), everySetting)
	if err != nil {
		t.Fatal(err)
	}
	want := transit.Profile{Name: "aggregate", Verify: transit.VerifyNominal, VerifyKind: unionpay.KindSale, VerifyMinor: 10, MaximumMinor: 6000,
		Present: transit.EachJourney, BillMinor: 3000, CompleteKind: unionpay.KindCompletion, LimitMinor: 1200, Window: 72 * time.Hour,
		HoldLife: 48 * time.Hour, Trust: 7 * oneDay, RiskTrust: 6 * time.Hour, Retries: []time.Duration{time.Hour, 24 * time.Hour},
		TapRecovery: 10 * time.Minute, RiderRetries: 5, Corrections: 4, RefundWithin: 30 * oneDay}
	if !slices.Equal(got.Retries, want.Retries) {
		t.Errorf("retries %v", got.Retries)
	}
	got.Retries, want.Retries = nil, nil
	if !equalProfiles(got, want) {
		t.Errorf("is   %+v\nwant %+v", got, want)
	}
	for _, p := range transit.Profiles() {
		same, err := profileOf(t, string(cityTariff), `profile = "`+p.Name+`"`)
		if err != nil {
			t.Fatal(err)
		}
		if same.Retries, p.Retries = nil, nil; !equalProfiles(same, p) {
			t.Errorf("%s without settings: %+v", p.Name, same)
		}
	}
	dear := strings.Replace(string(cityTariff), `maximum = "15.00"`, `maximum = "20.00"`, 1)
	if p, err := profileOf(t, dear, `profile = "preauth"`); err != nil || p.MaximumMinor != 2000 {
		t.Errorf("a city whose highest fare is 20.00 holds %d, %v", p.MaximumMinor, err)
	}
	if p, err := profileOf(t, string(cityTariff), "profile = \"zero\"\nretries = []\nlimit = \"0\""); err != nil || len(p.Retries) != 0 || p.LimitMinor != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func equalProfiles(a, b transit.Profile) bool {
	a.Retries, b.Retries = nil, nil
	return reflect.DeepEqual(a, b)
}

// TestCollectionRefused names the setting that cannot be.
func TestCollectionRefused(t *testing.T) {
	for line, says := range map[string]string{
		`verify_kind = "cash"`:                     "verify_kind",
		`verify_kind = "inquiry"`:                  "verification",
		`nominal = "0"`:                            "nominal",
		`nominal = "1.001"`:                        "nominal",
		"profile = \"zero\"\nnominal = \"1.00\"":   "nominal",
		"nominal = \"9.00\"\nbill_most = \"8.00\"": "nominal",
		`present = "never"`:                        "present",
		`limit = "much"`:                           "limit",
		`window = "1 day"`:                         "window",
		`window = "169h"`:                          "time",
		`window = "-1h"`:                           "window",
		`maximum = "0"`:                            "maximum",
		`maximum = "14.99"`:                        "dearest fare of the tariffs, 15.00",
		`bill_most = "-1.00"`:                      "bill_most",
		`trust_days = 0`:                           "trust_days",
		`trust_days = 4000`:                        "trust_days",
		`risk_trust = "soon"`:                      "risk_trust",
		`hold_life = "x"`:                          "hold_life",
		`retries = ["0s"]`:                         "retries",
		`retries = [""]`:                           "retries",
		`retries = ["1h", "later"]`:                "retries",
		`tap_recovery = "1s"`:                      "tap_recovery",
		`rider_retries = -1`:                       "rider_retries",
		`corrections_per_year = -1`:                "corrections_per_year",
		`refund_days = 1000`:                       "refund_days",
		`refunds = 1`:                              "",
		`retries = "6h"`:                           "",
		`profile = "gold"`:                         "gold",
	} {
		lines := line
		if !strings.Contains(line, "profile") {
			lines = "profile = \"aggregate\"\n" + line
		}
		if _, err := profileOf(t, string(cityTariff), lines); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestTheExample: every setting is in the description of the city that comes with the program, as a comment that can be used as it stands, and on the page.
func TestTheExample(t *testing.T) {
	var lines []string
	for line := range strings.Lines(string(cityConfig)) {
		if m := regexp.MustCompile(`^#\s*([a-z_]+ = .*)$`).FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			lines = append(lines, m[1])
		}
	}
	if p, err := profileOf(t, string(cityTariff), "profile = \"aggregate\"\n"+strings.Join(lines, "\n")); err != nil {
		t.Errorf("%+v, %v", p, err)
	}
	page, err := os.ReadFile("../../../docs/transit-operator.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(everySetting) {
		name, _, _ := strings.Cut(line, " =")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !strings.Contains(string(cityConfig), name+" = ") || !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("%s is not in the example or not on the page", name)
		}
	}
}
