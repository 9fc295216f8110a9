//! Comments as a connector tells them, held against those that were written in the world.

use contextcore_core::config::CommentPrivacy;
use contextcore_core::model::Change;
use contextcore_core::model::observation::TaskObservation;
use contextcore_fakes::world::Comment;

/// Holds the comments of a task against those of the world's issue. A tool tells times to so many milliseconds.
pub(crate) fn assert_comments(told: &TaskObservation, written: &[Comment], comments: CommentPrivacy, precision: i64) {
    let told: Vec<_> = told
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
    assert_eq!(told, written, "{comments:?}");
}
