//! How insights are ordered. Scores are integers, so that the same question gives the same order everywhere.

use super::{InsightType, Review, reading};
use crate::time::{DAY, Millis};

/// What makes a term count less the more often a text has it, and how much the length of a text matters.
const K1: f64 = 1.2;
const B: f64 = 0.75;
/// How much a word counts in each part of an insight.
pub(super) const SUMMARY_WEIGHT: u32 = 3;
pub(super) const TAG_WEIGHT: u32 = 2;
pub(super) const RATIONALE_WEIGHT: u32 = 1;
/// Relevance is counted in these parts of one.
pub const RELEVANCE: u64 = 10_000;
/// What an insight of no relevance keeps.
const BASE: u64 = 3_000;
const FRESH: f64 = 65_536.0;
/// Scores are divided by this, so that they are exact in every language.
const SCALE: u64 = 1_000_000;

/// What a collection of texts is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Collection {
    /// How many there are.
    pub(super) texts: u64,
    /// Their weighted words, all together.
    pub(super) words: u64,
}

impl Collection {
    /// How much a term says that so many texts have.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn rarity(self, texts_with_it: u64) -> f64 {
        let (all, with) = (self.texts as f64, texts_with_it as f64);
        ((all - with + 0.5) / (with + 0.5)).ln_1p()
    }

    /// What a term of this rarity adds to a text that has it `count` times among `words`.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn bm25(self, rarity: f64, count: u32, words: u32) -> f64 {
        let mean = (self.words as f64 / self.texts.max(1) as f64).max(1.0);
        let count = f64::from(count);
        rarity * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * f64::from(words) / mean))
    }
}

/// A relevance in parts of [`RELEVANCE`], of the sum that a text reached and the one that the question itself would reach.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10,000")]
pub(super) fn relevance(sum: f64, own: f64) -> u64 {
    if own <= 0.0 { 0 } else { ((sum / own).clamp(0.0, 1.0) * RELEVANCE as f64).round() as u64 }
}

/// What a score is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    /// How well the scope fits, in thousandths.
    pub(super) scope: u64,
    pub(super) relevance: u64,
    pub(super) insight_type: InsightType,
    /// Whether it waits for the one who asks, or stops the work.
    pub(super) is_urgent: bool,
    pub(super) review: Review,
    pub(super) confidence: Option<f64>,
    pub(super) updated: Millis,
}

impl Factors {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "each factor is between 0 and its scale"
    )]
    pub(super) fn score(self, as_of: Millis) -> u64 {
        let confidence =
            (self.confidence.unwrap_or_else(|| unsaid(self.insight_type)).clamp(0.0, 1.0) * 1_000.0).round();
        let days = u32::try_from((as_of.0 - self.updated.0).max(0) / DAY).unwrap_or(u32::MAX);
        let age = (-f64::from(days) / f64::from(reading::half_life(self.insight_type))).exp2();
        let settled = if self.review == Review::Confirmed { 2 } else { 1 };
        let weight = self.scope * (BASE + self.relevance) * self.type_weight() * settled;
        weight * (confidence as u64) / SCALE * ((age * FRESH).round() as u64)
    }

    /// In tenths.
    fn type_weight(self) -> u64 {
        if self.is_urgent { 30 } else { weight(self.insight_type) }
    }
}

/// How much an insight counts for its type, in tenths, where it is not urgent.
pub fn weight(insight_type: InsightType) -> u64 {
    match insight_type {
        InsightType::Decision => 20,
        InsightType::Lesson | InsightType::Risk => 15,
        _ => 10,
    }
}

/// How sure an insight counts that does not say it: what claims nothing needs no confidence.
fn unsaid(insight_type: InsightType) -> f64 {
    use InsightType::{Blocker, Handoff, Progress, Question};
    if matches!(insight_type, Question | Blocker | Handoff | Progress) { 1.0 } else { 0.5 }
}
