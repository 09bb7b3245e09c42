package contact

import (
	"tapnet/apdu"
	"tapnet/emv"
	"tapnet/tlv"
)

// scripting is the issuer's commands for the card [EMV B3 10.10] [REF 3.3].
type scripting struct {
	list    []script
	current int // index of the script that runs
	next    int // index of its next command
}

type script struct {
	result   ScriptResult
	commands [][]byte
	broken   bool // it cannot be read
	started  bool
	ended    bool
}

// loadScripts takes templates 71 and 72 apart. What cannot be read is a script that has failed.
func (m *Machine) loadScripts(b []byte) {
	if len(b) == 0 {
		return
	}
	if len(b) > MaxScriptBytes {
		m.unreadable(false)
		return
	}
	total := 0
	for e, err := range tlv.All(b) {
		if err != nil || len(m.scripts.list) == MaxScripts {
			m.unreadable(false)
			return
		}
		if e.Tag != emv.TagScript1 && e.Tag != emv.TagScript2 {
			continue
		}
		final := e.Tag == emv.TagScript2
		s, ok := readScript(e.Value)
		if total += len(s.commands); !ok || total > MaxScriptCommands {
			m.unreadable(final)
			continue
		}
		s.result.Final = final
		m.scripts.list = append(m.scripts.list, s)
	}
}

// readScript reads the identifier and the commands; false when that is not what it holds.
func readScript(b []byte) (s script, ok bool) {
	for e, err := range tlv.All(b) {
		if err != nil {
			return s, false
		}
		switch e.Tag {
		case emv.TagScriptID:
			if len(e.Value) != len(s.result.ID) {
				return s, false
			}
			s.result.ID = [4]byte(e.Value)
		case emv.TagScriptCommand:
			if len(s.commands) == MaxScriptCommands {
				return s, false
			}
			s.commands = append(s.commands, e.Value)
		}
	}
	return s, len(s.commands) > 0
}

func (m *Machine) unreadable(final bool) {
	if len(m.scripts.list) < MaxScripts {
		m.scripts.list = append(m.scripts.list, script{broken: true, result: ScriptResult{Final: final}})
	}
}

func (m *Machine) scriptFailed(final bool) {
	m.tsi.Set(emv.TSIScriptPerformed)
	if final {
		m.tvr.Set(emv.TVRScriptFailedAfter)
	} else {
		m.tvr.Set(emv.TVRScriptFailedBefore)
	}
}

// runScripts sends the scripts of one template, then goes on.
func (m *Machine) runScripts(final bool, then func() Action) Action {
	s := &m.scripts
	held := m.config.ScriptsNeedApproval && !m.host.Approved || m.tx.Purse != PurseNone && final && m.last.cid.Type() != emv.TC
	if held { // a card that refused the load must not be loaded
		return then()
	}
	for s.current = range s.list {
		one := &s.list[s.current]
		switch {
		case one.result.Final != final || one.ended:
		case one.broken:
			one.ended, one.result.Status = true, ScriptFailed
			m.scriptFailed(final)
		default:
			one.started, s.next = true, 0
			m.tsi.Set(emv.TSIScriptPerformed)
			return m.runCommand(final, then)
		}
	}
	return then()
}

// runCommand sends one command of the current script. A command that is no APDU fails without being sent.
func (m *Machine) runCommand(final bool, then func() Action) Action {
	s := &m.scripts
	one := &s.list[s.current]
	command, err := apdu.ParseCommand(one.commands[s.next])
	if err != nil {
		return m.commandFailed(final, then)
	}
	return m.send(command, func(r apdu.Response) Action {
		one.result.SW = uint16(r.SW)
		if r.SW != apdu.OK && !r.SW.IsWarning() {
			return m.commandFailed(final, then)
		}
		if s.next++; s.next < len(one.commands) {
			return m.runCommand(final, then)
		}
		one.ended, one.result.Status = true, ScriptDone
		return m.runScripts(final, then)
	})
}

// commandFailed ends the current script; the next one still runs [EMV B3 10.10].
func (m *Machine) commandFailed(final bool, then func() Action) Action {
	s := &m.scripts
	one := &s.list[s.current]
	one.ended, one.result.Status, one.result.Failed = true, ScriptFailed, s.next+1
	m.scriptFailed(final)
	return m.runScripts(final, then)
}

// anySent: a command of a script has gone to the card.
func (s *scripting) anySent() bool {
	for i := range s.list {
		if s.list[i].started && len(s.list[i].commands) > 0 {
			return true
		}
	}
	return false
}

// abandon settles what a card that was taken out did not get or did not answer.
func (s *scripting) abandon(m *Machine) {
	for i := range s.list {
		one := &s.list[i]
		if one.started && !one.ended {
			one.ended, one.result.Status, one.result.Failed = true, ScriptFailed, s.next+1
			m.scriptFailed(one.result.Final)
		}
	}
}

func (s *scripting) results() []ScriptResult {
	var list []ScriptResult
	for i := range s.list {
		list = append(list, s.list[i].result)
	}
	return list
}
