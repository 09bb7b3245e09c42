package soft

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"tapnet/emv/cloudkey"
	"tapnet/sdk/hce"
)

// Store keeps records. Put is durable and in one piece when it returns nil; an empty value deletes.
type Store interface {
	Put(key string, value []byte) error
	Get(key string) (value []byte, found bool, err error)
}

// Network carries a request to the service: HTTP status and body. An error means that there was no answer.
type Network func(path string, body []byte) (status int, answer []byte, err error)

// Options of a platform. Store, Random and the clocks are needed.
type Options struct {
	Store     Store
	FileKey   cloudkey.Secret // seals the key store's own record
	Random    io.Reader
	NowMs     func() int64
	ElapsedNs func() int64
	Network   Network // nil: there is none
	// Stretch is the password's function, Argon2id with cloudkey's cost; nil: HMAC of the password under the salt, for tests.
	Stretch func(password string, salt []byte) []byte
}

// Platform is a key store, a storage and a network in software. It may be used by many threads.
type Platform struct {
	mu       sync.Mutex
	o        Options
	sign     *ecdsa.PrivateKey
	agree    *ecdh.PrivateKey
	rest     cloudkey.Secret
	binding  map[string]cloudkey.Secret
	password string
	locked   bool // the holder has not unlocked the device: keys of ClassDevice refuse
}

var _ hce.Platform = (*Platform)(nil)

// keyRecord is where the key store keeps itself.
const keyRecord = "keystore"

type keyFile struct {
	Sign, Agree, Rest []byte
	Binding           map[string][]byte
}

// NewPlatform opens the key store in the Store, or makes one with keys from Random.
func NewPlatform(o Options) (*Platform, error) {
	if o.Store == nil || o.Random == nil || o.NowMs == nil || o.ElapsedNs == nil {
		return nil, errors.New("software platform: store, random source and clocks are needed")
	}
	p := &Platform{o: o, binding: make(map[string]cloudkey.Secret)}
	sealed, found, err := o.Store.Get(keyRecord)
	if err != nil {
		return nil, fmt.Errorf("read key store: %w", err)
	}
	if !found {
		return p, p.generate()
	}
	plain, err := open(o.FileKey, sealed, []byte(keyRecord))
	if err != nil {
		return nil, fmt.Errorf("open key store: %w", err)
	}
	var f keyFile
	if err := json.Unmarshal(plain, &f); err != nil {
		return nil, errors.New("open key store: record is damaged")
	}
	return p, p.restore(f)
}

func (p *Platform) generate() error {
	agree, err := cloudkey.NewEphemeral(p.o.Random)
	if err != nil {
		return err
	}
	sign, err := cloudkey.NewEphemeral(p.o.Random)
	if err != nil {
		return err
	}
	rest, err := cloudkey.DrawSecret(p.o.Random)
	if err != nil {
		return err
	}
	key := rest.Reveal()
	if err := p.restore(keyFile{Sign: sign.Bytes(), Agree: agree.Bytes(), Rest: key[:]}); err != nil {
		return err
	}
	return p.keep()
}

func (p *Platform) restore(f keyFile) (err error) {
	if p.sign, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), f.Sign); err != nil {
		return errors.New("open key store: signing key is damaged")
	}
	if p.agree, err = ecdh.P256().NewPrivateKey(f.Agree); err != nil {
		return errors.New("open key store: agreement key is damaged")
	}
	if p.rest, err = cloudkey.NewSecret(f.Rest); err != nil {
		return fmt.Errorf("open key store: %w", err)
	}
	for alias, b := range f.Binding {
		if p.binding[alias], err = cloudkey.NewSecret(b); err != nil {
			return fmt.Errorf("open key store: %w", err)
		}
	}
	return nil
}

// keep makes the key store durable. The caller holds mu, or nobody else has p.
func (p *Platform) keep() error {
	sign, err := p.sign.Bytes()
	if err != nil {
		return fmt.Errorf("keep key store: %w", err)
	}
	rest := p.rest.Reveal()
	f := keyFile{Sign: sign, Agree: p.agree.Bytes(), Rest: rest[:], Binding: make(map[string][]byte, len(p.binding))}
	for alias, s := range p.binding {
		b := s.Reveal()
		f.Binding[alias] = b[:]
	}
	plain, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("keep key store: %w", err)
	}
	sealed, err := seal(p.o.FileKey, p.o.Random, plain, []byte(keyRecord))
	if err != nil {
		return fmt.Errorf("keep key store: %w", err)
	}
	return p.o.Store.Put(keyRecord, sealed)
}

