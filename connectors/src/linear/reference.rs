//! Reference data of a workspace: what the ids in issues and histories mean.
//!
//! [`Reference`] is stored between runs. Rows are never removed: archived teams, states and labels still appear in
//! histories after Linear stopped listing them. Everything here is pure; it is made of answers that [`super::api`] fetched.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use contextcore_core::model::time::DAY;
use serde::{Deserialize, Serialize};

use super::rows::Row;
use super::settings::Settings;
use super::wire::{Connection, Named, Organization, Ref, User, is_absent};
use crate::cursor::PageInfo;

/// How long it is good for.
const AGE: i64 = DAY;

/// Teams that can be asked about at once.
const MOST: usize = 250;

/// How many they are.
pub(super) const LISTS: usize = 6;

/// The connections it is made of.
const CONNECTIONS: [&str; LISTS] = ["teams", "states", "labels", "users", "cycles", "milestones"];

/// Names by id.
type Names = BTreeMap<Box<str>, Box<str>>;

/// What is known of a workspace between polls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    /// When it was fetched.
    pub(super) fetched_at: Millis,
    pub(super) organization: Organization,
    pub(super) teams: BTreeMap<Box<str>, KnownTeam>,
    /// The teams that were listed last: the token may have lost the others.
    pub(super) listed: BTreeSet<Box<str>>,
    pub(super) states: BTreeMap<Box<str>, KnownState>,
    pub(super) labels: Names,
    pub(super) users: Names,
    /// Milestones of projects.
    pub(super) milestones: Names,
    /// Cycles, and for those of sub-teams the one they are a copy of.
    pub(super) cycles: BTreeMap<Box<str>, Option<Box<str>>>,
    /// Lists that are refused, and since when.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) refused: BTreeMap<Box<str>, Millis>,
    /// Lists that could not be read yet: what they would name has no name.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) absent: BTreeSet<Box<str>>,
    /// Ids that the workspace does not list (deleted since): they are not looked for again.
    pub(super) missing: BTreeSet<String>,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownTeam {
    pub(super) key: Box<str>,
    pub(super) name: Box<str>,
    pub(super) cycles: bool,
}

/// A workflow state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownState {
    pub(super) name: Box<str>,
    /// `triage`, `backlog`, `unstarted`, `started`, `completed`, `canceled` or `duplicate`.
    pub(super) kind: Box<str>,
    pub(super) team: Option<Box<str>>,
}

/// A team, as the list gives it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Team {
    id: Box<str>,
    #[serde(default)]
    key: Box<str>,
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    cycles_enabled: bool,
}

/// A state, as the list gives it.
#[derive(Debug, Deserialize)]
pub(super) struct StateRow {
    id: Box<str>,
    #[serde(default)]
    name: Box<str>,
    #[serde(default, rename = "type")]
    kind: Box<str>,
    team: Option<Ref>,
}

/// A cycle, as the list gives it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CycleRow {
    id: Box<str>,
    inherited_from: Option<Ref>,
    archived_at: Option<Box<str>>,
    completed_at: Option<Box<str>>,
}

impl CycleRow {
    /// The id of the sprint it is, unless it was deleted: archived before its end.
    pub(super) fn alive(&self) -> Option<&str> {
        let is_deleted = self.archived_at.is_some() && self.completed_at.is_none();
        let original = self.inherited_from.as_ref().map_or(&*self.id, |original| &*original.id);
        (!is_deleted).then_some(original)
    }
}

/// The page cursors of the reference data's lists: every list from its start, then those that have another page.
pub(super) type Cursors = BTreeMap<&'static str, Option<String>>;

/// A page of each connection of the reference data.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReferencePage {
    pub(super) viewer: User,
    pub(super) organization: Organization,
    pub(super) teams: Option<Connection<Row<Team>>>,
    pub(super) workflow_states: Option<Connection<Row<StateRow>>>,
    pub(super) issue_labels: Option<Connection<Row<Named>>>,
    pub(super) users: Option<Connection<Row<Named>>>,
    pub(super) cycles: Option<Connection<Row<CycleRow>>>,
    pub(super) project_milestones: Option<Connection<Row<Named>>>,
}

