// Package keyring keeps the working keys an institution shares with its peers: one PIN key and one MAC key each, in the institution's
// HSM, wrapped for the journey under the peer's master key [REF 6.1] [REF 6.4]. It is the HSM as a link session wants it.
//
// The PIN key of a peer always has the same name, PINKey(peer); a change gives it a new value at once. The MAC key changes between two
// names, so that messages under way when it changes are still accepted: see Confirm and Retire. The ring itself holds no key and is
// forgotten with the process; after a restart every peer signs on again.
//
// It does not decide when keys change and never sees a key.
package keyring

import (
	"errors"
	"fmt"
	"sync"

	"tapnet/internal/hsm"
	"tapnet/iso8583/unionpay"
)

// MaxPeers bounds the ring: peers come from sign-on messages, but only those with a master key get in.
const MaxPeers = 100_000

// Config says how keys are named and used.
type Config struct {
	HSM *hsm.HSM
	// Prefix begins the name of every working key, "terminal/" for instance.
	Prefix string
	// MasterKey names the key-encrypting key shared with a peer, "terminal/10000001/master" for instance.
	MasterKey func(peer string) string
	MAC       hsm.MACAlgorithm
	// PINMode is what this side does with PIN keys: ModeDecrypt at a terminal host, ModeEncrypt at a terminal, ModeBoth between members.
	PINMode hsm.Mode
	// DoubleLengthMAC issues 16-byte MAC keys; otherwise single DES, as [REF 6.1] shows.
	DoubleLengthMAC bool
}

// Ring is the set of working keys by peer. It is safe for concurrent use.
type Ring struct {
	config Config
	mu     sync.Mutex
	peers  map[string]*macKeys
}

// macKeys names the MAC keys of a peer in the HSM; an empty name is no key.
type macKeys struct {
	inForce, pending, before string
}

// New checks the configuration.
func New(c Config) (*Ring, error) {
	switch {
	case c.HSM == nil || c.MasterKey == nil:
		return nil, errors.New("keyring: HSM and MasterKey are needed")
	case c.MAC.Usage() == "":
		return nil, fmt.Errorf("keyring: unknown MAC algorithm %d", c.MAC)
	case c.PINMode != hsm.ModeBoth && c.PINMode != hsm.ModeEncrypt && c.PINMode != hsm.ModeDecrypt:
		return nil, fmt.Errorf("keyring: mode %q is none of a PIN key", c.PINMode)
	}
	return &Ring{config: c, peers: make(map[string]*macKeys)}, nil
}

// PINKey is the name of a peer's PIN key in the HSM.
func (r *Ring) PINKey(peer string) string { return r.config.Prefix + peer + "/pin" }

// macName gives one of the two names a peer's MAC key can have.
func (r *Ring) macName(peer string, second bool) string {
	if second {
		return r.config.Prefix + peer + "/mac-b"
	}
	return r.config.Prefix + peer + "/mac-a"
}

// Known reports whether there is a master key for the peer.
func (r *Ring) Known(peer string) bool {
	_, err := r.config.HSM.Info(r.config.MasterKey(peer))
	return err == nil
}

// MAC computes a MAC under the key in force; while there is none, under the pending one.
func (r *Ring) MAC(peer string, input []byte) ([8]byte, error) {
	k := r.names(peer)
	return r.compute(peer, input, k.inForce, k.pending)
}

// MACPending computes a MAC under the pending key; while there is none, under the one in force.
func (r *Ring) MACPending(peer string, input []byte) ([8]byte, error) {
	k := r.names(peer)
	return r.compute(peer, input, k.pending, k.inForce)
}

func (r *Ring) compute(peer string, input []byte, first, second string) ([8]byte, error) {
	if first == "" {
		first = second
	}
	if first == "" {
		return [8]byte{}, fmt.Errorf("keyring: no MAC key with %q", peer)
	}
	return r.config.HSM.MAC(first, r.config.MAC, input)
}

// VerifyMAC accepts the key in force, the pending one, and until Retire the one before.
func (r *Ring) VerifyMAC(peer string, input []byte, code [8]byte) (bool, error) {
	k := r.names(peer)
	for _, name := range [...]string{k.inForce, k.pending, k.before} {
		if name == "" {
			continue
		}
		ok, err := r.config.HSM.VerifyMAC(name, r.config.MAC, input, code)
		if ok || (err != nil && !errors.Is(err, hsm.ErrNoKey)) { // a key that has just been retired is no key
			return ok, err
		}
	}
	return false, nil
}

// MACPair is MAC on two messages.
func (r *Ring) MACPair(peer string, a, b []byte) (codeA, codeB [8]byte, err error) {
	k := r.names(peer)
	name := k.inForce
	if name == "" {
		name = k.pending
	}
	if name == "" {
		return codeA, codeB, fmt.Errorf("keyring: no MAC key with %q", peer)
	}
	return r.config.HSM.MACPair(name, r.config.MAC, a, b)
}

// VerifyMACPair is VerifyMAC on two messages.
func (r *Ring) VerifyMACPair(peer string, a, b []byte, codeA, codeB [8]byte) (okA, okB bool, err error) {
	if k := r.names(peer); k.inForce != "" {
		okA, okB, err = r.config.HSM.VerifyMACPair(k.inForce, r.config.MAC, a, b, codeA, codeB)
		if err != nil && !errors.Is(err, hsm.ErrNoKey) {
			return false, false, err
		}
	}
	if !okA { // under another of the keys, or not at all
		if okA, err = r.VerifyMAC(peer, a, codeA); err != nil {
			return false, false, err
		}
	}
	if !okB {
		okB, err = r.VerifyMAC(peer, b, codeB)
	}
	return okA, okB, err
}

