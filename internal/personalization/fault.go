package personalization

import "tapnet/glossary"

// Fault says what is wrong with a profile, why, and what to do about it. It wraps ErrProfile and holds no secret.
type Fault struct{ What, Why, Next glossary.Term }

// Error is the English sentences in one line.
func (f *Fault) Error() string {
	return ErrProfile.Error() + ": " + f.What.EN + ": " + f.Why.EN + "; " + f.Next.EN
}

// Unwrap gives ErrProfile.
func (f *Fault) Unwrap() error { return ErrProfile }
