//! GitHub's part: the fake of github.com, a project with the issues of one repository.

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::github::{Github, GithubHandle, Options, Token, trouble};
use contextcore_fakes::world::{BoardKind, IssueId, TypeId};

use super::site::Site;
use super::{Adapter, SECOND, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "github", many: 130, start: || Box::pin(start()) };

const GRAPHQL: &str = "POST */graphql";

struct GithubSite {
    github: GithubHandle,
    site: Site,
}

async fn start() -> Box<dyn Scenario> {
    let (site, mut world) = Site::new(Github::TOKEN);
    world.add_board("Engineering", BoardKind::Scrum, site.project);
    let github = Github::start(world, Options { clock: site.clock(), ..Options::dot_com() }).await.unwrap();
    Box::new(GithubSite { github, site })
}

impl GithubSite {
    fn issue(&self, id: &str) -> IssueId {
        let world = self.github.world();
        self.site.issue(id, |issue| Github::issue_id(&world, issue))
    }
}

impl Scenario for GithubSite {
    fn config(&self) -> String {
        let file = self.site.token();
        let (url, owner) = (self.github.url(), Github::OWNER);
        format!("url: {url}, projects: [{owner}/1], auth: {{token: {{file: {}}}}}", file.display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        let mut world = self.github.world();
        let id = self.site.add(&mut world.edit(at), TypeId::TASK, title);
        Github::issue_id(&world, id)
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = self.issue(id);
        self.github.world().edit(at).rename(id, title);
    }

    fn delete(&mut self, id: &str) -> bool {
        let (id, at) = (self.issue(id), self.site.now());
        self.github.world().edit(at).delete(id);
        true
    }

    fn hide(&mut self, hidden: bool) {
        // Single items that the token may not see are still listed, without contents; a lost scope hides the project.
        let token = Token::classic(Github::TOKEN);
        self.github.set_tokens(vec![if hidden { token.without("projects") } else { token }]);
    }

    fn set_clock(&mut self, now: i64) {
        self.site.set_clock(now);
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        let (when, fault) = match trouble {
            Trouble::Unauthorised => (When::Always, trouble::bad_credentials()),
            Trouble::RateLimited => (When::Nth(2), trouble::rate_limited(self.site.now() / SECOND + 2)),
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
