//! Listing the items of a project: what each looks like, and stepping over those that GitHub cannot list.
//!
//! A page that GitHub does not answer is asked for in smaller ones, down to a single row. Of a row that it cannot list, only the
//! ids are asked for; when even those fail, only where the next row begins. So one bad item costs itself.

use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::{debug, info};

use super::answer::{Answer, GraphError, is_divisible};
use super::api::Api;
use super::batch::{Kind, Sizes};
use super::calls::{Detail, ItemsPage};
use super::connection::Rows;
use super::fingerprints::Short;
use super::place::{Gap, Place};
use super::session::MOMENT;
use super::wire::RepositoryName as NameWithOwner;
use contextcore_core::ingest::connector::Unreadable;
use contextcore_core::model::time::DAY;

/// An item as the sweep lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) id: Box<str>,
    #[serde(rename = "type", default)]
    pub(super) item_type: Box<str>,
    #[serde(default)]
    is_archived: bool,
    #[serde(default)]
    updated_at: Box<str>,
    content: Option<Content>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    id: Option<Box<str>>,
    #[serde(default, alias = "pullState")]
    state: Box<str>,
    #[serde(default)]
    updated_at: Box<str>,
    repository: Option<NameWithOwner>,
    /// What may change without `updatedAt`: compared as text.
    parent: Option<serde_json::Value>,
    issue_dependencies_summary: Option<serde_json::Value>,
    sub_issues_summary: Option<serde_json::Value>,
    /// Issues that a pull request closes.
    #[serde(default)]
    closing_issues_references: Rows<serde::de::IgnoredAny>,
}

impl Content {
    fn closes(&self) -> bool {
        self.closing_issues_references.total_count.is_some_and(|issues| issues > 0)
    }
}

impl Row {
    /// The native id of its task.
    pub(super) fn native_id(&self) -> &str {
        self.content_id().unwrap_or(&self.id)
    }

    pub(super) fn content_id(&self) -> Option<&str> {
        self.content.as_ref()?.id.as_deref()
    }

    /// Whether it is hidden.
    pub(super) fn is_put_away(&self) -> bool {
        let finished = self.content.as_ref().is_some_and(|content| matches!(&*content.state, "CLOSED" | "MERGED"));
        self.is_archived && !finished
    }

    /// Whether GitHub counts it although it is no task: a hidden item, or an issue's own pull request.
    pub(super) fn is_no_task(&self) -> bool {
        self.is_put_away() || self.content.as_ref().is_some_and(Content::closes)
    }

    /// Whether it is open and something blocks it, or did.
    pub(super) fn is_blocked(&self) -> bool {
        let content = self.content.as_ref().filter(|content| &*content.state == "OPEN");
        let summary = content.and_then(|content| content.issue_dependencies_summary.as_ref());
        summary.and_then(|summary| summary["totalBlockedBy"].as_u64()).is_some_and(|blockers| blockers > 0)
    }

    /// The id of the issue that it wraps, and its repository.
    pub(super) fn issue(&self) -> Option<(&str, &str)> {
        let content = self.content.as_ref().filter(|_| &*self.item_type == "ISSUE")?;
        Some((content.id.as_deref()?, &content.repository.as_ref()?.name_with_owner))
    }

    pub(super) fn content(&self) -> Short {
        self.content_id().map_or(Short::NONE, |id| Short::of(&[id]))
    }

    /// A hash of how it looks: any change of it gives another one.
    pub(super) fn look(&self) -> Short {
        let archived = if self.is_archived { "archived" } else { "" };
        let Some(content) = &self.content else { return Short::of(&[&self.updated_at, &self.item_type, archived]) };
        let beside = [&content.parent, &content.issue_dependencies_summary, &content.sub_issues_summary];
        let beside = beside.map(|value| value.as_ref().map(ToString::to_string).unwrap_or_default());
        let mut parts = vec![&*self.updated_at, &*self.item_type, archived, self.native_id()];
        parts.extend([&*content.updated_at, &*content.state]);
        parts.extend(beside.iter().map(String::as_str));
        parts.extend(content.closes().then_some("closes"));
        Short::of(&parts)
    }

