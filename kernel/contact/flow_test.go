package contact_test

import (
	"fmt"
	"strings"
	"testing"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/kernel"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

func TestSelection(t *testing.T) {
	tests := []struct {
		name   string
		change func(*scene)
		want   emv.AID
		why    contact.Reason
	}{
		{"directory", nil, emv.AIDDebit, contact.ReasonIssuerApproved},
		{"no directory: by name, partial", func(s *scene) { s.pse = false }, emv.AIDDebit, contact.ReasonIssuerApproved},
		{"no directory: exact names only", func(s *scene) { s.pse, s.cfg.Applications[0].ExactOnly = false, true }, "", contact.ReasonNoCommonApplication},
		{"directory, exact names only", func(s *scene) { s.cfg.Applications[0].ExactOnly = true }, "", contact.ReasonNoCommonApplication},
		{"the card's order", func(s *scene) {
			s.aids, s.priority[emv.AIDDebit], s.priority[emv.AIDCredit] = []emv.AID{emv.AIDDebit, emv.AIDCredit}, 2, 1
		}, emv.AIDCredit, contact.ReasonIssuerApproved},
		{"the cardholder's choice", func(s *scene) {
			s.aids, s.cfg.Selectable, s.choice = []emv.AID{emv.AIDDebit, emv.AIDCredit}, true, 1
		}, emv.AIDCredit, contact.ReasonIssuerApproved},
		{"the cardholder's choice without directory", func(s *scene) {
			s.pse, s.aids, s.cfg.Selectable, s.choice = false, []emv.AID{emv.AIDDebit, emv.AIDCredit, emv.AIDQuasiCredit}, true, 2
		}, emv.AIDQuasiCredit, contact.ReasonIssuerApproved},
		{"cancelled", func(s *scene) {
			s.aids, s.cfg.Selectable, s.choice = []emv.AID{emv.AIDDebit, emv.AIDCredit}, true, -1
		}, "", contact.ReasonCancelled},
		{"to be confirmed, and nobody can", func(s *scene) { s.priority[emv.AIDDebit] = 0x81 }, "", contact.ReasonNoCommonApplication},
		{"to be confirmed", func(s *scene) { s.priority[emv.AIDDebit], s.cfg.Selectable = 0x81, true }, emv.AIDDebit, contact.ReasonIssuerApproved},
		{"refuses to begin", func(s *scene) { s.override[apdu.InsGPO] = sw(apdu.ConditionsNotSatisfied) }, "", contact.ReasonCardRefused},
		{"directory that cannot be read", func(s *scene) { s.answer[2] = ok([]byte{0x70, 0x7F}) }, emv.AIDDebit, contact.ReasonIssuerApproved},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			if tt.change != nil {
				tt.change(s)
			}
			o := s.run()
			if o.Reason != tt.why {
				t.Errorf("%v (%v), want %v; %s", o.Reason, o.Detail.EN, tt.why, s.course())
			}
			if name := emv.AID(o.Data.Get(emv.TagDFName)); tt.why == contact.ReasonIssuerApproved && name != tt.want {
				t.Errorf("application %v, want %v", name, tt.want)
			}
		})
	}
}

// Who gives up after a wrong PIN hears that it was wrong, and how many tries are left; who gives up before has cancelled.
func TestGivenUpAtThePIN(t *testing.T) {
	for _, tt := range []struct {
		pins   []string
		why    contact.Reason
		detail string
	}{
		{[]string{gaveUp}, contact.ReasonCancelled, ""},
		{[]string{"000000", gaveUp}, contact.ReasonPINWrong, "2 tries left"},
		{[]string{"000000", "000000", gaveUp}, contact.ReasonPINWrong, "1 try left"},
	} {
		s := newScene(t)
		s.pins = tt.pins
		if o := s.run(); o.Kind != kernel.EndApplication || o.Reason != tt.why || o.Detail.EN != tt.detail {
			t.Errorf("%v: %v, %v (%s)", tt.pins, o.Kind, o.Reason, o.Detail.EN)
		}
	}
}

