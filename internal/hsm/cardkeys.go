package hsm

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"

	"tapnet/emv/cryptogram"
	"tapnet/pan"
)

// CardKeyRequest names the issuer masters from which a card's keys are derived, and the key under which they travel.
type CardKeyRequest struct {
	ACMaster  string // usage E0
	MACMaster string // usage E2
	ENCMaster string // usage E1
	Transport string // usage E5
	PAN       pan.Number
	Sequence  string // PAN sequence number, two digits
	Suite     cryptogram.Suite
}

// SealedCardKeys is an AES-256-GCM image of three card keys, bound to account number and sequence. It may be stored and sent.
type SealedCardKeys []byte

// CardKeys are the keys a card carries [REF 4.1]. They exist only on the card's side; each masks itself.
type CardKeys = cryptogram.CardKeys

const (
	cardKeysContext = "tapnet card keys 1"
	cardKeysBytes   = 3 * 16
)

// SealCardKeys derives a card's AC, MAC and ENC keys and gives them out only enciphered under the transport key [EMV CPS].
func (h *HSM) SealCardKeys(request CardKeyRequest) (SealedCardKeys, error) {
	transport, err := h.use("sealing card keys", request.Transport, UsagePersonalization, ModeBoth, ModeEncrypt)
	if err != nil {
		return nil, err
	}
	if request.Suite.IsZero() || request.PAN.IsZero() {
		return nil, errors.New("hsm: sealing card keys: suite or account number is missing")
	}
	var masters CardKeys
	for _, m := range [...]struct {
		name  string
		usage Usage
		key   *cryptogram.Key
	}{
		{request.ACMaster, UsageEMVAC, &masters.AC},
		{request.MACMaster, UsageEMVMAC, &masters.MAC},
		{request.ENCMaster, UsageEMVENC, &masters.ENC},
	} {
		master, err := h.use("deriving card keys", m.name, m.usage, ModeDerive)
		if err != nil {
			return nil, err
		}
		if *m.key, err = master.masterFor(request.Suite); err != nil {
			return nil, err
		}
	}
	card := request.Suite.CardKeys(masters, request.PAN, request.Sequence)
	var plain [cardKeysBytes]byte
	defer clear(plain[:])
	for i, k := range [...]cryptogram.Key{card.AC, card.MAC, card.ENC} {
		b := k.Reveal()
		copy(plain[16*i:], b[:])
	}
	return h.seal(transport, cardKeysBinding(request.PAN, request.Sequence), plain[:])
}

// CardLoader is the card's side of personalisation: it holds the transport key and opens sealed images.
type CardLoader struct {
	aead cipher.AEAD
}

// NewCardLoader takes the 32-byte transport key that a card manufacturer shares with the issuer.
func NewCardLoader(transportKey []byte) (*CardLoader, error) {
	if len(transportKey) != AES256.Bytes() {
		return nil, errors.New("hsm: a transport key has 32 bytes")
	}
	block, err := aes.NewCipher(transportKey)
	if err != nil {
		return nil, fmt.Errorf("hsm: transport key: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("hsm: transport key: %w", err)
	}
	return &CardLoader{aead: aead}, nil
}

// CardLoader gives a loader for cards made in this process; the transport key stays inside it.
func (h *HSM) CardLoader(transport string) (*CardLoader, error) {
	e, err := h.use("loading card keys", transport, UsagePersonalization, ModeBoth, ModeDecrypt)
	if err != nil {
		return nil, err
	}
	return &CardLoader{aead: e.aead}, nil
}

// Unseal opens the image of the card with that account number and sequence. An image of another card does not open.
func (l *CardLoader) Unseal(sealed SealedCardKeys, n pan.Number, sequence string) (CardKeys, error) {
	plain, err := open(l.aead, cardKeysBinding(n, sequence), sealed)
	if err != nil {
		return CardKeys{}, fmt.Errorf("hsm: unsealing card keys: %w", err)
	}
	defer clear(plain)
	if len(plain) != cardKeysBytes {
		return CardKeys{}, fmt.Errorf("hsm: unsealing card keys: %w", ErrSealed)
	}
	var keys CardKeys
	for i, k := range []*cryptogram.Key{&keys.AC, &keys.MAC, &keys.ENC} {
		if *k, err = cryptogram.NewKey(plain[16*i : 16*i+16]); err != nil {
			return CardKeys{}, fmt.Errorf("hsm: unsealing card keys: %w", err)
		}
	}
	return keys, nil
}

// String is masked.
func (l *CardLoader) String() string { return "hsm.CardLoader" }

// Format masks under every verb: a cipher holds its key schedule.
func (l *CardLoader) Format(f fmt.State, _ rune) { io.WriteString(f, l.String()) }

// cardKeysBinding takes the sequence as derivation does: its last two digits.
func cardKeysBinding(n pan.Number, sequence string) []byte {
	pair := "00" + sequence
	return []byte(cardKeysContext + "\x00" + n.Reveal() + "\x00" + pair[len(pair)-2:])
}
