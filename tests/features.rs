//! The feature `demo` carries everything that only the demo needs, `mcp` what only agents do, and `kubernetes` all that only
//! `controller` does.

use std::process::Command;

/// The crates that the binary depends on, with or without its default features.
fn dependencies(more: &[&str]) -> String {
    let fixed = ["tree", "--offline", "--locked", "-p", "contextcore", "-e", "normal", "--prefix", "none", "-f", "{p}"];
    let tree =
        Command::new(env!("CARGO")).args(fixed).args(more).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

#[test]
fn the_binary_without_the_demo_depends_on_no_fake() {
    let names = ["contextcore-fakes ", "apollo-compiler "];
    let (with, without) = (dependencies(&[]), dependencies(&["--no-default-features"]));
    for name in names {
        assert!(with.lines().any(|line| line.starts_with(name)), "{name} is not in the demo");
        assert!(!without.lines().any(|line| line.starts_with(name)), "{name} is in the binary without the demo");
    }
}

#[test]
fn the_crates_of_kubernetes_come_only_with_their_feature() {
    let (with, without) = (dependencies(&["--features", "kubernetes"]), dependencies(&[]));
    for name in ["contextcore-operator ", "kube ", "k8s-openapi ", "promql-parser "] {
        assert!(with.lines().any(|line| line.starts_with(name)), "{name} is not in `controller`");
        assert!(!without.lines().any(|line| line.starts_with(name)), "{name} is in the default build");
    }
}

#[test]
fn the_crates_of_the_model_context_protocol_come_only_with_their_feature() {
    let (with, without) = (dependencies(&[]), dependencies(&["--no-default-features", "--features", "demo"]));
    for name in ["contextcore-mcp ", "rmcp "] {
        assert!(with.lines().any(|line| line.starts_with(name)), "{name} is not in the default build");
        assert!(!without.lines().any(|line| line.starts_with(name)), "{name} is in a build without agents");
    }
}
