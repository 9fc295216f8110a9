//! The fields of an issue: their ids in each edition, how `GET /field` describes them, and what a caller's list selects.

use super::json::Json;
use super::{Edition, Site};
use crate::lock;
use crate::message::Reply;

/// A field that issues of our worlds can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Summary,
    IssueType,
    Status,
    Resolution,
    ResolutionDate,
    Priority,
    Assignee,
    Reporter,
    Creator,
    Labels,
    Components,
    FixVersions,
    Versions,
    Parent,
    Subtasks,
    IssueLinks,
    Project,
    Created,
    Updated,
    DueDate,
    StatusCategoryChangeDate,
    OriginalEstimate,
    RemainingEstimate,
    TimeSpent,
    TimeTracking,
    Security,
    Description,
    Environment,
    Comment,
    Watches,
    Votes,
    Workratio,
    Sprint,
    StoryPoints,
    /// Of team-managed projects: there, and empty.
    TeamPoints,
    /// A decoy whose name nearly fits.
    OriginalPoints,
    EpicLink,
    EpicName,
    ParentLink,
    Flagged,
    Rank,
}

struct Described {
    field: Field,
    name: &'static str,
    /// The id of a system field, or the numbers of a custom one on Cloud and on Data Center.
    id: Id,
    kind: &'static str,
    items: Option<&'static str>,
    custom: Option<&'static str>,
}

