package app

import (
	"bytes"
	"context"
	"errors"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/app/phone"
	"tapnet/internal/personalization"
	"tapnet/iso8583/unionpay"
)

// bettingShop is the merchant at which a drill pays: of a category that needs a verified cardholder at any amount.
const bettingShop = "betting"

func withBettingShop(p *personalization.Profile) {
	p.Merchants = append(p.Merchants, personalization.Merchant{
		Name: bettingShop, ID: "301000079950098", Label: "BETTING SHOP", Category: "7995", Terminal: "T0000099", Floor: "0",
		CVMLimit: "1000.00", TapLimit: "50000.00",
	})
}

// claimant stands between phone and reader and tells the reader that the phone has verified its holder.
type claimant struct{ apdu.Transceiver }

func (c claimant) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	answer, err := c.Transceiver.Transceive(ctx, command)
	element := []byte{0x9F, 0x6C, 2}
	if at := bytes.Index(answer, element); at >= 0 && at+len(element)+2 <= len(answer) {
		claimed := emv.CTQ(answer[at+len(element) : at+len(element)+2])
		claimed.Set(emv.CTQCDCVM)
		copy(answer[at+len(element):], claimed[:])
	}
	return answer, err
}

// claims: what a merchant and a reader say is held against what the phone says under its key.
func (d *drilled) claims(ctx context.Context) error {
	const name = "claimed"
	if _, err := d.add(ctx, name, "lin", ""); err != nil {
		return err
	}
	tap := func(merchant string, how phone.Verification, between func(apdu.Transceiver) apdu.Transceiver) (result PhoneResult, err error) {
		r := PhoneRequest{Phone: name, Verb: PhoneTap, Merchant: merchant, Amount: "20.00", Verification: int32(how)}
		p, err := d.openPhone(ctx, r)
		if err != nil {
			return result, err
		}
		return result, errors.Join(d.phoneTap(ctx, p, r, &result, between), p.Close(), d.passOn(ctx))
	}
	result, err := tap("shop-1", phone.NotVerified, nil)
	if err != nil {
		return err
	}
	d.note(result.Paid(), glossary.Term{EN: "20.00 at a grocer's, nobody verified", ZH: "食品店消费20.00，未验证持卡人"}, ended(&result))
	if result, err = tap(bettingShop, phone.NotVerified, nil); err != nil {
		return err
	}
	if err := d.refusedFor(ctx, glossary.Term{EN: "the same at a betting shop", ZH: "博彩商户，同样操作"}, &result, unionpay.CredentialNeedsCVM); err != nil {
		return err
	}
	if result, err = tap(bettingShop, phone.Fingerprint, nil); err != nil {
		return err
	}
	d.note(result.Paid(), glossary.Term{EN: "at the betting shop with a fingerprint", ZH: "博彩商户，指纹验证"}, ended(&result))
	lie := func(t apdu.Transceiver) apdu.Transceiver { return claimant{t} }
	if result, err = tap("shop-1", phone.NotVerified, lie); err != nil {
		return err
	}
	tried := glossary.Term{EN: "at the grocer's, something between says: the holder is verified", ZH: "食品店，中间设备谎称已验证持卡人"}
	return d.refusedFor(ctx, tried, &result, unionpay.CredentialEvidence)
}
