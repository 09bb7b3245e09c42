package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tapnet/glossary"
	"tapnet/internal/app/phone"
	"tapnet/internal/verify"
	"tapnet/iso8583/unionpay"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
)

// DemoChapter is a part of the story with a title of its own.
type DemoChapter struct {
	Title glossary.Term
	Steps []DemoStep
}

// The phone of the story, its copy, and the cards on it: the first one added pays unless another is picked.
const (
	storyPhone, storyCopy   = "pocket", "copy"
	defaultCard, pickedCard = "lin", "liu"
	tapsWithoutNetwork      = 10
)

var phoneChapter = glossary.Term{EN: "A phone", ZH: "手机云闪付"}

// phoneScene is one step with the phone. Play reports what the last tap of it came to, and whether everything was as the proof says.
type phoneScene struct {
	name   glossary.Term
	amount string
	play   func(*phoneStory, context.Context, string) (TapResult, bool, error)
	proof  glossary.Term
}

// phoneStory is the story of one phone.
type phoneStory struct {
	*story
	tokens map[string]phone.Token // by card, as the phone last showed them
}

func phoneScenes() []phoneScene {
	return []phoneScene{
		{
			name: glossary.Term{EN: "two cards put on a phone", ZH: "手机绑定两张卡"}, play: (*phoneStory).provision,
			proof: glossary.Term{EN: "two tokens with keys for ten taps each; the first is the default", ZH: "两个令牌，各有十次挥卡的密钥，第一个为默认"},
		},
		{
			name: glossary.Term{EN: "ten taps, the phone has no network", ZH: "手机无网络，连挥十次"}, amount: "6.00", play: (*phoneStory).withoutNetwork,
			proof: glossary.Term{EN: "ten paid, 60.00 in all; for the eleventh the phone wants new keys", ZH: "十次均成功，共60.00；第十一次手机要求更新密钥"},
		},
		{
			name: glossary.Term{EN: "keys refreshed, default card", ZH: "更新密钥后，默认卡"}, amount: "25.00", play: (*phoneStory).refreshed,
			proof: glossary.Term{EN: "the receipt has the token's last four, the bank charged its card", ZH: "凭条为令牌后四位，发卡行按卡扣款"},
		},
		{
			name: glossary.Term{EN: "the other card picked for one tap", ZH: "本次改选另一张卡"}, amount: "36.00", play: (*phoneStory).otherCard,
			proof: glossary.Term{EN: "the other bank charged its card; the default is what it was", ZH: "另一家发卡行扣款，默认卡不变"},
		},
		{
			name: glossary.Term{EN: "paid in an app, fingerprint", ZH: "应用内支付，指纹验证"}, amount: "88.00", play: (*phoneStory).inApp,
			proof: glossary.Term{EN: "no reader: the cryptogram names merchant and amount", ZH: "无需终端：密文含商户与金额"},
		},
		{
			name: glossary.Term{EN: "that cryptogram at another merchant", ZH: "同一密文用于其他商户"}, amount: "88.00", play: (*phoneStory).elsewhere,
			proof: glossary.Term{EN: "refused: made for another merchant; nothing was charged", ZH: "拒绝：密文属于其他商户，未扣款"},
		},
		{
			name: glossary.Term{EN: "a copy of the phone taps", ZH: "复制的手机挥卡"}, amount: "50.00", play: (*phoneStory).copied,
			proof: glossary.Term{EN: "its counter was used already: refused, the token stopped for both", ZH: "计数器已被使用：拒绝，两部手机的令牌均暂停"},
		},
		{
			name: glossary.Term{EN: "the phone is lost and taps", ZH: "手机挂失后挥卡"}, amount: "18.00", play: (*phoneStory).lost,
			proof: glossary.Term{EN: "refused by the token service; nobody had to reach the phone", ZH: "由令牌服务拒绝，无需联系手机"},
		},
		{
			name: glossary.Term{EN: "the card of the lost phone", ZH: "挂失手机对应的实体卡"}, amount: "18.00", play: (*phoneStory).cardStill,
			proof: glossary.Term{EN: "the card itself goes on paying", ZH: "实体卡照常支付"},
		},
	}
}

