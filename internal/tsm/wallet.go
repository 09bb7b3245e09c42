package tsm

import (
	"bytes"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/scp03"
)

//go:embed wallets/*.json
var walletFiles embed.FS

// Wallet is a profile: what the applications of a kind of wallet have in common, and how its elements are spoken to. Amounts are minor units.
type Wallet struct {
	Name            string        `json:"name"`
	Title           glossary.Term `json:"title"`
	MinimumLevel    byte          `json:"minimum_level"` // what the channel must protect at least; commands are always enciphered
	CommandsPerStep int           `json:"commands_per_step"`
	AID             string        `json:"aid"` // of the first application; the next ones count on behind it
	Label           string        `json:"label"`
	Language        string        `json:"language"`
	Processing      string        `json:"processing"` // 9F68
	CVMLimitMinor   int64         `json:"cvm_limit_minor"`
	Default         bool          `json:"default"` // a new application becomes the first of the directory
	Offline         bool          `json:"offline"` // applications prove themselves offline, where somebody certifies their keys
}

// Limits of a profile.
const (
	maxWalletBytes     = 4096
	maxCommandsPerStep = 64 // an answer of a server stays below 64 KiB
	maxLabelBytes      = 16 // tag 50
)

// ErrWallet says that a profile is not usable.
var ErrWallet = errors.New("tsm: wallet profile is not usable")

// ParseWallet reads a profile. The error wraps ErrWallet.
func ParseWallet(b []byte) (w Wallet, err error) {
	if len(b) > maxWalletBytes {
		return w, fmt.Errorf("%w: %d bytes", ErrWallet, len(b))
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return w, fmt.Errorf("%w: %w", ErrWallet, err)
	}
	level, err := scp03.ParseLevel(w.MinimumLevel)
	processing, hexErr := hex.DecodeString(w.Processing)
	switch {
	case w.Name == "" || w.Title.EN == "" || w.Title.ZH == "":
		err = errors.New("a name is missing")
	case err != nil || !level.Has(scp03.LevelMACENC):
		err = errors.New("commands must carry a code and be enciphered")
	case w.CommandsPerStep < 1 || w.CommandsPerStep > maxCommandsPerStep:
		err = fmt.Errorf("%d commands in a step, want 1 to %d", w.CommandsPerStep, maxCommandsPerStep)
	case hexErr != nil || len(processing) != len(emv.AdditionalProcessing{}):
		err = errors.New("processing has four bytes")
	case len(w.Label) == 0 || len(w.Label) > maxLabelBytes || len(w.Language) != 2 || w.CVMLimitMinor < 0:
		err = errors.New("label, language or limit")
	default:
		_, err = w.aid(0)
	}
	if err != nil {
		return Wallet{}, fmt.Errorf("%w: %w", ErrWallet, err)
	}
	return w, nil
}

// aid is the name of the n-th application: the first has the profile's own, the others a byte more.
func (w *Wallet) aid(n int) (emv.AID, error) {
	b, err := hex.DecodeString(w.AID)
	if err != nil {
		return "", err
	}
	if n > 0 {
		b = append(b, byte(n))
	}
	return emv.ParseAID(b)
}

// Wallets are the profiles of the package.
func Wallets() []Wallet {
	entries, err := walletFiles.ReadDir("wallets")
	if err != nil {
		panic("tsm: files of the package: " + err.Error())
	}
	var all []Wallet
	for _, e := range entries {
		b, err := walletFiles.ReadFile(path.Join("wallets", e.Name()))
		if err == nil {
			var w Wallet
			if w, err = ParseWallet(b); err == nil {
				all = append(all, w)
			}
		}
		if err != nil {
			panic("tsm: " + e.Name() + ": " + err.Error())
		}
	}
	return all
}
