package app

import (
	"fmt"
	"io"

	"tapnet/card"
	"tapnet/glossary"
	"tapnet/internal/personalization"
	"tapnet/internal/vpcd"
)

// dressOf is how a reader shows a card: with the answer to reset of its carrier, on the side that was asked for. A card without a carrier
// is plain: it has the basic answers. The error is a *ReaderError, or says that there is no such form.
func dressOf(personal *personalization.Card, asked CardForm, random io.Reader) (vpcd.Dress, error) {
	form, ok := map[CardForm]vpcd.Form{"": vpcd.Contactless, FormContactless: vpcd.Contactless, FormContact: vpcd.ContactT0, FormContactT1: vpcd.ContactT1}[asked]
	if !ok {
		return vpcd.Dress{}, fmt.Errorf("%w: form: there is no %q", errBadRequest, shown(string(asked)))
	}
	d := vpcd.Dress{Form: form, Random: random}
	if personal.Spec.Carrier == "" {
		return d, nil
	}
	carrier := &personal.Carrier
	switch {
	case asked == "" && carrier.Offers()&card.Contactless == 0:
		d.Form = vpcd.ContactT0
	case form == vpcd.Contactless && !carrier.Seen(personalization.InductiveAir):
		return d, notInReader(carrier, glossary.Term{EN: "it answers at 2.4 GHz, the reader listens at 13.56 MHz", ZH: "该载体工作于2.4 GHz，读卡器为13.56 MHz"})
	case form != vpcd.Contactless && carrier.Offers()&card.Contact == 0:
		return d, notInReader(carrier, glossary.Term{EN: "it has no contacts for a reader", ZH: "该载体没有供终端使用的触点"})
	}
	if d.Form == vpcd.Contactless {
		d.ATR = vpcd.ContactlessATR([]byte(carrier.Historical))
		return d, nil
	}
	if asked == FormContactT1 && !carrier.OneProtocol() {
		return d, nil // the other protocol on request, with the basic answer
	}
	if d.ATR = carrier.ATR(); carrier.OneProtocol() {
		d.Form = vpcd.ContactT1
	}
	return d, nil
}

func notInReader(c *personalization.Carrier, why glossary.Term) error {
	title := c.Title.Term()
	return &ReaderError{
		What: glossary.Term{EN: "the reader does not see the card on its " + title.EN, ZH: "读卡器无法读取该" + title.ZH}, Why: why,
		Next: glossary.Term{EN: "choose another form, or issue the card on another carrier", ZH: "请改用其他形式，或换一种载体发卡"},
	}
}
