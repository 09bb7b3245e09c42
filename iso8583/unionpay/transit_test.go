package unionpay

import (
	"errors"
	"testing"
)

// TestTheTransitIndicator goes into field 59 beside what is there, and what is none is refused.
func TestTheTransitIndicator(t *testing.T) {
	serial, err := NewKeySerial(KeyTDES, make([]byte, 10))
	if err != nil {
		t.Fatal(err)
	}
	want := Transit{TransitFares, 20261123}
	detail := AppendTransit(AppendKeySerial("", serial), want)
	if got, err := TransitOf(detail); err != nil || got != want {
		t.Errorf("read %+v, %v", got, err)
	}
	if k, err := KeySerialOf(detail); err != nil || k != serial {
		t.Errorf("the key's serial number beside it: %v, %v", k, err)
	}
	if got, err := TransitOf(AppendKeySerial("", serial)); err != nil || !got.IsZero() {
		t.Errorf("none: %+v, %v", got, err)
	}
	for name, bad := range map[string]Opaque{
		"no use": "\xC1\x05\x00\x01\x35\x26\xB3", "a use nobody knows": "\xC1\x05\x04\x01\x35\x26\xB3", "too short": "\xC1\x04\x01\x01\x35\x26",
		"too long": "\xC1\x06\x01\x01\x35\x26\xB3\x00", "no day": "\xC1\x05\x01\x00\x00\x00\x00", "a day beyond all": "\xC1\x05\x01\xFF\xFF\xFF\xFF",
	} {
		if got, err := TransitOf(bad); !errors.Is(err, ErrContent) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestTheOriginalOfASale: the condition of a pre-authorization says that the original is one.
func TestTheOriginalOfASale(t *testing.T) {
	m := &FinancialRequest{Payment: Payment{Terminal: "T0000001", Info: Info{MessageType: KindSale, Batch: 1}, Original: &Original{Batch: 1, STAN: 7}}}
	sale := OriginalKey(m)
	m.Condition = ConditionPreAuth
	if hold := OriginalKey(m); sale[:len(sale)-1] != hold[:len(hold)-1] || sale[len(sale)-1] != '2' || hold[len(hold)-1] != '1' {
		t.Errorf("%q and %q", sale, hold)
	}
}
