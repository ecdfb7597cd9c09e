package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var example = []Tensor{
	{Name: "w", Shape: []int{2, 1}, Data: []float64{1, -2}},
	{Name: "", Shape: []int{0, 3}, Data: []float64{}},
	{Name: "a \"b\"", Shape: []int{}, Data: []float64{0.5}},
}

// file builds a file from any header and n bytes of zeros.
func file(header string, n int) []byte {
	data := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(data, header...), make([]byte, n)...)
}

// equal compares bit by bit: NaNs are equal to themselves, zeros of different
// sign are not. A nil shape equals an empty one.
func equal(a, b []Tensor) bool {
	return slices.EqualFunc(a, b, func(x, y Tensor) bool {
		return x.Name == y.Name && slices.Equal(x.Shape, y.Shape) &&
			slices.EqualFunc(x.Data, y.Data, func(v, w float64) bool {
				return math.Float64bits(v) == math.Float64bits(w)
			})
	})
}

// TestEncodeGolden pins the bytes; the reference implementation in Python has
// read them.
func TestEncodeGolden(t *testing.T) {
	got, err := Encode(example, map[string]string{"z": "1", "a": "2"})
	if err != nil {
		t.Fatal(err)
	}
	header := `{"__metadata__":{"a":"2","z":"1"},` +
		`"w":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]},` +
		`"":{"dtype":"F64","shape":[0,3],"data_offsets":[16,16]},` +
		`"a \"b\"":{"dtype":"F64","shape":[],"data_offsets":[16,24]}}`
	header += strings.Repeat(" ", 7-(len(header)+7)%8)
	want := file(header, 0)
	want = append(want, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0xe0, 0x3f)
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
}

func TestEncodeNothing(t *testing.T) {
	got, err := Encode(nil, nil)
	if want := file("{}      ", 0); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("got %q, %v", got, err)
	}
	tensors, metadata, err := Decode(got)
	if err != nil || len(tensors) != 0 || metadata != nil {
		t.Errorf("got %v, %v, %v", tensors, metadata, err)
	}
}

