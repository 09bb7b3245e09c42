package hsm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"tapnet/des"
	"tapnet/mac"
	"tapnet/sm"
)

const (
	// MaxNameBytes bounds a key name: names carry an institution, a peer and a purpose; the key file stores the length in one byte.
	MaxNameBytes = 120
	// MaxKeys bounds one HSM and its file: two working keys for a hundred thousand terminals, with room to spare.
	MaxKeys = 1 << 18
)

// The sentinels a caller may want to tell apart.
var (
	ErrNoKey     = errors.New("hsm: no such key")
	ErrKeyExists = errors.New("hsm: a key of that name with another usage, mode or algorithm exists")
	ErrMisuse    = errors.New("hsm: the key may not be used for that")
	ErrWeakKey   = errors.New("hsm: weak key")
	ErrKCV       = errors.New("hsm: key check value does not match")
	ErrSealed    = errors.New("hsm: sealed data does not open: wrong key, wrong passphrase or altered bytes")
)

// MisuseError says which key was asked to do what. errors.Is(err, ErrMisuse) holds.
type MisuseError struct {
	Operation string
	Key       string
	Usage     Usage
	Mode      Mode
}

func (e *MisuseError) Error() string {
	return fmt.Sprintf("hsm: %s refused: key %q has usage %s and mode %s", e.Operation, e.Key, e.Usage, e.Mode)
}

// Is makes every MisuseError an ErrMisuse.
func (e *MisuseError) Is(target error) bool { return target == ErrMisuse }

// KeyInfo is everything about a key that is not secret.
type KeyInfo struct {
	Name      string
	Usage     Usage
	Mode      Mode
	Algorithm Algorithm
	Export    Export
	KCV       [4]byte // first four bytes of the check value
}

// Exportable reports whether WrapUnder accepts the key.
func (i KeyInfo) Exportable() bool { return i.Export == Exportable }

// entry is one key. It is immutable once published in HSM.keys, so that an operation in flight keeps a consistent key while
// another replaces it. HSM holds entries by pointer: fmt prints nested pointers as addresses, never as contents.
type entry struct {
	info  KeyInfo
	value []byte
	block cipher.Block // nil for HMAC keys
	aead  cipher.AEAD  // set for AES-256 sealing keys
	// digests holds keyed HMACs for use again: making one costs as much as three sums.
	digests sync.Pool
}

// Format masks an entry that reaches a printer.
func (e *entry) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "hsm.key(%s)", e.info.Name) }

// HSM holds the keys of one institution. It is safe for concurrent use. Make it with New or Open.
type HSM struct {
	random *lockedReader
	mu     sync.RWMutex
	keys   map[string]*entry
	// custodianLogN is what guessing a custodian's passphrase costs; tests make it cheap.
	custodianLogN byte
}

// lockedReader lets concurrent operations share one random source that need not be safe for concurrent use itself.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return io.ReadFull(l.r, p)
}

// New makes an empty HSM. Everything random (keys, nonces, salts) comes from rand; pass crypto/rand.Reader outside of tests.
func New(rand io.Reader) *HSM {
	return &HSM{random: &lockedReader{r: rand}, keys: make(map[string]*entry), custodianLogN: defaultScryptLogN}
}

// String names the kind and the number of keys.
func (h *HSM) String() string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return fmt.Sprintf("hsm(%d keys)", len(h.keys))
}

// Format masks under every verb.
func (h *HSM) Format(f fmt.State, _ rune) { io.WriteString(f, h.String()) }

// LogValue masks in structured logs.
func (h *HSM) LogValue() slog.Value { return slog.StringValue(h.String()) }

// MarshalJSON masks in JSON.
func (h *HSM) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%q", h.String()), nil }

// Generate makes a random key. A key of that name must not exist; use Replace to change a value.
func (h *HSM) Generate(name string, usage Usage, mode Mode, algorithm Algorithm, export Export) (KeyInfo, error) {
	value, err := h.randomKey(algorithm)
	if err != nil {
		return KeyInfo{}, fmt.Errorf("hsm: generating key %q: %w", name, err)
	}
	return h.add(name, usage, mode, algorithm, export, value, false)
}

// Replace gives an existing key a new random value and keeps everything else, as a key change does.
func (h *HSM) Replace(name string) (KeyInfo, error) {
	e, err := h.find(name)
	if err != nil {
		return KeyInfo{}, err
	}
	value, err := h.randomKey(e.info.Algorithm)
	if err != nil {
		return KeyInfo{}, fmt.Errorf("hsm: replacing key %q: %w", name, err)
	}
	return h.add(name, e.info.Usage, e.info.Mode, e.info.Algorithm, e.info.Export, value, true)
}

// ImportClear takes a key in the clear: for a key ceremony and for tests. The bytes are copied; the caller should erase its own.
func (h *HSM) ImportClear(name string, usage Usage, mode Mode, algorithm Algorithm, export Export, key []byte) (KeyInfo, error) {
	return h.add(name, usage, mode, algorithm, export, slices.Clone(key), false)
}

