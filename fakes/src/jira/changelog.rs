//! Writes histories, and answers the calls that list them.

use super::fields::Field;
use super::json::Json;
use super::render::{FLAG_OPTION, LINK_TYPES, Page};
use super::search::Token;
use super::{BulkOrder, BulkTime, Site, json, refuse};
use crate::lock;
use crate::message::{Call, Reply};
use crate::world::{
    Change, Event, Issue, IssueId, Link, PriorityId, ResolutionId, SprintId, StatusId, Swap, TypeId, UserId,
};
use jiff::civil::Date;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Most issues one bulk call may name, most field ids, most histories on a page.
const MAX_ISSUES: usize = 1_000;
const MAX_FIELDS: usize = 10;
const MAX_HISTORIES: usize = 10_000;
/// Most histories on a page of a single issue.
const MAX_PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct BulkBody {
    issue_ids_or_keys: Vec<String>,
    #[serde(default)]
    field_ids: Option<Vec<String>>,
    #[serde(default)]
    max_results: Option<i64>,
    #[serde(default)]
    next_page_token: Option<String>,
}

impl Site {
    /// `POST /rest/api/3/changelog/bulkfetch`.
    pub(super) fn changelog_bulkfetch(&self, call: &Call) -> Reply {
        let body: BulkBody = match super::routes::body(call) {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        if let Some(reply) = refuse_bulk(&body) {
            return reply;
        }
        let identity = format!("{:?}{:?}", body.issue_ids_or_keys, body.field_ids);
        let after = match body.next_page_token.as_deref().map(|token| Token::read(token, &identity, self.now())) {
            Some(None) => return refuse(400, "The provided nextPageToken is invalid or expired."),
            Some(Some(token)) => Some((token.at, token.number)),
            None => None,
        };
        let size = body.max_results.map_or(MAX_ISSUES, |most| most as usize).min(MAX_HISTORIES);
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let issues = page.named(&body.issue_ids_or_keys);
        let wanted = body.field_ids.unwrap_or_default();
        let mut entries = page.sorted(&issues, &wanted, after);
        let next = (entries.len() > size).then(|| entries[size - 1].0);
        entries.truncate(size);
        let token = next.map(|(at, number)| Token::new(&identity, self.now()).after(at, number));
        Reply::json(200, page.bulk(&entries, token))
    }

    /// `GET /rest/api/3/issue/{id}/changelog`.
    pub(super) fn issue_changelog(&self, call: &Call, name: &str) -> Reply {
        let world = self.world();
        let page = Page::new(self, &world, &call.base);
        let Some(issue) = page.find(name) else { return super::routes::no_issue() };
        let start = call.param("startAt").and_then(|text| text.parse().ok()).unwrap_or(0);
        let asked = call.param("maxResults").and_then(|text| text.parse().ok()).unwrap_or(MAX_PAGE);
        let size = asked.min(MAX_PAGE);
        let total = issue.entries().count();
        let address =
            |start: usize| format!("{}/rest/api/3/issue/{name}/changelog?maxResults={size}&startAt={start}", call.base);
        let body = json::object(|json| {
            json.name("self").text(&address(start));
            if start + size < total {
                json.name("nextPage").text(&address(start + size));
            }
            json.name("maxResults").plain(size);
            json.name("startAt").plain(start);
            json.name("total").plain(total);
            json.name("isLast").plain(start + size >= total);
            json.name("values").array(|json| {
                issue.entries().skip(start).take(size).for_each(|entry| page.history(issue, entry, json));
            });
        });
        Reply::json(200, body)
    }
}

fn refuse_bulk(body: &BulkBody) -> Option<Reply> {
    let count = body.issue_ids_or_keys.len();
    let message = if count == 0 {
        "At least one issue ID or key is required."
    } else if count > MAX_ISSUES {
        "The number of issue IDs or keys exceeds the maximum of 1000."
    } else if body.field_ids.as_ref().is_some_and(|ids| ids.len() > MAX_FIELDS) {
        "The number of field IDs exceeds the maximum of 10."
    } else if body.max_results.is_some_and(|most| !(1..=MAX_HISTORIES as i64).contains(&most)) {
        "maxResults must be between 1 and 10000."
    } else {
        return None;
    };
    Some(refuse(400, message))
}

/// A history entry and its place in the bulk answer: the first part of its order, then its number.
type Placed<'w> = ((i64, u32), &'w Issue, &'w [Event]);

impl<'w> Page<'w> {
    /// Finds a visible issue by id or key; former keys count.
    pub(super) fn find(&self, name: &str) -> Option<&'w Issue> {
        let id = match name.parse::<u32>() {
            Ok(number) => IssueId(number),
            Err(_) => self.world.find(name)?,
        };
        self.world.get(id).filter(|issue| self.sees(issue))
    }

