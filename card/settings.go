package card

import (
	"fmt"

	"tapnet/emv"
)

// SetContactless switches the contactless interface off or on, as the cardholder asks at the bank's counter or in the phone. What
// personalisation switched off stays off. It takes effect at the next selection. The error wraps ErrTorn or says that nothing was written.
func (c *Card) SetContactless(on bool) error {
	next := c.State()
	next.NoContactless = !on
	return c.keep(&next)
}

// SetApplication switches one application off or on, on both interfaces; the rest of the card stays as it is.
func (c *Card) SetApplication(aid emv.AID, on bool) error {
	return c.setApplication(aid, func(s *ApplicationState) { s.Disabled = !on })
}

// SetApplicationContactless switches one application off or on for contactless alone.
func (c *Card) SetApplicationContactless(aid emv.AID, on bool) error {
	return c.setApplication(aid, func(s *ApplicationState) { s.NoContactless = !on })
}

func (c *Card) setApplication(aid emv.AID, change func(*ApplicationState)) error {
	for i := range c.applications {
		if c.applications[i].AID == aid {
			next := c.State()
			change(&next.Applications[i])
			return c.keep(&next)
		}
	}
	return fmt.Errorf("set application %v: %w: the card does not have it", aid, ErrImage)
}

// keep makes a change from outside the dialogue durable.
func (c *Card) keep(next *State) error {
	ok, err := c.commit(next)
	switch {
	case err != nil:
		return fmt.Errorf("keep the cardholder's setting: %w", err)
	case !ok:
		return fmt.Errorf("keep the cardholder's setting: %w", errNotWritten)
	}
	return nil
}
