package imprint

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// reader turns groupings into one application. The first fault stays.
type reader struct {
	list        cps.List
	application card.Application
	state       card.ApplicationState
	failed      error
}

func (r *reader) fail(id cps.DGI, err error) {
	if r.failed == nil && err != nil {
		r.failed = fmt.Errorf("data grouping %v: %w", id, cps.ErrContent)
	}
}

var errShape = errors.New("wrong shape")

// data is the bytes of a grouping; nil when there is none.
func (r *reader) data(id cps.DGI) []byte {
	g, ok := r.list.Find(id)
	if !ok {
		return nil
	}
	return g.Reveal()
}

// objects are the data objects of a grouping, which may be missing when it is optional.
func (r *reader) objects(id cps.DGI, within ...tlv.Tag) (d emv.Data) {
	value := r.data(id)
	for _, tag := range within {
		inner, ok := tlv.Find(value, tag)
		if !ok {
			r.fail(id, errShape)
			return d
		}
		value = inner
	}
	d, err := emv.ParseData(value)
	r.fail(id, err)
	return d
}

// fixed copies a value of known length.
func (r *reader) fixed(id cps.DGI, into, value []byte) {
	if len(into) != len(value) {
		r.fail(id, errShape)
		return
	}
	copy(into, value)
}

func (r *reader) dol(id cps.DGI, value []byte) emv.DOL {
	list, err := emv.ParseDOL(value)
	r.fail(id, err)
	return list
}

func (r *reader) afl(id cps.DGI, value []byte) emv.AFL {
	if len(value) == 0 {
		return nil
	}
	list, err := emv.ParseAFL(value)
	r.fail(id, err)
	return list
}

func (r *reader) read() Keys {
	r.contactProfile()
	r.settings()
	r.records()
	r.selection()
	r.answers()
	r.internal()
	return r.keys()
}

// contactProfile comes first: there is one if there is an answer for contact.
func (r *reader) contactProfile() {
	if r.data(cps.GPOResponse) == nil {
		return
	}
	k := &card.ContactProfile{}
	r.application.Contact = k
	d := r.objects(cps.GPOResponse)
	r.fixed(cps.GPOResponse, k.AIP[:], d.Get(emv.TagAIP))
	k.AFL = r.afl(cps.GPOResponse, d.Get(emv.TagAFL))
	if r.data(cps.GPOResponseCash) != nil {
		d := r.objects(cps.GPOResponseCash)
		r.fixed(cps.GPOResponseCash, k.CashAIP[:], d.Get(emv.TagAIP))
		k.CashAFL = r.afl(cps.GPOResponseCash, d.Get(emv.TagAFL))
	}
	fci := r.objects(cps.FCI, emv.TagFCIProprietary)
	k.PDOL = r.dol(cps.FCI, fci.Get(emv.TagPDOL))
}

func (r *reader) settings() {
	a, d := &r.application, r.objects(EngineSettings)
	var flags, withhold [1]byte
	var logs [2]byte
	r.fixed(EngineSettings, flags[:], d.Get(tagFlags))
	r.fixed(EngineSettings, withhold[:], d.Get(tagWithhold))
	r.fixed(EngineSettings, logs[:], d.Get(tagLogs))
	a.NoContactless, a.DeclineWithoutCVM, a.FDDA01 = flags[0]&flagNoContactless != 0, flags[0]&flagDeclineWithoutCVM != 0, flags[0]&flagFDDA01 != 0
	a.Withhold, a.Log.SFI, a.LoadLog.SFI, a.Kernel = card.Withhold(withhold[0]), logs[0], logs[1], d.Get(emv.TagKernelID)
	a.OnlineAFL = r.afl(EngineSettings, d.Get(tagOnlineAFL))
	if k := a.Contact; k != nil {
		var dialogue [4]byte
		r.fixed(EngineSettings, dialogue[:], d.Get(tagDialogue))
		k.CVN, k.IDD, k.Checks, k.PINVariant = dialogue[0], dialogue[1], card.Checks(dialogue[2]), cryptogram.PINVariant(dialogue[3])
		k.Format2, k.FullOnly = flags[0]&flagFormat2 != 0, flags[0]&flagFullOnly != 0
		if full := d.Get(tagFull); len(full) >= len(k.FullAIP) {
			k.FullAIP = emv.AIP(full[:len(k.FullAIP)])
			k.FullAFL = r.afl(EngineSettings, full[len(k.FullAIP):])
		}
	}
}

