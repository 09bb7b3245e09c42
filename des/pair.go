package des

import "math/bits"

// A chain of blocks keeps a processor waiting: each round needs the one before. Two chains that do not depend on each other take little more time than one,
// since the rounds of one fill the gaps of the other. The functions of this file are those of State on two blocks at once; more than two gain nothing.

// EncryptPair is Encrypt on a under k and on b under q.
func EncryptPair(a, b State, k, q *Schedule) (State, State) {
	t := &roundTable
	al, ar, bl, br := a.left, a.right, b.left, b.right
	for i := 0; i < rounds; i += 2 {
		m, n := k.k[i], q.k[i]
		x, y := ar^uint32(m>>32), bits.RotateLeft32(ar, 4)^uint32(m)
		u, v := br^uint32(n>>32), bits.RotateLeft32(br, 4)^uint32(n)
		al ^= ((t[0][x>>24&six] ^ t[2][x>>16&six]) ^ (t[4][x>>8&six] ^ t[6][x&six])) ^
			((t[1][y>>24&six] ^ t[3][y>>16&six]) ^ (t[5][y>>8&six] ^ t[7][y&six]))
		bl ^= ((t[0][u>>24&six] ^ t[2][u>>16&six]) ^ (t[4][u>>8&six] ^ t[6][u&six])) ^
			((t[1][v>>24&six] ^ t[3][v>>16&six]) ^ (t[5][v>>8&six] ^ t[7][v&six]))
		m, n = k.k[i+1], q.k[i+1]
		x, y = al^uint32(m>>32), bits.RotateLeft32(al, 4)^uint32(m)
		u, v = bl^uint32(n>>32), bits.RotateLeft32(bl, 4)^uint32(n)
		ar ^= ((t[0][x>>24&six] ^ t[2][x>>16&six]) ^ (t[4][x>>8&six] ^ t[6][x&six])) ^
			((t[1][y>>24&six] ^ t[3][y>>16&six]) ^ (t[5][y>>8&six] ^ t[7][y&six]))
		br ^= ((t[0][u>>24&six] ^ t[2][u>>16&six]) ^ (t[4][u>>8&six] ^ t[6][u&six])) ^
			((t[1][v>>24&six] ^ t[3][v>>16&six]) ^ (t[5][v>>8&six] ^ t[7][v&six]))
	}
	return State{ar, al}, State{br, bl}
}

// backwards are the round keys for deciphering.
func (s *Schedule) backwards() (b Schedule) {
	for i, k := range s.k {
		b.k[rounds-1-i] = k
	}
	return b
}

// EncryptTriplePair is EncryptTriple on two blocks under one key.
func EncryptTriplePair(a, b State, key *Triple) (State, State) {
	a, b = EncryptPair(a, b, &key.Left, &key.Left)
	right := key.Right.backwards()
	a, b = EncryptPair(a, b, &right, &right)
	return EncryptPair(a, b, &key.Left, &key.Left)
}

// DecryptTriplePair is the inverse of EncryptTriplePair.
func DecryptTriplePair(a, b State, key *Triple) (State, State) {
	left := key.Left.backwards()
	a, b = EncryptPair(a, b, &left, &left)
	a, b = EncryptPair(a, b, &key.Right, &key.Right)
	return EncryptPair(a, b, &left, &left)
}
