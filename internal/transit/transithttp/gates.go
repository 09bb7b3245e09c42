package transithttp

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"tapnet/gate"
	"tapnet/gate/denylist"
	"tapnet/internal/transit"
)

// fromGate is a message of a device: its bytes carry a code under the device's key.
type fromGate struct {
	Device  string `path:"device" maxLength:"16"`
	RawBody []byte `contentType:"application/octet-stream"`
}

// octets is an answer in bytes.
type octets struct {
	Status      int
	ContentType string `header:"Content-Type"`
	ETag        string `header:"ETag"`
	Body        []byte `contentType:"application/octet-stream"`
}

func binary(b []byte) *octets {
	return &octets{Status: http.StatusOK, ContentType: "application/octet-stream", Body: b}
}

type sinceInput struct {
	After uint64 `query:"after"`
}

type baseInput struct {
	Match string `header:"If-None-Match" maxLength:"40"`
}

func (s *server) gates(api huma.API) {
	register := func(path, name, summary string, most int64, handle func(context.Context, gate.ChainKey, *fromGate) (*octets, error)) {
		huma.Register(api, huma.Operation{
			OperationID: name, Method: http.MethodPost, Path: "/v1/gates/{device}/" + path, Summary: summary, Tags: []string{"gates"}, MaxBodyBytes: most,
			Errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusUnprocessableEntity},
		}, func(ctx context.Context, in *fromGate) (*octets, error) {
			key, known := s.config.Devices[in.Device]
			if !known {
				return nil, refusal(transit.ErrDevice)
			}
			return handle(ctx, key, in)
		})
	}
	register("chunks", "post-chunk", "A piece of the device's tap log; the receipt says how far it is on disk.", maxChunkBody, s.chunk)
	register("health", "post-health", "What the device says about itself; the answer holds the time and approvals.", gate.MaxMessage, s.health)
	register("claims", "post-claim", "The one ride of a token without authentication before its first approval.", gate.MaxMessage, s.claim)
	huma.Register(api, huma.Operation{
		OperationID: "get-deny-base", Method: http.MethodGet, Path: "/v1/deny/base", Summary: "The whole deny list, signed.", Tags: []string{"gates"},
	}, s.denyBase)
	huma.Register(api, huma.Operation{
		OperationID: "get-deny-deltas", Method: http.MethodGet, Path: "/v1/deny/deltas", Summary: "The signed changes of the deny list above a number.",
		Tags: []string{"gates"},
	}, s.denyDeltas)
}

func (s *server) chunk(ctx context.Context, key gate.ChainKey, in *fromGate) (*octets, error) {
	c, err := gate.ParseChunk(in.RawBody)
	if err != nil {
		return nil, refusal(err)
	}
	if c.Device != in.Device {
		return nil, refusal(gate.ErrChunk)
	}
	// The body's memory is used again after this request; a row is not.
	c.Records = bytes.Clone(c.Records)
	reply, err := s.config.Ask(ctx, transit.Ingest{Chunk: c})
	if errors.Is(err, transit.ErrFork) {
		if answer, known := s.conflict(ctx, key, in.Device); known {
			return answer, nil
		}
	}
	if err != nil {
		return nil, refusal(err)
	}
	done, ok := reply.(transit.Ingested)
	if !ok {
		return nil, refusal(nil)
	}
	return binary(gate.EncodeReceipt(key, done.Receipt)), nil
}

// conflict answers a chunk that does not follow with a receipt of what is known.
func (s *server) conflict(ctx context.Context, key gate.ChainKey, device string) (*octets, bool) {
	views, err := ask[[]transit.DeviceView](ctx, s, transit.ViewDevices{})
	if err != nil {
		return nil, false
	}
	for _, v := range views {
		if v.Device == device {
			answer := binary(gate.EncodeReceipt(key, gate.Receipt{Device: device, Sequence: v.Reached.Sequence, Link: v.Reached.Link}))
			answer.Status = http.StatusConflict
			return answer, true
		}
	}
	return nil, false
}

func (s *server) health(ctx context.Context, key gate.ChainKey, in *fromGate) (*octets, error) {
	h, err := gate.ParseHealth(key, in.Device, in.RawBody)
	if err != nil {
		return nil, refusal(err)
	}
	answer, err := ask[gate.HealthAnswer](ctx, s, transit.Heard{Health: h})
	if err != nil {
		return nil, err
	}
	return binary(gate.EncodeHealthAnswer(key, answer)), nil
}

func (s *server) claim(ctx context.Context, key gate.ChainKey, in *fromGate) (*octets, error) {
	c, err := gate.ParseClaim(key, in.Device, in.RawBody)
	if err != nil {
		return nil, refusal(err)
	}
	granted, err := ask[bool](ctx, s, transit.Claim{ID: c.ID, Epoch: c.Epoch})
	if err != nil {
		return nil, err
	}
	return binary(gate.EncodeClaimAnswer(key, gate.ClaimAnswer{Device: in.Device, Number: c.Number, Granted: granted})), nil
}

// baseCache keeps the image of the list as long as its number stays: it takes a second to build at ten million entries.
type baseCache struct {
	mu       sync.Mutex
	sequence uint64
	epoch    denylist.Epoch
	image    []byte
}

func (s *server) denyBase(ctx context.Context, in *baseInput) (*octets, error) {
	at, err := ask[transit.ListView](ctx, s, transit.ViewList{})
	if err != nil {
		return nil, err
	}
	tag := strconv.Quote(strconv.FormatUint(at.Sequence, 10))
	if in.Match == tag {
		return &octets{Status: http.StatusNotModified, ETag: tag}, nil
	}
	s.base.mu.Lock()
	defer s.base.mu.Unlock()
	if s.base.image == nil || s.base.sequence != at.Sequence || s.base.epoch != at.Epoch {
		b, err := ask[transit.Base](ctx, s, transit.BuildBase{})
		if err != nil {
			return nil, err
		}
		image, err := denylist.BuildBase(b.Entries, b.Info, b.Chain, s.config.Signer)
		if err != nil {
			return nil, refusal(err)
		}
		s.base.sequence, s.base.epoch, s.base.image = b.Info.Sequence, b.Info.Epoch, image
	}
	answer := binary(s.base.image)
	answer.ETag = strconv.Quote(strconv.FormatUint(s.base.sequence, 10))
	return answer, nil
}

func (s *server) denyDeltas(ctx context.Context, in *sinceInput) (*octets, error) {
	archive := s.config.Archive()
	if archive == nil {
		return nil, refusal(nil)
	}
	log, err := transit.Deltas(ctx, archive, in.After)
	if err != nil {
		return nil, refusal(err)
	}
	return binary(log), nil
}
