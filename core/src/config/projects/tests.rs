use std::fs;

use super::*;
use crate::config::{self, kind};

const MAIN: &str = "\
projects_file: projects
sources:
  - {name: jira, kind: jira, url: 'https://example.com', auth: {token: {env: T}}, projects: [SHOP, PAY]}
";

const CHECKOUT: &str = r#"
projects:
- id: shop
  name: Shop
  owner: shop-team
  criticality: critical
  value: revenue-primary
  include: [{source: jira, project: SHOP}]
  context: {namespace: commerce, name: checkout, criticality: critical}
  targets: [{kind: Deployment, name: checkout, service: checkout}]
  requirements: {availability: "99.95", latencyP99: 200ms, window: 30d, minBadEvents: 5}
  slos: [{name: availability, objective: "99.95", window: 30d, errorBudget: "0.05", sli: otel-http}]
  risks: [{risk: PCI data leaks, id: pci, type: security, priority: P1, mitigation: tokens}]
  design: {adr: docs/adr/1.md, apiContract: "https://docs.example/api"}
  guidance: {constraints: [{id: no-breaking, rule: Keep the API, severity: blocking}], focus: {areas: [src]}}
"#;

const CART: &str = r#"
projects:
- {id: shop, owner: cart-team, criticality: medium, context: {namespace: commerce, name: cart}, requirements: {errorRate: "0.5"}}
- {id: pay, include: [{source: jira, project: SHOP}, {source: jria, project: PAY}]}
"#;

/// The configuration with these files in its directory of projects.
fn load(main: &str, files: &[(&str, &str)]) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let projects = dir.path().join("projects");
    fs::create_dir(&projects).unwrap();
    for (name, text) in files {
        fs::write(projects.join(name), text).unwrap();
    }
    let path = dir.path().join("contextcore.yaml");
    fs::write(&path, main).unwrap();
    let place = dir.path().display().to_string();
    config::load(&path, &[kind::unchecked("jira")]).map_err(|errors| errors.to_string().replace(&place, "DIR"))
}

fn notes(config: &Config) -> &[String] {
    &config.projects_file.as_ref().unwrap().notes
}

#[test]
fn an_entry_is_read_whole() {
    let config = load(MAIN, &[("commerce.checkout.yaml", CHECKOUT)]).unwrap();
    let [shop] = config.projects.as_slice() else { panic!("{:?}", config.projects) };
    assert_eq!(
        (shop.name.as_str(), shop.owner.as_deref(), shop.value.as_deref()),
        ("Shop", Some("shop-team"), Some("revenue-primary"))
    );
    assert_eq!(shop.include, [("jira".to_owned(), "SHOP".to_owned())]);
    assert_eq!(config.project_of("jira", "SHOP").map(|project| project.id.as_str()), Some("shop"));
    assert_eq!((shop.availability(), shop.latencies()), (Some(99.95), vec![("0.99", 0.2)]));
    let context = &shop.contexts[0];
    assert_eq!(context.place().as_deref(), Some("commerce/checkout"));
    assert_eq!((context.risks[0].id.as_deref(), context.slos[0].error_budget.as_str()), (Some("pci"), "0.05"));
    assert_eq!(context.design.documents().count(), 2);
    assert_eq!(context.guidance.lines().map(|line| line.kind).collect::<Vec<_>>(), ["constraint", "focus"]);
    assert!(notes(&config).is_empty(), "{:?}", notes(&config));
}

