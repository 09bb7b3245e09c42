package bench

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/clock"
	"tapnet/internal/cloudse"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/internal/hsm"
	"tapnet/internal/journal"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// Cloud measures what keys in a phone cost the cloud, on one processor: the one operation that derives, masks and seals a batch of 13 keys, against the key
// agreement and the ciphers that any sealing for a device takes; and the verification of a tap (card key, session key, cryptogram, device tag), alone and with
// everything that Prepare does, against the check of a plain card in the same security module.
func Cloud() ([]Step, error) {
	w, err := newCloudWork()
	if err != nil {
		return nil, err
	}
	all, failed, err := w.steps()
	if err != nil {
		return nil, err
	}
	return measureAll(all, failed)
}

// cloudWork is a cloud secure element with one token on one phone.
type cloudWork struct {
	h       *hsm.HSM
	keys    hsm.CloudKeys
	token   hsm.CloudToken
	phone   *ecdh.PrivateKey
	binding cloudkey.Secret
	service *cloudse.Service
	order   hsm.CloudOrder
	batch   *cloudkey.Batch
	masked  cryptogram.Key
}

const (
	benchToken   = "BENCH1"
	benchDevice  = "DEVICE1"
	benchMaster  = "bench-cloud"
	benchBase    = "bench-base"
	benchData    = "bench-data"
	benchNames   = "bench-names"
	benchSeconds = 7 * 24 * 3600
)

