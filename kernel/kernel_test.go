package kernel_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/glossary"
	"tapnet/kernel"
	"tapnet/money"
	"tapnet/tlv"
)

// row is one line of the decision table [REF 2.7].
type row struct {
	name   string
	change func(*scene)
	kind   kernel.OutcomeKind
	why    kernel.Reason
	cvm    kernel.CVM
	oda    kernel.ODAStatus
}

func online(s *scene) {
	s.setCID(emv.ARQC)
	s.gpo.Delete(emv.TagAFL)
	s.unsigned = true
}

func offlineOnly(s *scene) { s.tx.TTQ = emv.TTQ{0x28, 0, 0, 0x80} }

func both(changes ...func(*scene)) func(*scene) {
	return func(s *scene) {
		for _, change := range changes {
			change(s)
		}
	}
}

func ttq(bits ...emv.TTQBit) func(*scene) {
	return func(s *scene) {
		for _, b := range bits {
			s.tx.TTQ.Set(b)
		}
	}
}

func without(bits ...emv.TTQBit) func(*scene) {
	return func(s *scene) {
		for _, b := range bits {
			s.tx.TTQ.Clear(b)
		}
	}
}

func ctq(bits ...emv.CTQBit) func(*scene) { return func(s *scene) { s.setCTQ(bits...) } }

func refuse(sw apdu.SW) func(*scene) { return func(s *scene) { s.sw = sw } }

func noCTQ(s *scene) { s.gpo.Delete(emv.TagCTQ) }

func expired(s *scene) { s.data.Set(emv.TagExpiryDate, unhex(s, "261120")) }

// badSignature breaks the dynamic signature after everything is signed.
func badSignature(s *scene) {
	s.late = func(s *scene) {
		b := append([]byte(nil), s.gpo.Get(emv.TagSDAD)...)
		b[40] ^= 1
		s.gpo.Set(emv.TagSDAD, b)
	}
}

func late(change func(*scene)) func(*scene) { return func(s *scene) { s.late = change } }

func drop(tag tlv.Tag) func(*scene) {
	return late(func(s *scene) {
		for _, d := range []*emv.Data{&s.gpo, &s.issuer, &s.icc, &s.data, &s.last} {
			d.Delete(tag)
		}
	})
}

func flip(at func(*scene) *emv.Data, tag tlv.Tag) func(*scene) {
	return late(func(s *scene) {
		d := at(s)
		b := append([]byte(nil), d.Get(tag)...)
		b[len(b)/2] ^= 0x01
		d.Set(tag, b)
	})
}

func issuer(s *scene) *emv.Data { return &s.issuer }
func icc(s *scene) *emv.Data    { return &s.icc }
func last(s *scene) *emv.Data   { return &s.last }

const (
	na   = kernel.CVMNotApplicable
	none = kernel.CVMNone
	pin  = kernel.CVMOnlinePIN
	sign = kernel.CVMSignature
	code = kernel.CVMConfirmationCode
)

