//! What a GitHub knows that an older Enterprise Server does not, feature by feature.
//!
//! A server refuses a whole request over one unknown name. So it is asked once what it knows ([`INTROSPECTION`]), and each
//! request leaves out what belongs to a [`Feature`] that is missing ([`super::queries`]). Where introspection says nothing, or less
//! than is true, the refusal itself names what is unknown ([`Missing::learn`]).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Something that a server may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Feature {
    StatusHistory,
    DraftHistory,
    SubIssues,
    ParentHistory,
    Dependencies,
    DependencyHistory,
    IssueTypes,
    IssueTypeHistory,
    IssueFields,
    IssueFieldHistory,
    ArchivedItems,
    DuplicateReason,
    ItemNumbers,
    LinkedPullRequests,
}

/// A name of the schema that a feature needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    /// A type, and a field of it.
    Field(&'static str, &'static str),
    /// A type, a field of it, and an argument of that.
    Argument(&'static str, &'static str, &'static str),
    /// A kind of event in an issue's timeline, as the filter calls it and as its type is called.
    Event(&'static str, &'static str),
}

use Name::{Argument, Event, Field};

/// What the server knows of the types that features need. Introspection is no part of a schema, so this is the one query that is
/// not checked against it. `__type` without another name is the oldest sign, for whoever answers nothing else.
pub(super) const INTROSPECTION: &str = "query Start { viewer { login } __type(name: \"ProjectV2ItemStatusChangedEvent\") { name } \
     Issue: __type(name: \"Issue\") { ...Fields } ProjectV2: __type(name: \"ProjectV2\") { ...Fields } \
     ProjectV2Item: __type(name: \"ProjectV2Item\") { ...Fields } \
     events: __type(name: \"IssueTimelineItemsItemType\") { enumValues(includeDeprecated: true) { name } } } \
     fragment Fields on __Type { fields(includeDeprecated: true) { name args { name } } }";

/// The same without any question about the schema.
pub(super) const WHO: &str = "query Start { viewer { login } }";

impl Feature {
    pub(super) const ALL: [Self; 14] = [
        Self::StatusHistory,
        Self::DraftHistory,
        Self::SubIssues,
        Self::ParentHistory,
        Self::Dependencies,
        Self::DependencyHistory,
        Self::IssueTypes,
        Self::IssueTypeHistory,
        Self::IssueFields,
        Self::IssueFieldHistory,
        Self::ArchivedItems,
        Self::DuplicateReason,
        Self::ItemNumbers,
        Self::LinkedPullRequests,
    ];

