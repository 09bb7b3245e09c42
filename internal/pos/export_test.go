package pos

// Remembered counts what is kept in memory of payments.
func (t *Till) Remembered() int {
	return len(t.state.payments) + len(t.state.bySeq) + t.state.begun.Len() + t.queue.Len()
}
