package main

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"rlhfsim/experiments"
)

// Commands on experiments: run, check, list, show, new.

func (c *cli) runCommand() *cobra.Command {
	var o experiments.RunOptions
	var seeds int
	var grid []string
	cmd := &cobra.Command{
		Use:   "run EXPERIMENT [key=value ...]",
		Short: "Run an experiment and write tables, figures and policies",
		Long: `Runs an experiment: writes tables, figures and policies, and prints the summary.

EXPERIMENT is the name of an experiment that comes with the program, or a path.
key=value sets any field under its dotted name (ppo.cliprange=0.1, seeds=[0,7],
grid.labels.rankings=[50,800]); a value that is no TOML is taken as a string.

Ctrl-C once: finished cells are kept and the same command goes on from there.
Twice: stop at once.`,
		Example: `  rlhfsim run chapter
  rlhfsim run mine.toml seeds=30 ppo.cliprange=0.1 -o runs/clip
  rlhfsim run ppo-vs-dpo --seeds 3 --json`,
		Args:              oneExperiment,
		ValidArgsFunction: completeExperiment,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("seeds") {
				args = append(args[:len(args):len(args)], fmt.Sprintf("seeds=%d", seeds))
			}
			if err := noFolder(o.Dir); err != nil {
				return err
			}
			sweeps, err := experiments.Sweeps(grid)
			if err != nil {
				return err
			}
			e, err := experiments.Load(args[0], append(args[1:len(args):len(args)], sweeps...))
			if err != nil {
				return err
			}
			o.Stdout, o.Stderr, o.Args = c.stdout, c.stderr, c.args
			wait := grace
			if o.Verify { // its folder is to be thrown away
				wait = 0
			}
			ctx, stop := interrupts(c.stderr, "; finished cells are kept", wait)
			defer stop()
			return outcome(experiments.RunCommand(ctx, e, o))
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Dir, "output", "o", "", "the run's folder (default runs/NAME)")
	f.IntVar(&seeds, "seeds", 0, "number of seeds, as seeds=N")
	f.IntVar(&o.Jobs, "jobs", runtime.GOMAXPROCS(0), "cells worked on at the same time; changes no result")
	f.BoolVar(&o.CheckClaims, "check-claims", false, "exit with code 3 if a claim of the experiment fails")
	f.StringArrayVarP(&grid, "grid", "m", nil, "sweep a field: -m labels.rankings=100,400,1600")
	f.BoolVar(&o.Verify, "verify", false, "compute everything again and compare byte by byte (exit 3: it differs)")
	f.BoolVar(&o.FailFast, "fail-fast", false, "stop at the first cell that fails")
	f.BoolVar(&o.DryRun, "dry-run", false, "list the cells and stop")
	f.BoolVar(&o.JSON, "json", false, "print the summary as JSON")
	f.BoolVarP(&o.Quiet, "quiet", "q", false, "print errors only")
	return cmd
}

func (c *cli) checkCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check EXPERIMENT [key=value ...]",
		Short: "Say what would run, what it changes, and the best possible result",
		Long: `Says what would run, what it changes, and the best possible result. Trains base, SFT
and reward model of the first seed in memory, and the first steps of each method to
estimate the run's time; writes nothing. Shows what is best possible at the arms' beta
for at most twelve points, and at eight more for the first. Where that would take over a
minute or 8 GB, the sizes of the tables tell time and memory, and it is not computed.`,
		Example:           "  rlhfsim check chapter objective.beta=0.1",
		Args:              oneExperiment,
		ValidArgsFunction: completeExperiment,
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := experiments.Load(args[0], args[1:])
			if err != nil {
				return err
			}
			ctx, stop := interrupts(c.stderr, "", grace)
			defer stop()
			plan, err := experiments.NewPlan(ctx, e, c.stderr)
			if err != nil {
				return outcome(err)
			}
			return c.print(asJSON, plan, plan.Text)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func (c *cli) listCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the experiments that come with the program",
		Args:  arguments(0, 0, "", ""),
		RunE: func(*cobra.Command, []string) error {
			all, err := experiments.List()
			if err != nil {
				return &failure{err}
			}
			return c.print(asJSON, all, func() string { return experiments.ListText(all) })
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func (c *cli) showCommand() *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Print the file of an experiment that comes with the program",
		Long: `Prints the file of an experiment that comes with the program; or, for editors, the JSON
Schema of experiment files, which a file names in its first line:
#:schema ./experiment.schema.json`,
		Example: `  rlhfsim show chapter > mine.toml
  rlhfsim show --schema > experiment.schema.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if schema {
				return arguments(0, 0, "", "")(cmd, args)
			}
			return arguments(1, 1, "which experiment?", strings.Join(experiments.Embedded(), ", "))(cmd, args)
		},
		ValidArgsFunction: completeNames,
		RunE: func(_ *cobra.Command, args []string) error {
			if schema {
				return c.write(experiments.JSONSchemaText())
			}
			data, err := experiments.Show(args[0])
			if err != nil {
				return err
			}
			return c.write(string(data))
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of experiment files instead")
	return cmd
}

func (c *cli) newCommand() *cobra.Command {
	from := "chapter"
	cmd := &cobra.Command{
		Use:     "new FILE",
		Short:   "Begin an experiment of your own: a small file that extends another",
		Example: "  rlhfsim new mine.toml --from hacking",
		Args:    arguments(1, 1, "which file?", "a name for it, such as mine.toml"),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := experiments.New(args[0], from); err != nil {
				return err
			}
			return c.write(fmt.Sprintf("wrote %s\nnext     rlhfsim check %s\n         rlhfsim run %s\n", args[0], args[0], args[0]))
		},
	}
	cmd.Flags().StringVar(&from, "from", from, "the experiment to extend: a name or a file")
	_ = cmd.RegisterFlagCompletionFunc("from", completeNames)
	return cmd
}
