package phone

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/argon2"

	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/pan"
	"tapnet/sdk/hce"
	"tapnet/sdk/hce/soft"
)

// Cloud is the service a phone speaks to: it enrols the device, provisions tokens, makes keys, suspends, and checks taps.
type Cloud interface {
	Enrol(device string, sign, agree []byte) error
	Provision(soft.TokenOrder) (wrapped []byte, err error)
	Post(path string, body []byte) (status int, answer []byte, err error)
	Suspend(device, why string)
	State(token string) string
	Verify(number pan.Number, icc emv.Data) soft.Verdict
}

// Provider is a Cloud with a token service behind it: it gives out references and numbers itself, for a card it knows by name.
type Provider interface {
	NewToken(device, card string) (soft.TokenOrder, error)
}

// ErrInUse says that another process uses the phone, ErrUnknownToken that there is no such token on it.
var (
	ErrInUse        = errors.New("the phone is in use")
	ErrUnknownToken = errors.New("there is no such token on the phone")
	ErrPassword     = errors.New("a payment password has 6 digits")
)

// Options of a phone.
type Options struct {
	Dir    string // of this phone alone
	Random io.Reader
	Now    func() time.Time
	Cloud  Cloud // nil: a stand-in in the same directory
	// Offline: no message reaches the cloud.
	Offline bool
	// Unsynced does not wait for the disk: for phones that are thrown away.
	Unsynced bool
}

// Phone is a phone that is switched on. One goroutine uses it, apart from what Engine allows.
type Phone struct {
	Engine *hce.Engine

	o        Options
	platform *soft.Platform
	cloud    Cloud
	standIn  *soft.Cloud // to be saved; nil with a cloud of the caller's
	key      cloudkey.Secret
	started  time.Time
	device   string
	list     numbers
	unlock   func() error
}

// numbers is what a person's banking application would know: which token is of which number. It lies sealed with the rest.
type numbers struct {
	Device string
	Tokens map[string]string
}

// KeyFile is the file of a phone's directory that stands for the key store of its hardware.
const KeyFile = "file.key"

const (
	directory    = 0o700
	numbersName  = "numbers"
	refBytes     = 6
	passwordSize = 6
)

// Open switches a phone on, or makes one: its directory, its keys, its enrolment.
func Open(o Options) (p *Phone, err error) {
	if err := os.MkdirAll(o.Dir, directory); err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	}
	unlock, err := lock(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open phone: %w", err)
	}
	p = &Phone{o: o, unlock: unlock, started: o.Now()}
	if err := p.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("open phone: %w", err), unlock())
	}
	return p, nil
}

func (p *Phone) start() (err error) {
	if p.key, err = p.fileKey(); err != nil {
		return err
	}
	store := p.files()
	if p.cloud = p.o.Cloud; p.cloud == nil {
		options := soft.CloudOptions{Random: p.o.Random, Now: p.o.Now, Device: 10, Open: 3, Password: 5}
		if p.standIn, err = soft.LoadCloud(options, store, p.key); err != nil {
			return err
		}
		p.cloud = p.standIn
	}
	p.platform, err = soft.NewPlatform(soft.Options{
		Store: store, FileKey: p.key, Random: p.o.Random, NowMs: func() int64 { return p.o.Now().UnixMilli() }, ElapsedNs: p.elapsed,
		Network: p.network, Stretch: stretch,
	})
	if err != nil {
		return err
	}
	if err := p.identify(); err != nil {
		return err
	}
	config, err := json.Marshal(map[string]any{"device": p.device, "software_keys": true})
	if err != nil {
		return err
	}
	p.Engine, err = hce.NewEngine(p.platform, string(config))
	return err
}

// fileKey reads the directory's key, or makes it.
func (p *Phone) fileKey() (cloudkey.Secret, error) {
	path := filepath.Join(p.o.Dir, KeyFile)
	b, err := os.ReadFile(path)
	if err == nil {
		return cloudkey.NewSecret(b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return cloudkey.Secret{}, fmt.Errorf("read the file key: %w", err)
	}
	key, err := cloudkey.DrawSecret(p.o.Random)
	if err != nil {
		return cloudkey.Secret{}, err
	}
	raw := key.Reveal()
	return key, errors.Join(p.files().write(path, raw[:]), p.files().sync())
}

// identify reads who the phone is, or enrols it.
func (p *Phone) identify() error {
	sealed, found, err := p.files().Get(numbersName)
	if err != nil {
		return err
	}
	if found {
		plain, err := soft.Open(p.key, sealed, []byte(numbersName))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(plain, &p.list); err != nil {
			return errors.New("record of the numbers is damaged")
		}
		p.device = p.list.Device
		if service, ok := p.cloud.(interface {
			Rejoin(device string, sign, agree []byte) error
		}); ok {
			sign, agree := p.platform.Keys()
			return service.Rejoin(p.device, sign, agree)
		}
		return nil
	}
	ref, err := p.reference("phone-")
	if err != nil {
		return err
	}
	p.device, p.list = ref, numbers{Device: ref, Tokens: make(map[string]string)}
	sign, agree := p.platform.Keys()
	if err := p.cloud.Enrol(ref, sign, agree); err != nil {
		return err
	}
	return p.keep()
}

// files is where the phone's records lie.
func (p *Phone) files() files { return files{p.o.Dir, p.o.Unsynced} }

// keep makes the numbers and the stand-in durable.
func (p *Phone) keep() error {
	plain, err := json.Marshal(p.list)
	if err != nil {
		return err
	}
	sealed, err := soft.Seal(p.key, p.o.Random, plain, []byte(numbersName))
	if err != nil {
		return err
	}
	store := p.files()
	if err := store.Put(numbersName, sealed); err != nil || p.standIn == nil {
		return err
	}
	return p.standIn.Save(store, p.key)
}

// elapsed is the monotonic clock of this process.
func (p *Phone) elapsed() int64 { return int64(p.o.Now().Sub(p.started)) }

var errOffline = errors.New("the phone has no network")

// network carries a request and makes what the stand-in decided durable before the phone hears it.
func (p *Phone) network(path string, body []byte) (int, []byte, error) {
	if p.o.Offline {
		return 0, nil, errOffline
	}
	status, answer, err := p.cloud.Post(path, body)
	if err == nil && p.standIn != nil {
		err = p.standIn.Save(p.files(), p.key)
	}
	return status, answer, err
}

// stretch is the password verifier.
func stretch(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, cloudkey.PasswordTime, cloudkey.PasswordMemoryKiB, cloudkey.PasswordLanes, cloudkey.SecretBytes)
}

func (p *Phone) reference(prefix string) (string, error) {
	b := make([]byte, refBytes)
	if _, err := io.ReadFull(p.o.Random, b); err != nil {
		return "", fmt.Errorf("draw a reference: %w", err)
	}
	return fmt.Sprintf("%s%x", prefix, b), nil
}

// Close switches the phone off.
func (p *Phone) Close() error {
	p.Engine.Deactivated(0)
	return p.unlock()
}

// Device is the phone's reference.
func (p *Phone) Device() string { return p.device }

// Field holds the phone to a reader; leave takes it away.
func (p *Phone) Field() (reader apdu.Transceiver, leave func()) {
	field := soft.NewField(p.Engine, p.elapsed)
	return field, field.Remove
}

// Format prints the reference only.
func (p *Phone) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "phone "+p.device) }
