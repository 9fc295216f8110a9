//! From ids to whole issues: every issue gets its complete history, or is named as unreadable or incomplete.
//!
//! Issues come with the first page of each of their lists, as many a request as one query may cost; then the rests of the
//! long lists are asked for, many lists a request, until none goes on. What cannot be had is asked for in halves, down to the one
//! issue that is to blame ([`Parts`]). A query that is too complex is asked for half as much at once from then on.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::ingest::connector::{RawRecord, Unreadable};
use contextcore_core::{Error, ErrorKind, Result, lock};
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::api::{Answer, FEW_TRIES, IssuesPage, ONCE, RestPage};
use super::dialect::{REASON, TOO_COMPLEX};
use super::parts::{Part, Parts, may_be_one};
use super::requests::Rest;
use super::rows;
use super::session::{Linear, SiteContext};
use super::sizes::{self, Lengths, Sizes};
use super::wire::{Act, Connection, Issue, List, Ref, Whole, is_absent};
use crate::rewind::unwritable;

/// Result of reading some issues.
#[derive(Debug, Default)]
pub(super) struct FetchedIssues {
    /// The issues by id.
    pub(super) issues: BTreeMap<Box<str>, FetchedIssue>,
    /// Issues that Linear lists and cannot serve, with what it said.
    pub(super) unreadable: BTreeMap<Box<str>, String>,
    /// Issues that could not be read whole this time.
    pub(super) incomplete: BTreeSet<Box<str>>,
    /// Issues that were not read because the quota is spent: what was read is given first.
    pub(super) postponed: BTreeSet<Box<str>>,
}

/// An issue at hand.
#[derive(Debug)]
pub(super) struct FetchedIssue {
    whole: Whole,
    /// How long the first pages of its lists are, if it could be read.
    lengths: Option<Lengths>,
    /// Its team, if it could be read.
    team: Option<Box<str>>,
    /// What it names in reference data.
    pub(super) names: BTreeSet<String>,
    /// The issues it is or was a part of.
    pub(super) parents: BTreeSet<Box<str>>,
}

/// Reads these issues. Those that are not there any more are just not among what is given.
///
/// # Errors
/// As the session's.
pub(super) async fn read(linear: &Linear, ids: &[Box<str>]) -> Result<FetchedIssues> {
    let mut reading = Reading::new(linear);
    let known = linear.unreadable();
    let (bad, ids): (Vec<_>, Vec<_>) = ids.iter().cloned().partition(|id| known.contains_key(id));
    reading.fetched.unreadable.extend(known.into_iter().filter(|(id, _)| bad.contains(id)));
    reading.issues(&ids).await?;
    reading.finish().await
}

/// Reads issues that could not be read before: a failure is looked into at once.
///
/// # Errors
/// As the session's.
pub(super) async fn read_suspects(linear: &Linear, ids: &[Box<str>]) -> Result<FetchedIssues> {
    let mut reading = Reading::new(linear);
    for ids in ids.chunks(linear.sizes().price(linear.settings.comments.is_read()).most()) {
        reading.parts.push(ids.to_vec());
    }
    reading.issues(&[]).await?;
    reading.finish().await
}

type SharedSizes = std::sync::Mutex<Sizes>;

/// Some issues that are being read.
struct Reading<'a> {
    linear: &'a Linear,
    fetched: FetchedIssues,
    /// Issues that did not come, to be asked for again.
    parts: Parts<Box<str>>,
    /// Lists that go on.
    rests: Vec<Rest>,
}

impl<'a> Reading<'a> {
    fn new(linear: &'a Linear) -> Self {
        Self { linear, fetched: FetchedIssues::default(), parts: Parts::default(), rests: Vec::new() }
    }

