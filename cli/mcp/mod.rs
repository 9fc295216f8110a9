//! `contextcore mcp`: answers an agent over the Model Context Protocol on stdin and stdout.
//!
//! The protocol and the tools are in the crate `contextcore-mcp`. Here is what it reads and writes: [`reads`] asks the queries of
//! the other commands, of the store or of the process that holds it; [`spool`] writes down what is reported; [`history`] knows which
//! tasks the commits to a path name.

mod given;
mod history;
pub(crate) mod memory;
mod prometheus;
pub(crate) mod reads;
pub(crate) mod spool;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use contextcore_core::config::{self, Config};
use contextcore_core::export::calls::{Call, Calls};
use contextcore_core::model::operation::Operation;
use contextcore_core::repository::Repository;
use contextcore_core::store::Copies;
use contextcore_core::{Error, ErrorKind, Millis, clock};
use contextcore_mcp::{Backend, Caller, Options, Reads, Server, Written};
use contextcore_spool::StateDir;
use rmcp::ServiceExt;
use rmcp::transport::io::stdio_pipes;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use self::given::Given;
use self::reads::Stores;
use self::spool::Spool;
use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::{lanes, person, project, stop};

pub(crate) async fn run(context: &Context, arguments: &args::Mcp) -> Outcome {
    let state = lanes::state_dir(arguments.state.as_deref())?;
    let config = named_config(context)?;
    let calls = Arc::new(Calls::new("pipe", rand::random(), clock::now()));
    let backend = Local {
        config: config.clone(),
        spool: Spool::new(state.clone(), arguments.endpoint.clone(), arguments.protocol.clone()).of_agent(),
        state,
        copies: Copies::default(),
        given: Given::default(),
        calls: Arc::clone(&calls),
        runtime: Handle::current(),
    };
    let backend = Arc::new(backend);
    let options = Options { read_only: arguments.read_only, tools: arguments.tools.clone() };
    let server = Server::new(Arc::clone(&backend) as _, caller(arguments)?, options).map_err(Failure::usage)?;
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Internal, format!("speak with the client: {error}"));
    let serving = async {
        let running = match server.serve(stdio_pipes()).await {
            Ok(running) => running,
            // A client that leaves before it has said anything is no failure.
            Err(rmcp::service::ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(failed(&error)),
        };
        running.waiting().await.map(drop).map_err(|error| failed(&error))
    };
    let mut sending = JoinSet::new();
    sending.spawn(send(Arc::clone(&calls), config.clone()));
    sending.spawn(keep(Arc::clone(&backend)));
    let ended = stop::interruptible(serving).await;
    sending.shutdown().await;
    flush(&calls, config.as_deref()).await;
    store_given(&backend).await;
    match ended {
        Ok(ended) => ended?,
        // Stopping is how a server ends.
        Err(_) if stop::requested().is_some() => {}
        Err(failure) => return Err(failure),
    }
    Ok(Exit::Done)
}

/// How often what was called is sent.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the end of this process waits for that.
const AT_END: Duration = Duration::from_secs(1);

async fn send(calls: Arc<Calls>, config: Option<PathBuf>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        flush_to(&calls, config.as_deref()).await;
    }
}

/// Stores every few seconds what was given to whom.
async fn keep(backend: Arc<Local>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        store_given(&backend).await;
    }
}

async fn store_given(backend: &Arc<Local>) {
    let backend = Arc::clone(backend);
    drop(tokio::task::spawn_blocking(move || backend.store_given()).await);
}

async fn flush(calls: &Calls, config: Option<&Path>) {
    // A backend that is not there keeps nobody waiting.
    drop(tokio::time::timeout(AT_END, flush_to(calls, config)).await);
}

/// Sends what was called to where the configuration sends everything else.
async fn flush_to(calls: &Calls, config: Option<&Path>) {
    if let Some(config) = config.and_then(|path| config::load_alone(path, &app::kinds()).ok()) {
        calls.flush(&config, clock::now()).await;
    }
}

/// Where the configuration is, if there is one. One that is named must be there.
fn named_config(context: &Context) -> Result<Option<PathBuf>, Failure> {
    let path = match config::locate(context.global.config.as_deref()) {
        Ok(path) => std::path::absolute(path)?,
        Err(_) => return Ok(None),
    };
    config::load_alone(&path, &app::kinds())?;
    Ok(Some(path))
}

/// Who is served. Whoever starts this program says so, not the client.
fn caller(arguments: &args::Mcp) -> Result<Caller, Failure> {
    let variable =
        |name: &str| lanes::variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let project = project::named(arguments.project.as_deref())?.map(|project| project.name);
    Ok(Caller {
        agent: arguments.agent.clone().or_else(|| variable("CONTEXTCORE_AGENT")).unwrap_or_default(),
        on_behalf_of: Some(arguments.on_behalf_of.clone().unwrap_or_else(person::name)),
        project,
        projects: None,
        write: true,
        is_local: true,
        claimed: None,
    })
}

/// What this machine knows.
struct Local {
    /// The configuration, read again for each call: projects and guidance change while a client runs.
    config: Option<PathBuf>,
    state: StateDir,
    spool: Spool,
    /// The stores that nobody holds, read before.
    copies: Copies,
    given: Given,
    calls: Arc<Calls>,
    runtime: Handle,
}

impl Local {
    fn config(&self) -> Result<Option<Config>, Error> {
        let Some(path) = &self.config else { return Ok(None) };
        let loaded = config::load(path, &app::kinds()).or_else(|_| config::load_alone(path, &app::kinds()));
        let failed = |errors: config::ConfigErrors| {
            let problems = errors.lines().collect::<Vec<_>>().join("; ");
            Error::new(ErrorKind::Config, format!("read the configuration: {problems}"))
        };
        loaded.map(Some).map_err(failed)
    }

    /// Stores what was given to whom since the last time.
    fn store_given(&self) {
        if !self.given.is_empty() {
            let config = self.config().unwrap_or_default();
            self.runtime.block_on(self.given.store(config.as_ref(), &self.state, &self.copies));
        }
    }
}

impl Backend for Local {
    fn open(&self) -> Result<Box<dyn Reads + '_>, Error> {
        let stores = self.runtime.block_on(Stores::open(self.config()?, &self.state, &self.copies))?;
        let repository = std::env::current_dir().ok().and_then(|here| Repository::around(&here));
        Ok(Box::new(stores.on(&self.runtime, repository)))
    }

    fn write(&self, project: &str, operation: Operation, by: &str) -> Result<Written, Error> {
        self.store_given();
        self.spool.write(self.config()?.as_ref(), &self.runtime, project, operation, by)
    }

    fn tasks_near(&self, paths: &[String]) -> Option<Vec<String>> {
        history::tasks(&Repository::around(&std::env::current_dir().ok()?)?, paths)
    }

    fn remember(&self, agent: &str, change: &mut dyn FnMut(Option<String>) -> String) -> Result<(), Error> {
        memory::change(self.state.path(), agent, change)
    }

    fn called(&self, call: Call) {
        self.calls.add(call);
    }

    fn served(&self, ids: Vec<String>, agent: &str) {
        self.given.add(ids, agent);
    }

    fn now(&self) -> Millis {
        clock::now()
    }
}

/// The same failure as an error, for what reports errors.
fn error_of(failure: Failure) -> Error {
    let kind = if failure.exit == Exit::Usage { ErrorKind::Config } else { ErrorKind::Store };
    Error::new(kind, failure.lines.join("; "))
}
