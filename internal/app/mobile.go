package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"tapnet/internal/hsm"
	"tapnet/internal/personalization"
	"tapnet/internal/pos"
	"tapnet/internal/pos/sam"
	"tapnet/iso8583/unionpay"
)

// Terminals that are phones have a secure access module: a PIN key for every transaction, derived from a base key that the acquirer's security module has.
const (
	mobileTDES = "tdes"
	mobileAES  = "aes"

	keyBasePrefix = "base key "
)

var errMobile = errors.New(`mobile: want "tdes" or "aes"`)

// baseKeyOf names the base key of a terminal at its acquirer, "" for one that has none.
func (n *Network) baseKeyOf(terminal string) string {
	for _, m := range n.options.Profile.Merchants {
		if m.Terminal == terminal && m.Mobile != "" {
			return keyBasePrefix + m.Mobile
		}
	}
	return ""
}

// accessModule is that of a merchant's terminal; nil when it is no phone. Injecting is the one moment in which base key and device meet: in the real world that
// is a room at the bank.
func (n *Network) accessModule(m personalization.Merchant) (pos.SecureAccess, error) {
	if m.Mobile == "" {
		return nil, nil
	}
	method := unionpay.KeyTDES
	if m.Mobile == mobileAES {
		method = unionpay.KeyAES
	}
	memory := moduleMemory(filepath.Join(n.options.Dir, "sam-"+m.Terminal))
	if state, err := memory.Load(); err != nil || state != nil {
		module, openErr := sam.Open(method, memory)
		return module, errors.Join(err, openErr)
	}
	vault := n.vaults[n.options.Profile.Acquirer.Institution]
	initial, serial, err := vault.InjectUnique(keyBasePrefix+m.Mobile, m.Terminal)
	if err != nil {
		return nil, fmt.Errorf("secure access module of %s: %w", m.Terminal, err)
	}
	return sam.Inject(method, memory, initial, serial)
}

// baseKeys makes the base keys that a profile's terminals need.
func (v vaults) baseKeys(p *personalization.Profile) error {
	algorithms := map[string]hsm.Algorithm{mobileTDES: hsm.TDES, mobileAES: hsm.AES128}
	made := map[string]bool{"": true}
	for _, m := range p.Merchants {
		if made[m.Mobile] {
			continue
		}
		algorithm, known := algorithms[m.Mobile]
		if !known {
			return fmt.Errorf("merchant %q: %w", m.Name, errMobile)
		}
		made[m.Mobile] = true
		if _, err := v[p.Acquirer.Institution].Generate(keyBasePrefix+m.Mobile, hsm.UsageDUKPTBase, hsm.ModeDerive, algorithm, hsm.NotExportable); err != nil {
			return fmt.Errorf("merchant %q: %w", m.Name, err)
		}
	}
	return nil
}

// moduleMemory is the file in which a module keeps its state. In a phone it would be where nobody can read it.
type moduleMemory string

// Load implements sam.Memory.
func (f moduleMemory) Load() ([]byte, error) {
	state, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return state, err
}

// Store implements sam.Memory: the new state is in the place of the old one, whole, before it returns.
func (f moduleMemory) Store(state []byte) error {
	next := string(f) + ".next"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(state)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, string(f)); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
