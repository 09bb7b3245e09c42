package unionpay

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"tapnet/iso8583"
)

// Sizes of working keys as they travel [REF 6.1] [REF 6.4].
const (
	keyBytes       = 8
	doubleKeyBytes = 16
	kcvBytes       = 4

	singleKeysBytes = 2 * (keyBytes + kcvBytes)       // 24: PIN key and MAC key
	doubleKeysBytes = 2 * (doubleKeyBytes + kcvBytes) // 40
	trackKeysBytes  = 3 * (doubleKeyBytes + kcvBytes) // 60: and a track key
)

// Field 53 of a key exchange: which key, then how long, then zeros [REF 6.4].
const (
	securityPINKey = '1'
	securityMACKey = '2'
	securitySingle = '0'
	securityDouble = '6'
	securityZeros  = "00000000000000"
)

func networkOf(m Message) *Network {
	switch m := m.(type) {
	case *NetworkRequest:
		return (*Network)(m)
	case *NetworkResponse:
		return (*Network)(m)
	}
	return nil
}

// networkTexts are the character fields of network messages; a dialect's Spec says which of them it has.
var networkTexts = [...]struct {
	number int
	in     dialects
	text   func(v *Network) *string
	check  func([]byte) bool
}{
	{fieldTransmission, atSwitch, func(v *Network) *string { return &v.Time }, isDateTime[[]byte]},
	{fieldLocalTime, atTerminal, func(v *Network) *string { return &v.LocalTime }, isTime[[]byte]},
	{fieldLocalDate, atTerminal, func(v *Network) *string { return &v.LocalDate }, isDate[[]byte]},
	{fieldAcquirer, atTerminal, func(v *Network) *string { return &v.Acquirer }, nil},
	{fieldForwarder, atSwitch, func(v *Network) *string { return &v.Institution }, nil},
	{fieldRRN, atTerminal, func(v *Network) *string { return &v.RRN }, nil},
	{fieldResponse, both, func(v *Network) *string { return (*string)(&v.Response) }, nil},
	{fieldTerminal, atTerminal, func(v *Network) *string { return &v.Terminal }, nil},
	{fieldMerchant, atTerminal, func(v *Network) *string { return &v.Merchant }, nil},
	{fieldReserved, atTerminal, func(v *Network) *string { return &v.Operator }, nil},
	{fieldReceiver, atSwitch, func(v *Network) *string { return &v.Receiver }, nil},
}

func (d Dialect) bit() dialects {
	if d == Switch {
		return atSwitch
	}
	return atTerminal
}

func (w *workspace) putNetwork(d Dialect, v *Network, mti MTI) error {
	for i := range networkTexts {
		row := &networkTexts[i]
		text, at := *row.text(v), &placesOf[d][row.number]
		if text == "" || at.max == 0 || row.in&d.bit() == 0 {
			continue
		}
		if err := w.putText(row.number, at.max, at.padded, text, row.check); err != nil {
			return err
		}
	}
	stan, err := appendSTAN(w.text[:0], v.STAN)
	if err == nil && len(stan) > 0 {
		err = w.message.Set(fieldSTAN, stan)
	}
	if err != nil {
		return unsent(fieldSTAN, err)
	}
	code, ok := v.Code.Wire(d)
	if !ok {
		number := fieldInfo
		if d == Switch {
			number = fieldNetworkCode
		}
		return unsent(number, fmt.Errorf("%v: %w", v.Code, ErrContent))
	}
	if d == Switch {
		if err := w.message.Set(fieldNetworkCode, []byte(code)); err != nil {
			return err
		}
		return w.putSwitchKeys(v)
	}
	if v.Batch > maxSTAN {
		return unsent(fieldInfo, ErrContent)
	}
	info := append(w.text[:0], KindNetwork...)
	info = append(appendNumber(info, uint64(v.Batch), 6), code...)
	if err := w.message.Set(fieldInfo, info); err != nil {
		return err
	}
	if mti == TypeNetworkRequest && v.Code.SignsOn() && v.Operator == "" {
		return unsent(fieldReserved, ErrMissing) // [REF 6.1], POS_SIGN_IN
	}
	return w.putTerminalData(v, mti)
}

