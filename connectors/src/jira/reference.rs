//! Reference data of a site: which field means what, which status is in which category, which boards there are.
//!
//! [`Reference`] is stored between runs. Everything here is pure: it is made of answers that [`super::api`] fetched, and used by
//! [`super::mapping`] and [`super::normalise`]. Fields are recognised by their schema and never by a fixed id, because every
//! site numbers its custom fields itself, and names are translated and edited.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::Millis;
use contextcore_core::model::time::DAY;
use serde::{Deserialize, Serialize};
use tracing::info;

use super::lenient::{self, List};
use super::settings::Settings;
use super::wire::{Issue, IssueType, Item, LinkKind, StatusValue};
use crate::vocabulary::{self, says};

/// What is known of a site between polls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Reference {
    /// When it was fetched.
    pub(super) fetched_at: Millis,
    /// Data Center rather than Cloud.
    pub(super) data_center: bool,
    /// The product and its version, for people.
    pub(super) product: String,
    /// Where people look at issues, when that is not where we ask.
    pub(super) browse: Option<String>,
    /// Which field means what.
    pub(super) fields: Fields,
    /// Statuses by id. One that vanished from the site stays here, with the last category it had.
    pub(super) statuses: BTreeMap<Box<str>, KnownStatus>,
    /// Issue types by id; `None` until a type was met that its name and level do not explain.
    pub(super) types: Option<BTreeMap<Box<str>, KnownType>>,
    /// Types that nothing but what their issues do says are epics.
    #[serde(default)]
    pub(super) epic_types: BTreeSet<Box<str>>,
    /// Types of links by which the inward issue blocks the other one.
    #[serde(default)]
    pub(super) blocking: Blocking,
    /// Boards that may have sprints or explain a status, by id.
    pub(super) boards: BTreeMap<u64, Board>,
    /// Ids that the site does not list (deleted since): they are not looked for again.
    pub(super) missing: BTreeSet<String>,
    /// Since when lists are refused that were read before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Millis>,
}

/// Types of links that mean blocking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Blocking {
    /// Their ids.
    ids: BTreeSet<Box<str>>,
    /// Their inward words, in lower case: histories have nothing else.
    words: BTreeSet<Box<str>>,
}

impl Blocking {
    /// Whether any type of the site is known.
    pub(super) fn is_known(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Whether an inward link of this type means that the other issue blocks this one.
    pub(super) fn has(&self, kind: &LinkKind) -> bool {
        kind.id.as_ref().is_some_and(|id| self.ids.contains(id)) || kind.means_blocking()
    }

    /// Whether the text of a change of links says that the other issue blocks this one.
    pub(super) fn is_said(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        vocabulary::is_blocked_by(&text) || self.words.iter().any(|words| text.contains(&**words))
    }
}

/// Which field means what on this site.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Fields {
    /// Membership of sprints.
    pub(super) sprint: Option<Field>,
    /// Estimates in points: the best candidate first.
    pub(super) points: Vec<Field>,
    /// The old way of naming the epic; the value is a key.
    pub(super) epic_link: Option<Field>,
    /// Data Center's way of naming the parent of an epic; the value is a key.
    pub(super) parent_link: Option<Field>,
    /// The impediment flag.
    pub(super) flagged: Option<Field>,
    /// The name of an epic, which nothing but an epic has.
    #[serde(default)]
    pub(super) epic_name: Option<Field>,
}

impl Fields {
    /// Every field with our name for it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Field)> {
        let Self { sprint, points, epic_link, parent_link, flagged, epic_name } = self;
        let single = [
            ("sprint", sprint),
            ("epic_link", epic_link),
            ("parent_link", parent_link),
            ("flagged", flagged),
            ("epic_name", epic_name),
        ];
        let single = single.into_iter().filter_map(|(meaning, field)| Some((meaning, field.as_ref()?)));
        points.iter().map(|field| ("story_points", field)).chain(single)
    }

    /// The fields whose value is the key of a parent.
    pub(super) fn parent_keys(&self) -> impl Iterator<Item = &Field> {
        self.epic_link.iter().chain(&self.parent_link)
    }
}

