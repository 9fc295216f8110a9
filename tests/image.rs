//! The image, without an engine: `deploy/Dockerfile` is nothing but the steps of `deploy/image.sh`, and these are run here with a
//! fake `cargo` that hands out the binary that was built for the tests.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use regex::Regex;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// The instructions of the Dockerfile: keyword and rest.
fn instructions() -> Vec<(String, String)> {
    let text = fs::read_to_string(deploy().join("Dockerfile")).unwrap().replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(' ').unwrap()).map(|(word, rest)| (word.to_owned(), rest.to_owned())).collect()
}

fn all(word: &str) -> Vec<String> {
    instructions().into_iter().filter(|(found, _)| found == word).map(|(_, rest)| rest).collect()
}

/// A machine of the build stage: tools that write down how they were called.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Who has no rights must be able to reach the files.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Self { folder };
        fs::create_dir_all(machine.path("tools")).unwrap();
        let log = machine.path("log");
        for tool in ["cargo", "rustup", "apt-get", "rm"] {
            machine.tool(tool, &format!("echo {tool} \"$@\" >>{}", log.display()));
        }
        let build = format!(
            "echo cargo \"$@\" >>{}\nenv | grep -E '^(CC_|CARGO_TARGET_.*LINKER)' | sort >>{0}\n\
             while [[ $# -gt 0 ]]; do [[ $1 != --target ]] || target=$2; shift; done\n\
             [[ -z ${{target:-}} ]] || install -D '{}' \"$CARGO_TARGET_DIR/$target/release/contextcore\"",
            log.display(),
            env!("CARGO_BIN_EXE_contextcore"),
        );
        machine.tool("cargo", &build);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.path("tools").join(name);
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a step as the Dockerfile writes it, with paths of the image below this folder.
    fn step(&self, line: &str, arch: &str) -> Output {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some("deploy/image.sh"), "{line}");
        let inside =
            |word: &str| word.strip_prefix('/').map_or(word.to_owned(), |name| self.path(name).display().to_string());
        let mut command = Command::new(deploy().join("image.sh"));
        command.args(words.map(inside)).env_clear().env("TARGETARCH", arch);
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("tools").display()));
        command.env("CARGO_TARGET_DIR", self.path("target")).output().unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// This machine, as Docker calls it, and the other.
fn arches() -> (&'static str, &'static str) {
    if cfg!(target_arch = "aarch64") { ("arm64", "amd64") } else { ("amd64", "arm64") }
}

