package pages

import "unsafe"

// prefetch is in prefetch_amd64.s.
//
//go:noescape
func prefetch(first unsafe.Pointer, n int)
