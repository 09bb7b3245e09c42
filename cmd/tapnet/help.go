package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"

	"tapnet/internal/lang"
)

// help prints the page of a command in the session's language.
func (s *session) help(_ kong.HelpOptions, ctx *kong.Context) error {
	node := ctx.Selected()
	if node == nil {
		node = ctx.Model.Node
	}
	_, err := fmt.Fprint(s.out, s.helpPage(node))
	return err
}

// helpPage is the page as text; the generated reference consists of the same pages.
func (s *session) helpPage(node *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n", s.text(lang.HelpUsage), s.usageLine(node))
	for _, line := range lang.Wrap(node.Help, s.screen.Columns) {
		b.WriteString(line + "\n")
	}
	section := func(title string, t *lang.Table) {
		if t.Len() > 0 {
			fmt.Fprintf(&b, "\n%s\n%s", title, t.Text(s.screen.Columns))
		}
	}
	section(s.text(lang.HelpCommands), s.commandTable(node))
	section(s.text(lang.HelpArguments), s.argumentTable(node))
	section(s.text(lang.HelpFlags), s.flagTable(node))
	section(s.text(lang.HelpExamples), s.exampleTable(commandPath(node)))
	if commandPath(node) == "decode" {
		kinds := &lang.Table{Indent: 2}
		kinds.Row(decodeKinds())
		section(s.text(lang.HelpKinds), kinds)
	}
	if node.Type == kong.ApplicationNode {
		codes := &lang.Table{Indent: 2, Gap: 2}
		for code, meaning := range exitCodes() {
			codes.Row(fmt.Sprint(code), s.text(meaning))
		}
		section(s.text(lang.HelpExitCodes), codes)
		fmt.Fprintf(&b, "\n%s\n", s.text(lang.HelpMore, "tapnet"))
	}
	return b.String()
}

func (s *session) usageLine(node *kong.Node) string {
	parts := []string{"tapnet"}
	if path := commandPath(node); path != "" {
		parts = append(parts, path)
	}
	if len(node.Children) > 0 {
		parts = append(parts, "<"+s.text(lang.HelpCommand)+">")
	}
	for _, flag := range node.Flags {
		if flag.Required {
			parts = append(parts, "--"+flag.Name+" "+placeholder(flag))
		}
	}
	for _, arg := range node.Positional {
		name := strings.ToUpper(arg.Name)
		if arg.IsCumulative() {
			name += "…"
		}
		if !arg.Required {
			name = "[" + name + "]"
		}
		parts = append(parts, name)
	}
	return s.screen.Fold(strings.Join(append(parts, "["+s.text(lang.HelpOptions)+"]"), " "))
}

func (s *session) commandTable(node *kong.Node) *lang.Table {
	t := &lang.Table{Indent: 2, Gap: 2}
	for _, child := range node.Children {
		if child.Hidden {
			continue
		}
		if len(child.Children) == 0 {
			t.Row(child.Name, child.Help)
			continue
		}
		for _, leaf := range child.Children {
			t.Row(child.Name+" "+leaf.Name, leaf.Help)
		}
	}
	return t
}

func (s *session) argumentTable(node *kong.Node) *lang.Table {
	t := &lang.Table{Indent: 2, Gap: 2}
	for _, arg := range node.Positional {
		t.Row(strings.ToUpper(arg.Name), arg.Help)
	}
	return t
}

// flagTable lists the command's own flags, then those of every command.
func (s *session) flagTable(node *kong.Node) *lang.Table {
	t := &lang.Table{Indent: 2, Gap: 2}
	groups := node.AllFlags(true)
	for i := len(groups) - 1; i >= 0; i-- {
		for _, flag := range groups[i] {
			name := "--" + flag.Name
			if flag.Short != 0 {
				name = "-" + string(flag.Short) + ", " + name
			}
			if !flag.IsBool() {
				name += " " + placeholder(flag)
			}
			text := flag.Help
			if flag.HasDefault && flag.Default != "" {
				text += " " + s.text(lang.HelpDefault, flag.Default)
			}
			if flag.Required {
				text += " " + s.text(lang.HelpRequired)
			}
			t.Row(name, text)
		}
	}
	return t
}

func placeholder(flag *kong.Flag) string {
	if flag.PlaceHolder != "" {
		return flag.PlaceHolder
	}
	return strings.ToUpper(flag.Name)
}

func (s *session) exampleTable(command string) *lang.Table {
	t := &lang.Table{Indent: 2, Gap: 2}
	for _, example := range lang.Examples(command) {
		t.Row(example.Line, s.text(example.Text))
	}
	return t
}
