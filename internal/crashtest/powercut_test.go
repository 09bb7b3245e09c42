//go:build thirdparty && linux

package crashtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journalsql"
	checker "tapnet/internal/verify"
)

const (
	quickPowerCuts = 200
	// sectorBytes is what a disk writes whole or not at all.
	sectorBytes = 512
	// openEvery: of so many images one is opened by the store itself, which takes it over as a bank does that starts on it.
	openEvery = 8
	// restarts is on how many images a bank is started, asked of so many payments of each card.
	restarts = 4
	asked    = 8
)

// disk is what a journal's files may look like after a power cut. What was synced is there. Of the rest each sector has any of the versions that it had
// since, the length is any since, and a name that was made or removed without a sync of its directory is there or not.
type disk struct {
	dir   string
	names map[string][]*inode // by name: the synced one, then later ones; nil is no file
	count int
}

type inode struct {
	synced  []byte
	pending []*write
}

// write is a change of a file that no sync has covered yet: bytes at an offset, or a new length.
type write struct {
	call   *call
	order  int
	data   []byte
	offset int64
	cut    bool
}

func (w *write) apply(b []byte) []byte {
	if w.cut {
		if int64(len(b)) > w.offset {
			return b[:w.offset]
		}
		return append(b, make([]byte, w.offset-int64(len(b)))...)
	}
	if end := w.offset + int64(len(w.data)); int64(len(b)) < end {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[w.offset:], w.data)
	return b
}

// name is a file's in the journal's directory or one below it.
func (d *disk) name(path string) string {
	return strings.TrimPrefix(path, d.dir+string(filepath.Separator))
}

// latest is what a name stands for while the power is on.
func (d *disk) latest(name string) *inode {
	versions := d.names[name]
	if len(versions) == 0 {
		return nil
	}
	return versions[len(versions)-1]
}

func (d *disk) put(name string, file *inode) {
	if len(d.names[name]) == 0 {
		d.names[name] = []*inode{nil}
	}
	d.names[name] = append(d.names[name], file)
}

// begin takes in a change when it begins: from then on it may be on the disk.
func (d *disk) begin(c *call) error {
	name := d.name(c.path)
	d.count++
	switch c.name {
	case "open", "openat", "creat":
		if strings.Contains(c.flags, "O_TRUNC") {
			return fmt.Errorf("%s is opened to be cut", name)
		}
		if strings.Contains(c.flags, "O_CREAT") && c.result >= 0 && d.latest(name) == nil {
			d.put(name, &inode{})
		}
	case "unlink", "unlinkat":
		if c.result == 0 && d.latest(name) != nil {
			d.put(name, nil)
		}
	case "pwrite64", "ftruncate":
		if c.result < 0 {
			return nil
		}
		file := d.latest(name)
		if file == nil {
			return fmt.Errorf("%s of %s, which is not there", c.name, name)
		}
		file.pending = append(file.pending, &write{call: c, order: d.count, data: c.data, offset: c.offset, cut: c.name == "ftruncate"})
	case "fsync", "fdatasync", "close":
	default:
		return fmt.Errorf("%s of %s: this test does not know what that does", c.name, name)
	}
	return nil
}

// end takes in a sync when it is over: what was written before it began is there for good.
func (d *disk) end(c *call) {
	if c.name != "fsync" && c.name != "fdatasync" || c.result != 0 {
		return
	}
	inside := false
	for name, versions := range d.names {
		if filepath.Dir(filepath.Join(d.dir, name)) == c.path {
			d.names[name], inside = versions[len(versions)-1:], true
		}
	}
	if inside || c.path == d.dir {
		return
	}
	file := d.latest(d.name(c.path))
	if file == nil {
		return
	}
	left := file.pending[:0]
	for _, w := range file.pending {
		if w.call.end < c.begin {
			file.synced = w.apply(file.synced)
		} else {
			left = append(left, w)
		}
	}
	clear(file.pending[len(left):])
	file.pending = left
}

// The ways in which what was not synced survives.
const (
	nothing = iota
	everything
	inOrder // up to some moment, the last write torn
	anySector
	ways
)

