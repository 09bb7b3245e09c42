//go:build pkcs11

package pkcs11

import (
	"errors"
	"fmt"

	"github.com/miekg/pkcs11"
)

const (
	// wrapLabel names the wrapping key in the token.
	wrapLabel = "tapnet root wrapping key"
	rootBytes = 32
	// wrappedBytes is a root wrapped: one block of eight bytes more [RFC 3394].
	wrappedBytes = rootBytes + 8
)

// ErrToken says that there is no token of that label behind the module.
var ErrToken = errors.New("pkcs11: no token with that label")

// ErrWrapped says that a wrapped root is not this token's, or was changed.
var ErrWrapped = errors.New("pkcs11: the wrapped root is not this token's")

// Token is an open session with a token. It is not safe for concurrent use.
type Token struct {
	module  *pkcs11.Ctx
	session pkcs11.SessionHandle
	key     pkcs11.ObjectHandle
}

// Open loads the module, logs in to the token with the label and finds its wrapping key, or makes one.
func Open(module, label, pin string) (*Token, error) {
	ctx := pkcs11.New(module)
	if ctx == nil {
		return nil, fmt.Errorf("pkcs11: module %s cannot be loaded", module)
	}
	t := &Token{module: ctx}
	if err := ctx.Initialize(); err != nil {
		ctx.Destroy()
		return nil, fmt.Errorf("pkcs11: start the module: %w", err)
	}
	if err := t.login(label, pin); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Token) login(label, pin string) error {
	slots, err := t.module.GetSlotList(true)
	if err != nil {
		return fmt.Errorf("pkcs11: list slots: %w", err)
	}
	for _, slot := range slots {
		info, err := t.module.GetTokenInfo(slot)
		if err != nil || info.Label != label {
			continue
		}
		if t.session, err = t.module.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION); err != nil {
			return fmt.Errorf("pkcs11: open a session: %w", err)
		}
		if err := t.module.Login(t.session, pkcs11.CKU_USER, pin); err != nil {
			return fmt.Errorf("pkcs11: log in: %w", err)
		}
		return t.wrappingKey()
	}
	return fmt.Errorf("%w: %q", ErrToken, label)
}

// wrappingKey finds the wrapping key, or makes it: in the token, for wrapping only, never to leave.
func (t *Token) wrappingKey() error {
	find := []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_LABEL, wrapLabel),
	}
	if err := t.module.FindObjectsInit(t.session, find); err != nil {
		return fmt.Errorf("pkcs11: find the wrapping key: %w", err)
	}
	found, _, err := t.module.FindObjects(t.session, 2)
	if err = errors.Join(err, t.module.FindObjectsFinal(t.session)); err != nil {
		return fmt.Errorf("pkcs11: find the wrapping key: %w", err)
	}
	switch len(found) {
	case 1:
		t.key = found[0]
		return nil
	case 2:
		return errors.New("pkcs11: the token has two wrapping keys")
	}
	t.key, err = t.module.GenerateKey(t.session, aesGeneration(), append(find,
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, false), pkcs11.NewAttribute(pkcs11.CKA_WRAP, true), pkcs11.NewAttribute(pkcs11.CKA_UNWRAP, true),
		pkcs11.NewAttribute(pkcs11.CKA_ENCRYPT, false), pkcs11.NewAttribute(pkcs11.CKA_DECRYPT, false), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, rootBytes)))
	if err != nil {
		return fmt.Errorf("pkcs11: make the wrapping key: %w", err)
	}
	return nil
}

func aesGeneration() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}
}

func aesWrap() []*pkcs11.Mechanism {
	return []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_WRAP, nil)}
}

// passing are the attributes of a root while it is used: a session object that may be read once and is gone with the session.
func passing() []*pkcs11.Attribute {
	return []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY), pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_AES),
		pkcs11.NewAttribute(pkcs11.CKA_TOKEN, false), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, false), pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true),
	}
}

// NewRoot draws a root in the token and gives it wrapped, to be kept, and once in the clear, to make the key file with.
func (t *Token) NewRoot() (wrapped, root []byte, err error) {
	object, err := t.module.GenerateKey(t.session, aesGeneration(), append(passing(), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, rootBytes)))
	if err != nil {
		return nil, nil, fmt.Errorf("pkcs11: draw a root: %w", err)
	}
	if wrapped, err = t.module.WrapKey(t.session, aesWrap(), t.key, object); err != nil {
		return nil, nil, fmt.Errorf("pkcs11: wrap the root: %w", err)
	}
	root, err = t.take(object)
	return wrapped, root, err
}

// Unwrap gives the root back.
func (t *Token) Unwrap(wrapped []byte) ([]byte, error) {
	if len(wrapped) != wrappedBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrWrapped, len(wrapped))
	}
	object, err := t.module.UnwrapKey(t.session, aesWrap(), t.key, wrapped, passing())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrapped, err)
	}
	return t.take(object)
}

// take reads a root and removes it from the session.
func (t *Token) take(object pkcs11.ObjectHandle) ([]byte, error) {
	values, err := t.module.GetAttributeValue(t.session, object, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)})
	if err = errors.Join(err, t.module.DestroyObject(t.session, object)); err != nil {
		return nil, fmt.Errorf("pkcs11: read the root: %w", err)
	}
	if len(values) != 1 || len(values[0].Value) != rootBytes {
		return nil, fmt.Errorf("%w: no root in it", ErrWrapped)
	}
	return values[0].Value, nil
}

// Close logs out and unloads the module.
func (t *Token) Close() error {
	var err error
	if t.session != 0 {
		err = errors.Join(t.module.Logout(t.session), t.module.CloseSession(t.session))
	}
	err = errors.Join(err, t.module.Finalize())
	t.module.Destroy()
	return err
}