func TestSecondApplicationWhenFirstRefuses(t *testing.T) {
	s := newScene(t)
	s.aids = []emv.AID{emv.AIDDebit, emv.AIDCredit}
	// PSE, three directory records, SELECT, GPO
	s.answer[6] = sw(apdu.ConditionsNotSatisfied)
	o := s.run()
	if name := emv.AID(o.Data.Get(emv.TagDFName)); o.Kind != kernel.Approved || name != emv.AIDCredit {
		t.Errorf("%v with %v", o.Reason, name)
	}
}

// TestScripts: commands of the issuer before and after the last cryptogram, and what the terminal reports of them.
func TestScripts(t *testing.T) {
	const (
		id   = "9F1804 00000001"
		put  = "860F 04DA9F790A 000000010000 01020304"
		both = id + put + put
	)
	tests := []struct {
		name    string
		change  func(*scene)
		results string
		tvr     string
	}{
		{"none", nil, "", "0000000000"},
		{"after", scripts("7216" + "9F180400000001" + "860D 84DA9F7908 0000000000000000"), "2000000001", "0000000000"},
		{"before and after", scripts("7106 8604 84180000" + "7206 8604 841E0000"), "20000000002000000000", "0000000000"},
		{"before fails", with(scripts("710C 8604 84180000 8604 84180000"), func(s *scene) { s.scriptSW = []apdu.SW{apdu.OK, apdu.SecureMessagingIncorrect} }), "1200000000", "0000000020"},
		{"after fails", with(scripts("720D 9F180400000007 8604 84180000"), func(s *scene) { s.scriptSW = []apdu.SW{apdu.SecureMessagingIncorrect} }), "1100000007", "0000000010"},
		{"a warning is no failure", with(scripts("720D 9F180400000007 8604 84180000"), func(s *scene) { s.scriptSW = []apdu.SW{0x6281} }), "2000000007", "0000000000"},
		{"the second still runs", with(scripts("7206 8604 84180000 7206 8604 84180000"), func(s *scene) { s.scriptSW = []apdu.SW{apdu.SecureMessagingIncorrect} }), "11000000002000000000", "0000000010"},
		{"unreadable", scripts("7106 8609 84180000"), "1000000000", "0000000020"},
		{"no command", scripts("7207 9F180400000001"), "1000000000", "0000000010"},
		{"not even TLV", scripts("72"), "1000000000", "0000000020"},
		{"command is no APDU", scripts("7205 8603 841800"), "1100000000", "0000000010"},
		{"held back without approval", with(declines, scripts("7206 8604 84180000"), func(s *scene) { s.cfg.ScriptsNeedApproval = true }), "0000000000", "0000000000"},
		{"sent without approval", with(declines, scripts("7206 8604 84180000")), "2000000000", "0000000000"},
	}
	_, _ = put, both
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			if tt.change != nil {
				tt.change(s)
			}
			o := s.run()
			if got := fmt.Sprintf("%X", o.Data.Get(emv.TagScriptResults)); got != tt.results {
				t.Errorf("results %s, want %s", got, tt.results)
			}
			if o.TVR.Hex() != tt.tvr {
				t.Errorf("TVR %v, want %s", o.TVR, tt.tvr)
			}
			if (tt.results != "" && tt.results[0] != '0') != o.TSI.Has(emv.TSIScriptPerformed) {
				t.Errorf("TSI %v", o.TSI)
			}
		})
	}
}

func cash(s *scene) {
	s.purse(20_000)
	s.data.Set(emv.TagECAuthCode, []byte("ECC001"))
	s.data.Set(emv.TagCVMList, unhex(s, "00000000000000001F00"))
	s.wants = emv.TC
}

