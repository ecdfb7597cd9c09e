// Package safetensors writes and reads float64 tensors in the safetensors
// format, as specified at
// https://github.com/huggingface/safetensors#format:
//
//   - 8 bytes: the length of the header, an unsigned little-endian integer;
//   - the header: a JSON object that may be padded with spaces. It maps the
//     name of each tensor to its dtype, shape and data_offsets (first byte and
//     byte after the last, counted from the end of the header), and the special
//     name __metadata__ to an object of strings;
//   - the values: little-endian, row-major, the tensors without holes.
//
// Only dtype F64 is supported.
package safetensors

import (
	"errors"
	"fmt"
	"math"
)

const (
	lengthSize   = 8           // bytes before the header
	valueSize    = 8           // bytes of an F64
	maxHeader    = 100_000_000 // bytes; the limit of the reference implementation
	metadataName = "__metadata__"
	dtype        = "F64"
)

// Tensor is a named array of float64.
type Tensor struct {
	Name  string    // any UTF-8 but "__metadata__", unique within a file
	Shape []int     // sizes from the outermost dimension inwards; empty for a scalar
	Data  []float64 // row-major; as many values as the product of Shape
}

// elements returns the number of values of a tensor of the given shape. It is
// an error if a size is negative or if the number of bytes exceeds an int.
func elements(shape []int) (int, error) {
	count := 1
	for _, size := range shape {
		if size < 0 {
			return 0, fmt.Errorf("shape %s has a negative size", brief(shape))
		}
		if size > 0 && count > math.MaxInt/valueSize/size {
			return 0, fmt.Errorf("shape %s overflows", brief(shape))
		}
		count *= size
	}
	return count, nil
}

// brief formats a shape for an error message, which must stay readable for any
// input.
func brief(shape []int) string {
	const most = 8
	if len(shape) > most {
		return fmt.Sprintf("%v and %d more", shape[:most], len(shape)-most)
	}
	return fmt.Sprint(shape)
}

// checkName returns an error if no tensor may have the name.
func checkName(name string, used map[string]bool) error {
	switch {
	case name == metadataName:
		return errors.New("the name is reserved for the metadata")
	case used[name]:
		return errors.New("the name occurs twice")
	}
	return nil
}
