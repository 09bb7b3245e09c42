package tsp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"

	"tapnet/internal/tsp/tspapi"
	"tapnet/pan"
)

// Kinds of covered numbers: what a reference or an account reference is made from.
const (
	coverPAR   = 1
	coverToken = 3
)

// reference is a token's name on interfaces: 32 hexadecimal digits.
func (s *TSP) reference(t *Token) (string, error) {
	covered, err := s.deps.Vault.CoverNumber(s.deps.Keys.Names, coverToken, t.Number)
	return hex.EncodeToString(covered[:]), err
}

// tokenNamed finds the number behind a reference, 0 when it names none.
func (s *TSP) tokenNamed(reference string) (uint64, error) {
	b, err := hex.DecodeString(reference)
	if err != nil || len(b) != 16 {
		return 0, nil
	}
	number, found, err := s.deps.Vault.UncoverNumber(s.deps.Keys.Names, coverToken, [16]byte(b))
	if err != nil || !found {
		return 0, err
	}
	return number, nil
}

// parChars is the part of an account reference behind the BIN controller's id: 16 bytes in base 36.
const parChars = 25

// par is a card's payment account reference: one-to-one with the account, without a way back for whoever has no key.
func (s *TSP) par(account uint64) (string, error) {
	covered, err := s.deps.Vault.CoverNumber(s.deps.Keys.Names, coverPAR, account)
	if err != nil {
		return "", err
	}
	text := strings.ToUpper(new(big.Int).SetBytes(covered[:]).Text(36))
	return s.deps.Controller + strings.Repeat("0", parChars-len(text)) + text, nil
}

// accountNamed finds the number behind an account reference, 0 when it names none.
func (s *TSP) accountNamed(par string) (uint64, error) {
	rest, ours := strings.CutPrefix(par, s.deps.Controller)
	value, sound := new(big.Int).SetString(strings.ToLower(rest), 36)
	if !ours || len(rest) != parChars || !sound || value.Sign() < 0 || value.BitLen() > 128 {
		return 0, nil
	}
	number, found, err := s.deps.Vault.UncoverNumber(s.deps.Keys.Names, coverPAR, [16]byte(value.FillBytes(make([]byte, 16))))
	if err != nil || !found {
		return 0, err
	}
	return number, nil
}

// deviceName is how a device is found: requestors have their own names for devices.
func deviceName(requestor, reference string) [16]byte {
	sum := sha256.Sum256([]byte("tapnet device 1\x00" + requestor + "\x00" + reference))
	return [16]byte(sum[:16])
}

// prepareCommand does what a command needs of store and security module.
func (s *TSP) prepareCommand(c *Command) *commandFinding {
	f := &commandFinding{}
	if err := s.prepareAll(c, f); err != nil {
		f.problem = unavailable()
	}
	if c.Key == "" {
		return f
	}
	if len(c.Key) > maxKeyChars {
		f.problem = refusal(422, "idempotency-key", "an idempotency key has at most %d characters", maxKeyChars)
		f.key = apiPrefix + "?"
		return f
	}
	f.key, f.content = c.rowKey(), c.content(f)
	f.earlier = s.state.answers.Foresee(f.key, s.state.look)
	return f
}

func (s *TSP) prepareAll(c *Command, f *commandFinding) (err error) {
	if c.Token != "" {
		if err := s.prepareToken(c, f); err != nil {
			return err
		}
	}
	if !c.Number.IsZero() {
		if f.name, err = s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, c.Number); err != nil {
			return err
		}
		if _, f.card, err = s.state.findName(f.name); err != nil {
			return err
		}
	}
	switch b := c.Body.(type) {
	case *tspapi.Eligibility:
		return s.prepareEligibility(c, b, f)
	case *tspapi.Provision:
		return s.prepareProvision(c, b, f)
	case *tspapi.Challenge:
		return s.prepareCode(b, f)
	case *tspapi.Activate:
		f.codeSum, err = s.codeSum(f.tokenID, b.Code)
		return err
	case *tspapi.Relink:
		if f.otherName, err = s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, c.Other); err != nil {
			return err
		}
		if _, f.other, err = s.state.findName(f.otherName); err != nil {
			return err
		}
		return s.sealNumber(f, c.Other, f.otherName, c.Caller.ID)
	case *DeviceChange:
		f.deviceName = deviceName(c.Caller.ID, b.Device)
		_, f.device, err = s.state.findName(f.deviceName)
		return err
	case *Rekey:
		return s.prepareKey(b.Issuer, f)
	case *Read, *List, *AccountReference, *History:
		return s.read(c, f)
	}
	return nil
}

// prepareToken finds the token a command names, its card and its device.
func (s *TSP) prepareToken(c *Command, f *commandFinding) error {
	number, err := s.tokenNamed(c.Token)
	if err != nil || number == 0 {
		return err
	}
	r, h, err := s.state.find(cellOf(kindToken, number))
	t, found, err := as[*Token](r, err)
	if err != nil || !found {
		return err
	}
	f.tokenID, f.token = number, h
	if _, f.card, err = s.state.find(cellOf(kindCard, t.Card)); err != nil {
		return err
	}
	_, f.device, err = s.state.find(cellOf(kindDevice, t.Device))
	return err
}

