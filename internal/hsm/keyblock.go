package hsm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"tapnet/keyblock"
)

// ErrBlock says why a sound key block is not taken or made: its attributes are none of this module's, or the protection key is too weak for it.
var ErrBlock = errors.New("hsm: the key block's attributes do not fit")

// protection lends a key block protection key.
func (h *HSM) protection(operation, name string, modes ...Mode) (*keyblock.ProtectionKey, *entry, error) {
	e, err := h.use(operation, name, UsageKeyBlock, modes...)
	if err != nil {
		return nil, nil, err
	}
	version := keyblock.VersionD
	if e.info.Algorithm == TDES {
		version = keyblock.VersionB
	}
	p, err := keyblock.NewProtectionKey(version, e.value)
	if err != nil {
		return nil, nil, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return p, e, nil
}

// strength orders algorithms by what it takes to break them: a key may not travel under a weaker one [X9.24].
func (a Algorithm) strength() int {
	switch a {
	case DES:
		return 1
	case TDES:
		return 2
	case AES128, SM4:
		return 3
	case AES256, HMAC:
		return 4
	}
	return 0
}

// blockAlgorithm is the letter of an algorithm in a key block.
func (a Algorithm) blockAlgorithm() byte {
	switch a {
	case DES:
		return keyblock.AlgorithmDES
	case TDES:
		return keyblock.AlgorithmTDES
	case AES128, AES256:
		return keyblock.AlgorithmAES
	case HMAC:
		return keyblock.AlgorithmHMAC
	case SM4:
		return keyblock.AlgorithmSM4
	}
	return 0
}

// algorithmOfBlock is the inverse, with the key's length; 0 when this module has no such keys.
func algorithmOfBlock(letter byte, bytes int) Algorithm {
	for _, a := range [...]Algorithm{DES, TDES, AES128, AES256, HMAC, SM4} {
		if a.blockAlgorithm() == letter && a.Bytes() == bytes {
			return a
		}
	}
	return 0
}

// notInBlocks are usages whose keys belong to one module only.
func notInBlocks(u Usage) bool { return u == UsageCustodian || u == UsageAuditHead }

// ImportBlock installs the key of a key block with exactly the usage, mode and exportability that the block binds to it. Nothing changes unless all of it is
// right: the form, the code, the attributes, the strength of the protection key. A key of that name must not exist. A refusal of the form is a *keyblock.Error.
func (h *HSM) ImportBlock(under, newName, text string) (KeyInfo, error) {
	const operation = "importing a key block"
	block, err := keyblock.Parse(text)
	if err != nil {
		return KeyInfo{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	p, kbpk, err := h.protection(operation, under, ModeBoth, ModeDecrypt)
	if err != nil {
		return KeyInfo{}, err
	}
	value, err := p.Unwrap(block)
	if err != nil {
		return KeyInfo{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	header := block.Header()
	info := KeyInfo{
		Name: newName, Usage: Usage(header.Usage), Mode: Mode(header.Mode), Algorithm: algorithmOfBlock(header.Algorithm, len(value)), Export: Export(header.Export),
	}
	switch {
	case info.Algorithm == 0 || notInBlocks(info.Usage):
		err = fmt.Errorf("%w: usage %s with algorithm %c of %d bytes", ErrBlock, info.Usage, header.Algorithm, len(value))
	case info.Algorithm.strength() > kbpk.info.Algorithm.strength():
		err = fmt.Errorf("%w: a key of %s under one of %s", ErrBlock, info.Algorithm, kbpk.info.Algorithm)
	}
	if err != nil {
		clear(value)
		return KeyInfo{}, err
	}
	added, err := h.add(info.Name, info.Usage, info.Mode, info.Algorithm, info.Export, value, false)
	if err != nil {
		clear(value)
		return KeyInfo{}, fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return added, nil
}

// ExportRequest asks for a key in a key block. Two custodians approve exactly this: the key by name and check value, the protection key by name and check
// value, and a number that is not used twice.
type ExportRequest struct {
	Name, Under string
	Serial      uint64 // of the request; the audit log's next number will do
}

// Approval is one custodian's consent to one request.
type Approval struct {
	Custodian string
	Code      [32]byte
}

// Dual control.
const (
	// ApprovalsNeeded is how many custodians must agree before a key leaves.
	ApprovalsNeeded = 2
	custodianPrefix = "custodian/"
	approvalContext = "tapnet export approval 1"
	// minPassphrase is what a custodian must at least remember; scrypt makes guessing dear.
	minPassphrase = 8
)

// ErrApproval says that the approvals of an export do not suffice.
var ErrApproval = errors.New("hsm: the export is not approved by two custodians")

// ErrPassphrase says that a passphrase is too short.
var ErrPassphrase = errors.New("hsm: a passphrase has at least 8 characters")

// AddCustodian takes a custodian in. From the passphrase a key is derived that can only check this custodian's approvals. The name is free text without "/".
func (h *HSM) AddCustodian(name string, passphrase []byte) (KeyInfo, error) {
	if name == "" || strings.ContainsRune(name, '/') {
		return KeyInfo{}, fmt.Errorf("hsm: %q is no custodian's name", name)
	}
	key, err := h.custodianKey(name, passphrase)
	if err != nil {
		return KeyInfo{}, err
	}
	return h.add(custodianPrefix+name, UsageCustodian, ModeVerify, HMAC, NotExportable, key, false)
}

// Custodians lists those who can approve, in order.
func (h *HSM) Custodians() []string {
	var all []string
	for _, name := range h.Names() {
		if custodian, found := strings.CutPrefix(name, custodianPrefix); found {
			all = append(all, custodian)
		}
	}
	return all
}

func (h *HSM) custodianKey(name string, passphrase []byte) ([]byte, error) {
	if len(passphrase) < minPassphrase {
		return nil, ErrPassphrase
	}
	salt := sha256.Sum256([]byte("tapnet custodian 1\x00" + name))
	return stretch(passphrase, salt[:fileSaltBytes], h.custodianLogN)
}

// exportDigest is what custodians approve.
func (h *HSM) exportDigest(r ExportRequest) ([]byte, error) {
	key, err := h.Info(r.Name)
	if err != nil {
		return nil, err
	}
	under, err := h.Info(r.Under)
	if err != nil {
		return nil, err
	}
	text := approvalContext
	for _, part := range [...]string{r.Name, string(key.KCV[:]), string(key.Usage), r.Under, string(under.KCV[:])} {
		text += fmt.Sprintf("\x00%d\x00%s", len(part), part)
	}
	return binary.BigEndian.AppendUint64([]byte(text), r.Serial), nil
}

// Approve computes a custodian's approval. It needs the passphrase, so nobody approves for another.
func (h *HSM) Approve(r ExportRequest, custodian string, passphrase []byte) (Approval, error) {
	digest, err := h.exportDigest(r)
	if err != nil {
		return Approval{}, fmt.Errorf("hsm: approving an export: %w", err)
	}
	key, err := h.custodianKey(custodian, passphrase)
	if err != nil {
		return Approval{}, err
	}
	defer clear(key)
	sum := hmac.New(sha256.New, key)
	sum.Write(digest)
	return Approval{Custodian: custodian, Code: [32]byte(sum.Sum(nil))}, nil
}

// approved checks that two different custodians agreed to exactly this request.
func (h *HSM) approved(r ExportRequest, approvals []Approval) error {
	digest, err := h.exportDigest(r)
	if err != nil {
		return fmt.Errorf("hsm: exporting a key block: %w", err)
	}
	agreed := map[string]bool{}
	for _, a := range approvals {
		e, err := h.use("checking an approval", custodianPrefix+a.Custodian, UsageCustodian, ModeVerify)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrApproval, err)
		}
		sum := hmac.New(sha256.New, e.value)
		sum.Write(digest)
		if !hmac.Equal(sum.Sum(nil), a.Code[:]) {
			return fmt.Errorf("%w: the approval of %s is wrong", ErrApproval, a.Custodian)
		}
		agreed[a.Custodian] = true
	}
	if len(agreed) < ApprovalsNeeded {
		return fmt.Errorf("%w: %d of %d", ErrApproval, len(agreed), ApprovalsNeeded)
	}
	return nil
}

// ExportBlock gives a key as a key block that binds its attributes, under dual control. The key must have been made exportable, and the protection key must be
// at least as strong.
func (h *HSM) ExportBlock(r ExportRequest, approvals ...Approval) (string, error) {
	const operation = "exporting a key block"
	p, kbpk, err := h.protection(operation, r.Under, ModeBoth, ModeEncrypt)
	if err != nil {
		return "", err
	}
	e, err := h.find(r.Name)
	if err != nil {
		return "", fmt.Errorf("hsm: %s: %w", operation, err)
	}
	if e.info.Export == NotExportable || notInBlocks(e.info.Usage) {
		return "", &MisuseError{Operation: operation, Key: r.Name, Usage: e.info.Usage, Mode: e.info.Mode}
	}
	if e.info.Algorithm.strength() > kbpk.info.Algorithm.strength() {
		return "", fmt.Errorf("%w: a key of %s under one of %s", ErrBlock, e.info.Algorithm, kbpk.info.Algorithm)
	}
	if err := h.approved(r, approvals); err != nil {
		return "", err
	}
	block, err := p.Wrap(keyblock.Header{
		Version: p.Version(), Usage: string(e.info.Usage), Algorithm: e.info.Algorithm.blockAlgorithm(), Mode: byte(e.info.Mode), KeyVersion: "00",
		Export: byte(e.info.Export),
	}, e.value, h.random)
	if err != nil {
		return "", fmt.Errorf("hsm: %s: %w", operation, err)
	}
	return block.String(), nil
}
