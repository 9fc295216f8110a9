//! Issues that this Jira cannot serve: an answer that would hold one fails as a whole, as the real one does. An answer with hardly
//! any field is served, because it comes from the index.

use super::{JiraHandle, Site, refuse};
use crate::lock;
use crate::message::{Call, Reply};
use crate::world::IssueId;
use serde_json::Value;

/// How an answer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// With this status.
    Status(u16),
    /// With this status, also where it would hold nothing but the issue's id.
    Unlisted(u16),
    /// With a raw control character in a text, which is not JSON.
    Garbled,
}

/// An issue that makes answers fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spoiled {
    issue: IssueId,
    path: &'static str,
    trouble: Trouble,
}

impl JiraHandle {
    /// From now on answers of calls with `path` in their address fail when they would hold this issue.
    pub fn spoil(&self, issue: IssueId, path: &'static str, trouble: Trouble) {
        lock(&self.site.spoiled).push(Spoiled { issue, path, trouble });
    }

    /// Serves every issue again.
    pub fn heal(&self) {
        lock(&self.site.spoiled).clear();
    }
}

impl Site {
    /// The answer, unless it would hold a spoiled issue.
    pub(super) fn unless_spoiled(&self, call: &Call, reply: Reply) -> Reply {
        let spoiled = lock(&self.spoiled).clone();
        let mut relevant = spoiled.iter().filter(|spoiled| call.path.contains(spoiled.path)).peekable();
        if relevant.peek().is_none() || reply.status != 200 {
            return reply;
        }
        let hit = |spoiled: &Spoiled| {
            let lists = matches!(spoiled.trouble, Trouble::Unlisted(_));
            issues_of(call, &reply, lists).contains(&spoiled.issue.0.to_string())
        };
        match relevant.find(|spoiled| hit(spoiled)).map(|spoiled| spoiled.trouble) {
            Some(Trouble::Status(status) | Trouble::Unlisted(status)) => {
                refuse(status, "Something is wrong with one of these issues.")
            }
            Some(Trouble::Garbled) => Reply::json(200, "{\"issues\":[{\"id\":\"a \u{1} b\"}]}"),
            None => reply,
        }
    }
}

/// The issues that an answer is about. One that shows hardly anything of them counts only where lists do.
fn issues_of(call: &Call, reply: &Reply, lists: bool) -> Vec<String> {
    let asked: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let texts = |list: &Value, part: fn(&Value) -> &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|row| part(row).as_str()).map(str::to_owned).collect()
    };
    if call.path.contains("/search") {
        let few = asked["fields"].as_array().is_none_or(|fields| fields.len() < 2) && !lists;
        let answer: Value = if few { Value::Null } else { serde_json::from_slice(&reply.body).unwrap_or_default() };
        return texts(&answer["issues"], |issue| &issue["id"]);
    }
    if call.path.ends_with("/bulkfetch") {
        return texts(&asked["issueIdsOrKeys"], |id| id);
    }
    let mut segments = call.path.split('/').skip_while(|segment| *segment != "issue");
    segments.nth(1).map(str::to_owned).into_iter().collect()
}
