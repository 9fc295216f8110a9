//! A layer for subscribers of `tracing`: a task is linked with the traces of the spans that name it.
//!
//! ```
//! use opentelemetry::trace::TracerProvider as _;
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! # let (tracker, operations) = contextcore_sdk::testing::memory("shop");
//! # let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
//! let subscriber = tracing_subscriber::registry()
//!     .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("shop")))
//!     .with(tracker.layer());
//! # tracing::subscriber::with_default(subscriber, || {
//! tracing::info_span!("import", task.id = "PROJ-8").in_scope(|| { /* the work */ });
//! # });
//! # assert_eq!(operations.all().len(), 1);
//! ```
//!
//! A span with a field `task.id`, given when it is made or recorded later, writes one `task.link` of kind `trace`: the trace of the
//! span that the layer of `tracing-opentelemetry` made for it. A field `project.id` of the span, else of the nearest span around it,
//! says in which project; without one it is that of the tracker.
//!
//! - **When.** As the span is left for the first time, or as a span in it is entered, or as the task is recorded after that. A trace has
//!   its id only when its span starts; before that `OpenTelemetrySpanExt::set_parent` may still move it, and this layer does not start
//!   it. A span that is never entered links nothing.
//! - **Once.** A task and a trace are linked once, as far as the layer remembers: the last 4,096 pairs at least. What is written again
//!   after that is the same artifact.
//! - **Not.** A trace that is not sampled is nowhere to be found. Without the layer of `tracing-opentelemetry`, or where it does not
//!   see a span, there is no trace; the first such span is a message of level debug. A `task.id` of a span around counts for that one
//!   alone.
//!
//! A link costs what any call of the tracker costs. The layer holds a clone of the tracker, and a subscriber for the whole process is
//! never dropped: end a program with [`TaskTracker::close`](crate::TaskTracker::close).

mod memory;
mod work;

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use contextcore_model::operation::{Operation, TaskLink};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::dispatcher::{WeakDispatch, get_default};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use self::memory::Recent;
use self::work::{Fields, Work};
use crate::client::{Client, Error};

/// Projects other than the tracker's: each has a file that stays open.
const MOST_PROJECTS: usize = 64;

/// Numbers the layers: two in one subscriber mark the same spans.
static LAYERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// A link is being written by this thread. What is traced meanwhile, by hooks or by the log of this crate, is not looked at.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// Links tasks with the traces of spans that name them: see the [module](self). Made by
/// [`TaskTracker::layer`](crate::TaskTracker::layer).
#[derive(Debug)]
pub struct TaskLinks {
    number: usize,
    client: Client,
    /// Clients of other projects.
    projects: Mutex<HashMap<String, Client>>,
    linked: Mutex<Recent>,
    /// The subscriber that this is a layer of.
    dispatch: OnceLock<WeakDispatch>,
    /// It was logged that a span has no trace.
    is_explained: AtomicBool,
}

