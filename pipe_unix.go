//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// ignoreBrokenPipe lets `rlhfsim run chapter | head -1` finish its files: a
// write to a closed pipe is an error then, not the end of the program.
func ignoreBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }
