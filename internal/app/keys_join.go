package app

import (
	"fmt"
	"os"
	"path/filepath"

	"tapnet/internal/hsm"
	"tapnet/internal/personalization"
)

// A terminal that a world gains after it was built has no keys yet. It gets them as at the beginning: its own, and a master key that its acquirer has too. One
// that has a journal and no keys has lost them, which nobody mends by making others: what it has sealed could never be opened.

// joins reports whether a terminal without a key file is new.
func joins(dir, terminal string) bool {
	found, err := filepath.Glob(filepath.Join(dir, journalDirectory, RolePOS+"-"+terminal+"*"))
	return err == nil && len(found) == 0
}

// join makes the keys of new terminals and saves them: the acquirer's first, so that a stop between the two leaves a terminal without keys, which joins again.
func (v vaults) join(dir string, passphrase []byte, p *personalization.Profile, terminals []string, random randomness) error {
	if len(terminals) == 0 {
		return nil
	}
	acquirer := p.Acquirer.Institution
	for _, id := range terminals {
		v[id] = hsm.New(random.source("hsm " + id))
		for _, s := range messageSeal {
			if _, err := v[id].Generate(s.name, s.usage, s.mode, s.algorithm, hsm.NotExportable); err != nil {
				return fmt.Errorf("keys of %s: %w", id, err)
			}
		}
		_ = v[acquirer].Delete(masterKeyOf(sideTerminal)(id)) // of a start that was interrupted
		if err := v.share(sideTerminal, acquirer, id, random); err != nil {
			return err
		}
	}
	for _, id := range append([]string{acquirer}, terminals...) {
		if err := v[id].Save(filepath.Join(dir, keyDirectory, id+".hsm"), passphrase); err != nil {
			return fmt.Errorf("save keys of %s: %w", id, err)
		}
	}
	return nil
}

// lacksKeys are the new terminals among the merchants: no key file, no journal. Phones get theirs from base keys, which are made once.
func lacksKeys(dir string, p *personalization.Profile) (terminals []string) {
	for _, m := range p.Merchants {
		if _, err := os.Stat(filepath.Join(dir, keyDirectory, m.Terminal+".hsm")); os.IsNotExist(err) && m.Mobile == "" && joins(dir, m.Terminal) {
			terminals = append(terminals, m.Terminal)
		}
	}
	return terminals
}
