package pos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tapnet/emv"
	"tapnet/emv/oda"
	"tapnet/iso8583/unionpay"
	"tapnet/kernel/contact"
	"tapnet/money"
	"tapnet/tlv"
)

// Parameters are the lists in use, read. What a list does not say stays as the terminal has it.
type Parameters struct {
	NoPINLimit   *money.Amount // parameter FF8058
	AlwaysPIN    []string      // prefixes of card numbers, BIN blacklist C
	Applications []ApplicationParameters
	CAKeys       []oda.CAKey
}

// ApplicationParameters are the acquirer's for one application, in the field and in the slot [REF 1.3].
type ApplicationParameters struct {
	Contact                  contact.Application
	TapFloor, TapMax, TapCVM *money.Amount // DF19, DF20, DF21
}

// Tags of the small-amount rule. The field writes them FF8058 and FF805B [REF 6.3], which are no tags of BER-TLV: a list has them in this form.
// The list of BINs has no published form: five bytes each, packed digits, F behind.
const (
	tagNoPINLimit tlv.Tag = 0xDF8158
	tagBlacklist  tlv.Tag = 0xDF815B
	binBytes              = 5
)

// ReadParameters reads the lists, given in the order of unionpay.DownloadParameters on; an empty list says nothing. Errors wrap ErrList.
func ReadParameters(lists [3][]byte, currency money.Currency) (Parameters, error) {
	var p Parameters
	for i, list := range lists {
		kind := unionpay.DownloadParameters + unionpay.DownloadKind(i)
		entries, err := unionpay.ParseList(list)
		if err != nil {
			return Parameters{}, fmt.Errorf("%w: %w", ErrList, err)
		}
		for n, e := range entries {
			if err := p.read(kind, e, currency); err != nil {
				return Parameters{}, fmt.Errorf("%w: entry %d: %w", ErrList, n+1, err)
			}
		}
	}
	return p, nil
}

func (p *Parameters) read(kind unionpay.DownloadKind, e emv.Data, currency money.Currency) error {
	switch kind {
	case unionpay.DownloadApplications:
		a, err := readApplication(e, currency)
		p.Applications = append(p.Applications, a)
		return err
	case unionpay.DownloadCAKeys:
		key, err := readCAKey(e)
		p.CAKeys = append(p.CAKeys, key)
		return err
	}
	var err error
	if p.NoPINLimit, err = amountOf(e, tagNoPINLimit, currency); err != nil {
		return err
	}
	bins, _ := e.Value(tagBlacklist)
	if len(bins)%binBytes != 0 {
		return errors.New("BIN blacklist")
	}
	for bin := range slices.Chunk(bins, binBytes) {
		digits := strings.TrimRight(strings.ToUpper(fmt.Sprintf("%x", bin)), "F")
		if digits == "" || strings.ContainsAny(digits, "ABCDEF") {
			return errors.New("BIN blacklist")
		}
		p.AlwaysPIN = append(p.AlwaysPIN, digits)
	}
	return nil
}

const amountBytes = 6

// amountOf reads an amount of twelve digits; nil when it is absent.
func amountOf(e emv.Data, tag tlv.Tag, currency money.Currency) (*money.Amount, error) {
	value, ok := e.Value(tag)
	if !ok {
		return nil, nil //nolint:nilnil // absent
	}
	a, err := money.FromBCD(value, currency)
	if err != nil || len(value) != amountBytes {
		return nil, fmt.Errorf("amount %s", tag)
	}
	return &a, nil
}

