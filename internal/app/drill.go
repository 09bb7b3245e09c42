package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tapnet/apdu"
	"tapnet/emv/cloudkey"
	"tapnet/glossary"
	"tapnet/internal/app/phone"
	"tapnet/internal/cloudse"
	"tapnet/iso8583/unionpay"
	"tapnet/sdk/hce"
)

// DrillLine is one thing that was tried and what became of it. OK says that it ended as it must.
type DrillLine struct {
	Tried, Ended glossary.Term
	OK           bool
}

// DrillReport is one attack on a phone, told.
type DrillReport struct {
	Name  string
	Title glossary.Term
	Lines []DrillLine
}

// Good reports whether everything ended as it must.
func (r *DrillReport) Good() bool {
	return len(r.Lines) > 0 && !slices.ContainsFunc(r.Lines, func(l DrillLine) bool { return !l.OK })
}

// drill is an attack.
type drill struct {
	name  string
	title glossary.Term
	run   func(*drilled, context.Context) error
}

// drills are the attacks, in the order in which they are listed [REF 8].
func drills() []drill {
	return []drill{
		{"relay", glossary.Term{EN: "A relay between phone and till, 0 to 500 ms", ZH: "手机与终端之间的中继，0至500毫秒"}, (*drilled).relay},
		{"claims", glossary.Term{EN: "A merchant and a reader claim what the phone does not say", ZH: "商户类别和读卡器的声明与手机证据不符"}, (*drilled).claims},
		{"stolen", glossary.Term{EN: "The phone's storage is stolen", ZH: "手机存储被盗"}, (*drilled).stolen},
		{"copy", glossary.Term{EN: "Two phones from one snapshot", ZH: "同一快照的两部手机"}, (*drilled).snapshot},
		{"replay", glossary.Term{EN: "A batch of keys is replayed", ZH: "重放密钥批次"}, (*drilled).replayed},
		{"sim-swap", glossary.Term{EN: "A thief has the SIM and adds the card to another phone", ZH: "SIM 被换，盗用者将卡绑定到自己的手机"}, (*drilled).swapped},
		{"mule", glossary.Term{EN: "One phone collects many cards", ZH: "一部手机绑定大量银行卡"}, (*drilled).mule},
	}
}

// Drills lists the names.
func Drills() (names []string) {
	for _, d := range drills() {
		names = append(names, d.name)
	}
	return names
}

// ErrUnknownDrill says that there is no such attack.
var ErrUnknownDrill = errors.New("there is no such drill")

// drilled is a world in which phones are attacked.
type drilled struct {
	*story
	report *DrillReport
	hooks  *hooks
}

// Drill attacks phones in a world of its own, made from a seed and thrown away; name "" is every attack, in one world.
func Drill(ctx context.Context, name string, seed uint64) (reports []DrillReport, err error) {
	chosen := slices.DeleteFunc(drills(), func(d drill) bool { return name != "" && d.name != name })
	if len(chosen) == 0 {
		return nil, fmt.Errorf("%w: %q, only %v", ErrUnknownDrill, shown(name), Drills())
	}
	dir, err := os.MkdirTemp("", "tapnet-drill-")
	if err != nil {
		return nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	heard := &hooks{}
	s, err := newStory(ctx, DemoOptions{Seed: seed, hooks: heard.take, adjust: withBettingShop}, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop(ctx)) }()
	for _, d := range chosen {
		report := DrillReport{Name: d.name, Title: d.title}
		if err := d.run(&drilled{s, &report, heard}, ctx); err != nil {
			return nil, fmt.Errorf("drill %s: %w", d.name, err)
		}
		reports = append(reports, report)
		if err := heard.acknowledge(ctx, s.Network.tokens.service); err != nil {
			return nil, err
		}
		if err := s.next(ctx); err != nil {
			return nil, err
		}
	}
	return reports, nil
}

// note adds a line to the story.
func (d *drilled) note(ok bool, tried, ended glossary.Term) {
	d.report.Lines = append(d.report.Lines, DrillLine{tried, ended, ok})
}

// act runs one verb on a phone and lets the keys follow.
func (d *drilled) act(ctx context.Context, name string, r PhoneRequest) (PhoneResult, error) {
	r.Phone = name
	result, err := d.Phone(ctx, r)
	return result, errors.Join(err, d.passOn(ctx))
}

// add puts a card on a phone.
func (d *drilled) add(ctx context.Context, name, card, password string) (PhoneResult, error) {
	return d.act(ctx, name, PhoneRequest{Verb: PhoneAdd, Card: card, Label: "TAPNET " + card, Password: password})
}

func byFingerprint(amount string) PhoneRequest {
	return PhoneRequest{Verb: PhoneTap, Merchant: "shop-1", Amount: amount, Verification: int32(phone.Fingerprint)}
}

