package app

import (
	"tapnet/internal/hsm/keyring"
	"tapnet/iso8583/unionpay"
)

// admittedKeys gives working keys only to terminals whose merchant is approved: the others do not sign on.
type admittedKeys struct {
	*keyring.Ring
	admits func(terminal string) bool
}

// Issue implements link.Keys. A terminal that is not admitted is told what an unknown one is told.
func (k admittedKeys) Issue(peer string, macKey, pinKey bool) (unionpay.WrappedKeys, bool, error) {
	if !k.admits(peer) {
		return unionpay.WrappedKeys{}, false, nil
	}
	return k.Ring.Issue(peer, macKey, pinKey)
}
