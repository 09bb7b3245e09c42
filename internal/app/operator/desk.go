package operator

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/transit"
	"tapnet/internal/transit/transithttp"
)

// Names in a data directory.
const (
	tokenFile    = "transit.token"
	whereFile    = "transit.json"
	tokenBytes   = 24
	closeEvery   = time.Minute
	headersFirst = 10 * time.Second
	drainWithin  = 10 * time.Second
)

// Where says how to reach a running operator.
type Where struct {
	URL   string `json:"url"`
	Token string `json:"-"`
	Zone  string `json:"zone,omitempty"`   // of the operator's day, as the configuration has it
	File  string `json:"config,omitempty"` // the configuration; empty: the city that comes with the program
}

// Ask gives an office a command and waits for the reply, which comes after the commit. A refusal is the error.
type Ask func(ctx context.Context, command any) (any, error)

// Desk is what a running office shows to gates, riders and staff: its interface, and the close of each day.
type Desk struct {
	plan   *Plan
	ask    Ask
	server *http.Server
	where  Where
	cancel context.CancelFunc
	group  sync.WaitGroup
}

// Open opens the interface of an office that runs.
func (p *Plan) Open(ctx context.Context, ask Ask, archive func() journal.Archive) (*Desk, error) {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &Desk{plan: p, ask: ask, cancel: cancel}
	if err := d.serve(running, archive); err != nil {
		return nil, errors.Join(err, d.Close(ctx))
	}
	d.group.Go(func() { d.closeDays(running) })
	return d, nil
}

// Close ends the interface.
func (d *Desk) Close(ctx context.Context) (err error) {
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
		defer cancel()
		err = d.server.Shutdown(ctx)
	}
	d.cancel()
	d.group.Wait()
	return err
}

// Handler is the interface of an office, and the operator's token for it.
func (p *Plan) Handler(ask Ask, archive func() journal.Archive) (handler http.Handler, token string, err error) {
	if token, err = openToken(p.dir); err != nil {
		return nil, "", err
	}
	handler, err = transithttp.New(transithttp.Config{
		Ask: ask, Archive: archive, Devices: p.Deps.Devices, Signer: p.Deps.Signer, Currency: p.Deps.Currency, Operator: token,
	})
	return handler, token, err
}

// serve opens the interface and says in the data directory where it is.
func (d *Desk) serve(ctx context.Context, archive func() journal.Archive) error {
	handler, token, err := d.plan.Handler(d.ask, archive)
	if err != nil {
		return err
	}
	var tcp net.ListenConfig
	listener, err := tcp.Listen(ctx, "tcp", d.plan.Config.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", d.plan.Config.Listen, err)
	}
	d.server = &http.Server{Handler: handler, ReadHeaderTimeout: headersFirst, ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(d.plan.log.Handler(), slog.LevelWarn)}
	d.group.Go(func() {
		if err := d.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			d.plan.log.Error("interface stopped", "error", err)
		}
	})
	d.where = Where{URL: "http://" + listener.Addr().String(), Token: token, Zone: d.plan.Config.Zone, File: d.plan.file}
	text, err := json.Marshal(d.where)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.plan.dir, whereFile), text, 0o600)
}

// openToken reads the operator's token, or makes one.
func openToken(dir string) (string, error) {
	path := filepath.Join(dir, tokenFile)
	text, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	raw := make([]byte, tokenBytes)
	if _, err := io.ReadFull(rand.Reader, raw); err != nil {
		return "", fmt.Errorf("make the operator's token: %w", err)
	}
	token := hex.EncodeToString(raw)
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("save the operator's token: %w", err)
	}
	return token, nil
}

// ErrNotRunning is wrapped by Find when no operator runs on a data directory.
var ErrNotRunning = errors.New("operator: no operator runs on this directory")

// Find says where the operator of a data directory is.
func Find(dir string) (Where, error) {
	text, err := os.ReadFile(filepath.Join(dir, whereFile))
	if err != nil {
		return Where{}, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	var w Where
	if err := json.Unmarshal(text, &w); err != nil {
		return w, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	if w.Token, err = openToken(dir); err != nil {
		return w, err
	}
	return w, nil
}

// Where is how to reach this operator.
func (d *Desk) Where() Where { return d.where }

// closeDays closes each day some time after its end.
func (d *Desk) closeDays(ctx context.Context) {
	after, err := time.ParseDuration(d.plan.Config.CloseAt)
	if err != nil {
		return
	}
	due := make(chan struct{}, 1)
	for {
		timer := d.plan.clock.AfterFunc(closeEvery, func() { due <- struct{}{} })
		select {
		case <-due:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		day := d.plan.book.ServiceDate(d.plan.clock.Now().Add(-after)) - 1
		if _, err := d.ask(ctx, transit.CloseDay{Day: day}); err != nil && !errors.Is(err, transit.ErrClosed) && ctx.Err() == nil {
			d.plan.log.Warn("the day is not closed", "day", day.String(), "error", err)
		}
	}
}