func TestElectronicCash(t *testing.T) {
	tests := []struct {
		name   string
		change func(*scene)
		why    contact.Reason
		after  int64
		online bool
	}{
		{"paid from the purse", cash, contact.ReasonCashApproved, 18_750, false},
		{"paid on the spot in a terminal without host", with(cash, func(s *scene) { s.tx.OfflineOnly = true }), contact.ReasonCashApproved, 18_750, false},
		{"runs low: the issuer is asked and fills it", with(cash, func(s *scene) {
			s.balance = 5100
			s.onScript = func(s *scene, _ apdu.Command) { s.balance = 100_000 }
		}, scripts("7211 860F 04DA9F790A 000000100000 01020304")), contact.ReasonIssuerApproved, 100_000, true},
		{"runs low in a terminal without host", with(cash, func(s *scene) { s.balance, s.tx.OfflineOnly = 5100, true }), contact.ReasonCashApproved, 3850, false},
		{"balance signed for the issuer", with(cash, func(s *scene) { s.iad = unhex(s, "0701010360A400010A010000018750AABBCCDD") }), contact.ReasonCashApproved, 18_750, false},
		{"floor limit zero", with(cash, func(s *scene) { s.cfg.Applications[0].FloorLimit = money.New(0, money.CNY) }), contact.ReasonCashApproved, 18_750, false},
		{"held to a floor limit of zero", with(cash, func(s *scene) {
			s.cfg.Applications[0].FloorLimit, s.cfg.Applications[0].CashKeepsFloor = money.New(0, money.CNY), true
		}), contact.ReasonIssuerApproved, 0, true},
		{"above the terminal's limit: an ordinary sale", with(cash, func(s *scene) { s.cfg.Applications[0].ECLimit = money.New(1000, money.CNY) }), contact.ReasonApproved, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			tt.change(s)
			o := s.run()
			if o.Reason != tt.why || o.Online != tt.online || o.Kind != kernel.Approved {
				t.Fatalf("%v %v (online %v), want %v; %s", o.Kind, o.Reason, o.Online, tt.why, s.course())
			}
			if tt.after != 0 && (o.BalanceAfter == nil || o.BalanceAfter.Minor() != tt.after) {
				t.Errorf("balance %v, want %d", o.BalanceAfter, tt.after)
			}
		})
	}
}

func loads(op contact.PurseOperation, minor int64) func(*scene) {
	return func(s *scene) {
		s.purse(20_000)
		s.tx.Purse, s.tx.Amount = op, money.New(minor, money.CNY)
		s.onScript = func(s *scene, c apdu.Command) {
			amount, err := money.FromBCD(c.Data[:6], money.CNY)
			if err != nil {
				s.Fatal(err)
			}
			s.balance = amount.Minor()
		}
	}
}

func puts(minor int64) func(*scene) {
	return func(s *scene) { scripts(fmt.Sprintf("7218 9F180400000001 860F 04DA9F790A %X 01020304", n12(minor)))(s) }
}

