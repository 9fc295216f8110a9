//! Which custom field means what on a site. Fields are recognised by their schema and never by a fixed id, because every site
//! numbers its custom fields itself, and names are translated and edited.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tracing::info;

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

impl Field {
    /// Whether people call it so, or did.
    pub(super) fn is_named(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        std::iter::once(&self.name).chain(&self.former).any(|known| known.to_lowercase() == name)
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
        let is_flag = |name: &str| is(name, FLAGGED);
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
    says(name, STORY_POINTS) && !says(name, &["original"])
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
            let found = discover(&plain(), &site, &BTreeSet::new());
            assert_eq!(ids(&found), [("story_points", "customfield_4"), ("flagged", "customfield_3")], "{flag}");
        }
    }

    #[test]
    fn a_field_of_data_center_is_named_in_histories_as_it_came() {
        let mut site = site_fields();
        site[4].name = "Markiert".into();
        let mut found = discover(&plain(), &site, &BTreeSet::new());
        assert!(!found.sprint.as_ref().unwrap().is_named("スプリント"));
        found.add_translated_names(&site);
        assert!(found.sprint.as_ref().unwrap().is_named("スプリント") && found.points[0].is_named("故事点"));
        let flagged = found.flagged.unwrap();
        assert!(flagged.is_named("Marqué") && !flagged.is_named("Markiert"), "another field has that name now");
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
}
