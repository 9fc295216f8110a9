//! What comes from where, what holds, and how binding it is.

use proptest::prelude::*;

use super::stored::{AllGuidance, GuidanceReport, StoredGuidance};
use super::*;
use crate::config::project::{Constraint, Focus, Guidance, Knowledge, Origin, Preference, Question, ServiceContext};
use crate::operation::{self, Line, Parsed};
use crate::time::Millis;

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn constraint(id: &str, severity: &str, scope: Option<&str>) -> Constraint {
    Constraint {
        id: id.to_owned(),
        rule: format!("Keep {id}"),
        severity: text(severity).filter(|severity| !severity.is_empty()),
        scope: scope.map(str::to_owned),
        ..Constraint::default()
    }
}

fn project(contexts: Vec<(Option<&str>, Guidance)>) -> ProjectConfig {
    let contexts = contexts.into_iter().map(|(name, guidance)| ServiceContext {
        origin: name.map(|name| Origin { namespace: "shop".into(), name: name.to_owned(), criticality: None }),
        guidance,
        ..ServiceContext::default()
    });
    ProjectConfig {
        id: "shop".into(),
        name: "Shop".into(),
        owner: None,
        criticality: None,
        value: None,
        epic: None,
        include: Vec::new(),
        repositories: Vec::new(),
        contexts: contexts.collect(),
    }
}

fn constraints(all: Vec<Constraint>) -> Guidance {
    Guidance { constraints: all, ..Guidance::default() }
}

/// The ids and severities, in order.
fn said(items: &[GuidanceItem]) -> Vec<(&str, &str)> {
    items.iter().map(|item| (&*item.id, item.severity.as_str())).collect()
}