impl ReferencePage {
    /// The first of these lists that did not come.
    pub(super) fn absent(&self, asked: &Cursors) -> Option<&'static str> {
        let is_absent = |name: &str| match name {
            "teams" => is_absent(self.teams.as_ref()),
            "states" => is_absent(self.workflow_states.as_ref()),
            "labels" => is_absent(self.issue_labels.as_ref()),
            "users" => is_absent(self.users.as_ref()),
            "cycles" => is_absent(self.cycles.as_ref()),
            _ => is_absent(self.project_milestones.as_ref()),
        };
        asked.keys().copied().find(|name| is_absent(name))
    }
}

impl Reference {
    /// What Linear does not report again: rows that it no longer lists.
    pub(super) fn past(self) -> Self {
        Self {
            fetched_at: Millis(0),
            listed: BTreeSet::new(),
            refused: BTreeMap::new(),
            missing: BTreeSet::new(),
            ..self
        }
    }

    /// Whether it is too old, or lacks something that was met and is not known to be gone.
    pub(super) fn is_due(&self, now: Millis, unknown: &BTreeSet<String>) -> bool {
        now.0 - self.fetched_at.0 >= AGE || unknown.iter().any(|id| !self.missing.contains(id))
    }

    /// Takes a page in. What goes on, and from where.
    pub(super) fn take(&mut self, page: ReferencePage) -> Cursors {
        let mut more = Cursors::new();
        self.organization = page.organization;
        for team in rows("teams", page.teams, &mut more) {
            self.listed.insert(team.id.clone());
            self.teams.insert(team.id, KnownTeam { key: team.key, name: team.name, cycles: team.cycles_enabled });
        }
        for state in rows("states", page.workflow_states, &mut more) {
            let known = KnownState { name: state.name, kind: state.kind, team: state.team.map(|team| team.id) };
            self.states.insert(state.id, known);
        }
        let named = |row: Named| (row.id, row.name);
        self.labels.extend(rows("labels", page.issue_labels, &mut more).into_iter().map(named));
        self.users.extend(rows("users", page.users, &mut more).into_iter().map(named));
        self.milestones.extend(rows("milestones", page.project_milestones, &mut more).into_iter().map(named));
        let cycles = rows("cycles", page.cycles, &mut more).into_iter();
        self.cycles.extend(cycles.map(|cycle| (cycle.id, cycle.inherited_from.map(|original| original.id))));
        more
    }

    /// Takes over what was read of some lists. What they do not list any more is still known.
    pub(super) fn merge(&mut self, read: Self, lists_teams: bool) {
        let Self { organization, teams, listed, states, labels, users, milestones, cycles, .. } = read;
        self.organization = organization;
        if lists_teams {
            self.listed = listed;
        }
        self.teams.extend(teams);
        self.states.extend(states);
        self.labels.extend(labels);
        self.users.extend(users);
        self.milestones.extend(milestones);
        self.cycles.extend(cycles);
    }

    /// Whether nothing can be understood without this list: none of its rows is known.
    pub(super) fn needs(&self, list: &str, settings: &Settings) -> bool {
        match list {
            "teams" => self.teams.is_empty() && !settings.teams.is_empty(),
            "states" => self.states.is_empty(),
            _ => false,
        }
    }

    /// Notes that a list cannot be read.
    pub(super) fn lacks(&mut self, list: &str) {
        let is_known = match list {
            "teams" => !self.teams.is_empty(),
            "states" => !self.states.is_empty(),
            "labels" => !self.labels.is_empty(),
            "users" => !self.users.is_empty(),
            "cycles" => !self.cycles.is_empty(),
            _ => !self.milestones.is_empty(),
        };
        if !is_known {
            self.absent.insert(list.into());
        }
    }