    /// Reads the issues with the first page of each of their lists.
    async fn issues(&mut self, ids: &[Box<str>]) -> Result<()> {
        let (mut from, mut most) = (0, usize::MAX);
        loop {
            let price = self.linear.sizes().price(self.linear.settings.comments.is_read());
            let (part, tries) = match self.parts.pop() {
                Some(part) => (part, ONCE),
                None if from == ids.len() => return Ok(()),
                None => {
                    let next = ids.len().min(from + price.most().min(most));
                    (Part::new(ids[std::mem::replace(&mut from, next)..next].to_vec()), FEW_TRIES)
                }
            };
            match self.linear.api.issues(&part.items, &price, tries).await {
                Ok(mut answer) => {
                    most = most.saturating_mul(2);
                    let missing = self.take(&mut answer, &part.items);
                    self.retry(&part, missing, answer.refusal()).await?;
                }
                Err(error) if error.kind() == ErrorKind::RateLimited && !self.fetched.issues.is_empty() => {
                    self.fetched.postponed.extend(part.items.into_iter().chain(self.parts.drain()));
                    self.fetched.postponed.extend(ids[from..].iter().cloned());
                    return Ok(());
                }
                Err(error) => {
                    most = (part.items.len() / 2).max(1);
                    let error = note_failure(error, part.items.len(), |count| self.linear.sizes().halve(count))?;
                    self.retry(&part, part.items.clone(), error).await?;
                }
            }
        }
    }

    async fn retry(&mut self, part: &Part<Box<str>>, missing: Vec<Box<str>>, error: Error) -> Result<()> {
        if let Some((id, reason)) = self.linear.retry(&mut self.parts, part, missing, error).await? {
            self.unreadable(id, reason);
        }
        Ok(())
    }

    /// Gives an issue up for this run.
    fn unreadable(&mut self, id: Box<str>, reason: String) {
        warn!(issue = %id, reason, "an issue cannot be read");
        self.linear.note_unreadable(&id, &reason);
        self.fetched.issues.remove(&id);
        self.fetched.unreadable.insert(id, reason);
    }

    /// Takes a page of issues in. Returns those that did not come for a reason: rows that an error beside the data is about
    /// are not believed.
    fn take(&mut self, answer: &mut Answer<IssuesPage>, asked: &[Box<str>]) -> Vec<Box<str>> {
        let flawed = answer.incomplete_rows("issues");
        // An answer without the list says nothing about what was asked for.
        let mut is_whole = answer.errors.is_empty() && !is_absent(answer.data.issues.as_ref());
        let rows = answer.data.issues.take().into_iter().flat_map(|page| page.nodes).enumerate();
        for (_, json) in rows.filter(|(row, _)| !flawed.contains(row)) {
            let Some(json) = json else {
                is_whole = false;
                continue;
            };
            // Read once: an issue is large. One of an odd shape may still have an id.
            let read = rows::issue(json.get()).ok();
            let id = read.as_ref().and_then(|(issue, _)| issue.id.clone()).or_else(|| rows::id_of(&json));
            match id.filter(|id| !id.is_empty()) {
                // Without one of its lists it would have another past.
                Some(_) if read.as_ref().is_some_and(|(issue, _)| lacks_a_list(issue)) => is_whole = false,
                Some(id) if asked.contains(&id) => self.add(json, id, read),
                Some(_) => {}
                None => is_whole = false,
            }
        }
        let missing = asked.iter().filter(|id| !is_whole && !self.fetched.issues.contains_key(*id));
        missing.cloned().collect()
    }

    fn add(&mut self, json: Box<RawValue>, id: Box<str>, read: Option<(Issue, usize)>) {
        let (fetched, more, left_out) = FetchedIssue::of(json, &id, read);
        self.linear.note_left_out(left_out);
        if !more.iter().any(|rest| rest.list.is_measured()) {
            fetched.measure(self.linear.learned_sizes());
        }
        self.rests.extend(more);
        self.fetched.issues.insert(id, fetched);
    }

    /// Asks for the rests of long lists until none goes on.
    async fn finish(mut self) -> Result<FetchedIssues> {
        for round in 0.. {
            if self.rests.is_empty() {
                break;
            }
            let rests = std::mem::take(&mut self.rests);
            match self.round(&rests, sizes::rows_of_round(round)).await {
                Err(error) if error.kind() == ErrorKind::RateLimited && self.fetched.postpone(&rests) => break,
                done => done?,
            }
        }
        let long = |fetched: &&FetchedIssue| {
            let Whole { history, spans, comments, .. } = &fetched.whole;
            [history, spans, comments].into_iter().any(|rows| !rows.is_empty())
        };
        self.fetched.issues.values().filter(long).for_each(|fetched| fetched.measure(self.linear.learned_sizes()));
        for id in &self.fetched.incomplete {
            self.fetched.issues.remove(id);
        }
        Ok(self.fetched)
    }

