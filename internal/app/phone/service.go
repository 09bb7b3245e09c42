package phone

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tapnet/emv"
	"tapnet/emv/cloudkey"
	"tapnet/emv/cryptogram"
	"tapnet/internal/cloudse/cloudseapi"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/sdk/hce/soft"
)

// Service connects phones to a cloud secure element: it is the Cloud of a network that has one.
type Service struct {
	// Ask gives the service a command and waits for its reply, which comes after the commit.
	Ask func(command any) (any, error)
	// Check carries a tap to whoever verifies it, and says why it was refused; "" is good.
	Check func(token string, number pan.Number, icc emv.Data) (reason string, err error)
	// PasswordPoint is the point to which verifiers of passwords are sealed.
	PasswordPoint []byte
	Now           func() time.Time
	Random        io.Reader

	mu      sync.Mutex
	devices map[string][2][]byte // signing and agreement point
	tokens  map[string]string    // token to device
	numbers map[string]string    // number to token
}

var _ Cloud = (*Service)(nil)

// Enrol implements Cloud.
func (s *Service) Enrol(device string, sign, agree []byte) error {
	if err := cloudkey.CheckRef(device); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices == nil {
		s.devices, s.tokens, s.numbers = make(map[string][2][]byte), make(map[string]string), make(map[string]string)
	}
	s.devices[device] = [2][]byte{sign, agree}
	return nil
}

// Rejoin implements the joining of a phone that is known already: the service keeps no list of devices between its lives.
func (s *Service) Rejoin(device string, sign, agree []byte) error {
	return s.Enrol(device, sign, agree)
}

// Provision implements Cloud: it binds the token to the device and makes the profile.
func (s *Service) Provision(o soft.TokenOrder) ([]byte, error) {
	s.mu.Lock()
	points, ok := s.devices[o.Device]
	s.mu.Unlock()
	if !ok {
		return nil, errors.New("provision: device is not enrolled")
	}
	profile, err := NewProfile(o)
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	e := cloudseapi.Enrolment{
		Token: o.Ref, Number: o.Number, Sequence: profile.Sequence, Device: o.Device, Signing: points[0], Agreement: points[1], Scheme: profile.Scheme,
		Algorithm: profile.Algorithm, DKI: profile.DKI, CVN: profile.CVN, Currency: profile.Currency.Number(), CVM: cloudkey.ClassDevice, Software: true,
	}
	if o.Verifier != nil {
		ephemeral, err := cloudkey.NewEphemeral(s.Random)
		if err != nil {
			return nil, fmt.Errorf("provision: %w", err)
		}
		e.CVM = cloudkey.ClassPassword
		if e.Password, err = cloudkey.Wrap(cloudkey.PurposePassword, o.Ref, s.PasswordPoint, o.Verifier, ephemeral); err != nil {
			return nil, fmt.Errorf("provision: %w", err)
		}
	}
	if _, err := io.ReadFull(s.Random, e.Nonce[:]); err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	enrolled, err := ask[cloudseapi.Enrolled](s, e)
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	profile.Ratchet, profile.Bindings = enrolled.Ratchet, enrolled.Bindings
	s.mu.Lock()
	s.tokens[o.Ref], s.numbers[o.Number.Reveal()] = o.Device, o.Ref
	s.mu.Unlock()
	return WrapProfile(profile, points[1], s.Random)
}

// NewProfile is the profile of a token that goes online always, without ratchet and bindings, which come from the service that has the keys.
func NewProfile(o soft.TokenOrder) (*cloudkey.Profile, error) {
	track2, err := pan.NewTrack2(o.Number, o.Expiry, serviceCode, "")
	if err != nil {
		return nil, err
	}
	if o.AID == "" {
		o.AID = emv.AIDDebit
	}
	p := &cloudkey.Profile{
		Token: o.Ref, Device: o.Device, Scheme: cloudkey.SchemeQCK1, AID: o.AID, Label: o.Label, Priority: 1, Language: "zh", PDOL: soft.PhonePDOL,
		AIP: emv.AIP{0x10, 0}, Track2: track2, Sequence: "01", DKI: 1, CVN: cryptogram.CVN01, Algorithm: cryptogram.AlgorithmTDES,
		Currency: money.CNY, Salt: soft.Salt(o.Ref),
	}
	return p, nil
}

// serviceCode: international, chip, normal authorisation, no restrictions [ISO 7813].
const serviceCode = "201"

