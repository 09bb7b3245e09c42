package tsp

import (
	"fmt"
	"slices"

	"tapnet/internal/journal"
	"tapnet/internal/tsp/tspapi"
	"tapnet/iso8583/unionpay"
)

// storageNames are the storages on the interface, by number.
var storageNames = [...]string{unionpay.StorageHCE: "HCE", unionpay.StorageSE: "SE", unionpay.StorageQR: "QR", unionpay.StorageFile: "COF"}

func storageNamed(name string) uint8 {
	if name == "" {
		return 0
	}
	return uint8(max(0, slices.Index(storageNames[:], name)))
}

// maxRequestors keep the list in memory and their ids within eight digits.
const maxRequestors = 1 << 10

// register takes a requestor in.
func (s *TSP) register(c *Command, b *tspapi.RegisterRequestor) outcome {
	if c.Caller.Role != CallerOperator {
		return outcome{problem: denied()}
	}
	all := *s.state.requestors.Load()
	if len(all) >= maxRequestors {
		return outcome{problem: refusal(409, "too-many", "there are %d requestors already", maxRequestors)}
	}
	for _, other := range all {
		if other.Certificate == b.Certificate {
			return outcome{problem: refusal(409, "certificate-taken", "another requestor calls with that certificate")}
		}
	}
	number := s.state.settings.Load().Count[kindRequestor] + 1
	q := &Requestor{
		Number: number, ID: fmt.Sprintf("%s%08d", s.deps.Code, number), Entity: b.Entity, Certificate: b.Certificate, Domain: b.Domain, Policy: b.Policy,
		Webhook: b.Webhook,
	}
	for _, name := range b.UseCases {
		storage := storageNamed(name)
		if storage == 0 {
			return outcome{problem: refusal(422, "use-case", "there is no use case of that name")}
		}
		q.UseCases |= 1 << (storage - 1)
	}
	if what := wrongDomain(&b.Domain); what != "" {
		return outcome{problem: refusal(422, "domain", "%s of the domain are not sound", what)}
	}
	if p := &b.Policy; p.TokenMonths < 1 || p.DeviceTokens < 1 || p.DeviceTokens > maxTokensOfDevice || p.CoolingMinor < 0 || p.LimitedMinor < 0 ||
		p.CoolingHours < 0 || p.WatchedTokens < 0 || len(b.Entity) == 0 || len(b.Entity) > maxText || len(b.Certificate) == 0 || len(b.Webhook) > maxText {
		return outcome{problem: refusal(422, "policy", "the policy or a name is out of range")}
	}
	return outcome{kind: journal.Opened, records: []record{q}, reply: viewRequestor(q)}
}

// suspendRequestor stops or restarts all its tokens. The command's Token is the requestor's id.
func (s *TSP) suspendRequestor(c *Command, b *tspapi.SuspendRequestor) outcome {
	if c.Caller.Role != CallerOperator {
		return outcome{problem: denied()}
	}
	old := s.state.requestor(c.Token)
	if old == nil {
		return outcome{problem: refusal(404, "no-such-requestor", "there is no such requestor")}
	}
	q := *old
	q.Suspended = b.Suspended
	return outcome{kind: journal.ParameterChanged, records: []record{&q}, reply: viewRequestor(&q)}
}

func viewRequestor(q *Requestor) tspapi.Requestor {
	v := tspapi.Requestor{ID: q.ID, Entity: q.Entity, Domain: q.Domain, Policy: q.Policy, Webhook: q.Webhook, Suspended: q.Suspended}
	for storage, name := range storageNames {
		if storage > 0 && q.UseCases&(1<<(storage-1)) != 0 {
			v.UseCases = append(v.UseCases, name)
		}
	}
	return v
}

// Caller finds who calls with a certificate of that common name. It may be called at any time.
func (s *TSP) Caller(certificate string) (Caller, bool) {
	for id, q := range *s.state.requestors.Load() {
		if q.Certificate == certificate {
			return Caller{CallerRequestor, id}, true
		}
	}
	for i := range s.deps.Issuers {
		if b := &s.deps.Issuers[i]; b.Certificate == certificate && certificate != "" {
			return Caller{CallerIssuer, b.Institution}, true
		}
	}
	return Caller{}, false
}

// Lists of a domain hold at most this many characters in each entry, by kind, and this many entries; the interface enforces the same.
const (
	maxMerchantChars = 15
	maxMerchants     = 16
	maxCategories    = 32
	maxCountries     = 32
	maxCurrencies    = 16
)

// wrongDomain names what is not sound, "" when all is.
func wrongDomain(d *tspapi.Domain) string {
	digits := func(n int) func(string) bool {
		return func(s string) bool {
			return len(s) == n && !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < '0' || c > '9' })
		}
	}
	known := func(s string) bool {
		return s == PresentContactless || s == PresentContact || s == PresentCode || s == PresentRemote
	}
	merchant := func(s string) bool { return len(s) > 0 && len(s) <= maxMerchantChars }
	for _, part := range [...]struct {
		name  string
		list  []string
		most  int
		sound func(string) bool
	}{
		{"presentments", d.Presentments, 4, known}, {"merchants", d.Merchants, maxMerchants, merchant}, {"categories", d.Categories, maxCategories, digits(4)},
		{"countries", d.Countries, maxCountries, digits(3)}, {"currencies", d.Currencies, maxCurrencies, digits(3)},
	} {
		if len(part.list) > part.most || slices.ContainsFunc(part.list, func(s string) bool { return !part.sound(s) }) {
			return part.name
		}
	}
	return ""
}
