package hsm

import (
	"fmt"
	"slices"

	"tapnet/glossary"
)

// Usage is what a key is for: the two-character key usage of [X9.143]. Usages made of two digits are proprietary there; this package
// uses one for the terminal MAC of the network, which no standard names.
type Usage string

// The usages this HSM knows. A key has exactly one.
const (
	UsageKeyEncryption   Usage = "K0" // wraps working keys: terminal master key, member master key
	UsagePINEncryption   Usage = "P0" // zone or terminal PIN key
	UsagePINVerification Usage = "V0" // keyed PIN check value
	UsageMACX99          Usage = "M1" // ISO 9797-1 algorithm 1, the switch's X9.9 MAC
	UsageMACRetail       Usage = "M3" // ISO 9797-1 algorithm 3, X9.19
	UsageMACLegacyECB    Usage = "10" // the terminal MAC ("CUP ECB") of [REF 6.1]; proprietary range
	UsageTokenization    Usage = "12" // digits into digits, numbers into names: see EncipherDigits and CoverNumber; proprietary range
	UsageHMAC            Usage = "M7" // keyed fingerprints
	UsageData            Usage = "D0" // sealing of data at rest
	UsageEMVAC           Usage = "E0" // issuer master key for application cryptograms
	UsageEMVENC          Usage = "E1" // issuer master key for secure messaging, confidentiality
	UsageEMVMAC          Usage = "E2" // issuer master key for secure messaging, integrity
	UsagePersonalization Usage = "E5" // transport key under which card keys travel to the card
	UsageKeyBlock        Usage = "K1" // protects key blocks; it wraps nothing else
	UsageDeviceBase      Usage = "B0" // binding keys of phones are derived from it
	// UsageCloudAC is the issuer master key AC of tokens whose session keys are given to phones. It is a usage of its own, in the proprietary range, so that the
	// operation which gives out keys cannot touch the master of a card or secure element, and their operations cannot touch this one.
	UsageCloudAC   Usage = "20"
	UsageCustodian Usage = "21" // checks approvals of one custodian; proprietary range
	UsageAuditHead Usage = "22" // how far the audit log was when the keys were saved; proprietary range
)

// Mode is what the holder may do with the key: the mode of use of [X9.143].
type Mode byte

// The modes. X9.143 also has N, no restriction; it is not offered because it would allow dual use.
const (
	ModeBoth           Mode = 'B' // encrypt and decrypt, or wrap and unwrap
	ModeEncrypt        Mode = 'E' // encrypt or wrap only
	ModeDecrypt        Mode = 'D' // decrypt or unwrap only
	ModeGenerateVerify Mode = 'C' // compute and verify
	ModeGenerate       Mode = 'G' // compute only
	ModeVerify         Mode = 'V' // verify only
	ModeDerive         Mode = 'X' // derive other keys only
)

// String gives the mode letter.
func (m Mode) String() string { return string(rune(m)) }

// Algorithm is the cipher and length of a key.
type Algorithm uint8

// The algorithms.
const (
	DES    Algorithm = iota + 1 // single DES, 8 bytes
	TDES                        // two-key triple DES, 16 bytes
	AES128                      // 16 bytes
	AES256                      // 32 bytes
	HMAC                        // HMAC-SHA-256, 32 bytes
	SM4                         // 16 bytes
)

// Bytes is the length of a key of this algorithm, 0 when unknown.
func (a Algorithm) Bytes() int {
	switch a {
	case DES:
		return 8
	case TDES, AES128, SM4:
		return 16
	case AES256, HMAC:
		return 32
	}
	return 0
}

// String names the algorithm.
func (a Algorithm) String() string {
	switch a {
	case DES:
		return "DES"
	case TDES:
		return "TDES"
	case AES128:
		return "AES-128"
	case AES256:
		return "AES-256"
	case HMAC:
		return "HMAC-SHA-256"
	case SM4:
		return "SM4"
	}
	return "unknown"
}

// ParseAlgorithm reads what String gives.
func ParseAlgorithm(text string) (Algorithm, error) {
	for a := DES; a <= SM4; a++ {
		if a.String() == text {
			return a, nil
		}
	}
	return 0, fmt.Errorf("hsm: %q is no algorithm", text)
}

// Export tells whether a key may leave wrapped: the exportability of [X9.143].
type Export byte

// The exportabilities. The form the network wraps keys in binds no usage, so only S may leave in it.
const (
	NotExportable   Export = 'N'
	Exportable      Export = 'S' // may be wrapped under a key-encrypting key in a form without a usage header
	ExportableBlock Export = 'E' // may leave in a key block only, which binds what it is for
)

type rule struct {
	name       glossary.Term
	modes      []Mode
	algorithms []Algorithm
}

