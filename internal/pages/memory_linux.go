package pages

import "syscall"

// adviseHuge is MADV_HUGEPAGE.
const adviseHuge = 14

func allocate(n int) []byte {
	b, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return make([]byte, n)
	}
	_ = syscall.Madvise(b, adviseHuge) // without huge pages it is only slower
	return b
}

// release refuses what make gave; the collector takes that.
func release(b []byte) { _ = syscall.Munmap(b) }
