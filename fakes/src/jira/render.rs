//! Writes issues. What many issues share (people, statuses, types) is written once per answer and pasted.

use super::fields::{Field, Selection};
use super::json::{self, Json};
use super::{Site, agile_time};
use crate::world::{Category, Change, Comment, Issue, Link, LinkKind, Sprint, SprintState, UserId, Visibility, World};

const ISSUE_EXPAND: &str = "operations,versionedRepresentations,editmeta,changelog,renderedFields";
/// What link types are called: id, name, inward and outward text.
pub(super) const LINK_TYPES: [(LinkKind, u32, &str, &str, &str); 2] = [
    (LinkKind::Blocks, 10_000, "Blocks", "is blocked by", "blocks"),
    (LinkKind::Relates, 10_003, "Relates", "relates to", "relates to"),
];
/// The option that the Flagged field holds.
pub(super) const FLAG_OPTION: u32 = 10_019;

/// A world about to be written for one answer.
pub(super) struct Page<'w> {
    pub(super) site: &'w Site,
    pub(super) world: &'w World,
    pub(super) base: &'w str,
    users: Vec<String>,
    statuses: Vec<String>,
    types: Vec<String>,
    priorities: Vec<String>,
    resolutions: Vec<String>,
    projects: Vec<String>,
    sprints: Vec<String>,
}

impl<'w> Page<'w> {
    pub(super) fn new(site: &'w Site, world: &'w World, base: &'w str) -> Self {
        let mut page = Self {
            site,
            world,
            base,
            users: vec![],
            statuses: vec![],
            types: vec![],
            priorities: vec![],
            resolutions: vec![],
            projects: vec![],
            sprints: vec![],
        };
        page.users = (0..world.users.len()).map(|n| page.user_text(UserId(n as u16))).collect();
        page.statuses = world.statuses.iter().map(|status| page.status_text(status)).collect();
        page.types = world.types.iter().map(|kind| page.type_text(kind, false)).collect();
        page.priorities = world.priorities.iter().map(|priority| page.priority_text(priority)).collect();
        page.resolutions = world.resolutions.iter().map(|resolution| page.resolution_text(resolution)).collect();
        page.projects = world.projects.iter().map(|project| page.project_text(project)).collect();
        page.sprints = world.sprints.iter().map(|sprint| page.sprint_text(sprint)).collect();
        page
    }

    /// A person's fragment.
    pub(super) fn user(&self, id: UserId) -> &str {
        &self.users[usize::from(id.0)]
    }

    pub(super) fn statuses(&self) -> &[String] {
        &self.statuses
    }

    /// The rows of the table of types; only there does Cloud show the untranslated name.
    pub(super) fn types(&self) -> Vec<String> {
        self.world.types.iter().map(|kind| self.type_text(kind, self.site.is_cloud())).collect()
    }

    pub(super) fn priorities(&self) -> &[String] {
        &self.priorities
    }

    pub(super) fn resolutions(&self) -> &[String] {
        &self.resolutions
    }

    /// The address of a resource of the platform API. Fragments inside issues point to version 2 even on Cloud, as in
    /// recorded answers.
    pub(super) fn resource(&self, kind: &str, id: impl std::fmt::Display) -> String {
        format!("{}/rest/api/2/{kind}/{id}", self.base)
    }

    /// Whether the account may see an issue at all.
    pub(super) fn sees(&self, issue: &Issue) -> bool {
        let visibility = self.world.project(issue.project()).visibility;
        issue.deleted.is_none() && !issue.hidden && visibility != Visibility::Hidden
    }

    /// Writes an issue with the selected fields and, when wanted, so many of its newest histories.
    pub(super) fn issue(&self, issue: &Issue, selection: &Selection, changelog: Changelog, json: &mut Json) {
        json.object(|json| {
            if selection.bare {
                json.name("id").shown(issue.id);
                return;
            }
            json.name("expand").text(ISSUE_EXPAND);
            json.name("id").shown(issue.id);
            json.name("self").text(&format!("{}/rest/api/{}/issue/{}", self.base, self.site.version(), issue.id));
            json.name("key").text(&self.world.key_text(issue.fields.key));
            if changelog != Changelog::None {
                json.name("changelog").object(|json| self.changelog(issue, changelog, json));
            }
            if !selection.fields.is_empty() {
                json.name("fields").object(|json| {
                    selection.fields.iter().for_each(|(id, field)| self.field(issue, id, *field, json));
                });
            }
        });
    }

