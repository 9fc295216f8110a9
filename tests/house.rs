//! The rules of the house that the compiler does not check: the vocabulary, no circles between files, a domain without I/O, and
//! an ARCHITECTURE.md whose paths exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

/// Directories that hold what we wrote.
const WRITTEN: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "Cargo.toml",
    "clippy.toml",
    "deny.toml",
    ".ci",
    "benches",
    "cli",
    "config",
    "connectors",
    "core",
    "dashboards",
    "deploy",
    "docs",
    "fakes",
    "fuzz",
    "mcp",
    "operator",
    "schemas",
    "sdk",
    "spool",
    "tests",
];
/// Vendors' texts, recorded answers and generated locks: not our words.
const NOT_OURS: &[&str] = &[
    "/fixtures/",
    "/target/",
    "/node_modules/",
    ".graphql",
    ".lock",
    "package-lock.json",
    "go.sum",
    "go.mod",
    "/golden/",
    "operator/tests/snapshots/",
    "operator/tests/cases/",
    "tests/house.rs",
];

/// Words that are ours alone where the field has one, and the field's.
const BANNED_WORDS: &[(&str, &str)] = &[
    (r"told", "exported, reported, given"),
    (r"tell|tells|telling", "export, emit, report, say"),
    (r"heard|hears", "polled, received, read until"),
    (r"deeds?", "activity"),
    (r"stand-?ins?", "fake"),
    (r"shelve[ds]?", "insert"),
    (r"stances?", "parent state"),
    (r"(comes?|goes|go) home", "accepted, moved back"),
    (r"by halves", "a partial history"),
    (r"stretch(es)?", "interval, time range"),
    (r"lands|landed|landing", "stored"),
    (r"lay(s|ing)? (it |them |something |guidance |rules? )?down|laid down", "add, give, require"),
    (r"hurr(y|ies)", "force stop"),
    (r"wish(es|ed)?", "request, desired state"),
];

/// Type names that a field's term replaced.
const BANNED_TYPES: &[(&str, &str)] = &[
    ("What", "Change"),
    ("Kept", "StoredEvent"),
    ("Entry", "Event"),
    ("Turn", "StatusTransition or Snapshot"),
    ("Deed", "StoredActivity"),
    ("Evidence", "Artifact"),
    ("Waits", "blocked intervals"),
    ("Stretch", "Interval"),
    ("Book", "TimelineCache"),
    ("Ledger", "SprintHistory, a cursor"),
    ("Setting", "ExportContext"),
    ("Live", "SiteContext"),
    ("Walk", "Search"),
    ("Feed", "IncrementalScan"),
    ("Wish", "PageRequest, DesiredState"),
    ("Fate", "FetchOutcome"),
    ("Sights", "SeenVersions"),
    ("Pulse", "RepositoryActivity"),
    ("Marks", "Fingerprints"),
    ("Stance", "ParentState"),
    ("Episode", "LineagePeriod"),
    ("Planted", "RecentAnchors"),
    ("Scene", "RenderContext"),
    ("Piece", "SpanWithAnchors"),
    ("Load", "BatchBuilder"),
    ("Aside", "Quarantined"),
    ("Dead", "DeadLetter"),
    ("Bell", "PollTrigger"),
    ("Door", "WebhookState"),
    ("Lane", "BucketLimiter"),
    ("Gate", "RateLimiter"),
    ("Setback", "AttemptError"),
    ("Signs", "InferenceState"),
    ("Course", "StatusTracker"),
    ("Which", "TaskSelector"),
    ("HubDemo", "GithubDemo"),
    ("Told", "what it holds"),
];

