//! Projects as GitHub shows them, understood and remembered.

use contextcore_core::model::SprintState;
use serde_json::{Value, json};

use super::super::settings::tests::plain;
use super::*;

/// The scrum board captured in 2026.
pub(in super::super) fn scrum_board(settings: &Settings) -> Project {
    Project::new(settings, name(), &answer(include_str!("../fixtures/project_fields_2026.json")), None)
}

fn name() -> ProjectName {
    ProjectName { owner: "acme".into(), number: 1 }
}

fn answer(json: &str) -> ProjectAnswer {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    serde_json::from_value(value["data"]["user"]["projectV2"].clone()).unwrap()
}

#[test]
fn a_real_scrum_board_is_understood() {
    let board = scrum_board(&plain());
    let found: Vec<_> = board.fields.all().map(|(meaning, field)| (meaning, &*field.name)).collect();
    assert_eq!(
        found,
        [
            ("status", "Status"),
            ("estimate", "Story Points"),
            ("iteration", "Sprint"),
            ("priority", "Priority"),
            ("type", "Type"),
            ("due", "Target date")
        ]
    );
    let names: Vec<_> = board.statuses.iter().map(|option| &*option.name).collect();
    assert_eq!(names, ["Backlog", "Ready", "In Progress", "In Review", "Done", "Blocked"]);
    assert!(board.iterations.len() > 2, "{:?}", board.iterations);
}

#[test]
fn a_project_recorded_in_2023_is_understood_too() {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("../fixtures/recorded_project_fields_and_items.json")).unwrap();
    let project = &recorded[0]["response"]["body"]["data"]["userOrOrganization"]["projectV2"];
    let answer: ProjectAnswer = serde_json::from_value(project.clone()).unwrap();
    let read = Project::new(&plain(), name(), &answer, None);
    assert_eq!(read.fields.status.map(|field| field.name).as_deref(), Some("Status"));
    assert!(!read.statuses.is_empty());
}

#[test]
fn configured_names_win_and_a_wrong_one_finds_nothing() {
    let settings = plain().with_field("estimate", "Priority").with_field("iteration", "Nope");
    let fields = scrum_board(&settings).fields;
    assert_eq!((fields.estimate, fields.iteration), (None, None));
    assert_eq!(fields.size.map(|field| field.name).as_deref(), Some("Priority"));
}

#[test]
fn an_iteration_ends_before_the_day_it_ends() {
    let iteration = Iteration { start_date: "2026-06-02".into(), duration: 11, ..Iteration::default() };
    let at = |text: &str| iteration.state(Millis::parse(text).unwrap());
    assert_eq!(at("2026-06-01T23:59:59Z"), SprintState::Future);
    assert_eq!(at("2026-06-02T00:00:00Z"), SprintState::Active);
    assert_eq!(at("2026-06-12T23:59:59Z"), SprintState::Active);
    assert_eq!(at("2026-06-13T00:00:00Z"), SprintState::Closed);
}

/// A project with a status option and iterations (id, title, start), all of 14 days.
fn project(status: &str, iterations: &[(&str, &str, &str)]) -> ProjectAnswer {
    let iterations: Vec<Value> = iterations
        .iter()
        .map(|(id, title, start)| json!({"id": id, "title": title, "startDate": start, "duration": 14}))
        .collect();
    let field = |id: &str, name: &str, iterations: &[Value]| {
        json!({"id": id, "name": name, "dataType": "ITERATION",
            "configuration": {"iterations": iterations, "completedIterations": []}})
    };
    let quarter = [json!({"id": "q1", "title": "Q1", "startDate": "2026-01-01", "duration": 90})];
    serde_json::from_value(json!({"id": "P", "fields": {"nodes": [
        {"id": "F1", "name": "Status", "dataType": "SINGLE_SELECT", "options": [{"id": "o1", "name": status}]},
        field("F2", "Iteration", &iterations),
        field("F3", "Quarter", &quarter),
        {"__typename": "ProjectV2MultiSelectField"}
    ]}}))
    .unwrap()
}

