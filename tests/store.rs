//! The store as its user sees it: where it is, who may read it, what damages it, and what works while another process holds it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contextcore_fakes::faults::{Fault, When};
use serde_json::Value;

use crate::rig::{Installation, LIMIT, Ran, Running, Service, Tool};

/// The commands that read the store.
const READING: [&[&str]; 6] =
    [&["tasks"], &["sprints"], &["show", "SHOP-1"], &["status"], &["store", "verify"], &["store", "export", "-"]];

/// Every file in a directory with its bytes.
fn bytes_of(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = |path: PathBuf| fs::read_dir(path).into_iter().flatten().map(|file| file.unwrap().path());
    let all = files(path.to_owned()).chain(files(path.join("blobs"))).filter(|file| file.is_file());
    all.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn put_back(path: &Path, bytes: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(path).or_else(|_| fs::remove_file(path)).unwrap();
    fs::create_dir_all(path.join("blobs")).unwrap();
    bytes.iter().for_each(|(file, bytes)| fs::write(file, bytes).unwrap());
}

fn no_panic(ran: &Ran) {
    assert!(!ran.err.contains("panicked") && ran.code != Some(101), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_store_is_exit_1_with_what_to_do() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    home.sync();
    let good = bytes_of(&home.store());
    let db = home.store().join("db");
    let length = good[&db].len();
    let truth = home.run(&["tasks", "-o", "json"]).expect(0).out;
    let mut refused = 0;
    let mut check = |what: &str| {
        for arguments in [&["tasks", "-o", "json"][..], &["status"], &["store", "compact"], &["sync"]] {
            let ran = home.run(arguments);
            no_panic(&ran);
            match ran.code {
                Some(0) if arguments[0] == "tasks" => assert!(ran.out == truth, "{what}: not all tasks"),
                Some(0) => {}
                _ => {
                    refused += 1;
                    ran.expect(1).says(&["damaged", "move the directory aside and keep it", "store import"]);
                }
            }
        }
        put_back(&home.store(), &good);
    };
    for length in [0, 1, 20, 64 << 10, length / 3, length / 2, length - 20_000, length - 1] {
        fs::OpenOptions::new().write(true).open(&db).unwrap().set_len(length as u64).unwrap();
        check(&format!("cut to {length}"));
    }
    fs::write(&db, vec![0; length]).unwrap();
    check("zeroed");
    for name in ["db", "conf", "head", "blobs"] {
        let file = home.store().join(name);
        fs::remove_file(&file).or_else(|_| fs::remove_dir_all(&file)).unwrap();
        check(&format!("{name} is missing"));
        fs::remove_file(&file).or_else(|_| fs::remove_dir_all(&file)).unwrap();
        if name == "blobs" {
            fs::write(&file, "x").unwrap()
        } else {
            fs::create_dir(&file).unwrap()
        }
        check(&format!("{name} is of another kind"));
    }
    assert!(refused > 30, "{refused}");
    fs::remove_dir_all(home.store()).unwrap();
    fs::write(home.store(), "a file").unwrap();
    home.run(&["sync"]).expect(1).says(&["a file is where its directory should be", "store.path"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_reads_makes_no_store_and_changes_none() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    for arguments in READING.into_iter().chain([&["replay"][..], &["store", "compact"]]) {
        home.run(arguments).expect(2).says(&["there is no store at ./data", "contextcore sync"]);
        assert!(!home.store().exists(), "{arguments:?}");
    }
    home.sync();
    tool.pass(crate::rig::HOUR);
    let before = bytes_of(&home.store());
    for arguments in [&["sync", "--dry-run"][..], &["sync", "--dry-run", "--full"]] {
        home.run(arguments).expect(0);
        assert!(bytes_of(&home.store()) == before, "{arguments:?} changed the store");
    }
    let key = home.tasks()[0]["id"].as_str().unwrap().to_owned();
    for arguments in READING {
        let arguments: Vec<&str> = arguments.iter().map(|word| if *word == "SHOP-1" { &*key } else { word }).collect();
        home.run(&arguments).expect(0);
        assert!(bytes_of(&home.store()) == before, "{arguments:?} changed the store");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_the_same_from_every_directory() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let elsewhere = tempfile::tempdir().unwrap();
    let file = home.path().join("contextcore.yaml");
    let from_elsewhere = |arguments: &[&str]| {
        let mut command = home.command(&[arguments, &["--config", file.to_str().unwrap()]].concat());
        command.current_dir(elsewhere.path());
        Running::spawn(command).wait(LIMIT)
    };
    let summary = from_elsewhere(&["sync", "-o", "json"]).expect(0).json();
    assert_eq!(summary["sources"][0]["changes"], 0, "it goes on where the last one stopped: {summary}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    // A store that an earlier version made in the working directory is not left behind.
    fs::rename(home.store(), elsewhere.path().join("data")).unwrap();
    from_elsewhere(&["sync"]).expect(2).says(&["relative to this file", "move it there"]);
    assert!(!home.store().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_and_exporting_work_beside_a_running_sync() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    tool.jira.faults().on("POST */search/jql", When::Nth(1), Fault::Delay(Duration::from_secs(12)));
    let mut sync = home.spawn(&["sync"]);
    sync.wait_for("sync begins", LIMIT);
    let tasks = home.tasks();
    assert_eq!(tasks.len(), tool.jira.world().issues().count());
    home.run(&["status"]).expect(0);
    home.run(&["sprints"]).expect(0);
    assert_eq!(home.run(&["store", "verify", "-o", "json"]).expect(0).json()["problems"], serde_json::json!([]));
    let exported = home.run(&["store", "export", "all.txt", "-o", "json"]).expect(0).json();
    assert_eq!(exported["tasks"], tasks.len());
    let mode = fs::metadata(home.path().join("all.txt")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let streamed = home.run(&["store", "export", "-"]).expect(0);
    assert!(streamed.out.lines().last().unwrap().starts_with("end {"), "{:?}", streamed.out.lines().last());
    home.run(&["sync"]).expect(1).says(&["another contextcore holds it", "wait until it has ended"]);
    home.run(&["store", "compact"]).expect(1).says(&["another contextcore holds it"]);
    assert!(sync.is_running(), "the test was too slow to show anything");
    sync.wait(LIMIT).expect(0);
    assert!(!home.store().join("serve.sock").exists());
    let other = tool.home().await;
    other.run(&["store", "import", home.path().join("all.txt").to_str().unwrap()]).expect(0);
    assert_eq!(other.tasks().len(), tasks.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_beside_a_serve_makes_it_poll_now() {
    let tool = Tool::sample().await;
    let home = tool.home_with(&crate::rig::Setup { source: "schedule: '0 0 1 1 *'", ..Default::default() }).await;
    home.sync();
    let mut serve = Service::start(&home);
    serve.until("/readyz", "200");
    let asked = home.run(&["sync", "-o", "json"]);
    // The first run of the service may hold the store's socket back for a moment.
    assert_eq!(asked.expect(0).json(), serde_json::json!({"polled_by_serve": ["acme-jira"]}));
    let requests = || tool.jira.requests().len();
    let begun = Instant::now();
    let before = requests();
    while requests() == before {
        assert!(begun.elapsed() < LIMIT, "it does not poll");
        std::thread::sleep(Duration::from_millis(50));
    }
    home.run(&["sync", "--full"]).expect(1).says(&["stop it first"]);
    home.run(&["store", "import", "x"]).expect(2);
    serve.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_is_cut_or_changed_is_refused_with_what_is_missing() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    home.run(&["store", "export", "all.txt"]).expect(0);
    let text = fs::read_to_string(home.path().join("all.txt")).unwrap();
    let other = tool.home().await;
    let import = |text: &str| {
        fs::write(other.path().join("in.txt"), text).unwrap();
        other.run(&["store", "import", "in.txt"])
    };
    for share in [0, 10, 50, 90, 99] {
        let cut = &text[..text.len() * share / 100];
        let refused = import(cut).expect(1);
        assert!(refused.err.contains("nothing was imported") || share == 0, "{}", refused.err);
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 2, "{share} %: something was left behind");
    }
    let lines: Vec<&str> = text.lines().collect();
    let whole_lines = lines[..lines.len() - 1].join("\n") + "\n";
    import(&whole_lines).expect(1).says(&["is cut", "tasks=", " of "]);
    let swapped = text.replacen("\nam", "\nan", 1).replacen("Aw", "Ax", 1);
    import(&swapped).expect(1).says(&["nothing was imported"]);
    import("").expect(1).says(&["not an export"]);
    import(&text).expect(0);
    assert_eq!(other.tasks().len(), home.tasks().len());
    import(&text).expect(1).says(&["already holds tasks"]);
    // An export that fails leaves the one before.
    let failed = home.shell("trap '' XFSZ; ulimit -f 4; exec \"$0\" store export all.txt", &[]);
    assert_eq!(failed.code, Some(1), "{failed:?}");
    assert_eq!(fs::read_to_string(home.path().join("all.txt")).unwrap(), text);
    let left = fs::read_dir(home.path())
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_string_lossy().contains("export"));
    assert_eq!(left.count(), 0);
}

/// A limit on the size of files stands for a full disk: every write fails at some point, of whatever command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_no_write_damages_nothing_whatever_the_command() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    home.sync();
    let truth = home.run(&["tasks", "-o", "json"]).expect(0).out;
    for blocks in [0, 1, 8, 64, 512, 2048] {
        for arguments in [&["tasks"][..], &["status"], &["store", "verify"], &["store", "compact"], &["sync"]] {
            let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
            let ran = home.shell(&script, arguments);
            no_panic(&ran);
            assert!(!ran.err.contains("damaged"), "{blocks} {arguments:?}: {}", ran.err);
            let after = home.run(&["tasks", "-o", "json"]);
            assert!(after.code == Some(0) && after.out == truth, "{blocks} {arguments:?}: {}", after.err);
        }
    }
    home.sync();
    assert_eq!(home.run(&["store", "verify", "-o", "json"]).expect(0).json()["problems"], serde_json::json!([]));
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_can_be_looked_at_and_is_not_written_to() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    let script = "mkdir -p data && mount -t tmpfs -o size=64m none data && \"$0\" sync >/dev/null 2>&1 && \
                  head -c 64m /dev/zero > data/filler 2>/dev/null; find data -type f | xargs md5sum > before; \
                  \"$0\" tasks -o json > tasks.json; echo \"tasks $?\"; \"$0\" status > /dev/null; echo \"status $?\"; \
                  \"$0\" sync; echo \"sync $?\"; \"$0\" store compact; echo \"compact $?\"; \
                  find data -type f | xargs md5sum | diff before - && echo unchanged; \
                  rm data/filler; \"$0\" sync > /dev/null 2>&1; echo \"freed $?\"";
    let Some(ran) = home.in_namespace(script, &[]) else { return };
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines, ["tasks 0", "status 0", "sync 1", "compact 1", "unchanged", "freed 0"], "{ran:?}");
    let tasks: Value = serde_json::from_slice(&fs::read(home.path().join("tasks.json")).unwrap()).unwrap();
    assert_eq!(tasks.as_array().unwrap().len(), tool.jira.world().issues().count());
    assert!(ran.errors().iter().all(|error| error.contains("free some space")), "{ran:?}");
}

fn with_token_file(home: &Installation, mode: u32) {
    let file = home.path().join("token");
    fs::write(&file, contextcore_fakes::jira::Jira::TOKEN).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
    home.write(&home.config_text().replace("{env: JIRA_TOKEN}", "{file: token}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_could_read_is_a_warning() {
    let tool = Tool::sample().await;
    let home = tool.home().await;
    with_token_file(&home, 0o600);
    for command in ["check", "sync"] {
        let ran = home.run(&[command]).expect(0);
        assert!(!ran.err.contains("can read") && !ran.err.contains("not encrypted"), "{}", ran.err);
    }
    with_token_file(&home, 0o644);
    for command in ["check", "sync"] {
        let ran = home.run(&[command]).expect(0);
        assert_eq!(ran.err.matches("every user of this machine can read this secret").count(), 1, "{}", ran.err);
    }
    let more =
        "  - {name: far, kind: jira, url: 'http://jira.invalid', auth: {email: a@b.c, token: {env: JIRA_TOKEN}}}\n";
    home.write(&(home.config_text() + more));
    let ran = home.run(&["sync", "acme-jira"]).expect(0);
    assert!(ran.err.contains("source far: http://jira.invalid is not encrypted"), "{}", ran.err);
}