// image writes what the files may be if the power fails now.
func (d *disk) image(random *rand.Rand, way int, dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	until := random.IntN(d.count + 1)
	if pending := d.pending(); len(pending) > 0 {
		until = pending[random.IntN(len(pending))].order
	}
	for name, versions := range d.names {
		file := versions[len(versions)-1]
		switch way {
		case nothing:
			file = versions[0]
		case inOrder, anySector:
			file = versions[random.IntN(len(versions))]
		}
		if file == nil || strings.HasSuffix(name, "-shm") { // an index in memory, made anew after every start
			continue
		}
		content := slices.Clone(file.synced)
		switch way {
		case everything:
			for _, w := range file.pending {
				content = w.apply(content)
			}
		case inOrder:
			for _, w := range file.pending {
				if w.order == until && len(w.data) > 0 {
					torn := *w
					torn.data = w.data[:random.IntN(len(w.data))]
					content = torn.apply(content)
				} else if w.order < until {
					content = w.apply(content)
				}
			}
		case anySector:
			content = file.anySector(random, content)
		}
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) pending() (all []*write) {
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if file := d.latest(name); file != nil {
			all = append(all, file.pending...)
		}
	}
	return all
}

// anySector gives each sector any of its versions, and the file any of its lengths.
func (f *inode) anySector(random *rand.Rand, content []byte) []byte {
	lengths, current := []int{len(content)}, slices.Clone(content)
	versions := map[int][][]byte{}
	for _, w := range f.pending {
		before := len(current)
		current = w.apply(current)
		lengths = append(lengths, len(current))
		from, to := int(w.offset), int(w.offset)+len(w.data)
		if w.cut {
			from, to = min(before, len(current)), max(before, len(current))
		}
		for sector := from / sectorBytes; sector*sectorBytes < to; sector++ {
			version := make([]byte, sectorBytes)
			if at := sector * sectorBytes; at < len(current) {
				copy(version, current[at:])
			}
			versions[sector] = append(versions[sector], version)
		}
	}
	length := lengths[random.IntN(len(lengths))]
	content = append(content, make([]byte, max(0, length-len(content)))...)[:length]
	for _, sector := range slices.Sorted(maps.Keys(versions)) {
		k := random.IntN(len(versions[sector]) + 1)
		if at := sector * sectorBytes; k > 0 && at < length {
			copy(content[at:min(at+sectorBytes, length)], versions[sector][k-1])
		}
	}
	return content
}

// moment is a line of the trace at which something begins or ends.
type moment struct {
	line  int
	call  *call
	begin bool
}

// moments are those of the journal's files, in order.
func (tr *traced) moments() (all []moment) {
	for i := range tr.calls {
		c := &tr.calls[i]
		cells := journalsql.CellsPath(tr.path)
		directory := c.path == filepath.Dir(tr.path) || c.path == cells
		if !directory && !strings.HasPrefix(c.path, tr.path) && filepath.Dir(c.path) != cells {
			continue
		}
		if directory && c.name != "fsync" && c.name != "fdatasync" {
			continue
		}
		all = append(all, moment{c.begin, c, true}, moment{c.end, c, false})
	}
	slices.SortStableFunc(all, func(a, b moment) int { return a.line - b.line })
	return all
}

// cuts are the lines after which the power fails: any; where an answer leaves; where something begins or ends on the journal's files; and where the log is
// carried over into the database.
func (tr *traced) cuts(random *rand.Rand, moments []moment, n int) (lines []int) {
	last := tr.calls[len(tr.calls)-1].end
	var carried []moment
	for _, m := range moments {
		if m.call.path == tr.path && m.line > tr.sent[0].call.begin {
			carried = append(carried, m)
		}
	}
	for range n {
		switch way := random.IntN(5); {
		case way == 0:
			lines = append(lines, 1+random.IntN(last))
		case way == 1:
			lines = append(lines, tr.sent[random.IntN(len(tr.sent))].call.begin)
		case way == 2 && len(carried) > 0:
			lines = append(lines, carried[random.IntN(len(carried))].line)
		default:
			lines = append(lines, moments[random.IntN(len(moments))].line)
		}
	}
	slices.Sort(lines)
	return lines
}

