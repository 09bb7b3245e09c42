package card_test

import (
	"bytes"
	"fmt"
	"testing"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/cardtest"
	"tapnet/emv"
	"tapnet/money"
	"tapnet/tlv"
)

// actions is a card whose default action has exactly the given bits.
func actions(bits string, change func(*card.Image)) func(*card.Image) {
	return func(image *card.Image) {
		b := make([]byte, 2)
		_, _ = fmt.Sscanf(bits, "%02X%02X", &b[0], &b[1])
		image.Applications[0].Objects.Set(emv.TagDefaultAction, b)
		if change != nil {
			change(image)
		}
	}
}

func stateChange(change func(*card.ApplicationState)) func(*card.Image) {
	return func(image *card.Image) { change(&image.State.Applications[0]) }
}

// Card action analysis at the first GENERATE AC [REF 1.8] [REF 1.9]: one row each for what the card remembers and what follows.
func TestFirstAction(t *testing.T) {
	const usd = uint16(0x0840)
	for _, row := range []struct {
		name   string
		change func(*card.Image)
		asked  emv.CID
		sale   sale
		want   emv.CID
		cvr    emv.CVR // first byte left out of the comparison: types
		reason card.Reason
	}{
		{"nothing special", nil, emv.TC, sale{amount: 1}, emv.TC, emv.CVR{3, 0x90, 0, 0}, card.ReasonOfflineApproved},
		{"asked to go online", nil, emv.ARQC, sale{amount: 1}, emv.ARQC, emv.CVR{3, 0xA0, 0, 0}, card.ReasonReaderWantsOnline},
		{"asked to decline", nil, emv.AAC, sale{amount: 1}, emv.AAC, emv.CVR{3, 0x80, 0, 0}, card.ReasonTerminalDeclined},
		{"last online incomplete", actions("0000", stateChange(func(s *card.ApplicationState) { s.History.LastOnlineIncomplete = true })),
			emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0x80, 0}, card.ReasonLastOnlineIncomplete},
		{"issuer authentication failed, no action", actions("0000", stateChange(func(s *card.ApplicationState) { s.History.IssuerAuthFailed = true })),
			emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0x08, 0}, card.ReasonOfflineApproved},
		{"issuer authentication failed", actions("8000", stateChange(func(s *card.ApplicationState) { s.History.IssuerAuthFailed = true })),
			emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0x08, 0}, card.ReasonIssuerAuthFailedBefore},
		{"static data failed", actions("FFFF", stateChange(func(s *card.ApplicationState) { s.History.SDAFailed = true })),
			emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0x01, 0}, card.ReasonOfflineApproved},
		{"dynamic data failed", actions("FFFF", stateChange(func(s *card.ApplicationState) { s.History.DDAFailed = true })),
			emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0, 0x04}, card.ReasonOfflineApproved},
		{"script failed, no action", actions("0000", stateChange(func(s *card.ApplicationState) { s.History.ScriptFailed, s.History.ScriptCount = true, 3 })),
			emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0, 0x38}, card.ReasonOfflineApproved},
		{"script failed", actions("0008", stateChange(func(s *card.ApplicationState) { s.History.ScriptFailed, s.History.ScriptCount = true, 15 })),
			emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0, 0xF8}, card.ReasonScriptFailedBefore},
		{"at the lower limit", stateChange(func(s *card.ApplicationState) { s.ATC = 5 }), emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0, 0}, card.ReasonOfflineApproved},
		{"above the lower limit", stateChange(func(s *card.ApplicationState) { s.ATC = 6 }),
			emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0x20, 0}, card.ReasonConsecutive},
		{"above it, check off", func(image *card.Image) {
			image.State.Applications[0].ATC = 200
			image.Applications[0].Contact.Checks = 0
		}, emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0, 0}, card.ReasonOfflineApproved},
		{"another currency", nil, emv.TC, sale{currency: usd}, emv.TC, emv.CVR{3, 0x90, 0, 0}, card.ReasonOfflineApproved},
		{"another currency too often", stateChange(func(s *card.ApplicationState) { s.InternationalCount = 2 }),
			emv.TC, sale{currency: usd}, emv.ARQC, emv.CVR{3, 0xA0, 0x20, 0}, card.ReasonForeignCount},
		{"another country too often", func(image *card.Image) {
			image.State.Applications[0].CountryCount = 2
			image.Applications[0].Objects.Set(emv.TagIssuerCountryCard, []byte{0x03, 0x44})
		}, emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0x20, 0}, card.ReasonForeignCountry},
		{"at the cumulative limit", stateChange(func(s *card.ApplicationState) { s.Cumulative = 49_000 }),
			emv.TC, sale{amount: 1000}, emv.TC, emv.CVR{3, 0x90, 0, 0}, card.ReasonOfflineApproved},
		{"above the cumulative limit", stateChange(func(s *card.ApplicationState) { s.Cumulative = 49_000 }),
			emv.TC, sale{amount: 1001}, emv.ARQC, emv.CVR{3, 0xA0, 0x20, 0}, card.ReasonOverCumulative},
		{"new card, no action", actions("0000", stateChange(func(s *card.ApplicationState) { s.ATC, s.LastOnlineATC = 0, 0 })),
			emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0x10, 0}, card.ReasonOfflineApproved},
		{"new card", actions("0200", stateChange(func(s *card.ApplicationState) { s.ATC, s.LastOnlineATC = 0, 0 })),
			emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0x10, 0}, card.ReasonNewCard},
		{"PIN blocked, no action", actions("0000", stateChange(func(s *card.ApplicationState) { s.PINTries = 0 })),
			emv.TC, sale{}, emv.TC, emv.CVR{3, 0x90, 0x40, 0}, card.ReasonOfflineApproved},
		{"PIN blocked, online", actions("0020", stateChange(func(s *card.ApplicationState) { s.PINTries = 0 })),
			emv.TC, sale{}, emv.ARQC, emv.CVR{3, 0xA0, 0x40, 0}, card.ReasonPINBlocked},
		{"PIN blocked, decline", actions("0040", stateChange(func(s *card.ApplicationState) { s.PINTries = 0 })),
			emv.ARQC, sale{}, emv.AAC, emv.CVR{3, 0x80, 0x40, 0}, card.ReasonPINBlockedBefore},
		{"PIN blocked, decline and block", actions("0004", stateChange(func(s *card.ApplicationState) { s.PINTries = 0 })),
			emv.ARQC, sale{}, emv.AAC, emv.CVR{3, 0x80, 0x40, 0}, card.ReasonPINBlockedBefore},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, issued := contactCard(t, row.change)
			i := insert(t, c, issued)
			i.sale = row.sale
			i.open(false)
			i.generate(row.asked, row.want, false, "")
			i.verifyCryptogram(false, "")
			if cvr := i.iad(i.answer).CVR; cvr != row.cvr {
				t.Errorf("CVR %v, want %v", cvr, row.cvr)
			}
			if d, ok := c.LastDecision(); !ok || d.Reason != row.reason {
				t.Errorf("reason %q, want %q", d.Reason, row.reason)
			}
			if blocks := row.name == "PIN blocked, decline and block"; i.state().Blocked != blocks {
				t.Errorf("blocked: %v", i.state().Blocked)
			}
		})
	}
}

