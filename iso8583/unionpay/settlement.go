package unionpay

import (
	"fmt"
)

// SettlementRequest closes a batch (0500): the terminal's totals are in field 48, the batch is field 60.2, field 60.3 is NetworkSettlement, and field 63 the
// operator. Amount is zero; its currency is field 49. Only the terminal's dialect has it [REF 6.1].
type SettlementRequest struct{ Payment }

// Type is 0500.
func (m *SettlementRequest) Type() MTI { return TypeSettlementRequest }

// SettlementResponse answers with the acquirer's totals and whether they agree (0510). Field 39 is 00 either way: the message was taken, the batch is closed
// for sales. Where the totals differ the terminal uploads the batch.
type SettlementResponse struct{ Payment }

// Type is 0510.
func (m *SettlementResponse) Type() MTI { return TypeSettlementResponse }

// BatchUpload sends what a batch holds (0320), one payment with a chip's data a message, or says that the upload is complete. Field 60.3 tells which; field 48
// of the last one is how many payments were uploaded.
type BatchUpload struct{ Payment }

// Type is 0320.
func (m *BatchUpload) Type() MTI { return TypeBatchUpload }

// BatchUploadResponse acknowledges a BatchUpload (0330).
type BatchUploadResponse struct{ Payment }

// Type is 0330.
func (m *BatchUploadResponse) Type() MTI { return TypeBatchUploadReply }

// Field 60.3 of settlement and batch upload [REF 6.1].
const (
	NetworkSettlement   = "201" // 0500, and 0320 of stripe payments
	NetworkUploadEnd    = "207" // 0320: the upload after totals that differ is complete
	NetworkUploadEndOne = "202" // 0320: nothing had to be uploaded, the batch ends
	NetworkUploadICGood = "203" // 0320: a chip's payment that went well
	NetworkUploadICFail = "204" // 0320: a chip's payment that failed
)

// Agreement says whether acquirer and terminal found the same totals.
type Agreement byte

// The agreements. A request has AgreementNone.
const (
	AgreementNone  Agreement = 0
	TotalsAgree    Agreement = 1
	TotalsDiffer   Agreement = 2
	TotalsNotKnown Agreement = 3 // the acquirer could not tell
)

// Sum is a number of payments and their amounts.
type Sum struct {
	Minor int64 // 0 to 999,999,999,999
	Count int   // 0 to 999
}

// Totals are the sums of a batch: what merchants are owed is Debit (money taken from cardholders), what they owe is Credit (refunds). Loads of electronic cash
// are in neither, except for cash loads: the merchant has taken cash and owes it, so that they count as credit, and their voids as debit.
type Totals struct{ Debit, Credit Sum }

// Settlement is field 48 of a settlement: totals of domestic and of foreign cards, each with its agreement.
type Settlement struct {
	Domestic, Foreign                   Totals
	DomesticAgreement, ForeignAgreement Agreement
}

// Layout of field 48: amount 12 and number 3 of debits, the same of credits, agreement 1; once more for foreign cards. The digits are packed.
const (
	sumMinorDigits = 12
	sumCountDigits = 3
	totalsDigits   = 2*(sumMinorDigits+sumCountDigits) + 1
	settlementSize = totalsDigits // bytes: two times so many digits, two to a byte
	maxSumMinor    = 999_999_999_999
	maxSumCount    = 999
)

// Field48 writes the totals. It errs, wrapping ErrContent, when a sum does not fit.
func (s Settlement) Field48() (Opaque, error) {
	text := make([]byte, 0, 2*totalsDigits)
	for _, part := range [...]struct {
		totals Totals
		agrees Agreement
	}{{s.Domestic, s.DomesticAgreement}, {s.Foreign, s.ForeignAgreement}} {
		for _, sum := range [...]Sum{part.totals.Debit, part.totals.Credit} {
			if sum.Minor < 0 || sum.Minor > maxSumMinor || sum.Count < 0 || sum.Count > maxSumCount {
				return "", fmt.Errorf("settlement totals: %w", ErrContent)
			}
			text = appendNumber(text, uint64(sum.Minor), sumMinorDigits)
			text = appendNumber(text, uint64(sum.Count), sumCountDigits)
		}
		if part.agrees > TotalsNotKnown {
			return "", fmt.Errorf("settlement totals: %w", ErrContent)
		}
		text = append(text, '0'+byte(part.agrees))
	}
	return Opaque(packDigits(text)), nil
}

// ParseSettlement reads field 48. Errors wrap ErrContent.
func ParseSettlement(field48 Opaque) (Settlement, error) {
	var s Settlement
	text, ok := unpackDigits(string(field48))
	if !ok || len(field48) != settlementSize {
		return s, fmt.Errorf("settlement totals: %w", ErrContent)
	}
	next := func(size int) (value int64) {
		for _, c := range text[:size] {
			value = value*10 + int64(c-'0')
		}
		text = text[size:]
		return value
	}
	for _, part := range [...]struct {
		totals *Totals
		agrees *Agreement
	}{{&s.Domestic, &s.DomesticAgreement}, {&s.Foreign, &s.ForeignAgreement}} {
		for _, sum := range [...]*Sum{&part.totals.Debit, &part.totals.Credit} {
			sum.Minor, sum.Count = next(sumMinorDigits), int(next(sumCountDigits))
		}
		if *part.agrees = Agreement(next(1)); *part.agrees > TotalsNotKnown {
			return Settlement{}, fmt.Errorf("settlement totals: %w", ErrContent)
		}
	}
	return s, nil
}

// NewUploadCount is field 48 of the last message of a batch upload: how many payments were uploaded, up to 9999.
func NewUploadCount(count int) (Opaque, error) {
	if count < 0 || count > 9999 {
		return "", fmt.Errorf("upload count: %w", ErrContent)
	}
	return Opaque(packDigits(appendNumber(nil, uint64(count), 4))), nil
}

// UploadCount reads field 48 of the last message of a batch upload.
func UploadCount(field48 Opaque) (int, error) {
	text, ok := unpackDigits(string(field48))
	if !ok || len(text) != 4 {
		return 0, fmt.Errorf("upload count: %w", ErrContent)
	}
	return int(parseNumber(text)), nil
}

func packDigits(text []byte) []byte {
	packed := make([]byte, len(text)/2)
	for i := range packed {
		packed[i] = (text[2*i]-'0')<<4 | (text[2*i+1] - '0')
	}
	return packed
}

func unpackDigits(packed string) ([]byte, bool) {
	text := make([]byte, 0, 2*len(packed))
	for i := range len(packed) {
		high, low := packed[i]>>4, packed[i]&15
		if high > 9 || low > 9 {
			return nil, false
		}
		text = append(text, '0'+high, '0'+low)
	}
	return text, true
}