func TestPurseOperations(t *testing.T) {
	tests := []struct {
		name      string
		change    func(*scene)
		kind      kernel.OutcomeKind
		why       contact.Reason
		after     int64
		typ       string
		pin       bool
		reverse   bool
		uncertain bool
	}{
		{"load", with(loads(contact.PurseLoad, 5000), puts(25_000)), kernel.Approved, contact.ReasonLoaded, 25_000, "60", true, false, false},
		{"cash load", with(loads(contact.PurseCashLoad, 5000), puts(25_000)), kernel.Approved, contact.ReasonLoaded, 25_000, "63", false, false, false},
		{"load from another account", with(loads(contact.PurseLoadFromAnother, 5000), puts(25_000)), kernel.Approved, contact.ReasonLoaded, 25_000, "62", false, false, false},
		{"void of a cash load", with(loads(contact.PurseCashLoadVoid, 5000), puts(15_000)), kernel.Approved, contact.ReasonUnloaded, 15_000, "17", false, false, false},
		{"unload", with(loads(contact.PurseUnload, 0), puts(0)), kernel.Approved, contact.ReasonUnloaded, 0, "17", false, false, false},
		{"above the balance limit", loads(contact.PurseLoad, 80_001), kernel.EndApplication, contact.ReasonAboveBalanceLimit, -1, "", false, false, false},
		{"up to the balance limit", with(loads(contact.PurseLoad, 80_000), puts(100_000)), kernel.Approved, contact.ReasonLoaded, 100_000, "60", true, false, false},
		{"void of more than there is", loads(contact.PurseCashLoadVoid, 20_001), kernel.EndApplication, contact.ReasonBelowBalance, -1, "", false, false, false},
		{"unload of nothing", with(loads(contact.PurseUnload, 0), func(s *scene) { s.balance = 0 }), kernel.EndApplication, contact.ReasonNothingToUnload, -1, "", false, false, false},
		{"no purse", with(loads(contact.PurseLoad, 5000), func(s *scene) { delete(s.get, emv.TagECCurrency) }), kernel.EndApplication, contact.ReasonNoPurse, -1, "", false, false, false},
		{"another currency", with(loads(contact.PurseLoad, 5000), func(s *scene) { s.get[emv.TagECCurrency] = []byte{3, 0x44} }), kernel.EndApplication, contact.ReasonNoPurse, -1, "", false, false, false},
		{"without PIN", with(loads(contact.PurseLoad, 5000), func(s *scene) { s.pins = nil }), kernel.EndApplication, contact.ReasonPINNeeded, -1, "60", false, false, false},
		{"issuer declines", with(loads(contact.PurseLoad, 5000), declines), kernel.Declined, contact.ReasonIssuerDeclined, 20_000, "60", true, false, false},
		{"host silent", with(loads(contact.PurseLoad, 5000), noHost), kernel.Declined, contact.ReasonHostSilent, 20_000, "60", true, false, false},
		{"card does not accept the issuer", with(loads(contact.PurseLoad, 5000), puts(25_000), func(s *scene) { s.refuses = true }), kernel.Declined,
			contact.ReasonCardDeclinedHost, 20_000, "60", true, false, false},
		{"void the card does not accept", with(loads(contact.PurseCashLoadVoid, 5000), puts(15_000), func(s *scene) { s.refuses = true }), kernel.Declined,
			contact.ReasonCardDeclinedHost, 20_000, "17", false, true, false},
		{"script fails", with(loads(contact.PurseLoad, 5000), puts(25_000), func(s *scene) { s.scriptSW = []apdu.SW{apdu.MemoryFailure} }), kernel.Declined,
			contact.ReasonNotLoaded, 20_000, "60", true, false, false},
		{"host forgets the script", loads(contact.PurseLoad, 5000), kernel.Declined, contact.ReasonNotLoaded, 20_000, "60", true, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t)
			tt.change(s)
			o := s.run()
			if o.Kind != tt.kind || o.Reason != tt.why || o.Reverse != tt.reverse || o.Uncertain != tt.uncertain || o.OnlinePIN != tt.pin {
				t.Errorf("%v | %v | reverse %v | uncertain %v | PIN %v\n%s", o.Kind, o.Reason, o.Reverse, o.Uncertain, o.OnlinePIN, s.course())
			}
			if tt.after >= 0 && (o.BalanceAfter == nil || o.BalanceAfter.Minor() != tt.after) {
				t.Errorf("balance %v, want %d", o.BalanceAfter, tt.after)
			}
			if got := fmt.Sprintf("%X", o.Data.Get(emv.TagTransactionType)); got != tt.typ {
				t.Errorf("transaction type %s, want %s", got, tt.typ)
			}
		})
	}
}

