package dukpt

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"tapnet/des"
)

// Sizes of part 1. [X9.24]
const (
	// TDESKSNBytes is the length of a key serial number: 59 bits name key set and device, 21 are the counter.
	TDESKSNBytes = 10

	minKSNBytes     = 8 // shorter ones lack the leading bytes, which are FF then
	tdesCounterBits = 21
	tdesMaxOnes     = 10
	tdesCounterMask = 1<<tdesCounterBits - 1
)

var tdesLadder = ladder{width: tdesCounterBits, maxOnes: tdesMaxOnes}

// variant is what a transaction key is added to for a usage. [X9.24]
type variant struct {
	mask   uint64 // for each half of the key
	oneWay bool   // data keys are enciphered under themselves afterwards, so that none gives away another
}

var (
	variantPIN          = variant{mask: 0x00000000000000FF}
	variantMACRequest   = variant{mask: 0x000000000000FF00}
	variantMACResponse  = variant{mask: 0x00000000FF000000}
	variantDataRequest  = variant{mask: 0x0000000000FF0000, oneWay: true}
	variantDataResponse = variant{mask: 0x000000FF00000000, oneWay: true}
)

// keyMask makes the second key of a pair: for the right half of the initial key, and for the left half of what follows.
const keyMask = 0xC0C0C0C000000000

// TDESKSN is a key serial number of part 1. The zero value is none.
type TDESKSN struct{ b [TDESKSNBytes]byte }

// ParseTDESKSN reads 8 to 10 bytes. Shorter ones are what devices send that leave out leading FF bytes. The error wraps ErrKSN.
func ParseTDESKSN(b []byte) (TDESKSN, error) {
	if len(b) < minKSNBytes || len(b) > TDESKSNBytes {
		return TDESKSN{}, fmt.Errorf("key serial number of %d bytes, want %d to %d: %w", len(b), minKSNBytes, TDESKSNBytes, ErrKSN)
	}
	ksn := TDESKSN{[TDESKSNBytes]byte{0xFF, 0xFF}}
	copy(ksn.b[TDESKSNBytes-len(b):], b)
	return ksn, nil
}

// Bytes returns the serial number as sent.
func (k TDESKSN) Bytes() [TDESKSNBytes]byte { return k.b }

// Counter is the transaction counter; 0 names the initial key.
func (k TDESKSN) Counter() uint32 { return binary.BigEndian.Uint32(k.b[6:]) & tdesCounterMask }

// WithCounter returns the serial number of another transaction of the device. Bits above the 21 of the counter are dropped.
func (k TDESKSN) WithCounter(counter uint32) TDESKSN {
	low := binary.BigEndian.Uint32(k.b[6:])&^tdesCounterMask | counter&tdesCounterMask
	binary.BigEndian.PutUint32(k.b[6:], low)
	return k
}

// String returns 20 hexadecimal digits. A serial number is no secret.
func (k TDESKSN) String() string { return strings.ToUpper(fmt.Sprintf("%x", k.b[:])) }

// TDESInitialKey derives the key that is loaded into the device that ksn names; its counter does not matter. bdk is a TDEA2 key.
// The error wraps ErrKey.
func TDESInitialKey(bdk Key, ksn TDESKSN) (Key, error) {
	if bdk.kind != TDEA2 {
		return Key{}, fmt.Errorf("derive initial key from a base key of type %v, want %v: %w", bdk.kind, TDEA2, ErrKey)
	}
	name := ksn.WithCounter(0).b
	var out [2 * des.BlockBytes]byte
	copy(out[:], name[:des.BlockBytes])
	copy(out[des.BlockBytes:], name[:des.BlockBytes])
	encrypt(bdk.bytes(), out[:des.BlockBytes])
	second := masked(bdk, keyMask)
	encrypt(second[:], out[des.BlockBytes:])
	return newKey(TDEA2, out[:]), nil
}

// encrypt enciphers one block in place under a double-length key.
func encrypt(key, block []byte) {
	var triple des.Triple
	triple.Set((*[des.TripleKeyBytes]byte)(key))
	out := des.EnterBytes(block).EncryptTriple(&triple).LeaveBytes()
	copy(block, out[:])
}

// masked adds mask to both halves of a key.
func masked(k Key, mask uint64) (out [2 * des.BlockBytes]byte) {
	b := k.bytes()
	binary.BigEndian.PutUint64(out[:], binary.BigEndian.Uint64(b)^mask)
	binary.BigEndian.PutUint64(out[des.BlockBytes:], binary.BigEndian.Uint64(b[des.BlockBytes:])^mask)
	return out
}

// step is the non-reversible key generation process: the right half of the result comes from the key, the left half from its masked form. [X9.24]
func (k TDESKSN) step(from Key, counter uint32) Key {
	name := k.WithCounter(counter).b
	data := name[TDESKSNBytes-des.BlockBytes:]
	second := masked(from, keyMask)
	var out [2 * des.BlockBytes]byte
	oneWay(out[des.BlockBytes:], from.bytes(), data)
	oneWay(out[:des.BlockBytes], second[:], data)
	return newKey(TDEA2, out[:])
}