/// A custom field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Field {
    /// Such as `customfield_10020`.
    pub(super) id: Box<str>,
    /// As people see it.
    pub(super) name: Box<str>,
    /// Why it was chosen, for people.
    pub(super) why: Box<str>,
    /// Other names that histories may have for it, and no field of the site bears now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<Box<str>>,
}

/// Jira's status categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Category {
    /// Not begun; also the category `undefined`.
    New,
    /// Begun.
    Indeterminate,
    /// Finished, one way or another.
    Done,
}

impl Category {
    /// By Jira's key.
    pub(super) fn of(key: &str) -> Self {
        Self::known(key).unwrap_or(Self::New)
    }

    /// By Jira's key, unless it is that of statuses without a category.
    fn known(key: &str) -> Option<Self> {
        match key {
            "done" => Some(Self::Done),
            "indeterminate" => Some(Self::Indeterminate),
            "new" => Some(Self::New),
            _ => None,
        }
    }

    /// The category a status of this name usually is in.
    pub(super) fn named(name: &str) -> Option<Self> {
        use contextcore_core::model::Status::{Backlog, Blocked, Cancelled, Done, InProgress, InReview, Todo};
        Some(match vocabulary::status(name)? {
            Backlog | Todo => Self::New,
            InProgress | InReview | Blocked => Self::Indeterminate,
            Done | Cancelled => Self::Done,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Indeterminate => "indeterminate",
            Self::Done => "done",
        }
    }
}

/// A status of the site's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownStatus {
    pub(super) name: Box<str>,
    pub(super) category: Category,
    /// The one board column it is in, when all boards agree.
    pub(super) column: Option<Box<str>>,
    /// It has no category, and its name does not say which it could be in.
    #[serde(default)]
    pub(super) unplaced: bool,
}

/// An issue type of the site's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KnownType {
    pub(super) name: Box<str>,
    pub(super) untranslated_name: Option<Box<str>>,
    pub(super) subtask: bool,
    pub(super) hierarchy_level: Option<i32>,
}

/// A board.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Board {
    pub(super) name: Box<str>,
    /// `scrum`, `kanban` or `simple`.
    pub(super) kind: Box<str>,
    /// The key of the project it lives in, if it lives in one.
    pub(super) project: Option<Box<str>>,
    /// The custom field its estimates are in, if it names one.
    pub(super) estimate: Option<Box<str>>,
    /// Its configuration was read once.
    #[serde(default)]
    pub(super) configured: bool,
}

impl Board {
    /// Whether it can have sprints at all. Team-managed boards (`simple`) have them when the feature is switched on.
    pub(super) fn may_have_sprints(&self) -> bool {
        matches!(&*self.kind, "scrum" | "simple")
    }
}

/// A field as `GET field` lists it.
#[derive(Debug, Deserialize)]
pub(super) struct FieldAnswer {
    pub(super) id: Box<str>,
    #[serde(default)]
    pub(super) name: Box<str>,
    /// Cloud only.
    #[serde(default, rename = "untranslatedName")]
    pub(super) untranslated_name: Option<Box<str>>,
    pub(super) schema: Option<FieldSchema>,
}

impl FieldAnswer {
    /// The names it goes by, that which is not translated first.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.untranslated_name.as_deref().into_iter().chain([&*self.name])
    }
}

/// What a field's schema says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FieldSchema {
    /// The kind of a custom field, such as `com.pyxis.greenhopper.jira:gh-sprint`.
    pub(super) custom: Option<Box<str>>,
}

/// A board as the list gives it.
#[derive(Debug, Deserialize)]
pub(super) struct BoardAnswer {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default, rename = "type")]
    pub(super) kind: Box<str>,
    pub(super) location: Option<BoardLocation>,
}

/// Where a board lives; boards of people live in no project.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BoardLocation {
    pub(super) project_key: Option<Box<str>>,
}

/// The configuration of a board.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BoardConfiguration {
    #[serde(default)]
    pub(super) column_config: ColumnConfig,
    pub(super) estimation: Option<Estimation>,
    /// Where the board lives; older servers send it only here.
    pub(super) location: Option<ConfiguredLocation>,
}

