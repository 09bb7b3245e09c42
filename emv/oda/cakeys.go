package oda

import (
	"crypto/sha1" // checksums of published keys are SHA-1 [EMV B2 11.2.2]
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"tapnet/emv"
)

// CAKey is a certification authority public key as a terminal is configured with it [EMV B2 11.2.2].
type CAKey struct {
	RID   [5]byte
	Index byte
	// Algorithm is RSA unless set. An SM2 key has X ‖ Y as its modulus, no exponent, and a profile.
	Algorithm Algorithm
	Modulus   []byte
	Exponent  []byte
	Profile   SM2Profile
	// Expiry is the last day of use as YYYYMMDD; empty when none is known.
	Expiry string
	// Role is "production" or "test". It is information; nothing here depends on it.
	Role string
	// Confidence says how sure the source is: "high", "medium" or "low". It is information.
	Confidence string
	// SHA1 is the checksum over RID, index, modulus and exponent.
	SHA1 [sha1.Size]byte
}

// NewCAKey describes a public key of either algorithm as a terminal is configured with it, checksum included.
func NewCAKey(rid [5]byte, index byte, key PublicKey, expiry, role string) CAKey {
	k := CAKey{RID: rid, Index: index, Algorithm: key.algorithm, Modulus: key.Modulus(), Exponent: key.Exponent(), Profile: key.profile,
		Expiry: expiry, Role: role}
	k.SHA1 = k.Checksum()
	return k
}

// PublicKey checks modulus and exponent, or the point, and returns the key.
func (k CAKey) PublicKey() (PublicKey, error) {
	switch {
	case k.Algorithm == RSA:
		return NewPublicKey(k.Modulus, k.Exponent)
	case k.Algorithm == SM2 && len(k.Exponent) == 0:
		return NewSM2PublicKey(k.Modulus, k.Profile)
	}
	return PublicKey{}, fmt.Errorf("%w: %v", errPublicKey, k.Algorithm)
}

// Checksum computes SHA-1 over RID, index, modulus and exponent. For SM2 the modulus is X ‖ Y: published lists have no checksum
// for these keys, so that one is the project's own.
func (k CAKey) Checksum() [sha1.Size]byte {
	b := slices.Concat(k.RID[:], []byte{k.Index}, k.Modulus, k.Exponent)
	return sha1.Sum(b)
}

// Verify checks the modulus, the exponent, the checksum and the form of the expiry date.
func (k CAKey) Verify() error {
	if _, err := k.PublicKey(); err != nil {
		return fmt.Errorf("CA key %X index %02X: %w", k.RID, k.Index, err)
	}
	if k.Checksum() != k.SHA1 {
		return fmt.Errorf("CA key %X index %02X: %w", k.RID, k.Index, fail(StepCAKey, CheckChecksum))
	}
	if k.Expiry != "" {
		if _, err := time.Parse(dateLayout, k.Expiry); err != nil {
			return fmt.Errorf("CA key %X index %02X: expiry is not YYYYMMDD", k.RID, k.Index)
		}
	}
	return nil
}

const dateLayout = "20060102"

// expired compares calendar days in the zone of now; the last day itself is still good.
func (k *CAKey) expired(now time.Time) bool {
	if k.Expiry == "" {
		return false
	}
	y, m, d := now.Date()
	return k.Expiry < fmt.Sprintf("%04d%02d%02d", y, m, d)
}

//go:embed cakeys.txt
var publishedText string

var published = sync.OnceValue(func() []CAKey {
	keys, err := parseCAKeys(publishedText)
	if err != nil {
		panic("oda: cakeys.txt: " + err.Error())
	}
	return keys
})

// PublishedCAKeys returns the RSA keys of RID A000000333 that are public [REF A.1]. Their expiry dates are
// configuration: set Expiry before Keys.Add where the network extended one.
func PublishedCAKeys() []CAKey {
	keys := slices.Clone(published())
	for i := range keys {
		keys[i].Modulus = slices.Clone(keys[i].Modulus)
		keys[i].Exponent = slices.Clone(keys[i].Exponent)
	}
	return keys
}