// What an approval without the issuer counts, and what one by the issuer clears.
func TestCounting(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.sale = sale{amount: 700}
	i.open(false)
	i.generate(emv.TC, emv.TC, false, "")
	i.sale = sale{amount: 900, currency: 0x0840}
	i.open(false)
	i.generate(emv.TC, emv.TC, false, "")
	if s := i.state(); s.Cumulative != 700 || s.InternationalCount != 1 || s.LastOnlineATC != 1 {
		t.Errorf("total %d, foreign %d", s.Cumulative, s.InternationalCount)
	}
	i.sale = sale{amount: 100}
	i.open(false)
	i.generate(emv.AAC, emv.AAC, false, "") // nothing is spent
	i.online()
	i.send(apdu.ExternalAuthenticate(i.arpc("05")), apdu.OK)
	i.generate(emv.AAC, emv.AAC, false, "05")
	if s := i.state(); s.Cumulative != 700 || s.History.LastOnlineIncomplete {
		t.Errorf("after the issuer declined: total %d", s.Cumulative)
	}
	i.payOnline()
	if s := i.state(); s.Cumulative != 0 || s.InternationalCount != 0 || s.LastOnlineATC != s.ATC {
		t.Errorf("after the issuer approved: total %d", s.Cumulative)
	}
}

