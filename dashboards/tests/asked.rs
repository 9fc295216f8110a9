//! The queries that are easily wrong, put to made-up series with `promtool test rules`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use contextcore_dashboards::dashboards;
use contextcore_dashboards::model::Target;

const SKIPPED: &str = "
SKIPPED: no query was tried. promtool is neither in $CONTEXTCORE_STACK nor in target/stack; tests/stack/build.sh builds it.
CONTEXTCORE_REQUIRE_STACK=1 makes this fail.
";

/// promtool, if it was built.
fn promtool() -> Option<PathBuf> {
    let given = std::env::var_os("CONTEXTCORE_STACK").map(PathBuf::from);
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/stack");
    let file = given.unwrap_or(built).join("promtool");
    file.is_file().then_some(file)
}

/// The query of a panel, with what Grafana fills in.
fn query(dashboard: usize, panel: u32, letter: &str) -> String {
    let (_, dashboard) = dashboards().into_iter().nth(dashboard).unwrap();
    let panel = dashboard.all_panels().find(|other| other.id == panel).unwrap().clone();
    let target = panel.targets.iter().find(|target| target.ref_id() == letter);
    filled(target.and_then(Target::query).unwrap())
}

/// The query of the variable that chooses a sprint.
fn sprints() -> String {
    let (_, project) = dashboards().into_iter().nth(1).unwrap();
    let sprint = project.templating.list.into_iter().find(|variable| variable.name == "sprint").unwrap();
    filled(sprint.definition.strip_prefix("query_result(").unwrap().strip_suffix(')').unwrap())
}

fn filled(query: &str) -> String {
    let values = [("$project", "shop"), ("$sprint", "1"), ("$__range", "14d"), ("$lookback", "6h")];
    values.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
}

/// A query, when it is asked, and the labels and values that it gives.
type Asked<'a> = (String, &'a str, &'a [(&'a str, f64)]);