// ended says how a payment ended, in the words of the network.
func ended(r *PhoneResult) glossary.Term {
	switch {
	case r.Tap == nil && r.Arm == hce.ArmNeedsNetwork:
		return glossary.Term{EN: "the phone wants new keys first", ZH: "手机要求先更新密钥"}
	case r.Tap == nil:
		return glossary.Term{EN: "the phone is silent", ZH: "手机无应答"}
	case r.Paid():
		return glossary.Term{EN: "paid", ZH: "支付成功"}
	case r.Tap.ResponseCode == "":
		return r.Tap.Reason
	}
	return glossary.Term{EN: "declined " + r.Tap.ResponseCode + ": " + r.Tap.Reason.EN, ZH: "拒绝 " + r.Tap.ResponseCode + "：" + r.Tap.Reason.ZH}
}

// whyOf is why the token service refused a payment, 0 when it did not.
func (d *drilled) whyOf(ctx context.Context, r *PhoneResult) (unionpay.TokenReason, error) {
	if r.Tap == nil || r.Tap.RRN == "" {
		return 0, nil
	}
	rows, err := d.tokens.service.rows(ctx)
	for i := range rows {
		if rows[i].RRN == r.Tap.RRN {
			return unionpay.TokenReason(rows[i].Reason), err
		}
	}
	return 0, err
}

// refusedFor notes a payment that must be refused for a reason.
func (d *drilled) refusedFor(ctx context.Context, tried glossary.Term, r *PhoneResult, want unionpay.TokenReason) error {
	why, err := d.whyOf(ctx, r)
	end := ended(r)
	if why != 0 {
		end = glossary.Term{EN: "declined " + r.Tap.ResponseCode + ": " + why.Term().EN, ZH: "拒绝 " + r.Tap.ResponseCode + "：" + why.Term().ZH}
	}
	d.note(!r.Paid() && why == want, tried, end)
	return err
}

// heldUp is a relay: every command takes so much longer.
type heldUp struct {
	apdu.Transceiver
	wait func()
}

func (h heldUp) Transceive(ctx context.Context, command []byte) ([]byte, error) {
	h.wait()
	return h.Transceiver.Transceive(ctx, command)
}

// silent is a phone that nobody has armed: the reader gets to it, and it does not answer as a card.
func (d *drilled) silent(ctx context.Context, name string) error {
	p, err := d.openPhone(ctx, PhoneRequest{Phone: name})
	if err != nil {
		return err
	}
	reader, leave := p.Field()
	defer func() { leave(); _ = p.Close() }()
	answer, err := reader.Transceive(ctx, apdu.Select([]byte("2PAY.SYS.DDF01")).Bytes())
	silent := err != nil || len(answer) == 2 && apdu.SW(uint16(answer[0])<<8|uint16(answer[1])) == apdu.ConditionsNotSatisfied
	d.note(silent, glossary.Term{EN: "a reader in the crowd, the phone in a pocket", ZH: "人群中的读卡器，手机在口袋里"},
		glossary.Term{EN: "6985: nobody has armed the phone", ZH: "6985：手机未进入支付状态"})
	return nil
}

// relay holds the phone to a till through something that takes time.
func (d *drilled) relay(ctx context.Context) error {
	const name, step, last = "relayed", 100, 500
	if _, err := d.add(ctx, name, "lin", ""); err != nil {
		return err
	}
	if err := d.silent(ctx, name); err != nil {
		return err
	}
	most := cloudse.DefaultPolicy().MaxLatency
	for delay := 0; delay <= last; delay += step {
		wait := time.Duration(delay) * time.Millisecond
		r := byFingerprint("30.00")
		p, err := d.openPhone(ctx, PhoneRequest{Phone: name})
		if err != nil {
			return err
		}
		var result PhoneResult
		err = d.phoneTap(ctx, p, r, &result, func(t apdu.Transceiver) apdu.Transceiver {
			return heldUp{t, func() { d.clock.Advance(wait) }}
		})
		if err := errors.Join(err, p.Close(), d.passOn(ctx)); err != nil {
			return err
		}
		tried := glossary.Term{EN: fmt.Sprintf("every command %d ms later", delay), ZH: fmt.Sprintf("每条指令延迟%d毫秒", delay)}
		if seen := time.Duration(cloudkey.Latency(int64(wait))) * cloudkey.LatencyUnitMillis * time.Millisecond; seen > most {
			err = d.refusedFor(ctx, tried, &result, unionpay.CredentialEvidence)
		} else {
			end := ended(&result)
			d.note(result.Paid(), tried, glossary.Term{EN: fmt.Sprintf("%s; the bank reads %d ms", end.EN, seen.Milliseconds()),
				ZH: fmt.Sprintf("%s；发卡行收到%d毫秒", end.ZH, seen.Milliseconds())})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// snapshotOf copies a phone's directory. without leaves a file out.
func (d *drilled) snapshotOf(from, to, without string) error {
	phones := filepath.Join(d.options.Dir, phoneDirectory)
	if err := os.CopyFS(filepath.Join(phones, to), os.DirFS(filepath.Join(phones, from))); err != nil || without == "" {
		return err
	}
	return os.Remove(filepath.Join(phones, to, without))
}
