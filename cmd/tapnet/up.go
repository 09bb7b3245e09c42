package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"tapnet/internal/app"
	"tapnet/internal/lang"
	"tapnet/internal/personalization"
)

type upCommand struct {
	Roles  []string          `placeholder:"ROLE,…" help:"${up_roles}"`
	Listen map[string]string `mapsep:"," placeholder:"ROLE=ADDRESS,…" help:"${up_listen}"`
	World  string            `name:"profile" placeholder:"FILE" help:"${up_profile}"`
	Store  string            `env:"TAPNET_STORE" placeholder:"URL" help:"${up_store}"`
	Shards int               `name:"issuer-shards" placeholder:"N" help:"${up_shards}"`
	Node   string            `placeholder:"NAME" help:"${up_node}"`
	dataFlag
}

// drainWithin is how long what is under way may take to end after the signal to stop.
const drainWithin = 15 * time.Second

// upReport is what a program needs to find the network.
type upReport struct {
	Data      string            `json:"data"`
	Roles     []string          `json:"roles"`
	Addresses map[string]string `json:"addresses"`
}

// Run keeps a network running until ctx ends.
func (c upCommand) Run(ctx context.Context, s *session) (err error) {
	spareProcessor()
	options, err := c.options(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(options.Dir, 0o700); err != nil {
		return &problem{
			code: exitEnvironment, what: lang.Fill(lang.FileUnwritable, options.Dir),
			why: reason(err), next: lang.DirDataNext, err: err,
		}
	}
	unlock, err := app.Lock(options.Dir)
	if err != nil {
		return upProblem(err, options.Dir)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	network, err := app.Start(ctx, options)
	if err != nil {
		return upProblem(err, options.Dir)
	}
	served := make(chan error, 1)
	control, stopControl := context.WithCancel(ctx)
	defer stopControl()
	go func() { served <- network.ServeControl(control) }()
	if err := s.announceUp(network, options); err != nil {
		return errors.Join(err, network.Stop(context.WithoutCancel(ctx)))
	}
	var broke error
	select {
	case <-ctx.Done():
		if !s.json {
			fmt.Fprintln(s.err, s.text(lang.UpDraining))
		}
		broke = <-served
	case broke = <-served:
	case broke = <-network.Failed():
	}
	return s.drain(ctx, network, broke)
}

// drain ends the network and reports how that went.
func (s *session) drain(ctx context.Context, network *app.Network, broke error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	stopped := network.Stop(ctx)
	switch {
	case broke != nil:
		return &problem{
			code: exitEnvironment, what: lang.UpBroke,
			why: lang.Verbatim(broke.Error()), next: lang.UpRestart, err: errors.Join(broke, stopped),
		}
	case stopped != nil:
		return &problem{code: exitEnvironment, what: lang.UpStopFails, why: lang.Verbatim(stopped.Error()), next: lang.UpRestart, err: stopped}
	}
	if !s.json {
		fmt.Fprintln(s.err, s.text(lang.UpStopped))
	}
	return nil
}

func (c upCommand) options(s *session) (app.Options, error) {
	profile, err := c.profile()
	if err != nil {
		return app.Options{}, err
	}
	roles := c.Roles
	if len(roles) == 0 {
		roles = app.EveryRole()
	}
	listen := defaultListen()
	maps.Copy(listen, c.Listen)
	for _, role := range append(slices.Collect(maps.Keys(listen)), roles...) {
		if !slices.Contains(app.EveryRole(), role) && role != app.APITokens && role != app.APIPhones && role != app.APIKeys && role != app.APIElements {
			all := strings.Join(app.EveryRole(), ",")
			return app.Options{}, &problem{code: exitUsage, what: lang.Fill(lang.UpRole, printable(role)),
				why: lang.Fill(lang.UpRoles, all), next: lang.Fill(lang.UpRoleNext, all)}
		}
	}
	log := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
	return app.Options{Profile: profile, Dir: c.dir(s), Roles: roles, Listen: listen, Log: log, Store: c.Store, Shards: c.Shards, Node: c.Node}, nil
}

// profile is the world that the file describes, or the one that comes with the program.
func (c upCommand) profile() (*personalization.Profile, error) {
	if c.World == "" {
		p, err := personalization.Load(profileName)
		if err == nil {
			withCounters(p)
		}
		return p, err
	}
	text, err := os.ReadFile(c.World)
	if err != nil {
		return nil, &problem{code: exitEnvironment, what: lang.Fill(lang.UpProfileUnread, printable(c.World)), why: reason(err), next: lang.UpProfileNext, err: err}
	}
	profile, err := personalization.Parse(text)
	if err == nil {
		err = app.CheckProfile(profile)
	}
	if err != nil {
		return nil, &problem{
			code: exitUsage, what: lang.Fill(lang.UpProfileBad, printable(c.World)), why: lang.Verbatim(err.Error()), next: lang.UpProfileNext, err: err,
		}
	}
	return profile, nil
}

func upProblem(err error, dir string) error {
	switch {
	case errors.Is(err, app.ErrInUse):
		return &problem{code: exitEnvironment, what: lang.Fill(lang.UpInUse, dir), next: lang.UpInUseNext, err: err}
	case errors.Is(err, app.ErrStore):
		return &problem{code: exitEnvironment, what: lang.UpStore, why: lang.Verbatim(err.Error()), next: lang.UpStoreNext, err: err}
	case errors.Is(err, app.ErrShards):
		return &problem{code: exitUsage, what: lang.UpShards, why: lang.Verbatim(err.Error()), next: lang.UpShardsNext, err: err}
	case errors.Is(err, syscall.EADDRINUSE):
		return &problem{code: exitEnvironment, what: lang.UpPort, why: lang.Verbatim(err.Error()), next: lang.UpListenNext, err: err}
	}
	return &problem{code: exitEnvironment, what: lang.UpFails, why: lang.Verbatim(err.Error()), next: lang.SeeDoctor, err: err}
}

func (s *session) announceUp(network *app.Network, o app.Options) error {
	addresses := network.Addresses()
	if s.json {
		return s.printJSON(s.out, upReport{Data: o.Dir, Roles: o.Roles, Addresses: addresses})
	}
	s.line(s.screen.Bold(s.text(lang.UpTitle, o.Dir)))
	t := &lang.Table{Indent: 2, Gap: 2}
	for _, role := range app.EveryRole() {
		if !slices.Contains(o.Roles, role) {
			continue
		}
		where := addresses[role]
		if where == "" {
			where = s.text(lang.UpConnects)
		}
		t.Row(role, where)
	}
	for _, api := range [...]string{app.APITokens, app.APIPhones, app.APIKeys, app.APIElements} {
		if where := addresses[api]; where != "" {
			t.Row(api, where)
		}
	}
	s.table(t)
	for _, line := range lang.Wrap(s.text(lang.UpStop), s.screen.Columns) {
		s.line(line)
	}
	return nil
}
