//! Bad input of every kind: one error line that says what to do, the exit code of the contract, and nothing lost.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::Credential;

use crate::rig::{HOUR, LIMIT, Setup, Tool};

/// A source like the usual one, with these keys in place of some of its own.
fn source(keys: &str) -> String {
    format!("sources:\n  - name: acme\n    kind: jira\n    {}\n", keys.replace("; ", "\n    "))
}

const AUTH: &str = "auth: {token: {env: JIRA_TOKEN}}";
const URL: &str = "url: 'http://127.0.0.1:1'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_is_an_error_with_key_line_and_fix() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    let ok = source(&format!("{URL}; {AUTH}"));
    let cases: &[(String, &[&str])] = &[
        (format!("{ok}exprt: {{}}\n"), &["contextcore.yaml:6", "exprt", "did you mean `export`"]),
        (source(&format!("urll: x; {URL}; {AUTH}")), &[":4", "sources[0].urll", "did you mean `url`"]),
        (source(&format!("{URL}; auth: {{token: hunter2}}")), &[":5", "auth.token", "{env: NAME}"]),
        (source(&format!("{URL}; {AUTH}; schedule: '61 * * * *'")), &[":6", "61 * * * *", "*/5 * * * *"]),
        (source(&format!("{URL}; {AUTH}; schedule: hourly")), &[":6", "hourly", "*/5 * * * *"]),
        (source(AUTH), &["url", "missing"]),
        (source(URL), &["auth", "missing"]),
        (ok.replace("kind: jira", "kind: jirra"), &[":3", "did you mean `jira`"]),
        (format!("{ok}export: {{history: 12 moons}}\n"), &[":6", "export.history", "such as 15m"]),
        (
            format!("{ok}export: {{otlp: {{headers: {{Authorization: Basic abc}}}}}}\n"),
            &["Authorization", "{env: NAME}"],
        ),
        (format!("{ok}sources: []\n"), &["sources", "twice"]),
        ("sources: [{name".to_owned(), &["contextcore.yaml:1", "YAML"]),
        (String::new(), &["no source", "contextcore init"]),
    ];
    for (text, words) in cases {
        home.write(text);
        let ran = home.run(&["sync"]).expect(2).says(words);
        assert!(ran.out.is_empty() && !ran.err.contains("hunter2") && !ran.err.contains("abc"), "{}", ran.err);
    }
    assert!(!home.store().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_usage_is_answered_with_the_nearest_match() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.run(&["sync", "acme-jirra"]).expect(2).says(&["acme-jirra", "did you mean `acme-jira`"]);
    home.run(&["sync", "--config", "nope.yaml"]).expect(2).says(&["nope.yaml", "contextcore init"]);
    home.run(&["show", "NOPE-1"]).expect(2).says(&["NOPE-1", "contextcore sync"]);
    home.run(&["sync", "--output", "csv"]).expect(2).says(&["--output json"]);
    home.run(&["snyc"]).expect(2).says(&["snyc"]);
    home.run(&["tasks", "--status", "doing"]).expect(2).says(&["doing"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_secret_is_named_and_nothing_is_asked() {
    let tool = Tool::sample().await;
    let mut home = tool.home().await;
    home.variables.clear();
    home.run(&["sync"]).expect(2).says(&["acme-jira", "JIRA_TOKEN is not set", "export it"]);
    home.write(&home.config_text().replace("{env: JIRA_TOKEN}", "{file: ./token}"));
    home.run(&["sync"]).expect(2).says(&["./token", "correct the path"]);
    std::fs::write(home.path().join("token"), "\n").unwrap();
    home.run(&["sync"]).expect(2).says(&["./token", "empty"]);
    assert!(tool.jira.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_the_sources_failure_and_the_next_sync_goes_on() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let credential = |token: &str| {
        let user = contextcore_fakes::jira::Jira::EMAIL.to_owned();
        vec![Credential::Basic { user, token: token.to_owned() }]
    };
    tool.jira.set_credentials(credential("another"));
    tool.pass(HOUR);
    home.run(&["sync"]).expect(3).says(&["acme-jira", "the token was refused", "make a new one"]);
    let status = home.run(&["status"]).expect(0);
    assert!(status.out.contains("token was refused"), "{}", status.out);
    tool.jira.set_credentials(credential(contextcore_fakes::jira::Jira::TOKEN));
    home.sync();
    assert!(!home.run(&["status"]).expect(0).out.contains("refused"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_address_fails_soon_and_says_why() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let before = home.outcome();
    let url = tool.jira.url().to_owned();
    home.write(&home.config_text().replace(&url, "http://127.0.0.1:1"));
    let ran = home.run(&["sync"]).expect(3).says(&["acme-jira", "cannot be reached", "check the address"]);
    assert!(ran.took < Duration::from_secs(20), "{:?}", ran.took);
    home.write(&home.config_text().replace("http://127.0.0.1:1", &url));
    home.sync();
    home.outcome().assert_same(&before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_project_is_named_and_the_others_are_read() {
    let tool = Tool::sample().await;
    let home = tool.home_with(&Setup { source: "projects: [SHOP, NOPE]", ..Setup::default() }).await;
    let ran = home.run(&["sync"]).expect(0);
    assert!(ran.err.lines().any(|line| line.starts_with("warning: acme-jira") && line.contains("NOPE")), "{}", ran.err);
    assert!(home.tasks().iter().all(|task| task["project"] == "SHOP"));

    let home = tool.home_with(&Setup { source: "projects: [NOPE]", ..Setup::default() }).await;
    home.run(&["sync"]).expect(3).says(&["NOPE", "projects"]);
}

/// Every damage of a store is reported; none is taken for a smaller store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_refused_and_a_fresh_one_exports_the_same() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let before = home.outcome();
    let log = home.store().join("db");
    let good = std::fs::read(&log).unwrap();
    let flipped = |place: usize| {
        let mut bytes = good.clone();
        bytes[place] ^= 0x10;
        bytes
    };
    for bytes in [Vec::new(), good[..good.len() / 3].to_vec(), flipped(5_000), flipped(good.len() / 4)] {
        for command in ["sync", "tasks", "status"] {
            std::fs::write(&log, &bytes).unwrap();
            home.run(&[command]).expect(1).says(&["damaged", "move the directory aside", "sync again"]);
        }
    }
    std::fs::rename(home.store(), home.path().join("aside")).unwrap();
    home.sync();
    // The backend received everything twice by now; the ids are the same.
    home.outcome().assert_same(&before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_one_store_is_refused_and_the_first_goes_on() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    tool.jira.faults().on("POST */search/jql", When::Nth(1), Fault::Delay(Duration::from_secs(7)));
    let first = home.spawn(&["sync"]);
    first.wait_for("sync begins", LIMIT);
    // A lock that is held briefly is waited for; this one is held longer.
    let (second, third) = (home.spawn(&["sync"]), home.spawn(&["status"]));
    second.wait(LIMIT).expect(1).says(&["another contextcore holds it", "stop it"]);
    third.wait(LIMIT).expect(0);
    first.wait(LIMIT).expect(0);
    assert_eq!(home.tasks().len(), tool.jira.world().issues().count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_store_is_reported() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let set = |mode| std::fs::set_permissions(home.path().join("locked"), Permissions::from_mode(mode)).unwrap();
    std::fs::create_dir(home.path().join("locked")).unwrap();
    set(0o555);
    let bound = std::fs::write(home.path().join("locked/probe"), "").is_err();
    if bound {
        home.write(&home.config_text().replace("path: ./data", "path: ./locked/data"));
        home.run(&["sync"]).expect(1).says(&["cannot be written", "store.path"]);
        set(0o755);
        return;
    }
    // Permissions do not bind root; a read-only mount does.
    let script = "mount --bind data data && mount -o remount,bind,ro data && exec \"$0\" \"$@\"";
    let Some(ran) = home.in_namespace(script, &["sync"]) else { return };
    ran.expect(1).says(&["cannot be written", "store.path"]);
    home.sync();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_reported_before_anything_is_written_and_the_next_run_resumes() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    // A disk of 40 MiB with less free space than the program wants; later the filler is removed.
    let script = "mkdir -p data && mount -t tmpfs -o size=40m none data && head -c 20m /dev/zero > data/filler && \
                  { \"$0\" \"$@\"; echo \"exit $?\"; rm data/filler; \"$0\" \"$@\" 2>&1; echo \"exit $?\"; \"$0\" tasks -o json; }";
    let Some(ran) = home.in_namespace(script, &["sync"]) else { return };
    let ran = ran.says(&["disk is nearly full", "free some space"]);
    let exits: Vec<_> = ran.out.lines().filter(|line| line.starts_with("exit ")).collect();
    assert_eq!(exits, ["exit 1", "exit 0"], "{}\n{}", ran.out, ran.err);
    let tasks: serde_json::Value = serde_json::from_str(ran.out.rsplit("exit 0\n").next().unwrap()).unwrap();
    assert_eq!(tasks.as_array().unwrap().len(), tool.jira.world().issues().count());
}

/// A limit on the size of files makes writes fail in the middle, as on a disk that fills up meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_fails_half_way_loses_nothing() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    for blocks in [100, 300, 600, 900] {
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" sync");
        let ran = home.shell(&script, &[]);
        assert!(ran.code == Some(0) || ran.code == Some(1), "{ran:?}");
        if ran.code == Some(1) {
            ran.says(&["the disk is full or failing", "nothing was lost"]);
        }
    }
    home.sync();
    let other = tool.home().await;
    other.sync();
    home.outcome().assert_same(&other.outcome());
}
