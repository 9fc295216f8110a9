//! Insights in the store: their records, those that wait by project and type, totals, and the index in memory that a search uses.
//!
//! The index is made from the records when somebody first searches, and follows every commit. A process that only stores keeps
//! none.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::format;
use super::insight_totals::InsightTotals;
use super::key::{self, Key, Kind};
use super::kv::KeyRange;
use super::reader::Store;
use super::transaction::Transaction;
use crate::model::SmolStr;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::search::Index;
use crate::model::insight::{self, Folded, InsightRecord, InsightType, lifecycle};
use crate::model::time::Millis;

impl Store {
    /// An insight with everything that was reported of it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn insight(&self, project: &str, id: &str) -> Result<Option<InsightRecord>> {
        self.raw(&key::insight(project, id))?.map(|bytes| decode(&bytes)).transpose()
    }

    /// All insights of one project, or of all.
    pub fn insights(&self, project: Option<&str>) -> impl Iterator<Item = Result<InsightRecord>> + use<> {
        let prefix = project.into_iter().fold(Key::new(Kind::Insight), Key::text);
        self.scan(prefix).map(|item| decode(&item?.1))
    }

    /// The insights of a project whose ids begin like this.
    pub fn insights_like(&self, project: &str, start: &str) -> impl Iterator<Item = Result<InsightRecord>> + use<> {
        let mut prefix = Key::new(Kind::Insight).text(project).build();
        prefix.extend(start.bytes());
        self.pages(KeyRange::prefix(prefix)).map(|item| decode(&item?.1))
    }

    /// The projects that have insights, sorted.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn insight_projects(&self) -> Result<Vec<String>> {
        let (mut projects, mut from) = (Vec::new(), vec![Kind::Insight as u8]);
        // From one project to the next, whatever number of insights each has.
        while let Some(item) = self.pages(KeyRange::between(from, vec![Kind::Insight as u8 + 1])).next() {
            let Some(project) = key::texts(&item?.0, 1).into_iter().next() else { break };
            from = Key::new(Kind::Insight).text(&project).build();
            from.pop();
            from.push(1);
            projects.push(project);
        }
        Ok(projects)
    }

    /// The insights of a type that wait for somebody, end by themselves, or are kept for some time only.
    pub fn waiting_insights(
        &self,
        project: &str,
        insight_type: InsightType,
    ) -> impl Iterator<Item = Result<InsightRecord>> {
        let prefix = Key::new(Kind::WaitingInsight).text(project).text(insight_type.as_str());
        let project = project.to_owned();
        self.scan(prefix).filter_map(move |item| {
            let id = match item {
                Ok((key, _)) => key::texts(&key, 1).pop()?,
                Err(error) => return Some(Err(error)),
            };
            self.insight(&project, &id).transpose()
        })
    }

    /// How many insights each project has, by type and state, and when its agents were last active.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn insight_totals(&self) -> Result<BTreeMap<String, InsightTotals>> {
        let group = Key::new(Kind::Meta).text("note").text(TOTALS);
        let totals = self.scan(group).map(|item| {
            let (key, bytes) = item?;
            Ok((key::texts(&key, 1).pop().unwrap_or_default(), format::from_json(&bytes)?))
        });
        totals.collect()
    }

    /// How many insights there are.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn insight_count(&self) -> Result<u64> {
        let totals = self.insight_totals()?;
        let all = totals.values().flat_map(|totals| totals.count.values().flat_map(BTreeMap::values));
        Ok(u64::try_from(all.sum::<i64>()).unwrap_or(0))
    }

    /// Reads the index of all insights, and makes it first if there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn search_insights<T>(&self, read: impl FnOnce(&Index) -> T) -> Result<T> {
        if self.is_written_by_others() {
            self.forget_insights();
        }
        if let Some(index) = &*self.insights.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(read(index));
        }
        // A commit meanwhile waits, and then adds what it wrote.
        let mut held = self.insights.write().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let mut index = Index::default();
            for record in self.insights(None) {
                if let Some(Folded { insight, .. }) = insight::fold(&record?) {
                    index.put(&insight);
                }
            }
            *held = Some(index);
        }
        Ok(read(held.get_or_insert_default()))
    }

    /// Counts that these insights were given to somebody who asked, in whatever project they are; with `agent`, to whom.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn note_served(&self, ids: &[String], agent: Option<&str>, at: Millis) -> Result<()> {
        let projects = self.insight_projects()?;
        let mut transaction = self.begin()?;
        for (project, id) in projects.iter().flat_map(|project| ids.iter().map(move |id| (project, id))) {
            if let Some(mut record) = transaction.insight(project, id)? {
                record.served.get_or_insert_default().note(agent, at);
                transaction.put_served(&record)?;
            }
        }
        transaction.commit().map(drop)
    }

    /// Checks a stored insight, and that it is among those that wait if it does.
    pub(super) fn insight_problem(&self, bytes: &[u8]) -> Result<()> {
        let record = decode(bytes)?;
        let key = insight::fold(&record).as_ref().and_then(waiting_key);
        match key.map(|key| self.raw(&key)).transpose()? {
            Some(None) => Err(Error::new(ErrorKind::Store, "missing from an index")),
            _ => Ok(()),
        }
    }

    /// Brings the index up to what was committed.
    pub(super) fn index_insights(&self, changed: &BTreeMap<Vec<u8>, Option<Folded>>) {
        if changed.is_empty() {
            return;
        }
        let mut held = self.insights.write().unwrap_or_else(PoisonError::into_inner);
        let Some(index) = &mut *held else { return };
        for (key, folded) in changed {
            match folded {
                Some(folded) => index.put(&folded.insight),
                None => {
                    if let [project, id] = &key::texts(key, 1)[..] {
                        index.remove(project, id);
                    }
                }
            }
        }
    }
}

