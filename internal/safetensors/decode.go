package safetensors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Decode reads a safetensors file. It returns the tensors in the order of their
// values in the file, empty ones at the same place in the order of the header,
// and the metadata, nil if there is none. The tensors do not alias data.
//
// Any departure from the format is an error that says what is wrong: a header
// that is too long, is not a JSON object of exactly the specified fields or
// has a name twice, a dtype other than F64, a shape that overflows or does not
// fit the offsets, and offsets that overlap, leave a hole or do not end at the
// end of the file. Decode does not trust any size in the file: values are
// allocated only once they are known to be there, exactly as many bytes as the
// file has of them, and parsing the header takes memory in proportion to it.
func Decode(data []byte) ([]Tensor, map[string]string, error) {
	tensors, metadata, err := decode(data)
	if err != nil {
		return nil, nil, fmt.Errorf("decode safetensors: %w", err)
	}
	return tensors, metadata, nil
}

func decode(data []byte) ([]Tensor, map[string]string, error) {
	text, values, err := split(data)
	if err != nil {
		return nil, nil, err
	}
	entries, metadata, err := parseHeader(text)
	if err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	// Stable, so that tensors of equal offsets (all empty) stay in order.
	slices.SortStableFunc(entries, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.begin, b.begin), cmp.Compare(a.end, b.end))
	})
	if err := checkLayout(entries, len(values)); err != nil {
		return nil, nil, err
	}
	tensors := make([]Tensor, len(entries))
	for i, e := range entries {
		tensors[i] = Tensor{Name: e.name, Shape: e.shape, Data: floats(values[e.begin:e.end])}
	}
	return tensors, metadata, nil
}

// split cuts a file into the text of the header and the bytes of the values.
func split(data []byte) (text, values []byte, err error) {
	if len(data) < lengthSize {
		return nil, nil, fmt.Errorf("file of %d bytes is too short for the header length", len(data))
	}
	length, rest := binary.LittleEndian.Uint64(data), data[lengthSize:]
	if length > maxHeader {
		return nil, nil, fmt.Errorf("header of %d bytes exceeds the limit of %d", length, maxHeader)
	}
	if length > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("header of %d bytes, but only %d follow", length, len(rest))
	}
	if length == 0 || rest[0] != '{' {
		return nil, nil, errors.New(`header does not begin with "{"`)
	}
	return rest[:length], rest[length:], nil
}

// checkLayout checks that the sorted entries fill size bytes without holes or
// overlaps, each with as many bytes as its shape needs.
func checkLayout(entries []entry, size int) error {
	at := 0
	for _, e := range entries {
		if e.begin != at {
			return fmt.Errorf("tensor %q begins at byte %d, want %d: the tensors overlap or leave a hole", e.name, e.begin, at)
		}
		count, err := elements(e.shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", e.name, err)
		}
		// Compared without adding to begin, which could overflow. An end before
		// begin gives a negative number, which no count equals.
		if e.end-e.begin != count*valueSize {
			return fmt.Errorf("tensor %q: offsets [%d, %d] do not fit the %d bytes of shape %s",
				e.name, e.begin, e.end, count*valueSize, brief(e.shape))
		}
		if e.end > size {
			return fmt.Errorf("tensor %q ends at byte %d, but the file has %d bytes of values", e.name, e.end, size)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("tensors end at byte %d, but the file has %d bytes of values", at, size)
	}
	return nil
}

// floats converts little-endian bytes, a multiple of 8, to values.
func floats(raw []byte) []float64 {
	values := make([]float64, len(raw)/valueSize)
	for i := range values {
		values[i] = math.Float64frombits(binary.LittleEndian.Uint64(raw[i*valueSize:]))
	}
	return values
}
