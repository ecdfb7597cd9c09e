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
	Rows        []sim.Row     `json:"-"`
	Tensors     []tensor      // their numbers only where asked for
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
	Data  []float64 `json:"-"`
}

func (t tensor) size() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// digest is a hash of everything that decides some numbers, the seed apart.
func digest(parts ...any) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "rlhfsim engine %s streams %d\n", sim.EngineVersion, rng.Version)
	for _, part := range parts {
		text, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		h.Write(append(text, '\n'))
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// seeded is the name of the cell of a seed.
func seeded(digest string, seed uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s seed %d", digest, seed))
	return hex.EncodeToString(sum[:16])
}

func cellPath(dir, key string) string { return filepath.Join(dir, "cells", key+".cell") }

// A cell file is the digest of the rest, so that a damaged file cannot pass for
// a result; a line of JSON; the records; the tensors.

// saveCell writes a cell under its final name in one step.
func saveCell(dir, key string, c *cell) error {
	head, err := json.Marshal(c)
	if err != nil {
		return err
	}
	body := appendRows(append(head, '\n'), c.Rows)
	for _, t := range c.Tensors {
		for _, v := range t.Data {
			body = binary.LittleEndian.AppendUint64(body, math.Float64bits(v))
		}
	}
	sum := sha256.Sum256(body)
	return atomicfile.WriteUnsynced(cellPath(dir, key), append([]byte(hex.EncodeToString(sum[:])+"\n"), body...))
}

// errCorrupt marks a cell file that does not match its digest.
var errCorrupt = errors.New("the file is damaged: it does not match its digest")

// loadCell reads a cell, its tensors' numbers on request; nil without an error
// when there is none.
func loadCell(dir, key string, tensors bool) (*cell, error) {
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
	head, rest, _ := bytes.Cut(body, []byte("\n"))
	if err := json.Unmarshal(head, c); err != nil {
		return nil, errCorrupt
	}
	r := reader{data: rest}
	c.Rows = r.rows()
	for i, t := range c.Tensors {
		if tensors {
			c.Tensors[i].Data = make([]float64, t.size())
			for k := range c.Tensors[i].Data {
				c.Tensors[i].Data[k] = r.float()
			}
		}
	}
	if r.short {
		return nil, errCorrupt
	}
	return c, nil
}

// appendRows writes records compactly: the names once, then numbers.
func appendRows(b []byte, rows []sim.Row) []byte {
	var names []string
	index := map[string]uint64{}
	number := func(name string) uint64 {
		i, known := index[name]
		if !known {
			i = uint64(len(names))
			index[name] = i
			names = append(names, name)
		}
		return i
	}
	var body []byte
	for _, row := range rows {
		body = binary.AppendUvarint(body, number(row.Stage))
		body = binary.AppendUvarint(body, uint64(row.Step))
		body = binary.AppendUvarint(body, uint64(len(row.Metrics)))
		for _, m := range row.Metrics {
			body = binary.AppendUvarint(body, number(m.Name))
			body = binary.LittleEndian.AppendUint64(body, math.Float64bits(m.Value))
		}
	}
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = append(binary.AppendUvarint(b, uint64(len(name))), name...)
	}
	return append(binary.AppendUvarint(b, uint64(len(rows))), body...)
}

// reader reads what appendRows and saveCell wrote; short is set where the data
// end too early, and everything is 0 from there.
type reader struct {
	data  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.short, r.data = true, nil
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *reader) count() int {
	v, n := binary.Uvarint(r.data)
	if n <= 0 || v > math.MaxInt32 {
		r.take(-1)
		return 0
	}
	r.take(n)
	return int(v)
}

func (r *reader) float() float64 {
	raw := r.take(8)
	if r.short {
		return 0
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(raw))
}

func (r *reader) rows() []sim.Row {
	names := make([]string, min(r.count(), len(r.data)))
	for i := range names {
		names[i] = intern(string(r.take(r.count())))
	}
	name := func() string {
		if i := r.count(); i < len(names) {
			return names[i]
		}
		r.take(-1)
		return ""
	}
	rows := make([]sim.Row, min(r.count(), len(r.data)))
	for i := range rows {
		rows[i] = sim.Row{Stage: name(), Step: r.count()}
		rows[i].Metrics = make([]sim.Metric, min(r.count(), len(r.data)))
		for k := range rows[i].Metrics {
			rows[i].Metrics[k] = sim.Metric{Name: name(), Value: r.float()}
		}
	}
	return rows
}
