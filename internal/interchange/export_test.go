package interchange

// Remembered counts what is kept in memory of payments and reversals.
func (s *Switch) Remembered() int {
	return s.state.payments.Len() + s.state.reversals.Len() + len(s.state.bySeq) + s.state.begun.Len() + s.queue.Len()
}
