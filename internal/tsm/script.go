package tsm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"tapnet/apdu"
	"tapnet/card"
	"tapnet/card/imprint"
	"tapnet/element"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/internal/hsm"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/pan"
	"tapnet/scp03"
	"tapnet/tlv"
)

// Instructions and parameters of the card specification.
const (
	insInstall              = 0xE6
	insDelete               = 0xE4
	insSetStatus            = 0xF0
	insGetStatus            = 0xF2
	formatTLV               = 0x02
	forInstallAndSelectable = 0x0C
	forPersonalization      = 0x20
	statusApplications      = 0x40
	statusOrder             = 0x02
	lockBit                 = 0x80
	first                   = 0x01
	tagName                 = 0x4F
	tagEntry                = 0xE3
	tagLife                 = 0x9F70
)

// item is one command of a script, with the status words beside 9000 that are as good, and what its answer must say.
type item struct {
	command apdu.Command
	also    []apdu.SW
	says    func(data []byte) bool // nil: anything
}

// accepts reports whether an answer lets the script go on.
func (i *item) accepts(r apdu.Response) bool {
	return (r.SW == apdu.OK || slices.Contains(i.also, r.SW)) && (i.says == nil || i.says(r.Data))
}

// script is what a session sends once its channel is open.
type script []item

