//! Which change of an insight is allowed. Every reader enforces it, because reports come from anywhere in any order.

use serde::{Deserialize, Serialize};

use super::{InsightStatus, InsightType};
use crate::string_enum;

string_enum! {
    /// What can be done with an insight.
    InsightAction {
        /// An agent answers a question.
        SuggestAnswer = "suggest_answer",
        /// A question is answered; by an agent it is a suggestion.
        Answer = "answer",
        /// The answer is not needed any more.
        Withdraw = "withdraw",
        /// It is taken back.
        Retract = "retract",
        /// A blocker or risk is over.
        Resolve = "resolve",
        /// Something was done about a risk.
        Mitigate = "mitigate",
        /// A risk is lived with.
        AcceptRisk = "accept_risk",
        /// What might go wrong did.
        Occurred = "occurred",
        /// A handoff is taken over.
        Accept = "accept",
        /// The work that was handed over is done.
        Complete = "complete",
        /// A handoff is declined.
        Reject = "reject",
        /// It held.
        Confirm = "confirm",
        /// It did not hold.
        Contradict = "contradict",
        /// Its time is over.
        Expire = "expire",
    }
}

use InsightAction as Do;
use InsightStatus as Is;
use InsightType as Type;

/// The state that an insight of a type begins with.
pub const fn first(insight_type: InsightType) -> InsightStatus {
    match insight_type {
        Type::Decision | Type::Recommendation | Type::Lesson | Type::Discovery => Is::Active,
        Type::Question | Type::Blocker | Type::Risk => Is::Open,
        Type::Handoff => Is::Offered,
        Type::Progress | Type::Analysis => Is::Noted,
    }
}

/// Whether an insight is listed when nobody asks for a state: it holds, or waits for somebody.
pub const fn is_open(insight_type: InsightType, status: InsightStatus) -> bool {
    match insight_type {
        Type::Handoff => matches!(status, Is::Offered | Is::Accepted),
        _ => matches!(status, Is::Active | Is::Open),
    }
}

/// Whether something can still become of an insight.
pub const fn is_live(insight_type: InsightType, status: InsightStatus) -> bool {
    is_open(insight_type, status) || matches!(status, Is::Suggested | Is::Noted)
}

/// Whether time ends an insight in this state.
pub const fn can_expire(insight_type: InsightType, status: InsightStatus) -> bool {
    match insight_type {
        Type::Decision | Type::Recommendation | Type::Lesson | Type::Discovery => matches!(status, Is::Active),
        Type::Question => matches!(status, Is::Open | Is::Suggested),
        Type::Handoff => matches!(status, Is::Offered | Is::Accepted),
        Type::Blocker | Type::Risk | Type::Progress | Type::Analysis => false,
    }
}

/// Whether another insight of the type can replace one.
pub const fn can_be_superseded(insight_type: InsightType) -> bool {
    matches!(insight_type, Type::Decision | Type::Recommendation)
}

/// Whether an insight claims something that can hold or not.
const fn is_claim(insight_type: InsightType) -> bool {
    !matches!(insight_type, Type::Question | Type::Blocker | Type::Handoff | Type::Progress)
}

/// The states of a type, the first first.
pub const fn states(insight_type: InsightType) -> &'static [InsightStatus] {
    match insight_type {
        Type::Decision | Type::Recommendation => &[Is::Active, Is::Superseded, Is::Retracted, Is::Expired],
        Type::Lesson | Type::Discovery => &[Is::Active, Is::Retracted, Is::Expired],
        Type::Question => &[Is::Open, Is::Suggested, Is::Answered, Is::Withdrawn, Is::Expired],
        Type::Blocker => &[Is::Open, Is::Resolved, Is::Retracted],
        Type::Risk => &[Is::Open, Is::Resolved, Is::Mitigated, Is::Accepted, Is::Occurred, Is::Retracted],
        Type::Handoff => &[Is::Offered, Is::Accepted, Is::Completed, Is::Rejected, Is::Retracted, Is::Expired],
        Type::Progress | Type::Analysis => &[Is::Noted, Is::Retracted],
    }
}

/// The state after an action; `by_person` when a person did it.
///
/// # Errors
/// Why it is not allowed.
pub fn after(
    insight_type: InsightType,
    status: InsightStatus,
    action: InsightAction,
    by_person: bool,
) -> Result<InsightStatus, String> {
    next(insight_type, status, action, by_person).ok_or_else(|| refusal(insight_type, status, action))
}

const fn next(kind: InsightType, now: InsightStatus, action: InsightAction, by_person: bool) -> Option<InsightStatus> {
    Some(match (kind, now, action) {
        (_, _, Do::Confirm | Do::Contradict) if is_claim(kind) && is_live(kind, now) => now,
        (Type::Question, Is::Open | Is::Suggested, Do::Answer) if by_person => Is::Answered,
        (Type::Question, Is::Open | Is::Suggested, Do::Answer | Do::SuggestAnswer) => Is::Suggested,
        (Type::Question, Is::Open | Is::Suggested, Do::Withdraw | Do::Retract) => Is::Withdrawn,
        (Type::Blocker | Type::Risk, Is::Open, Do::Resolve) => Is::Resolved,
        (Type::Risk, Is::Open, Do::Mitigate) => Is::Mitigated,
        (Type::Risk, Is::Open, Do::AcceptRisk) => Is::Accepted,
        (Type::Risk, Is::Open, Do::Occurred) => Is::Occurred,
        (Type::Handoff, Is::Offered, Do::Accept) => Is::Accepted,
        (Type::Handoff, Is::Accepted, Do::Complete) => Is::Completed,
        (Type::Handoff, Is::Offered | Is::Accepted, Do::Reject) => Is::Rejected,
        // What an agent said can be undone, whatever it is.
        (_, _, Do::Retract) if is_live(kind, now) => Is::Retracted,
        (_, _, Do::Expire) if can_expire(kind, now) => Is::Expired,
        _ => return None,
    })
}

fn refusal(insight_type: InsightType, status: InsightStatus, action: InsightAction) -> String {
    let allowed = states(insight_type).iter().filter(|from| next(insight_type, **from, action, true).is_some());
    let from: Vec<&str> = allowed.map(|from| from.as_str()).collect();
    if from.is_empty() {
        return format!("{action} is nothing that can be done with a {insight_type}");
    }
    format!("{action} is allowed while a {insight_type} is {}; this one is {status}", from.join(" or "))
}