/// Where a board lives, as its configuration says it.
#[derive(Debug, Deserialize)]
pub(super) struct ConfiguredLocation {
    pub(super) key: Option<Box<str>>,
}

/// The columns of a board.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ColumnConfig {
    #[serde(default)]
    pub(super) columns: List<Column>,
}

/// A column and the statuses shown in it.
#[derive(Debug, Deserialize)]
pub(super) struct Column {
    #[serde(default)]
    pub(super) name: Box<str>,
    #[serde(default)]
    pub(super) statuses: List<ColumnStatus>,
}

/// A status in a column.
#[derive(Debug, Deserialize)]
pub(super) struct ColumnStatus {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(super) id: Option<Box<str>>,
}

/// How a board estimates.
#[derive(Debug, Deserialize)]
pub(super) struct Estimation {
    pub(super) field: Option<EstimationField>,
}

/// The field a board estimates in: a custom field, or a time field.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EstimationField {
    #[serde(default)]
    pub(super) field_id: Box<str>,
}

impl Field {
    /// Whether people call it so, or did.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        std::iter::once(&self.name).chain(&self.former).any(|known| known.to_lowercase() == name)
    }
}

impl Reference {
    /// Whether it is old, or something was met that it does not know and that was not looked for before.
    pub(super) fn is_due(&self, now: Millis, unknown: &BTreeSet<String>) -> bool {
        let age = now.0 - self.fetched_at.0;
        !(0..DAY).contains(&age) || unknown.iter().any(|id| !self.missing.contains(id))
    }

    /// The field that holds the estimate of an issue of this project, best first: the one its board estimates in, then the
    /// discovered ones.
    pub(super) fn points_for<'a>(&'a self, project: &str) -> impl Iterator<Item = &'a str> {
        let board = self.boards.values().filter(|board| board.project.as_deref() == Some(project));
        let named = board.filter_map(|board| board.estimate.as_deref()).next();
        named.into_iter().chain(self.fields.points.iter().map(|field| &*field.id).filter(move |id| Some(*id) != named))
    }

    /// The custom fields to ask for.
    pub(super) fn custom_fields(&self) -> BTreeSet<&str> {
        let boards = self.boards.values().filter_map(|board| board.estimate.as_deref());
        self.fields.all().map(|(_, field)| &*field.id).chain(boards).collect()
    }

    /// Whether this change is one that is read. Data Center sends no field ids, so there today's name decides.
    pub(super) fn reads(&self, item: &Item) -> bool {
        let board = |id: &str| self.boards.values().any(|board| board.estimate.as_deref() == Some(id));
        item.is_known()
            || match item.field_id.as_deref() {
                Some(id) => board(id) || self.fields.all().any(|(_, field)| *field.id == *id),
                None => self.fields.all().any(|(_, field)| field.is_named(&item.field)),
            }
    }

    /// Whether this is a change of the sprints. Another field may bear the same name, and has no ids.
    pub(super) fn is_sprint(&self, item: &Item) -> bool {
        let Some(sprint) = &self.fields.sprint else { return false };
        match item.field_id.as_deref() {
            Some(id) => *sprint.id == *id,
            None => sprint.is_named(&item.field) && item.has_ids(),
        }
    }

    /// Types of these issues that have no name we know, and whose issues do what only epics do: have an epic name, or are
    /// what an epic link points to. `all` are the issues whose links count.
    pub(super) fn epics_among(&self, all: &[&Issue], unexplained: &[&Issue]) -> BTreeSet<Box<str>> {
        if unexplained.is_empty() {
            return BTreeSet::new();
        }
        let value = |issue: &Issue, field: &Option<Field>| -> Option<String> {
            serde_json::from_str(issue.custom.get(&field.as_ref()?.id)?.get()).ok()
        };
        let targets: BTreeSet<String> = all.iter().filter_map(|issue| value(issue, &self.fields.epic_link)).collect();
        let is_epic = |issue: &&&Issue| {
            value(issue, &self.fields.epic_name).is_some_and(|name| !name.is_empty())
                || issue.key.as_deref().is_some_and(|key| targets.contains(key))
        };
        let types = unexplained.iter().filter(is_epic).filter_map(|issue| issue.fields.issuetype.as_ref()?.id.clone());
        types.collect()
    }

    /// The project of a board.
    pub(super) fn project_of_board(&self, board: u64) -> Option<&str> {
        self.boards.get(&board)?.project.as_deref()
    }

    /// Takes in the statuses of the site; those that vanished keep their last category.
    pub(super) fn learn_statuses(&mut self, answers: Vec<StatusValue>, columns: &Columns) {
        for answer in answers {
            let Some(id) = answer.id else { continue };
            let key = answer.status_category.as_ref().map_or("", |category| &category.key);
            let names = [answer.untranslated_name.as_deref().unwrap_or(&answer.name), &answer.name];
            let by_name = names.iter().find_map(|name| Category::named(name));
            let category = Category::known(key).or(by_name);
            let known = self.statuses.get(&id).filter(|_| columns.incomplete);
            let column = columns.of(&id).or_else(|| known.and_then(|known| known.column.clone()));
            let (unplaced, category) = (category.is_none(), category.unwrap_or(Category::New));
            self.statuses.insert(id, KnownStatus { name: answer.name, category, column, unplaced });
        }
    }

    /// Takes in the types of links of the site.
    pub(super) fn learn_links(&mut self, answers: &[LinkKind]) {
        let blocking = || answers.iter().filter(|kind| kind.means_blocking());
        self.blocking = Blocking {
            ids: blocking().filter_map(|kind| kind.id.clone()).collect(),
            words: blocking()
                .filter(|kind| !kind.inward.is_empty())
                .map(|kind| kind.inward.to_lowercase().into())
                .collect(),
        };
    }

    /// Takes in the issue types of the site.
    pub(super) fn learn_types(&mut self, answers: Vec<IssueType>) {
        let known = answers.into_iter().filter_map(|answer| {
            let IssueType { id, name, untranslated_name, subtask, hierarchy_level } = answer;
            Some((id?, KnownType { name, untranslated_name, subtask, hierarchy_level }))
        });
        self.types = Some(known.collect());
    }
}

