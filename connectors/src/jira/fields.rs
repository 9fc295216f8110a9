//! Which custom field means what on a site. Fields are recognised by their schema and never by a fixed id, because every site
//! numbers its custom fields itself, and names are translated and edited.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tracing::info;

use super::field_names::{FieldNames, NOT_HERE};
use super::settings::Settings;
use crate::vocabulary::{EPIC_LINK as EPIC_LINK_NAMES, FLAGGED, SPRINT as SPRINT_NAMES, STORY_POINTS, is, says};

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
    /// Remembers what the fields are called that are read.
    pub(super) fn note_names(&self, names: &mut FieldNames) {
        self.all().for_each(|(_, field)| names.note(&field.id, &field.name));
    }

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
    /// Other names that histories may have for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) former: Vec<Box<str>>,
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
    /// Whether searches may ask for it; absent where that is not said.
    #[serde(default)]
    pub(super) searchable: Option<bool>,
}

impl FieldAnswer {
    /// The kind of a custom field.
    fn kind(&self) -> &str {
        self.schema.as_ref().and_then(|schema| schema.custom.as_deref()).unwrap_or_default()
    }

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

impl Field {
    /// Whether people call it so, or did.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        std::iter::once(&self.name).chain(&self.former).any(|known| known.to_lowercase() == name)
    }
}

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

/// Finds out which field means what. `by_board` are the fields that boards estimate in, `names` those that fields had before.
pub(super) fn discover(
    settings: &Settings,
    answers: &[FieldAnswer],
    by_board: &BTreeSet<Box<str>>,
    names: &FieldNames,
) -> Fields {
    let list = FieldList { settings, answers, names };
    let mut fields = Fields {
        sprint: list.configured("sprint").or_else(|| list.of_kind(SPRINT)),
        points: list.configured("story_points").map_or_else(|| list.points(by_board), |field| vec![field]),
        epic_link: list.configured("epic_link").or_else(|| list.of_kind(EPIC_LINK)),
        parent_link: list.configured("parent_link").or_else(|| list.of_kind(PARENT_LINK)),
        flagged: list.configured("flagged").or_else(|| list.flagged()),
        epic_name: list.of_kind(EPIC_NAME),
    };
    fields.add_former_names(answers);
    log_choice(settings, &fields);
    fields
}

/// The fields of a site, with what else is known of them.
struct FieldList<'a> {
    settings: &'a Settings,
    answers: &'a [FieldAnswer],
    /// What they were called before.
    names: &'a FieldNames,
}