// SetPassword is what the holder typed for the next tap; "" is nothing.
func (p *Platform) SetPassword(password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.password = password
}

// Lock says that the holder has not unlocked the device, or has.
func (p *Platform) Lock(locked bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.locked = locked
}

// Keys returns the device's public keys as uncompressed points, for its enrolment.
func (p *Platform) Keys() (sign, agree []byte) {
	point, err := p.sign.PublicKey.Bytes()
	if err != nil {
		panic("soft: " + err.Error()) // a key of P-256 has such a form
	}
	return point, p.agree.PublicKey().Bytes()
}

// Verifier is the verifier of a password for a token's salt.
func (p *Platform) Verifier(password string, salt []byte) []byte {
	if p.o.Stretch != nil {
		return p.o.Stretch(password, salt)
	}
	h := hmac.New(sha256.New, salt)
	h.Write([]byte(password))
	return h.Sum(nil)
}

// HmacInto implements hce.Platform.
func (p *Platform) HmacInto(alias string, data []byte, out *hce.Buffer) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, ok := p.binding[alias]
	switch {
	case !ok:
		return hce.PlatformNotFound
	case p.locked && strings.HasSuffix(alias, fmt.Sprint("/", byte(cloudkey.ClassDevice))):
		return hce.PlatformLocked
	}
	b := key.Reveal()
	h := hmac.New(sha256.New, b[:])
	h.Write(data)
	return fill(out, h.Sum(nil))
}

// SealInto implements hce.Platform.
func (p *Platform) SealInto(alias string, plain, aad []byte, out *hce.Buffer) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if alias != hce.AliasRest {
		return hce.PlatformNotFound
	}
	sealed, err := seal(p.rest, p.o.Random, plain, aad)
	if err != nil {
		return hce.PlatformFailed
	}
	return fill(out, sealed)
}

// OpenInto implements hce.Platform.
func (p *Platform) OpenInto(alias string, sealed, aad []byte, out *hce.Buffer) int32 {
	if alias != hce.AliasRest {
		return hce.PlatformNotFound
	}
	plain, err := open(p.rest, sealed, aad)
	if err != nil {
		return hce.PlatformFailed
	}
	return fill(out, plain)
}

// SignInto implements hce.Platform. The signature follows from the message [RFC 6979].
func (p *Platform) SignInto(alias string, data []byte, out *hce.Buffer) int32 {
	if alias != hce.AliasSign {
		return hce.PlatformNotFound
	}
	digest := sha256.Sum256(data)
	signature, err := p.sign.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return hce.PlatformFailed
	}
	return fill(out, signature)
}

// AgreeInto implements hce.Platform.
func (p *Platform) AgreeInto(alias string, peer []byte, out *hce.Buffer) int32 {
	if alias != hce.AliasAgree {
		return hce.PlatformNotFound
	}
	shared, err := cloudkey.PrivateAgreement(p.agree).Agree(peer)
	if err != nil {
		return hce.PlatformFailed
	}
	return fill(out, shared)
}

// PublicInto implements hce.Platform.
func (p *Platform) PublicInto(alias string, out *hce.Buffer) int32 {
	sign, agree := p.Keys()
	switch alias {
	case hce.AliasSign:
		return fill(out, sign)
	case hce.AliasAgree:
		return fill(out, agree)
	}
	return hce.PlatformNotFound
}

// ImportKey implements hce.Platform.
func (p *Platform) ImportKey(alias string, wrapped []byte) int32 {
	plain, err := cloudkey.Unwrap(cloudkey.PurposeBinding, alias, cloudkey.PrivateAgreement(p.agree), p.agree.PublicKey().Bytes(), wrapped)
	if err != nil {
		return hce.PlatformFailed
	}
	key, err := cloudkey.NewSecret(plain)
	clear(plain)
	if err != nil {
		return hce.PlatformFailed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.binding[alias] = key
	if p.keep() != nil {
		return hce.PlatformFailed
	}
	return 0
}

// DeleteKey implements hce.Platform.
func (p *Platform) DeleteKey(alias string) int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.binding[alias]; !ok {
		return hce.PlatformNotFound
	}
	delete(p.binding, alias)
	if p.keep() != nil {
		return hce.PlatformFailed
	}
	return 0
}

