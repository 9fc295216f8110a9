package contextcore

import "context"

// SprintTracker reports sprints.
type SprintTracker struct{ client *client }

// NewSprintTracker makes a tracker of the sprints of a project; see [NewTracker].
func NewSprintTracker(project string, options ...Option) (*SprintTracker, error) {
	client, err := newClient(project, options)
	if err != nil {
		return nil, err
	}
	return &SprintTracker{client}, nil
}

func (s *SprintTracker) report(ctx context.Context, op, id string, options []SprintOption) error {
	given := call{given: object{{"id", id}}}
	for _, option := range options {
		if option != nil {
			option.applySprint(&given)
		}
	}
	project, _ := s.client.subject(ctx, "")
	_, err := s.client.record(ctx, op, project, "", given)
	return err
}

// Start begins a sprint, with its planned dates.
func (s *SprintTracker) Start(ctx context.Context, id string, options ...SprintOption) error {
	return s.report(ctx, "sprint.start", id, options)
}

// End ends a sprint.
func (s *SprintTracker) End(ctx context.Context, id string, options ...SprintOption) error {
	return s.report(ctx, "sprint.end", id, options)
}

// AddTask puts a task into a sprint.
func (s *SprintTracker) AddTask(ctx context.Context, id, task string, options ...TaskOption) error {
	return s.update(ctx, task, call{given: object{{"sprint", id}}}, options)
}

// RemoveTask takes a task out of its sprint.
func (s *SprintTracker) RemoveTask(ctx context.Context, task string, options ...TaskOption) error {
	return s.update(ctx, task, call{given: object{{"sprint", null{}}}}, options)
}

func (s *SprintTracker) update(ctx context.Context, task string, given call, options []TaskOption) error {
	for _, option := range options {
		if option != nil {
			option.applyTask(&given)
		}
	}
	project, id := s.client.subject(ctx, task)
	_, err := s.client.record(ctx, "task.update", project, id, given)
	return err
}

// Dropped counts calls that could not be written.
func (s *SprintTracker) Dropped() uint64 { return s.client.dropped.Load() }

// Flush is [Tracker.Flush].
func (s *SprintTracker) Flush(ctx context.Context) error { return s.client.flush(ctx) }

// Close is [Tracker.Close].
func (s *SprintTracker) Close(ctx context.Context) error { return s.client.close(ctx) }
