//! Lifecycles of insights against a model that is nothing but the table of the documentation, in any order of arrival.

use proptest::prelude::*;

use super::*;
use crate::operation::{InsightEmit, InsightUpdate};

/// What is allowed: types, from, action, to. `answer*` is an answer of a person.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("decision recommendation lesson discovery", "active", "retract", "retracted"),
    ("decision recommendation lesson discovery", "active", "expire", "expired"),
    ("decision recommendation lesson discovery", "active", "confirm", "active"),
    ("decision recommendation lesson discovery", "active", "contradict", "active"),
    ("question", "open suggested", "suggest_answer answer", "suggested"),
    ("question", "open suggested", "answer*", "answered"),
    ("question", "open suggested", "withdraw retract", "withdrawn"),
    ("question", "open suggested", "expire", "expired"),
    ("blocker risk", "open", "resolve", "resolved"),
    ("blocker risk", "open", "retract", "retracted"),
    ("risk", "open", "mitigate", "mitigated"),
    ("risk", "open", "accept_risk", "accepted"),
    ("risk", "open", "occurred", "occurred"),
    ("risk", "open", "confirm contradict", "open"),
    ("handoff", "offered", "accept", "accepted"),
    ("handoff", "accepted", "complete", "completed"),
    ("handoff", "offered accepted", "reject", "rejected"),
    ("handoff", "offered accepted", "retract", "retracted"),
    ("handoff", "offered accepted", "expire", "expired"),
    ("progress analysis", "noted", "retract", "retracted"),
    ("analysis", "noted", "confirm contradict", "noted"),
];

fn model(insight_type: &str, status: &str, action: &str, by_person: bool) -> Option<&'static str> {
    let action = if by_person && action == "answer" { "answer*" } else { action };
    let has = |list: &str, word: &str| list.split(' ').any(|one| one == word);
    let row = TABLE
        .iter()
        .find(|(types, from, actions, _)| has(types, insight_type) && has(from, status) && has(actions, action));
    row.map(|(.., to)| *to)
}

fn emit(insight_type: InsightType) -> InsightEmit {
    InsightEmit {
        id: "ins_00000000000000aa".into(),
        insight_type: insight_type.to_string(),
        summary: "Use an index".into(),
        agent: Some("one".into()),
        confidence: Some(0.8),
        ..InsightEmit::default()
    }
}

fn report(seq: u64, said: Said) -> InsightReport {
    InsightReport::new("0f", seq, Millis(1_000 * i64::try_from(seq).unwrap()), None, said)
}

fn update(seq: u64, action: InsightAction, by_person: bool, who: &str) -> InsightReport {
    let (by, agent) = if by_person { (Some(who.to_owned()), None) } else { (None, Some(who.to_owned())) };
    let update = InsightUpdate { id: String::new(), action: action.to_string(), by, agent, ..InsightUpdate::default() };
    report(seq, Said::Update(Box::new(update)))
}

fn folded(reports: impl IntoIterator<Item = InsightReport>) -> Folded {
    let mut record = InsightRecord::new("sdk", "shop", "ins_00000000000000aa");
    record.add(reports);
    fold(&record).unwrap()
}

type Step = (InsightAction, bool);