// A second application currency is converted into the first [REF 1.3].
func TestDualCurrency(t *testing.T) {
	change := func(image *card.Image) {
		a := &image.Applications[0]
		a.Contact.Checks = card.CheckDual | card.CheckCurrency
		a.Objects.Set(emv.TagSecondCurrency, []byte{0x08, 0x40})
		a.Objects.Set(emv.TagConversionFactor, []byte{0x20, 0x00, 0x07, 0x12}) // times 7.12
		a.Objects.Set(emv.TagDualCurrencyLimit, bcd(1000))
		image.State.Applications[0].InternationalLimit = 0
	}
	c, issued := contactCard(t, change)
	i := insert(t, c, issued)
	i.sale = sale{amount: 100, currency: 0x0840}
	i.open(false)
	i.generate(emv.TC, emv.TC, false, "") // 712; no foreign currency here
	if got := i.state().Dual; got != 712 {
		t.Errorf("total %d", got)
	}
	i.sale = sale{amount: 288}
	i.open(false)
	i.generate(emv.TC, emv.TC, false, "")
	i.sale = sale{amount: 1, currency: 0x0840}
	i.open(false)
	i.generate(emv.TC, emv.ARQC, false, "")
	i.generate(emv.TC, emv.TC, false, "00")
	i.sale = sale{amount: 1, currency: 0x0392}
	i.open(false)
	i.generate(emv.TC, emv.ARQC, false, "") // a third currency is foreign
}

// The second GENERATE AC [REF 3.3].
func TestSecondAction(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*card.Image)
		amount int64
		arc    string
		arpc   string // "": none; "bad"; else the code it is made for
		asked  emv.CID
		want   emv.CID
		cvr    emv.CVR
		cid    byte
		online bool // counters cleared
	}{
		{"approved", nil, 1, "00", "00", emv.TC, emv.TC, emv.CVR{3, 0x60, 0, 0}, 0x40, true},
		{"approved 10", nil, 1, "10", "10", emv.TC, emv.TC, emv.CVR{3, 0x60, 0, 0}, 0x40, true},
		{"approved 11", nil, 1, "11", "11", emv.TC, emv.TC, emv.CVR{3, 0x60, 0, 0}, 0x40, true},
		{"referral", nil, 1, "01", "01", emv.TC, emv.TC, emv.CVR{3, 0x60, 0, 0}, 0x40, true},
		{"referral 02", nil, 1, "02", "02", emv.TC, emv.TC, emv.CVR{3, 0x60, 0, 0}, 0x40, true},
		{"declined by the issuer, the terminal insists", nil, 1, "05", "05", emv.TC, emv.AAC, emv.CVR{3, 0x20, 0, 0}, 0, false},
		{"the terminal shows another answer than the issuer's", nil, 1, "00", "05", emv.TC, emv.AAC, emv.CVR{3, 0x20, 0, 0}, 0, false},
		{"the terminal declines what the issuer approved", nil, 1, "00", "00", emv.AAC, emv.AAC, emv.CVR{3, 0x20, 0, 0}, 0, false},
		{"not authenticated, optional", nil, 1, "00", "", emv.TC, emv.TC, emv.CVR{3, 0x60, 0x04, 0}, 0x40, true},
		{"not authenticated, mandatory", mandatory("2000"), 1, "00", "", emv.TC, emv.AAC, emv.CVR{3, 0x20, 0x04, 0}, 0, false},
		{"not authenticated, mandatory, no action", mandatory("0000"), 1, "00", "", emv.TC, emv.TC, emv.CVR{3, 0x60, 0x04, 0}, 0x40, false},
		{"not authenticated, mandatory, with advice", mandatory("2400"), 1, "00", "", emv.TC, emv.AAC, emv.CVR{3, 0x20, 0x04, 0}, 0x0B, false},
		{"authentication failed, with advice", nil, 1, "00", "bad", emv.TC, emv.AAC, emv.CVR{3, 0x28, 0, 0}, 0x0B, false},
		{"authentication failed, no action", actions("0000", nil), 1, "00", "bad", emv.TC, emv.TC, emv.CVR{3, 0x68, 0, 0}, 0x40, false},
		{"advice for every refusal", actions("1000", nil), 1, "05", "05", emv.TC, emv.AAC, emv.CVR{3, 0x20, 0, 0}, 0x08, false},

		{"unable to go online", nil, 1, "Y3", "", emv.TC, emv.TC, emv.CVR{3, 0x61, 0, 0}, 0x40, false},
		{"unable, declined", nil, 1, "Z3", "", emv.AAC, emv.AAC, emv.CVR{3, 0x21, 0, 0}, 0, false},
		{"offline approved", nil, 1, "Y1", "", emv.TC, emv.TC, emv.CVR{3, 0x60, 0, 0}, 0x40, false},
		{"at the upper limit", stateChange(func(s *card.ApplicationState) { s.ATC = 8 }), 1, "Y3", "", emv.TC, emv.TC, emv.CVR{3, 0x61, 0x20, 0}, 0x40, false},
		{"above the upper limit", stateChange(func(s *card.ApplicationState) { s.ATC = 9 }), 1, "Y3", "", emv.TC, emv.AAC, emv.CVR{3, 0x21, 0x20, 0}, 0, false},
		{"above the upper limit, other code", stateChange(func(s *card.ApplicationState) { s.ATC = 9 }), 1, "Y1", "", emv.TC, emv.AAC, emv.CVR{3, 0x20, 0x20, 0}, 0, false},
		{"at the upper amount", nil, 80_000, "Y3", "", emv.TC, emv.TC, emv.CVR{3, 0x61, 0x20, 0}, 0x40, false},
		{"above the upper amount", nil, 80_001, "Y3", "", emv.TC, emv.AAC, emv.CVR{3, 0x21, 0x20, 0}, 0, false},
		{"new card", stateChange(func(s *card.ApplicationState) { s.ATC, s.LastOnlineATC = 0, 0 }), 1, "Y3", "", emv.TC, emv.AAC, emv.CVR{3, 0x21, 0x10, 0}, 0, false},
		{"new card, no action", actions("0000", stateChange(func(s *card.ApplicationState) { s.ATC, s.LastOnlineATC = 0, 0 })), 1, "Y3", "", emv.TC, emv.TC, emv.CVR{3, 0x61, 0x10, 0}, 0x40, false},
		{"PIN blocked before", actions("0010", stateChange(func(s *card.ApplicationState) { s.PINTries = 0 })), 1, "Y3", "", emv.TC, emv.AAC, emv.CVR{3, 0x21, 0x40, 0}, 0, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, issued := contactCard(t, row.change)
			i := insert(t, c, issued)
			i.sale = sale{amount: row.amount}
			i.online()
			switch row.arpc {
			case "":
			case "bad":
				i.send(apdu.ExternalAuthenticate(make([]byte, 10)), apdu.IssuerAuthenticationFailed)
				i.send(apdu.ExternalAuthenticate(i.arpc(row.arc)), apdu.ConditionsNotSatisfied)
			default:
				i.send(apdu.ExternalAuthenticate(i.arpc(row.arpc)), apdu.OK)
			}
			i.generate(row.asked, row.want, false, row.arc)
			i.verifyCryptogram(false, row.arc)
			if cvr := i.iad(i.answer).CVR; cvr != row.cvr {
				t.Errorf("CVR %v, want %v", cvr, row.cvr)
			}
			if cid := i.answer.Get(emv.TagCID)[0]; cid != row.cid {
				t.Errorf("CID %02X, want %02X", cid, row.cid)
			}
			s := i.state()
			if cleared := s.LastOnlineATC == s.ATC; cleared != row.online {
				t.Errorf("counted as online: %v", cleared)
			}
			authentic := row.arpc != "bad" && !(row.arpc == "" && issued.Image.Applications[0].Objects.Has(emv.TagIssuerAuthIndicator))
			if asked := row.arc != "Y3" && row.arc != "Y1" && row.arc != "Z3"; asked && s.History.IssuerAuthFailed == authentic {
				t.Errorf("issuer authentication remembered as failed: %v", s.History.IssuerAuthFailed)
			}
		})
	}
}