/// A lock, whoever panicked with it.
fn lock_of<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TaskLinks {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            number: LAYERS.fetch_add(1, Ordering::Relaxed),
            client,
            projects: Mutex::default(),
            linked: Mutex::default(),
            dispatch: OnceLock::new(),
            is_explained: AtomicBool::new(false),
        }
    }

    /// Links the task of a span that has started, if it has one that is not linked.
    fn link<S>(&self, span: &SpanRef<'_, S>)
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        // Spans are entered and left much more often than there is something to do.
        if !span.extensions().get::<Work>().is_some_and(|work| work.is_due(self.number)) {
            return;
        }
        // Nothing of the span is locked after this: what is called below may look at it.
        let due = span.extensions_mut().get_mut::<Work>().and_then(|work| work.start(self.number));
        let Some(task) = due else { return };
        let around = || span.scope().find_map(|each| each.extensions().get::<Work>()?.project.clone());
        alone(|| self.write(task, around().as_deref(), self.trace_of(span)));
    }

    /// The trace of a span, which is started if it was not: its children have begun, or it has been left once.
    fn trace_of<S>(&self, span: &SpanRef<'_, S>) -> Option<SpanContext>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let own = self.dispatch.get().and_then(WeakDispatch::upgrade);
        // An `Option` and a `Vec` of layers do not pass on of which subscriber they are. It is the current one, or there is no trace.
        let dispatch = own.or_else(|| get_default(|current| holds(current, span).then(|| current.clone())))?;
        let context = get_otel_context(&span.id(), &dispatch)?.span().span_context().clone();
        context.is_valid().then_some(context)
    }

    fn write(&self, task: String, project: Option<&str>, trace: Option<SpanContext>) {
        let Some(trace) = trace else { return self.explain() };
        let project = project.unwrap_or_else(|| self.client.project());
        if !trace.is_sampled() || !lock_of(&self.linked).is_new(&(project, &*task, trace.trace_id())) {
            return;
        }
        let client = match self.client_of(project) {
            Ok(client) => client,
            Err(error) => return self.client.drop_call(&error),
        };
        let (id, flags) = (trace.trace_id().to_string(), trace.trace_flags());
        let traceparent = format!("00-{id}-{}-{flags:02x}", trace.span_id());
        let link = TaskLink { task, kind: "trace".to_owned(), reference: id, url: None };
        client.record_from(Operation::Link(link), Some(traceparent));
    }

    /// The client of a project. Nothing is locked while the directory of another project is made.
    fn client_of(&self, project: &str) -> Result<Client, Error> {
        if project == self.client.project() {
            return Ok(self.client.clone());
        }
        let known = lock_of(&self.projects);
        if let Some(client) = known.get(project) {
            return Ok(client.clone());
        }
        if known.len() >= MOST_PROJECTS {
            return Err(Error::Invalid(format!("spans name more than {MOST_PROJECTS} projects; others get no links")));
        }
        drop(known);
        let client = self.client.of_project(project)?;
        lock_of(&self.projects).insert(project.to_owned(), client.clone());
        Ok(client)
    }

    fn explain(&self) {
        if !self.is_explained.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                target: "contextcore",
                "a span with `task.id` has no span of OpenTelemetry, so there is no trace to link; is `tracing_opentelemetry::layer()` in the subscriber?"
            );
        }
    }
}

/// Whether a subscriber is the one of this very span: others have spans of the same id.
fn holds<S>(dispatch: &Dispatch, span: &SpanRef<'_, S>) -> bool
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let place = |span: &SpanRef<'_, S>| span.extensions().get::<Work>().map(std::ptr::from_ref);
    let theirs = dispatch.downcast_ref::<S>().and_then(|subscriber| subscriber.span(&span.id()));
    theirs.is_some_and(|theirs| place(&theirs) == place(span))
}

fn is_writing() -> bool {
    // A thread that ends has no locals left.
    WRITES.try_with(Cell::get).unwrap_or(true)
}

/// Calls what writes, which may run hooks of the program: whatever it traces makes no more links, and a panic in it ends here, since a
/// span may just be left because of another.
fn alone(work: impl FnOnce()) {
    if is_writing() {
        return;
    }
    WRITES.with(|writes| writes.set(true));
    let _reported_by_its_hook = catch_unwind(AssertUnwindSafe(work));
    WRITES.with(|writes| writes.set(false));
}

impl<S> Layer<S> for TaskLinks
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        let _the_first_counts = self.dispatch.set(subscriber.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if is_writing() || !Fields::are_in(attributes.metadata()) {
            return;
        }
        let fields = Fields::read(|visitor| attributes.record(visitor));
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        // Another layer of this kind was faster.
        if extensions.get_mut::<Work>().is_none() {
            extensions.insert(Work::of(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if is_writing() || !Fields::are_in(span.metadata()) {
            return;
        }
        let fields = Fields::read(|visitor| values.record(visitor));
        let has_started = span.extensions_mut().get_mut::<Work>().is_some_and(|work| work.change(fields));
        if has_started {
            self.link(&span);
        }
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(parent) = context.span(id).and_then(|span| span.parent()) {
            self.link(&parent);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            self.link(&span);
        }
    }
}
