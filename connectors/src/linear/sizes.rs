//! What queries cost, and how much one request asks for.
//!
//! Linear charges a query before it runs it: 0.1 for a scalar, 1 for an object, and a list multiplies what is asked of
//! its rows by `first`, whether there are so many rows or not. One query may cost 10,000, and an hour has a quota of points
//! (250,000 of an older personal key) beside one of requests. So the plan for 1,000 issues with 20 acts each is:
//!
//! - 4 requests for 250 ids each (470 points each): which issues there are, newest change first;
//! - about 26 requests for [`Price::most`] issues each, with the first 20 or so acts of their history, 8 spans of their state
//!   history, 2 links and 1 or 2 comments: about 210 points an issue;
//! - a few for the rests of long lists, many lists a request ([`List`]);
//! - 1 for reference data (2,050 points), 1 for cycles, projects, initiatives and attachments (3,800 points).
//!
//! Together about 35 requests and 220,000 points. [`Sizes`] chooses how many acts, spans and comments to ask for from the lengths
//! met so far, so that issues with little history cost little; a query refused as too complex halves the page at once, and that is kept.

use serde::{Deserialize, Serialize};

use super::wire::List;

/// What one query of ours may cost. The rest of the 10,000 is air: were the page infos of lists charged for every row, which the
/// documentation leaves open, an issue would cost a sixth more.
const MOST: f64 = 8_200.0;
/// What anybody's query may cost.
#[cfg(test)]
const LIMIT: f64 = 10_000.0;

/// Rows of a page of ids.
pub(super) const IDS: u32 = 250;
/// Issues that are read for one page of records: the rests of their long lists are asked for together.
pub(super) const BATCH: usize = 500;
/// Rows of the first page of ids of a sweep that will mostly find nothing.
pub(super) const PROBE: u32 = 25;
/// Rows of what changed beside the issues.
pub(super) const SIDES: u32 = 25;
/// Links to an issue that come with it.
pub(super) const LINKS: u32 = 2;
/// Rows of a page of the plan, on a first sweep and later.
pub(super) const PLAN: u32 = 100;
pub(super) const PLAN_PROBE: u32 = 25;
/// Lists of a request for rests at most.
const RESTS: usize = 250;

/// The prices of rows, as the documents ask for them. `connectors/tests/linear.rs` compares them with what the fake charges.
const ACT: f64 = 8.2;
const SPAN: f64 = 1.3;
const LINK: f64 = 3.5;
const COMMENT: f64 = 2.4;
/// What it costs to know whether a list has another page.
const PAGE_INFO: f64 = 1.2;
/// An issue without its lists; the page infos of those that are always asked for are included.
const ISSUE: f64 = 18.3;

const WHOAMI: f64 = 4.0;
pub(super) const REFERENCE: f64 = 2_050.0;

/// What it costs to ask who we are, and which of so many teams we may see.
pub(super) fn whoami(teams: usize) -> f64 {
    WHOAMI + 1.1 * teams as f64
}

/// What a list costs that is asked for by itself.
const LIST: f64 = 2.5;

/// The first pages that are tried.
const CHOICES: [u32; 9] = [4, 8, 12, 16, 20, 25, 30, 40, 50];
/// The same for comments: most issues have few, and each that is asked for is paid for.
const FEW: [u32; 7] = [1, 2, 4, 8, 12, 20, 30];
/// Acts, spans and comments that are taken for granted before any were met.
const USUAL_ACTS: u32 = 20;
const USUAL_SPANS: u32 = 8;
const USUAL_COMMENTS: u32 = 2;
/// Lengths that are remembered.
const REMEMBERED: usize = 200;
/// Issues of one request at most: more would make answers that are long to wait for.
const MOST_ISSUES: u32 = 100;

/// A page of changed issues with what changed beside them.
pub(super) fn changed(first: u32) -> f64 {
    f64::from(first) * 1.4 + f64::from(SIDES) * (2.3 + 2.3) + 10.0
}

/// How much of the lists within a row of the plan is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    /// Teams of a project.
    pub(super) teams: u32,
    /// Initiatives of a project.
    pub(super) initiatives: u32,
    /// Projects of an initiative.
    pub(super) projects: u32,
    /// Teams of such a project.
    pub(super) project_teams: u32,
}

/// What nearly every project needs.
pub(super) const NARROW: Width = Width { teams: 5, initiatives: 2, projects: 2, project_teams: 2 };
/// What is asked for where such a list is full.
pub(super) const WIDE: Width = Width { teams: 250, initiatives: 50, projects: 50, project_teams: 5 };