// TestTakenOut takes the card out before each command of an online sale and of a load.
func TestTakenOut(t *testing.T) {
	for name, setup := range map[string]func(*scene){
		"sale": scripts("7206 8604 84180000"),
		"load": with(loads(contact.PurseLoad, 5000), puts(25_000)),
		"cash": cash,
	} {
		whole := newScene(t)
		setup(whole)
		whole.run()
		for n := 1; n <= len(whole.sent); n++ {
			s := newScene(t)
			setup(s)
			s.answer[n] = nil
			o := s.run()
			last := s.sent[len(s.sent)-1]
			where := fmt.Sprintf("%s, command %d of %d (%v)", name, n, len(whole.sent), last)
			asked := len(s.questions) > 0 && s.questions[len(s.questions)-1].Online != nil
			sealed := s.acs == 2 || name == "cash" && s.acs == 1
			switch {
			case !o.Removed && last.INS != apdu.InsGetData:
				t.Errorf("%s: not said to be removed", where)
			case name == "cash" && last.INS == apdu.InsGenerateAC && (o.Reason != contact.ReasonTorn || !o.Uncertain):
				t.Errorf("%s: %v", where, o.Reason)
			case name == "sale" && asked && !sealed && (o.Reason != contact.ReasonRemovedAfterHost || !o.Reverse):
				t.Errorf("%s: %v, reverse %v", where, o.Reason, o.Reverse)
			case name == "sale" && sealed && o.Kind != kernel.Approved:
				t.Errorf("%s: %v", where, o.Reason)
			case name == "load" && sealed && last.INS == apdu.InsPutData && (o.Reason != contact.ReasonLoadUnknown || !o.Uncertain || o.Reverse):
				t.Errorf("%s: %v", where, o.Reason)
			case !asked && !sealed && last.INS != apdu.InsGenerateAC && o.Reason != contact.ReasonCardRemoved:
				t.Errorf("%s: %v", where, o.Reason)
			}
		}
	}
}

func TestCombinedSignatureForged(t *testing.T) {
	for _, wants := range []emv.CID{emv.TC, emv.ARQC} {
		s := newScene(t)
		cda(s)
		s.wants = wants
		s.sign()
		s.key = otherKey() // the card signs with a key that its certificate does not name
		o := s.play()
		if o.Kind != kernel.Declined || o.Reason != contact.ReasonODAFailed || !o.TVR.Has(emv.TVRCDAFailed) || o.Online {
			t.Errorf("%v: %v %v, TVR %v", wants, o.Kind, o.Reason, o.TVR)
		}
	}
}

func TestDataRecord(t *testing.T) {
	s := newScene(t)
	cda(s)
	o := s.run()
	for _, tag := range []tlv.Tag{emv.TagAC, emv.TagCID, emv.TagIAD, emv.TagUnpredictableNumber, emv.TagATC, emv.TagTVR, emv.TagTransactionDate,
		emv.TagTransactionType, emv.TagAmount, emv.TagCurrency, emv.TagAIP, emv.TagTerminalCountry, emv.TagAmountOther, emv.TagTerminalCapabilities,
		emv.TagCVMResults, emv.TagTerminalType, emv.TagDeviceSerial, emv.TagDFName, emv.TagTerminalVersion, emv.TagTransactionCounter, emv.TagTrack2} {
		if !o.Data.Has(tag) {
			t.Errorf("no %v", tag)
		}
	}
	if number, ok := o.PAN(); !ok || number.Reveal() != testPAN {
		t.Error("account number")
	}
	question := s.questions[len(s.questions)-1].Online
	if question == nil || emv.CID(question.Data.Get(emv.TagCID)[0]) != emv.ARQC || question.Data.Has(emv.TagARC) {
		t.Errorf("question to the host: %v", question)
	}
	if printed := fmt.Sprintf("%v %+v", o, s.questions); strings.Contains(printed, testPAN) || strings.Contains(printed, testPIN) {
		t.Errorf("prints account number or PIN: %s", printed)
	}
}

func TestFloorLimitCountsWhatWasPaidBefore(t *testing.T) {
	s := newScene(t)
	s.tx.Previous = func(pan.Number) money.Amount { return money.New(48_750, money.CNY) }
	if o := s.run(); !o.TVR.Has(emv.TVRFloorLimitExceeded) {
		t.Errorf("TVR %v", o.TVR)
	}
}

func TestReasonsHaveTexts(t *testing.T) {
	for _, r := range contact.Reasons() {
		if r.Term().EN == "" || r.Term().ZH == "" || r.Next().EN == "" || r.Next().ZH == "" {
			t.Errorf("reason %d has no text", r)
		}
	}
}

