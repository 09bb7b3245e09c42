package kernel

import (
	"sync"

	"tapnet/emv/oda"
)

// MaxCachedKeys bounds a MemoryCache, of each kind: a gate sees a few thousand cards in its busiest hour.
const MaxCachedKeys = 4096

// MemoryCache is a KeyCache that forgets the oldest key when it is full. The zero value is ready for use.
type MemoryCache struct {
	mu      sync.Mutex
	issuers bounded[oda.IssuerKey]
	iccs    bounded[oda.ICCKey]
}

var _ KeyCache = (*MemoryCache)(nil)

// bounded is a map with a ring of its keys in the order they came.
type bounded[V any] struct {
	values map[CacheKey]V
	order  []CacheKey
	oldest int
}

func (b *bounded[V]) put(k CacheKey, v V) {
	if b.values == nil {
		b.values = make(map[CacheKey]V)
	}
	if _, known := b.values[k]; known {
		return
	}
	if len(b.order) < MaxCachedKeys {
		b.order = append(b.order, k)
	} else {
		delete(b.values, b.order[b.oldest])
		b.order[b.oldest] = k
		b.oldest = (b.oldest + 1) % MaxCachedKeys
	}
	b.values[k] = v
}

// Issuer finds an issuer's key.
func (c *MemoryCache) Issuer(k CacheKey) (oda.IssuerKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, ok := c.issuers.values[k]
	return key, ok
}

// StoreIssuer remembers an issuer's key.
func (c *MemoryCache) StoreIssuer(k CacheKey, key oda.IssuerKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issuers.put(k, key)
}

// ICC finds a card's key.
func (c *MemoryCache) ICC(k CacheKey) (oda.ICCKey, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, ok := c.iccs.values[k]
	return key, ok
}

// StoreICC remembers a card's key.
func (c *MemoryCache) StoreICC(k CacheKey, key oda.ICCKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.iccs.put(k, key)
}
