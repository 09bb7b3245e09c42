package dukpt

import (
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Sizes of part 3. [X9.24]
const (
	// AESKSNBytes is the length of a key serial number: initial key ID and counter.
	AESKSNBytes = 12
	// InitialKeyIDBytes is the length of an initial key ID: four bytes name the base key, four the device.
	InitialKeyIDBytes = 8

	aesCounterBits = 32
	aesMaxOnes     = 16

	deviceIDBytes = 4 // the part of the ID that enters the derivation of everything below the initial key
)

// Key usage indicators that are not a Usage: keys that derive keys.
const (
	usageDerivation        = 0x8000
	usageDerivationInitial = 0x8001

	derivationVersion = 1

	// updateCounter is no transaction: it names the key under which a new initial key comes.
	updateCounter = 1<<32 - 1
)

var aesLadder = ladder{width: aesCounterBits, maxOnes: aesMaxOnes}

// AESKSN is a key serial number of part 3. The zero value is none.
type AESKSN struct{ b [AESKSNBytes]byte }

// ParseAESKSN reads 12 bytes. The error wraps ErrKSN.
func ParseAESKSN(b []byte) (AESKSN, error) {
	if len(b) != AESKSNBytes {
		return AESKSN{}, fmt.Errorf("key serial number of %d bytes, want %d: %w", len(b), AESKSNBytes, ErrKSN)
	}
	return AESKSN{[AESKSNBytes]byte(b)}, nil
}

// NewAESKSN puts an initial key ID and a counter together.
func NewAESKSN(initialKeyID [InitialKeyIDBytes]byte, counter uint32) (k AESKSN) {
	copy(k.b[:], initialKeyID[:])
	binary.BigEndian.PutUint32(k.b[InitialKeyIDBytes:], counter)
	return k
}

// Bytes returns the serial number as sent.
func (k AESKSN) Bytes() [AESKSNBytes]byte { return k.b }

// InitialKeyID names the base key and the device.
func (k AESKSN) InitialKeyID() [InitialKeyIDBytes]byte { return [InitialKeyIDBytes]byte(k.b[:]) }

// Counter is the transaction counter.
func (k AESKSN) Counter() uint32 { return binary.BigEndian.Uint32(k.b[InitialKeyIDBytes:]) }

// String returns 24 hexadecimal digits. A serial number is no secret.
func (k AESKSN) String() string { return strings.ToUpper(fmt.Sprintf("%x", k.b[:])) }

// derive enciphers the derivation data once for each block of the new key. tail is the initial key ID, or device ID and counter. [X9.24]
func derive(from Key, usage uint16, kind Type, tail [InitialKeyIDBytes]byte) Key {
	block, err := aes.NewCipher(from.bytes())
	if err != nil {
		panic(fmt.Sprintf("dukpt: schedule a key of type %v: %v", from.kind, err))
	}
	row := types[kind]
	var out [maxKeyBytes]byte
	var data [aes.BlockSize]byte
	data[0] = derivationVersion
	binary.BigEndian.PutUint16(data[2:], usage)
	binary.BigEndian.PutUint16(data[4:], row.indicator)
	binary.BigEndian.PutUint16(data[6:], uint16(row.bytes*bitsPerByte))
	copy(data[8:], tail[:])
	for n := 0; n*aes.BlockSize < row.bytes; n++ {
		data[1] = byte(n + 1) // key block counter
		block.Encrypt(out[n*aes.BlockSize:], data[:])
	}
	return newKey(kind, out[:row.bytes])
}

// AESInitialKey derives the key that is loaded into the device that the ID names. bdk is an AES key; the initial key has its type.
// The error wraps ErrKey.
func AESInitialKey(bdk Key, initialKeyID [InitialKeyIDBytes]byte) (Key, error) {
	if !bdk.kind.isAES() {
		return Key{}, fmt.Errorf("derive initial key from a base key of type %v, want AES: %w", bdk.kind, ErrKey)
	}
	return derive(bdk, usageDerivationInitial, bdk.kind, initialKeyID), nil
}

// tail is what ties a derivation to device and counter.
func (k AESKSN) tail(counter uint32) (t [InitialKeyIDBytes]byte) {
	copy(t[:], k.b[InitialKeyIDBytes-deviceIDBytes:InitialKeyIDBytes])
	binary.BigEndian.PutUint32(t[deviceIDBytes:], counter)
	return t
}

// step derives the intermediate key of a counter with one more bit.
func (k AESKSN) step(from Key, counter uint32) Key {
	return derive(from, usageDerivation, from.kind, k.tail(counter))
}

// AESTransactionKey derives the key of the transaction that ksn names from the initial key of its device, as a host does. Working keys come from it with
// AESWorkingKey. It accepts counters of any weight but 0 and the last, which is no transaction: the standard's own pseudo code lets a device use a
// counter of 17 ones after one of 16, which AESDevice skips. The error wraps ErrKey or ErrCounter.
func AESTransactionKey(initial Key, ksn AESKSN) (Key, error) {
	if !initial.kind.isAES() {
		return Key{}, fmt.Errorf("derive transaction key from an initial key of type %v, want AES: %w", initial.kind, ErrKey)
	}
	counter := ksn.Counter()
	if counter == 0 || counter == updateCounter {
		return Key{}, fmt.Errorf("derive transaction key of counter %X: %w", counter, ErrCounter)
	}
	return descend(initial, counter, ksn.step), nil
}

// AESWorkingKey derives the key of one usage and type from the key of the transaction that ksn names. A working key is never stronger than the key it
// comes from, and an HMAC key is for MACs only. The error wraps ErrKey or ErrUsage.
func AESWorkingKey(transaction Key, ksn AESKSN, usage Usage, kind Type) (Key, error) {
	if !transaction.kind.isAES() {
		return Key{}, fmt.Errorf("derive working key from a transaction key of type %v, want AES: %w", transaction.kind, ErrKey)
	}
	isMAC := usage == MACGeneration || usage == MACVerification || usage == MACBoth
	switch {
	case !usage.valid() || !kind.valid():
		return Key{}, fmt.Errorf("derive %v key for %v: %w", kind, usage, ErrUsage)
	case kind.isHMAC() && !isMAC:
		return Key{}, fmt.Errorf("derive %v key for %v: %w", kind, usage, ErrUsage)
	case types[kind].strength > types[transaction.kind].strength:
		return Key{}, fmt.Errorf("derive %v key from the weaker %v: %w", kind, transaction.kind, ErrUsage)
	}
	return derive(transaction, usages[usage].indicator, kind, ksn.tail(ksn.Counter())), nil
}

// AESUpdateKey derives the key under which a new initial key is sent to the device; it belongs to no transaction. The error wraps ErrKey.
func AESUpdateKey(initial Key, initialKeyID [InitialKeyIDBytes]byte) (Key, error) {
	if !initial.kind.isAES() {
		return Key{}, fmt.Errorf("derive update key from an initial key of type %v, want AES: %w", initial.kind, ErrKey)
	}
	ksn := NewAESKSN(initialKeyID, updateCounter)
	return derive(descend(initial, updateCounter, ksn.step), usages[KeyEncryption].indicator, initial.kind, ksn.tail(updateCounter)), nil
}

// AESTransaction is one transaction of a device: its serial number, which travels with the message, and its key. It masks the key.
type AESTransaction struct {
	ksn AESKSN
	key Key
}

// KSN is the serial number to send.
func (t AESTransaction) KSN() AESKSN { return t.ksn }

// Key returns the key of a usage and type. The error wraps ErrUsage.
func (t AESTransaction) Key(usage Usage, kind Type) (Key, error) {
	return AESWorkingKey(t.key, t.ksn, usage, kind)
}

// Format prints the serial number.
func (t AESTransaction) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.ksn.String()) }