#[test]
fn the_dockerfile_runs_the_script_and_nothing_else() {
    let steps = all("RUN");
    let names: Vec<&str> = steps.iter().map(|step| step.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(names, ["chef", "toolchain", "plan", "dependencies", "build", "check"]);
    let machine = Machine::new();
    for step in steps.iter().filter(|step| !step.contains(" check ")) {
        let output = machine.step(step, arches().0);
        assert!(output.status.success(), "{step}: {}", complaint(&output));
    }
    let flags = "--release --locked --features kubernetes --bin contextcore --target";
    let log = machine.log();
    for call in [
        "cargo install cargo-chef --locked",
        "cargo chef prepare",
        &format!("cargo chef cook {flags}"),
        &format!("cargo build {flags}"),
    ] {
        assert_eq!(log.matches(call).count(), 1, "{call}: {log}");
    }
}

/// For another processor the compilers of C and the linker are that processor's.
#[test]
fn another_processor_is_compiled_for() {
    let (_, other) = arches();
    let machine = Machine::new();
    assert!(machine.step("deploy/image.sh toolchain", other).status.success());
    assert!(machine.step("deploy/image.sh build /image", other).status.success());
    let (triple, log) = (if other == "arm64" { "aarch64" } else { "x86_64" }, machine.log());
    let upper = triple.to_uppercase();
    for part in [
        format!("rustup target add {triple}-unknown-linux-gnu"),
        format!("libc6-dev-{other}-cross"),
        format!("--target {triple}-unknown-linux-gnu"),
        format!("CC_{triple}_unknown_linux_gnu={triple}-linux-gnu-gcc"),
        format!("CARGO_TARGET_{upper}_UNKNOWN_LINUX_GNU_LINKER={triple}-linux-gnu-gcc"),
    ] {
        assert!(log.contains(&part), "{part}: {log}");
    }
    // It is this machine's binary that the fake cargo hands out.
    let checked = machine.step("deploy/image.sh check /image", other);
    assert!(complaint(&checked).contains(&format!("contextcore is not for {other}")), "{}", complaint(&checked));
    assert!(complaint(&machine.step("deploy/image.sh chef", "riscv64")).contains("neither amd64 nor arm64"));
}

/// Files and user are checked alike for every processor; only a program of this one is run as well.
#[cfg(feature = "kubernetes")]
#[test]
fn another_processor_is_checked_as_this_one_is() {
    let machine = built();
    let (_, other) = arches();
    let elf = if other == "arm64" { "AArch64" } else { "Advanced Micro Devices X86-64" };
    let fake = format!("case $1 in --file-header) echo ' Machine: {elf}' ;; --version-info) echo GLIBC_2.17 ;; esac");
    machine.tool("readelf", &fake);
    let check = || machine.step("deploy/image.sh check /image", other);
    assert!(check().status.success(), "{}", complaint(&check()));
    let program = machine.path("image/usr/local/bin/contextcore");
    fs::write(&program, "#!/bin/bash\n").unwrap();
    assert!(complaint(&check()).contains("without the feature kubernetes"), "{}", complaint(&check()));
    fs::write(machine.path("image/etc"), "").unwrap();
    assert!(
        complaint(&check()).contains("the files of the image are not as they should be"),
        "{}",
        complaint(&check())
    );
}

/// The files of a build, laid out for this machine.
fn built() -> Machine {
    let machine = Machine::new();
    assert!(machine.step("deploy/image.sh build /image", arches().0).status.success());
    machine
}

#[cfg(feature = "kubernetes")]
#[test]
fn what_was_built_runs_on_the_base_as_the_user_of_the_image() {
    let machine = built();
    let checked = machine.step("deploy/image.sh check /image", arches().0);
    assert!(checked.status.success(), "{}", complaint(&checked));
}

#[cfg(not(feature = "kubernetes"))]
#[test]
fn a_program_without_the_controller_is_no_image() {
    let machine = built();
    let checked = machine.step("deploy/image.sh check /image", arches().0);
    assert!(complaint(&checked).contains("without the feature kubernetes"), "{}", complaint(&checked));
}

#[test]
fn wrong_files_are_no_image() {
    let machine = built();
    let refused = |because: &str| {
        let checked = machine.step("deploy/image.sh check /image", arches().0);
        assert!(!checked.status.success() && complaint(&checked).contains(because), "{}", complaint(&checked));
    };
    fs::write(machine.path("image/etc"), "").unwrap();
    refused("the files of the image are not as they should be");
    fs::remove_file(machine.path("image/etc")).unwrap();
    let program = machine.path("image/usr/local/bin/contextcore");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    refused("the files of the image are not as they should be");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let strange = "#!/bin/bash\ncase $1 in\n--file-header) /usr/bin/readelf \"$@\" ;;\n--dynamic) echo ' (NEEDED) [libssl.so.3]' ;;\nesac";
    machine.tool("readelf", strange);
    refused("the base of the image has no libssl.so.3");
    machine.tool("readelf", "case $1 in --version-info) echo GLIBC_2.41 ;; *) /usr/bin/readelf \"$@\" ;; esac");
    refused("contextcore needs glibc 2.41");
}

/// What the last stage copies is what the script lays out, and it starts as somebody without rights, without a shell.
#[test]
fn the_final_stage_is_what_was_checked() {
    let last = all("FROM").pop().unwrap();
    assert_eq!(last, "gcr.io/distroless/cc-debian12:nonroot");
    let script = fs::read_to_string(deploy().join("image.sh")).unwrap();
    assert!(script.contains(&format!("# What the base has: {} is glibc", last.trim_end_matches(":nonroot"))));
    let user = Regex::new(r"(?m)^user=(\d+)$").unwrap().captures(&script).unwrap()[1].to_owned();
    assert_eq!(all("USER"), [format!("{user}:{user}")]);
    let machine = built();
    let copies: Vec<String> = all("COPY").into_iter().filter(|copy| copy.contains(" /image/")).collect();
    for copy in &copies {
        let words: Vec<&str> = copy.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        assert!(machine.path(&words[0][1..]).is_dir(), "{copy}");
        assert_eq!(format!("/image{}", words[1]), words[0], "{copy}");
    }
    assert_eq!(copies.len(), fs::read_dir(machine.path("image")).unwrap().count(), "{copies:?}");
    assert!(copies.iter().any(|copy| copy.contains(&format!("--chown={user}:{user} /image/var/lib/"))), "{copies:?}");
    assert_eq!(all("ENTRYPOINT"), [r#"["/usr/local/bin/contextcore"]"#]);
    assert!(machine.path("image/usr/local/bin/contextcore").is_file());
    assert_eq!(all("WORKDIR").pop().unwrap(), "/var/lib/contextcore");
    let ignored = fs::read_to_string(deploy().join("../.dockerignore")).unwrap();
    assert!(["target", ".git"].iter().all(|name| ignored.lines().any(|line| line == *name)));
}

/// Arguments that the files of this repository give to the image: it understands them.
#[test]
fn the_program_understands_what_it_is_started_with() {
    let compose: serde_json::Value =
        serde_saphyr::from_str(&fs::read_to_string(deploy().join("compose.yaml")).unwrap()).unwrap();
    let service = &compose["services"]["contextcore"];
    assert!(service.get("entrypoint").is_none(), "the image has no shell");
    let mut lines: Vec<Vec<String>> = vec![serde_json::from_value(service["command"].clone()).unwrap()];
    lines.push(serde_json::from_str(&all("CMD")[0]).unwrap());
    for line in lines {
        let output = Command::new(env!("CARGO_BIN_EXE_contextcore")).args(&line).arg("--help").output().unwrap();
        assert!(output.status.success(), "{line:?}: {}", complaint(&output));
    }
}

/// A Grafana that lets nobody in: its address, and a thread that returns the credential of the first call that needs one.
fn closed_grafana() -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        loop {
            let (mut connection, _) = listener.accept().unwrap();
            let lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let is_open = head[0].starts_with("GET /api/health ");
            let (status, body) = if is_open { ("200 OK", r#"{"database":"ok"}"#) } else { ("401 Unauthorized", "{}") };
            let length = body.len();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            connection.write_all(answer.as_bytes()).unwrap();
            if !is_open {
                let field = |line: &String| Some(line.split_once(": ")?.1.to_owned());
                return head
                    .iter()
                    .find(|line| line.to_lowercase().starts_with("authorization: "))
                    .and_then(field)
                    .unwrap();
            }
        }
    });
    (url, serving)
}

/// The provisioning Job has a token or a name and a password in its environment, or neither, and its log says what to create.
#[test]
fn the_provisioning_job_logs_in_with_what_it_has() {
    let provision = |url: &str, variables: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_contextcore"));
        command.args(["dashboards", "provision", "--grafana-url", url]).env_clear();
        command.envs(variables.iter().copied()).output().unwrap()
    };
    let login = [("GRAFANA_USER", "admin"), ("GRAFANA_PASSWORD", "pass:word")];
    let (url, grafana) = closed_grafana();
    let refused = provision(&url, &login);
    assert_eq!(grafana.join().unwrap(), format!("Basic {}", BASE64.encode("admin:pass:word")));
    assert_eq!(refused.status.code(), Some(4), "{}", complaint(&refused));
    let (url, grafana) = closed_grafana();
    let with_token = provision(&url, &[&login[..], &[("GRAFANA_TOKEN", "glsa_x")]].concat());
    assert_eq!(grafana.join().unwrap(), "Bearer glsa_x", "a token goes first");
    let without = provision("http://127.0.0.1:1", &login[..1]);
    assert_eq!(without.status.code(), Some(2));
    for output in [refused, with_token, without] {
        let text = complaint(&output);
        assert!(text.contains("grafana.tokenSecret") && !text.contains("pass:word"), "{text}");
    }
}
