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
	"tapnet/internal/personalization"
	"tapnet/internal/verify"
)

// describe writes beside the journals whose they are, for verify: once they are there, so that one that is missing later is missed.
func (n *Network) describe(ctx context.Context) error {
	p := n.options.Profile
	own := verify.World{Profile: p.Name, Zone: verify.ZoneOf(calendar())}
	add := func(role, journal, as, name string) {
		if slices.Contains(n.options.Roles, role) {
			own.Members = append(own.Members, verify.WorldMember{Journal: journal, Role: as, Name: name})
		}
	}
	add(RoleSwitch, RoleSwitch, verify.Switch, p.Switch)
	for _, i := range p.Issuers {
		for _, member := range membersOf(i.Institution, n.options.Shards) {
			add(RoleIssuer, RoleIssuer+"-"+member, verify.Issuer, member)
			if at := len(own.Members) - 1; at >= 0 && own.Members[at].Role == verify.Issuer {
				own.Members[at].ProofMinor = proofMinor(p, i)
			}
		}
	}
	add(RoleAcquirer, RoleAcquirer, verify.Acquirer, p.Acquirer.Institution)
	for place, m := range p.Merchants {
		if m.Name != p.Transit.Merchant {
			add(RolePOS, RolePOS+"-"+m.Terminal, verify.Till, m.Terminal)
		}
		if slices.Contains(n.options.Roles, RoleAcquirer) {
			own.Merchants = append(own.Merchants, n.merchantAccount(m, place))
		}
	}
	add(RoleTSP, RoleTSP, verify.TokenService, TokenService)
	add(RoleCloudSE, RoleCloudSE, verify.CloudSE, CloudSE)
	return n.stores.describe(ctx, own)
}

// merchantAccount is where the acquirer books what a merchant's terminal takes.
func (n *Network) merchantAccount(m personalization.Merchant, place int) verify.MerchantAccount {
	own := verify.MerchantAccount{Terminal: m.Terminal, Account: acquirer.AccountMerchants + ledger.Account(place), MostMinor: n.rideLimit(m)}
	if rule, err := ridesAtAcquirer(n.options.Profile); err == nil {
		own.Rides = rule.Names(m.Category)
	}
	if number := n.currencyNumberOf(m); number != n.currencyNumber() {
		own.Currency, own.Account = number, acquirer.AccountIn(slices.Index(n.currenciesElsewhere(), number), own.Account)
	}
	return own
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
	c := verify.Chip{Name: name, ATC: application.ATC, PurseMinor: application.Purses[0].Balance}
	for _, other := range s.Applications[1:] {
		c.Others = append(c.Others, verify.ChipApplication{ATC: other.ATC, PurseMinor: other.Purses[0].Balance})
	}
	return c
}
