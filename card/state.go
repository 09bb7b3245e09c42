package card

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Sizes of a State. It is one fixed block, as on a chip, so that a commit is one write of known length.
const (
	// MaxApplications bounds one card: the products carry a debit or credit application, electronic cash and one partner.
	MaxApplications = 4
	// LogRecords is the length of the spending log [REF 1.3] (9F4D 0B0A).
	LogRecords = 10
	// MaxLogRecordBytes bounds one log record; the usual format has 45 bytes.
	MaxLogRecordBytes = 64
	// MaxRecordBytes is what a short response carries [ISO 7816-4 5.1].
	MaxRecordBytes = 256
	// MaxMinor is the largest amount of format n12.
	MaxMinor = 999_999_999_999
	// exhausted is the counter value at which an application can never pay again [REF 2.2].
	exhausted = 0xFFFF

	// MaxUpdatedRecords is how many records the issuer's scripts can have changed on one card, all applications together.
	MaxUpdatedRecords = 4
	// MaxExtendedRecords is how many records the files for the extended application can hold on one card [REF 2.8].
	MaxExtendedRecords = 8
	// MaxExtendedBytes bounds one of them; merchants keep an entry time, a line and a fare there.
	MaxExtendedBytes = 128
	// MaxPreauthorizations is how many offline pre-authorisations can be open [REF 2.8].
	MaxPreauthorizations = 3

	maxPINTries = 15 // 63Cx has room for one digit
)

// State is everything on the card that changes after personalisation. It is comparable with ==. Amounts are minor units of
// the purse's currency, 0 to MaxMinor.
type State struct {
	Blocked       bool // the whole card, by the issuer's script
	NoContactless bool // switched off by the cardholder
	Applications  [MaxApplications]ApplicationState
	Updated       [MaxUpdatedRecords]UpdatedRecord
	Extended      [MaxExtendedRecords]ExtendedRecord
}

// ApplicationState belongs to the application at the same index of the Image.
type ApplicationState struct {
	Blocked              bool
	ATC                  uint16 // 9F36, the last counter used
	LastOnlineATC        uint16 // 9F13; 0 marks a new card
	PINTries             byte   // 9F17, tries left
	Purses               [2]Purse
	Cumulative           int64 // CTTA, spent offline since the last online transaction
	CumulativeLimit      int64 // 9F54
	CumulativeUpperLimit int64 // 9F5C
	InternationalCount   byte  // offline transactions in a foreign currency since the last online transaction
	InternationalLimit   byte  // 9F53
	Log                  Log
	LastRecord           LastRecord

	// Switched off by the cardholder: everywhere, or on contactless.
	Disabled, NoContactless bool

	BlockedByPIN bool // Blocked because the PIN was tried too often
	PIN          StoredPIN
	History      History
	CountryCount byte  // offline transactions abroad since the last online transaction, on contact
	Dual         int64 // offline total of both application currencies since then, in the first
	Settings     [len(settings)]Setting
	LoadLog      Log
	SegmentUsed  int64 // DF63
	Preauths     [MaxPreauthorizations]Preauthorization
	Proof        Proof
}

// History is what earlier payments left for the next one [REF 1.8].
type History struct {
	LastOnlineIncomplete bool
	IssuerAuthFailed     bool // or was missing although mandatory
	SDAFailed, DDAFailed bool // and the payment was declined offline
	ScriptFailed         bool
	ScriptCount          byte // commands after the second cryptogram
}

// Setting is a data object that a script has replaced.
type Setting struct {
	Length byte // 0: as personalisation wrote it
	Value  [6]byte
}

// Proof is the certificate of the latest payment the card approved [REF 2.8].
type Proof struct {
	ATC        uint16 // 0: none
	Cryptogram [8]byte
}

// Preauthorization is money set aside for one merchant record.
type Preauthorization struct {
	Open   bool
	SFI    byte
	ID     [2]byte
	Amount int64 // minor units
}

// UpdatedRecord is a record as a script last wrote it.
type UpdatedRecord struct {
	Application, SFI, Number byte
	Length                   uint16 // 0: free
	Bytes                    [MaxRecordBytes]byte
}

// ExtendedRecord is a merchant's record in a file of the extended application, with the key that protects its changes.
type ExtendedRecord struct {
	Application, SFI, Number, Length byte // Length 0: free
	Key                              RecordKey
	Bytes                            [MaxExtendedBytes]byte
}

// Purse is one currency of electronic cash. The first is that of 9F51, the second that of DF71 [REF 1.3].
type Purse struct {
	Balance        int64 // 9F79, DF79
	BalanceLimit   int64 // 9F77, DF77
	SingleLimit    int64 // 9F78, DF78
	ResetThreshold int64 // 9F6D, DF76
	CVMLimit       int64 // 9F6B, DF72
}

// Log holds the newest transactions first.
type Log struct {
	Count   byte
	Records [LogRecords]LogRecord
}

// LogRecord is one record as the log format (9F4F) lays it out.
type LogRecord struct {
	Length byte
	Bytes  [MaxLogRecordBytes]byte
}

// add puts a record in front; the oldest falls out.
func (l *Log) add(record LogRecord) {
	copy(l.Records[1:], l.Records[:LogRecords-1])
	l.Records[0] = record
	if l.Count < LogRecords {
		l.Count++
	}
}

// String and Format tell nothing of the holder's affairs.
func (a ApplicationState) String() string { return "application state" }

// Format prints String for every verb.
func (a ApplicationState) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, a.String()) }

