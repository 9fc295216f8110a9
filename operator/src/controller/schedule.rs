//! When which pass is due. Pure: what is known goes in, what to start and how long to sleep comes out.

use std::time::Duration;

use super::backoff;

/// Changes that come together are handled together.
const SETTLE: Duration = Duration::from_millis(100);
/// What all share is written this long after a change that nothing came before.
const GATHER: Duration = Duration::from_secs(1);
/// It is written at most this often.
const DEBOUNCE: Duration = Duration::from_secs(2);
/// What failed is not tried more often than this, all together.
const LEAST: Duration = Duration::from_secs(1);
/// How often Prometheus is asked for what it did not have.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the world looks like to the schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) changes: u64,
    pub(crate) status_changes: u64,
    /// When the next failed object may be tried.
    pub(crate) retry: Option<Duration>,
    /// When statuses have to lose what the audit's backend has.
    pub(crate) clear: Option<Duration>,
    /// Objects wait to be seen unwanted twice.
    pub(crate) has_suspects: bool,
    /// A change of a collector waits until then.
    pub(crate) roll: Option<Duration>,
    /// Every watch has said something.
    pub(crate) is_complete: bool,
    /// This process writes.
    pub(crate) leads: bool,
    /// Prometheus may be asked for something that was not there.
    pub(crate) looks: bool,
}

/// The kinds of passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pass {
    /// Over the contexts.
    Contexts,
    /// Over what they share.
    Shared,
    /// Over Prometheus.
    Look,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// When it starts next.
    due: Option<Duration>,
    is_running: bool,
    began: Duration,
}

/// When each pass is due.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    contexts: State,
    shared: State,
    look: State,
    changes: u64,
    status_changes: u64,
    leads: bool,
    /// When everything is looked at, whatever happened.
    regular: Duration,
}

impl Schedule {
    pub(crate) fn new() -> Self {
        Self { regular: backoff::regular(), ..Self::default() }
    }

    /// Takes note of what changed; returns the passes to start, and when to ask again.
    pub(crate) fn turn(&mut self, facts: &Facts, now: Duration) -> (Vec<Pass>, Duration) {
        if !facts.is_complete {
            return (Vec::new(), now + LEAST);
        }
        self.note(facts, now);
        let mut started = Vec::new();
        for (pass, state) in
            [(Pass::Contexts, &mut self.contexts), (Pass::Shared, &mut self.shared), (Pass::Look, &mut self.look)]
        {
            if !state.is_running && state.due.is_some_and(|due| due <= now) {
                *state = State { due: None, is_running: true, began: now };
                started.push(pass);
            }
        }
        let waiting = [&self.contexts, &self.shared, &self.look].into_iter().filter(|state| !state.is_running);
        let next = waiting.filter_map(|state| state.due).chain([self.regular]).min().unwrap_or(self.regular);
        (started, next)
    }

    /// A pass is over.
    pub(crate) fn done(&mut self, pass: Pass) {
        let state = match pass {
            Pass::Contexts => &mut self.contexts,
            Pass::Shared => &mut self.shared,
            Pass::Look => &mut self.look,
        };
        state.is_running = false;
    }

    fn note(&mut self, facts: &Facts, now: Duration) {
        if self.changes != facts.changes {
            self.changes = facts.changes;
            sooner(&mut self.contexts, now + SETTLE);
            let shared = (self.shared.began + DEBOUNCE).max(now + GATHER);
            sooner(&mut self.shared, shared);
            sooner(&mut self.look, now + DEBOUNCE);
        }
        if self.status_changes != facts.status_changes {
            self.status_changes = facts.status_changes;
            sooner(&mut self.contexts, now);
        }
        // Who takes over has waited long enough.
        let takes_over = facts.leads && !self.leads;
        self.leads = facts.leads;
        if now >= self.regular || takes_over {
            self.regular = now + backoff::regular();
            sooner(&mut self.contexts, now);
            sooner(&mut self.shared, now);
            sooner(&mut self.look, now);
        }
        if let Some(retry) = facts.retry {
            let at = |state: &State| retry.max(state.began + LEAST);
            let (contexts, shared) = (at(&self.contexts), at(&self.shared));
            sooner(&mut self.contexts, contexts);
            sooner(&mut self.shared, shared);
        }
        if let Some(clear) = facts.clear {
            let at = clear.max(self.contexts.began + LEAST);
            sooner(&mut self.contexts, at);
        }
        if facts.has_suspects {
            let at = self.shared.began + DEBOUNCE;
            sooner(&mut self.shared, at);
        }
        if let Some(roll) = facts.roll.filter(|roll| *roll > self.shared.began) {
            sooner(&mut self.shared, roll);
        }
        if facts.looks {
            let (look, shared) = (self.look.began + LOOK_AGAIN, self.shared.began + LOOK_AGAIN);
            sooner(&mut self.look, look);
            sooner(&mut self.shared, shared);
        }
    }
}

