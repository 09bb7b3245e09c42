package app

import (
	"context"
	"errors"
	"fmt"

	"tapnet/emv"
	"tapnet/glossary"
	"tapnet/internal/app/phone"
	"tapnet/internal/cloudse"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
)

// The payment password of the drills.
const drillPassword = "147258"

// stolen: without the phone's hardware the storage is nothing; with everything but the password, the service counts the guesses.
func (d *drilled) stolen(ctx context.Context) error {
	const name = "owner"
	if _, err := d.add(ctx, name, "lin", drillPassword); err != nil {
		return err
	}
	if err := d.snapshotOf(name, "storage", phone.KeyFile); err != nil {
		return err
	}
	_, err := d.openPhone(ctx, PhoneRequest{Phone: "storage"})
	d.note(err != nil, glossary.Term{EN: "the storage without the phone's key store", ZH: "只有存储，没有手机的密钥库"},
		glossary.Term{EN: "nothing of it can be opened", ZH: "任何记录都无法打开"})
	if err := d.snapshotOf(name, "rooted", ""); err != nil {
		return err
	}
	guess := PhoneRequest{Verb: PhoneTap, Merchant: "shop-1", Amount: "1.00", Verification: int32(phone.Password)}
	wrongMost := cloudse.DefaultPolicy().WrongMost
	for i := range wrongMost {
		wrong := fmt.Sprintf("%06d", i)
		guess.Password = wrong
		result, err := d.Phone(ctx, copying(guess, "rooted"))
		if err != nil {
			return err
		}
		tried := glossary.Term{EN: fmt.Sprintf("everything but the password, guess %d: the phone arms as ever", i+1), ZH: fmt.Sprintf("除密码外全部得手，第%d次猜测：手机照常就绪", i+1)}
		if err := d.refusedFor(ctx, tried, &result, unionpay.CredentialCryptogram); err != nil {
			return err
		}
		if i == wrongMost-1 { // the alarm comes beside the answer
			if err := d.hear(ctx); err != nil {
				return err
			}
		}
	}
	guess.Password = drillPassword
	result, err := d.act(ctx, "rooted", guess)
	if err != nil {
		return err
	}
	return d.refusedFor(ctx, glossary.Term{EN: "the right password, too late", ZH: "密码正确，但为时已晚"}, &result, unionpay.TokenPasswordLocked)
}