func readApplication(e emv.Data, currency money.Currency) (a ApplicationParameters, err error) {
	if a.Contact.AID, err = emv.ParseAID(e.Get(emv.TagTerminalAID)); err != nil {
		return a, err
	}
	for tag, tvr := range map[tlv.Tag]*emv.TVR{emv.TagParameterTACDefault: &a.Contact.TACDefault, emv.TagParameterTACOnline: &a.Contact.TACOnline,
		emv.TagParameterTACDenial: &a.Contact.TACDenial} {
		if value, ok := e.Value(tag); ok {
			if len(value) != len(tvr) {
				return a, fmt.Errorf("action code %s", tag)
			}
			copy(tvr[:], value)
		}
	}
	a.Contact.ExactOnly = slices.Equal(e.Get(emv.TagParameterASI), []byte{1})
	if value, ok := e.Value(emv.TagParameterDefaultDDOL); ok {
		if a.Contact.DefaultDDOL, err = emv.ParseDOL(value); err != nil {
			return a, err
		}
	}
	for tag, to := range map[tlv.Tag]*money.Amount{emv.TagFloorLimit: &a.Contact.FloorLimit, emv.TagParameterThreshold: &a.Contact.Threshold} {
		if value, ok := e.Value(tag); ok { // four bytes, binary
			minor := int64(0)
			for _, b := range value {
				minor = minor<<8 | int64(b)
			}
			if len(value) != 4 {
				return a, fmt.Errorf("limit %s", tag)
			}
			*to = money.New(minor, currency)
		}
	}
	for tag, to := range map[tlv.Tag]*int{emv.TagParameterMaxTarget: &a.Contact.MaxTargetPercent, emv.TagParameterTarget: &a.Contact.TargetPercent} {
		if value, ok := e.Value(tag); ok && len(value) == 1 {
			*to = int(value[0]>>4)*10 + int(value[0]&15)
		}
	}
	if limit, err := amountOf(e, emv.TagECTerminalLimit, currency); err != nil {
		return a, err
	} else if limit != nil {
		a.Contact.ECLimit = *limit
	}
	if a.TapFloor, err = amountOf(e, emv.TagParameterFloorLimit, currency); err != nil {
		return a, err
	}
	if a.TapMax, err = amountOf(e, emv.TagParameterContactlessMax, currency); err != nil {
		return a, err
	}
	a.TapCVM, err = amountOf(e, emv.TagParameterCVMLimit, currency)
	return a, err
}

func readCAKey(e emv.Data) (oda.CAKey, error) {
	const ridBytes, rsa = 5, 1
	rid, index := e.Get(emv.TagTerminalAID), e.Get(emv.TagTerminalCAIndex)
	if len(rid) != ridBytes || len(index) != 1 || !slices.Equal(e.Get(emv.TagParameterKeyAlgorithm), []byte{rsa}) {
		return oda.CAKey{}, errors.New("CA key: RID, index or algorithm")
	}
	k := oda.CAKey{RID: [ridBytes]byte(rid), Index: index[0], Modulus: e.Get(emv.TagParameterModulus), Exponent: e.Get(emv.TagParameterExponent)}
	expiry := e.Get(emv.TagParameterKeyExpiry)
	switch len(expiry) {
	case 8: // characters
		k.Expiry = string(expiry)
	case 4:
		k.Expiry = fmt.Sprintf("%x", expiry)
	}
	if sum := e.Get(emv.TagParameterChecksum); len(sum) != len(k.SHA1) || k.Checksum() != [20]byte(sum) {
		return oda.CAKey{}, errors.New("CA key: its checksum does not fit")
	}
	copy(k.SHA1[:], e.Get(emv.TagParameterChecksum))
	return k, nil
}

// DownloadResult is what became of a download.
type DownloadResult struct {
	Kind    unionpay.DownloadKind
	Before  uint32 // version in use before; 0: none
	Version uint32 // in use now
	Parts   int    // messages it took
	Fresh   bool   // the list is new
}

// errNoAnswer says that the acquirer did not answer in time.
var errNoAnswer = errors.New("pos: the acquirer did not answer")

// Download fetches the acquirer's list of a kind: asks for its version, fetches the parts, makes it durable, tries it, and uses it from the next transaction
// on. A list that is damaged or that the terminal cannot use changes nothing. Errors wrap ErrList when the list is to blame.
func (t *Till) Download(ctx context.Context, kind unionpay.DownloadKind, currency money.Currency) (DownloadResult, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	result := DownloadResult{Kind: kind}
	if t.ask == nil || !kind.Valid() {
		return result, errNoTerminal
	}
	have, err := t.library(ctx)
	if err != nil {
		return result, err
	}
	active := have.Shelves[kindAt(kind)].Active
	result.Before, result.Version = active.Version, active.Version
	answer, err := t.network(ctx, kind.Code(unionpay.DownloadQuery), unionpay.NewDownloadVersion(active.Version))
	if err != nil {
		return result, err
	}
	status, err := unionpay.ParseDownloadStatus(answer.Data)
	if err != nil {
		return result, fmt.Errorf("%w: %w", ErrList, err)
	}
	if status.Version == 0 || status.Version == active.Version && status.Checksum == active.Checksum {
		return result, nil
	}
	list, err := t.parts(ctx, kind, status, &result)
	if err != nil {
		return result, err
	}
	if err := t.install(ctx, have, Stage{Kind: kind, Version: status.Version, Checksum: status.Checksum, List: list}, currency); err != nil {
		return result, err
	}
	result.Version, result.Fresh = status.Version, true
	done := unionpay.DownloadDone{Version: status.Version, Checksum: status.Checksum}
	_, err = t.network(ctx, kind.Code(unionpay.DownloadEnd), done.Field62())
	if errors.Is(err, errNoAnswer) {
		err = nil // it is in use; the acquirer learns the version from the next query
	}
	return result, err
}

