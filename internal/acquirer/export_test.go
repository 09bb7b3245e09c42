package acquirer

// Remembered counts what is kept in memory of payments and reversals.
func (a *Acquirer) Remembered() int {
	s := a.state
	return s.payments.Len() + s.taken.Len() + s.shown.Len() + len(s.network) + len(s.bySeq) + len(s.outgoing) + s.begun.Len() + a.queue.Len()
}
