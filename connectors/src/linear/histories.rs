//! From ids to whole issues: every issue gets its complete history, or is listed as incomplete.
//!
//! Issues come with the first page of each of their lists, as many a request as one query may cost; then the rests of the
//! long lists are asked for, many lists a request, until none goes on. A query that is too complex is asked for half as
//! much at once from then on; one that a failing server rejects, just this time.

use std::collections::{BTreeMap, BTreeSet};

use contextcore_core::ingest::connector::RawRecord;
use contextcore_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tracing::{info, warn};

use super::api::{Answer, Api, Rest};
use super::dialect::TOO_COMPLEX;
use super::session::{Linear, SiteContext};
use super::sizes::{self, Lengths, Sizes};
use super::wire::{Act, Connection, Issue, List, Whole};

/// Result of reading some issues.
#[derive(Debug, Default)]
pub(super) struct FetchedIssues {
    /// The issues by id.
    pub(super) issues: BTreeMap<Box<str>, FetchedIssue>,
    /// Issues that could not be read whole this time.
    pub(super) incomplete: BTreeSet<Box<str>>,
    /// Issues that were not read because the quota is spent: what was read is given first.
    pub(super) postponed: BTreeSet<Box<str>>,
    pub(super) warnings: Vec<String>,
}

/// An issue at hand.
#[derive(Debug)]
pub(super) struct FetchedIssue {
    whole: Whole,
    /// Its team, if it could be read.
    team: Option<Box<str>>,
    /// What it names in reference data.
    pub(super) names: BTreeSet<String>,
    /// The issues it is or was a part of.
    pub(super) parents: BTreeSet<Box<str>>,
}

/// An id, as far as it can be read.
#[derive(Default, Deserialize)]
struct Outline {
    id: Option<Box<str>>,
}

/// Reads these issues. Those that are not there any more are just not among what is given.
///
/// # Errors
/// As the session's.
pub(super) async fn read(linear: &Linear, ids: &[Box<str>]) -> Result<FetchedIssues> {
    let mut fetched = FetchedIssues::default();
    let mut rests = Vec::new();
    let (mut from, mut most) = (0, usize::MAX);
    while from < ids.len() {
        let price = linear.sizes().price(linear.settings.comments.is_read());
        let chunk: Vec<&str> = ids[from..].iter().take(price.most().min(most)).map(|id| &**id).collect();
        match linear.api.issues(&chunk, &price).await {
            Ok(answer) => {
                fetched.take(answer.data.issues.as_ref(), &answer, &chunk, &mut rests, linear.learned_sizes());
                from += chunk.len();
            }
            Err(error) if error.kind() == ErrorKind::RateLimited && !fetched.issues.is_empty() => {
                fetched.postponed.extend(ids[from..].iter().cloned());
                break;
            }
            Err(error) => most = smaller(error, chunk.len(), |count| linear.sizes().halve(count))?,
        }
    }
    fetched.complete(&linear.api, linear.learned_sizes(), rests).await?;
    Ok(fetched)
}

/// What to do about a failed request for so many things: how many to ask for at most from now on.
fn smaller(error: Error, count: usize, remember: impl FnOnce(usize) -> bool) -> Result<usize> {
    let again = match error.kind() {
        ErrorKind::Rejected if error.context("reason") == Some(TOO_COMPLEX) => remember(count),
        ErrorKind::Unavailable => count > 1,
        _ => false,
    };
    if !again {
        return Err(error);
    }
    warn!(error = error.full(), count, "will ask for half as much at once");
    Ok((count / 2).max(1))
}

type SharedSizes = std::sync::Mutex<Sizes>;