/// Lines that hold a banned word because it is stored, another's, or a name of the contract: part of the path, part of the line.
const ALLOWED: &[(&str, &str)] = &[
    // Keys and labels of what is stored.
    ("connectors/src/github/sprints.rs", "rename = \"told\""),
    ("core/src/store/format.rs", "sample(\"deed\""),
    ("core/src/store/records.rs", "\"heard\""),
    ("core/testdata/store-v1.txt", "deed "),
    // Words of whoever asks a question.
    ("core/model/src/insight/synonyms.txt", ""),
    ("core/model/src/insight/asked.rs", "take tell than"),
    ("mcp/src/usefulness/", ""),
    // A setting of a backend's configuration, which is what the field calls it.
    ("dashboards/src/knowledge.rs", "pub struct Setting"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below `start`, sorted.
fn files(start: &Path) -> Vec<PathBuf> {
    if start.is_file() {
        return vec![start.to_owned()];
    }
    let mut found: Vec<PathBuf> =
        fs::read_dir(start).into_iter().flatten().flatten().flat_map(|entry| files(&entry.path())).collect();
    found.sort();
    found
}

/// The texts we wrote: path from the root, and content.
fn written() -> Vec<(String, String)> {
    let paths = WRITTEN.iter().flat_map(|start| files(&root().join(start)));
    let named = paths.filter_map(|path| {
        let name = path.strip_prefix(root()).ok()?.to_str()?.to_owned();
        let ours = !NOT_OURS.iter().any(|part| format!("/{name}").contains(part));
        ours.then(|| fs::read_to_string(&path).ok()).flatten().map(|text| (name, text))
    });
    named.collect()
}

fn is_allowed(path: &str, line: &str) -> bool {
    ALLOWED.iter().any(|(place, part)| path.contains(place) && line.contains(part))
}

/// Places at which one of the rules matches: `path:line: text (use …)`.
fn violations(rules: &[(Regex, &str)], texts: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in texts {
        for (at, line) in text.lines().enumerate() {
            let broken = rules.iter().filter(|(rule, _)| rule.is_match(line) && !is_allowed(path, line));
            found.extend(broken.map(|(_, instead)| format!("{path}:{}: {} (use {instead})", at + 1, line.trim())));
        }
    }
    found
}

fn word_rules() -> Vec<(Regex, &'static str)> {
    let rule = |word: &str| Regex::new(&format!(r"(?i)(?:\b|_)(?:{word})(?:\b|_)")).unwrap();
    // One name for four things; as a part of a longer name it says which.
    let one_name = Regex::new(r"\b(?:fn|mod|struct|enum|trait|type) [Ww]ords\b").unwrap();
    let banned = BANNED_WORDS.iter().map(|(word, instead)| (rule(word), *instead));
    banned.chain([(one_name, "humanize, vocabulary, tokens, sample text")]).collect()
}

fn types() -> Vec<(Regex, &'static str)> {
    let rule = |name: &str| Regex::new(&format!(r"\b(?:struct|enum|trait|type)\s+{name}\b")).unwrap();
    BANNED_TYPES.iter().map(|(name, instead)| (rule(name), *instead)).collect()
}

#[test]
fn banned_words_stay_out_of_code_and_docs() {
    let found = violations(&word_rules(), &written());
    assert!(found.is_empty(), "{} lines use words that the glossary replaced:\n{}", found.len(), found.join("\n"));
}

#[test]
fn replaced_type_names_do_not_return() {
    let rust: Vec<_> = written().into_iter().filter(|(path, _)| path.ends_with(".rs")).collect();
    let found = violations(&types(), &rust);
    assert!(found.is_empty(), "{} types have names that were replaced:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_rules_find_what_they_forbid() {
    let (words, types) = (word_rules(), types());
    let is_found = |line: &str| {
        let text = [("x.rs".to_owned(), line.to_owned())];
        !violations(&words, &text).is_empty() || !violations(&types, &text).is_empty()
    };
    for line in [
        "what was told",
        "people lay rules down",
        "a stretch of time",
        "fn attach_deeds(&self)",
        "// Told twice",
        "not_told_again",
        "pub struct Kept {",
        "stand-ins",
        "fn words(&self)",
    ] {
        assert!(is_found(line), "{line}");
    }
    for line in ["indeed bolder", "a retold story", "struct KeptAlive", "fn kept()", "landscape", "a layer downstream"]
    {
        assert!(!is_found(line), "{line}");
    }
}

/// Public functions that can fail and do not say when: `path:line: signature`. A trait's implementation is described at the trait.
fn fallible_without_errors(path: &str, text: &str) -> Vec<String> {
    let fallible = Regex::new(r"(?m)^ *pub (?:async )?fn [^{;]*?-> *(?:[a-z]+::)*Result\b").unwrap();
    let above = |start: usize| text[..start].lines().rev().take_while(|line| line.trim_start().starts_with(['/', '#']));
    let found = fallible.find_iter(text).filter(|found| !above(found.start()).any(|line| line.contains("# Errors")));
    let named = found.map(|found| {
        let line = text[..found.start()].lines().count() + 1;
        format!("{path}:{line}: {}", found.as_str().lines().next().unwrap_or_default().trim())
    });
    named.collect()
}

#[test]
fn public_functions_say_when_they_fail() {
    let mut found = Vec::new();
    for source in SOURCES {
        for path in modules(&root().join(source)).into_values() {
            let text = fs::read_to_string(&path).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            found.extend(fallible_without_errors(&path.strip_prefix(root()).unwrap().display().to_string(), product));
        }
    }
    assert!(found.is_empty(), "{} public functions lack `# Errors`:\n{}", found.len(), found.join("\n"));
    let silent = "/// Reads.\n#[must_use]\npub fn read(\n    at: u8,\n) -> io::Result<u8> {\n";
    assert_eq!(fallible_without_errors("x.rs", silent), ["x.rs:3: pub fn read("]);
    assert!(fallible_without_errors("x.rs", &silent.replace("Reads.", "# Errors")).is_empty());
    assert!(fallible_without_errors("x.rs", "pub fn of(at: u8) -> Option<Result<u8>> {\n").is_empty());
}

/// The modules of a crate: module path (`export::otlp`) to the file that holds it.
fn modules(source: &Path) -> BTreeMap<Vec<String>, PathBuf> {
    let rust = files(source).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
    let named = rust.map(|path| {
        let relative = path.strip_prefix(source).unwrap().with_extension("");
        let mut parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        parts.pop_if(|last| matches!(last.as_str(), "mod" | "lib" | "main"));
        (parts, path)
    });
    named.filter(|(parts, _)| parts.last().is_none_or(|last| last != "tests")).collect()
}

/// The code of a file without its tests and comments.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path that a `use` line names, braces opened: `super::{a, b::{c}}` is `super::a` and `super::b::c`.
fn used_paths(code: &str) -> Vec<Vec<String>> {
    let uses = Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?use\s+([^;]+);").unwrap();
    uses.captures_iter(code).flat_map(|found| opened(&found[1])).collect()
}

fn opened(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some(brace) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()];
    };
    let before: Vec<String> =
        tree[..brace].split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let inside = tree[brace + 1..].trim_end().strip_suffix('}').unwrap_or(&tree[brace + 1..]);
    split_top(inside).iter().flat_map(|part| opened(part)).map(|rest| [before.clone(), rest].concat()).collect()
}

/// The parts of a list between commas that no brace encloses.
fn split_top(list: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in list.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

/// The module that a path of module `from` leads to: the deepest there is, seen through the re-exports of parents.
fn target(
    all: &BTreeMap<Vec<String>, PathBuf>,
    exports: &BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>>,
    from: &[String],
    path: &[String],
) -> Option<Vec<String>> {
    let mut place: Vec<String> = match path.first()?.as_str() {
        "crate" => Vec::new(),
        "super" | "self" => from.to_vec(),
        first if all.contains_key(&[from, &[first.to_owned()]].concat()) => from.to_vec(),
        _ => return None,
    };
    for part in path.iter().filter(|part| !matches!(part.as_str(), "crate" | "self")) {
        if part == "super" {
            place.pop();
            continue;
        }
        let deeper = [place.clone(), vec![part.clone()]].concat();
        if all.contains_key(&deeper) {
            place = deeper;
        } else if let Some(home) = exports.get(&place).and_then(|names| names.get(part)) {
            place.clone_from(home);
        }
    }
    Some(place)
}

/// What each module re-exports from its children, by name.
fn exports(all: &BTreeMap<Vec<String>, PathBuf>) -> BTreeMap<Vec<String>, BTreeMap<String, Vec<String>>> {
    let of = |module: &Vec<String>, path: &PathBuf| {
        let named = used_paths(&code(path)).into_iter().filter_map(|used| {
            let used: Vec<String> = used.into_iter().filter(|part| part != "self").collect();
            let child = [module.clone(), vec![used.first()?.clone()]].concat();
            (used.len() == 2 && all.contains_key(&child)).then(|| (used[1].clone(), child))
        });
        (module.clone(), named.collect())
    };
    all.iter().map(|(module, path)| of(module, path)).collect()
}

/// Which file uses which, leaving out parents and their descendants: a parent may know its children, and they it.
fn edges(source: &Path) -> BTreeMap<Vec<String>, BTreeSet<Vec<String>>> {
    let all = modules(source);
    let exports = exports(&all);
    let of = |module: &Vec<String>, path: &PathBuf| {
        let used = used_paths(&code(path)).into_iter().filter_map(|used| target(&all, &exports, module, &used));
        let apart = used.filter(|other| !other.starts_with(module) && !module.starts_with(other.as_slice()));
        (module.clone(), apart.collect())
    };
    all.iter().map(|(module, path)| of(module, path)).collect()
}

/// A circle through `start`, if there is one: the shortest.
fn circle<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>, start: &T) -> Option<Vec<T>> {
    let mut before: BTreeMap<T, T> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start.clone()]);
    while let Some(node) = queue.pop_front() {
        for next in edges.get(&node).into_iter().flatten() {
            if next == start {
                let mut path = vec![start.clone(), node.clone()];
                while path.last() != Some(start) {
                    path.push(before[path.last().unwrap()].clone());
                }
                path.reverse();
                return Some(path);
            }
            if !before.contains_key(next) {
                before.insert(next.clone(), node.clone());
                queue.push_back(next.clone());
            }
        }
    }
    None
}