func TestEncodeErrors(t *testing.T) {
	one := []float64{1}
	cases := []struct {
		tensors  []Tensor
		metadata map[string]string
		want     string
	}{
		{[]Tensor{{"x", []int{2}, one}}, nil, `tensor "x": shape [2] needs 2 values, got 1`},
		{[]Tensor{{"x", []int{-1, -1}, one}}, nil, "negative"},
		{[]Tensor{{"x", []int{math.MaxInt, 2}, nil}}, nil, "overflows"},
		{[]Tensor{{"x", nil, one}, {"x", nil, one}}, nil, `tensor "x": the name occurs twice`},
		{[]Tensor{{"__metadata__", nil, one}}, nil, "reserved"},
		{[]Tensor{{"\xff", nil, one}}, nil, "UTF-8"},
		{nil, map[string]string{"\xff": ""}, "metadata: key"},
		{nil, map[string]string{"k": "\xff"}, `metadata: value of "k"`},
		{nil, map[string]string{"k": strings.Repeat("a", maxHeader)}, "exceeds the limit"},
	}
	for _, c := range cases {
		if _, err := Encode(c.tensors, c.metadata); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// TestDecodeAccepts has what Encode never writes but other programs may.
func TestDecodeAccepts(t *testing.T) {
	cases := []struct {
		name, header string
		size         int
		want         string // names in order
	}{
		{"other order", `{"b":{"data_offsets":[8,16],"shape":[1],"dtype":"F64"},"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 16, "a b"},
		{"blanks", "{ \"a\" :\n{\"dtype\":\"F64\",\t\"shape\":[ ],\"data_offsets\":[0, 8]} }   ", 8, "a"},
		{"metadata last", `{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]},"__metadata__":{}}`, 8, "a"},
		{"zero times huge", `{"a":{"dtype":"F64","shape":[0,4611686018427387904,8],"data_offsets":[0,0]}}`, 0, "a"},
		{"escaped name", `{"\u0061":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}`, 8, "a"},
	}
	for _, c := range cases {
		if c.name == "zero times huge" && math.MaxInt == math.MaxInt32 {
			continue
		}
		tensors, _, err := Decode(file(c.header, c.size))
		var names []string
		for _, tensor := range tensors {
			names = append(names, tensor.Name)
		}
		if err != nil || strings.Join(names, " ") != c.want {
			t.Errorf("%s: got %q, %v", c.name, names, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`"a":{"dtype":%s,"shape":%s,"data_offsets":%s}`, dtype, shape, offsets)
	}
	good := entry(`"F64"`, "[1]", "[0,8]")
	cases := []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "too short"},
		{"seven bytes", make([]byte, 7), "too short"},
		{"no header", make([]byte, 8), `does not begin with "{"`},
		{"huge header", []byte{0, 0, 0, 0, 0, 0, 0, 0x80, '{'}, "exceeds the limit"},
		{"limit plus one", append(binary.LittleEndian.AppendUint64(nil, maxHeader+1), '{'), "exceeds the limit"},
		{"header cut off", file("{"+good+"}", 8)[:20], "but only 12 follow"},
		{"leading space", file(" {"+good+"}", 8), `does not begin with "{"`},
		{"padded with newline", file("{"+good+"}\n", 8), "padded with spaces"},
		{"something after", file("{"+good+"}{}", 8), "JSON"},
		{"not JSON", file("{"+good+",}", 8), "JSON"},
		{"unclosed", file("{"+good, 8), "JSON"},
		{"not UTF-8", file("{\"\xff\":{}}", 0), "UTF-8"},
		{"name twice", file("{"+good+","+good+"}", 8), `"a" occurs twice`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), "occurs twice"},
		{"metadata key twice", file(`{"__metadata__":{"k":"","k":""}}`, 0), `"__metadata__": "k" occurs twice`},
		{"metadata of numbers", file(`{"__metadata__":{"k":1}}`, 0), "where a string should be"},
		{"metadata null", file(`{"__metadata__":null}`, 0), "where { should be"},
		{"tensor not an object", file(`{"a":[]}`, 0), `"a": [ where { should be`},
		{"missing field", file(`{"a":{"dtype":"F64","shape":[0]}}`, 0), "missing"},
		{"unknown field", file(`{"a":{"dtype":"F64","shape":[0],"data_offsets":[0,0],"x":1}}`, 0), `"x": unknown field`},
		{"field twice", file(`{"a":{"dtype":"F64","shape":[0],"shape":[0]}}`, 0), `"shape" occurs twice`},
		{"field in capitals", file(`{"a":{"DType":"F64","shape":[0],"data_offsets":[0,0]}}`, 0), `"DType": unknown field`},
		{"F32", file("{"+entry(`"F32"`, "[2]", "[0,8]")+"}", 8), `"F32" is not supported`},
		{"dtype number", file("{"+entry("64", "[1]", "[0,8]")+"}", 8), "where a string"},
		{"shape string", file("{"+entry(`"F64"`, `"1"`, "[0,8]")+"}", 8), "where [ should be"},
		{"shape of strings", file("{"+entry(`"F64"`, `["1"]`, "[0,8]")+"}", 8), "where a number should be"},
		{"negative size", file("{"+entry(`"F64"`, "[-1]", "[0,8]")+"}", 8), "-1 is not"},
		{"fraction", file("{"+entry(`"F64"`, "[1.0]", "[0,8]")+"}", 8), "1.0 is not"},
		{"size over int", file("{"+entry(`"F64"`, "[9223372036854775808]", "[0,8]")+"}", 8), "is not a non-negative integer"},
		{"one offset", file("{"+entry(`"F64"`, "[1]", "[0]")+"}", 8), "1 numbers, want 2"},
		{"product overflows", file("{"+entry(`"F64"`, "[2147483647,2147483647,2147483647]", "[0,8]")+"}", 8), "overflows"},
		{"product wraps to 1", file("{"+entry(`"F64"`, "[1,1,1,1,1,1,1,1,1431655765,1431655765,1431655765]", "[0,8]")+"}", 8), "and 3 more overflows"},
		{"shape too large", file("{"+entry(`"F64"`, "[2]", "[0,8]")+"}", 8), "do not fit"},
		{"shape too small", file("{"+entry(`"F64"`, "[1]", "[0,16]")+"}", 16), "do not fit"},
		{"end before begin", file("{"+good+`,"b":{"dtype":"F64","shape":[1],"data_offsets":[8,0]}}`, 8), "do not fit"},
		{"beyond the file", file("{"+entry(`"F64"`, "[2]", "[0,16]")+"}", 15), "ends at byte 16, but the file has 15"},
		{"bytes left over", file("{"+good+"}", 9), "end at byte 8, but the file has 9"},
		{"hole at the start", file("{"+entry(`"F64"`, "[1]", "[8,16]")+"}", 16), "begins at byte 8, want 0"},
		{"hole", file("{"+good+`,"b":{"dtype":"F64","shape":[1],"data_offsets":[16,24]}}`, 24), "begins at byte 16, want 8"},
		{"overlap", file("{"+good+`,"b":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 8), "begins at byte 0, want 8"},
	}
	for _, c := range cases {
		tensors, metadata, err := Decode(c.data)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if tensors != nil || metadata != nil {
			t.Errorf("%s: results with an error", c.name)
		}
	}
}

