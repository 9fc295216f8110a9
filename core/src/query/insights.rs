//! Insights: which of them fit a question, best first, and one with everything that happened to it.
//!
//! [`crate::model::insight::search`] ranks; this adds what only the store and the configuration know: the labels and the epic of
//! a task, the projects of a portfolio, and pages. A cursor carries the moment of the first page, so that ages do not change
//! between pages, and the place of the last insight, so that insights that come or go shift nothing.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Deserializer, Serialize};

use super::list::Cursor;
use super::viewer::Viewer;
use crate::config::duration;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::scope::Target;
use crate::model::insight::search::{InsightId, Place, RELEVANCE, Search, Wanted};
use crate::model::insight::{self, Folded, Insight, InsightEvent, InsightRecord, InsightType};
use crate::model::time::Millis;
use crate::model::timeline;

/// The longest text that is searched for.
const LONGEST_TEXT: usize = 2_000;

/// Which insights. What is absent or empty does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InsightQuery {
    /// A portfolio project, or one in which insights were reported; case does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Words, of which it has at least one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Files or directories that it applies to.
    #[serde(alias = "path", deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The task that it applies to, by key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The service that it applies to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Types.
    #[serde(alias = "type", deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<InsightType>,
    /// Tags, of which it has all.
    #[serde(alias = "tag", deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// The id of its author.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// For whom it is: `agent` or `human`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// `open` (the default), `all`, or names of states with commas between them.
    pub status: Wanted,
    /// Something was reported of it since then: a length of time such as `90d`, a date, or a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How sure it is at least, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f64>,
    /// At most this many; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroUsize>,
    /// Only those after this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// These insights and no others, by id or the unique start of one, whatever their state.
    #[serde(alias = "id", deserialize_with = "one_or_more", skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<String>,
    /// Who asks: handoffs to this agent come first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
}

/// An answer: the insights of one page, best first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The insights.
    pub insights: Vec<FoundInsight>,
    /// How many there are on all pages.
    pub total: u64,
    /// The cursor of the next page.
    pub next: Option<Cursor>,
    /// The moment at which ages and states hold.
    pub as_of: Millis,
}

impl Found {
    /// This page and the same page of another store, as one.
    #[must_use]
    pub fn and(self, other: Self, limit: Option<NonZeroUsize>) -> Self {
        let Self { mut insights, total, next, as_of } = self;
        insights.extend(other.insights);
        insights.sort_by(|one, other| one.order().cmp(&other.order()));
        let limit = limit.map_or(usize::MAX, NonZeroUsize::get);
        let more = insights.len() > limit || next.is_some() || other.next.is_some();
        insights.truncate(limit);
        let mark = insights.last().filter(|_| more).and_then(|last| Some(Mark { insights: last.place()?, as_of }));
        Self { insights, total: total + other.total, next: mark.and_then(|mark| mark.cursor().ok()), as_of }
    }
}

impl FoundInsight {
    fn order(&self) -> (Reverse<u64>, Reverse<Millis>, &str, &str) {
        (Reverse(self.score), Reverse(self.insight.updated), &self.insight.id, &self.insight.project)
    }

    fn place(&self) -> Option<Place> {
        Some(Place {
            score: Reverse(self.score),
            updated: Reverse(self.insight.updated),
            id: InsightId::parse(&self.insight.id)?,
            project: self.insight.project.as_str().into(),
            relevance: 0,
        })
    }
}

/// An insight that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundInsight {
    /// The insight.
    #[serde(flatten)]
    pub insight: Insight,
    /// What it is ordered by: more is better.
    pub score: u64,
    /// How well the words fit, 0 to 1; absent without words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relevance: Option<f64>,
}

/// Selects one insight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InsightSelector {
    /// Its id, or the start of it that no other has.
    pub id: String,
    /// Its project, when several have one with this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// An insight and everything that happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InsightView {
    /// The insight.
    #[serde(flatten)]
    pub insight: Insight,
    /// What happened, oldest first.
    pub entries: Vec<InsightEvent>,
}

