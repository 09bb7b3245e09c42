package hce

// Results of a Platform: 0 is success, unless a function says that it returns something else. Any other negative number is a failure too.
const (
	PlatformNotFound   int32 = -1 // there is no such record or key
	PlatformLocked     int32 = -2 // the key store wants the holder to verify first
	PlatformFailed     int32 = -3 // storage, key store or network failed
	PlatformNoPassword int32 = -4 // no password was entered for this tap
)

// Aliases of the keys a platform makes when the device is enrolled. Binding keys have aliases of their own, cloudkey.BindingAlias.
const (
	AliasSign  = "tapnet.sign"  // P-256, signs requests
	AliasAgree = "tapnet.agree" // P-256, key agreement
	AliasRest  = "tapnet.rest"  // AES-256, seals what is stored
)

// Platform is what the phone's operating system does for the engine: keys that never leave the hardware, durable storage, randomness, time,
// the network and the password. Bytes come back through a Buffer: a binding hands foreign code a copy of a slice, and what is written
// into the copy is lost. No function is called while a reader waits.
//
// Functions may be called from several threads.
type Platform interface {
	// HmacInto authenticates data with HMAC-SHA256 under a key of the key store: 32 bytes. PlatformLocked: the key wants the holder.
	HmacInto(alias string, data []byte, out *Buffer) int32
	// SealInto enciphers with AES-GCM under AliasRest; OpenInto reverses it and fails when anything was changed.
	SealInto(alias string, plain, aad []byte, out *Buffer) int32
	OpenInto(alias string, sealed, aad []byte, out *Buffer) int32
	// SignInto signs SHA-256 of data with ECDSA P-256, in DER.
	SignInto(alias string, data []byte, out *Buffer) int32
	// AgreeInto gives the 32 bytes x coordinate shared with a peer's point; PublicInto the key's own point, uncompressed.
	AgreeInto(alias string, peer []byte, out *Buffer) int32
	PublicInto(alias string, out *Buffer) int32
	// ImportKey puts a binding key, wrapped for AliasAgree, into the key store; DeleteKey forgets it.
	ImportKey(alias string, wrapped []byte) int32
	DeleteKey(alias string) int32
	// PasswordInto gives the verifier of the password entered for this tap: 32 bytes of Argon2id with cloudkey's cost.
	PasswordInto(salt []byte, out *Buffer) int32
	RandomInto(n int32, out *Buffer) int32
	// AttestJSON is the key store's attestation for a challenge; empty when there is none.
	AttestJSON(challenge string) string
	// PostInto sends a request and waits. It returns the HTTP status, or a negative number when there was no answer.
	PostInto(path string, body []byte, out *Buffer) int32
	// Put stores a record durably and in one piece: after it returns 0 the record is there after any crash, and before that the old one
	// or the new one is. An empty value deletes. GetInto reads it back.
	Put(key string, value []byte) int32
	GetInto(key string, out *Buffer) int32
	// NowMs is the wall clock in milliseconds since 1970; ElapsedNs the monotonic clock that ProcessInto's elapsedNs comes from.
	NowMs() int64
	ElapsedNs() int64
}

// MaxBufferBytes bounds what a platform hands back at one time: more than the longest record or message.
const MaxBufferBytes = 32 << 10

// Buffer receives bytes from a Platform.
type Buffer struct{ b []byte }

// Set copies data into the buffer. It returns the length, or -1 when data are longer than MaxBufferBytes.
func (b *Buffer) Set(data []byte) int32 {
	if b == nil || len(data) > MaxBufferBytes {
		return -1
	}
	b.b = append(b.b[:0], data...)
	return int32(len(b.b)) //nolint:gosec // bounded
}

// erase forgets what a buffer held.
func (b *Buffer) erase() { clear(b.b[:cap(b.b)]); b.b = b.b[:0] }

// Results of Arm. 0 is armed.
const (
	ArmOK           int32 = 0
	ArmNoToken      int32 = -1 // no such token, or none is there
	ArmNeedsNetwork int32 = -2 // no key of the class is left, or a limit without contact is reached: Replenish
	ArmLocked       int32 = -3 // the key store wants the holder to verify
	ArmNoPassword   int32 = -4 // no password was entered
	ArmStorage      int32 = -5 // the counter could not be given up durably: it is lost, nothing is armed
	ArmArgument     int32 = -6 // the kind of verification is not known
	ArmDamaged      int32 = -7 // the token's record or key cannot be opened
	ArmBuffer       int32 = -8 // out is too short: RemoteBytes are always enough
	ArmFault        int32 = -9 // a bug: it was stopped here
)

// Results of ProcessInto that are no length.
const (
	ProcessPending int32 = 0  // arming is under way: send the same command again when Arm has returned, then the answer
	ProcessBuffer  int32 = -1 // out is too short: 258 bytes are always enough
)

// Kinds of verification for Arm, as the issuer sees them.
const (
	CVMNone        int32 = 0
	CVMCredential  int32 = 1
	CVMFingerprint int32 = 2
	CVMFace        int32 = 3
	CVMPassword    int32 = 4
)