// WrapProfile seals a profile for the device with this agreement key.
func WrapProfile(p *cloudkey.Profile, agreement []byte, random io.Reader) ([]byte, error) {
	plain, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	ephemeral, err := cloudkey.NewEphemeral(random)
	if err != nil {
		return nil, err
	}
	return cloudkey.Wrap(cloudkey.PurposeProfile, p.Device, agreement, plain, ephemeral)
}

// HTTP statuses, as the service's HTTP side gives them.
const (
	statusOK, statusNone                                      = 200, 204
	statusBad, statusForbidden, statusUnknown, statusConflict = 400, 403, 404, 409
	statusUnavailable                                         = 503
	suffixReplenish, suffixConfirm                            = "/keys:replenish", "/keys:confirm"
)

// Post implements Cloud.
func (s *Service) Post(path string, body []byte) (int, []byte, error) {
	switch {
	case strings.HasSuffix(path, suffixReplenish):
		batch, err := ask[cloudseapi.Batch](s, cloudseapi.Replenish{Request: body, At: s.Now()})
		if err != nil {
			return status(err), nil, nil
		}
		return statusOK, batch.Wire, nil
	case strings.HasSuffix(path, suffixConfirm):
		if _, err := ask[cloudseapi.Done](s, cloudseapi.Confirm{Request: body}); err != nil {
			return status(err), nil, nil
		}
		return statusNone, nil, nil
	}
	return statusUnknown, nil, nil
}

func status(err error) int {
	var refused *cloudseapi.Refusal
	if !errors.As(err, &refused) {
		return statusUnavailable
	}
	switch refused.Reason {
	case cloudseapi.Malformed, cloudseapi.BadEnrolment:
		return statusBad
	case cloudseapi.UnknownToken:
		return statusUnknown
	case cloudseapi.NotAuthentic, cloudseapi.Suspended, cloudseapi.Copied:
		return statusForbidden
	case cloudseapi.Repeated, cloudseapi.NeedsEnrolment, cloudseapi.NotGiven:
		return statusConflict
	}
	return statusUnavailable
}

// busyTries is how often a command is given again that another one of the same token overtook.
const busyTries = 4

// ask expects a reply of a kind.
func ask[T any](s *Service, command any) (T, error) {
	var none T
	var err error
	for range busyTries {
		var reply any
		reply, err = s.Ask(command)
		if value, ok := reply.(T); ok && err == nil {
			return value, nil
		}
		if refused, ok := reply.(*cloudseapi.Refusal); ok && err == nil {
			err = refused
		}
		if !errors.Is(err, &cloudseapi.Refusal{Reason: cloudseapi.Busy}) {
			break
		}
	}
	if err == nil {
		err = fmt.Errorf("the service answers %T with something else", command)
	}
	return none, err
}

// Suspend implements Cloud.
func (s *Service) Suspend(device, why string) {
	s.mu.Lock()
	var tokens []string
	for token, on := range s.tokens {
		if on == device {
			tokens = append(tokens, token)
		}
	}
	s.mu.Unlock()
	for _, token := range tokens {
		var command any = cloudseapi.Suspend{Token: token}
		if why == "" {
			command = cloudseapi.Resume{Token: token}
		}
		_, _ = ask[cloudseapi.Done](s, command) // State tells what became of it
	}
}

// State implements Cloud.
func (s *Service) State(token string) string {
	standing, err := ask[cloudseapi.Standing](s, cloudseapi.Inquire{Token: token})
	if err != nil {
		return "unknown"
	}
	return strings.Join(standing.Suspended, ", ")
}

// Verify implements Cloud.
func (s *Service) Verify(number pan.Number, icc emv.Data) soft.Verdict {
	s.mu.Lock()
	token := s.numbers[number.Reveal()]
	s.mu.Unlock()
	v := soft.Verdict{Token: token}
	if token == "" {
		v.Reason = soft.ReasonUnknown
		return v
	}
	if iad, err := cloudkey.ParseIAD(icc.Get(emv.TagIAD)); err == nil {
		v.Evidence = iad.Evidence
	}
	if atc := icc.Get(emv.TagATC); len(atc) == 2 {
		v.ATC = uint16(atc[0])<<8 | uint16(atc[1])
	}
	reason, err := s.Check(token, number, icc)
	if v.Reason = reason; err != nil {
		v.Reason = err.Error()
	}
	return v
}
