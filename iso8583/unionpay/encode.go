package unionpay

import (
	"errors"
	"fmt"
	"sync"

	"tapnet/iso8583"
)

// workspace is what Encode and Decode need for one message; it is large, so it is used again.
type workspace struct {
	message iso8583.Message
	text    [1024]byte // the characters of one field; the longest has 999
	joined  []byte     // the characters of fields that are not sensitive
	spans   [len(bindings)]span
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// release forgets what may be secret and gives the workspace back.
func (w *workspace) release() {
	w.message.Reset(nil)
	clear(w.text[:])
	workspaces.Put(w)
}

// ErrMAC is wrapped when the MACFunc given to Encode failed.
var ErrMAC = errors.New("MAC could not be computed")

// Encode writes m behind dst as d writes it. Fields that d does not have are left out (a terminal has no field 7);
// a mandatory field that is absent is an error, as it would be for the receiver. With mac the message carries a
// MAC, computed over everything before it; without, none. After an error dst comes back unchanged.
func Encode(d Dialect, dst []byte, m Message, mac MACFunc) ([]byte, error) {
	w := workspaces.Get().(*workspace)
	defer w.release()
	out, err := w.encode(d, dst, m, mac)
	if err != nil {
		return dst, fmt.Errorf("encode %s for %v: %w", WireType(d, m), d, err)
	}
	return out, nil
}

func (w *workspace) encode(d Dialect, dst []byte, m Message, mac MACFunc) ([]byte, error) {
	spec, mti := SpecOf(d), WireType(d, m)
	if err := checkType(d, m, mti); err != nil {
		return dst, err
	}
	w.message.Reset(spec)
	copy(w.message.MTI[:], mti)
	if d == Switch {
		w.message.WriteSecondaryBitmap() // the switch's bitmap always has 16 bytes [REF 6.4]
	}
	var r *rule
	var err error
	if p := PaymentOf(m); p != nil {
		r = ruleFor(d, mti, p.kind())
		err = w.putPayment(d, p, r)
	} else {
		r = ruleFor(d, mti, "")
		err = w.putNetwork(d, networkOf(m), mti)
	}
	if err == nil {
		err = r.check(&w.message)
	}
	if err != nil {
		return dst, err
	}
	if mac == nil {
		return spec.Append(dst, &w.message)
	}
	var zero [macBytes]byte
	if err := w.message.Set(macField(d), zero[:]); err != nil {
		return dst, err
	}
	out, err := spec.Append(dst, &w.message)
	if err != nil {
		return dst, err
	}
	at := len(out) - macBytes
	value, err := mac(out[len(dst):at])
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrMAC, err)
	}
	copy(out[at:], value[:])
	return out, nil
}

// checkType refuses what the dialect does not have and what the flags of m cannot mean.
func checkType(d Dialect, m Message, mti MTI) error {
	known := ruleFor(d, mti, "") != nil
	switch m := m.(type) {
	case *FinancialRequest:
		known = known && !(m.Advice && m.Authorization)
	case *FinancialResponse:
		known = known && !(m.Advice && m.Authorization)
	case *NetworkRequest:
		known = known && (mti == TypeNetworkRequest || mti == TypeNetworkAdvice)
	case *NetworkResponse:
		known = known && (mti == TypeNetworkResponse || mti == TypeNetworkAdviceReply)
	}
	if !known {
		return &iso8583.FieldError{Field: iso8583.MTIField, Offset: iso8583.UnknownOffset, Err: ErrUnknownType}
	}
	return nil
}

func (w *workspace) putPayment(d Dialect, p *Payment, r *rule) error {
	places := &placesOf[d]
	for i := range bindings {
		bound := &bindings[i]
		at := &places[bound.number]
		if at.bound == nil || bound.number == fieldAmount && p.Amount.IsZero() && !r.demands(fieldAmount) {
			continue
		}
		var err error
		if bound.text != nil {
			if text := *bound.text(p); text != "" {
				err = w.putText(bound.number, at.max, at.padded, text, bound.check)
			}
		} else if text, cause := bound.put(p, w.text[:0]); cause != nil {
			err = unsent(bound.number, cause)
		} else if len(text) > 0 {
			err = w.message.Set(bound.number, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func unsent(field int, err error) error {
	return &iso8583.FieldError{Field: field, Offset: iso8583.UnknownOffset, Err: err}
}

// isPadded says whether the field is filled up with blanks on the right.
func isPadded(field iso8583.FieldSpec) bool {
	return field.Length == fixed && (field.Kind == alpha || field.Kind == special)
}

// putText puts characters into a field that has room for max of them.
func (w *workspace) putText(number, max int, padded bool, text string, check func([]byte) bool) error {
	if len(text) > max {
		return unsent(number, iso8583.ErrLength)
	}
	buffer := append(w.text[:0], text...)
	if check != nil && !check(buffer) {
		return unsent(number, ErrContent)
	}
	if padded {
		if text[len(text)-1] == ' ' { // it would not come back
			return unsent(number, ErrContent)
		}
		for len(buffer) < max {
			buffer = append(buffer, ' ')
		}
	}
	return w.message.Set(number, buffer)
}
