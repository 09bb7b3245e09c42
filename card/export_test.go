package card

import "encoding/binary"

// EncodeV1 writes what the layout before this one had room for.
func EncodeV1(s State) ([]byte, error) {
	old := stateV1{Blocked: s.Blocked}
	for i, a := range s.Applications {
		old.Applications[i] = applicationStateV1{
			Blocked: a.Blocked, ATC: a.ATC, LastOnlineATC: a.LastOnlineATC, PINTries: a.PINTries, Purses: a.Purses, Cumulative: a.Cumulative,
			CumulativeLimit: a.CumulativeLimit, CumulativeUpperLimit: a.CumulativeUpperLimit, InternationalCount: a.InternationalCount,
			InternationalLimit: a.InternationalLimit, Log: a.Log, LastRecord: a.LastRecord,
		}
	}
	return binary.Append([]byte{stateVersion1}, binary.BigEndian, old)
}
