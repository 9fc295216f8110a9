//! `contextcore insight …`, `handoff …`, `answer`, `questions` and `handoffs`: what agents and people decided, learned, ask and hand
//! over.
//!
//! What is reported goes to the spool, with no store and in milliseconds: [`fields`] makes an insight of what was typed, [`emit`]
//! and [`change`] record. What is read comes from the stores of this machine: [`source`] asks them, [`find`], [`show`] and [`export`]
//! print. [`review`] does both.

mod change;
mod emit;
mod export;
mod fields;
mod find;
mod review;
mod show;
mod source;

use crate::app::Context;
use crate::args::{Answer, Handoff, Handoffs, Insight, Questions};
use crate::failure::Outcome;

/// `contextcore insight …`.
pub(crate) async fn run(context: &Context, command: Insight) -> Outcome {
    match command {
        Insight::Emit(emit) => emit::run(context, "insight emit", *emit),
        Insight::Query(find) => find::query(context, find).await,
        Insight::Show(arguments) => show::run(context, &arguments).await,
        Insight::Answer(answer) => change::answer(context, "insight answer", answer).await,
        Insight::Retract(change) => change::run(context, "insight retract", "retract", change).await,
        Insight::Update(update) => change::run(context, "insight update", &update.action, update.change).await,
        Insight::Review(arguments) => review::run(context, arguments).await,
        Insight::Revert(arguments) => review::revert(context, arguments).await,
        Insight::Export(arguments) => export::run(context, &arguments).await,
    }
}

/// `contextcore handoff …`.
pub(crate) async fn handoff(context: &Context, command: Handoff) -> Outcome {
    match command {
        Handoff::Create(offer) => emit::run(context, "handoff create", offer.emit()),
        Handoff::Accept(change) => change::run(context, "handoff accept", "accept", change).await,
        Handoff::Complete(change) => change::run(context, "handoff complete", "complete", change).await,
        Handoff::Reject(change) => change::run(context, "handoff reject", "reject", change).await,
    }
}

/// `contextcore answer`.
pub(crate) async fn answer(context: &Context, answer: Answer) -> Outcome {
    change::answer(context, "answer", answer).await
}

/// `contextcore questions`.
pub(crate) async fn questions(context: &Context, arguments: Questions) -> Outcome {
    find::questions(context, arguments).await
}

/// `contextcore handoffs`.
pub(crate) async fn handoffs(context: &Context, arguments: Handoffs) -> Outcome {
    find::handoffs(context, arguments).await
}