impl FieldList<'_> {
    fn chosen(&self, answer: &FieldAnswer, why: &str) -> Field {
        let mut former: Vec<Box<str>> = Vec::new();
        let known = answer.untranslated_name.as_deref().into_iter().chain(self.former_names(answer));
        for name in known.filter(|name| **name != *answer.name) {
            if !former.iter().any(|known| **known == *name) {
                former.push(name.into());
            }
        }
        Field { id: answer.id.clone(), name: answer.name.clone(), why: why.into(), former }
    }

    /// Names that the field had before. One that another field has now says nothing, except of points, where the value decides
    /// which of them an issue has.
    fn former_names(&self, answer: &FieldAnswer) -> impl Iterator<Item = &str> {
        let is_number = answer.kind() == NUMBER;
        let others = |name: &str| {
            self.answers.iter().any(|other| other.id != answer.id && other.name.to_lowercase() == name.to_lowercase())
        };
        self.names.of(&answer.id).filter(move |name| is_number || !others(name))
    }

    fn of_kind(&self, kind: &str) -> Option<Field> {
        self.answers.iter().find(|answer| answer.kind() == kind).map(|answer| self.chosen(answer, "by its kind"))
    }

    fn configured(&self, name: &str) -> Option<Field> {
        let id = self.settings.field(name)?;
        let why = "configured";
        let known = self.answers.iter().find(|answer| *answer.id == *id);
        let absent = || Field { id: id.into(), name: NOT_HERE.into(), why: why.into(), former: Vec::new() };
        Some(known.map_or_else(absent, |answer| self.chosen(answer, why)))
    }

    fn flagged(&self) -> Option<Field> {
        let boxes = || self.answers.iter().filter(|answer| answer.kind() == CHECKBOXES);
        let named = boxes().find(|answer| answer.names().any(is_flag));
        let named = named.map(|answer| self.chosen(answer, "by its name and kind"));
        named.or_else(|| {
            let formerly = boxes().find(|answer| self.names.of(&answer.id).any(is_flag));
            formerly.map(|answer| self.chosen(answer, "by a former name and its kind"))
        })
    }

    /// The fields that may hold points, those that boards name first.
    fn points(&self, by_board: &BTreeSet<Box<str>>) -> Vec<Field> {
        let rank = |answer: &FieldAnswer| match answer.kind() {
            _ if by_board.contains(&answer.id) => Some((0, "a board estimates in it")),
            NUMBER if answer.names().any(are_points) => Some((1, "by its name and kind")),
            NUMBER if self.names.of(&answer.id).any(are_points) => Some((2, "by a former name and its kind")),
            TEAM_POINTS => Some((3, "by its kind")),
            _ => None,
        };
        let mut found: Vec<_> = self.answers.iter().filter_map(|answer| Some((rank(answer)?, answer))).collect();
        found.sort_by_key(|((rank, _), _)| *rank);
        found.into_iter().map(|((_, why), answer)| self.chosen(answer, why)).collect()
    }
}

fn are_points(name: &str) -> bool {
    says(name, STORY_POINTS) && !says(name, &["original"])
}

fn is_flag(name: &str) -> bool {
    is(name, FLAGGED)
}

/// What no field of the list has the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unnamed {
    points: bool,
    flagged: bool,
}

impl Unnamed {
    /// What was not found by name in the list. Points of team-managed projects are no such field, and go by their kind.
    pub(super) fn of(answers: &[FieldAnswer], fields: &Fields) -> Self {
        let is_team =
            |field: &Field| answers.iter().any(|answer| answer.id == field.id && answer.kind() == TEAM_POINTS);
        Self { points: fields.points.iter().all(is_team), flagged: fields.flagged.is_none() }
    }

    /// Whether a field could be it, judged by its kind.
    pub(super) fn may_be(self, answer: &FieldAnswer) -> bool {
        let wanted = match answer.kind() {
            NUMBER => self.points,
            CHECKBOXES => self.flagged,
            _ => false,
        };
        wanted && answer.searchable != Some(false)
    }

