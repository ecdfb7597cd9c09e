package experiments

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/goldentest"
)

// trajectories are trained through, by tests in other packages, which name the kind.
var trajectories = map[string]string{"traj_ppo_update": "ppo", "traj_reward_bt": "reward"}

// Every document of the reference libraries agrees through the command that users
// have; one that nothing reads is a failure.
func TestGoldenDocuments(t *testing.T) {
	for _, d := range goldentest.Documents(t) {
		t.Run(d.Name, func(t *testing.T) {
			if folder := trajectories[d.Kind]; folder != "" {
				if !readBy(t, folder, d.Kind) {
					t.Errorf("no test in %s reads it", folder)
				}
				return
			}
			data := d.Data
			c, err := Losses(data)
			if err != nil {
				t.Fatalf("kind %q: %v", d.Kind, err)
			}
			text, ok := c.Text(1e-9)
			if !ok || !strings.Contains(text, "numbers agree") {
				t.Error(text)
			}
			again, err := c.JSON()
			if err != nil {
				t.Fatal(err)
			}
			// Our own document agrees with itself.
			own, err := Losses([]byte(again))
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := own.Text(1e-9); !ok {
				t.Error("the document with our numbers does not agree with us")
			}
		})
	}
}

func readBy(t *testing.T, folder, name string) bool {
	t.Helper()
	tests, err := filepath.Glob("../" + folder + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(tests, func(path string) bool {
		text, err := os.ReadFile(path)
		return err == nil && strings.Contains(string(text), `"`+name+`"`)
	})
}

func TestALossThatDiffersIsSeen(t *testing.T) {
	document := `{"kind": "reward", "source": "mine", "cases": [{"rewards_chosen": [1, 0.5], "rewards_rejected": [0, 1], "margin": [0, 0]}],
		"results": [{"case": 0, "use_margin": false, "loss": LOSS, "accuracy": 0.5}]}`
	for loss, want := range map[string]bool{"0.6436693358491647": true, "0.64366934": false} {
		c, err := Losses([]byte(strings.ReplaceAll(document, "LOSS", loss)))
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := c.Text(1e-9); ok != want {
			t.Errorf("loss %s: %s", loss, text)
		}
		if _, ok := c.Text(1e-3); !ok {
			t.Errorf("loss %s is not within 1e-3", loss)
		}
	}
	for says, bad := range map[string]string{
		"no document":        `{`,
		"known kinds":        `{"kind": "dpoo"}`,
		"there is no case 7": strings.ReplaceAll(strings.ReplaceAll(document, "LOSS", "1"), `"case": 0`, `"case": 7`),
		"differ in number":   strings.ReplaceAll(strings.ReplaceAll(document, "LOSS", "1"), `[0, 1], "margin"`, `[0], "margin"`),
	} {
		_, err := Losses([]byte(bad))
		var usage Usage
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

func TestChapterLoss(t *testing.T) {
	text := ChapterLoss(1000, 0.1, 3)
	if !strings.HasPrefix(text, "Alignment Signal: DPO-Loss=0.69") || text != ChapterLoss(1000, 0.1, 3) || text == ChapterLoss(1000, 0.1, 4) {
		t.Error(text)
	}
}
