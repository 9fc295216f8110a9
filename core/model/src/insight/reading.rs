//! What time and others do to an insight when it is read: nothing runs when one expires.

use super::{Insight, InsightStatus, InsightType, Review, lifecycle};
use crate::time::{DAY, Millis};

/// How long a handoff is offered, if nothing else was said.
pub const OFFERED_FOR: i64 = 7 * DAY;
/// How long what claims something is kept open that nobody asked for and nobody stands behind.
pub const UNUSED_FOR: i64 = 90 * DAY;
/// A lesson or discovery that is less sure is listed only if asked for.
pub const LEAST_CONFIDENCE: f64 = 0.3;

/// The state at a moment, given the one that reports led to.
pub fn status_at(
    insight_type: InsightType,
    status: InsightStatus,
    expires_at: Option<Millis>,
    now: Millis,
) -> InsightStatus {
    let is_over = expires_at.is_some_and(|end| end <= now) && lifecycle::can_expire(insight_type, status);
    if is_over { InsightStatus::Expired } else { status }
}

/// How sure an insight is that began with `given`, after others said that it held or did not: for lessons and discoveries
/// the mean of a beta distribution.
pub fn confidence(insight_type: InsightType, given: Option<f64>, confirmed: u64, contradicted: u64) -> Option<f64> {
    if !matches!(insight_type, InsightType::Lesson | InsightType::Discovery) || confirmed + contradicted == 0 {
        return given;
    }
    #[expect(clippy::cast_precision_loss, reason = "votes are few")]
    let (held, all) = (confirmed as f64, (confirmed + contradicted) as f64);
    let mean = (2.0 * given.unwrap_or(0.5) + held) / (2.0 + all);
    Some((mean * 10_000.0).round() / 10_000.0)
}

/// Whether a lesson or discovery is too doubtful to be listed unless it is asked for.
pub fn is_doubtful(insight_type: InsightType, confidence: Option<f64>) -> bool {
    matches!(insight_type, InsightType::Lesson | InsightType::Discovery)
        && confidence.is_some_and(|confidence| confidence < LEAST_CONFIDENCE)
}

/// Days after which an insight counts half.
pub const fn half_life(insight_type: InsightType) -> u32 {
    match insight_type {
        InsightType::Decision => 180,
        InsightType::Lesson => 365,
        _ => 30,
    }
}

impl Insight {
    /// The insight as it is read at a moment.
    #[must_use]
    pub fn at(mut self, now: Millis) -> Self {
        self.status = status_at(self.insight_type, self.status, self.ends(), now);
        self
    }

    /// When it stops to hold: at the time it was given, or because nobody ever asked for it.
    pub fn ends(&self) -> Option<Millis> {
        use InsightType::{Decision, Discovery, Lesson, Recommendation};
        let is_claim = matches!(self.insight_type, Decision | Recommendation | Lesson | Discovery);
        let is_unused = is_claim && self.served == Some(0) && self.review == Review::Unreviewed;
        let unused = is_unused.then(|| self.updated.plus(UNUSED_FOR));
        self.expires_at.into_iter().chain(unused).min()
    }

    /// Whether something can still become of it.
    pub fn is_waiting(&self) -> bool {
        lifecycle::is_live(self.insight_type, self.status) && self.status != InsightStatus::Noted
    }

    /// Whether it is listed when nobody asks for a state.
    pub fn is_open(&self) -> bool {
        lifecycle::is_open(self.insight_type, self.status) && !is_doubtful(self.insight_type, self.confidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_of_lessons_moves_with_votes() {
        let lesson = |given, held, not| confidence(InsightType::Lesson, given, held, not);
        assert_eq!(lesson(Some(0.9), 0, 0), Some(0.9));
        assert_eq!(lesson(Some(0.9), 1, 0), Some(0.9333));
        assert_eq!(lesson(Some(0.9), 0, 5), Some(0.2571));
        assert_eq!(lesson(None, 1, 0), Some(0.6667));
        assert_eq!(confidence(InsightType::Decision, Some(0.9), 0, 5), Some(0.9));
    }

    #[test]
    fn what_is_over_is_expired_where_that_state_exists() {
        let at = |kind, status, now| status_at(kind, status, Some(Millis(10)), Millis(now));
        assert_eq!(at(InsightType::Decision, InsightStatus::Active, 9), InsightStatus::Active);
        assert_eq!(at(InsightType::Decision, InsightStatus::Active, 10), InsightStatus::Expired);
        assert_eq!(at(InsightType::Decision, InsightStatus::Retracted, 10), InsightStatus::Retracted);
        assert_eq!(at(InsightType::Blocker, InsightStatus::Open, 10), InsightStatus::Open);
    }
}
