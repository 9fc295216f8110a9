//! Where the programs are that `build.sh` made, and what happens when one is missing.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The two sets of programs that tests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// `tests/cluster/build.sh`: etcd, kube-apiserver, kubectl, helm, alertmanager.
    Cluster,
    /// `tests/stack/build.sh`: otelcol, prometheus, promtool.
    Stack,
}

impl Suite {
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Stack => "stack",
        }
    }

    /// `CONTEXTCORE_CLUSTER`, `CONTEXTCORE_STACK`: the folder with the programs. With `REQUIRE_` in it: whether they must be there.
    fn variable(self, part: &str) -> String {
        format!("CONTEXTCORE_{part}{}", self.name().to_uppercase())
    }

    /// The folder with the programs: what the variable names, else `target/cluster` or `target/stack`.
    #[must_use]
    pub fn folder(self) -> PathBuf {
        let named = std::env::var_os(self.variable("")).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = named.unwrap_or_else(|| repository().join("target").join(self.name()));
        // Servers are started in a directory of their own.
        std::path::absolute(folder).unwrap()
    }

    /// A program of the suite. None: the test has to return, and what was not tested is said once for each missing program.
    ///
    /// # Panics
    /// When the program is missing and `CONTEXTCORE_REQUIRE_CLUSTER=1` (`…_STACK=1`) is set.
    #[must_use]
    pub fn program(self, name: &str) -> Option<PathBuf> {
        let path = self.folder().join(name);
        if path.is_file() {
            return Some(path);
        }
        let is_required = std::env::var_os(self.variable("REQUIRE_")).is_some_and(|value| value == "1");
        assert!(!is_required, "{} is missing: build it with tests/{}/build.sh", path.display(), self.name());
        self.skip(name);
        None
    }

    /// Says once that tests were skipped, past the test harness, which shows what a test prints only when it fails.
    fn skip(self, program: &str) {
        static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        let text = self.notice(program);
        if SAID.lock().unwrap().insert(text.clone()) {
            std::io::stderr().write_all(text.as_bytes()).ok();
        }
    }

    fn notice(self, program: &str) -> String {
        let lines = [
            format!("SKIPPED: the tests that run the real {program}."),
            format!("It is neither in ${} nor in target/{}. To build it once", self.variable(""), self.name()),
            "(Go 1.26.5 or newer, some minutes):".to_owned(),
            format!("    tests/{}/build.sh", self.name()),
            format!("With {}=1 this is a failure.", self.variable("REQUIRE_")),
        ];
        let frame = "*".repeat(90);
        let body: String = lines.iter().map(|line| format!("*  {line:<84}  *\n")).collect();
        format!("\n{frame}\n{body}{frame}\n")
    }
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[test]
fn what_is_skipped_says_how_to_get_it() {
    let notice = Suite::Cluster.notice("etcd");
    for part in ["the real etcd", "$CONTEXTCORE_CLUSTER", "tests/cluster/build.sh", "CONTEXTCORE_REQUIRE_CLUSTER=1"] {
        assert!(notice.contains(part), "{notice}");
    }
    assert!(notice.trim().lines().all(|line| line.chars().count() == 90), "{notice}");
}
