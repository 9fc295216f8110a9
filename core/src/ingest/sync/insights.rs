//! Storing what is reported of insights: each report once, the insights that others replace, and how many are kept.
//!
//! Reports are gathered from the records of a page and stored in the order in which they count, so that each insight is written
//! once, in the transaction that moves the cursor past its reports.

use std::collections::{BTreeMap, BTreeSet};

use super::job::Job;
use crate::lock;
use crate::model::SmolStr;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::insight::{self, Folded, Insight, InsightRecord, InsightReport, InsightType, Review, Said};
use crate::model::observation::InsightReported;
use crate::model::time::{DAY, Millis};
use crate::store::own::FORGOTTEN;
use crate::store::{Item, Transaction};

/// Insights that are looked at to know whether one replaces another, directly or through others.
const MOST_REPLACEMENTS: usize = 256;
/// Insights forgotten in one transaction.
const FORGOTTEN_AT_ONCE: usize = 1_000;

/// A project, and the id of an insight in it.
type Key = (String, String);

/// The insights of a page while it is stored.
struct Page<'p, 'a> {
    to: &'p Transaction<'a>,
    source: &'p str,
    insights: BTreeMap<Key, Changed>,
}

/// An insight before and after.
struct Changed {
    old: Option<Folded>,
    record: InsightRecord,
    added: usize,
}

impl Page<'_, '_> {
    fn get(&mut self, key: &Key) -> Result<&mut Changed> {
        if !self.insights.contains_key(key) {
            let known = self.to.insight(&key.0, &key.1)?;
            let old = known.as_ref().and_then(insight::fold);
            let record = known.unwrap_or_else(|| InsightRecord::new(self.source, &key.0, &key.1));
            self.insights.insert(key.clone(), Changed { old, record, added: 0 });
        }
        let gone = || Error::new(ErrorKind::Internal, "look up an insight that was just read");
        self.insights.get_mut(key).ok_or_else(gone)
    }

    fn add(&mut self, key: &Key, mut report: InsightReport) -> Result<()> {
        report.journal = self.to.seq();
        let source = self.source;
        let replaced = self.replace(key, &mut report)?;
        let changed = self.get(key)?;
        report.source = (changed.record.source != source).then(|| SmolStr::new(source));
        changed.added += changed.record.add([report.clone()]);
        for (other, said) in replaced {
            let key = (key.0.clone(), other);
            let changed = self.get(&key)?;
            let source = (changed.record.source != source).then(|| SmolStr::new(source));
            changed.added += changed.record.add([InsightReport { said, source, refused: None, ..report.clone() }]);
        }
        Ok(())
    }

    /// What an emission means for the insights that it replaces. One that would close a circle is left out, with the reason.
    fn replace(&mut self, key: &Key, report: &mut InsightReport) -> Result<Vec<(String, Said)>> {
        let Said::Emit(emit) = &report.said else { return Ok(Vec::new()) };
        let Ok(insight_type) = emit.insight_type.parse::<InsightType>() else { return Ok(Vec::new()) };
        let (mut replaced, mut refused) = (Vec::new(), Vec::new());
        for other in emit.supersedes.clone() {
            if self.is_replaced_by(key, &other, insight_type)? {
                refused.push(other);
            } else {
                let said = Said::Superseded { by: key.1.clone(), insight_type, agent: emit.agent.clone() };
                replaced.push((other, said));
            }
        }
        if !refused.is_empty() {
            let mut emit = emit.clone();
            emit.supersedes.retain(|id| !refused.contains(id));
            report.said = Said::Emit(emit);
            report.refused = Some(circle(&key.1, &refused.join(", ")));
        }
        Ok(replaced)
    }

    /// Whether `other` is the insight, or replaces it, directly or through others.
    fn is_replaced_by(&mut self, key: &Key, other: &str, insight_type: InsightType) -> Result<bool> {
        leads_to(&key.1, other, |id| {
            let record = &self.get(&(key.0.clone(), id.to_owned()))?.record;
            Ok(replacements(record, insight_type))
        })
    }
}

/// The insights of a type that replace one, as reported: also before anything else is known of it, and where time or another replacement
/// came first, because an older report that arrives late may change that.
pub(super) fn replacements(record: &InsightRecord, insight_type: InsightType) -> Vec<String> {
    let by = |report: &InsightReport| match &report.said {
        Said::Superseded { by, insight_type: of, .. } if *of == insight_type && report.refused.is_none() => {
            Some(by.clone())
        }
        _ => None,
    };
    record.reports.iter().filter_map(by).collect()
}