func mandatory(bits string) func(*card.Image) {
	return actions(bits, func(image *card.Image) { image.Applications[0].Objects.Set(emv.TagIssuerAuthIndicator, []byte{0x80}) })
}

// The issuer's authentication may come with the second GENERATE AC instead [EMV B3 10.9].
func TestAuthenticationInSecondList(t *testing.T) {
	for _, bad := range []bool{false, true} {
		c, issued := contactCard(t, func(image *card.Image) {
			a := &image.Applications[0]
			a.Contact.AIP.Clear(emv.AIPIssuerAuthentication)
			a.Contact.CashAFL, a.Contact.FullAFL, a.Contact.FullAIP = nil, nil, emv.AIP{}
			for n := range a.Records {
				if list, ok := tlv.Find(a.Records[n].Body, emv.TagCDOL2); ok {
					d, err := emv.ParseData(a.Records[n].Body)
					if err != nil {
						t.Fatal(err)
					}
					d.Set(emv.TagCDOL2, append([]byte{0x91, 0x0A}, list...))
					a.Records[n].Body = d.Bytes()
				}
			}
		})
		i := insert(t, c, issued)
		i.online()
		i.send(apdu.ExternalAuthenticate(i.arpc("00")), apdu.ConditionsNotSatisfied)
		data := i.terminalData(false, "00")
		data.Set(emv.TagIssuerAuthData, i.arpc("00"))
		if bad {
			data.Set(emv.TagIssuerAuthData, bytes.Repeat([]byte{1}, 10))
		}
		response := i.send(apdu.GenerateAC(0x40, i.list(emv.TagCDOL2).Build(nil, data)), apdu.OK)
		got := i.parse(response, []tlv.Tag{emv.TagCID, emv.TagATC, emv.TagAC, emv.TagIAD}, []int{1, 2, 8})
		cvr := i.iad(got).CVR
		if cvr.Has(emv.CVRIssuerAuthFailed) != bad || cvr.Has(emv.CVRIssuerAuthMissing) || i.state().History.IssuerAuthFailed != bad {
			t.Errorf("bad %v: CVR %v", bad, cvr)
		}
	}
}

