//! The `plan` stream: what surrounds the issues. Cycles are sprints, projects and initiatives are epics, and attachments that
//! lead to a pull request or a commit are activities.
//!
//! All four are asked for in one request, each from where its [`Feed`] stands. A cycle begins without being changed, so
//! those that are running are asked for whenever anything is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contextcore_core::ingest::connector::{Cursor, Page, RawRecord, Run};
use contextcore_core::model::time::DAY;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

use super::api::{PlanPage, PlanWish, Told};
use super::feed::Feed;
use super::histories::record;
use super::session::{Linear, PLAN, SiteContext};
use super::wire::{Attachment, Connection, Cycle, Initiative, OneOf, Project, TeamRef};
use super::{mapping, sizes};

/// The resources, as the wish and the answer name them.
const NAMES: [&str; 4] = ["cycles", "projects", "initiatives", "attachments"];

/// How long a resource that was refused is left alone.
const REFUSED: i64 = DAY;

/// Where the stream stands: a feed for each resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Position {
    feeds: BTreeMap<String, Feed>,
    /// Resources that this workspace or token may not have, and since when that is known.
    refused: BTreeMap<String, Millis>,
}

impl Position {
    fn open(&mut self, now: Millis) {
        let under_way = self.feeds.values().any(Feed::is_open);
        self.refused.retain(|_, since| now.0 - since.0 < REFUSED);
        for name in NAMES.into_iter().filter(|name| !self.refused.contains_key(*name)) {
            let feed = self.feeds.entry(name.to_owned()).or_default();
            if !under_way || feed.is_open() {
                feed.open(now);
            }
        }
    }

