package hce

import (
	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
)

// Arm makes the phone ready for one tap: with the token given, or with "" the picked or the default one. cvmType is how the holder was
// verified (CVMNone …), cvmAgeMs how long ago. The work of the key store is done here, before the phone is held to a reader, and the counter
// is given up durably before this returns: a phone that is armed and never taps has used it. Arming again replaces what was armed.
func (e *Engine) Arm(tokenRef string, cvmType int32, cvmAgeMs int64) (code int32) {
	defer func() {
		if recover() != nil {
			e.disarm("")
			code = ArmFault
		}
	}()
	if cvmType < 0 || cvmType > CVMPassword || cvmAgeMs < 0 {
		return ArmArgument
	}
	e.store.Lock()
	defer e.store.Unlock()
	e.begin()
	defer e.settle()
	t := e.find(e.chosen(tokenRef))
	if t == nil {
		return ArmNoToken
	}
	return e.arm(t, cloudkey.CVMType(cvmType), cvmAgeMs)
}

// begin makes the phone silent and says that it will not be for long.
func (e *Engine) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tap.forget()
	e.tap.arming = true
}

func (e *Engine) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tap.arming = false
}

// arm unmasks a key, gives up its counter, and only then lets the phone answer.
func (e *Engine) arm(t *token, cvm cloudkey.CVMType, ageMs int64) int32 {
	var a armed
	defer a.erase()
	if code := e.take(t, cvm, ageMs, -1, &a); code != ArmOK {
		return code
	}
	a.directory = directory(t.profile)
	a.answer, a.iadAt, a.acAt = template(t.profile, a.atc, a.iad, cvm.Class().CVM())
	a.armedNs = e.platform.ElapsedNs()
	a.windowNs = int64(t.Thresholds.ArmSeconds) * 1e9
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tap.present(&a)
	return ArmOK
}

// take gives up the next counter of a key and unmasks it. paid is what is paid with it at once, in minor units of the token's currency; a tap's amount is known
// later and paid is -1.
func (e *Engine) take(t *token, cvm cloudkey.CVMType, ageMs, paid int64, a *armed) int32 {
	e.keepAnswered() // of a tap whose end nobody reported
	now := e.platform.NowMs()
	if _, blocked := t.why(now); blocked {
		return ArmNeedsNetwork
	}
	next := t.clone()
	k := next.choose(cvm.Class(), now)
	if k == nil {
		return ArmNeedsNetwork
	}
	a.amountLeft = -1
	if t.Thresholds.Amount > 0 {
		if a.amountLeft = t.Thresholds.Amount - t.Amount; paid > a.amountLeft {
			return ArmNeedsNetwork
		}
	}
	atc := k.ATC + uint16(k.Spent)
	if code := e.unmask(t, k, atc, a); code != ArmOK {
		return code
	}
	next.spend(k)
	if paid >= 0 {
		next.Used[len(next.Used)-1].State = cloudkey.UseAnswered
		next.Amount += paid
	}
	risk := e.risk(t, now)
	next.LastMs = max(now, t.LastMs)
	err := e.save(next)
	// Whether a write that failed is on the disk is not known: in this process the counter is gone in either case.
	*t = *next
	if err != nil {
		return ArmStorage
	}
	cvr := emv.NewCVR()
	cvr.SetFirst(emv.ARQC)
	a.iad = cloudkey.IAD{DKI: t.profile.DKI, CVN: t.profile.CVN, CVR: cvr, Algorithm: t.profile.Algorithm,
		Evidence: cloudkey.Evidence{BSEQ: t.BSEQ, CVM: cvm, CVMAge: cloudkey.CVMAge(ageMs), Risk: risk}}
	a.token, a.layout, a.atc, a.ageMs = t.profile.Token, t.layout, atc, ageMs
	a.open, a.openLimit = !cvm.Class().CVM(), t.profile.OpenLimit
	copy(a.fixed[:], t.layout.fixed)
	a.fixed[fixedATC], a.fixed[fixedATC+1] = byte(atc>>8), byte(atc)
	return ArmOK
}