    /// Its name in the document.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::StatusHistory => "status_history",
            Self::DraftHistory => "draft_history",
            Self::SubIssues => "sub_issues",
            Self::ParentHistory => "parent_history",
            Self::Dependencies => "dependencies",
            Self::DependencyHistory => "dependency_history",
            Self::IssueTypes => "issue_types",
            Self::IssueTypeHistory => "issue_type_history",
            Self::IssueFields => "issue_fields",
            Self::IssueFieldHistory => "issue_field_history",
            Self::ArchivedItems => "archived_items",
            Self::DuplicateReason => "duplicate_reason",
            Self::ItemNumbers => "item_numbers",
            Self::LinkedPullRequests => "linked_pull_requests",
        }
    }

    /// What it is called, and what is lost without it.
    pub(super) const fn about(self) -> (&'static str, &'static str) {
        match self {
            Self::StatusHistory => (
                "the history of a project's status",
                "`started` and time in status are known only from what is observed",
            ),
            Self::DraftHistory => ("conversions of drafts", "an issue that was a draft begins with its conversion"),
            Self::SubIssues => ("sub-issues", "there are no parents, and no epics by sub-issues"),
            Self::ParentHistory => ("the history of parents", "a change of parent is dated when it is observed"),
            Self::Dependencies => ("dependencies between issues", "nothing is blocked by or waits on an issue"),
            Self::DependencyHistory => ("the history of dependencies", "waiting counts from when it is observed"),
            Self::IssueTypes => ("issue types", "types come from the project's field and from labels"),
            Self::IssueTypeHistory => ("the history of issue types", "a change of type is dated when it is observed"),
            Self::IssueFields => {
                ("the organisation's issue fields", "estimates, priorities and dates kept there are absent")
            }
            Self::IssueFieldHistory => {
                ("the history of issue fields", "a change of an issue field is dated when it is observed")
            }
            Self::ArchivedItems => {
                ("the filter for archived items", "archived items are listed as far as the server does by itself")
            }
            Self::DuplicateReason => {
                ("closing as a duplicate", "an issue closed as a duplicate counts as done or not planned")
            }
            Self::ItemNumbers => ("numbers of items", "drafts are named by their node ids"),
            Self::LinkedPullRequests => {
                ("linked pull requests", "pull requests are found only in configured repositories")
            }
        }
    }

    /// What it needs of the schema.
    const fn needs(self) -> &'static [Name] {
        match self {
            Self::StatusHistory => &[Event("PROJECT_V2_ITEM_STATUS_CHANGED_EVENT", "ProjectV2ItemStatusChangedEvent")],
            Self::DraftHistory => &[Event("CONVERTED_FROM_DRAFT_EVENT", "ConvertedFromDraftEvent")],
            Self::SubIssues => {
                &[Field("Issue", "parent"), Field("Issue", "subIssues"), Field("Issue", "subIssuesSummary")]
            }
            Self::ParentHistory => &[
                Event("PARENT_ISSUE_ADDED_EVENT", "ParentIssueAddedEvent"),
                Event("PARENT_ISSUE_REMOVED_EVENT", "ParentIssueRemovedEvent"),
            ],
            Self::Dependencies => &[Field("Issue", "blockedBy"), Field("Issue", "issueDependenciesSummary")],
            Self::DependencyHistory => &[
                Event("BLOCKED_BY_ADDED_EVENT", "BlockedByAddedEvent"),
                Event("BLOCKED_BY_REMOVED_EVENT", "BlockedByRemovedEvent"),
            ],
            Self::IssueTypes => &[Field("Issue", "issueType")],
            Self::IssueTypeHistory => &[
                Event("ISSUE_TYPE_ADDED_EVENT", "IssueTypeAddedEvent"),
                Event("ISSUE_TYPE_CHANGED_EVENT", "IssueTypeChangedEvent"),
                Event("ISSUE_TYPE_REMOVED_EVENT", "IssueTypeRemovedEvent"),
            ],
            Self::IssueFields => &[Field("Issue", "issueFieldValues")],
            Self::IssueFieldHistory => &[
                Event("ISSUE_FIELD_ADDED_EVENT", "IssueFieldAddedEvent"),
                Event("ISSUE_FIELD_CHANGED_EVENT", "IssueFieldChangedEvent"),
                Event("ISSUE_FIELD_REMOVED_EVENT", "IssueFieldRemovedEvent"),
            ],
            Self::ArchivedItems => &[Argument("ProjectV2", "items", "archivedStates")],
            Self::DuplicateReason => &[Argument("Issue", "stateReason", "enableDuplicate")],
            Self::ItemNumbers => &[Field("ProjectV2Item", "fullDatabaseId")],
            Self::LinkedPullRequests => &[
                Field("Issue", "closedByPullRequestsReferences"),
                Argument("Issue", "closedByPullRequestsReferences", "includeClosedPrs"),
            ],
        }
    }
}

/// The features that a server lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Missing(BTreeSet<Feature>);

impl Missing {
    pub(super) fn has(&self, feature: Feature) -> bool {
        self.0.contains(&feature)
    }

    /// Every feature: what a server lacks of which an earlier version only knew that it is old.
    pub(super) fn all() -> Self {
        Self(Feature::ALL.into())
    }