func (r *reader) records() {
	updatable := r.objects(EngineSettings)
	may := updatable.Get(tagUpdatable)
	for _, g := range r.list {
		sfi, number, ok := g.ID().Record()
		if !ok {
			continue
		}
		body, ok := tlv.Find(g.Reveal(), emv.TagRecord)
		if !ok {
			r.fail(g.ID(), errShape)
			continue
		}
		record := card.Record{SFI: sfi, Number: number, Body: body}
		for i := 0; i+1 < len(may); i += 2 {
			record.Updatable = record.Updatable || may[i] == sfi && may[i+1] == number
		}
		r.application.Records = append(r.application.Records, record)
	}
}

func (r *reader) selection() {
	a, d := &r.application, r.objects(cps.FCIContactless, emv.TagFCIProprietary)
	a.Label, a.PreferredName, a.Language = string(d.Get(emv.TagApplicationLabel)), string(d.Get(emv.TagPreferredName)), string(d.Get(emv.TagLanguagePreference))
	a.PDOL = r.dol(cps.FCIContactless, d.Get(emv.TagPDOL))
	var priority [1]byte
	r.fixed(cps.FCIContactless, priority[:], d.Get(emv.TagPriority))
	a.Priority = priority[0]
	if table := d.Get(emv.TagCodeTable); len(table) == 1 {
		a.CodeTable = table[0]
	}
	discretionary, err := emv.ParseData(d.Get(emv.TagFCIDiscretionary))
	r.fail(cps.FCIContactless, err)
	if indicator := discretionary.Get(emv.TagExtendedIndicator); len(indicator) > 0 {
		r.fixed(cps.FCIContactless, a.Extended[:], indicator)
	}
	for tag, value := range discretionary.All() {
		if tag != emv.TagLogEntry && tag != emv.TagLoadLogEntry && tag != emv.TagExtendedIndicator {
			a.Discretionary.Set(tag, value)
		}
	}
}

func (r *reader) answers() {
	const id = cps.GPOResponseContactless
	a, d := &r.application, r.objects(id)
	r.fixed(id, a.AIP[:], d.Get(emv.TagAIP))
	r.fixed(id, a.CTQ[:], d.Get(emv.TagCTQ))
	a.OfflineAFL = r.afl(id, d.Get(emv.TagAFL))
	var err error
	a.Track2, err = pan.ParseTrack2(d.Get(emv.TagTrack2))
	r.fail(id, err)
	if sequence := d.Get(emv.TagPANSequence); len(sequence) > 0 {
		a.Sequence = fmt.Sprintf("%X", sequence)
	}
	a.Holder, a.Product = string(d.Get(emv.TagCardholderName)), d.Get(emv.TagCardProduct)
	template := r.objects(cps.IssuerApplicationData)
	iad, err := emv.ParseIAD(template.Get(emv.TagIAD))
	r.fail(cps.IssuerApplicationData, err)
	a.DKI, a.CVN, a.Algorithm = iad.DKI, iad.CVN, iad.Algorithm
	if len(iad.IDD) > 0 {
		a.IDD = iad.IDD[0]
	}
}

func (r *reader) internal() {
	const id = cps.ContactInternalData
	a, s, d := &r.application, &r.state, r.objects(id)
	known := map[tlv.Tag]bool{emv.TagATC: true, emv.TagLastOnlineATC: true, emv.TagECCurrency: true, emv.TagSecondECCurrency: true,
		emv.TagConsecutiveIntlCurrency: true, emv.TagAdditionalProcessing: true, emv.TagLogFormat: true, emv.TagLoadLogFormat: true}
	var atc, last [2]byte
	var count [1]byte
	r.fixed(id, atc[:], d.Get(emv.TagATC))
	r.fixed(id, last[:], d.Get(emv.TagLastOnlineATC))
	r.fixed(id, count[:], d.Get(emv.TagConsecutiveIntlCurrency))
	r.fixed(id, a.Processing[:], d.Get(emv.TagAdditionalProcessing))
	s.ATC, s.LastOnlineATC, s.InternationalLimit = uint16(atc[0])<<8|uint16(atc[1]), uint16(last[0])<<8|uint16(last[1]), count[0]
	a.Currency = r.currency(d.Get(emv.TagECCurrency))
	if second := d.Get(emv.TagSecondECCurrency); len(second) > 0 {
		a.SecondCurrency = r.currency(second)
	}
	for _, register := range registers(s) {
		known[register.tag] = true
		value, ok := d.Value(register.tag)
		if !ok {
			continue
		}
		amount, err := money.FromBCD(value, a.Currency)
		r.fail(id, err)
		*register.value = amount.Minor()
	}
	a.Log.Format, a.LoadLog.Format = r.dol(id, d.Get(emv.TagLogFormat)), r.dol(id, d.Get(emv.TagLoadLogFormat))
	for tag, value := range d.All() {
		if !known[tag] {
			a.Objects.Set(tag, value)
		}
	}
}

