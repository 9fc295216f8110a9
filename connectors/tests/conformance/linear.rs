//! Linear's part: the fake of a workspace with one team.

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::linear::{Linear, LinearHandle, Options};
use contextcore_fakes::world::{IssueId, TypeId, Visibility};

use super::site::Site;
use super::{Adapter, SECOND, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "linear", many: 600, start: || Box::pin(start()) };

const GRAPHQL: &str = "POST */graphql";
/// 401-like refusals come with a body of GraphQL errors.
const REFUSED: &str = r#"{"errors": [{"message": "Authentication required, not authenticated", "extensions": {"type":
    "authentication error", "code": "AUTHENTICATION_ERROR", "statusCode": 401, "userError": true}}]}"#;
/// Data and errors in one answer.
const PARTIAL: &str = r#"{"data": {"issues": null}, "errors": [{"message": "Internal server error", "path": ["issues"],
    "extensions": {"type": "internal error", "code": "INTERNAL_SERVER_ERROR", "statusCode": 500}}]}"#;

struct LinearSite {
    linear: LinearHandle,
    site: Site,
}

async fn start() -> Box<dyn Scenario> {
    let (site, world) = Site::new(Linear::KEY);
    let linear = Linear::start(world, Options { clock: site.clock(), ..Options::default() }).await.unwrap();
    Box::new(LinearSite { linear, site })
}

impl LinearSite {
    fn issue(&self, id: &str) -> IssueId {
        self.site.issue(id, Linear::id)
    }
}

impl Scenario for LinearSite {
    fn config(&self) -> String {
        let file = self.site.token();
        format!("url: {}, auth: {{token: {{file: {}}}}}", self.linear.url(), file.display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        Linear::id(self.site.add(&mut self.linear.world().edit(at), TypeId::TASK, title))
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = self.issue(id);
        self.linear.world().edit(at).rename(id, title);
    }

    fn delete(&mut self, id: &str) -> bool {
        // Long ago: what was deleted lately is still in the bin, which Linear shows.
        let id = self.issue(id);
        let at = self.site.now();
        self.linear.world().edit(at).hide(id, true);
        true
    }

    fn hide(&mut self, hidden: bool) {
        let visibility = if hidden { Visibility::Hidden } else { Visibility::Open };
        self.linear.world().projects[usize::from(self.site.project.0)].visibility = visibility;
    }

    fn set_clock(&mut self, now: i64) {
        self.site.set_clock(now);
    }

    fn spoil(&mut self, trouble: Trouble) -> bool {
        let (when, fault) = match trouble {
            Trouble::Unauthorised => (When::Always, Fault::status(401, REFUSED)),
            Trouble::RateLimited => (When::Nth(2), Linear::rate_limited(self.site.now() + 2 * SECOND)),
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