fn lock(sizes: &SharedSizes) -> std::sync::MutexGuard<'_, Sizes> {
    sizes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl FetchedIssues {
    /// Takes a page of issues in. Rows that an error beside the data is about are not believed.
    fn take<T>(
        &mut self,
        page: Option<&Connection<Option<Box<RawValue>>>>,
        answer: &Answer<T>,
        asked: &[&str],
        rests: &mut Vec<Rest>,
        sizes: &SharedSizes,
    ) {
        let flawed = answer.incomplete_rows("issues");
        let rows = page.iter().flat_map(|page| &page.nodes).enumerate();
        let believed = rows.filter(|(row, _)| !flawed.contains(row)).filter_map(|(_, json)| json.as_deref());
        for json in believed {
            let outline: Outline = serde_json::from_str(json.get()).unwrap_or_default();
            let Some(id) = outline.id else { continue };
            let (fetched, more) = FetchedIssue::of(json, &id);
            if !more.iter().any(|rest| rest.list.is_measured()) {
                fetched.measure(sizes);
            }
            rests.extend(more);
            self.issues.insert(id, fetched);
        }
        if !answer.errors.is_empty() {
            let missing = asked.iter().filter(|id| !self.issues.contains_key(**id));
            self.incomplete.extend(missing.map(|id| Box::from(*id)));
            let text = &answer.errors[0].text;
            self.warnings.push(format!("some issues could not be read and will be read again: {text}"));
        }
    }

    /// Asks for the rests of long lists until none goes on.
    async fn complete(&mut self, api: &Api, sizes: &SharedSizes, mut rests: Vec<Rest>) -> Result<()> {
        for round in 0.. {
            if rests.is_empty() {
                break;
            }
            match self.round(api, sizes, &rests, sizes::rows_of_round(round)).await {
                Ok(more) => rests = more,
                Err(error) if error.kind() == ErrorKind::RateLimited && self.postpone(&rests) => break,
                Err(error) => return Err(error),
            }
        }
        let long = |fetched: &&FetchedIssue| {
            let Whole { history, spans, comments, .. } = &fetched.whole;
            [history, spans, comments].into_iter().any(|rows| !rows.is_empty())
        };
        self.issues.values().filter(long).for_each(|fetched| fetched.measure(sizes));
        for id in &self.incomplete {
            self.issues.remove(id);
        }
        Ok(())
    }

    /// Leaves the issues of these lists for later. Whether any issue is whole.
    fn postpone(&mut self, rests: &[Rest]) -> bool {
        for rest in rests {
            self.issues.remove(&rest.issue);
            self.postponed.insert(rest.issue.clone());
        }
        !self.issues.is_empty()
    }

    /// The next page of each of these lists. What goes on after it.
    async fn round(&mut self, api: &Api, sizes: &SharedSizes, rests: &[Rest], first: u32) -> Result<Vec<Rest>> {
        let mut more = Vec::new();
        let (mut from, mut most) = (0, usize::MAX);
        while from < rests.len() {
            let lists = rests[from..].iter().take(most).map(|rest| rest.list);
            let count = lock(sizes).rests(lists, first).min(rests.len() - from);
            let chunk = &rests[from..from + count];
            match api.rests(chunk, first).await {
                Ok(answer) => {
                    more.extend(self.take_rests(chunk, &answer));
                    from += count;
                }
                Err(error) => most = smaller(error, count, |count| lock(sizes).halve_rests(count))?,
            }
        }
        Ok(more)
    }

    fn take_rests(&mut self, asked: &[Rest], answer: &Answer<super::api::RestPage>) -> Vec<Rest> {
        let mut more = Vec::new();
        for (n, rest) in asked.iter().enumerate() {
            let name = format!("r{n}");
            let incomplete = answer.is_incomplete(&name) || !answer.incomplete_rows(&name).is_empty();
            let row = answer.data.get(&name).and_then(Option::as_ref).and_then(|page| page.nodes.first());
            let Some(row) = row.filter(|_| !incomplete) else {
                // Gone between two requests, or unreadable now: an issue is never given with half its history.
                info!(issue = %rest.issue, "the rest of an issue could not be had, will be read again");
                self.incomplete.insert(rest.issue.clone());
                continue;
            };
            if let Some(fetched) = self.issues.get_mut(&rest.issue) {
                fetched.extend(rest.list, &row.list.nodes);
                let after = row.list.page_info.next().filter(|after| **after != *rest.after);
                more.extend(after.map(|after| Rest { after: after.into(), ..rest.clone() }));
            }
        }
        more
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
        let issues = self.issues.into_iter().filter(|(_, fetched)| wanted(fetched));
        issues.map(|(id, fetched)| record(stream, &id, "issue", &fetched.whole)).collect()
    }
}

/// A record: what it is about, by name.
pub(super) fn record(
    stream: &'static str,
    id: &str,
    name: &'static str,
    value: &impl serde::Serialize,
) -> Result<RawRecord> {
    let unfit = |error| Error::new(ErrorKind::Internal, "write a record").caused_by(error);
    let json = serde_json::to_string(&BTreeMap::from([(name, value)])).map_err(unfit)?;
    Ok(RawRecord { stream, native_id: id.to_owned(), json })
}

