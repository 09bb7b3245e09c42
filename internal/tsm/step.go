package tsm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"

	"tapnet/apdu"
	"tapnet/element"
	"tapnet/emv"
	"tapnet/internal/tsm/tsmapi"
	"tapnet/scp03"
)

const (
	maxKeyBytes   = 64
	maxTokenBytes = 64
)

var errForm = errors.New("a field is too long, missing or no hexadecimal number")

// checkElement holds a registration to its form.
func checkElement(e *tsmapi.Element) error {
	serial, err := hex.DecodeString(e.SEID)
	_, cplcErr := hex.DecodeString(e.CPLC)
	if err != nil || cplcErr != nil || len(serial) != scp03.DiversificationBytes || e.SEID != strings.ToUpper(e.SEID) || len(e.CPLC) > 90 {
		return errForm
	}
	if e.KeyVersion < 0 || e.KeyVersion > 0x7F || e.Wallet == "" || len(e.Wallet) > 32 {
		return errForm
	}
	if e.Domain == "" {
		return nil
	}
	b, err := hex.DecodeString(e.Domain)
	if err != nil {
		return errForm
	}
	_, err = emv.ParseAID(b)
	return err
}

// domain is the name of an element's security domain.
func domain(e *tsmapi.Element) []byte {
	if b, err := hex.DecodeString(e.Domain); err == nil && len(b) > 0 {
		return b
	}
	return element.Domain.Bytes()
}

// prepareOpen makes a new session and its first two commands.
func (s *Service) prepareOpen(c tsmapi.Open) *finding {
	f := &finding{}
	if c.Key == "" || len(c.Key) > maxKeyBytes || c.Token == "" || len(c.Token) > maxTokenBytes {
		f.refused = refusal(tsmapi.Malformed, errForm)
		return f
	}
	k := s.state.look(c.SEID)
	if k == nil {
		f.refused = refusal(tsmapi.UnknownElement, nil)
		return f
	}
	f.seen = k.version
	if last := k.session; last != nil && last.Key == c.Key {
		if last.Kind != c.Kind || last.Token != c.Token {
			f.refused = refusal(tsmapi.OtherContent, nil)
			return f
		}
		f.next, f.reply, f.repeat = *last, k.reply, true
		return f
	}
	f.refused = s.begin(f, k, c)
	return f
}

// begin fills in the session.
func (s *Service) begin(f *finding, k *known, c tsmapi.Open) *tsmapi.Refusal {
	w := s.wallets[k.element.Wallet]
	if w == nil {
		return refusal(tsmapi.UnknownWallet, nil)
	}
	at, state, aid := k.find(c.Token), tsmapi.State(""), emv.AID("")
	if at >= 0 {
		state = k.applications[at].State
		if b, err := hex.DecodeString(k.applications[at].AID); err == nil {
			aid = emv.AID(b)
		}
	}
	if !fits(c.Kind, state) {
		return refusal(tsmapi.WrongState, nil)
	}
	if other, taken := s.state.taken(c.Token); c.Kind == tsmapi.Personalize && taken && (other != c.SEID || at < 0) {
		return refusal(tsmapi.WrongState, nil) // its counters would begin anew under the same keys
	}
	if at < 0 {
		free := false
		if aid, free = k.nextAID(w); !free || len(k.applications) >= maxApplications {
			return refusal(tsmapi.Full, nil)
		}
	}
	if _, err := s.deps.Tokens.Token(c.Token); c.Kind == tsmapi.Personalize && err != nil {
		return refusal(tsmapi.UnknownToken, nil)
	}
	host, err := s.deps.Vault.ElementChallenge()
	if err != nil {
		return refusal(tsmapi.Unavailable, err)
	}
	id, err := s.sessionID()
	if err != nil {
		return refusal(tsmapi.Unavailable, err)
	}
	f.next = session{ID: id, Key: c.Key, SEID: c.SEID, Token: c.Token, Kind: c.Kind, AID: aid.Bytes(), Number: 1, Host: host}
	f.reply = f.next.progress([]apdu.Command{apdu.Select(domain(&k.element)), scp03.InitializeUpdate(byte(k.element.KeyVersion), host)})
	return nil
}

// sessionID is a name that nobody guesses.
func (s *Service) sessionID() (string, error) {
	var id []byte
	for range 2 {
		part, err := s.deps.Vault.ElementChallenge()
		if err != nil {
			return "", err
		}
		id = append(id, part[:]...)
	}
	return hex.EncodeToString(id), nil
}

func (s *session) progress(commands []apdu.Command) tsmapi.Progress {
	p := tsmapi.Progress{Session: s.ID, Number: s.Number, Done: s.Ended, AID: emv.AID(s.AID).String()}
	if s.Reason != 0 {
		p.Failed = s.Reason.Term().EN
	}
	for _, c := range commands {
		p.Commands = append(p.Commands, strings.ToUpper(hex.EncodeToString(c.Bytes())))
	}
	return p
}

// asked recognises answers.
func asked(number int, answers [][]byte) [sha256.Size]byte {
	h := sha256.New()
	length := binary.BigEndian.AppendUint32(nil, uint32(number)) //nolint:gosec // counted by the service itself
	h.Write(length)
	for _, a := range answers {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(a)))) //nolint:gosec // bounded by ParseResponse
		h.Write(a)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// prepareStep takes the element's answers and makes the next commands.
