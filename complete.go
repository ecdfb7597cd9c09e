package main

import (
	"github.com/spf13/cobra"

	"rlhfsim/experiments"
)

// Completion in the shell.

// completeNames completes the one experiment that comes with the program.
func completeNames(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completions(experiments.CompleteNames()), cobra.ShellCompDirectiveNoFileComp
}

// completeExperiment completes an experiment, by name or file, and then settings.
func completeExperiment(_ *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completions(experiments.CompleteNames()), cobra.ShellCompDirectiveDefault
	}
	return completions(experiments.CompleteSettings(toComplete)), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeRun completes a run's folder, and then the values of a sweep's fields.
func completeRun(_ *cobra.Command, args []string, toComplete string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return completions(experiments.CompleteRuns(toComplete)), cobra.ShellCompDirectiveDefault
	}
	return completions(experiments.CompleteSwept(args[0])), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func completeTerms(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completions(experiments.CompleteTerms()), cobra.ShellCompDirectiveNoFileComp
}

// completions are words with their descriptions as cobra wants them.
func completions(all []experiments.Completion) []cobra.Completion {
	var out []cobra.Completion
	for _, one := range all {
		out = append(out, cobra.CompletionWithDesc(one.Word, one.Description))
	}
	return out
}