func newCloudWork() (*cloudWork, error) {
	w := &cloudWork{h: hsm.New(rand.Reader), keys: hsm.CloudKeys{Master: benchMaster, Base: benchBase, Data: benchData}}
	for _, k := range [...]struct {
		name      string
		usage     hsm.Usage
		mode      hsm.Mode
		algorithm hsm.Algorithm
	}{
		{benchMaster, hsm.UsageCloudAC, hsm.ModeDerive, hsm.TDES},
		{benchBase, hsm.UsageDeviceBase, hsm.ModeDerive, hsm.HMAC}, {benchData, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
		{benchNames, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
	} {
		if _, err := w.h.Generate(k.name, k.usage, k.mode, k.algorithm, hsm.NotExportable); err != nil {
			return nil, err
		}
	}
	number, err := pan.CompleteLuhn("629998000000001")
	if err != nil {
		return nil, err
	}
	w.token = hsm.CloudToken{Number: number, Sequence: "01", Suite: cryptogram.SuiteTDES, Token: benchToken, Device: benchDevice}
	if w.phone, err = cloudkey.NewEphemeral(rand.Reader); err != nil {
		return nil, err
	}
	w.service, err = cloudse.New(cloudse.Deps{Institution: "00000090", Vault: w.h, Calendar: clock.Calendar{Zone: clock.Shanghai()},
		Keys: cloudse.KeyNames{Master: func(byte) string { return benchMaster }, Base: benchBase, Data: benchData, Fingerprint: benchNames}})
	if err != nil {
		return nil, err
	}
	return w, w.enrol(number)
}

// enrol binds the token to the phone and gets it its first batch, through the service itself.
func (w *cloudWork) enrol(number pan.Number) error {
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	point, err := signing.PublicKey.Bytes()
	if err != nil {
		return err
	}
	stepper, _, err := journal.NewStepper(context.Background(), journal.Config{Machine: w.service, Store: journal.NewMemStore(), Clock: clock.Real()})
	if err != nil {
		return err
	}
	ask := func(command any) (reply any, err error) {
		ev := journal.Event{Command: command, Reply: func(v any) { reply = v }}
		w.service.Prepare(&ev)
		if _, err = stepper.Step(context.Background(), ev); err == nil {
			err, _ = reply.(error)
		}
		return reply, err
	}
	reply, err := ask(cloudseapi.Enrolment{Token: benchToken, Number: number, Sequence: "01", Device: benchDevice, Signing: point,
		Agreement: w.phone.PublicKey().Bytes(), Scheme: cloudkey.SchemeQCK1, Algorithm: cryptogram.AlgorithmTDES, DKI: 1, CVN: cryptogram.CVN01, Currency: 156,
		CVM: cloudkey.ClassDevice})
	if err != nil {
		return err
	}
	enrolled, ok := reply.(cloudseapi.Enrolled)
	if !ok || len(enrolled.Bindings) != 2 {
		return errors.New("bench: the phone was not enrolled")
	}
	wrapped := enrolled.Bindings[1]
	plain, err := cloudkey.Unwrap(cloudkey.PurposeBinding, cloudkey.BindingAlias(benchToken, wrapped.Class), cloudkey.PrivateAgreement(w.phone),
		w.phone.PublicKey().Bytes(), wrapped.Wrapped)
	if err != nil {
		return err
	}
	if w.binding, err = cloudkey.NewSecret(plain); err != nil {
		return err
	}
	body := cloudkey.ReplenishRequest{Token: benchToken, Device: benchDevice, Ratchet: enrolled.Ratchet}.Bytes()
	digest := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, signing, digest[:])
	if err != nil {
		return err
	}
	if reply, err = ask(cloudseapi.Replenish{Request: cloudkey.Signed{Body: body, Signature: signature}.Bytes(), At: time.Now()}); err != nil {
		return err
	}
	wire, ok := reply.(cloudseapi.Batch)
	if !ok {
		return errors.New("bench: no batch")
	}
	return w.open(wire.Wire, enrolled.Ratchet)
}

// open takes the first key out of the batch, and keeps an order like it.
func (w *cloudWork) open(wire []byte, ratchet cloudkey.Secret) (err error) {
	if w.batch, err = cloudkey.ParseBatch(wire); err != nil {
		return err
	}
	opened, err := w.batch.Open(cloudkey.PrivateAgreement(w.phone), w.phone.PublicKey().Bytes())
	if err != nil {
		return err
	}
	w.masked = opened.Masked[0]
	w.order = hsm.CloudOrder{Keys: w.keys, Token: w.token, Current: ratchet, Order: cloudkey.Order{
		Scheme: cloudkey.SchemeQCK1, BSEQ: 1, ServerTime: w.batch.ServerTime, Thresholds: w.batch.Thresholds, Device: w.phone.PublicKey().Bytes(),
	}}
	for _, k := range w.batch.Keys {
		w.order.Order.Keys = append(w.order.Order.Keys, cloudkey.Key{ATC: k.ATC, Uses: 1, Class: k.Class, NotAfter: w.batch.ServerTime + benchSeconds})
	}
	return nil
}

// steps are the three measurements.
func (w *cloudWork) steps() ([]work, *error, error) {
	message, check, card, err := w.tap()
	if err != nil {
		return nil, nil, err
	}
	failed := new(error)
	fail := func(ok bool, err error) {
		if err == nil && !ok {
			err = errors.New("bench: a right cryptogram was refused")
		}
		if err != nil {
			*failed = err
		}
	}
	batch := func() {
		made, err := w.h.DeriveCloudBatch(w.order)
		fail(made.Batch != nil, err)
	}
	verify := func() {
		result, err := w.h.VerifyCloud(check)
		fail(result.Cryptogram && result.Device, err)
	}
	prepare := func() {
		ev := journal.Event{Message: message}
		w.service.Prepare(&ev)
		fail(ev.Finding != nil, nil)
	}
	plain := func() {
		result, err := w.h.VerifyCryptogram(card)
		fail(result.OK, err)
	}
	floor, err := w.floor(failed)
	if err != nil {
		return nil, nil, err
	}
	plain() // refused now rather than measured
	verify()
	return []work{
		{fmt.Sprintf("cloud batch of %d keys", len(w.order.Order.Keys)), batch, floor}, {"cloud verification", verify, plain},
		{"cloud verification, whole Prepare", prepare, plain},
	}, failed, *failed
}

// floor is what sealing anything for a device takes with the standard library: a fresh key, an agreement, and a sealed block for each key and the ratchet.
func (w *cloudWork) floor(failed *error) (func(), error) {
	public, err := ecdh.P256().NewPublicKey(w.phone.PublicKey().Bytes())
	if err != nil {
		return nil, err
	}
	plain, nonce := make([]byte, cryptogram.KeyBytes), make([]byte, 12)
	return func() {
		private, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			*failed = err
			return
		}
		shared, err := private.ECDH(public)
		if err != nil {
			*failed = err
			return
		}
		block, err := aes.NewCipher(shared)
		if err != nil {
			*failed = err
			return
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			*failed = err
			return
		}
		for i := range len(w.order.Order.Keys) + 1 {
			nonce[0] = byte(i)
			aead.Seal(nil, nonce, plain, nil)
		}
	}, nil
}

