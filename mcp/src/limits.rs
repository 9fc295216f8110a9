//! How much an agent may write: 60 times an hour and 500 times a day. Pure.

use std::collections::{BTreeMap, VecDeque};

use contextcore_core::Millis;
use contextcore_core::model::time::{DAY, HOUR};

const A_HOUR: usize = 60;
const A_DAY: usize = 500;

/// The writes of every agent in the last day.
#[derive(Debug, Default)]
pub(crate) struct Writes(BTreeMap<String, VecDeque<Millis>>);

impl Writes {
    /// Counts a write, or says why there may be none now.
    pub(crate) fn count(&mut self, agent: &str, now: Millis) -> Result<(), String> {
        let times = self.0.entry(agent.to_owned()).or_default();
        while times.front().is_some_and(|at| now.0 - at.0 >= DAY) {
            times.pop_front();
        }
        let lately = times.iter().filter(|at| now.0 - at.0 < HOUR).count();
        let refused = |most: usize, period: &str| {
            Err(format!("this agent has written {most} times in {period}, which is the limit; go on later"))
        };
        match (lately >= A_HOUR, times.len() >= A_DAY) {
            (true, _) => refused(A_HOUR, "an hour"),
            (_, true) => refused(A_DAY, "a day"),
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_may_write_60_times_an_hour_and_500_times_a_day() {
        let mut writes = Writes::default();
        let now = Millis(1_000_000);
        assert!((0..60).all(|_| writes.count("a", now).is_ok()));
        assert!(writes.count("a", now).is_err_and(|why| why.contains("60 times in an hour")));
        assert!(writes.count("b", now).is_ok());
        assert!(writes.count("a", now.plus(HOUR)).is_ok());
        for hour in 2..11 {
            for _ in 0..60 {
                drop(writes.count("a", now.plus(hour * HOUR)));
            }
        }
        assert!(writes.count("a", now.plus(11 * HOUR)).is_err_and(|why| why.contains("500 times in a day")));
        assert!(writes.count("a", now.plus(40 * HOUR)).is_ok());
    }
}