// replay cuts the power after each of the lines and hands the images to examine. lost says which syncs the disk only pretends to do.
func (tr *traced) replay(random *rand.Rand, lines []int, home string, lost func(*call) bool, examine func(dir string, line, way int) error) error {
	d := &disk{dir: filepath.Dir(tr.path), names: map[string][]*inode{}}
	moments := tr.moments()
	world, err := os.ReadFile(filepath.Join(tr.dir, checker.WorldFile))
	if err != nil {
		return err
	}
	for i, line := range lines {
		for len(moments) > 0 && moments[0].line <= line {
			m := moments[0]
			moments = moments[1:]
			if m.begin {
				if err := d.begin(m.call); err != nil {
					return fmt.Errorf("line %d: %w", m.line, err)
				}
			} else if !lost(m.call) {
				d.end(m.call)
			}
		}
		dir, way := filepath.Join(home, fmt.Sprint("image-", i)), random.IntN(ways)
		if err := d.image(random, way, filepath.Join(dir, "journals")); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, checker.WorldFile), world, 0o600); err != nil {
			return err
		}
		if err := examine(dir, line, way); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// examine says what a bank that finds this disk has lost of what it had answered up to a line of the trace.
func (tr *traced) examine(ctx context.Context, dir string, line int, open bool) error {
	var due []*sent
	for i := range tr.sent {
		if s := &tr.sent[i]; s.call.begin <= line {
			due = append(due, s)
		}
	}
	path := filepath.Join(dir, "journals", filepath.Base(tr.path))
	ledger, err := readBooks(ctx, path)
	switch {
	case err != nil && len(due) > 0:
		return fmt.Errorf("%d answers had left: %w", len(due), err)
	case err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, journalsql.ErrNotJournal):
		return err
	case err != nil: // cut off while it was made
		return reopen(ctx, path, 0)
	}
	for _, s := range due {
		rows := ledger.byKey[s.key]
		switch approved := s.code.Approved(); {
		case len(rows) != 1:
			return fmt.Errorf("the answer to %s had left, and %d rows decide it", s.key, len(rows))
		case s.class == "0430" && rows[0].kind != journal.Reversed:
			return fmt.Errorf("the reversal %s was acknowledged, and row %d says %v", s.key, rows[0].seq, rows[0].kind)
		case s.class == "0210" && approved && (rows[0].kind != journal.Approved || rows[0].answer != s.auth):
			return fmt.Errorf("the approval %s of %s had left, and row %d says %v %q", s.auth, s.key, rows[0].seq, rows[0].kind, rows[0].answer)
		case s.class == "0210" && !approved && rows[0].kind == journal.Approved:
			return fmt.Errorf("the refusal of %s had left, and row %d approves it", s.key, rows[0].seq)
		}
	}
	report, err := checker.Dir(ctx, dir, checker.Options{})
	if err != nil {
		return err
	}
	if !report.Clean() {
		return fmt.Errorf("verify: %d findings, the first: %v", report.Total, report.Findings[0])
	}
	if open {
		return reopen(ctx, path, ledger.tail)
	}
	return nil
}

// reopen takes the journal over as the next bank does.
func reopen(ctx context.Context, path string, tail uint64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	store, err := journalsql.Open(ctx, path)
	if err != nil {
		return err
	}
	_, claimed := store.Claim(ctx, "after the power cut")
	loaded := store.Load(ctx, 0, func(*journal.Row) error { return nil })
	last, _, asked := store.Last(ctx)
	if err := errors.Join(claimed, loaded, asked, store.Close()); err != nil {
		return err
	}
	if last != tail {
		return fmt.Errorf("the store ends with row %d, read-only it ended with %d", last, tail)
	}
	return nil
}

