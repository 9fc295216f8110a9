//! The export of traces: history, root by root.
//!
//! The order is fixed (by root, then by when spans became final), so that the export can stop anywhere and continue. A
//! request carries all new spans of a root where they fit, and re-sends the anchors above them, so that structural
//! queries work while an epic is open.
//!
//! There is one exception. When a root does not fit into one request, the next one omits the anchors that the last one
//! had. While a trace is in its memory, Tempo accepts the same span twice, and then the whole trace loses its tree:
//! `>>` finds nothing (measured on 2.9 by the tests in `tests/stack`). [`RecentAnchors`] keeps what Tempo may still
//! hold.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;

use super::backend;
use super::context::{ExportContext, ResourceKey};
use super::destinations::{Id, RecentAnchors};
use super::exported::ExportedSprints;
use super::insights::InsightRender;
use super::lineage::{Lineage, TimelineCache};
use super::message::{self, Span};
use super::parts::Part;
use super::plan::{Plan, Sent};
use super::render::{Ends, FinalSpan, RenderContext, Window};
use super::sender::Sender;
use crate::export::otlp::{Batch, MAX_BATCH_BYTES, MAX_BATCH_SPANS, Signal};
use crate::lock;
use crate::model::TaskKey;
use crate::model::error::Result;
use crate::model::ids::{self, TraceId};
use crate::model::time::Millis;
use crate::store::{Item, Position, TASKS_AT_ONCE, Unit};

/// Leaves room in a request for resources, scopes and field headers.
const BATCH_BYTES: usize = MAX_BATCH_BYTES - 64 * 1024;
/// A request is sent at this size once a root is complete: it needs several times as much memory.
const ENOUGH_BYTES: usize = 384 * 1024;
/// The position is saved after this many requests: saving is an fsync, and after a crash the same ids are sent again.
const SAVE_EVERY: u32 = 8;
/// Sprints and insights follow all roots, whose keys start with a source's name.
const AFTER_ROOTS: &[u8] = &[0xff];

/// A span ready to be sent.
struct EncodedSpan {
    id: Id,
    resource: ResourceKey,
    encoded: Bytes,
}

impl EncodedSpan {
    fn new(trace: TraceId, resource: ResourceKey, span: &Span) -> Self {
        Self { id: (trace, span.id), resource, encoded: span.encode().into_trace(trace) }
    }

    /// Its size on the wire.
    fn wire_len(&self) -> usize {
        self.encoded.len() + 8
    }
}

/// A final span in its trace, with the anchors above it that no span before it has.
struct SpanWithAnchors {
    anchors: Vec<EncodedSpan>,
    last: EncodedSpan,
}

/// The spans of the next request.
#[derive(Default)]
struct BatchBuilder {
    spans: BTreeMap<ResourceKey, Vec<(Id, Bytes)>>,
    count: usize,
    bytes: usize,
    anchors: HashSet<Id>,
}

impl BatchBuilder {
    /// Whether there is room for all of these.
    fn fits(&self, group_spans: &[SpanWithAnchors]) -> bool {
        let mut fresh: HashSet<Id> = HashSet::new();
        let (mut count, mut bytes) = (self.count, self.bytes);
        for with_anchors in group_spans {
            let anchors = with_anchors.anchors.iter();
            let anchors = anchors.filter(|anchor| !self.anchors.contains(&anchor.id) && fresh.insert(anchor.id));
            for span in anchors.chain([&with_anchors.last]) {
                (count, bytes) = (count + 1, bytes + span.wire_len());
            }
        }
        count <= MAX_BATCH_SPANS && bytes <= BATCH_BYTES
    }

    fn add(&mut self, span: EncodedSpan) {
        self.count += 1;
        self.bytes += span.wire_len();
        self.spans.entry(span.resource).or_default().push((span.id, span.encoded));
    }

    /// Adds a span and those of its anchors that are missing.
    fn place(&mut self, with_anchors: SpanWithAnchors) {
        for anchor in with_anchors.anchors {
            if self.anchors.insert(anchor.id) {
                self.add(anchor);
            }
        }
        self.add(with_anchors.last);
    }

    /// Removes the anchors in `recent_anchors`.
    fn drop_recent(&mut self, recent_anchors: &RecentAnchors, now: Millis) {
        let known: HashSet<Id> = self.anchors.extract_if(|anchor| recent_anchors.holds(anchor, now)).collect();
        if !known.is_empty() {
            self.spans.values_mut().for_each(|spans| spans.retain(|(id, _)| !known.contains(id)));
        }
    }

    fn into_batch(self, context: &ExportContext<'_>) -> Batch {
        let mut batch = Batch::empty(Signal::Traces);
        for (key, spans) in self.spans {
            let spans = spans.into_iter().map(|((trace, _), span)| (trace.0, span));
            batch.add_spans(context.resource(&key), message::scope(), spans);
        }
        batch
    }
}

