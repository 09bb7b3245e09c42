package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"

	"tapnet/pan"
)

// Vault seals account numbers under data keys that rotate. The data keys lie outside, wrapped under one key that exists only while the vault is unlocked: it is
// put together from the shares of so many custodians out of all (vaultshares.go), and is in no file. A sealed number is bound to its tenant, its epoch and the
// name of its record, so that it opens nowhere else. It is safe for concurrent use.
type Vault struct {
	random *lockedReader
	quorum Quorum
	mu     sync.RWMutex
	key    *entry // nil while locked
	opened map[openedKey]*entry
	shares map[byte]Share // presented so far
}

type openedKey struct {
	tenant string
	epoch  uint32
}

// DataKey is a data key as it rests: wrapped. Numbers of one tenant are sealed under its keys only; the epoch counts them.
type DataKey struct {
	Tenant  string
	Epoch   uint32
	Wrapped []byte
}

// ErrLocked is returned by every operation of a vault that waits for its custodians.
var ErrLocked = errors.New("hsm: the vault is locked: its custodians must present their shares")

const (
	vaultPANContext = "tapnet vault pan 1\x00"
	vaultKeyContext = "tapnet vault data key 1\x00"
	// SealedPANBytes is the length of every sealed account number.
	SealedPANBytes = 1 + sealNonce + paddedPAN + 16
)

// NewVault makes a vault with a new key, unlocked, and gives its shares to hand out.
func NewVault(random io.Reader, need, of int) (*Vault, []Share, error) {
	v := &Vault{random: &lockedReader{r: random}}
	value := make([]byte, AES256.Bytes())
	defer clear(value)
	if _, err := v.random.Read(value); err != nil {
		return nil, nil, fmt.Errorf("hsm: making a vault: %w", err)
	}
	e, err := vaultEntry(value)
	if err != nil {
		return nil, nil, err
	}
	shares, err := splitSecret(v.random, value, need, of)
	if err != nil {
		return nil, nil, err
	}
	v.quorum = Quorum{Need: need, Of: of, Check: e.info.KCV}
	v.install(e)
	return v, shares, nil
}

// LockedVault is the vault of that quorum before its custodians have come.
func LockedVault(random io.Reader, q Quorum) (*Vault, error) {
	if err := q.sound(); err != nil {
		return nil, err
	}
	return &Vault{random: &lockedReader{r: random}, quorum: q}, nil
}

func vaultEntry(value []byte) (*entry, error) {
	return newEntry(KeyInfo{Name: "vault", Usage: UsageData, Mode: ModeBoth, Algorithm: AES256, Export: NotExportable}, bytes.Clone(value))
}

func (v *Vault) install(e *entry) {
	v.key, v.opened, v.shares = e, map[openedKey]*entry{}, nil
}

// Quorum says how many custodians the vault needs, and what proves its key.
func (v *Vault) Quorum() Quorum { return v.quorum }

// Unlocked reports whether the vault works.
func (v *Vault) Unlocked() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.key != nil
}

// Lock forgets every key.
func (v *Vault) Lock() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.key, v.opened, v.shares = nil, nil, nil
}

// Present takes a custodian's share and unlocks the vault with the last one needed. Shares that make another key than the vault's are all thrown away:
// *which* of them is wrong cannot be told.
func (v *Vault) Present(s Share) (have int, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key != nil {
		return v.quorum.Need, nil
	}
	if err := s.sound(); err != nil {
		return len(v.shares), err
	}
	if v.shares == nil {
		v.shares = map[byte]Share{}
	}
	v.shares[s.number] = s
	if have = len(v.shares); have < v.quorum.Need {
		return have, nil
	}
	value := combineShares(v.shares)
	defer clear(value)
	e, err := vaultEntry(value)
	if err != nil || e.info.KCV != v.quorum.Check {
		v.shares = nil
		return 0, ErrShares
	}
	v.install(e)
	return have, nil
}

