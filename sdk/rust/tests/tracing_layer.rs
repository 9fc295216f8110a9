//! Spans of `tracing` that name a task link it with their trace: once, in its project, whatever else is in the subscriber.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use contextcore_sdk::{Operation, TaskTracker};
use opentelemetry::trace::{SpanContext, TraceContextExt as _, TraceFlags, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use serde_json::Value;
use tracing::subscriber::with_default;
use tracing::{Dispatch, Event, Metadata, Subscriber, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry;

/// Keeps the spans that ended.
#[derive(Debug, Clone, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Ended {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Traces that are kept in memory.
struct Traces {
    provider: SdkTracerProvider,
    ended: Ended,
}

impl Traces {
    fn new() -> Self {
        Self::sampled(Sampler::AlwaysOn)
    }

    fn sampled(sampler: Sampler) -> Self {
        let ended = Ended::default();
        let provider = SdkTracerProvider::builder().with_sampler(sampler).with_simple_exporter(ended.clone()).build();
        Self { provider, ended }
    }

    fn tracer(&self) -> SdkTracer {
        self.provider.tracer("test")
    }

    /// The span of a name, which has ended.
    fn span(&self, name: &str) -> SpanData {
        self.ended.0.lock().unwrap().iter().find(|span| span.name == name).unwrap().clone()
    }

    fn id(&self, name: &str) -> String {
        self.span(name).span_context.trace_id().to_string()
    }
}

/// A tracker, its state directory, and the lines in it.
struct Home {
    dir: tempfile::TempDir,
    tracker: TaskTracker,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let builder = TaskTracker::builder().project("shop").state_dir(dir.path()).endpoint("http://127.0.0.1:9");
        let tracker = builder.drain(false).build().unwrap();
        Self { dir, tracker }
    }

    /// The lines of each file, after the project of its header, without the time of writing.
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = texts(self.dir.path()).iter().flat_map(|text| lines_of(text)).collect();
        lines.sort();
        lines
    }
}

fn texts(under: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(under).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => texts(&path),
        false if path.extension().is_some_and(|end| end == "jsonl") => vec![std::fs::read_to_string(path).unwrap()],
        false => Vec::new(),
    };
    entries.flat_map(read).collect()
}

