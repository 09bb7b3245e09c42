package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"tapnet/glossary"
	"tapnet/internal/hsm"
	"tapnet/internal/lang"
	"tapnet/keyblock"
)

type hsmCeremonyCommand struct {
	keyFile
	Custodian  []string `placeholder:"NAME" help:"${hsm_custodian}"`
	Threshold  int      `default:"2" placeholder:"N" help:"${hsm_threshold}"`
	Key        string   `placeholder:"NAME" help:"${hsm_key}"`
	Usage      string   `default:"K1" placeholder:"XX" help:"${hsm_usage}"`
	Mode       string   `default:"B" placeholder:"X" help:"${hsm_mode}"`
	Algorithm  string   `default:"AES-256" placeholder:"NAME" help:"${hsm_algorithm}"`
	Exportable string   `default:"N" enum:"N,E,S" placeholder:"N|E|S" help:"${hsm_exportable}"`
	Components int      `default:"2" placeholder:"N" help:"${hsm_components}"`
	Draw       bool     `help:"${hsm_draw}"`
	By         []string `placeholder:"NAME" help:"${hsm_by}"`
}

// Run makes a key file, a key from components, or both.
func (c hsmCeremonyCommand) Run(s *session) error {
	_, err := os.Stat(c.File)
	missing := errors.Is(err, os.ErrNotExist)
	var o *office
	switch {
	case missing && len(c.Custodian) < 2:
		return &problem{code: exitUsage, what: lang.HSMNoCustody, next: lang.Verbatim("tapnet hsm ceremony --help")}
	case missing:
		o, err = c.found(s)
	case c.Key == "":
		return &problem{code: exitUsage, what: lang.HSMNothing, next: lang.Verbatim("tapnet hsm ceremony --help")}
	default:
		o, err = c.open(s)
	}
	if err != nil || c.Key == "" {
		return err
	}
	return c.makeKey(o)
}

// found makes a new key file: custodians with their passphrases, and a root that nobody knows as a whole.
func (c hsmCeremonyCommand) found(s *session) (*office, error) {
	o := &office{keyFile: c.keyFile, s: s, module: hsm.New(rand.Reader)}
	if err := o.module.EnsureAuditKeys(); err != nil {
		return nil, hsmProblem(err)
	}
	for _, name := range c.Custodian {
		passphrase, err := o.secret(lang.Fill(lang.HSMAskPassphrase, name))
		if err != nil {
			return nil, err
		}
		if _, err := o.module.AddCustodian(name, []byte(passphrase)); err != nil {
			return nil, hsmProblem(err)
		}
	}
	var shares []hsm.Share
	var err error
	if c.Root != "" {
		o.passphrase, err = makeRoot(c.keyFile)
	} else {
		o.passphrase, shares, err = hsm.NewRoot(rand.Reader, c.Threshold, len(c.Custodian))
	}
	if err != nil {
		return nil, hsmProblem(err)
	}
	if o.log, o.report, err = o.module.OpenAudit(c.audit()); err != nil {
		return nil, hsmProblem(err)
	}
	r := hsm.AuditRecord{Actors: c.Custodian, Operation: fmt.Sprintf("found %d of %d", c.Threshold, len(c.Custodian))}
	if c.Root != "" {
		r.Operation = "found in a token"
	}
	if err := o.record(r, nil); err != nil {
		return nil, err
	}
	return o, c.sayFounded(s, shares)
}

func (c hsmCeremonyCommand) sayFounded(s *session, shares []hsm.Share) error {
	if s.json {
		out := map[string]string{}
		for i, share := range shares {
			out[c.Custodian[i]] = share.Reveal()
		}
		return s.printJSON(s.out, map[string]any{"file": c.File, "need": c.Threshold, "of": len(c.Custodian), "shares": out})
	}
	for i, share := range shares {
		s.line(s.text(lang.Fill(lang.HSMShare, c.Custodian[i], share.Reveal())))
	}
	if c.Root != "" {
		s.line(s.text(lang.Fill(lang.HSMMadeRoot, c.File, c.Label)))
		return nil
	}
	s.line(s.text(lang.Fill(lang.HSMMade, c.File, c.Threshold, len(c.Custodian))))
	return nil
}

