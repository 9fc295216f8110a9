//! What agents report: a line in the spool of a lane, as `contextcore task` writes it, by one writer for each project as long as the
//! client runs. The process that takes lines in is started or nudged, and asked whether it has them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use contextcore_core::config::Config;
use contextcore_core::export::otlp::Signal;
use contextcore_core::http::local::Local;
use contextcore_core::model::operation::Operation;
use contextcore_core::{Error, ErrorKind, clock, lock};
use contextcore_mcp::Written;
use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{Appended, LaneDir, Resource, StateDir, Writer};
use serde_json::json;
use tokio::runtime::Handle;

use super::error_of;
use crate::host::PollRequest;
use crate::{drain, lanes, socket};

/// How long a call waits until what it wrote can be read.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How long a helper is asked at once. It looks for itself whether lines have come, and answers when they have.
const ASK: Duration = Duration::from_millis(250);
/// How long until somebody who was nudged is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// The writers of this process.
pub(crate) struct Spool {
    state: StateDir,
    endpoint: Option<String>,
    protocol: Option<String>,
    /// What this process says of itself, where it is the agent's.
    resource: Resource,
    writers: Mutex<BTreeMap<String, (LaneDir, Writer)>>,
}

impl Spool {
    pub(crate) fn new(state: StateDir, endpoint: Option<String>, protocol: Option<String>) -> Self {
        Self { state, endpoint, protocol, resource: Resource::new(), writers: Mutex::default() }
    }

    /// The same in a process of the agent: what it says of itself in the environment is said of what it reports.
    pub(super) fn of_agent(mut self) -> Self {
        self.resource = contextcore_spool::resource(lanes::variable);
        self
    }

    /// Writes an operation, and waits a moment until it was taken in.
    pub(super) fn write(
        &self,
        config: Option<&Config>,
        runtime: &Handle,
        project: &str,
        operation: Operation,
        by: &str,
    ) -> Result<Written, Error> {
        let (lane, writer, seq) = self.append(|| self.lane(config, project), project, operation, by)?;
        let is_visible = match config.and_then(sdk_source) {
            Some(source) => config.is_some_and(|config| nudge(config, runtime, source)),
            None => self.is_taken(&lane, &writer, seq),
        };
        Ok(Written { is_visible })
    }

    fn append(
        &self,
        lane: impl FnOnce() -> Result<LaneDir, Error>,
        project: &str,
        operation: Operation,
        by: &str,
    ) -> Result<(LaneDir, String, u64), Error> {
        let mut writers = lock(&self.writers);
        if !writers.contains_key(project) {
            let lane = lane()?;
            let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            let writer = Writer::new(&lane, project, "mcp", host.trim()).with_resource(self.resource.clone());
            writers.insert(project.to_owned(), (lane, writer));
        }
        let failed =
            |lane: &LaneDir| Error::new(ErrorKind::Store, format!("write to the spool {}", lane.spool().display()));
        let Some((lane, writer)) = writers.get_mut(project) else {
            return Err(Error::new(ErrorKind::Internal, "find the writer of a project"));
        };
        let actor = Some(by.to_owned()).filter(|by| !by.is_empty());
        let evidence = operation.evidence_of(by);
        let mut appended = writer.append(clock::now(), None, operation, actor.clone());
        if let (Ok(Appended::Written(_)), Some(evidence)) = (&appended, evidence) {
            match writer.append(clock::now(), None, evidence, actor) {
                // It is the last line that the caller waits for.
                Ok(Appended::Written(seq)) => appended = Ok(Appended::Written(seq)),
                // That it was an agent is worth less than what it reports.
                Ok(Appended::Dropped) => {
                    tracing::warn!("the spool is full, so that it does not say that an agent reported this")
                }
                Err(error) => tracing::warn!(%error, "could not write that an agent reported this"),
            }
        }
        match appended
            .and_then(|appended| writer.sync().map(|()| appended))
            .map_err(|error| failed(lane).caused_by(error))?
        {
            Appended::Written(seq) => Ok((lane.clone(), writer.id().to_owned(), seq)),
            Appended::Dropped => Err(Error::new(
                ErrorKind::Store,
                format!("the spool {} is full, so that nothing was written", lane.spool().display()),
            )),
        }
    }

    /// Writes an operation where this process takes lines in itself.
    pub(crate) fn append_unsent(&self, project: &str, operation: Operation, by: &str) -> Result<(String, u64), Error> {
        let failed = |error: std::io::Error| Error::new(ErrorKind::Store, "make a lane of the spool").caused_by(error);
        let lane = || self.state.lane_to(None).map_err(failed);
        self.append(lane, project, operation, by).map(|(_, writer, seq)| (writer, seq))
    }

    /// The lane that a project's work goes to. Where nothing else names a backend, the configuration does.
    fn lane(&self, config: Option<&Config>, project: &str) -> Result<LaneDir, Error> {
        let is_set = |name: &str| lanes::variable(name).is_some();
        let is_known = self.endpoint.is_some()
            || is_set("OTEL_EXPORTER_OTLP_ENDPOINT")
            || is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let target = config.and_then(|config| config.export.otlp.targets.get(&Signal::Traces)).filter(|_| !is_known);
        let endpoint = self.endpoint.clone().or_else(|| target.map(|target| target.url.clone()));
        lanes::lane(&self.state, project, endpoint.as_deref(), self.protocol.as_deref()).map_err(error_of)
    }

    /// Starts the helper, unless one drains the lane already, and asks it until it has the line.
    fn is_taken(&self, lane: &LaneDir, writer: &str, seq: u64) -> bool {
        if lane.name() == NOWHERE || lanes::variable("CONTEXTCORE_DRAIN").is_some_and(|value| value == "off") {
            return false;
        }
        let started = lane.is_drained().and_then(|is| match is {
            true => {
                lanes::deliver(lane);
                Ok(())
            }
            false => drain::start(self.state.path(), &[]),
        });
        if let Err(error) = started {
            tracing::warn!(%error, "could not start `contextcore drain`; what was reported is in the spool");
            return false;
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if has_taken(lane, writer, seq).unwrap_or(false) {
                return true;
            }
            std::thread::sleep(PAUSE);
        }
        false
    }
}

/// The name of the source that reads the spool, if the configuration has one.
fn sdk_source(config: &Config) -> Option<&str> {
    config.sources.iter().find(|source| source.kind == "sdk").map(|source| source.name.as_str())
}

/// Asks a running `serve` to read the spool now. What it stores can be read soon after.
fn nudge(config: &Config, runtime: &Handle, source: &str) -> bool {
    let Some(local) = config.store.path().and_then(|path| Local::new(&socket::path(path)).ok()) else { return false };
    let request = PollRequest { sources: vec![source.to_owned()] };
    let asked = runtime.block_on(local.post::<PollRequest>("/v1/poll", &request));
    if asked.is_ok() {
        std::thread::sleep(ASK);
    }
    asked.is_ok()
}

/// Whether the helper of a lane has stored a line.
fn has_taken(lane: &LaneDir, writer: &str, seq: u64) -> std::io::Result<bool> {
    let millis = u64::try_from(ASK.as_millis()).unwrap_or(u64::MAX);
    let request = json!({"cmd": "flush", "writers": {writer: seq}, "timeout_ms": millis});
    let answer = lane.ask(&request, PATIENCE)?;
    let taken = answer["taken"][writer].as_u64().is_some_and(|taken| taken >= seq);
    Ok(answer["ok"] == true || taken)
}