/// Which column each status is in, over all boards.
#[derive(Debug, Default)]
pub(super) struct Columns {
    by_status: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// The columns of some board could not be read.
    pub(super) incomplete: bool,
}

impl Columns {
    /// Takes in a board.
    pub(super) fn learn(&mut self, configuration: &BoardConfiguration) {
        for column in &configuration.column_config.columns.0 {
            for id in column.statuses.0.iter().filter_map(|status| status.id.clone()) {
                self.by_status.entry(id).or_default().insert(column.name.clone());
            }
        }
    }

    /// The column of a status, when all boards that show it agree.
    fn of(&self, status: &str) -> Option<Box<str>> {
        let columns = self.by_status.get(status)?;
        columns.first().filter(|_| columns.len() == 1).cloned()
    }
}

/// The name of a configured field that the site does not have.
pub(super) const NOT_HERE: &str = "not on this site";

/// The kind of the sprint field.
const SPRINT: &str = "com.pyxis.greenhopper.jira:gh-sprint";
/// The kind of the old epic link.
const EPIC_LINK: &str = "com.pyxis.greenhopper.jira:gh-epic-link";
/// The kind of the name of an epic.
const EPIC_NAME: &str = "com.pyxis.greenhopper.jira:gh-epic-label";
/// The kind of the parent of an epic on Data Center.
const PARENT_LINK: &str = "com.atlassian.jpo:jpo-custom-field-parent";
/// The kind of points in team-managed projects.
const TEAM_POINTS: &str = "com.pyxis.greenhopper.jira:jsw-story-points";
/// The kind of any number; points in company-managed projects go by their name.
const NUMBER: &str = "com.atlassian.jira.plugin.system.customfieldtypes:float";
/// The kind of any group of check boxes; the flag goes by its name.
const CHECKBOXES: &str = "com.atlassian.jira.plugin.system.customfieldtypes:multicheckboxes";

