//! No manifest names a module under the AGPL, tools and test servers included: what this repository builds, it may pass on.
//!
//! Crates are judged by their licences (`deny.toml`), and Go modules again from their licence files when they are built
//! (`tests/servers.sh`). Here the manifests alone are read, so that such a module is refused before it is fetched.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// Go modules and images' sources that are under the AGPL, or hold parts that are; with whatever lies below them.
const AGPL_MODULES: &[&str] = &[
    "github.com/grafana/grafana",
    "github.com/grafana/k6",
    "github.com/grafana/loki",
    "github.com/grafana/mimir",
    "github.com/grafana/oncall",
    "github.com/grafana/phlare",
    "github.com/grafana/pyroscope",
    "github.com/grafana/tempo",
    "github.com/minio/mc",
    "github.com/minio/minio",
    "go.k6.io/k6",
];
/// What packages for Node may be under.
const ALLOWED: &[&str] = &["Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Committed files of these names, wherever they are.
fn manifests(names: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![repository().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if entry.file_type().unwrap().is_dir() {
                let foreign = name.starts_with('.') || name == "node_modules" || path == repository().join("target");
                open.extend((!foreign).then_some(path));
            } else if names.contains(&name.as_str()) {
                found.push(path);
            }
        }
    }
    found
}

/// The module under the AGPL that a line of `go.mod` or `go.sum` names, if any; a later major version counts, and what only
/// begins with the same letters does not.
fn agpl_module(line: &str) -> Option<&'static str> {
    let words = || line.split(|c: char| c.is_whitespace() || c == '"');
    let is = |module: &str, word: &str| {
        word.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    AGPL_MODULES.iter().copied().find(|module| words().any(|word| is(module, word)))
}

#[test]
fn no_go_module_is_under_the_agpl() {
    let files = manifests(&["go.mod", "go.sum", "go.work", "go.work.sum"]);
    assert!(files.len() >= 12, "{files:?}");
    for file in files {
        for line in std::fs::read_to_string(&file).unwrap().lines() {
            assert_eq!(agpl_module(line), None, "{}: {line}", file.display());
        }
    }
}

#[test]
fn every_package_for_node_says_a_licence_that_is_allowed() {
    let files = manifests(&["package-lock.json"]);
    assert!(!files.is_empty());
    for file in files {
        let lock: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        assert!(packages.len() > 1, "{}", file.display());
        for (name, package) in packages {
            let licence = package["license"].as_str().unwrap_or("none");
            assert!(ALLOWED.contains(&licence), "{}: {name:?} is under {licence}", file.display());
            assert!(package["resolved"].is_null(), "{}: {name:?} is bound to a registry", file.display());
        }
    }
}

#[test]
fn the_check_of_modules_can_fail() {
    assert_eq!(agpl_module("require github.com/grafana/loki/v3 v3.7.8"), Some("github.com/grafana/loki"));
    assert_eq!(agpl_module("github.com/grafana/tempo v1.5.1-0.2025 h1:abc="), Some("github.com/grafana/tempo"));
    assert_eq!(agpl_module("\tgithub.com/minio/minio-go/v7 v7.0.99 // indirect"), None);
    assert_eq!(agpl_module("github.com/grafana/regexp v0.0.0-2025 h1:abc="), None);
}
