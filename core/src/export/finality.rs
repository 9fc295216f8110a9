//! Exported is final: whatever order polls come in and however mappings change, a span id always means the same bytes. And a
//! replay sends the spans that were asked for, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::exported::ExportedSprints;
use super::otlp::{Batch, Delivery, Outcome, Sink};
use super::*;
use crate::config;
use crate::lock;
use crate::model::insight::{self, InsightRecord, InsightReport, Said};
use crate::model::operation::{InsightEmit, InsightUpdate};
use crate::model::samples::{facts, record, stored, to};
use crate::model::time::MINUTE;
use crate::model::{Change, Facts, ParentRef, SprintFacts, SprintRecord, SprintState, Status, StoredEvent};
use crate::model::{TaskKey, TaskRecord, TaskType};
use crate::progress::Quiet;
use crate::store::Item;

const TASKS: usize = 4;
const STATUSES: [Status; 5] = [Status::Todo, Status::InProgress, Status::InReview, Status::Done, Status::Cancelled];

/// Keeps the bytes of every span, with its resource, by its id. An id with two contents fails the test.
#[derive(Default)]
struct Recorder(Mutex<Seen>);

/// Spans by id: as text and as bytes.
type Seen = BTreeMap<Vec<u8>, (String, Vec<u8>)>;

#[async_trait]
impl Sink for Recorder {
    async fn export(&self, batch: &Batch) -> Result<Outcome> {
        let request = ExportTraceServiceRequest::decode(batch.encode()).unwrap();
        let mut seen = lock(&self.0);
        for resource in request.resource_spans {
            let under = resource.resource.unwrap_or_default().encode_to_vec();
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let bytes = [under.clone(), span.encode_to_vec()].concat();
                let (id, text) = (span.span_id.clone(), format!("{span:?}"));
                let (before, known) = seen.entry(id).or_insert_with(|| (text.clone(), bytes.clone()));
                assert!(*known == bytes, "the same id with other contents:\n{before}\n{text}");
            }
        }
        Ok(Outcome::Accepted)
    }

    fn describe(&self) -> String {
        "a recorder".to_owned()
    }
}

/// A source whose tasks change in random ways.
struct Polls {
    store: Store,
    random: StdRng,
    /// The next moment of the tool.
    now: i64,
}

fn key(task: usize) -> TaskKey {
    TaskKey::new("jira", format!("{task}").as_str())
}

fn parent(task: usize) -> Option<ParentRef> {
    Some(ParentRef { native_id: format!("{task}").as_str().into(), key: None })
}

impl Polls {
    fn new(store: Store, seed: u64) -> Self {
        Self { store, random: StdRng::seed_from_u64(seed), now: 1_000 }
    }

    fn any_change(&mut self) -> Change {
        match self.random.random_range(0..6) {
            0 => Change::Parent(parent(self.random.random_range(0..TASKS))),
            1 => Change::Parent(None),
            _ => to(STATUSES[self.random.random_range(0..STATUSES.len())]),
        }
    }

    fn new_task(&mut self, task: usize) -> TaskRecord {
        let kind = if task == 0 { TaskType::Epic } else { TaskType::Task };
        let parent = self.random.random_bool(0.7).then(|| parent(self.random.random_range(0..TASKS))).flatten();
        let first = Facts { task_type: kind, parent, ..facts(Status::Todo) };
        record(vec![stored(self.now, Change::Created(Box::new(first)))])
    }

    /// Something a poll may bring: of a task, of a sprint or of an insight.
    fn poll(&mut self) {
        self.now += 10;
        match self.random.random_range(0..6) {
            0 => self.sprint(),
            1 => self.insight(),
            _ => self.task(),
        }
    }

