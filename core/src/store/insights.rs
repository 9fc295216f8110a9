//! Insights in the store: their records, the open ones by project and type, and the index in memory that a search uses.
//!
//! The index is made from the records when somebody first searches, and follows every commit. A process that only stores keeps
//! none.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::format;
use super::key::{self, Key, Kind};
use super::kv::KeyRange;
use super::reader::Store;
use super::transaction::Transaction;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::search::Index;
use crate::model::insight::{self, Folded, InsightRecord, InsightType, lifecycle};

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

    /// The insights of a type that something can still become of: projects and ids.
    pub fn open_insights(
        &self,
        project: &str,
        insight_type: InsightType,
    ) -> impl Iterator<Item = Result<InsightRecord>> {
        let prefix = Key::new(Kind::OpenInsight).text(project).text(insight_type.as_str());
        let project = project.to_owned();
        self.scan(prefix).filter_map(move |item| {
            let id = match item {
                Ok((key, _)) => key::texts(&key, 1).pop()?,
                Err(error) => return Some(Err(error)),
            };
            self.insight(&project, &id).transpose()
        })
    }

    /// Reads the index of all insights, and makes it first if there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn search_insights<T>(&self, read: impl FnOnce(&Index) -> T) -> Result<T> {
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
        let (before, after) = (old.and_then(open_key), new.as_ref().and_then(open_key));
        if before != after {
            self.writes.extend(before.map(|key| (key, None)));
            self.writes.extend(after.map(|key| (key, Some(Vec::new()))));
        }
        let key = key::insight(&record.project, &record.id);
        self.writes.insert(key.clone(), Some(encode(record)?));
        self.insights.insert(key, new);
        Ok(())
    }

    /// Forgets an insight.
    pub fn remove_insight(&mut self, old: &Folded) {
        let key = key::insight(&old.insight.project, &old.insight.id);
        self.writes.extend(open_key(old).map(|key| (key, None)));
        self.writes.insert(key.clone(), None);
        self.insights.insert(key, None);
    }
}

/// The key of an insight among those that something can still become of.
fn open_key(Folded { insight, .. }: &Folded) -> Option<Vec<u8>> {
    let key = Key::new(Kind::OpenInsight).text(&insight.project).text(insight.insight_type.as_str()).text(&insight.id);
    lifecycle::is_live(insight.insight_type, insight.status).then(|| key.build())
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