// What the terminal found wrong with the card's data is told to the issuer later.
func TestFailedAuthenticationRemembered(t *testing.T) {
	for bit, mark := range map[emv.TVRBit]emv.CVRBit{
		emv.TVRSDAFailed: emv.CVRLastSDAFailed, emv.TVRDDAFailed: emv.CVRLastDDAFailed, emv.TVRCDAFailed: emv.CVRLastDDAFailed,
	} {
		c, issued := contactCard(t, nil)
		i := insert(t, c, issued)
		i.tvr.Set(bit)
		i.open(false)
		i.generate(emv.AAC, emv.AAC, false, "")
		i.tvr = emv.TVR{}
		i.online()
		if !i.iad(i.answer).CVR.Has(mark) {
			t.Errorf("%02X: CVR %v", byte(bit), i.iad(i.answer).CVR)
		}
		i.settle()
		i.online()
		if i.iad(i.answer).CVR.Has(mark) {
			t.Errorf("%02X: still in the CVR", byte(bit))
		}
	}
}

// The same dialogue over contactless, for a reader that offers nothing else [REF 2.1].
func TestFullOverContactless(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.field, i.pdol = card.NewField(c), issued.Image.Applications[0].PDOL
	i.sale.ttq = emv.TTQ{0x40, 0, 0, 0}
	i.open(false)
	if !bytes.Equal(i.gpo.Get(emv.TagAIP), []byte{0x7D, 0x80}) {
		t.Errorf("AIP %X", i.gpo.Get(emv.TagAIP))
	}
	signed, all := i.readAll(i.gpo)
	i.iccKey(issued, i.gpo, signed, all)
	i.send(apdu.Verify(apdu.VerifyPlaintext, block(cardtest.HolderPIN())), apdu.ConditionsNotSatisfied)
	i.generate(emv.ARQC, emv.ARQC, false, "")
	i.verifyCryptogram(false, "")
	i.settle()
	// A reader with both gets qPBOC; one with neither, nothing.
	i.sale.ttq = emv.TTQ{0x60, 0, 0, 0x80}
	i.selectApplication()
	if got := i.send(apdu.GPO(i.pdol.Build(nil, i.terminalData(false, ""))), apdu.OK); got[0] != 0x77 {
		t.Errorf("%X", got)
	}
	i.sale.ttq = emv.TTQ{0x10, 0, 0, 0}
	i.selectApplication()
	i.send(apdu.GPO(i.pdol.Build(nil, i.terminalData(false, ""))), apdu.ConditionsNotSatisfied)
}