/// A root, and the tasks that may have spans in its traces.
struct Group {
    root: TaskKey,
    members: Vec<TaskKey>,
}

impl Group {
    fn order(&self) -> Vec<u8> {
        self.root.native_id.as_bytes().to_vec()
    }
}

/// What changed in a source.
struct Changes {
    /// The tasks, by every root they ever had, in the order of keys.
    groups: Vec<Group>,
    sprints: BTreeSet<TaskKey>,
    /// Projects and ids.
    insights: BTreeSet<(String, String)>,
}

/// The export of one source's traces.
pub(super) struct Traces<'a> {
    sender: &'a Sender<'a>,
    source: &'a str,
    plan: &'a Plan,
    context: ExportContext<'a>,
    cache: &'a TimelineCache<'a>,
    window: Window,
    /// The last journal number of this run.
    upto: u64,
    position: Position,
    /// The parts of the groups that were read ahead.
    parts: HashMap<TaskKey, Part>,
    /// The parts of groups that are complete in what was sent or is loaded. They may be saved with the position.
    settled: HashMap<TaskKey, Part>,
    /// What ended in them.
    ended: Vec<(TaskKey, Ends)>,
    sprints: ExportedSprints,
    builder: BatchBuilder,
    /// The last group that is complete in what was sent or is loaded.
    covered: Option<Vec<u8>>,
    /// Requests accepted since the position was last saved.
    unsaved: u32,
    sent: Sent,
}

impl<'a> Traces<'a> {
    /// Exports everything new of a source.
    pub(super) async fn run(
        sender: &'a Sender<'a>,
        cache: &'a TimelineCache<'a>,
        source: &'a str,
        plan: &'a Plan,
        sent: &mut Sent,
    ) -> Result<()> {
        let position =
            if plan.again.is_some() { Position::default() } else { sender.store.position(Signal::Traces, source)? };
        let upto = position.upto.unwrap_or(sender.store.sealed(source)?);
        if upto <= position.done {
            return Ok(());
        }
        let horizon = sender.horizon(plan);
        let sprints = ExportedSprints::read(sender.store, source, position.done)?;
        let mut work = Self {
            sender,
            source,
            plan,
            context: ExportContext::new(sender.config),
            cache,
            window: Window { seqs: plan.first(&position)..=upto, horizon, again: plan.again.is_some() },
            upto,
            position,
            parts: HashMap::new(),
            settled: HashMap::new(),
            ended: Vec::new(),
            sprints,
            builder: BatchBuilder::default(),
            covered: None,
            unsaved: 0,
            sent: Sent::default(),
        };
        let done = work.all().await;
        sent.add(&work.sent);
        done
    }

    async fn all(&mut self) -> Result<()> {
        let Changes { mut groups, sprints, insights } = self.changes()?;
        groups.retain(|group| self.position.after.as_ref().is_none_or(|after| group.order() > *after));
        let (mut groups, mut ahead) = (groups.into_iter(), 0);
        while !groups.as_slice().is_empty() {
            if ahead == 0 {
                ahead = self.read_ahead(groups.as_slice())?;
            }
            ahead -= 1;
            if let Some(group) = groups.next() {
                self.group(group).await?;
            }
        }
        for sprint in sprints {
            self.sprint(&sprint).await?;
        }
        for (project, id) in insights {
            self.insight(&project, &id).await?;
        }
        self.flush().await?;
        self.position = Position { done: self.upto, upto: None, after: None };
        self.save_position()
    }

    /// Reads at once what the next groups need, for which there is room; returns how many those are, at least one.
    fn read_ahead(&mut self, groups: &[Group]) -> Result<usize> {
        let mut tasks = 0;
        let fitting = groups.iter().take_while(|group| {
            tasks += group.members.len();
            tasks <= TASKS_AT_ONCE
        });
        let next = &groups[..fitting.count().max(1)];
        let members: Vec<TaskKey> = next.iter().flat_map(|group| &group.members).take(TASKS_AT_ONCE).cloned().collect();
        self.cache.read_ahead(&members)?;
        self.cache.read_exported_ahead(&members)?;
        let roots: Vec<TaskKey> = next.iter().map(|group| group.root.clone()).collect();
        let parts = self.sender.store.parts_of(&roots)?.into_iter().map(Option::unwrap_or_default);
        self.parts = roots.into_iter().zip(parts).collect();
        Ok(next.len())
    }

