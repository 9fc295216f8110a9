//! The product against real servers: a year of a sample world is synced, and what they received must be exactly what `tasks` and
//! `sprints` print.
//!
//! Two sets of servers, each with a course of its own: those that `build.sh` in this folder builds ([`open`]: a Collector,
//! VictoriaLogs and Prometheus), and the reference backends ([`year`]: Tempo and Loki that the user has, with Prometheus), where
//! TraceQL, LogQL and PromQL are asked. Every query is also held against the published grammars ([`grammar`]).
//!
//! `budget_left` asks as an agent does. [`questions`] holds what is asked, [`dashboards`] the same for what is drawn, [`received`] reads what the open servers received,
//! [`servers`] starts the servers, [`ask`] sends their queries, [`grafana`] does with a dashboard what Grafana does,
//! [`product`] runs the binary, [`timeline`] derives what follows from a timeline. What is missing is skipped loudly; what `build.sh`
//! builds may not be missing when `CONTEXTCORE_REQUIRE_STACK=1`.
//!
//! Each course is one test, in order: what is asked after a second run depends on the first, and the servers are started once.

mod ask;
mod budget;
#[cfg(feature = "mcp")]
mod budget_left;
mod dashboards;
mod grafana;
mod grammar;
mod open;
mod product;
mod questions;
mod received;
mod sample_work;
mod servers;
mod timeline;

use contextcore_core::clock;
use std::future::Future;
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use contextcore_fakes::jira::{Jira, JiraHandle, Options};
use contextcore_fakes::world::World;

use dashboards::Gallery;
use grafana::Dashboard;
use product::Product;
use questions::Case;
use servers::{Open, Reference, Stack};
use timeline::Expected;

const NOT_BUILT: &str = "
**********************************************************************************************
*  SKIPPED: the suite on the Collector, VictoriaLogs and Prometheus did not run.             *
*                                                                                            *
*  Their binaries are neither in $CONTEXTCORE_STACK nor in target/stack. To build them once  *
*  (Go 1.26.5 or newer, about 10 minutes):                                                   *
*                                                                                            *
*      tests/stack/build.sh                                                                  *
*                                                                                            *
*  With CONTEXTCORE_REQUIRE_STACK=1 this is a failure.                                       *
**********************************************************************************************
";

const NO_REFERENCE: &str = "
**********************************************************************************************
*  SKIPPED: the suite on the real Tempo and Loki did not run. Not tested: answers to TraceQL *
*  and LogQL (their syntax is), deploy/backends/{tempo-2,loki}.yaml, and the doctor on them. *
*                                                                                            *
*  It wants the paths of your binaries, Tempo 2.9 or newer and Loki 3.7, and the Prometheus  *
*  of tests/stack/build.sh:                                                                  *
*                                                                                            *
*      CONTEXTCORE_TEMPO_BIN=/path/to/tempo CONTEXTCORE_LOKI_BIN=/path/to/loki \\             *
*          cargo test --test stack                                                           *
**********************************************************************************************
";

/// How long a wrong answer is asked for again.
const PATIENCE: Duration = Duration::from_secs(5);

#[test]
fn real_backends_give_the_numbers_of_tasks_and_sprints() {
    reference(year);
}

#[test]
#[ignore = "fills Prometheus with 200 projects for some minutes; a benchmark, to be run alone on an idle machine"]
fn no_query_of_a_dashboard_takes_a_second_over_200_projects_with_20_000_open_tasks() {
    reference(budget::large_portfolio);
}

#[test]
fn open_servers_receive_what_tasks_and_sprints_print() {
    open_servers(open::year);
}

#[test]
#[cfg(feature = "mcp")]
fn an_agent_is_given_what_a_prometheus_says_is_left_of_an_error_budget() {
    open_servers(budget_left::course);
}

/// Runs a course on the servers that `build.sh` builds, or says that it was skipped.
fn open_servers(course: impl AsyncFnOnce(&Open) -> Result<()>) {
    match Open::find() {
        Some(programs) => run(course(&programs)),
        None => {
            assert!(!is_required(), "{NOT_BUILT}");
            skip(NOT_BUILT);
        }
    }
}

/// Runs a course on the reference backends, or says that it was skipped.
fn reference(course: impl AsyncFnOnce(&Reference) -> Result<()>) {
    match Reference::find() {
        Ok(Some(programs)) => run(course(&programs)),
        Ok(None) => skip(NO_REFERENCE),
        Err(error) => panic!("{error:#}"),
    }
}

fn run(course: impl Future<Output = Result<()>>) {
    let finished = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(anyhow::Error::from);
    let finished = finished.and_then(|runtime| {
        runtime.block_on(async {
            // An interrupted test must not leave servers behind: dropping the future kills them.
            tokio::select! {
                done = course => done,
                _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            }
        })
    });
    if let Err(error) = finished {
        panic!("{error:#}");
    }
}

