package soft

import (
	"encoding/json"
	"errors"
	"fmt"

	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
)

// cloudFile is a cloud in the clear. Only Save makes one, and only sealed.
type cloudFile struct {
	Master, Base []byte
	Devices      map[string]*deviceRecord
	Tokens       []tokenFile
}

type tokenFile struct {
	tokenRecord
	Password, Ratchet []byte
	Nonce             [cloudkey.NonceBytes]byte
	Asked             uint32
	Last              []byte
	Previous          [cloudkey.SecretBytes]byte
	Issued            map[uint16]issuedFile
	Used              map[uint16]string
	Told              map[uint16]bool
	Due               []uint16
	Wrong             int
}

type issuedFile struct {
	BSEQ     uint32
	Slot     cloudkey.Slot
	Class    cloudkey.Class
	NotAfter int64
}

const cloudRecord = "cloud"

// Save stores the cloud in one record, sealed under a key.
func (c *Cloud) Save(store Store, key cloudkey.Secret) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	master, base := c.master.Reveal(), c.base.Reveal()
	f := cloudFile{Master: master[:], Base: base[:], Devices: c.devices}
	for _, t := range c.tokens {
		password, ratchet := t.Password.Reveal(), t.Ratchet.Reveal()
		file := tokenFile{tokenRecord: *t, Password: password[:], Ratchet: ratchet[:], Nonce: t.nonce, Asked: t.asked, Last: t.last,
			Previous: t.previous, Issued: make(map[uint16]issuedFile), Used: t.used, Told: t.told, Due: t.due, Wrong: t.wrong}
		for atc, k := range t.issued {
			file.Issued[atc] = issuedFile{k.bseq, k.slot, k.class, k.notAfter}
		}
		f.Tokens = append(f.Tokens, file)
	}
	plain, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("save cloud: %w", err)
	}
	defer clear(plain)
	sealed, err := seal(key, c.o.Random, plain, []byte(cloudRecord))
	if err != nil {
		return fmt.Errorf("save cloud: %w", err)
	}
	return store.Put(cloudRecord, sealed)
}

// LoadCloud is NewCloud with what was saved; a store without a cloud gives a new one.
func LoadCloud(o CloudOptions, store Store, key cloudkey.Secret) (*Cloud, error) {
	c, err := NewCloud(o)
	if err != nil {
		return nil, err
	}
	sealed, found, err := store.Get(cloudRecord)
	if err != nil || !found {
		return c, err
	}
	plain, err := open(key, sealed, []byte(cloudRecord))
	if err != nil {
		return nil, fmt.Errorf("load cloud: %w", err)
	}
	defer clear(plain)
	var f cloudFile
	if err := json.Unmarshal(plain, &f); err != nil {
		return nil, errors.New("load cloud: record is damaged")
	}
	if c.master, err = cryptogram.NewKey(f.Master); err != nil {
		return nil, fmt.Errorf("load cloud: %w", err)
	}
	if c.base, err = cloudkey.NewSecret(f.Base); err != nil {
		return nil, fmt.Errorf("load cloud: %w", err)
	}
	if f.Devices != nil {
		c.devices = f.Devices
	}
	for i := range f.Tokens {
		t, err := f.Tokens[i].record()
		if err != nil {
			return nil, fmt.Errorf("load cloud: %w", err)
		}
		c.tokens[t.Ref] = t
	}
	return c, nil
}

func (f *tokenFile) record() (*tokenRecord, error) {
	t := f.tokenRecord
	var err error
	if t.Password, err = cloudkey.NewSecret(f.Password); err != nil {
		return nil, err
	}
	if t.Ratchet, err = cloudkey.NewSecret(f.Ratchet); err != nil {
		return nil, err
	}
	t.nonce, t.asked, t.last, t.previous = f.Nonce, f.Asked, f.Last, f.Previous
	t.used, t.told, t.due, t.wrong = f.Used, f.Told, f.Due, f.Wrong
	t.issued = make(map[uint16]issued, len(f.Issued))
	for atc, k := range f.Issued {
		t.issued[atc] = issued{k.BSEQ, k.Slot, k.Class, k.NotAfter}
	}
	if t.used == nil {
		t.used = make(map[uint16]string)
	}
	if t.told == nil {
		t.told = make(map[uint16]bool)
	}
	return &t, nil
}