    /// The next page of each of these lists. What goes on after it is noted.
    async fn round(&mut self, rests: &[Rest], first: u32) -> Result<()> {
        let (mut parts, mut from) = (Parts::default(), 0);
        loop {
            let (mut part, tries) = match parts.pop() {
                Some(part) => (part, ONCE),
                None if from == rests.len() => return Ok(()),
                None => {
                    let lists = rests[from..].iter().map(|rest| rest.list);
                    let next = rests.len().min(from + lock(self.linear.learned_sizes()).rests(lists, first));
                    (Part::new(rests[std::mem::replace(&mut from, next)..next].to_vec()), FEW_TRIES)
                }
            };
            // Of an issue that was given up nothing more is needed.
            part.items.retain(|rest| self.fetched.issues.contains_key(&rest.issue));
            if part.items.is_empty() {
                continue;
            }
            let (missing, error) = match self.linear.api.rests(&part.items, first, tries).await {
                Ok(answer) => (self.take_rests(&part.items, &answer), answer.refusal()),
                Err(error) => {
                    let sizes = self.linear.learned_sizes();
                    let error = note_failure(error, part.items.len(), |count| lock(sizes).halve_rests(count))?;
                    (part.items.clone(), error)
                }
            };
            if let Some((rest, reason)) = self.linear.retry(&mut parts, &part, missing, error).await? {
                self.unreadable(rest.issue, reason);
            }
        }
    }

    /// Takes the next pages of lists in. Returns the lists that did not come for a reason.
    fn take_rests(&mut self, asked: &[Rest], answer: &Answer<RestPage>) -> Vec<Rest> {
        let mut missing = Vec::new();
        for (n, rest) in asked.iter().enumerate() {
            let name = format!("r{n}");
            let page = answer.data.get(&name).and_then(Option::as_ref);
            let row = page.and_then(|page| page.nodes.first()).and_then(Option::as_ref);
            match row {
                _ if answer.touches(&name) => missing.push(rest.clone()),
                Some(row) if row.list.is_null() => missing.push(rest.clone()),
                Some(row) => self.extend(rest, &row.list),
                None => {
                    // Gone between two requests: an issue is never given with half its history.
                    info!(issue = %rest.issue, "the rest of an issue could not be had, will be read again");
                    self.fetched.incomplete.insert(rest.issue.clone());
                }
            }
        }
        missing
    }

    fn extend(&mut self, rest: &Rest, page: &Connection<Box<RawValue>>) {
        if let Some(fetched) = self.fetched.issues.get_mut(&rest.issue) {
            self.linear.note_left_out(fetched.extend(rest.list, &page.nodes));
            let after = page.page_info.next().filter(|after| **after != *rest.after);
            self.rests.extend(after.map(|after| Rest { after: after.into(), ..rest.clone() }));
        }
    }
}

/// Has the size of a failed request for so many things remembered, where it was too much at once. Returns the failure.
///
/// # Errors
/// The failure, when asking for less would not help.
fn note_failure(error: Error, count: usize, remember: impl FnOnce(usize)) -> Result<Error> {
    if !may_be_one(&error) {
        return Err(error);
    }
    warn!(error = error.full(), count, "will ask for half as much at once");
    if error.context(REASON) == Some(TOO_COMPLEX) {
        remember(count);
    }
    Ok(error)
}

impl FetchedIssues {
    /// Leaves the issues of these lists for later. Whether any issue is whole.
    fn postpone(&mut self, rests: &[Rest]) -> bool {
        for rest in rests {
            self.issues.remove(&rest.issue);
            self.postponed.insert(rest.issue.clone());
        }
        !self.issues.is_empty()
    }

    /// Whether anything is known of an issue by now.
    pub(super) fn has(&self, id: &str) -> bool {
        self.issues.contains_key(id)
            || self.unreadable.contains_key(id)
            || self.incomplete.contains(id)
            || self.postponed.contains(id)
    }