func (s *Service) prepareStep(c tsmapi.Step) *finding {
	f := &finding{}
	k := s.state.session(c.Session)
	if k == nil {
		f.refused = refusal(tsmapi.UnknownSession, nil)
		return f
	}
	f.seen, f.next = k.version, *k.session
	digest := asked(c.Number, c.Answers)
	switch {
	case c.Number == k.session.Number-1 && digest == k.session.Asked:
		f.reply, f.repeat = k.reply, true
	case k.session.Ended:
		f.refused = refusal(tsmapi.SessionEnded, nil)
	case c.Number != k.session.Number || len(c.Answers) != len(k.reply.Commands):
		f.refused = refusal(tsmapi.OutOfOrder, nil)
	default:
		f.next.Asked = digest
		f.refused = s.advance(f, k, c.Answers)
	}
	return f
}

// advance checks the answers and goes on, or ends the session. What it refuses can be said again.
func (s *Service) advance(f *finding, k *known, answers [][]byte) *tsmapi.Refusal {
	responses := make([]apdu.Response, len(answers))
	for i, b := range answers {
		r, err := apdu.ParseResponse(b)
		if err != nil {
			return refusal(tsmapi.Malformed, err)
		}
		responses[i] = r
	}
	f.next.Number++
	w := s.wallets[k.element.Wallet]
	var commands []apdu.Command
	var failed *failure
	var err error
	if len(k.session.Out) == 0 {
		commands, failed, err = s.greeted(&f.next, k, w, responses)
	} else {
		commands, failed, err = s.proceed(&f.next, w, responses)
	}
	if err != nil {
		return refusal(tsmapi.Unavailable, err)
	}
	if failed != nil {
		f.next.Ended, f.next.Reason, f.next.Word, f.next.Out = true, failed.reason, failed.word, nil
	}
	f.reply = f.next.progress(commands)
	return nil
}

// failure is why a session ends.
type failure struct {
	reason tsmapi.Reason
	word   apdu.SW
}

// greeted takes the answers to SELECT and INITIALIZE UPDATE, opens the channel and sends the first commands of the script.
func (s *Service) greeted(se *session, k *known, w *Wallet, responses []apdu.Response) ([]apdu.Command, *failure, error) {
	for _, r := range responses {
		if r.SW != apdu.OK {
			return nil, &failure{tsmapi.ElementRefused, r.SW}, nil
		}
	}
	g, err := scp03.ParseGreeting(responses[len(responses)-1].Data)
	if err != nil {
		return nil, &failure{reason: tsmapi.NotAuthentic}, nil
	}
	se.Card, se.Level = g.Challenge, g.Option.Strongest()
	channel := se.channel(s.deps.Keys.Elements)
	version := byte(k.element.KeyVersion)
	switch {
	case g.Diversification != channel.Keys.Element || version != 0 && g.Version != version:
		return nil, &failure{reason: tsmapi.NotAuthentic}, nil
	case !se.Level.Has(scp03.Level(w.MinimumLevel)):
		return nil, &failure{reason: tsmapi.WeakChannel}, nil
	}
	prove, st, err := s.deps.Vault.OpenElement(channel, g, se.Level)
	if errors.Is(err, scp03.ErrCryptogram) {
		return nil, &failure{reason: tsmapi.NotAuthentic}, nil
	} else if err != nil {
		return nil, nil, err
	}
	all, err := s.script(w, se, se.Level)
	if err != nil {
		return nil, nil, err
	}
	se.Script = all.digest(se.Host)
	se.Out = []waiting{{st, -1}}
	more, err := s.send(se, all, st, w.CommandsPerStep-1)
	return append([]apdu.Command{prove}, more...), nil, err
}

// send wraps the next commands of the script.
func (s *Service) send(se *session, all script, st scp03.State, n int) ([]apdu.Command, error) {
	channel := se.channel(s.deps.Keys.Elements)
	var out []apdu.Command
	for range n {
		if se.Sent == len(all) {
			break
		}
		c, after, err := s.deps.Vault.WrapElement(channel, st, all[se.Sent].command)
		if err != nil {
			return nil, err
		}
		out, st = append(out, c), after
		se.Out = append(se.Out, waiting{after, se.Sent})
		se.Sent++
	}
	return out, nil
}

// proceed takes the answers to commands under the channel.
func (s *Service) proceed(se *session, w *Wallet, responses []apdu.Response) ([]apdu.Command, *failure, error) {
	all, err := s.script(w, se, se.Level)
	switch {
	case errors.Is(err, ErrNoToken):
		return nil, &failure{reason: tsmapi.Changed}, nil
	case err != nil:
		return nil, nil, err
	case all.digest(se.Host) != se.Script:
		return nil, &failure{reason: tsmapi.Changed}, nil
	}
	channel := se.channel(s.deps.Keys.Elements)
	for i, out := range se.Out {
		r, err := s.deps.Vault.UnwrapElement(channel, out.State, responses[i])
		switch {
		case errors.Is(err, scp03.ErrCode) || errors.Is(err, scp03.ErrFormat):
			return nil, &failure{tsmapi.Tampered, responses[i].SW}, nil
		case err != nil:
			return nil, nil, err
		case out.Place < 0 && r.SW != apdu.OK, out.Place >= 0 && !all[out.Place].accepts(r):
			return nil, &failure{tsmapi.ElementRefused, r.SW}, nil
		}
	}
	last := se.Out[len(se.Out)-1].State
	se.Out = nil
	if se.Sent == len(all) {
		se.Ended = true
		return nil, nil, nil
	}
	commands, err := s.send(se, all, last, w.CommandsPerStep)
	return commands, nil, err
}
