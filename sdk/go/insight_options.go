package contextcore

import "slices"

func insightField(name string, value any) InsightOption {
	return insightOption(func(c *call) { c.set(name, value) })
}

func insightTexts(name string, texts []string) InsightOption {
	return insightOption(func(c *call) { c.add(name, texts) })
}

// WithConfidence is how sure the agent is, 0 to 1.
func WithConfidence(confidence float64) InsightOption { return insightField("confidence", confidence) }

// WithRationale says why.
func WithRationale(rationale string) InsightOption { return insightField("rationale", rationale) }

// WithCategory is a word of your own.
func WithCategory(category string) InsightOption { return insightField("category", category) }

// WithAudience is `human`, `agent` or `both`.
func WithAudience(audience string) InsightOption { return insightField("audience", audience) }

// WithSeverity says how bad it would be.
func WithSeverity(severity string) InsightOption { return insightField("severity", severity) }

// AppliesTo is what it is about: `path:src/**` (or a path alone), `task:KEY`, `service:NAME`, `epic:KEY`, `label:NAME`.
func AppliesTo(scopes ...string) InsightOption { return insightTexts("applies_to", scopes) }

// WithTags are words to find it by.
func WithTags(tags ...string) InsightOption { return insightTexts("tags", tags) }

// WithEvidence is what supports it.
func WithEvidence(evidence ...Evidence) InsightOption {
	return insightOption(func(c *call) {
		before, _ := c.given.get("evidence")
		list, _ := before.([]Evidence)
		c.set("evidence", append(slices.Clip(list), evidence...))
	})
}

// WithContext is what else belongs to it. `file`, `path` and `files` are added to what it applies to.
func WithContext(name string, value any) InsightOption {
	return insightOption(func(c *call) { c.attribute("context", name, value) })
}

// WithSupersedes are ids of insights that it replaces.
func WithSupersedes(ids ...string) InsightOption { return insightTexts("supersedes", ids) }

// WithExpiry is when it no longer holds.
func WithExpiry[T Moment](when T) InsightOption { return insightField("expires_at", any(when)) }

// ForTask is the task that it belongs to.
func ForTask(id string) InsightOption { return insightField("task", id) }

// WithKey names it: what is reported again with the same key is the same insight.
func WithKey(key string) InsightOption { return insightField("key", key) }

// WithOptions are the answers that a question offers.
func WithOptions(options ...string) InsightOption { return insightTexts("options", options) }

// Blocking says that work waits for the answer.
func Blocking() InsightOption { return insightField("blocking", true) }

// To is who shall answer, or take over: an agent, `human` or `any`.
func To(whom string) InsightOption { return insightField("to", whom) }

// WithInput is something that whoever takes over needs.
func WithInput(name string, value any) InsightOption {
	return insightOption(func(c *call) { c.attribute("inputs", name, value) })
}

// WithDone is what is done already.
func WithDone(steps ...string) InsightOption { return insightTexts("done", steps) }

// WithRemaining is what is left to do.
func WithRemaining(steps ...string) InsightOption { return insightTexts("remaining", steps) }

// WithPercent is how far the work is, 0 to 100.
func WithPercent(percent float64) InsightOption { return insightField("percent", percent) }
