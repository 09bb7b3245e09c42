package unionpay

import (
	"encoding/binary"
	"fmt"
	"strings"

	"tapnet/tlv"
)

// KeyMethod is how a terminal without shared working keys derives the key of one transaction [X9.24].
type KeyMethod byte

// The methods. The zero value: none.
const (
	KeyTDES     KeyMethod = 1 // part 1, triple DES: serial number of 10 bytes
	KeyAES      KeyMethod = 2 // part 3, AES, with a triple DES working key: serial number of 12 bytes
	KeyAESShort KeyMethod = 3 // the same with the serial number in its form of 10 bytes
)

// KeySerial names the key under which field 52 is enciphered: method and key serial number. It is no secret.
type KeySerial struct {
	method KeyMethod
	serial string
}

// keySerialTag holds method 1 ‖ key serial number 10 or 12 in field 59. The sources carry no key serial number at all: place and tag are ours.
const keySerialTag tlv.Tag = 0xC0

// NewKeySerial checks method and length. The error wraps ErrContent.
func NewKeySerial(method KeyMethod, serial []byte) (KeySerial, error) {
	want := map[KeyMethod]int{KeyTDES: 10, KeyAES: 12, KeyAESShort: 10}[method]
	if want == 0 || len(serial) != want {
		return KeySerial{}, fmt.Errorf("key serial number of %d bytes for method %d: %w", len(serial), method, ErrContent)
	}
	return KeySerial{method, string(serial)}, nil
}

// IsZero reports whether there is none: the key is the one of the session.
func (k KeySerial) IsZero() bool { return k.method == 0 }

// Method is how the key is derived.
func (k KeySerial) Method() KeyMethod { return k.method }

// Bytes is the serial number.
func (k KeySerial) Bytes() []byte { return []byte(k.serial) }

// Layout of serial numbers [X9.24]: that of part 1 ends with 21 bits of counter, and so does the short form of part 3, behind 27 bits of the device's number.
const (
	serialCounterBits = 21
	serialDeviceBits  = 27
)

// Device is the number of the device whose key it is, base key included, and Counter that of the transaction. The two forms of part 3 give the same.
func (k KeySerial) Device() uint64 {
	b := []byte(k.serial)
	switch k.method {
	case KeyTDES:
		return binary.BigEndian.Uint64(b)>>5<<5 ^ tdesDevice
	case KeyAES:
		return binary.BigEndian.Uint64(b)
	case KeyAESShort:
		low := binary.BigEndian.Uint64(b[2:])
		return uint64(binary.BigEndian.Uint32(b))<<32 | low>>serialCounterBits&(1<<serialDeviceBits-1)
	}
	return 0
}

// tdesDevice keeps devices of part 1, whose numbers begin with filling bits, apart from those of part 3.
const tdesDevice = 1

// Counter is the number of the transaction, which rises with every key of a device.
func (k KeySerial) Counter() uint32 {
	b := []byte(k.serial)
	switch k.method {
	case KeyAES:
		return binary.BigEndian.Uint32(b[len(b)-4:])
	case KeyTDES, KeyAESShort:
		return binary.BigEndian.Uint32(b[len(b)-4:]) & (1<<serialCounterBits - 1)
	}
	return 0
}

// String is the serial number in hexadecimal digits.
func (k KeySerial) String() string { return strings.ToUpper(fmt.Sprintf("%x", k.serial)) }

// AppendKeySerial puts the serial number behind what field 59 holds already.
func AppendKeySerial(detail Opaque, k KeySerial) Opaque {
	return Opaque(tlv.Append([]byte(detail), keySerialTag, append([]byte{byte(k.method)}, k.serial...)))
}

// KeySerialOf reads it out of field 59: the zero value when there is none. The error wraps ErrContent.
func KeySerialOf(detail Opaque) (KeySerial, error) {
	value, found := tlv.Find([]byte(detail), keySerialTag)
	if !found {
		return KeySerial{}, nil
	}
	if len(value) == 0 {
		return KeySerial{}, fmt.Errorf("key serial number: %w", ErrContent)
	}
	return NewKeySerial(KeyMethod(value[0]), value[1:])
}
