//! Puts what says something new before what says the same again. Agents record a thing more than once, in slightly other words; a short
//! list of the best ones would then say one thing ten times.

use std::collections::BTreeSet;

use contextcore_core::model::insight::search::weight;
use contextcore_core::query::FoundInsight;

/// How much of its score an insight loses that has all its words in common with one before it.
const SAME: f64 = 0.5;

/// The best ones first, each counted less the more it has in common with those before it. Those of one list answer a question whatever
/// their type, so that the weight of their types is taken out.
pub(super) fn ordered(found: Vec<FoundInsight>) -> Vec<FoundInsight> {
    let mut left: Vec<Candidate> = found.into_iter().map(Candidate::of).collect();
    let mut ordered: Vec<FoundInsight> = Vec::with_capacity(left.len());
    while let Some(place) = best(&left) {
        let chosen = left.remove(place);
        for other in &mut left {
            other.common = other.common.max(common(&chosen.words, &other.words));
        }
        ordered.push(chosen.found);
    }
    ordered
}

struct Candidate {
    found: FoundInsight,
    words: BTreeSet<String>,
    /// The largest part of its words that one before it has.
    common: f64,
}

impl Candidate {
    fn of(found: FoundInsight) -> Self {
        let words = found.insight.summary.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 3);
        let words = words.map(str::to_lowercase).collect();
        Self { found, words, common: 0.0 }
    }

    #[expect(clippy::cast_precision_loss, reason = "an order, not a sum")]
    fn worth(&self) -> f64 {
        let score = self.found.score / weight(self.found.insight.insight_type);
        score as f64 * (1.0 - SAME * self.common)
    }
}

/// The first of those that are worth most.
fn best(left: &[Candidate]) -> Option<usize> {
    let better = |one: usize, other: usize| if left[other].worth() > left[one].worth() { other } else { one };
    (0..left.len()).reduce(better)
}

#[expect(clippy::cast_precision_loss, reason = "words of a sentence")]
fn common(one: &BTreeSet<String>, other: &BTreeSet<String>) -> f64 {
    let least = one.len().min(other.len()).max(1);
    one.intersection(other).count() as f64 / least as f64
}