// What cannot be a contact profile is refused when the card is built.
func TestContactImageRefused(t *testing.T) {
	profile := func(change func(*card.ContactProfile)) func(*card.Image) {
		return func(image *card.Image) { change(image.Applications[0].Contact) }
	}
	without := func(tag tlv.Tag) func(*card.Image) {
		return func(image *card.Image) { image.Applications[0].Objects.Delete(tag) }
	}
	lists := func(tag tlv.Tag, hex string) func(*card.Image) {
		return func(image *card.Image) {
			for n := range image.Applications[0].Records {
				r := &image.Applications[0].Records[n]
				if d, err := emv.ParseData(r.Body); err == nil && d.Has(tag) {
					d.Set(tag, unhex(t, hex))
					r.Body = d.Bytes()
				}
			}
		}
	}
	for name, change := range map[string]func(*card.Image){
		"no files":                 profile(func(k *card.ContactProfile) { k.AFL = nil }),
		"missing record":           profile(func(k *card.ContactProfile) { k.AFL = emv.AFL{{SFI: 9, First: 1, Last: 1}} }),
		"no lists in the files":    profile(func(k *card.ContactProfile) { k.AFL = emv.AFL{{SFI: 1, First: 2, Last: 2}} }),
		"cash files without lists": profile(func(k *card.ContactProfile) { k.CashAFL = emv.AFL{{SFI: 1, First: 2, Last: 2}} }),
		"full bit on contact":      profile(func(k *card.ContactProfile) { k.AIP.Set(emv.AIPFullContactless) }),
		"full bit without files":   profile(func(k *card.ContactProfile) { k.FullAFL = nil }),
		"full files without bit":   profile(func(k *card.ContactProfile) { k.FullAIP.Clear(emv.AIPFullContactless) }),
		"PDOL without cash":        profile(func(k *card.ContactProfile) { k.PDOL = nil }),
		"PDOL twice":               profile(func(k *card.ContactProfile) { k.PDOL = append(k.PDOL, k.PDOL[0]) }),
		"cryptogram version":       profile(func(k *card.ContactProfile) { k.CVN = 9 }),
		"discretionary data":       profile(func(k *card.ContactProfile) { k.IDD = 6 }),
		"unknown check":            profile(func(k *card.ContactProfile) { k.Checks = 0x80 }),
		"PIN tries":                profile(func(k *card.ContactProfile) { k.PINTryLimit = 16 }),
		"no lower limit":           without(emv.TagLowerConsecutiveLimit),
		"no country":               without(emv.TagIssuerCountryCard),
		"default action":           func(image *card.Image) { image.Applications[0].Objects.Set(emv.TagDefaultAction, []byte{1}) },
		"balance told":             func(image *card.Image) { image.Applications[0].Withhold = card.WithholdBalance },
		"CDOL1 without a country":  lists(emv.TagCDOL1, "9F02069F030695055F2A029A039C019F3704"),
		"CDOL1 short for version":  lists(emv.TagCDOL1, "9F02069F1A0295055F2A029F3704"),
		"CDOL2 without the code":   lists(emv.TagCDOL2, "9F02069F3704"),
		"CDOL2 with half a TVR":    lists(emv.TagCDOL2, "8A029502"),
		"CDOL2 not a list":         lists(emv.TagCDOL2, "9F"),
		"CDOL1 twice the same":     lists(emv.TagCDOL1, "9F02069F02069F03069F1A0295055F2A029A039C019F3704"),
		"changeable list": func(image *card.Image) {
			for n := range image.Applications[0].Records {
				image.Applications[0].Records[n].Updatable = true
			}
		},
		"load log in a used file": func(image *card.Image) { image.Applications[0].LoadLog.SFI = 0x0B },
		"load log without format": func(image *card.Image) { image.Applications[0].LoadLog.Format = nil },
		"load log too long": func(image *card.Image) {
			image.Applications[0].LoadLog.Format = emv.DOL{{Tag: emv.TagMerchantName, Len: 51}}
		},
	} {
		if _, _, err := cardtest.Issue(cardtest.Options{Contact: true, Change: change}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Electronic cash on contact [REF 2.9].
func TestContactCash(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*card.Image)
		amount int64
		yes    bool
	}{
		{"small", nil, 1, true}, {"all of it", nil, 8750, true}, {"too much", nil, 8751, false},
		{"at the single limit", stateChange(func(s *card.ApplicationState) { s.Purses[0].SingleLimit = 500 }), 500, true},
		{"above the single limit", stateChange(func(s *card.ApplicationState) { s.Purses[0].SingleLimit = 500 }), 501, false},
		{"issuer authentication pending", stateChange(func(s *card.ApplicationState) { s.History.IssuerAuthFailed = true }), 1, false},
		{"script pending", stateChange(func(s *card.ApplicationState) { s.History.ScriptFailed = true }), 1, false},
		{"PIN blocked", stateChange(func(s *card.ApplicationState) { s.PINTries = 0 }), 1, false},
		{"no cash files", func(image *card.Image) { image.Applications[0].Contact.CashAFL = nil }, 1, false},
		{"online payment pending", stateChange(func(s *card.ApplicationState) { s.History.LastOnlineIncomplete = true }), 1, true},
		{"many payments ago", stateChange(func(s *card.ApplicationState) { s.ATC = 500 }), 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, issued := contactCard(t, row.change)
			i := insert(t, c, issued)
			i.sale = sale{amount: row.amount}
			i.open(true)
			_, all := i.readAll(i.gpo)
			if all.Has(emv.TagECAuthCode) != row.yes {
				t.Fatalf("electronic cash: %v", !row.yes)
			}
			if !row.yes {
				return
			}
			i.generate(emv.TC, emv.TC, true, "")
			i.verifyCryptogram(true, "")
			if got := i.state().Purses[0].Balance; got != 8750-row.amount {
				t.Errorf("balance %d", got)
			}
			if told, ok := i.iad(i.answer).Balance(); !ok || told != 8750-row.amount {
				t.Errorf("the cryptogram tells %d", told)
			}
			if got := i.amount(emv.TagECBalance); got != 8750-row.amount {
				t.Errorf("GET DATA tells %d", got)
			}
			if s := i.state(); s.Log.Count != 1 || s.Cumulative != 0 {
				t.Errorf("%d log records, total %d", s.Log.Count, s.Cumulative)
			}
		})
	}
	// A terminal or a currency without electronic cash.
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	for _, s := range []struct {
		cash     bool
		currency uint16
	}{{false, yuan}, {true, 0x0840}} {
		i.sale.currency = s.currency
		i.open(s.cash)
		if _, all := i.readAll(i.gpo); all.Has(emv.TagECAuthCode) {
			t.Errorf("%+v: electronic cash", s)
		}
	}
}

