package contextcore

// What trackers and emitters share: options, the way of a call into the spool, and flushing.

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// How long Flush and Close wait where the context has no deadline.
	flushPeriod = 5 * time.Second
	// Projects that a tracker takes from the baggage of contexts. Each is an open file, and baggage comes from other programs.
	mostProjects = 100
)

// client is the base of everything that writes operations.
type client struct {
	settings
	// Of the caller; empty where the baggage or the environment names one.
	project     string
	fallback    string
	destination *destination
	dropped     atomic.Uint64
	mutex       sync.Mutex
	spools      map[string]*spool
}

func newClient(project string, options []Option) (*client, error) {
	c := &client{project: trimmed(project), spools: map[string]*spool{}}
	for _, option := range options {
		if option != nil {
			option(&c.settings)
		}
	}
	c.fallback = cmp.Or(c.project, trimmed(namedProject(os.Getenv)), "default")
	var wrong []string
	note := func(message string) {
		if message != "" {
			wrong = append(wrong, message)
		}
	}
	mode, message := modeOf(c.mode)
	c.mode = mode
	note(message)
	to, isWrong := resolve(c.endpoint, c.protocol, c.headers, os.Getenv)
	c.destination = to
	if isWrong {
		note("the OTLP endpoint is not an address like http://host:4317; nothing is sent until it is")
	}
	if c.protocol == "grpc" && to != nil && to.protocol == "http/protobuf" {
		note("an endpoint with a path is http/protobuf, not grpc")
	}
	if c.strict && len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrInvalid, strings.Join(wrong, "; "))
	}
	for _, message := range wrong {
		c.log.once(message, message)
	}
	return c, nil
}

// call is what a call gives: options fill it.
type call struct {
	at    time.Time
	given object
}

func (c *call) set(name string, value any) { c.given = c.given.with(name, value) }

// add appends to a list of texts.
func (c *call) add(name string, texts []string) {
	before, _ := c.given.get(name)
	list, _ := before.([]string)
	c.set(name, append(list[:len(list):len(list)], texts...))
}

// attribute sets one of the attributes of a field.
func (c *call) attribute(name, key string, value any) {
	before, _ := c.given.get(name)
	attributes, _ := before.(object)
	c.set(name, attributes.with(key, value))
}

// record writes one operation, and says whether it is written. The error is nil unless the client is strict.
func (c *client) record(ctx context.Context, op, project, task string, given call) (isWritten bool, failed error) {
	var complaints []string
	err := func() (err error) {
		// Hooks and values are the program's. What fails in them must not break it.
		defer func() {
			if cause := recover(); cause != nil {
				err = fmt.Errorf("%w: %s: %v", ErrInvalid, op, cause)
			}
		}()
		isWritten, err = c.written(ctx, op, project, task, given, func(message string) { complaints = append(complaints, message) })
		return err
	}()
	if err != nil {
		isWritten = false
		c.dropped.Add(1)
		if c.strict {
			return false, err
		}
		kind := ErrInvalid
		if errors.Is(err, ErrSpoolUnavailable) {
			kind = ErrSpoolUnavailable
		}
		c.log.limited(kind.Error(), "a call was dropped: "+err.Error())
		return false, nil
	}
	for _, message := range complaints {
		c.log.once(message, message)
	}
	return isWritten, nil
}

func (c *client) written(ctx context.Context, op, project, task string, given call, complain complain) (bool, error) {
	if c.mode == Disabled {
		return false, nil
	}
	invalid := func(message string) error { return fmt.Errorf("%w: %s", ErrInvalid, message) }
	var strictly []string
	operation := c.operation(ctx, op, task, given, func(message string) {
		strictly = append(strictly, message)
		complain(message)
	})
	if c.strict && len(strictly) > 0 {
		return false, invalid(strings.Join(strictly, "; "))
	}
	if message := missing(op, operation); message != "" {
		return false, invalid(message)
	}
	if c.beforeSend != nil {
		shown := &Operation{operation}
		if !c.beforeSend(shown) {
			return false, nil
		}
		operation = shown.fields
	}
	if c.recorder != nil {
		c.recorder.add(operation)
		return true, nil
	}
	rest := line(operation)
	if rest == nil {
		return false, invalid(op + ": the values are longer than a line")
	}
	target, err := c.spool(project)
	if err == nil {
		err = target.append(rest)
	}
	if err != nil {
		return false, err
	}
	if target.drains.Load() && !target.postsItself() {
		target.ensure(false)
	}
	return true, nil
}

func (c *client) operation(ctx context.Context, op, task string, given call, complain complain) object {
	found := make(object, 0, len(given.given)+6)
	if !given.at.IsZero() {
		if when := writeMoment(given.at, complain); when != nil {
			found = append(found, field{"at", when})
		}
	}
	found = append(found, field{"op", op})
	if strings.HasPrefix(op, "task.") {
		found = append(found, field{"task", trimmed(task)})
	}
	found = written(found, op, given.given, complain)
	if actor := plain(c.actor); actor != "" {
		found = append(found, field{"actor", actor})
	}
	if parent := traceparent(ctx); parent != "" {
		found = append(found, field{"traceparent", parent})
	}
	return found
}

// spool is where the lines of a project go.
func (c *client) spool(project string) (*spool, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if found := c.spools[project]; found != nil {
		return found, nil
	}
	if project != c.fallback && len(c.spools) >= mostProjects {
		return nil, fmt.Errorf("%w: the baggage of contexts named more than %d projects", ErrInvalid, mostProjects)
	}
	found := spoolFor(c, project)
	c.spools[project] = found
	if !c.noDrain && c.mode == Online && !isTest() && !strings.EqualFold(os.Getenv("CONTEXTCORE_DRAIN"), "off") {
		found.drains.Store(true)
	}
	return found, nil
}

// opened are the spools that were used.
func (c *client) opened() []*spool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	found := []*spool{}
	for _, each := range c.spools {
		found = append(found, each)
	}
	return found
}

// flush makes everything durable and waits until the backend has accepted it.
func (c *client) flush(ctx context.Context) error {
	if ctx == nil {
		ctx = context.Background()
	}
	if _, hasDeadline := ctx.Deadline(); !hasDeadline {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, flushPeriod)
		defer cancel()
	}
	var failed error
	for _, target := range c.opened() {
		failed = errors.Join(failed, c.flushOne(ctx, target))
	}
	return failed
}

func (c *client) flushOne(ctx context.Context, target *spool) error {
	var count uint64
	for _, each := range target.positions() {
		count += each
	}
	if count == 0 {
		return nil
	}
	var err error
	switch synced := target.sync(); {
	case synced != nil:
		err = synced
	case !target.drains.Load():
		err = errors.New("no helper is started")
	case target.postsItself():
		err = target.post(ctx)
	default:
		err = target.waitForHelper(ctx)
	}
	if err == nil {
		return nil
	}
	message := fmt.Sprintf("%d operations of project %s are on disk in %s and not yet accepted", count, target.project, target.path())
	var why *notSent
	if errors.As(err, &why) {
		c.log.warn(message + ": " + why.Error())
	} else {
		c.log.warn(message)
	}
	return fmt.Errorf("%w: %s: %w", ErrNotAccepted, message, err)
}

// close is flush, and gives up the files. A later call opens others.
func (c *client) close(ctx context.Context) error {
	err := c.flush(ctx)
	c.mutex.Lock()
	targets := c.spools
	c.spools = map[string]*spool{}
	c.mutex.Unlock()
	for _, target := range targets {
		target.release(c)
		if err == nil && target.drains.Load() && target.postsItself() {
			target.sweep()
		}
	}
	return err
}
