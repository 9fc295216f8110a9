//! Verifying a store.

use super::footprint::Footprint;
use super::format;
use super::key::{self, Kind};
use super::kv::KeyRange;
use super::reader::Store;
use super::records::Item;
use crate::model::error::{Error, Result};
use crate::model::timeline;
use crate::model::{SprintRecord, TaskRecord};

/// The result of a verification.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verified {
    /// Tasks read.
    pub tasks: u64,
    /// Timeline events read.
    pub events: u64,
    /// Sprints read.
    pub sprints: u64,
    /// Insights read.
    #[serde(default)]
    pub insights: u64,
    /// Journal items read.
    pub journal: u64,
    /// What is wrong; empty when all is well.
    pub problems: Vec<String>,
}

impl Store {
    /// Reads everything. Checks that timelines are sorted and that every task and insight is in all its indexes.
    ///
    /// # Errors
    /// When the store cannot be read. A damaged value is a problem in the result.
    pub fn verify(&self) -> Result<Verified> {
        self.at_one_moment(Self::verified)
    }

    fn verified(&self) -> Result<Verified> {
        let mut found = Verified::default();
        for pair in self.pages(KeyRange::all()) {
            let (key, bytes) = pair?;
            match key.first() {
                Some(kind) if *kind == Kind::Task as u8 => self.verify_task(&key, &bytes, &mut found)?,
                Some(kind) if *kind == Kind::Sprint as u8 => {
                    found.sprints += 1;
                    report(&mut found, &key, format::decode::<SprintRecord>(&bytes).err());
                }
                Some(kind) if *kind == Kind::Insight as u8 => {
                    found.insights += 1;
                    let wrong = self.insight_problem(&bytes);
                    report(&mut found, &key, wrong.err());
                }
                Some(kind) if *kind == Kind::Journal as u8 => {
                    found.journal += 1;
                    report(&mut found, &key, format::decode::<Item>(&bytes).err());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn verify_task(&self, key: &[u8], bytes: &[u8], found: &mut Verified) -> Result<()> {
        found.tasks += 1;
        let record: TaskRecord = match format::decode(bytes) {
            Ok(record) => record,
            Err(error) => {
                report(found, key, Some(error));
                return Ok(());
            }
        };
        found.events += record.timeline.len() as u64;
        let Some(task) = key::task_of(key, 1) else { return Ok(()) };
        if timeline::first(&record.timeline).is_none() {
            found.problems.push(format!("{task}: the timeline does not begin with its creation"));
        }
        if !record.timeline.is_sorted_by_key(|stored| stored.event.at) {
            found.problems.push(format!("{task}: the timeline is not sorted"));
        }
        let indexes: Vec<Vec<u8>> = Footprint::of(&task, Some(&record)).keys.into_iter().collect();
        let missing = self.kv.get_many(&indexes)?.into_iter().filter(Option::is_none);
        found.problems.extend(missing.map(|_| format!("{task}: missing from an index")));
        Ok(())
    }
}

fn report(found: &mut Verified, key: &[u8], error: Option<Error>) {
    if let Some(error) = error {
        found.problems.push(format!("{}: {}", key::texts(key, 1).join("/"), error.full()));
    }
}
