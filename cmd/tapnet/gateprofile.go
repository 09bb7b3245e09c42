package main

import (
	"time"

	"tapnet/gate"
)

// laneProfile is what a kind of device does otherwise than the gate of a metro, whose limits are the package's.
type laneProfile struct {
	name      string         // shown to the card
	direction gate.Direction // unless it is told; 0: it must be
	doubleTap time.Duration
	passBack  time.Duration
	listAge   time.Duration
}

const laneMetro = "metro"

// outside is how old the deny list may be where a device is not always in reach of its office: on a bus or in a taxi, three days.
const outside = 72 * time.Hour

// laneProfiles are the kinds of devices. Those with a flat fare take one tap for a ride, and the same card again for the next rider or the next ride.
var laneProfiles = map[string]laneProfile{
	laneMetro: {name: "METRO"},
	"bus":     {name: "BUS", direction: gate.Ride, passBack: time.Minute, listAge: outside},
	"taxi":    {name: "TAXI", direction: gate.Ride, doubleTap: time.Minute, passBack: gate.Never, listAge: outside},
	"machine": {name: "MACHINE", direction: gate.Ride, passBack: gate.Never},
}

// direction is what a tap means at this device, 0 when nobody has said.
func (c laneFlags) direction() gate.Direction {
	if c.Dir == "" {
		return laneProfiles[c.Profile].direction
	}
	return gateDirections[c.Dir]
}
