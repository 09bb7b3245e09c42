package cloudse

import (
	"slices"
	"time"

	"tapnet/emv/cloudkey"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/iso8583/unionpay"
)

// payment is everything the rules look at.
type payment struct {
	now    time.Time
	date   int32
	minor  int64
	home   bool // in the token's currency
	abroad bool
	m      *unionpay.TokenRequest
	f      *finding
	t      *token // nil: unknown
	batch  *batch
	hash   paymentHash
}

// outcome is what becomes of it.
type outcome struct {
	reason unionpay.TokenReason
	cause  cloudseapi.Cause
	uses   bool // the counter
	wrong  bool
	right  bool // of the strongest class
	counts bool
	proven bool // cryptogram and device tag are right
}

// decide goes through the rules in their order [REF 8]. The first that does not hold is the reason.
func (s *Service) decide(p *payment) outcome {
	if reason := s.admit(p); reason != 0 {
		return outcome{reason: reason}
	}
	switch {
	case !p.f.result.Cryptogram:
		out := outcome{reason: unionpay.CredentialCryptogram, wrong: true}
		if p.t.wrong+1 >= s.policy.WrongMost {
			out.cause = cloudseapi.CausePassword
		}
		return out
	case !p.f.result.Device && p.f.chip.remote.present:
		return outcome{reason: unionpay.CredentialMerchant}
	case !p.f.result.Device:
		// A right key off its device: nothing a phone or a terminal does by mistake.
		return outcome{reason: unionpay.CredentialDeviceTag, cause: cloudseapi.CauseDevice}
	}
	if u, used := p.batch.findUse(p.f.chip.atc); used {
		if u.hash == p.hash {
			return outcome{reason: u.reason, proven: true}
		}
		return outcome{reason: unionpay.CounterRepeated, cause: cloudseapi.CauseClone, proven: true}
	}
	// From here on the counter is used, whatever the answer.
	out := outcome{reason: s.judge(p), uses: true, proven: true, right: p.f.slot.class == p.t.cvm}
	out.counts = out.reason == unionpay.TokenVerified
	return out
}

// admit looks at what is known before any cryptogram: the state of the token, the domain of its keys, class and life. 0: all holds.
func (s *Service) admit(p *payment) unionpay.TokenReason {
	t, f := p.t, p.f
	if t == nil || f.number != t.fingerprint {
		return unionpay.TokenUnknown
	}
	if t.causes != 0 {
		if t.causes&cloudseapi.CausePassword != 0 {
			return unionpay.TokenPasswordLocked
		}
		return unionpay.CredentialSuspended
	}
	switch {
	case !f.chip.present:
		return unionpay.TokenNoCryptogram
	case f.chip.remote.present && !f.chip.agrees:
		return f.chip.remote.disagrees()
	case !f.chip.agrees || !p.m.EntryMode.Contactless() && !f.chip.remote.present:
		return unionpay.CredentialEvidence
	case !t.speaks(&f.chip.iad) || sequenceOf(p.m.CardSequence) != t.sequence:
		return unionpay.CredentialUnknown
	}
	switch {
	case p.batch == nil && f.chip.atc < t.nextATC && f.chip.atc != 0:
		return unionpay.CredentialRevoked // of a batch that is forgotten
	case p.batch == nil || p.batch.bseq != f.chip.iad.BSEQ:
		return unionpay.CredentialUnknown
	}
	if reason := s.classFits(p); reason != 0 {
		return reason
	}
	at := p.now.Unix()
	switch {
	case p.batch.revokedAt != 0 && at >= p.batch.revokedAt:
		return unionpay.CredentialRevoked
	case at > p.batch.notAfter+int64(s.policy.LateGrace.Seconds()):
		return unionpay.CredentialExpired
	}
	return 0
}

// classFits compares the class of the key with the amount, the merchant and what the phone says: a flag can never make more of a key than it is.
func (s *Service) classFits(p *payment) unionpay.TokenReason {
	class := p.f.slot.class
	if p.f.chip.iad.CVM.Class() != class {
		return unionpay.CredentialEvidence
	}
	if class.CVM() {
		return 0
	}
	if p.f.chip.remote.present || !p.home || p.minor > p.limits(s).OpenTapMinor || slices.Contains(s.policy.CVMCategories, p.m.MerchantType) {
		return unionpay.CredentialNeedsCVM
	}
	return 0
}

func (p *payment) limits(s *Service) cloudseapi.Limits { return limitsOr(p.t.limits, s.policy.Limits) }

// judge looks at what the device tag protects, and at limits.
func (s *Service) judge(p *payment) unionpay.TokenReason {
	e, l := &p.f.chip.iad, p.limits(s)
	latency := time.Duration(e.Latency) * cloudkey.LatencyUnitMillis * time.Millisecond
	switch {
	case e.CVM == cloudkey.CVMTypeNone && p.f.chip.claimed:
		return unionpay.CredentialEvidence // the terminal was told of a verification that did not happen
	case s.policy.MaxLatency > 0 && latency > s.policy.MaxLatency:
		return unionpay.CredentialEvidence
	case p.minor > l.OpenTapMinor && time.Duration(e.CVMAge)*cloudkey.CVMAgeUnitSeconds*time.Second > s.policy.CVMAge:
		return unionpay.CredentialNeedsCVM // verified, but too long ago
	case p.minor > l.TapMinor:
		return unionpay.CredentialTapLimit
	}
	where, most := 0, l.DayMinor
	if p.abroad {
		where, most = 1, l.ForeignDayMinor
	}
	today := p.t.days[where]
	if today.date != p.date {
		today = day{}
	}
	switch {
	case today.minor+p.minor > most || today.count+1 > l.DayCount:
		return unionpay.CredentialDayLimit
	case p.t.contact.taps+1 > l.ContactTaps || p.t.contact.minor+p.minor > l.ContactMinor:
		return unionpay.CredentialNeedsRefill
	}
	return unionpay.TokenVerified
}

// sequenceOf turns field 23 (three digits) into the two digits of key derivation; absent means 00 [EMV B2 A1.4.1].
func sequenceOf(field23 string) string {
	if len(field23) == 3 && field23[0] == '0' {
		return field23[1:]
	}
	return "00"
}