impl Width {
    /// What a row of one list costs at most.
    fn row(&self, list: &str) -> f64 {
        let rows = match list {
            "projects" => self.teams + self.initiatives,
            "initiatives" => self.projects * (self.project_teams + 1),
            _ => 0,
        };
        f64::from(rows) * 1.1 + 40.0
    }

    /// What so many rows of one list cost at most.
    pub(super) fn price(&self, list: &str, rows: usize) -> f64 {
        f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) * self.row(list) + 10.0
    }

    /// How many rows of one list a request asks for.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 100")]
    pub(super) fn most(&self, list: &str) -> usize {
        ((MOST / self.row(list)) as u32).clamp(1, PLAN) as usize
    }
}

/// A page of the plan.
pub(super) fn plan(first: u32) -> f64 {
    f64::from(first) * 38.0 + 10.0
}

/// The rest of one list.
pub(super) fn rest(list: List, first: u32) -> f64 {
    let row = match list {
        List::History => ACT,
        List::Spans => SPAN,
        List::Links => LINK,
        List::Comments => COMMENT,
    };
    f64::from(first) * row + LIST
}

/// A price as the quota counts.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "prices are small and positive")]
pub(super) fn points(price: f64) -> u32 {
    price.ceil().clamp(0.0, 1e9) as u32
}

/// How much of each issue to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Price {
    /// Acts of the first page.
    pub(super) history: u32,
    /// Spans of states of the first page.
    pub(super) spans: u32,
    /// Comments of the first page; none where they are not read.
    pub(super) comments: Option<u32>,
    /// The most issues a request that was not refused may hold.
    cap: u32,
}

impl Price {
    fn of_issue(self) -> f64 {
        let comments = self.comments.map_or(0.0, |first| f64::from(first) * COMMENT + PAGE_INFO);
        ISSUE + f64::from(self.history) * ACT + f64::from(self.spans) * SPAN + f64::from(LINKS) * LINK + comments
    }

    /// What so many issues cost.
    pub(super) fn of(self, issues: usize) -> f64 {
        f64::from(u32::try_from(issues).unwrap_or(u32::MAX)) * self.of_issue() + 3.0
    }

    /// How many issues one request asks for.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 100")]
    pub(super) fn most(self) -> usize {
        ((MOST / self.of_issue()) as u32).clamp(1, self.cap.max(1)) as usize
    }
}

/// How long the lists of an issue are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths {
    pub(super) acts: usize,
    pub(super) spans: usize,
    pub(super) comments: usize,
}

/// What was learned about how much to ask for at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sizes {
    /// The lengths of the histories met last.
    acts: Vec<u16>,
    /// And of the sequences of states.
    spans: Vec<u16>,
    /// And of the comments, where they are read.
    comments: Vec<u16>,
    /// The most issues a request may hold.
    cap: u32,
    /// The most lists a request for rests may hold.
    rests: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { acts: Vec::new(), spans: Vec::new(), comments: Vec::new(), cap: MOST_ISSUES, rests: RESTS }
    }
}

impl Sizes {
    /// How much of each issue to ask for now.
    pub(super) fn price(&self, comments: bool) -> Price {
        let history = cheapest(&CHOICES, &self.acts, ACT).unwrap_or(USUAL_ACTS);
        let spans = cheapest(&CHOICES, &self.spans, SPAN).unwrap_or(USUAL_SPANS);
        let comments = comments.then(|| cheapest(&FEW, &self.comments, COMMENT).unwrap_or(USUAL_COMMENTS));
        Price { history, spans, comments, cap: self.cap }
    }

    /// Takes note of how long an issue's lists are.
    pub(super) fn met(&mut self, Lengths { acts, spans, comments }: Lengths) {
        let lists = [(&mut self.acts, acts), (&mut self.spans, spans), (&mut self.comments, comments)];
        for (lengths, length) in lists {
            if lengths.len() >= REMEMBERED {
                lengths.remove(0);
            }
            lengths.push(u16::try_from(length).unwrap_or(u16::MAX));
        }
    }

    /// A request for so many issues was too much.
    pub(super) fn halve(&mut self, issues: usize) {
        self.cap = u32::try_from(issues / 2).unwrap_or(MOST_ISSUES).max(1);
    }