impl FetchedIssue {
    /// An issue as it came, and the lists of it that go on.
    fn of(json: &RawValue, id: &str) -> (Self, Vec<Rest>) {
        let whole = Whole {
            issue: json.to_owned(),
            history: Vec::new(),
            spans: Vec::new(),
            links: Vec::new(),
            comments: Vec::new(),
        };
        let mut fetched = Self { whole, team: None, names: BTreeSet::new(), parents: BTreeSet::new() };
        // One of an odd shape is kept as it came, to be quarantined with the reason.
        let Ok(issue) = serde_json::from_str::<Issue>(json.get()) else { return (fetched, Vec::new()) };
        fetched.note(&issue);
        (fetched, rests(&issue, id))
    }

    fn note(&mut self, issue: &Issue) {
        self.team = issue.team.as_ref().map(|team| team.id.clone());
        self.parents.extend(issue.parent.as_ref().map(|parent| parent.id.clone()));
        issue.history.iter().flat_map(|page| &page.nodes).for_each(|act| self.note_act(act));
        names_of(issue, &mut self.names);
    }

    fn note_act(&mut self, act: &Act) {
        self.parents.extend([&act.from_parent_id, &act.to_parent_id].into_iter().flatten().cloned());
        names_of_act(act, &mut self.names);
    }

    fn extend(&mut self, list: List, rows: &[Box<RawValue>]) {
        match list {
            List::History => {
                let acts: Vec<Act> = rows.iter().filter_map(|row| serde_json::from_str(row.get()).ok()).collect();
                acts.iter().for_each(|act| self.note_act(act));
                self.whole.history.extend_from_slice(rows);
            }
            List::Spans => self.whole.spans.extend_from_slice(rows),
            List::Links => self.whole.links.extend_from_slice(rows),
            List::Comments => self.whole.comments.extend_from_slice(rows),
        }
    }

    /// Notes how long its lists are.
    fn measure(&self, sizes: &SharedSizes) {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Lists {
            history: Connection<IgnoredAny>,
            state_history: Connection<IgnoredAny>,
            comments: Connection<IgnoredAny>,
        }
        let lists: Lists = serde_json::from_str(self.whole.issue.get()).unwrap_or_default();
        let lengths = Lengths {
            acts: lists.history.nodes.len() + self.whole.history.len(),
            spans: lists.state_history.nodes.len() + self.whole.spans.len(),
            comments: lists.comments.nodes.len() + self.whole.comments.len(),
        };
        lock(sizes).met(lengths);
    }
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

/// What an issue names in reference data, each with its kind in front.
fn names_of(issue: &Issue, into: &mut BTreeSet<String>) {
    let mut note = |kind: &str, id: Option<&str>| into.extend(id.map(|id| format!("{kind}:{id}")));
    note("state", issue.state.as_ref().and_then(|state| state.id.as_deref()));
    note("team", issue.team.as_ref().map(|team| &*team.id));
    note("cycle", issue.cycle.as_ref().map(|cycle| &*cycle.id));
    note("milestone", issue.project_milestone.as_ref().map(|milestone| &*milestone.id));
    [&issue.assignee, &issue.creator].iter().for_each(|who| note("user", who.as_ref().map(|who| &*who.id)));
    issue.label_ids.iter().flatten().for_each(|id| note("label", Some(id)));
    issue.state_history.iter().flat_map(|page| &page.nodes).for_each(|span| note("state", Some(&span.state_id)));
    let links = issue.inverse_relations.iter().flat_map(|page| &page.nodes).filter_map(|link| link.issue.as_ref());
    links.for_each(|other| note("state", other.state.as_ref().and_then(|state| state.id.as_deref())));
}

fn names_of_act(act: &Act, into: &mut BTreeSet<String>) {
    let mut note = |kind: &str, id: Option<&str>| into.extend(id.map(|id| format!("{kind}:{id}")));
    note("user", act.actor_id.as_deref());
    [&act.from_assignee_id, &act.to_assignee_id].iter().for_each(|id| note("user", id.as_deref()));
    [&act.from_state_id, &act.to_state_id].iter().for_each(|id| note("state", id.as_deref()));
    [&act.from_cycle_id, &act.to_cycle_id].iter().for_each(|id| note("cycle", id.as_deref()));
    [&act.from_team_id, &act.to_team_id].iter().for_each(|id| note("team", id.as_deref()));
    let milestones = [&act.from_project_milestone, &act.to_project_milestone];
    milestones.iter().for_each(|milestone| note("milestone", milestone.as_ref().map(|milestone| &*milestone.id)));
    let labels = [&act.added_label_ids, &act.removed_label_ids];
    labels.iter().flat_map(|ids| ids.iter().flatten()).for_each(|id| note("label", Some(id)));
}
