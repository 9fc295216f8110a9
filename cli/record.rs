//! Records what is reported: one line an operation in the spool of a lane, and the helper that sends it is started.

use contextcore_core::clock;
use contextcore_core::model::operation::Operation;
use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{Appended, LaneDir, StateDir, Writer};

use crate::args::Place;
use crate::failure::{Exit, Failure};
use crate::project::Project;
use crate::{app, drain, lanes};

/// What was recorded, and where.
pub(crate) struct Recorded {
    pub(crate) lane: LaneDir,
    pub(crate) writer: String,
    /// The number of the last operation.
    pub(crate) seq: u64,
}

/// An operation, and who did it by display name.
pub(crate) type Done = (Operation, Option<String>);

/// Writes operations of a project, and starts the helper that sends them.
pub(crate) fn record(
    state: &StateDir,
    project: &Project,
    place: &Place,
    operations: Vec<Done>,
) -> Result<Recorded, Failure> {
    let recorded = record_quietly(state, project, place, operations)?;
    if recorded.lane.name() == NOWHERE {
        let path = state.path();
        let text = "no OTLP endpoint is known, so this waits in the spool, for a `sync` or `serve` with a source of kind `sdk`";
        tracing::warn!("{text}, or for `contextcore drain --state {} --endpoint URL --linger 0s`", path.display());
    }
    Ok(recorded)
}

/// The same without a word about what waits: a hook would say it at every commit.
pub(crate) fn record_quietly(
    state: &StateDir,
    project: &Project,
    place: &Place,
    operations: Vec<Done>,
) -> Result<Recorded, Failure> {
    app::warn_of_flags([("--endpoint", place.endpoint.as_ref())]);
    let lane = lanes::lane(state, &project.name, place.endpoint.as_deref(), place.protocol.as_deref())?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut writer = Writer::new(&lane, &project.name, "shell", host.trim())
        .with_resource(contextcore_spool::resource(lanes::variable));
    let mut seq = 0;
    for (operation, actor) in operations {
        seq = append(&mut writer, &lane, place, operation, actor)?;
    }
    let writer = writer.id().to_owned();
    send(state, &lane, place.no_drain);
    Ok(Recorded { lane, writer, seq })
}

fn append(
    writer: &mut Writer,
    lane: &LaneDir,
    place: &Place,
    operation: Operation,
    actor: Option<String>,
) -> Result<u64, Failure> {
    let spool = lane.spool();
    let failed = |error| Failure::new(Exit::Internal, format!("write to the spool {}: {error}", spool.display()));
    // Who starts a process inside a span says so in this variable; what is no such value leads nowhere.
    let parent = lanes::variable("TRACEPARENT").filter(|text| text.len() < 100);
    match writer.append_from(clock::now(), place.at, operation, actor, parent).map_err(failed)? {
        Appended::Written(seq) => Ok(seq),
        Appended::Dropped => {
            let text = format!("the spool {} is full, so that nothing was written", spool.display());
            Err(Failure::new(Exit::Internal, text))
        }
    }
}

/// Starts the helper, unless one drains the lane already. What it cannot do now, the next call may.
fn send(state: &StateDir, lane: &LaneDir, no_drain: bool) {
    if lane.name() == NOWHERE || no_drain || lanes::variable("CONTEXTCORE_DRAIN").is_some_and(|value| value == "off") {
        return;
    }
    let started = match lane.is_drained() {
        Ok(true) => {
            lanes::deliver(lane);
            Ok(())
        }
        Ok(false) => drain::start(state.path(), &[]),
        Err(error) => Err(error),
    };
    if let Err(error) = started {
        tracing::warn!(%error, "could not start `contextcore drain`; what was reported is in the spool");
    }
}
