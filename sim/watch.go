package sim

import "context"

// Doing is told what a long computation is at: the stage, and how many of its
// parts are done (total 0: it has none). Stages of different seeds may call it
// at the same time.
type Doing func(stage string, done, total int)

type doingKey struct{}

// WithDoing is a context under which d is told; it changes no result.
func WithDoing(ctx context.Context, d Doing) context.Context {
	return context.WithValue(ctx, doingKey{}, d)
}

// telling is whom the context wants told, never nil.
func telling(ctx context.Context) Doing {
	if d, _ := ctx.Value(doingKey{}).(Doing); d != nil {
		return d
	}
	return func(string, int, int) {}
}