func (r *Ring) names(peer string) macKeys {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.peers[peer]; k != nil {
		return *k
	}
	return macKeys{}
}

// Issue makes new keys for a peer and gives them wrapped under its master key. The MAC key is pending, the PIN key in force at once.
func (r *Ring) Issue(peer string, macKey, pinKey bool) (keys unionpay.WrappedKeys, known bool, err error) {
	if !r.Known(peer) {
		return keys, false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	master := r.config.MasterKey(peer)
	if pinKey {
		if keys.PIN, keys.PINKCV, err = r.renew(master, r.PINKey(peer), hsm.UsagePINEncryption, r.config.PINMode, hsm.TDES); err != nil {
			return unionpay.WrappedKeys{}, true, err
		}
	}
	if macKey {
		algorithm := hsm.DES
		if r.config.DoubleLengthMAC {
			algorithm = hsm.TDES
		}
		name, err := r.spare(peer)
		if err != nil {
			return unionpay.WrappedKeys{}, true, err
		}
		keys.MAC, keys.MACKCV, err = r.renew(master, name, r.config.MAC.Usage(), hsm.ModeGenerateVerify, algorithm)
		if err != nil {
			return unionpay.WrappedKeys{}, true, err
		}
		r.peers[peer].pending = name
	}
	return keys, true, nil
}

// renew makes a key of that name anew and wraps it.
func (r *Ring) renew(master, name string, usage hsm.Usage, mode hsm.Mode, algorithm hsm.Algorithm) ([]byte, [4]byte, error) {
	want := hsm.KeyInfo{Name: name, Usage: usage, Mode: mode, Algorithm: algorithm, Export: hsm.Exportable}
	have, err := r.config.HSM.Info(name)
	want.KCV = have.KCV
	switch {
	case err == nil && have == want:
		_, err = r.config.HSM.Replace(name)
	default: // none, or one of another kind
		if err = r.drop(name); err == nil {
			_, err = r.config.HSM.Generate(name, usage, mode, algorithm, hsm.Exportable)
		}
	}
	if err != nil {
		return nil, [4]byte{}, fmt.Errorf("keyring: issuing: %w", err)
	}
	wrapped, kcv, err := r.config.HSM.WrapUnder(master, name)
	if err != nil {
		return nil, kcv, fmt.Errorf("keyring: issuing: %w", err)
	}
	return wrapped, kcv, nil
}

// spare gives the MAC key name that is not in force, and forgets what was under it. The caller holds the lock.
func (r *Ring) spare(peer string) (string, error) {
	k := r.peers[peer]
	if k == nil {
		if len(r.peers) >= MaxPeers {
			return "", errors.New("keyring: too many peers")
		}
		k = &macKeys{}
		r.peers[peer] = k
	}
	first := r.macName(peer, false)
	name := first
	if k.inForce == first || (k.inForce == "" && k.before == first) {
		name = r.macName(peer, true)
	}
	if k.before == name {
		k.before = ""
	}
	k.pending = ""
	return name, nil
}

func (r *Ring) drop(name string) error {
	if err := r.config.HSM.Delete(name); err != nil && !errors.Is(err, hsm.ErrNoKey) {
		return fmt.Errorf("keyring: dropping a key: %w", err)
	}
	return nil
}

// Install takes keys that the peer issued. ok is false when they do not unwrap to their check values; then nothing has changed but,
// when the fault was in the MAC key, the PIN key.
func (r *Ring) Install(peer string, keys unionpay.WrappedKeys) (ok bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	master := r.config.MasterKey(peer)
	if len(keys.PIN) > 0 {
		if ok, err := r.take(master, r.PINKey(peer), hsm.UsagePINEncryption, r.config.PINMode, keys.PIN, keys.PINKCV); !ok {
			return false, err
		}
	}
	if len(keys.MAC) > 0 {
		name, err := r.spare(peer)
		if err != nil {
			return false, err
		}
		if ok, err := r.take(master, name, r.config.MAC.Usage(), hsm.ModeGenerateVerify, keys.MAC, keys.MACKCV); !ok {
			return false, err
		}
		r.peers[peer].pending = name
	}
	return true, nil
}

func (r *Ring) take(master, name string, usage hsm.Usage, mode hsm.Mode, wrapped []byte, kcv [4]byte) (bool, error) {
	err := r.config.HSM.UnwrapUnder(master, name, usage, mode, wrapped, kcv)
	if errors.Is(err, hsm.ErrKeyExists) { // of another length
		if err = r.drop(name); err == nil {
			err = r.config.HSM.UnwrapUnder(master, name, usage, mode, wrapped, kcv)
		}
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, hsm.ErrKCV) || errors.Is(err, hsm.ErrWeakKey):
		return false, nil // the peer's fault: a refusal
	}
	return false, fmt.Errorf("keyring: installing: %w", err)
}

// Reset takes the MAC key out of force; until Retire it is still accepted.
func (r *Ring) Reset(peer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.peers[peer]; k != nil && k.inForce != "" {
		k.before, k.inForce = k.inForce, ""
	}
}

// Confirm puts the pending MAC key in force.
func (r *Ring) Confirm(peer string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.peers[peer]
	if k == nil || k.pending == "" {
		return fmt.Errorf("keyring: no pending MAC key with %q", peer)
	}
	if k.inForce != "" {
		k.before = k.inForce
	}
	k.inForce, k.pending = k.pending, ""
	return nil
}

// Retire ends the acceptance of the MAC key before the one in force.
func (r *Ring) Retire(peer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.peers[peer]
	if k == nil || k.before == "" {
		return
	}
	_ = r.config.HSM.Delete(k.before) // fails only when it is gone already
	k.before = ""
}