/// Finds out which field means what. `by_board` are the fields that boards estimate in.
pub(super) fn discover(settings: &Settings, answers: &[FieldAnswer], by_board: &BTreeSet<Box<str>>) -> Fields {
    let kind =
        |answer: &FieldAnswer| answer.schema.as_ref().and_then(|schema| schema.custom.clone()).unwrap_or_default();
    let chosen = |answer: &FieldAnswer, why: &str| Field {
        id: answer.id.clone(),
        name: answer.name.clone(),
        why: why.into(),
        former: answer.untranslated_name.iter().filter(|name| **name != answer.name).cloned().collect(),
    };
    let of_kind = |wanted: &str| {
        answers.iter().find(|answer| *kind(answer) == *wanted).map(|answer| chosen(answer, "by its kind"))
    };
    let configured = |name: &str| {
        let id = settings.field(name)?;
        let known = answers.iter().find(|answer| *answer.id == *id);
        let name = known.map_or_else(|| NOT_HERE.into(), |answer| answer.name.clone());
        Some(Field { id: id.into(), name, why: "configured".into(), former: Vec::new() })
    };
    let flagged = || {
        let is_flag = |name: &str| name.eq_ignore_ascii_case("flagged");
        let named = answers.iter().find(|answer| *kind(answer) == *CHECKBOXES && answer.names().any(is_flag));
        named.map(|answer| chosen(answer, "by its name and kind"))
    };
    let points = match configured("story_points") {
        Some(field) => vec![field],
        None => points(answers, by_board, &kind, &chosen),
    };
    let mut fields = Fields {
        sprint: configured("sprint").or_else(|| of_kind(SPRINT)),
        points,
        epic_link: configured("epic_link").or_else(|| of_kind(EPIC_LINK)),
        parent_link: configured("parent_link").or_else(|| of_kind(PARENT_LINK)),
        flagged: configured("flagged").or_else(flagged),
        epic_name: of_kind(EPIC_NAME),
    };
    fields.add_former_names(answers);
    log_choice(settings, &fields);
    fields
}

/// The fields that may hold points, those that boards name first.
fn points(
    answers: &[FieldAnswer],
    by_board: &BTreeSet<Box<str>>,
    kind: &dyn Fn(&FieldAnswer) -> Box<str>,
    chosen: &dyn Fn(&FieldAnswer, &str) -> Field,
) -> Vec<Field> {
    let rank = |answer: &&FieldAnswer| match &*kind(answer) {
        _ if by_board.contains(&answer.id) => Some((0, "a board estimates in it")),
        NUMBER if answer.names().any(are_points) => Some((1, "by its name and kind")),
        TEAM_POINTS => Some((2, "by its kind")),
        _ => None,
    };
    let mut found: Vec<_> = answers.iter().filter_map(|answer| Some((rank(&answer)?, answer))).collect();
    found.sort_by_key(|((rank, _), _)| *rank);
    found.into_iter().map(|((_, why), answer)| chosen(answer, why)).collect()
}

fn are_points(name: &str) -> bool {
    says(name, &["story points", "story point estimate"]) && !says(name, &["original"])
}

impl Fields {
    /// Data Center's histories name a field as it was called then, which is mostly the name it came with. Where no field bears
    /// that name now, it was ours.
    fn add_former_names(&mut self, answers: &[FieldAnswer]) {
        let is_free = |name: &str| !answers.iter().any(|answer| answer.name.eq_ignore_ascii_case(name));
        let points = self.points.iter_mut().map(|field| (field, &["Story Points", "Story point estimate"][..]));
        let single = [
            (&mut self.sprint, "Sprint"),
            (&mut self.epic_link, "Epic Link"),
            (&mut self.parent_link, "Parent Link"),
            (&mut self.flagged, "Flagged"),
        ];
        for (field, name) in single {
            field.iter_mut().filter(|_| is_free(name)).for_each(|field| field.former.push(name.into()));
        }
        for (field, names) in points {
            field.former.extend(names.iter().filter(|name| is_free(name)).map(|name| Box::from(*name)));
        }
    }
}