/// What a cursor holds.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    insights: Place,
    as_of: Millis,
}

impl Mark {
    fn cursor(&self) -> Result<Cursor> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Internal, "write a cursor").caused_by(error))?;
        Ok(Cursor::from(BASE64.encode(json)))
    }
}

impl Viewer<'_> {
    /// The insights that fit a question.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a project that nothing has, a cursor that is none, or a `since` that is no time;
    /// [`ErrorKind::NotFound`] for an id that nothing has; [`ErrorKind::Store`] when the store cannot be read.
    pub fn find_insights(&self, query: &InsightQuery) -> Result<Found> {
        if !query.ids.is_empty() {
            return self.insights_by_id(query);
        }
        let mark = query.cursor.as_ref().map(read_cursor).transpose()?;
        let as_of = mark.as_ref().map_or(self.now, |mark| mark.as_of);
        let search = self.search(query, as_of)?;
        let mut places = self.store.search_insights(|index| index.find(&search, as_of))?;
        let total = places.len() as u64;
        if let Some(mark) = &mark {
            places.retain(|place| *place > mark.insights);
        }
        let more = page(&mut places, query.limit);
        let next = match places.last() {
            Some(last) if more => Some(Mark { insights: last.clone(), as_of }.cursor()?),
            _ => None,
        };
        let has_text = search.text.is_some();
        let insights = places.iter().filter_map(|place| self.found(place, has_text, as_of).transpose());
        Ok(Found { insights: insights.collect::<Result<_>>()?, total, next, as_of })
    }

    /// One insight with its history.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Config`] when several begin like that, [`ErrorKind::Store`] when
    /// the store cannot be read.
    pub fn insight(&self, selector: &InsightSelector) -> Result<InsightView> {
        let Folded { insight, entries } = self.one(&selector.id, selector.project.as_deref())?;
        Ok(InsightView { insight: insight.at(self.now), entries })
    }

    fn insights_by_id(&self, query: &InsightQuery) -> Result<Found> {
        let found = query.ids.iter().map(|id| {
            let insight = self.one(id, query.project.as_deref())?.insight.at(self.now);
            Ok(FoundInsight { insight, score: 0, relevance: None })
        });
        let insights = found.collect::<Result<Vec<_>>>()?;
        Ok(Found { total: insights.len() as u64, insights, next: None, as_of: self.now })
    }

    fn found(&self, place: &Place, has_text: bool, as_of: Millis) -> Result<Option<FoundInsight>> {
        let record = self.store.insight(&place.project, &place.id.to_string())?;
        #[expect(clippy::cast_precision_loss, reason = "at most 10,000")]
        let relevance = has_text.then_some(place.relevance as f64 / RELEVANCE as f64);
        let folded = record.as_ref().and_then(insight::fold);
        Ok(folded.map(|Folded { insight, .. }| FoundInsight {
            insight: insight.at(as_of),
            score: place.score.0,
            relevance,
        }))
    }

    fn search(&self, query: &InsightQuery, as_of: Millis) -> Result<Search> {
        let mut text = query.text.clone().filter(|text| !text.trim().is_empty());
        if let Some(text) = &mut text {
            text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        }
        Ok(Search {
            projects: query.project.as_deref().map(|typed| self.insight_projects(typed)).transpose()?,
            text,
            target: self.target(query)?,
            types: query.types.clone(),
            tags: query.tags.clone(),
            agent: query.agent.clone(),
            audience: query.audience.clone(),
            status: query.status.clone(),
            since: query.since.as_deref().map(|since| since_when(since, as_of)).transpose()?,
            min_confidence: query.min_confidence,
            reader: query.reader.clone(),
        })
    }

    /// What is about to be touched, with the labels and the epics of the task.
    fn target(&self, query: &InsightQuery) -> Result<Target> {
        let mut target = Target {
            paths: query.paths.clone(),
            tasks: query.task.iter().cloned().collect(),
            services: query.service.iter().cloned().collect(),
            ..Target::default()
        };
        let Some(task) = &query.task else { return Ok(target) };
        for key in self.store.named(task)? {
            let Some(record) = self.cache.record(&key)? else { continue };
            let Some(state) = timeline::last(&record.timeline) else { continue };
            target.labels.extend(state.facts.labels.iter().map(ToString::to_string));
            let root = self.root_id(&key)?;
            if state.facts.key != root {
                target.epics.push(root.to_string());
            }
        }
        Ok(target)
    }

    /// The one insight whose id begins like this.
    fn one(&self, id: &str, project: Option<&str>) -> Result<Folded> {
        let typed = id.trim().to_lowercase();
        let start = if typed.starts_with("ins_") { typed.clone() } else { format!("ins_{typed}") };
        let mut found = Vec::new();
        for name in self.store.insight_projects()? {
            if project.is_none_or(|wanted| wanted == name) {
                let some = self.store.insights_like(&name, &start).take(2);
                found.extend(some.collect::<Result<Vec<InsightRecord>>>()?);
            }
        }
        let mut found: Vec<Folded> = found.iter().filter_map(insight::fold).collect();
        if found.len() > 1 {
            return Err(ambiguous(id, &found));
        }
        let missing = || {
            let text = format!("there is no insight `{id}`; what was reported just now is stored within seconds");
            Error::new(ErrorKind::NotFound, text)
        };
        found.pop().filter(|_| typed.len() > 3).ok_or_else(missing)
    }
}

