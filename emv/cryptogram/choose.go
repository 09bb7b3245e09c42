package cryptogram

// SMSupported is the value of tag DF69 that says that the terminal can use SM2, SM3 and SM4; 00 says that it cannot [REF 4.6].
const SMSupported byte = 0x01

// SMSupport returns the value of tag DF69 for a terminal.
func SMSupport(supported bool) [1]byte {
	if supported {
		return [1]byte{SMSupported}
	}
	return [1]byte{}
}

// TerminalSupportsSM reads the value of tag DF69 as a card gets it with its PDOL. What is absent, or of another form, says no: a
// card without DF69 in its PDOL has only one profile.
func TerminalSupportsSM(df69 []byte) bool { return len(df69) == 1 && df69[0] == SMSupported }

// Choose says which of a card's suites serves a transaction, by its place in the list [REF 4.6]: the first with SM4 when the
// terminal supports it, else the first with another cipher. A card that has one kind only uses that; fits then says whether it is
// what the terminal can authenticate offline. -1 when the card has no suite.
func Choose(df69 []byte, suites ...Suite) (at int, fits bool) {
	want := TerminalSupportsSM(df69)
	at = -1
	for i, s := range suites {
		sm := s.Cipher() == CipherSM4
		if sm == want {
			return i, true
		}
		if at < 0 {
			at = i
		}
	}
	// Support for SM comes on top of the other ciphers: a terminal that has it can use every card.
	return at, want && at >= 0
}