fn log_choice(settings: &Settings, fields: &Fields) {
    for (meaning, Field { id, name, why, .. }) in fields.all() {
        info!(source = settings.source, meaning, field = &**id, name = &**name, why = &**why, "chose a field");
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::plain;
    use super::*;

    fn answers(json: serde_json::Value) -> Vec<FieldAnswer> {
        serde_json::from_value(json).unwrap()
    }

    fn site_fields() -> Vec<FieldAnswer> {
        let number = "com.atlassian.jira.plugin.system.customfieldtypes:float";
        answers(serde_json::json!([
            {"id": "summary", "name": "Summary", "schema": {"type": "string", "system": "summary"}},
            {"id": "customfield_10016", "name": "Story point estimate", "schema": {"custom": "com.pyxis.greenhopper.jira:jsw-story-points"}},
            {"id": "customfield_10026", "name": "Story Points", "schema": {"custom": number}},
            {"id": "customfield_10111", "name": "Original story points", "schema": {"custom": number}},
            {"id": "customfield_10050", "name": "Size", "schema": {"custom": number}},
            {"id": "customfield_10020", "name": "Iteration", "schema": {"custom": "com.pyxis.greenhopper.jira:gh-sprint"}},
            {"id": "customfield_10021", "name": "Flagged", "schema": {"custom": "com.atlassian.jira.plugin.system.customfieldtypes:multicheckboxes"}}
        ]))
    }

    fn ids(fields: &Fields) -> Vec<(&'static str, &str)> {
        fields.all().map(|(meaning, field)| (meaning, &*field.id)).collect()
    }

    #[test]
    fn fields_are_found_by_what_they_are() {
        let found = discover(&plain(), &site_fields(), &BTreeSet::new());
        assert_eq!(
            ids(&found),
            [
                ("story_points", "customfield_10026"),
                ("story_points", "customfield_10016"),
                ("sprint", "customfield_10020"),
                ("flagged", "customfield_10021")
            ]
        );
    }

    #[test]
    fn a_board_and_then_the_configuration_know_better() {
        let by_board = BTreeSet::from(["customfield_10050".into()]);
        let found = discover(&plain(), &site_fields(), &by_board);
        assert_eq!(&*found.points[0].id, "customfield_10050");
        let configured = plain().with_field("story_points", "customfield_10111");
        let found = discover(&configured, &site_fields(), &by_board);
        assert_eq!(found.points.iter().map(|field| &*field.id).collect::<Vec<_>>(), ["customfield_10111"]);
    }

    #[test]
    fn the_estimate_of_a_project_is_where_its_board_looks() {
        let mut reference =
            Reference { fields: discover(&plain(), &site_fields(), &BTreeSet::new()), ..Reference::default() };
        let board = |estimate: &str| Board {
            name: "Team".into(),
            kind: "scrum".into(),
            project: Some("A".into()),
            estimate: Some(estimate.into()),
            configured: false,
        };
        reference.boards.insert(1, board("customfield_10016"));
        let of = |project: &str| reference.points_for(project).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(of("A"), ["customfield_10016", "customfield_10026"]);
        assert_eq!(of("B"), ["customfield_10026", "customfield_10016"]);
    }

    #[test]
    fn what_is_old_or_unknown_is_fetched_anew_but_what_is_missing_is_not() {
        let reference =
            Reference { fetched_at: Millis(DAY), missing: ["status:1".into()].into(), ..Reference::default() };
        let none = BTreeSet::new();
        assert!(!reference.is_due(Millis(2 * DAY - 1), &none));
        assert!(reference.is_due(Millis(2 * DAY), &none));
        assert!(reference.is_due(Millis(0), &none), "a clock that was turned back");
        assert!(!reference.is_due(Millis(DAY), &["status:1".into()].into()));
        assert!(reference.is_due(Millis(DAY), &["status:2".into()].into()));
    }

    #[test]
    fn a_column_counts_when_all_boards_agree() {
        let mut columns = Columns::default();
        let board = |name: &str| -> BoardConfiguration {
            serde_json::from_value(serde_json::json!({"columnConfig": {"columns": [
                {"name": name, "statuses": [{"id": "1"}]}, {"name": "Review", "statuses": [{"id": 2}]}]}}))
            .unwrap()
        };
        columns.learn(&board("Backlog"));
        assert_eq!(columns.of("1").as_deref(), Some("Backlog"));
        columns.learn(&board("Ready"));
        assert_eq!((columns.of("1"), columns.of("2").as_deref(), columns.of("3")), (None, Some("Review"), None));
    }
}