// hear waits for an alarm of the cloud secure element and passes it on.
func (d *drilled) hear(ctx context.Context) error {
	select {
	case a := <-d.Network.tokens.alarms:
		return errors.Join(d.alarmed(ctx, a), d.passOn(ctx))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// snapshot: the first counter from both phones, or the first request for keys from a state that is past, gives the copy away.
func (d *drilled) snapshot(ctx context.Context) error {
	if _, err := d.add(ctx, "first", "wang", ""); err != nil {
		return err
	}
	if err := d.snapshotOf("first", "second", ""); err != nil {
		return err
	}
	result, err := d.act(ctx, "first", byFingerprint("20.00"))
	if err != nil {
		return err
	}
	d.note(result.Paid(), glossary.Term{EN: "the phone taps", ZH: "原手机挥卡"}, ended(&result))
	if result, err = d.Phone(ctx, copying(byFingerprint("20.00"), "second")); err != nil {
		return err
	}
	if err := errors.Join(d.hear(ctx), d.refusedFor(ctx, glossary.Term{EN: "the copy taps with the same counter", ZH: "复制机用同一计数器挥卡"}, &result,
		unionpay.CounterRepeated)); err != nil {
		return err
	}
	if result, err = d.act(ctx, "first", byFingerprint("20.00")); err != nil {
		return err
	}
	if err := d.refusedFor(ctx, glossary.Term{EN: "the phone taps again", ZH: "原手机再次挥卡"}, &result, unionpay.TokenSuspended); err != nil {
		return err
	}
	return d.forked(ctx)
}

func copying(r PhoneRequest, name string) PhoneRequest {
	r.Phone = name
	return r
}

// forked: both ask for keys.
func (d *drilled) forked(ctx context.Context) error {
	if _, err := d.add(ctx, "third", "liu", ""); err != nil {
		return err
	}
	if err := d.snapshotOf("third", "fourth", ""); err != nil {
		return err
	}
	_, err := d.act(ctx, "fourth", PhoneRequest{Verb: PhoneRefresh})
	d.note(err == nil, glossary.Term{EN: "another copy is first to ask for keys", ZH: "另一复制机抢先更新密钥"},
		glossary.Term{EN: "gets them: nobody can tell yet", ZH: "获得密钥：尚无法分辨"})
	_, err = d.Phone(ctx, copying(PhoneRequest{Verb: PhoneRefresh}, "third"))
	d.note(err != nil, glossary.Term{EN: "the phone asks, from a state that is past", ZH: "原手机以过期状态更新密钥"},
		glossary.Term{EN: "refused: two phones have the token", ZH: "拒绝：两部手机持有同一令牌"})
	if err := d.hear(ctx); err != nil {
		return err
	}
	result, err := d.act(ctx, "fourth", byFingerprint("20.00"))
	if err != nil {
		return err
	}
	return d.refusedFor(ctx, glossary.Term{EN: "the copy taps with its fresh keys", ZH: "复制机用新密钥挥卡"}, &result, unionpay.TokenSuspended)
}

// tapped is a line that somebody listens to, and may answer in the place of the service.
type tapped struct {
	*line
	request, answer []byte // of the last request for keys
	forge           []byte // answered instead, when there is one
}

// Post implements phone.Cloud.
func (t *tapped) Post(path string, body []byte) (int, []byte, error) {
	keys := len(path) > len(keysPath) && path[len(path)-len(keysPath):] == keysPath
	if keys && t.forge != nil {
		return 200, t.forge, nil
	}
	status, answer, err := t.line.Post(path, body)
	if keys {
		t.request, t.answer = append([]byte(nil), body...), append([]byte(nil), answer...)
	}
	return status, answer, err
}

// Verify implements phone.Cloud; nobody asks it here.
func (t *tapped) Verify(pan.Number, emv.Data) soft.Verdict { return soft.Verdict{} }

const keysPath = "/keys:replenish"

// replayed: who has recorded a batch, or the request for it, cannot use either again.
func (d *drilled) replayed(ctx context.Context) error {
	const name = "listened"
	added, err := d.add(ctx, name, "mei", "")
	if err != nil {
		return err
	}
	cloud := &tapped{line: d.Network.tokens.wallet.line(ctx, name)}
	p, err := d.openPhoneAt(ctx, PhoneRequest{Phone: name}, cloud)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	if err := p.Refresh(); err != nil {
		return err
	}
	batch := func() uint32 {
		s, err := p.Status()
		if err != nil || len(s.Tokens) != 1 {
			return 0
		}
		return s.Tokens[0].Batch
	}
	before := batch()
	status, _, err := cloud.line.Post("/v1/tokens/"+added.Token+keysPath, cloud.request)
	d.note(err == nil && status == 409, glossary.Term{EN: "a recorded request for keys, sent again", ZH: "重发录下的密钥请求"},
		glossary.Term{EN: "refused: answered before, no keys are made", ZH: "拒绝：该请求已应答，不再下发密钥"})
	cloud.forge = append([]byte(nil), cloud.answer...)
	err = p.Refresh()
	d.note(err != nil && batch() == before, glossary.Term{EN: "a recorded batch, in place of the answer", ZH: "用录下的批次冒充应答"},
		glossary.Term{EN: "the phone refuses: it does not follow its own", ZH: "手机拒绝：批次不连续"})
	cloud.forge[len(cloud.forge)-1] ^= 1
	err = p.Refresh()
	d.note(err != nil && batch() == before, glossary.Term{EN: "the same with a byte changed", ZH: "改动一个字节后再冒充"},
		glossary.Term{EN: "the phone refuses it, its keys stay", ZH: "手机拒绝，原密钥不变"})
	cloud.forge = nil
	err = p.Refresh()
	d.note(err == nil && batch() == before+1, glossary.Term{EN: "the line is free again", ZH: "线路恢复正常"},
		glossary.Term{EN: "the next batch comes, nobody is suspended", ZH: "获得下一批次，令牌未被暂停"})
	var result PhoneResult
	if err := d.phoneTap(ctx, p, byFingerprint("20.00"), &result, nil); err != nil {
		return err
	}
	d.note(result.Paid() && result.Arm == hce.ArmOK, glossary.Term{EN: "the phone taps", ZH: "手机挥卡"}, ended(&result))
	return d.passOn(ctx)
}
