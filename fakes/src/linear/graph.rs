//! The roots of the graph, and how lists of it are filtered, sorted and paged.

use super::issue::{IssueNode, comment_row};
use super::view::View;
use super::workspace::{USUAL_ROWS, Workspace, check_page, kind_of_link, label_id, milestone_id, state_id};
use super::{Attachment, Kind, plan, price, time, uuid};
use crate::graphql::{Answer, Arguments, Connection, Failure, Object, Value, connection};
use crate::lock;
use crate::world::{Category, Change, Issue, Project, ProjectId, StatusId, UserId, Visibility};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

impl Object for Workspace<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn field(&self, name: &str, arguments: &Arguments<'_>) -> Answer<'_> {
        if self.site.options.unpaid.contains(&name) {
            return Err(Failure::new("FEATURE_NOT_ACCESSIBLE", format!("{name} are not part of your plan")));
        }
        Ok(match name {
            "viewer" => self.user(UserId(0)).into(),
            "organization" => json!({"id": uuid(Kind::Workspace, 1), "name": "Acme", "urlKey": "acme"}).into(),
            "rateLimitStatus" => price::Pools::status(&self.site.options, self.now).into(),
            "issues" => Value::object(self.issues(arguments)?),
            "issue" => self.issue(arguments)?,
            "issueRelations" => self.relations(arguments)?,
            "teams" => self.rows("TeamConnection", self.teams(arguments)?, arguments)?,
            "workflowStates" => self.rows("WorkflowStateConnection", self.states(), arguments)?,
            "issueLabels" => self.rows("IssueLabelConnection", self.labels(), arguments)?,
            "users" => self.rows("UserConnection", self.users(), arguments)?,
            "cycles" => self.rows("CycleConnection", self.cycles(arguments)?, arguments)?,
            "projects" => self.rows("ProjectConnection", self.projects(arguments)?, arguments)?,
            "initiatives" => self.rows("InitiativeConnection", self.initiatives(arguments)?, arguments)?,
            "projectMilestones" => self.rows("ProjectMilestoneConnection", self.milestones(), arguments)?,
            "attachments" => self.rows("AttachmentConnection", self.attachments(arguments)?, arguments)?,
            "comments" => self.comments(arguments)?,
            other => return Err(Failure::new("INTERNAL_SERVER_ERROR", format!("this fake has no {other}"))),
        })
    }
}

impl<'w> Workspace<'w> {
    fn issues(&self, arguments: &Arguments<'_>) -> Result<Connection<'w, &'w Issue>, Failure> {
        check_page(arguments)?;
        let filter = Filter::of(&arguments.json("filter"))?;
        let archived = arguments.bool("includeArchived") == Some(true);
        let mut found: Vec<&'w Issue> = self.all().filter(|issue| self.level(issue) <= 0).collect();
        found.retain(|issue| {
            let team = &self.world.project(issue.project()).key;
            let id = uuid(Kind::Issue, issue.id.0);
            (archived || self.archived(issue).is_none()) && filter.takes(&id, self.updated(issue), Some(team))
        });
        // Newest first; by creation unless it is said otherwise.
        let by_change = arguments.text("orderBy") == Some("updatedAt");
        found.sort_by_key(|issue| {
            let at = if by_change { self.updated(issue) } else { issue.created };
            (std::cmp::Reverse(at), std::cmp::Reverse(issue.id))
        });
        let (site, world, now) = (self.site, self.world, self.now);
        let key = |issue: &&'w Issue| issue.id.to_string();
        connection("IssueConnection", found, arguments, USUAL_ROWS, key, move |issue| {
            Value::object(IssueNode { root: Workspace { site, world, now }, issue })
        })
    }

    fn issue(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let wanted = arguments.text("id").unwrap_or_default();
        let named = |issue: &&Issue| {
            uuid(Kind::Issue, issue.id.0) == wanted || self.world.key_of(issue.id).eq_ignore_ascii_case(wanted)
        };
        let issue = self.all().filter(|issue| self.level(issue) <= 0).find(named);
        let issue = issue.ok_or_else(|| Failure::new("INPUT_ERROR", "Entity not found: Issue"))?;
        let Self { site, world, now } = *self;
        Ok(Value::object(IssueNode { root: Workspace { site, world, now }, issue }))
    }

    fn users(&self) -> Vec<Json> {
        (0..self.world.users.len()).map(|at| self.user(UserId(at as u16))).collect()
    }