// unmask opens a key, takes its mask off and derives the key of the device tag. Whether the password was right is not known here, nor
// anywhere on the phone.
func (e *Engine) unmask(t *token, k *storedKey, atc uint16, a *armed) int32 {
	var code, sealed, tagKey Buffer
	defer code.erase()
	defer sealed.erase()
	defer tagKey.erase()
	var password cloudkey.Secret
	if k.Class == cloudkey.ClassPassword {
		var verifier Buffer
		defer verifier.erase()
		if result := e.platform.PasswordInto(t.profile.Salt[:], &verifier); result < 0 {
			return armCode(result)
		}
		var err error
		if password, err = cloudkey.NewSecret(verifier.b); err != nil {
			return ArmDamaged
		}
	}
	alias := cloudkey.BindingAlias(t.profile.Token, k.Class)
	input := cloudkey.MaskInput(t.profile.Token, k.ATC, k.Class, password)
	defer clear(input)
	if result := e.platform.HmacInto(alias, input, &code); result < 0 {
		return armCode(result)
	}
	if result := e.platform.HmacInto(alias, cloudkey.TagKeyInput(atc), &tagKey); result < 0 {
		return armCode(result)
	}
	if result := e.platform.OpenInto(AliasRest, k.Sealed, keyData(t.profile.Token, t.BSEQ, k.ATC), &sealed); result < 0 {
		return armCode(result)
	}
	mask, err := cloudkey.NewSecret(code.b)
	if err != nil {
		return ArmDamaged
	}
	masked, err := cryptogram.NewKey(sealed.b)
	if err != nil {
		return ArmDamaged
	}
	if a.tagKey, err = cloudkey.NewSecret(tagKey.b); err != nil {
		return ArmDamaged
	}
	return a.mac.set(t.scheme, t.suite, cloudkey.Mask(masked, mask))
}

func armCode(platform int32) int32 {
	switch platform {
	case PlatformLocked:
		return ArmLocked
	case PlatformNoPassword:
		return ArmNoPassword
	}
	return ArmDamaged
}

// Disarm takes the key away that Arm gave: the holder has changed their mind. Its counter stays used.
func (e *Engine) Disarm() {
	defer func() { _ = recover() }()
	e.disarm("")
}

// disarm makes the phone silent; with a token, only when that one is armed.
func (e *Engine) disarm(ref string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ref == "" || e.tap.armed.token == ref {
		e.tap.forget()
	}
}

// Deactivated says that the field is gone, or that the reader has turned to another application. What was armed is erased, and a tap that was
// answered is written down. It may wait for storage.
func (e *Engine) Deactivated(reason int32) {
	_ = reason // both mean the same for a payment
	defer func() { _ = recover() }()
	e.mu.Lock()
	e.tap.leave()
	e.mu.Unlock()
	e.store.Lock()
	defer e.store.Unlock()
	e.keepAnswered()
}

// keepAnswered makes durable what a tap told: that its answer left, and its amount. When that fails the server still knows the truth, and
// this report says "given up" instead of "answered".
func (e *Engine) keepAnswered() {
	e.mu.Lock()
	done := e.tap.done
	e.tap.done = answered{}
	e.mu.Unlock()
	t := e.find(done.token)
	if done.token == "" || t == nil {
		return
	}
	next := t.clone()
	for i := range next.Used {
		if next.Used[i].ATC == done.atc && i >= next.Reported { // what a request under way tells stays as it is
			next.Used[i].State = cloudkey.UseAnswered
		}
	}
	if done.amount > 0 && next.Amount <= 1<<62-done.amount {
		next.Amount += done.amount
	}
	if e.picked == done.token {
		e.picked = ""
	}
	_ = e.save(next)
	*t = *next
}
