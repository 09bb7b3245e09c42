// Package hce is the engine of a phone that pays: host card emulation for the tokens of a cloud secure element [REF 8]. It answers a reader
// as a card of kernel 7 would that only goes online (PPSE, SELECT, GET PROCESSING OPTIONS, READ RECORD; [REF 2.1], [REF 2.3]), with a key
// that the cloud made for one counter.
//
// A phone is armed before a tap: the holder has verified, the key store unmasks a key, and the key's counter is given up durably. At the
// reader nothing but arithmetic is left, without a call to the platform and without allocation. The answer to GET PROCESSING OPTIONS ends
// what was armed; the phone is silent again.
//
// It promises:
//   - a counter is durably given up before a key can answer with it, so no crash at any point makes two cryptograms of one counter;
//   - a phone that is not armed answers 6985 and makes nothing;
//   - without a reader, in an application, a key pays for one merchant, amount and number of that merchant, and the holder is always verified;
//   - a wrong password cannot be told from a right one on the phone: it arms, answers, and the server finds another cryptogram;
//   - keys are erased when they have answered, when the field ends and when the armed time is over;
//   - no exported function panics, ProcessInto answers whatever arrives within a bounded time, and a reader that keeps sending wrong commands
//     is left without an answer until the field ends;
//   - the exported functions have only types that a binding generator for Java and Objective-C takes; results never carry bytes, which the
//     caller's buffer receives.
//
// What it does not do: show anything, draw the password, know the time or keep keys. A Platform does that. Erased memory may leave traces
// in registers and stacks that Go has moved. The engine cannot notice that its storage was put back: the server does, by counters, ratchet
// and device tag.
package hce
