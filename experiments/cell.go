package experiments

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"rlhfsim/internal/atomicfile"
	"rlhfsim/internal/rng"
	"rlhfsim/reward"
	"rlhfsim/sim"
)

// cell is a finished piece of work as it lies on disk: the shared stages of one
// seed, or one arm of it. All tables, figures and policy files are made from
// cells and nothing else, so a resumed run cannot differ from a fresh one.
type cell struct {
	Rows        []sim.Row
	Tensors     []tensor
	Calibration []reward.Bin  `json:",omitempty"`
	Frontier    *sim.Frontier `json:",omitempty"`
	BestOfN     *sim.BestOfN  `json:",omitempty"`
	Optimum     *sim.Exact    `json:",omitempty"` // of the learned reward, at an arm's β
	Gold        *sim.Exact    `json:",omitempty"` // of gold
}

// tensor is a named array of what a stage learned.
type tensor struct {
	Name  string
	Shape []int
	Data  floats
}

// floats are stored as little-endian bytes (base64 in JSON), bit for bit.
type floats []float64

func (f floats) MarshalJSON() ([]byte, error) {
	raw := make([]byte, 0, 8*len(f))
	for _, v := range f {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(v))
	}
	return json.Marshal(raw)
}

func (f *floats) UnmarshalJSON(text []byte) error {
	var raw []byte
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	if len(raw)%8 != 0 {
		return fmt.Errorf("%d bytes are no whole number of floats", len(raw))
	}
	*f = make(floats, len(raw)/8)
	for i := range *f {
		(*f)[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return nil
}

// key names a cell: a hash of everything that decides its numbers.
func key(seed uint64, parts ...any) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "rlhfsim engine %s streams %d seed %d\n", sim.EngineVersion, rng.Version, seed)
	for _, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		h.Write(append(text, '\n'))
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

func cellPath(dir, key string) string { return filepath.Join(dir, "cells", key+".json") }

// saveCell writes a cell under its final name in one step. Its first line is
// the digest of the rest, so that a damaged file cannot pass for a result.
func saveCell(dir, key string, c *cell) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	return atomicfile.Write(cellPath(dir, key), append([]byte(hex.EncodeToString(sum[:])+"\n"), body...))
}

// errCorrupt marks a cell file that does not match its digest.
var errCorrupt = errors.New("the file is damaged: it does not match its digest")

// loadCell reads a cell; nil without an error when there is none.
func loadCell(dir, key string) (*cell, error) {
	data, err := os.ReadFile(cellPath(dir, key))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	digest, body, _ := bytes.Cut(data, []byte("\n"))
	sum := sha256.Sum256(body)
	if string(digest) != hex.EncodeToString(sum[:]) {
		return nil, errCorrupt
	}
	c := new(cell)
	if err := json.Unmarshal(body, c); err != nil {
		return nil, errCorrupt
	}
	return c, nil
}
