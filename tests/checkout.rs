//! A git repository with the command line in it: guidance from everywhere it can come from, hooks beside those that are there, and
//! commits that name their tasks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use contextcore_fakes::github::{Github, Options as GithubOptions};
use contextcore_fakes::otlp::{Collector, Options};
use contextcore_fakes::world::{StatusId, World};
use serde_json::Value;

/// A repository in a directory with a space in its name, with a state directory beside it.
struct Checkout {
    dir: tempfile::TempDir,
}

impl Checkout {
    fn new() -> Self {
        let checkout = Self { dir: tempfile::tempdir().unwrap() };
        fs::create_dir(checkout.dir.path().join("home")).unwrap();
        checkout.git_at(checkout.dir.path(), &["init", "-q", "-b", "main", "my shop"]);
        checkout.write("README.md", "x\n");
        checkout.git(&["add", "."]);
        checkout.git(&["commit", "-qm", "chore: begin"]);
        checkout
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("my shop")
    }

    fn prepared(&self, program: &str, at: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.dir.path().join("home"));
        command.env("CONTEXTCORE_STATE_DIR", self.dir.path().join("state")).env("USER", "ada");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_EDITOR", "true");
        command.envs([("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com")]);
        command.envs([("GIT_COMMITTER_NAME", "Ada"), ("GIT_COMMITTER_EMAIL", "ada@example.com")]);
        command.current_dir(at).stdin(Stdio::null());
        command
    }

    fn git_at(&self, at: &Path, arguments: &[&str]) -> String {
        let output = self.prepared("git", at).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        self.git_at(&self.root(), arguments)
    }

    fn try_git(&self, arguments: &[&str]) -> Output {
        self.prepared("git", &self.root()).args(arguments).output().unwrap()
    }

    fn run_at(&self, at: &Path, arguments: &[&str]) -> (i32, String, String) {
        let output = self.prepared(env!("CARGO_BIN_EXE_contextcore"), at).args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        self.run_at(&self.root(), arguments)
    }

    fn json(&self, code: i32, arguments: &[&str]) -> Value {
        let all = [&["-o", "json"], arguments].concat();
        let (exit, out, err) = self.run(&all);
        assert_eq!(exit, code, "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> Output {
        self.try_git(&["commit", "-q", "--allow-empty", "-m", message])
    }

    fn message(&self) -> String {
        self.git(&["log", "-1", "--format=%B"])
    }

    /// The lines of the spool that hold a text.
    fn spooled(&self, part: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut directories = vec![self.dir.path().join("state")];
        while let Some(directory) = directories.pop() {
            for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
                match path.is_dir() {
                    true => directories.push(path),
                    false => found.extend(fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned)),
                }
            }
        }
        found.retain(|line| line.contains(part));
        found
    }
}

