package pages

import "unsafe"

// HugeBytes is the size of a huge page; smaller pieces of memory gain nothing here.
const HugeBytes = 2 << 20

// Word is what memory is counted in: what holds no pointers.
type Word interface{ byte | uint64 }

// Alloc gives n zero words, which Free gives back.
func Alloc[T Word](n int) []T {
	var one T
	size := int(unsafe.Sizeof(one))
	if n*size < HugeBytes {
		return make([]T, n)
	}
	b := allocate(n * size)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// Free gives back what Alloc gave. Nobody may look at it afterwards.
func Free[T Word](b []T) {
	if size := len(b) * int(unsafe.Sizeof(*new(T))); size >= HugeBytes {
		release(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(b))), size))
	}
}

// Prefetch asks the processor to bring b near. It waits for nothing and changes nothing.
func Prefetch[T Word](b []T) {
	if len(b) > 0 {
		prefetch(unsafe.Pointer(unsafe.SliceData(b)), len(b)*int(unsafe.Sizeof(b[0])))
	}
}
