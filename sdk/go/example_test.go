package contextcore_test

// What README.md shows, as it runs.

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	contextcore "contextcore.io/sdk/go"
)

func show(recorder *contextcore.Recorder) {
	for _, each := range recorder.Operations() {
		text, _ := json.Marshal(each)
		fmt.Println(string(text))
	}
}

func Example() {
	ctx, recorder := context.Background(), &contextcore.Recorder{}
	tracker, err := contextcore.NewTracker("commerce-platform", contextcore.WithEndpoint("http://tempo:4317"), contextcore.WithRecorder(recorder))
	if err != nil {
		return // only with WithStrict
	}
	defer tracker.Close(ctx)
	tracker.Start(ctx, "PROJ-123", "Implement checkout flow", contextcore.WithType("story"), contextcore.WithParent("EPIC-42"))
	tracker.SetStatus(ctx, "PROJ-123", "in_progress")
	tracker.Complete(ctx, "PROJ-123", contextcore.WithTime(time.Date(2026, 11, 26, 9, 0, 0, 0, time.UTC)))
	show(recorder)
	// Output:
	// {"op":"task.start","task":"PROJ-123","title":"Implement checkout flow","type":"story","parent":"EPIC-42"}
	// {"op":"task.status","task":"PROJ-123","status":"in_progress"}
	// {"at":"2026-11-26T09:00:00Z","op":"task.complete","task":"PROJ-123"}
}

func ExampleTracker_Run() {
	ctx, recorder := context.Background(), &contextcore.Recorder{}
	tracker, _ := contextcore.NewTracker("shop", contextcore.WithRecorder(recorder))
	err := tracker.Run(ctx, "PROJ-8", "Import", func(ctx context.Context, task *contextcore.Task) error {
		// The context has the task.
		return tracker.Progress(ctx, "", 50)
	})
	fmt.Println(err)
	show(recorder)
	// Output:
	// <nil>
	// {"op":"task.start","task":"PROJ-8","title":"Import"}
	// {"op":"task.status","task":"PROJ-8","status":"in_progress"}
	// {"op":"task.progress","task":"PROJ-8","percent":50}
	// {"op":"task.complete","task":"PROJ-8"}
}

func ExampleEmitter() {
	ctx, recorder := context.Background(), &contextcore.Recorder{}
	tracker, _ := contextcore.NewTracker("commerce-platform", contextcore.WithRecorder(recorder))
	agent := tracker.Emitter("claude-checkout-session")
	agent.Decision(ctx, "Selected event-driven architecture", contextcore.WithConfidence(0.92), contextcore.WithContext("file", "src/checkout/events.py"))
	question, _ := agent.Question(ctx, "Which region first?", contextcore.WithOptions("eu", "us"), contextcore.Blocking(), contextcore.WithKey("region"))
	agent.Answer(ctx, question.ID, "eu", "ada")
	show(recorder)
	// Output:
	// {"op":"insight.emit","id":"ins_2965ed5f76220cea","type":"decision","summary":"Selected event-driven architecture","confidence":0.92,"agent":"claude-checkout-session","applies_to":["src/checkout/events.py"]}
	// {"op":"insight.emit","id":"ins_1d9d147430803b31","type":"question","summary":"Which region first?","agent":"claude-checkout-session","key":"region","options":["eu","us"],"blocking":true,"to":"human"}
	// {"op":"insight.update","id":"ins_1d9d147430803b31","action":"answer","text":"eu","by":"ada","agent":"claude-checkout-session"}
}
