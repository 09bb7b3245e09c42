package card

import (
	"encoding/json"
	"errors"
	"fmt"

	"tapnet/emv"
	"tapnet/emv/cryptogram"
	"tapnet/money"
	"tapnet/pan"
)

// imageVersion leads the encoding of an Image; a later layout takes the next number.
const imageVersion = 1

// imageFile is an Image in clear, for storage. Only MarshalBinary makes one.
type imageFile struct {
	Version       int
	Historical    []byte
	NoContactless bool
	Interfaces    Interface `json:",omitzero"`
	NoPSE         bool      `json:",omitzero"`
	Applications  []applicationFile
	State         []byte
}

type applicationFile struct {
	AID                            []byte
	Label, PreferredName, Language string
	CodeTable, Priority            byte
	Kernel, PDOL, Discretionary    []byte
	NoContactless                  bool
	Withhold                       Withhold

	AIP, OfflineAFL, OnlineAFL, Track2 []byte
	Sequence, Holder                   string
	Product, CTQ                       []byte

	Currency, SecondCurrency string
	Processing, Extended     []byte
	DeclineWithoutCVM        bool

	DKI, CVN, Algorithm, IDD byte
	FDDA01                   bool

	Records   []recordFile
	Objects   []byte
	LogSFI    byte
	LogFormat []byte

	LoadLogSFI    byte           `json:",omitzero"`
	LoadLogFormat []byte         `json:",omitempty"`
	Contact       *contactFile   `json:",omitempty"`
	Files         []ExtendedFile `json:",omitempty"`
	SM            *smFile        `json:",omitempty"`
}

type recordFile struct {
	SFI, Number byte
	Body        []byte
	Updatable   bool `json:",omitzero"`
}

type contactFile struct {
	PDOL             []byte
	AIP, AFL         []byte
	CashAIP, CashAFL []byte
	FullAIP, FullAFL []byte
	Format2          bool
	FullOnly         bool `json:",omitzero"`
	CVN, IDD         byte
	Checks           Checks
	PINVariant       cryptogram.PINVariant
	PINTryLimit      byte
}

// MarshalBinary gives the whole image, card data in clear: seal it where card data must be sealed.
func (im Image) MarshalBinary() ([]byte, error) {
	state, err := im.State.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("encode card image: %w", err)
	}
	file := imageFile{
		Version: imageVersion, Historical: im.Historical, NoContactless: im.NoContactless, Interfaces: im.Interfaces, NoPSE: im.NoPSE, State: state,
	}
	for i := range im.Applications {
		file.Applications = append(file.Applications, im.Applications[i].file())
	}
	b, err := json.Marshal(file)
	if err != nil {
		return nil, fmt.Errorf("encode card image: %w", err)
	}
	return b, nil
}

func (a *Application) file() applicationFile {
	f := applicationFile{
		AID: a.AID.Bytes(), Label: a.Label, PreferredName: a.PreferredName, Language: a.Language,
		CodeTable: a.CodeTable, Priority: a.Priority, Kernel: a.Kernel, PDOL: a.PDOL.Bytes(), Discretionary: a.Discretionary.Bytes(),
		NoContactless: a.NoContactless, Withhold: a.Withhold,
		AIP: a.AIP[:], OfflineAFL: a.OfflineAFL.Bytes(), OnlineAFL: a.OnlineAFL.Bytes(), Track2: a.Track2.Packed(),
		Sequence: a.Sequence, Holder: a.Holder, Product: a.Product, CTQ: a.CTQ[:],
		Currency: a.Currency.Code(), SecondCurrency: a.SecondCurrency.Code(), Processing: a.Processing[:], Extended: a.Extended[:],
		DeclineWithoutCVM: a.DeclineWithoutCVM,
		DKI:               a.DKI, CVN: a.CVN, Algorithm: a.Algorithm, IDD: a.IDD, FDDA01: a.FDDA01,
		Objects: a.Objects.Bytes(), LogSFI: a.Log.SFI, LogFormat: a.Log.Format.Bytes(),
		LoadLogSFI: a.LoadLog.SFI, LoadLogFormat: a.LoadLog.Format.Bytes(), Contact: a.Contact.file(), Files: a.Files, SM: a.SM.file(),
	}
	for _, r := range a.Records {
		f.Records = append(f.Records, recordFile(r))
	}
	return f
}

