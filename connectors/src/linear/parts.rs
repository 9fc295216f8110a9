//! Asking for many things where one may be bad: what fails is asked for again in halves, down to the one that fails by itself.
//! Pure: it decides what to ask for next, and what to blame.
//!
//! | what failed | then |
//! | --- | --- |
//! | several things at once | each half of them is asked for |
//! | one thing | once more, after a [probe](Next::Probe) that the tool serves anything |
//! | the same thing again | if it was refused, once more; a refusal may pass |
//! | the same thing again | it is [blamed](Next::Blame), the rest goes on |
//! | [`IN_A_ROW`] things in a row, and nothing came | [it was not their fault](Next::GiveUp) |

use contextcore_core::{Error, ErrorKind};

use super::dialect::{REASON, SCHEMA};

/// So many things are blamed without any that came in between.
const IN_A_ROW: usize = 8;

/// What is left to ask for.
#[derive(Debug)]
pub(super) struct Parts<T> {
    left: Vec<Part<T>>,
    blamed: usize,
}

/// Things to ask for at once.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    /// How often it was asked for before, if it is one thing.
    tried: u8,
}

/// What follows from a part that did not come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// Asking goes on.
    GoOn,
    /// First it is to be seen whether the tool serves anything.
    Probe,
    /// This cannot be had.
    Blame(T),
    /// Too much cannot be had for it to be the fault of each.
    GiveUp,
}

impl<T> Part<T> {
    /// Things that are asked for at once for the first time.
    pub(super) fn new(items: Vec<T>) -> Self {
        Self { items, tried: 0 }
    }
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { left: Vec::new(), blamed: 0 }
    }
}

impl<T> Parts<T> {
    /// Adds things to ask for at once, before all others.
    pub(super) fn push(&mut self, items: Vec<T>) {
        if !items.is_empty() {
            self.left.push(Part::new(items));
        }
    }

    /// The next things to ask for.
    pub(super) fn pop(&mut self) -> Option<Part<T>> {
        self.left.pop()
    }

    /// Everything that is left.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.left.drain(..).flat_map(|part| part.items)
    }

    /// Notes that something came.
    pub(super) fn came(&mut self) {
        self.blamed = 0;
    }

    /// Of a part these things did not come, for they were refused or for another reason: those of the part, or some of them.
    pub(super) fn failed(&mut self, part: &Part<T>, mut items: Vec<T>, refused: bool) -> Next<T> {
        if items.len() < part.items.len() {
            self.push(items);
            return Next::GoOn;
        }
        let half = items.split_off(items.len().div_ceil(2));
        if !half.is_empty() {
            self.push(half);
            self.push(items);
            return Next::GoOn;
        }
        let Some(item) = items.pop() else { return Next::GoOn };
        if part.tried == 0 || (refused && part.tried == 1) {
            self.left.push(Part { items: vec![item], tried: part.tried + 1 });
            return if part.tried == 0 { Next::Probe } else { Next::GoOn };
        }
        self.blamed += 1;
        if self.blamed > IN_A_ROW { Next::GiveUp } else { Next::Blame(item) }
    }
}

/// Whether a failure may be the fault of one of the things asked for: fewer of them may be served.
pub(super) fn may_be_one(error: &Error) -> bool {
    match error.kind() {
        ErrorKind::Unavailable | ErrorKind::Protocol | ErrorKind::NotFound | ErrorKind::Permission => true,
        ErrorKind::Rejected => error.context(REASON) != Some(SCHEMA),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for `count` things of which these are bad. What was blamed, how often was asked, and whether all was read.
    fn ask(count: usize, is_bad: impl Fn(usize) -> bool) -> (Vec<usize>, usize, bool) {
        let mut parts = Parts::default();
        parts.push((0..count).collect());
        let (mut blamed, mut asked) = (Vec::new(), 0);
        while let Some(part) = parts.pop() {
            asked += 1;
            if !part.items.iter().any(|item| is_bad(*item)) {
                parts.came();
                continue;
            }
            let items = part.items.clone();
            match parts.failed(&part, items, false) {
                Next::Blame(item) => blamed.push(item),
                Next::GiveUp => return (blamed, asked, false),
                Next::GoOn | Next::Probe => {}
            }
        }
        (blamed, asked, true)
    }

    #[test]
    fn the_bad_one_is_found_with_few_requests() {
        let (blamed, asked, done) = ask(32, |item| item == 11);
        assert_eq!((blamed, done), (vec![11], true));
        assert!(asked <= 12, "{asked}");
        assert_eq!(ask(5, |item| item % 2 == 0).0, [0, 2, 4]);
        assert_eq!(ask(1, |_| true), (vec![0], 2, true));
    }

    #[test]
    fn when_nothing_comes_it_is_nobodys_fault() {
        let (blamed, _, done) = ask(40, |_| true);
        assert_eq!((blamed.len(), done), (IN_A_ROW, false));
    }

    #[test]
    fn those_of_a_part_that_did_not_come_are_asked_for_without_the_others() {
        let mut parts = Parts::default();
        parts.push(vec![1, 2, 3]);
        let part = parts.pop().unwrap();
        assert_eq!(parts.failed(&part, vec![2], false), Next::GoOn);
        let part = parts.pop().unwrap();
        assert_eq!(part.items, [2]);
        assert_eq!(parts.failed(&part, vec![2], false), Next::Probe);
        let part = parts.pop().unwrap();
        assert_eq!(parts.failed(&part, vec![2], false), Next::Blame(2));
    }

    #[test]
    fn a_refused_token_and_a_changed_schema_are_no_fault_of_one() {
        assert!(may_be_one(&Error::new(ErrorKind::Rejected, "Entity not found")));
        assert!(!may_be_one(&Error::new(ErrorKind::Rejected, "Cannot query").with(REASON, SCHEMA)));
        for kind in [ErrorKind::Auth, ErrorKind::RateLimited, ErrorKind::Config] {
            assert!(!may_be_one(&Error::new(kind, "no")));
        }
    }
}