    /// What changed.
    fn changes(&self) -> Result<Changes> {
        let (mut tasks, mut roots) = (BTreeSet::new(), BTreeMap::<TaskKey, BTreeSet<TaskKey>>::new());
        let (mut sprints, mut insights) = (BTreeSet::new(), BTreeSet::new());
        self.sender.each_changed(Signal::Traces, self.source, &self.window.seqs, self.plan, |item| {
            match item {
                Item::Task(key) => {
                    tasks.insert(key);
                }
                Item::Sprint(key) => {
                    sprints.insert(key);
                }
                Item::Insight { project, id } => {
                    insights.insert((project, id));
                }
            }
            Ok(())
        })?;
        let tasks: Vec<TaskKey> = tasks.into_iter().collect();
        for page in tasks.chunks(TASKS_AT_ONCE) {
            self.cache.read_ahead(page)?;
            self.cache.read_exported_ahead(page)?;
            for key in page {
                for period in self.cache.periods(key)?.iter() {
                    roots.entry(period.lineage.root().clone()).or_default().insert(key.clone());
                }
            }
        }
        let groups = roots.into_iter().map(|(root, members)| Group { root, members: members.into_iter().collect() });
        Ok(Changes { groups: groups.collect(), sprints, insights })
    }

    /// Loads everything that ended in a root's traces. Sends what is already loaded first if there is no room for all
    /// of it.
    async fn group(&mut self, group: Group) -> Result<()> {
        let mut finals = Vec::new();
        for (place, page) in group.members.chunks(TASKS_AT_ONCE).enumerate() {
            // The first page was read ahead with other groups.
            if place > 0 {
                self.cache.read_ahead(page)?;
                self.cache.read_exported_ahead(page)?;
            }
            for key in page {
                if let Some(record) = self.cache.record(key)? {
                    let render = RenderContext { cache: self.cache, context: &self.context };
                    finals.extend(render.finals(key, &record, &self.window)?);
                }
            }
        }
        finals.sort_by_key(|last| (last.end, last.span.id));
        let mut part = self.part(&group.root)?;
        let (mut group_spans, mut built) = (Vec::new(), HashSet::new());
        let mut ended = Vec::new();
        for last in finals {
            if self.is_of(&group.root, &last)? {
                ended.push((last.key.clone(), last.ends));
            }
            group_spans.extend(self.with_anchors(&group.root, &mut part, last, &mut built)?);
        }
        if !self.builder.fits(&group_spans) {
            self.flush().await?;
        }
        for with_anchors in group_spans {
            if !self.builder.fits(std::slice::from_ref(&with_anchors)) {
                self.flush().await?;
            }
            self.builder.place(with_anchors);
        }
        self.covered = Some(group.order());
        self.settled.insert(group.root, part);
        self.ended.extend(ended);
        if self.builder.bytes >= ENOUGH_BYTES { self.flush().await } else { Ok(()) }
    }

    /// A final span in its trace and with its anchors, if it ended in a trace of `root` and the plan includes it.
    fn with_anchors(
        &self,
        root: &TaskKey,
        part: &mut Part,
        last: FinalSpan,
        built: &mut HashSet<Id>,
    ) -> Result<Option<SpanWithAnchors>> {
        if !self.is_of(root, &last)? {
            return Ok(None);
        }
        let encoded = last.span.encode();
        let part = part.place(encoded.own_len());
        if !self.plan.includes(last.end) || !self.plan.includes_project(&last.resource.project_id) {
            return Ok(None);
        }
        let trace = ids::history_trace(root, part);
        let (id, resource) = ((trace, last.span.id), last.resource);
        let last_span = EncodedSpan { id, resource, encoded: encoded.into_trace(trace) };
        let anchors =
            RenderContext { cache: self.cache, context: &self.context }.anchors(&last.key, last.end, part, built)?;
        // A replay of one project leaves out anchors of others above it: it sends what was asked for and nothing else.
        let anchors = anchors.into_iter().filter(|(_, resource, _)| self.plan.includes_project(&resource.project_id));
        let anchors = anchors.map(|(trace, resource, span)| EncodedSpan::new(trace, resource, &span)).collect();
        Ok(Some(SpanWithAnchors { anchors, last: last_span }))
    }

    /// Whether a final span ended in a trace of `root`.
    fn is_of(&self, root: &TaskKey, last: &FinalSpan) -> Result<bool> {
        Ok(Lineage::at(self.cache, &last.key, last.end)?.root() == root)
    }

    /// How full a root's history is so far.
    fn part(&self, root: &TaskKey) -> Result<Part> {
        if self.plan.again.is_some() {
            return Ok(Part::default());
        }
        match self.parts.get(root) {
            Some(part) => Ok(*part),
            None => Ok(self.sender.store.part(root)?.unwrap_or_default()),
        }
    }

