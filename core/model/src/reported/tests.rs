//! Reports of many writers, in any order.

use proptest::prelude::*;

use super::*;
use crate::Artifact;
use crate::TaskType;
use crate::timeline::TaskHistory;

fn key() -> TaskKey {
    TaskKey::new("sdk", "p/T-1")
}

fn reported(writer: &str, seq: u64, at: i64, report: Report) -> Reported<Report> {
    Reported { writer: writer.into(), seq, at: Millis(at), actor: Some("ada".into()), report }
}

fn started(fields: Fields) -> Report {
    Report::Started(Box::new(fields))
}

fn status(status: Status) -> Report {
    Report::Status { status: Some(status), native: status.as_str().into(), reason: None }
}

fn titled(title: &str) -> Fields {
    Fields { title: Some(title.into()), parent: Some(Some("EPIC-42".into())), ..Fields::default() }
}

/// Merges batch after batch, as pages of a spool come.
fn merged(batches: Vec<Vec<Reported<Report>>>) -> TaskRecord {
    let (mut all, mut record) = (Vec::new(), None);
    for (seq, batch) in (1..).zip(batches) {
        if add(&mut all, batch) {
            record = merge(&key(), ("p", "T-1"), record.as_ref(), &all, false, seq).map(|merged| merged.record);
        }
    }
    record.unwrap()
}

fn changes(record: &TaskRecord) -> Vec<String> {
    let name = |change: &Change| format!("{change:?}").split(['(', ' ']).next().unwrap_or_default().to_owned();
    record.timeline.iter().map(|stored| format!("{} {}", stored.event.at.0, name(&stored.event.change))).collect()
}

#[test]
fn a_process_that_only_completes_erases_nothing() {
    let first =
        vec![reported("a", 1, 1_000, started(titled("Checkout"))), reported("a", 2, 2_000, status(Status::InProgress))];
    let record = merged(vec![first, vec![reported("b", 1, 90_000, status(Status::Done))]]);
    assert_eq!(changes(&record), ["1000 Created", "2000 Status", "90000 Status"]);
    let state = timeline::last(&record.timeline).unwrap();
    assert_eq!((&*state.facts.title, state.facts.status), ("Checkout", Status::Done));
    assert_eq!(state.facts.parent.as_ref().unwrap().native_id, "p/EPIC-42");
    assert_eq!(record.timeline.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1, 1, 2]);
}

#[test]
fn a_task_that_is_started_twice_is_updated_and_created_once() {
    let again = Fields {
        priority: Some(Some("high".into())),
        status: Some((Some(Status::Backlog), "backlog".into())),
        ..Fields::default()
    };
    let record = merged(vec![vec![
        reported("b", 1, 5_000, started(again)),
        reported("a", 1, 1_000, started(titled("Checkout"))),
    ]]);
    assert_eq!(changes(&record), ["1000 Created", "5000 Prioritised"]);
    assert_eq!(timeline::last(&record.timeline).unwrap().facts.status, Status::Todo);
}

#[test]
fn a_start_of_a_finished_task_reopens_it_unless_it_was_not_finished_then() {
    let late = |at| reported("b", 1, at, started(Fields::default()));
    let first =
        || vec![reported("a", 1, 1_000, started(titled("Checkout"))), reported("a", 2, 2_000, status(Status::Done))];
    assert_eq!(changes(&merged(vec![first(), vec![late(3_000)]])), ["1000 Created", "2000 Status", "3000 Status"]);
    assert_eq!(changes(&merged(vec![first(), vec![late(1_500)]])), ["1000 Created", "2000 Status"]);
}

#[test]
fn two_processes_that_complete_a_task_complete_it_once() {
    let record = merged(vec![vec![
        reported("a", 1, 1_000, started(titled("Checkout"))),
        reported("b", 1, 3_000, status(Status::Done)),
        reported("a", 2, 2_000, status(Status::Done)),
        reported("a", 3, 2_500, Report::Commented(None)),
    ]]);
    assert_eq!(changes(&record), ["1000 Created", "2000 Status", "2500 Commented"]);
    assert_eq!(TaskHistory::new(&record.timeline).unwrap().finishes().len(), 1);
}

