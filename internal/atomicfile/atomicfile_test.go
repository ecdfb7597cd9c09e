package atomicfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// names lists what is in dir.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func expectContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q (%v), want %q", path, got, err, want)
	}
}

func TestWriteCreatesAndReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "result.json")
	for _, content := range []string{"a long first content", "short", ""} {
		if err := Write(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		expectContent(t, path, content)
	}
	if got := names(t, dir); !slices.Equal(got, []string{"result.json"}) {
		t.Errorf("directory holds %q", got)
	}
}

func TestWriteRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := Write("x", []byte("y")); err != nil {
		t.Fatal(err)
	}
	expectContent(t, "x", "y")
}

func TestWriteLongName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, strings.Repeat("é", 127)) // 254 bytes
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Skip("the file system does not take the name:", err)
	}
	if err := Write(path, []byte("y")); err != nil {
		t.Fatal(err)
	}
	expectContent(t, path, "y")
}

// TestPermissions compares with a file that the system creates with 0o644.
func TestPermissions(t *testing.T) {
	dir := t.TempDir()
	plain, atomic := filepath.Join(dir, "plain"), filepath.Join(dir, "atomic")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(atomic, nil); err != nil {
		t.Fatal(err)
	}
	want, err := os.Stat(plain)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.Stat(atomic)
	if err != nil {
		t.Fatal(err)
	}
	if got.Mode() != want.Mode() {
		t.Errorf("mode %v, want %v", got.Mode(), want.Mode())
	}
}

// TestWriteOntoDirectory makes the rename fail, the last step that can leave a
// temporary file.
func TestWriteOntoDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "target")
	inner := filepath.Join(path, "inner")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(inner, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := Write(path, []byte("new"))
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v does not name %s", err, path)
	}
	expectContent(t, inner, "old")
	if got := names(t, dir); !slices.Equal(got, []string{"target"}) {
		t.Errorf("directory holds %q", got)
	}
}

func TestWriteWithoutDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "file")
	err := Write(path, []byte("x"))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "write "+path) {
		t.Errorf("error %v", err)
	}
}

func TestWriteIntoReadOnlyDirectory(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("permissions do not bind here")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755) // or TempDir cannot be removed
	if err := Write(path, []byte("new")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("error %v, want a permission error", err)
	}
	expectContent(t, path, "old")
}

// TestFillFailure checks that a failed write is reported; a file opened for
// reading only stands for a full disk.
func TestFillFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(file, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err }, true); err == nil {
		t.Error("no error")
	}
	if err := file.Close(); !errors.Is(err, fs.ErrClosed) {
		t.Error("fill left the file open")
	}
}

// TestReadersNeverSeeATornFile writes contents of one repeated byte and of
// different lengths while readers check that what they read is one of them.
func TestReadersNeverSeeATornFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to replace a file that is open")
	}
	path := filepath.Join(t.TempDir(), "file")
	content := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 50000+1000*(i%50)) }
	if err := Write(path, content(0)); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				got, err := os.ReadFile(path)
				if err != nil || len(got) == 0 || !bytes.Equal(got, content(int(got[0]))) {
					t.Errorf("read %d bytes of a torn file (%v)", len(got), err)
					return
				}
			}
		})
	}
	for i := range 200 {
		if err := Write(path, content(i)); err != nil {
			t.Error(err)
		}
	}
	close(done)
	readers.Wait()
}

// TestConcurrentWriters checks that writers do not share a temporary file.
func TestConcurrentWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for range 10 {
				err := Write(path, bytes.Repeat([]byte{byte('a' + i)}, 1000))
				if err != nil && runtime.GOOS != "windows" { // which refuses simultaneous renames
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	got, err := os.ReadFile(path)
	if err != nil || len(got) != 1000 || !bytes.Equal(got, bytes.Repeat(got[:1], 1000)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got := names(t, dir); len(got) != 1 {
		t.Errorf("directory holds %q", got)
	}
}

func TestClean(t *testing.T) {
	dir := t.TempDir()
	file, err := createTemp(filepath.Join(dir, "result.json")) // as if Write had been interrupted here
	if err != nil {
		t.Fatal(err)
	}
	if name := filepath.Base(file.Name()); !strings.HasPrefix(name, ".") || !strings.HasSuffix(name, ".tmp") {
		t.Errorf("temporary name %q", name)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	keep := []string{
		".hidden", ".mine.tmp", ".x.0123456789abcde.tmp", ".x.0123456789abcdeg.tmp",
		"result.json", "x.0123456789abcdef.tmp",
	}
	for _, name := range keep {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const folder = ".z.0123456789abcdef.tmp"
	if err := os.Mkdir(filepath.Join(dir, folder), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Clean(dir); err != nil {
		t.Fatal(err)
	}
	want := slices.Sorted(slices.Values(append(keep, folder)))
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
}

func TestCleanMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	if err := Clean(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v", err)
	}
}

// An error names the file that was to be written, not the temporary one.
func TestErrorsDoNotNameTheTemporaryFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no folder", "file")
	err := Write(path, nil)
	if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), ".tmp") || !strings.Contains(err.Error(), path) {
		t.Error(err)
	}
}
