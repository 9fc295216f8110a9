//! Which path is answered by what, in each edition.

use super::auth::Caller;
use super::fields::Selection;
use super::render::{Changelog, Page};
use super::{Site, json, refuse};
use crate::message::{Call, Reply};
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Most issues one bulk call may name.
const MAX_BULK: usize = 100;
/// Most histories that `expand=changelog` shows: on a single issue, and in bulk (as the specification says).
const ISSUE_HISTORIES: usize = 100;
const BULK_HISTORIES: usize = 40;
/// Most comments of a page.
const COMMENTS: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BulkIssues {
    issue_ids_or_keys: Vec<String>,
    #[serde(default)]
    fields: Option<Vec<String>>,
    #[serde(default)]
    expand: Vec<String>,
    #[serde(default, rename = "fieldsByKeys")]
    _fields_by_keys: Option<bool>,
    #[serde(default, rename = "properties")]
    _properties: Option<Vec<String>>,
}

impl Site {
    /// Answers a request.
    pub(super) fn respond(&self, call: &Call, caller: Caller) -> Reply {
        let segments: Vec<_> = call.path.split('/').skip(1).collect();
        let public = segments.last() == Some(&"serverInfo");
        if caller == Caller::Denied && !public {
            return self.denied();
        }
        match segments.as_slice() {
            ["rest", "api", version, rest @ ..] if self.speaks(version) => self.platform(call, caller, rest),
            ["rest", "agile", "1.0" | "latest", rest @ ..] => self.agile(call, caller, rest),
            _ => not_found(),
        }
    }

    /// Cloud has version 3 and, for most calls, 2; Data Center only 2.
    fn speaks(&self, version: &str) -> bool {
        version == "2" || version == "latest" || version == "3" && self.is_cloud()
    }

    fn platform(&self, call: &Call, caller: Caller, path: &[&str]) -> Reply {
        match (call.method.as_str(), path) {
            ("GET", ["myself"]) => self.myself(call, caller),
            ("GET", ["serverInfo"]) => self.server_info(call),
            ("GET", ["field"]) => self.fields(),
            ("GET", ["status" | "issuetype" | "priority" | "resolution"]) => self.table(call, path[0]),
            ("GET", ["issueLinkType"]) => self.link_types(call),
            ("GET", ["mypermissions"]) => self.my_permissions(call, caller),
            ("GET", ["issue", name]) => self.issue(call, caller, name),
            ("GET", ["issue", name, "comment"]) => self.comments(call, caller, name),
            _ if self.is_cloud() => self.cloud(call, caller, path),
            _ => self.data_center(call, caller, path),
        }
    }

    fn cloud(&self, call: &Call, caller: Caller, path: &[&str]) -> Reply {
        match (call.method.as_str(), path) {
            ("GET" | "POST", ["search", "jql"]) => self.search_jql(call, caller),
            ("POST", ["search", "approximate-count"]) => self.approximate_count(call, caller),
            ("GET" | "POST", ["search"]) => removed(),
            ("POST", ["changelog", "bulkfetch"]) if caller == Caller::Anonymous => self.denied(),
            ("POST", ["changelog", "bulkfetch"]) => self.changelog_bulkfetch(call),
            ("GET", ["issue", _, "changelog"]) if caller == Caller::Anonymous => no_issue(),
            ("GET", ["issue", name, "changelog"]) => self.issue_changelog(call, name),
            ("POST", ["issue", "bulkfetch"]) => self.issue_bulkfetch(call, caller),
            ("GET", ["project", "search"]) => self.project_search(call, caller),
            (_, ["search", ..] | ["changelog", "bulkfetch"] | ["issue", "bulkfetch"]) => not_allowed(),
            _ => not_found(),
        }
    }

    fn data_center(&self, call: &Call, caller: Caller, path: &[&str]) -> Reply {
        match (call.method.as_str(), path) {
            ("GET" | "POST", ["search"]) => self.offset_search(call, caller),
            ("GET", ["project"]) => self.projects(call, caller),
            (_, ["search"]) => not_allowed(),
            _ => not_found(),
        }
    }

