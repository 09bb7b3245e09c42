package app

import (
	"context"
	"fmt"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/glossary"
	"tapnet/internal/issuer"
	"tapnet/internal/journal"
	"tapnet/kernel"
	"tapnet/money"
)

// The cards of this part of the story: one with contacts, and one that knows SM2, SM3 and SM4 beside RSA and 3DES.
const (
	insertedCard, insertedPIN = "mei", "667788"
	dualCard                  = "tao"
)

// orderedLimit is the single payment limit of the purse that the bank orders, 9F78: less than what the story has paid before.
var orderedLimit = issuer.Script{Command: issuer.ScriptPutData, Tag: uint16(emv.TagECSingleLimit), Value: []byte{0, 0, 0, 0, 0x20, 0x00}}

// chipScene is one verb of a till and what must be found afterwards.
type chipScene struct {
	name    glossary.Term
	request POSRequest
	before  func(*story, context.Context) error
	want    TapOutcome
	holds   func(*found) bool
	proof   glossary.Term
}

// found is what a scene left behind.
type found struct {
	*counterJob
	before, after standing
}

// standing is how a card stands: what a reader reads from it, and what its bank has of it. Amounts are in minor units.
type standing struct {
	Account, BankPurse int64
	ChipPurse, Limit   int64
	PINTries           byte
	Waiting, Reports   int // commands for the chip; what came back of earlier ones
	Notices            int // about scripts (0620), acknowledged
}

func chipScenes() []chipScene {
	return []chipScene{
		{
			name:    glossary.Term{EN: "inserted, the chip checks the PIN", ZH: "插卡，卡片验证密码"},
			request: POSRequest{Verb: POSSale, Card: insertedCard, Merchant: "shop-1", Insert: true, Amount: "1500.00", PIN: insertedPIN},
			want:    OutcomeApproved, holds: (*found).insertedAndAnswered,
			proof: glossary.Term{EN: "PIN enciphered and right, ARPC right: the chip gave its TC", ZH: "密码加密送卡，密码和 ARPC 均正确，给出 TC"},
		},
		{
			name:    glossary.Term{EN: "purse loaded from the account, PIN", ZH: "指定账户圈存，输入密码"},
			request: POSRequest{Verb: POSLoad, Card: insertedCard, Merchant: "shop-1", Insert: true, Amount: "100.00", PIN: insertedPIN},
			want:    OutcomeApproved, holds: (*found).loaded,
			proof: glossary.Term{EN: "account 100.00 less, chip 100.00 more", ZH: "账户减100.00，卡片加100.00"},
		},
		{
			name:    glossary.Term{EN: "e-cash spent, nobody asked", ZH: "电子现金脱机消费"},
			request: POSRequest{Verb: POSSale, Card: insertedCard, Merchant: "canteen", Amount: "30.00"},
			want:    OutcomeApprovedOffline, holds: (*found).spent,
			proof: glossary.Term{EN: "uploaded after: the bank's books say what the chip holds", ZH: "事后上送，发卡行账上余额与卡片一致"},
		},
		{
			name:    glossary.Term{EN: "the till settles its batch", ZH: "终端批结算"},
			request: POSRequest{Verb: POSSettle, Card: insertedCard, Merchant: "canteen"},
			want:    OutcomeDone, holds: (*found).settled,
			proof: glossary.Term{EN: "till and acquirer agree to the cent", ZH: "终端与收单机构分文不差"},
		},
		{
			name:    glossary.Term{EN: "SM card, tap", ZH: "国密卡，挥卡"},
			request: POSRequest{Verb: POSSale, Card: dualCard, Merchant: "kiosk", Amount: "88.00"},
			want:    OutcomeApproved, holds: (*found).withSM4,
			proof: glossary.Term{EN: "ARQC made in SM4 and checked by the bank", ZH: "ARQC 用 SM4 计算，发卡行验证相符"},
		},
		{
			name:    glossary.Term{EN: "SM card, e-cash", ZH: "国密卡，电子现金"},
			request: POSRequest{Verb: POSSale, Card: dualCard, Merchant: "canteen", Amount: "6.00"},
			want:    OutcomeApprovedOffline, holds: func(f *found) bool { return f.withSM4() && f.genuine() && f.spent() },
			proof: glossary.Term{EN: "SM2 certificates and signature right, TC in SM4", ZH: "SM2 证书与签名验证通过，TC 用 SM4 计算"},
		},
		{
			name:    glossary.Term{EN: "inserted, the answer has a script", ZH: "插卡，应答带发卡行脚本"},
			request: POSRequest{Verb: POSSale, Card: insertedCard, Merchant: "shop-1", Insert: true, Amount: "1200.00", PIN: insertedPIN},
			before:  (*story).orderLimit,
			want:    OutcomeApproved, holds: (*found).limited,
			proof: glossary.Term{EN: "limit on the chip 1,000.00 → 20.00; 0620 told the bank", ZH: "卡片单笔限额 1,000.00 → 20.00，0620 已通知发卡行"},
		},
		{
			name:    glossary.Term{EN: "the same spend, above the new limit", ZH: "同样消费，超过新限额"},
			request: POSRequest{Verb: POSSale, Card: insertedCard, Merchant: "canteen", Amount: "30.00"},
			want:    OutcomeApproved, holds: func(f *found) bool { return f.before.ChipPurse == f.after.ChipPurse && f.charged() == f.amount.Minor() },
			proof: glossary.Term{EN: "the purse does not pay: the card asks its bank", ZH: "电子现金不付，卡片请求联机"},
		},
	}
}

