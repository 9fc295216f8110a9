//! What failed besides writing objects, and that no watch reports when it would go well: a pass tries it again, later each time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backoff;
use super::kinds::{Key, Place};
use super::workload::Workload;

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Matter {
    /// The status of a context.
    Status(Place),
    /// Annotations on the workloads of a context.
    Workloads(Place),
    /// Annotations of ours that have to go from a workload.
    Release(Workload),
    /// What is added to somebody else's collector.
    Collector,
    /// An object that nobody wants.
    Removal(Key),
}

/// How often something failed in a row, and when it is tried again; `None`: a pass that began since tries it.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    attempts: u32,
    at: Option<Duration>,
}

/// Everything that is tried again.
#[derive(Debug, Default)]
pub(crate) struct Later(BTreeMap<Matter, Retry>);

impl Later {
    /// It failed.
    pub(crate) fn put_off(&mut self, matter: Matter, now: Duration) {
        let retry = self.0.entry(matter).or_default();
        retry.attempts += 1;
        retry.at = Some(now + backoff::delay(retry.attempts));
    }

    /// It went well, or there is nothing to do any more.
    pub(crate) fn settle(&mut self, matter: &Matter) {
        self.0.remove(matter);
    }

    /// Whether it failed before.
    pub(crate) fn is_known(&self, matter: &Matter) -> bool {
        self.0.contains_key(matter)
    }

    /// A context is gone.
    pub(crate) fn forget_context(&mut self, place: &Place) {
        self.settle(&Matter::Status(place.clone()));
        self.settle(&Matter::Workloads(place.clone()));
    }

    /// Whether it may be tried now.
    pub(crate) fn is_due(&self, matter: &Matter, now: Duration) -> bool {
        self.0.get(matter).and_then(|retry| retry.at).is_none_or(|at| at <= now)
    }

    /// Workloads from which our annotations have to go, as far as they are due.
    pub(crate) fn releases(&self, now: Duration) -> Vec<Workload> {
        let due = self.0.keys().filter(|matter| self.is_due(matter, now));
        let workload = |matter: &Matter| match matter {
            Matter::Release(workload) => Some(workload.clone()),
            _ => None,
        };
        due.filter_map(workload).collect()
    }

    /// A pass begins: it tries what is due, so that nothing else has to start for it.
    pub(crate) fn begin(&mut self, now: Duration) {
        for retry in self.0.values_mut() {
            retry.at = retry.at.filter(|at| *at > now);
        }
    }

    /// What made it fail is over: everything is tried at once, and begins with short pauses again.
    pub(crate) fn hasten(&mut self) {
        self.0.values_mut().for_each(|retry| *retry = Retry { attempts: 0, at: Some(Duration::ZERO) });
    }

    /// When the next thing is tried again.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.0.values().filter_map(|retry| retry.at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_later_each_time_and_starts_one_pass_each() {
        let mut later = Later::default();
        let workload = Workload { kind: "Job".into(), namespace: "a".into(), name: "b".into() };
        let matter = Matter::Release(workload.clone());
        let mut now = Duration::from_secs(100);
        let mut waits = Vec::new();
        for _ in 0..5 {
            later.put_off(matter.clone(), now);
            assert!(!later.is_due(&matter, now) && later.releases(now).is_empty());
            let at = later.next().unwrap();
            waits.push(at.saturating_sub(now));
            now = at;
            assert_eq!(later.releases(now), std::slice::from_ref(&workload));
            later.begin(now);
            assert_eq!((later.next(), later.is_due(&matter, now)), (None, true));
        }
        assert!(waits.is_sorted(), "{waits:?}");
        later.settle(&matter);
        assert!(later.releases(now).is_empty());
    }
}