fn lifecycles() -> impl Strategy<Value = (InsightType, Vec<Step>, Vec<prop::sample::Index>)> {
    let step = (prop::sample::select(InsightAction::ALL), any::<bool>());
    let kind = prop::sample::select(InsightType::ALL);
    (kind, prop::collection::vec(step, 0..12), prop::collection::vec(any::<prop::sample::Index>(), 0..8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_lifecycles_follow_the_table((insight_type, steps, moves) in lifecycles()) {
        let mut status = lifecycle::first(insight_type).to_string();
        let mut reports = vec![report(1, Said::Emit(Box::new(emit(insight_type))))];
        let (mut refused, mut taker) = (0, None);
        for (place, (action, by_person)) in steps.iter().enumerate() {
            let who = format!("who-{}", place % 2);
            reports.push(update(2 + place as u64, *action, *by_person, &who));
            let ends = matches!(action, InsightAction::Complete | InsightAction::Reject);
            let is_of_another = ends && !by_person && taker.as_ref().is_some_and(|taker| *taker != who);
            match model(insight_type.as_str(), &status, action.as_str(), *by_person).filter(|_| !is_of_another) {
                Some(next) => {
                    status = next.to_owned();
                    if *action == InsightAction::Accept {
                        taker = (!by_person).then_some(who);
                    }
                }
                None => refused += 1,
            }
        }
        let in_order = folded(reports.clone());
        prop_assert_eq!(in_order.insight.status.as_str(), status.as_str());
        prop_assert_eq!(in_order.entries.iter().filter(|entry| entry.refused.is_some()).count(), refused);
        prop_assert!(lifecycle::states(insight_type).contains(&in_order.insight.status));
        // Any order of arrival, and every report twice.
        let mut shuffled = reports.clone();
        for (place, to) in moves.iter().enumerate() {
            let with = to.index(shuffled.len());
            let place = place % shuffled.len();
            shuffled.swap(place, with);
        }
        prop_assert_eq!(&folded(shuffled.into_iter().chain(reports)), &in_order);
    }
}

#[test]
fn saying_it_again_is_counted_and_no_second_agent_is_believed() {
    let mut other = emit(InsightType::Lesson);
    other.agent = Some("two".into());
    other.rationale = Some("because I say so".into());
    let again = [emit(InsightType::Lesson), emit(InsightType::Lesson), other];
    let reports = again.into_iter().zip(1..).map(|(emit, seq)| report(seq, Said::Emit(Box::new(emit))));
    let Folded { insight, entries } = folded(reports);
    assert_eq!((insight.seen, insight.confirmed, insight.review), (3, 0, Review::Unreviewed));
    assert_eq!((insight.rationale, insight.author.id.as_deref(), entries.len()), (None, Some("one"), 1));
}

#[test]
fn a_person_who_says_it_again_says_more_and_nobody_else_does() {
    let said = |seq, who: &str, rationale: Option<&str>| {
        let emit = InsightEmit { agent: None, rationale: rationale.map(str::to_owned), ..emit(InsightType::Decision) };
        InsightReport { actor: Some(who.into()), ..report(seq, Said::Emit(Box::new(emit))) }
    };
    let rationale = |reports: Vec<InsightReport>| folded(reports).insight.rationale;
    assert_eq!(rationale(vec![said(1, "ada", None), said(2, "ada", Some("because"))]).as_deref(), Some("because"));
    assert_eq!(rationale(vec![said(1, "ada", None), said(2, "ben", Some("because"))]), None);
    let proved = |report| proven(report, "ada", true);
    let pretended = rationale(vec![proved(said(1, "ada", None)), said(2, "ada", Some("because"))]);
    assert_eq!(pretended, None, "who has a shell proves nothing");
    let again = rationale(vec![proved(said(1, "ada", None)), proved(said(2, "ada", Some("because")))]);
    assert_eq!(again.as_deref(), Some("because"));
    let mut agent = emit(InsightType::Decision);
    (agent.agent, agent.rationale) = (Some("ada".into()), Some("because".into()));
    assert_eq!(rationale(vec![said(1, "ada", None), report(2, Said::Emit(Box::new(agent)))]), None);
}

#[test]
fn votes_count_once_for_each_principal() {
    let vote = |seq, action, by_person, who| update(seq, action, by_person, who);
    let first = || report(1, Said::Emit(Box::new(emit(InsightType::Lesson))));
    let own = folded([first(), vote(2, InsightAction::Confirm, false, "one")]);
    assert_eq!((own.insight.confirmed, own.entries[1].refused.is_some()), (0, true));
    let agents = (2..9).map(|seq| vote(seq, InsightAction::Confirm, false, ["two", "three"][seq as usize % 2]));
    let local = folded(agents.chain([first()])).insight;
    assert_eq!((local.confirmed, local.review, local.confidence), (1, Review::Unreviewed, Some(0.8667)));
    let people = folded([
        first(),
        vote(2, InsightAction::Confirm, true, "ada"),
        vote(3, InsightAction::Confirm, true, "ada"),
        vote(4, InsightAction::Contradict, true, "ben"),
    ])
    .insight;
    assert_eq!((people.confirmed, people.contradicted, people.review), (1, 1, Review::Unreviewed), "nobody proved it");
}

/// A report that came with the token of an agent or a person.
fn proven(report: InsightReport, who: &str, human: bool) -> InsightReport {
    InsightReport { origin: Some(who.into()), human, ..report }
}

#[test]
fn only_the_token_of_a_person_confirms_and_only_tokens_corroborate() {
    let lesson = || report(1, Said::Emit(Box::new(emit(InsightType::Lesson))));
    let review = |first: InsightReport, second: InsightReport| {
        let Folded { insight, entries } = folded([first, second]);
        (insight.review, insight.confirmed, entries.last().unwrap().kind)
    };
    let (agent, human) = (AuthorKind::Agent, AuthorKind::Human);
    let of_person = || update(2, InsightAction::Confirm, true, "ada");
    let of_agent = || update(2, InsightAction::Confirm, false, "two");
    assert_eq!(review(lesson(), of_person()), (Review::Unreviewed, 1, human));
    assert_eq!(review(lesson(), proven(of_person(), "ada", true)), (Review::Confirmed, 1, human));
    assert_eq!(
        review(lesson(), proven(of_person(), "ci", false)),
        (Review::Unreviewed, 1, agent),
        "a claim to be a person"
    );
    assert_eq!(
        review(lesson(), proven(of_agent(), "ci", false)),
        (Review::Unreviewed, 1, agent),
        "the author proved nothing"
    );
    let by_one = || proven(lesson(), "one", false);
    assert_eq!(review(by_one(), proven(of_agent(), "two", false)), (Review::Corroborated, 1, agent));
    assert_eq!(review(by_one(), of_agent()).0, Review::Unreviewed);
    let same = proven(update(2, InsightAction::Confirm, false, "one"), "one", false);
    assert_eq!(folded([by_one(), same]).insight.confirmed, 0);
    let nameless = InsightUpdate { action: "confirm".into(), ..InsightUpdate::default() };
    let nameless = proven(report(2, Said::Update(Box::new(nameless))), "ada", true);
    assert_eq!(folded([lesson(), nameless]).entries[1].by.as_deref(), Some("ada"));
}

#[test]
fn the_same_words_of_another_token_corroborate_unless_they_were_read_here() {
    let say = |seq, who| proven(report(seq, Said::Emit(Box::new(emit(InsightType::Decision)))), who, false);
    let mut record = InsightRecord::new("sdk", "shop", "ins_00000000000000aa");
    record.add([say(1, "one"), say(2, "two"), say(3, "two"), say(4, "one")]);
    let insight = fold(&record).unwrap().insight;
    assert_eq!((insight.review, insight.confirmed, insight.seen), (Review::Corroborated, 1, 4));
    let read_at = |at: i64| {
        let mut record = record.clone();
        record.served.get_or_insert_default().note(Some("two"), Millis(at));
        fold(&record).unwrap().insight
    };
    assert_eq!(read_at(9_000).review, Review::Corroborated, "it said so before it read it");
    assert_eq!((read_at(1_500).review, read_at(1_500).confirmed), (Review::Unreviewed, 0));
}

#[test]
fn what_nobody_ever_asked_for_expires_unless_somebody_stands_behind_it() {
    let status = |kind: InsightType, served: Option<u64>, days: i64| {
        let insight = folded([report(1, Said::Emit(Box::new(emit(kind))))]).insight;
        Insight { served, ..insight }.at(Millis(1_000 + days * crate::time::DAY)).status
    };
    assert_eq!(status(InsightType::Decision, Some(0), 89), InsightStatus::Active);
    assert_eq!(status(InsightType::Decision, Some(0), 90), InsightStatus::Expired);
    assert_eq!(status(InsightType::Lesson, Some(1), 900), InsightStatus::Active);
    assert_eq!(status(InsightType::Lesson, None, 900), InsightStatus::Active, "of a time in which nobody counted");
    assert_eq!(status(InsightType::Question, Some(0), 900), InsightStatus::Open);
    let confirmed = proven(update(2, InsightAction::Confirm, true, "ada"), "ada", true);
    let insight = folded([report(1, Said::Emit(Box::new(emit(InsightType::Decision)))), confirmed]).insight;
    assert_eq!(insight.at(Millis(900 * crate::time::DAY)).status, InsightStatus::Active);
}

#[test]
fn what_is_replaced_says_by_what_if_the_types_agree() {
    let replaced = |kind: InsightType, by: InsightType| {
        let said = Said::Superseded { by: "ins_00000000000000bb".into(), insight_type: by, agent: None };
        folded([report(1, Said::Emit(Box::new(emit(kind)))), report(2, said)])
    };
    let done = replaced(InsightType::Decision, InsightType::Decision).insight;
    assert_eq!((done.status, done.superseded_by.as_deref()), (InsightStatus::Superseded, Some("ins_00000000000000bb")));
    for (kind, by) in [(InsightType::Decision, InsightType::Recommendation), (InsightType::Lesson, InsightType::Lesson)]
    {
        let Folded { insight, entries } = replaced(kind, by);
        assert_eq!((insight.status, insight.superseded_by), (InsightStatus::Active, None));
        assert!(entries[1].refused.is_some());
    }
}

#[test]
fn a_handoff_is_offered_for_a_week_and_an_accepted_one_does_not_end() {
    let offered = report(1, Said::Emit(Box::new(emit(InsightType::Handoff))));
    let week = Millis(1_000).plus(reading::OFFERED_FOR);
    let insight = folded([offered.clone()]).insight;
    assert_eq!(insight.expires_at, Some(week));
    assert_eq!(insight.at(week).status, InsightStatus::Expired);
    let accepted = folded([offered.clone(), update(2, InsightAction::Accept, false, "two")]).insight;
    assert_eq!((accepted.expires_at, accepted.clone().at(week).status), (None, InsightStatus::Accepted));
    let late = InsightReport { at: week, ..update(2, InsightAction::Accept, false, "two") };
    let Folded { insight, entries } = folded([offered, late]);
    assert_eq!((insight.status, entries[1].refused.is_some()), (InsightStatus::Offered, true));
}

#[test]
fn an_answer_of_a_person_is_one_and_an_answer_of_an_agent_a_suggestion() {
    let asked = report(1, Said::Emit(Box::new(emit(InsightType::Question))));
    let answered = |by_person| {
        let InsightReport { said, .. } = update(2, InsightAction::Answer, by_person, "ada");
        let Said::Update(mut update) = said else { panic!("{said:?}") };
        update.text = Some("eu".into());
        folded([asked.clone(), report(2, Said::Update(update))]).insight
    };
    let person = answered(true);
    assert_eq!((person.status, person.answer.unwrap().text), (InsightStatus::Answered, "eu".to_owned()));
    assert_eq!(answered(false).status, InsightStatus::Suggested);
}

#[test]
fn the_json_has_the_fields_of_the_contract() {
    let mut said = emit(InsightType::Decision);
    said.applies_to = vec!["src/checkout/**".into(), "task:PROJ-123".into()];
    let json = serde_json::to_value(folded([report(1, Said::Emit(Box::new(said)))]).insight).unwrap();
    let names: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "applies_to",
        "audience",
        "author",
        "category",
        "confidence",
        "confirmed",
        "contradicted",
        "created",
        "evidence",
        "expires_at",
        "id",
        "project",
        "rationale",
        "review",
        "seen",
        "served",
        "span_id",
        "status",
        "summary",
        "superseded_by",
        "supersedes",
        "tags",
        "trace_id",
        "type",
        "updated",
    ];
    assert_eq!(names.iter().copied().collect::<std::collections::BTreeSet<_>>(), expected.into());
    assert_eq!(json["applies_to"][0], "path:src/checkout/**");
    assert_eq!(json["author"]["kind"], "agent");
    assert_eq!((json["trace_id"].as_str().unwrap().len(), json["span_id"].as_str().unwrap().len()), (32, 16));
}

#[test]
fn what_is_over_a_limit_is_refused_or_cut() {
    let mut long = emit(InsightType::Decision);
    long.summary = "é".repeat(300);
    assert_eq!(limits::check(&long), Err("summary: 300 characters are more than 200".to_owned()));
    let cut = record::accepted(long).unwrap();
    assert_eq!((cut.summary.chars().count(), cut.summary.ends_with('…')), (200, true));
    assert_eq!(limits::check(&cut), Ok(()));
    let step = || vec!["short".to_owned(), "x".repeat(301)];
    let mut listed = emit(InsightType::Handoff);
    listed.remaining = step();
    let problem = "remaining: 301 characters of an entry are more than 300".to_owned();
    assert_eq!(limits::check(&listed), Err(problem));
    assert_eq!(limits::check(&record::accepted(listed.clone()).unwrap()), Ok(()), "libraries have it cut");
    listed.remaining.clear();
    listed.options = step();
    assert!(limits::check(&listed).is_err_and(|why| why.starts_with("options")));
    for (field, value) in [("type", "rumour"), ("id", "7")] {
        let mut bad = emit(InsightType::Decision);
        if field == "type" {
            bad.insight_type = value.into()
        } else {
            bad.id = value.into()
        }
        assert!(record::accepted(bad).is_err(), "{field}");
    }
}

#[test]
fn only_the_agent_that_accepted_a_handoff_ends_it() {
    let offered = report(1, Said::Emit(Box::new(emit(InsightType::Handoff))));
    let by = |seq, action, agent: &str| update(seq, action, false, agent);
    let Folded { insight, entries } = folded([
        offered,
        by(2, InsightAction::Accept, "one"),
        by(3, InsightAction::Accept, "two"),
        by(4, InsightAction::Complete, "two"),
        by(5, InsightAction::Complete, "one"),
    ]);
    let refused: Vec<_> = entries[1..].iter().map(|entry| entry.refused.is_some()).collect();
    assert_eq!((insight.status, refused), (InsightStatus::Completed, vec![false, true, true, false]));
    assert!(entries[3].refused.as_deref().is_some_and(|why| why.contains("`one` accepted")), "{entries:?}");
}
