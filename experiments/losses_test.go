package experiments

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"rlhfsim/internal/goldentest"
)

// noisyDocuments were added for numbers that rounding noise alone decides.
var noisyDocuments = []string{"traj_bandit_dpo_noise.json", "grpo_token_cancelled.json", "grpo_sequence_cancelled.json"}

// Every document of the reference libraries agrees through the command that users
// have; one that nothing reads is a failure.
func TestGoldenDocuments(t *testing.T) {
	for _, d := range goldentest.Documents(t) {
		t.Run(d.Name, func(t *testing.T) {
			c, err := Losses(d.Data)
			if err != nil {
				t.Fatalf("kind %q: %v", d.Kind, err)
			}
			text, ok := c.Text(1e-9)
			if !ok || !strings.Contains(text, "numbers agree") {
				t.Error(text)
			}
			if noisy := slices.Contains(noisyDocuments, d.Name); noisy != (c.Undetermined > 0) || noisy != strings.Contains(text, "rounding noise alone") {
				t.Errorf("%d numbers are undetermined: %s", c.Undetermined, text)
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
	c, err := Losses([]byte(strings.NewReplacer("LOSS", "1", "mine", "").Replace(document)))
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := c.Text(1e-9); !strings.HasPrefix(text, "reward\n") {
		t.Errorf("without a source: %s", text)
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

// A run without results is printed with ours in place.
func TestARunIsFilledIn(t *testing.T) {
	document := `{"kind": "traj_reward_bt", "source": "mine", "runs": [{"P": 1, "V": 2, "lr": 0.1, "initial_w": [[0, 0]],
		"pairs": [{"prompt": 0, "chosen": [0, 2], "rejected": [1, 2]}], "loss_before_step": [0], "w_after_step": {"1": [[0, 0]]}}]}`
	c, err := Losses([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var filled struct {
		Runs []struct {
			Loss  []float64              `json:"loss_before_step"`
			After map[string][][]float64 `json:"w_after_step"`
		}
	}
	if err := json.Unmarshal([]byte(text), &filled); err != nil {
		t.Fatal(err)
	}
	run := filled.Runs[0]
	if !(math.Abs(run.Loss[0]-math.Ln2) <= 1e-15) || !(math.Abs(run.After["1"][0][0]-0.1) <= 1e-8) || !(math.Abs(run.After["1"][0][1]+0.1) <= 1e-8) {
		t.Errorf("%+v", run)
	}
}

func TestChapterLoss(t *testing.T) {
	text := ChapterLoss(1000, 0.1, 3)
	if !strings.HasPrefix(text, "Alignment Signal: DPO-Loss=0.69") || text != ChapterLoss(1000, 0.1, 3) || text == ChapterLoss(1000, 0.1, 4) {
		t.Error(text)
	}
}
