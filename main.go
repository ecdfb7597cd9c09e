// Command rlhfsim trains a toy assistant the way real ones are aligned with
// human feedback, in a world small enough that everything is exactly known.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"rlhfsim/experiments"
)

// Exit codes, part of the program's promises.
const (
	exitDone        = 0
	exitFailed      = 1   // something failed
	exitUsage       = 2   // usage or configuration
	exitMismatch    = 3   // --verify found other bytes, or with --check-claims a claim fails
	exitHeld        = 73  // another process works in the folder
	exitStopped     = 75  // stopped, and the same command goes on from there
	exitInterrupted = 130 // interrupted twice
)

func main() {
	ignoreBrokenPipe()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program: arguments and streams in, exit code out.
func run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	c := &cli{stdout: stdout, stderr: stderr, args: args}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprint(stderr, message(err))
	var failed *failure
	if errors.As(err, &failed) {
		return exitFailed
	}
	return exitUsage
}

// exitCode ends the program without a further word.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// failure is an error that is not the user's: exit code 1.
type failure struct{ error }

func message(err error) string {
	var problems experiments.Problems
	if errors.As(err, &problems) {
		return problems.Render(false)
	}
	return "error: " + err.Error() + "\n"
}

// cli holds what the commands share.
type cli struct {
	stdout, stderr io.Writer
	args           []string
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rlhfsim",
		Short: "Align a small assistant with human feedback, and see everything",
		Long: `rlhfsim trains a toy assistant the way real ones are aligned: raw text, supervised
fine-tuning (SFT), a reward model from simulated human rankings, then PPO or DPO.
The world is small, so everything is exactly known: what the people want, the best
possible policy, the KL to the last digit.`,
		Example: `  rlhfsim run chapter                        the whole chapter, ten seeds, tables and figures
  rlhfsim run hacking                        watch the reward model being hacked
  rlhfsim run chapter objective.beta=0.2     change any field
  rlhfsim talk runs/chapter                  what each stage says, in words
  rlhfsim show chapter > mine.toml           start an experiment of your own`,
		Version:       experiments.Version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetVersionTemplate("rlhfsim {{.Version}}\n")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(c.runCommand(), c.checkCommand(), c.listCommand(), c.showCommand(), c.newCommand(), c.talkCommand(), c.compareCommand(), c.plotCommand(), c.cleanCommand(), c.explainCommand(), c.lossesCommand(), c.chapterLossCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, own := range root.Commands() {
		switch own.Name() {
		case "help":
			own.Run, own.RunE = nil, help
		case "completion":
			own.Args, own.RunE = noSuchShell, func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
	return root
}

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
			ctx, stop := interrupts(c.stderr)
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
for at most twelve points, and at eight more for the first.`,
		Example:           "  rlhfsim check chapter objective.beta=0.1",
		Args:              oneExperiment,
		ValidArgsFunction: completeExperiment,
		RunE: func(_ *cobra.Command, args []string) error {
			e, err := experiments.Load(args[0], args[1:])
			if err != nil {
				return err
			}
			plan, err := experiments.NewPlan(context.Background(), e)
			if err != nil {
				return &failure{err}
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

func (c *cli) explainCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [TERM]",
		Short: "Explain a metric, field, method, error code or word of the field",
		Long: `Explains a metric, field, section, method, loss type, figure, count, error code, or a
word of the field: what it means, its formula, unit and source, and for fields the
default and what is allowed. Lists everything there is where nothing is asked.`,
		Example: `  rlhfsim explain exact/gap
  rlhfsim explain ppo.cliprange
  rlhfsim explain clip_coef                  what other libraries call it works too
  rlhfsim explain reward hacking
  rlhfsim explain E012`,
		ValidArgsFunction: completeTerms,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				all := experiments.Index()
				return c.print(asJSON, all, func() string { return experiments.IndexText(all) })
			}
			e, err := experiments.Explain(strings.Join(args, " "))
			if err != nil {
				return err
			}
			return c.print(asJSON, e, e.Text)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print as JSON")
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

func (c *cli) lossesCommand() *cobra.Command {
	var check, asJSON bool
	tolerance := 1e-9
	cmd := &cobra.Command{
		Use:     "losses FILE",
		Short:   "Work out a document of losses again: is your library's loss right?",
		Long:    "Work out a document of losses, as a library made it, with the functions that train here;\nprint it with our numbers, or with --check the largest difference of each field.\n\nKinds: " + experiments.LossKindsText(),
		Example: "  rlhfsim losses mine.json --check",
		Args:    arguments(1, 1, "which document?", "a JSON file such as testdata/golden/dpo_sigmoid.json"),
		RunE: func(_ *cobra.Command, args []string) error {
			if !(tolerance >= 0) {
				return fmt.Errorf("--tolerance %g: it must be a number, 0 or above", tolerance)
			}
			data, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("cannot read the document: %w", err)
			}
			done, err := experiments.Losses(data)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if !check {
				text, err := done.JSON()
				if err != nil {
					return &failure{err}
				}
				return c.write(text)
			}
			text, ok := done.Text(tolerance)
			if err := c.print(asJSON, done, func() string { return text }); err != nil {
				return err
			}
			if !ok {
				return exitCode(exitMismatch)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.BoolVar(&check, "check", false, "compare instead of printing; exit 3 where a number differs")
	f.Float64Var(&tolerance, "tolerance", tolerance, "largest relative difference that passes")
	f.BoolVar(&asJSON, "json", false, "with --check: print as JSON")
	return cmd
}

func (c *cli) chapterLossCommand() *cobra.Command {
	vocab, beta, seed := 50257, 0.1, uint64(0)
	cmd := &cobra.Command{
		Use:   "chapter-loss",
		Short: "The chapter's compute_dpo_loss on random logits, and what it simplifies",
		Args:  arguments(0, 0, "", ""),
		RunE: func(*cobra.Command, []string) error {
			if vocab < 1 || vocab > 10_000_000 {
				return fmt.Errorf("--vocab %d: a vocabulary has at least 1 word, here at most 10000000", vocab)
			}
			if !(beta > 0 && beta <= math.MaxFloat64) {
				return fmt.Errorf("--beta %g: it must be a finite number above 0", beta)
			}
			return c.write(experiments.ChapterLoss(vocab, beta, seed))
		},
	}
	f := cmd.Flags()
	f.IntVar(&vocab, "vocab", vocab, "words in the vocabulary")
	f.Float64Var(&beta, "beta", beta, "β")
	f.Uint64Var(&seed, "seed", seed, "of the random logits")
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

func oneExperiment(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which experiment? (%s, or a file; see %s --help)", strings.Join(experiments.Embedded(), ", "), cmd.CommandPath())
	}
	return nil
}

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

// print writes a result to stdout, as JSON or as text.
func (c *cli) print(asJSON bool, value any, text func() string) error {
	if !asJSON {
		return c.write(text())
	}
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return &failure{err}
	}
	return c.write(string(data) + "\n")
}

// write puts data on stdout. A reader that has gone away is no error of ours.
func (c *cli) write(s string) error {
	if _, err := io.WriteString(c.stdout, s); err != nil && !errors.Is(err, syscall.EPIPE) {
		return &failure{fmt.Errorf("cannot write the result: %w", err)}
	}
	return nil
}

// outcome turns a run's end into an exit code.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, experiments.ErrStopped):
		return exitCode(exitStopped)
	case errors.Is(err, experiments.ErrHeld):
		return errors.Join(exitCode(exitHeld))
	case errors.As(err, new(experiments.Usage)), errors.As(err, new(experiments.Problems)):
		return err
	case errors.Is(err, experiments.ErrDiffers):
		return exitCode(exitMismatch)
	case errors.Is(err, experiments.ErrCells):
		return exitCode(exitFailed)
	case errors.Is(err, experiments.ErrClaims):
		return exitCode(exitMismatch)
	}
	return &failure{err}
}

// interrupts is a context that ends at the first Ctrl-C (or SIGTERM); the
// second ends the program at once.
func interrupts(stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		fmt.Fprintln(stderr, "\nstopping; finished cells are kept (again: stop at once)")
		cancel(experiments.ErrStopped)
		if _, ok := <-signals; ok {
			os.Exit(exitInterrupted)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}