    /// How many of these lists one request for so many rows of each holds.
    pub(super) fn rests(&self, lists: impl Iterator<Item = List>, first: u32) -> usize {
        let costs = lists.scan(0.0, |sum, list| {
            *sum += rest(list, first);
            Some(*sum)
        });
        costs.take_while(|cost| *cost <= MOST).count().clamp(1, self.rests.max(1))
    }

    /// A request for the rests of so many lists was too much.
    pub(super) fn halve_rests(&mut self, lists: usize) {
        self.rests = (lists / 2).max(1);
    }
}

/// The first page that would have been the cheapest for lists of these lengths, rests included. None when none was met.
fn cheapest(choices: &[u32], lengths: &[u16], row: f64) -> Option<u32> {
    let cost = |first: u32| -> f64 { lengths.iter().map(|length| charged(first, u32::from(*length), row)).sum() };
    let choices = choices.iter().copied().filter(|_| !lengths.is_empty());
    choices.min_by(|one, other| cost(*one).total_cmp(&cost(*other)))
}

/// What is paid to read a list of this length.
fn charged(first: u32, length: u32, row: f64) -> f64 {
    let mut charged = f64::from(first) * row;
    let (mut left, mut round) = (length.saturating_sub(first), 0);
    while left > 0 {
        let page = rows_of_round(round);
        charged += f64::from(page) * row + LIST;
        left = left.saturating_sub(page);
        round += 1;
    }
    charged
}

/// Rows asked of a list that goes on, growing with every round: most end soon, few are long.
pub(super) fn rows_of_round(round: u32) -> u32 {
    const ROUNDS: [u32; 6] = [10, 20, 50, 50, 100, 100];
    ROUNDS.get(round as usize).copied().unwrap_or(200)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(lengths: &[usize]) -> Sizes {
        let mut sizes = Sizes::default();
        lengths
            .iter()
            .cycle()
            .take(REMEMBERED + 50)
            .for_each(|length| sizes.met(Lengths { acts: *length, spans: *length / 3, comments: *length / 6 }));
        sizes
    }

    #[test]
    fn no_request_costs_more_than_one_may() {
        for lengths in [&[0][..], &[5], &[20], &[20, 60], &[500]] {
            for comments in [false, true] {
                let price = after(lengths).price(comments);
                let cost = price.of(price.most());
                assert!(cost <= LIMIT && (price.most() == 100 || cost > MOST * 0.85), "{price:?} costs {cost}");
            }
        }
        for first in (0..6).map(rows_of_round) {
            for list in [List::History, List::Spans, List::Links, List::Comments] {
                let lists = Sizes::default().rests(std::iter::repeat(list), first);
                let cost = f64::from(u32::try_from(lists).unwrap()) * rest(list, first);
                assert!(cost <= LIMIT, "{lists} lists {list:?} of {first} cost {cost}");
            }
        }
        assert!(plan(PLAN) <= LIMIT && changed(IDS) <= LIMIT);
    }

    #[test]
    fn a_thousand_issues_with_twenty_acts_stay_within_the_hourly_quotas() {
        let price = Sizes { comments: Vec::new(), ..after(&[20]) }.price(true);
        assert!(1_000_usize.div_ceil(price.most()) <= 26, "{}", price.most());
        let points = price.of(1_000) + 4.0 * changed(IDS) + REFERENCE + plan(PLAN);
        assert!(points < 250_000.0, "{points}");
    }

    #[test]
    fn the_first_page_follows_the_lists_met() {
        let first = |lengths: &[usize]| (after(lengths).price(false).history, after(lengths).price(false).spans);
        let none = Sizes::default().price(false);
        assert_eq!((none.history, none.spans), (USUAL_ACTS, USUAL_SPANS));
        assert_eq!(first(&[3]), (4, 4));
        assert_eq!(first(&[20]), (20, 8));
        assert_eq!(first(&[6, 6, 6, 6, 6, 6, 6, 18]).0, 8, "the one that is longer pays for itself");
        assert_eq!(first(&[45]).0, 16, "then 10 and then 20: nothing is paid in vain");
    }

    #[test]
    fn a_size_that_was_refused_is_not_requested_again() {
        let mut sizes = after(&[20]);
        let before = sizes.price(false).most();
        sizes.halve(before);
        assert_eq!(sizes.price(false).most(), before / 2);
        let mut one = sizes.clone();
        one.halve(1);
        assert_eq!(one.price(false).most(), 1);
        sizes.halve_rests(RESTS);
        assert_eq!(sizes.rests(std::iter::repeat(List::Spans), 4), RESTS / 2);
    }
}