/// Whether what `build.sh` builds has to be there.
fn is_required() -> bool {
    std::env::var_os("CONTEXTCORE_REQUIRE_STACK").is_some_and(|value| value == "1")
}

/// Says that something was not tested, past the test harness, which shows what a test prints only when it fails.
fn skip(message: &str) {
    std::io::stderr().write_all(message.as_bytes()).ok();
}

/// The course of the test.
async fn year(programs: &Reference) -> Result<()> {
    let stack = Stack::start(programs).await?;
    let mut exam = Exam::new(&stack);
    exam.year_over_grpc().await?;
    exam.longer_over_http().await?;
    exam.large_epic().await?;
    exam.finish()
}

/// Puts the questions, and keeps what failed until all are answered.
struct Exam<'a> {
    stack: &'a Stack,
    began: Instant,
    failures: Vec<String>,
}

impl<'a> Exam<'a> {
    fn new(stack: &'a Stack) -> Self {
        Self { stack, began: Instant::now(), failures: Vec::new() }
    }

    /// A year over gRPC: the first sync, one without changes, one with, and a full one.
    async fn year_over_grpc(&mut self) -> Result<()> {
        let jira = jira(World::demo(clock::now().0, 12, 42)).await?;
        let product = Product::new("year", jira.url(), "grpc", &self.stack.endpoints)?;
        self.run("the first sync", &product, &[]).await?;
        let expected = product.expected().await?;
        self.all_questions("the first sync", &self.settled(&product, &expected).await?).await;

        let export = self.run("a sync without changes", &product, &[]).await?;
        self.check("a sync without changes exports no history", export.spans == 0 && export.logs == 0, &export);
        let expected = product.expected().await?;
        self.numbers_that_could_double("a sync without changes", &self.settled(&product, &expected).await?).await;

        sample_work::work(&mut jira.world(), clock::now().0)?;
        self.run("a sync with changes", &product, &[]).await?;
        let expected = product.expected().await?;
        self.all_questions("a sync with changes", &self.settled(&product, &expected).await?).await;

        let key = sample_work::delete_one(&mut jira.world(), clock::now().0)?;
        // A task missing from one complete pass may be the tool's index lagging; missing from two it is gone.
        self.run("a full sync after a deletion", &product, &["--full"]).await?;
        self.run("another full sync", &product, &["--full"]).await?;
        let expected = product.expected().await?;
        let gone = expected.task(&key).is_some_and(|task| task.deleted.is_some());
        self.check("a deleted task is listed as deleted", gone, &key);
        self.numbers_that_could_double("another full sync", &self.settled(&product, &expected).await?).await;
        Ok(())
    }

    /// More than a year, nearly as far back as `export.history` reaches by default, over HTTP and beside the other source; then a replay.
    async fn longer_over_http(&mut self) -> Result<()> {
        let jira = jira(World::demo(clock::now().0, 13, 7)).await?;
        let product = Product::new("longer", jira.url(), "http/protobuf", &self.stack.endpoints)?;
        self.run("13 months over HTTP", &product, &[]).await?;
        let expected = product.expected().await?;
        let case = self.settled(&product, &expected).await?;
        self.all_questions("13 months over HTTP", &case).await;
        self.dashboards("13 months over HTTP", &case).await?;

        let export = product.replay().await?;
        self.say(&format!("== a replay: {export:?}"));
        self.check("a replay exports history again", export.spans > 0 && export.logs > 0, &export);
        case.found_again().await?;
        self.numbers_that_cannot_double("a replay", &case).await;
        Ok(())
    }

    /// An epic whose history takes several requests keeps its tree.
    async fn large_epic(&mut self) -> Result<()> {
        let jira = jira(sample_work::large_epic(clock::now().0)).await?;
        let product = Product::new("large", jira.url(), "grpc", &self.stack.endpoints)?;
        let run = "a large epic";
        let export = self.run(run, &product, &[]).await?;
        self.check("it takes more than one request", export.spans > 2_500, &export);
        let expected = product.expected().await?;
        let case = self.settled(&product, &expected).await?;
        self.ask(run, "an epic's tree", || case.epic_trees()).await;
        self.ask(run, "an epic's trace by id", || case.epic_traces()).await;
        self.ask(run, "nothing was dropped", || case.nothing_lost()).await;
        // Last, since its canaries are found beside the work.
        self.ask(run, "the doctor finds all well", || product.examine(self.stack)).await;
        Ok(())
    }