    async fn sprint(&mut self, key: &TaskKey) -> Result<()> {
        let Some(record) = self.cache.sprint(key)? else { return Ok(()) };
        let is_sent = self.plan.again.is_none() && self.sprints.has(key);
        if is_sent || !record.closed_seq.is_some_and(|seq| self.window.seqs.contains(&seq)) {
            return Ok(());
        }
        let sprint_history = self.cache.sprint_history(key)?;
        let render = RenderContext { cache: self.cache, context: &self.context };
        let Some((resource, span)) =
            sprint_history.and_then(|sprint_history| render.sprint(key, &record.facts, &sprint_history))
        else {
            return Ok(());
        };
        let wanted = span.end >= self.window.horizon && self.plan.includes(span.end);
        if !wanted || !self.plan.includes_project(&resource.project_id) {
            return Ok(());
        }
        self.alone(EncodedSpan::new(ids::sprint_trace(key), resource, &span)).await?;
        self.sprints.note(key);
        Ok(())
    }

    /// The span of an insight that was new in this window.
    async fn insight(&mut self, project: &str, id: &str) -> Result<()> {
        let Some(record) = self.sender.store.insight(project, id)? else { return Ok(()) };
        let is_new = record.shown().is_some_and(|(report, _)| self.window.seqs.contains(&report.journal));
        if !is_new || record.source != self.source {
            return Ok(());
        }
        let render = InsightRender { cache: self.cache, context: &self.context };
        let Some((trace, resource, span)) = render.span(&record)? else { return Ok(()) };
        let wanted = span.end >= self.window.horizon && self.plan.includes(span.end);
        if !wanted || !self.plan.includes_project(&resource.project_id) {
            return Ok(());
        }
        self.alone(EncodedSpan::new(trace, resource, &span)).await
    }

    /// Loads a span that has a trace of its own.
    async fn alone(&mut self, last: EncodedSpan) -> Result<()> {
        let with_anchors = SpanWithAnchors { anchors: Vec::new(), last };
        if !self.builder.fits(std::slice::from_ref(&with_anchors)) {
            self.flush().await?;
        }
        self.builder.place(with_anchors);
        self.covered = self.covered.take().or_else(|| Some(AFTER_ROOTS.to_vec()));
        Ok(())
    }

    /// Sends what is loaded. Once accepted, moves the position to the last group that was completely sent.
    async fn flush(&mut self) -> Result<()> {
        let mut builder = std::mem::take(&mut self.builder);
        if builder.count > 0 {
            let destinations = self.sender.destinations;
            let recent_anchors = &destinations.recent_anchors;
            builder.drop_recent(&lock(recent_anchors), destinations.time());
            let anchors = std::mem::take(&mut builder.anchors);
            let batch = builder.into_batch(&self.context);
            self.fix_anchors()?;
            self.sender.wait_for_room(&batch).await?;
            self.sent.spans += self.sender.send_history(self.source, batch).await?;
            lock(recent_anchors).extend(anchors, destinations.time());
        }
        if let Some(covered) = self.covered.take() {
            self.position.after = Some(covered);
            self.position.upto = Some(self.upto);
            self.unsaved += 1;
            if self.unsaved >= SAVE_EVERY {
                self.save_position()?;
            }
        }
        Ok(())
    }

    /// Stores what the anchors of the next request hold before they are sent: after a crash in between, they are the same.
    fn fix_anchors(&self) -> Result<()> {
        if !self.cache.has_unsaved() {
            return Ok(());
        }
        let store = self.sender.store.of(Unit::source(self.source));
        let mut transaction = store.begin()?;
        self.cache.save_exported(&mut transaction)?;
        transaction.commit().map(drop)
    }

    fn save_position(&mut self) -> Result<()> {
        if self.plan.again.is_some() {
            return Ok(());
        }
        let ended = std::mem::take(&mut self.ended).into_iter();
        for (key, ends) in ended.filter(|(_, ends)| *ends != Ends::Completion) {
            self.cache.note_exported(&key, |exported| match ends {
                Ends::Phase(from) => exported.phases.push(from),
                Ends::Task(cycle, at) => exported.finishes.push((cycle, at)),
                Ends::Completion => {}
            })?;
        }
        let store = self.sender.store.of(Unit::source(self.source));
        let mut transaction = store.begin()?;
        self.cache.save_exported(&mut transaction)?;
        for (root, part) in self.settled.drain() {
            transaction.put_part(&root, &part)?;
        }
        self.sprints.save(&mut transaction, self.source)?;
        if self.position.after.is_some() {
            backend::note_behind(self.sender.store, &mut transaction, Signal::Traces, self.source)?;
        }
        transaction.put_position(Signal::Traces, self.source, &self.position)?;
        self.unsaved = 0;
        transaction.commit().map(drop)
    }
}
