package fares

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"tapnet/money"
)

// ErrFile says that a CSV file cannot be read. The text names file and line.
var ErrFile = errors.New("file cannot be used")

// Limits of a file that is read whole: a square of the largest table with names and amounts is below both.
const (
	maxFileBytes = 32 << 20
	maxRows      = maxPlaces*maxPlaces + 1
)

// sheet is a CSV file that is read row by row, with cells by name of the column.
type sheet struct {
	file   string
	reader *csv.Reader
	header []string
	column map[string]int
	row    []string
	line   int
}

func openSheet(file string, text []byte) (*sheet, error) {
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d", ErrFile, file, len(text), maxFileBytes)
	}
	// Spreadsheets write a mark of byte order that no column is called by.
	text = bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF"))
	s := &sheet{file: file, reader: csv.NewReader(bytes.NewReader(text)), column: map[string]int{}}
	header, err := s.reader.Read()
	if err != nil {
		return nil, fmt.Errorf("%w: %s has no header: %w", ErrFile, file, err)
	}
	if len(header) > maxPlaces+1 {
		return nil, fmt.Errorf("%w: %s has %d columns, at most %d", ErrFile, file, len(header), maxPlaces+1)
	}
	s.header = header
	for i, name := range header {
		name = strings.TrimSpace(name)
		if _, twice := s.column[name]; twice {
			return nil, fmt.Errorf("%w: %s has the column %q twice", ErrFile, file, clip(name))
		}
		s.column[name] = i
	}
	s.reader.ReuseRecord = true
	return s, nil
}

// next moves to the next row and reports false at the end.
func (s *sheet) next() (bool, error) {
	row, err := s.reader.Read()
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%w: %s: %w", ErrFile, s.file, err)
	}
	if s.line++; s.line > maxRows {
		return false, fmt.Errorf("%w: %s has more than %d rows", ErrFile, s.file, maxRows)
	}
	s.row = row
	return true, nil
}

// cell gives the cell of a column, "" when there is no such column.
func (s *sheet) cell(name string) string {
	if i, ok := s.column[name]; ok {
		return strings.Clone(strings.TrimSpace(s.row[i]))
	}
	return ""
}

func (s *sheet) wrong(err error) error { return fmt.Errorf("%s, row %d: %w", s.file, s.line, err) }

// ParseTable reads a table of fares from CSV with decimal amounts of the currency. It has the columns from, to and fare, one row for each
// pair; or it is a square: the first row names the places that go to, the first column those that come from, and an empty cell is no fare.
// Errors wrap ErrFile or ErrTable.
func ParseTable(text []byte, currency string) (*Table, error) {
	c, err := money.ParseCurrency(currency)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTable, err)
	}
	s, err := openSheet("table", text)
	if err != nil {
		return nil, err
	}
	_, from := s.column["from"]
	_, to := s.column["to"]
	_, fare := s.column["fare"]
	made := newFill()
	long := from && to && fare && len(s.header) == 3
	places := make([]string, len(s.header))
	for i := range places {
		places[i] = strings.TrimSpace(s.header[i])
	}
	for {
		more, err := s.next()
		if err != nil {
			return nil, err
		}
		if !more {
			return made.table()
		}
		if long {
			err = addFare(made, s.cell("from"), s.cell("to"), s.cell("fare"), c)
		} else {
			err = addRow(made, places, s.row, c)
		}
		if err != nil {
			return nil, s.wrong(err)
		}
	}
}

func addRow(made *fill, places, row []string, c money.Currency) error {
	origin := strings.Clone(strings.TrimSpace(row[0]))
	for i := 1; i < len(row); i++ {
		text := strings.TrimSpace(row[i])
		if text == "" {
			continue
		}
		if err := addFare(made, origin, places[i], text, c); err != nil {
			return err
		}
	}
	return nil
}

func addFare(made *fill, from, to, text string, c money.Currency) error {
	a, err := money.Parse(text, c)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTable, err)
	}
	return made.set(from, to, a.Minor())
}

// AppendCSV writes the table as rows of from, to and fare. ParseTable reads it back.
func (t *Table) AppendCSV(dst []byte, currency string) ([]byte, error) {
	c, err := money.ParseCurrency(currency)
	if err != nil {
		return dst, fmt.Errorf("%w: %w", ErrTable, err)
	}
	buffer := bytes.NewBuffer(dst)
	w := csv.NewWriter(buffer)
	rows := [][]string{{"from", "to", "fare"}}
	for a, from := range t.places {
		for b, to := range t.places {
			if fare := t.fares[a*len(t.places)+b]; fare != noFare {
				rows = append(rows, []string{from, to, money.New(int64(fare), c).Decimal()})
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return dst, fmt.Errorf("write table: %w", err)
	}
	return buffer.Bytes(), nil
}