fn sooner(state: &mut State, at: Duration) {
    state.due = Some(state.due.map_or(at, |due| due.min(at)));
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn facts(changes: u64) -> Facts {
        Facts { changes, is_complete: true, ..Facts::default() }
    }

    #[test]
    fn a_change_reaches_the_contexts_at_once_and_what_they_share_after_a_second() {
        let mut schedule = Schedule::new();
        assert_eq!(schedule.turn(&facts(1), ms(9000)), (vec![], ms(9100)));
        assert_eq!(schedule.turn(&facts(1), ms(9100)).0, [Pass::Contexts]);
        // More changes do not put it off.
        assert_eq!(schedule.turn(&facts(2), ms(9900)), (vec![], ms(10_000)));
        assert_eq!(schedule.turn(&facts(2), ms(10_000)).0, [Pass::Shared]);
        assert_eq!(schedule.turn(&facts(2), ms(11_000)).0, [Pass::Look]);
        [Pass::Contexts, Pass::Shared, Pass::Look].into_iter().for_each(|pass| schedule.done(pass));
        // What all share was written at 10 s: it is not written again before 12 s.
        assert!(!schedule.turn(&facts(3), ms(10_500)).0.contains(&Pass::Shared));
        assert!(!schedule.turn(&facts(3), ms(11_900)).0.contains(&Pass::Shared));
        assert!(schedule.turn(&facts(3), ms(12_000)).0.contains(&Pass::Shared));
    }

    #[test]
    fn a_pass_never_runs_twice_at_once_and_what_came_meanwhile_is_not_lost() {
        let mut schedule = Schedule::new();
        schedule.turn(&facts(1), ms(0));
        assert_eq!(schedule.turn(&facts(1), ms(100)).0, [Pass::Contexts]);
        assert!(!schedule.turn(&facts(2), ms(500)).0.contains(&Pass::Contexts));
        schedule.done(Pass::Contexts);
        assert_eq!(schedule.turn(&facts(2), ms(700)).0, [Pass::Contexts]);
    }

    #[test]
    fn nothing_is_due_when_nothing_changed_until_the_regular_look() {
        let mut schedule = Schedule::new();
        schedule.turn(&facts(1), ms(0));
        schedule.turn(&facts(1), ms(2000));
        [Pass::Contexts, Pass::Shared, Pass::Look].into_iter().for_each(|pass| schedule.done(pass));
        let (started, next) = schedule.turn(&facts(1), ms(3000));
        assert!(started.is_empty());
        assert!((540..=660).contains(&next.as_secs()), "{next:?}");
        assert_eq!(schedule.turn(&facts(1), next).0, [Pass::Contexts, Pass::Shared, Pass::Look]);
    }

    #[test]
    fn who_takes_over_begins_at_once() {
        let mut schedule = Schedule::new();
        schedule.turn(&facts(1), ms(0));
        let leads = Facts { leads: true, ..facts(2) };
        assert_eq!(schedule.turn(&leads, ms(50)).0, [Pass::Contexts, Pass::Shared, Pass::Look]);
        assert!(schedule.turn(&leads, ms(60)).0.is_empty());
    }

    #[test]
    fn before_every_watch_has_spoken_nothing_starts() {
        let mut schedule = Schedule::new();
        let early = Facts { is_complete: false, ..facts(5) };
        assert!(schedule.turn(&early, ms(60_000)).0.is_empty());
    }

    #[test]
    fn failures_are_tried_again_without_spinning() {
        let mut schedule = Schedule::new();
        schedule.turn(&facts(1), ms(0));
        schedule.turn(&facts(1), ms(2000));
        [Pass::Contexts, Pass::Shared, Pass::Look].into_iter().for_each(|pass| schedule.done(pass));
        let failed = Facts { retry: Some(ms(10)), ..facts(1) };
        let (started, next) = schedule.turn(&failed, ms(2100));
        assert_eq!((started, next), (vec![], ms(3000)));
    }

    #[test]
    fn what_the_backend_has_starts_one_pass_over_the_contexts() {
        let mut schedule = Schedule::new();
        schedule.turn(&facts(1), ms(0));
        schedule.turn(&facts(1), ms(2000));
        [Pass::Contexts, Pass::Shared, Pass::Look].into_iter().for_each(|pass| schedule.done(pass));
        let has = Facts { clear: Some(ms(5000)), ..facts(1) };
        assert_eq!(schedule.turn(&has, ms(3000)), (vec![], ms(5000)));
        assert_eq!(schedule.turn(&has, ms(5000)).0, [Pass::Contexts]);
        schedule.done(Pass::Contexts);
        assert_eq!(schedule.turn(&facts(1), ms(6000)).0, []);
    }
}
