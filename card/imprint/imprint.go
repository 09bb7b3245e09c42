// Package imprint is what a payment application on a chip makes of its data groupings [EMV CPS] [JR/T 0025.10]: the part of a card image that they fill,
// and its keys; and the way back, from an image to the groupings that would make it.
//
// Promise: what Write gives, Read reads to the same application, state and keys; Read refuses a list that lacks something or holds keys that do not match
// their check values, and says which grouping is wrong and nothing of its data; keys mask themselves in every print.
//
// Not here: how groupings travel (emv/cps), the cipher that seals the secret ones, and directories, which follow from the applications.
package imprint

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
)

// Keys are the keys of one application. They print masked.
type Keys struct {
	Suite   cryptogram.Suite
	Card    cryptogram.CardKeys
	Private oda.PrivateKey // zero: the application does not sign
	Files   []FileKey      // of the extended application
	Second  *Keys          // of SM2 and SM4 on a card that has both
}

// FileKey opens a file of the extended application.
type FileKey struct {
	SFI byte
	Key cryptogram.Key
}

const redacted = "[redacted application keys]"

// String is masked.
func (Keys) String() string { return redacted }

// Format is masked under every verb.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText is masked. There is no way back.
func (Keys) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Crypto puts the keys to work.
func (k Keys) Crypto() card.Crypto {
	if k.Second != nil {
		return card.Dual{Crypto: k.soft(), SM: k.Second.soft()}
	}
	return k.soft()
}

func (k Keys) soft() *card.SoftCrypto {
	c := card.NewSoftCrypto(k.Suite, k.Card, k.Private)
	for _, f := range k.Files {
		c = c.WithFileKey(f.SFI, f.Key)
	}
	return c
}

// Chip is one application as its groupings describe it.
type Chip struct {
	Application card.Application
	State       card.ApplicationState
	Keys        Keys
}

// Read is what an application makes of its groupings, in clear. The error wraps cps.ErrContent or cps.ErrLimit and names no data.
func Read(aid emv.AID, list cps.List) (Chip, error) {
	r := &reader{list: list}
	r.application.AID = aid
	keys := r.read()
	if r.failed != nil {
		return Chip{}, fmt.Errorf("application %v: %w", aid, r.failed)
	}
	return Chip{r.application, r.state, keys}, nil
}

// Write gives the groupings of an application, in clear. Without keys the secret ones are left out, which whoever holds the keys adds.
func Write(application *card.Application, state *card.ApplicationState, keys *Keys) (cps.List, error) {
	if len(application.Sequence)%2 != 0 || strings.Trim(application.Sequence, "0123456789") != "" {
		return nil, fmt.Errorf("application %v: %w: sequence number", application.AID, errImage)
	}
	w := &writer{application: application, state: state, keys: keys}
	list, err := w.list()
	if err != nil {
		return nil, fmt.Errorf("application %v: %w", application.AID, err)
	}
	if keys == nil {
		return list, nil
	}
	return list, checkWritten(application, state, list)
}

// checkWritten reads back what was written: whatever has no place in the groupings is noticed here and not by the cardholder.
func checkWritten(application *card.Application, state *card.ApplicationState, list cps.List) error {
	again, err := Read(application.AID, list)
	if err != nil {
		return fmt.Errorf("%w: %w", errImage, err)
	}
	encode := func(a card.Application, s card.ApplicationState) ([]byte, error) {
		image := card.Image{Applications: []card.Application{a}}
		image.State.Applications[0] = s
		return image.MarshalBinary()
	}
	before, err := encode(*application, *state)
	if err != nil {
		return err
	}
	after, err := encode(again.Application, again.State)
	if err != nil {
		return err
	}
	if !bytes.Equal(before, after) {
		return fmt.Errorf("%w: something in it has no grouping", errImage)
	}
	return nil
}
