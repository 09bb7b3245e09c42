package journalpg

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"tapnet/internal/journal"
	"tapnet/internal/journal/journaltest"
)

// secret is what no error may show.
const secret = "hunter2-Secret"

// shows prints an error in every way a log might, and those of its causes.
func shows(err error) string {
	var b strings.Builder
	log := slog.New(slog.NewJSONHandler(&b, nil))
	for ; err != nil; err = errors.Unwrap(err) {
		fmt.Fprintf(&b, "%v %+v %#v %s %q\n", err, err, err, err, err)
		log.Error("failed", "err", err)
	}
	return b.String()
}

func TestErrorsHideThePassword(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	nobody.Close()
	for name, dsn := range map[string]string{
		"refused":           "postgres://u:" + secret + "@" + closed + "/d?sslmode=disable",
		"refused, keywords": "host=127.0.0.1 port=1 user=u password=" + secret + " sslmode=disable",
		"two hosts":         "postgres://u:" + secret + "@" + closed + ",127.0.0.1:1/d?target_session_attrs=read-write&sslmode=disable",
		"in the query":      "postgres://u@" + closed + "/d?sslmode=disable&password=" + secret,
		"slash":             "postgres://u:a/" + secret + "@" + closed + "/d",
		"colon":             "postgres://u:a:" + secret + ":@@" + closed + "/d?sslmode=no",
		"percent":           "postgres://u:%zz" + secret + "@" + closed + "/d",
		"unknown mode":      "postgres://u:" + secret + "@" + closed + "/d?sslmode=perhaps",
		"port":              "postgres://u:" + secret + "@host:port/d",
		"quote":             "host=127.0.0.1 password='" + secret,
		"spaces":            "host = 127.0.0.1 password = " + secret + " sslmode = perhaps",
		"no such file":      "postgres://u:" + secret + "@" + closed + "/d?sslmode=verify-full&sslrootcert=/nonexistent",
		"nonsense":          secret,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Open(t.Context(), dsn, Options{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if text := shows(err); strings.Contains(text, secret) {
				t.Errorf("the error shows the password:\n%s", text)
			}
			var carrier *pgconn.ConnectError
			if errors.As(err, &carrier) {
				t.Error("the error carries the connection's configuration")
			}
		})
	}
}

func TestOpenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ctx, "postgres://127.0.0.1:1/d", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open = %v", err)
	}
}

// testRowType is what a server might call the type of the table's rows.
const testRowType = 16_384

// decode takes the array of a batch apart as a server does, into rows as a result has them: without the shard.
func decode(t *testing.T, b *batch, shard int64, n int) [][][]byte {
	t.Helper()
	array := b.params[fixedParams]
	word := func() uint32 {
		v := binary.BigEndian.Uint32(array)
		array = array[4:]
		return v
	}
	for i, want := range []uint32{1, 1, testRowType, uint32(n), 1} {
		if got := word(); got != want {
			t.Fatalf("word %d of the header is %d, want %d", i, got, want)
		}
	}
	rows := make([][][]byte, n)
	for i := range rows {
		end := int(word())
		end = len(array) - end
		if columns := word(); columns != 1+int8Columns+byteaColumns {
			t.Fatalf("row %d: %d columns", i, columns)
		}
		for col := range 1 + int8Columns + byteaColumns {
			oid := uint32(oidInt8)
			if col > int8Columns {
				oid = oidBytea
			}
			if got := word(); got != oid {
				t.Fatalf("row %d, column %d: type %d, want %d", i, col, got, oid)
			}
			var value []byte
			if length := word(); length != nullLength {
				value, array = array[:length], array[length:]
			}
			if col == 0 {
				if string(value) != string(int8Param(shard)) {
					t.Fatalf("row %d: shard %x", i, value)
				}
				continue
			}
			rows[i] = append(rows[i], value)
		}
		if len(array) != end {
			t.Fatalf("row %d: length is off by %d", i, len(array)-end)
		}
	}
	if len(array) != 0 {
		t.Fatalf("%d bytes left over", len(array))
	}
	return rows
}

