package oda

import (
	"errors"

	"tapnet/glossary"
)

// ErrAuthentication is what every *Failure is, in the sense of errors.Is.
var ErrAuthentication = errors.New("offline data authentication failed")

// Step is a link of the chain.
type Step string

// The steps, in the order a terminal takes them.
const (
	StepCAKey             Step = "CA key"
	StepIssuerCertificate Step = "issuer certificate"
	StepStaticData        Step = "static data"
	StepSSAD              Step = "signed static data"
	StepICCCertificate    Step = "ICC certificate"
	StepDDA               Step = "dynamic data authentication"
	StepFDDA              Step = "fast dynamic data authentication"
	StepCDA               Step = "combined dynamic data authentication"
	StepPINKey            Step = "PIN encipherment key"
	StepRecovery          Step = "signature recovery"
)

var stepTerms = map[Step]glossary.Term{
	StepCAKey:             {EN: "CA key", ZH: "认证中心公钥"},
	StepIssuerCertificate: {EN: "issuer certificate", ZH: "发卡行公钥证书"},
	StepStaticData:        {EN: "static data", ZH: "静态数据"},
	StepSSAD:              {EN: "signed static data", ZH: "签名的静态应用数据"},
	StepICCCertificate:    {EN: "ICC certificate", ZH: "IC卡公钥证书"},
	StepDDA:               {EN: "dynamic data authentication", ZH: "动态数据认证"},
	StepFDDA:              {EN: "fast dynamic data authentication", ZH: "快速动态数据认证"},
	StepCDA:               {EN: "combined dynamic data authentication", ZH: "复合动态数据认证"},
	StepPINKey:            {EN: "PIN encipherment key", ZH: "PIN加密公钥"},
	StepRecovery:          {EN: "signature recovery", ZH: "签名恢复"},
}

// Term names the step in both languages.
func (s Step) Term() glossary.Term { return stepTerms[s] }

// Check is what a step looked at when it failed.
type Check string

// The checks. CheckNone means that nothing failed.
const (
	CheckNone               Check = ""
	CheckUnknownKey         Check = "unknown key"
	CheckChecksum           Check = "checksum"
	CheckRevoked            Check = "revoked"
	CheckMissing            Check = "missing data"
	CheckLength             Check = "length"
	CheckRange              Check = "range"
	CheckTrailer            Check = "trailer"
	CheckHeader             Check = "header"
	CheckFormat             Check = "format"
	CheckHashAlgorithm      Check = "hash algorithm"
	CheckHash               Check = "hash"
	CheckIIN                Check = "PAN prefix"
	CheckPAN                Check = "PAN"
	CheckDate               Check = "date"
	CheckExpired            Check = "expired"
	CheckPublicKeyAlgorithm Check = "public key algorithm"
	CheckKeyLength          Check = "key length"
	CheckRemainder          Check = "remainder"
	CheckModulus            Check = "modulus"
	CheckExponent           Check = "exponent"
	CheckTagList            Check = "SDA tag list"
	CheckRecord             Check = "record"
	CheckDynamicData        Check = "dynamic data"
	CheckVersion            Check = "fDDA version"
	CheckCardAuthData       Check = "card authentication data"
	CheckATC                Check = "ATC"
	CheckSignature          Check = "signature"
	CheckCurve              Check = "curve"
	CheckTransaction        Check = "transaction data"
	CheckCID                Check = "cryptogram information"
)

