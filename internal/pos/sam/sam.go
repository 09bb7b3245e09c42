// Package sam is the secure access module of a till that is a phone (mPOS): every PIN and every piece of data is enciphered under a key of its own, derived
// by DUKPT [X9.24], and the key serial number travels with the message, so that a phone that is opened gives away nothing of the past.
//
// Promise: a key is used only after the module's memory no longer holds it; a module whose memory cannot be written enciphers nothing; when the last key
// is used it says so. PINs are format 0 blocks [ISO 9564-1 9.3.2] under triple DES, whichever method derives the key, because field 52 has eight bytes
// [REF 6.1]; data are enciphered with AES where the base key is an AES key, in CBC mode with a zero vector, each under a key of its own.
//
// Not here: the host's side (package dukpt derives, a security module holds the base key), how the initial key comes into the module.
package sam

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"

	"tapnet/dukpt"
	"tapnet/iso8583/unionpay"
	"tapnet/pinblock"
)

// Memory keeps the module's state, which is secret. Store returns once the state is durable and the one before it is gone.
type Memory interface {
	Load() ([]byte, error) // nil: nothing was stored yet
	Store(state []byte) error
}

// Errors of a module.
var (
	// ErrExhausted says that the last key was used: the module needs a new initial key.
	ErrExhausted = dukpt.ErrExhausted
	// ErrMemory says that the memory could not be read or written; nothing was enciphered.
	ErrMemory = errors.New("the memory of the secure access module fails")
	// ErrData says that data cannot be enciphered or deciphered.
	ErrData = errors.New("data of the secure access module")
)

// maxData bounds a piece of data: a track or a card number is below 64 bytes, a photo is not for this.
const maxData = 1024

// Module is a secure access module. It may be used by several goroutines.
type Module struct {
	mu     sync.Mutex
	method unionpay.KeyMethod
	memory Memory
	tdes   *dukpt.TDESDevice
	aes    *dukpt.AESDevice
}

// Inject loads an initial key into a module. ksn is the key serial number of part 1, or the initial key ID of part 3; its counter does not matter. It replaces
// what the memory held.
func Inject(method unionpay.KeyMethod, memory Memory, initial dukpt.Key, ksn []byte) (*Module, error) {
	m := &Module{method: method, memory: memory}
	var err error
	switch method {
	case unionpay.KeyTDES:
		var serial dukpt.TDESKSN
		if serial, err = dukpt.ParseTDESKSN(ksn); err == nil {
			m.tdes, err = dukpt.NewTDESDevice(initial, serial)
		}
	case unionpay.KeyAES, unionpay.KeyAESShort:
		if len(ksn) != dukpt.InitialKeyIDBytes {
			return nil, fmt.Errorf("inject: initial key ID of %d bytes: %w", len(ksn), dukpt.ErrKSN)
		}
		m.aes, err = dukpt.NewAESDevice(initial, [dukpt.InitialKeyIDBytes]byte(ksn))
	default:
		return nil, fmt.Errorf("inject: method %d: %w", method, dukpt.ErrUsage)
	}
	if err == nil {
		err = m.store()
	}
	if err != nil {
		return nil, fmt.Errorf("inject: %w", err)
	}
	return m, nil
}

// Open goes on with what the memory holds.
func Open(method unionpay.KeyMethod, memory Memory) (*Module, error) {
	state, err := memory.Load()
	if err != nil {
		return nil, fmt.Errorf("open: %w: %w", ErrMemory, err)
	}
	m := &Module{method: method, memory: memory}
	if method == unionpay.KeyTDES {
		m.tdes, err = dukpt.RestoreTDESDevice(state)
	} else {
		m.aes, err = dukpt.RestoreAESDevice(state)
	}
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	return m, nil
}

func (m *Module) store() error {
	var state []byte
	if m.tdes != nil {
		state = m.tdes.Reveal()
	} else {
		state = m.aes.Reveal()
	}
	defer clear(state)
	if err := m.memory.Store(state); err != nil {
		return fmt.Errorf("%w: %w", ErrMemory, err)
	}
	return nil
}

// next takes a transaction's key for a usage; it is gone from the memory before it is returned.
func (m *Module) next(usage dukpt.Usage, kind dukpt.Type) (key dukpt.Key, serial unionpay.KeySerial, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ksn []byte
	if m.tdes != nil {
		var tx dukpt.TDESTransaction
		if tx, err = m.tdes.Next(); err == nil {
			key, err = tx.Key(usage)
			b := tx.KSN().Bytes()
			ksn = b[:]
		}
	} else {
		var tx dukpt.AESTransaction
		if tx, err = m.aes.Next(); err == nil {
			key, err = tx.Key(usage, kind)
			ksn, err = m.serial(tx.KSN(), err)
		}
	}
	if err != nil {
		return dukpt.Key{}, unionpay.KeySerial{}, err
	}
	if err := m.store(); err != nil {
		return dukpt.Key{}, unionpay.KeySerial{}, err
	}
	serial, err = unionpay.NewKeySerial(m.method, ksn)
	return key, serial, err
}

// serial is how the number travels. A counter that its short form has no room for is the end of the module's life.
func (m *Module) serial(ksn dukpt.AESKSN, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	if m.method == unionpay.KeyAES {
		b := ksn.Bytes()
		return b[:], nil
	}
	b, err := ksn.Short()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExhausted, err)
	}
	return b[:], nil
}

// EncipherPINUnique enciphers a PIN block under the key of the next transaction.
func (m *Module) EncipherPINUnique(clearBlock pinblock.Block) (pinblock.Block, unionpay.KeySerial, error) {
	key, serial, err := m.next(dukpt.PINEncryption, dukpt.TDEA2)
	if err != nil {
		return pinblock.Block{}, serial, fmt.Errorf("encipher PIN: %w", err)
	}
	cipherBlock, err := key.Cipher()
	if err != nil {
		return pinblock.Block{}, serial, fmt.Errorf("encipher PIN: %w", err)
	}
	block := clearBlock.Reveal()
	cipherBlock.Encrypt(block[:], block[:])
	out, err := pinblock.FromBytes(block[:])
	return out, serial, err
}

// EncipherData enciphers data, a track for instance, under the key of the next transaction. It is padded with 80 00….
func (m *Module) EncipherData(data []byte) ([]byte, unionpay.KeySerial, error) {
	if len(data) > maxData {
		return nil, unionpay.KeySerial{}, fmt.Errorf("%w: %d bytes, at most %d", ErrData, len(data), maxData)
	}
	key, serial, err := m.next(dukpt.DataEncrypt, dukpt.AES128)
	if err != nil {
		return nil, serial, fmt.Errorf("encipher data: %w", err)
	}
	block, err := key.Cipher()
	if err != nil {
		return nil, serial, fmt.Errorf("encipher data: %w", err)
	}
	padded := append(append(make([]byte, 0, len(data)+block.BlockSize()), data...), 0x80)
	for len(padded)%block.BlockSize() != 0 {
		padded = append(padded, 0)
	}
	cipher.NewCBCEncrypter(block, make([]byte, block.BlockSize())).CryptBlocks(padded, padded)
	return padded, serial, nil
}