// LastRecord is the answer to the READ RECORD that committed a payment, kept so that it can be given again [REF 2.4].
type LastRecord struct {
	ATC    uint16
	Length uint16 // 0: none
	Bytes  [MaxRecordBytes]byte
}

// stateVersion leads the encoding; a later layout takes the next number.
const stateVersion = 2

var errState = errors.New("state is malformed")

// MarshalBinary encodes the state in a fixed length.
func (s State) MarshalBinary() ([]byte, error) {
	b, err := binary.Append([]byte{stateVersion}, binary.BigEndian, s)
	if err != nil {
		return nil, fmt.Errorf("encode card state: %w", err)
	}
	return b, nil
}

// UnmarshalBinary decodes and checks a state, also one of the layout before this one.
func (s *State) UnmarshalBinary(b []byte) error {
	var decoded State
	if old, err := decoded.decodeV1(b); old {
		if err == nil {
			err = decoded.check()
		}
		if err != nil {
			return fmt.Errorf("decode card state: %w", err)
		}
		*s = decoded
		return nil
	}
	if len(b) != 1+binary.Size(decoded) || b[0] != stateVersion {
		return fmt.Errorf("decode card state: %w: %d bytes", errState, len(b))
	}
	if _, err := binary.Decode(b[1:], binary.BigEndian, &decoded); err != nil {
		return fmt.Errorf("decode card state: %w", err)
	}
	if err := decoded.check(); err != nil {
		return fmt.Errorf("decode card state: %w", err)
	}
	if again, err := decoded.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
		return fmt.Errorf("decode card state: %w: a flag is neither 0 nor 1", errState)
	}
	*s = decoded
	return nil
}

// check tells whether the values could stand on a card.
func (s *State) check() error {
	for i := range s.Applications {
		if err := s.Applications[i].check(); err != nil {
			return fmt.Errorf("application %d: %w", i, err)
		}
	}
	for i := range s.Updated {
		if s.Updated[i].Length > MaxRecordBytes || s.Updated[i].Application >= MaxApplications {
			return fmt.Errorf("%w: changed record %d is out of range", errState, i+1)
		}
	}
	for i := range s.Extended {
		if s.Extended[i].Length > MaxExtendedBytes || s.Extended[i].Application >= MaxApplications {
			return fmt.Errorf("%w: extended record %d is out of range", errState, i+1)
		}
	}
	return nil
}

func (a *ApplicationState) check() error {
	for i, p := range a.Purses {
		for _, amount := range []int64{p.Balance, p.BalanceLimit, p.SingleLimit, p.ResetThreshold, p.CVMLimit} {
			if amount < 0 || amount > MaxMinor {
				return fmt.Errorf("%w: purse %d has an amount outside n12", errState, i)
			}
		}
		if p.Balance > p.BalanceLimit {
			return fmt.Errorf("%w: purse %d holds more than its limit", errState, i)
		}
	}
	for _, amount := range []int64{a.Cumulative, a.CumulativeLimit, a.CumulativeUpperLimit, a.Dual, a.SegmentUsed} {
		if amount < 0 || amount > MaxMinor {
			return fmt.Errorf("%w: a cumulative amount is outside n12", errState)
		}
	}
	if a.PINTries > maxPINTries || a.Log.Count > LogRecords || a.LastRecord.Length > MaxRecordBytes {
		return fmt.Errorf("%w: a count is out of range", errState)
	}
	for i := range a.Log.Records {
		if a.Log.Records[i].Length > MaxLogRecordBytes || a.LoadLog.Records[i].Length > MaxLogRecordBytes {
			return fmt.Errorf("%w: log record %d is too long", errState, i+1)
		}
	}
	return a.checkContact()
}

func (a *ApplicationState) checkContact() error {
	switch {
	case a.LoadLog.Count > LogRecords || a.History.ScriptCount > maxScripts:
		return fmt.Errorf("%w: a count is out of range", errState)
	case !a.PIN.valid():
		return fmt.Errorf("%w: the PIN is not one", errState)
	}
	for i := range a.Settings {
		if n := int(a.Settings[i].Length); n != 0 && n != settingLengths[i] {
			return fmt.Errorf("%w: setting %d has %d bytes", errState, i, n)
		}
	}
	for _, p := range a.Preauths {
		if p.Amount < 0 || p.Amount > MaxMinor || !p.Open && p != (Preauthorization{}) {
			return fmt.Errorf("%w: a pre-authorisation is out of range", errState)
		}
	}
	return nil
}

// String tells nothing of the holder's affairs.
func (s State) String() string {
	return fmt.Sprintf("card state (%d bytes)", 1+binary.Size(s))
}

// Format prints String for every verb.
func (s State) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// Memory is the card's persistent memory.
type Memory interface {
	// Load returns the state of the last Commit that became durable, or the initial one.
	Load() (State, error)
	// Commit replaces the state in ONE atomic step: after it, or after the power fails during it, Load returns either the
	// old state or the new one. It returns ErrTorn when the power was lost. Any other error means that nothing was written.
	Commit(s *State) error
}

// ErrTorn says that the card has no power: it left the field before, during or after a write.
var ErrTorn = errors.New("card has lost power")

// errNotWritten: the memory refused a write and has power.
var errNotWritten = errors.New("card memory refused the write")

// Volatile is a Memory that lasts as long as the process. The zero value holds a zero State.
type Volatile struct{ state State }

// NewVolatile returns a memory that holds the initial state.
func NewVolatile(initial State) *Volatile { return &Volatile{state: initial} }

// Load implements Memory.
func (v *Volatile) Load() (State, error) { return v.state, nil }

// Commit implements Memory.
func (v *Volatile) Commit(s *State) error {
	v.state = *s
	return nil
}