    /// Adds what else is missing.
    pub(super) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the server has learnt something since it lacked all this.
    pub(super) fn has_shrunk_to(&self, now: &Self) -> bool {
        !self.0.is_subset(&now.0)
    }

    /// A sentence for people on each that is missing.
    pub(super) fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|feature| {
            let (name, loss) = feature.about();
            format!("the server does not know {name}: {loss}")
        })
    }

    /// Adds what a refusal says is unknown. Whether that was news. GitHub refuses a list of kinds of events as a whole, so such a
    /// refusal counts only when nothing else is named.
    pub(super) fn learn<'a>(&mut self, refusals: impl Iterator<Item = &'a str> + Clone) -> bool {
        let is_list = |text: &&str| text.contains("itemTypes");
        let named = named(refusals.clone().filter(|text| !is_list(text)));
        let mut fresh: BTreeSet<Feature> = named.difference(&self.0).copied().collect();
        if fresh.is_empty() && refusals.clone().any(|text| is_list(&text)) {
            let events = |feature: &Feature| matches!(feature.needs(), [Event(..), ..]);
            fresh = Feature::ALL.into_iter().filter(events).filter(|feature| !self.has(*feature)).collect();
        }
        self.0.extend(&fresh);
        !fresh.is_empty()
    }
}

/// The features whose names these texts hold.
fn named<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeSet<Feature> {
    let mut found = BTreeSet::new();
    for text in texts {
        let words: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let is_named = |name: &Name| match name {
            Field(of, field) => words.contains(of) && words.contains(field),
            Argument(_, field, argument) => words.contains(field) && words.contains(argument),
            Event(value, kind) => words.contains(value) || words.contains(kind),
        };
        found.extend(Feature::ALL.into_iter().filter(|feature| feature.needs().iter().any(is_named)));
    }
    found
}

