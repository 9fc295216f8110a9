//! What is remembered of an agent from one call to the next, and from one process to the next: how much it wrote lately, and which
//! untrusted text it read. Without that, a client would only have to start the server again. Pure.

use std::collections::VecDeque;

use contextcore_core::Millis;
use contextcore_core::model::time::{DAY, HOUR};
use serde::{Deserialize, Serialize};

/// How often an agent may write in an hour, and in a day.
const A_HOUR: usize = 60;
const A_DAY: usize = 500;

/// What is remembered of an agent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Memory {
    /// When it wrote in the last day, in milliseconds.
    writes: VecDeque<Millis>,
    /// The task whose untrusted text was served to it last, and when.
    untrusted: Option<(String, Millis)>,
}

impl Memory {
    /// What was remembered in another process.
    pub(crate) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As another process reads it.
    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Counts a write, or says why there may be none now.
    pub(crate) fn count(&mut self, now: Millis) -> Result<(), String> {
        while self.writes.front().is_some_and(|at| now.0 - at.0 >= DAY) {
            self.writes.pop_front();
        }
        let lately = self.writes.iter().filter(|at| now.0 - at.0 < HOUR).count();
        let refused = |most: usize, period: &str| {
            Err(format!("this agent has written {most} times in {period}, which is the limit; go on later"))
        };
        match (lately >= A_HOUR, self.writes.len() >= A_DAY) {
            (true, _) => refused(A_HOUR, "an hour"),
            (_, true) => refused(A_DAY, "a day"),
            _ => {
                self.writes.push_back(now);
                Ok(())
            }
        }
    }

    /// Untrusted text of a task was served to it.
    pub(crate) fn taint(&mut self, task: &str, now: Millis) {
        self.untrusted = Some((task.to_owned(), now));
    }

    /// The task whose untrusted text was served to it within a day.
    pub(crate) fn tainted_by(&self, now: Millis) -> Option<String> {
        self.untrusted.as_ref().filter(|(_, at)| now.0 - at.0 < DAY).map(|(task, _)| task.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_may_write_60_times_an_hour_and_500_times_a_day() {
        let mut memory = Memory::default();
        let now = Millis(1_000_000);
        assert!((0..60).all(|_| memory.count(now).is_ok()));
        assert!(memory.count(now).is_err_and(|why| why.contains("60 times in an hour")));
        let mut elsewhere = Memory::read(&memory.text()).unwrap();
        assert!(elsewhere.count(now).is_err(), "another process counts on");
        assert!(memory.count(now.plus(HOUR)).is_ok());
        for hour in 2..11 {
            for _ in 0..60 {
                drop(memory.count(now.plus(hour * HOUR)));
            }
        }
        assert!(memory.count(now.plus(11 * HOUR)).is_err_and(|why| why.contains("500 times in a day")));
        assert!(memory.count(now.plus(40 * HOUR)).is_ok());
    }

    #[test]
    fn untrusted_text_is_remembered_for_a_day() {
        let (mut memory, now) = (Memory::default(), Millis(1_000_000));
        memory.taint("A-1", now);
        let memory = Memory::read(&memory.text()).unwrap();
        assert_eq!(memory.tainted_by(now.plus(DAY - 1)).as_deref(), Some("A-1"));
        assert_eq!(memory.tainted_by(now.plus(DAY)), None);
        assert!(Memory::read("{").is_none());
    }
}
