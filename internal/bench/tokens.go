package bench

import (
	"crypto/rand"
	"errors"

	"tapnet/internal/hsm"
	"tapnet/internal/tsp"
	"tapnet/pan"
)

// Vaulted is what one resolution costs among so many tokens, on one processor and without link and commit: from the switch's question to the answer. It is
// taken apart. The look-up is what the service prepares beside its writer: the keyed fingerprint of the token number, the record found by it and read, the
// payment's key and the hash of what it says, and the account number opened under its bank's data key. The whole adds what the writer does: the rules, the
// row and the answer. These are of a service that has packed every token in memory; the store's is the look-up of one that holds next to nothing, in a file
// that the operating system has in memory.
type Vaulted struct {
	Tokens      int     `json:"tokens"`
	Nanoseconds float64 `json:"ns"`     // of the whole: median over the rounds
	P99us       float64 `json:"p99_us"` // of single resolutions, in all rounds
	// Ratio is the median over the rounds of this time by that of the first number of tokens; so are the other two.
	Ratio            float64 `json:"ratio"`
	LookNanoseconds  float64 `json:"look_ns"`
	LookRatio        float64 `json:"look_ratio"`
	StoreNanoseconds float64 `json:"store_ns"`
	StoreRatio       float64 `json:"store_ratio"`
	FillSeconds      float64 `json:"fill_seconds"`
	// WarmSeconds is how long packing all tokens took, beside which the service works already.
	WarmSeconds float64 `json:"warm_seconds"`
}

// DefaultVaulted are the numbers of tokens that Tokens measures.
var DefaultVaulted = []int{10_000, 1_000_000, 10_000_000}

const (
	tokenSwitch = "10000000"
	// vaultMemory is how many records the service may hold in use: so few that nearly every look-up goes to what is packed, or to the store.
	vaultMemory = 1 << 10
	// vaultBatch is how many tokens' cells are stored at once.
	vaultBatch = 1 << 13
	// vaultBytes bounds memory: what is packed is long-lived, and room for twice as much garbage beside it would be wasted.
	vaultBytes = 6 << 30
	// vaultStoreShare of a round's time goes to the store.
	vaultStoreShare = 4
)

// TokenMethods measures what a token number costs by each method, and what it costs to get back without a table where that is possible.
func TokenMethods() ([]Step, error) {
	all, failed, err := tokenMethods()
	if err != nil {
		return nil, err
	}
	return measureAll(all, failed)
}

func tokenMethods() ([]work, *error, error) {
	h, keys, err := tokenModule()
	if err != nil {
		return nil, nil, err
	}
	card, err := pan.CompleteLuhn("629999100000001")
	if err != nil {
		return nil, nil, err
	}
	var failed error
	var all []work
	for _, m := range []tsp.Method{tsp.MethodRandom, tsp.MethodHash, tsp.MethodDigits} {
		r := tsp.Range{Prefix: "62999811", Issuer: "30000001", IssuerPrefix: "6299991", Storage: 1, Method: m, Digits: 16}
		all = append(all, work{name: "token number, " + m.String(), what: func() {
			_, err := r.Candidate(h, keys, card, "62900000001", "phone", 0)
			failed = errors.Join(failed, err)
		}})
		if m != tsp.MethodDigits {
			continue
		}
		token, err := r.Candidate(h, keys, card, "62900000001", "phone", 0)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, work{name: "account number, " + m.String(), what: func() {
			_, err := r.Reverse(h, keys, token, "62900000001", 0)
			failed = errors.Join(failed, err)
		}})
	}
	return all, &failed, nil
}

// tokenModule is a token service's HSM with its keys.
func tokenModule() (*hsm.HSM, tsp.KeyNames, error) {
	h := hsm.New(rand.Reader)
	keys := tsp.KeyNames{Fingerprint: "fingerprint", Hash: "hash", Digits: "digits", Names: "names", TokenSeal: "seal"}
	keys.PINKey = func(peer string) string { return peer }
	for _, k := range []struct {
		name  string
		usage hsm.Usage
		mode  hsm.Mode
		a     hsm.Algorithm
	}{
		{keys.Fingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC}, {keys.Hash, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
		{keys.Digits, hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256}, {keys.Names, hsm.UsageTokenization, hsm.ModeBoth, hsm.AES256},
		{keys.TokenSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
	} {
		if _, err := h.Generate(k.name, k.usage, k.mode, k.a, hsm.NotExportable); err != nil {
			return nil, keys, err
		}
	}
	return h, keys, nil
}