    /// Whether it changed so recently that it may change again without looking different. A date far ahead of every clock says
    /// nothing.
    pub(super) fn is_fresh(&self, now: Millis) -> bool {
        let times = [Some(&self.updated_at), self.content.as_ref().map(|content| &content.updated_at)];
        let latest = times.into_iter().flatten().filter_map(|time| Millis::parse(time)).max();
        latest.is_some_and(|latest| latest.plus(MOMENT) >= now && latest <= now.plus(DAY))
    }

    /// How its record is requested.
    pub(super) fn kind(&self) -> Kind {
        match &*self.item_type {
            "ISSUE" if self.content.is_some() => Kind::IssueItems,
            "PULL_REQUEST" if self.content.is_some() => Kind::PullRequestItems,
            _ => Kind::OtherItems,
        }
    }
}

/// A page of a project's items.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) rows: Vec<Row>,
    /// Rows that GitHub could not list, or not so that they can be understood.
    pub(super) bad: Vec<BadRow>,
    /// Rows that are hidden altogether.
    pub(super) hidden: u64,
    /// How many items GitHub counts.
    pub(super) total: Option<u64>,
    /// There is another page.
    pub(super) more: bool,
    /// Rows that cannot be listed from either end.
    pub(super) gap: Option<Gap>,
    pub(super) warnings: Vec<String>,
}

/// A row that could not be listed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadRow {
    /// Its place on the page.
    index: usize,
    pub(super) item: Option<Box<str>>,
    /// That of its task, or of the item when GitHub did not give more.
    native_id: Option<String>,
    reason: String,
}

impl BadRow {
    fn of(index: usize, row: Option<&RawValue>, reason: String) -> Self {
        let row: Value = row.and_then(|row| serde_json::from_str(row.get()).ok()).unwrap_or_default();
        let item = row["id"].as_str();
        let native_id = row["content"]["id"].as_str().or(item).map(str::to_owned);
        Self { index, item: item.map(Box::from), native_id, reason }
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    /// The record of it; none while its id is unknown.
    pub(super) fn unreadable(&self) -> Option<Unreadable> {
        let native_id = self.native_id.clone()?;
        Some(Unreadable { native_id, reason: format!("GitHub cannot list it: {}", self.reason) })
    }
}

/// The next page of a project's items. `place` moves on.
///
/// # Errors
/// As the session's; [`ErrorKind::NotFound`] when the project is not there any more.
pub(super) async fn page(api: &Api, project: &str, place: &mut Place, sizes: &mut Sizes) -> Result<Listed> {
    let (mut size, mut attempt) = (sizes.sweep, Attempt::default());
    loop {
        let answer = api.items(project, place, size, attempt.detail).await.and_then(whole_page);
        match answer {
            Err(error) if is_divisible(&error) && size > 1 => {
                api.note_failure(&error);
                size = size.div_ceil(2);
                info!(rows = size, error = error.full(), "listing fewer items at once");
            }
            Err(error) if is_divisible(&error) => {
                api.answers_still(&error).await?;
                attempt = match attempt.next(error) {
                    Ok(next) => next,
                    Err(error) => {
                        let gap = place.turn(error, project)?;
                        return Ok(Listed { more: gap.is_none(), gap, total: place.total(), ..Listed::default() });
                    }
                };
            }
            Err(error) => return Err(error),
            Ok(answer) => {
                // One bad row says nothing about how many can be listed at once.
                sizes.sweep = if attempt.detail == Detail::Whole { size } else { Sizes::default().sweep };
                let begin = place.clone();
                let mut listed = read(project, answer, &attempt, place)?;
                if listed.bad.iter().any(|row| row.item.is_none()) && attempt.detail == Detail::Whole {
                    identify(api, project, &begin, size, &mut listed).await;
                }
                return Ok(listed);
            }
        }
    }
}

/// How a single row is asked for.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) detail: Detail,
    again: bool,
    reason: String,
}