var checkTerms = map[Check]glossary.Term{
	CheckUnknownKey:         {EN: "no key with this index", ZH: "没有该索引的公钥"},
	CheckChecksum:           {EN: "the key's SHA-1 checksum does not match", ZH: "公钥的SHA-1校验值不符"},
	CheckRevoked:            {EN: "the certificate is revoked", ZH: "证书已被撤销"},
	CheckMissing:            {EN: "data is missing", ZH: "缺少数据"},
	CheckLength:             {EN: "the length is not that of the signing key", ZH: "长度与签名公钥的模长不一致"},
	CheckRange:              {EN: "the signature is not below the modulus", ZH: "签名值不小于模"},
	CheckTrailer:            {EN: "the trailer is not BC", ZH: "数据尾不是BC"},
	CheckHeader:             {EN: "the header is not 6A", ZH: "数据头不是6A"},
	CheckFormat:             {EN: "the format byte is not the expected one", ZH: "格式字节不符"},
	CheckHashAlgorithm:      {EN: "the hash algorithm is not 01 (SHA-1)", ZH: "哈希算法标识不是01(SHA-1)"},
	CheckHash:               {EN: "the hash does not match", ZH: "哈希值不符"},
	CheckIIN:                {EN: "the issuer identifier is not the start of the PAN", ZH: "发卡行标识与主账号前几位不符"},
	CheckPAN:                {EN: "the certificate is for another PAN", ZH: "证书中的主账号不符"},
	CheckDate:               {EN: "the expiry date is malformed", ZH: "失效日期格式错误"},
	CheckExpired:            {EN: "expired", ZH: "已过期"},
	CheckPublicKeyAlgorithm: {EN: "the public key algorithm is not that of the chain: 01 (RSA) or 04 (SM2)", ZH: "公钥算法标识与证书链不符:01(RSA)或04(SM2)"},
	CheckKeyLength:          {EN: "the key is longer than the key that certifies it, or too short", ZH: "公钥长度大于上级公钥,或过短"},
	CheckRemainder:          {EN: "the remainder does not complete the modulus", ZH: "公钥余数长度不符"},
	CheckModulus:            {EN: "the modulus is not one of RSA", ZH: "公钥模无效"},
	CheckExponent:           {EN: "the exponent is neither 3 nor 65537", ZH: "公钥指数不是3或65537"},
	CheckTagList:            {EN: "the SDA tag list names more than the AIP", ZH: "静态数据认证标签列表含有AIP以外的标签"},
	CheckRecord:             {EN: "the record is not a template 70, or is out of bounds", ZH: "记录不是模板70或超出限制"},
	CheckDynamicData:        {EN: "the ICC dynamic data is malformed", ZH: "IC卡动态数据格式错误"},
	CheckVersion:            {EN: "this fDDA version is not acceptable here", ZH: "fDDA版本不可接受"},
	CheckCardAuthData:       {EN: "the card authentication related data (9F69) is malformed", ZH: "卡片认证相关数据(9F69)格式错误"},
	CheckTransaction:        {EN: "the signed hash is not that of this transaction", ZH: "签名中的交易数据哈希值与本次交易不符"},
	CheckCID:                {EN: "the signed cryptogram information is not that of tag 9F27", ZH: "签名中的密文信息与9F27不符"},
	CheckSignature:          {EN: "the SM2 signature does not verify", ZH: "SM2签名验证失败"},
	CheckCurve:              {EN: "the public key is not a point of the SM2 curve", ZH: "公钥不是SM2曲线上的点"},
	CheckATC:                {EN: "the signed transaction counter is not that of tag 9F36", ZH: "签名中的应用交易计数器与9F36不符"},
}

// Term explains the check in both languages.
func (c Check) Term() glossary.Term { return checkTerms[c] }

// Failure says which step of the chain failed on which check. It carries no card data.
type Failure struct {
	Step  Step
	Check Check
}

func fail(s Step, c Check) *Failure { return &Failure{Step: s, Check: c} }

// Error is the English sentence.
func (f *Failure) Error() string {
	return "offline data authentication: " + f.Term().EN
}

// Is makes errors.Is(err, ErrAuthentication) true.
func (f *Failure) Is(target error) bool { return target == ErrAuthentication }

// Term is "step: check" in both languages.
func (f *Failure) Term() glossary.Term {
	s, c := f.Step.Term(), f.Check.Term()
	return glossary.Term{EN: s.EN + ": " + c.EN, ZH: s.ZH + ":" + c.ZH}
}
