//! Comments as a connector reads them, compared with those that were written in the world.

use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::Change;
use contextcore_core::model::observation::TaskObservation;
use contextcore_fakes::world::Comment;

/// Compares the comments of a task with those of the world's issue. The tool's times are whole multiples of `precision` ms.
pub(crate) fn assert_comments(
    observed: &TaskObservation,
    written: &[Comment],
    comments: CommentPrivacy,
    precision: i64,
) {
    let observed: Vec<_> = observed
        .history
        .iter()
        .filter_map(|entry| match &entry.change {
            Change::Commented(text) => Some((entry.at.0, entry.actor.is_some(), text.as_deref())),
            _ => None,
        })
        .collect();
    let text = |comment: &Comment| (comments == CommentPrivacy::Plain).then_some(comment.text);
    let written = written.iter().filter(|_| comments != CommentPrivacy::Omit);
    let time = |comment: &Comment| comment.at - comment.at.rem_euclid(precision);
    let mut written: Vec<_> = written.map(|comment| (time(comment), true, text(comment))).collect();
    written.sort_by_key(|(at, ..)| *at);
    assert_eq!(observed, written, "{comments:?}");
}
