package experiments

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"rlhfsim/sim"
)

// progress shows how far a run has come: a bar on a terminal, nothing moving
// anywhere else. What takes longer than a moment says what it is at.
type progress struct {
	out   io.Writer
	quiet bool
	total int // cells; 0: there are none

	bars *mpb.Progress
	bar  *mpb.Bar

	mu      sync.Mutex
	started time.Time
	done    int
	at      string // what is being done
	wait    time.Duration
	timer   *time.Timer
}

// A line without a bar comes after the first silence, then after twice as long
// each time: a run of hours leaves a few hundred lines.
const (
	firstSilence   = 2 * time.Second
	longestSilence = time.Minute
)

func newProgress(out io.Writer, quiet bool) *progress {
	p := &progress{out: out, quiet: quiet, started: time.Now(), wait: firstSilence}
	if !quiet {
		p.timer = time.AfterFunc(p.wait, p.say)
	}
	return p
}

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
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = at.Done
	if p.bar != nil {
		p.bar.SetCurrent(int64(at.Done))
	}
}

// doing is told what the work on a cell is at; several cells take turns.
func (p *progress) doing(cell string) sim.Doing {
	return func(stage string, done, total int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.at = stage
		if total > 0 {
			p.at = fmt.Sprintf("%s, %d of %d", stage, done, total)
		}
		if cell != "" {
			p.at = cell + ": " + p.at
		}
	}
}

// say breaks the silence.
func (p *progress) say() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil {
		return
	}
	cells := ""
	if p.total > 0 {
		cells = fmt.Sprintf("%d of %s, ", p.done, plural(p.total, "cell"))
	}
	p.line(fmt.Sprintf("  %.0f s: %s%s", time.Since(p.started).Seconds(), cells, p.at))
	p.wait = min(2*p.wait, longestSilence)
	p.timer.Reset(p.wait)
}

// line prints what must not be lost in the bar.
func (p *progress) line(text string) {
	if p.bars != nil {
		_, _ = p.bars.Write([]byte(text + "\n"))
		return
	}
	fmt.Fprintln(p.out, text)
}

func (p *progress) notice(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line("note: " + message)
}

// endBar is the end of the cells: what follows has no bar.
func (p *progress) endBar() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		p.bar.Abort(true) // Wait would not return from a bar that is not full
		p.bars.Wait()
		p.bars, p.bar = nil, nil
	}
}

// stop is the end of all of it.
func (p *progress) stop() {
	p.endBar()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}