#[test]
fn entries_of_one_project_are_united_and_what_is_left_out_is_said() {
    let files = [("a.yaml", CHECKOUT), ("b.yml", CART), (".hidden.yaml", "nonsense"), ("README.md", "nonsense")];
    let config = load(MAIN, &files).unwrap();
    let [pay, shop] = config.projects.as_slice() else { panic!("{:?}", config.projects) };
    assert_eq!(shop.criticality.map(|word| word.as_str()), Some("critical"), "the highest");
    assert_eq!((shop.owner.as_deref(), shop.contexts.len()), (Some("shop-team"), 2), "of the first");
    assert!(pay.include.is_empty());
    let notes = notes(&config).join("\n");
    for part in [
        "shop: owner is shop-team in commerce/checkout and cart-team in commerce/cart: the first counts",
        "SHOP of jira is included by project shop in commerce/checkout and by project pay in ",
        "projects/b.yml: the first counts; remove it from the one that it does not belong to",
        "includes PAY of jria, which is no source",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn what_the_configuration_writes_wins_and_every_disagreement_is_listed() {
    let main = format!(
        "{MAIN}projects:\n  - {{id: shop, owner: the-owner, criticality: low, include: [{{source: jira, project: PAY}}]}}\n"
    );
    let config = load(&main, &[("a.yaml", CHECKOUT)]).unwrap();
    let shop = &config.projects[0];
    assert_eq!((shop.owner.as_deref(), shop.value.as_deref()), (Some("the-owner"), Some("revenue-primary")));
    assert_eq!(shop.criticality.map(|word| word.as_str()), Some("low"));
    assert_eq!(shop.include, [("jira".to_owned(), "PAY".to_owned())]);
    assert_eq!(
        notes(&config),
        [
            "shop: owner is the-owner in the configuration and shop-team in the projects file: the configuration wins",
            "shop: criticality is low in the configuration and critical in the projects file: the configuration wins",
            "shop: include is PAY of jira in the configuration and SHOP of jira in the projects file: the configuration wins",
        ]
    );
    // What the configuration leaves open, the file says.
    let main = format!("{MAIN}projects:\n  - {{id: shop, owner: the-owner}}\n");
    assert_eq!(load(&main, &[("a.yaml", CHECKOUT)]).unwrap().projects[0].include.len(), 1);
}

#[test]
fn an_entry_that_cannot_be_used_names_file_line_and_key_and_stops_no_other() {
    let broken =
        "projects:\n- id: shop\n  requirements:\n    availability: \"100\"\n    latencyP95: 2s\n    latencyP99: 1s\n";
    let files = [
        ("a.yaml", broken),
        ("b.yaml", "projects:\n- {id: x, ownr: y}\n- {id: good}\n- {owner: nobody}"),
        ("c.yaml", "projects: [{id: y, risks: [{risk: ' '}], include: [{source: ' ', project: A}]}]"),
        ("d.yaml", "projects: [{id: z, requirements: {availability: 99.9}}, 7]"),
    ];
    let config = load(MAIN, &files).unwrap();
    assert_eq!(config.projects.iter().map(|project| project.id.as_str()).collect::<Vec<_>>(), ["good"]);
    let unusable = config.projects_file.unwrap().unusable.join("\n");
    for part in [
        "/projects/a.yaml:4: projects[0].requirements.availability: is not a percentage between 0 and 100",
        "/projects/a.yaml:6: projects[0].requirements.latencyP99: is below latencyP95",
        "/projects/b.yaml:2: projects[0].ownr: unknown key `ownr`: did you mean `owner`? (the entry is left out)",
        "/projects/b.yaml:4: projects[2].id",
        "/projects/c.yaml:1: projects[0].risks[0].risk",
        "/projects/c.yaml:1: projects[0].include[0].source",
        "put it in quotes",
        "/projects/d.yaml:1: projects[1]",
    ] {
        assert!(unusable.contains(part), "{part}: {unusable}");
    }
}

#[test]
fn a_text_that_is_no_projects_file_is_refused_by_file_and_line() {
    let error = load(MAIN, &[("a.yaml", CHECKOUT), ("b.yaml", "projets: []"), ("c.yaml", "[")]).unwrap_err();
    for part in ["DIR/projects/b.yaml:1: projets: unknown key", "DIR/projects/c.yaml"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let missing = load(&MAIN.replace("projects_file: projects", "projects_file: nowhere"), &[]).unwrap_err();
    assert!(missing.contains("DIR/nowhere: does not exist"), "{missing}");
}

#[test]
fn one_time_in_two_units_is_in_order() {
    for (p50, p90) in [("700ms", "0.7s"), ("0.7s", "700ms"), ("1100ms", "1.1s"), ("0.3s", "300ms")] {
        let text = format!("projects: [{{id: x, requirements: {{latencyP50: {p50}, latencyP90: {p90}}}}}]");
        let config = load(MAIN, &[("a.yaml", &text)]).unwrap();
        assert!(notes(&config).is_empty(), "{p50} {p90}: {:?}", notes(&config));
    }
}

#[test]
fn an_empty_directory_and_a_single_file_will_do() {
    assert!(load(MAIN, &[]).unwrap().projects.is_empty());
    let single = MAIN.replace("projects_file: projects", "projects_file: projects/a.yaml");
    assert_eq!(load(&single, &[("a.yaml", CHECKOUT), ("b.yaml", CART)]).unwrap().projects.len(), 1);
}

#[test]
fn the_committed_schema_of_the_projects_file_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/projects.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(path, json_schema()).unwrap();
    }
    let committed = fs::read_to_string(path).unwrap_or_default();
    assert!(committed == json_schema(), "config/projects.schema.json is stale: run this test with UPDATE_SCHEMA=1");
}
