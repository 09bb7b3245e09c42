package operator

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit"
	"tapnet/internal/transit/fares"
	"tapnet/money"
)

//go:embed city.toml
var cityConfig []byte

//go:embed tariff.toml
var cityTariff []byte

// Config is an operator as a TOML file describes it.
type Config struct {
	Operator string `toml:"operator"`
	Currency string `toml:"currency"`
	Zone     string `toml:"zone"`      // of the operator's day, as in the time zone database; "Asia/Shanghai" needs none
	DayStart string `toml:"day_start"` // hours after midnight that belong to the day before
	CloseAt  string `toml:"close_at"`  // after the day's end, "" does not close by itself
	Collection
	// ListEvery is the time between two deltas of the deny list, "" one minute.
	ListEvery string         `toml:"list_every"`
	Epoch     uint32         `toml:"epoch"`   // of the deny list's key
	Listen    string         `toml:"listen"`  // of the interface
	Tariffs   []string       `toml:"tariffs"` // files beside this one
	Acquirer  AcquirerConfig `toml:"acquirer"`
	Stations  []Station      `toml:"station"`
	Devices   []string       `toml:"devices"`
}

// AcquirerConfig says how the office reaches its acquirer. Without an address requests wait.
type AcquirerConfig struct {
	Institution string `toml:"institution"`
	Address     string `toml:"address"`
	Terminal    string `toml:"terminal"`
	Merchant    string `toml:"merchant"`
	Keys        string `toml:"keys"` // data directory of `tapnet up`, where the terminal's keys are
}

// Station says what a station's number is in the tariff.
type Station struct {
	Number    uint32 `toml:"number"`
	Service   string `toml:"service"`
	Place     string `toml:"place"`
	Route     string `toml:"route"`
	Direction string `toml:"direction"`
	Stop      int    `toml:"stop"`
	Inspects  bool   `toml:"inspects"`
}

// ErrConfig is wrapped when a description of an operator cannot be used.
var ErrConfig = errors.New("operator: the operator's configuration cannot be used")

// maxConfig bounds a configuration and the files it names.
const maxConfig = 4 << 20

// LoadConfig reads a configuration and its tariffs. An empty path is the city that comes with the program.
func LoadConfig(path string) (Config, *fares.Book, fares.Calendar, error) {
	text, read := cityConfig, func(string) ([]byte, error) { return cityTariff, nil }
	if path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return Config{}, nil, fares.Calendar{}, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		read = func(name string) ([]byte, error) {
			return os.ReadFile(filepath.Join(filepath.Dir(path), filepath.Base(name)))
		}
	}
	return parseConfig(text, read)
}

func parseConfig(text []byte, read func(string) ([]byte, error)) (c Config, book *fares.Book, calendar fares.Calendar, err error) {
	if len(text) > maxConfig {
		return c, nil, calendar, fmt.Errorf("%w: %d bytes, at most %d", ErrConfig, len(text), maxConfig)
	}
	if err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&c); err != nil {
		return c, nil, calendar, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	if calendar, err = c.calendar(); err != nil {
		return c, nil, calendar, err
	}
	var tariffs []*fares.Tariff
	for _, name := range c.Tariffs {
		text, err := read(name)
		if err != nil || len(text) > maxConfig {
			return c, nil, calendar, fmt.Errorf("%w: tariff %q cannot be read or is too long: %w", ErrConfig, name, err)
		}
		tariff, err := fares.Load(text, read)
		if err != nil {
			return c, nil, calendar, fmt.Errorf("%w: %q: %w", ErrConfig, name, err)
		}
		tariffs = append(tariffs, tariff)
	}
	if book, err = fares.NewBook(calendar, tariffs...); err != nil {
		return c, nil, calendar, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return c, book, calendar, nil
}

func (c *Config) calendar() (fares.Calendar, error) {
	calendar := fares.Calendar{Zone: time.FixedZone("Asia/Shanghai", 8*60*60)}
	if c.Zone != "" && c.Zone != "Asia/Shanghai" {
		zone, err := time.LoadLocation(c.Zone)
		if err != nil {
			return calendar, fmt.Errorf("%w: zone %q: %w", ErrConfig, c.Zone, err)
		}
		calendar.Zone = zone
	}
	for text, into := range map[string]*time.Duration{c.DayStart: &calendar.DayStart} {
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return calendar, fmt.Errorf("%w: day_start: %w", ErrConfig, err)
		}
		*into = d
	}
	return calendar, nil
}

// deps are the office's, from its configuration and its secret.
func (c *Config) deps(s Secret, book *fares.Book, calendar fares.Calendar, random io.Reader) (d transit.Deps, err error) {
	var listEvery time.Duration
	if c.ListEvery != "" {
		if listEvery, err = time.ParseDuration(c.ListEvery); err != nil || listEvery <= 0 {
			return d, fmt.Errorf("%w: list_every %q is no time above zero", ErrConfig, c.ListEvery)
		}
	}
	currency, err := money.ParseCurrency(c.Currency)
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	profile, err := c.profile(currency, book)
	if err != nil {
		return d, err
	}
	module, err := s.module(random)
	if err != nil {
		return d, err
	}
	d = transit.Deps{
		Terminal: c.Acquirer.Terminal, Merchant: c.Acquirer.Merchant, Acquirer: c.Acquirer.Institution, Vault: module, SealKey: keyMessages, Opener: Box{module},
		Keys: Keys{s, random}, Epoch: denylist.Epoch(c.Epoch), Signer: s.Signer(), Devices: map[string]gate.ChainKey{},
		Stations: map[uint32]transit.Place{}, Book: book, Calendar: calendar, Currency: currency, Profile: profile, ListEvery: listEvery,
	}
	for _, name := range c.Devices {
		if d.Devices[name], err = s.Device(name); err != nil {
			return d, fmt.Errorf("%w: device %q: %w", ErrConfig, name, err)
		}
	}
	for _, st := range c.Stations {
		d.Stations[st.Number] = transit.Place{Service: st.Service, Place: st.Place, Route: st.Route, Direction: st.Direction, Stop: st.Stop, Inspects: st.Inspects}
	}
	return d, nil
}