fn hook(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn ids(lines: &Value) -> Vec<String> {
    let id = |line: &Value| format!("{} {}", line["id"].as_str().unwrap(), line["severity"].as_str().unwrap());
    lines.as_array().unwrap().iter().map(id).collect()
}

const CONTEXT: &str = "
projects:
- id: shop
  context: {namespace: commerce, name: checkout}
  guidance: {constraints: [{id: api, rule: No breaking changes of /v1, severity: blocking, scope: 'src/api/**'}]}
";

#[test]
fn guidance_of_the_command_line_is_known_at_once_and_never_blocks() {
    let shop = Checkout::new();
    let add =
        ["guide", "add", "constraint", "Keep /v1", "--severity", "blocking", "--scope", "src/api/**", "--id", "keep"];
    let (code, out, err) = shop.run(&[&add[..], &["--project", "shop", "--reason", "partners"]].concat());
    assert_eq!((code, &*out), (0, "guidance.add store:keep (shop)\n"), "{err}");
    assert!(err.contains("shown as a warning"), "{err}");
    let lines = shop.json(0, &["guide", "list"]);
    assert_eq!(ids(&lines), ["store:keep warning"]);
    assert_eq!((lines[0]["declared"].as_str(), lines[0]["trust"].as_str()), (Some("blocking"), Some("unproven")));
    assert_eq!(lines[0]["from"], "local, by ada");
    let checked = shop.json(0, &["guide", "check", "src/api/v1.rs"]);
    assert_eq!(
        (&checked["blocked"], checked["paths"][0]["guidance"][0]["id"].as_str()),
        (&false.into(), Some("store:keep"))
    );
    let of = |path: &str| {
        shop.json(0, &["guide", "list", "--project=shop", &format!("--path={path}")]).as_array().unwrap().len()
    };
    assert_eq!((of("src/api/v1.rs"), of("docs/a.md")), (1, 0), "as the SDKs ask");
    let (code, out, _) = shop.run(&["guide", "show", "keep"]);
    assert!(code == 0 && out.contains("partners") && out.contains("local, by ada (unproven)"), "{out}");
    assert_eq!(shop.run(&["guide", "end", "keep", "--reason", "done"]).0, 0);
    assert_eq!(shop.json(0, &["guide", "list"]), Value::Array(Vec::new()));
    assert_eq!(shop.json(0, &["guide", "list", "--all"])[0]["ended"]["why"], "done");
    for (arguments, part) in [
        (&["guide", "end", "keep"][..], "has ended already"),
        (&["guide", "show", "keap"], "did you mean `keep`?"),
        (&["guide", "add", "focus", "x", "--until", "soon"], "write it like 2027-01-31"),
        (&["guide", "add", "rule", "x"], "constraint"),
        (&["guide", "add", "focus", "  "], "the text is empty"),
        (&["guide", "add", "context", "use ghp_16C7e42F292c6912E7710c838347Ae178B4a"], "looks like a secret"),
    ] {
        let (code, _, err) = shop.run(arguments);
        assert!(code == 2 && err.contains(part), "{arguments:?}: {code} {err}");
    }
}

#[test]
fn a_blocking_constraint_of_a_context_stops_a_check() {
    let shop = Checkout::new();
    shop.write("contextcore.yaml", "projects_file: projects.yaml\nprojects: [{id: shop}]\n");
    shop.write("projects.yaml", CONTEXT);
    shop.run(&["guide", "add", "constraint", "Mine", "--id", "api", "--severity", "advisory", "-p", "shop"]);
    let lines = shop.json(0, &["guide", "list"]);
    assert_eq!(
        ids(&lines),
        ["crd:commerce/checkout/api blocking", "store:api warning"],
        "the strictest, as far as it may"
    );
    let (code, out, _) = shop.run(&["guide", "check", "docs/a.md", "src/api/new file.rs"]);
    assert_eq!(code, 3, "{out}");
    assert!(
        out.contains("src/api/new file.rs: blocked by crd:commerce/checkout/api: No breaking changes of /v1"),
        "{out}"
    );
    assert!(out.contains("2 paths: 1 blocked"), "{out}");
    shop.write("src/api/x.rs", "");
    assert_eq!(
        shop.run_at(&shop.root().join("src"), &["-c", "../contextcore.yaml", "guide", "check", "api/x.rs"]).0,
        3
    );
    assert_eq!(shop.run(&["guide", "check", "src"]).0, 3, "a directory with something of it");
    assert_eq!(shop.run(&["guide", "check", "src/ap.rs"]).0, 0);
    let (code, _, err) = shop.run(&["guide", "end", "crd:commerce/checkout/api"]);
    assert!(code == 2 && err.contains("crd commerce/checkout"), "{err}");
}

/// A check of what git prints, as CI runs it.
fn piped(shop: &Checkout, at: &Path, diff: &str) -> (i32, String) {
    let binary = env!("CARGO_BIN_EXE_contextcore");
    let config = shop.root().join("contextcore.yaml");
    let script = format!("git diff {diff} | '{binary}' -c '{}' guide check -", config.display());
    let output = shop.prepared("sh", at).args(["-c", &script]).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_check_reads_whatever_git_prints_of_the_changed_paths() {
    let shop = Checkout::new();
    shop.write("contextcore.yaml", "projects_file: projects.yaml\nprojects: [{id: shop}]\n");
    shop.write("projects.yaml", &CONTEXT.replace("src/api/**", "src/café/**"));
    shop.write("src/café/é \"1\".py", &"x = 1\n".repeat(9));
    shop.write("docs/a.md", "");
    shop.git(&["add", "."]);
    shop.git(&["commit", "-qm", "feat: one"]);
    fs::create_dir(shop.root().join("lib")).unwrap();
    shop.git(&["mv", "src/café/é \"1\".py", "lib/e.py"]);
    shop.git(&["commit", "-qm", "feat: move it out"]);
    for (at, diff, want) in [
        ("", "--name-only --no-renames HEAD~1", 3),
        ("", "--name-only --no-renames -z HEAD~1", 3),
        ("docs", "--name-only --no-renames -z HEAD~1", 3),
        ("docs", "--name-only --no-renames HEAD~1", 3),
        ("src", "--name-only --no-renames --relative HEAD~1", 3),
        ("", "--name-only --no-renames HEAD", 0),
    ] {
        let (code, out) = piped(&shop, &shop.root().join(at), diff);
        assert_eq!(code, want, "{diff} in {at}: {out}");
    }
    let quoted = r#""src/caf\303\251/\303\251.py""#;
    assert_eq!(shop.run(&["guide", "check", quoted]).0, 3, "as copied from what git prints");
    assert_eq!(shop.json(0, &["guide", "list", quoted]).as_array().unwrap().len(), 1);
}

#[test]
fn a_check_prints_everything_that_covers_a_path_and_general_advice_once() {
    let shop = Checkout::new();
    shop.write("contextcore.yaml", "projects_file: projects.yaml\nprojects: [{id: shop}]\n");
    let guidance = "
  guidance:
    constraints: [{id: money, rule: Amounts are in cents, severity: advisory, scope: src/pay}]
    preferences: [{id: events, preference: Prefer events}]
";
    shop.write(
        "projects.yaml",
        &format!("projects:\n- id: shop\n  context: {{namespace: commerce, name: cart}}{guidance}"),
    );
    let (code, out, err) = shop.run(&["guide", "check", "src/pay/a.rs", "docs/a.md"]);
    let want = "src/pay/a.rs: advice of crd:commerce/cart/money: Amounts are in cents (crd commerce/cart)\n\
                advice of crd:commerce/cart/events: Prefer events (crd commerce/cart)\n\
                2 paths: none is blocked\n";
    assert_eq!((code, &*out), (0, want), "{err}");
    let all = shop.json(0, &["guide", "check", "src/pay/a.rs", "docs/a.md"]);
    let of = |path: usize| all["paths"][path]["guidance"].as_array().map(Vec::len);
    assert_eq!((of(0), of(1)), (Some(2), Some(1)), "each path has all of its own");
}

#[test]
fn guidance_of_a_branch_is_untrusted_until_the_forge_has_it_on_its_default_branch() {
    let shop = Checkout::new();
    shop.write(".contextcore/guidance.yaml", "constraints: [{id: api, rule: Keep it, severity: blocking}]\n");
    shop.git(&["add", "."]);
    shop.git(&["commit", "-qm", "docs: guidance"]);
    let lines = shop.json(0, &["guide", "list"]);
    assert_eq!((ids(&lines), &lines[0]["trust"]), (vec!["checkout:api warning".to_owned()], &"untrusted".into()));
    assert_eq!(shop.run(&["guide", "check", "a.rs"]).0, 0);
    shop.git_at(shop.dir.path(), &["clone", "-q", "--bare", "my shop", "forge.git"]);
    shop.git(&["remote", "add", "origin", "../forge.git"]);
    shop.git(&["fetch", "-q", "origin"]);
    assert_eq!(ids(&shop.json(0, &["guide", "list"])), ["file:api blocking"]);
    assert_eq!(shop.run(&["guide", "check", "a.rs"]).0, 3);
    shop.write(".contextcore/guidance.yaml", "constraint: []\n");
    let (code, _, err) = shop.run(&["guide", "check", "a.rs"]);
    assert!(code == 3 && err.contains("did you mean `constraints`?"), "a broken file hides no rule: {err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guidance_that_a_source_read_from_the_forge_binds_without_a_clone() {
    let mut world = World::empty();
    let project = world.add_project("SHOP", "Shop", StatusId::TO_DO);
    let rules = "constraints: [{id: api, rule: Keep it, severity: blocking, scope: 'src/**'}]\n";
    world.edit(1_700_000_000_000).commit_file(project, ".contextcore/guidance.yaml", rules);
    let (github, backend) = (
        Github::start(world, GithubOptions::dot_com()).await.unwrap(),
        Collector::start(Options::default()).await.unwrap(),
    );
    let shop = Checkout::new();
    shop.write("token", Github::TOKEN);
    let config = |more: &str| {
        format!(
            "store: {{path: data}}\nexport: {{otlp: {{endpoint: '{}', protocol: grpc}}}}\n\
             sources: [{{name: gh, kind: github, url: '{}', auth: {{token: {{file: token}}}}, repositories: [acme/shop]}}]\n\
             projects: [{{id: shop, include: [{{source: gh, project: acme/shop}}]}}]\n{more}",
            backend.grpc_url(),
            github.url()
        )
    };
    shop.write("contextcore.yaml", &config(""));
    let (code, _, err) = shop.run(&["sync"]);
    assert_eq!(code, 0, "{err}");
    let (code, out, err) = shop.run(&["guide", "check", "src/a.rs", "--project", "shop"]);
    let want = "src/a.rs: blocked by forge:acme/shop/api: Keep it (.contextcore/guidance.yaml of acme/shop at main)";
    assert!(code == 3 && out.contains(want), "{out}{err}");
    // A local copy of the same says nothing new; one of a branch is not trusted.
    shop.write(".contextcore/guidance.yaml", rules);
    assert_eq!(ids(&shop.json(0, &["guide", "list", "--project", "shop"])), ["forge:acme/shop/api blocking"]);
    shop.write("contextcore.yaml", &config("guidance: {trusted_refs: [release]}\n"));
    assert_eq!(shop.run(&["guide", "check", "src/a.rs", "--project", "shop"]).0, 0, "main is no trusted ref now");
    github.world().edit(1_700_000_001_000).commit_file(project, ".contextcore/guidance.yaml", "constraints: []\n");
    shop.write("contextcore.yaml", &config(""));
    assert_eq!(shop.run(&["sync"]).0, 0);
    fs::remove_file(shop.root().join(".contextcore/guidance.yaml")).unwrap();
    assert_eq!(shop.json(0, &["guide", "list", "--project", "shop"]), Value::Array(Vec::new()));
}

#[test]
fn hooks_add_the_task_of_the_branch_and_link_the_commit() {
    let shop = Checkout::new();
    shop.write(".contextcore/project", "commerce\n");
    let (code, out, err) = shop.run(&["git", "install"]);
    assert!(code == 0 && out.starts_with("installed prepare-commit-msg, commit-msg, post-commit in "), "{out}{err}");
    shop.git(&["checkout", "-q", "-b", "feature/PROJ-123-checkout"]);
    assert!(shop.commit("feat: pay by card\n\nWhy it is.").status.success());
    assert_eq!(shop.message().trim_end(), "feat: pay by card\n\nWhy it is.\n\nTask: PROJ-123");
    let commit = shop.git(&["rev-parse", "HEAD"]);
    let links = shop.spooled("task.link");
    assert!(links.len() == 1 && links[0].contains(commit.trim()) && links[0].contains("PROJ-123"), "{links:?}");
    assert!(!shop.spooled("\"project\":\"commerce\"").is_empty());
    // Amended: once, and linked again since the commit is another.
    shop.git(&["commit", "-q", "--amend", "--allow-empty", "--no-edit"]);
    assert_eq!(shop.message().matches("Task:").count(), 1);
    assert_eq!(shop.spooled("task.link").len(), 2);
    // Another task that a person names stays as it is.
    shop.commit("fix: x\n\nTask: PROJ-7\nCo-authored-by: Bob <bob@example.com>");
    assert_eq!(shop.message().trim_end(), "fix: x\n\nTask: PROJ-7\nCo-authored-by: Bob <bob@example.com>");
    // Agents' trailers are evidence, and the hook says nothing about where it went.
    let output = shop.commit("fix: y\n\nTask: PROJ-8\nCo-authored-by: Claude <noreply@anthropic.com>");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let evidence = shop.spooled("agent.assisted");
    assert!(evidence.len() == 1 && evidence[0].contains("PROJ-8") && evidence[0].contains("Claude"), "{evidence:?}");
    // Whoever leaves the message empty wants no commit.
    let before = shop.git(&["rev-parse", "HEAD"]);
    assert!(!shop.try_git(&["commit", "-q", "--allow-empty"]).status.success());
    assert!(!shop.try_git(&["-c", "core.commentChar=;", "commit", "-q", "--allow-empty"]).status.success());
    assert_eq!(shop.git(&["rev-parse", "HEAD"]), before);
    // A branch that names no task: a hint, and the commit.
    shop.git(&["checkout", "-q", "-b", "upgrade-node-18"]);
    let output = shop.commit("feat: words only");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stderr).contains("names no task"));
    assert_eq!(shop.message().trim_end(), "feat: words only");
    assert!(shop.commit("docs: words only").stderr.is_empty());
}

#[test]
fn merges_squashes_rebases_and_picks_are_left_alone() {
    let shop = Checkout::new();
    assert_eq!(shop.run(&["git", "install"]).0, 0);
    shop.git(&["checkout", "-q", "-b", "other"]);
    shop.write("other.txt", "x");
    shop.git(&["add", "other.txt"]);
    shop.git(&["commit", "-qm", "chore: other"]);
    shop.git(&["checkout", "-q", "-b", "feature/PROJ-1-x", "main"]);
    shop.write("mine.txt", "x");
    shop.git(&["add", "mine.txt"]);
    shop.git(&["commit", "-qm", "feat: mine"]);
    let linked = shop.spooled("task.link").len();
    shop.git(&["merge", "-q", "--no-ff", "--no-edit", "other"]);
    assert!(!shop.message().contains("Task:"), "{}", shop.message());
    shop.git(&["reset", "-q", "--hard", "HEAD^"]);
    shop.git(&["cherry-pick", "other"]);
    assert_eq!(shop.message().trim_end(), "chore: other");
    shop.git(&["reset", "-q", "--hard", "HEAD^"]);
    shop.git(&["rebase", "-q", "--force-rebase", "other"]);
    assert_eq!(shop.message().trim_end(), "feat: mine\n\nTask: PROJ-1");
    shop.git(&["merge", "-q", "--squash", "main"]);
    shop.git(&["revert", "--no-edit", "HEAD"]);
    assert!(!shop.message().contains("\nTask:"), "{}", shop.message());
    assert_eq!(shop.spooled("task.link").len(), linked, "nothing of it is new work");
}

#[test]
fn hooks_that_are_there_keep_running_and_come_back() {
    let shop = Checkout::new();
    let hooks = shop.root().join(".git/hooks");
    let ran = shop.dir.path().join("ran");
    let note = format!("#!/bin/sh\necho \"$(basename \"$0\") $# $(basename \"$1\")\" >> '{}'\n", ran.display());
    hook(&hooks.join("prepare-commit-msg"), &note);
    hook(&hooks.join("commit-msg"), "#!/bin/sh\ngrep -q forbidden \"$1\" && exit 7\nexit 0\n");
    hook(&hooks.join("post-commit"), "#!/usr/bin/env python3\nopen('python-ran', 'w').write('x')\n");
    let view = shop.json(0, &["git", "install"]);
    assert_eq!(view["chained"], serde_json::json!(["prepare-commit-msg", "commit-msg", "post-commit"]));
    assert_eq!(shop.json(0, &["git", "install"])["chained"], serde_json::json!([]), "again");
    shop.git(&["checkout", "-q", "-b", "PROJ-5"]);
    assert!(shop.commit("feat: x").status.success());
    assert_eq!(fs::read_to_string(&ran).unwrap(), "prepare-commit-msg 2 COMMIT_EDITMSG\n", "under its own name");
    assert!(shop.message().contains("Task: PROJ-5") && shop.root().join("python-ran").exists());
    assert!(!shop.commit("feat: forbidden").status.success(), "what it refuses is refused");
    assert_eq!(shop.run(&["git", "uninstall"]).0, 0);
    assert_eq!(fs::read_to_string(hooks.join("prepare-commit-msg")).unwrap(), note);
    assert!(!hooks.join("prepare-commit-msg.before-contextcore").exists());
    assert!(shop.commit("feat: y").status.success() && !shop.message().contains("Task:"));
}

#[test]
fn hooks_go_where_git_looks_for_them() {
    let shop = Checkout::new();
    shop.git(&["config", "core.hooksPath", "our hooks"]);
    assert_eq!(shop.run(&["git", "install"]).0, 0);
    assert!(shop.root().join("our hooks/commit-msg").exists() && !shop.root().join(".git/hooks/commit-msg").exists());
    shop.git(&["config", "--unset", "core.hooksPath"]);
    assert_eq!(shop.run(&["git", "install"]).0, 0);
    let tree = shop.dir.path().join("second tree");
    shop.git(&["worktree", "add", "-q", "-b", "feature/PROJ-9-y", tree.to_str().unwrap()]);
    shop.git_at(&tree, &["commit", "-q", "--allow-empty", "-m", "feat: in a worktree"]);
    assert!(shop.git_at(&tree, &["log", "-1", "--format=%B"]).contains("Task: PROJ-9"));
    fs::create_dir(tree.join("deep")).unwrap();
    assert_eq!(shop.run_at(&tree.join("deep"), &["git", "uninstall"]).0, 0);
    assert!(!shop.root().join(".git/hooks/commit-msg").exists());
    let (code, _, err) = shop.run_at(shop.dir.path(), &["git", "install"]);
    assert!(code == 2 && err.contains("is in no git repository"), "{err}");
}

#[test]
fn a_failure_blocks_no_commit_unless_the_repository_is_strict() {
    let shop = Checkout::new();
    assert_eq!(shop.run(&["git", "install"]).0, 0);
    let hook = shop.root().join(".git/hooks/commit-msg");
    let broken = fs::read_to_string(&hook).unwrap().replace(env!("CARGO_BIN_EXE_contextcore"), "/nowhere/contextcore");
    fs::write(&hook, &broken).unwrap();
    assert!(shop.commit("feat: x").status.success(), "the program is gone");
    shop.git(&["config", "contextcore.strict", "true"]);
    assert!(!shop.commit("feat: x").status.success());
    assert_eq!(shop.json(0, &["git", "install", "--strict"])["strict"], true);
    let refused = shop.commit("feat: no task");
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("refused"));
    assert!(shop.commit("feat: x\n\nRefs: PROJ-1").status.success());
    assert!(shop.commit("ci(deploy): x").status.success());
    assert_eq!(shop.run(&["git", "uninstall"]).0, 0);
    assert!(shop.commit("feat: free again").status.success());
    // As the configuration says.
    assert_eq!(shop.run(&["git", "install"]).0, 0);
    shop.write("contextcore.yaml", "git: {strict: true}\n");
    assert!(!shop.commit("feat: no task").status.success());
}