// The payment must be that of GET PROCESSING OPTIONS, and going online leaves the purse alone unless nobody can be reached.
func TestContactCashDialogue(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	i.sale = sale{amount: 500}
	i.open(true)
	i.sale.amount = 400
	i.generate(emv.TC, emv.AAC, true, "")
	if d, _ := c.LastDecision(); d.Reason != card.ReasonDataChanged {
		t.Errorf("reason %v", d.Reason)
	}
	i.sale.amount = 500
	for _, row := range []struct {
		arc  string
		want emv.CID
		left int64
	}{{"00", emv.TC, 8750}, {"05", emv.AAC, 8750}, {"Y3", emv.TC, 8250}} {
		i.open(true)
		i.generate(emv.ARQC, emv.ARQC, true, "")
		if got := i.state().Purses[0].Balance; got != 8750 {
			t.Fatalf("an online request took %d", 8750-got)
		}
		i.generate(emv.TC, row.want, true, row.arc)
		i.verifyCryptogram(true, row.arc)
		if got := i.state().Purses[0].Balance; got != row.left {
			t.Errorf("%s: balance %d, want %d", row.arc, got, row.left)
		}
	}
	i.open(true)
	i.generate(emv.ARQC, emv.ARQC, true, "")
	i.sale.amount = 1
	i.generate(emv.TC, emv.AAC, true, "Y3") // nor may it change on the way
	if got := i.state().Purses[0].Balance; got != 8250 {
		t.Errorf("balance %d", got)
	}
}

// The second purse on contact; loads of both with their log [REF 1.3] [REF 5].
func TestSecondPurseAndLoads(t *testing.T) {
	c, issued := contactCard(t, func(image *card.Image) {
		image.Applications[0].SecondCurrency = money.MOP
		image.State.Applications[0].Purses[1] = card.Purse{Balance: 3000, BalanceLimit: 5000, SingleLimit: 2000, CVMLimit: 100, ResetThreshold: 1}
	})
	i := insert(t, c, issued)
	i.sale = sale{amount: 1200, currency: 0x0446}
	i.open(true)
	i.generate(emv.TC, emv.TC, true, "")
	if got := i.amount(emv.TagECBalance); got != 1800 { // means the second purse now
		t.Errorf("second balance %d", got)
	}
	if s := i.state(); s.Purses[0].Balance != 8750 || s.Purses[1].Balance != 1800 {
		t.Errorf("purses %+v", s.Purses)
	}
	i.sale = sale{amount: 1000}
	for _, row := range []struct {
		p1, p2 byte
		amount int64
		want   apdu.SW
	}{{0x9F, 0x79, 9750, apdu.OK}, {0xDF, 0x79, 5000, apdu.OK}, {0xDF, 0x79, 5001, apdu.WrongData}, {0x9F, 0x79, 0, apdu.OK}} {
		ac := i.online()
		i.settle()
		i.send(i.seal(4, apdu.InsPutData, row.p1, row.p2, bcd(row.amount), ac), row.want)
	}
	if s := i.state(); s.Purses[0].Balance != 0 || s.Purses[1].Balance != 5000 || s.LoadLog.Count != 3 {
		t.Errorf("purses %+v, %d loads", s.Purses, s.LoadLog.Count)
	}
	i.selectApplication()
	if got := i.amount(emv.TagSecondBalance); got != 5000 {
		t.Errorf("DF79 tells %d", got)
	}
	format, _ := tlv.Find(i.send(apdu.GetData(emv.TagLoadLogFormat), apdu.OK), emv.TagLoadLogFormat)
	if !bytes.Equal(format, unhex(t, "9A039F21039F3602")) {
		t.Errorf("format %X", format)
	}
	for n, want := range []string{
		"9F79 000000009750 000000000000 261121 123059 0006", "DF79 000000001800 000000005000 261121 123059 0004", "9F79 000000008750 000000009750 261121 123059 0003",
	} {
		if got := i.send(apdu.ReadRecord(0x0C, byte(n+1)), apdu.OK); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("load %d: %X, want %s", n+1, got, want)
		}
	}
	i.send(apdu.ReadRecord(0x0C, 4), apdu.RecordNotFound)
	whole := i.send(apdu.ReadRecord(0x0C, 0), apdu.OK)
	mac := issued.Suite.Cryptogram(issued.Suite.SessionKey(issued.CardKeys.MAC, 6), whole[:len(whole)-4])
	if len(whole) != 3+3*22+4 || whole[2] != 3 || !bytes.Equal(whole[len(whole)-4:], mac[:4]) {
		t.Errorf("load log %X", whole)
	}
}

