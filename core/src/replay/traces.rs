//! Telling the traces backend: history, root by root.
//!
//! Work goes in a fixed order (by root, then by when things became final), so that it can stop anywhere and go on. A
//! request carries whole roots' deltas where they fit, and every request re-sends the anchors above what it carries, so
//! that structural queries work while an epic is open.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;

use super::ids;
use super::lineage::{Book, Lineage};
use super::otlp::{self, ResourceKey, Setting};
use super::parts::Part;
use super::render::{Final, Scene, Window};
use super::{Plan, Replayer, Sent};
use crate::error::Result;
use crate::model::TaskKey;
use crate::sink::{Batch, MAX_BATCH_BYTES, MAX_BATCH_SPANS, Signal};
use crate::sprint::Ledger;
use crate::store::{Item, Position};
use crate::time::Millis;

/// Room left in a request for resources, scopes and field headers.
const BATCH_BYTES: usize = MAX_BATCH_BYTES - 64 * 1024;
/// Sprints come after all roots, whose keys start with a source's name.
const SPRINTS: &[u8] = &[0xff];

/// Spans on their way into one request.
#[derive(Default)]
struct Load {
    spans: BTreeMap<ResourceKey, Vec<Span>>,
    count: usize,
    bytes: usize,
    anchors: HashSet<(Vec<u8>, Vec<u8>)>,
}

impl Load {
    fn fits(&self, count: usize, bytes: usize) -> bool {
        self.count == 0 || (self.count + count <= MAX_BATCH_SPANS && self.bytes + bytes <= BATCH_BYTES)
    }

    fn add(&mut self, resource: ResourceKey, span: Span) {
        self.count += 1;
        self.bytes += span.encoded_len() + 8;
        self.spans.entry(resource).or_default().push(span);
    }

    fn into_batch(self, setting: &Setting<'_>) -> Batch {
        let resource_spans = self.spans.into_iter().map(|(key, spans)| ResourceSpans {
            resource: Some(setting.resource(&key)),
            scope_spans: vec![ScopeSpans { scope: Some(otlp::scope()), spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        });
        Batch::Traces(ExportTraceServiceRequest { resource_spans: resource_spans.collect() })
    }
}

/// One root's share of the work.
struct Group {
    order: Vec<u8>,
    members: Vec<TaskKey>,
}

/// Work on one source's traces.
pub(super) struct Traces<'a> {
    replayer: &'a Replayer<'a>,
    source: &'a str,
    plan: &'a Plan,
    setting: Setting<'a>,
    book: Book<'a>,
    window: Window,
    /// How far this work goes, in the journal.
    upto: u64,
    position: Position,
    /// Parts as the group under way leaves them.
    parts: HashMap<TaskKey, Part>,
    /// Parts of groups that are wholly in what was sent or is loaded: what may be kept with the position.
    settled: HashMap<TaskKey, Part>,
    load: Load,
    /// The last group that is wholly in what was sent or is loaded.
    covered: Option<Vec<u8>>,
    sent: Sent,
}

impl<'a> Traces<'a> {
    /// Tells everything a source has for the traces backend.
    pub(super) async fn run(
        replayer: &'a Replayer<'a>,
        source: &'a str,
        plan: &'a Plan,
        sent: &mut Sent,
    ) -> Result<()> {
        let position =
            if plan.again.is_some() { Position::default() } else { replayer.store.position(Signal::Traces, source)? };
        let upto = position.upto.unwrap_or(replayer.store.sealed(source)?);
        if upto <= position.done {
            return Ok(());
        }
        let horizon = replayer.horizon(plan);
        let mut work = Self {
            replayer,
            source,
            plan,
            setting: Setting::new(replayer.config),
            book: Book::new(replayer.store),
            window: Window { seqs: position.done + 1..=upto, horizon },
            upto,
            position,
            parts: HashMap::new(),
            settled: HashMap::new(),
            load: Load::default(),
            covered: None,
            sent: Sent::default(),
        };
        let done = work.all().await;
        sent.add(&work.sent);
        done
    }

    async fn all(&mut self) -> Result<()> {
        let (groups, sprints) = self.groups()?;
        for group in groups {
            if self.position.after.as_ref().is_none_or(|after| group.order > *after) {
                self.group(group).await?;
            }
        }
        for sprint in sprints {
            self.sprint(&sprint).await?;
        }
        self.flush().await?;
        self.position = Position { done: self.upto, upto: None, after: None };
        self.keep_position()
    }

    /// The tasks with news, by root in the order of keys, and the sprints with news.
    fn groups(&self) -> Result<(Vec<Group>, Vec<TaskKey>)> {
        let mut roots: BTreeMap<Vec<u8>, BTreeSet<TaskKey>> = BTreeMap::new();
        let mut sprints = BTreeSet::new();
        self.replayer.each_changed(Signal::Traces, self.source, &self.window.seqs, self.plan, |item| {
            match item {
                Item::Task(key) => {
                    let lineage = Lineage::at(&self.book, &key, Millis(i64::MAX))?;
                    roots.entry(lineage.root().native_id.clone().into_bytes()).or_default().insert(key);
                }
                Item::Sprint(key) => {
                    sprints.insert(key);
                }
            }
            Ok(())
        })?;
        let groups = roots.into_iter().map(|(order, members)| Group { order, members: members.into_iter().collect() });
        Ok((groups.collect(), sprints.into_iter().collect()))
    }

