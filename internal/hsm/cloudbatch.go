package hsm

import (
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/pan"
)

// CloudKeys names the keys of tokens in phones.
type CloudKeys struct {
	Master string // usage 20: cloud credentials only
	Base   string // usage B0: the binding keys of devices
	Data   string // usage D0: seals the verifiers of passwords for rest
}

// CloudToken is a token on a device: nothing in it is secret, but a number is masked in print.
type CloudToken struct {
	Number   pan.Number // of the token
	Sequence string     // two digits
	Suite    cryptogram.Suite
	Token    string // reference of the token
	Device   string // reference of the device
}

// CloudEnrolment binds a token to a device.
type CloudEnrolment struct {
	Keys      CloudKeys
	Token     CloudToken
	Agreement []byte // the device's agreement key, an uncompressed point of P-256
	Classes   []cloudkey.Class
	Password  []byte // envelope of the password verifier for CloudAgreement; empty when no key is of ClassPassword
	Nonce     [cloudkey.NonceBytes]byte
}

// CloudEnrolled is what a device needs to begin with. The ratchet travels in its profile; the bindings open on the device only.
type CloudEnrolled struct {
	Ratchet  cloudkey.Secret
	Bindings []cloudkey.Binding
	Password []byte // the verifier, sealed for rest
}

// CloudOrder is a batch to be made for a token on its device.
type CloudOrder struct {
	Keys     CloudKeys
	Token    CloudToken
	Order    cloudkey.Order // Token and Ratchet are filled in here
	Current  cloudkey.Secret
	Nonce    [cloudkey.NonceBytes]byte
	Password []byte // as CloudEnrolled has it
}

// CloudBatch is a batch, and by what the next request will be recognised.
type CloudBatch struct {
	Batch   *cloudkey.Batch
	Ratchet [cloudkey.SecretBytes]byte // digest of R(n+1)
}

// CloudCheck asks whether a phone made a cryptogram.
type CloudCheck struct {
	Keys   CloudKeys
	Token  CloudToken
	Scheme cloudkey.SchemeID
	Slot   cloudkey.Slot
	Class  cloudkey.Class
	Data   []byte // what the phone signed, as cryptogram.Suite.AppendData builds it
	Tag    [cloudkey.TagBytes]byte
	Input  cloudkey.TagInput // its Cryptogram is the one checked
}

// CloudResult is the answer. The device is looked at only after a right cryptogram.
type CloudResult struct{ Cryptogram, Device bool }

// LogValue tells the outcome.
func (r CloudResult) LogValue() slog.Value {
	return slog.StringValue(fmt.Sprintf("cloud cryptogram(ok=%t, device=%t)", r.Cryptogram, r.Device))
}

var errCloudToken = errors.New("token, device or suite is missing")

func (t *CloudToken) check() error {
	if t.Number.IsZero() || t.Suite.IsZero() {
		return errCloudToken
	}
	if err := cloudkey.CheckRef(t.Token); err != nil {
		return err
	}
	return cloudkey.CheckRef(t.Device)
}

// deviceBase lends the base key of devices.
func (h *HSM) deviceBase(operation, name string) (cloudkey.Secret, error) {
	e, err := h.use(operation, name, UsageDeviceBase, ModeDerive)
	if err != nil {
		return cloudkey.Secret{}, err
	}
	return cloudkey.NewSecret(e.value)
}

// cloudMaster lends the key of one token. The usage keeps the masters of cards and secure elements out; the algorithm is the suite's.
func (h *HSM) cloudMaster(operation, name string, scheme cloudkey.SchemeID, t *CloudToken) (cloudkey.Master, error) {
	e, err := h.use(operation, name, UsageCloudAC, ModeDerive)
	if err != nil {
		return nil, err
	}
	// The other schemes derive with triple DES: the same bytes under another cipher would be a second use of the key.
	if scheme != cloudkey.SchemeQCK1 && t.Suite.Cipher() != cryptogram.CipherTDES {
		return nil, fmt.Errorf("hsm: %s: scheme %d with suite %s: %w", operation, scheme, t.Suite.Name(), cloudkey.ErrScheme)
	}
	card, err := e.cardKey(t.Suite, t.Number, t.Sequence)
	if err != nil {
		return nil, err
	}
	return cloudkey.CardKeyMaster(t.Suite, card), nil
}

