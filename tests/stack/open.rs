//! The course of the test on the servers that `build.sh` builds: what they received is what `tasks` and `sprints` print, and the
//! dashboards' PromQL is right. Traces go to a Collector, log records to VictoriaLogs, metrics to Prometheus: once all of it over
//! gRPC through the Collector, once over HTTP to each.

use anyhow::{Result, anyhow};
use contextcore_fakes::world::World;

use crate::Exam;
use crate::dashboards::Gallery;
use crate::grafana::Dashboard;
use crate::product::Product;
use crate::questions::Case;
use crate::received::Received;
use crate::sample_work;
use crate::servers::{self, Open, OpenStack};
use crate::timeline::Expected;

/// The course of the test.
pub(crate) async fn year(programs: &Open) -> Result<()> {
    let open = OpenStack::start(programs).await?;
    let mut exam = Exam::new(&open.stack);
    exam.open_year_over_grpc(&open).await?;
    exam.open_longer_over_http(&open).await?;
    exam.finish()
}

impl Exam<'_> {
    /// A year over gRPC: the first sync, one without changes, and one with.
    async fn open_year_over_grpc(&mut self, open: &OpenStack) -> Result<()> {
        let jira = crate::jira(World::demo(contextcore_core::clock::now().0, 12, 42)).await?;
        let product = Product::over_grpc("year", jira.url(), &open.grpc)?;
        self.run("the first sync", &product, &[]).await?;
        let expected = product.expected().await?;
        self.open_questions("the first sync", open, &newest(open, &product, &expected).await?).await;

        let export = self.run("a sync without changes", &product, &[]).await?;
        self.check("a sync without changes exports no history", export.spans == 0 && export.logs == 0, &export);
        self.received("a sync without changes", open, &newest(open, &product, &expected).await?).await;

        sample_work::work(&mut jira.world(), contextcore_core::clock::now().0)?;
        self.run("a sync with changes", &product, &[]).await?;
        let expected = product.expected().await?;
        self.open_questions("a sync with changes", open, &newest(open, &product, &expected).await?).await;

        sample_work::delete_one(&mut jira.world(), contextcore_core::clock::now().0)?;
        // A task missing from one complete pass may be the tool's index lagging; missing from two it is gone.
        self.run("a full sync after a deletion", &product, &["--full"]).await?;
        self.run("another full sync", &product, &["--full"]).await?;
        let expected = product.expected().await?;
        self.received("another full sync", open, &newest(open, &product, &expected).await?).await;
        Ok(())
    }

    /// Nearly as far back as `export.history` reaches by default, over HTTP and beside the other source; the dashboards; and
    /// history a second time.
    async fn open_longer_over_http(&mut self, open: &OpenStack) -> Result<()> {
        let jira = crate::jira(World::demo(contextcore_core::clock::now().0, 13, 7)).await?;
        let product = Product::new("longer", jira.url(), "http/protobuf", &open.stack.endpoints)?;
        self.run("13 months over HTTP", &product, &[]).await?;
        let expected = product.expected().await?;
        let case = newest(open, &product, &expected).await?;
        self.open_questions("13 months over HTTP", open, &case).await;
        self.open_dashboards("13 months over HTTP", &case).await?;

        let before = open.spans.of_source(&case.source)?;
        let export = product.replay().await?;
        self.say(&format!("== a replay: {export:?}"));
        let received = Received::new(open, &case);
        self.ask("a replay", "the same spans once more", || received.sent_again(&before)).await;
        self.ask("a replay", "every record once more", || received.records_times(2)).await;
        self.ask("a replay", "the doctor finds Prometheus well", || product.examine_prometheus(&open.stack)).await;
        Ok(())
    }

    async fn open_questions(&mut self, run: &str, open: &OpenStack, case: &Case<'_>) {
        self.received(run, open, case).await;
        self.ask(run, "blocked now", || case.blocked_gauges()).await;
        self.ask(run, "done in the last 30 days", || case.completed_counter()).await;
        self.ask(run, "burndown of past sprints", || case.burndowns()).await;
        self.ask(run, "velocity and the like", || case.sprint_numbers()).await;
    }

    /// What would show that something was lost, or sent twice.
    async fn received(&mut self, run: &str, open: &OpenStack, case: &Case<'_>) {
        let received = Received::new(open, case);
        self.ask(run, "every span", || received.every_span()).await;
        self.ask(run, "spans make trees", || received.trees()).await;
        self.ask(run, "events of spans", || received.span_events()).await;
        self.ask(run, "links", || received.links()).await;
        self.ask(run, "snapshots", || received.snapshots()).await;
        self.ask(run, "every record", || received.every_record()).await;
        self.ask(run, "records point to spans", || received.records_point_to_spans()).await;
        self.ask(run, "tasks by status", || case.statuses()).await;
        self.ask(run, "no sample was dropped", || case.no_sample_lost()).await;
    }

    /// Every PromQL query of the dashboards, and the numbers people look at first.
    async fn open_dashboards(&mut self, run: &str, case: &Case<'_>) -> Result<()> {
        let dashboards = Dashboard::all(&servers::repository().join("dashboards"))?;
        let gallery = Gallery::open(&dashboards, case).await?;
        self.ask(run, "every PromQL query of the dashboards", || gallery.every_promql_query()).await;
        self.panels(run, &gallery).await;
        Ok(())
    }
}

async fn newest<'a>(open: &'a OpenStack, product: &Product, expected: &'a Expected) -> Result<Case<'a>> {
    let case = Case::at_newest(&open.stack, product, expected, contextcore_core::clock::now().0).await;
    case.map_err(|error| anyhow!("{} is not found: {error:#}\n{}", product.source, open.stack.tails()))
}