    /// A new task, a new or a late event, or what follows from another mapping.
    fn task(&mut self) {
        let task = self.random.random_range(0..TASKS);
        let old = self.store.task(&key(task)).unwrap();
        let mut new = old.clone().unwrap_or_else(|| self.new_task(task));
        let mut transaction_seqs = Vec::new();
        if old.is_some() {
            match self.random.random_range(0..6) {
                0 => self.remap(&mut new),
                late => {
                    let created = new.timeline[0].event.at.0;
                    let at = if late == 1 { self.random.random_range(created + 1..=self.now) } else { self.now };
                    transaction_seqs.push(stored(at, self.any_change()));
                }
            }
        }
        let mut transaction = self.store.begin().unwrap();
        let seq = transaction.seq();
        if old.is_none() {
            new.timeline[0].seq = seq;
        }
        new.timeline.extend(transaction_seqs.into_iter().map(|event| StoredEvent { seq, ..event }));
        new.timeline.sort_by_key(|stored| (stored.event.at, stored.seq));
        transaction.put_task(&key(task), old.as_ref(), &new, true).unwrap();
        transaction.seal("jira").unwrap();
        transaction.commit().unwrap();
    }

    /// A sprint in any state, under any name, in any project.
    fn sprint(&mut self) {
        let state = [SprintState::Active, SprintState::Closed][self.random.random_range(0..2)];
        self.sprint_is(state);
    }

    fn sprint_is(&mut self, state: SprintState) {
        let key = TaskKey::new("jira", "sprint");
        let old = self.store.sprints(None).unwrap().pop().map(|(_, old)| old);
        let facts = SprintFacts {
            name: format!("Sprint {}", self.random.random_range(0..3)),
            goal: None,
            project: self.random.random_bool(0.5).then(|| "PROJ".to_owned()),
            state,
            start: Some(Millis(900)),
            end: Some(Millis(self.now)),
            completed: (state == SprintState::Closed).then_some(Millis(self.now)),
            exact: true,
        };
        let mut transaction = self.store.begin().unwrap();
        let record = SprintRecord::next(old.as_ref(), facts, transaction.seq());
        transaction.put_sprint(&key, &record, true).unwrap();
        transaction.seal("jira").unwrap();
        transaction.commit().unwrap();
    }

    /// An insight in other words, by another writer and of any time, or a change of it.
    fn insight(&mut self) {
        let (project, id) = ("shop".to_owned(), "ins_00000000000000d1".to_owned());
        let old = self.store.insight(&project, &id).unwrap();
        let mut record = old.clone().unwrap_or_else(|| InsightRecord::new("jira", &project, &id));
        let mut transaction = self.store.begin().unwrap();
        let said = match self.random.random_range(0..3) {
            0 => Said::Update(Box::new(InsightUpdate {
                id: id.clone(),
                action: "confirm".to_owned(),
                by: Some("Ada".to_owned()),
                ..InsightUpdate::default()
            })),
            _ => Said::Emit(Box::new(InsightEmit {
                id: id.clone(),
                insight_type: "risk".to_owned(),
                summary: format!("in words {}", self.random.random_range(0..3)),
                task: Some(format!("PROJ-{}", self.random.random_range(0..TASKS))),
                agent: Some("a".to_owned()),
                ..InsightEmit::default()
            })),
        };
        let (writer, at) = (format!("{:02}", self.now % 100), Millis(self.random.random_range(1_000..=self.now)));
        let report = InsightReport::new(&writer, self.now.cast_unsigned(), at, None, said);
        record.add([InsightReport { journal: transaction.seq(), ..report }]);
        transaction.put_insight(old.as_ref().and_then(insight::fold).as_ref(), &record).unwrap();
        transaction.journal("jira", &Item::Insight { project, id }).unwrap();
        transaction.seal("jira").unwrap();
        transaction.commit().unwrap();
    }

