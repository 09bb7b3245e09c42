package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tapnet/internal/app"
	"tapnet/internal/trace"
)

// shelf is where the payments of the last demo or tap lie, masked, until the next one replaces them. It is a directory in
// the user's cache: losing it loses nothing but convenience.
type shelf struct{ dir string }

// errNotSaved says that the shelf holds no such payment.
var errNotSaved = errors.New("no such payment was saved")

const (
	shelfDir   = "last"
	shelfIndex = "index.json"
)

// shelved is the entry of one payment.
type shelved struct {
	File string   `json:"file"`
	IDs  []string `json:"ids"`
}

// shelfContent is the index of the shelf. First is what "last" means.
type shelfContent struct {
	Payments []shelved `json:"payments"`
	Last     string    `json:"last"`
}

func (s *session) shelf() (shelf, error) {
	cache := s.getenv("XDG_CACHE_HOME")
	if cache == "" {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return shelf{}, fmt.Errorf("find the cache directory: %w", err)
		}
	}
	return shelf{dir: filepath.Join(cache, "tapnet")}, nil
}

// put replaces what lies on the shelf. The new content is complete before it is found.
func (sh shelf) put(payments [][]trace.Record, last string) (err error) {
	if err := os.MkdirAll(sh.dir, 0o700); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(sh.dir, "new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(fresh)) }()
	content := shelfContent{Last: last, Payments: []shelved{}}
	for i, records := range payments {
		entry := shelved{File: fmt.Sprintf("%d.trace", i+1), IDs: idsOf(records)}
		var text bytes.Buffer
		if err := trace.Save(&text, records); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(fresh, entry.File), text.Bytes(), 0o600); err != nil {
			return err
		}
		content.Payments = append(content.Payments, entry)
	}
	index, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(fresh, shelfIndex), index, 0o600); err != nil {
		return err
	}
	place := filepath.Join(sh.dir, shelfDir)
	return errors.Join(os.RemoveAll(place), os.Rename(fresh, place))
}

func idsOf(records []trace.Record) []string {
	var ids []string
	for _, r := range records {
		for _, id := range r.IDs {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// find returns the records of a payment by any of its identifiers, with or without prefix, and when they were saved.
func (sh shelf) find(id string) ([]trace.Record, time.Time, error) {
	place := filepath.Join(sh.dir, shelfDir)
	index, err := os.ReadFile(filepath.Join(place, shelfIndex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, time.Time{}, errNotSaved
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	var content shelfContent
	if err := json.Unmarshal(index, &content); err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: index", trace.ErrFile)
	}
	if id == "last" {
		id = content.Last
	}
	at := slices.IndexFunc(content.Payments, func(p shelved) bool {
		return slices.ContainsFunc(p.IDs, func(have string) bool { return have == id || strings.HasSuffix(have, ":"+id) })
	})
	if at < 0 {
		return nil, time.Time{}, errNotSaved
	}
	file, err := os.Open(filepath.Join(place, filepath.Base(content.Payments[at].File)))
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: %w", trace.ErrFile, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, time.Time{}, err
	}
	records, err := trace.Load(file)
	return records, info.ModTime(), err
}

// saveDemoTrace puts the payments of a demo on the shelf. The first tap is the one to look at.
func saveDemoTrace(s *session, r *app.DemoReport) error {
	shelf, err := s.shelf()
	if err != nil {
		return err
	}
	var payments [][]trace.Record
	for _, p := range r.Trace.Payments() {
		if records := r.Trace.Find(p.ID); len(records) > 0 {
			payments = append(payments, records)
		}
	}
	return shelf.put(payments, r.FirstTap)
}

// keepTrace puts the payment of a world that is about to be thrown away on the shelf. Failing to is no reason to fail the tap.
func (s *session) keepTrace(ctx context.Context, world app.World, id string) {
	text, err := world.TraceOf(ctx, id)
	if err != nil {
		return
	}
	records, err := trace.Load(bytes.NewReader(text))
	if err != nil {
		return
	}
	if shelf, err := s.shelf(); err == nil {
		_ = shelf.put([][]trace.Record{records}, id)
	}
}