// sealNumber seals an account number under its bank's latest data key; the first number of a bank makes the first.
func (s *TSP) sealNumber(f *commandFinding, n pan.Number, name [16]byte, tenant string) error {
	key, found := s.state.settings.Load().latest(tenant)
	if !found {
		var err error
		if key, err = s.deps.Numbers.NewDataKey(tenant, 1); err != nil {
			return err
		}
		f.fresh = true
	}
	f.seal = &key
	sealed, err := s.deps.Numbers.SealNumber(key, name, n)
	f.sealed = sealed
	return err
}

// prepareKey makes the next data key of a bank.
func (s *TSP) prepareKey(tenant string, f *commandFinding) error {
	latest, _ := s.state.settings.Load().latest(tenant)
	key, err := s.deps.Numbers.NewDataKey(tenant, latest.Epoch+1)
	f.seal = &key
	return err
}

// eligibilityDigits are the digits of an eligibility: without the key they cannot be made, and they stand for two days.
const eligibilityDigits = 16

func (s *TSP) eligibility(n pan.Number, requestor, device, storage string, day int32) (string, error) {
	context := fmt.Sprintf("eligibility\x00%s\x00%s\x00%s\x00%d", requestor, device, storage, day)
	return s.deps.Vault.HashDigits(s.deps.Keys.Hash, []byte(context), n, eligibilityDigits)
}

// prepareProvision makes what a token needs: candidates for its number and the seals.
func (s *TSP) prepareProvision(c *Command, b *tspapi.Provision, f *commandFinding) (err error) {
	f.deviceName = deviceName(c.Caller.ID, b.Device.Reference)
	if _, f.device, err = s.state.findName(f.deviceName); err != nil {
		return err
	}
	if c.Number.IsZero() {
		f.problem = refusal(422, "number-missing", "the encrypted payload has no card number")
		return nil
	}
	r := rangeFor(s.deps.Ranges, c.Number, storageNamed(b.Storage))
	if r == nil {
		return nil // carryOut says why
	}
	if err := s.sealNumber(f, c.Number, f.name, r.Issuer); err != nil {
		return err
	}
	for attempt := 0; attempt < maxAttempts && len(f.candidates) < 2; attempt++ {
		one := candidate{}
		one.number, err = r.Candidate(s.deps.Vault, s.deps.Keys, c.Number, c.Caller.ID, b.Device.Reference, attempt)
		if errors.Is(err, errNoNumber) {
			return nil
		}
		if err != nil {
			return err
		}
		if one.name, err = s.deps.Vault.PANFingerprint(s.deps.Keys.Fingerprint, one.number); err != nil {
			return err
		}
		known, h, err := s.state.findName(one.name)
		if err != nil {
			return err
		}
		if known != nil {
			continue
		}
		one.taken = h
		if one.sealed, err = s.deps.Vault.SealPAN(s.deps.Keys.TokenSeal, one.number); err != nil {
			return err
		}
		f.candidates = append(f.candidates, one)
	}
	return nil
}

// codeDigits is the length of a one-time code.
const codeDigits = 6

// prepareCode makes a one-time code; the bank gets it sealed.
func (s *TSP) prepareCode(b *tspapi.Challenge, f *commandFinding) (err error) {
	if idvNamed(b.Method) != idvOTP || f.tokenID == 0 {
		return nil
	}
	if f.code, err = s.deps.Vault.RandomDigits(codeDigits); err != nil {
		return err
	}
	if f.codeSum, err = s.codeSum(f.tokenID, f.code); err != nil {
		return err
	}
	f.codeSealed, err = s.deps.Vault.SealData(s.deps.Keys.TokenSeal, codeContext, []byte(f.code))
	return err
}

const codeContext = "tsp one-time code"

// codeSum is what is kept of a one-time code.
func (s *TSP) codeSum(token uint64, code string) (sum [16]byte, err error) {
	if len(code) != codeDigits || strings.Trim(code, "0123456789") != "" {
		return sum, nil
	}
	n, err := pan.Parse("99" + strings.Repeat("0", 5) + code)
	if err != nil {
		return sum, nil
	}
	digits, err := s.deps.Vault.HashDigits(s.deps.Keys.Hash, fmt.Appendf(nil, "one-time code\x00%d", token), n, 16)
	copy(sum[:], digits)
	return sum, err
}

// OpenToken opens the token number of a Reply, for an encrypted payload.
func (s *TSP) OpenToken(sealed []byte) (pan.Number, error) {
	return s.deps.Vault.OpenPAN(s.deps.Keys.TokenSeal, sealed)
}

// OpenCode opens the one-time code of a webhook, for an encrypted payload.
func (s *TSP) OpenCode(w *Webhook) (string, error) {
	code, err := s.deps.Vault.OpenData(s.deps.Keys.TokenSeal, codeContext, w.Code)
	return string(code), err
}