    fn visible(&self) -> impl Iterator<Item = (ProjectId, &'w Project)> + use<'w> {
        let projects = self.world.projects.iter().enumerate();
        let projects = projects.map(|(at, project)| (ProjectId(at as u16), project));
        projects.filter(|(_, project)| project.visibility != Visibility::Hidden)
    }

    fn teams(&self, arguments: &Arguments<'_>) -> Result<Vec<Json>, Failure> {
        let filter = Filter::of(&arguments.json("filter"))?;
        let team = |(id, project): (ProjectId, &Project)| {
            let archived = (project.visibility == Visibility::Archived).then(|| time(self.now));
            let cycles = self.world.boards.iter().any(|board| board.project == id);
            json!({"id": uuid(Kind::Team, u32::from(id.0)), "key": project.key, "name": project.name, "timezone": "Etc/UTC",
                "cyclesEnabled": cycles, "issueEstimationType": "fibonacci", "archivedAt": archived})
        };
        Ok(self
            .visible()
            .map(team)
            .filter(|team| filter.takes(team["id"].as_str().unwrap_or_default(), i64::MAX, None))
            .collect())
    }

    /// The states of every team: those of the world, and one for what was given up.
    fn states(&self) -> Vec<Json> {
        let mut rows = Vec::new();
        for (team, _) in self.visible() {
            let names = self.world.statuses.iter().enumerate();
            let own = names.map(|(at, status)| (StatusId(at as u8), status.name.as_str(), kind_of(status)));
            for (id, name, kind) in
                own.map(|(id, name, kind)| (Some(id), name, kind)).chain([(None, "Canceled", "canceled")])
            {
                rows.push(json!({"id": state_id(team, id), "name": name, "type": kind, "position": rows.len(),
                    "team": {"id": uuid(Kind::Team, u32::from(team.0))}, "archivedAt": null}));
            }
        }
        rows
    }

    /// Every label that any issue has or had.
    fn labels(&self) -> Vec<Json> {
        let names = self.names(|view| view.labels);
        let label = |name: String| json!({"id": label_id(&name), "name": name, "isGroup": false, "archivedAt": null, "parent": null});
        names.into_iter().map(label).collect()
    }

    fn milestones(&self) -> Vec<Json> {
        let names = self.names(|view| view.milestone.into_iter().collect());
        names.into_iter().map(|name| json!({"id": milestone_id(&name), "name": name, "archivedAt": null})).collect()
    }

    /// Names that occur in any issue at any time.
    fn names(&self, pick: impl Fn(View) -> BTreeSet<String>) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for issue in self.all().filter(|issue| self.level(issue) <= 0) {
            let mut fields = issue.fields.clone();
            names.extend(pick(View::of(self.world, &fields)));
            for event in issue.events().iter().rev() {
                let names_change = matches!(event.change, Change::Labels(_) | Change::Kind(_) | Change::Flagged(_));
                event.change.undo(&mut fields);
                if names_change {
                    names.extend(pick(View::of(self.world, &fields)));
                }
            }
        }
        names
    }

    fn cycles(&self, arguments: &Arguments<'_>) -> Result<Vec<Json>, Failure> {
        let filter = Filter::of(&arguments.json("filter"))?;
        let rows = self.world.sprints.iter().filter(|sprint| sprint.created <= self.now);
        let seen = |row: &Json| {
            let hidden = self.world.projects.iter().filter(|project| project.visibility == Visibility::Hidden);
            let teams: Vec<_> = hidden.filter_map(|project| self.world.find_project(&project.key)).collect();
            !teams.iter().any(|team| row["team"]["id"] == uuid(Kind::Team, u32::from(team.0)))
        };
        let deleted = lock(&self.site.deleted_cycles);
        let own = rows.map(|sprint| plan::cycle(self, sprint)).filter(seen);
        let own: Vec<Json> = own.filter(|row| !deleted.contains(row["id"].as_str().unwrap_or_default())).collect();
        let sub = self.site.options.sub_team.and_then(|key| self.world.find_project(key));
        let copies: Vec<Json> = sub.iter().flat_map(|team| own.iter().map(|cycle| plan::copy(cycle, *team))).collect();
        Ok(newest_first(own.into_iter().chain(copies).collect(), &filter))
    }

    fn projects(&self, arguments: &Arguments<'_>) -> Result<Vec<Json>, Failure> {
        let filter = Filter::of(&arguments.json("filter"))?;
        let epics = self.all().filter(|issue| self.level(issue) == 1);
        Ok(newest_first(epics.map(|epic| plan::project(self, epic)).collect(), &filter))
    }

    fn initiatives(&self, arguments: &Arguments<'_>) -> Result<Vec<Json>, Failure> {
        let filter = Filter::of(&arguments.json("filter"))?;
        let tops = self.all().filter(|issue| self.level(issue) > 1);
        Ok(newest_first(tops.map(|top| plan::initiative(self, top)).collect(), &filter))
    }

    fn attachments(&self, arguments: &Arguments<'_>) -> Result<Vec<Json>, Failure> {
        let filter = Filter::of(&arguments.json("filter"))?;
        let row = |attachment: &Attachment| {
            json!({"id": uuid(Kind::Attachment, attachment.number), "url": attachment.url, "title": attachment.title,
                "sourceType": "github", "metadata": {}, "createdAt": time(attachment.at), "updatedAt": time(attachment.at),
                "creator": self.user(UserId(0)), "issue": {"id": uuid(Kind::Issue, attachment.issue.0)}, "archivedAt": null})
        };
        Ok(newest_first(lock(&self.site.attachments).iter().map(row).collect(), &filter))
    }