// digest recognises a script that is made again. A number cannot be guessed from it: it covers the sealed card keys, which nobody outside has seen.
func (s script) digest(challenge scp03.Challenge) [sha256.Size]byte {
	h := sha256.New()
	h.Write(challenge[:])
	for _, i := range s {
		h.Write(i.command.Bytes())
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// script makes the commands of a session.
func (s *Service) script(w *Wallet, se *session, level scp03.Level) (script, error) {
	aid := emv.AID(se.AID)
	deletion := item{apdu.Command{CLA: apdu.ClaProprietary, INS: insDelete, Data: named(aid), Le: apdu.MaxLe}, []apdu.SW{apdu.DataNotFound}, nil}
	order := item{command: status(statusOrder, first, named(aid))}
	switch se.Kind {
	case tsmapi.Default:
		return script{order}, nil
	case tsmapi.Lock:
		return setLock(aid, lockBit), nil
	case tsmapi.Unlock:
		return setLock(aid, 0), nil
	case tsmapi.Delete:
		return script{deletion}, nil
	}
	store, err := s.storeData(w, se, level)
	if err != nil {
		return nil, err
	}
	// What an earlier session left half done goes first.
	all := script{deletion, {command: installation(aid)}, {command: personalization(aid)}}
	for _, c := range store {
		all = append(all, item{command: c})
	}
	if w.Default {
		all = append(all, order)
	}
	return all, nil
}

// setLock locks an application or unlocks it. One that was so already refuses to become so: the session before was torn after it. What the application then
// says of itself counts.
func setLock(aid emv.AID, lock byte) script {
	ask := apdu.Command{CLA: apdu.ClaProprietary, INS: insGetStatus, P1: statusApplications, P2: formatTLV, Data: named(aid), Le: apdu.MaxLe}
	says := func(data []byte) bool {
		life, known := lifeOf(data, aid)
		return known && life&lockBit == lock
	}
	return script{{command: status(statusApplications, lock, aid.Bytes()), also: []apdu.SW{apdu.ConditionsNotSatisfied}}, {command: ask, says: says}}
}

// lifeOf finds an application in the answer to GET STATUS, which may list others whose names begin the same.
func lifeOf(data []byte, aid emv.AID) (life byte, known bool) {
	for len(data) > 0 {
		entry, rest, err := tlv.Next(data)
		if err != nil {
			return 0, false
		}
		name, _ := tlv.Find(entry.Value, tagName)
		value, ok := tlv.Find(entry.Value, tagLife)
		if entry.Tag == tagEntry && emv.AID(name) == aid && ok && len(value) == 1 {
			return value[0], true
		}
		data = rest
	}
	return 0, false
}

func status(p1, p2 byte, data []byte) apdu.Command {
	return apdu.Command{CLA: apdu.ClaProprietary, INS: insSetStatus, P1: p1, P2: p2, Data: data, Le: apdu.NoLe}
}

func named(aid emv.AID) []byte { return tlv.Append(nil, tagName, aid.Bytes()) }

func fields(all ...[]byte) (data []byte) {
	for _, f := range all {
		data = append(append(data, byte(len(f))), f...)
	}
	return data
}

func installation(aid emv.AID) apdu.Command {
	data := fields(element.Package.Bytes(), element.Module.Bytes(), aid.Bytes(), []byte{0}, []byte{0xC9, 0x00}, nil)
	return apdu.Command{CLA: apdu.ClaProprietary, INS: insInstall, P1: forInstallAndSelectable, Data: data, Le: apdu.MaxLe}
}

func personalization(aid emv.AID) apdu.Command {
	data := fields(nil, nil, aid.Bytes(), nil, nil, nil)
	return apdu.Command{CLA: apdu.ClaProprietary, INS: insInstall, P1: forPersonalization, Data: data, Le: apdu.MaxLe}
}

// tokenPDOL asks a reader for what the cryptogram covers, and no more.
var tokenPDOL = emv.DOL{
	{Tag: emv.TagTTQ, Len: 4}, {Tag: emv.TagAmount, Len: 6}, {Tag: emv.TagAmountOther, Len: 6}, {Tag: emv.TagTerminalCountry, Len: 2},
	{Tag: emv.TagTVR, Len: 5}, {Tag: emv.TagCurrency, Len: 2}, {Tag: emv.TagTransactionDate, Len: 3}, {Tag: emv.TagTransactionType, Len: 1},
	{Tag: emv.TagUnpredictableNumber, Len: 4},
}

// verifiedHolder is the AIP of an application that pays online: cardholder verification is supported, offline authentication is not.
var verifiedHolder = emv.AIP{0x10, 0x00}

// storeData are the groupings of a token's application, the keys sealed by the HSM.
func (s *Service) storeData(w *Wallet, se *session, level scp03.Level) ([]apdu.Command, error) {
	token, err := s.deps.Tokens.Token(se.Token)
	if err != nil {
		return nil, err
	}
	suite, ok := cryptogram.Standard(token.Algorithm)
	if !ok {
		return nil, fmt.Errorf("tsm: token of algorithm %02X: %w", token.Algorithm, ErrNoToken)
	}
	application, state, err := w.application(&token, emv.AID(se.AID), suite)
	if err != nil {
		return nil, err
	}
	own, err := s.offline(w, se, &token, suite, application)
	if err != nil {
		return nil, err
	}
	list, err := imprint.Write(application, state, nil)
	if err != nil {
		return nil, err
	}
	ac, mac, enc := s.deps.Keys.Masters(token.Algorithm)
	sealed, values, err := s.deps.Vault.SealElementCardKeys(hsm.ElementCardKeyRequest{Keys: se.channel(s.deps.Keys.Elements).Keys, ACMaster: ac, MACMaster: mac,
		ENCMaster: enc, PAN: token.Number, Sequence: token.Sequence, Suite: suite})
	if err != nil {
		return nil, err
	}
	return cps.Commands(slices.Concat(list, cps.List{sealed, values}, own), cps.Framing{DataBytes: scp03.Room(level), Packed: true})
}

// application is what the chip holds of a token that proves nothing offline: no records, no purse. Payments go online.
func (w *Wallet) application(t *Token, aid emv.AID, suite cryptogram.Suite) (*card.Application, *card.ApplicationState, error) {
	track2, err := pan.NewTrack2(t.Number, t.Expiry, t.Service, "")
	if err != nil {
		return nil, nil, fmt.Errorf("tsm: track 2 of a token: %w", err)
	}
	processing, err := hex.DecodeString(w.Processing)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrWallet, err)
	}
	a := &card.Application{
		AID: aid, Label: w.Label, Language: w.Language, Priority: 1, PDOL: tokenPDOL, AIP: verifiedHolder, Track2: track2, Sequence: t.Sequence,
		Currency: t.Currency, Processing: emv.AdditionalProcessing(processing), DKI: t.DKI, CVN: t.CVN, Algorithm: suite.AlgorithmID(),
	}
	if _, known := aid.Kernel(); !known {
		a.Kernel = []byte{emv.KernelUnionPay} // no terminal could guess it
	}
	// Counters of 1: the application was tried when it was made, so it is no new card.
	st := &card.ApplicationState{ATC: 1, LastOnlineATC: 1}
	st.Purses[0].CVMLimit = w.CVMLimitMinor
	return a, st, nil
}