var (
	cipherModes = []Mode{ModeBoth, ModeEncrypt, ModeDecrypt}
	macModes    = []Mode{ModeGenerateVerify, ModeGenerate, ModeVerify}
	deriveOnly  = []Mode{ModeDerive}
	desFamily   = []Algorithm{DES, TDES}
	cardCiphers = []Algorithm{SM4, AES128, TDES} // those of the suites of package cryptogram
)

// usageRule is the one table of which mode and algorithm a usage admits.
func usageRule(u Usage) (rule, bool) {
	switch u {
	case UsageKeyEncryption:
		return rule{glossary.Term{EN: "key-encrypting key", ZH: "密钥加密密钥"}, cipherModes, []Algorithm{SM4, TDES}}, true
	case UsagePINEncryption:
		return rule{glossary.Term{EN: "PIN encryption key", ZH: "PIN 加密密钥"}, cipherModes, []Algorithm{AES128, AES256, SM4, DES, TDES}}, true
	case UsagePINVerification:
		return rule{glossary.Term{EN: "PIN verification key", ZH: "PIN 校验密钥"}, macModes, []Algorithm{AES128, AES256}}, true
	case UsageMACX99:
		return rule{glossary.Term{EN: "MAC key, X9.9", ZH: "MAC 密钥（X9.9）"}, macModes, desFamily}, true
	case UsageMACRetail:
		return rule{glossary.Term{EN: "MAC key, X9.19", ZH: "MAC 密钥（X9.19）"}, macModes, []Algorithm{TDES}}, true
	case UsageMACLegacyECB:
		return rule{glossary.Term{EN: "terminal MAC key", ZH: "终端 MAC 密钥"}, macModes, []Algorithm{SM4, DES, TDES}}, true
	case UsageTokenization:
		return rule{glossary.Term{EN: "tokenisation key", ZH: "令牌化密钥"}, []Mode{ModeBoth}, []Algorithm{AES128, AES256}}, true
	case UsageHMAC:
		return rule{glossary.Term{EN: "fingerprint key", ZH: "指纹密钥"}, macModes, []Algorithm{HMAC}}, true
	case UsageData:
		return rule{glossary.Term{EN: "data encryption key", ZH: "数据加密密钥"}, cipherModes, []Algorithm{AES256}}, true
	case UsageEMVAC:
		return rule{glossary.Term{EN: "issuer master key AC", ZH: "发卡行应用密文主密钥"}, deriveOnly, cardCiphers}, true
	case UsageEMVENC:
		return rule{glossary.Term{EN: "issuer master key ENC", ZH: "发卡行安全报文加密主密钥"}, deriveOnly, cardCiphers}, true
	case UsageEMVMAC:
		return rule{glossary.Term{EN: "issuer master key MAC", ZH: "发卡行安全报文认证主密钥"}, deriveOnly, cardCiphers}, true
	case UsagePersonalization:
		return rule{glossary.Term{EN: "personalisation transport key", ZH: "个人化传输密钥"}, cipherModes, []Algorithm{AES256}}, true
	}
	return cloudUsageRule(u)
}

// cloudUsageRule is the part of the table for phones, key blocks and custody.
func cloudUsageRule(u Usage) (rule, bool) {
	switch u {
	case UsageKeyBlock:
		return rule{glossary.Term{EN: "key block protection key", ZH: "密钥块保护密钥"}, cipherModes, []Algorithm{AES128, AES256, TDES}}, true
	case UsageDeviceBase:
		return rule{glossary.Term{EN: "device base key", ZH: "设备基础密钥"}, deriveOnly, []Algorithm{HMAC}}, true
	case UsageCloudAC:
		return rule{glossary.Term{EN: "token master key AC, cloud", ZH: "云端令牌应用密文主密钥"}, deriveOnly, cardCiphers}, true
	case UsageCustodian:
		return rule{glossary.Term{EN: "custodian's approval key", ZH: "密钥保管人授权密钥"}, []Mode{ModeVerify}, []Algorithm{HMAC}}, true
	case UsageAuditHead:
		return rule{glossary.Term{EN: "head of the audit log", ZH: "审计日志链头"}, []Mode{ModeVerify}, []Algorithm{HMAC}}, true
	}
	return uniqueUsageRule(u)
}

// Term names the usage for a reader; an unknown usage gives its two characters.
func (u Usage) Term() glossary.Term {
	if r, ok := usageRule(u); ok {
		return r.name
	}
	return glossary.Term{EN: string(u), ZH: string(u)}
}

func (r rule) admits(m Mode, a Algorithm) bool {
	return slices.Contains(r.modes, m) && slices.Contains(r.algorithms, a)
}
