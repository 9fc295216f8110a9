//! `contextcore drain`: sends what was reported on this machine. The SDK and `contextcore task` start it in the background; it
//! ends by itself, `--linger` after the last new operation.
//!
//! Each [`lane`] has a lock, a store and an engine of its own, so that what goes to one backend never reaches another. [`answer`]
//! is its socket, [`export`] sends, [`held`] asks whoever has a lane already, and [`mod@start`] begins a process in the background.
//! [`post`] is for machines that send to a `serve`.

mod acknowledged;
mod answer;
mod export;
mod held;
mod lane;
mod logs;
mod post;
mod posted;
mod quiet;
mod shared;
mod start;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use contextcore_core::config::{self, Privacy};
use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{Destination, Headers, LaneDir, Lock, StateDir, Target};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::lane::Draining;
use self::post::{Post, Shown};
use self::quiet::Quiet;
use self::shared::Trouble;
pub(crate) use self::start::{close_inherited, start};
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
        return start(state.path(), &passed_on(context, arguments)).map_err(failed).map(|()| Exit::Done);
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
        let (machine, mut lanes) = (machine_id(&state)?, JoinSet::new());
        let nowhere = held::nowhere(&state, arguments);
        let (known, left) = known(wanted(&state, arguments)?, arguments)?;
        let (taken, held) = taken(known, |(lane, _)| lane).await;
        for ((lane, to), lock) in taken {
            let (linger, machine, cancel) = (arguments.linger, machine.clone(), cancel.clone());
            lanes.spawn(Draining { to, lane, linger, privacy, machine, cancel }.run(lock));
        }
        let held = held::ask(held.into_iter().map(|(lane, _)| lane).collect(), arguments);
        let (held, ended) = tokio::join!(held, lanes.join_all());
        let ended = ended.into_iter().collect::<Result<Vec<Exit>, Failure>>()?;
        Ok(Exit::worst(ended.into_iter().chain([left, nowhere, held])))
    };
    let logged = async {
        if arguments.detached {
            start::keep_log_short(state.path()).await
        }
        std::future::pending().await
    };
    let work = async {
        tokio::select! {
            ended = work => ended,
            never = logged => never,
        }
    };
    stop::stoppable(&cancel, work).await?
}

/// Posts every lane to a `serve`.
async fn post_all(state: &StateDir, arguments: &args::Drain, post: &Post) -> Outcome {
    let cancel = CancellationToken::new();
    let work = async {
        let (lanes, held) = taken(wanted(state, arguments)?, |lane| lane).await;
        let (nudge, cancel) = (&Notify::new(), &cancel);
        let posting = lanes.iter().map(|(lane, _lock)| async move {
            let (posted, trouble) = (Mutex::default(), Trouble::default());
            let shown = Shown { nudge, posted: &posted, trouble: &trouble };
            post.run(lane, arguments.linger, cancel, shown, &mut Quiet::new()).await
        });
        let (held, exits) = tokio::join!(held::ask(held, arguments), futures::future::join_all(posting));
        let exits = exits.into_iter().collect::<Result<Vec<Exit>, Failure>>()?;
        Ok(Exit::worst(exits.into_iter().chain([held])))
    };
    stop::stoppable(&cancel, work).await?
}

/// The arguments for the process in the background, which works in another directory.
fn passed_on(context: &Context, arguments: &args::Drain) -> Vec<String> {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut all = vec![format!("--linger={}s", arguments.linger.as_secs())];
    all.extend(arguments.endpoint.iter().map(|endpoint| format!("--endpoint={endpoint}")));
    all.extend(arguments.to.iter().map(|to| format!("--to={to}")));
    all.extend(arguments.token_file.iter().map(|file| format!("--token-file={}", whole(file).display())));
    all.extend(context.global.config.iter().map(|file| format!("--config={}", whole(file).display())));
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

/// The lanes that were asked for.
fn wanted(state: &StateDir, arguments: &args::Drain) -> Result<Vec<LaneDir>, Failure> {
    let failed = |error| Failure::new(Exit::Internal, format!("read {}: {error}", state.path().display()));
    let mut wanted = state.lanes().map_err(failed)?;
    if let Some(unknown) = arguments.lane.iter().find(|name| wanted.iter().all(|lane| lane.name() != **name)) {
        return Err(Failure::usage(format!("there is no lane `{unknown}` in {}", state.path().display())));
    }
    wanted.retain(|lane| arguments.lane.is_empty() || arguments.lane.contains(&lane.name()));
    wanted.retain(|lane| lane.has_destination() || arguments.endpoint.is_some() || arguments.to.is_some());
    Ok(wanted)
}

/// A lane, where it goes, and the headers for it, if they are known.
type Known = (LaneDir, (Destination, Option<Headers>));

/// The lanes that this process can drain, and how it ends for those that it leaves. One that cannot be read keeps no other from being
/// drained, and one whose headers are not known here is left to a process that has them. Lanes that are named are taken or an error.
fn known(lanes: Vec<LaneDir>, arguments: &args::Drain) -> Result<(Vec<Known>, Exit), Failure> {
    let (mut known, mut exit) = (Vec::new(), Exit::Done);
    for lane in lanes {
        let is_named = arguments.lane.contains(&lane.name());
        // One that is being made has no spool yet.
        let has_lines = || held::has_lines(&lane);
        match destination(&lane, arguments) {
            Ok(to) if to.1.is_some() || is_named => known.push((lane, to)),
            Ok(_) if has_lines() => {
                tracing::warn!(
                    lane = lane.name(),
                    "the headers that its backend needs are not known here; it stays as it is"
                );
                exit = Exit::Backend;
            }
            Ok(_) => {}
            Err(failure) if is_named => return Err(failure),
            Err(failure) if has_lines() => tracing::warn!("{}; it stays as it is", failure.lines.join("; ")),
            Err(_) => {}
        }
    }
    Ok((known, exit))
}

/// Those that no other process drains, with their locks, and those that one does.
async fn taken<T>(wanted: Vec<T>, lane_of: impl Fn(&T) -> &LaneDir) -> (Vec<(T, Lock)>, Vec<T>) {
    let (begun, mut taken, mut held) = (Instant::now(), Vec::new(), Vec::new());
    for one in wanted {
        let lane = lane_of(&one);
        let lock = loop {
            match lane.lock() {
                Ok(Some(lock)) => break Some(lock),
                Ok(None) if begun.elapsed() < LOCK_PATIENCE => tokio::time::sleep(LOCK_RETRY).await,
                Ok(None) => {
                    tracing::debug!(lane = lane.name(), "another process drains this lane");
                    break None;
                }
                Err(error) => {
                    tracing::warn!(lane = lane.name(), %error, "could not lock it; it stays as it is");
                    break None;
                }
            }
        };
        match lock {
            Some(lock) => taken.push((one, lock)),
            None => held.push(one),
        }
    }
    (taken, held)
}

/// Where a lane goes, and the headers for it, if they are known.
fn destination(lane: &LaneDir, arguments: &args::Drain) -> Result<(Destination, Option<Headers>), Failure> {
    if let Some(endpoint) = &arguments.endpoint {
        let Target { to, headers, .. } = lanes::target(endpoint)?;
        return Ok((to, Some(headers)));
    }
    let unknown = || Failure::new(Exit::Internal, format!("lane {} does not say where it goes", lane.name()));
    let failed = |error| Failure::new(Exit::Internal, format!("read where lane {} goes: {error}", lane.name()));
    let to = lane.destination().map_err(failed)?.ok_or_else(unknown)?;
    let headers = lanes::headers().into_iter().find(|headers| to.lane(headers) == lane.name());
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