// tap is a payment of the phone: the message, what the security module is asked about it, and what it is asked about a plain card.
func (w *cloudWork) tap() (*unionpay.TokenRequest, hsm.CloudCheck, hsm.CryptogramCheck, error) {
	fail := func(err error) (*unionpay.TokenRequest, hsm.CloudCheck, hsm.CryptogramCheck, error) {
		return nil, hsm.CloudCheck{}, hsm.CryptogramCheck{}, err
	}
	k := w.batch.Keys[0]
	amount := money.New(tapMinor, money.CNY)
	packed, err := amount.BCD()
	if err != nil {
		return fail(err)
	}
	cvr := emv.NewCVR()
	cvr.SetFirst(emv.ARQC)
	evidence := cloudkey.Evidence{BSEQ: w.batch.BSEQ, CVM: cloudkey.CVMTypeFingerprint}
	un := [4]byte{0xA1, 0xB2, 0xC3, 0xD4}
	var icc emv.Data
	for _, v := range []struct {
		tag   tlv.Tag
		value []byte
	}{
		{emv.TagAmount, packed[:]}, {emv.TagAmountOther, make([]byte, 6)}, {emv.TagTerminalCountry, []byte{0x01, 0x56}}, {emv.TagTVR, make([]byte, 5)},
		{emv.TagCurrency, []byte{0x01, 0x56}}, {emv.TagTransactionDate, []byte{0x26, 0x11, 0x22}}, {emv.TagTransactionType, []byte{0}},
		{emv.TagUnpredictableNumber, un[:]}, {emv.TagAIP, []byte{0, 0}}, {emv.TagATC, binary.BigEndian.AppendUint16(nil, k.ATC)},
	} {
		icc.Set(v.tag, v.value)
	}
	suite := cryptogram.SuiteTDES
	data, err := suite.AppendData(nil, cryptogram.CVN01, cvr, icc)
	if err != nil {
		return fail(err)
	}
	key := cloudkey.Mask(w.masked, cloudkey.MaskCode(w.binding, benchToken, k.ATC, k.Class, cloudkey.Secret{}))
	input := cloudkey.TagInput{ATC: k.ATC, UnpredictableNumber: un, Amount: packed, Currency: [2]byte{0x01, 0x56}, Evidence: evidence,
		Cryptogram: suite.Cryptogram(key, data)}
	iad := cloudkey.IAD{DKI: 1, CVN: cryptogram.CVN01, CVR: cvr, Algorithm: cryptogram.AlgorithmTDES, Evidence: evidence,
		Tag: cloudkey.DeviceTag(cloudkey.TagKey(w.binding, k.ATC), benchToken, input)}
	icc.Set(emv.TagAC, bytes.Clone(input.Cryptogram[:]))
	icc.Set(emv.TagIAD, iad.AppendTo(nil))
	opaque, err := unionpay.TokenData{Operation: unionpay.OperationVerify, Reference: benchToken}.Opaque()
	if err != nil {
		return fail(err)
	}
	message := &unionpay.TokenRequest{Payment: unionpay.Payment{
		PAN: w.token.Number, Processing: unionpay.ProcessingSale, Amount: amount, TransmissionTime: "1122080000", STAN: 1, MerchantType: "5411",
		EntryMode: unionpay.NewEntryMode(unionpay.EntryContactless, false), CardSequence: "001", Acquirer: "10000001", Forwarder: "00000000",
		Terminal: "T0000001", Merchant: "M00000000000001", Additional: opaque, ICC: icc,
	}}
	check := hsm.CloudCheck{Keys: w.keys, Token: w.token, Scheme: cloudkey.SchemeQCK1, Slot: k.Slot(), Class: k.Class, Data: data, Tag: iad.Tag, Input: input}
	card, err := w.plainCard(data)
	return message, check, card, err
}

// plainCard is the same question about a card, whose master this process knows.
func (w *cloudWork) plainCard(data []byte) (hsm.CryptogramCheck, error) {
	const name = "bench-plain"
	value := []byte("an issuer master")
	if _, err := w.h.ImportClear(name, hsm.UsageEMVAC, hsm.ModeDerive, hsm.TDES, hsm.NotExportable, value); err != nil {
		return hsm.CryptogramCheck{}, err
	}
	master, err := cryptogram.NewKey(value)
	if err != nil {
		return hsm.CryptogramCheck{}, err
	}
	suite := cryptogram.SuiteTDES
	const counter = 1
	session := suite.SessionKey(suite.CardKey(master, w.token.Number, "01"), counter)
	return hsm.CryptogramCheck{
		MasterKey: name, PAN: w.token.Number, Sequence: "01", ATC: counter, Data: data, AC: suite.Cryptogram(session, data), Suite: suite,
	}, nil
}
