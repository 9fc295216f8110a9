//! A Jira with a world of its own, and the clock that it and the installations share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_fakes::Clock;
use contextcore_fakes::jira::{Jira, JiraHandle, Options};
use contextcore_fakes::otlp::Collector;
use contextcore_fakes::world::{Edit, World};

use super::{Installation, NOW, Setup};

pub(crate) struct Tool {
    pub(crate) jira: JiraHandle,
    now: Arc<AtomicI64>,
}

impl Tool {
    /// Two months of the sample world: three projects, some two hundred issues.
    pub(crate) async fn sample() -> Self {
        Self::start(World::demo(NOW, 2, 7), Options::cloud()).await
    }

    pub(crate) async fn start(world: World, options: Options) -> Self {
        let now = Arc::new(AtomicI64::new(NOW));
        let shared = Arc::clone(&now);
        let clock = Clock::of(move || shared.load(Ordering::Relaxed));
        let jira = Jira::start(world, Options { clock, ..options }).await.unwrap();
        Self { jira, now }
    }

    /// The clock's time, epoch milliseconds.
    pub(crate) fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    /// Moves the clock of the tool and of the binary.
    pub(crate) fn pass(&self, milliseconds: i64) {
        self.now.fetch_add(milliseconds, Ordering::Relaxed);
    }

    /// Changes the world now.
    pub(crate) fn edit(&self, change: impl FnOnce(&mut Edit<'_>)) {
        let now = self.now();
        change(&mut self.jira.world().edit(now));
    }

    /// An installation beside this tool, with a backend of its own.
    pub(crate) async fn home(&self) -> Installation {
        self.home_with(&Setup::default()).await
    }

    pub(crate) async fn home_with(&self, setup: &Setup<'_>) -> Installation {
        let collector = Collector::start(setup.backend.clone()).await.unwrap();
        let home = Installation::new(self.jira.url(), &self.now, collector, ("JIRA_TOKEN", Jira::TOKEN));
        home.configure(setup);
        home
    }
}
