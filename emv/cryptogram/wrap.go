package cryptogram

// WrapKey enciphers a key of 16 bytes under another, block by block: so a terminal brings the key of a merchant record of the extended
// application [REF 2.8].
func (s Suite) WrapKey(under, key Key) [KeyBytes]byte { return s.primitives.encipher(under.b, key.b) }

// UnwrapKey is the inverse of WrapKey.
func (s Suite) UnwrapKey(under Key, wrapped [KeyBytes]byte) Key {
	return Key{s.primitives.decipher(under.b, wrapped)}
}
