package hsm

import (
	"errors"
	"strings"
	"testing"

	"tapnet/keyblock"
)

// blockWorld is a module with protection keys of three strengths and two custodians.
func blockWorld(t testing.TB) *HSM {
	t.Helper()
	h := New(seeded(41))
	h.custodianLogN = 2
	for name, a := range map[string]Algorithm{"kbpk-tdes": TDES, "kbpk-128": AES128, "kbpk-256": AES256} {
		if _, err := h.Generate(name, UsageKeyBlock, ModeBoth, a, NotExportable); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"ann", "bo"} {
		if _, err := h.AddCustodian(name, []byte("passphrase of "+name)); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func approve(t testing.TB, h *HSM, r ExportRequest, names ...string) []Approval {
	t.Helper()
	var all []Approval
	for _, name := range names {
		a, err := h.Approve(r, name, []byte("passphrase of "+name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all
}

// TestKeyBlocks: every kind of exportable key goes out under dual control and comes in with exactly its attributes.
func TestKeyBlocks(t *testing.T) {
	h := blockWorld(t)
	other := New(seeded(41))
	for _, name := range []string{"kbpk-tdes", "kbpk-128", "kbpk-256"} {
		other.keys[name] = h.keys[name]
	}
	for name, k := range map[string]struct {
		usage     Usage
		mode      Mode
		algorithm Algorithm
		export    Export
		under     string
	}{
		"zone":  {UsagePINEncryption, ModeBoth, TDES, Exportable, "kbpk-tdes"},
		"imk":   {UsageEMVAC, ModeDerive, TDES, ExportableBlock, "kbpk-256"},
		"cloud": {UsageCloudAC, ModeDerive, AES128, ExportableBlock, "kbpk-128"},
		"mac":   {UsageMACLegacyECB, ModeVerify, DES, Exportable, "kbpk-tdes"},
		"base":  {UsageDeviceBase, ModeDerive, HMAC, ExportableBlock, "kbpk-256"},
		"sm4":   {UsageEMVMAC, ModeDerive, SM4, ExportableBlock, "kbpk-128"},
		"data":  {UsageData, ModeDecrypt, AES256, Exportable, "kbpk-256"},
	} {
		want, err := h.Generate(name, k.usage, k.mode, k.algorithm, k.export)
		if err != nil {
			t.Fatal(err)
		}
		r := ExportRequest{Name: name, Under: k.under, Serial: 1}
		text, err := h.ExportBlock(r, approve(t, h, r, "ann", "bo")...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := other.ImportBlock(k.under, name, text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, want)
		}
		if _, err := other.ImportBlock(k.under, name, text); !errors.Is(err, ErrKeyExists) {
			t.Errorf("%s: a second time: %v", name, err)
		}
	}
}

// TestExportRefused: without two different custodians who agreed to exactly this, nothing leaves; nor what was made not to leave.
func TestExportRefused(t *testing.T) {
	h := blockWorld(t)
	for name, export := range map[string]Export{"out": ExportableBlock, "in": NotExportable, "wire": Exportable} {
		if _, err := h.Generate(name, UsageEMVAC, ModeDerive, TDES, export); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Generate("strong", UsageData, ModeBoth, AES256, Exportable); err != nil {
		t.Fatal(err)
	}
	r := ExportRequest{Name: "out", Under: "kbpk-256", Serial: 5}
	other := r
	other.Serial++
	forged := Approval{Custodian: "bo", Code: approve(t, h, r, "ann")[0].Code}
	misspelt, err := h.Approve(r, "bo", []byte("passphrase of bot"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		r         ExportRequest
		approvals []Approval
		want      error
	}{
		"nobody":                 {r, nil, ErrApproval},
		"one":                    {r, approve(t, h, r, "ann"), ErrApproval},
		"one twice":              {r, approve(t, h, r, "ann", "ann"), ErrApproval},
		"one in another's name":  {r, append(approve(t, h, r, "ann"), forged), ErrApproval},
		"a wrong passphrase":     {r, append(approve(t, h, r, "ann"), misspelt), ErrApproval},
		"nobody's custodian":     {r, append(approve(t, h, r, "ann"), Approval{Custodian: "cy"}), ErrApproval},
		"for another request":    {r, approve(t, h, other, "ann", "bo"), ErrApproval},
		"not exportable":         {ExportRequest{"in", "kbpk-256", 5}, nil, ErrMisuse},
		"a custodian's key":      {ExportRequest{"custodian/ann", "kbpk-256", 5}, nil, ErrMisuse},
		"under a key for others": {ExportRequest{"out", "strong", 5}, nil, ErrMisuse},
		"under a weaker key":     {ExportRequest{"strong", "kbpk-128", 5}, nil, ErrBlock},
		"no such key":            {ExportRequest{"none", "kbpk-256", 5}, nil, ErrNoKey},
	} {
		if text, err := h.ExportBlock(c.r, c.approvals...); !errors.Is(err, c.want) || text != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := h.WrapUnder("kbpk-tdes", "out"); !errors.Is(err, ErrMisuse) {
		t.Errorf("in a form that binds nothing: %v", err)
	}
	if _, err := h.AddCustodian("eve", []byte("short")); !errors.Is(err, ErrPassphrase) {
		t.Errorf("short passphrase: %v", err)
	}
}

// TestImportRefused: malformed or unfit blocks leave the module as it was.
func TestImportRefused(t *testing.T) {
	h := blockWorld(t)
	raw := func(under string, header keyblock.Header, key []byte) string {
		e := h.keys[under]
		header.Version = keyblock.VersionD
		if e.info.Algorithm == TDES {
			header.Version = keyblock.VersionB
		}
		p, err := keyblock.NewProtectionKey(header.Version, e.value)
		if err != nil {
			t.Fatal(err)
		}
		b, err := p.Wrap(header, key, seeded(41))
		if err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	header := func(usage string, algorithm, mode, export byte) keyblock.Header {
		return keyblock.Header{Usage: usage, Algorithm: algorithm, Mode: mode, KeyVersion: "00", Export: export}
	}
	key := []byte("0123456789abcdef")
	good := raw("kbpk-256", header("E0", 'T', 'X', 'E'), key)
	names := strings.Join(h.Names(), " ")
	for name, c := range map[string]struct {
		under, text string
		want        error
	}{
		"cut":                  {"kbpk-256", good[:80], &keyblock.Error{Reason: keyblock.WrongLength}},
		"changed":              {"kbpk-256", strings.Replace(good, "E0TX", "E0TN", 1), &keyblock.Error{Reason: keyblock.NotAuthentic}},
		"another key":          {"kbpk-128", good, &keyblock.Error{Reason: keyblock.NotAuthentic}},
		"another version":      {"kbpk-tdes", good, &keyblock.Error{Reason: keyblock.WrongProtection}},
		"a custodian's key":    {"custodian/ann", good, ErrMisuse},
		"any mode":             {"kbpk-256", raw("kbpk-256", header("E0", 'T', 'N', 'E'), key), nil},
		"usage and mode":       {"kbpk-256", raw("kbpk-256", header("E0", 'T', 'B', 'E'), key), nil},
		"unknown usage":        {"kbpk-256", raw("kbpk-256", header("C0", 'T', 'C', 'E'), key), nil},
		"three-key triple DES": {"kbpk-256", raw("kbpk-256", header("E0", 'T', 'X', 'E'), []byte("0123456789abcdef01234567")), ErrBlock},
		"RSA":                  {"kbpk-256", raw("kbpk-256", header("S0", 'R', 'S', 'E'), key), ErrBlock},
		"custodian":            {"kbpk-256", raw("kbpk-256", header("21", 'H', 'V', 'N'), append(key, key...)), ErrBlock},
		"under a weaker key":   {"kbpk-tdes", raw("kbpk-tdes", header("E0", 'A', 'X', 'E'), key), ErrBlock},
		"equal halves":         {"kbpk-256", raw("kbpk-256", header("E0", 'T', 'X', 'E'), []byte("0123456701234567")), ErrWeakKey},
	} {
		if _, err := h.ImportBlock(c.under, "new", c.text); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if now := strings.Join(h.Names(), " "); now != names {
			t.Fatalf("%s: keys are now %s", name, now)
		}
	}
	if info, err := h.ImportBlock("kbpk-256", "new", good); err != nil || info.Export != ExportableBlock || info.Usage != UsageEMVAC {
		t.Errorf("%+v, %v", info, err)
	}
}