/// The project with another value in its fields, by JSON pointer.
fn with(answer: &ProjectAnswer, fields: &[(&str, Value)]) -> ProjectAnswer {
    let field = |at: usize| answer.fields().nth(at).unwrap();
    let shown = |at: usize| {
        let FieldAnswer { id, name, data_type, options, configuration } = field(at);
        json!({"id": id, "name": name, "dataType": data_type, "options": options, "configuration": configuration})
    };
    let mut project = json!({"id": answer.id, "fields": {"nodes": [shown(0), shown(1), shown(2)]}});
    for (pointer, value) in fields {
        *project.pointer_mut(pointer).unwrap() = value.clone();
    }
    serde_json::from_value(project).unwrap()
}

#[test]
fn a_list_that_did_not_come_leaves_what_was_known_as_it_was() {
    let whole = project("Done", &[("a", "One", "2026-01-01"), ("b", "Two", "2026-01-15")]);
    let known = read(&whole, None);
    assert_eq!(known.unread(&whole), Vec::<String>::new());
    let iterations = "/fields/nodes/1/configuration";
    let (open, done) = (format!("{iterations}/iterations"), format!("{iterations}/completedIterations"));
    let odd = [json!(null), json!(7), json!({"iterations": []}), json!([{"title": "no id"}])];
    let mut cases: Vec<(String, Value, &str)> = Vec::new();
    for value in &odd {
        cases.push((open.clone(), value.clone(), "iterations of Iteration"));
        cases.push((done.clone(), value.clone(), "iterations of Iteration"));
        cases.push((iterations.to_owned(), value.clone(), "iterations of Iteration"));
        cases.push(("/fields/nodes/0/options".to_owned(), value.clone(), "options of Status"));
    }
    cases.push(("/fields/nodes/1".to_owned(), json!(null), "fields"));
    cases.push(("/fields/nodes/1".to_owned(), json!({"id": 7}), "fields"));
    cases.push(("/fields/nodes/0/name".to_owned(), json!(["odd"]), "fields"));
    cases.push(("/fields/nodes".to_owned(), json!(null), "fields"));
    cases.push(("/fields".to_owned(), json!(null), "fields"));
    for (pointer, value, what) in cases {
        let answer = with(&whole, &[(&pointer, value.clone())]);
        let now = read(&answer, Some(&known));
        assert_eq!((listed(&now), &now.fields), (listed(&known), &known.fields), "{pointer} {value}");
        assert_eq!(now.statuses, known.statuses, "{pointer} {value}");
        let unread = now.unread(&answer);
        assert!(matches!(unread.as_slice(), [one] if one.contains(what)), "{pointer} {value}: {unread:?}");
    }
}

#[test]
fn what_is_listed_beside_a_list_that_did_not_come_is_taken_in() {
    let known = read(&project("Done", &[("a", "One", "2026-01-01")]), None);
    let later = project("Done", &[("b", "Two", "2026-01-15")]);
    let torn = with(&later, &[("/fields/nodes/1/configuration/completedIterations", json!(null))]);
    let now = read(&torn, Some(&known));
    assert_eq!(listed(&now), [("F2:a", "One"), ("F2:b", "Two")]);
    assert_eq!(listed(&read(&later, Some(&now))), [("F2:b", "Two")], "then it is known to be gone");
}

/// The native ids of the iterations that are listed, each with its title.
fn listed(project: &Project) -> Vec<(&str, &str)> {
    project.listed_iterations().map(|(id, iteration)| (id, &*iteration.title)).collect()
}

fn read(answer: &ProjectAnswer, known: Option<&Project>) -> Project {
    let project = Project::new(&plain(), name(), answer, known);
    // What is stored is read again.
    serde_json::from_value(serde_json::to_value(project).unwrap()).unwrap()
}