#[test]
fn branches_in_lower_case_count_for_known_keys() {
    let shop = Checkout::new();
    assert_eq!(shop.run(&["git", "install", "--key", "ENG"]).0, 0);
    shop.git(&["checkout", "-q", "-b", "ada/eng-12-pay-by-card"]);
    shop.commit("feat: x");
    assert!(shop.message().contains("Task: ENG-12"), "{}", shop.message());
}

#[test]
fn ci_checks_that_each_commit_names_a_task() {
    let shop = Checkout::new();
    for message in ["feat: a\n\nTask: PROJ-1", "PROJ-2: b", "docs: c", "feat: d", "fix(ci): e"] {
        assert!(shop.commit(message).status.success());
    }
    let view = shop.json(3, &["git", "check", "HEAD~5..HEAD"]);
    let subjects: Vec<&str> =
        view["findings"].as_array().unwrap().iter().filter_map(|one| one["subject"].as_str()).collect();
    assert_eq!((subjects, &view["commits"]), (vec!["feat: d", "fix(ci): e"], &5.into()));
    assert_eq!(shop.run(&["git", "check", "HEAD~5..HEAD~2"]).0, 0);
    let (code, _, err) = shop.run(&["git", "check", "nowhere..HEAD"]);
    assert!(code == 2 && err.contains("does not know the range"), "{err}");
    assert_eq!(shop.run(&["git", "check", "--output=x"]).0, 2);
}