#[test]
fn a_task_that_was_never_started_has_its_id_as_title() {
    let record = merged(vec![vec![reported(
        "a",
        1,
        1_000,
        Report::Blocked { reason: Some("vendor".into()), by: Some("OPS-9".into()) },
    )]]);
    assert_eq!(changes(&record), ["1000 Created", "1000 Blocked"]);
    let state = timeline::last(&record.timeline).unwrap();
    assert_eq!((&*state.facts.title, state.facts.flag.as_deref()), ("T-1", Some("vendor (blocked by OPS-9)")));
    assert_eq!(record.blockers[0].native_id.as_deref(), Some("p/OPS-9"));
}

#[test]
fn why_a_task_entered_a_blocked_status_is_its_impediment_until_it_leaves_that() {
    let status = |status, reason: Option<&str>| Report::Status {
        status: Some(status),
        native: Status::as_str(status).into(),
        reason: reason.map(str::to_owned),
    };
    let mut reports = vec![
        reported("a", 1, 1_000, started(titled("Checkout"))),
        reported("a", 2, 2_000, status(Status::Blocked, Some("vendor"))),
    ];
    let flag = |reports: &[Reported<Report>]| {
        timeline::last(&merged(vec![reports.to_vec()]).timeline).unwrap().facts.flag.clone()
    };
    assert_eq!(flag(&reports).as_deref(), Some("vendor"));
    reports.push(reported("a", 3, 3_000, status(Status::InProgress, None)));
    assert_eq!(flag(&reports), None);
    let blocked = Report::Blocked { reason: Some("audit".into()), by: None };
    reports.insert(2, reported("a", 4, 2_500, blocked));
    assert_eq!(flag(&reports).as_deref(), Some("audit"), "that was said by itself");
}

#[test]
fn a_run_that_failed_is_blocked_until_the_next_begins_or_somebody_lifts_that() {
    let status = |status: Status, reason: Option<&str>| Report::Status {
        status: Some(status),
        native: status.as_str().into(),
        reason: reason.map(str::to_owned),
    };
    let run = [
        reported("a", 1, 1_000, started(titled("Import"))),
        reported("a", 2, 2_000, status(Status::InProgress, None)),
        reported("a", 3, 3_000, status(Status::Blocked, Some("ValueError"))),
    ];
    let after = |more: Vec<Reported<Report>>| {
        let record = merged(vec![run.iter().cloned().chain(more).collect()]);
        let state = timeline::last(&record.timeline).unwrap();
        (state.facts.status, state.facts.flag.as_ref().map(ToString::to_string))
    };
    let blocked_by = |reason: &str| Some(reason.to_owned());
    assert_eq!(after(vec![]), (Status::Blocked, blocked_by("ValueError")));
    let second = reported("b", 1, 9_000, status(Status::InProgress, None));
    assert_eq!(after(vec![second.clone()]), (Status::InProgress, None));
    assert_eq!(after(vec![reported("c", 1, 5_000, Report::Unblocked)]), (Status::InProgress, None), "by hand");
    let vendor = reported("c", 1, 5_000, Report::Blocked { reason: Some("vendor".into()), by: None });
    assert_eq!(after(vec![vendor, second]), (Status::InProgress, blocked_by("vendor")), "of others it stays");
}

#[test]
fn null_clears_and_what_is_not_given_stays() {
    let cleared = Fields { parent: Some(None), ..Fields::default() };
    let attributes = |value: Option<&str>| Fields {
        attributes: vec![("team".into(), value.map(Into::into)), ("host".into(), Some("a".into()))],
        ..Fields::default()
    };
    let record = merged(vec![vec![
        reported("a", 1, 1_000, started(titled("Checkout"))),
        reported("a", 2, 2_000, Report::Updated(Box::new(cleared))),
        reported("a", 3, 3_000, Report::Updated(Box::new(attributes(Some("web"))))),
        reported("a", 4, 4_000, Report::Updated(Box::new(attributes(None)))),
        reported("a", 5, 5_000, Report::Updated(Box::new(attributes(None)))),
    ]]);
    assert_eq!(changes(&record), ["1000 Created", "2000 Parent", "3000 Attributes", "4000 Attributes"]);
    let state = timeline::last(&record.timeline).unwrap();
    assert_eq!(state.facts.parent, None);
    assert_eq!(state.facts.attributes, [("host".into(), "a".into())]);
}

