package hsm

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// AuditRecord is one line of the audit log: who did what to which key, and how it ended. It holds names and check values, never a key.
type AuditRecord struct {
	Serial    uint64    `json:"serial"` // from 1
	At        time.Time `json:"at"`     // UTC
	Actors    []string  `json:"actors"`
	Operation string    `json:"operation"`
	Key       string    `json:"key,omitempty"`
	Under     string    `json:"under,omitempty"`
	Usage     string    `json:"usage,omitempty"`
	KCV       string    `json:"kcv,omitempty"` // three bytes, hexadecimal
	Refused   string    `json:"refused,omitempty"`
	Previous  string    `json:"previous"` // code of the line before, zeros for the first
	Code      string    `json:"code"`     // HMAC-SHA-256 over the line without it
}

// Names of the keys that the log needs; AuditKeys makes them.
const (
	keyAudit     = "hsm/audit"      // usage M7: codes of the log
	keyAuditHead = "hsm/audit-head" // usage 22: its value is the code of the last line when the keys were saved
)

// Limits of the log's reader.
const (
	maxAuditLine = 8 << 10 // a line is a few hundred bytes: names are bounded
	auditZero    = "0000000000000000000000000000000000000000000000000000000000000000"
)

// ErrAudit says that the log is not what was written.
var ErrAudit = errors.New("hsm: the audit log was altered")

// AuditReport is what a check of the log found.
type AuditReport struct {
	Records uint64
	// Unsaved are lines after the keys were last saved. A crash between line and save leaves one; more are odd.
	Unsaved uint64
	// Head is the code of the last line: written down elsewhere, it proves that nothing was cut off.
	Head string
}

// AuditLog appends to the log of one key file. Every record is durable before Append returns.
type AuditLog struct {
	h      *HSM
	path   string
	serial uint64
	head   string
}

// EnsureAuditKeys makes the log's keys in a new module.
func (h *HSM) EnsureAuditKeys() error {
	if _, err := h.find(keyAudit); err == nil {
		return nil
	}
	if _, err := h.Generate(keyAudit, UsageHMAC, ModeGenerateVerify, HMAC, NotExportable); err != nil {
		return err
	}
	_, err := h.add(keyAuditHead, UsageAuditHead, ModeVerify, HMAC, NotExportable, make([]byte, HMAC.Bytes()), false)
	return err
}

// OpenAudit checks the log beside a key file and gets ready to append. A missing file is an empty log, unless the keys say that there was one.
func (h *HSM) OpenAudit(path string) (*AuditLog, AuditReport, error) {
	report, err := h.CheckAudit(path)
	if err != nil {
		return nil, report, err
	}
	return &AuditLog{h: h, path: path, serial: report.Records, head: report.Head}, report, nil
}

// Next is the number the next record will have.
func (l *AuditLog) Next() uint64 { return l.serial + 1 }

// Append writes a record and makes it durable, then moves the head in the module; saving the keys makes that durable too. What fails here must not happen.
func (l *AuditLog) Append(r AuditRecord) error {
	r.Serial, r.Previous, r.At = l.serial+1, l.head, r.At.UTC().Truncate(time.Millisecond)
	code, err := l.h.auditCode(r)
	if err != nil {
		return err
	}
	r.Code = hex.EncodeToString(code)
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("hsm: audit log: %w", err)
	}
	if len(line) > maxAuditLine {
		return fmt.Errorf("hsm: audit log: a record of %d bytes, at most %d", len(line), maxAuditLine)
	}
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("hsm: audit log: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("hsm: audit log: %w", err)
	}
	l.serial, l.head = r.Serial, r.Code
	_, err = l.h.add(keyAuditHead, UsageAuditHead, ModeVerify, HMAC, NotExportable, code, true)
	return err
}

// auditCode is the code of a record: over its line with an empty code, so over the code of the line before as well.
func (h *HSM) auditCode(r AuditRecord) ([]byte, error) {
	e, err := h.use("signing the audit log", keyAudit, UsageHMAC, ModeGenerateVerify)
	if err != nil {
		return nil, err
	}
	r.Code = ""
	line, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("hsm: audit log: %w", err)
	}
	sum := hmac.New(sha256.New, e.value)
	sum.Write(line)
	return sum.Sum(nil), nil
}

// CheckAudit reads the whole log: numbers, chain and codes of its lines, and that the head which the keys know is among them. An error wraps ErrAudit and names
// the line.
func (h *HSM) CheckAudit(path string) (AuditReport, error) {
	report := AuditReport{Head: auditZero}
	known, err := h.find(keyAuditHead)
	if err != nil {
		return report, fmt.Errorf("hsm: audit log: %w", err)
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return report, fmt.Errorf("hsm: audit log: %w", err)
	}
	head := hex.EncodeToString(known.value)
	found := head == auditZero
	err = readAudit(bytes.NewReader(text), func(r AuditRecord) error {
		if r.Serial != report.Records+1 || r.Previous != report.Head {
			return fmt.Errorf("%w: line %d does not follow the one before", ErrAudit, report.Records+1)
		}
		code, err := h.auditCode(r)
		if err != nil {
			return err
		}
		given, err := hex.DecodeString(r.Code)
		if err != nil || !hmac.Equal(code, given) {
			return fmt.Errorf("%w: the code of line %d is wrong", ErrAudit, r.Serial)
		}
		report.Records, report.Head = r.Serial, r.Code
		if found {
			report.Unsaved++
		}
		found = found || r.Code == head
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: lines are missing after line %d", ErrAudit, report.Records)
	}
	return report, err
}

// ReadAudit gives the records of a log to fn without checking codes: CheckAudit does that.
func ReadAudit(path string, fn func(AuditRecord) error) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("hsm: audit log: %w", err)
	}
	defer func() { _ = f.Close() }()
	return readAudit(f, fn)
}

func readAudit(r io.Reader, fn func(AuditRecord) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1024), maxAuditLine+1)
	for at := 1; lines.Scan(); at++ {
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		var record AuditRecord
		if err := d.Decode(&record); err != nil || d.More() {
			return fmt.Errorf("%w: line %d is no record", ErrAudit, at)
		}
		if err := fn(record); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%w: %w", ErrAudit, err)
	}
	return nil
}
