//! `contextcore controller`: the definition, the check of files, and what is rendered; and one line where it is not built in.

use std::fs;
use std::process::{Command, Output};

const CONTEXT: &str = "\
apiVersion: contextcore.io/v1
kind: ProjectContext
metadata: {name: checkout-service, namespace: commerce}
spec:
  project: {id: commerce-platform}
  business: {criticality: critical, owner: commerce-team}
  requirements: {availability: \"99.95\"}
";

/// Runs the command in a directory with `good.yaml`, `bad.yaml` and `settings.yaml`.
fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("good.yaml", CONTEXT);
    write("bad.yaml", &CONTEXT.replace("\"99.95\"", "99.95"));
    write(
        "settings.yaml",
        "limits: {default: {maxCriticality: low}}\nprojects: {commerce-platform: {namespaces: [a]}}\n",
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
    command.arg("controller").args(arguments).current_dir(folder.path()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(feature = "kubernetes")]
#[test]
fn the_definition_is_the_committed_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy/helm/contextcore/crds/projectcontexts.contextcore.io.yaml");
    assert_eq!(text(&run(&["crd"]).stdout), fs::read_to_string(path).unwrap());
}

#[cfg(feature = "kubernetes")]
#[test]
fn a_form_that_a_command_has_not_is_refused() {
    let json = text(&run(&["crd", "-o", "json"]).stdout);
    assert!(json.starts_with("{\n") && json.contains("projectcontexts.contextcore.io"), "{json:.80}");
    for arguments in [&["crd", "-o", "csv"][..], &["validate", "-o", "json", "good.yaml"]] {
        let refused = run(arguments);
        assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0), "{arguments:?}");
        assert!(text(&refused.stderr).starts_with("error: `controller "), "{}", text(&refused.stderr));
    }
}

#[cfg(feature = "kubernetes")]
#[test]
fn validate_names_file_line_and_field() {
    let good = run(&["validate", "good.yaml"]);
    assert_eq!((good.status.code(), text(&good.stdout).as_str()), (Some(0), "1 context valid\n"));
    let bad = run(&["validate", "good.yaml", "bad.yaml"]);
    assert_eq!(bad.status.code(), Some(2));
    assert_eq!(
        text(&bad.stderr),
        "error: bad.yaml:7: spec.requirements.availability: needs text, not a number: put it in quotes, \"99.95\"\n"
    );
    let refused = run(&["validate", "good.yaml", "--settings", "settings.yaml"]);
    assert_eq!(refused.status.code(), Some(2));
    let line = "error: good.yaml:5: spec.project.id: commerce-platform may not be used in namespace commerce";
    assert!(text(&refused.stderr).starts_with(line), "{}", text(&refused.stderr));
    let missing = run(&["validate", "none.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).starts_with("error: none.yaml: cannot be read"), "{}", text(&missing.stderr));
}

#[cfg(feature = "kubernetes")]
#[test]
fn render_prints_each_form() {
    let form = |arguments: &[&str]| {
        let ran = run(&[&["render", "good.yaml"], arguments].concat());
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        text(&ran.stdout)
    };
    let yaml = form(&[]);
    assert!(yaml.contains("kind: PrometheusRule\n") && yaml.contains("\n---\n") && yaml == form(&["-o", "yaml"]));
    assert!(form(&["-o", "projects"]).starts_with("projects:\n"));
    assert!(form(&["-o", "explain"]).contains("traceSampling         1 (from criticality)"));
    let json: serde_json::Value = serde_json::from_str(&form(&["-o", "json"])).unwrap();
    assert_eq!(json["kind"], "List");
    let refused = run(&["render", "good.yaml", "--settings", "settings.yaml"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stdout).contains("contextcore-collector"), "the shared objects are still printed");
}

#[cfg(feature = "kubernetes")]
#[test]
fn render_prints_the_dashboards_that_go_to_grafana() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("grafana.yaml");
    fs::write(&settings, "instance: platform\ngrafana: {url: 'https://grafana.example'}\n").unwrap();
    let form = |output: &str| {
        let ran = run(&["render", "good.yaml", "--settings", settings.to_str().unwrap(), "-o", output]);
        assert_eq!(ran.status.code(), Some(0), "{}", text(&ran.stderr));
        text(&ran.stdout)
    };
    assert!(form("yaml").starts_with("# 1 dashboard to grafana.url: see `-o dashboards`\napiVersion: "));
    let bodies: serde_json::Value = serde_json::from_str(&form("dashboards")).unwrap();
    assert_eq!(bodies[0]["folderTitle"], "Featured");
    assert!(bodies[0]["dashboard"]["uid"].as_str().unwrap().starts_with("cc-svc-"), "{bodies:#}");
    assert!(bodies[0]["dashboard"]["tags"].to_string().contains("instance:platform"), "{bodies:#}");
}

#[cfg(feature = "kubernetes")]
#[test]
fn objectives_of_others_are_rendered() {
    let case = concat!(env!("CARGO_MANIFEST_DIR"), "/operator/tests/cases/slo/sloth.yaml");
    let contexts = run(&["render", "--from", case, "-o", "contexts"]);
    assert_eq!(contexts.status.code(), Some(0), "{}", text(&contexts.stderr));
    assert!(text(&contexts.stderr).contains("sloth.yaml:15: slos[0].alerting: "), "{}", text(&contexts.stderr));
    let written = tempfile::NamedTempFile::new().unwrap();
    fs::write(written.path(), &contexts.stdout).unwrap();
    // What was written is what was derived from.
    let again = run(&["render", written.path().to_str().unwrap()]);
    let at_once = run(&["render", "--from", case]);
    assert_eq!((again.status.code(), text(&again.stdout)), (Some(0), text(&at_once.stdout)));
    let both = run(&["render", "good.yaml", "--from", case, "-o", "explain"]);
    assert!(text(&both.stdout).contains("checkout-service") && text(&both.stdout).contains("myservice"));
    let neither = run(&["render"]);
    assert_eq!(neither.status.code(), Some(2));
    let wrong = run(&["render", "--from", "good.yaml"]);
    assert!(text(&wrong.stderr).starts_with("error: good.yaml: has no objectives of Sloth"), "{}", text(&wrong.stderr));
}

#[cfg(not(feature = "kubernetes"))]
#[test]
fn without_the_feature_one_line_says_how_to_get_it() {
    for arguments in [&["crd"][..], &["render", "-o", "yaml", "good.yaml"], &["run"], &["--help"], &[]] {
        let ran = run(arguments);
        assert_eq!((ran.status.code(), text(&ran.stderr).lines().count()), (Some(2), 1), "{arguments:?}");
        assert!(text(&ran.stderr).contains("cargo build --features kubernetes"), "{}", text(&ran.stderr));
    }
}
