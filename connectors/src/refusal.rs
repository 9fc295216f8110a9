//! Lists that the tool refuses to serve: when a refusal is believed, and what follows.
//!
//! A refusal (HTTP 401 or 403) may pass, like that of a firewall, and what is exported without the names in a list lacks them for good. So
//! a refusal is confirmed before it is believed. A list that was never read is then left out, since the token may have no right to it,
//! and is asked for again after growing pauses ([`LeftOut`]). One that was read before, or that every token may read, is asked for
//! on each run, and for a day nothing is exported without it ([`GRACE`]).

use contextcore_core::ingest::connector::Page;
use contextcore_core::model::time::DAY;
use contextcore_core::{Error, ErrorKind, Millis, Result};
use serde::{Deserialize, Serialize};

/// How long a list that was read before may be refused until it is done without.
pub(crate) const GRACE: i64 = DAY;

/// A list that is refused and was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftOut {
    /// Since when it is refused.
    since: Millis,
    /// When it was asked for last.
    asked: Millis,
}

impl LeftOut {
    /// It is refused now, as it may have been before.
    pub(crate) fn note(before: Option<Self>, now: Millis) -> Self {
        Self { since: before.map_or(now, |before| before.since), asked: now }
    }

    /// Whether to ask for it again.
    pub(crate) fn is_due(self, now: Millis) -> bool {
        now.0 - self.asked.0 >= pause(self.since, self.asked)
    }
}

/// How long to wait before asking again for what is refused since a moment and was asked for now: until the next run, then twice as
/// long each time, a day at most.
pub(crate) fn pause(since: Millis, now: Millis) -> i64 {
    (now.0 - since.0).clamp(1, DAY)
}

/// Whether the tool refuses to serve something: the token lacks the right to it, or a scope.
pub(crate) fn is_refused(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Permission | ErrorKind::Auth)
}

/// Asks for a list. A refusal counts only if it is repeated, also after the tool was seen to serve something else.
///
/// # Errors
/// As the last of `ask`, and as `probe`.
pub(crate) async fn confirmed<T, A, P>(ask: impl Fn() -> A, probe: impl FnOnce() -> P) -> Result<T>
where
    A: Future<Output = Result<T>>,
    P: Future<Output = Result<()>>,
{
    let refused = |answer: &Result<T>| answer.as_ref().is_err_and(is_refused);
    let mut answer = ask().await;
    if refused(&answer) {
        answer = ask().await;
    }
    if refused(&answer) {
        probe().await?;
        answer = ask().await;
    }
    answer
}

/// What a run says of lists that were left out.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// What people should know.
    pub(crate) warnings: Vec<String>,
    /// Why nothing is exported for now.
    pub(crate) withheld: Vec<String>,
}

impl Notes {
    /// Notes that a list which was read before is refused since a moment.
    pub(crate) fn refused_since(&mut self, since: Millis, now: Millis, text: String) {
        let notes = if now.0 - since.0 < GRACE { &mut self.withheld } else { &mut self.warnings };
        notes.push(text);
    }

    /// Adds what is to be said of others.
    pub(crate) fn append(&mut self, mut others: Self) {
        self.warnings.append(&mut others.warnings);
        self.withheld.append(&mut others.withheld);
    }

    /// Says it with a page.
    pub(crate) fn add_to(&mut self, page: &mut Page) {
        page.warnings.append(&mut self.warnings);
        page.withheld.append(&mut self.withheld);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Asks a tool that answers as scripted: whether it serves, or refuses. Returns the answer and how often it was asked.
    async fn ask(script: &[bool], probe: bool) -> (Result<()>, usize) {
        let asked = RefCell::new(script.iter());
        let answer = |serves: bool| if serves { Ok(()) } else { Err(Error::new(ErrorKind::Permission, "no")) };
        let answered = confirmed(
            || std::future::ready(answer(*asked.borrow_mut().next().unwrap())),
            || std::future::ready(answer(probe).map_err(|_| Error::new(ErrorKind::Auth, "nobody"))),
        );
        (answered.await, script.len() - asked.borrow().len())
    }

    #[tokio::test]
    async fn a_refusal_is_believed_when_it_is_repeated_while_the_tool_serves_others() {
        let kind = |answer: Result<()>| answer.err().map(|error| error.kind());
        for (script, probe, expected, asked) in [
            (&[true][..], true, None, 1),
            (&[false, true], true, None, 2),
            (&[false, false, true], true, None, 3),
            (&[false, false, false], true, Some(ErrorKind::Permission), 3),
            (&[false, false], false, Some(ErrorKind::Auth), 2),
        ] {
            let (answer, count) = ask(script, probe).await;
            assert_eq!((kind(answer), count), (expected, asked), "{script:?}");
        }
    }

    #[test]
    fn a_list_that_was_never_read_is_asked_for_again_after_growing_pauses() {
        let minute = 60_000;
        let mut left_out = LeftOut::note(None, Millis(0));
        let mut asked = Vec::new();
        for run in 0..6 * 24 * 12 {
            let now = Millis(run * 5 * minute);
            if left_out.is_due(now) {
                left_out = LeftOut::note(Some(left_out), now);
                asked.push(run);
            }
        }
        assert_eq!(asked[..8], [1, 2, 4, 8, 16, 32, 64, 128]);
        assert_eq!(asked[10] - asked[9], 24 * 12, "once a day in the end");
    }

    #[test]
    fn a_list_that_was_read_before_holds_back_for_a_day() {
        let mut notes = Notes::default();
        notes.refused_since(Millis(0), Millis(GRACE - 1), "cycles".into());
        assert_eq!((notes.withheld.len(), notes.warnings.len()), (1, 0));
        notes.refused_since(Millis(0), Millis(GRACE), "cycles".into());
        assert_eq!((notes.withheld.len(), notes.warnings.len()), (1, 1));
    }
}
