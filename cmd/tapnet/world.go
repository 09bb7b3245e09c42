package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/personalization"
	"tapnet/money"
)

// profileName is the test world that comes with the program.
const profileName = "demo"

// Where the roles listen when nobody says otherwise: on this machine only. The others call them.
func defaultListen() map[string]string {
	return map[string]string{app.RoleAcquirer: "127.0.0.1:8583", app.RoleSwitch: "127.0.0.1:8584", app.RoleTSP: "127.0.0.1:0"}
}

// defaultDataDir is where the operating system wants data of programs to lie.
func defaultDataDir(s *session) string {
	home := s.getenv("HOME")
	switch {
	case s.getenv("XDG_DATA_HOME") != "":
		return filepath.Join(s.getenv("XDG_DATA_HOME"), "tapnet")
	case runtime.GOOS == "windows" && s.getenv("LOCALAPPDATA") != "":
		return filepath.Join(s.getenv("LOCALAPPDATA"), "tapnet", "data")
	case home == "":
		return filepath.Join(os.TempDir(), fmt.Sprintf("tapnet-%d", os.Getuid()))
	case runtime.GOOS == "darwin":
		return filepath.Join(home, "Library", "Application Support", "tapnet")
	}
	return filepath.Join(home, ".local", "share", "tapnet")
}

// dataFlag is the directory of a network, as several commands take it.
type dataFlag struct {
	Data string `placeholder:"DIR" help:"${flag_data}"`
}

func (f dataFlag) dir(s *session) string {
	if f.Data != "" {
		return f.Data
	}
	return defaultDataDir(s)
}

// opened is a world that a command works in.
type opened struct {
	app.World
	dir       string
	throwaway bool
	close     func(context.Context) error
}

// openWorld finds the network that runs on the data directory, or makes a world for this one command and says so.
func openWorld(ctx context.Context, s *session, dir string) (*opened, error) {
	profile, err := personalization.Load(profileName)
	if err != nil {
		return nil, fmt.Errorf("load the test world: %w", err)
	}
	client, err := app.Dial(ctx, dir, profile.Money())
	if err == nil {
		return &opened{World: client, dir: dir, close: func(context.Context) error { return nil }}, nil
	}
	if !errors.Is(err, app.ErrNotRunning) {
		return nil, fmt.Errorf("talk to the network on %s: %w", dir, err)
	}
	temporary, err := os.MkdirTemp("", "tapnet-")
	if err != nil {
		return nil, &problem{
			code: exitEnvironment, what: lang.Fill(lang.FileUnwritable, os.TempDir()),
			why: reason(err), next: lang.SeeDoctor, err: err,
		}
	}
	withSlots(profile)
	network, err := app.Start(ctx, app.Options{Profile: profile, Dir: temporary})
	if err != nil {
		return nil, &problem{code: exitEnvironment, what: lang.UpFails, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor,
			err: errors.Join(err, os.RemoveAll(temporary))}
	}
	return &opened{World: network, dir: dir, throwaway: true, close: func(ctx context.Context) error {
		return errors.Join(network.Stop(context.WithoutCancel(ctx)), os.RemoveAll(temporary))
	}}, nil
}

// announce says that the world is thrown away afterwards, where it does not disturb the answer.
func (w *opened) announce(s *session) {
	if !w.throwaway || s.json {
		return
	}
	for _, line := range lang.Wrap(s.text(lang.TapThrowaway, w.dir), s.screen.Columns) {
		fmt.Fprintln(s.err, line)
	}
}

// unknownName turns the error of a name that this world does not have into one that lists those it has.
func unknownName(err error, card, merchant string) error {
	switch {
	case errors.Is(err, app.ErrUnknownCard):
		return &problem{code: exitUsage, what: lang.Fill(lang.TapUnknownCard, printable(card)), next: lang.TapCardNext, err: err}
	case errors.Is(err, app.ErrUnknownMerchant):
		p := &problem{code: exitUsage, what: lang.Fill(lang.TapUnknownShop, printable(merchant)), next: lang.Verbatim("tapnet tap --help"), err: err}
		if profile, loadErr := personalization.Load(profileName); loadErr == nil {
			var names []string
			for _, m := range profile.Merchants {
				names = append(names, m.Name)
			}
			p.why = lang.Fill(lang.TapShops, strings.Join(names, ", "))
		}
		return p
	}
	return err
}

// currency is that of the test world.
var currency = money.CNY
