package safetensors

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Encode returns the safetensors file of tensors, in the order given, and
// metadata, sorted by key and left out if there is none. Equal arguments give
// equal bytes. The header is padded with spaces so that the values start at a
// multiple of 8 bytes.
//
// It is an error if a shape does not fit its data, if a name is reserved or
// used twice, if a name or a metadata entry is not valid UTF-8, or if the
// header exceeds 100 MB.
func Encode(tensors []Tensor, metadata map[string]string) ([]byte, error) {
	header, size, err := encodeHeader(tensors, metadata)
	if err != nil {
		return nil, fmt.Errorf("encode safetensors: %w", err)
	}
	file := make([]byte, 0, lengthSize+len(header)+size)
	file = binary.LittleEndian.AppendUint64(file, uint64(len(header)))
	file = append(file, header...)
	for _, tensor := range tensors {
		for _, value := range tensor.Data {
			file = binary.LittleEndian.AppendUint64(file, math.Float64bits(value))
		}
	}
	return file, nil
}

// encodeHeader returns the padded header and the number of bytes of values it
// announces.
func encodeHeader(tensors []Tensor, metadata map[string]string) (header []byte, size int, err error) {
	header = append(header, '{')
	if len(metadata) > 0 {
		if header, err = appendMetadata(header, metadata); err != nil {
			return nil, 0, fmt.Errorf("metadata: %w", err)
		}
	}
	used := make(map[string]bool, len(tensors))
	for i, tensor := range tensors {
		if i > 0 || len(metadata) > 0 {
			header = append(header, ',')
		}
		if header, err = appendEntry(header, tensor, size, used); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", tensor.Name, err)
		}
		used[tensor.Name] = true
		size += len(tensor.Data) * valueSize
	}
	header = append(header, '}')
	for len(header)%valueSize != 0 {
		header = append(header, ' ')
	}
	if len(header) > maxHeader {
		return nil, 0, fmt.Errorf("header of %d bytes exceeds the limit of %d", len(header), maxHeader)
	}
	return header, size, nil
}

// appendMetadata appends the header entry of metadata.
func appendMetadata(header []byte, metadata map[string]string) ([]byte, error) {
	header = append(header, `"`+metadataName+`":{`...)
	var err error
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		if i > 0 {
			header = append(header, ',')
		}
		if header, err = appendString(header, key); err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		header = append(header, ':')
		if header, err = appendString(header, metadata[key]); err != nil {
			return nil, fmt.Errorf("value of %q: %w", key, err)
		}
	}
	return append(header, '}'), nil
}

// appendEntry appends the header entry of a tensor whose values start at byte
// begin.
func appendEntry(header []byte, tensor Tensor, begin int, used map[string]bool) ([]byte, error) {
	if err := checkName(tensor.Name, used); err != nil {
		return nil, err
	}
	count, err := elements(tensor.Shape)
	if err != nil {
		return nil, err
	}
	if count != len(tensor.Data) {
		return nil, fmt.Errorf("shape %s needs %d values, got %d", brief(tensor.Shape), count, len(tensor.Data))
	}
	if header, err = appendString(header, tensor.Name); err != nil {
		return nil, err
	}
	header = append(header, `:{"dtype":"`+dtype+`","shape":`...)
	header = appendInts(header, tensor.Shape)
	header = append(header, `,"data_offsets":`...)
	header = appendInts(header, []int{begin, begin + count*valueSize})
	return append(header, '}'), nil
}

// appendString appends s as JSON.
func appendString(header []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("not valid UTF-8") // the encoder would replace it silently
	}
	quoted, err := json.Marshal(s)
	return append(header, quoted...), err
}

// appendInts appends list as JSON.
func appendInts(header []byte, list []int) []byte {
	header = append(header, '[')
	for i, v := range list {
		if i > 0 {
			header = append(header, ',')
		}
		header = strconv.AppendInt(header, int64(v), 10)
	}
	return append(header, ']')
}
