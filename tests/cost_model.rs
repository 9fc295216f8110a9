//! The cost model: what docs/SCALE.md shows of it is what it prints, and it answers what a person would try.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const SCRIPT: &str = "docs/cost_model.py";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs it with these arguments; gives its code, and what it printed on both streams.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new("python3").arg(SCRIPT).args(arguments).current_dir(root()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn costs(arguments: &[&str]) -> Value {
    let (code, out, err) = run(&[arguments, &["--output", "json"]].concat());
    assert_eq!(code, Some(0), "{err}");
    serde_json::from_str(&out).unwrap()
}

/// The command in the page, and the tables that follow it up to the next heading.
#[test]
fn the_tables_of_the_page_are_what_it_prints() {
    let page = std::fs::read_to_string(root().join("docs/SCALE.md")).unwrap();
    let command = page.lines().find_map(|line| line.strip_prefix(&format!("python3 {SCRIPT} "))).unwrap();
    let arguments: Vec<&str> = command.split_whitespace().collect();
    let (_, out, _) = run(&[&arguments[..], &["--output", "markdown"]].concat());
    let after = page.split_once(command).unwrap().1;
    let section = after.split("\n#").next().unwrap();
    let shown: Vec<&str> = section.lines().filter(|line| line.starts_with('|')).collect();
    let printed: Vec<&str> = out.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(
        shown, printed,
        "run `python3 {SCRIPT} {command} --output markdown` and put its tables into docs/SCALE.md"
    );
}

#[test]
fn more_of_anything_costs_no_less() {
    let usual = ["--jira", "2", "--github", "2", "--linear", "2", "--projects", "10", "--tasks", "60000"];
    let before = costs(&usual);
    for more in [
        &["--tasks", "120000", "--open", "3000"][..],
        &["--projects", "20"],
        &["--open", "4500"],
        &["--changes-a-day", "90000"],
        &["--changes-a-task", "40"],
        &["--poll", "1"],
        &["--metrics", "10"],
        &["--snapshots", "5"],
    ] {
        let after = costs(&[&usual[..], more].concat());
        let mut grown = 0;
        for part in ["an_hour_of_a_source", "first_sync", "database", "an_hour", "disk"] {
            for (name, value) in before[part].as_object().unwrap() {
                let (old, new) = (value.as_f64().unwrap(), after[part][name].as_f64().unwrap());
                assert!(new >= old, "{more:?}: {part} {name} {old} {new}");
                grown += usize::from(new > old);
            }
        }
        assert!(grown > 0, "{more:?} costs nothing");
    }
}

#[test]
fn only_the_limits_of_tools_that_are_there_are_shown_the_tightest_first() {
    let found = costs(&["--github", "1", "--projects", "3", "--tasks", "40000"]);
    let limits = found["limits"].as_array().unwrap();
    let names: Vec<&str> = limits.iter().map(|row| row["what"].as_str().unwrap()).collect();
    // 40,000 items swept every five minutes are more than the points of an hour.
    assert!(names[0].starts_with("GitHub") && limits[0]["share"].as_f64() > Some(1.0), "{limits:?}");
    assert!(!names.iter().any(|name| name.starts_with("Jira") || name.starts_with("Linear")), "{names:?}");
    let shares: Vec<f64> = limits.iter().map(|row| row["share"].as_f64().unwrap()).collect();
    assert!(shares.is_sorted_by(|one, other| one >= other), "{shares:?}");
}

/// A key that it names is one that a configuration may have.
#[test]
fn its_help_names_keys_that_there_are() {
    let (_, help, _) = run(&["--help"]);
    let schema = std::fs::read_to_string(root().join("config/schema.json")).unwrap();
    let words = help.split(|sign: char| !(sign.is_alphanumeric() || "._".contains(sign)));
    let keys: Vec<&str> = words.filter(|word| word.starts_with("export.")).collect();
    assert_eq!(keys.len(), 2, "{help}");
    for part in keys.iter().flat_map(|key| key.split('.')) {
        assert!(schema.contains(&format!("\"{part}\": {{")), "{part}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    for wrong in [
        &["--tasks", "10"][..],
        &["--jira", "1", "--poll", "0"],
        &["--jira", "1", "--tasks", "5", "--open", "6"],
        &["--jira", "1", "--tasks", "-5", "--open", "-6"],
        &["--jira", "1", "--projects=-1"],
        &["--jira", "1", "--changes-a-day", "nan"],
        &["--jira", "nan"],
        &["--jira", "1", "--days", "inf"],
        &["--jira", "1", "--replicas", "many"],
    ] {
        let (code, _, err) = run(wrong);
        assert!(code == Some(2) && err.contains("error:") && !err.contains("Traceback"), "{wrong:?}: {err}");
    }
}
