package dukpt

import (
	"encoding/binary"
	"fmt"
)

// Layout of the serial number of part 3 in ten bytes, for messages whose field has no room for twelve: 32 bits name the base key, 27 the device, 21 are the
// counter, as in part 1. [X9.24]
const (
	// AESShortKSNBytes is its length.
	AESShortKSNBytes = 10

	shortDeviceBits  = 27
	shortCounterBits = 21
	shortCounterMask = 1<<shortCounterBits - 1
)

// Short returns the serial number in ten bytes. It errs, wrapping ErrKSN, when the device's number or the counter does not fit: then the device needs a new
// initial key, or the message a longer field.
func (k AESKSN) Short() (out [AESShortKSNBytes]byte, err error) {
	device := binary.BigEndian.Uint32(k.b[InitialKeyIDBytes-deviceIDBytes:])
	if device >= 1<<shortDeviceBits || k.Counter() > shortCounterMask {
		return out, fmt.Errorf("short form of a serial number: device or counter too great: %w", ErrKSN)
	}
	copy(out[:], k.b[:InitialKeyIDBytes-deviceIDBytes])
	low := uint64(device)<<shortCounterBits | uint64(k.Counter())
	var tail [8]byte
	binary.BigEndian.PutUint64(tail[:], low)
	copy(out[InitialKeyIDBytes-deviceIDBytes:], tail[2:])
	return out, nil
}

// ParseAESShortKSN reads ten bytes into the full serial number: device and counter are filled up with zeros. The error wraps ErrKSN.
func ParseAESShortKSN(b []byte) (AESKSN, error) {
	if len(b) != AESShortKSNBytes {
		return AESKSN{}, fmt.Errorf("short key serial number of %d bytes, want %d: %w", len(b), AESShortKSNBytes, ErrKSN)
	}
	var id [InitialKeyIDBytes]byte
	copy(id[:], b[:InitialKeyIDBytes-deviceIDBytes])
	var tail [8]byte
	copy(tail[2:], b[InitialKeyIDBytes-deviceIDBytes:])
	low := binary.BigEndian.Uint64(tail[:])
	binary.BigEndian.PutUint32(id[InitialKeyIDBytes-deviceIDBytes:], uint32(low>>shortCounterBits))
	return NewAESKSN(id, uint32(low)&shortCounterMask), nil
}

// TDESHostKey is the working key of a message, from the base key, as a host derives it. The error wraps ErrKey, ErrCounter or ErrUsage.
func TDESHostKey(bdk Key, ksn TDESKSN, usage Usage) (Key, error) {
	initial, err := TDESInitialKey(bdk, ksn)
	if err != nil {
		return Key{}, err
	}
	transaction, err := TDESTransactionKey(initial, ksn)
	if err != nil {
		return Key{}, err
	}
	return TDESWorkingKey(transaction, usage)
}

// AESHostKey is the working key of a message, from the base key, as a host derives it. The error wraps ErrKey, ErrCounter or ErrUsage.
func AESHostKey(bdk Key, ksn AESKSN, usage Usage, kind Type) (Key, error) {
	initial, err := AESInitialKey(bdk, ksn.InitialKeyID())
	if err != nil {
		return Key{}, err
	}
	transaction, err := AESTransactionKey(initial, ksn)
	if err != nil {
		return Key{}, err
	}
	return AESWorkingKey(transaction, ksn, usage, kind)
}
