//! The pass over Prometheus and Grafana: whether the numbers that the rules read are there, and the dashboards that are sent.

use std::collections::BTreeMap;

use futures::{FutureExt as _, StreamExt as _};

use super::kinds::Place;
use super::means::Passes;
use super::passes::{self, place_of};
use super::results::Verdict;
use super::sli::{self, Finding};
use super::world::World;
use crate::derive::{Judged, Probe};
use crate::grafana::Left;

/// How many contexts are asked about at a time.
const AT_ONCE: usize = 4;

impl Passes {
    /// Sends dashboards, and looks for the series of every context.
    pub(crate) async fn look(&self) {
        self.send_dashboards().await;
        self.look_for_series().await;
    }

    async fn send_dashboards(&self) {
        let input = self.input();
        if !self.world.lock().is_leader {
            return;
        }
        let dashboards = {
            let effective = passes::effective(&input);
            Judged::new(effective.contexts.iter().map(AsRef::as_ref), &input.settings).to_send()
        };
        let sent = self.outside.provision(&dashboards, &input.settings).await;
        let (verdict, left) = match sent {
            None => (None, Vec::new()),
            Some(Ok(left)) => (Some(Verdict::new("True", "Provisioned", "")), left),
            Some(Err(error)) => (Some(Verdict::new("False", error.reason, error.message)), Vec::new()),
        };
        let place = |left: Left| {
            let dashboard = dashboards.iter().find(|dashboard| dashboard.uid == left.uid)?;
            Some((Place { namespace: dashboard.namespace.clone(), name: dashboard.name.clone() }, left.why))
        };
        let left = left.into_iter().filter_map(place).collect();
        let mut world = self.world.lock();
        if world.sent != verdict || world.left != left {
            world.sent = verdict;
            world.left = left;
            world.status_changes += 1;
            drop(world);
            self.world.news.notify_one();
        }
    }

    async fn look_for_series(&self) {
        let input = self.input();
        let Some(url) = input.settings.prometheus.url.clone() else {
            self.found(BTreeMap::new());
            return;
        };
        if !self.world.lock().is_leader {
            return;
        }
        let generations = Self::generations(&input);
        let probes: Vec<(Place, Option<Probe>)> = {
            let effective = passes::effective(&input);
            let judged = Judged::new(effective.contexts.iter().map(AsRef::as_ref), &input.settings);
            (0..judged.len()).map(|at| (place_of(judged.context(at)), judged.probe(at))).collect()
        };
        let mut asked = Vec::new();
        for (place, probe) in probes {
            asked.push(self.find(place, probe, &url).boxed());
        }
        let found: Vec<(Place, Finding)> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let found = found.into_iter().filter_map(|(place, finding)| {
            let generation = *generations.get(&place)?;
            Some((place, (generation, finding)))
        });
        self.found(found.collect());
    }

    async fn find(&self, place: Place, probe: Option<Probe>, url: &str) -> (Place, Finding) {
        match probe {
            Some(probe) => (place, sli::find(&probe, url, self.outside.as_ref()).await),
            None => (place, Finding::NothingToFind),
        }
    }

    fn found(&self, found: BTreeMap<Place, (i64, Finding)>) {
        let mut world = self.world.lock();
        let same = world
            .findings
            .iter()
            .map(|(place, (_, finding))| (place, finding))
            .eq(found.iter().map(|(place, (_, finding))| (place, finding)));
        if same {
            return;
        }
        world.findings = found;
        world.status_changes += 1;
        drop(world);
        self.world.news.notify_one();
    }
}

/// Whether something was not found that may come.
pub(crate) fn is_worthwhile(world: &World) -> bool {
    let open = |finding: &Finding| !matches!(finding, Finding::SeriesFound(_) | Finding::NothingToFind);
    world.sent.as_ref().is_some_and(|verdict| verdict.status == "False")
        || world.settings.prometheus.url.is_some()
            && (world.findings.values().any(|(_, finding)| open(finding))
                || world.results.conditions.sampling.as_ref().is_some_and(|verdict| verdict.status == "Unknown"))
}