func (k *ContactProfile) file() *contactFile {
	if k == nil {
		return nil
	}
	return &contactFile{
		PDOL: k.PDOL.Bytes(), AIP: k.AIP[:], AFL: k.AFL.Bytes(), CashAIP: k.CashAIP[:], CashAFL: k.CashAFL.Bytes(),
		FullAIP: k.FullAIP[:], FullAFL: k.FullAFL.Bytes(), FullOnly: k.FullOnly, Format2: k.Format2, CVN: k.CVN, IDD: k.IDD, Checks: k.Checks,
		PINVariant: k.PINVariant, PINTryLimit: k.PINTryLimit,
	}
}

// UnmarshalBinary reads what MarshalBinary wrote. Errors name no contents. Whether it makes a card is for New to say.
func (im *Image) UnmarshalBinary(b []byte) error {
	var file imageFile
	if err := json.Unmarshal(b, &file); err != nil || file.Version != imageVersion {
		return fmt.Errorf("decode card image: %w", ErrImage)
	}
	decoded := Image{Historical: file.Historical, NoContactless: file.NoContactless, Interfaces: file.Interfaces, NoPSE: file.NoPSE}
	if err := decoded.State.UnmarshalBinary(file.State); err != nil {
		return fmt.Errorf("decode card image: %w", err)
	}
	if len(file.Applications) > MaxApplications {
		return fmt.Errorf("decode card image: %w: %d applications", ErrImage, len(file.Applications))
	}
	for i := range file.Applications {
		a, err := file.Applications[i].application()
		if err != nil {
			return fmt.Errorf("decode card image: application %d: %w", i+1, err)
		}
		decoded.Applications = append(decoded.Applications, a)
	}
	*im = decoded
	return nil
}

