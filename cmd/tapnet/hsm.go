package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"tapnet/glossary"
	"tapnet/internal/hsm"
	"tapnet/internal/lang"
)

type hsmCommand struct {
	Ceremony hsmCeremonyCommand `cmd:"" help:"${hsm_ceremony}"`
	Import   hsmImportCommand   `cmd:"" help:"${hsm_import}"`
	Export   hsmExportCommand   `cmd:"" help:"${hsm_export}"`
	List     hsmListCommand     `cmd:"" help:"${hsm_list}"`
	Audit    hsmAuditCommand    `cmd:"" help:"${hsm_audit}"`
}

// keyFile is a key file and how its root is kept: in the custodians' shares, or wrapped in a PKCS#11 token.
type keyFile struct {
	File  string `arg:"" name:"file" help:"${hsm_file}"`
	Root  string `name:"pkcs11" placeholder:"MODULE" help:"${hsm_root}"`
	Label string `name:"pkcs11-label" default:"tapnet" placeholder:"LABEL" help:"${hsm_label}"`
}

func (f keyFile) audit() string { return f.File + ".audit" }

// office is an open key file with its log and whoever types.
type office struct {
	keyFile
	s          *session
	lines      *bufio.Reader
	module     *hsm.HSM
	passphrase []byte
	log        *hsm.AuditLog
	report     hsm.AuditReport
}

// secret asks for one line that nobody else should see: without echo on a terminal, from the next line of the input otherwise.
func (o *office) secret(prompt glossary.Term) (string, error) {
	if f, ok := o.s.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(o.s.err, o.s.text(prompt))
		text, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(o.s.err)
		return string(text), err
	}
	if o.lines == nil {
		o.lines = bufio.NewReader(io.LimitReader(o.s.in, 1<<20))
	}
	text, err := o.lines.ReadString('\n')
	if err != nil && text == "" {
		return "", &problem{code: exitUsage, what: lang.HSMInputEnded, why: prompt, err: err}
	}
	return strings.TrimRight(text, "\r\n"), nil
}

// open asks for shares until an empty line, or unwraps the root in the token, and reads keys and log.
func (f keyFile) open(s *session) (*office, error) {
	o := &office{keyFile: f, s: s}
	if _, err := os.Stat(f.File); err != nil {
		return nil, unreadable(f.File, err)
	}
	var err error
	if f.Root != "" {
		o.passphrase, err = openRoot(f)
	} else {
		o.passphrase, err = o.shares()
	}
	if err != nil {
		return nil, hsmProblem(err)
	}
	if o.module, err = hsm.Open(rand.Reader, f.File, o.passphrase); err != nil {
		return nil, hsmProblem(err)
	}
	if o.log, o.report, err = o.module.OpenAudit(f.audit()); err != nil {
		return nil, hsmProblem(err)
	}
	return o, nil
}

func (o *office) shares() ([]byte, error) {
	var all []hsm.Share
	for {
		text, err := o.secret(lang.Fill(lang.HSMAskShare, len(all)+1))
		if err != nil {
			return nil, err
		}
		if text = strings.TrimSpace(text); text == "" {
			return hsm.Root(all...)
		}
		share, err := hsm.ParseShare(text)
		if err != nil {
			return nil, err
		}
		all = append(all, share)
	}
}

// record writes what happened, refusals as well, and after success the keys. What cannot be recorded has not happened.
func (o *office) record(r hsm.AuditRecord, done error) error {
	r.At = o.s.now()
	if done != nil {
		r.Refused = done.Error()
	}
	if err := o.log.Append(r); err != nil {
		return hsmProblem(err)
	}
	if err := o.module.Save(o.File, o.passphrase); err != nil {
		return hsmProblem(err)
	}
	if done != nil {
		return hsmProblem(done)
	}
	return nil
}

func hsmProblem(err error) error {
	var p *problem
	switch {
	case errors.As(err, &p):
		return err
	case errors.Is(err, hsm.ErrSealed), errors.Is(err, hsm.ErrShares):
		return &problem{code: exitNo, what: lang.HSMUnopened, why: lang.HSMEnough, err: err}
	case errors.Is(err, hsm.ErrAudit):
		return &problem{code: exitNo, what: lang.HSMAltered, why: lang.Verbatim(err.Error()), err: err}
	case errors.Is(err, errNoPKCS11):
		return &problem{code: exitEnvironment, what: lang.HSMNoRoot, next: lang.HSMBuildRoot, err: err}
	}
	return &problem{code: exitNo, what: lang.HSMFailed, why: hsmReason(err), err: err}
}

func recordOf(operation string, by []string, under string, info hsm.KeyInfo) hsm.AuditRecord {
	r := hsm.AuditRecord{Actors: by, Operation: operation, Key: info.Name, Under: under, Usage: string(info.Usage)}
	if info.KCV != [4]byte{} {
		r.KCV = kcvText(info.KCV)
	}
	return r
}

// kcvText is a check value as it is written: three bytes.
func kcvText(kcv [4]byte) string { return fmt.Sprintf("%X", kcv[:3]) }

func (s *session) sayKey(info hsm.KeyInfo) error {
	if s.json {
		return s.printJSON(s.out, keyJSON(info))
	}
	s.line(strings.Join(lang.Wrap(s.text(lang.Fill(lang.HSMKept, info.Name, info.Usage.Term(), info.Mode.String(), info.Algorithm.String(), string(info.Export),
		kcvText(info.KCV))), s.screen.Columns), "\n"))
	return nil
}

