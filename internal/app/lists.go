package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/internal/acquirer"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/terminal"
	"tapnet/tlv"
)

// ErrNoAcquirer says that there is nobody in this process who could publish a list.
var ErrNoAcquirer = errors.New("the acquirer does not run in this process")

// PublishList gives the terminals a new version of a list. nil is what the world's profile says.
func (n *Network) PublishList(ctx context.Context, kind unionpay.DownloadKind, list []byte) error {
	if n.acquirer == nil {
		return ErrNoAcquirer
	}
	if list == nil {
		var err error
		if list, err = n.listOf(kind); err != nil {
			return err
		}
	}
	if _, err := n.acquirer.ask(ctx, acquirer.Publish{Kind: kind, Content: list}); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	return nil
}

// listOf is the list that follows from the profile.
func (n *Network) listOf(kind unionpay.DownloadKind) ([]byte, error) {
	switch kind {
	case unionpay.DownloadParameters:
		return unionpay.AppendList(nil, emv.Data{}), nil
	case unionpay.DownloadCAKeys:
		return keyList(n.options.Profile.Authorities()), nil
	}
	config, err := n.terminalConfig(n.options.Profile.Merchants[0])
	if err != nil {
		return nil, err
	}
	return applicationList(config)
}

// keyList has the RSA keys; those for SM2 stay what the terminals were made with.
func keyList(keys []oda.CAKey) []byte {
	const rsa, sha1 = 1, 1
	var list []byte
	for _, k := range keys {
		if k.Algorithm != oda.RSA {
			continue
		}
		sum := k.Checksum()
		var e emv.Data
		e.Set(emv.TagTerminalAID, k.RID[:])
		e.Set(emv.TagTerminalCAIndex, []byte{k.Index})
		if k.Expiry != "" {
			e.Set(emv.TagParameterKeyExpiry, []byte(k.Expiry))
		}
		e.Set(emv.TagParameterHashAlgorithm, []byte{sha1})
		e.Set(emv.TagParameterKeyAlgorithm, []byte{rsa})
		e.Set(emv.TagParameterModulus, k.Modulus)
		e.Set(emv.TagParameterExponent, k.Exponent)
		e.Set(emv.TagParameterChecksum, sum[:])
		list = unionpay.AppendList(list, e)
	}
	return list
}

// applicationList has what the terminals' action codes and purse limit are. Floor and verification limits differ between merchants, so that they stay theirs.
func applicationList(config terminal.Config) ([]byte, error) {
	var list []byte
	for i := range config.Contact.Applications {
		a := &config.Contact.Applications[i]
		var e emv.Data
		e.Set(emv.TagTerminalAID, a.AID.Bytes())
		asi := byte(0)
		if a.ExactOnly {
			asi = 1
		}
		e.Set(emv.TagParameterASI, []byte{asi})
		e.Set(emv.TagParameterTACDefault, a.TACDefault[:])
		e.Set(emv.TagParameterTACOnline, a.TACOnline[:])
		e.Set(emv.TagParameterTACDenial, a.TACDenial[:])
		limits := map[tlv.Tag]money.Amount{emv.TagECTerminalLimit: a.ECLimit, emv.TagParameterContactlessMax: config.Combinations[0].Limits.Transaction}
		for _, tag := range slices.Sorted(maps.Keys(limits)) {
			value, err := limits[tag].BCD()
			if err != nil {
				return nil, err
			}
			e.Set(tag, value[:])
		}
		list = unionpay.AppendList(list, e)
	}
	return list, nil
}
