package phone

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"tapnet/emv"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/tlv"
)

// RemoteRequest is what a merchant's application asks a phone to pay.
type RemoteRequest struct {
	Token        string // "": the picked or the default one
	Verification Verification
	Password     string // with Password
	Merchant     string // as its acquirer knows it, field 42
	Country      int    // numeric
	Amount       money.Amount
	At           time.Time // at the merchant
	Random       io.Reader // the merchant's: it draws the unpredictable number
}

// RemoteResult is what the merchant gets: nothing in it is good for another merchant or amount.
type RemoteResult struct {
	Token    string // reference
	Code     int32  // hce.ArmOK, or why the phone does not pay
	Number   pan.Number
	Expiry   pan.Expiry
	Sequence string // two digits
	ICC      emv.Data
}

// PayRemote pays in an application: there is no reader, and the cryptogram goes to the merchant's server.
func (p *Phone) PayRemote(r RemoteRequest) (result RemoteResult, err error) {
	if result.Token, err = p.known(r.Token); err != nil {
		return result, fmt.Errorf("pay in an application: %w", err)
	}
	var unpredictable [4]byte
	if _, err := io.ReadFull(r.Random, unpredictable[:]); err != nil {
		return result, fmt.Errorf("draw an unpredictable number: %w", err)
	}
	text, err := json.Marshal(map[string]any{
		"merchant": strings.TrimSpace(r.Merchant), "amount_minor": r.Amount.Minor(), "currency": r.Amount.Currency().Number(), "country": r.Country,
		"date": r.At.Format("060102"), "unpredictable": hex.EncodeToString(unpredictable[:]),
	})
	if err != nil {
		return result, fmt.Errorf("pay in an application: %w", err)
	}
	if r.Verification == Password {
		p.platform.SetPassword(r.Password)
	}
	var out [hce.RemoteBytes]byte
	n := p.Engine.RemoteInto(result.Token, int32(r.Verification), 0, string(text), out[:])
	if n <= 0 {
		result.Code = n
		return result, nil
	}
	return result, result.read(out[:n])
}

// read takes the elements apart: what identifies the token is not part of field 55.
func (r *RemoteResult) read(b []byte) (err error) {
	for len(b) > 0 {
		var e tlv.Element
		if e, b, err = tlv.Next(b); err != nil {
			return fmt.Errorf("read what the phone pays with: %w", err)
		}
		switch e.Tag {
		case emv.TagPAN:
			r.Number, err = pan.FromBCD(e.Value)
		case emv.TagExpiryDate:
			r.Expiry, err = pan.ParseExpiry(hex.EncodeToString(e.Value)[:4])
		case emv.TagPANSequence:
			r.Sequence = hex.EncodeToString(e.Value)
		default:
			r.ICC.Set(e.Tag, e.Value)
		}
		if err != nil {
			return fmt.Errorf("read what the phone pays with: %w", err)
		}
	}
	return nil
}
