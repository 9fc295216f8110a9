//! The loop of the controller: watches run, passes start when they are due, and the Lease says who writes.

use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use kube::Client;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use super::http::{self, Probes};
use super::lease::{self, Election};
use super::look;
use super::means::Passes;
use super::metrics::Metrics;
use super::options::Options;
use super::outside::Outside;
use super::schedule::{Facts, Pass, Schedule};
use super::shared::ROLL;
use super::trouble;
use super::watch::{self, SharedWorld, Watches};
use crate::settings::Settings;

/// How the controller ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to.
    Stopped,
    /// It may not write any more, and says why.
    LostLease(String),
}

/// New settings from a file, as they come.
pub type SettingsUpdates = tokio::sync::mpsc::Receiver<Result<Settings, Vec<String>>>;

/// Runs until `stop` is ready, or the Lease is lost.
///
/// # Errors
/// A message for a person when it cannot begin.
pub async fn run(
    client: Client,
    options: Options,
    outside: Arc<dyn Outside>,
    mut updates: SettingsUpdates,
    stop: impl Future<Output = ()>,
) -> Result<End, String> {
    let world = SharedWorld::default();
    world.lock().settings = Arc::new(options.settings.clone());
    let metrics = Arc::new(Metrics::new());
    let listener = http::bind(&options.listen).await?;
    let mut background = JoinSet::new();
    background.spawn(http::serve(listener, Probes { world: world.clone(), metrics: Arc::clone(&metrics) }));
    let settings_world = world.clone();
    background.spawn(async move {
        while let Some(read) = updates.recv().await {
            settings_world.lock().set_settings(read);
            settings_world.news.notify_one();
        }
    });
    let passes = Arc::new(Passes {
        client: client.clone(),
        world: world.clone(),
        outside: Arc::clone(&outside),
        metrics,
        identity: options.identity.clone(),
        started: Instant::now(),
        rolled: Mutex::new(None),
        running: RwLock::new(()),
    });
    background.spawn(settle(Arc::clone(&passes)));
    let mut election = Election::new(client.clone(), &options.namespace, &options.identity);
    let watches = Watches::new(client, world, options.namespace.clone());
    let end = {
        let mut stop = pin!(stop);
        let mut hold = pin!(hold(&mut election, Arc::clone(&passes)));
        let mut work = pin!(work(watches, &options, &passes));
        tokio::select! {
            () = &mut stop => End::Stopped,
            why = &mut hold => End::LostLease(why),
            () = &mut work => End::Stopped,
        }
    };
    background.shutdown().await;
    if let Err(error) = election.release(outside.now()).await {
        tracing::warn!(
            "the Lease was not released, so another controller waits for {} s: {error}",
            lease::DURATION.as_secs()
        );
    }
    Ok(end)
}

/// Watches, and starts the passes that are due. Never returns.
async fn work(mut watches: Watches, options: &Options, passes: &Arc<Passes>) {
    let mut schedule = Schedule::new();
    let mut running: JoinSet<Pass> = JoinSet::new();
    let mut said = None;
    loop {
        let wanted = watch::wanted(&passes.world.lock(), options);
        watches.set(wanted);
        say_difference(passes, &mut said);
        let facts = facts(passes);
        let (start, next) = schedule.turn(&facts, passes.clock());
        for pass in start {
            running.spawn(pass_of(Arc::clone(passes), pass));
        }
        let pause = next.saturating_sub(passes.clock());
        tokio::select! {
            () = passes.world.news.notified() => {}
            () = tokio::time::sleep(pause) => {}
            Some(done) = running.join_next() => match done {
                Ok(pass) => schedule.done(pass),
                Err(error) => {
                    // A bug in one pass must not end the others; the next regular look tries again.
                    tracing::error!("a pass ended early: {error}");
                    [Pass::Contexts, Pass::Shared, Pass::Look].into_iter().for_each(|pass| schedule.done(pass));
                }
            },
        }
    }
}

/// Takes note of the records that the audit's backend has. Never returns.
async fn settle(passes: Arc<Passes>) {
    loop {
        let ids = passes.outside.settled().await;
        passes.world.lock().unrecorded.settle(&ids, passes.clock());
        passes.world.news.notify_one();
    }
}