    /// The visible issues of a list, each once, by id.
    fn named(&self, names: &[String]) -> Vec<&'w Issue> {
        let found = names.iter().filter_map(|name| self.find(name));
        found.map(|issue| (issue.id, issue)).collect::<BTreeMap<_, _>>().into_values().collect()
    }

    /// The wanted entries of some issues after a place, in the order the site gives them.
    fn sorted(&self, issues: &[&'w Issue], wanted: &[String], after: Option<(i64, u32)>) -> Vec<Placed<'w>> {
        let by_date = self.site.options.bulk_order == BulkOrder::Date;
        let place =
            |issue: &Issue, entry: &[Event]| (if by_date { entry[0].at } else { i64::from(issue.id.0) }, entry[0].id);
        let all = issues.iter().flat_map(|issue| issue.entries().map(|entry| (place(issue, entry), *issue, entry)));
        let fits = |entry: &[Event]| wanted.is_empty() || entry.iter().any(|event| self.is_of(event, wanted));
        let rest = all.filter(|(place, ..)| after.is_none_or(|after| *place > after));
        let mut entries: Vec<_> = rest.filter(|(.., entry)| fits(entry)).collect();
        entries.sort_unstable_by_key(|(place, ..)| *place);
        entries
    }

    fn is_of(&self, event: &Event, wanted: &[String]) -> bool {
        field_of(&event.change).is_some_and(|field| wanted.contains(&field.id(self.site.options.edition)))
    }

    /// The body of a bulk answer. Entries of one issue stand together, oldest first.
    fn bulk(&self, entries: &[Placed<'w>], token: Option<Token>) -> String {
        let mut issues: BTreeMap<IssueId, Vec<&Placed<'w>>> = BTreeMap::new();
        for placed in entries {
            issues.entry(placed.1.id).or_default().push(placed);
        }
        let mut json = Json::with_capacity(entries.len() * 1_024);
        json.object(|json| {
            json.name("issueChangeLogs").array(|json| {
                for (id, entries) in &issues {
                    json.object(|json| {
                        json.name("issueId").shown(id);
                        json.name("changeHistories").array(|json| {
                            entries.iter().for_each(|(_, issue, entry)| self.bulk_history(issue, entry, json));
                        });
                    });
                }
            });
            json.name("nextPageToken").text_or_null(token.map(|token| token.write()).as_deref());
        });
        json.finish()
    }

    fn bulk_history(&self, issue: &Issue, entry: &[Event], json: &mut Json) {
        let at = entry[0].at;
        match self.site.options.bulk_time {
            BulkTime::Millis => self.history_at(issue, entry, json, |json| json.plain(at)),
            BulkTime::Seconds => self.history_at(issue, entry, json, |json| json.plain(at / 1_000)),
            BulkTime::Iso => self.history(issue, entry, json),
        }
    }

    /// Writes one history entry.
    pub(super) fn history(&self, issue: &Issue, entry: &[Event], json: &mut Json) {
        self.history_at(issue, entry, json, |json| json.text(&self.site.time(entry[0].at)));
    }

    fn history_at(&self, issue: &Issue, entry: &[Event], json: &mut Json, created: impl FnOnce(&mut Json)) {
        json.object(|json| {
            json.name("id").shown(entry[0].id);
            json.name("author").raw(self.user(entry[0].author));
            json.name("created");
            created(json);
            json.name("items").array(|json| entry.iter().for_each(|event| self.items(issue, event, json)));
        });
    }

    fn items(&self, issue: &Issue, event: &Event, json: &mut Json) {
        if let Change::Moved(swap) = &event.change {
            let project = |key: crate::world::Key| self.world.project(key.project);
            let (from, to) = (project(swap.from), project(swap.to));
            let id = |project: &crate::world::Project| Some(project.id.to_string());
            let name = |project: &crate::world::Project| Some(project.name.clone());
            let ends = [(id(from), name(from)), (id(to), name(to))];
            self.item(event.at, Item { field: "project", field_id: Some(Field::Project), custom: false, ends }, json);
            let key = |key| (None, Some(self.world.key_text(key)));
            let ends = [key(swap.from), key(swap.to)];
            self.item(event.at, Item { field: "Key", field_id: None, custom: false, ends }, json);
        } else if let Some(item) = self.item_of(issue, event) {
            self.item(event.at, item, json);
        }
    }

    fn item_of(&self, issue: &Issue, event: &Event) -> Option<Item> {
        let at = event.at;
        let (field, ends) = match &event.change {
            Change::Status(swap) => ("status", both(swap, |id| self.status_end(*id))),
            Change::Resolution(swap) => ("resolution", both(swap, |id| self.resolution_end(*id))),
            Change::Priority(swap) => ("priority", both(swap, |id| self.priority_end(*id))),
            Change::Kind(swap) => ("issuetype", both(swap, |id| self.kind_end(*id))),
            Change::Assignee(swap) => ("assignee", both(swap, |id| self.user_end(*id))),
            Change::Title(swap) => ("summary", both(swap, |title| (None, Some(title.clone())))),
            Change::Labels(swap) => ("labels", both(swap, |labels| (None, Some(labels.join(" "))))),
            Change::Due(swap) => ("duedate", both(swap, |due| due_end(*due))),
            Change::Points(swap) => ("Story Points", both(swap, |points| (None, points_text(*points)))),
            Change::Sprints(swap) => ("Sprint", both(swap, |sprints| self.sprints_end(sprints))),
            Change::Flagged(up) => ("Flagged", flag_ends(issue, event, *up, lock(&self.site.names).flag())),
            Change::Ranked => ("Rank", [empty(), (Some(String::new()), Some("Ranked higher".to_owned()))]),
            Change::Parent(swap) => (self.parent_field(issue), both(swap, |id| self.parent_end(*id, at))),
            Change::Linked(link) => ("Link", [(None, None), self.link_end(link, at)]),
            Change::Unlinked(link) => ("Link", [self.link_end(link, at), (None, None)]),
            Change::Moved(_) => return None,
        };
        let custom = matches!(field, "Story Points" | "Sprint" | "Flagged" | "Rank" | "Epic Link" | "Parent Link");
        Some(Item { field, field_id: field_of(&event.change), custom, ends })
    }

    fn item(&self, at: i64, item: Item, json: &mut Json) {
        let names = lock(&self.site.names);
        let has_id = self.site.is_cloud() && (!item.custom || names.has_ids(at));
        let [(from, from_text), (to, to_text)] = item.ends;
        json.object(|json| {
            json.name("field").text(names.at(item.field, at));
            json.name("fieldtype").text(if item.custom { "custom" } else { "jira" });
            // Data Center names no ids here.
            if let Some(id) = item.field_id.filter(|_| has_id) {
                json.name("fieldId").text(&id.id(self.site.options.edition));
            }
            json.name("from").text_or_null(from.as_deref());
            json.name("fromString").text_or_null(from_text.as_deref());
            json.name("to").text_or_null(to.as_deref());
            json.name("toString").text_or_null(to_text.as_deref());
            if item.field_id == Some(Field::Assignee) && self.site.is_cloud() {
                json.name("tmpFromAccountId").text_or_null(from.as_deref());
                json.name("tmpToAccountId").text_or_null(to.as_deref());
            }
        });
    }

    fn status_end(&self, id: StatusId) -> End {
        let status = self.world.status(id);
        (Some(status.id.to_string()), Some(status.name.clone()))
    }

    fn priority_end(&self, id: PriorityId) -> End {
        let priority = &self.world.priorities[usize::from(id.0)];
        (Some(priority.id.to_string()), Some(priority.name.clone()))
    }

    fn kind_end(&self, id: TypeId) -> End {
        let kind = self.world.issue_type(id);
        (Some(kind.id.to_string()), Some(kind.name.clone()))
    }

    fn parent_end(&self, id: Option<IssueId>, at: i64) -> End {
        (id.map(|id| id.to_string()), id.map(|id| self.key_then(id, at)))
    }

    fn resolution_end(&self, id: Option<ResolutionId>) -> End {
        let resolution = id.map(|id| &self.world.resolutions[usize::from(id.0)]);
        (resolution.map(|held| held.id.to_string()), resolution.map(|held| held.name.clone()))
    }

    fn user_end(&self, id: Option<UserId>) -> End {
        let id = id.map(|id| (id, &self.world.users[usize::from(id.0)]));
        let account = id.map(|(id, user)| {
            if self.site.is_cloud() { user.account.clone() } else { format!("JIRAUSER{}", 10_100 + u32::from(id.0)) }
        });
        (account, id.map(|(_, user)| user.name.clone()))
    }

    fn sprints_end(&self, sprints: &[SprintId]) -> End {
        let ids: Vec<_> = sprints.iter().map(ToString::to_string).collect();
        let names: Vec<_> = sprints.iter().map(|id| self.world.sprint(*id).name.as_str()).collect();
        (Some(ids.join(", ")), Some(names.join(", ")))
    }

    fn link_end(&self, link: &Link, at: i64) -> End {
        let key = self.key_then(link.other, at);
        let text = LINK_TYPES
            .iter()
            .find(|(kind, ..)| *kind == link.kind)
            .map(|(.., inward, outward)| format!("This issue {} {key}", if link.outward { outward } else { inward }));
        (Some(key), text)
    }

    /// The key an issue had then.
    fn key_then(&self, id: IssueId, at: i64) -> String {
        self.world.key_text(self.world.issue(id).key_at(at))
    }

    /// What a change of parent is called: Cloud has one word, Data Center one for each level.
    fn parent_field(&self, issue: &Issue) -> &'static str {
        match self.world.issue_type(issue.fields.kind).level {
            _ if self.site.is_cloud() => "IssueParentAssociation",
            ..0 => "Parent",
            0 => "Epic Link",
            _ => "Parent Link",
        }
    }
}

/// One end of a change: the id (`from`, `to`) and the text (`fromString`, `toString`).
type End = (Option<String>, Option<String>);

struct Item {
    field: &'static str,
    field_id: Option<Field>,
    custom: bool,
    ends: [End; 2],
}

fn both<T>(swap: &Swap<T>, end: impl Fn(&T) -> End) -> [End; 2] {
    [end(&swap.from), end(&swap.to)]
}

fn due_end(due: Option<Date>) -> End {
    (due.map(|due| due.to_string()), due.map(|due| format!("{due} 00:00:00.0")))
}

fn empty() -> End {
    (Some(String::new()), Some(String::new()))
}

/// Points have no ids; a cleared value is an empty text, a value that never was is null.
fn points_text(points: Option<f32>) -> Option<String> {
    points.map(|points| points.to_string())
}

/// The first flag comes from null, a later one from the empty text that clearing leaves, as recorded.
fn flag_ends(issue: &Issue, event: &Event, up: bool, option: &str) -> [End; 2] {
    let set = (Some(format!("[{FLAG_OPTION}]")), Some(option.to_owned()));
    if !up {
        return [set, empty()];
    }
    let earlier = issue.events().iter().take_while(|earlier| earlier.id < event.id);
    let first = !earlier.into_iter().any(|earlier| matches!(earlier.change, Change::Flagged(_)));
    [if first { (None, None) } else { empty() }, set]
}

/// The field a change is of; none for those Jira itself gives no field id.
fn field_of(change: &Change) -> Option<Field> {
    Some(match change {
        Change::Status(_) => Field::Status,
        Change::Resolution(_) => Field::Resolution,
        Change::Flagged(_) => Field::Flagged,
        Change::Points(_) => Field::StoryPoints,
        Change::Sprints(_) => Field::Sprint,
        Change::Title(_) => Field::Summary,
        Change::Assignee(_) => Field::Assignee,
        Change::Priority(_) => Field::Priority,
        Change::Labels(_) => Field::Labels,
        Change::Due(_) => Field::DueDate,
        Change::Kind(_) => Field::IssueType,
        Change::Moved(_) => Field::Project,
        Change::Ranked => Field::Rank,
        Change::Parent(_) | Change::Linked(_) | Change::Unlinked(_) => return None,
    })
}