    /// Whether this name would have said that a field of this kind is it.
    pub(super) fn is_named(self, answer: &FieldAnswer, name: &str) -> bool {
        self.may_be(answer) && if answer.kind() == NUMBER { are_points(name) } else { is_flag(name) }
    }
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

impl Fields {
    /// On Data Center such a field came with the name that it has in the language of the site at that time, and histories name
    /// it so still. Where no field bears that name now, it was ours.
    pub(super) fn add_translated_names(&mut self, answers: &[FieldAnswer]) {
        let taken = |name: &str| answers.iter().any(|answer| is(&answer.name, &[name]));
        let points = self.points.iter_mut().map(|field| (field, STORY_POINTS));
        let single =
            [(&mut self.sprint, SPRINT_NAMES), (&mut self.epic_link, EPIC_LINK_NAMES), (&mut self.flagged, FLAGGED)];
        let single = single.into_iter().filter_map(|(field, names)| Some((field.as_mut()?, names)));
        for (field, names) in points.chain(single) {
            let free = names.iter().filter(|name| !taken(name) && !field.is_named(name)).map(|name| Box::from(*name));
            let free: Vec<Box<str>> = free.collect();
            field.former.extend(free);
        }
    }
}

fn log_choice(settings: &Settings, fields: &Fields) {
    for (meaning, Field { id, name, why, .. }) in fields.all() {
        info!(source = settings.source, meaning, field = &**id, name = &**name, why = &**why, "chose a field");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::settings::tests::plain;
    use super::*;

    fn answers(json: serde_json::Value) -> Vec<FieldAnswer> {
        serde_json::from_value(json).unwrap()
    }

    pub(in super::super) fn site_fields() -> Vec<FieldAnswer> {
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
        let found = discover(&plain(), &site_fields(), &BTreeSet::new(), &FieldNames::default());
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
    fn fields_are_found_by_their_names_in_other_languages() {
        let number = "com.atlassian.jira.plugin.system.customfieldtypes:float";
        let boxes = "com.atlassian.jira.plugin.system.customfieldtypes:multicheckboxes";
        for (flag, points) in [
            ("Markiert", "Story-Punkte"),
            ("Marqué", "Points de story"),
            ("フラグ付き", "ストーリー ポイント"),
            ("Marcado", "Puntos de historia"),
            ("Помечено", "Очки истории"),
        ] {
            let site = answers(serde_json::json!([
                {"id": "customfield_1", "name": "Geprüft von", "schema": {"custom": boxes}},
                {"id": "customfield_2", "name": format!("{flag} (alt)"), "schema": {"custom": boxes}},
                {"id": "customfield_3", "name": flag, "schema": {"custom": boxes}},
                {"id": "customfield_4", "name": points, "schema": {"custom": number}}
            ]));
            let found = discover(&plain(), &site, &BTreeSet::new(), &FieldNames::default());
            assert_eq!(ids(&found), [("story_points", "customfield_4"), ("flagged", "customfield_3")], "{flag}");
        }
    }

    #[test]
    fn a_field_of_data_center_is_named_in_histories_as_it_came() {
        let mut site = site_fields();
        site[4].name = "Markiert".into();
        let mut found = discover(&plain(), &site, &BTreeSet::new(), &FieldNames::default());
        assert!(!found.sprint.as_ref().unwrap().is_named("スプリント"));
        found.add_translated_names(&site);
        assert!(found.sprint.as_ref().unwrap().is_named("スプリント") && found.points[0].is_named("故事点"));
        let flagged = found.flagged.unwrap();
        assert!(flagged.is_named("Marqué") && !flagged.is_named("Markiert"), "another field has that name now");
    }

    #[test]
    fn a_former_name_counts_after_those_of_today() {
        let mut site = site_fields();
        (site[2].name, site[6].name) = ("Size (old)".into(), "Attention".into());
        let mut names = FieldNames::default();
        names.note("customfield_10026", "Story Points");
        names.note("customfield_10021", "Flagged");
        let found = discover(&plain(), &site, &BTreeSet::new(), &names);
        assert!(ids(&found).contains(&("flagged", "customfield_10021")));
        assert!(found.points[0].is_named("story points") && found.flagged.unwrap().is_named("Flagged"));
        // Others have these names now.
        (site[4].name, site[5].name) = ("Story Points".into(), "Flagged".into());
        let found = discover(&plain(), &site, &BTreeSet::new(), &names);
        let points: Vec<&str> = found.points.iter().map(|field| &*field.id).collect();
        assert_eq!(points, ["customfield_10050", "customfield_10026", "customfield_10016"]);
        assert!(!found.flagged.unwrap().is_named("Flagged"), "another field has that name now");
    }

    #[test]
    fn a_board_and_then_the_configuration_know_better() {
        let by_board = BTreeSet::from(["customfield_10050".into()]);
        let found = discover(&plain(), &site_fields(), &by_board, &FieldNames::default());
        assert_eq!(&*found.points[0].id, "customfield_10050");
        let configured = plain().with_field("story_points", "customfield_10111");
        let found = discover(&configured, &site_fields(), &by_board, &FieldNames::default());
        assert_eq!(found.points.iter().map(|field| &*field.id).collect::<Vec<_>>(), ["customfield_10111"]);
    }
}