// chips tells what a chip can do besides a tap: check a PIN, be loaded, speak SM, be changed by its bank.
func (s *story) chips(ctx context.Context) error {
	for _, scene := range chipScenes() {
		s.tell(scene.name)
		step, err := s.perform(ctx, scene)
		if err != nil {
			return fmt.Errorf("scene %q: %w", scene.name.EN, err)
		}
		s.report.Steps = append(s.report.Steps, step)
		if err := s.next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// perform runs one scene and looks at card and bank before and after.
func (s *story) perform(ctx context.Context, scene chipScene) (step DemoStep, err error) {
	f := &found{}
	if f.before, err = s.standing(ctx, scene.request.Card); err != nil {
		return step, err
	}
	if scene.before != nil {
		if err := scene.before(s, ctx); err != nil {
			return step, err
		}
	}
	if f.counterJob, err = s.counter(ctx, scene.request); err != nil {
		return step, err
	}
	if err := s.Settle(ctx); err != nil {
		return step, err
	}
	if f.after, err = s.standing(ctx, scene.request.Card); err != nil {
		return step, err
	}
	step = DemoStep{Name: scene.name, Amount: scene.request.Amount, Result: f.result, Proof: scene.proof, OK: f.result.Outcome == scene.want && scene.holds(f)}
	if sheet := f.result.Sheet; sheet != nil {
		step.Amount = sheet.Debit.Decimal()
	}
	if !step.OK {
		step.Proof = glossary.Term{EN: fmt.Sprintf("not shown: before %+v, after %+v", f.before, f.after), ZH: fmt.Sprintf("未证实：之前 %+v，之后 %+v", f.before, f.after)}
	}
	return step, nil
}

// standing reads a card as a stranger would, and asks its bank.
func (s *story) standing(ctx context.Context, name string) (at standing, err error) {
	reading, err := s.ReadCard(ctx, name)
	if err != nil {
		return at, err
	}
	if len(reading.Applications) > 0 {
		a := &reading.Applications[0]
		for _, from := range []struct {
			amount *money.Amount
			to     *int64
		}{{a.Balance, &at.ChipPurse}, {a.SingleLimit, &at.Limit}} {
			if from.amount != nil {
				*from.to = from.amount.Minor()
			}
		}
		if a.PINTries != nil {
			at.PINTries = *a.PINTries
		}
	}
	node, h, err := s.bankOf(name)
	if err != nil {
		return at, err
	}
	id := h.personal.Record.Card
	err = node.look(ctx, func() {
		at.Account, at.BankPurse = node.core.Available(id), node.core.Shadow(id)
		if c, ok := node.core.Card(id); ok {
			at.Waiting = len(c.Waiting())
		}
	})
	if err != nil {
		return at, err
	}
	if at.Reports, err = rowCount(ctx, node.node, journal.ScriptReported); err != nil {
		return at, err
	}
	for _, till := range s.tills {
		acknowledged, err := rowCount(ctx, till.node, journal.ScriptReported)
		if err != nil {
			return at, err
		}
		at.Notices += acknowledged
	}
	return at, nil
}

// orderLimit is the bank's order: it waits until the chip can be reached.
func (s *story) orderLimit(ctx context.Context) error {
	node, h, err := s.bankOf(insertedCard)
	if err != nil {
		return err
	}
	_, err = node.ask(ctx, issuer.Alter{Change: issuer.Change{Card: h.personal.Record.Card, Scripts: []issuer.Script{orderedLimit}}})
	return err
}

// charged is what left the account.
func (f *found) charged() int64 { return f.before.Account - f.after.Account }

// insertedAndAnswered: the terminal had the PIN checked by the chip, enciphered under its key, and the chip checked the bank's answer before it gave its last
// cryptogram.
func (f *found) insertedAndAnswered() bool {
	o := f.took.Contact
	return o != nil && o.CVM.Code().Method() == emv.CVMEncipheredPIN && o.CVM[2] == emv.CVMResultSuccessful && o.TSI.Has(emv.TSIIssuerAuthPerformed) &&
		!o.TVR.Has(emv.TVRIssuerAuthFailed) && o.Cryptogram == emv.TC && f.charged() == f.amount.Minor()
}

// loaded: the chip has what the account no longer has, and the bank knows that the script was carried out.
func (f *found) loaded() bool {
	minor := f.amount.Minor()
	return f.charged() == minor && f.after.ChipPurse-f.before.ChipPurse == minor && f.after.BankPurse-f.before.BankPurse == minor
}

// spent: the chip paid, the account did not, and what was uploaded has brought the bank's books to where the chip is.
func (f *found) spent() bool {
	return f.before.ChipPurse-f.after.ChipPurse == f.amount.Minor() && f.charged() == 0 && f.after.BankPurse == f.after.ChipPurse
}

func (f *found) settled() bool {
	sheet := f.result.Sheet
	return sheet != nil && sheet.Agreed && sheet.DebitCount > 0
}

// withSM4: the card says in its issuer data which suite made the cryptogram [REF 1.7].
func (f *found) withSM4() bool {
	iad, err := emv.ParseIAD(f.took.Kernel.Data.Get(emv.TagIAD))
	return err == nil && iad.Algorithm == cryptogram.AlgorithmSM4
}

// genuine: the terminal has verified the card's chain and signature.
func (f *found) genuine() bool { return f.took.Kernel.ODA.Status == kernel.ODAPassed }

// limited: the chip has the limit that was ordered, nothing waits for it, and the bank was told.
func (f *found) limited() bool {
	ordered, err := money.FromBCD(orderedLimit.Value, f.amount.Currency())
	return err == nil && f.before.Limit != ordered.Minor() && f.after.Limit == ordered.Minor() && f.after.Waiting == 0 &&
		f.after.Reports == f.before.Reports+1 && f.after.Notices == f.before.Notices+1
}