    /// Another mapping: other types, titles and statuses, also in the past.
    fn remap(&mut self, record: &mut TaskRecord) {
        if let Change::Created(first) = &mut record.timeline[0].event.change {
            first.task_type = [TaskType::Epic, TaskType::Story, TaskType::Bug][self.random.random_range(0..3)];
            first.title = format!("title {}", self.random.random_range(0..3)).as_str().into();
        }
        let (from, into) = (self.random.random_range(0..5), self.random.random_range(0..5));
        let (from, into) = (to(STATUSES[from]), to(STATUSES[into]));
        for stored in record.timeline.iter_mut().filter(|stored| stored.event.change == from) {
            stored.event.change = into.clone();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_span_id_always_means_the_same_bytes() {
    let configs = ["critical", "low"].map(|criticality| {
        let text = format!(
            "sources: [{{name: jira, kind: jira, url: 'https://example.com', auth: {{token: {{env: TOKEN}}}}}}]\n\
             projects: [{{id: shop, name: {criticality}, criticality: {criticality}, include: [{{source: jira, project: PROJ}}]}}]\n\
             export: {{history: all}}"
        );
        config::parse(&text, "test.yaml", &[config::kind::unchecked("jira")]).unwrap()
    });
    let mut roles = BTreeSet::<&str>::new();
    for seed in 0..30 {
        let recorder = Arc::new(Recorder::default());
        let stop = CancellationToken::new();
        let deliveries = BTreeMap::from([(Signal::Traces, Delivery::new(Box::new(recorder.clone()), stop.clone()))]);
        let destinations = Destinations::of(deliveries);
        let mut polls = Polls::new(Store::over(Arc::new(crate::store::MemoryKv::default())).unwrap(), seed);
        for _ in 0..40 {
            (0..polls.random.random_range(1..4)).for_each(|_| polls.poll());
            // The wall clock of snapshots stands still now and then.
            let moment = polls.now / 50;
            let now = Millis(MINUTE + moment * 50);
            // What a project is worth changes too, but not within a moment: a snapshot is of one.
            let config = &configs[usize::from(moment % 2 == 0)];
            let exporter = Exporter::new(&polls.store, config, &destinations, &Quiet, &stop, false);
            let report = exporter.drain(now, Present { snapshots: true, metrics: false }).await;
            assert!(report.errors.is_empty(), "{:?}", report.errors);
            // Long enough that no backend still holds a trace, so that anchors are sent again.
            tokio::time::advance(std::time::Duration::from_secs(40)).await;
        }
        for (text, _) in lock(&recorder.0).values() {
            let all = ["anchor", "phase", "task", "completion", "snapshot", "sprint", "insight", "insight_snapshot"];
            roles.extend(all.into_iter().filter(|role| text.contains(&format!("StringValue(\"{role}\")"))));
        }
    }
    assert_eq!(roles.len(), 8, "{roles:?}");
}

#[tokio::test]
async fn a_sprint_that_was_reopened_before_its_span_was_exported_has_one_when_it_closes_again() {
    let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]\n\
                  export: {history: all}";
    let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
    let (recorder, stop) = (Arc::new(Recorder::default()), CancellationToken::new());
    let deliveries = BTreeMap::from([(Signal::Traces, Delivery::new(Box::new(recorder.clone()), stop.clone()))]);
    let destinations = Destinations::of(deliveries);
    let mut polls = Polls::new(Store::over(Arc::new(crate::store::MemoryKv::default())).unwrap(), 1);
    let (active, closed) = (SprintState::Active, SprintState::Closed);
    // Once it was exported, it stays as it was (the recorder fails the test otherwise).
    for (states, spans) in [(&[closed, active][..], 0), (&[closed], 1), (&[active], 1), (&[closed], 1)] {
        for state in states {
            polls.now += 10;
            polls.sprint_is(*state);
        }
        let exporter = Exporter::new(&polls.store, &config, &destinations, &Quiet, &stop, false);
        let report = exporter.drain(Millis(MINUTE), Present { snapshots: false, metrics: false }).await;
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_eq!(lock(&recorder.0).len(), spans, "{states:?}");
    }
}

#[tokio::test]
async fn sprints_that_were_exported_before_that_was_noted_are_not_exported_again() {
    let store = Store::over(Arc::new(crate::store::MemoryKv::default())).unwrap();
    let mut polls = Polls::new(store, 1);
    polls.sprint_is(SprintState::Closed);
    let done = polls.store.sealed("jira").unwrap();
    let is_noted =
        |done| ExportedSprints::read(&polls.store, "jira", done).unwrap().has(&TaskKey::new("jira", "sprint"));
    assert!(is_noted(done));
    assert!(!is_noted(done - 1), "it is still to be exported");
}

#[tokio::test]
async fn a_replay_of_one_project_sends_no_span_of_another() {
    let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
    let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
    let store = Store::over(Arc::new(crate::store::MemoryKv::default())).unwrap();
    let task = |project: &str, parent: Option<ParentRef>| {
        record(vec![
            stored(100, Change::Created(Box::new(Facts { project: project.into(), parent, ..facts(Status::Todo) }))),
            stored(200, to(Status::Done)),
        ])
    };
    let mut transaction = store.begin().unwrap();
    transaction.put_task(&key(0), None, &task("WHOLE", None), true).unwrap();
    transaction.put_task(&key(1), None, &task("PART", parent(0)), true).unwrap();
    transaction.seal("jira").unwrap();
    transaction.commit().unwrap();
    let (recorder, stop) = (Arc::new(Recorder::default()), CancellationToken::new());
    let deliveries = BTreeMap::from([(Signal::Traces, Delivery::new(Box::new(recorder.clone()), stop.clone()))]);
    let destinations = Destinations::of(deliveries);
    let exporter = Exporter::new(&store, &config, &destinations, &Quiet, &stop, false);
    let selection = Selection { since: Some(Millis(0)), project: Some("PART".to_owned()), ..Selection::default() };
    assert!(exporter.replay(&selection, Millis(1_000)).await.errors.is_empty());
    let seen = lock(&recorder.0);
    assert_eq!(seen.len(), 4, "an anchor, a phase, the task and its completion");
    for (text, bytes) in seen.values() {
        assert!(text.contains("task.id") && bytes.windows(4).any(|part| part == b"PART"), "{text}");
        assert!(!bytes.windows(5).any(|part| part == b"WHOLE"), "{text}");
    }
}

#[tokio::test]
async fn a_whole_replay_removes_the_older_dead_letters_of_what_it_sent() {
    let source = "sources: [{name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: TOKEN}}}]";
    let config = config::parse(source, "test.yaml", &[config::kind::unchecked("jira")]).unwrap();
    let store = Store::over(Arc::new(crate::store::MemoryKv::default())).unwrap();
    let fill = |source: &str, signals: &[&str]| {
        let mut transaction = store.begin().unwrap();
        for signal in signals {
            let (signal, reason) = ((*signal).to_owned(), "HTTP 400: too old".to_owned());
            let letter = crate::store::DeadLetter { signal, reason, hint: None, items: 1, at: Millis(7) };
            transaction.put_dead(&letter, b"request").unwrap();
        }
        let created = stored(100, Change::Created(Box::new(facts(Status::Todo))));
        let done = record(vec![created, stored(200, to(Status::Done))]);
        transaction.put_task(&TaskKey::new(source, "0"), None, &done, true).unwrap();
        transaction.seal(source).unwrap();
        transaction.commit().unwrap();
    };
    fill("jira", &["traces", "logs"]);
    let left = || -> Vec<_> { store.dead_letters().unwrap().into_iter().map(|letter| letter.signal).collect() };
    let replay = async |selection: Selection, stop: CancellationToken| {
        let recorder = Arc::new(Recorder::default());
        let deliveries = BTreeMap::from([(Signal::Traces, Delivery::new(Box::new(recorder), stop.clone()))]);
        let destinations = Destinations::of(deliveries);
        Exporter::new(&store, &config, &destinations, &Quiet, &stop, false).replay(&selection, Millis(1_000)).await
    };
    let part = Selection { source: Some("jira".to_owned()), ..Selection::default() };
    assert!(replay(part, CancellationToken::new()).await.errors.is_empty());
    assert_eq!(left(), ["traces", "logs"], "only a part was sent");
    let stopped = CancellationToken::new();
    stopped.cancel();
    assert!(!replay(Selection::default(), stopped).await.errors.is_empty());
    assert_eq!(left(), ["traces", "logs"], "not all was sent");
    assert!(replay(Selection::default(), CancellationToken::new()).await.errors.is_empty());
    assert_eq!(left(), ["logs"], "there is no backend for logs");
    fill("gone", &["traces"]);
    assert!(replay(Selection::default(), CancellationToken::new()).await.errors.is_empty());
    assert_eq!(left(), ["logs", "traces"], "it may hold what a source left that is configured no longer");
}