    /// What could not be read, as a page names it.
    pub(super) fn unreadable(&self) -> Vec<Unreadable> {
        let unreadable = self.unreadable.iter();
        unreadable.map(|(id, reason)| Unreadable { native_id: id.to_string(), reason: reason.clone() }).collect()
    }

    /// Everything the issues name in reference data.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.issues.values().flat_map(|fetched| fetched.names.iter().cloned()).collect()
    }

    /// The issues as records of this stream, those of teams that are not read left out.
    pub(super) fn records(self, linear: &Linear, live: &SiteContext, stream: &'static str) -> Result<Vec<RawRecord>> {
        let wanted = |fetched: &FetchedIssue| {
            fetched.team.as_ref().is_none_or(|team| live.reference.wants(&linear.settings, team))
        };
        linear.note_read(self.issues.keys());
        let issues = self.issues.into_iter().filter(|(_, fetched)| wanted(fetched));
        issues.map(|(id, fetched)| record_of_size(stream, &id, "issue", &fetched.whole, fetched.whole.size())).collect()
    }
}

/// A record: what it is about, by name.
pub(super) fn record(
    stream: &'static str,
    id: &str,
    name: &'static str,
    value: &impl serde::Serialize,
) -> Result<RawRecord> {
    record_of_size(stream, id, name, value, 0)
}

/// The same where it is known about how long its text is.
fn record_of_size(
    stream: &'static str,
    id: &str,
    name: &'static str,
    value: &impl serde::Serialize,
    size: usize,
) -> Result<RawRecord> {
    let mut json = Vec::with_capacity(size);
    serde_json::to_writer(&mut json, &BTreeMap::from([(name, value)])).map_err(unwritable)?;
    let json = String::from_utf8(json).map_err(unwritable)?;
    Ok(RawRecord::new(stream, id, json))
}

impl FetchedIssue {
    /// An issue as it came, the lists of it that go on, and how many of their entries cannot be read.
    fn of(json: Box<RawValue>, id: &str, read: Option<(Issue, usize)>) -> (Self, Vec<Rest>, usize) {
        let whole =
            Whole { issue: json, history: Vec::new(), spans: Vec::new(), links: Vec::new(), comments: Vec::new() };
        let mut fetched = Self { whole, lengths: None, team: None, names: BTreeSet::new(), parents: BTreeSet::new() };
        // One of an odd shape is kept as it came, to be quarantined with the reason.
        let Some((issue, left_out)) = read else { return (fetched, Vec::new(), 0) };
        let undated = issue.history.iter().flat_map(|page| &page.nodes).filter(|act| !act.is_dated()).count();
        fetched.note(&issue);
        (fetched, rests(&issue, id), left_out + undated)
    }

    fn note(&mut self, issue: &Issue) {
        self.team = issue.team.as_ref().map(|team| team.id.clone());
        self.parents.extend(issue.parent.as_ref().map(|parent| parent.id.clone()));
        let acts = issue.history.as_ref().map_or(&[][..], |page| &page.nodes);
        let mut names = names_of(issue);
        names.extend(acts.iter().flat_map(names_of_act));
        self.note_all(acts, names);
        self.lengths = Some(Lengths {
            acts: acts.len(),
            spans: issue.state_history.as_ref().map_or(0, |page| page.nodes.len()),
            comments: issue.comments.as_ref().map_or(0, |page| page.nodes.len()),
        });
    }

    /// Notes the parents and names of acts. There are few names in many acts.
    fn note_all(&mut self, acts: &[Act], names: Names<'_>) {
        let parents = acts.iter().flat_map(|act| [&act.from_parent_id, &act.to_parent_id]).flatten();
        self.parents.extend(parents.cloned());
        self.names.extend(names.into_iter().map(|(kind, id)| format!("{kind}:{id}")));
    }

    /// Adds entries to one of its lists. How many cannot be read.
    fn extend(&mut self, list: List, rows: &[Box<RawValue>]) -> usize {
        match list {
            List::History => {
                let acts = rows.iter().filter_map(|row| serde_json::from_str::<Act>(row.get()).ok());
                let acts: Vec<Act> = acts.filter(Act::is_dated).collect();
                self.note_all(&acts, acts.iter().flat_map(names_of_act).collect());
                self.whole.history.extend_from_slice(rows);
                return rows.len() - acts.len();
            }
            List::Spans => self.whole.spans.extend_from_slice(rows),
            List::Links => self.whole.links.extend_from_slice(rows),
            List::Comments => self.whole.comments.extend_from_slice(rows),
        }
        0
    }

