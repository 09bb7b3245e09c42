package hsm

import (
	"fmt"

	"tapnet/mac"
)

// MACAlgorithm selects how a message MAC is computed; each has its own key usage, so one key serves one algorithm.
type MACAlgorithm uint8

// The algorithms of [REF 6.1] and [REF 6.4].
const (
	LegacyECB MACAlgorithm = iota + 1 // terminal, field 64, "CUP ECB"
	X99CBC                            // switch, field 128, X9.9
	Retail                            // X9.19, zero padding
)

// Usage is the key usage the algorithm needs.
func (a MACAlgorithm) Usage() Usage {
	switch a {
	case LegacyECB:
		return UsageMACLegacyECB
	case X99CBC:
		return UsageMACX99
	case Retail:
		return UsageMACRetail
	}
	return ""
}

// MAC computes the message authentication code of data under the named key.
func (h *HSM) MAC(name string, algorithm MACAlgorithm, data []byte) ([8]byte, error) {
	e, err := h.use("computing a MAC", name, algorithm.Usage(), ModeGenerateVerify, ModeGenerate)
	if err != nil {
		return [8]byte{}, err
	}
	return e.mac(algorithm, data)
}

// VerifyMAC reports whether code is the MAC of data, comparing in constant time.
func (h *HSM) VerifyMAC(name string, algorithm MACAlgorithm, data []byte, code [8]byte) (bool, error) {
	e, err := h.use("verifying a MAC", name, algorithm.Usage(), ModeGenerateVerify, ModeVerify)
	if err != nil {
		return false, err
	}
	want, err := e.mac(algorithm, data)
	if err != nil {
		return false, err
	}
	return mac.Equal(want[:], code[:]), nil
}

// MACPair is MAC on two messages under one key, which for X99CBC takes little more time than one of them.
func (h *HSM) MACPair(name string, algorithm MACAlgorithm, a, b []byte) (codeA, codeB [8]byte, err error) {
	e, err := h.use("computing two MACs", name, algorithm.Usage(), ModeGenerateVerify, ModeGenerate)
	if err != nil {
		return codeA, codeB, err
	}
	return e.macPair(algorithm, a, b)
}

// VerifyMACPair is VerifyMAC on two messages under one key.
func (h *HSM) VerifyMACPair(name string, algorithm MACAlgorithm, a, b []byte, codeA, codeB [8]byte) (okA, okB bool, err error) {
	e, err := h.use("verifying two MACs", name, algorithm.Usage(), ModeGenerateVerify, ModeVerify)
	if err != nil {
		return false, false, err
	}
	wantA, wantB, err := e.macPair(algorithm, a, b)
	if err != nil {
		return false, false, err
	}
	return mac.Equal(wantA[:], codeA[:]), mac.Equal(wantB[:], codeB[:]), nil
}

func (e *entry) macPair(algorithm MACAlgorithm, a, b []byte) (codeA, codeB [8]byte, err error) {
	if algorithm == X99CBC {
		codeA, codeB = mac.CBCPair(e.block, e.block, a, b)
		return codeA, codeB, nil
	}
	if codeA, err = e.mac(algorithm, a); err == nil {
		codeB, err = e.mac(algorithm, b)
	}
	return codeA, codeB, err
}

func (e *entry) mac(algorithm MACAlgorithm, data []byte) ([8]byte, error) {
	switch algorithm {
	case LegacyECB:
		if e.info.Algorithm == SM4 {
			return mac.LegacyECB16(e.block, data), nil
		}
		return mac.LegacyECB(e.block, data), nil
	case X99CBC:
		return mac.CBC(e.block, data), nil
	case Retail:
		return mac.RetailZeroPad([16]byte(e.value), data), nil
	}
	return [8]byte{}, fmt.Errorf("hsm: unknown MAC algorithm %d", algorithm)
}