#[test]
fn what_others_attached_stays_and_takes_no_part() {
    let first = vec![reported("a", 1, 1_000, started(titled("Checkout")))];
    let mut record = merged(vec![first.clone()]);
    let artifact = Change::Artifact(Artifact {
        kind: "commit".into(),
        reference: "c0ffee".into(),
        url: String::new(),
        summary: String::new(),
    });
    let event = Event { id: EventId(7), at: Millis(1_500), actor: None, observed: false, change: artifact };
    record.timeline.push(StoredEvent { event, seq: 9 });
    let mut all = first;
    add(&mut all, vec![reported("a", 2, 2_000, status(Status::Done))]);
    let next = merge(&key(), ("p", "T-1"), Some(&record), &all, false, 10).unwrap();
    assert_eq!(
        (next.added, changes(&next.record)),
        (1, vec!["1000 Created".into(), "1500 Artifact".into(), "2000 Status".to_owned()])
    );
}

#[test]
fn a_sprint_begins_and_ends_as_it_is_reported() {
    let report = |seq, at, ended, name: Option<&str>, end| Reported {
        writer: "a".into(),
        seq,
        at: Millis(at),
        actor: None,
        report: SprintReport { ended, name: name.map(Into::into), goal: None, start: None, end },
    };
    let mut all = vec![report(1, 1_000, false, Some("Sprint 12"), Some(Millis(9_000)))];
    let facts = sprint("p", "s12", &all);
    assert_eq!(
        (&*facts.name, facts.state, facts.start, facts.end),
        ("Sprint 12", SprintState::Active, Some(Millis(1_000)), Some(Millis(9_000)))
    );
    all.push(report(2, 8_000, true, None, None));
    let facts = sprint("p", "s12", &all);
    assert_eq!(
        (facts.state, facts.completed, facts.end),
        (SprintState::Closed, Some(Millis(8_000)), Some(Millis(9_000)))
    );
}

fn any_report() -> impl Strategy<Value = Report> {
    let word = || prop_oneof![Just("a"), Just("b"), Just("T-1")].prop_map(SmolStr::new_static);
    let fields = (
        proptest::option::of(word()),
        proptest::option::of(proptest::option::of(word())),
        proptest::option::of(0..3_usize),
        proptest::option::of(proptest::collection::vec(word(), 0..3)),
    )
        .prop_map(|(title, parent, kind, depends_on)| Fields {
            title,
            parent,
            task_type: kind.map(|kind| (TaskType::ALL[kind], TaskType::ALL[kind].as_str().into())),
            depends_on,
            attributes: vec![("n".into(), Some("1".into()))],
            ..Fields::default()
        });
    prop_oneof![
        fields.clone().prop_map(|fields| Report::Started(Box::new(fields))),
        fields.prop_map(|fields| Report::Updated(Box::new(fields))),
        (0..Status::ALL.len()).prop_map(|place| status(Status::ALL[place])),
        proptest::option::of(word()).prop_map(|by| Report::Blocked { reason: None, by }),
        Just(Report::Unblocked),
        Just(Report::Reopened),
        (0..100_u8).prop_map(|percent| Report::Progress(f64::from(percent))),
        Just(Report::Commented(None)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However the lines of writers are interleaved, cut into pages and repeated, the timeline and its phases are the same.
    #[test]
    fn any_interleaving_and_split_gives_the_same_timeline(
        reports in proptest::collection::vec((any_report(), 0..3_usize, 0..20_i64), 1..30),
        order in proptest::collection::vec(0..1_000_u32, 30),
        cuts in proptest::collection::vec(0..2_u8, 30),
    ) {
        let all: Vec<_> = reports.into_iter().zip(1..).map(|((report, writer, at), seq)| {
            reported(["a", "b", "c"][writer], seq, at * 1_000, report)
        }).collect();
        let whole = merged(vec![all.clone()]);
        let mut shuffled: Vec<_> = all.iter().cloned().zip(order).collect();
        shuffled.sort_by_key(|(_, place)| *place);
        let mut batches = vec![Vec::new()];
        for ((report, _), cut) in shuffled.into_iter().zip(cuts) {
            if cut == 1 {
                batches.push(Vec::new());
            }
            batches.last_mut().unwrap().push(report);
        }
        batches.push(all);
        let split = merged(batches);
        let events = |record: &TaskRecord| record.timeline.iter().map(|stored| stored.event.clone()).collect::<Vec<_>>();
        prop_assert_eq!(events(&whole), events(&split));
        prop_assert_eq!((&whole.url, &whole.reporter, &whole.blockers, whole.updated), (&split.url, &split.reporter, &split.blockers, split.updated));
        let phases = |record: &TaskRecord| timeline::phase_intervals(&record.timeline);
        prop_assert_eq!(phases(&whole), phases(&split));
    }
}