    async fn group(&mut self, group: Group) -> Result<()> {
        let mut finals = Vec::new();
        for key in &group.members {
            if let Some(record) = self.book.record(key)? {
                finals.extend(Scene { book: &self.book, setting: &self.setting }.finals(key, &record, &self.window)?);
            }
        }
        finals.sort_by(|a, b| (a.end, &a.span.span_id).cmp(&(b.end, &b.span.span_id)));
        for last in finals {
            self.place(last).await?;
        }
        self.settled.extend(self.parts.drain());
        self.covered = Some(group.order);
        Ok(())
    }

    /// Puts a final span, with the anchors above it, into the load; sends the load first if it would not fit.
    async fn place(&mut self, mut last: Final) -> Result<()> {
        let root = Lineage::at(&self.book, &last.key, last.end)?.root().clone();
        let size = last.span.encoded_len();
        let part = self.part(&root, size)?;
        if !self.plan.wants(last.end) || !self.plan.wants_project(&last.resource.project_id) {
            return Ok(());
        }
        last.span.trace_id = ids::history_trace(&root, part).0.to_vec();
        let anchors = Scene { book: &self.book, setting: &self.setting }.anchors(&last.key, last.end, part)?;
        let bytes: usize = anchors.iter().map(|(_, span)| span.encoded_len() + 8).sum();
        if !self.load.fits(anchors.len() + 1, bytes + size + 8) {
            self.flush().await?;
        }
        for (resource, span) in anchors {
            if self.load.anchors.insert((span.trace_id.clone(), span.span_id.clone())) {
                self.load.add(resource, span);
            }
        }
        self.load.add(last.resource, last.span);
        Ok(())
    }

    fn part(&mut self, root: &TaskKey, size: usize) -> Result<u32> {
        if !self.parts.contains_key(root) {
            let known = match self.settled.get(root) {
                Some(part) => *part,
                None if self.plan.again.is_some() => Part::default(),
                None => self.replayer.store.part(root)?.unwrap_or_default(),
            };
            self.parts.insert(root.clone(), known);
        }
        Ok(self.parts.entry(root.clone()).or_default().place(size))
    }

    async fn sprint(&mut self, key: &TaskKey) -> Result<()> {
        let Some(record) = self.book.sprint(key)? else { return Ok(()) };
        if !record.closed_seq.is_some_and(|seq| self.window.seqs.contains(&seq)) {
            return Ok(());
        }
        let ledger = ledger(&self.book, key)?;
        let scene = Scene { book: &self.book, setting: &self.setting };
        let Some((resource, span)) = ledger.and_then(|ledger| scene.sprint(key, &record.facts, &ledger)) else {
            return Ok(());
        };
        let wanted = ledger_end(&span) >= self.window.horizon && self.plan.wants(ledger_end(&span));
        if !wanted || !self.plan.wants_project(&resource.project_id) {
            return Ok(());
        }
        if !self.load.fits(1, span.encoded_len() + 8) {
            self.flush().await?;
        }
        self.load.add(resource, span);
        self.covered = self.covered.take().or_else(|| Some(SPRINTS.to_vec()));
        Ok(())
    }

    /// Sends what is loaded; once it was taken, moves the position to the last group wholly sent.
    async fn flush(&mut self) -> Result<()> {
        let load = std::mem::take(&mut self.load);
        if load.count > 0 {
            let batch = load.into_batch(&self.setting);
            self.replayer.wait_for_room(&batch).await?;
            self.sent.spans += self.replayer.send(self.source, batch).await?;
        }
        if let Some(covered) = self.covered.take() {
            self.position.after = Some(covered);
            self.position.upto = Some(self.upto);
            self.keep_position()?;
        }
        Ok(())
    }

    fn keep_position(&mut self) -> Result<()> {
        if self.plan.again.is_some() {
            return Ok(());
        }
        let mut transaction = self.replayer.store.begin()?;
        for (root, part) in self.settled.drain() {
            transaction.put_part(&root, &part)?;
        }
        transaction.put_position(Signal::Traces, self.source, &self.position)?;
        transaction.commit().map(drop)
    }
}

fn ledger_end(span: &Span) -> Millis {
    Millis(i64::try_from(span.end_time_unix_nano / 1_000_000).unwrap_or(i64::MAX))
}

/// The ledger of a sprint, from everything that was ever in it.
pub(super) fn ledger(book: &Book<'_>, key: &TaskKey) -> Result<Option<Ledger>> {
    let Some(sprint) = book.sprint(key)? else { return Ok(None) };
    let mut records = Vec::new();
    for member in book.store().members(key) {
        records.extend(book.record(&member?)?);
    }
    let timelines = records.iter().map(|record| record.timeline.as_slice());
    Ok(Some(Ledger::new(&key.native_id, &sprint.facts, timelines)))
}
