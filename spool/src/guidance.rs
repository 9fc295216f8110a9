//! Guidance that is still in the spool: what was said is known at once, before anybody stores it.

use std::io;

use contextcore_model::guidance::stored::{AllGuidance, GuidanceReport};
use contextcore_model::operation::{self, Parsed};

use crate::layout::StateDir;
use crate::reader::{Cursor, Reader, SpoolLine};

/// Lines read at once.
const CHUNK: usize = 2_000;
/// What such a line holds.
const MARK: &str = "\"op\":\"guidance.";

/// Adds what the spools of all lanes hold of guidance. What is in the store, too, counts once. What a person proved is left to the
/// store: in a spool, whoever may write there could claim it.
///
/// # Errors
/// When a spool cannot be read.
pub fn add_guidance(state: &StateDir, to: &mut AllGuidance) -> io::Result<()> {
    let spools = state.lanes()?.iter().map(crate::LaneDir::spool).collect();
    let (reader, mut cursor) = (Reader::new(spools, CHUNK), Cursor::new());
    loop {
        let chunk = reader.read(&cursor)?;
        chunk.lines.iter().filter_map(report).for_each(|report| {
            to.fold(&report);
        });
        cursor = chunk.cursor;
        if !chunk.more {
            return Ok(());
        }
    }
}

fn report(line: &SpoolLine) -> Option<GuidanceReport> {
    let parsed = line.text.contains(MARK).then(|| operation::parse(&line.text).ok()).flatten()?;
    let Parsed::Line(parsed) = parsed else { return None };
    let is_proven = line.origin.as_ref().is_some_and(|origin| origin.human);
    let report =
        GuidanceReport { project: line.project.clone(), writer: line.writer.clone(), person: None, line: *parsed };
    (!is_proven).then_some(report)
}

#[cfg(test)]
mod tests {
    use contextcore_model::Millis;
    use contextcore_model::operation::{GuidanceAdd, GuidanceEnd, Operation};

    use super::*;
    use crate::Writer;

    #[test]
    fn what_was_said_is_known_before_it_is_stored() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        let lane = state.lane_to(None).unwrap();
        let mut writer = Writer::new(&lane, "shop", "shell", "here");
        for id in ["one", "two"] {
            let add = GuidanceAdd { id: id.into(), word: "focus".into(), text: "src".into(), ..GuidanceAdd::default() };
            writer.append(Millis(1), None, Operation::GuidanceAdd(Box::new(add)), None).unwrap();
        }
        let end = GuidanceEnd { id: "one".into(), reason: None };
        writer.append(Millis(2), None, Operation::GuidanceEnd(Box::new(end)), None).unwrap();
        let mut all = AllGuidance::default();
        add_guidance(&state, &mut all).unwrap();
        add_guidance(&state, &mut all).unwrap();
        let ids: Vec<String> = all.items(Some("shop")).into_iter().map(|item| item.id).collect();
        assert_eq!(ids, ["store:two"]);
        assert!(all.items(Some("other")).is_empty());
    }
}