    /// Notes that a list was read.
    pub(super) fn has(&mut self, list: &str) {
        self.refused.remove(list);
        self.absent.remove(list);
    }

    /// Notes that a list is refused, which every token may read. Returns since when.
    pub(super) fn refuse(&mut self, list: &str, now: Millis) -> Millis {
        *self.refused.entry(list.into()).or_insert(now)
    }

    /// The time of fetching by which the data is too old in so many milliseconds.
    pub(super) fn due_in(now: Millis, rest: i64) -> Millis {
        now.plus(rest - AGE)
    }

    /// Every connection from its start.
    pub(super) fn from_start() -> Cursors {
        CONNECTIONS.into_iter().map(|name| (name, None)).collect()
    }

    /// Whether this name (`state:…`, `label:…`) can be resolved.
    pub(super) fn knows(&self, name: &str) -> bool {
        let Some((kind, id)) = name.split_once(':') else { return true };
        match kind {
            "state" => self.states.contains_key(id),
            "team" => self.teams.contains_key(id),
            "label" => self.labels.contains_key(id),
            "user" => self.users.contains_key(id),
            "milestone" => self.milestones.contains_key(id),
            "cycle" => self.cycles.contains_key(id),
            _ => true,
        }
    }

    /// The key of a team.
    pub(super) fn team_key(&self, id: &str) -> Option<&str> {
        self.teams.get(id).map(|team| &*team.key)
    }

    /// The cycle that counts for this one: a sub-team's copy is its original.
    pub(super) fn cycle<'a>(&'a self, id: &'a str) -> &'a str {
        self.cycles.get(id).and_then(|original| original.as_deref()).unwrap_or(id)
    }

    /// Whether issues of this team are read. An unknown team is new, and read when all are.
    pub(super) fn wants(&self, settings: &Settings, team: &str) -> bool {
        settings.teams.is_empty() || self.team_key(team).is_some_and(|key| settings.wants(key))
    }

    /// Ids of the configured teams that were ever listed: whether the token may see them is asked by every run. None when all
    /// teams are read, or more than can be asked about at once.
    pub(super) fn named(&self, settings: &Settings) -> Vec<&str> {
        let wanted = self.teams.iter().filter(|(_, team)| !settings.teams.is_empty() && settings.wants(&team.key));
        let ids: Vec<&str> = wanted.map(|(id, _)| &**id).collect();
        if ids.len() > MOST { Vec::new() } else { ids }
    }

    /// Notes which of the teams asked about the token may see now.
    pub(super) fn note_visible(&mut self, asked: &[Box<str>], seen: &BTreeSet<Box<str>>) {
        self.listed.retain(|id| !asked.contains(id));
        self.listed.extend(asked.iter().filter(|id| seen.contains(*id)).cloned());
    }

    /// The configured teams as the workspace writes them, and those it does not know.
    pub(super) fn configured(&self, settings: &Settings) -> (Vec<String>, Vec<String>) {
        let mut split = (Vec::new(), Vec::new());
        for wanted in &settings.teams {
            let mut listed = self.listed.iter().filter_map(|id| self.team_key(id));
            match listed.find(|key| key.eq_ignore_ascii_case(wanted)) {
                Some(key) => split.0.push(key.to_owned()),
                None => split.1.push(wanted.clone()),
            }
        }
        split
    }
}

