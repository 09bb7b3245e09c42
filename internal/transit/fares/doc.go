// Package fares turns taps into journeys and journeys into charges, and says for every amount how it came about.
//
// It knows origin and destination tables, zones, flat fares and segmented bus fares; times of day and rider categories; transfers; caps by
// day and week; and what becomes of a journey with a missing tap. The rules come from a Tariff with a first day of validity; a Book holds the
// tariffs of one operator and its calendar. Tables are read from CSV, tariffs from TOML, and the fare files of GTFS as far as they say the
// same thing. Charges leave as TIDES fare transactions.
//
// Promise: Rate is a pure function of the rider, the set of taps, the tariffs and one instant. The order in which taps arrive and a tap that
// arrives twice change nothing. The steps of a charge add up to its amount, no amount is negative, and no day or week of a pool of services
// costs more than its cap, maximum fares apart. Once nothing is held any more, another tap never lowers the total, unless it completes an
// incomplete journey, changes where the missing end of one was taken to be, or shows that a journey with overtime was two: those are the
// corrections a rider is owed. The rules bend where this asks for it: see TransferSpec and IncompleteSpec. It does not hold where fares make a
// detour cheaper than the direct way, or for two taps of which one is a repeat.
//
// It does not decide which cards are one person, when a day closes, or how an amount is collected, and it corrects nothing that was charged:
// compare two statements and present the difference.
package fares
