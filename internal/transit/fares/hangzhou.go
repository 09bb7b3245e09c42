package fares

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// ErrRecord says that a row of the metro data set cannot be read. The text names the row.
var ErrRecord = errors.New("record cannot be used")

// The columns of the data set of January 2019: local time without a zone, line, station, device, 1 for in and 0 for out, an anonymous user
// and the type of payment. The data is not part of the project.
const hangzhouHeader = "time,lineID,stationID,deviceID,status,userID,payType"

const (
	hangzhouLayout = "2006-01-02 15:04:05"
	// maxHangzhouRows bounds a file, which holds one day of about 2.5 million rows.
	maxHangzhouRows = 20_000_000
	maxHangzhouLine = 256
	// sharedPayType is used by several riders under one number: single tickets.
	sharedPayType = 3
	hangzhouCells = 7
)

// Record is one row of the data set as a tap.
type Record struct {
	Tap     Tap
	User    string
	Line    string
	PayType int
	Shared  bool // the user may be several people; only an entry and the exit after it belong together
}

// ReadHangzhou calls back for every row of a file of the published data set, in the order of the file. Devices are numbered within a
// station, and rows have no number, so a tap is named by station, device and row. A row that does not fit ends the reading with ErrRecord.
func ReadHangzhou(r io.Reader, zone *time.Location, service string, each func(Record) error) error {
	if zone == nil {
		zone = shanghaiTime
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxHangzhouLine)
	if !lines.Scan() || strings.TrimRight(strings.TrimPrefix(lines.Text(), "\xEF\xBB\xBF"), "\r") != hangzhouHeader {
		return fmt.Errorf("%w: the first row is not %s", ErrRecord, hangzhouHeader)
	}
	names := interned{}
	for row := 1; lines.Scan(); row++ {
		if row > maxHangzhouRows {
			return fmt.Errorf("%w: more than %d rows", ErrRecord, maxHangzhouRows)
		}
		record, err := parseRecord(strings.TrimRight(lines.Text(), "\r"), row, zone, service, names)
		if err != nil {
			return err
		}
		if err := each(record); err != nil {
			return fmt.Errorf("take row %d: %w", row, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return nil
}

// shanghaiTime is a fixed offset: China keeps no daylight saving time, and no zone file is needed.
var shanghaiTime = time.FixedZone("Asia/Shanghai", 8*60*60)

// interned keeps one copy of each name: a day has millions of rows, some thousand devices, and riders who come back.
type interned map[string]string

func (n interned) one(s string) string {
	if kept, ok := n[s]; ok {
		return kept
	}
	kept := strings.Clone(s)
	n[kept] = kept
	return kept
}

func parseRecord(line string, row int, zone *time.Location, service string, names interned) (Record, error) {
	cells := strings.Split(line, ",")
	if len(cells) != hangzhouCells {
		return Record{}, fmt.Errorf("%w: row %d has %d cells, wants %d", ErrRecord, row, len(cells), hangzhouCells)
	}
	at, err := time.ParseInLocation(hangzhouLayout, cells[0], zone)
	pay, err2 := strconv.ParseUint(cells[6], 10, 8)
	if err != nil || err2 != nil || cells[4] != "0" && cells[4] != "1" || cells[5] == "" || cells[2] == "" || cells[3] == "" {
		return Record{}, fmt.Errorf("%w: row %d: time, status, user or payment type", ErrRecord, row)
	}
	user, place := names.one(cells[5]), names.one(cells[2])
	t := Tap{ID: TapID{Device: names.one(cells[2] + "/" + cells[3]), Sequence: uint64(row)}, At: at, Kind: Exit, Service: service, Medium: user, Place: place}
	if cells[4] == "1" {
		t.Kind = Entry
	}
	if err := t.check(); err != nil {
		return Record{}, fmt.Errorf("%w: row %d: %w", ErrRecord, row, err)
	}
	return Record{Tap: t, User: user, Line: names.one(cells[1]), PayType: int(pay), Shared: pay == sharedPayType}, nil
}

// Made describes a made-up day in the shape of the data set.
type Made struct {
	Seed     uint64
	Day      Date
	Riders   int
	Stations int
	Missing  int // of 1000 taps, so many are left out
}

// WriteHangzhou writes a day of made-up riders in the columns of the data set, in order of time: most go somewhere in the morning and back in
// the evening. The same description gives the same bytes.
func (m Made) WriteHangzhou(w io.Writer) error {
	if m.Riders < 0 || m.Riders*4 > maxHangzhouRows || m.Stations < 2 || m.Stations > maxPlaces || m.Missing < 0 || m.Missing > 1000 {
		return fmt.Errorf("%w: made-up day of %d riders and %d stations", ErrRecord, m.Riders, m.Stations)
	}
	random := rand.New(rand.NewPCG(m.Seed, uint64(m.Day)))
	rows := make([][]string, secondsPerDay) // by second, which sorts them
	tap := func(second, station, status, rider, pay int) {
		if random.IntN(1000) < m.Missing {
			return
		}
		second = min(second, secondsPerDay-1)
		at := time.Unix(int64(m.Day)*secondsPerDay+int64(second), 0).UTC().Format(hangzhouLayout)
		row := fmt.Sprintf("%s,%c,%d,%d,%d,R%07d,%d", at, 'A'+station%3, station, 1000+station*10+random.IntN(8), status, rider, pay)
		rows[second] = append(rows[second], row)
	}
	for rider := range m.Riders {
		home, work := random.IntN(m.Stations), random.IntN(m.Stations)
		pay := []int{0, 1, 1, 2, 3}[random.IntN(5)]
		for _, trip := range [...]struct{ from, to, hour, share int }{{home, work, 7, 95}, {work, home, 17, 90}} {
			if random.IntN(100) >= trip.share {
				continue
			}
			start := trip.hour*3600 + int(random.NormFloat64()*2400)
			tap(max(5*3600, start), trip.from, 1, rider, pay)
			tap(max(5*3600, start)+240+random.IntN(3000), trip.to, 0, rider, pay)
		}
	}
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, hangzhouHeader)
	for _, second := range rows {
		for _, row := range second {
			fmt.Fprintln(out, row)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write made-up day: %w", err)
	}
	return nil
}

// Table gives fares between the made-up stations that grow with the way, as in a metro that charges by distance: 2.00 to 10.00.
func (m Made) Table() (*Table, error) {
	made := newFill()
	for a := range m.Stations {
		for b := range m.Stations {
			if err := made.set(strconv.Itoa(a), strconv.Itoa(b), int64(200+100*min(max(a-b, b-a)/8, 8))); err != nil {
				return nil, err
			}
		}
	}
	return made.table()
}
