//! What every part of the graph uses: the world at a moment, what of it Linear shows, paging, and ids.

use super::{Kind, Site, date, number_of, uuid};
use crate::graphql::{Answer, Arguments, Failure, Value, connection};
use crate::world::{Category, Issue, IssueId, LinkKind, ProjectId, StatusId, UserId, Visibility, World};
use serde_json::{Value as Json, json};

/// Rows of a page when the caller does not say how many, and the most there are.
pub(super) const USUAL_ROWS: usize = 50;
const MOST_ROWS: i64 = 250;

/// A workspace at a moment: the root of every query.
pub(super) struct Workspace<'w> {
    pub(super) site: &'w Site,
    pub(super) world: &'w World,
    pub(super) now: i64,
}

impl<'w> Workspace<'w> {
    pub(super) fn new(site: &'w Site, world: &'w World, now: i64) -> Self {
        Self { site, world, now }
    }

    /// Every issue of the world that Linear shows: those in the bin until the retention ends, those of hidden teams never.
    pub(super) fn all(&self) -> impl Iterator<Item = &'w Issue> + use<'w> {
        let (world, now, retention) = (self.world, self.now, self.site.options.retention);
        let all = (IssueId::FIRST.0..).map_while(move |id| world.get(IssueId(id)));
        all.filter(move |issue| {
            let binned = issue.deleted.is_none_or(|at| now - at < retention);
            let seen = !issue.hidden && world.project(issue.project()).visibility != Visibility::Hidden;
            binned && seen && issue.created <= now
        })
    }

    /// What level of work an issue is: −1 and 0 are issues, 1 projects, above that initiatives.
    pub(super) fn level(&self, issue: &Issue) -> i8 {
        self.world.issue_type(issue.fields.kind).level
    }

    /// Pages through rows.
    pub(super) fn rows(&self, kind: &'static str, rows: Vec<Json>, arguments: &Arguments<'_>) -> Answer<'w> {
        check_page(arguments)?;
        let archived = arguments.bool("includeArchived") == Some(true);
        let rows = rows.into_iter().filter(|row| archived || row["archivedAt"].is_null()).collect();
        let key = |row: &Json| row["id"].as_str().unwrap_or_default().to_owned();
        let page = connection(kind, rows, arguments, USUAL_ROWS, key, |row| Value::Json(row.clone()))?;
        Ok(Value::object(page))
    }

    /// When it was archived by itself, or put into the bin.
    pub(super) fn archived(&self, issue: &Issue) -> Option<i64> {
        let finished = || {
            let done = self.world.status(issue.fields.status).category == Category::Done;
            let at = issue.last_event() + self.site.options.archive_after?;
            (done && at <= self.now).then_some(at)
        };
        issue.deleted.or_else(finished)
    }

    /// When it was changed last: archiving and trashing count.
    pub(super) fn updated(&self, issue: &Issue) -> i64 {
        issue.updated.max(self.archived(issue).unwrap_or(issue.updated))
    }

    pub(super) fn user(&self, id: UserId) -> Json {
        let user = &self.world.users[usize::from(id.0)];
        let nick = user.name.to_lowercase();
        json!({"id": uuid(Kind::User, u32::from(id.0)), "name": user.name, "displayName": nick,
            "email": format!("{nick}@example.com"), "active": true, "app": user.is_bot, "archivedAt": null})
    }
}

/// A page may have 250 rows.
pub(super) fn check_page(arguments: &Arguments<'_>) -> Result<(), Failure> {
    let rows = ["first", "last"].into_iter().find_map(|name| arguments.int(name)).unwrap_or(1);
    if (1..=MOST_ROWS).contains(&rows) {
        return Ok(());
    }
    Err(Failure::new("INPUT_ERROR", "Argument Validation Error - first must not be greater than 250"))
}

/// The type of a link.
pub(super) fn kind_of_link(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Blocks => "blocks",
        LinkKind::Relates => "related",
    }
}

/// A team's state; none is the one for what was given up.
pub(super) fn state_id(team: ProjectId, status: Option<StatusId>) -> String {
    uuid(Kind::State, (u32::from(team.0) << 8) + status.map_or(255, |status| u32::from(status.0)))
}

pub(super) fn label_id(name: &str) -> String {
    uuid(Kind::Label, number_of(name))
}

pub(super) fn milestone_id(name: &str) -> String {
    uuid(Kind::Milestone, number_of(name))
}

/// A date, or null.
pub(super) fn due(due: Option<jiff::civil::Date>) -> Json {
    due.map(date).into()
}
