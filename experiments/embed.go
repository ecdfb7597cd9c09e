package experiments

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed *.toml
var embedded embed.FS

// Embedded lists the names of the experiments that come with the program.
func Embedded() []string {
	entries, _ := embedded.ReadDir(".") // an embedded folder is always there
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	slices.Sort(names)
	return names
}

// Show is the file of an embedded experiment.
func Show(name string) ([]byte, error) {
	data, err := embedded.ReadFile(name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("no experiment %q comes with the program%s (there are: %s)", name, meant(name, Embedded()), strings.Join(Embedded(), ", "))
	}
	return data, nil
}
