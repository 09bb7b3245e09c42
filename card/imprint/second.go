package imprint

import (
	"tapnet/card"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// The second set of algorithms in data groupings. No public document places it: the identifiers are this project's.
const (
	SecondSettings       cps.DGI = 0xBF04 // AIP and AFL under the second set
	SecondCardKeys       cps.DGI = 0x8F04 // AC ‖ MAC ‖ ENC
	SecondKeyCheckValues cps.DGI = 0x9F04
	SecondPrivateKey     cps.DGI = 0x8F14 // SM2
)

// Tags within SecondSettings: AIP and AFL one behind the other.
const (
	tagSecondOffline tlv.Tag = 0xC1
	tagSecondOnline  tlv.Tag = 0xC2 // AFL alone
	tagSecondContact tlv.Tag = 0xC3
	tagSecondCash    tlv.Tag = 0xC4
	tagSecondFull    tlv.Tag = 0xC5
)

// secondSet writes the second set of algorithms.
func (w *writer) secondSet() []pair {
	p := w.application.SM
	if p == nil || w.keys == nil || w.keys.Second == nil {
		return nil
	}
	b := tlv.Append(nil, tagSecondOffline, append(p.AIP[:], p.OfflineAFL.Bytes()...))
	b = present(b, tagSecondOnline, p.OnlineAFL.Bytes())
	for _, d := range secondDialogues(p) {
		if len(d.files.AFL) > 0 {
			b = tlv.Append(b, d.tag, append(d.files.AIP[:], d.files.AFL.Bytes()...))
		}
	}
	k := w.keys.Second
	var keys, checks []byte
	for _, key := range []cryptogram.Key{k.Card.AC, k.Card.MAC, k.Card.ENC} {
		value, check := key.Reveal(), k.Suite.KCV(key)
		keys, checks = append(keys, value[:]...), append(checks, check[:]...)
	}
	return []pair{{SecondSettings, b}, {SecondCardKeys, keys}, {SecondKeyCheckValues, checks}, {SecondPrivateKey, k.Private.RevealSM2()}}
}

type secondDialogue struct {
	tag   tlv.Tag
	files *card.DialogueFiles
}

func secondDialogues(p *card.SMProfile) [3]secondDialogue {
	return [3]secondDialogue{{tagSecondContact, &p.Contact}, {tagSecondCash, &p.Cash}, {tagSecondFull, &p.Full}}
}

// secondSet reads it; nil when there is none.
func (r *reader) secondSet() *Keys {
	if r.data(SecondSettings) == nil {
		return nil
	}
	d, p := r.objects(SecondSettings), &card.SMProfile{Algorithm: cryptogram.AlgorithmSM4}
	files := func(value []byte, into *card.DialogueFiles) {
		if len(value) < len(into.AIP) {
			r.fail(SecondSettings, errShape)
			return
		}
		copy(into.AIP[:], value)
		into.AFL = r.afl(SecondSettings, value[len(into.AIP):])
	}
	var offline card.DialogueFiles
	files(d.Get(tagSecondOffline), &offline)
	p.AIP, p.OfflineAFL = offline.AIP, offline.AFL
	p.OnlineAFL = r.afl(SecondSettings, d.Get(tagSecondOnline))
	for _, row := range secondDialogues(p) {
		if value, ok := d.Value(row.tag); ok {
			files(value, row.files)
		}
	}
	r.application.SM = p
	own := r.keysOf(cryptogram.SM4(), SecondCardKeys, SecondKeyCheckValues)
	private, err := oda.NewSM2PrivateKey(r.data(SecondPrivateKey), oda.SM2Profile{})
	r.fail(SecondPrivateKey, err)
	if len(own) != 3 {
		r.fail(SecondCardKeys, errShape)
		return nil
	}
	return &Keys{Suite: cryptogram.SM4(), Card: cryptogram.CardKeys{AC: own[0], MAC: own[1], ENC: own[2]}, Private: private}
}
