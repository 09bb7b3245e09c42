package apdu

import (
	"tapnet/glossary"
	"tapnet/tlv"
)

// Class bytes in use. [EMV B3 6.3.2]
const (
	ClaInterindustry      = 0x00
	ClaProprietary        = 0x80
	ClaInterindustryMAC   = 0x04 // data in clear, MAC appended [REF 3.4]
	ClaProprietaryMAC     = 0x84 // MAC appended, data enciphered where the command says so [REF 3.4]
	claSecureMessagingBit = 0x04
)

// Instruction bytes. [EMV B3 6.5] [REF 2.8] [REF 3.1]
const (
	InsCardBlock            = 0x16
	InsApplicationUnblock   = 0x18
	InsApplicationBlock     = 0x1E
	InsVerify               = 0x20
	InsPINChange            = 0x24
	InsGetTransProve        = 0x5A
	InsExternalAuthenticate = 0x82
	InsGetChallenge         = 0x84
	InsInternalAuthenticate = 0x88
	InsSelect               = 0xA4
	InsGPO                  = 0xA8
	InsGenerateAC           = 0xAE
	InsReadRecord           = 0xB2
	InsReadCAPPData         = 0xB4
	InsGetResponse          = 0xC0
	InsGetData              = 0xCA
	InsPutData              = 0xDA
	InsUpdateRecord         = 0xDC
	InsUpdateCAPPDataCache  = 0xDE
	InsAppendRecord         = 0xE2
)

// Parameters.
const (
	VerifyPlaintext  = 0x80 // P2 of VERIFY [EMV B3 6.5.12]
	VerifyEnciphered = 0x88

	PINUnblock          = 0x00 // P2 of PIN CHANGE/UNBLOCK [REF 3.1]
	PINChangeWithOldPIN = 0x01
	PINChange           = 0x02

	// MaxPDOLBytes is the longest PDOL data that GPO can carry: template 83 with a length in the long form takes three bytes.
	MaxPDOLBytes = MaxDataBytes - 3

	selectByName             = 0x04
	selectFirst              = 0x00
	selectNext               = 0x02
	recordNumberInP1         = 0x04
	commandTemplate  tlv.Tag = 0x83
)

// instructionNames is the one table of command names.
var instructionNames = map[byte]glossary.Term{
	InsCardBlock:            {EN: "CARD BLOCK", ZH: "卡片锁定"},
	InsApplicationUnblock:   {EN: "APPLICATION UNBLOCK", ZH: "应用解锁"},
	InsApplicationBlock:     {EN: "APPLICATION BLOCK", ZH: "应用锁定"},
	InsVerify:               {EN: "VERIFY", ZH: "校验密码"},
	InsPINChange:            {EN: "PIN CHANGE/UNBLOCK", ZH: "密码修改/解锁"},
	InsGetTransProve:        {EN: "GET TRANS PROVE", ZH: "取交易认证"},
	InsExternalAuthenticate: {EN: "EXTERNAL AUTHENTICATE", ZH: "外部认证"},
	InsGetChallenge:         {EN: "GET CHALLENGE", ZH: "取随机数"},
	InsInternalAuthenticate: {EN: "INTERNAL AUTHENTICATE", ZH: "内部认证"},
	InsSelect:               {EN: "SELECT", ZH: "选择"},
	InsGPO:                  {EN: "GET PROCESSING OPTIONS", ZH: "取处理选项"},
	InsGenerateAC:           {EN: "GENERATE AC", ZH: "生成应用密文"},
	InsReadRecord:           {EN: "READ RECORD", ZH: "读记录"},
	InsReadCAPPData:         {EN: "READ CAPP DATA", ZH: "读扩展应用数据"},
	InsGetResponse:          {EN: "GET RESPONSE", ZH: "取响应"},
	InsGetData:              {EN: "GET DATA", ZH: "取数据"},
	InsPutData:              {EN: "PUT DATA", ZH: "设置数据"},
	InsUpdateRecord:         {EN: "UPDATE RECORD", ZH: "修改记录"},
	InsUpdateCAPPDataCache:  {EN: "UPDATE CAPP DATA CACHE", ZH: "更新扩展应用数据缓存"},
	InsAppendRecord:         {EN: "APPEND RECORD", ZH: "追加记录"},
}

// InstructionName returns the name of an instruction; an unknown one is named as such.
func InstructionName(ins byte) glossary.Term {
	if name, ok := instructionNames[ins]; ok {
		return name
	}
	return glossary.Term{EN: "unknown command", ZH: "未知命令"}
}

// SecureMessaging reports whether the class announces a MAC behind the data. [ISO 7816-4 5.1.1]
func (c Command) SecureMessaging() bool { return c.CLA&claSecureMessagingBit != 0 }
