package bench

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"errors"
	"fmt"
	"runtime"
	"time"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/iso8583"
	"tapnet/iso8583/unionpay"
	"tapnet/money"
)

// Step is one part of an authorization, measured alone on one processor: medians over rounds.
type Step struct {
	Name        string  `json:"name"`
	Nanoseconds float64 `json:"ns"`
	Allocations float64 `json:"allocs"`
	// BaselineNanoseconds is what it is compared with, in the same rounds; zero when there is nothing to compare with.
	BaselineNanoseconds float64 `json:"baseline_ns"`
	Ratio               float64 `json:"ratio"`
}

const (
	// microRounds is more than Rounds: a step takes a moment only.
	microRounds = 9
	microRound  = 20 * time.Millisecond
)

// work is a step before it is measured. baseline may be nil.
type work struct {
	name           string
	what, baseline func()
}

// measureAll measures steps one after the other. failed tells whether one of their calls went wrong.
func measureAll(all []work, failed *error) ([]Step, error) {
	var steps []Step
	for _, w := range all {
		steps = append(steps, timed(w.name, w.what, w.baseline))
	}
	return steps, *failed
}

// timed measures what and its baseline in interleaved rounds.
func timed(name string, what, baseline func()) Step {
	n, m := calls(what), 0
	if baseline != nil {
		m = calls(baseline)
	}
	var own, other, ratios []float64
	allocations := allocationsOf(what)
	for range microRounds {
		ns := perCall(n, what)
		own = append(own, ns)
		if baseline != nil {
			base := perCall(m, baseline)
			other, ratios = append(other, base), append(ratios, ns/base)
		}
	}
	return Step{Name: name, Nanoseconds: median(own), Allocations: allocations, BaselineNanoseconds: median(other), Ratio: median(ratios)}
}

// calls is how many calls take about a round.
func calls(f func()) int {
	for n := 1; ; n *= 2 {
		if start := time.Now(); true {
			for range n {
				f()
			}
			if took := time.Since(start); took > microRound/8 {
				return max(1, int(float64(n)*float64(microRound)/float64(took)))
			}
		}
	}
}

func perCall(n int, f func()) float64 {
	start := time.Now()
	for range n {
		f()
	}
	return float64(time.Since(start)) / float64(n)
}

// allocationsOf counts over many calls, so that what the runtime does on the side rounds to nothing.
func allocationsOf(f func()) float64 {
	const n = 1000
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64((after.Mallocs - before.Mallocs) / n)
}

// sale is the 0200 that Parse works on: what the load generator of Authorize sends.
func sale() (wire []byte, err error) {
	p, err := newPopulation(1)
	if err != nil {
		return nil, err
	}
	amount := money.New(tapMinor, money.CNY)
	packed, err := amount.BCD()
	if err != nil {
		return nil, err
	}
	c := &caller{name: "10000000", suite: cryptogram.TDES()}
	m := c.template(amount)
	card, err := p.chip(0)
	if err != nil {
		return nil, err
	}
	if err := c.fill(m, card, packed[:], time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)); err != nil {
		return nil, err
	}
	return unionpay.Encode(unionpay.Switch, nil, m, func([]byte) ([8]byte, error) { return [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, nil })
}

// Parse measures the codec's share: unpack a 0200 with field 55, change it into its 0210, pack that; and the same through typed messages.
func Parse() ([]Step, error) {
	all, failed, err := parsing()
	if err != nil {
		return nil, err
	}
	return measureAll(all, failed)
}

func parsing() (all []work, failed *error, err error) {
	in, err := sale()
	if err != nil {
		return nil, nil, err
	}
	failed = new(error)
	spec, raw, out := unionpay.SpecOf(unionpay.Switch), new(iso8583.Message), make([]byte, 0, 1024)
	issuerData := append([]byte{0x91, 10, 1, 2, 3, 4, 5, 6, 7, 8}, "00"...)
	code, approved := []byte("123456"), []byte("00")
	change := func() {
		err := spec.Unpack(in, raw)
		if err == nil {
			raw.MTI[2] = '1'
			raw.Clear(35)
			err = errors.Join(raw.Set(38, code), raw.Set(39, approved), raw.Set(55, issuerData))
		}
		if err == nil {
			out, err = spec.Append(out[:0], raw)
		}
		if err != nil {
			*failed = err
		}
	}
	typed := func() {
		m, err := unionpay.Decode(unionpay.Switch, in)
		if err == nil {
			answer := unionpay.Respond(m, unionpay.Answer{Response: unionpay.Approved, AuthCode: "123456"})
			answer.(*unionpay.FinancialResponse).ICC.Set(emv.TagIssuerAuthData, issuerData[2:])
			out, err = unionpay.Encode(unionpay.Switch, out[:0], answer, nil)
		}
		if err != nil {
			*failed = err
		}
	}
	return []work{{"parse", change, nil}, {"parse, typed messages", typed, nil}}, failed, nil
}

// Cryptogram measures the whole check of a 3DES cryptogram (card key, session key, MAC over 37 bytes) against the block operations it consists of, done by
// crypto/des with schedules that are ready: five of triple DES, five of single DES.
func Cryptogram() ([]Step, error) {
	all, failed, err := checking()
	if err != nil {
		return nil, err
	}
	return measureAll(all, failed)
}

func checking() (all []work, failed *error, err error) {
	number, err := numberOf(0)
	if err != nil {
		return nil, nil, err
	}
	suite, data := cryptogram.TDES(), bytes.Repeat([]byte{0x5A}, 37)
	master, err := cryptogram.NewKey([]byte("an issuer master"))
	if err != nil {
		return nil, nil, err
	}
	const counter = 7
	right := suite.Cryptogram(suite.SessionKey(suite.CardKey(master, number, "01"), counter), data)
	failed = new(error)
	check := func() {
		if !suite.Verify(suite.SessionKey(suite.CardKey(master, number, "01"), counter), data, right) {
			*failed = errors.New("bench: a right cryptogram was refused")
		}
	}
	single, err := des.NewCipher([]byte("01234567"))
	if err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	triple, err := des.NewTripleDESCipher([]byte("0123456789abcdef01234567"))
	if err != nil {
		return nil, nil, fmt.Errorf("bench: %w", err)
	}
	const blocks = 5
	block := make([]byte, des.BlockSize)
	cost := func() {
		for _, c := range [...]cipher.Block{triple, single} {
			for range blocks {
				c.Encrypt(block, block)
			}
		}
	}
	return []work{{"cryptogram", check, cost}}, failed, nil
}