func (f *applicationFile) application() (Application, error) {
	a := Application{
		Label: f.Label, PreferredName: f.PreferredName, Language: f.Language, CodeTable: f.CodeTable,
		Priority: f.Priority, Kernel: f.Kernel, NoContactless: f.NoContactless, Withhold: f.Withhold,
		Sequence: f.Sequence, Holder: f.Holder, Product: f.Product, DeclineWithoutCVM: f.DeclineWithoutCVM,
		DKI: f.DKI, CVN: f.CVN, Algorithm: f.Algorithm, IDD: f.IDD, FDDA01: f.FDDA01, Log: LogLayout{SFI: f.LogSFI},
	}
	var err error
	read := func(name string, parse func() error) {
		if err != nil {
			return
		}
		if failed := parse(); failed != nil {
			err = fmt.Errorf("%w: %s is malformed", ErrImage, name)
		}
	}
	read("application identifier", func() (e error) { a.AID, e = emv.ParseAID(f.AID); return e })
	read("PDOL", func() (e error) { a.PDOL, e = emv.ParseDOL(f.PDOL); return e })
	read("directory data", func() (e error) { a.Discretionary, e = emv.ParseData(f.Discretionary); return e })
	read("AIP", func() (e error) { a.AIP, e = emv.ParseAIP(f.AIP); return e })
	read("offline AFL", func() (e error) { a.OfflineAFL, e = parseAFL(f.OfflineAFL); return e })
	read("online AFL", func() (e error) { a.OnlineAFL, e = parseAFL(f.OnlineAFL); return e })
	read("track 2", func() (e error) { a.Track2, e = pan.ParseTrack2(f.Track2); return e })
	read("CTQ", func() (e error) { a.CTQ, e = emv.ParseCTQ(f.CTQ); return e })
	read("currency", func() (e error) { a.Currency, e = parseCurrency(f.Currency); return e })
	read("second currency", func() (e error) { a.SecondCurrency, e = parseCurrency(f.SecondCurrency); return e })
	read("additional processing", func() (e error) { a.Processing, e = emv.ParseAdditionalProcessing(f.Processing); return e })
	read("extended indicator", func() (e error) { a.Extended, e = emv.ParseExtendedIndicator(f.Extended); return e })
	read("data objects", func() (e error) { a.Objects, e = emv.ParseData(f.Objects); return e })
	read("log format", func() (e error) { a.Log.Format, e = emv.ParseDOL(f.LogFormat); return e })
	a.LoadLog.SFI, a.Files = f.LoadLogSFI, f.Files
	read("load log format", func() (e error) { a.LoadLog.Format, e = emv.ParseDOL(f.LoadLogFormat); return e })
	for _, r := range f.Records {
		a.Records = append(a.Records, Record(r))
	}
	if k := f.Contact; k != nil {
		c := &ContactProfile{Format2: k.Format2, FullOnly: k.FullOnly, CVN: k.CVN, IDD: k.IDD, Checks: k.Checks, PINVariant: k.PINVariant, PINTryLimit: k.PINTryLimit}
		a.Contact = c
		read("contact PDOL", func() (e error) { c.PDOL, e = emv.ParseDOL(k.PDOL); return e })
		for _, files := range [...]struct {
			from []byte
			aip  *emv.AIP
			list []byte
			afl  *emv.AFL
		}{{k.AIP, &c.AIP, k.AFL, &c.AFL}, {k.CashAIP, &c.CashAIP, k.CashAFL, &c.CashAFL}, {k.FullAIP, &c.FullAIP, k.FullAFL, &c.FullAFL}} {
			read("contact AIP", func() (e error) { *files.aip, e = emv.ParseAIP(files.from); return e })
			read("contact AFL", func() (e error) { *files.afl, e = parseAFL(files.list); return e })
		}
	}
	if f.SM != nil {
		read("second set of algorithms", func() (e error) { a.SM, e = f.SM.profile(); return e })
	}
	return a, err
}

// smFile is an SMProfile; the dialogues are those for contact, electronic cash there, and the field.
type smFile struct {
	Algorithm byte
	AIP       []byte
	Offline   []byte `json:",omitempty"`
	Online    []byte `json:",omitempty"`
	Dialogues [3]dialogueFile
}

type dialogueFile struct{ AIP, AFL []byte }

func (p *SMProfile) file() *smFile {
	if p == nil {
		return nil
	}
	f := &smFile{Algorithm: p.Algorithm, AIP: p.AIP[:], Offline: p.OfflineAFL.Bytes(), Online: p.OnlineAFL.Bytes()}
	for i, d := range [...]*DialogueFiles{&p.Contact, &p.Cash, &p.Full} {
		f.Dialogues[i] = dialogueFile{d.AIP[:], d.AFL.Bytes()}
	}
	return f
}

func (f *smFile) profile() (*SMProfile, error) {
	p := &SMProfile{Algorithm: f.Algorithm}
	var errs [9]error
	p.AIP, errs[0] = emv.ParseAIP(f.AIP)
	p.OfflineAFL, errs[1] = parseAFL(f.Offline)
	p.OnlineAFL, errs[2] = parseAFL(f.Online)
	for i, d := range [...]*DialogueFiles{&p.Contact, &p.Cash, &p.Full} {
		d.AIP, errs[3+2*i] = emv.ParseAIP(f.Dialogues[i].AIP)
		d.AFL, errs[4+2*i] = parseAFL(f.Dialogues[i].AFL)
	}
	return p, errors.Join(errs[:]...)
}

func parseAFL(b []byte) (emv.AFL, error) {
	if len(b) == 0 {
		return nil, nil
	}
	return emv.ParseAFL(b)
}

func parseCurrency(code string) (money.Currency, error) {
	if code == "" {
		return money.Currency{}, nil
	}
	return money.ParseCurrency(code)
}
