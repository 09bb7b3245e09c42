package card

import (
	"encoding/binary"
	"fmt"
)

// stateV1 is the layout before the card spoke the contact dialogue. Cards written then are read as cards that have not used it.
type stateV1 struct {
	Blocked      bool
	Applications [MaxApplications]applicationStateV1
}

type applicationStateV1 struct {
	Blocked              bool
	ATC                  uint16
	LastOnlineATC        uint16
	PINTries             byte
	Purses               [2]Purse
	Cumulative           int64
	CumulativeLimit      int64
	CumulativeUpperLimit int64
	InternationalCount   byte
	InternationalLimit   byte
	Log                  Log
	LastRecord           LastRecord
}

const stateVersion1 = 1

// decodeV1 reads the older layout; false when b does not have its length.
func (s *State) decodeV1(b []byte) (bool, error) {
	var old stateV1
	if len(b) != 1+binary.Size(old) || b[0] != stateVersion1 {
		return false, nil
	}
	if _, err := binary.Decode(b[1:], binary.BigEndian, &old); err != nil {
		return true, fmt.Errorf("decode card state: %w", err)
	}
	*s = State{Blocked: old.Blocked}
	for i, a := range old.Applications {
		s.Applications[i] = ApplicationState{
			Blocked: a.Blocked, ATC: a.ATC, LastOnlineATC: a.LastOnlineATC, PINTries: a.PINTries, Purses: a.Purses, Cumulative: a.Cumulative,
			CumulativeLimit: a.CumulativeLimit, CumulativeUpperLimit: a.CumulativeUpperLimit, InternationalCount: a.InternationalCount,
			InternationalLimit: a.InternationalLimit, Log: a.Log, LastRecord: a.LastRecord,
		}
	}
	return true, nil
}