enum Id {
    System(&'static str),
    Custom(u32, u32),
}

const fn system(field: Field, id: &'static str, name: &'static str, kind: &'static str) -> Described {
    Described { field, name, id: Id::System(id), kind, items: None, custom: None }
}

const fn list(field: Field, id: &'static str, name: &'static str, items: &'static str) -> Described {
    Described { field, name, id: Id::System(id), kind: "array", items: Some(items), custom: None }
}

const fn custom(
    field: Field,
    cloud: u32,
    data_center: u32,
    name: &'static str,
    kind: &'static str,
    custom: &'static str,
) -> Described {
    Described { field, name, id: Id::Custom(cloud, data_center), kind, items: None, custom: Some(custom) }
}

const ALL: [Described; 41] = [
    system(Field::StatusCategoryChangeDate, "statuscategorychangedate", "Status Category Changed", "datetime"),
    system(Field::IssueType, "issuetype", "Issue Type", "issuetype"),
    system(Field::Parent, "parent", "Parent", "issuelink"),
    system(Field::TimeSpent, "timespent", "Time Spent", "number"),
    system(Field::Project, "project", "Project", "project"),
    list(Field::FixVersions, "fixVersions", "Fix versions", "version"),
    system(Field::Resolution, "resolution", "Resolution", "resolution"),
    system(Field::ResolutionDate, "resolutiondate", "Resolved", "datetime"),
    system(Field::Workratio, "workratio", "Work Ratio", "number"),
    system(Field::Watches, "watches", "Watchers", "watches"),
    system(Field::Created, "created", "Created", "datetime"),
    Described {
        items: Some("json"),
        ..custom(Field::Sprint, 10_020, 10_105, "Sprint", "array", "com.pyxis.greenhopper.jira:gh-sprint")
    },
    custom(
        Field::TeamPoints,
        10_016,
        10_107,
        "Story point estimate",
        "number",
        "com.pyxis.greenhopper.jira:jsw-story-points",
    ),
    custom(
        Field::StoryPoints,
        10_036,
        10_106,
        "Story Points",
        "number",
        "com.atlassian.jira.plugin.system.customfieldtypes:float",
    ),
    custom(
        Field::OriginalPoints,
        10_111,
        10_302,
        "Original story points",
        "number",
        "com.atlassian.jpo:jpo-custom-field-original-story-points",
    ),
    custom(Field::EpicLink, 10_014, 10_101, "Epic Link", "any", "com.pyxis.greenhopper.jira:gh-epic-link"),
    custom(Field::EpicName, 10_011, 10_103, "Epic Name", "string", "com.pyxis.greenhopper.jira:gh-epic-label"),
    custom(Field::ParentLink, 10_018, 10_301, "Parent Link", "any", "com.atlassian.jpo:jpo-custom-field-parent"),
    Described {
        items: Some("option"),
        ..custom(
            Field::Flagged,
            10_021,
            10_200,
            "Flagged",
            "array",
            "com.atlassian.jira.plugin.system.customfieldtypes:multicheckboxes",
        )
    },
    custom(Field::Rank, 10_019, 10_100, "Rank", "any", "com.pyxis.greenhopper.jira:gh-lexo-rank"),
    system(Field::Priority, "priority", "Priority", "priority"),
    list(Field::Labels, "labels", "Labels", "string"),
    system(Field::RemainingEstimate, "timeestimate", "Remaining Estimate", "number"),
    system(Field::OriginalEstimate, "timeoriginalestimate", "Original estimate", "number"),
    list(Field::Versions, "versions", "Affects versions", "version"),
    list(Field::IssueLinks, "issuelinks", "Linked Issues", "issuelinks"),
    system(Field::Assignee, "assignee", "Assignee", "user"),
    system(Field::Updated, "updated", "Updated", "datetime"),
    system(Field::Status, "status", "Status", "status"),
    list(Field::Components, "components", "Components", "component"),
    system(Field::Description, "description", "Description", "string"),
    system(Field::TimeTracking, "timetracking", "Time tracking", "timetracking"),
    system(Field::Security, "security", "Security Level", "securitylevel"),
    system(Field::Summary, "summary", "Summary", "string"),
    system(Field::Creator, "creator", "Creator", "user"),
    list(Field::Subtasks, "subtasks", "Sub-tasks", "issuelinks"),
    system(Field::Reporter, "reporter", "Reporter", "user"),
    system(Field::Environment, "environment", "Environment", "string"),
    system(Field::DueDate, "duedate", "Due date", "date"),
    system(Field::Votes, "votes", "Votes", "votes"),
    Described { items: Some("comment"), ..system(Field::Comment, "comment", "Comment", "comments-page") },
];

/// The custom field of this number, in either edition.
pub(super) fn numbered(number: u32) -> Option<Field> {
    let is_it =
        |known: &&Described| matches!(known.id, Id::Custom(cloud, server) if number == cloud || number == server);
    ALL.iter().find(is_it).map(|known| known.field)
}

impl Field {
    /// The id in an edition: `summary`, `customfield_10020`.
    pub(super) fn id(self, edition: Edition) -> String {
        ALL.iter().find(|known| known.field == self).map_or_else(String::new, |known| known.id(edition))
    }

    /// Whether `*navigable` leaves it out, as it does the bulky ones.
    fn is_bulky(self) -> bool {
        matches!(self, Self::Comment)
    }
}

impl Described {
    fn id(&self, edition: Edition) -> String {
        match (&self.id, edition) {
            (Id::System(id), _) => (*id).to_owned(),
            (Id::Custom(cloud, _), Edition::Cloud) => format!("customfield_{cloud}"),
            (Id::Custom(_, data_center), Edition::DataCenter) => format!("customfield_{data_center}"),
        }
    }

    fn number(&self, edition: Edition) -> Option<u32> {
        match (&self.id, edition) {
            (Id::System(_), _) => None,
            (Id::Custom(cloud, _), Edition::Cloud) => Some(*cloud),
            (Id::Custom(_, data_center), Edition::DataCenter) => Some(*data_center),
        }
    }