#[test]
fn names_that_github_forgets_are_kept() {
    let first = read(&project("Doing", &[]), None);
    let next = read(&project("In progress", &[]), Some(&first));
    assert_eq!(next.status_today("Doing"), "In progress");
    assert_eq!(next.status_today("Elsewhere"), "Elsewhere");
    assert_eq!(read(&project("In progress", &[]), Some(&next)), next);
}

#[test]
fn only_the_field_that_is_read_has_iterations() {
    let one = ("a1", "One", "2026-01-05");
    assert_eq!(listed(&read(&project("Todo", &[one]), None)), [("F2:a1", "One")]);
    let settings = plain().with_field("iteration", "Quarter");
    let quarters = Project::new(&settings, name(), &project("Todo", &[one]), None);
    assert_eq!(listed(&quarters), [("F3:q1", "Q1")]);
    // An earlier version kept those of every field.
    let mut before = read(&project("Todo", &[one]), None);
    before.iterations.insert("F3:q1".into(), Iteration { id: "q1".into(), ..Iteration::default() });
    assert_eq!(listed(&read(&project("Todo", &[one]), Some(&before))), [("F2:a1", "One")]);
}

#[test]
fn iterations_made_anew_go_on_and_deleted_ones_are_gone() {
    let (one, two) = (("a1", "One", "2026-01-05"), ("a2", "Two", "2026-01-19"));
    let first = read(&project("Todo", &[one, two]), None);
    let anew = [("b1", "One", "2026-01-05"), ("b2", "Two", "2026-01-26"), ("b3", "Three", "2026-02-09")];
    let next = read(&project("Todo", &anew), Some(&first));
    assert_eq!(listed(&next), [("F2:a1", "One"), ("F2:a2", "Two"), ("F2:b3", "Three")]);
    assert_eq!((&*next.sprint("F2", "b2"), &*next.sprint("F2", "b3")), ("F2:a2", "F2:b3"));
    let again = [("c1", "One", "2026-01-05"), ("c3", "Three", "2026-02-09")];
    let last = read(&project("Todo", &again), Some(&next));
    assert_eq!(listed(&last), [("F2:a1", "One"), ("F2:b3", "Three")], "the second is deleted");
    assert_eq!(&*last.sprint("F2", "c1"), "F2:a1");
    let back = read(&project("Todo", &[one, two]), Some(&last));
    assert_eq!(listed(&back), [("F2:a1", "One"), ("F2:a2", "Two")]);
    // Another sprint of the same name, long after.
    let later = read(&project("Todo", &[("d1", "One", "2026-06-01")]), Some(&first));
    assert_eq!(listed(&later), [("F2:d1", "One")]);
}

#[test]
fn an_odd_iteration_costs_itself_and_does_not_end() {
    let first = read(&project("Todo", &[("a1", "One", "2026-01-05"), ("a2", "Two", "2026-01-19")]), None);
    let mut odd = project("Todo", &[("a1", "One", "2026-01-05"), ("a2", "Two", "2026-01-19")]);
    for field in &mut odd.fields.as_mut().unwrap().nodes {
        let Some(OddOr::Read(FieldAnswer { configuration, .. })) = field else { continue };
        if let Some(iterations) = configuration["iterations"].as_array_mut() {
            iterations.iter_mut().for_each(|one| one["duration"] = json!(-1));
            iterations.push(json!({"id": "a3", "startDate": {}}));
            iterations.push(json!("odd"));
        }
    }
    assert_eq!(listed(&read(&odd, Some(&first))), listed(&first));
    let without = serde_json::from_value(json!({"id": "P", "fields": {"nodes": []}})).unwrap();
    assert_eq!(read(&without, Some(&first)).iterations, first.iterations, "no field says nothing about its iterations");
}

#[test]
fn dates_outside_the_calendar_give_no_span() {
    let of = |start: &str, duration| Iteration { start_date: start.into(), duration, ..Iteration::default() }.span();
    assert_eq!(of("2026-13-01", 14), None);
    assert_eq!(of("+99999-01-01", 14), None);
    assert!(of("2026-01-01", u32::MAX).is_some_and(|(_, end)| end.to_string().starts_with("21")));
}