func (r *reader) currency(value []byte) money.Currency {
	number := 0
	for _, b := range value {
		number = number*100 + int(b>>4)*10 + int(b&0xF)
	}
	c, err := money.CurrencyByNumber(number)
	r.fail(cps.ContactInternalData, err)
	return c
}

// keys reads keys, PIN and counters.
func (r *reader) keys() (k Keys) {
	if r.failed == nil {
		r.fail(cps.CardKeys, r.list.Check())
	}
	suite, ok := cryptogram.Standard(r.application.Algorithm)
	if !ok {
		r.fail(cps.IssuerApplicationData, errShape)
		return k
	}
	k.Suite = suite
	own := r.keysOf(suite, cps.CardKeys, cps.KeyCheckValues)
	if len(own) != 3 {
		r.fail(cps.CardKeys, errShape)
		return k
	}
	k.Card = cryptogram.CardKeys{AC: own[0], MAC: own[1], ENC: own[2]}
	if block := r.data(cps.PIN); block != nil {
		r.fixed(cps.PIN, r.state.PIN[:], block)
	}
	var counters [2]byte
	r.fixed(cps.PINCounters, counters[:], r.data(cps.PINCounters))
	r.state.PINTries = counters[0]
	if contact := r.application.Contact; contact != nil {
		contact.PINTryLimit = counters[1]
	}
	k.Private, k.Second = r.privateKey(), r.secondSet()
	files := r.data(cps.ExtendedFiles)
	opening := r.keysOf(suite, cps.FileKeys, cps.FileKeyCheckValues)
	if len(files) != len(opening) {
		r.fail(cps.ExtendedFiles, errShape)
		return k
	}
	for i, sfi := range files {
		k.Files = append(k.Files, FileKey{sfi, opening[i]})
		r.application.Files = append(r.application.Files, card.ExtendedFile{SFI: sfi})
	}
	return k
}

// keysOf reads keys and holds them to their check values.
func (r *reader) keysOf(suite cryptogram.Suite, id, checks cps.DGI) (keys []cryptogram.Key) {
	values, sums := r.data(id), r.data(checks)
	for len(values) >= cryptogram.KeyBytes {
		key, err := cryptogram.NewKey(values[:cryptogram.KeyBytes])
		r.fail(id, err)
		check := suite.KCV(key)
		if !bytes.HasPrefix(sums, check[:]) {
			r.fail(checks, errShape)
			return nil
		}
		keys, values, sums = append(keys, key), values[cryptogram.KeyBytes:], sums[len(check):]
	}
	return keys
}

func (r *reader) privateKey() oda.PrivateKey {
	if d := r.data(cps.ICCKeyExponent); d != nil {
		k, err := oda.NewSM2PrivateKey(d, oda.SM2Profile{})
		if err == nil && !bytes.Equal(k.Public().Modulus(), r.data(cps.ICCKeyModulus)) {
			err = errShape
		}
		r.fail(cps.ICCKeyExponent, err)
		return k
	}
	p := r.data(cps.ICCKeyP)
	if p == nil {
		return oda.PrivateKey{}
	}
	// The public exponent is the one of the two allowed that undoes the private one.
	dp, less := new(big.Int).SetBytes(r.data(cps.ICCKeyDP)), new(big.Int).Sub(new(big.Int).SetBytes(p), big.NewInt(1))
	for _, e := range []int64{3, 65537} {
		product := new(big.Int).Mul(dp, big.NewInt(e))
		if less.Sign() > 0 && product.Mod(product, less).Cmp(big.NewInt(1)) == 0 {
			k, err := oda.NewPrivateKey(p, r.data(cps.ICCKeyQ), int(e))
			r.fail(cps.ICCKeyP, err)
			return k
		}
	}
	r.fail(cps.ICCKeyDP, errShape)
	return oda.PrivateKey{}
}
