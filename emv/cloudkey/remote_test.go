package cloudkey

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// TestRemoteTag: with a merchant the device tag is HMAC over label, token, merchant and the rest; it is none without, of another merchant, or under a boundary
// that is moved between token and merchant.
func TestRemoteTag(t *testing.T) {
	key, err := NewSecret(bytes.Repeat([]byte{0x5A}, SecretBytes))
	if err != nil {
		t.Fatal(err)
	}
	in := TagInput{ATC: 7, UnpredictableNumber: [4]byte{1, 2, 3, 4}, Amount: [6]byte{0, 0, 0, 0, 0x12, 0x50}, Currency: [2]byte{0x01, 0x56},
		Evidence: Evidence{BSEQ: 9, CVM: CVMTypeFace, CVMAge: 1}, Cryptogram: [8]byte{8, 7, 6, 5, 4, 3, 2, 1}, Merchant: "301000054110001"}
	h := hmac.New(sha256.New, bytes.Repeat([]byte{0x5A}, SecretBytes))
	for _, text := range []string{"QCK1-RT", "tok-1", in.Merchant} {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(text))))
		h.Write([]byte(text))
	}
	h.Write([]byte{0, 7, 1, 2, 3, 4, 0, 0, 0, 0, 0x12, 0x50, 0x01, 0x56, 0, 0, 9, byte(CVMTypeFace), 1, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1})
	tag := [TagBytes]byte(h.Sum(nil)[:TagBytes])
	if !CheckTag(key, "tok-1", in, tag) {
		t.Errorf("tag is %X, want %X", DeviceTag(key, "tok-1", in), tag)
	}
	for name, change := range map[string]func(*TagInput) string{
		"a tap":            func(in *TagInput) string { in.Merchant = ""; return "tok-1" },
		"another merchant": func(in *TagInput) string { in.Merchant = "301000054110002"; return "tok-1" },
		"moved boundary":   func(in *TagInput) string { in.Merchant = "1301000054110001"[:MaxMerchantBytes]; return "tok-" },
		"another amount":   func(in *TagInput) string { in.Amount[5]++; return "tok-1" },
	} {
		other := in
		if token := change(&other); CheckTag(key, token, other, tag) {
			t.Errorf("%s has the same tag", name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = DeviceTag(key, "tok-1", in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("a merchant of 16 characters was taken")
		}
	}()
	in.Merchant += "1"
	DeviceTag(key, "tok-1", in)
}