const SOURCES: &[&str] = &[
    "core/model/src",
    "core/src",
    "connectors/src",
    "fakes/src",
    "dashboards/src",
    "operator/src",
    "tests/cluster/src",
    "tests/guard/src",
    "tests/postgres/src",
    "sdk/rust/src",
    "spool/src",
    "mcp/src",
    "cli",
];

#[test]
fn no_file_uses_a_file_that_uses_it() {
    let mut found = BTreeSet::new();
    for source in SOURCES {
        let edges = edges(&root().join(source));
        for start in edges.keys() {
            if let Some(mut path) = circle(&edges, start) {
                path.pop();
                let names: BTreeSet<String> = path.iter().map(|module| module.join("::")).collect();
                found.insert(format!("{source}: {}", names.into_iter().collect::<Vec<_>>().join(" <-> ")));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{} circles between files:\n{}",
        found.len(),
        found.into_iter().collect::<Vec<_>>().join("\n")
    );
}

/// The rooms of core, by what each may use besides `model`, `clock` and `lock`.
#[test]
fn the_rooms_of_core_use_each_other_in_one_direction() {
    let mut rooms: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let all = modules(&root().join("core/src"));
    let exports = exports(&all);
    for (module, path) in &all {
        let Some(room) = module.first() else { continue };
        let used = used_paths(&code(path)).into_iter().filter_map(|used| target(&all, &exports, module, &used));
        let others = used.filter_map(|other| other.first().cloned()).filter(|other| other != room);
        rooms.entry(room.clone()).or_default().extend(others);
    }
    let circles: Vec<_> = rooms.keys().filter_map(|room| circle(&rooms, room)).collect();
    assert!(circles.is_empty(), "{circles:?}\n{rooms:#?}");
}

#[test]
fn the_checker_sees_a_circle() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("lib.rs"), "mod a;\nmod b;\npub use b::{B};\n").unwrap();
    fs::write(dir.path().join("a.rs"), "use super::B;\npub struct A;\n").unwrap();
    fs::write(dir.path().join("b.rs"), "use crate::{a::A};\npub struct B;\n").unwrap();
    let edges = edges(dir.path());
    assert_eq!(circle(&edges, &vec!["a".to_owned()]).map(|path| path.len()), Some(3), "{edges:?}");
    fs::write(dir.path().join("b.rs"), "pub struct B;\n").unwrap();
    assert_eq!(circle(&self::edges(dir.path()), &vec!["a".to_owned()]), None);
}

