//! Runs helm, and reads what it renders.

use std::path::PathBuf;
use std::process::Command;

use contextcore_cluster::Suite;
use serde_json::Value;

use super::chart;

/// A helm that knows nothing of the user's.
pub(super) struct Helm {
    program: PathBuf,
    home: tempfile::TempDir,
}

impl Helm {
    /// None: it is not built, and the test has to return.
    pub(super) fn find() -> Option<Self> {
        Some(Self { program: Suite::Cluster.program("helm")?, home: tempfile::tempdir().unwrap() })
    }

    /// What it prints, or its complaint.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("HOME", self.home.path()).env("KUBECONFIG", self.home.path().join("none"));
        let output = command.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// What the chart renders as release `contextcore` in a namespace.
    pub(super) fn template(&self, namespace: &str, arguments: &[&str]) -> Result<String, String> {
        let chart = chart();
        let command = ["template", "contextcore", chart.to_str().unwrap(), "--namespace", namespace];
        self.run(&[&command, arguments].concat())
    }
}

/// The objects of a rendered text.
pub(super) fn objects(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    all.into_iter().filter(|object| !object.is_null()).collect()
}

/// The object of this kind and name.
pub(super) fn object<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let found = objects.iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}