// PasswordInto implements hce.Platform. A password is good for one tap.
func (p *Platform) PasswordInto(salt []byte, out *hce.Buffer) int32 {
	p.mu.Lock()
	password := p.password
	p.password = ""
	p.mu.Unlock()
	if password == "" {
		return hce.PlatformNoPassword
	}
	return fill(out, p.Verifier(password, salt))
}

// MaxRandom bounds one draw.
const MaxRandom = 64

// RandomInto implements hce.Platform.
func (p *Platform) RandomInto(n int32, out *hce.Buffer) int32 {
	if n < 0 || n > MaxRandom {
		return hce.PlatformFailed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b := make([]byte, n)
	if _, err := io.ReadFull(p.o.Random, b); err != nil {
		return hce.PlatformFailed
	}
	return fill(out, b)
}

// AttestJSON implements hce.Platform: software attests nothing.
func (p *Platform) AttestJSON(challenge string) string {
	b, err := json.Marshal(map[string]string{"kind": "software", "challenge": challenge})
	if err != nil {
		return ""
	}
	return string(b)
}

// PostInto implements hce.Platform.
func (p *Platform) PostInto(path string, body []byte, out *hce.Buffer) int32 {
	if p.o.Network == nil {
		return hce.PlatformFailed
	}
	status, answer, err := p.o.Network(path, body)
	if err != nil || status < 0 || status > 999 || out.Set(answer) < 0 {
		return hce.PlatformFailed
	}
	return int32(status) //nolint:gosec // bounded
}

// Put implements hce.Platform.
func (p *Platform) Put(key string, value []byte) int32 {
	if p.o.Store.Put(key, value) != nil {
		return hce.PlatformFailed
	}
	return 0
}

// GetInto implements hce.Platform.
func (p *Platform) GetInto(key string, out *hce.Buffer) int32 {
	value, found, err := p.o.Store.Get(key)
	switch {
	case err != nil:
		return hce.PlatformFailed
	case !found:
		return hce.PlatformNotFound
	}
	return fill(out, value)
}

// NowMs implements hce.Platform.
func (p *Platform) NowMs() int64 { return p.o.NowMs() }

// ElapsedNs implements hce.Platform.
func (p *Platform) ElapsedNs() int64 { return p.o.ElapsedNs() }

// Format prints what it is, for every verb: inside are keys.
func (p *Platform) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "software platform") }

func fill(out *hce.Buffer, b []byte) int32 {
	if out.Set(b) < 0 {
		return hce.PlatformFailed
	}
	return 0
}

func gcm(key cloudkey.Secret) (cipher.AEAD, error) {
	b := key.Reveal()
	block, err := aes.NewCipher(b[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal enciphers under a fresh nonce, which stands in front.
func seal(key cloudkey.Secret, random io.Reader, plain, aad []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return aead.Seal(nonce, nonce, plain, aad), nil
}

var errSealed = errors.New("sealed record cannot be opened")

func open(key cloudkey.Secret, sealed, aad []byte) ([]byte, error) {
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errSealed
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], aad)
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// Memory is a Store in this process. The zero value is empty.
type Memory struct {
	mu      sync.Mutex
	records map[string][]byte
}

// Put implements Store.
func (m *Memory) Put(key string, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.records == nil {
		m.records = make(map[string][]byte)
	}
	if len(value) == 0 {
		delete(m.records, key)
		return nil
	}
	m.records[key] = append([]byte(nil), value...)
	return nil
}

// Get implements Store.
func (m *Memory) Get(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.records[key]
	return append([]byte(nil), value...), ok, nil
}

// Snapshot copies the store: what a thief of the storage has.
func (m *Memory) Snapshot() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &Memory{records: make(map[string][]byte, len(m.records))}
	for key, value := range m.records {
		s.records[key] = append([]byte(nil), value...)
	}
	return s
}

// Seal is how the platform keeps its own record, for others in the same directory: AES-256-GCM, the nonce in front.
func Seal(key cloudkey.Secret, random io.Reader, plain, aad []byte) ([]byte, error) {
	return seal(key, random, plain, aad)
}

// Open reverses Seal.
func Open(key cloudkey.Secret, sealed, aad []byte) ([]byte, error) { return open(key, sealed, aad) }
