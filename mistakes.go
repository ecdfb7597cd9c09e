package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rlhfsim/experiments"
)

// Mistakes on the command line: what was probably meant.

// help is the command of that name: an unknown topic is a mistake like any other.
func help(cmd *cobra.Command, args []string) error {
	topic, rest, err := cmd.Root().Find(args)
	switch {
	case err != nil || topic == cmd.Root() && len(rest) > 0:
		return noSuchCommand(cmd.Root(), args)
	case len(rest) > 0:
		return arguments(0, 0, "", "")(topic, rest)
	}
	return topic.Help()
}

func noSuchShell(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var shells []string
	for _, c := range cmd.Commands() {
		shells = append(shells, c.Name())
	}
	hint := "shells: " + strings.Join(shells, ", ")
	if near := experiments.Nearest(args[0], shells); near != "" {
		hint = fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), near)
	}
	return fmt.Errorf("there is no completion for %q; %s", args[0], hint)
}

// noSuchCommand explains a first word that is no command.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	hint := "commands: " + strings.Join(names, ", ")
	if near := experiments.Nearest(args[0], names); near != "" {
		hint = fmt.Sprintf("did you mean `rlhfsim %s`?", near)
	} else if near := experiments.Nearest(args[0], experiments.Embedded()); near != "" {
		hint = fmt.Sprintf("did you mean `rlhfsim run %s`?", near)
	}
	return fmt.Errorf("there is no command %q; %s", args[0], hint)
}

// flagError adds to a flag's error what was probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := experiments.Nearest(unknown.GetSpecifiedName(), names); near != "" {
			err = fmt.Errorf("%w; did you mean --%s?", err, near)
		}
	}
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		if needs, ok := flagNeeds[invalid.GetFlag().Value.Type()]; ok {
			err = fmt.Errorf("--%s %s: it must be %s", invalid.GetFlag().Name, invalid.GetValue(), needs)
		}
	}
	return fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())
}

// flagNeeds says in words what the values of a type of flag must be.
var flagNeeds = map[string]string{"int": "a whole number", "uint": "a whole number, 0 or above", "uint64": "a whole number, 0 or above", "float64": "a number", "bool": "true or false"}

// arguments wants at least and at most so many words (-1: any number), and asks
// the question where there are fewer.
func arguments(least, most int, question, such string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return fmt.Errorf("%s (%s; see %s --help)", question, such, cmd.CommandPath())
		}
		if most >= 0 && len(args) > most {
			return fmt.Errorf("%q is one word too many (see %s --help)", args[most], cmd.CommandPath())
		}
		return nil
	}
}

// noFolder refuses what is a flag rather than the folder that -o should name.
func noFolder(dir string) error {
	if strings.HasPrefix(dir, "-") {
		return fmt.Errorf("-o %s: is the folder missing? (one of that name is ./%s)", dir, dir)
	}
	return nil
}

func oneExperiment(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which experiment? (%s, or a file; see %s --help)", strings.Join(experiments.Embedded(), ", "), cmd.CommandPath())
	}
	return nil
}
