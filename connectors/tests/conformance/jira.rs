//! Jira's part: the fake of Cloud.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::{Jira, JiraHandle, Options};
use contextcore_fakes::world::{Draft, IssueId, ProjectId, StatusId, TypeId, World};

use super::{Adapter, NOW, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "jira", many: 1_100, start: || Box::pin(start()) };

const SEARCH: &str = "POST */search/jql";

struct Site {
    jira: JiraHandle,
    project: ProjectId,
    clock: Arc<AtomicI64>,
    issues: Vec<IssueId>,
    token: tempfile::TempDir,
}

async fn start() -> Box<dyn Scenario> {
    let mut world = World::empty();
    let project = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    let clock = Arc::new(AtomicI64::new(NOW));
    let ticking = clock.clone();
    let options = Options { clock: Clock::of(move || ticking.load(Ordering::Relaxed)), ..Options::cloud() };
    let jira = Jira::start(world, options).await.unwrap();
    let token = tempfile::tempdir().unwrap();
    std::fs::write(token.path().join("token"), Jira::TOKEN).unwrap();
    Box::new(Site { jira, project, clock, issues: Vec::new(), token })
}

impl Site {
    fn issue(&self, id: &str) -> IssueId {
        *self.issues.iter().find(|issue| issue.0.to_string() == id).unwrap()
    }
}

impl Scenario for Site {
    fn config(&self) -> String {
        let (email, file) = (Jira::EMAIL, self.token.path().join("token"));
        format!("url: {}, auth: {{email: {email}, token: {{file: {}}}}}", self.jira.url(), file.display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        let draft = Draft::new(self.project, TypeId::STORY, title);
        let id = self.jira.world().edit(at).add_issue(draft);
        self.issues.push(id);
        id.0.to_string()
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = self.issue(id);
        self.jira.world().edit(at).rename(id, title);
    }

    fn delete(&mut self, id: &str) -> bool {
        let (id, at) = (self.issue(id), self.clock.load(Ordering::Relaxed));
        self.jira.world().edit(at).delete(id);
        true
    }

    fn hide(&mut self, hidden: bool) {
        let at = self.clock.load(Ordering::Relaxed);
        for id in &self.issues {
            self.jira.world().edit(at).hide(*id, hidden);
        }
    }

    fn set_clock(&mut self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        let (pattern, when, fault) = match trouble {
            Trouble::Unauthorised => ("*", When::Always, Fault::unauthorized()),
            Trouble::RateLimited => (SEARCH, When::Nth(1), Fault::rate_limited(Some(1))),
            Trouble::Unwell => (SEARCH, When::Nth(1), Fault::unavailable(Some(1))),
            Trouble::Down => ("*", When::Always, Fault::unavailable(Some(1))),
            Trouble::Torn => (SEARCH, When::Nth(1), Fault::Truncate { bytes: 40, chunked: true }),
            Trouble::Partial => return false,
        };
        self.jira.faults().on(pattern, when, fault);
        true
    }

    fn mend(&mut self) {
        self.jira.faults().clear();
    }
}
