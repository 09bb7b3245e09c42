package imprint

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/money"
	"tapnet/tlv"
)

// EngineSettings is the data grouping for what a card of ours knows and no standard grouping has a place for. A real card passes over it: its own operating
// system decides those things. The identifier is this project's choice.
const EngineSettings cps.DGI = 0xBF01

// Tags within EngineSettings, of the private class. C8 and C9 belong to the PPSE, whose settings are of the whole card.
const (
	tagFlags     tlv.Tag = 0xC1 // see flag…
	tagWithhold  tlv.Tag = 0xC2
	tagOnlineAFL tlv.Tag = 0xC3
	tagFull      tlv.Tag = 0xC4 // AIP and AFL of the full dialogue over contactless
	tagDialogue  tlv.Tag = 0xC5 // cryptogram version, issuer data, checks, PIN variant
	tagLogs      tlv.Tag = 0xC6 // files of the two logs: a card that withholds them does not say so in its answer to SELECT
	tagUpdatable tlv.Tag = 0xC7 // file and number of each record that scripts may replace
)

const (
	flagNoContactless byte = 1 << iota
	flagDeclineWithoutCVM
	flagFDDA01
	flagFormat2
	flagFullOnly
)

// errImage says that an application has something that cannot be written.
var errImage = errors.New("application cannot be written as data groupings")

// present appends a value that is there.
func present(dst []byte, tag tlv.Tag, value []byte) []byte {
	if len(value) == 0 {
		return dst
	}
	return tlv.Append(dst, tag, value)
}

type pair struct {
	id   cps.DGI
	data []byte
}

