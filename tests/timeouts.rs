//! The two timeouts that take real time, side by side: of a tool that never answers, and before spans are sent again that a
//! backend may have stored.

use std::time::Duration;

use contextcore_fakes::faults::{self, When};
use contextcore_fakes::otlp::{Fault, Signal};

use crate::rig::{LIMIT, Tool};

/// The time limit of a request to the tool.
const ANSWER: Duration = Duration::from_secs(30);
/// Tempo stores a span twice when it comes twice within half a minute.
const AMBIGUOUS: Duration = Duration::from_secs(35);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_answer_is_retried_and_spans_that_may_be_stored_are_delayed() {
    let (tool, silent) = (Tool::sample().await, Tool::sample().await);
    let (clean, delayed, retried) = (tool.home().await, tool.home().await, silent.home().await);
    delayed.collector.script_for(Signal::Traces, [Fault::StoreThenDrop]);
    silent.jira.faults().on("POST */bulkfetch", When::Nth(1), faults::Fault::Timeout(10 * ANSWER));
    let (sending, reading) = (delayed.spawn(&["sync"]), retried.spawn(&["sync"]));
    clean.sync();
    let truth = clean.outcome();

    let ran = reading.wait(LIMIT + LIMIT).expect(0);
    assert!(ran.took >= ANSWER, "{:?}", ran.took);
    retried.outcome().assert_same(&truth);

    let ran = sending.wait(LIMIT + LIMIT).expect(0);
    assert!(ran.took >= AMBIGUOUS, "{:?}", ran.took);
    let traces: Vec<_> =
        delayed.collector.requests().into_iter().filter(|seen| seen.signal == Signal::Traces).collect();
    assert_eq!(traces[0].items, traces[1].items);
    assert!(traces[1].at - traces[0].at >= AMBIGUOUS);
    delayed.outcome().assert_same(&truth);
}