// agreementLabel derives the security module's own agreement key; like every key from the base it exists only while it is used.
const agreementLabel = "tapnet cloud agreement 1"

func agreementOf(base cloudkey.Secret) (*ecdh.PrivateKey, error) {
	value := base.Reveal()
	defer clear(value[:])
	// A scalar is out of range with a chance of 2^-32: the stream has room for four tries.
	stream, err := hkdf.Key(sha256.New, value[:], nil, agreementLabel, 4*cloudkey.SecretBytes)
	if err != nil {
		return nil, err
	}
	defer clear(stream)
	for at := 0; at < len(stream); at += cloudkey.SecretBytes {
		if key, err := ecdh.P256().NewPrivateKey(stream[at : at+cloudkey.SecretBytes]); err == nil {
			return key, nil
		}
	}
	return nil, errors.New("hsm: the base key gives no agreement key")
}

// CloudAgreement is the point to which phones seal the verifier of a password.
func (h *HSM) CloudAgreement(base string) ([]byte, error) {
	secret, err := h.deviceBase("deriving an agreement key", base)
	if err != nil {
		return nil, err
	}
	private, err := agreementOf(secret)
	if err != nil {
		return nil, err
	}
	return private.PublicKey().Bytes(), nil
}

// EnrolCloudDevice derives the binding keys of a token on a device, seals each for the device's key store, and takes the verifier of the password in. The
// verifier is opened and sealed again here: outside it is never in the clear.
func (h *HSM) EnrolCloudDevice(e CloudEnrolment) (CloudEnrolled, error) {
	const operation = "enrolling a device"
	if err := e.Token.check(); err != nil {
		return CloudEnrolled{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	base, err := h.deviceBase(operation, e.Keys.Base)
	if err != nil {
		return CloudEnrolled{}, err
	}
	out := CloudEnrolled{Ratchet: cloudkey.NextRatchet(base, e.Token.Token, 0, cloudkey.Secret{}, e.Nonce)}
	for _, class := range e.Classes {
		ephemeral, err := cloudkey.NewEphemeral(h.random)
		if err != nil {
			return CloudEnrolled{}, fmt.Errorf("hsm: %s: %w", operation, err)
		}
		bind := cloudkey.BindingKey(base, e.Token.Device, e.Token.Token, class).Reveal()
		wrapped, err := cloudkey.Wrap(cloudkey.PurposeBinding, cloudkey.BindingAlias(e.Token.Token, class), e.Agreement, bind[:], ephemeral)
		clear(bind[:])
		if err != nil {
			return CloudEnrolled{}, fmt.Errorf("hsm: %s: %w", operation, err)
		}
		out.Bindings = append(out.Bindings, cloudkey.Binding{Class: class, Wrapped: wrapped})
	}
	if len(e.Password) == 0 {
		return out, nil
	}
	private, err := agreementOf(base)
	if err != nil {
		return CloudEnrolled{}, err
	}
	verifier, err := cloudkey.Unwrap(cloudkey.PurposePassword, e.Token.Token, cloudkey.PrivateAgreement(private), private.PublicKey().Bytes(), e.Password)
	if err != nil {
		return CloudEnrolled{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	defer clear(verifier)
	if len(verifier) != cloudkey.SecretBytes {
		return CloudEnrolled{}, fmt.Errorf("hsm: %s: %w", operation, cloudkey.ErrSecretLength)
	}
	out.Password, err = h.SealData(e.Keys.Data, verifierContext(e.Token.Token), verifier)
	return out, err
}

func verifierContext(token string) string { return "cloud password verifier\x00" + token }

// DeriveCloudBatch makes a batch in one operation: it derives the token's card key and from that the key of every counter, masks each by its class, and seals
// it for the device. No key leaves in the clear, and nothing of them is kept. The master must have the usage of cloud credentials.
func (h *HSM) DeriveCloudBatch(o CloudOrder) (CloudBatch, error) {
	const operation = "deriving a batch of cloud keys"
	if err := o.Token.check(); err != nil {
		return CloudBatch{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	master, err := h.cloudMaster(operation, o.Keys.Master, o.Order.Scheme, &o.Token)
	if err != nil {
		return CloudBatch{}, err
	}
	base, err := h.deviceBase(operation, o.Keys.Base)
	if err != nil {
		return CloudBatch{}, err
	}
	material := cloudkey.Material{Master: master, Binding: bindings(base, &o.Token)}
	if len(o.Password) > 0 {
		verifier, err := h.OpenData(o.Keys.Data, verifierContext(o.Token.Token), o.Password)
		if err != nil {
			return CloudBatch{}, fmt.Errorf("hsm: %s: %w", operation, err)
		}
		material.Password, err = cloudkey.NewSecret(verifier)
		clear(verifier)
		if err != nil {
			return CloudBatch{}, fmt.Errorf("hsm: %s: %w", operation, err)
		}
	}
	if material.Ephemeral, err = cloudkey.NewEphemeral(h.random); err != nil {
		return CloudBatch{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	order := o.Order
	order.Token = o.Token.Token
	order.Ratchet = cloudkey.NextRatchet(base, o.Token.Token, order.BSEQ, o.Current, o.Nonce)
	batch, err := cloudkey.Seal(order, material)
	if err != nil {
		return CloudBatch{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return CloudBatch{Batch: batch, Ratchet: order.Ratchet.Digest()}, nil
}

// bindings derives each class's binding key once for a batch.
func bindings(base cloudkey.Secret, t *CloudToken) func(cloudkey.Class) cloudkey.Secret {
	var known [cloudkey.ClassPassword + 1]cloudkey.Secret
	return func(class cloudkey.Class) cloudkey.Secret {
		if !class.Valid() {
			panic("hsm: class was checked")
		}
		if known[class].IsZero() {
			known[class] = cloudkey.BindingKey(base, t.Device, t.Token, class)
		}
		return known[class]
	}
}

// VerifyCloud derives the key of a counter again and compares the cryptogram in constant time, then the tag of the device. A wrong one is a result; an
// unknown or unfit key is an error.
func (h *HSM) VerifyCloud(check CloudCheck) (CloudResult, error) {
	const operation = "verifying a cloud cryptogram"
	if err := check.Token.check(); err != nil {
		return CloudResult{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	scheme, err := cloudkey.SchemeOf(check.Scheme)
	if err != nil {
		return CloudResult{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	master, err := h.cloudMaster(operation, check.Keys.Master, check.Scheme, &check.Token)
	if err != nil {
		return CloudResult{}, err
	}
	base, err := h.deviceBase(operation, check.Keys.Base)
	if err != nil {
		return CloudResult{}, err
	}
	ok, err := cloudkey.Verify(scheme, master, check.Slot, check.Token.Suite, check.Data, check.Input.Cryptogram)
	if err != nil || !ok {
		if err != nil {
			err = fmt.Errorf("hsm: %s: %w", operation, err)
		}
		return CloudResult{}, err
	}
	bind := cloudkey.BindingKey(base, check.Token.Device, check.Token.Token, check.Class)
	return CloudResult{Cryptogram: true, Device: cloudkey.CheckTag(cloudkey.TagKey(bind, check.Input.ATC), check.Token.Token, check.Input, check.Tag)}, nil
}

// Format masks an order: it holds a ratchet.
func (o CloudOrder) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, "cloud order of token "+o.Token.Token)
}