/// A test file with one group of series, and what each query gives at a moment.
fn file(series: &[(&str, &str)], asked: &[Asked<'_>]) -> String {
    let mut text = "evaluation_interval: 6h\ntests:\n- interval: 6h\n  input_series:\n".to_owned();
    for (series, values) in series {
        text.push_str(&format!("  - {{series: '{series}', values: '{values}'}}\n"));
    }
    text.push_str("  promql_expr_test:\n");
    for (query, at, samples) in asked {
        let samples = samples.iter().map(|(labels, value)| format!("{{labels: '{labels}', value: {value}}}"));
        let samples = samples.collect::<Vec<_>>().join(", ");
        text.push_str(&format!("  - {{expr: {query:?}, eval_time: {at}, exp_samples: [{samples}]}}\n"));
    }
    text
}

fn check(name: &str, text: &str) {
    let Some(promtool) = promtool() else {
        assert!(std::env::var_os("CONTEXTCORE_REQUIRE_STACK").is_none_or(|value| value != "1"), "{SKIPPED}");
        std::io::stderr().write_all(SKIPPED.as_bytes()).unwrap();
        return;
    };
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.test.yaml"));
    std::fs::write(&path, text).unwrap();
    let run = Command::new(promtool).args(["test", "rules"]).arg(&path).output().unwrap();
    let said = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(run.status.success(), "{said}");
}

/// Sprint 1 runs for ten days and is closed; sprints 2 and 3 run side by side, and 3 began last.
const SPRINTS: [(&str, &str); 8] = [
    (r#"task_wip{project_id="shop"}"#, "3x80"),
    (r#"sprint_scope_points{project_id="shop",sprint_id="1",sprint_name="One"}"#, "20x40"),
    (r#"sprint_planned_points{project_id="shop",sprint_id="1",sprint_name="One"}"#, "20x40"),
    (r#"sprint_completed_points{project_id="shop",sprint_id="1",sprint_name="One"}"#, "0x20 18x19"),
    (r#"sprint_scope_points{project_id="shop",sprint_id="2",sprint_name="Two"}"#, "_x41 9x39"),
    (r#"sprint_scope_points{project_id="shop",sprint_id="3",sprint_name="Three"}"#, "_x60 7x20"),
    (
        r#"sprint_info{project_id="shop",sprint_id="2",sprint_name="Two",sprint_state="active",sprint_end_date="b"}"#,
        "_x80 1",
    ),
    (
        r#"sprint_info{project_id="shop",sprint_id="3",sprint_name="Three",sprint_state="active",sprint_end_date="c"}"#,
        "_x80 1",
    ),
];

#[test]
fn a_closed_sprint_has_its_points_and_its_end() {
    let asked: [Asked<'_>; 4] = [
        (query(1, 5, "A"), "264h", &[("{}", 18.0)]),
        (query(1, 5, "B"), "264h", &[("{}", 20.0)]),
        (query(1, 6, "B"), "264h", &[("{}", 864_000_000.0)]),
        (query(1, 6, "A"), "264h", &[]),
    ];
    check("closed", &file(&SPRINTS, &asked));
}

#[test]
fn of_two_running_sprints_the_one_that_began_last_ranks_first() {
    let (two, three) = (1e12 + 41.0 * 21_600.0, 1e12 + 60.0 * 21_600.0);
    let ranks: &[(&str, f64)] = &[
        (r#"{sprint_id="2",sprint_name="Two"}"#, two),
        (r#"{sprint_id="3",sprint_name="Three"}"#, three),
        (r#"{sprint_id="1",sprint_name="One"}"#, 40.0 * 21_600.0),
    ];
    check("running", &file(&SPRINTS, &[(sprints(), "480h", ranks)]));
}

#[test]
fn projects_have_their_names_and_those_without_one_their_ids() {
    let series = [
        (r#"task_wip{project_id="shop"}"#, "3x4"),
        (r#"project_info{project_id="shop",project_name="The Shop"}"#, "1x4"),
        (r#"sprint_predictability_percent{project_id="shop",sprint_id="1",sprint_name="One"}"#, "90x4"),
        (r#"sprint_predictability_percent{project_id="shop.old",sprint_id="1",sprint_name="Old"}"#, "80x4"),
    ];
    let want: &[(&str, f64)] = &[
        (r#"{project_id="shop",project_name="The Shop",sprint_id="1",sprint_name="One"}"#, 90.0),
        (r#"{project_id="shop.old",project_name="shop.old",sprint_id="1",sprint_name="Old"}"#, 80.0),
    ];
    let query = query(0, 21, "A").replace("project_id=~\"shop\"", "project_id=~\"shop.*\"");
    check("named", &file(&series, &[(query, "24h", want)]));
}

#[test]
fn groups_of_agent_assisted_work_have_their_numbers_and_the_coverage_is_weighed() {
    let group = |metric: &str, more: &str| {
        format!(
            r#"agent_assisted_{metric}{{project_id="shop",task_agent_assisted="assisted",task_type="bug",task_size="small"{more}}}"#
        )
    };
    let (tasks, cycle, rework) =
        (group("tasks", ""), group("cycle_time_seconds", r#",quantile="0.85""#), group("rework_percent", ""));
    let series = [
        (r#"task_wip{project_id="shop"}"#, "3x4"),
        (r#"task_wip{project_id="app"}"#, "3x4"),
        (r#"project_info{project_id="shop",project_name="The Shop"}"#, "1x4"),
        (r#"agent_assisted_coverage_percent{project_id="shop"}"#, "50x4"),
        (r#"agent_assisted_completed{project_id="shop"}"#, "300x4"),
        (r#"agent_assisted_coverage_percent{project_id="app"}"#, "10x4"),
        (r#"agent_assisted_completed{project_id="app"}"#, "100x4"),
        (tasks.as_str(), "40x4"),
        (cycle.as_str(), "172800x4"),
        (rework.as_str(), "12.5x4"),
    ];
    let labels = r#"{task_agent_assisted="assisted",task_type="bug",task_size="small"}"#;
    let of_all = |query: String| query.replace("project_id=~\"shop\"", "project_id=~\"shop|app\"");
    let named = r#"{project_id="shop",project_name="The Shop",task_agent_assisted="assisted",task_type="bug",task_size="small"}"#;
    let asked: [Asked<'_>; 6] = [
        (query(1, 58, "A"), "24h", &[("{}", 50.0)]),
        (of_all(query(0, 32, "A")), "24h", &[("{}", 40.0)]),
        (query(1, 59, "A"), "24h", &[(labels, 40.0)]),
        (query(1, 59, "C"), "24h", &[(labels, 2.0)]),
        (query(1, 59, "F"), "24h", &[(labels, 12.5)]),
        (query(0, 33, "C"), "24h", &[(named, 2.0)]),
    ];
    check("assisted", &file(&series, &asked));
}
