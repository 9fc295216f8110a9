//! `contextcore drain`: sends what was reported on this machine. The SDK and `contextcore task` start it in the background; it
//! ends by itself, `--linger` after the last new operation.
//!
//! Each [`lane`] has a lock, a store and an engine of its own, so that what goes to one backend never reaches another. [`answer`]
//! is its socket, [`export`] sends, and [`mod@start`] begins a process in the background. [`post`] is for machines that send to a `serve`.

mod answer;
mod export;
mod lane;
mod post;
mod shared;
mod start;

use std::sync::Mutex;
use std::time::Duration;

use contextcore_core::config::{self, Privacy};
use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{Destination, Headers, LaneDir, Lock, StateDir};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::lane::Draining;
use self::post::Post;
pub(crate) use self::start::start;
use crate::app::{self, Context};
use crate::args;
use crate::failure::{Exit, Failure, Outcome};
use crate::{lanes, stop};

/// How long a lane that another process holds is waited for: one that only looks whether it is held has it for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(50);

pub(crate) async fn run(context: &Context, arguments: &args::Drain) -> Outcome {
    let state = lanes::state_dir(arguments.state.as_deref())?;
    if arguments.detach {
        let failed = |error| Failure::new(Exit::Internal, format!("start `contextcore drain`: {error}"));
        return start(state.path(), &passed_on(arguments)).map_err(failed).map(|()| Exit::Done);
    }
    if arguments.detached {
        start::leave_session();
    }
    app::warn_of_flags([("--to", arguments.to.as_ref()), ("--endpoint", arguments.endpoint.as_ref())]);
    if let (Some(to), Some(token_file)) = (&arguments.to, &arguments.token_file) {
        return post_all(&state, arguments, &Post::new(to, token_file)?).await;
    }
    let privacy = privacy(context)?;
    let cancel = CancellationToken::new();
    let work = async {
        let mut lanes = JoinSet::new();
        for (lane, lock) in taken(&state, arguments).await? {
            let draining = Draining {
                to: destination(&lane, arguments)?,
                lane,
                linger: arguments.linger,
                privacy,
                machine: machine_id(&state)?,
                cancel: cancel.clone(),
            };
            lanes.spawn(draining.run(lock));
        }
        let ended = lanes.join_all().await.into_iter().collect::<Result<Vec<Exit>, Failure>>()?;
        Ok(Exit::worst(ended))
    };
    stop::stoppable(&cancel, work).await?
}

/// Posts every lane to a `serve`.
async fn post_all(state: &StateDir, arguments: &args::Drain, post: &Post) -> Outcome {
    let cancel = CancellationToken::new();
    let work = async {
        let lanes = taken(state, arguments).await?;
        let (nudge, posted) = (Notify::new(), Mutex::default());
        let posting = lanes.iter().map(|(lane, _lock)| post.run(lane, arguments.linger, &cancel, (&nudge, &posted)));
        let exits = futures::future::join_all(posting).await.into_iter().collect::<Result<Vec<Exit>, Failure>>()?;
        Ok(Exit::worst(exits))
    };
    stop::stoppable(&cancel, work).await?
}

/// The arguments for the process in the background.
fn passed_on(arguments: &args::Drain) -> Vec<String> {
    let mut all = vec![format!("--linger={}s", arguments.linger.as_secs())];
    all.extend(arguments.endpoint.iter().map(|endpoint| format!("--endpoint={endpoint}")));
    all.extend(arguments.to.iter().map(|to| format!("--to={to}")));
    all.extend(arguments.token_file.iter().map(|file| format!("--token-file={}", file.display())));
    all.extend(arguments.lane.iter().map(|lane| format!("--lane={lane}")));
    all
}

/// What may leave: as the configuration says, if one is named. The helper needs none.
fn privacy(context: &Context) -> Result<Privacy, Failure> {
    let named = context.global.config.is_some() || lanes::variable("CONTEXTCORE_CONFIG").is_some();
    if !named {
        return Ok(Privacy::default());
    }
    let path = config::locate(context.global.config.as_deref())?;
    Ok(config::load(&path, &app::kinds())?.privacy)
}

/// The lanes to drain that no other process drains, with their locks.
async fn taken(state: &StateDir, arguments: &args::Drain) -> Result<Vec<(LaneDir, Lock)>, Failure> {
    let failed = |error| Failure::new(Exit::Internal, format!("read {}: {error}", state.path().display()));
    let mut wanted = state.lanes().map_err(failed)?;
    if let Some(unknown) = arguments.lane.iter().find(|name| wanted.iter().all(|lane| lane.name() != **name)) {
        return Err(Failure::usage(format!("there is no lane `{unknown}` in {}", state.path().display())));
    }
    wanted.retain(|lane| arguments.lane.is_empty() || arguments.lane.contains(&lane.name()));
    wanted.retain(|lane| lane.has_destination() || arguments.endpoint.is_some() || arguments.to.is_some());
    let (begun, mut taken) = (Instant::now(), Vec::new());
    for lane in wanted {
        loop {
            if let Some(lock) = lane.lock().map_err(failed)? {
                taken.push((lane, lock));
                break;
            }
            if begun.elapsed() >= LOCK_PATIENCE {
                tracing::debug!(lane = lane.name(), "another process drains this lane");
                break;
            }
            tokio::time::sleep(LOCK_RETRY).await;
        }
    }
    Ok(taken)
}

/// Where a lane goes, and the headers for it, if they are known.
fn destination(lane: &LaneDir, arguments: &args::Drain) -> Result<(Destination, Option<Headers>), Failure> {
    let headers = lanes::headers();
    if let Some(endpoint) = &arguments.endpoint {
        return Ok((lanes::destination(endpoint, None, &headers)?, Some(headers)));
    }
    let unknown = || Failure::new(Exit::Internal, format!("lane {} does not say where it goes", lane.name()));
    let failed = |error| Failure::new(Exit::Internal, format!("read lane {}: {error}", lane.name()));
    let to = lane.destination().map_err(failed)?.ok_or_else(unknown)?;
    let headers = [Headers::default(), headers].into_iter().find(|headers| to.lane(headers) == lane.name());
    Ok((to, headers))
}

/// The name of this machine in ids: random, so that no two are the same.
fn machine_id(state: &StateDir) -> Result<String, Failure> {
    let path = state.path().join("machine-id");
    let failed = |error| Failure::new(Exit::Internal, format!("write {}: {error}", path.display()));
    let read = || std::fs::read_to_string(&path).map(|text| text.trim().to_owned()).ok().filter(|id| !id.is_empty());
    if let Some(id) = read() {
        return Ok(id);
    }
    let draft = tempfile::NamedTempFile::new_in(state.path()).map_err(failed)?;
    let id = contextcore_spool::Writer::new(&state.lane(NOWHERE), "", "", "").id()[..12].to_owned();
    std::fs::write(draft.path(), &id).map_err(failed)?;
    // Another process may have been faster: the name stays.
    match draft.persist_noclobber(&path) {
        Ok(_) => Ok(id),
        Err(error) => read().ok_or_else(|| failed(error.error)),
    }
}
