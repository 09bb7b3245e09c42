package app

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/tlv"
)

// benchICC is the chip data that a cryptogram covers, without it.
func benchICC(counter uint16) emv.Data {
	amount, err := money.New(benchMinor, money.CNY).BCD()
	if err != nil {
		panic("app: the amount of a benchmark cannot be written: " + err.Error())
	}
	var icc emv.Data
	for _, v := range []struct {
		tag   tlv.Tag
		value []byte
	}{
		{emv.TagAmount, amount[:]}, {emv.TagAmountOther, make([]byte, 6)}, {emv.TagTerminalCountry, []byte{0x01, 0x56}}, {emv.TagTVR, make([]byte, 5)},
		{emv.TagCurrency, []byte{0x01, 0x56}}, {emv.TagTransactionDate, []byte{0x26, 0x11, 0x22}}, {emv.TagTransactionType, []byte{0}},
		{emv.TagUnpredictableNumber, binary.BigEndian.AppendUint32(nil, uint32(counter)*2654435761)}, {emv.TagAIP, []byte{0x10, 0}},
		{emv.TagATC, binary.BigEndian.AppendUint16(nil, counter)},
	} {
		icc.Set(v.tag, v.value)
	}
	return icc
}

func benchCVR() emv.CVR {
	cvr := emv.NewCVR()
	cvr.SetFirst(emv.ARQC)
	return cvr
}

// plain makes the taps of a round with the world's cards.
func (b *tokenBench) plain(context.Context) ([][]*unionpay.FinancialRequest, error) {
	all := make([][]*unionpay.FinancialRequest, b.clients)
	for i := range all {
		h, _ := b.n.holderNamed(fmt.Sprintf("bench-%d", i))
		suite := h.personal.Crypto.Suite()
		for range benchTaps {
			b.counter[i]++
			m := b.request()
			m.PAN, m.ICC = h.personal.PAN, benchICC(b.counter[i])
			iad := emv.IAD{DKI: 1, CVN: cryptogram.CVN01, CVR: benchCVR(), Algorithm: suite.AlgorithmID()}
			data, err := suite.AppendData(nil, iad.CVN, iad.CVR, m.ICC)
			if err != nil {
				return nil, err
			}
			ac, err := h.personal.Crypto.Cryptogram(b.counter[i], data)
			if err != nil {
				return nil, err
			}
			m.ICC.Set(emv.TagIAD, iad.Bytes())
			m.ICC.Set(emv.TagAC, ac[:])
			all[i] = append(all[i], m)
		}
	}
	return all, nil
}

// tokens makes the taps of a round with a new token of each card, on a device of its own.
func (b *tokenBench) tokens(ctx context.Context) ([][]*unionpay.FinancialRequest, error) {
	all, errs := make([][]*unionpay.FinancialRequest, b.clients), make([]error, b.clients)
	var group sync.WaitGroup
	for i := range all {
		group.Go(func() { all[i], errs[i] = b.tokenTaps(ctx, fmt.Sprintf("bench-%d", i)) })
	}
	group.Wait()
	return all, errors.Join(errs...)
}

// benchPhone is as much of a phone as makes cryptograms.
type benchPhone struct {
	ref, device string
	number      pan.Number
	signing     *ecdsa.PrivateKey
	agreement   *ecdh.PrivateKey
	binding     cloudkey.Secret
}

// benchLimits stop no tap.
var benchLimits = cloudseapi.Limits{OpenTapMinor: 1 << 40, TapMinor: 1 << 40, DayMinor: 1 << 40, DayCount: 1 << 30, ForeignDayMinor: 1 << 40,
	ContactTaps: 1 << 30, ContactMinor: 1 << 40}

func (b *tokenBench) tokenTaps(ctx context.Context, card string) ([]*unionpay.FinancialRequest, error) {
	l := b.n.tokens.wallet.line(ctx, card)
	p := &benchPhone{device: "device-" + b.n.tokens.wallet.key()}
	order, err := l.NewToken(p.device, card)
	if err != nil {
		return nil, err
	}
	p.ref, p.number = order.Ref, order.Number
	if p.signing, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if p.agreement, err = cloudkey.NewEphemeral(rand.Reader); err != nil {
		return nil, err
	}
	batch, opened, err := b.keys(ctx, p)
	if err != nil {
		return nil, err
	}
	var taps []*unionpay.FinancialRequest
	for i, k := range batch.Keys {
		m := b.request()
		m.PAN, m.ICC = p.number, benchICC(k.ATC)
		if err := p.sign(m, batch.BSEQ, k, opened.Masked[i]); err != nil {
			return nil, err
		}
		taps = append(taps, m)
	}
	return taps, nil
}

