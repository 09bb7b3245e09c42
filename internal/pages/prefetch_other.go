//go:build !amd64

package pages

import "unsafe"

func prefetch(unsafe.Pointer, int) {}
