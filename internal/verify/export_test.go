package verify

// SetKept changes how many settled payments stay in memory, for tests that want to see them come back.
func SetKept(n int) (undo func()) {
	before := keptSettled
	keptSettled = n
	return func() { keptSettled = before }
}
