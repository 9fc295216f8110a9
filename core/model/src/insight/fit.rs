//! What the words of a question add up to in each insight.

use super::rank;

/// What the words of a question add up to, card by card. Of the words that stand for one asked word, the best counts.
pub(super) struct Sums {
    sums: Vec<Sum>,
    seen: Vec<u32>,
    /// What the question itself would reach, with the words that any card has.
    pub(super) own: f64,
    /// The same with all its words, and no others for them.
    pub(super) strict_own: f64,
    /// What a card would cover that has all of it.
    pub(super) all_covered: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    total: f64,
    covered: f64,
    strict: f64,
    best: f64,
    best_covered: f64,
}

/// How well a card fits a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// By its words and those like them, in parts of [`super::rank::RELEVANCE`].
    pub(super) fit: u64,
    /// By its very words, in the same parts.
    pub(super) relevance: u64,
    /// Which part of what the question asks for it has, from 0 to 1.
    pub(super) covered: f64,
}

impl Sums {
    /// Nothing yet, of so many cards.
    pub(super) fn new(cards: usize) -> Self {
        Self { sums: vec![Sum::default(); cards], seen: Vec::new(), own: 0.0, strict_own: 0.0, all_covered: 0.0 }
    }

    /// A card has a word that stands for the asked one.
    pub(super) fn see(&mut self, card: u32, says: f64, covered: f64, strict: f64) {
        let sum = &mut self.sums[card as usize];
        if sum.best == 0.0 {
            self.seen.push(card);
        }
        sum.best = sum.best.max(says);
        sum.best_covered = sum.best_covered.max(covered);
        sum.strict += strict;
    }

    /// All words that stand for an asked one were seen.
    pub(super) fn settle(&mut self) {
        for card in self.seen.drain(..) {
            let sum = &mut self.sums[card as usize];
            sum.total += std::mem::take(&mut sum.best);
            sum.covered += std::mem::take(&mut sum.best_covered);
        }
    }

    /// How well each card fits; `None` for one that has none of the words.
    pub(super) fn fits(self) -> Vec<Option<Fit>> {
        let of = |sum: &Sum| Fit {
            fit: rank::relevance(sum.total, self.own),
            relevance: rank::relevance(sum.strict, self.strict_own),
            covered: if self.all_covered > 0.0 { sum.covered / self.all_covered } else { 0.0 },
        };
        self.sums.iter().map(|sum| (sum.total > 0.0).then(|| of(sum))).collect()
    }
}