impl Default for Attempt {
    fn default() -> Self {
        Self { detail: Detail::Whole, again: true, reason: String::new() }
    }
}

impl Attempt {
    /// Rows of which only ids and times are asked for.
    pub(super) const fn of_ids() -> Self {
        Self { detail: Detail::Ids, again: true, reason: String::new() }
    }

    /// The next after a failure: the same once more, then with less.
    ///
    /// # Errors
    /// The failure, when nothing less can be asked for.
    pub(super) fn next(self, error: Error) -> Result<Self> {
        if self.again {
            return Ok(Self { again: false, ..self });
        }
        let reason = if self.reason.is_empty() { error.to_string() } else { self.reason };
        let detail = self.detail.less().ok_or(error)?;
        debug!(?detail, "asking for less of a row");
        Ok(Self { detail, again: false, reason })
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

/// The answer, unless all its rows are null for another reason than permission.
fn whole_page(answer: Answer<Option<ItemsPage>>) -> Result<Answer<Option<ItemsPage>>> {
    let Some(page) = &answer.data else { return Ok(answer) };
    let nulls = page.items.nodes.iter().filter(|row| is_null(row.as_deref())).count();
    let refused = answer.errors.iter().filter(|error| error.is_refusal()).count();
    if nulls > 0 && nulls == page.items.nodes.len() && refused < nulls {
        let text = answer.errors.first().map_or_else(|| "no reason given".to_owned(), GraphError::text);
        return Err(Error::new(ErrorKind::Protocol, format!("every row of the page is empty: {text}")));
    }
    Ok(answer)
}

fn is_null(row: Option<&RawValue>) -> bool {
    row.is_none_or(|row| row.get() == "null")
}

/// Reads the rows of a page, each by itself.
fn read(
    project: &str,
    Answer { data, errors }: Answer<Option<ItemsPage>>,
    attempt: &Attempt,
    place: &mut Place,
) -> Result<Listed> {
    let Some(ItemsPage { mut items }) = data else {
        let text = errors.first().map(GraphError::text).unwrap_or_default();
        let text = format!("the project is not there any more: {text}");
        return Err(Error::new(ErrorKind::NotFound, text).with("project", project));
    };
    let total = items.total_count;
    let rows = if attempt.detail == Detail::Whole { items.nodes.len() } else { 1 };
    let fresh = place.fresh(rows, total);
    items.nodes.truncate(fresh);
    let more = place.pass(&items.page_info, fresh, total, project)?;
    let mut listed = Listed { total, more, ..Listed::default() };
    if attempt.detail != Detail::Whole {
        let row = items.nodes.first().and_then(Option::as_deref).filter(|row| !is_null(Some(row)));
        listed.bad.push(BadRow::of(0, row, attempt.reason.clone()));
        return Ok(listed);
    }
    for (index, row) in items.nodes.iter().enumerate() {
        let about = || errors.iter().filter(move |error| error.row() == Some(index));
        let failed = about().find(|error| !error.is_refusal());
        match row.as_deref().filter(|row| !is_null(Some(row))) {
            None if failed.is_none() && about().next().is_some() => listed.hidden += 1,
            None if failed.is_none() && errors.iter().any(GraphError::is_refusal) => listed.hidden += 1,
            None => {
                let reason = failed.map_or_else(|| "an empty row".to_owned(), GraphError::text);
                listed.bad.push(BadRow::of(index, None, reason));
            }
            // A row of which a part failed would look as if it had no such part.
            Some(row) if failed.is_some() => {
                listed.bad.push(BadRow::of(index, Some(row), failed.map(GraphError::text).unwrap_or_default()));
            }
            Some(row) => match serde_json::from_str::<Row>(row.get()) {
                Ok(read) => listed.rows.push(read),
                Err(error) => {
                    listed.bad.push(BadRow::of(index, Some(row), format!("it has an unexpected shape: {error}")))
                }
            },
        }
    }
    let hidden = errors.iter().find(|error| error.is_refusal()).map(GraphError::text);
    listed.warnings.extend(hidden.map(|text| format!("some items of a project are incomplete: {text}")));
    Ok(listed)
}

/// Asks for the ids of rows that came empty. Those that are empty again stay unknown.
async fn identify(api: &Api, project: &str, place: &Place, size: u32, listed: &mut Listed) {
    let Ok(Answer { data: Some(ItemsPage { items }), .. }) = api.items(project, place, size, Detail::Ids).await else {
        return;
    };
    for bad in listed.bad.iter_mut().filter(|row| row.item.is_none()) {
        let row = items.nodes.get(bad.index).and_then(Option::as_deref);
        *bad = BadRow::of(bad.index, row, std::mem::take(&mut bad.reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(json: &str) -> Answer<Option<ItemsPage>> {
        #[derive(Deserialize)]
        struct Node {
            node: Option<ItemsPage>,
        }
        let reply: super::super::answer::Reply<Node> = serde_json::from_str(json).unwrap();
        let Answer { data, errors } = reply.read().unwrap();
        Answer { data: data.node, errors }
    }

    #[test]
    fn each_row_is_read_by_itself() {
        let json = r#"{"data":{"node":{"items":{"totalCount":6,"nodes":[
            {"id":"PVTI_1","type":"ISSUE","updatedAt":"2026-03-01T10:00:00Z","content":{"id":"I_1"}},
            {"id":"PVTI_2","type":"ISSUE","updatedAt":7,"content":{"id":"I_2"}},
            {"id":"PVTI_3","type":"ISSUE","content":{"id":"I_3","parent":null}},
            null, null, {"odd":true}]}}},
            "errors":[{"path":["node","items","nodes",2,"content","parent"],"message":"boom"},
            {"type":"FORBIDDEN","path":["node","items","nodes",3],"message":"no"},
            {"path":["node","items","nodes",4],"message":"bang"}]}"#;
        let listed = read("P", answer(json), &Attempt::default(), &mut Place::default()).unwrap();
        assert_eq!(listed.rows.iter().map(|row| &*row.id).collect::<Vec<_>>(), ["PVTI_1"]);
        assert_eq!((listed.hidden, listed.total, listed.more), (1, Some(6), false));
        let bad: Vec<_> = listed.bad.iter().map(|row| (row.native_id.as_deref(), row.reason.as_str())).collect();
        assert!(
            matches!(
                bad.as_slice(),
                [(Some("I_2"), shape), (Some("I_3"), "boom"), (None, "bang"), (None, other)]
                    if shape.starts_with("it has an unexpected shape") && other.starts_with("it has an unexpected shape")
            ),
            "{bad:?}"
        );
    }

    #[test]
    fn a_page_of_nothing_but_empty_rows_is_asked_for_in_parts_unless_they_are_hidden() {
        let empty =
            r#"{"data":{"node":{"items":{"nodes":[null,null]}}},"errors":[{"message":"Resource","path":["node"]}]}"#;
        assert!(is_divisible(&whole_page(answer(empty)).unwrap_err()));
        let hidden = r#"{"data":{"node":{"items":{"nodes":[null]}}},"errors":[
            {"type":"FORBIDDEN","path":["node","items","nodes",0],"message":"no"}]}"#;
        assert!(whole_page(answer(hidden)).is_ok());
    }

    #[test]
    fn a_row_is_asked_for_twice_then_with_less_and_never_for_ever() {
        let error = || Error::new(ErrorKind::Unavailable, "boom");
        let mut attempt = Attempt::default();
        let mut details = Vec::new();
        while let Ok(next) = attempt.next(error()) {
            details.push(next.detail);
            assert!(next.detail == Detail::Whole || next.reason == "boom");
            attempt = next;
        }
        assert_eq!(details, [Detail::Whole, Detail::Ids, Detail::Nothing]);
    }
}
