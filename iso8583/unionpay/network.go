package unionpay

import (
	"fmt"
	"log/slog"
)

// Network holds the fields of network management messages. A zero value means the field is absent.
type Network struct {
	MTI         MTI          // 0800 or 0820 (0810 or 0830 in a response); "" = the usual one for Code in the dialect
	STAN        uint32       // field 11
	Time        string       // field 7 at the switch, MMDDhhmmss in UTC
	LocalTime   string       // field 12, hhmmss, terminal only
	LocalDate   string       // field 13, MMDD, terminal only
	Acquirer    string       // field 32, terminal responses
	Institution string       // field 33 at the switch: who sends
	Receiver    string       // field 100 at the switch
	RRN         string       // field 37
	Response    ResponseCode // field 39, responses only
	Terminal    string       // field 41, terminal only
	Merchant    string       // field 42, terminal only
	Batch       uint32       // field 60.2, terminal only
	Code        NetworkCode  // field 60.3 at the terminal, field 70 at the switch
	// Keys are the new working keys under the shared key-encryption key. The terminal dialect carries a PIN key and
	// a MAC key in field 62 of the sign-on response; at the switch one message carries one key (fields 53, 48, 96).
	Keys     *WrappedKeys
	Data     Opaque // field 62 when it carries no keys: parameters, public keys; terminal only
	Operator string // field 63, terminal sign-on: up to 999 bytes, usually three characters
	Security string // field 53 at the switch when it stands without a key
}

// NetworkRequest is 0800 or 0820: sign-on, sign-off, echo, key exchange, parameter download.
type NetworkRequest Network

// NetworkResponse is 0810 or 0830.
type NetworkResponse Network

// Type is MTI, or 0800 when it is left empty; see WireType for what goes on the wire.
func (m *NetworkRequest) Type() MTI {
	if m.MTI == "" {
		return TypeNetworkRequest
	}
	return m.MTI
}

// Type is MTI, or 0810 when it is left empty.
func (m *NetworkResponse) Type() MTI {
	if m.MTI == "" {
		return TypeNetworkResponse
	}
	return m.MTI
}

// WrappedKeys are working keys enciphered under a key-encryption key, with the first 4 bytes of enciphering zeros
// under each as check value. A check value of zeros is not sent at the switch. PIN is 8 or 16 bytes, MAC 8 or 16.
// TrackKey (16 bytes) only in the terminal dialect with two double-length keys.
type WrappedKeys struct {
	PIN, MAC, Track          []byte
	PINKCV, MACKCV, TrackKCV [4]byte
}

// String tells the lengths and the check values, which are no secret.
func (k WrappedKeys) String() string {
	return fmt.Sprintf("PIN key [%d bytes] %X, MAC key [%d bytes] %X, track key [%d bytes] %X",
		len(k.PIN), k.PINKCV, len(k.MAC), k.MACKCV, len(k.Track), k.TrackKCV)
}

// Format prints String whatever the verb.
func (k WrappedKeys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.String())) }

// LogValue logs String.
func (k WrappedKeys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText gives String.
func (k WrappedKeys) MarshalText() ([]byte, error) { return []byte(k.String()), nil }