    fn changelog(&self, issue: &Issue, changelog: Changelog, json: &mut Json) {
        let total = issue.entries().count();
        let shown = match changelog {
            Changelog::Newest(most) => total.min(most),
            _ => total,
        };
        json.name("startAt").plain(0);
        json.name("maxResults").plain(shown);
        json.name("total").plain(total);
        json.name("histories").array(|json| {
            if changelog == Changelog::Complete {
                issue.entries().for_each(|entry| self.history(issue, entry, json));
            } else {
                issue.entries().rev().take(shown).for_each(|entry| self.history(issue, entry, json));
            }
        });
    }

    fn field(&self, issue: &Issue, id: &str, field: Field, json: &mut Json) {
        // Absent, not null: these two are only there when they hold something.
        let parent = self.parent(issue, field);
        if matches!(field, Field::Parent) && parent.is_none() {
            return;
        }
        json.name(id);
        match field {
            Field::Parent => self.short_issue(parent, json),
            Field::EpicLink | Field::ParentLink => self.key_or_null(parent, json),
            Field::Subtasks => json.array(|json| self.subtasks(issue, json)),
            Field::IssueLinks => json.array(|json| issue.fields.links.iter().for_each(|link| self.link(link, json))),
            Field::Sprint => self.sprint_field(issue, json),
            Field::Flagged => self.flagged(issue, json),
            Field::Created => json.text(&self.site.time(issue.created)),
            Field::Updated => json.text(&self.site.time(issue.updated)),
            Field::ResolutionDate => self.time_or_null(resolved(issue), json),
            Field::StatusCategoryChangeDate => self.time_or_null(Some(self.category_changed(issue)), json),
            _ => self.plain_field(issue, field, json),
        }
    }