type hsmKeyJSON struct {
	Name      string `json:"name"`
	Usage     string `json:"usage"`
	Mode      string `json:"mode"`
	Algorithm string `json:"algorithm"`
	Export    string `json:"export"`
	KCV       string `json:"kcv"`
}

func keyJSON(i hsm.KeyInfo) hsmKeyJSON {
	return hsmKeyJSON{Name: i.Name, Usage: string(i.Usage), Mode: i.Mode.String(), Algorithm: i.Algorithm.String(), Export: string(i.Export), KCV: kcvText(i.KCV)}
}

type hsmImportCommand struct {
	keyFile
	Key   string   `required:"" placeholder:"NAME" help:"${hsm_key}"`
	Under string   `required:"" placeholder:"NAME" help:"${hsm_under}"`
	Block string   `required:"" placeholder:"FILE" help:"${hsm_block}"`
	By    []string `required:"" placeholder:"NAME" help:"${hsm_by}"`
}

// maxBlockText is more than the longest key block has.
const maxBlockText = 16 << 10

// Run takes a key from a key block.
func (c hsmImportCommand) Run(s *session) error {
	o, err := c.open(s)
	if err != nil {
		return err
	}
	var text string
	if c.Block == "-" {
		text, err = o.secret(lang.HSMColumnKey)
	} else {
		var b []byte
		b, err = s.readInput(c.Block, maxBlockText)
		text = string(b)
	}
	if err != nil {
		return err
	}
	info, err := o.module.ImportBlock(c.Under, c.Key, strings.TrimSpace(text))
	r := recordOf("import", c.By, c.Under, info)
	r.Key = c.Key
	if err := o.record(r, err); err != nil {
		return err
	}
	return s.sayKey(info)
}

type hsmExportCommand struct {
	keyFile
	Key   string   `required:"" placeholder:"NAME" help:"${hsm_key}"`
	Under string   `required:"" placeholder:"NAME" help:"${hsm_under}"`
	By    []string `required:"" placeholder:"CUSTODIAN" help:"${hsm_by}"`
}

// Run gives a key as a key block. Each custodian types a passphrase; the approvals are for this key, this protection key and this entry of the log only.
func (c hsmExportCommand) Run(s *session) error {
	o, err := c.open(s)
	if err != nil {
		return err
	}
	request := hsm.ExportRequest{Name: c.Key, Under: c.Under, Serial: o.log.Next()}
	var approvals []hsm.Approval
	var refused error
	for _, custodian := range c.By {
		passphrase, err := o.secret(lang.Fill(lang.HSMAskPassphrase, custodian))
		if err != nil {
			return err
		}
		approval, err := o.module.Approve(request, custodian, []byte(passphrase))
		if err != nil {
			refused = err
			break
		}
		approvals = append(approvals, approval)
	}
	var block string
	if refused == nil {
		block, refused = o.module.ExportBlock(request, approvals...)
	}
	info, _ := o.module.Info(c.Key) // a refusal says that there is none
	r := recordOf("export", c.By, c.Under, info)
	r.Key = c.Key
	if err := o.record(r, refused); err != nil {
		return err
	}
	if s.json {
		return s.printJSON(s.out, map[string]string{"block": block})
	}
	s.line(block)
	return nil
}

type hsmListCommand struct{ keyFile }

// Run lists the keys.
func (c hsmListCommand) Run(s *session) error {
	o, err := c.open(s)
	if err != nil {
		return err
	}
	table := lang.Table{Gap: 2}
	if !s.json {
		table.Row(s.text(lang.HSMColumnKey), s.text(lang.HSMColumnUsage), s.text(lang.HSMColumnMode), s.text(lang.HSMColumnAlgorithm), s.text(lang.HSMColumnExport),
			s.text(lang.HSMColumnKCV))
	}
	for _, name := range o.module.Names() {
		info, err := o.module.Info(name)
		if err != nil {
			return hsmProblem(err)
		}
		if s.json {
			if err := s.printJSON(s.out, keyJSON(info)); err != nil {
				return err
			}
			continue
		}
		k := keyJSON(info)
		table.Row(k.Name, k.Usage, k.Mode, k.Algorithm, k.Export, k.KCV)
	}
	if !s.json {
		s.table(&table)
	}
	return nil
}

type hsmAuditCommand struct{ keyFile }

// Run checks the log and shows it.
func (c hsmAuditCommand) Run(_ context.Context, s *session) error {
	o, err := c.open(s)
	if err != nil {
		return err
	}
	table := lang.Table{Gap: 2}
	table.Row(s.text(lang.HSMColumnSerial), s.text(lang.HSMColumnAt), s.text(lang.HSMColumnActors), s.text(lang.HSMColumnOperation), s.text(lang.HSMColumnKey),
		s.text(lang.HSMColumnKCV), s.text(lang.HSMColumnRefused))
	if err := hsm.ReadAudit(o.audit(), func(r hsm.AuditRecord) error {
		if s.json {
			return s.printJSON(s.out, r)
		}
		table.Row(fmt.Sprint(r.Serial), r.At.Format(time.RFC3339), strings.Join(r.Actors, ","), r.Operation, r.Key, r.KCV, r.Refused)
		return nil
	}); err != nil {
		return hsmProblem(err)
	}
	if s.json {
		return nil
	}
	s.table(&table)
	s.line(s.text(lang.Fill(lang.HSMAuditSound, o.report.Records, o.report.Head)))
	if o.report.Unsaved > 0 {
		s.line(s.text(lang.Fill(lang.HSMAuditUnsaved, o.report.Unsaved)))
	}
	return nil
}
