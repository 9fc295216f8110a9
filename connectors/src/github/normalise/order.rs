//! The order in which the events of an issue happened, also within one second.

use contextcore_core::{Millis, Result};

use super::super::reference::Project;
use super::super::wire::{IssueRef, Login, TimelineItem};
use super::state::name;
use crate::chain::Link;
use crate::rewind;

/// The events in the order they happened, each once. What has neither id nor date is of a kind that is not read.
pub(super) fn in_order<'a>(events: impl Iterator<Item = &'a TimelineItem>) -> Result<Vec<(Millis, &'a TimelineItem)>> {
    let known = events.filter(|event| event.id.is_some() || event.created_at.is_some());
    rewind::in_order(known, "event", |event| event.id.as_deref(), |event| event.created_at)
}

/// What an event does to a value, for the order of events of one second. The present state knows the same names of values.
pub(super) fn link(event: &TimelineItem) -> Option<Link> {
    let text = |text: &Option<Box<str>>| text.as_deref().unwrap_or_default().to_owned();
    let id = |issue: &Option<IssueRef>| issue.as_ref()?.id.as_deref().map(str::to_owned);
    let (on, off) = (|| "on".to_owned(), String::new);
    let (field, from, to) = match &*event.kind {
        "LabeledEvent" => (format!("label:{}", name(&event.label)?), off(), on()),
        "UnlabeledEvent" => (format!("label:{}", name(&event.label)?), on(), off()),
        "AssignedEvent" => (format!("assignee:{}", Login::of(event.assignee.as_ref())?), off(), on()),
        "UnassignedEvent" => (format!("assignee:{}", Login::of(event.assignee.as_ref())?), on(), off()),
        "MilestonedEvent" => ("milestone".to_owned(), off(), text(&event.milestone_title)),
        "DemilestonedEvent" => ("milestone".to_owned(), text(&event.milestone_title), off()),
        "ParentIssueAddedEvent" => ("parent".to_owned(), off(), id(&event.parent)?),
        "ParentIssueRemovedEvent" => ("parent".to_owned(), id(&event.parent)?, off()),
        "ProjectV2ItemStatusChangedEvent" => {
            (format!("column:{}", event.project.as_ref()?.id), text(&event.previous_status), text(&event.status))
        }
        "ClosedEvent" => ("closed".to_owned(), off(), on()),
        "ReopenedEvent" => ("closed".to_owned(), on(), off()),
        "RenamedTitleEvent" => ("title".to_owned(), text(&event.previous_title), text(&event.current_title)),
        "IssueTypeAddedEvent" => ("type".to_owned(), off(), name(&event.issue_type)?),
        "IssueTypeRemovedEvent" => ("type".to_owned(), name(&event.issue_type)?, off()),
        "IssueTypeChangedEvent" => ("type".to_owned(), name(&event.prev_issue_type)?, name(&event.issue_type)?),
        "IssueFieldAddedEvent" => {
            (format!("field:{}", name(&event.issue_field)?.to_lowercase()), off(), text(&event.value))
        }
        "IssueFieldChangedEvent" => (
            format!("field:{}", name(&event.issue_field)?.to_lowercase()),
            text(&event.previous_value),
            text(&event.new_value),
        ),
        _ => return None,
    };
    Some(Link { field, from, to })
}

/// Whether an event of a project is about this one.
pub(super) fn about(project: Option<&Project>, event: &TimelineItem) -> bool {
    let named = event.project.as_ref().map(|project| &*project.id);
    project.is_some_and(|project| named == Some(&*project.id))
}
