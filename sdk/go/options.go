package contextcore

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
)

// Option is an option of a client: a tracker, an emitter or a querier. What is not given comes from the environment.
type Option func(*settings)

// Mode says whether anything is written and sent.
type Mode string

const (
	// Online writes and sends.
	Online Mode = "online"
	// Offline writes and sends nothing.
	Offline Mode = "offline"
	// Disabled does nothing.
	Disabled Mode = "disabled"
)

type settings struct {
	endpoint   string
	protocol   string
	headers    map[string]string
	actor      string
	stateDir   string
	noDrain    bool
	strict     bool
	mode       Mode
	beforeSend func(*Operation) bool
	log        logger
	recorder   *Recorder
	agent      agentSettings
	reader     string
}

// WithEndpoint says where telemetry goes, such as `http://tempo:4317`. Default: OTEL_EXPORTER_OTLP_ENDPOINT. A service of ContextCore
// without a shared disk is `https+ops://HOST/v1/ops`.
func WithEndpoint(endpoint string) Option { return func(s *settings) { s.endpoint = endpoint } }

// WithProtocol is `grpc` or `http/protobuf`. Default: what the environment says, or the address suggests.
func WithProtocol(protocol string) Option { return func(s *settings) { s.protocol = protocol } }

// WithHeader is a header of every request, such as `authorization`. It stays in memory and is in no file.
func WithHeader(name, value string) Option {
	return func(s *settings) {
		s.headers = maps.Clone(s.headers)
		if s.headers == nil {
			s.headers = map[string]string{}
		}
		s.headers[name] = value
	}
}

// WithActor is who does what is reported.
func WithActor(actor string) Option { return func(s *settings) { s.actor = actor } }

// WithStateDir is where the spool is. Default: CONTEXTCORE_STATE_DIR, else `~/.local/state/contextcore`.
func WithStateDir(path string) Option { return func(s *settings) { s.stateDir = path } }

// WithoutDrain starts no helper, and sends nothing from this process.
func WithoutDrain() Option { return func(s *settings) { s.noDrain = true } }

// WithStrict returns errors: [ErrInvalid] and [ErrSpoolUnavailable]. Without it bad values are clamped, and what cannot be written counts
// in Dropped.
func WithStrict() Option { return func(s *settings) { s.strict = true } }

// WithMode says whether anything is written and sent. Default: CONTEXTCORE_MODE, else [Online].
func WithMode(mode Mode) Option { return func(s *settings) { s.mode = mode } }

// WithBeforeSend is given each operation before it is written. It may change it, and returns false to drop it.
func WithBeforeSend(hook func(*Operation) bool) Option {
	return func(s *settings) { s.beforeSend = hook }
}

// WithLogger is where warnings go. Default: slog's default.
func WithLogger(to *slog.Logger) Option { return func(s *settings) { s.log = logger{to} } }

// WithRecorder keeps operations in memory instead of writing them, for tests of your program.
func WithRecorder(recorder *Recorder) Option { return func(s *settings) { s.recorder = recorder } }

// agentSettings says who reports insights.
type agentSettings struct{ name, session, onBehalfOf, task string }

// WithAgentName is the program that an agent is, such as `claude-code`.
func WithAgentName(name string) Option { return func(s *settings) { s.agent.name = name } }

// WithSession is the conversation or run of an agent.
func WithSession(session string) Option { return func(s *settings) { s.agent.session = session } }

// WithOnBehalfOf is the person for whom an agent works.
func WithOnBehalfOf(person string) Option { return func(s *settings) { s.agent.onBehalfOf = person } }

// WithAgentTask is the task that all insights of an emitter belong to.
func WithAgentTask(task string) Option { return func(s *settings) { s.agent.task = task } }

// WithReader is the agent that a querier asks for. Default: CONTEXTCORE_AGENT. What it is given is noted: an agent does not corroborate
// what it was given, and handoffs to it come first.
func WithReader(agent string) Option { return func(s *settings) { s.reader = agent } }

// modeOf gives the mode, and what is wrong with the one that was named.
func modeOf(given Mode) (Mode, string) {
	named := Mode(strings.ToLower(strings.TrimSpace(cmp.Or(string(given), os.Getenv("CONTEXTCORE_MODE")))))
	wrong := ""
	switch named {
	case Online, Offline, Disabled:
		return named, ""
	case "":
	default:
		wrong = fmt.Sprintf("the mode %s is none of online, offline, disabled; online is used", named)
	}
	if strings.EqualFold(strings.TrimSpace(os.Getenv("OTEL_SDK_DISABLED")), "true") {
		return Disabled, wrong
	}
	return Online, wrong
}