// restart starts a bank on the image and asks it again what it had answered before the power was cut.
func (tr *traced) restart(t *testing.T, dir string, line int) error {
	if err := errors.Join(os.CopyFS(filepath.Join(dir, "keys"), os.DirFS(filepath.Join(tr.dir, "keys"))),
		os.Link(filepath.Join(tr.dir, "passphrase"), filepath.Join(dir, "passphrase"))); err != nil {
		return err
	}
	left := map[string]bool{}
	for i := range tr.sent {
		left[tr.sent[i].key] = left[tr.sent[i].key] || tr.sent[i].call.begin <= line
	}
	b := &bank{t: t, dir: dir, profile: tr.bank.profile, hub: tr.bank.hub}
	p := b.up()
	defer b.hub.gone()
	defer p.kill()
	for _, h := range tr.crowd.holders {
		n := 0
		for _, r := range slices.Backward(h.records) {
			if !left[r.key] || r.reversed || n == asked {
				continue
			}
			n++
			if err := h.ask(r); err != nil {
				return err
			}
		}
	}
	return nil
}

var wayNames = [ways]string{"nothing unsynced survives", "everything survives", "survives in order, the last write torn", "any version of each sector survives"}

// testPowerCut cuts the power at random moments of a bank's life, from its first file to its orderly end. Whatever it had answered is there, the chain holds, and verify has no finding.
func (tr *traced) testPowerCut(t *testing.T, seed uint64) {
	cuts, began := int(number(t, "TAPNET_POWER_CUTS", quickPowerCuts)), time.Now()
	random := rand.New(rand.NewPCG(seed, 3))
	lines := tr.cuts(random, tr.moments(), cuts)
	none := func(*call) bool { return false }
	var tried [ways]int
	images := 0
	var wrong []string
	err := tr.replay(random, lines, t.TempDir(), none, func(dir string, line, way int) error {
		images++
		tried[way]++
		err := tr.examine(t.Context(), dir, line, images%openEvery == 0)
		if err == nil && images%max(1, cuts/restarts) == 0 {
			err = tr.restart(t, dir, line)
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("power cut after line %d of the trace, %s: %v", line, wayNames[way], err))
		}
		return t.Context().Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	complain(t, wrong)
	pages, anew, cells := 0, 0, 0
	for i := range tr.calls {
		c := &tr.calls[i]
		switch {
		case c.name == "pwrite64" && c.path == tr.path && c.begin > tr.sent[0].call.begin:
			pages++
		case c.name == "pwrite64" && c.path == tr.path+"-wal" && c.offset == 0:
			anew++
		case c.name == "pwrite64" && filepath.Dir(c.path) == journalsql.CellsPath(tr.path):
			cells++
		}
	}
	if pages == 0 {
		t.Error("nothing was carried over from the log after the first answer")
	}
	if cells == 0 {
		t.Error("no cell was written back")
	}
	t.Logf("%d power cuts %v; %d pages carried over after the first answer, the log began %d times, cells were written %d times; %v", images, tried, pages,
		anew, cells, time.Since(began).Round(time.Millisecond))
	tr.lyingDisk(t, random, lines)
}

// lyingDisk has the disk forget some syncs: of the log, or of the database before the log starts anew. Answers are lost then, or the proof would prove nothing.
func (tr *traced) lyingDisk(t *testing.T, random *rand.Rand, lines []int) {
	t.Helper()
	const tries = 24
	first := tr.sent[0].call.begin
	lines = slices.DeleteFunc(slices.Clone(lines), func(line int) bool { return line <= first })
	for len(lines) > tries {
		lines = slices.Delete(lines, 0, 1)
	}
	lost := func(c *call) bool { return c.begin > first && c.path == tr.path+"-wal" }
	noticed := 0
	if err := tr.replay(random, lines, t.TempDir(), lost, func(dir string, line, _ int) error {
		if tr.examine(t.Context(), dir, line, false) != nil {
			noticed++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if noticed < len(lines)/4 {
		t.Errorf("a disk that forgets the syncs of the log was noticed after %d of %d power cuts", noticed, len(lines))
	}
	t.Logf("a disk that forgets the syncs of the log: noticed after %d of %d power cuts", noticed, len(lines))
}
