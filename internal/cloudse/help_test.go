package cloudse

import (
	"testing"

	"tapnet/emv"
	"tapnet/iso8583/unionpay"
	"tapnet/pan"
)

func luhn(t testing.TB, digits string) pan.Number {
	t.Helper()
	n, err := pan.CompleteLuhn(digits)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reference puts another reference into field 48.
func reference(t testing.TB, ref string) func(*unionpay.TokenRequest) {
	return func(m *unionpay.TokenRequest) {
		o, err := unionpay.TokenData{Operation: unionpay.OperationVerify, Reference: ref}.Opaque()
		if err != nil {
			t.Fatal(err)
		}
		m.Additional = o
	}
}

// iad changes the issuer data.
func iad(change func([]byte)) func(*unionpay.TokenRequest) {
	return func(m *unionpay.TokenRequest) {
		v, _ := m.ICC.Value(emv.TagIAD)
		b := append([]byte(nil), v...)
		change(b)
		m.ICC.Set(emv.TagIAD, b)
	}
}
