package tsp

// idvMethod is how the holder of a card was verified when the token was given out.
type idvMethod uint8

const (
	idvNone     idvMethod = iota
	idvRisk               // nobody asked the holder: the circumstances were good
	idvIssuer             // the bank's own app asked for the token
	idvBankApp            // confirmed in the bank's app
	idvCardTap            // the card was held to the phone, and the bank verified its cryptogram
	idvOTP                // a one-time code by text message
	idvCallDesk           // on the telephone with the bank
	idvEnd
)

// idvInfo is a line of the table of methods.
type idvInfo struct {
	name      string
	assurance string // assurance method [REF 8]
	full      bool   // gives full limits; a code by text message alone never does
	minutes   int64  // for which a challenge stands
	tries     uint8
}

var idvInfos = [idvEnd]idvInfo{
	idvNone:     {"", "00", false, 0, 0},
	idvRisk:     {"risk", "13", false, 0, 0},
	idvIssuer:   {"issuer-app", "14", true, 0, 0},
	idvBankApp:  {"bank-app", "12", true, 30, 1},
	idvCardTap:  {"card-tap", "11", true, 10, 1},
	idvOTP:      {"otp", "11", false, 10, 3},
	idvCallDesk: {"call-centre", "14", true, 24 * 60, 1},
}

func (m idvMethod) info() idvInfo {
	if m >= idvEnd {
		return idvInfos[idvNone]
	}
	return idvInfos[m]
}

// idvNamed finds a method that a holder can be asked for, 0 when there is none.
func idvNamed(name string) idvMethod {
	for m := idvBankApp; m < idvEnd; m++ {
		if idvInfos[m].name == name {
			return m
		}
	}
	return idvNone
}

// simWatch is how long after a change of the SIM a one-time code proves nothing: the token is activated, but suspended until the bank has looked.
const simWatchSeconds = 24 * 60 * 60