    /// What to ask for: the resources whose feed has pages left.
    fn wish(&self) -> PlanWish {
        let open = NAMES.into_iter().filter_map(|name| Some((name, self.feeds.get(name)?)));
        let feeds: Vec<(&'static str, &Feed)> = open.filter(|(_, feed)| feed.is_open()).collect();
        let many = feeds.iter().any(|(_, feed)| feed.is_first() || !feed.is_at_start());
        let from = |feed: &Feed| (feed.since(), feed.after().map(str::to_owned));
        PlanWish {
            first: if many { sizes::PLAN } else { sizes::PLAN_PROBE },
            feeds: feeds.into_iter().map(|(name, feed)| (name, from(feed))).collect(),
        }
    }

    fn is_open(&self) -> bool {
        self.feeds.values().any(Feed::is_open)
    }

    /// Takes the feeds of all other resources out.
    fn without(&mut self, name: &str) -> BTreeMap<String, Feed> {
        let one = self.feeds.remove_entry(name);
        std::mem::replace(&mut self.feeds, one.into_iter().collect())
    }
}

/// Fetches the next page of records.
///
/// # Errors
/// As the session's; [`ErrorKind::Protocol`] for a list that goes in circles.
pub(super) async fn poll(linear: &Linear, live: Arc<SiteContext>, cursor: Option<&Cursor>, run: &Run) -> Result<Page> {
    let kept = cursor.and_then(|cursor| serde_json::from_value::<Position>(cursor.0.clone()).ok());
    let mut position = kept.unwrap_or_default();
    position.open(run.now);
    let mut taking = Taking { linear, live: &live, news: Vec::new(), names: BTreeSet::new() };
    let warnings = match linear.api.plan(&position.wish()).await {
        Ok(told) => take(&mut position, told, &mut taking)?,
        Err(error) if error.kind() == ErrorKind::Permission => one_by_one(&mut position, &mut taking, run.now).await?,
        Err(error) => {
            begin_again(&mut position, error, run.now)?;
            let told = linear.api.plan(&position.wish()).await?;
            take(&mut position, told, &mut taking)?
        }
    };
    let Taking { news, names, .. } = taking;
    linear.explain(&live, names, run).await?;
    let records = news.into_iter().collect::<Result<Vec<RawRecord>>>()?;
    position.feeds.values_mut().for_each(Feed::settle);
    let more = position.is_open();
    let cursor = serde_json::to_value(position).map(Cursor);
    let cursor =
        cursor.map_err(|error| Error::new(ErrorKind::Internal, "write the cursor of the plan").caused_by(error))?;
    Ok(Page { records, seen: Vec::new(), cursor, more, total: None, warnings })
}

/// Something of the plan is not for us (initiatives are a paid feature): asks for each resource by itself, and leaves out what
/// is refused.
async fn one_by_one(position: &mut Position, taking: &mut Taking<'_>, now: Millis) -> Result<Vec<String>> {
    let wish = position.wish();
    let mut warnings = Vec::new();
    for (name, from) in wish.feeds {
        let one = PlanWish { first: wish.first, feeds: [(name, from)].into() };
        match taking.linear.api.plan(&one).await {
            Ok(told) => {
                let others = position.without(name);
                warnings.extend(take(position, told, taking)?);
                position.feeds.extend(others);
            }
            Err(error) if error.kind() == ErrorKind::Permission => {
                warnings.push(format!("{name} cannot be read and are left out for a day: {error}"));
                position.feeds.remove(name);
                position.refused.insert(name.to_owned(), now);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(warnings)
}

/// A refused page may be refused for any of its cursors: all sweeps under way begin anew.
fn begin_again(position: &mut Position, refusal: Error, now: Millis) -> Result<()> {
    let mut refusal = Some(refusal);
    for feed in position.feeds.values_mut().filter(|feed| !feed.is_at_start()) {
        if let Some(error) = refusal.take() {
            feed.recover(error, now)?;
        } else {
            feed.recover(Error::new(ErrorKind::Rejected, "a page of another list was refused"), now)?;
        }
    }
    refusal.map_or(Ok(()), Err)
}

/// Takes the rows of a page in.
fn take(position: &mut Position, told: Told<PlanPage>, taking: &mut Taking<'_>) -> Result<Vec<String>> {
    let warnings = told.troubles.iter().map(|flaw| {
        format!("the list of cycles and projects is incomplete, the same changes will be read again: {}", flaw.text)
    });
    let warnings = warnings.collect();
    let spoilt: Vec<&str> = NAMES.into_iter().filter(|name| told.touches(name)).collect();
    let PlanPage { cycles, projects, initiatives, attachments } = told.data;
    let mut feeds = |name: &str| -> Option<Feed> { position.feeds.remove(name) };
    let (a, b, c, d) = (feeds(NAMES[0]), feeds(NAMES[1]), feeds(NAMES[2]), feeds(NAMES[3]));
    let mut done = BTreeMap::new();
    let mut keep = |name: &str, feed: Option<Feed>| done.extend(feed.map(|feed| (name.to_owned(), feed)));
    keep(NAMES[0], rows(a, spoilt.contains(&NAMES[0]), cycles, |feed, cycle| taking.cycle(feed, &cycle))?);
    keep(NAMES[1], rows(b, spoilt.contains(&NAMES[1]), projects, |feed, project| taking.project(feed, &project))?);
    keep(NAMES[2], rows(c, spoilt.contains(&NAMES[2]), initiatives, |feed, row| taking.initiative(feed, &row))?);
    keep(NAMES[3], rows(d, spoilt.contains(&NAMES[3]), attachments, |feed, row| taking.attachment(feed, &row))?);
    position.feeds = done;
    Ok(warnings)
}

/// Takes the rows of one resource in, and steps over the page.
fn rows<T>(
    feed: Option<Feed>,
    spoilt: bool,
    page: Option<Connection<T>>,
    mut take: impl FnMut(&mut Feed, T),
) -> Result<Option<Feed>> {
    let Some(mut feed) = feed else { return Ok(None) };
    if !feed.is_open() {
        return Ok(Some(feed));
    }
    let page = page.unwrap_or_default();
    page.nodes.into_iter().for_each(|row| take(&mut feed, row));
    if spoilt {
        feed.spoil();
    }
    feed.step(&page.page_info)?;
    Ok(Some(feed))
}

/// What a page gathers.
struct Taking<'a> {
    linear: &'a Linear,
    live: &'a SiteContext,
    news: Vec<Result<RawRecord>>,
    names: BTreeSet<String>,
}

impl Taking<'_> {
    /// A cycle. A running one is always news. A sub-team's copy counts only where its original is not read.
    fn cycle(&mut self, feed: &mut Feed, cycle: &Cycle) {
        let news = feed.take(&cycle.id, cycle.updated_at) || cycle.is_active;
        let reads = |team: &str| self.live.reference.wants(&self.linear.settings, team);
        let own = cycle.team.as_ref().is_none_or(|team| reads(&team.id));
        let original = cycle.inherited_from.as_ref().and_then(|original| original.team.as_ref());
        let is_copy = cycle.inherited_from.is_some() && original.is_none_or(|team| reads(&team.id));
        if news && own && !is_copy {
            self.name("team", cycle.team.as_ref().map(|team| &*team.id));
            self.news.push(record(PLAN, &cycle.id, "cycle", cycle));
        }
    }

    fn project(&mut self, feed: &mut Feed, project: &Project) {
        let teams = project.teams.iter().flat_map(|teams| &teams.nodes);
        if feed.take(&project.id, project.updated_at) && wants(self.linear, self.live, teams) {
            [&project.lead, &project.creator].into_iter().for_each(|who| self.person(who.as_ref()));
            self.news.push(record(PLAN, &project.id, "project", project));
        }
    }

    fn initiative(&mut self, feed: &mut Feed, initiative: &Initiative) {
        if feed.take(&initiative.id, initiative.updated_at) && wants(self.linear, self.live, initiative.teams()) {
            [&initiative.owner, &initiative.creator].into_iter().for_each(|who| self.person(who.as_ref()));
            self.news.push(record(PLAN, &initiative.id, "initiative", initiative));
        }
    }

    /// An attachment that leads to a pull request or a commit; others say nothing of the work.
    fn attachment(&mut self, feed: &mut Feed, attachment: &Attachment) {
        if feed.take(&attachment.id, attachment.updated_at) && mapping::artifact(&attachment.url).is_some() {
            self.person(attachment.creator.as_ref());
            self.news.push(record(PLAN, &attachment.id, "attachment", attachment));
        }
    }

    fn person(&mut self, who: Option<&OneOf>) {
        self.name("user", who.and_then(|who| who.id.as_deref()));
    }

    fn name(&mut self, kind: &str, id: Option<&str>) {
        self.names.extend(id.map(|id| format!("{kind}:{id}")));
    }
}

/// Whether something that these teams work on is read.
pub(super) fn wants<'t>(linear: &Linear, live: &SiteContext, mut teams: impl Iterator<Item = &'t TeamRef>) -> bool {
    let read = |team: &TeamRef| team.id.as_deref().is_some_and(|id| live.reference.wants(&linear.settings, id));
    linear.settings.teams.is_empty() || teams.any(read)
}