/// Whether what replaces an insight leads from `id` to `other`. True also where that is too long to know.
pub(super) fn leads_to(id: &str, other: &str, mut next: impl FnMut(&str) -> Result<Vec<String>>) -> Result<bool> {
    let (mut waiting, mut seen) = (vec![id.to_owned()], BTreeSet::from([id.to_owned()]));
    while let Some(id) = waiting.pop() {
        if id == other || seen.len() > MOST_REPLACEMENTS {
            return Ok(true);
        }
        waiting.extend(next(&id)?.into_iter().filter(|by| seen.insert(by.clone())));
    }
    Ok(false)
}

/// Why one insight does not replace others.
pub(super) fn circle(by: &str, others: &str) -> String {
    format!("{by} cannot replace what replaces it: {others}")
}

/// Whether nobody ever asked for an insight, nobody stands behind it, and nobody waits for what becomes of it.
fn is_unused(insight: &Insight) -> bool {
    use InsightType::{Decision, Discovery, Lesson, Recommendation};
    let is_claim = matches!(insight.insight_type, Decision | Recommendation | Lesson | Discovery);
    insight.served == Some(0) && insight.review == Review::Unreviewed && (is_claim || !insight.is_waiting())
}

impl Job<'_> {
    /// Takes what a record reports of an insight, unless there is no room for another one.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when there are as many as the configuration allows.
    pub(super) fn gather_insight(&mut self, to: &mut Transaction<'_>, reported: InsightReported) -> Result<()> {
        let key = (reported.project, reported.id);
        if !self.work.insights.contains_key(&key) && to.insight(&key.0, &key.1)?.is_none() {
            self.make_room_for_insight(to)?;
        }
        self.work.insights.entry(key).or_default().push(reported.report);
        Ok(())
    }

    fn make_room_for_insight(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        let max = lock(&self.source.insights).max;
        let mut room = match self.work.insight_room {
            Some(room) => room,
            None => max.saturating_sub(self.store.insight_count()?),
        };
        if room == 0 && !self.is_full_of_use {
            room = self.forget_unused(to, max)?;
            self.is_full_of_use = room == 0;
        }
        self.work.insight_room = Some(room.saturating_sub(1));
        if room == 0 {
            let text = format!("the store holds as many insights as `insights.max` allows ({max})");
            return Err(Error::new(ErrorKind::Rejected, text));
        }
        Ok(())
    }

    /// Forgets some of what nobody ever asked for and nobody stands behind, the oldest first. Returns how many those are.
    fn forget_unused(&self, to: &mut Transaction<'_>, max: u64) -> Result<u64> {
        let mut unused = Vec::new();
        for record in self.store.insights(None) {
            unused.extend(insight::fold(&record?).filter(|folded| is_unused(&folded.insight)));
        }
        unused.sort_by_key(|folded| folded.insight.updated);
        // Looking through all of them once for each new one would take too long.
        let some = usize::try_from(max / 100).unwrap_or(usize::MAX).clamp(1, FORGOTTEN_AT_ONCE);
        unused.truncate(some);
        for old in &unused {
            to.remove_insight(old)?;
        }
        Ok(unused.len() as u64)
    }

    /// Stores what was gathered.
    pub(super) fn store_insights(&mut self, to: &mut Transaction<'_>) -> Result<()> {
        self.work.insight_room = None;
        let gathered = std::mem::take(&mut self.work.insights);
        let mut reports: Vec<(&Key, InsightReport)> = gathered
            .iter()
            .flat_map(|(key, reports)| reports.iter().map(move |report| (key, report.clone())))
            .collect();
        reports.sort_by(|(_, one), (_, other)| one.order().cmp(&other.order()));
        let mut page = Page { to, source: self.name(), insights: BTreeMap::new() };
        for (key, report) in reports {
            page.add(key, report)?;
        }
        let changed: Vec<(Key, Changed)> = page.insights.into_iter().filter(|(_, changed)| changed.added > 0).collect();
        for ((project, id), Changed { old, record, added }) in changed {
            self.report.changes += added as u64;
            to.put_insight(old.as_ref(), &record)?;
            to.journal(self.name(), &Item::Insight { project, id })?;
        }
        Ok(())
    }

    /// Once a day: forgets notes that are older than they are kept, and, where there are too many insights, those that
    /// nothing can become of any more, the oldest first.
    pub(super) fn forget_insights(&self, to: &mut Transaction<'_>) -> Result<()> {
        let last: Option<Millis> = self.store.metadata(FORGOTTEN, self.name())?;
        if last.is_some_and(|last| self.run.now.0 - last.0 < DAY) || self.store.insight_count()? == 0 {
            return Ok(());
        }
        let config = lock(&self.source.insights).clone();
        let mut left = FORGOTTEN_AT_ONCE;
        for project in self.store.insight_projects()? {
            for (insight_type, keep) in &config.keep {
                let oldest = self.run.now.plus(i64::try_from(keep.as_millis()).map_or(i64::MIN, |keep| -keep));
                for record in self.store.waiting_insights(&project, *insight_type) {
                    let Some(old) = insight::fold(&record?).filter(|old| old.insight.updated < oldest) else {
                        continue;
                    };
                    if left > 0 {
                        to.remove_insight(&old)?;
                        left -= 1;
                    }
                }
            }
        }
        self.forget_surplus(to, config.max, &mut left)?;
        // When there were more than fit, the next run goes on.
        let last = if left > 0 { self.run.now } else { self.run.now.plus(-DAY) };
        to.put_metadata(FORGOTTEN, self.name(), &last)
    }

    fn forget_surplus(&self, to: &mut Transaction<'_>, max: u64, left: &mut usize) -> Result<()> {
        let surplus = usize::try_from(self.store.insight_count()?.saturating_sub(max)).unwrap_or(usize::MAX);
        if surplus == 0 {
            return Ok(());
        }
        let mut over = Vec::new();
        for record in self.store.insights(None) {
            over.extend(insight::fold(&record?).filter(|of| !of.insight.is_waiting() || is_unused(&of.insight)));
        }
        over.sort_by_key(|folded| (folded.insight.served != Some(0), folded.insight.updated));
        for old in over.iter().take(surplus.min(*left)) {
            to.remove_insight(old)?;
        }
        *left -= surplus.min(*left).min(over.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operation::InsightEmit;
    use crate::store::Store;

    const IDS: [&str; 3] = ["ins_00000000000000aa", "ins_00000000000000bb", "ins_00000000000000cc"];

    /// A report of a decision that replaces others, as the writer of its own that another process is.
    fn decision(of: usize, replaces: &[usize]) -> (Key, InsightReport) {
        let emit = InsightEmit {
            id: IDS[of].into(),
            insight_type: "decision".into(),
            summary: format!("Decision {of}"),
            supersedes: replaces.iter().map(|of| IDS[*of].to_owned()).collect(),
            ..InsightEmit::default()
        };
        let at = Millis(1_000 + i64::try_from(of).unwrap());
        (("shop".to_owned(), IDS[of].to_owned()), InsightReport::new(IDS[of], 1, at, None, Said::Emit(Box::new(emit))))
    }

    /// What replaces each of the decisions, after their reports arrived in this order.
    fn replaced(arrived: &[(usize, &[usize])]) -> Vec<Option<usize>> {
        let store = Store::over(std::sync::Arc::new(crate::store::MemoryKv::default())).unwrap();
        let transaction = store.begin().unwrap();
        let mut page = Page { to: &transaction, source: "sdk", insights: BTreeMap::new() };
        for (of, replaces) in arrived {
            let (key, report) = decision(*of, replaces);
            page.add(&key, report).unwrap();
        }
        let by = |id: &&str| {
            let changed = page.insights.get(&("shop".to_owned(), (*id).to_owned()))?;
            let by = insight::fold(&changed.record)?.insight.superseded_by?;
            IDS.iter().position(|id| *id == by)
        };
        IDS.iter().map(by).collect()
    }

    #[test]
    fn decisions_that_replace_each_other_in_a_circle_leave_one_whatever_arrives_first() {
        assert_eq!(replaced(&[(0, &[1]), (1, &[0])]), [None, Some(0), None], "before the other is known");
        assert_eq!(replaced(&[(1, &[]), (0, &[1]), (1, &[0])]), [None, Some(0), None]);
        assert_eq!(replaced(&[(0, &[1]), (1, &[2]), (2, &[0])]), [None, Some(0), Some(1)]);
        assert_eq!(replaced(&[(2, &[0]), (0, &[1]), (1, &[2])]), [Some(2), Some(0), None]);
        assert_eq!(replaced(&[(0, &[0])]), [None, None, None]);
        assert_eq!(replaced(&[(0, &[1]), (2, &[0]), (1, &[])]), [Some(2), Some(0), None], "a line is no circle");
    }
}