// AESDevice is what a terminal holds: the 32 intermediate derivation keys. It is not for several goroutines, and it must not be copied.
type AESDevice struct {
	kind Type
	ksn  AESKSN // counter 0
	walk walk
}

// NewAESDevice loads an initial key. The first transaction is number 1. The error wraps ErrKey.
func NewAESDevice(initial Key, initialKeyID [InitialKeyIDBytes]byte) (*AESDevice, error) {
	if !initial.kind.isAES() {
		return nil, fmt.Errorf("load an initial key of type %v, want AES: %w", initial.kind, ErrKey)
	}
	d := &AESDevice{kind: initial.kind, ksn: NewAESKSN(initialKeyID, 0)}
	d.walk = newWalk(aesLadder, initial, d.ksn.step)
	return d, nil
}

// Next begins a transaction. Its keys are erased from the device before it returns, so the caller must store Reveal before any of them is used: a device
// that forgets that it counted uses a key twice. After 2,448,023,842 transactions the error is ErrExhausted.
func (d *AESDevice) Next() (AESTransaction, error) {
	key, counter, err := d.walk.take(aesLadder, d.ksn.step)
	if err != nil {
		return AESTransaction{}, err
	}
	return AESTransaction{ksn: NewAESKSN(d.ksn.InitialKeyID(), counter), key: key}, nil
}

// Counter is the number of the next transaction, 0 when there is none. It only rises.
func (d *AESDevice) Counter() uint32 { return d.walk.counter }

// Reveal returns the state as one block to be stored, in clear.
func (d *AESDevice) Reveal() []byte {
	id := d.ksn.InitialKeyID()
	return d.walk.appendState(nil, d.kind, id[:])
}

// RestoreAESDevice reads the block that Reveal wrote. The error wraps ErrState.
func RestoreAESDevice(state []byte) (*AESDevice, error) {
	w, kind, id, err := parseState(aesLadder, state, InitialKeyIDBytes, Type.isAES)
	if err != nil {
		return nil, fmt.Errorf("restore AES device: %w", err)
	}
	return &AESDevice{kind: kind, ksn: NewAESKSN([InitialKeyIDBytes]byte(id), 0), walk: w}, nil
}

// Format prints the serial number of the next transaction.
func (d AESDevice) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, NewAESKSN(d.ksn.InitialKeyID(), d.walk.counter).String())
}

// LogValue logs the serial number of the next transaction.
func (d AESDevice) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }
