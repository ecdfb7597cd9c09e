package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"rlhfsim/experiments"
)

// Commands that answer without a run: explain, losses, chapter-loss.

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

func (c *cli) lossesCommand() *cobra.Command {
	var check, asJSON bool
	tolerance := 1e-9
	cmd := &cobra.Command{
		Use:     "losses FILE",
		Short:   "Work out a document of losses again: is your library's loss right?",
		Long:    "Work out a document of losses, as a library made it, with the functions that train here;\nprint it with our numbers, or with --check the largest difference of each field. A FILE\nof - is standard input. Numbers that rounding noise alone decides are counted apart.\n\nKinds: " + experiments.LossKindsText(),
		Example: "  rlhfsim losses mine.json --check\n  python3 my_trainer.py | rlhfsim losses - --check",
		Args:    arguments(1, 1, "which document?", "a JSON file such as testdata/golden/dpo_sigmoid.json"),
		RunE: func(_ *cobra.Command, args []string) error {
			if !(tolerance >= 0) {
				return fmt.Errorf("--tolerance %g: it must be a number, 0 or above", tolerance)
			}
			if asJSON && !check {
				return errors.New("--json is about --check; without it the document is printed, which is JSON")
			}
			name, data, err := c.read(args[0])
			if err != nil {
				return fmt.Errorf("cannot read the document: %w", err)
			}
			done, err := experiments.Losses(data)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if !check {
				text, err := done.JSON()
				if err != nil {
					return &failure{err}
				}
				return c.write(text)
			}
			if done.Compared() == 0 {
				return fmt.Errorf("%s has no results to compare with; without --check it is printed with ours", name)
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

// read is a file, or standard input for "-", and what to call it.
func (c *cli) read(file string) (name string, data []byte, err error) {
	if file == "-" {
		data, err = io.ReadAll(c.stdin)
		return "standard input", data, err
	}
	data, err = os.ReadFile(file)
	return file, data, err
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
