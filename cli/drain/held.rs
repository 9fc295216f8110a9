//! What this process does not drain itself: lanes that another one has, which is asked how far it is, and lines that go nowhere.
//!
//! A helper in the background says nothing of it: there it is the usual case.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use contextcore_core::model::operation::Envelope;
use contextcore_spool::destination::NOWHERE;
use contextcore_spool::{Cursor, LaneDir, Reader, StateDir};
use serde_json::{Value, json};

use crate::args;
use crate::failure::Exit;

/// How long whoever has a lane may take to send what is in it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// Lines read at once.
const LINES: usize = 10_000;

/// Whether there is something to send in a lane. One that is being made has no spool yet.
pub(super) fn has_lines(lane: &LaneDir) -> bool {
    lane.spool().exists() && Reader::new(vec![lane.spool()], 1).has_work(&Cursor::new()).unwrap_or(true)
}

/// Warns of lines for which nobody has named a backend.
pub(super) fn nowhere(state: &StateDir, arguments: &args::Drain) -> Exit {
    let lane = state.lane(NOWHERE);
    let is_asked = arguments.lane.is_empty() || arguments.lane.contains(&lane.name());
    if arguments.detached || arguments.endpoint.is_some() || !is_asked || !has_lines(&lane) {
        return Exit::Done;
    }
    tracing::warn!(
        lane = NOWHERE,
        "what was reported before a backend was known goes nowhere; send it with --lane {NOWHERE} --endpoint URL"
    );
    Exit::Backend
}

/// Asks those that have these lanes how far they are, and waits for them if this process was to end once everything is sent.
pub(super) async fn ask(lanes: Vec<LaneDir>, arguments: &args::Drain) -> Exit {
    if arguments.detached {
        return Exit::Done;
    }
    let waits = arguments.linger.is_zero();
    let asked = lanes.into_iter().map(|lane| tokio::task::spawn_blocking(move || ask_one(&lane, waits)));
    let exits = futures::future::join_all(asked).await;
    Exit::worst(exits.into_iter().map(|exit| exit.unwrap_or(Exit::Internal)))
}

fn ask_one(lane: &LaneDir, waits: bool) -> Exit {
    let name = lane.name();
    let Ok(ping) = lane.ask(&json!({"v": 1, "cmd": "ping"}), ANSWER) else {
        let who = "another process, such as a `serve` or `sync` with a source of kind sdk,";
        if has_lines(lane) {
            tracing::warn!(lane = name, "{who} has this lane, and lines are left in it: how far it is, `status` says");
            return Exit::Backend;
        }
        tracing::info!(lane = name, "{who} has this lane, and no lines are left in it");
        return Exit::Done;
    };
    let who = format!("the helper with process id {}", ping["pid"]);
    if !waits {
        tracing::warn!(lane = name, "{who} drains this lane");
        return Exit::Done;
    }
    match flush(lane) {
        Ok(answer) if answer["ok"] == true => {
            tracing::info!(lane = name, "{who} has sent everything");
            Exit::Done
        }
        // It has ended meanwhile, and with it what it had to send.
        _ if !has_lines(lane) && matches!(lane.is_drained(), Ok(false)) => Exit::Done,
        Ok(answer) => {
            let why = answer["error"].as_str().unwrap_or("it did not say why");
            tracing::warn!(lane = name, "{who} drains this lane, and has not sent everything: {why}");
            Exit::Backend
        }
        Err(error) => {
            tracing::warn!(lane = name, %error, "{who} drains this lane, and does not say whether everything is sent");
            Exit::Backend
        }
    }
}

/// Asks a helper to send everything that is in the lane now.
fn flush(lane: &LaneDir) -> io::Result<Value> {
    let milliseconds = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let request = json!({"v": 1, "cmd": "flush", "writers": writers(lane)?, "timeout_ms": milliseconds});
    lane.ask(&request, PATIENCE + ANSWER)
}

/// The writers in a lane, with the number of the last line of each.
fn writers(lane: &LaneDir) -> io::Result<BTreeMap<String, u64>> {
    let reader = Reader::new(vec![lane.spool()], LINES);
    let (mut writers, mut cursor) = (BTreeMap::<String, u64>::new(), Cursor::new());
    loop {
        let chunk = reader.read(&cursor)?;
        for line in &chunk.lines {
            let seq = Envelope::read(&line.text).map_or(0, |envelope| envelope.seq);
            let known = writers.entry(line.file.clone()).or_default();
            *known = seq.max(*known);
        }
        cursor = chunk.cursor;
        if !chunk.more {
            return Ok(writers);
        }
    }
}