    fn comments(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let filter = Filter::of(&arguments.json("filter"))?;
        let mut rows = Vec::new();
        for issue in self.all().filter(|issue| self.level(issue) <= 0) {
            let team = &self.world.project(issue.project()).key;
            if filter.teams.as_ref().is_none_or(|teams| teams.contains(team)) {
                rows.extend(issue.comments.iter().map(|comment| comment_row(issue, comment)));
            }
        }
        let rows = newest_first(rows, &filter);
        self.rows("CommentConnection", rows, arguments)
    }

    /// All links, the newest first: when one was made, the issue it starts from says.
    fn relations(&self, arguments: &Arguments<'_>) -> Answer<'w> {
        let mut rows = Vec::new();
        for issue in self.all().filter(|issue| self.level(issue) <= 0) {
            for link in issue.fields.links.iter().filter(|link| link.outward) {
                let made = issue.events().iter().rev().find_map(|event| match &event.change {
                    Change::Linked(held) if held.id == link.id => Some(event.at),
                    _ => None,
                });
                rows.push(json!({"id": uuid(Kind::Link, link.id), "type": kind_of_link(link.kind),
                    "updatedAt": time(made.unwrap_or(issue.created)), "archivedAt": null,
                    "issue": {"id": uuid(Kind::Issue, issue.id.0)},
                    "relatedIssue": {"id": uuid(Kind::Issue, link.other.0)}}));
            }
        }
        let rows = newest_first(rows, &Filter::default());
        self.rows("IssueRelationConnection", rows, arguments)
    }
}

/// The rows that the filter takes, by change, the newest first.
fn newest_first(rows: Vec<Json>, filter: &Filter) -> Vec<Json> {
    let text = |row: &Json, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let taken = |row: &Json| {
        let at = text(row, "updatedAt").parse::<jiff::Timestamp>().map_or(0, |at| at.as_millisecond());
        filter.takes(&text(row, "id"), at, None) || (filter.or_active && row["isActive"] == true)
    };
    let mut rows: Vec<Json> = rows.into_iter().filter(taken).collect();
    rows.sort_by_key(|row| std::cmp::Reverse((text(row, "updatedAt"), text(row, "id"))));
    rows
}

/// As much of the filters as this fake knows. Anything else is an error, not a filter that takes everything.
#[derive(Default)]
struct Filter {
    ids: Option<Vec<String>>,
    since: Option<i64>,
    teams: Option<Vec<String>>,
    or_active: bool,
}

impl Filter {
    fn of(filter: &Json) -> Result<Self, Failure> {
        let mut read = Self::default();
        for (name, value) in filter.as_object().into_iter().flatten() {
            read.add(name, value)?;
        }
        Ok(read)
    }

    fn add(&mut self, name: &str, value: &Json) -> Result<(), Failure> {
        let texts = |value: &Json| -> Option<Vec<String>> {
            let one = value["eq"].as_str().map(|text| vec![text.to_owned()]);
            let many = || Some(value["in"].as_array()?.iter().filter_map(Json::as_str).map(str::to_owned).collect());
            one.or_else(many)
        };
        let unknown = || Failure::new("INTERNAL_SERVER_ERROR", format!("this fake does not filter by {name}"));
        match name {
            "id" => self.ids = Some(texts(value).ok_or_else(unknown)?),
            "team" => self.teams = Some(texts(&value["key"]).ok_or_else(unknown)?),
            "updatedAt" => {
                let since = value["gte"].as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
                self.since = Some(since.ok_or_else(unknown)?.as_millisecond());
            }
            "issue" => self.add("team", &value["team"])?,
            "isActive" if value["eq"] == true => self.or_active = true,
            "or" => {
                for one in value.as_array().into_iter().flatten() {
                    let Self { ids, since, teams, or_active } = Self::of(one)?;
                    self.ids = ids.or(self.ids.take());
                    self.since = since.or(self.since.take());
                    self.teams = teams.or(self.teams.take());
                    self.or_active |= or_active;
                }
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    fn takes(&self, id: &str, updated: i64, team: Option<&str>) -> bool {
        let among = |list: &Option<Vec<String>>, word: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|one| one == word))
        };
        among(&self.ids, id)
            && self.since.is_none_or(|since| updated >= since)
            && team.is_none_or(|team| among(&self.teams, team))
    }
}

/// The type of a status of the world.
fn kind_of(status: &crate::world::Status) -> &'static str {
    match (status.category, status.stage) {
        (Category::New, crate::world::Stage::Backlog) => "backlog",
        (Category::New, _) => "unstarted",
        (Category::Indeterminate, _) => "started",
        (Category::Done, _) => "completed",
    }
}
