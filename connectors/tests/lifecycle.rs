//! What a connector keeps from one run to the next, and what it reads again: one connector, many polls, as in `serve`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail at once")]

mod common;

use common::{Rig, Tool};
use contextcore_core::ErrorKind;
use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::github::{self, Github, Token};
use contextcore_fakes::jira::{self, Jira};
use contextcore_fakes::world::World;

/// 2026-11-18.
const NOW: i64 = 1_795_000_000_000;
const MINUTE: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_works_without_a_restart() {
    let options = github::Options { clock: Clock::fixed(NOW), ..github::Options::dot_com() };
    let github = Github::start(World::demo(NOW, 1, 7), options).await.unwrap();
    let rig = Rig::github(&github).await;
    assert!(rig.sync(NOW).await.0.error.is_none());
    github.set_tokens(vec![Token::classic("ghp_the_next_one")]);
    let refused = rig.sync(NOW + MINUTE).await.0.error.unwrap();
    assert_eq!(refused.kind(), ErrorKind::Auth, "{}", refused.full());
    rig.rotate_token("ghp_the_next_one");
    let report = rig.sync(NOW + 2 * MINUTE).await.0;
    assert!(report.error.is_none(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_is_an_error_of_the_run_and_the_next_run_reads_it() {
    let tool = Tool::start("linear", World::demo(NOW, 1, 7), Clock::fixed(NOW)).await;
    let rig = tool.rig().await;
    rig.rotate_token("");
    let report = rig.sync(NOW).await.0;
    assert_eq!(report.error.map(|error| error.kind()), Some(ErrorKind::Config));
    assert_eq!(report.requests, 0, "nothing is sent without a token");
    let status = rig.store.source_status("acme-linear").unwrap();
    assert_eq!((status.failures, status.last_attempt.is_some()), (1, true));
    rig.rotate_token(contextcore_fakes::linear::Linear::KEY);
    assert!(rig.sync(NOW + MINUTE).await.0.error.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_holds_over_the_end_of_a_run() {
    let options = jira::Options { clock: Clock::fixed(NOW), ..jira::Options::cloud() };
    let jira = Jira::start(World::demo(NOW, 1, 7), options).await.unwrap();
    let rig = Rig::new(&jira).await;
    assert!(rig.sync(NOW).await.0.error.is_none());
    jira.faults().on("*", When::Nth(1), Fault::rate_limited(Some(3_600)));
    let limited = rig.sync(NOW + MINUTE).await.0.error.unwrap();
    assert_eq!(limited.kind(), ErrorKind::RateLimited, "{}", limited.full());
    jira.take_requests();
    let report = rig.sync(NOW + 2 * MINUTE).await.0;
    assert_eq!(report.error.map(|error| error.kind()), Some(ErrorKind::RateLimited));
    assert_eq!(jira.take_requests().len(), 0, "the tool asked to be left alone for an hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_data_is_fetched_once_for_many_runs() {
    for kind in Tool::KINDS {
        let tool = Tool::start(kind, World::demo(NOW, 1, 7), Clock::fixed(NOW)).await;
        let rig = tool.rig().await;
        let first = rig.sync(NOW).await.0;
        let later = rig.sync(NOW + MINUTE).await.0;
        assert!(first.error.is_none() && later.error.is_none(), "{first:?} {later:?}");
        assert!(later.requests * 2 <= first.requests, "{kind}: {} after {}", later.requests, first.requests);
    }
}
