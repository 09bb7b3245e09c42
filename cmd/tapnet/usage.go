package main

import (
	"errors"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"

	"tapnet/glossary"
	"tapnet/internal/lang"
)

// What kong says, so that it can be said in both languages and without the values: a value may be a PIN or a card number.
var (
	kongSuggestion = regexp.MustCompile(`, did you mean (?:one of )?(.+)\?$`)
	kongFlag       = regexp.MustCompile(`^unknown flag (-{1,2}[A-Za-z][A-Za-z-]*)`)
	kongUnexpected = regexp.MustCompile(`^unexpected argument (.*)$`)
	kongOneOf      = regexp.MustCompile(`^expected one of "demo"`)
	kongArgument   = regexp.MustCompile(`^(?:expected (?:one of )?|missing positional arguments )(.+)$`)
	kongMissing    = regexp.MustCompile(`^missing flags: (.+)$`)
	kongNoValue    = regexp.MustCompile(`^(--[a-z-]+): .*(?:missing value|but got "?(?:EOL|<EOL>))`)
	kongBadFlag    = regexp.MustCompile(`^(--[a-z-]+)[: ]`)
	kongBadNumber  = regexp.MustCompile(`expected an? (?:valid \d+ bit )?u?int`)
	kongValue      = regexp.MustCompile(`=\S+?(,|$)`)
	argumentNames  = strings.NewReplacer(`"`, "", "<", "", ">", "", " ...", "…")
)

// wrongUse turns an error of the parser into what, why and next.
func wrongUse(err error, args []string) error {
	message := err.Error()
	p := &problem{code: exitUsage, next: lang.Verbatim(helpCommand(err) + " --help"), err: err}
	if m := kongSuggestion.FindStringSubmatch(message); m != nil {
		p.why = lang.Fill(lang.UsageDidYouMean, strings.ReplaceAll(m[1], `"`, ""))
		message = message[:len(message)-len(m[0])]
	}
	switch {
	case kongFlag.MatchString(message):
		p.what = lang.Fill(lang.UsageUnknownFlag, kongFlag.FindStringSubmatch(message)[1])
	case kongUnexpected.MatchString(message):
		p.what = unexpected(kongUnexpected.FindStringSubmatch(message)[1], helpCommand(err), args)
	case kongOneOf.MatchString(message):
		p.what = lang.UsageCommandMissing
	case kongMissing.MatchString(message):
		p.what = lang.Fill(lang.UsageFlagsMissing, kongValue.ReplaceAllString(kongMissing.FindStringSubmatch(message)[1], "$1"))
	case kongNoValue.MatchString(message):
		p.what = lang.Fill(lang.UsageValueMissing, kongNoValue.FindStringSubmatch(message)[1])
	case kongBadFlag.MatchString(message):
		p.what = lang.Fill(lang.UsageFlagValue, kongBadFlag.FindStringSubmatch(message)[1])
		if kongBadNumber.MatchString(message) {
			p.why = lang.UsageNumber
		}
	case kongArgument.MatchString(message):
		p.what = lang.Fill(lang.UsageArgumentMissing, argumentNames.Replace(strings.ToUpper(kongArgument.FindStringSubmatch(message)[1])))
	default:
		p.what = lang.UsageOther
	}
	return p
}

// unexpected names the argument when it is a word; digits could be a PIN or a card number that lost its flag.
func unexpected(argument, command string, args []string) glossary.Term {
	if argument == flagValue(args, "--pin") {
		argument = "…"
	}
	argument = printable(argument)
	if command == "tapnet" {
		return lang.Fill(lang.UsageUnknownCommand, argument)
	}
	return lang.Fill(lang.UsageUnexpected, argument)
}

// helpCommand is the command line as far as it was understood.
func helpCommand(err error) string {
	var parse *kong.ParseError
	if !errors.As(err, &parse) || parse.Context == nil {
		return "tapnet"
	}
	return strings.TrimSpace("tapnet " + commandPath(parse.Context.Selected()))
}

// commandPath is "card read" for the node of that command.
func commandPath(n *kong.Node) string {
	if n == nil || n.Type != kong.CommandNode {
		return ""
	}
	return strings.TrimSpace(commandPath(n.Parent) + " " + n.Name)
}