func (w *workspace) takeNetwork(d Dialect, v *Network, mti MTI) error {
	for number := w.message.Next(1); number != 0; number = w.message.Next(number) {
		if number == macField(d) {
			continue
		}
		text := w.message.Text(w.text[:0], number)
		if err := w.takeNetworkField(d, v, number, text); err != nil {
			start, _ := w.message.Range(number)
			return &iso8583.FieldError{Field: number, Offset: start, Err: err}
		}
	}
	if d == Switch {
		return w.takeSwitchKeys(v)
	}
	if mti == TypeNetworkRequest && v.Code.SignsOn() && v.Operator == "" {
		return unsent(fieldReserved, ErrMissing)
	}
	return w.takeTerminalData(v, mti)
}

func (w *workspace) takeNetworkField(d Dialect, v *Network, number int, text []byte) (err error) {
	switch number {
	case fieldSTAN:
		v.STAN, err = parseSTAN(text)
		return err
	case fieldNetworkCode:
		v.Code, err = parseCode(d, string(text))
		return err
	case fieldInfo:
		if d == Switch {
			return ErrUnexpected
		}
		return takeNetworkInfo(v, text)
	case fieldCustom:
		return nil // takeTerminalData
	case fieldAdditional, fieldSecurity, fieldKey:
		if d == Terminal {
			return ErrUnexpected
		}
		return nil // takeSwitchKeys
	}
	for i := range networkTexts {
		row := &networkTexts[i]
		if row.number != number || row.in&d.bit() == 0 {
			continue
		}
		if placesOf[d][number].padded {
			text = bytes.TrimRight(text, " ")
		}
		if row.check != nil && !row.check(text) {
			return ErrContent
		}
		*row.text(v) = string(text)
		return nil
	}
	return ErrUnexpected
}

func parseCode(d Dialect, digits string) (NetworkCode, error) {
	code, ok := ParseNetworkCode(d, digits)
	if !ok {
		return NoNetworkCode, fmt.Errorf("network management code: %w", ErrContent)
	}
	return code, nil
}

func takeNetworkInfo(v *Network, text []byte) error {
	info, err := parseInfo(text)
	if err != nil {
		return err
	}
	if len(text) != infoReadAt || info.MessageType != KindNetwork {
		return ErrContent
	}
	v.Batch = info.Batch
	v.Code, err = parseCode(Terminal, info.NetworkCode)
	return err
}

// isTerminalKeys says whether field 62 of this message holds keys when it has the right size.
func isTerminalKeys(v *Network, mti MTI, size int) bool {
	return mti.IsResponse() && v.Code.SignsOn() &&
		(size == singleKeysBytes || size == doubleKeysBytes || size == trackKeysBytes)
}

func (w *workspace) putTerminalData(v *Network, mti MTI) error {
	if v.Keys == nil {
		if isTerminalKeys(v, mti, len(v.Data)) {
			return unsent(fieldCustom, fmt.Errorf("data that look like keys: %w", ErrContent))
		}
		if v.Data == "" {
			return nil
		}
		return w.message.Set(fieldCustom, []byte(v.Data))
	}
	k := v.Keys
	size := doubleKeyBytes
	if len(k.PIN) == keyBytes {
		size = keyBytes
	}
	macFits := len(k.MAC) == size || len(k.MAC) == keyBytes
	trackFits := len(k.Track) == 0 && k.TrackKCV == [kcvBytes]byte{} || len(k.Track) == doubleKeyBytes && size == doubleKeyBytes
	if len(k.PIN) != size || !macFits || !trackFits || v.Data != "" || !isTerminalKeys(v, mti, singleKeysBytes) {
		return unsent(fieldCustom, fmt.Errorf("working keys: %w", ErrContent))
	}
	var wrapped [trackKeysBytes]byte
	content := append(append(wrapped[:0], k.PIN...), k.PINKCV[:]...)
	content = append(content, k.MAC...)
	for range size - len(k.MAC) { // a single-length MAC key beside a double-length PIN key
		content = append(content, 0)
	}
	content = append(content, k.MACKCV[:]...)
	if len(k.Track) > 0 {
		content = append(append(content, k.Track...), k.TrackKCV[:]...)
	}
	return w.message.Set(fieldCustom, content)
}

