//! Finding and ranking, against scores computed by hand.

use std::cmp::Reverse;

use super::scope::Target;
use super::search::{Index, RELEVANCE, Search, Wanted};
use super::*;
use crate::operation::InsightEmit;
use crate::time::DAY;

const NOW: Millis = Millis(1_000 * DAY);

fn insight(n: u64, summary: &str, change: impl FnOnce(&mut InsightEmit)) -> Insight {
    let mut emit = InsightEmit {
        id: format!("ins_{n:016x}"),
        insight_type: "decision".into(),
        summary: summary.into(),
        agent: Some("one".into()),
        confidence: Some(1.0),
        ..InsightEmit::default()
    };
    change(&mut emit);
    let mut record = InsightRecord::new("sdk", "shop", &emit.id);
    record.add([InsightReport::new("0f", n, NOW, None, Said::Emit(Box::new(emit)))]);
    // Of a time in which nobody counted, so that it does not expire.
    record.served = None;
    fold(&record).unwrap().insight
}

fn index(insights: &[Insight]) -> Index {
    let mut index = Index::default();
    insights.iter().for_each(|insight| index.put(insight));
    index
}

fn ids(index: &Index, search: &Search) -> Vec<u64> {
    let mut places = index.find(search, NOW);
    places.sort();
    places.iter().map(|place| u64::from_str_radix(&place.id.to_string()[4..], 16).unwrap()).collect()
}

fn text(text: &str) -> Search {
    Search { text: Some(text.into()), ..Search::default() }
}

#[test]
fn scores_are_the_product_of_the_contract() {
    let decision = insight(1, "Use an index", |_| {});
    // 1 × (0.3 + 0) × 2 × 0.5 × 1 × 1, in the units of a score.
    let places = index(std::slice::from_ref(&decision)).find(&Search::default(), NOW);
    assert_eq!(places[0].score, Reverse(1_000 * 3_000 * 20 * 1_000 / 1_000_000 * 65_536));
    let aged = index(&[decision]).find(&Search::default(), NOW.plus(180 * DAY));
    assert_eq!(aged[0].score.0 * 2, places[0].score.0, "half after a half-life");
}

#[test]
fn the_same_words_are_wholly_relevant_and_rare_words_count_more() {
    let all = [
        insight(1, "Retry payments with backoff", |_| {}),
        insight(2, "Retry the import", |_| {}),
        insight(3, "Retry the export of logs", |_| {}),
        insight(4, "Colours of buttons", |emit| emit.rationale = Some("PaymentGateway was slow".into())),
    ];
    let index = index(&all);
    let own = index.find(&text("retry payments WITH backoff"), NOW);
    assert_eq!(own.iter().map(|place| place.relevance).max(), Some(RELEVANCE));
    assert_eq!(ids(&index, &text("payments retry"))[0], 1);
    assert_eq!(ids(&index, &text("gateway")), [4], "words end at capitals");
    assert_eq!(ids(&index, &text("zebra crossing")), [0; 0]);
}

#[test]
fn a_question_in_other_words_finds_what_answers_it() {
    let all = [
        insight(1, "Always mock the payment gateway in integration tests", |_| {}),
        insight(2, "Colours of buttons follow the brand", |_| {}),
        insight(3, "Only merged branches are deployed", |_| {}),
    ];
    let index = index(&all);
    assert_eq!(ids(&index, &text("may I call the card processor while testing?")), [1]);
    assert_eq!(ids(&index, &text("merging"))[0], 3, "words are compared by their stems");
    let other_words = index.find(&text("stub billing processor"), NOW);
    assert_eq!(other_words[0].relevance, 0, "which are not its own");
}