// TestDecodeDoesNotTrustSizes checks that a small file claiming much fails
// without allocating it.
func TestDecodeDoesNotTrustSizes(t *testing.T) {
	claims := [][]byte{
		append(binary.LittleEndian.AppendUint64(nil, maxHeader), '{'),
		file(`{"a":{"dtype":"F64","shape":[100000000],"data_offsets":[0,800000000]}}`, 8),
	}
	for _, data := range claims {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, _, err := Decode(data); err == nil {
			t.Error("no error")
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
			t.Errorf("%d bytes allocated for a file of %d", used, len(data))
		}
	}
}

func TestDecodeDoesNotAlias(t *testing.T) {
	data, err := Encode(example, nil)
	if err != nil {
		t.Fatal(err)
	}
	tensors, _, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if !equal(tensors, example) {
		t.Errorf("got %v", tensors)
	}
}

// TestSpecialValues uses all bits of a value but none of a signalling NaN,
// which some processors change when they load it.
func TestSpecialValues(t *testing.T) {
	want := []Tensor{{"x", []int{6}, []float64{
		math.Copysign(0, -1), math.Inf(-1), math.NaN(), math.MaxFloat64, math.SmallestNonzeroFloat64, math.Pi,
	}}}
	data, err := Encode(want, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := Decode(data); err != nil || !equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 6, rapid.ID).Draw(t, "names")
		var want []Tensor
		for _, name := range names {
			shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")
			count, err := elements(shape)
			if err != nil {
				t.Fatal(err)
			}
			data := rapid.SliceOfN(rapid.Float64(), count, count).Draw(t, "data")
			want = append(want, Tensor{name, shape, data})
		}
		metadata := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "metadata")
		data, err := Encode(want, metadata)
		if err != nil {
			t.Fatal(err)
		}
		if start := 8 + binary.LittleEndian.Uint64(data); start%8 != 0 {
			t.Fatalf("values start at byte %d", start)
		}
		got, gotMetadata, err := Decode(data)
		if err != nil || !equal(got, want) || !maps.Equal(gotMetadata, metadata) {
			t.Fatalf("got %v, %v, %v", got, gotMetadata, err)
		}
		again, err := Encode(got, gotMetadata)
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("second encoding differs: %v", err)
		}
	})
}

// FuzzDecode checks that whatever Decode accepts is consistent with the size of
// the file and survives another round.
func FuzzDecode(f *testing.F) {
	seed, err := Encode(example, map[string]string{"k": "v"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add(seed[:40])
	f.Add(file("{}", 0))
	f.Add(file(`{"a":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]}}`, 32))
	f.Fuzz(func(t *testing.T, data []byte) {
		tensors, metadata, err := Decode(data)
		if err != nil {
			return
		}
		size := 0
		for _, tensor := range tensors {
			size += len(tensor.Data) * valueSize
		}
		if header := binary.LittleEndian.Uint64(data); uint64(size)+lengthSize+header != uint64(len(data)) {
			t.Fatalf("%d bytes of values and a header of %d in a file of %d", size, header, len(data))
		}
		again, err := Encode(tensors, metadata)
		if err != nil {
			t.Fatal(err)
		}
		got, gotMetadata, err := Decode(again)
		if err != nil || !equal(got, tensors) || !maps.Equal(gotMetadata, metadata) {
			t.Fatalf("second round gave %v, %v, %v", got, gotMetadata, err)
		}
	})
}