fn ambiguous(id: &str, found: &[Folded]) -> Error {
    let ids: BTreeSet<&str> = found.iter().map(|folded| folded.insight.id.as_str()).collect();
    let projects: BTreeSet<&str> = found.iter().map(|folded| folded.insight.project.as_str()).collect();
    let join = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    let text = if ids.len() > 1 {
        format!("several insights begin with `{id}`, such as {}: write more of it", join(ids))
    } else {
        format!("`{id}` is an insight in each of {}: choose one with --project", join(projects))
    };
    Error::new(ErrorKind::Config, text)
}

fn read_cursor(cursor: &Cursor) -> Result<Mark> {
    let decoded = BASE64.decode(cursor.to_string()).ok();
    decoded.and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(|| {
        let text = format!("`{cursor}` is not a cursor of insights: leave it out to begin at the first page");
        Error::new(ErrorKind::Config, text)
    })
}

/// Keeps the best, in order. Returns whether there were more.
fn page(places: &mut Vec<Place>, limit: Option<NonZeroUsize>) -> bool {
    let limit = limit.map_or(usize::MAX, NonZeroUsize::get);
    let more = places.len() > limit;
    if more {
        places.select_nth_unstable(limit);
        places.truncate(limit);
    }
    places.sort_unstable();
    more
}

/// A length of time before `now`, a date, or a time.
fn since_when(text: &str, now: Millis) -> Result<Millis> {
    if let Some(at) = Millis::parse_date_or_time(text) {
        return Ok(at);
    }
    let length = duration::parse(text).map_err(|_| {
        let text = format!("since: `{text}` is neither a length of time such as 90d, nor a date, nor a time");
        Error::new(ErrorKind::Config, text)
    })?;
    Ok(now.plus(i64::try_from(length.as_millis()).map_or(i64::MIN, |length| -length)))
}

/// A list, or one value for a list of one.
fn one_or_more<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given<T> {
        More(Vec<T>),
        One(T),
    }
    Ok(match Option::<Given<T>>::deserialize(deserializer)? {
        Some(Given::More(list)) => list,
        Some(Given::One(one)) => vec![one],
        None => Vec::new(),
    })
}
