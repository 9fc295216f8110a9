//! What an answer of `/v1/ops` settles. A line leaves the spool only when the answer names it: as stored, or as one that can never be.
//! Whatever else answers there (a proxy, a login page) settles nothing.

use std::collections::BTreeMap;

use contextcore_core::model::operation::Envelope;
use contextcore_spool::SpoolLine;
use serde::Deserialize;

/// What became of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored, or can never be, for this reason.
    Settled(Option<String>),
    /// It may not be stored now, for this reason.
    Withheld(String),
    /// The answer does not say.
    Unanswered,
}

/// The answer.
#[derive(Debug, Deserialize)]
struct Answer {
    /// By writer, the greatest number that is stored.
    acked: BTreeMap<String, u64>,
    #[serde(default)]
    rejected: Vec<Rejected>,
}

/// A line that is not stored.
#[derive(Debug, Clone, Deserialize)]
struct Rejected {
    writer: String,
    /// `None` where the service could not read it.
    seq: Option<u64>,
    #[serde(default)]
    reason: String,
    /// Older services give none.
    #[serde(default)]
    kind: String,
}

/// Why older services refuse a line that can never be stored.
const INVALID: [&str; 4] = [
    "it is no operation",
    "it is longer than 64 KiB",
    "its writer is not 32 hex digits, or its project is empty",
    "no header comes before it",
];

impl Rejected {
    fn verdict(&self) -> Verdict {
        let is_invalid = self.kind == "invalid" || (self.kind.is_empty() && INVALID.contains(&self.reason.as_str()));
        if is_invalid { Verdict::Settled(Some(self.reason.clone())) } else { Verdict::Withheld(self.reason.clone()) }
    }
}

/// What an answer says of the lines that were posted, one by one.
pub(super) fn verdicts(answer: &str, lines: &[SpoolLine]) -> Vec<Verdict> {
    let Ok(mut answer) = serde_json::from_str::<Answer>(answer) else {
        return vec![Verdict::Unanswered; lines.len()];
    };
    lines.iter().map(|line| answer.verdict(line)).collect()
}

impl Answer {
    fn verdict(&mut self, line: &SpoolLine) -> Verdict {
        let seq = Envelope::read(&line.text).map(|envelope| envelope.seq);
        let is_it = |rejected: &Rejected| rejected.writer == line.writer && seq.is_some() && rejected.seq == seq;
        if let Some(rejected) = self.rejected.iter().find(|rejected| is_it(rejected)) {
            return rejected.verdict();
        }
        if seq.is_some_and(|seq| self.acked.get(&line.writer).is_some_and(|acked| seq <= *acked)) {
            return Verdict::Settled(None);
        }
        // One that the service could not read has no number there. Each stands for one line.
        let nameless = |rejected: &Rejected| rejected.writer == line.writer && rejected.seq.is_none();
        match self.rejected.iter().position(nameless) {
            Some(index) => self.rejected.remove(index).verdict(),
            None => Verdict::Unanswered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: &str = "the token may not report for this project";

    fn line(writer: &str, text: &str) -> SpoolLine {
        SpoolLine {
            writer: writer.into(),
            project: "shop".into(),
            origin: None,
            resource: Default::default(),
            place: (1, 0),
            file: writer.into(),
            text: text.into(),
        }
    }

    fn numbered(writer: &str, seq: u64) -> SpoolLine {
        line(writer, &format!(r#"{{"v":1,"seq":{seq},"op":"task.complete","task":"a"}}"#))
    }

    #[test]
    fn an_answer_that_names_no_line_settles_none() {
        let lines = [numbered("a", 1), numbered("b", 2)];
        for answer in ["", "{}", "<html>", r#""ok""#, r#"{"acked":{}}"#, "[]", r#"{"acked":{"c":9}}"#, r#"{"acked":1}"#]
        {
            assert_eq!(verdicts(answer, &lines), [Verdict::Unanswered, Verdict::Unanswered], "{answer}");
        }
        let some = verdicts(r#"{"acked":{"a":900},"rejected":[]}"#, &lines);
        assert_eq!(some, [Verdict::Settled(None), Verdict::Unanswered]);
    }

    #[test]
    fn a_refusal_settles_a_line_only_when_it_can_never_be_stored() {
        let lines = [numbered("a", 1), numbered("a", 2), numbered("a", 3), line("a", "{")];
        let answer = format!(
            r#"{{"acked":{{"a":3}},"rejected":[{{"writer":"a","seq":2,"reason":"it is longer than 64 KiB"}},
                {{"writer":"a","seq":3,"reason":"{FORBIDDEN}"}},{{"writer":"a","seq":null,"reason":"it is no operation"}}]}}"#
        );
        let invalid = |reason: &str| Verdict::Settled(Some(reason.to_owned()));
        let withheld = Verdict::Withheld(FORBIDDEN.to_owned());
        let (long, none) = (invalid("it is longer than 64 KiB"), invalid("it is no operation"));
        assert_eq!(verdicts(&answer, &lines), [Verdict::Settled(None), long, withheld, none]);
    }

    #[test]
    fn a_kind_goes_before_the_words() {
        let answer = |kind: &str| {
            format!(
                r#"{{"acked":{{}},"rejected":[{{"writer":"a","seq":1,"reason":"it is no operation","kind":"{kind}"}}]}}"#
            )
        };
        let reason = "it is no operation".to_owned();
        assert_eq!(verdicts(&answer("invalid"), &[numbered("a", 1)]), [Verdict::Settled(Some(reason.clone()))]);
        assert_eq!(verdicts(&answer("forbidden"), &[numbered("a", 1)]), [Verdict::Withheld(reason)]);
    }
}