func TestBatchReadsBack(t *testing.T) {
	var b batch
	var chain journal.Chain
	for _, n := range []int{3, 1, 17} { // the second is smaller: nothing of the first may be left
		before := chain
		rows := journaltest.Rows(&chain, n)
		rows[0].Key, rows[0].Answer, rows[0].STAN, rows[0].Debit = "", nil, 1<<32-1, -1<<63
		b.fill(-5, 7, &before, testRowType, rows, nil)
		fixed := [][]byte{int8Param(-5), int8Param(7), int8Param(int64(before.Seq)), before.Hash[:]}
		for i, want := range fixed {
			if string(b.params[i]) != string(want) {
				t.Errorf("parameter %d is %x, want %x", i+1, b.params[i], want)
			}
		}
		for i, values := range decode(t, &b, -5, n) {
			sc := scanner{values: values}
			if r := sc.row(); sc.err != nil || fmt.Sprint(r) != fmt.Sprint(rows[i]) {
				t.Errorf("row %d reads back as %v, %v; want %v", i, r, sc.err, rows[i])
			}
		}
	}
}

func TestBatchDoesNotAllocate(t *testing.T) {
	var b batch
	var chain journal.Chain
	rows := journaltest.Rows(&chain, 64)
	if got := testing.AllocsPerRun(20, func() { b.fill(1, 1, &chain, testRowType, rows, nil) }); got > 0 {
		t.Errorf("%v allocations", got)
	}
}

func TestScannerRefuses(t *testing.T) {
	var b batch
	var chain journal.Chain
	rows := journaltest.Rows(&chain, 1)
	for name, c := range map[string]struct {
		col   int
		value []byte
	}{
		"number NULL": {0, nil}, "number short": {5, []byte{1}}, "kind": {1, int8Param(256)}, "negative": {6, int8Param(-1)},
		"date": {3, int8Param(1 << 31)}, "phase": {12, int8Param(-1)}, "content": {15, []byte{1}}, "chain NULL": {16, nil},
		"key": {17, make([]byte, journal.MaxTextBytes+1)}, "note": {22, make([]byte, journal.MaxBlobBytes+1)},
	} {
		b.fill(1, 1, &journal.Chain{}, testRowType, rows, nil)
		values := decode(t, &b, 1, 1)[0]
		values[c.col] = c.value
		sc := scanner{values: values}
		if sc.row(); sc.err == nil || !strings.Contains(sc.err.Error(), "does not fit") {
			t.Errorf("%s: %v", name, sc.err)
		}
	}
	sc := scanner{values: [][]byte{nil}}
	if sc.row(); sc.err == nil {
		t.Error("a row of one column was read")
	}
}

func TestNotDone(t *testing.T) {
	alive := &session{}
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"refused", &pgconn.PgError{Code: uniqueViolation}, true},
		{"conflict", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: serializationFailure}), true},
		{"never sent", newConnectError(errors.New("no route to host")), true},
		{"completion unknown", &pgconn.PgError{Code: statementCompletionUnknown}, false},
		{"connection", &pgconn.PgError{Code: "08006"}, false},
		{"cut", net.ErrClosed, false},
		{"late", context.DeadlineExceeded, false},
	} {
		if got := alive.notDone(c.err); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRetryIsBounded(t *testing.T) {
	s := &Store{}
	for _, code := range []string{serializationFailure, deadlockDetected} {
		calls := 0
		err := s.retry(&session{}, false, func() error {
			calls++
			return &pgconn.PgError{Code: code}
		})
		if calls != maxAttempts || sqlState(err) != code {
			t.Errorf("%s: %d attempts, %v", code, calls, err)
		}
	}
	for _, err := range []error{&pgconn.PgError{Code: uniqueViolation}, net.ErrClosed, newConnectError(net.ErrClosed)} {
		calls := 0
		_ = s.retry(&session{}, true, func() error { calls++; return err })
		if calls != 1 {
			t.Errorf("%v: %d attempts", err, calls)
		}
	}
}

func TestFit(t *testing.T) {
	good := map[string]string{"server_version_num": "150018", "fsync": "on", "full_page_writes": "on"}
	for name, c := range map[string]struct {
		key, value string
		says       string // empty: it is fit
	}{
		"good": {}, "oldest": {"server_version_num", "140000", ""}, "too old": {"server_version_num", "130022", "PostgreSQL 13.22"},
		"fsync": {"fsync", "off", "fsync = on"}, "full_page_writes": {"full_page_writes", "off", "full_page_writes = on"},
	} {
		settings := maps.Clone(good)
		settings[c.key] = c.value
		err := fit(settings)
		if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrUnfit) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := fit(map[string]string{"server_version_num": "130000"}); err != nil {
		t.Errorf("a server that only speaks the protocol: %v", err)
	}
}
