// Command rlhfsim trains a toy assistant the way real ones are aligned with
// human feedback, in a world small enough that everything is exactly known.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"

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
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() { // Go's own exit code of a panic is 2, which says that nothing was run
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "error: this is a mistake of rlhfsim's, not yours: %v\n\n%s", p, debug.Stack())
			code = exitFailed
		}
	}()
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr, args: args}
	root := c.root()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	var asked exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &asked):
		return int(asked)
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
	stdin          io.Reader
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

// grace is how long a stopped command may take to end by itself: a single step of
// a huge table can take longer. Files are written in one piece, so ending in the
// middle of it loses nothing that the end of the step would have kept.
const grace = time.Second

// interrupts is a context that ends at the first Ctrl-C (or SIGTERM); the
// second, or the end of the grace (0: endless), ends the program at once.
func interrupts(stderr io.Writer, told string, grace time.Duration) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, ok := <-signals; !ok {
			return
		}
		fmt.Fprintf(stderr, "\nstopping%s (again: stop at once)\n", told)
		cancel(experiments.ErrStopped)
		var late <-chan time.Time
		if grace > 0 {
			late = time.After(grace)
		}
		select {
		case _, ok := <-signals:
			if ok {
				os.Exit(exitInterrupted)
			}
		case <-late:
			fmt.Fprintln(stderr, "stopped in the middle of a long step")
			os.Exit(exitStopped)
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(signals)
		cancel(nil)
	}
}
