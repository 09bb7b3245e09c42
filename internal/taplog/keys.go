package taplog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"tapnet/gate"
	"tapnet/gate/denylist"
)

// The file of keys, beside the deny list: its beginning; for each key, of rising epochs, epoch, length and the sealed key as it came; a checksum.
const (
	keysName  = "deny-keys"
	keysMagic = "TAPKEYS1"

	keyHeader   = 4 + 2
	maxKeyBytes = 256 // twice what a sealed key may be
)

// errKeys says that the file of keys is damaged, which no loss of power explains. The back office has the keys, and gives them again.
var errKeys = errors.New("keys of the deny list are damaged")

func encodeKeys(keys []gate.SealedKey) []byte {
	b := []byte(keysMagic)
	for _, k := range keys {
		b = binary.BigEndian.AppendUint32(b, uint32(k.Epoch))
		b = binary.BigEndian.AppendUint16(b, uint16(len(k.Sealed)))
		b = append(b, k.Sealed...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func parseKeys(b []byte) ([]gate.SealedKey, error) {
	if len(b) < len(keysMagic)+sha256.Size || !bytes.HasPrefix(b, []byte(keysMagic)) {
		return nil, errKeys
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return nil, errKeys
	}
	var keys []gate.SealedKey
	for rest := body[len(keysMagic):]; len(rest) > 0; {
		if len(rest) < keyHeader || len(keys) == gate.MaxKeys {
			return nil, errKeys
		}
		k, n := gate.SealedKey{Epoch: denylist.Epoch(binary.BigEndian.Uint32(rest))}, int(binary.BigEndian.Uint16(rest[4:]))
		if n == 0 || n > maxKeyBytes || len(rest) < keyHeader+n || len(keys) > 0 && k.Epoch <= keys[len(keys)-1].Epoch {
			return nil, errKeys
		}
		k.Sealed, rest = bytes.Clone(rest[keyHeader:keyHeader+n]), rest[keyHeader+n:]
		keys = append(keys, k)
	}
	return keys, nil
}

// Keys are the sealed keys that were kept, of rising epochs, at most gate.MaxKeys.
func (f *DenyFiles) Keys() ([]gate.SealedKey, error) {
	b, err := f.disk.Read(keysName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the keys of the deny list: %w", err)
	}
	keys, err := parseKeys(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keysName, err)
	}
	return keys, nil
}

// KeepKey keeps a key as it came, in one durable step. Beside it the key of the list in use stays, and for what room is left the newest others: a device
// that comes back after several epochs needs the one it has until it has a newer list, whichever of the newer keys comes first. Damaged keys are forgotten.
func (f *DenyFiles) KeepKey(k gate.SealedKey) error {
	if len(k.Sealed) == 0 || len(k.Sealed) > maxKeyBytes {
		return fmt.Errorf("keep a key of %d bytes: %w", len(k.Sealed), gate.ErrForged)
	}
	kept, err := f.Keys()
	if err != nil && !errors.Is(err, errKeys) {
		return err
	}
	for _, old := range kept {
		if old.Epoch == k.Epoch && bytes.Equal(old.Sealed, k.Sealed) {
			return nil
		}
	}
	return Replace(f.disk, keysName, encodeKeys(f.prune(append(kept, k))))
}

// prune leaves of some keys what is held from now on. The last is the one that came.
func (f *DenyFiles) prune(keys []gate.SealedKey) []gate.SealedKey {
	came := keys[len(keys)-1]
	room, next := gate.MaxKeys-1, []gate.SealedKey{came}
	others := slices.DeleteFunc(slices.Clone(keys), func(k gate.SealedKey) bool { return k.Epoch == came.Epoch })
	if f.listed && f.epoch != came.Epoch { // its key takes its place also when it is not among these: the device was put into service with it
		room--
		for _, k := range others {
			if k.Epoch == f.epoch {
				next = append(next, k)
			}
		}
		others = slices.DeleteFunc(others, func(k gate.SealedKey) bool { return k.Epoch == f.epoch })
	}
	for _, k := range slices.Backward(others) { // of rising epochs: the newest first
		if room > 0 {
			next, room = append(next, k), room-1
		}
	}
	slices.SortFunc(next, func(a, b gate.SealedKey) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return next
}
