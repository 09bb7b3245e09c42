package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapnet/internal/clock"
	"tapnet/internal/ledger"
)

// WorldFile is the file of a data directory that says whose journals lie there.
const WorldFile = "world.json"

// journalsDir is where they lie below it; journalSuffix ends their names.
const (
	journalsDir   = "journals"
	journalSuffix = ".db"
)

// maxWorldBytes bounds the file: a thousand members need a tenth of it.
const maxWorldBytes = 1 << 20

// World is what a data directory says about itself: the members whose journals it holds, and what their rows do not say.
type World struct {
	Profile string        `json:"profile,omitempty"`
	Zone    Zone          `json:"zone"`
	Members []WorldMember `json:"members"`
	// Merchants are the accounts of the acquirer's books to which payments of a terminal go.
	Merchants []MerchantAccount `json:"merchants,omitempty"`
}

// Zone is the business calendar: how far local time is ahead of UTC, and how long after local midnight the next date begins.
type Zone struct {
	Name          string `json:"name"`
	OffsetSeconds int    `json:"offset_seconds"`
	CutOffSeconds int    `json:"cut_off_seconds"`
}

// WorldMember is one member and its journal.
type WorldMember struct {
	Journal string `json:"journal"` // name of the file without its ending
	Role    string `json:"role"`    // Issuer, Switch, Acquirer, Till, TokenService or CloudSE
	Name    string `json:"name"`    // institution or terminal
	// ProofMinor is the most that an issuer ever let rest on one cryptogram of a gate; zero is what it does when nobody says otherwise.
	ProofMinor int64 `json:"proof_minor,omitempty"`
}

// MerchantAccount says where an acquirer books a terminal's payments.
type MerchantAccount struct {
	Terminal string         `json:"terminal"`
	Account  ledger.Account `json:"account"`
	Currency uint16         `json:"currency,omitempty"` // ISO 4217 number, where it is not that of the network
	// Rides: a transit operator's terminal, whose cryptograms the acquirer follows. MostMinor is the highest amount of one request that was ever agreed with the
	// merchant; zero: none was.
	Rides     bool  `json:"rides,omitempty"`
	MostMinor int64 `json:"most_minor,omitempty"`
}

// ZoneOf describes a calendar.
func ZoneOf(c clock.Calendar) Zone {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	_, offset := time.Unix(0, 0).In(zone).Zone()
	return Zone{Name: zone.String(), OffsetSeconds: offset, CutOffSeconds: int(c.CutOff / time.Second)}
}

func (z Zone) calendar() clock.Calendar {
	return clock.Calendar{Zone: time.FixedZone(z.Name, z.OffsetSeconds), CutOff: time.Duration(z.CutOffSeconds) * time.Second}
}

// Add takes in what a process knows of the world: its members join those that are there.
func (w *World) Add(other World) {
	w.Profile, w.Zone = other.Profile, other.Zone
	for _, m := range other.Members {
		at := slices.IndexFunc(w.Members, func(known WorldMember) bool {
			return known.Journal == m.Journal && known.Role == m.Role && known.Name == m.Name
		})
		if at < 0 {
			w.Members = append(w.Members, m)
			continue
		}
		w.Members[at].ProofMinor = max(w.Members[at].ProofMinor, m.ProofMinor)
	}
	for _, m := range other.Merchants {
		at := slices.IndexFunc(w.Merchants, func(known MerchantAccount) bool {
			return known.Terminal == m.Terminal && known.Account == m.Account && known.Currency == m.Currency
		})
		if at < 0 {
			w.Merchants = append(w.Merchants, m)
			continue
		}
		// What was not agreed, or not followed, from the beginning the rows before do not keep.
		known := &w.Merchants[at]
		known.Rides = known.Rides && m.Rides
		if known.MostMinor != 0 && m.MostMinor != 0 {
			known.MostMinor = max(known.MostMinor, m.MostMinor)
		} else {
			known.MostMinor = 0
		}
	}
}

// ReadWorld reads the file of a data directory. fs.ErrNotExist means that there is none.
func ReadWorld(dir string) (World, error) {
	path := filepath.Join(dir, WorldFile)
	info, err := os.Stat(path)
	if err != nil {
		return World{}, err
	}
	if info.Size() > maxWorldBytes {
		return World{}, fmt.Errorf("%s: %d bytes, at most %d", WorldFile, info.Size(), maxWorldBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return World{}, err
	}
	var w World
	if err := json.Unmarshal(text, &w); err != nil {
		return World{}, fmt.Errorf("%s: %w", WorldFile, err)
	}
	for _, m := range w.Members {
		if m.Journal != filepath.Base(m.Journal) || roleOf(m.Role) == noRole {
			return World{}, fmt.Errorf("%s: member %q of role %q cannot be", WorldFile, m.Journal, m.Role)
		}
	}
	return w, nil
}

// MarshalWorld is the content of the file.
func MarshalWorld(w World) ([]byte, error) {
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", WorldFile, err)
	}
	return append(text, '\n'), nil
}

// ErrNoJournals is wrapped by Dir's error for a directory that holds no journals.
var ErrNoJournals = errors.New("no journals")

// readWorld completes what the world file says with the journals that are there. Without the file the names of the journals say
// whose they are, and the calendar is the default one.
func readWorld(dir string) (World, error) {
	if info, err := os.Stat(dir); err != nil {
		return World{}, err
	} else if !info.IsDir() {
		return World{}, fmt.Errorf("%w: %s is no directory", ErrNoJournals, dir)
	}
	w, err := ReadWorld(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		w = World{Zone: ZoneOf(clock.Calendar{Zone: clock.Shanghai()})}
	case err != nil:
		return World{}, err
	}
	entries, err := os.ReadDir(filepath.Join(dir, journalsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return World{}, err
	}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), journalSuffix)
		if !ok || slices.ContainsFunc(w.Members, func(m WorldMember) bool { return m.Journal == name }) {
			continue
		}
		if m := memberOf(name); m.Role != "" {
			w.Members = append(w.Members, m)
		}
	}
	if len(w.Members) == 0 {
		return World{}, fmt.Errorf("%w in %s", ErrNoJournals, dir)
	}
	return w, nil
}

// memberOf reads the name of a journal.
func memberOf(journal string) WorldMember {
	m := WorldMember{Journal: journal, Name: journal}
	for prefix, role := range map[string]string{"issuer-": Issuer, "pos-": Till} {
		if name, ok := strings.CutPrefix(journal, prefix); ok && name != "" {
			m.Role, m.Name = role, name
		}
	}
	switch journal {
	case "switch":
		m.Role = Switch
	case "acquirer":
		m.Role = Acquirer
	case "tsp":
		m.Role = TokenService
	case "cloudse":
		m.Role = CloudSE
	}
	return m
}