// makeKey asks for components, or draws them, shows the check value of each, and makes the key of all together.
func (c hsmCeremonyCommand) makeKey(o *office) error {
	algorithm, err := hsm.ParseAlgorithm(c.Algorithm)
	if err == nil && len(c.Mode) != 1 {
		err = fmt.Errorf("mode %q", c.Mode)
	}
	if err != nil {
		return &problem{code: exitUsage, what: lang.HSMFailed, why: lang.Verbatim(err.Error()), err: err}
	}
	parts, err := c.parts(o, algorithm)
	if err != nil {
		return err
	}
	info, err := o.module.ImportComponents(c.Key, hsm.Usage(c.Usage), hsm.Mode(c.Mode[0]), algorithm, hsm.Export(c.Exportable[0]), parts...)
	by := c.By
	if len(by) == 0 {
		by = c.Custodian
	}
	r := recordOf(fmt.Sprintf("make from %d components", len(parts)), by, "", info)
	r.Key = c.Key
	if err := o.record(r, err); err != nil {
		return err
	}
	return o.s.sayKey(info)
}

func (c hsmCeremonyCommand) parts(o *office, algorithm hsm.Algorithm) ([]hsm.Component, error) {
	var parts []hsm.Component
	for i := range c.Components {
		part, err := c.part(o, algorithm, i+1)
		if err != nil {
			return nil, hsmProblem(err)
		}
		kcv, err := part.KCV(algorithm)
		if err != nil {
			return nil, hsmProblem(err)
		}
		if !o.s.json {
			o.s.line(o.s.text(lang.Fill(lang.HSMComponentKCV, i+1, kcvText(kcv))))
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func (c hsmCeremonyCommand) part(o *office, algorithm hsm.Algorithm, number int) (hsm.Component, error) {
	if !c.Draw {
		text, err := o.secret(lang.Fill(lang.HSMAskComponent, number))
		if err != nil {
			return hsm.Component{}, err
		}
		return hsm.ParseComponent(text)
	}
	part, err := o.module.NewComponent(algorithm)
	if err != nil {
		return hsm.Component{}, err
	}
	fmt.Fprintln(o.s.err, o.s.text(lang.Fill(lang.HSMComponent, number, part.Reveal())))
	return part, nil
}

// hsmReason is why the module refuses, in both languages where the reason has them.
func hsmReason(err error) glossary.Term {
	var block *keyblock.Error
	if errors.As(err, &block) {
		return block.Reason.Term()
	}
	reason := lang.Verbatim(strings.TrimPrefix(err.Error(), "hsm: "))
	for _, row := range [...]struct {
		is error
		zh string
	}{
		{hsm.ErrApproval, lang.HSMWhyApproval.ZH}, {hsm.ErrMisuse, lang.HSMWhyMisuse.ZH}, {hsm.ErrBlock, lang.HSMWhyBlock.ZH},
		{hsm.ErrKeyExists, lang.HSMWhyExists.ZH},
		{hsm.ErrNoKey, lang.HSMWhyNoKey.ZH}, {hsm.ErrWeakKey, lang.HSMWhyWeak.ZH}, {hsm.ErrComponent, lang.HSMWhyComponent.ZH},
		{hsm.ErrPassphrase, lang.HSMWhyPassphrase.ZH},
	} {
		if errors.Is(err, row.is) {
			reason.ZH = row.zh // the English one says more: which key, which custodian
		}
	}
	return reason
}

// errNoPKCS11 says that this program has no PKCS#11.
var errNoPKCS11 = errors.New("built without PKCS#11")
