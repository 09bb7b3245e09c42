package taplog

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"tapnet/gate"
)

// The file of state: its beginning, the highest number that may have been used, the back office's last receipt as it came, a checksum.
const (
	stateName  = "state"
	stateMagic = "TAPSTAT1"
	atReserved = len(stateMagic)
	atReceipt  = atReserved + 8
)

// Numbers are reserved in blocks, so that a tap seldom waits for the state; the uploader reserves the next when few are left.
const (
	reserveBlock = 4096
	reserveFew   = 1024
)

// state is what must outlast the log itself.
type state struct {
	reserved uint64
	sealed   []byte // the receipt; nil when there was none
	receipt  gate.Receipt
}

func (s *state) encode() []byte {
	b := make([]byte, atReceipt, atReceipt+len(s.sealed)+sha256.Size)
	copy(b, stateMagic)
	binary.BigEndian.PutUint64(b[atReserved:], s.reserved)
	b = append(b, s.sealed...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// errState says that the file of state is damaged, which no loss of power explains.
var errState = errors.New("state of the tap log is damaged")

func parseState(b []byte, key gate.ChainKey, device string) (s state, err error) {
	if len(b) < atReceipt+sha256.Size || !bytes.HasPrefix(b, []byte(stateMagic)) {
		return s, errState
	}
	body := b[:len(b)-sha256.Size]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return s, errState
	}
	s.reserved = binary.BigEndian.Uint64(body[atReserved:])
	if len(body) > atReceipt {
		s.sealed = bytes.Clone(body[atReceipt:])
		if s.receipt, err = gate.ParseReceipt(key, device, s.sealed); err != nil {
			return s, fmt.Errorf("%w: %w", errState, err)
		}
	}
	return s, nil
}

// readState gives false when there is none.
func readState(disk Disk, key gate.ChainKey, device string) (state, bool, error) {
	b, err := disk.Read(stateName)
	if errors.Is(err, fs.ErrNotExist) {
		return state{}, false, nil
	}
	if err != nil {
		return state{}, false, fmt.Errorf("read the state: %w", err)
	}
	s, err := parseState(b, key, device)
	return s, err == nil, err
}
