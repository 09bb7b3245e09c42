package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tapnet/card"
	"tapnet/internal/acquirer"
	"tapnet/internal/ledger"
	"tapnet/internal/verify"
)

// describe writes into the data directory whose journals lie there, for verify: once they do, so that one that is missing later is missed.
func (n *Network) describe() error {
	world, err := verify.ReadWorld(n.options.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p := n.options.Profile
	own := verify.World{Profile: p.Name, Zone: verify.ZoneOf(calendar())}
	add := func(role, journal, as, name string) {
		if slices.Contains(n.options.Roles, role) {
			own.Members = append(own.Members, verify.WorldMember{Journal: journal, Role: as, Name: name})
		}
	}
	add(RoleSwitch, RoleSwitch, verify.Switch, p.Switch)
	for _, i := range p.Issuers {
		add(RoleIssuer, RoleIssuer+"-"+i.Institution, verify.Issuer, i.Institution)
	}
	add(RoleAcquirer, RoleAcquirer, verify.Acquirer, p.Acquirer.Institution)
	for place, m := range p.Merchants {
		add(RolePOS, RolePOS+"-"+m.Terminal, verify.Till, m.Terminal)
		if slices.Contains(n.options.Roles, RoleAcquirer) {
			own.Merchants = append(own.Merchants, verify.MerchantAccount{Terminal: m.Terminal, Account: acquirer.AccountMerchants + ledger.Account(place)})
		}
	}
	world.Add(own)
	text, err := verify.MarshalWorld(world)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(n.options.Dir, verify.WorldFile), text)
}

// Verify checks the journals of a data directory, and the chips whose memories lie there.
func Verify(ctx context.Context, dir string, o verify.Options) (verify.Report, error) {
	o.Chips = func(context.Context) ([]verify.Chip, error) { return chips(dir) }
	return verify.Dir(ctx, dir, o)
}

// The memories of the chips: one file each.
const (
	cardDirectory = "cards"
	chipSuffix    = ".state"
)

// chips reads the memories of the cards that have been used.
func chips(dir string) ([]verify.Chip, error) {
	entries, err := os.ReadDir(filepath.Join(dir, cardDirectory))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read card directory: %w", err)
	}
	var list []verify.Chip
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), chipSuffix)
		if !ok {
			continue
		}
		state, err := (&chipFile{path: filepath.Join(dir, cardDirectory, entry.Name())}).Load()
		if err != nil {
			return nil, err
		}
		list = append(list, chipOf(name, state))
	}
	return list, nil
}

func chipOf(name string, s card.State) verify.Chip {
	application := s.Applications[0]
	return verify.Chip{Name: name, ATC: application.ATC, PurseMinor: application.Purses[0].Balance}
}
