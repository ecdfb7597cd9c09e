package experiments

import (
	"fmt"
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// progress shows how far a run has come: a bar on a terminal, nothing moving
// anywhere else.
type progress struct {
	out   io.Writer
	quiet bool
	total int

	bars *mpb.Progress
	bar  *mpb.Bar
}

func newProgress(out io.Writer, quiet bool) *progress { return &progress{out: out, quiet: quiet} }

func (p *progress) start(e *Experiment, o RunOptions) {
	p.total = e.Cells()
	if p.quiet {
		return
	}
	fmt.Fprintf(p.out, "%s: %s, %s at a time, into %s\n", e.Name, e.Size(), plural(o.Jobs, "cell"), o.Dir)
	file, ok := p.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || os.Getenv("TERM") == "dumb" {
		return
	}
	p.bars = mpb.New(mpb.WithOutput(file), mpb.WithWidth(40))
	p.bar = p.bars.AddBar(int64(p.total),
		mpb.PrependDecorators(decor.CountersNoUnit("%d/%d cells ")),
		mpb.AppendDecorators(decor.Percentage(), decor.AverageSpeed(0, "  %.1f cells/s"), decor.Name("  left "), decor.AverageETA(decor.ET_STYLE_GO)),
		mpb.BarRemoveOnComplete())
}

func (p *progress) update(at Progress) {
	if p.bar != nil {
		p.bar.SetCurrent(int64(at.Done))
	}
}

// notice prints a line that must not be lost in the bar.
func (p *progress) notice(message string) {
	if p.bars != nil {
		_, _ = p.bars.Write([]byte("note: " + message + "\n"))
		return
	}
	fmt.Fprintln(p.out, "note: "+message)
}

func (p *progress) stop() {
	if p.bar != nil {
		p.bar.Abort(true) // Wait would not return from a bar that is not full
		p.bars.Wait()
	}
}
