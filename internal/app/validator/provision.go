package validator

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/taplog"
)

// Provision is what a device gets when it is put into service: its keys and whom it believes. It is a TEST device's: a real one has them in a secure
// module. It masks itself.
type Provision struct {
	Device  string         `json:"device"`
	Office  string         `json:"office,omitempty"` // address of the back office's HTTP interface; empty: none
	Chain   []byte         `json:"chain_key"`
	Seal    []byte         `json:"seal_key"`
	Epoch   denylist.Epoch `json:"epoch"`
	IDs     []byte         `json:"epoch_key"`
	Signers [][]byte       `json:"list_signers,omitempty"` // Ed25519 public keys
	After   uint64         `json:"after,omitempty"`        // the numbers up to here were used by the device that stood here before
	Zone    string         `json:"zone,omitempty"`         // of the operator's day, as in the time zone database; empty: Shanghai
}

// String says whose it is.
func (p Provision) String() string { return "provision of " + p.Device }

// Format prints String for every verb.
func (p Provision) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

const (
	provisionName = "provision.json"
	keyBytes      = 32
)

// LoadProvision reads a device's, or makes one with new keys and no back office.
func LoadProvision(disk taplog.Disk, device string, random io.Reader) (Provision, error) {
	b, err := disk.Read(provisionName)
	if err == nil {
		var p Provision
		if err := json.Unmarshal(b, &p); err != nil {
			return Provision{}, fmt.Errorf("read the provision of %s: %w", device, err)
		}
		if p.Device != device {
			return Provision{}, fmt.Errorf("provision is of device %q: %w", p.Device, gate.ErrConfig)
		}
		return p, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Provision{}, fmt.Errorf("read the provision of %s: %w", device, err)
	}
	keys := make([]byte, 3*keyBytes)
	if _, err := io.ReadFull(random, keys); err != nil {
		return Provision{}, fmt.Errorf("make keys: %w", err)
	}
	p := Provision{Device: device, Chain: keys[:keyBytes], Seal: keys[keyBytes : 2*keyBytes], Epoch: 1, IDs: keys[2*keyBytes:]}
	return p, p.Save(disk)
}

// Save puts a device's provision where LoadProvision finds it.
func (p Provision) Save(disk taplog.Disk) error {
	b, err := json.MarshalIndent(struct {
		Device  string         `json:"device"`
		Office  string         `json:"office,omitempty"`
		Chain   []byte         `json:"chain_key"`
		Seal    []byte         `json:"seal_key"`
		Epoch   denylist.Epoch `json:"epoch"`
		IDs     []byte         `json:"epoch_key"`
		Signers [][]byte       `json:"list_signers,omitempty"`
		After   uint64         `json:"after,omitempty"`
		Zone    string         `json:"zone,omitempty"`
	}(p), "", "  ")
	if err != nil {
		return fmt.Errorf("write the provision of %s: %w", p.Device, err)
	}
	return taplog.Replace(disk, provisionName, b)
}

// Fill puts the keys into a validator's options.
func (p Provision) Fill(o *Options, random io.Reader) error {
	chain, chainErr := gate.NewChainKey(p.Chain)
	seal, sealErr := gate.NewSealKey(p.Seal, random)
	ids, idErr := denylist.NewEpochKey(p.Epoch, p.IDs)
	signers := make([]ed25519.PublicKey, 0, len(p.Signers))
	for _, key := range p.Signers {
		signers = append(signers, key)
	}
	trust, trustErr := denylist.NewTrust(signers...)
	var zoneErr error
	if p.Zone != "" {
		o.Zone, zoneErr = time.LoadLocation(p.Zone)
	}
	if err := errors.Join(chainErr, sealErr, idErr, trustErr, zoneErr); err != nil {
		return fmt.Errorf("provision of %s: %w", p.Device, err)
	}
	o.Gate.Device, o.Gate.ChainKey, o.Sealer, o.IDs, o.Courier.Trust, o.Log.After = p.Device, chain, seal, []gate.Identifier{ids}, trust, p.After
	return nil
}
