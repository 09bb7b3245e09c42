package app

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"tapnet/internal/hsm"
	"tapnet/internal/hsm/keyring"
	"tapnet/internal/personalization"
)

// Names of the keys in the institutions' HSMs. A name says what a key is for; usage and mode are fixed when it is made.
const (
	keyMasterAC  = "imk-ac"
	keyMasterMAC = "imk-mac"
	keyMasterENC = "imk-enc"
	keyTransport = "card-transport"
	// The masters of cards with other ciphers than triple DES.
	keySM4  = "imk-sm4-"
	keyAES  = "imk-aes-"
	partAC  = "ac"
	partMAC = "mac"
	partENC = "enc"

	keyFingerprint  = "pan-fingerprint"
	keyPANSeal      = "pan-seal"
	keyPINReference = "pin-reference"
	keyMessageSeal  = "message-seal"
)

// masterKeyOf names the key-encrypting keys shared with the peers of one side, so that no member can sign on as a terminal.
func masterKeyOf(side string) func(peer string) string {
	return func(peer string) string { return "master/" + side + "/" + peer }
}

func personalizationKeys() personalization.KeyNames {
	return personalization.KeyNames{
		MasterAC: keyMasterAC, MasterMAC: keyMasterMAC, MasterENC: keyMasterENC, Transport: keyTransport, Fingerprint: keyFingerprint,
		PANSeal: keyPANSeal, PINReference: keyPINReference,
		SM4: personalization.MasterNames{AC: keySM4 + partAC, MAC: keySM4 + partMAC, ENC: keySM4 + partENC},
		AES: personalization.MasterNames{AC: keyAES + partAC, MAC: keyAES + partMAC, ENC: keyAES + partENC},
	}
}

// randomness gives each part of the network its own source: streams of one seed, so that a run can be repeated, or the system's.
type randomness struct{ seed *uint64 }

func (r randomness) source(label string) io.Reader {
	if r.seed == nil {
		return rand.Reader
	}
	text := binary.BigEndian.AppendUint64([]byte("tapnet seed 1\x00"), *r.seed)
	return mathrand.NewChaCha8(sha256.Sum256(append(text, label...)))
}

// vaults holds one HSM per institution and terminal of this world.
type vaults map[string]*hsm.HSM

// keySpec is one key to make.
type keySpec struct {
	name      string
	usage     hsm.Usage
	mode      hsm.Mode
	algorithm hsm.Algorithm
}

// issuerKeys are an issuer's own; nobody else ever has them.
var issuerKeys = []keySpec{
	{keyMasterAC, hsm.UsageEMVAC, hsm.ModeDerive, hsm.TDES},
	{keyMasterMAC, hsm.UsageEMVMAC, hsm.ModeDerive, hsm.TDES},
	{keyMasterENC, hsm.UsageEMVENC, hsm.ModeDerive, hsm.TDES},
	{keyTransport, hsm.UsagePersonalization, hsm.ModeBoth, hsm.AES256},
	{keyFingerprint, hsm.UsageHMAC, hsm.ModeGenerateVerify, hsm.HMAC},
	{keyPANSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256},
	{keyPINReference, hsm.UsagePINVerification, hsm.ModeGenerateVerify, hsm.AES256},
	{keySM4 + partAC, hsm.UsageEMVAC, hsm.ModeDerive, hsm.SM4},
	{keySM4 + partMAC, hsm.UsageEMVMAC, hsm.ModeDerive, hsm.SM4},
	{keySM4 + partENC, hsm.UsageEMVENC, hsm.ModeDerive, hsm.SM4},
	{keyAES + partAC, hsm.UsageEMVAC, hsm.ModeDerive, hsm.AES128},
	{keyAES + partMAC, hsm.UsageEMVMAC, hsm.ModeDerive, hsm.AES128},
	{keyAES + partENC, hsm.UsageEMVENC, hsm.ModeDerive, hsm.AES128},
}

// messageSeal is the key under which a role keeps messages it may have to send again.
var messageSeal = []keySpec{{keyMessageSeal, hsm.UsageData, hsm.ModeBoth, hsm.AES256}}