    /// Notes how long its lists are.
    fn measure(&self, sizes: &SharedSizes) {
        let Some(Lengths { acts, spans, comments }) = self.lengths else { return };
        let Whole { history, spans: more_spans, comments: more_comments, .. } = &self.whole;
        lock(sizes).met(Lengths {
            acts: acts + history.len(),
            spans: spans + more_spans.len(),
            comments: comments + more_comments.len(),
        });
    }
}

/// Whether one of the lists that are always asked for did not come.
fn lacks_a_list(issue: &Issue) -> bool {
    let Issue { history, state_history, inverse_relations, .. } = issue;
    is_absent(history.as_ref()) || is_absent(state_history.as_ref()) || is_absent(inverse_relations.as_ref())
}

/// The lists of an issue that go on.
fn rests(issue: &Issue, id: &str) -> Vec<Rest> {
    let pages = [
        (List::History, issue.history.as_ref().map(|page| &page.page_info)),
        (List::Spans, issue.state_history.as_ref().map(|page| &page.page_info)),
        (List::Links, issue.inverse_relations.as_ref().map(|page| &page.page_info)),
        (List::Comments, issue.comments.as_ref().map(|page| &page.page_info)),
    ];
    let more = pages.into_iter().filter_map(|(list, page)| Some((list, page?.next()?)));
    more.map(|(list, after)| Rest { issue: id.into(), list, after: after.into() }).collect()
}

/// Names of reference data: their kind and their id.
type Names<'a> = BTreeSet<(&'static str, &'a str)>;

/// What an issue itself names in reference data.
fn names_of(issue: &Issue) -> Names<'_> {
    let spans = issue.state_history.iter().flat_map(|page| &page.nodes);
    let links = issue.inverse_relations.iter().flat_map(|page| &page.nodes).filter_map(|link| link.issue.as_ref());
    let single = [
        ("state", issue.state.as_ref().and_then(|state| state.id.as_deref())),
        ("team", issue.team.as_ref().map(|team| &*team.id)),
        ("cycle", issue.cycle.as_ref().map(|cycle| &*cycle.id)),
        ("milestone", issue.project_milestone.as_ref().map(|milestone| &*milestone.id)),
        ("user", issue.assignee.as_ref().map(|who| &*who.id)),
        ("user", issue.creator.as_ref().map(|who| &*who.id)),
    ];
    let labels = issue.label_ids.iter().flatten().map(|id| ("label", &**id));
    let others = links.filter_map(|other| Some(("state", other.state.as_ref()?.id.as_deref()?)));
    let states = spans.map(|span| ("state", &*span.state_id)).chain(others);
    named(single).chain(labels).chain(states).collect()
}

/// What an act names in reference data.
fn names_of_act(act: &Act) -> impl Iterator<Item = (&'static str, &str)> {
    fn milestone(side: &Option<Ref>) -> Option<&str> {
        side.as_ref().map(|milestone| &*milestone.id)
    }
    let single = [
        ("user", act.actor_id.as_deref()),
        ("user", act.from_assignee_id.as_deref()),
        ("user", act.to_assignee_id.as_deref()),
        ("state", act.from_state_id.as_deref()),
        ("state", act.to_state_id.as_deref()),
        ("cycle", act.from_cycle_id.as_deref()),
        ("cycle", act.to_cycle_id.as_deref()),
        ("team", act.from_team_id.as_deref()),
        ("team", act.to_team_id.as_deref()),
        ("milestone", milestone(&act.from_project_milestone)),
        ("milestone", milestone(&act.to_project_milestone)),
    ];
    let labels = [&act.added_label_ids, &act.removed_label_ids].into_iter().flatten().flatten();
    named(single).chain(labels.map(|id| ("label", &**id)))
}

fn named<'a, const N: usize>(
    names: [(&'static str, Option<&'a str>); N],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    names.into_iter().filter_map(|(kind, id)| Some((kind, id?)))
}
