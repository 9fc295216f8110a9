//! The helper, `contextcore drain`: whether it runs, how it is started and asked. PATH is never searched: another project owns
//! the command name. The binary is named by `CONTEXTCORE_BIN`.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{Headers, passed_on};
use serde_json::{Value, json};

use super::Spool;

/// How often a process looks whether a helper runs, and how long it waits after it started one that does not stay.
const LOOK: Duration = Duration::from_secs(1);
const BACKOFF: Duration = Duration::from_secs(60);
/// How long a helper may need until it holds the lane.
const START: Duration = Duration::from_secs(2);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_millis(500);
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// Each of these is logged once in a process.
static WITHOUT_ENDPOINT: AtomicBool = AtomicBool::new(false);
static WITHOUT_BINARY: AtomicBool = AtomicBool::new(false);
static NOT_STARTED: AtomicBool = AtomicBool::new(false);

/// What a process knows of the helper of a lane.
#[derive(Debug, Default)]
pub(crate) struct Helper {
    /// The program that is started.
    pub(super) binary: Option<PathBuf>,
    next_look: Option<Instant>,
    started: Option<Instant>,
    tries: u32,
    /// The process that started the helper. It ends at once, and is collected with the next look.
    starter: Option<Child>,
    /// The helper that got the headers: the socket of which it is.
    delivered: Option<(u64, i64, i64)>,
    /// What is to be logged once nothing is locked: whoever reads the log may report something, too.
    pub(super) notices: Vec<Notice>,
}

/// A message for the log.
#[derive(Debug)]
pub(super) enum Notice {
    Warning(String),
    Detail(String),
}

impl Notice {
    pub(super) fn log(self) {
        match self {
            Self::Warning(text) => tracing::warn!(target: "contextcore", "{text}"),
            Self::Detail(text) => tracing::debug!(target: "contextcore", "{text}"),
        }
    }
}

impl Helper {
    /// Nothing is known yet but the program.
    pub(super) fn new(binary: Option<PathBuf>) -> Self {
        Self { binary, ..Self::default() }
    }

    /// Starts the helper if nobody drains the lane; looks at most once a second, or `now`. False when nobody can be started.
    pub(crate) fn look(&mut self, spool: &Spool, now: bool) -> bool {
        let moment = Instant::now();
        let may_hold_it_soon = self.started.is_some_and(|started| moment < started + START);
        if self.next_look.is_some_and(|next| moment < next) && (!now || may_hold_it_soon) {
            return true;
        }
        self.next_look = Some(moment + LOOK);
        self.starter.take_if(|starter| !matches!(starter.try_wait(), Ok(None)));
        if spool.lane.name() == NOWHERE {
            let state = spool.state.path().display();
            let text =
                "no OTLP endpoint is known, so what is reported stays in the spool; set OTEL_EXPORTER_OTLP_ENDPOINT,";
            self.once(&WITHOUT_ENDPOINT, format!("{text} or run `contextcore drain --state {state} --endpoint URL`"));
            return false;
        }
        match spool.lane.is_drained() {
            Ok(true) => {
                self.tries = 0;
                self.deliver(spool);
            }
            Ok(false) => {
                self.next_look = Some(moment + (LOOK * 2_u32.saturating_pow(self.tries)).min(BACKOFF));
                (self.started, self.tries) = (Some(moment), self.tries.saturating_add(1).min(10));
                self.starter = self.start(spool);
                return self.starter.is_some();
            }
            Err(error) => self.notices.push(Notice::Detail(format!("could not see whether a helper runs: {error}"))),
        }
        true
    }
}

impl Helper {
    /// Gives the helper the headers that its backend needs, once to each that listens.
    pub(super) fn deliver(&mut self, spool: &Spool) {
        let Some(target) = spool.target.as_ref().filter(|target| !target.headers.0.is_empty()) else { return };
        let listener = spool.lane.listener();
        if listener.is_none() || listener == self.delivered {
            return;
        }
        match spool.lane.deliver(&target.headers, ANSWER) {
            Ok(_) => self.delivered = listener,
            Err(error) => self.notices.push(Notice::Detail(format!("could not give the helper its headers: {error}"))),
        }
    }

    fn once(&mut self, seen: &AtomicBool, text: String) {
        if !seen.swap(true, Ordering::Relaxed) {
            self.notices.push(Notice::Warning(text));
        }
    }

    /// Starts a helper for all lanes. It leaves this process by itself: what is returned ends at once.
    fn start(&mut self, spool: &Spool) -> Option<Child> {
        let state = spool.state.path();
        let Some(program) = self.binary.as_deref() else {
            let text =
                "CONTEXTCORE_BIN does not name the binary of ContextCore, so what is reported stays in the spool;";
            self.once(&WITHOUT_BINARY, format!("{text} `contextcore drain --state {}` sends it", state.display()));
            return None;
        };
        match command(program, spool).spawn() {
            Ok(child) => Some(child),
            Err(error) => {
                let text = format!("the helper {} could not be started: {error};", program.display());
                self.once(&NOT_STARTED, format!("{text} `contextcore drain` sends what is in the spool"));
                None
            }
        }
    }
}

fn command(program: &Path, spool: &Spool) -> Command {
    // It works in another directory than this process.
    let mut command = Command::new(std::path::absolute(program).unwrap_or_else(|_| program.to_owned()));
    command.args(["drain", "--detach", "--state"]).arg(spool.state.path()).env_clear().envs(variables(spool));
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command
}

fn variables(spool: &Spool) -> BTreeMap<String, String> {
    let here = std::env::current_dir().unwrap_or_else(|_| "/".into());
    let known =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let kept = known.filter_map(|(name, value)| passed_on(&name, &value, &here).map(|value| (name, value)));
    let mut variables: BTreeMap<String, String> = kept.collect();
    // Those of the caller and of the environment together, so that the helper finds this lane by them.
    if let Some(target) = spool.target.as_ref().filter(|target| !target.headers.0.is_empty()) {
        variables.insert(HEADERS.to_owned(), as_variable(&target.headers));
    }
    variables
}

/// Headers as the environment of OpenTelemetry writes them.
fn as_variable(headers: &Headers) -> String {
    let pairs =
        headers.0.iter().map(|(name, value)| format!("{name}={}", contextcore_model::operation::percent_encode(value)));
    pairs.collect::<Vec<_>>().join(",")
}

/// Waits until the backend has accepted what this process wrote, for at most so long. An error is why it has not, where the helper
/// says so.
pub(crate) fn flush(spool: &Spool, timeout: Duration) -> Result<(), Option<String>> {
    let deadline = Instant::now() + timeout;
    let mut why = None;
    loop {
        if !spool.look(true) {
            return Err(why);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match ask_flush(spool, left) {
            Ok(answer) if answer["ok"] == true => return Ok(()),
            Ok(answer) => why = answer["error"].as_str().map(str::to_owned),
            Err(error) => tracing::debug!(target: "contextcore", %error, "the helper did not answer yet"),
        }
        if Instant::now() >= deadline {
            return Err(why);
        }
        std::thread::sleep(Duration::from_millis(20).min(deadline.saturating_duration_since(Instant::now())));
    }
}

fn ask_flush(spool: &Spool, left: Duration) -> io::Result<Value> {
    spool.deliver();
    let milliseconds = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    let request = json!({"v": 1, "cmd": "flush", "writers": spool.positions(), "timeout_ms": milliseconds});
    spool.lane.ask(&request, left + Duration::from_secs(1))
}

/// The name of this machine, for people.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