// Names lists the keys in order.
func (h *HSM) Names() []string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	names := make([]string, 0, len(h.keys))
	for name := range h.keys {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Info describes a key.
func (h *HSM) Info(name string) (KeyInfo, error) {
	e, err := h.find(name)
	if err != nil {
		return KeyInfo{}, err
	}
	return e.info, nil
}

// Delete forgets a key. Operations that already hold it finish.
func (h *HSM) Delete(name string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.keys[name]; !ok {
		return fmt.Errorf("%w: %q", ErrNoKey, name)
	}
	delete(h.keys, name)
	return nil
}

func (h *HSM) find(name string) (*entry, error) {
	h.mu.RLock()
	e := h.keys[name]
	h.mu.RUnlock()
	if e == nil {
		return nil, fmt.Errorf("%w: %q", ErrNoKey, name)
	}
	return e, nil
}

// use returns the key when it has the usage and one of the modes the operation needs.
func (h *HSM) use(operation, name string, usage Usage, modes ...Mode) (*entry, error) {
	e, err := h.find(name)
	if err != nil {
		return nil, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	if e.info.Usage != usage || !slices.Contains(modes, e.info.Mode) {
		return nil, &MisuseError{Operation: operation, Key: name, Usage: e.info.Usage, Mode: e.info.Mode}
	}
	return e, nil
}

// add checks and publishes a key. With replace, a key of that name whose attributes are the same gets the new value.
func (h *HSM) add(name string, usage Usage, mode Mode, algorithm Algorithm, export Export, value []byte, replace bool) (KeyInfo, error) {
	e, err := newEntry(KeyInfo{Name: name, Usage: usage, Mode: mode, Algorithm: algorithm, Export: export}, value)
	if err != nil {
		return KeyInfo{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.keys[name]; ok && (!replace || !sameAttributes(old.info, e.info)) {
		return KeyInfo{}, fmt.Errorf("%w: %q", ErrKeyExists, name)
	} else if !ok && len(h.keys) >= MaxKeys {
		return KeyInfo{}, fmt.Errorf("hsm: adding key %q: the limit of %d keys is reached", name, MaxKeys)
	}
	h.keys[name] = e
	return e.info, nil
}

func sameAttributes(a, b KeyInfo) bool {
	a.KCV, b.KCV = [4]byte{}, [4]byte{}
	return a == b
}

func newEntry(info KeyInfo, value []byte) (*entry, error) {
	if info.Name == "" || len(info.Name) > MaxNameBytes {
		return nil, fmt.Errorf("hsm: a key name has 1 to %d bytes", MaxNameBytes)
	}
	r, ok := usageRule(info.Usage)
	if !ok || !r.admits(info.Mode, info.Algorithm) {
		return nil, fmt.Errorf("hsm: key %q: usage %q, mode %q and algorithm %s do not go together",
			info.Name, string(info.Usage), info.Mode.String(), info.Algorithm)
	}
	if info.Export != NotExportable && info.Export != Exportable && info.Export != ExportableBlock {
		return nil, fmt.Errorf("hsm: key %q: unknown exportability", info.Name)
	}
	if len(value) != info.Algorithm.Bytes() {
		return nil, fmt.Errorf("hsm: key %q: %s takes %d bytes, got %d", info.Name, info.Algorithm, info.Algorithm.Bytes(), len(value))
	}
	// Two equal halves make triple DES single DES [X9.24].
	if info.Algorithm == TDES && equalHalves(value) {
		return nil, fmt.Errorf("%w: key %q: both halves are equal", ErrWeakKey, info.Name)
	}
	e := &entry{info: info, value: value}
	if err := e.schedule(); err != nil {
		return nil, fmt.Errorf("hsm: key %q: %w", info.Name, err)
	}
	e.info.KCV = e.checkValue()
	return e, nil
}

// schedule prepares the cipher once, so that operations do not pay for it.
func (e *entry) schedule() (err error) {
	switch e.info.Algorithm {
	case DES:
		e.block, err = des.NewCipher(e.value)
	case TDES:
		e.block, err = des.NewTripleCipher(e.value)
	case AES128, AES256:
		e.block, err = aes.NewCipher(e.value)
	case SM4:
		e.block, err = sm.NewCipher(e.value)
	}
	if err == nil && e.info.Algorithm == AES256 {
		e.aead, err = cipher.NewGCM(e.block)
	}
	return err
}

// checkValue is what identifies a key without revealing it: for DES the first bytes of an encrypted block of zeros, for AES the CMAC
// of one [X9.24], for an HMAC key the HMAC of nothing. SM4 follows DES: that is what acquirers send at sign-on [REF 6.1].
func (e *entry) checkValue() (kcv [4]byte) {
	switch e.info.Algorithm {
	case DES, TDES, SM4:
		var block [sm.BlockBytes]byte
		e.block.Encrypt(block[:], block[:])
		copy(kcv[:], block[:])
	case AES128, AES256:
		copy(kcv[:], mac.CMAC(e.block, make([]byte, aes.BlockSize)))
	case HMAC:
		copy(kcv[:], hmac.New(sha256.New, e.value).Sum(nil))
	}
	return kcv
}

// equalHalves ignores parity bits, which the cipher ignores too.
func equalHalves(key16 []byte) bool {
	var difference byte
	for i := range 8 {
		difference |= (key16[i] ^ key16[8+i]) & 0xFE
	}
	return subtle.ConstantTimeByteEq(difference, 0) == 1
}

func (h *HSM) randomKey(a Algorithm) ([]byte, error) {
	n := a.Bytes()
	if n == 0 {
		return nil, errors.New("unknown algorithm")
	}
	// A bounded number of draws: equal halves are as good as impossible, so a second failure means a broken random source.
	for range 4 {
		value := make([]byte, n)
		if _, err := h.random.Read(value); err != nil {
			return nil, fmt.Errorf("reading random bytes: %w", err)
		}
		if a == DES || a == TDES {
			oddParity(value)
		}
		if a != TDES || !equalHalves(value) {
			return value, nil
		}
	}
	return nil, fmt.Errorf("%w: the random source repeats itself", ErrWeakKey)
}

// oddParity sets the parity bit of each byte: other equipment refuses a DES key without it.
func oddParity(key []byte) {
	for i, b := range key {
		p := b >> 1
		p ^= p >> 4
		p ^= p >> 2
		p ^= p >> 1
		key[i] = b&0xFE | (p&1 ^ 1)
	}
}
