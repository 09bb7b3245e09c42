package hsm

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"

	"golang.org/x/crypto/scrypt"
)

// The key file:
//
//	"TAPNETHSM" ‖ version 1 ‖ log2 N 1 ‖ r 1 ‖ p 1 ‖ salt 16 ‖ nonce 12 ‖ AES-256-GCM(keys), the header being additional data
//
// and the keys, in order of name, each as
//
//	length of name 1 ‖ name ‖ usage 2 ‖ mode 1 ‖ algorithm 1 ‖ exportability 1 ‖ value
const (
	fileMagic     = "TAPNETHSM"
	fileVersion   = 1
	fileSaltBytes = 16
	headerBytes   = len(fileMagic) + 4 + fileSaltBytes + sealNonce

	scryptR = 8
	scryptP = 1
	// defaultScryptLogN costs 32 MiB and about a tenth of a second: bearable at start, dear for somebody who guesses.
	defaultScryptLogN = 15
	// maxScryptLogN bounds what a file may ask of us: 1 GiB. A lower cost written into a file changes the derived key and fails.
	maxScryptLogN = 20
	// maxFileBytes bounds what is read before anything is checked: MaxKeys of the largest entry.
	maxFileBytes = headerBytes + MaxKeys*(1+MaxNameBytes+5+32) + 16
)

// Write writes the encrypted key file.
func (h *HSM) Write(w io.Writer, passphrase []byte) error {
	return h.write(w, passphrase, defaultScryptLogN)
}

func (h *HSM) write(w io.Writer, passphrase []byte, logN byte) error {
	header := make([]byte, 0, headerBytes)
	header = append(header, fileMagic...)
	header = append(header, fileVersion, logN, scryptR, scryptP)
	header = header[:headerBytes]
	if _, err := h.random.Read(header[len(fileMagic)+4:]); err != nil {
		return fmt.Errorf("hsm: writing keys: reading random bytes: %w", err)
	}
	aead, err := fileCipher(header, passphrase)
	if err != nil {
		return err
	}
	plain := h.appendKeys(nil)
	defer clear(plain)
	sealed := aead.Seal(nil, header[headerBytes-sealNonce:], plain, header)
	if _, err := w.Write(append(header, sealed...)); err != nil {
		return fmt.Errorf("hsm: writing keys: %w", err)
	}
	return nil
}

// Read opens a key file. A wrong passphrase and an altered byte look the same: ErrSealed.
func Read(rand io.Reader, r io.Reader, passphrase []byte) (*HSM, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(maxFileBytes)+1))
	if err != nil {
		return nil, fmt.Errorf("hsm: reading keys: %w", err)
	}
	if len(b) < headerBytes || len(b) > maxFileBytes || !bytes.HasPrefix(b, []byte(fileMagic)) {
		return nil, fmt.Errorf("hsm: reading keys: not a key file: %w", ErrSealed)
	}
	header, sealed := b[:headerBytes], b[headerBytes:]
	if v := header[len(fileMagic)]; v != fileVersion {
		return nil, fmt.Errorf("hsm: reading keys: file version %d, this program reads %d", v, fileVersion)
	}
	aead, err := fileCipher(header, passphrase)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, header[headerBytes-sealNonce:], sealed, header)
	if err != nil {
		return nil, fmt.Errorf("hsm: reading keys: %w", ErrSealed)
	}
	defer clear(plain)
	h := New(rand)
	if err := h.parseKeys(plain); err != nil {
		return nil, fmt.Errorf("hsm: reading keys: %w", err)
	}
	return h, nil
}

func fileCipher(header, passphrase []byte) (cipher.AEAD, error) {
	cost := header[len(fileMagic)+1 : len(fileMagic)+4]
	if cost[0] < 1 || cost[0] > maxScryptLogN || cost[1] != scryptR || cost[2] != scryptP {
		return nil, fmt.Errorf("hsm: key file: scrypt cost out of range: %w", ErrSealed)
	}
	salt := header[len(fileMagic)+4 : len(fileMagic)+4+fileSaltBytes]
	key, err := scrypt.Key(passphrase, salt, 1<<cost[0], scryptR, scryptP, AES256.Bytes())
	if err != nil {
		return nil, fmt.Errorf("hsm: key file: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("hsm: key file: %w", err)
	}
	return cipher.NewGCM(block)
}

func (h *HSM) appendKeys(dst []byte) []byte {
	for _, name := range h.Names() {
		e, err := h.find(name)
		if err != nil {
			continue // deleted since: not part of the file
		}
		dst = append(dst, byte(len(name)))
		dst = append(dst, name...)
		dst = append(dst, e.info.Usage[0], e.info.Usage[1], byte(e.info.Mode), byte(e.info.Algorithm), byte(e.info.Export))
		dst = append(dst, e.value...)
	}
	return dst
}

func (h *HSM) parseKeys(b []byte) error {
	for offset := 0; len(b) > 0; {
		n := int(b[0])
		if len(b) < 1+n+5 {
			return fmt.Errorf("entry at offset %d is cut short", offset)
		}
		name, attributes, rest := string(b[1:1+n]), b[1+n:1+n+5], b[1+n+5:]
		algorithm := Algorithm(attributes[3])
		size := algorithm.Bytes()
		if size == 0 || len(rest) < size {
			return fmt.Errorf("entry at offset %d is cut short", offset)
		}
		_, err := h.add(name, Usage(attributes[:2]), Mode(attributes[2]), algorithm, Export(attributes[4]), bytes.Clone(rest[:size]), false)
		if err != nil {
			return fmt.Errorf("entry at offset %d: %w", offset, err)
		}
		offset += 1 + n + 5 + size
		b = rest[size:]
	}
	return nil
}