fn line(writer_seq: u64, json: &str) -> Line {
    let text = format!(r#"{{"v":1,"seq":{writer_seq},"t":"2026-11-26T20:00:0{}.000Z",{json}}}"#, writer_seq % 10);
    match operation::parse(&text).unwrap() {
        Parsed::Line(line) => *line,
        Parsed::Newer { .. } => panic!("{text}"),
    }
}

/// A line of somebody on this machine, or of a person with a token.
fn report(person: Option<&str>, writer_seq: u64, json: &str) -> GuidanceReport {
    let line = line(writer_seq, json);
    GuidanceReport { project: "shop".into(), writer: "w".into(), person: person.map(str::to_owned), line }
}

#[test]
fn a_context_is_read_whole() {
    let guidance = Guidance {
        focus: Some(Focus { areas: vec!["src/Checkout".into()], reason: text("launch"), until: text("2027-01-31") }),
        constraints: vec![constraint("api", "", Some("src/api"))],
        preferences: vec![Preference { id: "rust".into(), preference: "Rust".into(), reason: text("types") }],
        questions: vec![
            Question { id: "q".into(), question: "Why?".into(), ..Question::default() },
            Question { id: "old".into(), question: "When?".into(), status: text("answered"), ..Question::default() },
        ],
        context: vec![Knowledge {
            topic: "Money".into(),
            content: "is in cents".into(),
            source: text("docs/money.md"),
        }],
    };
    let items = in_force(of_project(&project(vec![(Some("cart"), guidance)])), Millis(0));
    let all: Vec<_> = items.iter().map(|item| (item.kind.as_str(), &*item.id, &*item.rule)).collect();
    assert_eq!(
        all,
        [
            ("constraint", "crd:shop/cart/api", "Keep api"),
            ("preference", "crd:shop/cart/rust", "Rust"),
            ("focus", &*format!("crd:shop/cart/{}", slug("src/Checkout")), "src/Checkout"),
            ("context", "crd:shop/cart/money", "Money: is in cents"),
            ("question", "crd:shop/cart/q", "Why?"),
        ]
    );
    assert_eq!(items[0].severity, Severity::Blocking, "without a word");
    assert_eq!(
        serde_json::to_string(&items[0]).unwrap(),
        r#"{"id":"crd:shop/cart/api","project":"shop","kind":"constraint","rule":"Keep api","severity":"blocking","scope":"src/api","from":"crd shop/cart","trust":"binding"}"#
    );
}

#[test]
fn the_strictest_of_one_id_counts_and_both_are_shown() {
    let contexts = vec![
        (Some("a"), constraints(vec![constraint("api", "advisory", None)])),
        (Some("b"), constraints(vec![constraint("api", "blocking", None), constraint("other", "warning", None)])),
    ];
    let items = in_force(of_project(&project(contexts)), Millis(0));
    assert_eq!(
        said(&items),
        [("crd:shop/a/api", "blocking"), ("crd:shop/b/api", "blocking"), ("crd:shop/b/other", "warning")]
    );
    assert_eq!((items[0].declared, items[1].declared), (Some(Severity::Advisory), None));
}

#[test]
fn what_is_not_proven_never_blocks_and_makes_nothing_stricter() {
    let mut all = of_project(&project(vec![(None, constraints(vec![constraint("api", "advisory", None)]))]));
    all.extend(of_repository("shop", None, &constraints(vec![constraint("api", "blocking", None)])));
    let mut stored = StoredGuidance::default();
    let add = r#""op":"guidance.add","id":"api","kind":"constraint","text":"x","severity":"blocking""#;
    stored.fold(&report(None, 1, add));
    all.extend(stored.items("shop"));
    let items = in_force(all, Millis(0));
    let found: Vec<_> = items.iter().map(|item| (&*item.id, item.severity.as_str(), item.trust.as_str())).collect();
    assert_eq!(
        found,
        [
            ("store:api", "warning", "unproven"),
            ("checkout:api", "warning", "untrusted"),
            ("projects:shop/api", "advisory", "binding"),
        ]
    );
    assert!(!is_blocked(&items));
    let trusted = of_repository("shop", Some("origin/main"), &constraints(vec![constraint("api", "blocking", None)]));
    assert!(is_blocked(&in_force(trusted, Millis(0))));
}

#[test]
fn guidance_holds_for_its_paths_until_its_end() {
    let until_day = Constraint { until: text("2026-11-26"), ..constraint("day", "", None) };
    let all = of_project(&project(vec![(
        Some("a"),
        constraints(vec![until_day, constraint("api", "", Some("src/api/**")), constraint("all", "", None)]),
    )]));
    let held = |at: &str, paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let items = in_force(covering(all.clone(), &paths).collect(), Millis::parse(at).unwrap());
        items.iter().map(|item| item.local_id().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(held("2026-11-26T23:59:59Z", &[]), "all api day");
    assert_eq!(held("2026-11-27T00:00:00Z", &["docs/a.md"]), "all");
    assert_eq!(held("2026-11-27T00:00:00Z", &["docs/a.md", "src/api/v1.rs"]), "all api");
    assert_eq!(held("2026-11-27T00:00:00Z", &["src/"]), "all api", "a directory, for what is under it");
    assert_eq!((until("2026-11-26T10:00:00Z"), until("soon")), (Millis::parse("2026-11-26T10:00:00Z"), None));
}

#[test]
fn what_was_ended_can_be_said_again() {
    let mut stored = StoredGuidance::default();
    let add = r#""op":"guidance.add","id":"api","kind":"preference","text":"Rust","actor":"ada""#;
    stored.fold(&report(None, 1, add));
    let source = stored.items("shop")[0].source.clone();
    assert_eq!((&*source.to_string(), stored.items("shop")[0].severity), ("local, by ada", Severity::Advisory));
    stored.fold(&report(None, 2, r#""op":"guidance.end","id":"api","reason":"done","actor":"bob""#));
    assert_eq!(stored.items("shop"), []);
    assert_eq!(stored.end_of(&source).and_then(|end| end.why.as_deref()), Some("done"));
    stored.fold(&report(None, 3, add));
    assert_eq!(stored.items("shop").len(), 1);
}

#[test]
fn what_a_person_proved_binds_and_only_people_replace_or_end_it() {
    let add = |text: &str| {
        format!(
            r#""op":"guidance.add","id":"api","kind":"constraint","text":"{text}","severity":"blocking","actor":"x""#
        )
    };
    let end = r#""op":"guidance.end","id":"api""#;
    let mut all = AllGuidance::default();
    assert!(all.fold(&report(Some("ada"), 1, &add("Keep /v1"))));
    assert!(all.fold(&report(None, 2, &add("Break /v1"))));
    let found = |all: &AllGuidance| {
        let items = in_force(all.items(Some("shop")), Millis(0));
        let item = |item: &GuidanceItem| format!("{} {} {} ({})", item.id, item.severity, item.rule, item.source);
        items.iter().map(item).collect::<Vec<_>>()
    };
    let proven = "person:api blocking Keep /v1 (token of ada)".to_owned();
    assert_eq!(found(&all), [proven.clone(), "store:api warning Break /v1 (local, by x)".to_owned()]);
    all.fold(&report(None, 3, end));
    assert_eq!(found(&all), [proven]);
    let kept: AllGuidance = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
    assert_eq!(kept, all);
    assert_eq!(found(&all.clone().unproven()), [""; 0], "in a store that anybody can write");
    all.fold(&report(Some("bob"), 4, end));
    assert_eq!(found(&all), [""; 0]);
}

#[test]
fn no_flood_of_others_leaves_a_person_without_room() {
    let add = |id: usize| format!(r#""op":"guidance.add","id":"id-{id}","kind":"focus","text":"src""#);
    let mut all = AllGuidance::default();
    assert!((0..1_000).all(|id| all.fold(&report(None, 1, &add(id)))));
    assert!(!all.fold(&report(None, 1, &add(1_000))), "until some are ended");
    assert!(all.fold(&report(Some("ada"), 1, &add(1_000))));
    all.fold(&report(None, 2, r#""op":"guidance.end","id":"id-7""#));
    assert!(all.fold(&report(None, 3, &add(1_001))));
    assert!(!all.0["shop"].contains_key("id-7"), "what was ended goes first");
}

#[test]
fn guidance_that_an_earlier_version_stored_is_read() {
    let said = r#"[{"at":"2026-11-26T20:00:00.000Z","writer":"w","seq":1,"by":"ada"},{"id":"api","kind":"focus","text":"src"}]"#;
    let stored = format!(r#"{{"shop":{{"api":{{"says":{said},"ended":null}}}}}}"#);
    let all: AllGuidance = serde_json::from_str(&stored).unwrap();
    assert_eq!(all.items(None)[0].id, "store:api");
}

#[test]
fn one_repository_makes_nothing_stricter_in_another() {
    let of = |source: GuidanceSource, severity| {
        GuidanceItem::new("shop", source, GuidanceKind::Constraint, "api", "Keep it").with_severity(severity)
    };
    let forge = |repository: &str| GuidanceSource::Forge { repository: repository.into(), branch: "main".into() };
    let holding = |items: Vec<GuidanceItem>| {
        let items = in_force(items, Millis(0));
        items.iter().map(|item| format!("{} {}", item.id, item.severity)).collect::<Vec<_>>()
    };
    let (web, api) = (of(forge("acme/web"), Severity::Blocking), of(forge("acme/api"), Severity::Advisory));
    let both = holding(vec![web.clone(), api.clone()]);
    assert_eq!(both, ["forge:acme/web/api blocking", "forge:acme/api/api advisory"]);
    let everywhere = of(GuidanceSource::Projects { project: "shop".into() }, Severity::Warning);
    let all = holding(vec![web, api, everywhere]);
    let want = ["forge:acme/web/api blocking", "projects:shop/api blocking", "forge:acme/api/api warning"];
    assert_eq!(all, want, "what holds everywhere and each of them do");
}

#[test]
fn ids_are_made_from_words() {
    assert_eq!(slug("No breaking changes"), "no-breaking-changes");
    assert_ne!(slug("No breaking changes of /v1"), slug("No breaking changes of v1"));
    assert!(slug("支払い").len() >= 6 && slug(&"word ".repeat(90)).len() <= LONGEST_ID);
}

const LONGEST_ID: usize = 63;

proptest! {
    /// Lines come to the same in any order, and twice as once.
    #[test]
    fn the_order_of_lines_does_not_matter(order in Just((1..9_u64).collect::<Vec<_>>()).prop_shuffle(), ends in prop::collection::vec(any::<bool>(), 9)) {
        let of = |seq: u64| {
            let json = if ends[usize::try_from(seq).unwrap()] {
                r#""op":"guidance.end","id":"x""#.to_owned()
            } else {
                format!(r#""op":"guidance.add","id":"x","kind":"focus","text":"{seq}""#)
            };
            report(None, seq, &json)
        };
        let (mut one, mut other) = (StoredGuidance::default(), StoredGuidance::default());
        (1..9).for_each(|seq| one.fold(&of(seq)));
        order.iter().chain(&order).for_each(|seq| other.fold(&of(*seq)));
        prop_assert_eq!(&one, &other);
        prop_assert_eq!(one.items("p").is_empty(), ends[8]);
    }
}