// newVaults makes the HSMs of a world and the keys they start with. Master keys between two parties are made once and given to both, which is the part of
// a key ceremony that a test world may skip.
func newVaults(p *personalization.Profile, shards int, random randomness) (vaults, error) {
	v := vaults{}
	make1 := func(id string, specs []keySpec) error {
		v[id] = hsm.New(random.source("hsm " + id))
		for _, s := range specs {
			if _, err := v[id].Generate(s.name, s.usage, s.mode, s.algorithm, hsm.NotExportable); err != nil {
				return fmt.Errorf("keys of %s: %w", id, err)
			}
		}
		return nil
	}
	var errs []error
	for _, i := range p.Issuers {
		errs = append(errs, make1(i.Institution, issuerKeys))
	}
	errs = append(errs, make1(p.Switch, messageSeal), make1(p.Acquirer.Institution, messageSeal))
	for _, m := range p.Merchants {
		errs = append(errs, make1(m.Terminal, messageSeal))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, i := range p.Issuers {
		errs = append(errs, v.share(sideNetwork, p.Switch, i.Institution, random))
		for shard := range shards {
			errs = append(errs, v.shareStation(p.Switch, i.Institution, stationOf(i.Institution, shard), random))
		}
	}
	errs = append(errs, v.share(sideNetwork, p.Switch, p.Acquirer.Institution, random))
	for _, m := range p.Merchants {
		errs = append(errs, v.share(sideTerminal, p.Acquirer.Institution, m.Terminal, random))
	}
	errs = append(errs, v.baseKeys(p))
	return v, errors.Join(errs...)
}

// share gives two parties the same new master key, each under the other's name.
func (v vaults) share(side, a, b string, random randomness) error {
	key := make([]byte, hsm.TDES.Bytes())
	defer clear(key)
	if _, err := io.ReadFull(random.source("master "+a+" "+b), key); err != nil {
		return fmt.Errorf("master key of %s and %s: %w", a, b, err)
	}
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		_, err := v[pair[0]].ImportClear(masterKeyOf(side)(pair[1]), hsm.UsageKeyEncryption, hsm.ModeBoth, hsm.TDES, hsm.NotExportable, key)
		if err != nil {
			return fmt.Errorf("master key of %s and %s: %w", a, b, err)
		}
	}
	return nil
}

// ring keeps the working keys that an institution shares with its peers on one side.
func (v vaults) ring(id, side string, algorithm hsm.MACAlgorithm, mode hsm.Mode) (*keyring.Ring, error) {
	return keyring.New(keyring.Config{HSM: v[id], Prefix: side + "/", MasterKey: masterKeyOf(side), MAC: algorithm, PINMode: mode})
}

const (
	keyDirectory   = "keys"
	passphraseFile = "passphrase"
	// passphraseBytes of randomness make the passphrase of a test network that nobody has to type.
	passphraseBytes = 24
)

// openVaults reads the key files of a data directory, or makes and saves new keys when there are none.
func openVaults(dir string, p *personalization.Profile, shards int, random randomness) (vaults, error) {
	passphrase, err := openPassphrase(dir)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	keys := filepath.Join(dir, keyDirectory)
	if _, err := os.Stat(filepath.Join(keys, p.Switch+".hsm")); errors.Is(err, fs.ErrNotExist) {
		return createVaults(keys, passphrase, p, shards, random)
	}
	v, gained := vaults{}, lacksKeys(dir, p)
	for _, id := range institutions(p) {
		if slices.Contains(gained, id) {
			continue
		}
		if v[id], err = hsm.Open(random.source("hsm "+id), filepath.Join(keys, id+".hsm"), passphrase); err != nil {
			return nil, fmt.Errorf("open keys of %s: %w", id, err)
		}
	}
	if err := v.join(dir, passphrase, p, gained, random); err != nil {
		return nil, err
	}
	return v, v.checkStations(p, shards)
}

func createVaults(keys string, passphrase []byte, p *personalization.Profile, shards int, random randomness) (vaults, error) {
	if err := os.MkdirAll(keys, 0o700); err != nil {
		return nil, fmt.Errorf("make key directory: %w", err)
	}
	v, err := newVaults(p, shards, random)
	if err != nil {
		return nil, err
	}
	// The switch's file comes last: its presence says that all are there.
	for _, id := range institutions(p) {
		if err := v[id].Save(filepath.Join(keys, id+".hsm"), passphrase); err != nil {
			return nil, fmt.Errorf("save keys of %s: %w", id, err)
		}
	}
	return v, nil
}

// institutions lists everybody with an HSM, the switch last.
func institutions(p *personalization.Profile) []string {
	ids := []string{p.Acquirer.Institution}
	for _, i := range p.Issuers {
		ids = append(ids, i.Institution)
	}
	for _, m := range p.Merchants {
		ids = append(ids, m.Terminal)
	}
	return append(ids, p.Switch)
}

// openPassphrase reads the passphrase of the key files, from the directory or made anew. A real installation keeps it elsewhere; this one holds TEST keys.
func openPassphrase(dir string) ([]byte, error) {
	path := filepath.Join(dir, passphraseFile)
	text, err := os.ReadFile(path)
	if err == nil {
		return text, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	raw := make([]byte, passphraseBytes)
	if _, err := io.ReadFull(rand.Reader, raw); err != nil {
		return nil, fmt.Errorf("make passphrase: %w", err)
	}
	text = fmt.Appendf(nil, "%x", raw)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, fmt.Errorf("save passphrase: %w", err)
	}
	return text, nil
}
