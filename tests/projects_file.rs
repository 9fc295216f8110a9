//! What a projects file says reaches spans, logs and metrics, of `sync` and of a running `serve`; what the configuration writes wins.

use contextcore_fakes::otlp::{Attributes, Log};

use crate::rig::{Installation, Service, Tool, role, sample, until};

const FILE: &str = r#"
projects:
- id: commerce
  owner: commerce-team
  criticality: critical
  context: {namespace: commerce, name: checkout, criticality: critical}
  requirements: {availability: "99.95", latencyP99: 200ms}
  risks: [{risk: Card numbers leak, id: pci, type: security, priority: P1}]
  design: {adr: docs/adr/1.md}
  guidance: {constraints: [{id: no-breaking-api, rule: Keep the API}]}
"#;

/// The sample world, whose project is described in a directory of files.
async fn described() -> (Tool, Installation) {
    let (tool, home) = sample().await;
    std::fs::create_dir(home.path().join("projects")).unwrap();
    std::fs::write(home.path().join("projects/commerce.checkout.yaml"), FILE).unwrap();
    let config = home.config_text().replace("{id: commerce, ", "{id: commerce, owner: the-owner, ");
    home.write(&format!("{config}projects_file: projects\n"));
    (tool, home)
}

fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    attributes.get(name)?.as_str()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_exports_what_the_projects_file_says() {
    let (_tool, home) = described().await;
    let check = home.run(&["check"]);
    let note = "commerce: owner is the-owner in the configuration and commerce-team in the projects file";
    assert!(check.code == Some(0) && check.out.contains(note), "{}{}", check.out, check.err);
    assert_eq!(home.sync().code, Some(0));
    for span in home.collector.spans() {
        let of = |name| text(&span.resource, name);
        if of("project.id") != Some("commerce") {
            assert_eq!(of("business.criticality"), None, "a project that the file does not describe");
            continue;
        }
        if role(&span) == "anchor" {
            assert_eq!((of("business.criticality"), of("project.name")), (None, None), "anchors are for ever");
            continue;
        }
        assert_eq!((of("business.criticality"), of("business.owner")), (Some("critical"), Some("the-owner")));
        assert_eq!(of("risk.priority"), Some("P1"));
        assert_eq!(span.resource.get("requirement.availability").and_then(|value| value.as_f64()), Some(99.95));
    }
    let described = |log: &&Log| text(&log.resource, "project.id") == Some("commerce");
    let logs = home.collector.logs();
    let of_commerce: Vec<_> = logs.iter().filter(described).collect();
    assert!(!of_commerce.is_empty());
    assert!(of_commerce.iter().all(|log| text(&log.resource, "business.criticality") == Some("critical")));
    let points = home.points();
    let of = |name: &str| points.iter().find(|point| point.name == name).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(text(&of("requirement.availability").attributes, "context"), Some("commerce/checkout"));
    assert_eq!(text(&of("requirement.latency").attributes, "quantile"), Some("0.99"));
    let risks = of("risk.count");
    assert_eq!((text(&risks.attributes, "priority"), text(&risks.attributes, "type")), (Some("P1"), Some("security")));
    assert_eq!(text(&of("risk.info").attributes, "risk.title"), Some("Card numbers leak"));
    assert_eq!(text(&of("design.info").attributes, "design.place"), Some("docs/adr/1.md"));
    assert_eq!(text(&of("guidance.info").attributes, "guidance.text"), Some("Keep the API"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_entry_is_left_out_and_a_broken_file_is_an_error_but_not_for_those_who_read() {
    let (_tool, home) = described().await;
    assert_eq!(home.sync().code, Some(0));
    std::fs::write(home.path().join("projects/commerce.checkout.yaml"), FILE.replace("99.95", "100")).unwrap();
    let sync = home.run(&["sync"]).expect(0);
    let line = "commerce.checkout.yaml:7: projects[0].requirements.availability: is not a percentage";
    assert!(sync.err.contains(line) && sync.err.contains("the entry is left out"), "{}", sync.err);
    std::fs::write(home.path().join("projects/commerce.checkout.yaml"), "projects: [\n").unwrap();
    let sync = home.run(&["sync"]).expect(2);
    assert!(sync.err.contains("commerce.checkout.yaml:1: is not valid YAML here"), "{}", sync.err);
    let tasks = home.run(&["tasks"]);
    assert!(tasks.code == Some(0) && tasks.err.contains("going on without the projects file"), "{}", tasks.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_takes_a_change_within_a_minute_and_keeps_the_last_good_state() {
    let (_tool, home) = described().await;
    let mut service = Service::start(&home);
    service.until("/readyz", "200");
    let file = home.path().join("projects/commerce.checkout.yaml");
    let wait = |part: &str| {
        let mut page = String::new();
        until(part, || {
            page = service.get("/metrics").unwrap_or_default().1;
            page.lines().any(|line| line.contains(part))
        });
        page
    };
    wait("requirement_availability_percent{project_id=\"commerce\",context=\"commerce/checkout\"} 99.95");
    std::fs::write(&file, FILE.replace("99.95", "99.5").replace("P1", "P2")).unwrap();
    let page = wait("requirement_availability_percent{project_id=\"commerce\",context=\"commerce/checkout\"} 99.5");
    assert!(page.contains("priority=\"P2\"") && !page.contains("priority=\"P1\""), "{page}");
    std::fs::write(&file, "projects: [").unwrap();
    let says = || home.run(&["status"]).out.contains("projects cannot be used for");
    until("status says that the file cannot be used", says);
    let page = wait("requirement_availability_percent");
    assert!(page.contains("} 99.5"), "the last good state stays: {page}");
    let ran = service.stop();
    assert!(ran.err.contains("the projects file cannot be used"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_that_is_described_before_it_has_tasks_exports_what_it_must_reach() {
    let (_tool, home) = described().await;
    std::fs::write(home.path().join("projects/new.yaml"), FILE.replace("id: commerce\n", "id: brand-new\n")).unwrap();
    assert_eq!(home.sync().code, Some(0));
    let values = |name: &str| -> Vec<f64> {
        let points = home.collector.points();
        let of_project = points.iter().filter(|point| text(&point.attributes, "project.id") == Some("brand-new"));
        of_project.filter(|point| point.name == name).map(|point| point.value.as_f64()).collect()
    };
    assert_eq!(values("requirement.availability"), [99.95]);
    assert_eq!(values("risk.count"), [1.0]);
    assert_eq!(values("project.info"), [1.0]);
    assert_eq!(values("task.wip"), [0.0; 0]);
}