    fn plain_field(&self, issue: &Issue, field: Field, json: &mut Json) {
        let fields = &issue.fields;
        match field {
            Field::Summary => json.text(&fields.title),
            Field::IssueType => json.raw(&self.types[usize::from(fields.kind.0)]),
            Field::Status => json.raw(&self.statuses[usize::from(fields.status.0)]),
            Field::Priority => json.raw(&self.priorities[usize::from(fields.priority.0)]),
            Field::Resolution => raw_or_null(fields.resolution.map(|id| &self.resolutions[usize::from(id.0)]), json),
            Field::Project => json.raw(&self.projects[usize::from(fields.key.project.0)]),
            Field::Assignee => raw_or_null(fields.assignee.map(|id| self.user(id)), json),
            Field::Reporter => json.raw(self.user(issue.reporter)),
            Field::Creator => json.raw(self.user(issue.creator)),
            Field::Labels => json.array(|json| fields.labels.iter().for_each(|label| json.text(label))),
            Field::Components | Field::FixVersions | Field::Versions => json.array(|_| {}),
            Field::DueDate => json.text_or_null(fields.due.map(|due| due.to_string()).as_deref()),
            Field::StoryPoints => number_or_null(fields.points, json),
            Field::OriginalEstimate | Field::RemainingEstimate => number_or_null(fields.time_estimate, json),
            Field::TimeTracking => json.object(|json| time_tracking(fields.time_estimate, json)),
            Field::Workratio => json.plain(-1),
            Field::Rank => json.shown(format_args!("0|i{:05}:", issue.id.0)),
            Field::EpicName if self.world.issue_type(fields.kind).level == 1 => json.text(&fields.title),
            Field::Comment => json.object(|json| self.newest_comments(issue, json)),
            Field::Watches => json.raw(r#"{"watchCount":1,"isWatching":false}"#),
            Field::Votes => json.raw(r#"{"votes":0,"hasVoted":false}"#),
            // What our worlds do not have.
            _ => json.plain("null"),
        }
    }

    /// The parent as far as a field shows it. Cloud has one field for all; Data Center one for each level.
    fn parent(&self, issue: &Issue, field: Field) -> Option<&'w Issue> {
        let level = self.world.issue_type(issue.fields.kind).level;
        let shown = match field {
            Field::Parent => self.site.is_cloud() || level < 0,
            Field::EpicLink => level == 0,
            Field::ParentLink => level > 0 && !self.site.is_cloud(),
            _ => return None,
        };
        let parent = issue.fields.parent.filter(|_| shown)?;
        Some(self.world.issue(parent)).filter(|parent| self.sees(parent))
    }

    fn subtasks(&self, issue: &Issue, json: &mut Json) {
        let parts = self.world.children(issue.id).filter(|child| self.world.issue_type(child.fields.kind).level < 0);
        parts.filter(|child| self.sees(child)).for_each(|child| self.short_issue(Some(child), json));
    }

    fn key_or_null(&self, issue: Option<&Issue>, json: &mut Json) {
        json.text_or_null(issue.map(|issue| self.world.key_text(issue.fields.key)).as_deref());
    }

    fn time_or_null(&self, at: Option<i64>, json: &mut Json) {
        json.text_or_null(at.map(|at| self.site.time(at)).as_deref());
    }

    /// An issue as other issues show it.
    fn short_issue(&self, issue: Option<&Issue>, json: &mut Json) {
        let Some(issue) = issue else { return json.plain("null") };
        json.object(|json| {
            json.name("id").shown(issue.id);
            json.name("key").text(&self.world.key_text(issue.fields.key));
            json.name("self").text(&self.resource("issue", issue.id));
            json.name("fields").object(|json| {
                for (name, field) in [
                    ("summary", Field::Summary),
                    ("status", Field::Status),
                    ("priority", Field::Priority),
                    ("issuetype", Field::IssueType),
                ] {
                    json.name(name);
                    self.plain_field(issue, field, json);
                }
            });
        });
    }

    /// A link as one end shows it: the side the other issue is on gives the direction.
    fn link(&self, link: &Link, json: &mut Json) {
        let other = self.world.issue(link.other);
        let Some(kind) = LINK_TYPES.iter().find(|(kind, ..)| *kind == link.kind).filter(|_| self.sees(other)) else {
            return;
        };
        json.object(|json| {
            json.name("id").shown(link.id);
            json.name("self").text(&self.resource("issueLink", link.id));
            json.name("type").object(|json| self.link_type(kind, json));
            json.name(if link.outward { "outwardIssue" } else { "inwardIssue" });
            self.short_issue(Some(other), json);
        });
    }

    pub(super) fn link_type(
        &self,
        (_, id, name, inward, outward): &(LinkKind, u32, &str, &str, &str),
        json: &mut Json,
    ) {
        json.name("id").shown(id);
        json.name("name").text(name);
        json.name("inward").text(inward);
        json.name("outward").text(outward);
        json.name("self").text(&self.resource("issueLinkType", id));
    }

    /// Comments as they come with an issue. Cloud gives the newest hundred, and how many there are: the oldest of 120 were the
    /// ones left out (atlassian/atlassian-mcp-server#230). Data Center gives all.
    fn newest_comments(&self, issue: &Issue, json: &mut Json) {
        let total = issue.comments.len();
        let most = if self.site.is_cloud() { self.site.options.inline_comments } else { usize::MAX };
        let shown = &issue.comments[total.saturating_sub(most)..];
        self.comments(issue, shown, json);
        json.name("maxResults").plain(shown.len());
        json.name("total").plain(total);
        json.name("startAt").plain(0);
    }

    /// Some of an issue's comments. Version 2 has their texts as they were written, version 3 as documents.
    pub(super) fn comments(&self, issue: &Issue, shown: &[Comment], json: &mut Json) {
        json.name("comments").array(|json| {
            for comment in shown {
                json.object(|json| {
                    let path = format!("{}/comment/{}", issue.id, comment.id);
                    json.name("self").text(&self.resource("issue", path));
                    json.name("id").text(&comment.id.to_string());
                    json.name("author").raw(self.user(comment.author));
                    json.name("body");
                    self.comment_text(comment.text, json);
                    json.name("updateAuthor").raw(self.user(comment.author));
                    json.name("created").text(&self.site.time(comment.at));
                    json.name("updated").text(&self.site.time(comment.at));
                });
            }
        });
    }

    fn comment_text(&self, text: &str, json: &mut Json) {
        if !self.site.is_cloud() {
            return json.text(text);
        }
        json.object(|json| {
            json.name("type").text("doc");
            json.name("version").plain(1);
            json.name("content").array(|json| {
                json.object(|json| {
                    json.name("type").text("paragraph");
                    json.name("content").array(|json| {
                        json.object(|json| {
                            json.name("type").text("text");
                            json.name("text").text(text);
                        });
                    });
                });
            });
        });
    }

    fn sprint_field(&self, issue: &Issue, json: &mut Json) {
        if issue.fields.sprints.is_empty() {
            return json.plain("null");
        }
        json.array(|json| {
            for sprint in &issue.fields.sprints {
                json.raw(&self.sprints[sprint.0 as usize - 1]);
            }
        });
    }

    fn flagged(&self, issue: &Issue, json: &mut Json) {
        if !issue.fields.flagged {
            return json.plain("null");
        }
        json.array(|json| {
            json.object(|json| {
                json.name("self").text(&self.resource("customFieldOption", FLAG_OPTION));
                json.name("value").text(crate::lock(&self.site.names).flag());
                json.name("id").shown(FLAG_OPTION);
            });
        });
    }

    fn category_changed(&self, issue: &Issue) -> i64 {
        let category = |status| self.world.status(status).category;
        let changed = issue.events().iter().rev().find(|event| match &event.change {
            Change::Status(swap) => category(swap.from) != category(swap.to),
            _ => false,
        });
        changed.map_or(issue.created, |event| event.at)
    }

    fn user_text(&self, id: UserId) -> String {
        let user = &self.world.users[usize::from(id.0)];
        let zone = &self.site.options.time_zone;
        json::object(|json| {
            if self.site.is_cloud() {
                json.name("self")
                    .text(&self.resource("user", format_args!("?accountId={}", user.account)).replace("/?", "?"));
                json.name("accountId").text(&user.account);
            } else {
                let name = user.name.to_lowercase();
                json.name("self").text(&format!("{}/rest/api/2/user?username={name}", self.base));
                json.name("name").text(&name);
                json.name("key").text(&format!("JIRAUSER{}", 10_100 + u32::from(id.0)));
                json.name("emailAddress").text(&format!("{name}@example.com"));
            }
            json.name("avatarUrls").object(|json| self.avatars(json));
            json.name("displayName").text(&user.name);
            json.name("active").plain(true);
            json.name("timeZone").text(zone);
            if self.site.is_cloud() {
                json.name("accountType").text("atlassian");
            }
        })
    }

    pub(super) fn avatars(&self, json: &mut Json) {
        for size in ["48x48", "24x24", "16x16", "32x32"] {
            json.name(size).text(&format!("{}/secure/useravatar?size={size}", self.base));
        }
    }

    fn status_text(&self, status: &crate::world::Status) -> String {
        let (number, key, color, name) = match status.category {
            Category::New => (2, "new", "blue-gray", "To Do"),
            Category::Indeterminate => (4, "indeterminate", "yellow", "In Progress"),
            Category::Done => (3, "done", "green", "Done"),
        };
        json::object(|json| {
            json.name("self").text(&self.resource("status", status.id));
            json.name("description").text("");
            json.name("iconUrl").text(&format!("{}/images/icons/statuses/generic.png", self.base));
            json.name("name").text(&status.name);
            json.name("id").shown(status.id);
            json.name("statusCategory").object(|json| {
                json.name("self").text(&self.resource("statuscategory", number));
                json.name("id").plain(number);
                json.name("key").text(key);
                json.name("colorName").text(color);
                json.name("name").text(name);
            });
        })
    }

    fn type_text(&self, kind: &crate::world::IssueType, untranslated: bool) -> String {
        json::object(|json| {
            json.name("self").text(&self.resource("issuetype", kind.id));
            json.name("id").shown(kind.id);
            json.name("description").text(&kind.description);
            json.name("iconUrl").text(&format!("{}/images/icons/issuetypes/{}.svg", self.base, kind.id));
            json.name("name").text(&kind.name);
            if untranslated {
                json.name("untranslatedName").text(&kind.name);
            }
            json.name("subtask").plain(kind.level < 0);
            json.name("avatarId").plain(10_300 + kind.id % 100);
            if self.site.is_cloud() {
                json.name("hierarchyLevel").plain(kind.level);
            }
        })
    }

    fn priority_text(&self, priority: &crate::world::Priority) -> String {
        json::object(|json| {
            json.name("self").text(&self.resource("priority", priority.id));
            let icon = priority.name.to_lowercase();
            json.name("iconUrl").text(&format!("{}/images/icons/priorities/{icon}.svg", self.base));
            json.name("name").text(&priority.name);
            json.name("id").shown(priority.id);
        })
    }

    fn resolution_text(&self, resolution: &crate::world::Resolution) -> String {
        json::object(|json| {
            json.name("self").text(&self.resource("resolution", resolution.id));
            json.name("id").shown(resolution.id);
            json.name("description").text(&resolution.description);
            json.name("name").text(&resolution.name);
        })
    }

    fn project_text(&self, project: &crate::world::Project) -> String {
        json::object(|json| {
            json.name("self").text(&self.resource("project", project.id));
            json.name("id").shown(project.id);
            json.name("key").text(&project.key);
            json.name("name").text(&project.name);
            json.name("projectTypeKey").text("software");
            json.name("simplified").plain(false);
            json.name("avatarUrls").object(|json| self.avatars(json));
        })
    }

    fn sprint_text(&self, sprint: &Sprint) -> String {
        if self.site.is_cloud() { sprint_object(sprint) } else { sprint_string(sprint) }
    }
}

/// How much of an issue's history goes along with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changelog {
    None,
    /// So many, newest first; Cloud leaves out the rest silently.
    Newest(usize),
    /// All, oldest first.
    Complete,
}