async fn pass_of(passes: Arc<Passes>, pass: Pass) -> Pass {
    let _running = passes.running.read().await;
    match pass {
        Pass::Contexts => passes.contexts().await,
        Pass::Shared => passes.shared().await,
        Pass::Look => passes.look().await,
    }
    pass
}

fn facts(passes: &Passes) -> Facts {
    let world = passes.world.lock();
    let rolled = *passes.rolled.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let now = passes.clock();
    Facts {
        changes: world.changes,
        status_changes: world.status_changes,
        retry: world.results.next_retry(now).into_iter().chain(world.later.next()).min().filter(|_| world.is_leader),
        clear: world.unrecorded.next_clear().filter(|_| world.is_leader),
        has_suspects: world.is_leader && world.results.has_suspects(),
        roll: rolled.map(|at| at + ROLL),
        is_complete: world.is_complete(),
        leads: world.is_leader,
        looks: world.is_leader && look::is_worthwhile(&world),
    }
}

/// Says once that the definition in the cluster is another one than ours.
fn say_difference(passes: &Passes, said: &mut Option<String>) {
    let difference = http::schema_difference(&passes.world.lock());
    if difference != *said {
        if let Some(line) = &difference {
            tracing::warn!("{line}");
        }
        *said = difference;
    }
}

/// Takes the Lease and keeps it. Returns why it was lost.
async fn hold(election: &mut Election, passes: Arc<Passes>) -> String {
    let mut failed = None;
    let mut blind = None;
    loop {
        let led = election.is_leader();
        if is_blind_for_long(&mut blind, &passes) {
            if led && let Err(why) = step_down(election, &passes).await {
                return why;
            }
            tokio::time::sleep(lease::RETRY).await;
            continue;
        }
        let turn = election.turn(passes.clock(), passes.outside.now());
        // An answer that comes after the deadline is no answer.
        match tokio::time::timeout(lease::RENEW_DEADLINE, turn).await {
            Ok(Ok(())) => failed = None,
            Ok(Err(error)) => note(&mut failed, trouble::of_lease(&error)),
            Err(_) => note(&mut failed, "the API server does not answer".to_owned()),
        }
        let leads = election.is_leader();
        if led && !leads {
            return "another controller took the Lease".to_owned();
        }
        if election.is_lost(passes.clock()) {
            let why = failed.unwrap_or_default();
            return format!("the Lease was not renewed for {} s: {why}", lease::RENEW_DEADLINE.as_secs());
        }
        if leads && !led {
            tracing::info!("this process holds the Lease {} and writes", lease::NAME);
            let mut world = passes.world.lock();
            world.is_leader = true;
            world.changes += 1;
            drop(world);
            passes.world.news.notify_one();
        }
        tokio::time::sleep(election.pause(passes.clock())).await;
    }
}

/// Whether no context can be watched, and since when for long.
fn is_blind_for_long(since: &mut Option<Duration>, passes: &Passes) -> bool {
    let now = passes.clock();
    if !passes.world.lock().is_blind() {
        *since = None;
        return false;
    }
    now.saturating_sub(*since.get_or_insert(now)) >= lease::MOST_BLIND
}

/// Gives the Lease back to somebody who may see more, once nothing is being written.
///
/// # Errors
/// Why it could not.
async fn step_down(election: &mut Election, passes: &Passes) -> Result<(), String> {
    let seconds = lease::MOST_BLIND.as_secs();
    tracing::warn!(
        "no context could be watched for {seconds} s: this process leaves the Lease {} to others",
        lease::NAME
    );
    passes.world.lock().step_down();
    let release = async {
        let _idle = passes.running.write().await;
        election.release(passes.outside.now()).await
    };
    match tokio::time::timeout(lease::RETRY * 2, release).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("the Lease was not given back: {}", trouble::of_lease(&error))),
        Err(_) => Err("the Lease was not given back in time".to_owned()),
    }
}

/// Logs an error of the Lease when it is a new one.
fn note(failed: &mut Option<String>, why: String) {
    if failed.as_ref() != Some(&why) {
        tracing::warn!("the Lease: {why}");
    }
    *failed = Some(why);
}
