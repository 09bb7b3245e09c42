package tsm

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cps"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/internal/hsm"
	"tapnet/tlv"
)

// An application that proves itself offline holds a key of its own, made in the security module and sealed for its element, under a certificate of its bank.
// Its payments still go to the issuer: a gate opens on the proof and sends the cryptogram later [REF 2.7].

// Files of such an application. The last record is there to carry the signature's data alone.
const (
	issuerFile, cardFile, dataFile, lastFile = 1, 2, 3, 4
)

// provenHolder is the AIP: cardholder verification and dynamic authentication [EMV B3 C1].
var provenHolder = emv.AIP{0x30, 0x00}

// Values of the certified record: of China, for every use, with a list that asks for online PIN from the reader's limit on, and signature below.
const (
	issuerCountry  = "0156"
	usageControl   = "FF00"
	cvmList        = "000000000000000042031F00"
	actionDefault  = "D8609CA800"
	actionDenial   = "0010800000"
	actionOnline   = "D8689CF800"
	versionDynamic = "0030" // a terminal holds it to the new dynamic signature [REF 2.6]
)

// proof is what an application proves itself with: three records, and the groupings of its key, sealed.
type proof struct {
	records []card.Record
	sealed  cps.List
}

// proofKey names a proof: it follows from these alone.
type proofKey struct {
	seid, aid, ref string
	token          Token
}

// maxProofs bounds the memory for proofs: about two kilobytes for each session that is under way.
const maxProofs = 256

// proofs remembers the proofs of sessions under way: making one takes longer than everything else of a step together.
type proofs struct {
	mu    sync.Mutex
	known map[proofKey]proof
	order []proofKey
}

func (p *proofs) find(key proofKey) (proof, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.known[key]
	return found, ok
}

func (p *proofs) keep(key proofKey, made proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[proofKey]proof)
	}
	if _, ok := p.known[key]; ok {
		return
	}
	if len(p.order) == maxProofs {
		delete(p.known, p.order[0])
		p.order = p.order[1:]
	}
	p.known[key], p.order = made, append(p.order, key)
}

// offline gives an application its certificates and gives the groupings of its key.
func (s *Service) offline(w *Wallet, se *session, t *Token, suite cryptogram.Suite, a *card.Application) (cps.List, error) {
	if !w.Offline || s.deps.Certifier == nil {
		return nil, nil
	}
	a.AIP, a.FDDA01 = provenHolder, true
	a.Extended.Set(emv.EIODAForOnline)
	a.OfflineAFL = emv.AFL{
		{SFI: issuerFile, First: 1, Last: 1}, {SFI: cardFile, First: 1, Last: 1}, {SFI: dataFile, First: 1, Last: 1, ODA: 1}, {SFI: lastFile, First: 1, Last: 1},
	}
	key := proofKey{se.SEID, string(se.AID), se.Token, *t}
	made, known := s.proofs.find(key)
	if !known {
		var err error
		if made, err = s.prove(se, t, suite, a.AIP); err != nil {
			return nil, err
		}
		s.proofs.keep(key, made)
	}
	a.Records = made.records
	return made.sealed, nil
}

// prove makes an application's key and has it certified.
func (s *Service) prove(se *session, t *Token, suite cryptogram.Suite, aip emv.AIP) (proof, error) {
	algorithm := oda.RSA
	if suite.Cipher() == cryptogram.CipherSM4 {
		algorithm = oda.SM2
	}
	public, sealed, err := s.deps.Vault.SealElementSignKey(hsm.ElementSignKeyRequest{
		Keys: se.channel(s.deps.Keys.Elements).Keys, Master: s.deps.Keys.Sign, AID: se.AID, PAN: t.Number, Sequence: t.Sequence, Algorithm: algorithm,
	})
	if err != nil {
		return proof{}, err
	}
	body, err := certified(t)
	if err != nil {
		return proof{}, err
	}
	static, err := oda.StaticData([]oda.Record{{SFI: dataFile, Body: body}}, aip[:], []byte{byte(emv.TagAIP)})
	if err != nil {
		return proof{}, err
	}
	serial := sha256.Sum256([]byte(se.SEID + "\x00" + se.Token + "\x00" + string(se.AID)))
	made, err := s.deps.Certifier.Certify(Certification{
		Algorithm: algorithm, AID: emv.AID(se.AID), Number: t.Number, Expiry: t.Expiry, Serial: [3]byte(serial[:]), Public: public, Static: static,
	})
	if err != nil {
		return proof{}, fmt.Errorf("tsm: certify a key: %w", err)
	}
	return proof{[]card.Record{
		{SFI: issuerFile, Number: 1, Body: made.Issuer}, {SFI: cardFile, Number: 1, Body: made.Card}, {SFI: dataFile, Number: 1, Body: body},
	}, sealed}, nil
}

// certified is the record that the certificate covers.
func certified(t *Token) ([]byte, error) {
	var d emv.Data
	d.Set(emv.TagPAN, t.Number.BCD())
	for _, v := range []struct {
		tag  tlv.Tag
		text string
	}{
		{emv.TagExpiryDate, t.Expiry.LastDay().Format("060102")}, {emv.TagIssuerCountry, issuerCountry}, {emv.TagUsageControl, usageControl},
		{emv.TagCVMList, cvmList}, {emv.TagIACDefault, actionDefault}, {emv.TagIACDenial, actionDenial}, {emv.TagIACOnline, actionOnline},
		{emv.TagPANSequence, t.Sequence}, {emv.TagCardVersion, versionDynamic},
	} {
		b, err := hex.DecodeString(v.text)
		if err != nil {
			return nil, fmt.Errorf("tsm: certified data: %w", err)
		}
		d.Set(v.tag, b)
	}
	d.Set(emv.TagSDATagList, []byte{byte(emv.TagAIP)})
	return d.Bytes(), nil
}
