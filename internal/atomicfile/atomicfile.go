// Package atomicfile replaces files in one step, so that a reader, or a run
// after a crash, finds either the old content or the new, never a part of it.
package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

const (
	// prefix and suffix mark a temporary file. Between them are the name of
	// the file it will replace, possibly shortened, a dot and the tag.
	prefix = "."
	suffix = ".tmp"

	tagDigits = 16   // hexadecimal digits of the tag: 8 of the process id, 8 of a counter
	maxBase   = 200  // bytes of the target's name to keep: most systems allow 255 in all
	attempts  = 1000 // at finding an unused temporary name
)

// Write replaces the content of the file at path by data, or creates the file
// with permissions 0o644 minus the umask. An existing file's permissions are
// not kept, and a symbolic link at path is itself replaced. The directory must
// exist. When Write returns nil the data, and except on Windows the new
// directory entry, have been flushed to the disk.
//
// On an error the old content is untouched and no temporary file is left,
// with one exception: if only flushing the directory failed, the new content is
// in place but might not survive a crash. Every error names path. A crash in
// the middle can leave a temporary file behind; see Clean.
func Write(path string, data []byte) error {
	return Stream(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Stream is Write for content that fill produces piece by piece, buffered. An
// error of fill is one of Stream's, and the old content stays.
func Stream(path string, fill func(io.Writer) error) error {
	err := write(path, fill, true)
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// WriteUnsynced is Write without flushing to the disk. It survives the end of the
// process at any moment; after a crash of the machine the file can be damaged,
// so it is for content that carries its own digest, or can be made again.
func WriteUnsynced(path string, data []byte) error {
	return StreamUnsynced(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// StreamUnsynced is to WriteUnsynced what Stream is to Write.
func StreamUnsynced(path string, fill func(io.Writer) error) error {
	if err := write(path, fill, false); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func write(path string, content func(io.Writer) error, sync bool) error {
	temp, err := createTemp(path)
	if err != nil {
		return plain(err, path)
	}
	if err := fill(temp, content, sync); err != nil {
		return errors.Join(plain(err, path), os.Remove(temp.Name()))
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return errors.Join(plain(err, path), os.Remove(temp.Name()))
	}
	return nil
}

// plain takes the temporary file's name out of a system's error about it: the
// name of the file that was to be written says more.
func plain(err error, path string) error {
	var one *fs.PathError
	if errors.As(err, &one) && err == error(one) {
		return &fs.PathError{Op: one.Op, Path: path, Err: one.Err}
	}
	return err
}

// createTemp creates and opens a new temporary file beside path: a rename is
// atomic only within one file system. os.CreateTemp does not serve because it
// sets the permissions 0o600 and the umask cannot be asked for portably.
// The name belongs to the caller until the file is renamed or removed, because
// O_EXCL makes every other caller count on to the next one.
func createTemp(path string) (*os.File, error) {
	base := filepath.Base(path)
	if len(base) > maxBase {
		base = strings.ToValidUTF8(base[:maxBase], "")
	}
	dir := filepath.Dir(path)
	for i := range attempts {
		tag := fmt.Sprintf("%08x%08x", uint32(os.Getpid()), i)
		name := filepath.Join(dir, prefix+base+"."+tag+suffix)
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return file, err
		}
	}
	return nil, fmt.Errorf("no unused temporary name in %s after %d attempts", dir, attempts)
}

// fill writes the content to file, flushes it to the disk where asked, and closes
// file in any case. Without the flush a crash after the rename could leave an
// empty file.
func fill(file *os.File, content func(io.Writer) error, sync bool) error {
	w := bufio.NewWriterSize(file, 1<<16)
	err := content(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil && sync {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// syncDir flushes the entries of dir to the disk. Windows cannot flush a
// directory and js/wasm need not be able to; there it does nothing.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" || runtime.GOOS == "js" {
		return nil
	}
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = file.Sync()
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Clean removes from dir, not from its subdirectories, the temporary files that
// interrupted calls of Write have left. Other hidden or ".tmp" files stay. It
// must not run while another process may be writing to dir, whose temporary
// file it would take away (that Write then fails). It tries every file before
// it returns the errors that occurred, each naming its file.
func Clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clean temporary files: %w", err)
	}
	var failures []error
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !isTemp(entry.Name()) {
			continue
		}
		err := os.Remove(filepath.Join(dir, entry.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			failures = append(failures, fmt.Errorf("clean temporary files: %w", err))
		}
	}
	return errors.Join(failures...)
}

// isTemp reports whether createTemp can have made the name.
func isTemp(name string) bool {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return false
	}
	rest, ok = strings.CutSuffix(rest, suffix)
	if !ok {
		return false
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot < 1 || len(rest)-dot-1 != tagDigits {
		return false
	}
	_, err := strconv.ParseUint(rest[dot+1:], 16, 64)
	return err == nil
}
