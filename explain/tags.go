package explain

import (
	"tapnet/emv"
	"tapnet/tlv"
)

// valueKind is how the value of a tag is read.
type valueKind uint8

const (
	kindByFormat valueKind = iota // as the dictionary's format says
	kindAmount
	kindAmountBinary
	kindCurrency
	kindCountry
	kindDate
	kindTime
	kindNumber
	kindName
	kindList
	kindLocator
	kindCVMList
	kindTrack2
	kindPAN
	kindPIN
	kindIAD
	kindCID
	kindResponseCode
	kindAuthData
	kindTransactionType
	kindTerminalType
	kindPriority
	kindFile
	kindLogEntry
	kindVersion
	kindScript
	kindScriptResults
	kindCardAuth
	kindFormat1
	kindCommandData
	kindIssuerCertificate
	kindCardCertificate
	kindSignature
	kindDocument
	kindCAPP
	kindYesNo
	kindEntryMode
)

// tagKinds is the one table of how values are read; bit fields are found by their types in bitsOf.
var tagKinds = map[tlv.Tag]valueKind{
	emv.TagAmount: kindAmount, emv.TagAmountOther: kindAmount, emv.TagCTTAL: kindAmount, emv.TagCTTAUL: kindAmount,
	emv.TagAvailableOffline: kindAmount, emv.TagCardCVMLimit: kindAmount, emv.TagECResetThreshold: kindAmount,
	emv.TagDualCurrencyLimit: kindAmount, emv.TagECBalanceLimit: kindAmount, emv.TagECSingleLimit: kindAmount,
	emv.TagECBalance: kindAmount, emv.TagECTerminalLimit: kindAmount, emv.TagSegmentLimit: kindAmount, emv.TagSegmentUsed: kindAmount,
	emv.TagSecondCVMLimit: kindAmount, emv.TagSecondResetThreshold: kindAmount, emv.TagSecondBalanceLimit: kindAmount,
	emv.TagSecondSingleLimit: kindAmount, emv.TagSecondBalance: kindAmount, emv.TagParameterFloorLimit: kindAmount,
	emv.TagParameterContactlessMax: kindAmount, emv.TagParameterCVMLimit: kindAmount,

	emv.TagAmountBinary: kindAmountBinary, emv.TagAmountOtherBinary: kindAmountBinary, emv.TagFloorLimit: kindAmountBinary,
	emv.TagParameterThreshold: kindAmountBinary,

	emv.TagCurrency: kindCurrency, emv.TagApplicationCurrency: kindCurrency, emv.TagECCurrency: kindCurrency,
	emv.TagSecondCurrency: kindCurrency, emv.TagSecondECCurrency: kindCurrency, emv.TagTerminalRefCurrency: kindCurrency,
	emv.TagTerminalCountry: kindCountry, emv.TagIssuerCountry: kindCountry, emv.TagIssuerCountryCard: kindCountry,

	emv.TagTransactionDate: kindDate, emv.TagExpiryDate: kindDate, emv.TagEffectiveDate: kindDate, emv.TagTransactionTime: kindTime,

	emv.TagATC: kindNumber, emv.TagLastOnlineATC: kindNumber, emv.TagPINTryCounter: kindNumber, emv.TagLowerOfflineLimit: kindNumber,
	emv.TagUpperOfflineLimit: kindNumber, emv.TagConsecutiveIntlCurrency: kindNumber, emv.TagConsecutiveIntlCountry: kindNumber,
	emv.TagLowerConsecutiveLimit: kindNumber, emv.TagUpperConsecutiveLimit: kindNumber, emv.TagKernelID: kindNumber,

	emv.TagAID: kindName, emv.TagDFName: kindName, emv.TagTerminalAID: kindName, emv.TagDDFName: kindName,

	emv.TagPDOL: kindList, emv.TagCDOL1: kindList, emv.TagCDOL2: kindList, emv.TagDDOL: kindList, emv.TagTDOL: kindList,
	emv.TagLogFormat: kindList, emv.TagLoadLogFormat: kindList, emv.TagParameterDefaultDDOL: kindList,

	emv.TagAFL: kindLocator, emv.TagCVMList: kindCVMList, emv.TagTrack2: kindTrack2, emv.TagPAN: kindPAN, emv.TagPINData: kindPIN,
	emv.TagIAD: kindIAD, emv.TagCID: kindCID, emv.TagARC: kindResponseCode, emv.TagIssuerAuthData: kindAuthData,
	emv.TagTransactionType: kindTransactionType, emv.TagTerminalType: kindTerminalType, emv.TagPriority: kindPriority,
	emv.TagSFI: kindFile, emv.TagLogEntry: kindLogEntry, emv.TagLoadLogEntry: kindLogEntry, emv.TagCardVersion: kindVersion,
	emv.TagTerminalVersion: kindVersion, emv.TagScriptCommand: kindScript, emv.TagScriptResults: kindScriptResults,
	emv.TagCardAuthData: kindCardAuth, emv.TagResponse1: kindFormat1, emv.TagCommandTemplate: kindCommandData,
	emv.TagIssuerCertificate: kindIssuerCertificate, emv.TagICCCertificate: kindCardCertificate,
	emv.TagPINKeyCertificate: kindCardCertificate, emv.TagSSAD: kindSignature, emv.TagSDAD: kindSignature,
	emv.TagHolderIDType: kindDocument, emv.TagCAPPIndicator: kindCAPP, emv.TagECTerminalSupport: kindYesNo,
	emv.TagSMSupport: kindYesNo, emv.TagParameterOnlinePIN: kindYesNo, emv.TagEntryMode: kindEntryMode,
}

// bitsOf reads the bit field of a tag; false when the tag has none or the length is wrong. Action codes have the bits of the
// terminal verification results [EMV B3 10.7].
func bitsOf(tag tlv.Tag, b []byte) ([]emv.BitInfo, bool) {
	switch tag {
	case emv.TagTVR, emv.TagIACDefault, emv.TagIACDenial, emv.TagIACOnline,
		emv.TagParameterTACDefault, emv.TagParameterTACDenial, emv.TagParameterTACOnline:
		return bitsFrom(emv.ParseTVR(b))
	case emv.TagTSI:
		return bitsFrom(emv.ParseTSI(b))
	case emv.TagAIP:
		return bitsFrom(emv.ParseAIP(b))
	case emv.TagTTQ:
		return bitsFrom(emv.ParseTTQ(b))
	case emv.TagCTQ:
		return bitsFrom(emv.ParseCTQ(b))
	case emv.TagAdditionalProcessing:
		return bitsFrom(emv.ParseAdditionalProcessing(b))
	case emv.TagDefaultAction:
		return bitsFrom(emv.ParseDefaultAction(b))
	case emv.TagExtendedIndicator:
		return bitsFrom(emv.ParseExtendedIndicator(b))
	case emv.TagIssuerAuthIndicator:
		return bitsFrom(emv.ParseIssuerAuthIndicator(b))
	case emv.TagTerminalCapabilities:
		return bitsFrom(emv.ParseTerminalCapabilities(b))
	case emv.TagAdditionalTermCaps:
		return bitsFrom(emv.ParseAdditionalTerminalCapabilities(b))
	case emv.TagUsageControl:
		return bitsFrom(emv.ParseUsageControl(b))
	case emv.TagCVMResults:
		return bitsFrom(emv.ParseCVMResults(b))
	}
	return nil, false
}

func bitsFrom[T interface{ Bits() []emv.BitInfo }](field T, err error) ([]emv.BitInfo, bool) {
	if err != nil {
		return nil, false
	}
	return field.Bits(), true
}