// phones tells what a phone can do.
func (s *story) phones(ctx context.Context) error {
	chapter := DemoChapter{Title: phoneChapter}
	p := &phoneStory{story: s, tokens: map[string]phone.Token{}}
	for _, scene := range phoneScenes() {
		s.tell(scene.name)
		tap, good, err := scene.play(p, ctx, scene.amount)
		if err != nil {
			return fmt.Errorf("scene %q: %w", scene.name.EN, err)
		}
		step := DemoStep{Name: scene.name, Amount: scene.amount, Result: POSResult{TapResult: tap, Verb: POSSale}, OK: good, Proof: scene.proof}
		if !good {
			step.Proof = glossary.Term{EN: "not shown: " + scene.proof.EN, ZH: "未证实：" + scene.proof.ZH}
		}
		chapter.Steps = append(chapter.Steps, step)
		if err := s.next(ctx); err != nil {
			return err
		}
	}
	s.report.Chapters = append(s.report.Chapters, chapter)
	return nil
}

// act runs one verb and tells the keys what the token service has decided meanwhile.
func (p *phoneStory) act(ctx context.Context, r PhoneRequest) (PhoneResult, error) {
	if r.Phone == "" {
		r.Phone = storyPhone
	}
	result, err := p.Phone(ctx, r)
	return result, errors.Join(err, p.passOn(ctx))
}

// tap holds the phone to a till, verified by fingerprint.
func (p *phoneStory) tap(ctx context.Context, r PhoneRequest) (PhoneResult, TapResult, error) {
	r.Verb, r.Merchant, r.Verification = PhoneTap, "shop-1", int32(phone.Fingerprint)
	result, err := p.act(ctx, r)
	if err != nil || result.Tap == nil {
		return result, TapResult{}, err
	}
	return result, *result.Tap, nil
}

// charged runs an action and says how much less the account of a card has afterwards, in minor units.
func (p *phoneStory) charged(ctx context.Context, card string, run func() error) (int64, error) {
	before, err := p.balanceOf(ctx, card)
	if err != nil {
		return 0, err
	}
	if err := run(); err != nil {
		return 0, err
	}
	after, err := p.balanceOf(ctx, card)
	return before - after, err
}

// saveKeys keeps security modules for the next process, in that order.
func (n *Network) saveKeys(file func(id string) string, passphrase []byte, ids ...string) error {
	if n.options.byHand {
		return nil
	}
	for _, id := range ids {
		if err := n.vaults[id].Save(file(id), passphrase); err != nil {
			return fmt.Errorf("save keys of %s: %w", id, err)
		}
	}
	return nil
}

