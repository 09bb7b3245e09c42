package unionpay

import (
	"bufio"
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"tapnet/emv"
	"tapnet/mac"
	"tapnet/money"
	"tapnet/pan"
	"tapnet/pinblock"
)

// vector is one block of a file under testdata/vectors: "# name: value" lines, then hex.
type vector struct {
	attributes map[string]string
	body       []byte
}

func (v vector) hex(t testing.TB, name string) []byte { return unhex(t, v.attributes[name]) }

func vectors(t testing.TB, file string) []vector {
	t.Helper()
	content, err := os.ReadFile("testdata/vectors/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	for block := range strings.SplitSeq(strings.TrimSpace(string(content)), "\n\n") {
		v := vector{attributes: map[string]string{}}
		lines := bufio.NewScanner(strings.NewReader(block))
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "# "); ok {
				name, value, _ := strings.Cut(rest, ": ")
				v.attributes[name] = value
				continue
			}
			v.body = append(v.body, unhex(t, lines.Text())...)
		}
		all = append(all, v)
	}
	return all
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func block(t testing.TB, key []byte) cipher.Block {
	t.Helper()
	c, err := des.NewCipher(key[:8])
	if len(key) == 16 {
		c, err = des.NewTripleDESCipher(append(bytes.Clone(key), key[:8]...))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// macWith is the dialect's MAC under a key.
func macWith(t testing.TB, d Dialect, key []byte) MACFunc {
	c := block(t, key)
	return func(input []byte) ([8]byte, error) {
		if d == Switch {
			return mac.CBC(c, input), nil
		}
		return mac.LegacyECB(c, input), nil
	}
}

const (
	testPAN    = "6299990000000017"
	testTrack  = "6299990000000017=30122200000000000"
	secretText = "secret6299990000000017"
)

func number(t testing.TB) pan.Number {
	t.Helper()
	n, err := pan.Parse(testPAN)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func chip(t testing.TB) emv.Data {
	t.Helper()
	data, err := emv.ParseData(unhex(t, `9F2608AD03EE811AFAD484 9F270180 9F101307010103A0A802010A010000000000F2E2F2D5 9F370411223344
		9F36020240 95050000000000 9A03261121 9C0100 9F0206000000029900 5F2A020156 82027C00 9F1A020156 9F0306000000000000 9F3303E0F8C8`))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// fullPayment has every field of a payment, in values both dialects can carry. Call only for dialect.
func fullPayment(t testing.TB, d Dialect) Payment {
	t.Helper()
	expiry, err := pan.ParseExpiry("3012")
	if err != nil {
		t.Fatal(err)
	}
	track, err := pan.ParseTrack2String(testTrack)
	if err != nil {
		t.Fatal(err)
	}
	track3, err := ParseTrack3("99629999=156")
	if err != nil {
		t.Fatal(err)
	}
	pin, err := pinblock.FromBytes(unhex(t, "60D2B73093F23F22"))
	if err != nil {
		t.Fatal(err)
	}
	p := Payment{
		PAN: number(t), Processing: ProcessingSale, Amount: money.New(29900, money.CNY), STAN: 17, LocalTime: "235959",
		LocalDate: "1121", Expiry: expiry, SettlementDate: "1122", EntryMode: NewEntryMode(EntryContactless, true),
		CardSequence: "001", Condition: ConditionNormal, PINCapture: "12", Acquirer: "10000001", Track2: track, Track3: track3,
		RRN: "632517000001", AuthCode: "A1 2", Response: Approved, Terminal: "POS1", Merchant: "898000000000001",
		Additional: secretText, PINBlock: &pin, Security: "2600000000000000",
		Balance: &Balance{"00", BalanceAvailable, money.New(-1250, money.CNY)}, ICC: chip(t), Detail: secretText,
		Info: Info{MessageType: KindSale, Batch: 3, NetworkCode: "000", ReadCapability: ReadContactless, ICCondition: ICConditionNone},
	}
	if d == Terminal {
		p.Institutions, p.PBOC, p.Custom, p.Reserved = "01020000   03040000", secretText, secretText, "CUP"
		p.Original = &Original{Batch: 2, STAN: 12, Date: "1120"}
		return p
	}
	p.TransmissionTime, p.MerchantType, p.Fee, p.Forwarder = "1121155959", "5411", "C00000010", "10000002"
	p.Country = "446"
	p.MerchantName, p.Receiver, p.AccountFrom, p.AccountTo = "Corner shop, Macau", "30000001", secretText, secretText
	p.National = [3]Opaque{"a", "b", "c"}
	p.Original = &Original{
		Type: TypeFinancialRequest, STAN: 12, TransmissionTime: "1120010203", Acquirer: "00010000001", Forwarder: "00010000002",
	}
	return p
}

// request is what a tap sends, with only what it needs.
func request(t testing.TB, d Dialect) *FinancialRequest {
	t.Helper()
	full := fullPayment(t, d)
	p := Payment{
		PAN: full.PAN, Processing: full.Processing, Amount: full.Amount, STAN: full.STAN, Expiry: full.Expiry, EntryMode: full.EntryMode,
		CardSequence: full.CardSequence, Condition: full.Condition, PINCapture: full.PINCapture, Track2: full.Track2,
		Terminal: full.Terminal, Merchant: full.Merchant, PINBlock: full.PINBlock, Security: full.Security, ICC: full.ICC, Info: full.Info,
	}
	if d == Switch {
		p.TransmissionTime, p.Acquirer, p.Forwarder, p.RRN = full.TransmissionTime, full.Acquirer, full.Forwarder, full.RRN
	}
	return &FinancialRequest{Payment: p}
}

// samples is one message of each type and flag in d.
func samples(t testing.TB, d Dialect) map[string]Message {
	t.Helper()
	bare := fullPayment(t, d)
	bare.Track2, bare.Track3, bare.PINBlock = pan.Track2{}, Track3{}, nil
	reason := bare
	reason.Response = ReasonTimeout
	keys := &WrappedKeys{PIN: bytes.Repeat([]byte{1}, 16), PINKCV: [4]byte{1, 2, 3, 4}}
	network := Network{STAN: 9, Code: SignOn}
	reset := network
	if d == Terminal {
		network.Terminal, network.Merchant, network.Batch, network.Operator = "POS1", "898000000000001", 3, "01"
		keys.MAC, keys.MACKCV = bytes.Repeat([]byte{2}, 8), [4]byte{5, 6, 7, 8}
		reset = network
		reset.Code, reset.MTI = SignOnTrackKey, TypeNetworkResponse
		keys.Track, keys.TrackKCV = bytes.Repeat([]byte{3}, 16), [4]byte{9, 9, 9, 9}
		reset.Acquirer, reset.RRN, reset.LocalTime, reset.LocalDate = "10000001", "632517000001", "010203", "1121"
	} else {
		network.Time, network.Institution, network.Receiver = "1121155959", "10000001", "30000001"
		reset = network
		reset.Code, reset.MTI = KeyExchange, TypeNetworkResponse
	}
	reset.Keys, reset.Response = keys, Approved
	echo := network
	echo.Code, echo.MTI, echo.Operator = Echo, TypeNetworkAdvice, ""
	echoed := echo
	echoed.MTI, echoed.Response = TypeNetworkAdviceReply, Approved
	signOn := network
	signOn.MTI = TypeNetworkRequest
	change := fullPayment(t, d)
	change.Processing, change.Info.MessageType, change.NewPIN, change.Amount = ProcessingPINChange, KindPINChange, change.PINBlock, money.New(0, money.CNY)
	unblock := change
	unblock.Processing, unblock.Info.MessageType, unblock.NewPIN = ProcessingPINUnblock, KindPINUnblock, nil
	return map[string]Message{
		"PIN change":             &FinancialRequest{Payment: change},
		"PIN unblock":            &FinancialRequest{Payment: unblock},
		"tap":                    request(t, d),
		"financial request":      &FinancialRequest{Payment: fullPayment(t, d)},
		"authorization request":  &FinancialRequest{Payment: fullPayment(t, d), Authorization: true},
		"advice":                 &FinancialRequest{Payment: fullPayment(t, d), Advice: true},
		"financial response":     &FinancialResponse{Payment: bare},
		"authorization response": &FinancialResponse{Payment: bare, Authorization: true},
		"advice response":        &FinancialResponse{Payment: bare, Advice: true},
		"reversal request":       &ReversalRequest{reason},
		"reversal response":      &ReversalResponse{bare},
		"script notice":          &ScriptNotice{bare},
		"script notice response": &ScriptNoticeResponse{bare},
		"sign-on":                (*NetworkRequest)(&signOn),
		"echo":                   (*NetworkRequest)(&echo),
		"echo response":          (*NetworkResponse)(&echoed),
		"keys":                   (*NetworkResponse)(&reset),
	}
}