fn lines_of(text: &str) -> Vec<String> {
    let mut lines = text.lines();
    let header: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let without_time = |line: &str| {
        let (before, after) = line.split_once(r#""t":""#).unwrap();
        format!("{} {before}{}", header["project"].as_str().unwrap(), after.split_once(r#"","#).unwrap().1)
    };
    lines.map(without_time).collect()
}

fn line(project: &str, seq: u64, task: &str, span: &SpanData) -> String {
    let (trace, id) = (span.span_context.trace_id(), span.span_context.span_id());
    format!(
        r#"{project} {{"v":1,"seq":{seq},"op":"task.link","task":"{task}","kind":"trace","ref":"{trace}","traceparent":"00-{trace}-{id}-01"}}"#
    )
}

/// The tasks of links in memory, each with its trace.
fn links(operations: &[Operation]) -> Vec<(String, String)> {
    let link = |operation: &Operation| match operation {
        Operation::Link(link) if link.kind == "trace" && link.url.is_none() => {
            (link.task.clone(), link.reference.clone())
        }
        other => panic!("{other:?}"),
    };
    operations.iter().map(link).collect()
}

/// Runs with a tracker in memory and the layer of OpenTelemetry; returns the tasks that got links, and the traces.
fn linked(work: impl FnOnce()) -> (Vec<(String, String)>, Traces) {
    let (traces, (tracker, operations)) = (Traces::new(), contextcore_sdk::testing::memory("shop"));
    let layers = registry().with(tracing_opentelemetry::layer().with_tracer(traces.tracer())).with(tracker.layer());
    with_default(layers, work);
    (links(&operations.all()), traces)
}

fn tasks(links: &[(String, String)]) -> Vec<&str> {
    links.iter().map(|(task, _)| &**task).collect()
}

#[test]
fn the_lines_are_exact_whichever_layer_is_first() {
    let work = || {
        let outer = info_span!("outer", task.id = "T-1", other = 1);
        outer.in_scope(|| info_span!("inner").in_scope(|| ()));
        info_span!("second", task.id = 42).in_scope(|| ());
    };
    for is_first in [true, false] {
        let (home, traces) = (Home::new(), Traces::new());
        let (otel, links) =
            (tracing_opentelemetry::layer().with_tracer(traces.tracer()).boxed(), home.tracker.layer().boxed());
        let layers = if is_first { vec![links, otel] } else { vec![otel, links] };
        with_default(registry().with(layers), work);
        let expected = [line("shop", 1, "T-1", &traces.span("outer")), line("shop", 2, "42", &traces.span("second"))];
        assert_eq!(home.lines(), expected, "first: {is_first}");
        assert_ne!(traces.id("outer"), traces.id("second"));
        assert_eq!(home.tracker.dropped(), 0);
    }
}

#[test]
fn a_task_may_be_recorded_at_any_time() {
    let (links, traces) = linked(|| {
        let span = info_span!("before", task.id = tracing::field::Empty);
        span.record("task.id", "BEFORE");
        span.in_scope(|| ());
        let span = info_span!("within", task.id = tracing::field::Empty);
        span.in_scope(|| span.record("task.id", tracing::field::display("WITHIN")));
        let span = info_span!("after", task.id = tracing::field::Empty);
        span.in_scope(|| ());
        span.record("task.id", "AFTER");
        let span = info_span!("changed", task.id = "ONE");
        span.in_scope(|| ());
        span.record("task.id", "ONE");
        span.record("task.id", "TWO");
        span.in_scope(|| ());
        info_span!("never", task.id = tracing::field::Empty).in_scope(|| ());
        info_span!("blank", task.id = " ").in_scope(|| ());
    });
    let expected = ["BEFORE", "WITHIN", "AFTER", "ONE", "TWO"];
    let names = ["before", "within", "after", "changed", "changed"];
    let expected: Vec<_> = expected.iter().zip(names).map(|(task, name)| (task.to_string(), traces.id(name))).collect();
    assert_eq!(links, expected);
}

#[test]
fn each_task_of_nested_spans_is_linked_once_with_their_trace() {
    let (links, traces) = linked(|| {
        let root = info_span!("root", task.id = "A");
        for _ in 0..3 {
            let _entered = root.enter();
            let _same = info_span!("same", task.id = "A").entered();
            let _none = info_span!("none").entered();
            let _other = info_span!("other", task.id = "B").entered();
        }
        drop(root);
        info_span!("root", task.id = "A").in_scope(|| ());
    });
    assert_eq!(tasks(&links), ["A", "B", "A"]);
    assert_eq!(links[0].1, links[1].1);
    assert_eq!(links[0].1, traces.id("none"));
    assert_ne!(links[0].1, links[2].1);
}

#[test]
fn a_span_is_linked_while_it_lasts_as_soon_as_one_in_it_begins() {
    let (tracker, operations) = contextcore_sdk::testing::memory("shop");
    let traces = Traces::new();
    let layers = registry().with(tracing_opentelemetry::layer().with_tracer(traces.tracer())).with(tracker.layer());
    with_default(layers, || {
        let long = info_span!("long", task.id = "A").entered();
        assert_eq!(operations.all().len(), 0);
        info_span!("step").in_scope(|| assert_eq!(tasks(&links(&operations.all())), ["A"]));
        drop(long);
        // Never entered, and yet work was done in it.
        let parent = info_span!(parent: None, "parent", task.id = "B");
        info_span!(parent: &parent, "child").in_scope(|| ());
        assert_eq!(tasks(&links(&operations.all())), ["A", "B"]);
        drop(info_span!("never entered", task.id = "C"));
    });
    assert_eq!(operations.all().len(), 2);
}

#[test]
fn the_nearest_project_around_is_that_of_the_link() {
    let (home, traces) = (Home::new(), Traces::new());
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    with_default(registry().with(otel).with(home.tracker.layer()), || {
        let _project = info_span!("around", project.id = "billing").entered();
        info_span!("inherits", task.id = "T-1").in_scope(|| ());
        info_span!("own", task.id = "T-1", project.id = "search").in_scope(|| ());
        info_span!("back", task.id = "T-1", project.id = "shop").in_scope(|| ());
        let _later = info_span!("later", task.id = "T-2", project.id = tracing::field::Empty).entered();
        tracing::Span::current().record("project.id", "late");
    });
    let of = |project, task, name| line(project, 1, task, &traces.span(name));
    let expected = [
        of("billing", "T-1", "inherits"),
        of("late", "T-2", "later"),
        of("search", "T-1", "own"),
        of("shop", "T-1", "back"),
    ];
    assert_eq!(home.lines(), expected);
    let lanes = std::fs::read_dir(home.dir.path().join("lanes")).unwrap().count();
    assert_eq!(lanes, 1, "all go to the destination of the tracker");
}

#[test]
fn no_more_than_64_other_projects_have_files_open() {
    let (home, traces) = (Home::new(), Traces::new());
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    with_default(registry().with(otel).with(home.tracker.layer()), || {
        for number in 0..70 {
            info_span!("work", task.id = "T-1", project.id = format!("p-{number}")).in_scope(|| ());
        }
        info_span!("work", task.id = "T-1").in_scope(|| ());
        info_span!("work", task.id = "T-2", project.id = "p-0").in_scope(|| ());
    });
    assert_eq!((home.lines().len(), home.tracker.dropped()), (66, 6));
}

#[test]
fn threads_link_a_pair_once_and_lose_none() {
    let (home, traces) = (Home::new(), Traces::new());
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    let dispatch = Dispatch::new(registry().with(otel).with(home.tracker.layer()));
    let shared = tracing::dispatcher::with_default(&dispatch, || info_span!("shared", task.id = "ALL"));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (dispatch, shared) = (dispatch.clone(), shared.clone());
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for number in 0..200 {
                        let _all = shared.enter();
                        info_span!("both", task.id = number).in_scope(|| ());
                        info_span!(parent: None, "own", task.id = format!("{thread}-{number}")).in_scope(|| ());
                    }
                });
            });
        }
    });
    drop(shared);
    let lines = home.lines();
    let of = |task: String| lines.iter().filter(|line| line.contains(&format!(r#""task":"{task}""#))).count();
    assert_eq!((lines.len(), of("ALL".to_owned())), (1 + 200 + 400, 1));
    assert!((0..200).all(|number| (of(number.to_string()), of(format!("1-{number}"))) == (1, 1)));
}

/// Does something at each event of the SDK, and counts them.
struct Watch<F>(F, Arc<AtomicUsize>);

impl<S: Subscriber, F: Fn(&Metadata<'_>) + 'static + Send + Sync> Layer<S> for Watch<F> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "contextcore" {
            // A message that causes itself again shall fail and not overflow the stack.
            assert!(self.1.fetch_add(1, Ordering::Relaxed) < 100, "{event:?}");
            (self.0)(event.metadata());
        }
    }
}

#[test]
fn without_a_trace_there_is_no_link_and_one_message() {
    let (tracker, operations) = contextcore_sdk::testing::memory("shop");
    let count = Arc::new(AtomicUsize::new(0));
    let is_debug = |metadata: &Metadata<'_>| assert_eq!(*metadata.level(), tracing::Level::DEBUG);
    with_default(registry().with(tracker.layer()).with(Watch(is_debug, Arc::clone(&count))), || {
        for _ in 0..3 {
            info_span!("work", task.id = "T-1").in_scope(|| ());
        }
    });
    assert_eq!((operations.all().len(), count.load(Ordering::Relaxed), tracker.dropped()), (0, 1, 0));
}

#[test]
fn what_the_layer_of_opentelemetry_does_not_see_or_sample_is_not_linked() {
    let (traces, (tracker, operations)) = (Traces::new(), contextcore_sdk::testing::memory("shop"));
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    with_default(registry().with(otel.with_filter(LevelFilter::INFO)).with(tracker.layer()), || {
        let _root = info_span!("seen", task.id = "SEEN").entered();
        let _hidden = tracing::debug_span!("hidden", task.id = "HIDDEN").entered();
        let _in_it = info_span!("in it", task.id = "IN IT").entered();
    });
    let found = links(&operations.all());
    assert_eq!(found, [("SEEN".to_owned(), traces.id("seen")), ("IN IT".to_owned(), traces.id("seen"))]);

    let (traces, (tracker, operations)) =
        (Traces::sampled(Sampler::AlwaysOff), contextcore_sdk::testing::memory("shop"));
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    with_default(registry().with(otel).with(tracker.layer()), || info_span!("a", task.id = "A").in_scope(|| ()));
    assert_eq!(operations.all().len(), 0);

    let (links, _) = linked(|| {
        let kept = filter_fn(|metadata| metadata.name() != "x");
        with_default(registry().with(kept), || info_span!("x", task.id = "A").in_scope(|| ()));
    });
    assert!(links.is_empty(), "another subscriber has no such layer");
}

#[test]
fn a_span_still_gets_a_parent_from_elsewhere() {
    let remote = |id: u128| {
        SpanContext::new(id.into(), 7.into(), TraceFlags::SAMPLED, true, opentelemetry::trace::TraceState::default())
    };
    let (traces, (tracker, operations)) = (Traces::new(), contextcore_sdk::testing::memory("shop"));
    // As programs have it that set the parent within the span.
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer()).with_context_activation(false);
    with_default(registry().with(tracker.layer()).with(otel), || {
        let span = info_span!("before", task.id = "A");
        span.set_parent(opentelemetry::Context::new().with_remote_span_context(remote(1))).unwrap();
        span.in_scope(|| ());
        let _within = info_span!("within", task.id = "B").entered();
        tracing::info!("an event starts nothing");
        let parent = opentelemetry::Context::new().with_remote_span_context(remote(2));
        tracing::Span::current().set_parent(parent).unwrap();
    });
    let expected = [("A".to_owned(), format!("{:032x}", 1)), ("B".to_owned(), format!("{:032x}", 2))];
    assert_eq!(links(&operations.all()), expected);
}