func (w *workspace) takeTerminalData(v *Network, mti MTI) error {
	content := w.message.Get(fieldCustom)
	if !isTerminalKeys(v, mti, len(content)) {
		v.Data = Opaque(content)
		return nil
	}
	size := doubleKeyBytes
	if len(content) == singleKeysBytes {
		size = keyBytes
	}
	next := func(count int) []byte {
		part := bytes.Clone(content[:count])
		content = content[count:]
		return part
	}
	k := &WrappedKeys{PIN: next(size), PINKCV: [kcvBytes]byte(next(kcvBytes))}
	k.MAC, k.MACKCV = next(size), [kcvBytes]byte(next(kcvBytes))
	if size == doubleKeyBytes && isZero(k.MAC[keyBytes:]) {
		k.MAC = k.MAC[:keyBytes]
	}
	if len(content) > 0 {
		k.Track, k.TrackKCV = next(doubleKeyBytes), [kcvBytes]byte(next(kcvBytes))
	}
	v.Keys = k
	return nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// putSwitchKeys writes one key: 8 bytes in field 96, 16 bytes as hex in field 48; the check value, when there is
// one, as hex at the end of field 48. Field 53 says which key it is.
func (w *workspace) putSwitchKeys(v *Network) error {
	k := v.Keys
	if k == nil {
		if v.Security == "" {
			return nil
		}
		return w.message.Set(fieldSecurity, []byte(v.Security))
	}
	which, key, kcv, none := byte(securityPINKey), k.PIN, k.PINKCV, k.MACKCV
	if len(k.PIN) == 0 {
		which, key, kcv, none = securityMACKey, k.MAC, k.MACKCV, k.PINKCV
	}
	empty := [kcvBytes]byte{}
	one := len(k.PIN) == 0 || len(k.MAC) == 0
	if !one || len(k.Track) != 0 || k.TrackKCV != empty || none != empty || v.Security != "" || v.Data != "" ||
		len(key) != keyBytes && len(key) != doubleKeyBytes {
		return unsent(fieldKey, fmt.Errorf("the switch takes one working key a message: %w", ErrContent))
	}
	length := byte(securitySingle)
	additional := w.text[:0]
	if len(key) == doubleKeyBytes {
		length = securityDouble
		additional = appendHex(additional, key)
	} else if err := w.message.Set(fieldKey, key); err != nil {
		return err
	}
	if kcv != empty {
		additional = appendHex(additional, kcv[:])
	}
	if len(additional) > 0 {
		if err := w.message.Set(fieldAdditional, additional); err != nil {
			return err
		}
	}
	return w.message.Set(fieldSecurity, append([]byte{which, length}, securityZeros...))
}

func (w *workspace) takeSwitchKeys(v *Network) error {
	security := string(w.message.Text(w.text[:0], fieldSecurity))
	short, long := w.message.Get(fieldKey), w.message.Get(fieldAdditional)
	if short == nil && long == nil {
		v.Security = security
		return nil
	}
	if security == "" {
		return unsent(fieldSecurity, ErrMissing)
	}
	badSecurity := (security[0] != securityPINKey && security[0] != securityMACKey) || security[2:] != securityZeros ||
		security[1] == securitySingle != (short != nil) || security[1] == securityDouble != (short == nil)
	if badSecurity {
		return unsent(fieldSecurity, ErrContent)
	}
	content, err := takeHex(long)
	key := bytes.Clone(short)
	if err == nil && short == nil {
		if len(content) < doubleKeyBytes {
			return unsent(fieldAdditional, iso8583.ErrLength)
		}
		key, content = content[:doubleKeyBytes:doubleKeyBytes], content[doubleKeyBytes:]
	}
	var kcv [kcvBytes]byte
	switch {
	case err != nil || len(content) != 0 && len(content) != kcvBytes:
		return unsent(fieldAdditional, ErrContent)
	case len(content) == kcvBytes:
		kcv = [kcvBytes]byte(content)
		if kcv == [kcvBytes]byte{} { // means "none": a second spelling of it
			return unsent(fieldAdditional, ErrContent)
		}
	}
	if security[0] == securityPINKey {
		v.Keys = &WrappedKeys{PIN: key, PINKCV: kcv}
	} else {
		v.Keys = &WrappedKeys{MAC: key, MACKCV: kcv}
	}
	return nil
}

func appendHex(dst, content []byte) []byte {
	return append(dst, strings.ToUpper(hex.EncodeToString(content))...)
}

// takeHex reads upper-case hex.
func takeHex(content []byte) ([]byte, error) {
	if bytes.ContainsAny(content, "abcdef") {
		return nil, ErrContent
	}
	return hex.DecodeString(string(content))
}