func groupings(pairs ...pair) (list cps.List, err error) {
	for _, p := range pairs {
		g, err := cps.NewGrouping(p.id, p.data)
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// writer turns one application into groupings.
type writer struct {
	application *card.Application
	state       *card.ApplicationState
	keys        *Keys
}

func (w *writer) list() (cps.List, error) {
	a := w.application
	var list cps.List
	for _, r := range a.Records {
		g, err := cps.Record(r.SFI, r.Number, tlv.Wrap(emv.TagRecord, r.Body))
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	internal, err := w.internal()
	if err != nil {
		return nil, err
	}
	secrets, err := w.secrets()
	if err != nil {
		return nil, err
	}
	pairs := append([]pair{{cps.ContactInternalData, internal}}, secrets...)
	if a.Contact != nil {
		pairs = append(pairs, pair{cps.FCI, selection(a, a.Contact.PDOL)})
	}
	pairs = append(pairs, pair{cps.FCIContactless, selection(a, a.PDOL)})
	pairs = append(pairs, w.answers()...)
	pairs = append(pairs, pair{EngineSettings, w.settings()})
	pairs = append(pairs, w.secondSet()...)
	rest, err := groupings(pairs...)
	return append(list, rest...), err
}

// selection is the template of the answer to SELECT [REF 1.2].
func selection(a *card.Application, pdol emv.DOL) []byte {
	b := present(nil, emv.TagApplicationLabel, []byte(a.Label))
	b = tlv.Append(b, emv.TagPriority, []byte{a.Priority})
	b = present(b, emv.TagPDOL, pdol.Bytes())
	b = present(b, emv.TagLanguagePreference, []byte(a.Language))
	if a.CodeTable != 0 {
		b = tlv.Append(b, emv.TagCodeTable, []byte{a.CodeTable})
	}
	b = present(b, emv.TagPreferredName, []byte(a.PreferredName))
	var discretionary []byte
	if !a.Withhold.Has(card.WithholdLog) {
		if a.Log.SFI != 0 {
			discretionary = tlv.Append(discretionary, emv.TagLogEntry, []byte{a.Log.SFI, card.LogRecords})
		}
		if a.LoadLog.SFI != 0 {
			discretionary = tlv.Append(discretionary, emv.TagLoadLogEntry, []byte{a.LoadLog.SFI, card.LogRecords})
		}
	}
	if a.Extended != (emv.ExtendedIndicator{}) {
		discretionary = tlv.Append(discretionary, emv.TagExtendedIndicator, a.Extended[:])
	}
	return tlv.Wrap(emv.TagFCIProprietary, present(b, emv.TagFCIDiscretionary, append(discretionary, a.Discretionary.Bytes()...)))
}

// answers are the answers to GET PROCESSING OPTIONS and the issuer application data.
func (w *writer) answers() []pair {
	a := w.application
	files := func(aip emv.AIP, afl emv.AFL) []byte {
		return present(tlv.Append(nil, emv.TagAIP, aip[:]), emv.TagAFL, afl.Bytes())
	}
	field := tlv.Append(files(a.AIP, a.OfflineAFL), emv.TagTrack2, a.Track2.Packed())
	if a.Sequence != "" {
		field = tlv.Append(field, emv.TagPANSequence, unhex(a.Sequence))
	}
	field = present(field, emv.TagCardholderName, []byte(a.Holder))
	field = present(field, emv.TagCardProduct, a.Product)
	field = tlv.Append(field, emv.TagCTQ, a.CTQ[:])
	issuer := emv.IAD{DKI: a.DKI, CVN: a.CVN, CVR: emv.NewCVR(), Algorithm: a.Algorithm}
	if a.IDD != 0 {
		issuer.IDD = append([]byte{a.IDD}, make([]byte, issuerDataBytes(a.IDD))...)
	}
	var pairs []pair
	if k := a.Contact; k != nil {
		pairs = append(pairs, pair{cps.GPOResponse, files(k.AIP, k.AFL)})
		if len(k.CashAFL) > 0 {
			pairs = append(pairs, pair{cps.GPOResponseCash, files(k.CashAIP, k.CashAFL)})
		}
	}
	return append(pairs, pair{cps.GPOResponseContactless, field}, pair{cps.IssuerApplicationData, tlv.Append(nil, emv.TagIAD, issuer.Bytes())})
}

// issuerDataBytes is the length of issuer discretionary data [REF 1.7].
func issuerDataBytes(id byte) int {
	if id == emv.IDDBalanceAndCTTA || id == emv.IDDCTTAAndCTTAL {
		return 10
	}
	return 5
}

// register is a number of the state with the tag under which GET DATA and this grouping know it [REF 1.3].
type register struct {
	tag   tlv.Tag
	value *int64
}

func registers(s *card.ApplicationState) []register {
	return []register{
		{emv.TagCTTAL, &s.CumulativeLimit}, {emv.TagCTTAUL, &s.CumulativeUpperLimit},
		{emv.TagECBalance, &s.Purses[0].Balance}, {emv.TagECBalanceLimit, &s.Purses[0].BalanceLimit}, {emv.TagECSingleLimit, &s.Purses[0].SingleLimit},
		{emv.TagECResetThreshold, &s.Purses[0].ResetThreshold}, {emv.TagCardCVMLimit, &s.Purses[0].CVMLimit},
		{emv.TagSecondBalance, &s.Purses[1].Balance}, {emv.TagSecondBalanceLimit, &s.Purses[1].BalanceLimit}, {emv.TagSecondSingleLimit, &s.Purses[1].SingleLimit},
		{emv.TagSecondResetThreshold, &s.Purses[1].ResetThreshold}, {emv.TagSecondCVMLimit, &s.Purses[1].CVMLimit},
	}
}

// internal is the data that GET DATA answers, counters and limits included, then the constants of the product.
func (w *writer) internal() ([]byte, error) {
	a, s := w.application, w.state
	b := tlv.Append(nil, emv.TagATC, []byte{byte(s.ATC >> 8), byte(s.ATC)})
	b = tlv.Append(b, emv.TagLastOnlineATC, []byte{byte(s.LastOnlineATC >> 8), byte(s.LastOnlineATC)})
	b = tlv.Append(b, emv.TagECCurrency, currencyBytes(a.Currency))
	if !a.SecondCurrency.IsZero() {
		b = tlv.Append(b, emv.TagSecondECCurrency, currencyBytes(a.SecondCurrency))
	}
	b = tlv.Append(b, emv.TagConsecutiveIntlCurrency, []byte{s.InternationalLimit})
	for _, r := range registers(s) {
		if *r.value == 0 {
			continue
		}
		value, err := money.New(*r.value, a.Currency).BCD()
		if err != nil {
			return nil, fmt.Errorf("%w: %v: %w", errImage, r.tag, err)
		}
		b = tlv.Append(b, r.tag, value[:])
	}
	b = tlv.Append(b, emv.TagAdditionalProcessing, a.Processing[:])
	b = present(b, emv.TagLogFormat, a.Log.Format.Bytes())
	b = present(b, emv.TagLoadLogFormat, a.LoadLog.Format.Bytes())
	return append(b, a.Objects.Bytes()...), nil
}

func currencyBytes(c money.Currency) []byte { return unhex(fmt.Sprintf("%04d", c.Number())) }

// secrets are keys, PIN and counters. Check values go with the keys, made by the keys' own cipher.
func (w *writer) secrets() ([]pair, error) {
	k, s := w.keys, w.state
	limit := s.PINTries
	if w.application.Contact != nil {
		limit = w.application.Contact.PINTryLimit
	}
	counters := pair{cps.PINCounters, []byte{s.PINTries, limit}}
	if k == nil {
		return []pair{counters}, nil
	}
	var keys, checks []byte
	for _, key := range []cryptogram.Key{k.Card.AC, k.Card.MAC, k.Card.ENC} {
		value, check := key.Reveal(), k.Suite.KCV(key)
		keys, checks = append(keys, value[:]...), append(checks, check[:]...)
	}
	pairs := []pair{{cps.CardKeys, keys}, {cps.KeyCheckValues, checks}}
	if !s.PIN.IsZero() {
		pairs = append(pairs, pair{cps.PIN, append([]byte{}, s.PIN[:]...)})
	}
	pairs = append(pairs, counters)
	own, err := privateKey(k.Private)
	if err != nil {
		return nil, err
	}
	pairs = append(pairs, own...)
	if len(k.Files) == 0 {
		return pairs, nil
	}
	var names, opening, values []byte
	for _, f := range k.Files {
		value, check := f.Key.Reveal(), k.Suite.KCV(f.Key)
		names, opening, values = append(names, f.SFI), append(opening, value[:]...), append(values, check[:]...)
	}
	return append(pairs, pair{cps.ExtendedFiles, names}, pair{cps.FileKeys, opening}, pair{cps.FileKeyCheckValues, values}), nil
}

// privateKey writes the card's own key, if it has one: the five numbers of the Chinese remainder theorem, or an SM2 key where modulus and exponent stand.
func privateKey(k oda.PrivateKey) ([]pair, error) {
	if k.IsZero() {
		return nil, nil
	}
	if d := k.RevealSM2(); d != nil {
		return []pair{{cps.ICCKeyModulus, k.Public().Modulus()}, {cps.ICCKeyExponent, d}}, nil
	}
	first, second, e := k.Reveal()
	p, q, exponent, one := new(big.Int).SetBytes(first), new(big.Int).SetBytes(second), big.NewInt(int64(e)), big.NewInt(1)
	reduced := func(prime *big.Int) []byte {
		return new(big.Int).ModInverse(exponent, new(big.Int).Sub(prime, one)).Bytes()
	}
	list, err := cps.RSAKey{P: first, Q: second, DP: reduced(p), DQ: reduced(q), QInverse: new(big.Int).ModInverse(q, p).Bytes()}.Groupings(cps.ICCKeyQInverse)
	if err != nil {
		return nil, err
	}
	var pairs []pair
	for _, g := range list {
		pairs = append(pairs, pair{g.ID(), g.Reveal()})
	}
	return pairs, nil
}

// settings is the contents of EngineSettings.
func (w *writer) settings() []byte {
	a := w.application
	flags := byte(0)
	for flag, set := range map[byte]bool{
		flagNoContactless: a.NoContactless, flagDeclineWithoutCVM: a.DeclineWithoutCVM, flagFDDA01: a.FDDA01, flagFormat2: a.Contact != nil && a.Contact.Format2,
		flagFullOnly: a.Contact != nil && a.Contact.FullOnly,
	} {
		if set {
			flags |= flag
		}
	}
	b := tlv.Append(nil, tagFlags, []byte{flags})
	b = tlv.Append(b, tagWithhold, []byte{byte(a.Withhold)})
	b = tlv.Append(b, tagLogs, []byte{a.Log.SFI, a.LoadLog.SFI})
	b = present(b, emv.TagKernelID, a.Kernel)
	b = present(b, tagOnlineAFL, a.OnlineAFL.Bytes())
	if k := a.Contact; k != nil {
		b = tlv.Append(b, tagDialogue, []byte{k.CVN, k.IDD, byte(k.Checks), byte(k.PINVariant)})
		if len(k.FullAFL) > 0 {
			b = tlv.Append(b, tagFull, append(k.FullAIP[:], k.FullAFL.Bytes()...))
		}
	}
	var updatable []byte
	for _, r := range a.Records {
		if r.Updatable {
			updatable = append(updatable, r.SFI, r.Number)
		}
	}
	return present(b, tagUpdatable, updatable)
}

// unhex reads digits of the image, which was checked when it was made.
func unhex(digits string) []byte {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic("imprint: " + err.Error())
	}
	return b
}