#[test]
fn hooks_are_fast() {
    let shop = Checkout::new();
    shop.git(&["checkout", "-q", "-b", "feature/PROJ-1-x"]);
    let file = shop.root().join(".git/COMMIT_EDITMSG");
    let fastest = (0..10).map(|_| {
        fs::write(&file, "feat: x\n").unwrap();
        let begun = Instant::now();
        let (code, _, err) = shop.run(&["git", "hook", "prepare-commit-msg", ".git/COMMIT_EDITMSG", "message"]);
        assert_eq!(code, 0, "{err}");
        begun.elapsed()
    });
    // A debug build on a busy machine; a release build takes a few milliseconds.
    let limit = if cfg!(debug_assertions) { 150 } else { 30 };
    assert!(fastest.min().unwrap() < Duration::from_millis(limit));
}

#[test]
fn agents_md_says_what_binds_and_is_checked_by_its_own_hash() {
    let shop = Checkout::new();
    shop.write("contextcore.yaml", "projects_file: projects.yaml\nprojects: [{id: shop}]\n");
    shop.write("projects.yaml", CONTEXT);
    shop.write("AGENTS.md", "# Ours\n");
    shop.run(&["guide", "add", "constraint", "Not proven", "-p", "shop"]);
    assert_eq!(shop.run(&["agents", "export", "--check"]).0, 3, "there is no block yet");
    assert_eq!(shop.json(0, &["agents", "export"])["changed"], true);
    let text = fs::read_to_string(shop.root().join("AGENTS.md")).unwrap();
    assert!(text.starts_with("# Ours\n") && text.contains("- `src/api/**`: No breaking changes of /v1"), "{text}");
    assert!(!text.contains("Not proven"), "what the command line says does not bind");
    assert_eq!(shop.json(0, &["agents", "export"])["changed"], false);
    assert_eq!(shop.run(&["agents", "export", "--check"]).0, 0);
    fs::write(shop.root().join("AGENTS.md"), text.replace("No breaking", "Some breaking")).unwrap();
    let (code, out, _) = shop.run(&["agents", "export", "--check"]);
    assert!(code == 3 && out.contains("by hand"), "{out}");
    assert_eq!(shop.run(&["agents", "export", "--file", "CLAUDE.md"]).0, 0);
    assert_eq!(fs::read_to_string(shop.root().join("CLAUDE.md")).unwrap(), "@AGENTS.md\n");
    assert_eq!(shop.run(&["agents", "export", "--file", "CLAUDE.md", "--check"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn guidance_stays_known_while_a_helper_stores_it_and_afterwards() {
    let backend = Collector::start(Options::default()).await.unwrap();
    let shop = Checkout::new();
    let add = ["guide", "add", "preference", "Prefer events", "-p", "shop", "--endpoint"];
    assert_eq!(shop.run(&[&add[..], &[&backend.grpc_url(), "--no-drain"]].concat()).0, 0);
    let state = shop.dir.path().join("state");
    let mut helper = shop.prepared(env!("CARGO_BIN_EXE_contextcore"), shop.dir.path());
    let mut helper = helper.args(["drain", "--linger", "60s"]).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !shop.spooled("guidance.add").is_empty() && begun.elapsed() < Duration::from_secs(120) {
        assert_eq!(ids(&shop.json(0, &["guide", "list"])), ["store:prefer-events advisory"]);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(shop.spooled("guidance.add").is_empty(), "{} is drained", state.display());
    assert_eq!(ids(&shop.json(0, &["guide", "list"])), ["store:prefer-events advisory"], "beside the helper");
    helper.kill().unwrap();
    helper.wait().unwrap();
    assert_eq!(ids(&shop.json(0, &["guide", "list"])), ["store:prefer-events advisory"], "after it");
    assert_eq!(shop.run(&["guide", "end", "prefer-events", "--no-drain"]).0, 0);
    assert_eq!(
        shop.json(0, &["guide", "list"]),
        Value::Array(Vec::new()),
        "what is stored ends by what is in the spool"
    );
}