// parts fetches a list.
func (t *Till) parts(ctx context.Context, kind unionpay.DownloadKind, status unionpay.DownloadStatus, result *DownloadResult) ([]byte, error) {
	var list []byte
	for part := uint16(0); ; part++ {
		answer, err := t.network(ctx, kind.Code(unionpay.DownloadGet), unionpay.DownloadAsk{Version: status.Version, Part: part}.Field62())
		if err != nil {
			return nil, err
		}
		p, err := unionpay.ParseDownloadPart(answer.Data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrList, err)
		}
		list = append(list, p.Content...)
		result.Parts++
		switch {
		case p.Version != status.Version || p.Part != part || len(list) > int(status.Length):
			return nil, fmt.Errorf("%w: part %d is of another list", ErrList, part)
		case !p.More && len(list) != int(status.Length):
			return nil, fmt.Errorf("%w: %d bytes of %d", ErrList, len(list), status.Length)
		case !p.More:
			return list, nil
		}
	}
}

// install makes a list durable, tries it, and puts it to use.
func (t *Till) install(ctx context.Context, have Shelves, s Stage, currency money.Currency) error {
	have.Active[kindAt(s.Kind)] = s.List
	terminal, parameters, err := t.configured(have.Active, currency)
	if err != nil {
		return err
	}
	if _, err := t.ask(ctx, s); err != nil {
		return err
	}
	if _, err := t.ask(ctx, Switch{Kind: s.Kind}); err != nil {
		return err
	}
	t.tap, t.active = terminal, parameters
	return nil
}

// configured makes a terminal of lists.
func (t *Till) configured(lists [3][]byte, currency money.Currency) (Tapper, *Parameters, error) {
	p, err := ReadParameters(lists, currency)
	if err != nil {
		return nil, nil, err
	}
	if t.deps.Configure == nil {
		return t.deps.Tap, &p, nil
	}
	terminal, err := t.deps.Configure(p)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrList, err)
	}
	return terminal, &p, nil
}

// Rollback goes back to the list before the one in use, or to what the terminal was made with.
func (t *Till) Rollback(ctx context.Context, kind unionpay.DownloadKind, currency money.Currency) (DownloadResult, error) {
	t.selling.Lock()
	defer t.selling.Unlock()
	result := DownloadResult{Kind: kind}
	have, err := t.library(ctx)
	if err != nil {
		return result, err
	}
	result.Before = have.Shelves[kindAt(kind)].Active.Version
	if _, err := t.ask(ctx, Switch{Kind: kind, Back: true}); err != nil {
		return result, err
	}
	if have, err = t.library(ctx); err != nil {
		return result, err
	}
	result.Version = have.Shelves[kindAt(kind)].Active.Version
	t.tap, t.active, err = t.configured(have.Active, currency)
	return result, err
}

// Restore puts the lists to use that the journal says are. It is called once, after Attach.
func (t *Till) Restore(ctx context.Context, currency money.Currency) error {
	t.selling.Lock()
	defer t.selling.Unlock()
	have, err := t.library(ctx)
	if err != nil {
		return err
	}
	if have.Shelves == (shelves{}) {
		return nil
	}
	t.tap, t.active, err = t.configured(have.Active, currency)
	return err
}

// Lists are the lists that the till has.
func (t *Till) Lists(ctx context.Context) (Shelves, error) { return t.library(ctx) }

func (t *Till) library(ctx context.Context) (Shelves, error) {
	if t.ask == nil {
		return Shelves{}, errNoTerminal
	}
	reply, err := t.ask(ctx, Library{})
	if err != nil {
		return Shelves{}, err
	}
	have, _ := reply.(Shelves)
	return have, nil
}

// network sends a network management message and waits for its answer.
func (t *Till) network(ctx context.Context, code unionpay.NetworkCode, data unionpay.Opaque) (*unionpay.NetworkResponse, error) {
	id, end := t.expect()
	outcome, err := t.await(ctx, id, end, Fetch{Sale: id, Request: unionpay.NetworkRequest{Code: code, Data: data}})
	switch {
	case err != nil:
		return nil, err
	case outcome.Network == nil:
		return nil, errNoAnswer
	case outcome.Network.Code != code || !outcome.Network.Response.Approved():
		return nil, fmt.Errorf("%w: response code %s to %s", ErrList, outcome.Network.Response, code)
	}
	return outcome.Network, nil
}
