//! Linear's part: the fake of a workspace with one team.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::linear::{Linear, LinearHandle, Options};
use contextcore_fakes::world::{Draft, IssueId, ProjectId, StatusId, TypeId, Visibility, World};

use super::{Adapter, NOW, SECOND, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "linear", many: 600, start: || Box::pin(start()) };

const GRAPHQL: &str = "POST */graphql";
/// 401-like refusals come with a body of GraphQL errors.
const REFUSED: &str = r#"{"errors": [{"message": "Authentication required, not authenticated", "extensions": {"type":
    "authentication error", "code": "AUTHENTICATION_ERROR", "statusCode": 401, "userError": true}}]}"#;
/// Data and errors in one answer.
const PARTIAL: &str = r#"{"data": {"issues": null}, "errors": [{"message": "Internal server error", "path": ["issues"],
    "extensions": {"type": "internal error", "code": "INTERNAL_SERVER_ERROR", "statusCode": 500}}]}"#;

struct Site {
    linear: LinearHandle,
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
    let options = Options { clock: Clock::of(move || ticking.load(Ordering::Relaxed)), ..Options::default() };
    let linear = Linear::start(world, options).await.unwrap();
    let token = tempfile::tempdir().unwrap();
    std::fs::write(token.path().join("token"), Linear::KEY).unwrap();
    Box::new(Site { linear, project, clock, issues: Vec::new(), token })
}

impl Site {
    fn issue(&self, id: &str) -> IssueId {
        *self.issues.iter().find(|issue| Linear::id(**issue) == id).unwrap()
    }
}

impl Scenario for Site {
    fn config(&self) -> String {
        let file = self.token.path().join("token");
        format!("url: {}, auth: {{token: {{file: {}}}}}", self.linear.url(), file.display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        let draft = Draft::new(self.project, TypeId::TASK, title);
        let id = self.linear.world().edit(at).add_issue(draft);
        self.issues.push(id);
        Linear::id(id)
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = self.issue(id);
        self.linear.world().edit(at).rename(id, title);
    }

    fn delete(&mut self, id: &str) -> bool {
        // Long ago: what was deleted lately is still in the bin, which Linear shows.
        let id = self.issue(id);
        let at = self.clock.load(Ordering::Relaxed);
        self.linear.world().edit(at).hide(id, true);
        true
    }

    fn hide(&mut self, hidden: bool) {
        let visibility = if hidden { Visibility::Hidden } else { Visibility::Open };
        self.linear.world().projects[usize::from(self.project.0)].visibility = visibility;
    }

    fn set_clock(&mut self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        let (when, fault) = match trouble {
            Trouble::Unauthorised => (When::Always, Fault::status(401, REFUSED)),
            Trouble::RateLimited => {
                (When::Nth(2), Linear::rate_limited(self.clock.load(Ordering::Relaxed) + 2 * SECOND))
            }
            Trouble::Unwell => (When::Nth(2), Fault::unavailable(Some(1))),
            Trouble::Down => (When::Always, Fault::unavailable(Some(1))),
            Trouble::Torn => (When::Nth(2), Fault::Truncate { bytes: 40, chunked: true }),
            Trouble::Partial => (When::Nth(2), Fault::status(200, PARTIAL)),
        };
        self.linear.faults().on(GRAPHQL, when, fault);
        true
    }

    fn mend(&mut self) {
        self.linear.faults().clear();
    }
}