    /// Every query of the dashboards, and the numbers people look at first.
    async fn dashboards(&mut self, run: &str, case: &Case<'_>) -> Result<()> {
        let dashboards = Dashboard::all(&servers::repository().join("dashboards"))?;
        let gallery = Gallery::open(&dashboards, case).await?;
        self.ask(run, "every query of the dashboards", || gallery.every_query()).await;
        self.ask(run, "dashboards: the board", || gallery.board()).await;
        self.panels(run, &gallery).await;
        Ok(())
    }

    /// The numbers people look at first, all of them in PromQL.
    async fn panels(&mut self, run: &str, gallery: &Gallery<'_>) {
        self.ask(run, "dashboards: what is blocked", || gallery.what_is_blocked()).await;
        self.ask(run, "dashboards: health", || gallery.colours()).await;
        self.ask(run, "dashboards: work in progress", || gallery.work_in_progress()).await;
        self.ask(run, "dashboards: work by status", || gallery.work_by_status()).await;
        self.ask(run, "dashboards: what was completed", || gallery.what_was_completed()).await;
        self.ask(run, "dashboards: sprints", || gallery.sprints_in_numbers()).await;
        self.ask(run, "dashboards: completeness", || gallery.completeness()).await;
    }

    async fn run(&mut self, what: &str, product: &Product, arguments: &[&str]) -> Result<product::Export> {
        let export = product.sync(arguments).await?;
        self.say(&format!("== {what}: {export:?}"));
        Ok(export)
    }

    /// Waits until everything a run exported is found.
    async fn settled<'c>(&self, product: &Product, expected: &'c Expected) -> Result<Case<'c>>
    where
        'a: 'c,
    {
        let case = Case::settled(self.stack, product, expected, clock::now().0).await;
        case.map_err(|error| anyhow!("not all of {} is found: {error:#}\n{}", product.source, self.stack.tails()))
    }

    async fn all_questions(&mut self, run: &str, case: &Case<'_>) {
        self.numbers_that_could_double(run, case).await;
        self.numbers_that_cannot_double(run, case).await;
        self.ask(run, "burndown of past sprints", || case.burndowns()).await;
        self.ask(run, "velocity and what was planned", || case.sprint_numbers()).await;
        self.ask(run, "old phases at their own time", || case.own_times()).await;
    }

    /// Numbers that would show a repeated export of the same.
    async fn numbers_that_could_double(&mut self, run: &str, case: &Case<'_>) {
        self.ask(run, "everything is there", || case.everything_is_there()).await;
        self.ask(run, "done in the last 30 days", || case.done_lately()).await;
        self.ask(run, "time in review per task", || case.time_in_review()).await;
        self.ask(run, "event log", || case.event_log()).await;
        self.ask(run, "tasks by status", || case.statuses()).await;
        self.ask(run, "nothing was dropped", || case.nothing_lost()).await;
    }

    /// Numbers that a repeated export of the same does not change.
    async fn numbers_that_cannot_double(&mut self, run: &str, case: &Case<'_>) {
        self.ask(run, "blocked now", || case.blocked_now()).await;
        self.ask(run, "blocked for a day below an epic", || case.blocked_below_epics()).await;
        self.ask(run, "an epic's tree", || case.epic_trees()).await;
        self.ask(run, "an epic's trace by id", || case.epic_traces()).await;
        self.ask(run, "sprints as spans", || case.sprint_spans()).await;
        self.ask(run, "events and links", || case.events_and_links()).await;
        self.ask(run, "nothing was dropped", || case.nothing_lost()).await;
    }

    /// Puts a question, and again for a little while if the answer is wrong: a snapshot may be found later than the history
    /// sent before it.
    async fn ask<F: Future<Output = Result<String>>>(&mut self, run: &str, question: &str, put: impl Fn() -> F) {
        let began = Instant::now();
        let (mut answer, mut tries) = (put().await, 1);
        while answer.is_err() && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(500)).await;
            (answer, tries) = (put().await, tries + 1);
        }
        let again = if tries > 1 { format!(", {tries} tries") } else { String::new() };
        match answer {
            Ok(account) => self.say(&format!("{question}: {account} ({:.1} s{again})", began.elapsed().as_secs_f64())),
            Err(error) => {
                let failure = format!("{run}: {question}: {error:#}");
                self.say(&failure);
                self.failures.push(failure);
            }
        }
    }

    fn check(&mut self, claim: &str, holds: bool, seen: &impl std::fmt::Debug) {
        if !holds {
            self.failures.push(format!("{claim}: {seen:?}"));
        }
    }

    fn say(&self, text: &str) {
        println!("{:>6.1} s  {text}", self.began.elapsed().as_secs_f64());
    }

    fn finish(self) -> Result<()> {
        ensure!(self.failures.is_empty(), "{}\n{}", self.failures.join("\n\n"), self.stack.tails());
        Ok(())
    }
}

async fn jira(world: World) -> Result<JiraHandle> {
    Ok(Jira::start(world, Options::cloud()).await?)
}