// Ten loads fit into one record 0, an eleventh pushes the oldest out; a withheld log is not there.
func TestLoadLogFull(t *testing.T) {
	c, issued := contactCard(t, nil)
	i := insert(t, c, issued)
	for n := int64(1); n <= 11; n++ {
		i.send(i.seal(4, apdu.InsPutData, 0x9F, 0x79, bcd(n), i.online()), apdu.OK)
		i.settle()
	}
	i.selectApplication()
	if whole := i.send(apdu.ReadRecord(0x0C, 0), apdu.OK); len(whole) != 3+10*22+4 || !bytes.Contains(whole[:30], bcd(11)) {
		t.Errorf("load log %X", whole)
	}
	c, issued = contactCard(t, func(image *card.Image) { image.Applications[0].Withhold = card.WithholdLog })
	i = insert(t, c, issued)
	if fci := i.selectApplication(); bytes.Contains(fci, []byte{0xDF, 0x4D}) {
		t.Error("the log entry is told")
	}
	i.send(apdu.ReadRecord(0x0C, 0), apdu.FileNotFound)
	i.send(apdu.ReadRecord(0x0C, 1), apdu.FileNotFound)
	i.send(apdu.GetData(emv.TagLoadLogFormat), apdu.DataNotFound)
}

// TestContactTearing takes the card out at every moment of a contact payment from the purse and of an online payment: the purse has
// paid once or not at all, and the payment after it is an ordinary one.
func TestContactTearing(t *testing.T) {
	run := func(i *insertion) (approved bool) {
		for _, cmd := range []func() apdu.Command{
			func() apdu.Command { return apdu.Select(i.aid.Bytes()) },
			func() apdu.Command { return apdu.GPO(i.pdol.Build(nil, i.terminalData(true, ""))) },
			func() apdu.Command {
				return apdu.GenerateAC(0x80, i.list(emv.TagCDOL1).Build(nil, i.terminalData(true, "")))
			},
			func() apdu.Command {
				return apdu.GenerateAC(0x40, i.list(emv.TagCDOL2).Build(nil, i.terminalData(true, "Y3")))
			},
		} {
			response, ok := i.try(cmd())
			if !ok {
				return false
			}
			if response.SW != apdu.OK {
				i.Fatalf("%v", response.SW)
			}
		}
		return true
	}
	c, issued := contactCard(t, nil)
	whole := insert(t, c, issued)
	if !run(whole) || whole.field.Commits() != 3 {
		t.Fatalf("%d writes", whole.field.Commits())
	}
	for _, tear := range tears(whole.field.Commands(), whole.field.Commits()) {
		t.Run(tear.name, func(t *testing.T) {
			c, issued := contactCard(t, nil)
			i := insert(t, c, issued)
			before := i.state()
			tear.set(i.field)
			approved := run(i)
			i.field.Present()
			now := i.state()
			paid := before.Purses[0].Balance - now.Purses[0].Balance
			if paid != 0 && paid != 1000 || approved && paid != 1000 {
				t.Fatalf("paid %d, approved %v", paid, approved)
			}
			if (now.Log.Count == 1) != (paid == 1000) || (now.Proof.ATC == now.ATC) != (paid == 1000) {
				t.Error("log, proof and purse disagree")
			}
			if now.ATC < before.ATC || now.ATC > before.ATC+1 {
				t.Errorf("counter %d", now.ATC)
			}
			if !run(i) || i.state().Purses[0].Balance != now.Purses[0].Balance-1000 || i.state().ATC != now.ATC+1 {
				t.Error("the next payment is not an ordinary one")
			}
		})
	}
}