// oneWay enciphers data under the left half of key, with the right half added before and after.
func oneWay(dst, key, data []byte) {
	var schedule des.Schedule
	schedule.Set(key[:des.KeyBytes])
	right := key[des.KeyBytes:]
	subtle.XORBytes(dst, data, right)
	out := des.EnterBytes(dst).Encrypt(&schedule).LeaveBytes()
	subtle.XORBytes(dst, out[:], right)
}

// TDESTransactionKey derives the key of the transaction that ksn names from the initial key of its device, as a host does. Working keys come from it with
// TDESWorkingKey. The error wraps ErrKey or ErrCounter.
func TDESTransactionKey(initial Key, ksn TDESKSN) (Key, error) {
	if initial.kind != TDEA2 {
		return Key{}, fmt.Errorf("derive transaction key from an initial key of type %v, want %v: %w", initial.kind, TDEA2, ErrKey)
	}
	counter := ksn.Counter()
	if !tdesLadder.allows(counter) {
		return Key{}, fmt.Errorf("derive transaction key of counter %X: %w", counter, ErrCounter)
	}
	return descend(initial, counter, ksn.step), nil
}

// TDESWorkingKey derives the key of one usage from the key of a transaction. MACBoth is MACGeneration and DataBoth is DataEncrypt: part 1 has one key for
// requests and both directions, and another for answers. There is no KeyEncryption. The error wraps ErrKey or ErrUsage.
func TDESWorkingKey(transaction Key, usage Usage) (Key, error) {
	if transaction.kind != TDEA2 {
		return Key{}, fmt.Errorf("derive working key from a transaction key of type %v, want %v: %w", transaction.kind, TDEA2, ErrKey)
	}
	if !usage.valid() || usages[usage].variant == (variant{}) {
		return Key{}, fmt.Errorf("derive triple DES key for %v: %w", usage, ErrUsage)
	}
	v := usages[usage].variant
	key := masked(transaction, v.mask)
	if v.oneWay {
		under := key
		encrypt(under[:], key[:des.BlockBytes])
		encrypt(under[:], key[des.BlockBytes:])
	}
	return newKey(TDEA2, key[:]), nil
}

// TDESTransaction is one transaction of a device: its serial number, which travels with the message, and its key. It masks the key.
type TDESTransaction struct {
	ksn TDESKSN
	key Key
}

// KSN is the serial number to send.
func (t TDESTransaction) KSN() TDESKSN { return t.ksn }

// Key returns the key of a usage. The error wraps ErrUsage.
func (t TDESTransaction) Key(usage Usage) (Key, error) { return TDESWorkingKey(t.key, usage) }

// Format prints the serial number.
func (t TDESTransaction) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.ksn.String()) }

// TDESDevice is what a terminal holds: the 21 future key registers. It is not for several goroutines, and it must not be copied.
type TDESDevice struct {
	ksn  TDESKSN // counter 0
	walk walk
}

// NewTDESDevice loads an initial key. The counter of ksn does not matter; the first transaction is number 1. The error wraps ErrKey.
func NewTDESDevice(initial Key, ksn TDESKSN) (*TDESDevice, error) {
	if initial.kind != TDEA2 {
		return nil, fmt.Errorf("load an initial key of type %v, want %v: %w", initial.kind, TDEA2, ErrKey)
	}
	d := &TDESDevice{ksn: ksn.WithCounter(0)}
	d.walk = newWalk(tdesLadder, initial, d.ksn.step)
	return d, nil
}

// Next begins a transaction. Its keys are erased from the device before it returns, so the caller must store Reveal before any of them is used: a device
// that forgets that it counted uses a key twice. After 1,048,575 transactions the error is ErrExhausted.
func (d *TDESDevice) Next() (TDESTransaction, error) {
	key, counter, err := d.walk.take(tdesLadder, d.ksn.step)
	if err != nil {
		return TDESTransaction{}, err
	}
	return TDESTransaction{ksn: d.ksn.WithCounter(counter), key: key}, nil
}

// Counter is the number of the next transaction, 0 when there is none. It only rises.
func (d *TDESDevice) Counter() uint32 { return d.walk.counter }

// Reveal returns the state as one block to be stored, in clear.
func (d *TDESDevice) Reveal() []byte { return d.walk.appendState(nil, TDEA2, d.ksn.b[:]) }

// RestoreTDESDevice reads the block that Reveal wrote. The error wraps ErrState.
func RestoreTDESDevice(state []byte) (*TDESDevice, error) {
	w, _, id, err := parseState(tdesLadder, state, TDESKSNBytes, func(t Type) bool { return t == TDEA2 })
	if err != nil {
		return nil, fmt.Errorf("restore triple DES device: %w", err)
	}
	ksn := TDESKSN{[TDESKSNBytes]byte(id)}
	if ksn.Counter() != 0 {
		return nil, fmt.Errorf("restore triple DES device: a counter in its name: %w", ErrState)
	}
	return &TDESDevice{ksn: ksn, walk: w}, nil
}

// Format prints the serial number of the next transaction.
func (d TDESDevice) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, d.ksn.WithCounter(d.walk.counter).String())
}

// LogValue logs the serial number of the next transaction.
func (d TDESDevice) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(d)) }