var table = []row{
	// The answer to GET PROCESSING OPTIONS.
	{"approved", func(*scene) {}, kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"approved offline only", offlineOnly, kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"online", online, kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, 0},
	{"declined", func(s *scene) { s.setCID(emv.AAC) }, kernel.Declined, kernel.ReasonCardDeclined, na, 0},
	{"see phone", refuse(apdu.CommandNotAllowed), kernel.TryAgain, kernel.ReasonSeePhone, na, 0},
	{"PIN blocked", refuse(apdu.PINBlockedBefore), kernel.TryAnotherInterface, kernel.ReasonPINBlocked, na, 0},
	{"PIN blocked, no contact", both(refuse(apdu.PINBlockedBefore), without(emv.TTQContact)),
		kernel.TryAnotherInterface, kernel.ReasonPINBlocked, na, 0},
	{"PIN blocked declines", both(refuse(apdu.PINBlockedBefore), func(s *scene) { s.cfg.PINBlockedDeclines = true }),
		kernel.Declined, kernel.ReasonPINBlocked, na, 0},
	{"refused", refuse(apdu.ConditionsNotSatisfied), kernel.TryAnotherInterface, kernel.ReasonCardRefused, na, 0},
	{"refused, no contact", both(refuse(apdu.ConditionsNotSatisfied), without(emv.TTQContact)),
		kernel.EndApplication, kernel.ReasonCardRefused, na, 0},
	{"refused 6A81", refuse(apdu.FunctionNotSupported), kernel.TryAnotherInterface, kernel.ReasonCardRefused, na, 0},
	{"refused 6283", both(refuse(apdu.ApplicationBlocked), without(emv.TTQContact)), kernel.EndApplication, kernel.ReasonCardRefused, na, 0},
	{"full dialogue", func(s *scene) { s.gpo.Set(emv.TagAIP, unhex(s, "7C80")) },
		kernel.TryAnotherInterface, kernel.ReasonFullDialogue, na, 0},
	{"online card, offline reader", both(online, offlineOnly), kernel.Declined, kernel.ReasonOnlineNotPossible, na, 0},
	{"approval nobody asked for", ttq(emv.TTQOnlineCryptogramRequired), kernel.Declined, kernel.ReasonUnaskedApproval, na, 0},
	{"approval nobody asked for, allowed", both(ttq(emv.TTQOnlineCryptogramRequired), func(s *scene) { s.cfg.AllowUnaskedTC = true }),
		kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"cryptogram information as a tag", func(s *scene) { s.gpo.Set(emv.TagCID, []byte{0x40}) },
		kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"cryptogram information contradicts", func(s *scene) { s.gpo.Set(emv.TagCID, []byte{0x80}) },
		kernel.EndApplication, kernel.ReasonContradictoryData, na, 0},
	{"reserved cryptogram", func(s *scene) { s.gpo.Set(emv.TagIAD, unhex(s, "07010103B0000001")) },
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"foreign issuer data without information", func(s *scene) { s.gpo.Set(emv.TagIAD, unhex(s, "AABB")) },
		kernel.EndApplication, kernel.ReasonMissingData, na, 0},

	// Data of the answer.
	{"no AIP", drop(emv.TagAIP), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"no AFL", drop(emv.TagAFL), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"no counter", drop(emv.TagATC), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"no cryptogram", drop(emv.TagAC), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"no issuer data", drop(emv.TagIAD), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"approved without track 2", drop(emv.TagTrack2), kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"online without track 2", both(online, drop(emv.TagTrack2)), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"short counter", func(s *scene) { s.late = func(s *scene) { s.gpo.Set(emv.TagATC, []byte{1}) } },
		kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"long qualifiers", late(func(s *scene) { s.gpo.Set(emv.TagCTQ, []byte{0, 0, 0}) }),
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"broken track 2", late(func(s *scene) { s.gpo.Set(emv.TagTrack2, []byte{0xEE}) }),
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"broken AFL", late(func(s *scene) { s.gpo.Set(emv.TagAFL, []byte{8, 1, 1}) }),
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"endless AFL", late(func(s *scene) { s.gpo.Set(emv.TagAFL, []byte{8, 1, 40, 0}) }),
		kernel.EndApplication, kernel.ReasonTooManyRecords, na, 0},
	{"twice the counter", func(s *scene) {
		s.answer[1] = apdu.OK.Append(tlv.Wrap(emv.TagResponse2, unhex(s, "9F36020003 9F36020004")))
	}, kernel.EndApplication, kernel.ReasonDuplicateData, na, 0},
	{"format 1", func(s *scene) { s.answer[1] = unhex(s, "8006 7C00 08010100 9000") },
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"empty answer", func(s *scene) { s.answer[1] = unhex(s, "9000") }, kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"one byte", func(s *scene) { s.answer[1] = unhex(s, "90") }, kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"bytes behind the template", func(s *scene) { s.answer[1] = unhex(s, "7700 5A00 9000") },
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},

	// Records.
	{"record refused", func(s *scene) { s.answer[4] = unhex(s, "6A83") }, kernel.EndApplication, kernel.ReasonRecordRefused, na, 0},
	{"last record refused", func(s *scene) { s.answer[5] = unhex(s, "6985") }, kernel.EndApplication, kernel.ReasonRecordRefused, na, 0},
	{"record without template", func(s *scene) { s.answer[2] = unhex(s, "5A00 9000") },
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"record torn short", func(s *scene) { s.answer[3] = unhex(s, "7005 9F4701 9000") },
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"no number in the records", drop(emv.TagPAN), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"no expiry date", drop(emv.TagExpiryDate), kernel.EndApplication, kernel.ReasonMissingData, na, 0},
	{"impossible expiry date", late(func(s *scene) { s.data.Set(emv.TagExpiryDate, unhex(s, "300231")) }),
		kernel.EndApplication, kernel.ReasonCardAnswerMalformed, na, 0},
	{"expiry date twice", late(func(s *scene) { s.last.Set(emv.TagExpiryDate, unhex(s, "301231")) }),
		kernel.EndApplication, kernel.ReasonDuplicateData, na, 0},
	{"the same sequence number twice is no harm", func(s *scene) { s.data.Set(emv.TagPANSequence, unhex(s, "01")) },
		kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"two sequence numbers", func(s *scene) { s.data.Set(emv.TagPANSequence, unhex(s, "02")) },
		kernel.EndApplication, kernel.ReasonContradictoryData, na, 0},
	{"track 2 of another card", func(s *scene) { s.gpo.Set(emv.TagTrack2, unhex(s, "6299991000000028D30122010000000F")) },
		kernel.EndApplication, kernel.ReasonContradictoryData, na, 0},

	// Expiry and exception file.
	{"last day", func(s *scene) { s.data.Set(emv.TagExpiryDate, unhex(s, "261121")) },
		kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"expired", expired, kernel.Declined, kernel.ReasonExpired, na, 0},
	{"expired, card wants online", both(expired, ctq(emv.CTQOnlineIfExpired)), kernel.OnlineRequest, kernel.ReasonExpiredOnline, none, 0},
	{"expired, card wants online, no line", both(expired, ctq(emv.CTQOnlineIfExpired), offlineOnly),
		kernel.Declined, kernel.ReasonExpired, na, 0},
	{"stop list", func(s *scene) {
		s.cfg.ExceptionFile = func(p kernel.Presented) bool { return p.Number.Reveal() == testPAN }
	}, kernel.Declined, kernel.ReasonExceptionFile, na, 0},
	{"not on the stop list", func(s *scene) { s.cfg.ExceptionFile = func(kernel.Presented) bool { return false } },
		kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},

	// Cardholder verification.
	{"PIN", both(online, ctq(emv.CTQOnlinePIN), ttq(emv.TTQCVMRequired)), kernel.OnlineRequest, kernel.ReasonIssuerDecides, pin, 0},
	{"PIN the card wants though the reader does not", both(online, ctq(emv.CTQOnlinePIN)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, pin, 0},
	{"PIN goes before the phone", both(online, ctq(emv.CTQOnlinePIN, emv.CTQCDCVM)), kernel.OnlineRequest, kernel.ReasonIssuerDecides, pin, 0},
	{"phone", both(online, ctq(emv.CTQCDCVM), ttq(emv.TTQCVMRequired)), kernel.OnlineRequest, kernel.ReasonIssuerDecides, code, 0},
	{"phone goes before signature", both(online, ctq(emv.CTQCDCVM, emv.CTQSignature)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, code, 0},
	{"phone offline, signed", both(ctq(emv.CTQCDCVM), ttq(emv.TTQCVMRequired)),
		kernel.Approved, kernel.ReasonApproved, code, kernel.ODAPassed},
	{"phone offline, signed copy differs", both(ctq(emv.CTQCDCVM), ttq(emv.TTQCVMRequired), func(s *scene) { s.signCTQ = []byte{0, 0} }),
		kernel.Declined, kernel.ReasonNoCVM, na, 0},
	{"signature", both(ctq(emv.CTQSignature), ttq(emv.TTQCVMRequired)), kernel.Approved, kernel.ReasonApproved, sign, kernel.ODAPassed},
	{"signature online", both(online, ctq(emv.CTQSignature), ttq(emv.TTQCVMRequired)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, sign, 0},
	{"nothing in common", both(online, ctq(), ttq(emv.TTQCVMRequired)), kernel.Declined, kernel.ReasonNoCVM, na, 0},
	{"nothing in common, other interface", both(online, ttq(emv.TTQCVMRequired), func(s *scene) { s.cfg.SwitchIfNoCVM = true }),
		kernel.TryAnotherInterface, kernel.ReasonNoCVM, na, 0},
	{"card wants a PIN, reader has no pad", both(online, ctq(emv.CTQOnlinePIN), without(emv.TTQOnlinePIN)),
		kernel.Declined, kernel.ReasonNoCVM, na, 0},
	{"card wants PIN or signature, reader signs", both(online, ctq(emv.CTQOnlinePIN, emv.CTQSignature), without(emv.TTQOnlinePIN)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, sign, 0},
	{"card wants a signature, reader cannot", both(ctq(emv.CTQSignature), without(emv.TTQSignature)),
		kernel.Declined, kernel.ReasonNoCVM, na, 0},
	{"PIN for an offline approval goes online", ctq(emv.CTQOnlinePIN), kernel.OnlineRequest, kernel.ReasonPINOnline, pin, kernel.ODAPassed},
	{"no qualifiers, nothing required", both(online, noCTQ), kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, 0},
	{"no qualifiers, signature first", both(online, noCTQ, ttq(emv.TTQCVMRequired)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, sign, 0},
	{"no qualifiers, then PIN", both(online, noCTQ, ttq(emv.TTQCVMRequired), without(emv.TTQSignature)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, pin, 0},
	{"no qualifiers, no way", both(online, noCTQ, ttq(emv.TTQCVMRequired), without(emv.TTQSignature, emv.TTQOnlinePIN)),
		kernel.Declined, kernel.ReasonNoCVM, na, 0},

	// Offline data authentication.
	{"bad signature", badSignature, kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"bad signature, card wants online", both(badSignature, ctq(emv.CTQOnlineIfODAFails)),
		kernel.OnlineRequest, kernel.ReasonODAFailedOnline, none, kernel.ODAFailed},
	{"bad signature, card wants online, no line", both(badSignature, ctq(emv.CTQOnlineIfODAFails), offlineOnly),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"bad signature, card wants contact", both(badSignature, ctq(emv.CTQSwitchIfODAFails)),
		kernel.TryAnotherInterface, kernel.ReasonODAFailedSwitch, na, kernel.ODAFailed},
	{"bad signature, card wants contact, none there", both(badSignature, ctq(emv.CTQSwitchIfODAFails), without(emv.TTQContact)),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"bad signature, online goes before contact", both(badSignature, ctq(emv.CTQOnlineIfODAFails, emv.CTQSwitchIfODAFails)),
		kernel.OnlineRequest, kernel.ReasonODAFailedOnline, none, kernel.ODAFailed},
	{"no signature", drop(emv.TagSDAD), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no dynamic authentication in the profile", func(s *scene) { s.gpo.Set(emv.TagAIP, unhex(s, "5C00")) },
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no issuer certificate", drop(emv.TagIssuerCertificate), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no issuer exponent", drop(emv.TagIssuerExponent), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no card certificate", drop(emv.TagICCCertificate), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no card exponent", drop(emv.TagICCExponent), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no CA index", drop(emv.TagCAIndex), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"unknown CA", late(func(s *scene) { s.issuer.Set(emv.TagCAIndex, []byte{0x77}) }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"no CA keys", func(s *scene) { s.cfg.CAKeys = nil }, kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"issuer revoked", func(s *scene) { s.cfg.CAKeys.Revoke(emv.RIDUnionPay, 0xE0, [3]byte{0, 0, 7}) },
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"issuer certificate changed", flip(issuer, emv.TagIssuerCertificate), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"card certificate changed", flip(icc, emv.TagICCCertificate), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"signed record changed", late(func(s *scene) { s.data.Set(emv.TagExpiryDate, unhex(s, "351231")) }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"profile changed", late(func(s *scene) { s.gpo.Set(emv.TagAIP, unhex(s, "7C01")) }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"counter changed", late(func(s *scene) { s.gpo.Set(emv.TagATC, unhex(s, "0004")) }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"random number of the card changed", flip(last, emv.TagCardAuthData), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"signature for another amount", late(func(s *scene) { s.tx.Amount = money.New(1251, money.CNY) }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"replayed signature", late(func(s *scene) { s.tx.UnpredictableNumber[3]++ }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"short card authentication data", late(func(s *scene) { s.last.Set(emv.TagCardAuthData, []byte{1, 2}) }),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"certificate expired", func(s *scene) {
		s.data.Set(emv.TagExpiryDate, unhex(s, "351231"))
		s.tx.Date = s.tx.Date.AddDate(5, 0, 0)
	}, kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},

	// Versions of the dynamic signature.
	{"version 00 is not taken", both(version(0, "0020"), without(emv.TTQFDDA01)),
		kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"version 00 is taken", both(version(0, "0020"), allow00), kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"version 00 of a newer card", both(version(0, "0030"), allow00), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"version 00 of a newer card, reader without 01", both(version(0, "0030"), allow00, without(emv.TTQFDDA01)),
		kernel.Approved, kernel.ReasonApproved, none, kernel.ODAPassed},
	{"version 01 of an older card", version(1, "0020"), kernel.Declined, kernel.ReasonODAFailed, na, kernel.ODAFailed},
	{"version 00, phone offline has no signed copy", both(version(0, "0020"), allow00, ctq(emv.CTQCDCVM), ttq(emv.TTQCVMRequired)),
		kernel.Declined, kernel.ReasonNoCVM, na, 0},

	// Offline data authentication of an online transaction.
	{"deferred", deferred, kernel.Approved, kernel.ReasonDeferred, none, kernel.ODAPassed},
	{"deferred is off by default", both(deferred, func(s *scene) { s.cfg.ODAForOnline = false }),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, 0},
	{"deferred needs the reader's bit", both(deferred, without(emv.TTQODAForOnline)),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, 0},
	{"deferred needs the card's bit", both(deferred, func(s *scene) { s.sel.FCI = newScene(s).sel.FCI }),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, 0},
	{"deferred with a bad signature", both(deferred, badSignature), kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, kernel.ODAFailed},
	{"deferred with a PIN", both(deferred, ctq(emv.CTQOnlinePIN)), kernel.OnlineRequest, kernel.ReasonIssuerDecides, pin, kernel.ODAPassed},
	{"deferred, expired", both(deferred, expired), kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, kernel.ODAPassed},
	{"deferred, stop list", both(deferred, func(s *scene) { s.cfg.ExceptionFile = func(kernel.Presented) bool { return true } }),
		kernel.OnlineRequest, kernel.ReasonIssuerDecides, none, kernel.ODAPassed},

	// Application not for this kernel.
	{"no PDOL", func(s *scene) { s.sel.FCI = fci(s) }, kernel.SelectNext, kernel.ReasonNotThisKernel, na, 0},
	{"PDOL without qualifiers", func(s *scene) { s.sel.FCI = fci(s, tlv.Append(nil, emv.TagPDOL, unhex(s, "9F3704"))) },
		kernel.SelectNext, kernel.ReasonNotThisKernel, na, 0},
	{"broken PDOL", func(s *scene) { s.sel.FCI = fci(s, tlv.Append(nil, emv.TagPDOL, unhex(s, "9F66049F"))) },
		kernel.SelectNext, kernel.ReasonNotThisKernel, na, 0},
	{"greedy PDOL", func(s *scene) { s.sel.FCI = fci(s, tlv.Append(nil, emv.TagPDOL, unhex(s, "9F6604 9F4EFA"))) },
		kernel.SelectNext, kernel.ReasonNotThisKernel, na, 0},
	{"no FCI", func(s *scene) { s.sel.FCI = nil }, kernel.SelectNext, kernel.ReasonNotThisKernel, na, 0},

	// The card leaves.
	{"gone before it answers", func(s *scene) { s.answer[1] = nil }, kernel.TryAgain, kernel.ReasonCardRemoved, na, 0},
	{"gone at the first record", func(s *scene) { s.answer[2] = nil }, kernel.TryAgain, kernel.ReasonTorn, na, 0},
	{"gone at the last record", func(s *scene) { s.answer[5] = nil }, kernel.TryAgain, kernel.ReasonTorn, na, 0},
	{"online card gone at a record", both(deferred, func(s *scene) { s.answer[2] = nil }), kernel.TryAgain, kernel.ReasonCardRemoved, na, 0},
}

func version(v byte, application string) func(*scene) {
	return func(s *scene) {
		s.version = v
		s.data.Set(emv.TagCardVersion, unhex(s, application))
	}
}

func allow00(s *scene) { s.cfg.FDDA00Allowed = true }

func deferred(s *scene) {
	s.setCID(emv.ARQC)
	s.cfg.ODAForOnline = true
	s.tx.TTQ.Set(emv.TTQODAForOnline)
	s.sel.FCI = fci(s, tlv.Append(nil, emv.TagPDOL, unhex(s, pdol)), tlv.Wrap(emv.TagFCIDiscretionary, tlv.Append(nil, emv.TagExtendedIndicator, []byte{0x40})))
}

func TestDecisionTable(t *testing.T) {
	for _, r := range table {
		t.Run(r.name, func(t *testing.T) {
			s := newScene(t)
			r.change(s)
			o := s.run()
			if o.Kind != r.kind || o.Reason != r.why || o.CVM != r.cvm || o.ODA.Status != r.oda {
				t.Errorf("%v, %q, %v, authentication %d (%v)\nwant %v, %q, %v, authentication %d",
					o.Kind, o.Reason, o.CVM, o.ODA.Status, o.ODA.Failure, r.kind, r.why, r.cvm, r.oda)
			}
			checkOutcome(t, o)
		})
	}
}

// checkOutcome is what holds for every outcome.
func checkOutcome(t testing.TB, o kernel.Outcome) {
	t.Helper()
	switch {
	case o.Reason == kernel.ReasonNone:
		t.Error("outcome without a reason")
	case o.Kind == kernel.Approved && o.ODA.Status != kernel.ODAPassed && o.Reason == kernel.ReasonApproved:
		t.Error("approved without authentication")
	case o.Kind == kernel.Approved && o.Cryptogram != emv.TC && !o.Deferred:
		t.Error("approved without the card's approval")
	case o.Kind == kernel.Approved && o.CVM == kernel.CVMOnlinePIN:
		t.Error("approved with a PIN nobody checked")
	case o.Kind == kernel.OnlineRequest && !o.Data.Has(emv.TagAC):
		t.Error("online request without a cryptogram")
	case (o.ODA.Status == kernel.ODAFailed) != (o.ODA.Failure != nil):
		t.Error("failure of authentication without saying which, or the other way round")
	case (o.Kind == kernel.TryAgain) != (o.Start == kernel.StartB):
		t.Errorf("%v starts at %v", o.Kind, o.Start)
	case (o.Kind == kernel.SelectNext) != o.UI.IsZero():
		t.Errorf("%v shows %v", o.Kind, o.UI.Message)
	}
}

func TestSeePhone(t *testing.T) {
	s := newScene(t)
	s.sw = apdu.CommandNotAllowed
	o := s.run()
	if o.UI.Message != kernel.MessageSeePhone || o.RestartUI.Message != kernel.MessagePresentAgain || o.FieldOff.Milliseconds() != 1000 {
		t.Errorf("%+v %+v %v", o.UI, o.RestartUI, o.FieldOff)
	}
	if !strings.Contains(o.Detail.EN, "not allowed") {
		t.Errorf("detail %q", o.Detail.EN)
	}
}

// The acquirer finds everything for field 55 and the receipt.
func TestDataRecord(t *testing.T) {
	s := newScene(t)
	online(s)
	s.setCTQ(emv.CTQOnlinePIN)
	s.gpo.Set(emv.TagCardProduct, make([]byte, 16))
	o := s.run()
	for tag, want := range map[tlv.Tag]string{
		emv.TagAC: "0102030405060708", emv.TagCID: "80", emv.TagUnpredictableNumber: "1A2B3C4D", emv.TagATC: "0003", emv.TagTVR: "0000000000",
		emv.TagTransactionDate: "261121", emv.TagTransactionTime: "123059", emv.TagTransactionType: "00", emv.TagAmount: "000000001250",
		emv.TagCurrency: "0156", emv.TagAIP: "7C00", emv.TagTerminalCountry: "0156", emv.TagAmountOther: "000000000000",
		emv.TagTerminalCapabilities: "E0E1C8", emv.TagCVMResults: "020000", emv.TagTerminalType: "22", emv.TagDeviceSerial: "3030303030303031",
		emv.TagDFName: "A000000333010101", emv.TagTerminalVersion: "0030", emv.TagTransactionCounter: "00000017",
		emv.TagCardProduct: strings.Repeat("00", 16), emv.TagTrack2: testPAN + "D30122010000000F", emv.TagPANSequence: "01", emv.TagCTQ: "8000",
		emv.TagAvailableOffline: "000000007500",
	} {
		if got := fmt.Sprintf("%X", o.Data.Get(tag)); got != want {
			t.Errorf("%v = %s, want %s", tag, got, want)
		}
	}
	if iad, err := emv.ParseIAD(o.Data.Get(emv.TagIAD)); err != nil || iad.CryptogramType() != emv.ARQC {
		t.Errorf("issuer data: %v", err)
	}
	number, ok := o.PAN()
	expiry, dated := o.Expiry()
	atc, counted := o.ATC()
	if !ok || number.Reveal() != testPAN || !dated || expiry.YYMM() != "3012" || o.Sequence() != "01" || !counted || atc != 3 {
		t.Errorf("%v %v %s %d", number, expiry, o.Sequence(), atc)
	}
	if o.UI.Message != kernel.MessageEnterPIN || string(o.Discretionary.Get(emv.TagApplicationLabel)) != "TEST" {
		t.Errorf("shows %v, label %s", o.UI.Message, o.Discretionary)
	}
	if text := fmt.Sprintf("%v %+v", o, o.Data); strings.Contains(text, testPAN) {
		t.Error("an outcome prints the account number")
	}
}

// A card pays when it answers its last record, so a payment that is bound to fail ends before.
func TestHopelessPaymentIsNotMade(t *testing.T) {
	const beforeLast, all = 4, 5
	for name, x := range map[string]struct {
		change   func(*scene)
		commands int
	}{
		"good":                            {func(*scene) {}, all},
		"expired":                         {expired, beforeLast},
		"stop list":                       {func(s *scene) { s.cfg.ExceptionFile = func(kernel.Presented) bool { return true } }, beforeLast},
		"no verification in common":       {ttq(emv.TTQCVMRequired), beforeLast},
		"unknown CA":                      {late(func(s *scene) { s.issuer.Set(emv.TagCAIndex, []byte{0x77}) }), beforeLast},
		"card certificate changed":        {flip(icc, emv.TagICCCertificate), beforeLast},
		"PIN goes online":                 {ctq(emv.CTQOnlinePIN), beforeLast},
		"phone has still to prove itself": {both(ctq(emv.CTQCDCVM), ttq(emv.TTQCVMRequired)), all},
		"phone, but expired":              {both(ctq(emv.CTQCDCVM), ttq(emv.TTQCVMRequired), expired), beforeLast},
		"remainder may still come":        {drop(emv.TagICCRemainder), all},
		"dynamic signature comes last":    {badSignature, all},
	} {
		s := newScene(t)
		x.change(s)
		o := s.run()
		if s.commands != x.commands {
			t.Errorf("%s: %d commands, want %d (%v, %v)", name, s.commands, x.commands, o.Kind, o.Reason)
		}
	}
}

// TestStopListSeesTheCard: everything an entry may name is there before the card pays, and whoever asks afterwards is told that it has paid.
func TestStopListSeesTheCard(t *testing.T) {
	const reference = "Q1HJZ28RKA1EBL470G9XYG90R5D3E"
	show := func(s *scene) { s.data.Set(emv.TagPAR, []byte(reference)) }
	for name, c := range map[string]struct {
		change func(*scene)
		paid   []bool // each time that the list is asked
		want   kernel.Presented
	}{
		"purse":               {show, []bool{false, true}, kernel.Presented{Sequence: "01", Reference: reference}},
		"nothing of accounts": {func(*scene) {}, []bool{false, true}, kernel.Presented{Sequence: "01"}},
		"account in the last record": {func(s *scene) { s.last.Set(emv.TagPAR, []byte(reference)) }, []bool{false, true},
			kernel.Presented{Sequence: "01", Reference: reference}},
		"no sequence number": {drop(emv.TagPANSequence), []bool{false, true}, kernel.Presented{}},
		"deferred":           {both(deferred, show), []bool{false}, kernel.Presented{Sequence: "01", Reference: reference}},
	} {
		s := newScene(t)
		var asked []kernel.Presented
		s.cfg.ExceptionFile = func(p kernel.Presented) bool { asked = append(asked, p); return false }
		c.change(s)
		o := s.run()
		if o.Kind != kernel.Approved || len(asked) != len(c.paid) {
			t.Fatalf("%s: %v %v, asked %d times", name, o.Kind, o.Reason, len(asked))
		}
		for i, p := range asked {
			if p.Number.Reveal() != testPAN || p.Expiry.YYMM() != "3012" || p.Paid != c.paid[i] || p.Sequence != c.want.Sequence {
				t.Errorf("%s: %+v", name, p)
			}
			if i == len(asked)-1 && p.Reference != c.want.Reference {
				t.Errorf("%s: account %q", name, p.Reference)
			}
			if text := fmt.Sprintf("%v %+v", p, p); strings.Contains(text, testPAN) {
				t.Errorf("%s: the number is printed", name)
			}
		}
		if got := string(o.Discretionary.Get(emv.TagPAR)); got != c.want.Reference {
			t.Errorf("%s: the reader is told of account %q", name, got)
		}
	}
	if _, ok := kernel.Present(func(tlv.Tag) ([]byte, bool) { return nil, false }); ok {
		t.Error("a card without a number is presented")
	}
	s := newScene(t)
	s.cfg.ExceptionFile = func(p kernel.Presented) bool { return p.Reference == reference }
	show(s)
	if o := s.run(); o.Reason != kernel.ReasonExceptionFile || s.commands != 4 {
		t.Errorf("%v after %d commands", o.Reason, s.commands)
	}
}

// The tag list or a remainder may stand in the last record: what was foreseen without it does not count.
func TestChainEndsInLastRecord(t *testing.T) {
	for _, tag := range []tlv.Tag{emv.TagICCRemainder, emv.TagIssuerRemainder} {
		s := newScene(t)
		s.late = func(s *scene) {
			for _, d := range []*emv.Data{&s.issuer, &s.icc} {
				if b, ok := d.Value(tag); ok {
					s.last.Set(tag, b)
					d.Delete(tag)
				}
			}
		}
		if o := s.run(); o.Kind != kernel.Approved {
			t.Errorf("%v in the last record: %v, %v, %v", tag, o.Kind, o.Reason, o.Detail)
		}
	}
}

// What a torn payment needs to be recovered.
func TestTornAndResumed(t *testing.T) {
	for gone := 2; gone <= 5; gone++ {
		s := newScene(t)
		s.answer[gone] = nil
		s.sign()
		m := kernel.New(s.cfg, s.tx, s.sel)
		o := s.play(m, m.Start())
		if o.Reason != kernel.ReasonTorn || !m.Torn() || !o.Removed || m.LastAsked() != (gone == 5) {
			t.Fatalf("gone at %d: %v, torn %v, last asked %v", gone, o.Reason, m.Torn(), m.LastAsked())
		}
		if after, ok := m.BalanceAfter(); !ok || after != 7500 {
			t.Errorf("balance after: %d, %v", after, ok)
		}
		if _, ok := m.Identity(); ok != (gone == 5) {
			t.Errorf("gone at %d: identity %v", gone, ok)
		}
		if o = s.play(m, m.Resume()); o.Kind != kernel.Approved || o.ODA.Status != kernel.ODAPassed || !m.LastProves() {
			t.Errorf("gone at %d, resumed: %v %v", gone, o.Kind, o.Reason)
		}
	}
}

func TestSettleAndAbandon(t *testing.T) {
	torn := func(change func(*scene)) *kernel.Machine {
		s := newScene(t)
		change(s)
		s.answer[5] = nil
		s.sign()
		if s.late != nil {
			s.late(s)
		}
		m := kernel.New(s.cfg, s.tx, s.sel)
		s.play(m, m.Start())
		return m
	}
	o := torn(func(*scene) {}).Settle(kernel.ReasonRecoveredByBalance).Outcome
	if o.Kind != kernel.Approved || o.Reason != kernel.ReasonRecoveredByBalance || o.ODA.Status != kernel.ODANotPerformed || !o.Data.Has(emv.TagAC) {
		t.Errorf("settled: %v %v", o.Kind, o.Reason)
	}
	if o = torn(both(expired, drop(emv.TagCAIndex))).Settle(kernel.ReasonRecoveredByBalance).Outcome; o.Kind != kernel.Declined || o.Reason != kernel.ReasonExpired {
		t.Errorf("settled though expired: %v %v", o.Kind, o.Reason)
	}
	if o = torn(func(*scene) {}).Abandon(kernel.ReasonInterrupted).Outcome; o.Kind != kernel.EndApplication || o.Reason != kernel.ReasonInterrupted {
		t.Errorf("abandoned: %v %v", o.Kind, o.Reason)
	}
	m := torn(func(*scene) {})
	m.Abandon(kernel.ReasonInterrupted)
	for name, f := range map[string]func(){
		"resume": func() { m.Resume() }, "settle": func() { m.Settle(kernel.ReasonRecovered) }, "next": func() { m.Next(kernel.CardLost{}) },
		"start": func() { m.Start() }, "no event": func() { torn(func(*scene) {}).Next(nil) },
	} {
		mustPanic(t, name, f)
	}
}

func mustPanic(t *testing.T, name string, f func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", name)
		}
	}()
	f()
}

// counting counts what the cache is asked for.
type counting struct {
	kernel.MemoryCache
	hits int
}

func (c *counting) ICC(k kernel.CacheKey) (oda.ICCKey, bool) {
	key, ok := c.MemoryCache.ICC(k)
	if ok {
		c.hits++
	}
	return key, ok
}

// A cached key serves the same card again, and no other data, day or revoked issuer.
func TestCache(t *testing.T) {
	cache := new(counting)
	play := func(change func(*scene)) kernel.ODAStatus {
		s := newScene(t)
		s.cfg.Cache = cache
		change(s)
		return s.run().ODA.Status
	}
	if play(func(*scene) {}) != kernel.ODAPassed || cache.hits != 0 {
		t.Fatal("first use")
	}
	if play(func(*scene) {}) != kernel.ODAPassed || cache.hits != 1 {
		t.Fatal("second use was not served from the cache")
	}
	if play(late(func(s *scene) { s.data.Set(emv.TagExpiryDate, unhex(s, "351231")) })) != kernel.ODAFailed || cache.hits != 1 {
		t.Error("changed data were served from the cache")
	}
	if play(func(s *scene) { s.tx.Date = s.tx.Date.AddDate(0, 0, 1) }) != kernel.ODAPassed || cache.hits != 1 {
		t.Error("another day was served from the cache")
	}
	if play(func(s *scene) { s.cfg.CAKeys.Revoke(emv.RIDUnionPay, 0xE0, [3]byte{0, 0, 7}) }) != kernel.ODAFailed {
		t.Error("a revoked issuer passes because it is cached")
	}
	if play(badSignature) != kernel.ODAFailed || cache.hits != 2 {
		t.Error("a bad signature passes with a cached key")
	}
}

func TestMemoryCacheForgets(t *testing.T) {
	c := new(kernel.MemoryCache)
	for i := range kernel.MaxCachedKeys + 2 {
		c.StoreICC(kernel.CacheKey{byte(i >> 8), byte(i)}, oda.ICCKey{})
	}
	_, first := c.ICC(kernel.CacheKey{})
	_, kept := c.ICC(kernel.CacheKey{0, 2})
	if first || !kept {
		t.Errorf("oldest kept %v, newer kept %v", first, kept)
	}
}

func TestTermsInBothLanguages(t *testing.T) {
	check := func(what string, term glossary.Term) {
		t.Helper()
		han := func(r rune) bool { return unicode.Is(unicode.Han, r) }
		if term.EN == "" || strings.ContainsFunc(term.EN, han) || !strings.ContainsFunc(term.ZH, han) {
			t.Errorf("%s: %q, %q", what, term.EN, term.ZH)
		}
	}
	seen := map[string]kernel.Reason{}
	for _, r := range kernel.Reasons() {
		check(fmt.Sprintf("reason %d", r), r.Term())
		check(fmt.Sprintf("next step of %d", r), r.Next())
		if other, dup := seen[r.Term().EN]; dup {
			t.Errorf("reasons %d and %d read alike", other, r)
		}
		seen[r.Term().EN] = r
	}
	for k := kernel.SelectNext; k <= kernel.EndApplication; k++ {
		check("outcome", k.Term())
	}
	for c := kernel.CVMNotApplicable; c <= kernel.CVMConfirmationCode; c++ {
		check("verification", c.Term())
	}
	for s := kernel.StatusNotReady; s <= kernel.StatusProcessingError; s++ {
		check("status", s.Term())
	}
	for _, m := range []kernel.Message{0x03, 0x07, 0x09, 0x0F, 0x10, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1A, 0x1B, 0x1C, 0x1D, 0x20, 0x21} {
		check(fmt.Sprintf("message %02X", byte(m)), m.Term())
	}
	if kernel.Reason(255).Term() != kernel.ReasonNone.Term() || kernel.OutcomeKind(99).String() != "no outcome" || kernel.StartB.String() != "B" {
		t.Error("values out of range")
	}
}

func TestTransactionCheck(t *testing.T) {
	for name, tx := range map[string]kernel.Transaction{
		"no currency": {}, "negative": {Amount: money.New(-1, money.CNY)}, "too large": {Amount: money.New(money.MaxN12+1, money.CNY)},
		"two currencies":  {Amount: money.New(1, money.CNY), Other: money.New(1, money.HKD)},
		"unknown country": {Amount: money.New(1, money.CNY), Country: 1000},
	} {
		if tx.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
		mustPanic(t, name, func() { kernel.New(kernel.Config{}, tx, kernel.Selection{}) })
	}
}

// Whatever a card answers, at whatever step, there is an outcome in a bounded number of commands.
func FuzzHostileCard(f *testing.F) {
	for step := range 5 {
		f.Add(byte(step), []byte{0x90, 0x00}, byte(0))
		f.Add(byte(step), []byte{0x77, 0x00, 0x90, 0x00}, byte(1))
		f.Add(byte(step), []byte{0x70, 0x03, 0x5A, 0x01, 0x62, 0x90, 0x00}, byte(2))
		f.Add(byte(step), []byte{}, byte(3))
	}
	f.Add(byte(0), apdu.OK.Append(tlv.Wrap(emv.TagResponse2, newScene(f).gpo.Bytes())), byte(0))
	base := newScene(f)
	base.sign()
	f.Fuzz(func(t *testing.T, step byte, b []byte, mode byte) {
		s := *base
		s.TB = t
		s.commands = 0
		s.answer = map[int][]byte{int(step)%5 + 1: b}
		if mode&1 != 0 { // the FCI instead
			s.answer = nil
			s.sel.FCI = b
		}
		if mode&2 != 0 { // everything from this step on
			s.answer = map[int][]byte{}
			for i := int(step)%5 + 1; i <= kernel.MaxCommands; i++ {
				s.answer[i] = b
			}
		}
		m := kernel.New(s.cfg, s.tx, s.sel)
		o := s.play(m, m.Start())
		checkOutcome(t, o)
		if m.Torn() {
			s.answer = nil
			checkOutcome(t, s.play(m, m.Resume()))
		}
	})
}
