package contact_test

import (
	"testing"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/tlv"
)

func setTag(tag tlv.Tag, value string) func(*scene) {
	return func(s *scene) { s.data.Set(tag, unhex(s, value)) }
}

func with(changes ...func(*scene)) func(*scene) {
	return func(s *scene) {
		for _, c := range changes {
			c(s)
		}
	}
}

func cvmList(rules string) func(*scene) { return setTag(emv.TagCVMList, "0000000000000000"+rules) }

func offline(s *scene)  { s.wants = emv.TC }
func noHost(s *scene)   { s.host = contact.HostSilent{} }
func declines(s *scene) { s.host = contact.HostAnswer{ARC: [2]byte{'5', '1'}} }
func cda(s *scene)      { s.aip = emv.AIP{0x7D, 0} }

func answered(n int, b ...byte) func(*scene) { return func(s *scene) { s.answer[n] = b } }
func gone(n int) func(*scene)                { return answered(n) }

func scripts(hexes string) func(*scene) {
	return func(s *scene) {
		h := s.host.(contact.HostAnswer)
		h.Scripts = unhex(s, hexes)
		s.host = h
	}
}

// outcomes is each branch of the dialogue: what changes, and what becomes of the payment. tvr and tsi are those of the end.
var outcomes = []struct {
	name   string
	change func(*scene)
	kind   kernel.OutcomeKind
	why    contact.Reason
	tvr    string
	tsi    string
	cvm    string
}{
	{"online, approved", nil, kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "410302"},
	{"offline, approved", offline, kernel.Approved, contact.ReasonApproved, "0000000000", "E800", "410302"},
	{"format 2", func(s *scene) { s.format2 = true }, kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "410302"},
	{"issuer declines", declines, kernel.Declined, contact.ReasonIssuerDeclined, "0000000000", "E800", "410302"},
	{"host silent, default codes let it pass", noHost, kernel.Approved, contact.ReasonApprovedWithoutHost, "0000000000", "E800", "410302"},
	{"host silent, default codes stop it", with(noHost, func(s *scene) { s.cfg.Applications[0].FloorLimit = money.Amount{} }), kernel.Declined,
		contact.ReasonHostSilent, "0000008000", "E800", "410302"},
	{"card declines first", func(s *scene) { s.wants = emv.AAC }, kernel.Declined, contact.ReasonCardDeclined, "0000000000", "E800", "410302"},
	{"card declines the issuer's approval", func(s *scene) { s.refuses = true }, kernel.Declined, contact.ReasonCardDeclinedHost, "0000000000", "F800", "410302"},
	{"issuer authentication fails", func(s *scene) { s.authSW = apdu.IssuerAuthenticationFailed }, kernel.Approved, contact.ReasonIssuerApproved, "0000000040", "F800", "410302"},
	{"issuer authentication in the second GENERATE AC", func(s *scene) { s.aip = emv.AIP{0x78, 0} }, kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "E800", "410302"},
	{"no host in this terminal", with(offline, func(s *scene) { s.tx.OfflineOnly = true }), kernel.Approved, contact.ReasonApproved, "0000000000", "E800", "410302"},
	{"no host in this terminal, card asks", func(s *scene) { s.tx.OfflineOnly = true }, kernel.Approved, contact.ReasonApprovedWithoutHost, "0000000000", "E800", "410302"},
	{"a terminal that may only go online, without a line", func(s *scene) { s.cfg.Terminal.Type, s.tx.OfflineOnly = 0x21, true }, kernel.Declined,
		contact.ReasonHostSilent, "0000000000", "E800", "410302"},
	{"the same, allowed to decide for itself", with(offline, func(s *scene) { s.cfg.Terminal.Type, s.tx.OfflineOnly, s.cfg.OnlineOnlyDefault = 0x21, true, true }),
		kernel.Approved, contact.ReasonApproved, "0000000000", "E800", "410302"},

	// authentication
	{"CDA", cda, kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "410302"},
	{"CDA offline", with(cda, offline), kernel.Approved, contact.ReasonApproved, "0000000000", "E800", "410302"},
	{"SDA", func(s *scene) { s.aip = emv.AIP{0x5C, 0} }, kernel.Approved, contact.ReasonIssuerApproved, "0200000000", "F800", "410302"},
	{"no authentication in common", func(s *scene) { s.aip = emv.AIP{0x1C, 0} }, kernel.Approved, contact.ReasonIssuerApproved, "8000000000", "7800", "410302"},
	{"DDA fails", func(s *scene) {
		s.override[apdu.InsInternalAuthenticate] = ok(tlv.Append(nil, emv.TagResponse1, make([]byte, 128)))
	},
		kernel.Approved, contact.ReasonIssuerApproved, "0800000000", "F800", "410302"},
	{"no certificate", func(s *scene) { s.issuer.Delete(emv.TagIssuerCertificate) }, kernel.Approved, contact.ReasonIssuerApproved, "2800000000", "F800", "410302"},
	{"DDOL without random number", func(s *scene) { s.icc.Set(emv.TagDDOL, unhex(s, "9F0206")) }, kernel.Approved, contact.ReasonIssuerApproved, "0800000000", "F800", "410302"},
	{"card refuses to sign", func(s *scene) { s.override[apdu.InsInternalAuthenticate] = sw(apdu.ConditionsNotSatisfied) }, kernel.EndApplication,
		contact.ReasonCommandRefused, "0000000000", "0000", "3F0000"},

	// restrictions
	{"expired", setTag(emv.TagExpiryDate, "261120"), kernel.Approved, contact.ReasonIssuerApproved, "0040000000", "F800", "410302"},
	{"good on its last day", setTag(emv.TagExpiryDate, "261121"), kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "410302"},
	{"not yet good", setTag(emv.TagEffectiveDate, "261122"), kernel.Approved, contact.ReasonIssuerApproved, "0020000000", "F800", "410302"},
	{"other version", setTag(emv.TagCardVersion, "0020"), kernel.Approved, contact.ReasonIssuerApproved, "0080000000", "F800", "410302"},
	{"cash machines only", setTag(emv.TagUsageControl, "C200"), kernel.Declined, contact.ReasonTerminalDeclined, "0010000000", "E800", "410302"},
	{"no goods abroad", with(setTag(emv.TagUsageControl, "AB00"), setTag(emv.TagIssuerCountry, "0344")), kernel.Declined, contact.ReasonTerminalDeclined, "0010000000", "E800", "410302"},

	// risk
	{"above the floor limit", func(s *scene) { s.tx.Amount = money.New(50_000, money.CNY) }, kernel.Approved, contact.ReasonIssuerApproved, "0000008000", "F800", "410302"},
	{"merchant wants the issuer", func(s *scene) { s.tx.ForceOnline = true }, kernel.Approved, contact.ReasonIssuerApproved, "0000000800", "F800", "410302"},
	{"always drawn", func(s *scene) { s.cfg.Applications[0].TargetPercent, s.cfg.Applications[0].MaxTargetPercent = 99, 99 }, kernel.Approved,
		contact.ReasonIssuerApproved, "0000001000", "F800", "410302"},
	{"new card", with(setTag(emv.TagLowerOfflineLimit, "03"), setTag(emv.TagUpperOfflineLimit, "05"), func(s *scene) { s.get[emv.TagLastOnlineATC] = []byte{0, 0} }),
		kernel.Approved, contact.ReasonIssuerApproved, "0008000000", "F800", "410302"},
	{"many offline", with(setTag(emv.TagLowerOfflineLimit, "01"), setTag(emv.TagUpperOfflineLimit, "05")), kernel.Approved, contact.ReasonIssuerApproved, "0000004000", "F800", "410302"},
	{"counters not told", with(setTag(emv.TagLowerOfflineLimit, "01"), setTag(emv.TagUpperOfflineLimit, "05"), func(s *scene) { delete(s.get, emv.TagATC) }),
		kernel.Approved, contact.ReasonIssuerApproved, "0000006000", "F800", "410302"},

	// verification
	{"online PIN", cvmList("4203 1F00"), kernel.Approved, contact.ReasonIssuerApproved, "0000040000", "F800", "420300"},
	{"enciphered PIN", cvmList("4403 1F00"), kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "440302"},
	{"PIN and signature", cvmList("0300"), kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "030000"},
	{"signature", cvmList("5E03 1F00"), kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "5E0300"},
	{"no verification", cvmList("1F00"), kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "1F0002"},
	{"document", with(cvmList("2000"), setTag(emv.TagHolderIDNumber, "31313031"), setTag(emv.TagHolderIDType, "00"), func(s *scene) { s.papers = true }),
		kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "200002"},
	{"other document", with(cvmList("6000 1F00"), setTag(emv.TagHolderIDNumber, "31313031"), setTag(emv.TagHolderIDType, "00")),
		kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "1F0002"},
	{"wrong PIN once", func(s *scene) { s.pins = []string{"000000", testPIN} }, kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "F800", "410302"},
	{"wrong PIN thrice", with(cvmList("4103 1F00"), func(s *scene) { s.pins = []string{"000000", "000000", "000000"} }), kernel.Approved,
		contact.ReasonIssuerApproved, "0000200000", "F800", "1F0002"},
	{"PIN blocked before, the issuer checks it", func(s *scene) { s.tries = 0 }, kernel.Approved, contact.ReasonIssuerApproved, "0000240000", "F800", "420300"},
	{"PIN bypassed", func(s *scene) { s.pins = nil }, kernel.Declined, contact.ReasonTerminalDeclined, "0000080000", "E800", "1F0002"},
	{"list ends without success", cvmList("0105"), kernel.Declined, contact.ReasonTerminalDeclined, "0000800000", "E800", "3F0001"},
	{"unknown method", cvmList("4A00 1F00"), kernel.Approved, contact.ReasonIssuerApproved, "0000400000", "F800", "1F0002"},
	{"method says fail", cvmList("0000"), kernel.Declined, contact.ReasonTerminalDeclined, "0000800000", "E800", "000001"},
	{"no PIN pad", with(cvmList("4200 1F00"), func(s *scene) { s.cfg.Terminal.Capabilities = emv.TerminalCapabilities{0xE0, 0x28, 0xC8} }),
		kernel.Declined, contact.ReasonTerminalDeclined, "0000100000", "E800", "1F0002"},
	{"no list", func(s *scene) { s.data.Delete(emv.TagCVMList) }, kernel.Approved, contact.ReasonIssuerApproved, "2000000000", "B800", "3F0000"},
	{"verification not supported", func(s *scene) { s.aip = emv.AIP{0x6C, 0} }, kernel.Approved, contact.ReasonIssuerApproved, "0000000000", "B800", "3F0000"},

	// the card's misbehaviour
	{"gone at the directory", gone(1), kernel.TryAgain, contact.ReasonCardRemoved, "0000000000", "0000", "000000"},
	{"gone at GET PROCESSING OPTIONS", gone(5), kernel.TryAgain, contact.ReasonCardRemoved, "0000000000", "0000", "3F0000"},
	{"approval not asked for", with(func(s *scene) {
		s.override[apdu.InsGenerateAC] = ok(unhex(s, "8012 40 0003 0102030405060708 07010103A0000001"))
	},
		func(s *scene) { s.tx.ForceOnline = true }), kernel.EndApplication, contact.ReasonCardAnswerMalformed, "0000000800", "E800", "410302"},
	{"more than asked", with(func(s *scene) {
		s.override[apdu.InsGenerateAC] = ok(unhex(s, "8013 40 0003 0102030405060708 07010103A0000001"))
	},
		func(s *scene) { s.tx.ForceOnline = true }), kernel.EndApplication, contact.ReasonUnaskedCryptogram, "0000000800", "E800", "410302"},
	{"no CDOL", func(s *scene) { s.data.Delete(emv.TagCDOL1) }, kernel.EndApplication, contact.ReasonMissingData, "0000000000", "0000", "3F0000"},
	{"twice the number", func(s *scene) { s.issuer.Set(emv.TagPAN, unhex(s, testPAN)) }, kernel.EndApplication, contact.ReasonDuplicateData, "0000000000", "0000", "3F0000"},
	{"another number in track 2", func(s *scene) { s.issuer.Set(emv.TagTrack2, unhex(s, "6299991000000028D30122010000000F")) }, kernel.EndApplication,
		contact.ReasonContradictoryData, "0000000000", "0000", "3F0000"},
	{"blocked card", answered(1, 0x6A, 0x81), kernel.EndApplication, contact.ReasonCardBlocked, "0000000000", "0000", "000000"},
	{"blocked application", func(s *scene) { s.pse, s.blocked = false, true }, kernel.EndApplication, contact.ReasonApplicationBlocked, "0000000000", "0000", "000000"},
	{"no application in common", func(s *scene) { s.aids = []emv.AID{emv.AIDTransitCash} }, kernel.EndApplication, contact.ReasonNoCommonApplication, "0000000000", "0000", "000000"},
}

func TestOutcomes(t *testing.T) {
	for _, tt := range outcomes {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			if tt.change != nil {
				tt.change(s)
			}
			o := s.run()
			if o.Kind != tt.kind || o.Reason != tt.why {
				t.Errorf("%v | %v | %v, want %v | %v\n%s", o.Kind, o.Reason, o.Detail.EN, tt.kind, tt.why, s.course())
			}
			if o.TVR.Hex() != tt.tvr || o.TSI.Hex() != tt.tsi {
				t.Errorf("TVR %v TSI %v, want %s %s", o.TVR, o.TSI, tt.tvr, tt.tsi)
			}
			if o.CVM.Hex() != tt.cvm {
				t.Errorf("CVM results %s, want %s", o.CVM.Hex(), tt.cvm)
			}
		})
	}
}