/// The word for a sprint's state.
pub(super) fn state(sprint: &Sprint) -> &'static str {
    match sprint.state {
        SprintState::Closed => "closed",
        SprintState::Active => "active",
        SprintState::Future => "future",
    }
}

fn sprint_object(sprint: &Sprint) -> String {
    json::object(|json| {
        json.name("id").plain(sprint.id);
        json.name("name").text(&sprint.name);
        json.name("state").text(state(sprint));
        json.name("boardId").plain(sprint.board);
        json.name("goal").text(&sprint.goal);
        let dates = [("startDate", sprint.start), ("endDate", sprint.end), ("completeDate", sprint.completed)];
        for (name, at) in dates {
            if let Some(at) = at {
                json.name(name).text(&agile_time(at));
            }
        }
    })
}

/// The old way: what Java prints of the object.
fn sprint_string(sprint: &Sprint) -> String {
    let time = |at: Option<i64>| at.map_or_else(|| "<null>".to_owned(), agile_time);
    let text = format!(
        "com.atlassian.greenhopper.service.sprint.Sprint@{:x}[id={},rapidViewId={},state={},name={},startDate={},\
         endDate={},completeDate={},activatedDate={},sequence={},goal={},autoStartStop=false,synced=false]",
        0x1f00 + sprint.id.0,
        sprint.id,
        sprint.board,
        state(sprint).to_uppercase(),
        sprint.name,
        time(sprint.start),
        time(sprint.end),
        time(sprint.completed),
        time(sprint.start),
        sprint.id,
        sprint.goal,
    );
    let mut json = Json::default();
    json.text(&text);
    json.finish()
}

/// When it was resolved last, if it is resolved.
fn resolved(issue: &Issue) -> Option<i64> {
    issue.fields.resolution?;
    let set = |change: &Change| matches!(change, Change::Resolution(swap) if swap.to.is_some());
    issue.events().iter().rev().find(|event| set(&event.change)).map(|event| event.at)
}

fn raw_or_null<S: AsRef<str>>(value: Option<S>, json: &mut Json) {
    json.raw(value.as_ref().map_or("null", AsRef::as_ref));
}

fn number_or_null(value: Option<impl Into<f64>>, json: &mut Json) {
    match value {
        // With a decimal point even when whole, as recorded.
        Some(value) => json.plain(format_args!("{:?}", value.into())),
        None => json.plain("null"),
    }
}

fn time_tracking(seconds: Option<u32>, json: &mut Json) {
    if let Some(seconds) = seconds {
        for (text, number) in
            [("originalEstimate", "originalEstimateSeconds"), ("remainingEstimate", "remainingEstimateSeconds")]
        {
            json.name(text).text(&format!("{}h", seconds / 3_600));
            json.name(number).plain(seconds);
        }
    }
}
