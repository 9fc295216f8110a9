//! GitHub's part: the fake of github.com, a project with the issues of one repository.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use contextcore_fakes::Clock;
use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::github::{Github, GithubHandle, Options, Token, trouble};
use contextcore_fakes::world::{BoardKind, Draft, IssueId, ProjectId, StatusId, TypeId, World};

use super::{Adapter, NOW, SECOND, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "github", many: 130, start: || Box::pin(start()) };

const GRAPHQL: &str = "POST */graphql";

struct Site {
    github: GithubHandle,
    project: ProjectId,
    clock: Arc<AtomicI64>,
    issues: Vec<IssueId>,
    token: tempfile::TempDir,
}

async fn start() -> Box<dyn Scenario> {
    let mut world = World::empty();
    let project = world.add_project("ENG", "Engineering", StatusId::TO_DO);
    world.add_board("Engineering", BoardKind::Scrum, project);
    let clock = Arc::new(AtomicI64::new(NOW));
    let ticking = clock.clone();
    let options = Options { clock: Clock::of(move || ticking.load(Ordering::Relaxed)), ..Options::dot_com() };
    let github = Github::start(world, options).await.unwrap();
    let token = tempfile::tempdir().unwrap();
    std::fs::write(token.path().join("token"), Github::TOKEN).unwrap();
    Box::new(Site { github, project, clock, issues: Vec::new(), token })
}

impl Site {
    fn issue(&self, id: &str) -> IssueId {
        let world = self.github.world();
        *self.issues.iter().find(|issue| Github::issue_id(&world, **issue) == id).unwrap()
    }
}

impl Scenario for Site {
    fn config(&self) -> String {
        let file = self.token.path().join("token");
        let (url, owner) = (self.github.url(), Github::OWNER);
        format!("url: {url}, projects: [{owner}/1], auth: {{token: {{file: {}}}}}", file.display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        let draft = Draft::new(self.project, TypeId::TASK, title);
        let mut world = self.github.world();
        let id = world.edit(at).add_issue(draft);
        self.issues.push(id);
        Github::issue_id(&world, id)
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = self.issue(id);
        self.github.world().edit(at).rename(id, title);
    }

    fn delete(&mut self, id: &str) -> bool {
        let (id, at) = (self.issue(id), self.clock.load(Ordering::Relaxed));
        self.github.world().edit(at).delete(id);
        true
    }

    fn hide(&mut self, hidden: bool) {
        // Single items that the token may not see are still listed, without contents; a lost scope hides the project.
        let token = Token::classic(Github::TOKEN);
        self.github.set_tokens(vec![if hidden { token.without("projects") } else { token }]);
    }

    fn set_clock(&mut self, now: i64) {
        self.clock.store(now, Ordering::Relaxed);
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        let (when, fault) = match trouble {
            Trouble::Unauthorised => (When::Always, trouble::bad_credentials()),
            Trouble::RateLimited => {
                (When::Nth(2), trouble::rate_limited(self.clock.load(Ordering::Relaxed) / SECOND + 2))
            }
            Trouble::Unwell => (When::Nth(2), trouble::too_slow()),
            Trouble::Down => (When::Always, Fault::unavailable(Some(1))),
            Trouble::Torn => (When::Nth(2), Fault::Truncate { bytes: 40, chunked: true }),
            Trouble::Partial => (When::Nth(2), partial()),
        };
        self.github.faults().on(GRAPHQL, when, fault);
        true
    }

    fn mend(&mut self) {
        self.github.faults().clear();
    }
}

/// Data and errors in one answer, as when a resolver timed out.
fn partial() -> Fault {
    let errors =
        r#"{"message": "Something went wrong while executing your query on 2026-11-18T09:00:00Z.", "path": ["node"]}"#;
    Fault::status(200, &format!(r#"{{"data": {{"node": null}}, "errors": [{errors}]}}"#))
}
