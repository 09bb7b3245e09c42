package main

import (
	"runtime"
	"runtime/debug"

	"tapnet/internal/lang"
)

type versionCommand struct{}

// build is what the program knows about how it was made.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	CGO      bool   `json:"cgo"`
}

func readBuild() build {
	b := build{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		case "CGO_ENABLED":
			b.CGO = setting.Value == "1"
		}
	}
	return b
}

// Run says which build this is.
func (versionCommand) Run(s *session) error {
	b := readBuild()
	if s.json {
		return s.printJSON(s.out, b)
	}
	s.line("tapnet " + b.Version)
	revision := b.Revision
	if revision == "" {
		revision = s.text(lang.VersionUnknown)
	}
	if b.Modified {
		revision = s.text(lang.VersionModified, revision)
	}
	linked := lang.VersionNone
	if b.CGO {
		linked = lang.VersionLinked
	}
	t := &lang.Table{Indent: 2, Gap: 2}
	t.Row(s.text(lang.VersionRevision), revision)
	t.Row(s.text(lang.VersionGo), b.Go)
	t.Row(s.text(lang.VersionPlatform), b.Platform)
	t.Row(s.text(lang.VersionCGO), s.text(linked))
	s.table(t)
	s.say(lang.VersionNotice)
	return nil
}