// keys enrols the phone and fetches a batch.
func (b *tokenBench) keys(ctx context.Context, p *benchPhone) (*cloudkey.Batch, cloudkey.Opened, error) {
	var none cloudkey.Opened
	point, err := p.signing.PublicKey.Bytes()
	if err != nil {
		return nil, none, err
	}
	public := p.agreement.PublicKey().Bytes()
	reply, err := b.n.tokens.cloud.ask(ctx, cloudseapi.Enrolment{Token: p.ref, Number: p.number, Sequence: "01", Device: p.device, Signing: point,
		Agreement: public, Scheme: cloudkey.SchemeQCK1, Algorithm: cryptogram.AlgorithmTDES, DKI: 1, CVN: cryptogram.CVN01, Currency: money.CNY.Number(),
		CVM: cloudkey.ClassDevice, Limits: benchLimits, Keys: cloudseapi.Keys{CVM: benchTaps}})
	if err != nil {
		return nil, none, err
	}
	enrolled, ok := reply.(cloudseapi.Enrolled)
	if !ok || len(enrolled.Bindings) != 2 {
		return nil, none, errors.New("bench: the phone was not enrolled")
	}
	wrapped := enrolled.Bindings[1]
	plain, err := cloudkey.Unwrap(cloudkey.PurposeBinding, cloudkey.BindingAlias(p.ref, wrapped.Class), cloudkey.PrivateAgreement(p.agreement), public,
		wrapped.Wrapped)
	if err != nil {
		return nil, none, err
	}
	if p.binding, err = cloudkey.NewSecret(plain); err != nil {
		return nil, none, err
	}
	body := cloudkey.ReplenishRequest{Token: p.ref, Device: p.device, Ratchet: enrolled.Ratchet}.Bytes()
	digest := sha256.Sum256(body)
	signature, err := ecdsa.SignASN1(rand.Reader, p.signing, digest[:])
	if err != nil {
		return nil, none, err
	}
	reply, err = b.n.tokens.cloud.ask(ctx, cloudseapi.Replenish{Request: cloudkey.Signed{Body: body, Signature: signature}.Bytes(), At: b.n.options.Clock.Now()})
	if err != nil {
		return nil, none, err
	}
	wire, ok := reply.(cloudseapi.Batch)
	if !ok {
		return nil, none, errors.New("bench: no batch")
	}
	batch, err := cloudkey.ParseBatch(wire.Wire)
	if err != nil {
		return nil, none, err
	}
	opened, err := batch.Open(cloudkey.PrivateAgreement(p.agreement), public)
	return batch, opened, err
}

// sign makes cryptogram and device tag with one key of the batch.
func (p *benchPhone) sign(m *unionpay.FinancialRequest, bseq uint32, k cloudkey.Key, masked cryptogram.Key) error {
	suite, cvr := cryptogram.SuiteTDES, benchCVR()
	data, err := suite.AppendData(nil, cryptogram.CVN01, cvr, m.ICC)
	if err != nil {
		return err
	}
	key := cloudkey.Mask(masked, cloudkey.MaskCode(p.binding, p.ref, k.ATC, k.Class, cloudkey.Secret{}))
	input := cloudkey.TagInput{ATC: k.ATC, UnpredictableNumber: [4]byte(m.ICC.Get(emv.TagUnpredictableNumber)), Amount: [6]byte(m.ICC.Get(emv.TagAmount)),
		Currency: [2]byte{0x01, 0x56}, Evidence: cloudkey.Evidence{BSEQ: bseq, CVM: cloudkey.CVMTypeFingerprint}, Cryptogram: suite.Cryptogram(key, data)}
	iad := cloudkey.IAD{DKI: 1, CVN: cryptogram.CVN01, CVR: cvr, Algorithm: cryptogram.AlgorithmTDES, Evidence: input.Evidence,
		Tag: cloudkey.DeviceTag(cloudkey.TagKey(p.binding, k.ATC), p.ref, input)}
	m.ICC.Set(emv.TagAC, append([]byte(nil), input.Cryptogram[:]...))
	m.ICC.Set(emv.TagIAD, iad.AppendTo(nil))
	return nil
}
