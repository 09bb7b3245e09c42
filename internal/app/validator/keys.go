package validator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/taplog"
)

// keyring is the keys of the deny list's epochs that the device holds: the one it was put into service with, and those that came over the line. The line's
// goroutine takes new ones in; a tap reads them.
type keyring struct {
	device string
	key    gate.ChainKey
	first  []gate.Identifier // of the device's configuration
	files  *taplog.DenyFiles
	list   func() (denylist.Epoch, bool) // of the list in use
	held   atomic.Pointer[[]gate.Identifier]
}

var _ gate.Keys = (*keyring)(nil)

// open takes the keys that were kept. What cannot be opened is passed over, with an error: the back office gives it again.
func (k *keyring) open() error {
	kept, err := k.files.Keys()
	return errors.Join(err, k.hold(kept))
}

// hold makes the kept keys, and of the configuration's what room they leave, the device's.
func (k *keyring) hold(kept []gate.SealedKey) error {
	var held []gate.Identifier
	var failed []error
	for _, s := range kept {
		opened, err := gate.OpenEpochKey(k.key, k.device, s)
		if err != nil {
			failed = append(failed, fmt.Errorf("kept key: %w", err))
			continue
		}
		held = append(held, opened)
	}
	listed, ok := k.list()
	take := func(own gate.Identifier) {
		if len(held) < gate.MaxKeys && !holds(held, own.Epoch()) {
			held = append(held, own)
		}
	}
	for _, own := range k.first {
		if ok && own.Epoch() == listed {
			take(own)
		}
	}
	for _, own := range slices.Backward(k.first) {
		take(own)
	}
	slices.SortFunc(held, func(a, b gate.Identifier) int { return cmp.Compare(a.Epoch(), b.Epoch()) })
	k.held.Store(&held)
	return errors.Join(failed...)
}

func holds(ids []gate.Identifier, epoch denylist.Epoch) bool {
	return slices.ContainsFunc(ids, func(id gate.Identifier) bool { return id.Epoch() == epoch })
}

// identifiers are the keys now. The slice never changes.
func (k *keyring) identifiers() []gate.Identifier { return *k.held.Load() }

// Epochs implements gate.Keys.
func (k *keyring) Epochs() []denylist.Epoch {
	ids := k.identifiers()
	epochs := make([]denylist.Epoch, len(ids))
	for i, id := range ids {
		epochs[i] = id.Epoch()
	}
	return epochs
}

// KeepKey implements gate.Keys.
func (k *keyring) KeepKey(s gate.SealedKey) error {
	if _, err := gate.OpenEpochKey(k.key, k.device, s); err != nil {
		return err
	}
	if holds(k.identifiers(), s.Epoch) {
		return nil
	}
	if err := k.files.KeepKey(s); err != nil {
		return err
	}
	kept, err := k.files.Keys()
	if err != nil {
		return err
	}
	return k.hold(kept)
}
