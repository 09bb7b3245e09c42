package personalization

import (
	"slices"

	"tapnet/card"
	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/emv/oda"
	"tapnet/tlv"
)

// Records of the second set of algorithms [REF 4.6], beside those of the first: of issuerFile, 4 is the certificate and 3 the signed static data; of
// cardFile, 5 is the certificate of the contactless path, 6 to 8 those of the dialogues; of dataFile, 3 is what the dialogues cover.
const (
	smStaticRecord, smIssuerRecord = 3, 4
	smCardRecord                   = 5
	smDialogueRecord               = 6 // contact, then electronic cash, then the full dialogue over contactless
	smDialogueData                 = 3
	smSupportHex                   = "DF6901"
)

// secondSet adds SM2 and SM4 to an application of a card that has both, under the same data.
func (m *making) secondSet() error {
	if m.second == nil {
		return nil
	}
	a := &m.application
	a.PDOL = append(slices.Clone(a.PDOL), dol(smSupportHex)...)
	issuerBody, err := issuerRecord(*m.second, m.issuer, m.expiry)
	if err != nil {
		return err
	}
	a.Records = append(a.Records, card.Record{SFI: issuerFile, Number: smIssuerRecord, Body: issuerBody})
	a.SM = &card.SMProfile{Algorithm: cryptogram.AlgorithmSM4, AIP: a.AIP, OnlineAFL: a.OnlineAFL}
	if len(a.OfflineAFL) > 0 {
		own, err := m.secondCertificate(m.body(dataFile, 1), a.AIP)
		if err != nil {
			return err
		}
		a.Records = append(a.Records, card.Record{SFI: cardFile, Number: smCardRecord, Body: own})
		a.SM.OfflineAFL = slices.Clone(a.OfflineAFL)
		a.SM.OfflineAFL[0] = emv.AFLEntry{SFI: issuerFile, First: smIssuerRecord, Last: smIssuerRecord}
		a.SM.OfflineAFL[1] = emv.AFLEntry{SFI: cardFile, First: smCardRecord, Last: smCardRecord}
	}
	if a.Contact == nil {
		return nil
	}
	return m.secondDialogue(a.Contact)
}

func (m *making) body(sfi, number byte) []byte {
	for _, r := range m.application.Records {
		if r.SFI == sfi && r.Number == number {
			return r.Body
		}
	}
	return nil
}

func (m *making) secondCertificate(body []byte, aip emv.AIP) ([]byte, error) {
	static, err := m.static(body, aip)
	if err != nil {
		return nil, err
	}
	return cardRecord(*m.second, m.number, m.expiry, m.spec.Serial, static)
}

// secondDialogue is the dialogue with GENERATE AC under the second set. Its data differ in the verification list: see withoutEnciphered.
func (m *making) secondDialogue(k *card.ContactProfile) error {
	a := &m.application
	k.PDOL = append(slices.Clone(k.PDOL), dol(smSupportHex)...)
	data, err := emv.ParseData(m.body(dataFile, dialogueData))
	if err != nil {
		return err
	}
	data.Set(emv.TagCVMList, withoutEnciphered(data.Get(emv.TagCVMList)))
	body := data.Bytes()
	static, err := m.static(body, k.AIP)
	if err != nil {
		return err
	}
	signed := oda.SignStatic(m.second.issuer, [2]byte{byte(dataAuthenticationCode >> 8), byte(dataAuthenticationCode & 0xFF)}, static)
	a.Records = append(a.Records, card.Record{SFI: dataFile, Number: smDialogueData, Body: body},
		card.Record{SFI: issuerFile, Number: smStaticRecord, Body: tlv.Append(nil, emv.TagSSAD, signed)})
	for i, row := range [...]struct {
		aip     emv.AIP
		afl     emv.AFL
		actions byte
		into    *card.DialogueFiles
	}{{k.AIP, k.AFL, accountActions, &a.SM.Contact}, {k.CashAIP, k.CashAFL, cashActions, &a.SM.Cash}, {k.FullAIP, k.FullAFL, accountActions, &a.SM.Full}} {
		if len(row.afl) == 0 {
			continue
		}
		own, err := m.secondCertificate(body, row.aip)
		if err != nil {
			return err
		}
		number := byte(smDialogueRecord + i)
		a.Records = append(a.Records, card.Record{SFI: cardFile, Number: number, Body: own})
		*row.into = card.DialogueFiles{AIP: row.aip, AFL: emv.AFL{
			{SFI: issuerFile, First: smStaticRecord, Last: smIssuerRecord}, {SFI: cardFile, First: number, Last: number},
			{SFI: dataFile, First: smDialogueData, Last: smDialogueData, ODA: 1}, {SFI: actionFile, First: row.actions, Last: row.actions}}}
	}
	return nil
}