/// The rows of a page that can be read; if there are more, from where is noted.
fn rows<T>(name: &'static str, page: Option<Connection<Row<T>>>, more: &mut Cursors) -> Vec<T> {
    let Some(Connection { page_info, nodes, .. }) = page else { return Vec::new() };
    if let PageInfo { has_next_page: true, end_cursor: Some(cursor) } = page_info {
        more.insert(name, Some(cursor.into()));
    }
    nodes.into_iter().filter_map(Row::known).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::super::settings::tests::{plain, with_teams};
    use super::*;

    /// A workspace with two teams, the states of both, three labels, two people, a milestone and two cycles.
    pub(in super::super) fn workspace() -> Reference {
        let state =
            |id: &str, name: &str, kind: &str| json!({"id": id, "name": name, "type": kind, "team": {"id": "t1"}});
        let page = json!({
            "viewer": {"id": "u1", "name": "Ada"},
            "organization": {"id": "o", "name": "Acme", "urlKey": "acme"},
            "teams": {"nodes": [
                {"id": "t1", "key": "ENG", "name": "Engineering", "cyclesEnabled": true},
                {"id": "t2", "key": "OPS", "name": "Operations", "cyclesEnabled": false},
            ]},
            "workflowStates": {"nodes": [
                state("backlog", "Backlog", "backlog"),
                state("todo", "Todo", "unstarted"),
                state("doing", "In Progress", "started"),
                state("review", "In Review", "started"),
                state("done", "Done", "completed"),
                state("canceled", "Canceled", "canceled"),
            ]},
            "issueLabels": {"nodes": [
                {"id": "l-bug", "name": "Bug"}, {"id": "l-ui", "name": "ui"}, {"id": "l-blocked", "name": "Blocked"},
            ]},
            "users": {"nodes": [{"id": "u1", "name": "Ada"}, {"id": "u2", "name": "Lin"}]},
            "cycles": {"nodes": [{"id": "c1"}, {"id": "c1-copy", "inheritedFrom": {"id": "c1"}}, {"id": "c2"}]},
            "projectMilestones": {"nodes": [{"id": "m1", "name": "Beta"}]},
        });
        let mut reference = Reference::default();
        assert_eq!(reference.take(serde_json::from_value(page).unwrap()), Cursors::new());
        reference
    }

    #[test]
    fn rows_that_left_a_list_are_still_known() {
        let mut reference = workspace();
        let page = json!({
            "viewer": {}, "organization": {"name": "Acme", "urlKey": "acme"},
            "issueLabels": {"pageInfo": {"hasNextPage": true, "endCursor": "c"}, "nodes": [{"id": "l-bug", "name": "Defect"}]},
        });
        let more = reference.take(serde_json::from_value(page).unwrap());
        assert_eq!(more, Cursors::from([("labels", Some("c".into()))]));
        assert_eq!((&*reference.labels["l-bug"], &*reference.labels["l-ui"]), ("Defect", "ui"));
    }

    #[test]
    fn configured_teams_are_written_as_the_workspace_does() {
        let settings = with_teams(&["eng", "NOPE"]);
        let reference = workspace();
        assert_eq!(reference.configured(&settings), (vec!["ENG".into()], vec!["NOPE".into()]));
        assert!(
            reference.wants(&settings, "t1") && !reference.wants(&settings, "t2") && reference.wants(&plain(), "new")
        );
    }

    #[test]
    fn a_configured_team_is_out_of_sight_until_it_is_seen_again() {
        let settings = with_teams(&["ENG", "OPS"]);
        let mut reference = workspace();
        assert_eq!(reference.named(&settings), ["t1", "t2"]);
        assert!(reference.named(&plain()).is_empty());
        let asked = ["t1", "t2"].map(Box::from);
        reference.note_visible(&asked, &["t1".into()].into());
        assert_eq!(reference.configured(&settings), (vec!["ENG".into()], vec!["OPS".into()]));
        reference.note_visible(&asked, &["t1".into(), "t2".into()].into());
        assert_eq!(reference.configured(&settings).1, Vec::<String>::new());
    }

    #[test]
    fn an_unknown_id_is_looked_for_once() {
        let mut reference = Reference { fetched_at: Millis(0), ..workspace() };
        let unknown = BTreeSet::from(["label:x".to_owned()]);
        assert!(reference.is_due(Millis(1), &unknown) && !reference.is_due(Millis(1), &BTreeSet::new()));
        reference.missing.extend(unknown.clone());
        assert!(!reference.is_due(Millis(1), &unknown) && reference.is_due(Millis(DAY), &unknown));
    }
}