// NewDataKey makes a data key of a tenant.
func (v *Vault) NewDataKey(tenant string, epoch uint32) (DataKey, error) {
	v.mu.RLock()
	master := v.key
	v.mu.RUnlock()
	if master == nil {
		return DataKey{}, ErrLocked
	}
	value := make([]byte, AES256.Bytes())
	defer clear(value)
	if _, err := v.random.Read(value); err != nil {
		return DataKey{}, fmt.Errorf("hsm: making a data key: %w", err)
	}
	k := DataKey{Tenant: tenant, Epoch: epoch}
	var err error
	k.Wrapped, err = v.seal(master, k.binding(vaultKeyContext, nil), value)
	return k, err
}

// SealNumber seals an account number for the record of that name.
func (v *Vault) SealNumber(k DataKey, name [16]byte, n pan.Number) ([]byte, error) {
	e, err := v.open(k)
	if err != nil {
		return nil, fmt.Errorf("hsm: sealing an account number: %w", err)
	}
	var padded [paddedPAN]byte
	defer clear(padded[:])
	for at := copy(padded[:], n.RevealTo(padded[:0:paddedPAN])); at < len(padded); at++ {
		padded[at] = 'F'
	}
	return v.seal(e, k.binding(vaultPANContext, name[:]), padded[:])
}

// OpenNumber is the inverse of SealNumber.
func (v *Vault) OpenNumber(k DataKey, name [16]byte, sealed []byte) (pan.Number, error) {
	e, err := v.open(k)
	if err != nil {
		return pan.Number{}, fmt.Errorf("hsm: opening an account number: %w", err)
	}
	plain, err := open(e.aead, k.binding(vaultPANContext, name[:]), sealed)
	if err != nil {
		return pan.Number{}, fmt.Errorf("hsm: opening an account number: %w", err)
	}
	n, err := pan.Parse(string(bytes.TrimRight(plain, "F")))
	clear(plain)
	if err != nil {
		return pan.Number{}, fmt.Errorf("hsm: opening an account number: %w", ErrSealed)
	}
	return n, nil
}

// ResealNumber moves a sealed number from one data key of a tenant to another. The number does not leave.
func (v *Vault) ResealNumber(from, to DataKey, name [16]byte, sealed []byte) ([]byte, error) {
	if from.Tenant != to.Tenant {
		return nil, fmt.Errorf("hsm: moving an account number between tenants: %w", ErrMisuse)
	}
	n, err := v.OpenNumber(from, name, sealed)
	if err != nil {
		return nil, err
	}
	return v.SealNumber(to, name, n)
}

// open gives the clear data key, unwrapped once.
func (v *Vault) open(k DataKey) (*entry, error) {
	id := openedKey{k.Tenant, k.Epoch}
	v.mu.RLock()
	master, e := v.key, v.opened[id]
	v.mu.RUnlock()
	if master == nil {
		return nil, ErrLocked
	}
	if e != nil {
		return e, nil
	}
	value, err := open(master.aead, k.binding(vaultKeyContext, nil), k.Wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(value)
	if e, err = vaultEntry(value); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key != master { // locked, or another key, since
		return nil, ErrLocked
	}
	v.opened[id] = e
	return e, nil
}

// binding is what a sealed thing is bound to.
func (k DataKey) binding(context string, name []byte) []byte {
	b := make([]byte, 0, len(context)+len(k.Tenant)+32)
	b = append(append(append(b, context...), k.Tenant...), 0)
	b = strconv.AppendUint(b, uint64(k.Epoch), 10)
	return append(append(b, 0), name...)
}

func (v *Vault) seal(e *entry, binding, plain []byte) ([]byte, error) {
	return (&HSM{random: v.random}).seal(e, binding, plain)
}

// String says only whether the vault is open.
func (v *Vault) String() string { return "hsm.Vault(" + strconv.FormatBool(v.Unlocked()) + ")" }

// Format masks under every verb.
func (v *Vault) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, v.String()) }

// LogValue masks in structured logs.
func (v *Vault) LogValue() slog.Value { return slog.StringValue(v.String()) }

// MarshalJSON masks in JSON.
func (v *Vault) MarshalJSON() ([]byte, error) { return strconv.AppendQuote(nil, v.String()), nil }