    fn write(&self, edition: Edition, name: &str, json: &mut Json) {
        let id = self.id(edition);
        let number = self.number(edition);
        json.object(|json| {
            json.name("id").text(&id);
            // Sample answers of Cloud carry `key`; older servers do not.
            if edition == Edition::Cloud {
                json.name("key").text(&id);
            }
            json.name("name").text(name);
            json.name("custom").plain(number.is_some());
            json.name("orderable").plain(true);
            json.name("navigable").plain(true);
            json.name("searchable").plain(true);
            json.name("clauseNames").array(|json| match number {
                Some(number) => {
                    json.text(&format!("cf[{number}]"));
                    json.text(name);
                }
                None => json.text(&id),
            });
            json.name("schema").object(|json| self.write_schema(number, json));
        });
    }

    fn write_schema(&self, number: Option<u32>, json: &mut Json) {
        json.name("type").text(self.kind);
        if let Some(items) = self.items {
            json.name("items").text(items);
        }
        match (self.custom, number, &self.id) {
            (Some(custom), Some(number), _) => {
                json.name("custom").text(custom);
                json.name("customId").plain(number);
            }
            (.., Id::System(id)) => json.name("system").text(id),
            _ => {}
        }
    }
}

impl Site {
    /// `GET /field`.
    pub(super) fn fields(&self) -> Reply {
        let (names, now) = (lock(&self.names), self.now());
        let write = |known: &Described, json: &mut Json| {
            known.write(self.options.edition, names.at(known.name, now), json);
        };
        Reply::json(200, super::json::array(|json| ALL.iter().for_each(|known| write(known, json))))
    }
}

/// The fields a caller asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selection {
    pub(super) fields: Vec<(String, Field)>,
    /// Neither fields nor more than `id` (and `key`) were asked for: pages may be long.
    pub(super) ids_only: bool,
    /// Only `id` was asked for.
    pub(super) bare: bool,
}

impl Selection {
    /// Reads a list of field ids; each entry may hold several, comma separated. `*all`, `*navigable` and `-name` are
    /// understood; unknown names are passed over, as Jira does.
    pub(super) fn of<S: AsRef<str>>(names: &[S], edition: Edition) -> Self {
        let names: Vec<_> = names.iter().flat_map(|name| name.as_ref().split(',')).map(str::trim).collect();
        let bare = names.iter().all(|name| *name == "id");
        let ids_only = names.iter().all(|name| matches!(*name, "id" | "key" | "issuekey"));
        let everything = names.contains(&"*all");
        let only_exclusions = !names.is_empty() && names.iter().all(|name| name.starts_with('-'));
        let navigable = only_exclusions || names.contains(&"*navigable");
        let chosen = |id: &str, field: Field| {
            let named = names.contains(&id) || everything || navigable && !field.is_bulky();
            named && !names.iter().any(|name| name.strip_prefix('-') == Some(id))
        };
        let all = ALL.iter().map(|known| (known.id(edition), known.field));
        Self { fields: all.filter(|(id, field)| chosen(id, *field)).collect(), ids_only, bare }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_asked_for_is_selected() {
        let ids = |names: &[&str]| -> Vec<String> {
            Selection::of(names, Edition::Cloud).fields.into_iter().map(|(id, _)| id).collect()
        };
        assert_eq!(ids(&["summary,status"]), ["status", "summary"]);
        assert_eq!(ids(&["customfield_10020", "nonsense"]), ["customfield_10020"]);
        assert!(ids(&["*all"]).contains(&"comment".to_owned()));
        assert!(!ids(&["*navigable"]).contains(&"comment".to_owned()));
        assert!(!ids(&["*all", "-summary"]).contains(&"summary".to_owned()));
        assert!(Selection::of(&["id"], Edition::Cloud).bare);
        assert!(Selection::of(&["id", "key"], Edition::Cloud).ids_only);
    }

    #[test]
    fn ids_are_unique_in_each_edition() {
        for edition in [Edition::Cloud, Edition::DataCenter] {
            let mut ids: Vec<_> = ALL.iter().map(|known| known.id(edition)).collect();
            ids.sort();
            let count = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), count);
        }
    }
}
