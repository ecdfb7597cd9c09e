package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// entry is what the header says about a tensor; nothing in it is negative.
type entry struct {
	name       string
	shape      []int
	begin, end int // bytes from the end of the header; not checked against each other
}

// parser reads the header token by token, because unmarshalling into a struct
// would accept names that occur twice, unknown fields and other spellings.
type parser struct {
	tokens *json.Decoder
}

// parseHeader reads a header, of which split has checked the first byte.
func parseHeader(text []byte) ([]entry, map[string]string, error) {
	if !utf8.Valid(text) {
		return nil, nil, errors.New("not valid UTF-8")
	}
	// The padding may consist of spaces only; JSON would allow other blanks.
	text = bytes.TrimRight(text, " ")
	if text[len(text)-1] != '}' || !json.Valid(text) {
		return nil, nil, errors.New("not a JSON object padded with spaces")
	}
	p := parser{tokens: json.NewDecoder(bytes.NewReader(text))}
	p.tokens.UseNumber()

	var entries []entry
	var metadata map[string]string
	err := p.object(func(name string) (err error) {
		if name == metadataName {
			metadata, err = p.metadata()
			return err
		}
		e := entry{name: name}
		if err := p.entry(&e); err != nil {
			return err
		}
		entries = append(entries, e)
		return nil
	})
	return entries, metadata, err
}

// object reads an object. It calls member with each name to read the value, and
// fails if a name occurs twice.
func (p parser) object(member func(name string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for p.tokens.More() {
		name, err := p.text()
		if err != nil {
			return err
		}
		if seen[name] {
			return fmt.Errorf("%q occurs twice", name)
		}
		seen[name] = true
		if err := member(name); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
	}
	return p.delim('}')
}

func (p parser) metadata() (map[string]string, error) {
	metadata := map[string]string{}
	err := p.object(func(key string) (err error) {
		metadata[key], err = p.text()
		return err
	})
	return metadata, err
}

// entry reads the description of a tensor: three fields in any order.
func (p parser) entry(e *entry) error {
	fields := 0
	err := p.object(func(field string) (err error) {
		fields++
		switch field {
		case "dtype":
			return p.dtype()
		case "shape":
			e.shape, err = p.ints()
			return err
		case "data_offsets":
			return p.offsets(e)
		}
		return errors.New("unknown field")
	})
	if err == nil && fields != 3 { // none is unknown and none occurs twice
		return errors.New("dtype, shape or data_offsets is missing")
	}
	return err
}

func (p parser) dtype() error {
	got, err := p.text()
	if err == nil && got != dtype {
		return fmt.Errorf("%q is not supported, only %q", got, dtype)
	}
	return err
}

func (p parser) offsets(e *entry) error {
	list, err := p.ints()
	if err != nil {
		return err
	}
	if len(list) != 2 {
		return fmt.Errorf("%d numbers, want 2", len(list))
	}
	e.begin, e.end = list[0], list[1]
	return nil
}

// ints reads an array of non-negative integers that fit an int. It never
// returns nil without an error.
func (p parser) ints() ([]int, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	list := []int{}
	for p.tokens.More() {
		token, err := p.tokens.Token()
		if err != nil {
			return nil, err
		}
		number, ok := token.(json.Number)
		if !ok {
			return nil, fmt.Errorf("%v where a number should be", token)
		}
		v, err := strconv.ParseUint(number.String(), 10, strconv.IntSize-1)
		if err != nil {
			return nil, fmt.Errorf("%s is not a non-negative integer that fits an int", number)
		}
		list = append(list, int(v))
	}
	return list, p.delim(']')
}

// text reads a string.
func (p parser) text() (string, error) {
	token, err := p.tokens.Token()
	if err != nil {
		return "", err
	}
	s, ok := token.(string)
	if !ok {
		return "", fmt.Errorf("%v where a string should be", token)
	}
	return s, nil
}

// delim reads one of the delimiters { } [ ].
func (p parser) delim(want json.Delim) error {
	token, err := p.tokens.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%v where %v should be", token, want)
	}
	return nil
}
