//! Jira's part: the fake of Cloud.

use contextcore_fakes::faults::{Fault, When};
use contextcore_fakes::jira::{Jira, JiraHandle, Options};
use contextcore_fakes::world::{IssueId, TypeId};

use super::site::Site;
use super::{Adapter, Scenario, Trouble};

pub(super) const ADAPTER: Adapter = Adapter { kind: "jira", many: 1_100, start: || Box::pin(start()) };

const SEARCH: &str = "POST */search/jql";

struct JiraSite {
    jira: JiraHandle,
    site: Site,
}

async fn start() -> Box<dyn Scenario> {
    let (site, world) = Site::new(Jira::TOKEN);
    let jira = Jira::start(world, Options { clock: site.clock(), ..Options::cloud() }).await.unwrap();
    Box::new(JiraSite { jira, site })
}

impl JiraSite {
    fn issue(&self, id: &str) -> IssueId {
        self.site.issue(id, |issue| issue.0.to_string())
    }
}

impl Scenario for JiraSite {
    fn config(&self) -> String {
        let (email, file) = (Jira::EMAIL, self.site.token());
        format!("url: {}, auth: {{email: {email}, token: {{file: {}}}}}", self.jira.url(), file.display())
    }

    fn add(&mut self, title: &str, at: i64) -> String {
        self.site.add(&mut self.jira.world().edit(at), TypeId::STORY, title).0.to_string()
    }

    fn rename(&mut self, id: &str, title: &str, at: i64) {
        let id = self.issue(id);
        self.jira.world().edit(at).rename(id, title);
    }

    fn delete(&mut self, id: &str) -> bool {
        let (id, at) = (self.issue(id), self.site.now());
        self.jira.world().edit(at).delete(id);
        true
    }

    fn hide(&mut self, hidden: bool) {
        let at = self.site.now();
        for id in self.site.issues() {
            self.jira.world().edit(at).hide(*id, hidden);
        }
    }

    fn set_clock(&mut self, now: i64) {
        self.site.set_clock(now);
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