#[test]
fn the_domain_depends_on_nothing_that_does_io() {
    let tree = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "contextcore-model",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-f",
            "{p}",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8_lossy(&tree.stdout);
    let names: BTreeSet<&str> = text.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.contains("contextcore-model") && names.contains("serde"), "{names:?}");
    let io = [
        "tokio",
        "reqwest",
        "hyper",
        "tonic",
        "axum",
        "sled",
        "rustls",
        "ring",
        "mio",
        "socket2",
        "rustix",
        "contextcore-core",
    ];
    let found: Vec<&str> = io.into_iter().filter(|name| names.contains(name)).collect();
    assert!(found.is_empty(), "contextcore-model depends on {found:?}");
}

/// Paths in backticks of `docs/ARCHITECTURE.md` that look like files or directories of the repository.
#[test]
fn the_paths_that_architecture_names_exist() {
    let text = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let path = Regex::new(r"`([a-z_.]+(?:/[A-Za-z0-9_.-]+)+/?)`").unwrap();
    let missing: Vec<&str> = path
        .captures_iter(&text)
        .map(|found| found.get(1).unwrap().as_str())
        .filter(|name| WRITTEN.iter().any(|start| name.starts_with(&format!("{start}/"))))
        .filter(|name| !root().join(name).exists())
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what does not exist: {missing:?}");
    for section in ["another Jira field", "another attribute", "another exporter"] {
        assert!(
            text.to_lowercase().contains(&section.to_lowercase()),
            "ARCHITECTURE.md lacks the path for {section:?}"
        );
    }
}