#[test]
fn what_shares_less_of_a_question_is_no_answer_but_what_applies_here_stays() {
    let all = [
        insight(1, "Retry payments with backoff", |_| {}),
        insight(2, "Retry the import", |_| {}),
        insight(3, "Retry the export", |emit| emit.applies_to = vec!["src/a.rs".into()]),
    ];
    let index = index(&all);
    let asked = text("retry payments with exponential backoff");
    assert_eq!(ids(&index, &asked), [1]);
    let target = Target { paths: vec!["src/a.rs".into()], ..Target::default() };
    assert_eq!(ids(&index, &Search { target, ..asked }), [1, 3]);
    assert_eq!(ids(&index, &text("retry")).len(), 3, "a word that is searched for is found wherever it stands");
}

#[test]
fn scope_orders_and_limits_but_not_where_there_are_words() {
    let path = |n, scope: &'static str| insight(n, "Use an index", move |emit| emit.applies_to = vec![scope.into()]);
    let all = [path(1, "src/a.rs"), path(2, "src/**"), path(3, "other/**"), insight(4, "Use an index", |_| {})];
    let index = index(&all);
    let target = Target { paths: vec!["src/a.rs".into()], ..Target::default() };
    let near = Search { target: target.clone(), ..Search::default() };
    assert_eq!(ids(&index, &near), [1, 2, 4]);
    assert_eq!(ids(&index, &Search { target, ..text("index") }), [1, 2, 3, 4]);
}

#[test]
fn filters_restrict_and_urgent_ones_come_first() {
    let of = |n, kind: &'static str| insight(n, "Which region", move |emit| emit.insight_type = kind.into());
    let asked = insight(3, "Which region", |emit| (emit.insight_type, emit.blocking) = ("question".into(), true));
    let mut gone = of(4, "lesson");
    gone.status = InsightStatus::Retracted;
    let tagged = insight(5, "Which region", |emit| emit.tags = vec!["Cloud".into(), "eu".into()]);
    let to_me = insight(6, "Which region", |emit| (emit.insight_type, emit.to) = ("handoff".into(), Some("me".into())));
    let index = index(&[of(1, "progress"), of(2, "lesson"), asked, gone, tagged, to_me]);
    assert_eq!(ids(&index, &Search::default()), [3, 5, 2, 6]);
    let mine = Search { reader: Some("me".into()), ..Search::default() };
    assert_eq!(ids(&index, &mine)[..2], [3, 6], "what is urgent, by id");
    let of_types = Search { types: vec![InsightType::Lesson], ..Search::default() };
    assert_eq!(ids(&index, &of_types), [2]);
    let all: Wanted = "all".parse().unwrap();
    assert_eq!(ids(&index, &Search { status: all, ..of_types }).len(), 2);
    let retracted: Wanted = "retracted".parse().unwrap();
    assert_eq!(ids(&index, &Search { status: retracted, ..Search::default() }), [4]);
    let tags = Search { tags: vec!["cloud".into(), "EU".into()], ..Search::default() };
    assert_eq!(ids(&index, &tags), [5]);
    assert_eq!(ids(&index, &Search { since: Some(NOW.plus(1)), ..Search::default() }), [0; 0]);
    assert!("opn".parse::<Wanted>().is_err());
}

#[test]
fn an_index_that_followed_changes_is_one_that_was_made_anew() {
    let words = ["retry", "payment", "index", "cache", "数据库"];
    let make = |n: u64, turn: u64| {
        let place = |by: u64| words[usize::try_from((n * by + turn) % 5).unwrap()];
        insight(n, &format!("{} {}", place(1), place(3)), |_| {})
    };
    let mut followed = Index::default();
    for turn in 0..4 {
        (0..50).for_each(|n| followed.put(&make(n, turn)));
        (0..50).filter(|n| n % 7 == turn).for_each(|n| followed.remove("shop", &format!("ins_{n:016x}")));
    }
    let anew: Vec<Insight> = (0..50).filter(|n| n % 7 != 3).map(|n| make(n, 3)).collect();
    for word in words {
        let sorted = |index: &Index| {
            let mut places = index.find(&text(word), NOW);
            places.sort();
            places
        };
        assert_eq!(sorted(&followed), sorted(&index(&anew)), "{word}");
    }
}