// passOn does by hand, in one order, what a network does beside its payments: the keys follow the tokens.
func (s *story) passOn(ctx context.Context) error {
	for {
		select {
		case a := <-s.tokens.alarms:
			if err := s.alarmed(ctx, a); err != nil {
				return err
			}
		case reference := <-s.tokens.changed:
			if err := s.mirror(ctx, reference); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

func (p *phoneStory) provision(ctx context.Context, _ string) (TapResult, bool, error) {
	var result PhoneResult
	for _, card := range []string{defaultCard, pickedCard} {
		var err error
		if result, err = p.act(ctx, PhoneRequest{Verb: PhoneAdd, Card: card, Label: "TAPNET " + card}); err != nil {
			return TapResult{}, false, err
		}
		for _, t := range result.Status.Tokens {
			if t.Ref == result.Token {
				p.tokens[card] = t
			}
		}
	}
	first, second := p.tokens[defaultCard], p.tokens[pickedCard]
	good := len(result.Status.Tokens) == 2 && first.Default && !second.Default && first.KeysCVM == tapsWithoutNetwork && second.KeysCVM == tapsWithoutNetwork
	return TapResult{Outcome: OutcomeDone, Card: storyPhone}, good, nil
}

func (p *phoneStory) withoutNetwork(ctx context.Context, amount string) (last TapResult, good bool, err error) {
	paid := 0
	minor, err := p.charged(ctx, defaultCard, func() error {
		for range tapsWithoutNetwork {
			_, tap, err := p.tap(ctx, PhoneRequest{Amount: amount, NoNetwork: true})
			if err != nil {
				return err
			}
			if last = tap; tap.Outcome == OutcomeApproved {
				paid++
			}
		}
		return nil
	})
	if err != nil {
		return last, false, err
	}
	more, _, err := p.tap(ctx, PhoneRequest{Amount: amount, NoNetwork: true})
	return last, paid == tapsWithoutNetwork && minor == tapsWithoutNetwork*last.Amount.Minor() && more.Tap == nil && more.Arm == hce.ArmNeedsNetwork, err
}

// pay taps and reports whether exactly the tapped amount left the account of the card.
func (p *phoneStory) pay(ctx context.Context, card string, r PhoneRequest) (result PhoneResult, tap TapResult, good bool, err error) {
	minor, err := p.charged(ctx, card, func() (err error) {
		result, tap, err = p.tap(ctx, r)
		return err
	})
	return result, tap, tap.Outcome == OutcomeApproved && minor == tap.Amount.Minor() && minor > 0, err
}

func (p *phoneStory) refreshed(ctx context.Context, amount string) (TapResult, bool, error) {
	if _, err := p.act(ctx, PhoneRequest{Verb: PhoneRefresh}); err != nil {
		return TapResult{}, false, err
	}
	_, tap, good, err := p.pay(ctx, defaultCard, PhoneRequest{Amount: amount})
	return tap, good && lastFour(tap.Masked) == p.tokens[defaultCard].LastFour, err
}

// lastFour is what a masked number still shows at its end.
func lastFour(masked string) string { return masked[max(0, len(masked)-4):] }

func (p *phoneStory) otherCard(ctx context.Context, amount string) (TapResult, bool, error) {
	other := p.tokens[pickedCard]
	result, tap, good, err := p.pay(ctx, pickedCard, PhoneRequest{Amount: amount, Token: other.Ref})
	for _, t := range result.Status.Tokens {
		good = good && t.Default == (t.Ref == p.tokens[defaultCard].Ref)
	}
	return tap, good && lastFour(tap.Masked) == other.LastFour, err
}

// inApp pays without a reader.
func (p *phoneStory) inApp(ctx context.Context, amount string) (TapResult, bool, error) {
	tap, good, err := p.payInApp(ctx, amount, nil)
	return tap, good && tap.Outcome == OutcomeApproved, err
}

// payInApp pays in an application; change is what somebody does to the request on its way.
func (p *phoneStory) payInApp(ctx context.Context, amount string, change func(*unionpay.FinancialRequest)) (TapResult, bool, error) {
	r := PhoneRequest{Phone: storyPhone, Merchant: "shop-1", Amount: amount, Verification: int32(phone.Fingerprint)}
	var result PhoneResult
	minor, err := p.charged(ctx, defaultCard, func() error {
		held, err := p.openPhone(ctx, r)
		if err != nil {
			return err
		}
		return errors.Join(p.phonePay(ctx, held, r, &result, change), held.Close(), p.passOn(ctx))
	})
	if err != nil || result.Tap == nil {
		return TapResult{}, false, err
	}
	return *result.Tap, result.Paid() && minor == result.Tap.Amount.Minor() || !result.Paid() && minor == 0, nil
}

func (p *phoneStory) elsewhere(ctx context.Context, amount string) (TapResult, bool, error) {
	tap, good, err := p.payInApp(ctx, amount, otherMerchant)
	return tap, good && tap.Outcome == OutcomeDeclined && tap.ResponseCode == string(unionpay.CredentialMerchant.ResponseCode()), err
}

// copied takes everything from the phone's storage, lets the phone pay, and then the copy.
func (p *phoneStory) copied(ctx context.Context, amount string) (TapResult, bool, error) {
	phones := filepath.Join(p.options.Dir, phoneDirectory)
	if err := os.CopyFS(filepath.Join(phones, storyCopy), os.DirFS(filepath.Join(phones, storyPhone))); err != nil {
		return TapResult{}, false, fmt.Errorf("copy the phone: %w", err)
	}
	_, _, good, err := p.pay(ctx, defaultCard, PhoneRequest{Amount: "6.00"})
	if err != nil {
		return TapResult{}, false, err
	}
	r := PhoneRequest{Phone: storyCopy, Verb: PhoneTap, Merchant: "shop-1", Amount: amount, Verification: int32(phone.Fingerprint)}
	result, err := p.Phone(ctx, r)
	if err != nil || result.Tap == nil {
		return TapResult{}, false, err
	}
	select { // the alarm comes beside the answer; the story goes on when it has been heard
	case a := <-p.Network.tokens.alarms:
		err = p.alarmed(ctx, a)
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err := errors.Join(err, p.passOn(ctx)); err != nil {
		return *result.Tap, false, err
	}
	shown, err := p.act(ctx, PhoneRequest{Verb: PhoneShow})
	for _, t := range shown.Status.Tokens {
		good = good && (t.Suspended != "") == (t.Ref == p.tokens[defaultCard].Ref)
	}
	return *result.Tap, good && result.Tap.Outcome == OutcomeDeclined, err
}

func (p *phoneStory) lost(ctx context.Context, amount string) (TapResult, bool, error) {
	if _, err := p.act(ctx, PhoneRequest{Verb: PhoneLose}); err != nil {
		return TapResult{}, false, err
	}
	result, tap, err := p.tap(ctx, PhoneRequest{Amount: amount, Token: p.tokens[pickedCard].Ref, NoNetwork: true})
	good := tap.Outcome == OutcomeDeclined && tap.ResponseCode == "41"
	for _, t := range result.Status.Tokens {
		good = good && t.Suspended != "" && (t.Ref != p.tokens[pickedCard].Ref || t.Suspended == soft.SuspendedLost)
	}
	return tap, good, err
}

func (p *phoneStory) cardStill(ctx context.Context, amount string) (tap TapResult, good bool, err error) {
	minor, err := p.charged(ctx, pickedCard, func() (err error) {
		tap, err = p.play(ctx, scene{card: pickedCard, at: "shop-1", amount: amount})
		return err
	})
	return tap, tap.Outcome == OutcomeApproved && minor == tap.Amount.Minor(), err
}

// readAgain checks the journals once more, as files that somebody else has left: the network's, and the metro's against its acquirer's.
func (s *story) readAgain(ctx context.Context) ([]DemoInvariant, error) {
	report, err := Verify(ctx, s.options.Dir, verify.Options{Clock: s.clock})
	if err != nil {
		return nil, err
	}
	network := DemoInvariant{Name: "verify", OK: report.Clean(), Title: glossary.Term{
		EN: fmt.Sprintf("read again from the disk: %d journals, %d rows", len(report.Members), report.Rows),
		ZH: fmt.Sprintf("从磁盘重新读取：%d个流水，%d行", len(report.Members), report.Rows),
	}, Detail: glossary.Term{EN: "holds", ZH: "成立"}}
	if len(report.Findings) > 0 {
		network.Detail = report.Findings[0].Found
	}
	rides, err := verify.TransitDir(ctx, TransitDir(s.options.Dir), verify.TransitOptions{Network: s.options.Dir, Settled: true, Clock: s.clock})
	if err != nil {
		return nil, err
	}
	metro := DemoInvariant{Name: "verify-metro", OK: rides.Clean(), Title: glossary.Term{
		EN: fmt.Sprintf("the metro's office: %d taps, %d bills, each request found at its acquirer", rides.Taps, rides.Bills),
		ZH: fmt.Sprintf("地铁后台：%d次刷卡，%d笔账单，每笔请求均与收单机构一致", rides.Taps, rides.Bills),
	}, Detail: glossary.Term{EN: "holds", ZH: "成立"}}
	if len(rides.Findings) > 0 {
		metro.Detail = rides.Findings[0].Found
	}
	return []DemoInvariant{network, metro}, nil
}
