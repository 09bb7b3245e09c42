//go:build nonet

package main

import (
	"context"
	"tapnet/internal/lang"
)

type demoCommand struct {
	Seed   uint64 `default:"1" help:"${demo_seed}"`
	Reveal bool   `help:"${flag_reveal}"`
}
type upCommand struct{}
type tapCommand struct {
	Card string `required:"" help:"${tap_card}"`
	PIN  string `name:"pin" help:"${tap_pin}"`
}
type traceCommand struct{}
type cardListCommand struct{}
type cardReadCommand struct{}

func (demoCommand) Run(ctx context.Context) error { return nil }
func (upCommand) Run() error                      { return nil }
func (tapCommand) Run() error                     { return nil }
func (traceCommand) Run() error                   { return nil }
func (cardListCommand) Run() error                { return nil }
func (cardReadCommand) Run() error                { return nil }
func defaultDataDir(*session) string              { return "/tmp" }
func defaultListen() []string                     { return nil }

var _ = lang.DemoTitle