/// Fails instead of waiting for ever.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    let in_time = is_done.recv_timeout(Duration::from_secs(20));
    assert!(!matches!(in_time, Err(mpsc::RecvTimeoutError::Timeout)), "it waits for itself");
    thread.join().unwrap();
}

#[test]
fn what_the_log_and_hooks_trace_makes_no_more_links() {
    in_time(|| {
        let (dir, traces) = (tempfile::tempdir().unwrap(), Traces::new());
        let trace = || info_span!("again", task.id = "AGAIN").in_scope(|| tracing::warn!("again"));
        let builder = TaskTracker::builder().project("shop").state_dir(dir.path()).endpoint("http://127.0.0.1:9");
        let hook = move |operation| {
            trace();
            Some(operation)
        };
        let tracker = builder.drain(true).before_send(hook).build().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
        let watch = Watch(move |_: &Metadata<'_>| trace(), Arc::clone(&count));
        with_default(registry().with(otel).with(tracker.layer()).with(watch), || {
            for number in 0..5 {
                info_span!("work", task.id = number).in_scope(|| ());
            }
        });
        let text = texts(dir.path()).concat();
        assert_eq!((text.matches("task.link").count(), text.matches("AGAIN").count()), (5, 0), "{text}");
    });
}

#[test]
fn a_hook_that_panics_ends_no_span_and_nothing_else() {
    let (traces, recorder) = (Traces::new(), contextcore_sdk::testing::memory("shop").1);
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let hook = move |operation| match seen.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("on purpose"),
        _ => Some(operation),
    };
    let tracker = TaskTracker::builder().project("shop").memory(&recorder).before_send(hook).build().unwrap();
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    with_default(registry().with(otel).with(tracker.layer()), || {
        info_span!("first", task.id = "A").in_scope(|| ());
        info_span!("second", task.id = "B").in_scope(|| ());
    });
    assert_eq!(links(&recorder.all()), [("B".to_owned(), traces.id("second"))]);
}