    fn issue(&self, call: &Call, caller: Caller, name: &str) -> Reply {
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let Some(issue) = page.find(name).filter(|_| caller == Caller::Known) else { return no_issue() };
        let names = call.param("fields").unwrap_or("*all");
        let selection = Selection { bare: false, ..Selection::of(&[names], self.options.edition) };
        let expanded = call.param("expand").is_some_and(|expand| expand.split(',').any(|part| part == "changelog"));
        let changelog = match (expanded, self.is_cloud()) {
            (false, _) => Changelog::None,
            (true, true) => Changelog::Newest(ISSUE_HISTORIES),
            (true, false) => Changelog::Complete,
        };
        let mut json = json::Json::default();
        page.issue(issue, &selection, changelog, &mut json);
        Reply::json(200, json.finish())
    }

    /// A page of an issue's comments, the oldest first: at most [`COMMENTS`] of them, whatever was asked for.
    fn comments(&self, call: &Call, caller: Caller, name: &str) -> Reply {
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let Some(issue) = page.find(name).filter(|_| caller == Caller::Known) else { return no_issue() };
        let number = |name: &str| call.param(name).and_then(|text| text.parse::<usize>().ok());
        let total = issue.comments.len();
        let start = number("startAt").unwrap_or(0).min(total);
        let size = number("maxResults").unwrap_or(COMMENTS).min(COMMENTS);
        let shown = &issue.comments[start..total.min(start + size)];
        let body = json::object(|json| {
            json.name("startAt").plain(start);
            json.name("maxResults").plain(size);
            json.name("total").plain(total);
            page.comments(issue, shown, json);
        });
        Reply::json(200, body)
    }

    fn issue_bulkfetch(&self, call: &Call, caller: Caller) -> Reply {
        let body: BulkIssues = match body(call) {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        if body.issue_ids_or_keys.is_empty() || body.issue_ids_or_keys.len() > MAX_BULK {
            return refuse(400, "The number of issue IDs or keys must be between 1 and 100.");
        }
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let mut issues: Vec<_> = body.issue_ids_or_keys.iter().filter_map(|name| page.find(name)).collect();
        issues.retain(|_| caller == Caller::Known);
        issues.sort_by_key(|issue| issue.id);
        issues.dedup_by_key(|issue| issue.id);
        let names = body.fields.unwrap_or_else(|| vec!["*navigable".to_owned()]);
        let selection = Selection { bare: false, ..Selection::of(&names, self.options.edition) };
        let expanded = body.expand.iter().any(|part| part == "changelog");
        let changelog = if expanded { Changelog::Newest(BULK_HISTORIES) } else { Changelog::None };
        let body = json::object(|json| {
            json.name("expand").text("schema,names");
            json.name("issues").array(|json| {
                issues.iter().for_each(|issue| page.issue(issue, &selection, changelog, json));
            });
            json.name("issueErrors").array(|_| {});
        });
        Reply::json(200, body)
    }
}

/// Reads a JSON body the way Jira does: the right content type, known properties of the right type, nothing else.
pub(super) fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Reply> {
    let json = call.header(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("application/json"));
    if !json {
        return Err(Reply::json(415, r#"{"message":"Unsupported Media Type","status-code":415}"#));
    }
    let message = "Invalid request payload. Refer to the REST API documentation and try again.";
    serde_json::from_slice(&call.body).map_err(|_| refuse(400, message))
}

/// The answer about an issue that is not there, or not for the caller.
pub(super) fn no_issue() -> Reply {
    refuse(404, "Issue does not exist or you do not have permission to see it.")
}

fn not_found() -> Reply {
    Reply::json(404, r#"{"message":"null for uri: no such resource","status-code":404}"#)
}

fn not_allowed() -> Reply {
    Reply::json(405, r#"{"message":"HTTP 405 Method Not Allowed","status-code":405}"#)
}

/// The search that was switched off in 2025.
fn removed() -> Reply {
    let message = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API. A full migration \
                guideline is available at https://developer.atlassian.com/changelog/#CHANGE-2046";
    refuse(410, message)
}