/// The answer to [`INTROSPECTION`]. An absent key says nothing; a null one that there is no such type.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Known {
    #[serde(rename = "__type")]
    sign: Option<serde::de::IgnoredAny>,
    #[serde(rename = "Issue")]
    issue: Option<Type>,
    #[serde(rename = "ProjectV2")]
    project: Option<Type>,
    #[serde(rename = "ProjectV2Item")]
    item: Option<Type>,
    events: Option<Type>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Type {
    fields: Option<Vec<Member>>,
    enum_values: Option<Vec<Member>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Member {
    name: String,
    args: Vec<Member>,
}

impl Known {
    /// What is missing. A server that answers no introspection at all has everything, or nothing when it lacks the oldest sign.
    pub(super) fn missing(&self) -> Missing {
        let says_nothing = self.issue.is_none() && self.project.is_none() && self.events.is_none();
        if says_nothing && self.sign.is_none() {
            return Missing::all();
        }
        let lacks = |feature: &Feature| feature.needs().iter().any(|name| self.has(*name) == Some(false));
        Missing(Feature::ALL.into_iter().filter(lacks).collect())
    }

    /// Whether the server has a name; unknown where its type was not described.
    fn has(&self, name: Name) -> Option<bool> {
        let of = |name: &str| match name {
            "Issue" => self.issue.as_ref(),
            "ProjectV2" => self.project.as_ref(),
            _ => self.item.as_ref(),
        };
        let field = |of: Option<&Type>, name: &str| -> Option<Option<Vec<String>>> {
            let found = of?.fields.as_ref()?.iter().find(|field| field.name == name);
            Some(found.map(|field| field.args.iter().map(|argument| argument.name.clone()).collect()))
        };
        match name {
            Field(kind, name) => field(of(kind), name).map(|found| found.is_some()),
            Argument(kind, name, argument) => field(of(kind), name)
                .map(|found| found.is_some_and(|arguments| arguments.iter().any(|one| one == argument))),
            Event(value, _) => {
                let values = self.events.as_ref()?.enum_values.as_ref()?;
                Some(values.iter().any(|one| one.name == value))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(json: &str) -> Vec<Feature> {
        serde_json::from_str::<Known>(json).unwrap().missing().0.into_iter().collect()
    }

    #[test]
    fn a_feature_is_missing_when_one_of_its_names_is() {
        let all = r#"{"name":"parent"},{"name":"subIssues"},{"name":"subIssuesSummary"},{"name":"blockedBy"},
            {"name":"issueDependenciesSummary"},{"name":"issueType"},{"name":"issueFieldValues"},
            {"name":"stateReason","args":[{"name":"enableDuplicate"}]},
            {"name":"closedByPullRequestsReferences","args":[{"name":"includeClosedPrs"}]}"#;
        let of = |issue: &str, items: &str| {
            known(&format!(
                r#"{{"__type":{{"name":"x"}},"Issue":{{"fields":[{issue}]}},"ProjectV2":{{"fields":[{{"name":"items","args":[{items}]}}]}}}}"#
            ))
        };
        let states = r#"{"name":"archivedStates"}"#;
        assert_eq!(of(all, states), []);
        assert_eq!(of(all, r#"{"name":"first"}"#), [Feature::ArchivedItems]);
        assert_eq!(of(&all.replace("blockedBy", "x"), states), [Feature::Dependencies]);
        assert_eq!(of(&all.replace("enableDuplicate", "x"), states), [Feature::DuplicateReason]);
        let events = r#"{"__type":{"name":"x"},"events":{"enumValues":[{"name":"CLOSED_EVENT"}]}}"#;
        assert_eq!(known(events).len(), 6, "every history that can be missing");
    }

    #[test]
    fn without_introspection_the_oldest_sign_decides() {
        assert_eq!(known(r#"{"__type":{"name":"x"}}"#), []);
        assert_eq!(known(r#"{"__type":null}"#), Feature::ALL);
    }

    #[test]
    fn a_refusal_teaches_what_is_missing_and_no_more() {
        let table: [(&[&str], &[Feature]); 6] = [
            (&["Field 'items' doesn't accept argument 'archivedStates'"], &[Feature::ArchivedItems]),
            (&["Field 'parent' doesn't exist on type 'Issue'"], &[Feature::SubIssues]),
            (&["Cannot query field \"blockedBy\" on type \"Issue\"."], &[Feature::Dependencies]),
            (&["No such type IssueTypeAddedEvent, so it can't be a fragment condition"], &[Feature::IssueTypeHistory]),
            (
                &[
                    "No such type ParentIssueAddedEvent, so it can't be a fragment condition",
                    "Argument 'itemTypes' on Field 'timelineItems' has an invalid value ([ISSUE_TYPE_ADDED_EVENT]).",
                ],
                &[Feature::ParentHistory],
            ),
            (&["Field 'zzz' doesn't exist on type 'Deployment'"], &[]),
        ];
        for (refusals, want) in table {
            let mut missing = Missing::default();
            assert_eq!(missing.learn(refusals.iter().copied()), !want.is_empty(), "{refusals:?}");
            assert_eq!(missing.0.iter().copied().collect::<Vec<_>>(), want, "{refusals:?}");
            assert!(
                !missing.learn(refusals.iter().copied().filter(|text| !text.contains("itemTypes"))),
                "news only once"
            );
        }
        let mut missing = Missing::default();
        assert!(missing.learn(["Argument 'itemTypes' on Field 'timelineItems' has an invalid value"].into_iter()));
        assert_eq!(missing.0.len(), 6);
    }

    #[test]
    fn a_server_that_learnt_something_is_noticed() {
        let (before, now) =
            (Missing([Feature::SubIssues, Feature::IssueTypes].into()), Missing([Feature::SubIssues].into()));
        assert!(before.has_shrunk_to(&now) && !now.has_shrunk_to(&before) && !now.has_shrunk_to(&now));
    }

    #[test]
    fn every_feature_has_its_word() {
        for feature in Feature::ALL {
            assert_eq!(serde_json::to_value(feature).unwrap(), feature.word());
        }
    }
}