#[test]
fn layers_of_two_trackers_do_not_disturb_each_other() {
    let traces = Traces::new();
    let ((one, in_one), (two, in_two)) = (contextcore_sdk::testing::memory("a"), contextcore_sdk::testing::memory("b"));
    let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
    with_default(registry().with(one.layer()).with(otel).with(two.layer()), || {
        let span = info_span!("work", task.id = "A");
        span.in_scope(|| ());
        span.record("task.id", "B");
    });
    let expected = ["A", "B"].map(|task| (task.to_owned(), traces.id("work")));
    assert_eq!(links(&in_one.all()), expected);
    assert_eq!(links(&in_two.all()), expected);
}

#[test]
fn a_span_is_linked_wherever_it_is_left() {
    for is_optional in [true, false] {
        let (traces, (tracker, operations)) = (Traces::new(), contextcore_sdk::testing::memory("shop"));
        let otel = tracing_opentelemetry::layer().with_tracer(traces.tracer());
        // A layer that may be absent does not learn of which subscriber it is.
        let layer = if is_optional { Some(tracker.layer()).boxed() } else { tracker.layer().boxed() };
        let dispatch = Dispatch::new(registry().with(otel).with(layer));
        let span = tracing::dispatcher::with_default(&dispatch, || info_span!("work", task.id = "T"));
        let other = Dispatch::new(registry().with(tracing_opentelemetry::layer().with_tracer(traces.tracer())));
        tracing::dispatcher::with_default(&other, || {
            let _has_the_same_id = info_span!("work", task.id = "T");
            span.in_scope(|| ());
        });
        assert_eq!(operations.all().len(), usize::from(!is_optional), "optional: {is_optional}");
        tracing::dispatcher::with_default(&dispatch, || info_span!("here", task.id = "T").in_scope(|| ()));
        assert_eq!(operations.all().len(), 1 + usize::from(!is_optional), "optional: {is_optional}");
    }
}