func parseCAKeys(text string) ([]CAKey, error) {
	var keys []CAKey
	for number, line := range strings.Split(text, "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if len(fields) != 6 {
			return nil, fmt.Errorf("line %d: %d fields", number+1, len(fields))
		}
		var parts [4][]byte
		for i, f := range []string{fields[0], fields[2], fields[4], fields[5]} {
			b, err := hex.DecodeString(f)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number+1, err)
			}
			parts[i] = b
		}
		if len(parts[0]) != 1 || len(parts[2]) != sha1.Size {
			return nil, fmt.Errorf("line %d: index or checksum length", number+1)
		}
		k := CAKey{RID: emv.RIDUnionPay, Index: parts[0][0], Role: fields[1], Exponent: parts[1], Expiry: fields[3],
			SHA1: [sha1.Size]byte(parts[2]), Modulus: parts[3]}
		if err := k.Verify(); err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// MaxCAKeys bounds a terminal's key set: every provider has at most 256 indexes and uses a handful.
const MaxCAKeys = 1024

// ErrDuplicateKey is returned when a key set already holds a key under the same RID and index.
var ErrDuplicateKey = errors.New("a CA key with this RID and index exists")

type keyID struct {
	rid   [5]byte
	index byte
}

type revokedID struct {
	keyID
	serial [3]byte
}

// Keys is a terminal's set of CA keys and its list of revoked issuer certificates. The zero value is an empty set.
// It may be read by many goroutines once it is no longer changed.
type Keys struct {
	keys    map[keyID]CAKey
	revoked map[revokedID]bool
}

// NewKeys makes a set of keys, each verified.
func NewKeys(keys ...CAKey) (*Keys, error) {
	set := new(Keys)
	for _, k := range keys {
		if err := set.Add(k); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// Add verifies a key and puts it into the set.
func (s *Keys) Add(k CAKey) error {
	if err := k.Verify(); err != nil {
		return err
	}
	id := keyID{k.RID, k.Index}
	if _, exists := s.keys[id]; exists {
		return fmt.Errorf("CA key %X index %02X: %w", k.RID, k.Index, ErrDuplicateKey)
	}
	if len(s.keys) >= MaxCAKeys {
		return fmt.Errorf("CA key %X index %02X: more than %d keys", k.RID, k.Index, MaxCAKeys)
	}
	if s.keys == nil {
		s.keys = make(map[keyID]CAKey)
	}
	k.Modulus, k.Exponent = slices.Clone(k.Modulus), slices.Clone(k.Exponent)
	s.keys[id] = k
	return nil
}

// Lookup finds a key. Its slices belong to the set and are read only.
func (s *Keys) Lookup(rid [5]byte, index byte) (CAKey, bool) {
	k, ok := s.keys[keyID{rid, index}]
	return k, ok
}

// Len is the number of keys.
func (s *Keys) Len() int { return len(s.keys) }

// Revoke puts an issuer certificate, named by the CA key and its serial number, on the revocation list [EMV B2 5.3].
func (s *Keys) Revoke(rid [5]byte, index byte, serial [3]byte) {
	if s.revoked == nil {
		s.revoked = make(map[revokedID]bool)
	}
	s.revoked[revokedID{keyID{rid, index}, serial}] = true
}

// Revoked reports whether an issuer certificate is on the revocation list.
func (s *Keys) Revoked(rid [5]byte, index byte, serial [3]byte) bool {
	return s.revoked[revokedID{keyID{rid, index}, serial}]
}

// RecoverIssuerKey is Lookup, the function RecoverIssuerKey and Revoked in one call: what a terminal does with
// tags 8F, 90, 92 and 9F32.
func (s *Keys) RecoverIssuerKey(rid [5]byte, index byte, c Certificate, now time.Time) (IssuerKey, error) {
	ca, ok := s.Lookup(rid, index)
	if !ok {
		return IssuerKey{}, fail(StepCAKey, CheckUnknownKey)
	}
	key, err := RecoverIssuerKey(ca, c.Certificate, c.Remainder, c.Exponent, c.PAN, now)
	if err != nil {
		return IssuerKey{}, err
	}
	if s.Revoked(rid, index, key.serial) {
		return IssuerKey{}, fail(StepIssuerCertificate, CheckRevoked)
	}
	return key, nil
}