func TestMisusePanics(t *testing.T) {
	for name, misuse := range map[string]func(*scene){
		"no applications":  func(s *scene) { contact.New(contact.Config{}, s.tx) },
		"next before":      func(s *scene) { contact.New(s.cfg, s.tx).Next(contact.CardLost{}) },
		"started twice":    func(s *scene) { m := contact.New(s.cfg, s.tx); m.Start(); m.Start() },
		"no event":         func(s *scene) { m := contact.New(s.cfg, s.tx); m.Start(); m.Next(nil) },
		"answer to nobody": func(s *scene) { m := contact.New(s.cfg, s.tx); m.Start(); m.Next(contact.Chosen{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			misuse(newScene(t))
		})
	}
}

// TestSM: the three methods of authentication over a chain of SM2 keys, and a signature of another key.
func TestSM(t *testing.T) {
	for name, aip := range map[string]emv.AIP{"SDA": {0x5C, 0}, "DDA": {0x7C, 0}, "CDA": {0x7D, 0}} {
		for _, forged := range []bool{false, true} {
			s := newScene(t)
			s.data.Set(emv.TagCVMList, unhex(t, "00000000000000001F00"))
			sm2(s)
			s.aip = aip
			s.sign()
			if forged {
				own := s.key
				newScene := newScene(t)
				sm2(newScene)
				s.key = newScene.signer
				if s.key.Equal(own) {
					t.Fatal("same key")
				}
			}
			o := s.play()
			passes := !forged || name == "SDA"
			if (o.ODA.Status == kernel.ODAPassed) != passes {
				t.Errorf("%s, forged %v: %v %v, %v", name, forged, o.Kind, o.Reason, o.ODA)
			}
			if df69 := s.pdolData[len(s.pdolData)-1]; df69 != 1 {
				t.Errorf("DF69 %02X", df69)
			}
		}
	}
}

// TestEncipheredPINNeedsRSA: no public source says how SM2 enciphers a PIN, so the method is unsuccessful and the list goes on.
func TestEncipheredPINNeedsRSA(t *testing.T) {
	s := newScene(t)
	sm2(s)
	cvmList("4400 1F00")(s)
	if o := s.run(); o.CVM.Hex() != "1F0002" || o.Kind != kernel.Approved {
		t.Errorf("%v, CVM %v", o.Reason, o.CVM)
	}
}

// TestSecondCurrency loads the purse in the second currency, which has tags of its own [REF 1.3].
func TestSecondCurrency(t *testing.T) {
	s := newScene(t)
	s.purse(20_000)
	hkd := func(minor int64) money.Amount { return money.New(minor, money.HKD) }
	s.tx.Purse, s.tx.Amount, s.tx.Other = contact.PurseCashLoad, hkd(5000), hkd(0)
	s.get[emv.TagSecondECCurrency], s.get[emv.TagSecondBalance], s.get[emv.TagSecondBalanceLimit] = []byte{3, 0x44}, n12(1000), n12(6000)
	s.onScript = func(s *scene, c apdu.Command) { s.get[emv.TagSecondBalance] = c.Data[:6] }
	scripts(fmt.Sprintf("7218 9F180400000001 860F 04DADF790A %X 01020304", n12(6000)))(s)
	o := s.run()
	if o.Reason != contact.ReasonLoaded || o.BalanceAfter == nil || *o.BalanceAfter != hkd(6000) || s.balance != 20_000 {
		t.Errorf("%v, %v, first purse %d", o.Reason, o.BalanceAfter, s.balance)
	}
	s = newScene(t)
	s.purse(20_000)
	s.tx.Purse, s.tx.Amount, s.tx.Other = contact.PurseCashLoad, hkd(5001), hkd(0)
	s.get[emv.TagSecondECCurrency], s.get[emv.TagSecondBalance], s.get[emv.TagSecondBalanceLimit] = []byte{3, 0x44}, n12(1000), n12(6000)
	if o := s.run(); o.Reason != contact.ReasonAboveBalanceLimit {
		t.Errorf("%v", o.Reason)
	}
}
