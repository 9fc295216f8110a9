//! The schema of an older Enterprise Server: today's without what came in 2025 and 2026.

use crate::graphql::{self, Engine, Without};
use std::io;
use std::sync::LazyLock;

/// What such a server does not know. After the reports of its users; which release learnt what is not recorded anywhere.
const LATER: Without<'_> = Without {
    types: &[
        "ProjectV2ItemStatusChangedEvent",
        "AddedToProjectV2Event",
        "RemovedFromProjectV2Event",
        "ConvertedFromDraftEvent",
        "ParentIssueAddedEvent",
        "ParentIssueRemovedEvent",
        "SubIssueAddedEvent",
        "SubIssueRemovedEvent",
        "SubIssuesSummary",
        "BlockedByAddedEvent",
        "BlockedByRemovedEvent",
        "BlockingAddedEvent",
        "BlockingRemovedEvent",
        "IssueDependenciesSummary",
        "IssueDependencyOrder",
        "IssueType",
        "IssueTypeAddedEvent",
        "IssueTypeChangedEvent",
        "IssueTypeRemovedEvent",
        "IssueFields",
        "IssueFieldsConnection",
        "IssueFieldValue",
        "IssueFieldValueConnection",
        "IssueFieldAddedEvent",
        "IssueFieldChangedEvent",
        "IssueFieldRemovedEvent",
        "ProjectV2ItemIssueFieldValue",
        "ProjectV2MultiSelectField",
        "ProjectV2ItemFieldMultiSelectValue",
        "ProjectV2ItemArchivedState",
    ],
    fields: &[
        ("Issue", "parent"),
        ("Issue", "subIssues"),
        ("Issue", "blockedBy"),
        ("Issue", "blocking"),
        ("Issue", "duplicateOf"),
        ("ProjectV2Item", "fullDatabaseId"),
    ],
    values: &[
        ("IssueTimelineItemsItemType", "PROJECT_V2_ITEM_STATUS_CHANGED_EVENT"),
        ("IssueTimelineItemsItemType", "ADDED_TO_PROJECT_V2_EVENT"),
        ("IssueTimelineItemsItemType", "REMOVED_FROM_PROJECT_V2_EVENT"),
        ("IssueTimelineItemsItemType", "CONVERTED_FROM_DRAFT_EVENT"),
        ("IssueTimelineItemsItemType", "PARENT_ISSUE_ADDED_EVENT"),
        ("IssueTimelineItemsItemType", "PARENT_ISSUE_REMOVED_EVENT"),
        ("IssueTimelineItemsItemType", "SUB_ISSUE_ADDED_EVENT"),
        ("IssueTimelineItemsItemType", "SUB_ISSUE_REMOVED_EVENT"),
        ("IssueTimelineItemsItemType", "BLOCKED_BY_ADDED_EVENT"),
        ("IssueTimelineItemsItemType", "BLOCKED_BY_REMOVED_EVENT"),
        ("IssueTimelineItemsItemType", "BLOCKING_ADDED_EVENT"),
        ("IssueTimelineItemsItemType", "BLOCKING_REMOVED_EVENT"),
        ("IssueTimelineItemsItemType", "ISSUE_TYPE_ADDED_EVENT"),
        ("IssueTimelineItemsItemType", "ISSUE_TYPE_CHANGED_EVENT"),
        ("IssueTimelineItemsItemType", "ISSUE_TYPE_REMOVED_EVENT"),
        ("IssueTimelineItemsItemType", "ISSUE_FIELD_ADDED_EVENT"),
        ("IssueTimelineItemsItemType", "ISSUE_FIELD_CHANGED_EVENT"),
        ("IssueTimelineItemsItemType", "ISSUE_FIELD_REMOVED_EVENT"),
        ("IssueStateReason", "DUPLICATE"),
    ],
    arguments: &[("Issue", "stateReason", "enableDuplicate")],
};

/// The schema of an older Enterprise Server.
///
/// # Errors
/// When what is left is no schema.
pub(super) fn enterprise() -> io::Result<&'static Engine> {
    static ENGINE: LazyLock<Result<Engine, String>> =
        LazyLock::new(|| graphql::github().map_err(|error| error.to_string())?.without(&LATER));
    ENGINE.as_ref().map_err(|error| io::Error::other(error.as_str()))
}
