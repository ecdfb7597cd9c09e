package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"rlhfsim/experiments"
)

// Commands on a run's folder: talk, compare, plot, clean.

func (c *cli) talkCommand() *cobra.Command {
	var o experiments.TalkOptions
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "talk RUN [field=value ...]",
		Short: "Say what each stage of a run answers, in words, with exact probabilities",
		Long: `Says what each stage of a run answers, in words, with exact probabilities.
field=value chooses the point of a sweep; the first one where nothing is said. Reads
resolved.toml and policies/ only, so it works on a folder copied from elsewhere. The
optimum is the one at objective.beta, not at an arm's own.`,
		Example: `  rlhfsim talk runs/chapter
  rlhfsim talk runs/chapter --prompt tea --arm ppo -n 10`,
		Args:              arguments(1, -1, "which run?", "a folder such as runs/chapter"),
		ValidArgsFunction: completeRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Values = args[1:]
			o.FirstSeed = !cmd.Flags().Changed("seed")
			if o.N < 1 || o.N > 1000 {
				return fmt.Errorf("-n %d: ask for at least 1 and at most 1000 responses", o.N)
			}
			all, from, err := experiments.Talk(args[0], o)
			if err != nil {
				return err
			}
			return c.print(asJSON, all, func() string { return experiments.TalkText(all) + "\npolicies  " + from + "\n" })
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Arm, "arm", "", "only this arm, besides base, SFT and the optimum")
	f.StringVar(&o.Prompt, "prompt", "", "a prompt's text, a part of it, or its number")
	f.Uint64Var(&o.Seed, "seed", 0, "whose policies (default the run's first)")
	f.IntVarP(&o.N, "number", "n", 5, "responses for each stage")
	f.BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func (c *cli) plotCommand() *cobra.Command {
	var o experiments.PlotOptions
	var kinds []string
	for _, k := range experiments.FigureKinds {
		kinds = append(kinds, fmt.Sprintf("  %-10s %s", k.Name, k.Doc))
	}
	cmd := &cobra.Command{
		Use:   "plot RUN [field=value ...]",
		Short: "Draw a run's figures again from its records, or further ones",
		Long:  "Draw a run's figures again from its records, or further ones.\n\nFigures:\n" + strings.Join(kinds, "\n"),
		Example: `  rlhfsim plot runs/chapter
  rlhfsim plot runs/chapter --figure winrate --dark
  rlhfsim plot runs/zoo --figure curves --arms grpo,dpo --name two
  rlhfsim plot runs/noise --figure sweep --x labels.label_noise --y exact/gold_reward,exact/kl`,
		Args:              arguments(1, -1, "which run?", "a folder such as runs/chapter"),
		ValidArgsFunction: completeRun,
		RunE: func(_ *cobra.Command, args []string) error {
			o.Values = args[1:]
			if err := noFolder(o.Dir); err != nil {
				return err
			}
			paths, err := experiments.Plot(args[0], o)
			if errors.As(err, new(*fs.PathError)) && o.Dir == "" {
				err = fmt.Errorf("%w; -o DIR puts the figures elsewhere", err)
			}
			if err != nil {
				return outcome(err)
			}
			return c.write(strings.Join(paths, "\n") + "\n")
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Spec.Kind, "figure", "", "which figure (default all that a run draws)")
	f.StringVar(&o.Spec.X, "x", "", "sweep: the swept field on the x axis")
	f.StringSliceVar(&o.Spec.Y, "y", nil, "curve, sweep: metrics, a panel each")
	f.StringSliceVar(&o.Spec.Arms, "arms", nil, "only these arms, by name")
	f.StringVar(&o.Spec.Name, "name", "", "name of the files (default the figure's)")
	f.BoolVar(&o.Spec.Dark, "dark", false, "light on dark")
	f.StringVarP(&o.Dir, "output", "o", "", "where figures/ goes (default the run's folder)")
	_ = cmd.RegisterFlagCompletionFunc("figure", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, k := range experiments.FigureKinds {
			names = append(names, k.Name+"\t"+k.Doc)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (c *cli) compareCommand() *cobra.Command {
	var o experiments.CompareOptions
	var asJSON bool
	var dir string
	cmd := &cobra.Command{
		Use:   "compare RUN [RUN ...] [field=value ...]",
		Short: "Set arms side by side: what differs, paired differences, a verdict",
		Example: `  rlhfsim compare runs/chapter
  rlhfsim compare runs/chapter --arms ppo,dpo --kl 1
  rlhfsim compare runs/chapter runs/hacking --arms chapter:ppo,hacking:ppo`,
		Args: arguments(1, -1, "which run?", "a folder such as runs/chapter"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var runs []string
			for _, a := range args {
				if _, err := os.Stat(a); err != nil && strings.Contains(a, "=") {
					o.Values = append(o.Values, a)
				} else {
					runs = append(runs, a)
				}
			}
			if len(runs) == 0 {
				return fmt.Errorf("which run? (see %s --help)", cmd.CommandPath())
			}
			if cmd.Flags().Changed("kl") && !(o.KL > 0 && o.KL <= math.MaxFloat64) {
				return fmt.Errorf("--kl %g: it must be a finite number above 0", o.KL)
			}
			if err := noFolder(dir); err != nil {
				return err
			}
			all, err := experiments.Compare(runs, o)
			if err != nil {
				return outcome(err)
			}
			to := dir
			if to == "" {
				to = filepath.Join(runs[0], "compare")
			}
			paths, err := experiments.WriteComparison(to, all)
			if err != nil && dir == "" {
				err = fmt.Errorf("%w; -o DIR puts the files elsewhere", err)
			}
			if err != nil {
				return &failure{err}
			}
			return c.print(asJSON, all, func() string {
				return experiments.CompareText(all) + "\nwrote    " + strings.Join(paths, "\n         ") + "\n"
			})
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Arms, "arms", nil, "the first is compared with each other one; ARM or RUN:ARM")
	f.StringSliceVar(&o.Metrics, "metric", nil, "which metrics (default gold, proxy, KL, win rate, objective, gap)")
	f.StringVar(&o.Stat, "stat", "mean", "summary over seeds: mean, iqm or median")
	f.Float64Var(&o.KL, "kl", 0, "compare at this KL too (default as far as all seeds get)")
	f.StringVarP(&dir, "output", "o", "", "where the files go (default RUN/compare)")
	f.BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}

func (c *cli) cleanCommand() *cobra.Command {
	var dry, asJSON bool
	cmd := &cobra.Command{
		Use:               "clean RUN",
		Short:             "Remove cells that a run's experiment no longer has",
		Example:           "  rlhfsim clean runs/chapter --dry-run",
		Args:              arguments(1, 1, "which run?", "a folder such as runs/chapter"),
		ValidArgsFunction: completeRun,
		RunE: func(_ *cobra.Command, args []string) error {
			done, err := experiments.Clean(args[0], dry)
			if err != nil {
				return outcome(err)
			}
			return c.print(asJSON, done, func() string { return done.Text(dry) })
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "list them only")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
	return cmd
}