/// The group of metadata with the totals of each project.
const TOTALS: &str = "insights";
impl Transaction<'_> {
    /// An insight, with what this transaction already changed.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn insight(&self, project: &str, id: &str) -> Result<Option<InsightRecord>> {
        self.raw(&key::insight(project, id))?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Stores an insight in place of `old`, what it was before.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn put_insight(&mut self, old: Option<&Folded>, record: &InsightRecord) -> Result<()> {
        let new = insight::fold(record);
        let (before, after) = (old.and_then(waiting_key), new.as_ref().and_then(waiting_key));
        if before != after {
            self.writes.extend(before.map(|key| (key, None)));
            self.writes.extend(after.map(|key| (key, Some(Vec::new()))));
        }
        let seq = self.seq();
        let totals = self.insight_totals.entry(record.project.clone()).or_default();
        old.iter().for_each(|old| totals.add(&old.insight, -1));
        new.iter().for_each(|new| totals.add(&new.insight, 1));
        for report in record.reports.iter().filter(|report| report.journal == seq) {
            if let Some(agent) = record.agent(report) {
                totals.agents.insert(agent.to_owned(), report.at);
            }
        }
        self.changed.insert((record.source.clone(), SmolStr::new(&record.project)));
        let key = key::insight(&record.project, &record.id);
        self.writes.insert(key.clone(), Some(encode(record)?));
        self.insights.insert(key, new);
        Ok(())
    }

    /// Stores an insight of which only readers are new: nothing of it is to be exported.
    fn put_served(&mut self, record: &InsightRecord) -> Result<()> {
        let key = key::insight(&record.project, &record.id);
        self.writes.insert(key.clone(), Some(encode(record)?));
        self.insights.insert(key, insight::fold(record));
        Ok(())
    }

    /// Forgets an insight.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn remove_insight(&mut self, old: &Folded) -> Result<()> {
        let key = key::insight(&old.insight.project, &old.insight.id);
        if self.raw(&key)?.is_none() {
            return Ok(());
        }
        self.writes.extend(waiting_key(old).map(|key| (key, None)));
        self.writes.insert(key.clone(), None);
        self.insight_totals.entry(old.insight.project.clone()).or_default().add(&old.insight, -1);
        self.insights.insert(key, None);
        Ok(())
    }

    pub(super) fn write_insight_totals(&mut self) -> Result<()> {
        for (project, added) in std::mem::take(&mut self.insight_totals) {
            let mut totals: InsightTotals = self.metadata(TOTALS, &project)?.unwrap_or_default();
            totals.merge(added);
            self.put_metadata(TOTALS, &project, &totals)?;
        }
        Ok(())
    }
}

/// The key of an insight that waits for somebody, ends by itself, or is kept for some time only. What simply holds has none:
/// there may be very many.
fn waiting_key(Folded { insight, .. }: &Folded) -> Option<Vec<u8>> {
    use InsightType::{Decision, Discovery, Lesson, Recommendation};
    let holds = matches!(insight.insight_type, Decision | Recommendation | Lesson | Discovery);
    let waits = lifecycle::is_live(insight.insight_type, insight.status) && (!holds || insight.expires_at.is_some());
    let key =
        Key::new(Kind::WaitingInsight).text(&insight.project).text(insight.insight_type.as_str()).text(&insight.id);
    waits.then(|| key.build())
}

/// JSON, so that fields can be added, packed as other values are.
fn encode(record: &InsightRecord) -> Result<Vec<u8>> {
    let json = serde_json::to_string(record)
        .map_err(|error| Error::new(ErrorKind::Internal, "encode an insight").caused_by(error))?;
    format::encode(&json)
}

fn decode(bytes: &[u8]) -> Result<InsightRecord> {
    format::from_json(format::decode::<String>(bytes)?.as_bytes())
}
