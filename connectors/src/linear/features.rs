//! What a Linear may not know of what we ask for: names that its schema got late, or that it may lose.
//!
//! A server refuses a whole request over one unknown name, and says which it is. So a refused name that the tasks can do without is
//! left out of every document from then on ([`Missing::learn`], [`Missing::cut`]), and `check` and `status` say what is lost by it. A name
//! that nothing can be understood without is no feature: its refusal stays an error.

use std::collections::BTreeSet;

/// A name of the schema that can be done without.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Feature {
    /// The type, and the field of it.
    of: &'static str,
    field: &'static str,
    /// The operation or fragment that asks for it.
    within: &'static str,
    /// What it is called, and what is lost without it.
    about: (&'static str, &'static str),
}

const fn feature(
    (of, field): (&'static str, &'static str),
    within: &'static str,
    about: (&'static str, &'static str),
) -> Feature {
    Feature { of, field, within, about }
}

const DELEGATES: (&str, &str) =
    ("delegates of issues", "work that was given to an agent is known by its other signs only");
const MILESTONES: (&str, &str) = ("the history of milestones", "a change of milestone is dated when it is observed");
const NUMBERS: (&str, &str) = ("the daily numbers of cycles", "nothing: they come from the histories of issues");

/// Every name that can be done without.
pub(super) const ALL: [Feature; 21] = [
    feature(("Issue", "delegate"), "query Issues", DELEGATES),
    feature(
        ("Issue", "previousIdentifiers"),
        "query Issues",
        ("former keys of issues", "an issue that moved to another team has today's key in its past"),
    ),
    feature(
        ("Issue", "projectMilestone"),
        "query Issues",
        ("milestones of issues", "there are no labels `milestone:…`"),
    ),
    feature(
        ("IssueHistory", "botActor"),
        "fragment Acts",
        ("integrations in histories", "what they changed has no actor"),
    ),
    feature(
        ("IssueHistory", "relationChanges"),
        "fragment Acts",
        ("the history of links", "waiting counts from when it is observed"),
    ),
    feature(
        ("IssueHistory", "toConvertedProjectId"),
        "fragment Acts",
        ("issues that became projects", "such an issue has the state that it had"),
    ),
    feature(
        ("IssueHistory", "trashed"),
        "fragment Acts",
        ("the history of the trash", "a deletion is dated by the issue's last change"),
    ),
    feature(("IssueHistory", "fromProjectMilestone"), "fragment Acts", MILESTONES),
    feature(("IssueHistory", "toProjectMilestone"), "fragment Acts", MILESTONES),
    feature(("Cycle", "description"), "fragment CycleRow", ("goals of cycles", "sprints have no goal")),
    feature(("Cycle", "scopeHistory"), "fragment CycleRow", NUMBERS),
    feature(("Cycle", "completedScopeHistory"), "fragment CycleRow", NUMBERS),
    feature(("Cycle", "issueCountHistory"), "fragment CycleRow", NUMBERS),
    feature(("Cycle", "completedIssueCountHistory"), "fragment CycleRow", NUMBERS),
    feature(
        ("Initiative", "identifier"),
        "fragment InitiativeRow",
        ("keys of initiatives", "initiatives are named by their addresses"),
    ),
    feature(
        ("Initiative", "parentInitiative"),
        "fragment InitiativeRow",
        ("parents of initiatives", "initiatives have no parent"),
    ),
    feature(
        ("Initiative", "leadTeam"),
        "fragment InitiativeRow",
        ("leading teams of initiatives", "an initiative is that of its projects' teams only"),
    ),
    feature(("Project", "priority"), "fragment ProjectRow", ("priorities of projects", "projects have no priority")),
    feature(
        ("Project", "slugId"),
        "fragment ProjectRow",
        ("short ids of projects", "projects are named by their addresses"),
    ),
    feature(("Attachment", "metadata"), "fragment AttachmentRow", ("details of attachments", "nothing that is read")),
    feature(
        ("Attachment", "sourceType"),
        "fragment AttachmentRow",
        ("sources of attachments", "the kind of an attachment is known by its address only"),
    ),
];

/// The features that a server lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Missing(BTreeSet<&'static Feature>);

impl Missing {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what a refusal says is unknown. Whether that was news.
    pub(super) fn learn(&mut self, refusal: &str) -> bool {
        let words: BTreeSet<&str> = refusal.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        let named = ALL.iter().filter(|one| words.contains(one.of) && words.contains(one.field));
        // Not `any`: a refusal may name several.
        named.filter(|one| self.0.insert(one)).count() > 0
    }

    /// A sentence for people on each thing that is missing.
    pub(super) fn sentences(&self) -> BTreeSet<String> {
        let say = |(name, loss): (&str, &str)| format!("Linear does not know {name}: {loss}");
        self.0.iter().map(|one| say(one.about)).collect()
    }

    /// A document without what is missing.
    pub(super) fn cut(&self, document: &str) -> String {
        self.0.iter().fold(document.to_owned(), |text, one| without(&text, one))
    }
}

/// The document without one field of a definition.
fn without(document: &str, one: &Feature) -> String {
    let Some(begin) = document.find(one.within).filter(|at| ends_at(document, at + one.within.len())) else {
        return document.to_owned();
    };
    let Some(body) = document[begin..].find('{').map(|at| begin + at) else { return document.to_owned() };
    let end = after_block(document, body);
    let mut from = body;
    while let Some(at) = document[from..end].find(one.field).map(|at| from + at) {
        from = at + one.field.len();
        let is_word = document[..at].ends_with([' ', '\n', '{']) && ends_at(document, from);
        if is_word {
            return format!("{}{}", &document[..at], &document[after_field(document, from)..]);
        }
    }
    document.to_owned()
}

/// Whether no name goes on here, and none is given another one.
fn ends_at(document: &str, at: usize) -> bool {
    !document[at..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// Where a field ends that has its name before this place: after its selection, if it has one.
fn after_field(document: &str, name_end: usize) -> usize {
    let rest = &document[name_end..];
    let next = rest.trim_start_matches([' ', '\n']);
    if next.starts_with('{') { after_block(document, name_end + rest.len() - next.len()) } else { name_end }
}

/// Where a block ends that begins here.
fn after_block(document: &str, begin: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in document[begin..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return begin + at + 1;
        }
    }
    document.len()
}

#[cfg(test)]
mod tests {
    use super::super::queries::STRUCTS;
    use super::*;
    use crate::graphql::validation::{Validated, schema};

    fn refused(one: &Feature) -> String {
        format!("the query does not fit the schema: Cannot query field \"{}\" on type \"{}\".", one.field, one.of)
    }

    #[test]
    fn every_name_is_asked_for_and_can_be_left_out() {
        let schema = schema(include_str!("../../../schemas/linear.graphql"));
        for one in &ALL {
            let mut missing = Missing::default();
            assert!(missing.learn(&refused(one)) && !missing.learn(&refused(one)), "{one:?}");
            let mut changed = false;
            for document in STRUCTS {
                let text = missing.cut(document.document);
                changed |= text != document.document;
                Validated::new(&schema, document.name, &text).unwrap_or_else(|error| panic!("{one:?}: {error}"));
            }
            assert!(changed, "{one:?} is asked for nowhere");
            assert_eq!(missing.sentences().len(), 1);
        }
    }

    #[test]
    fn all_of_them_can_be_left_out_at_once_and_nothing_else() {
        let schema = schema(include_str!("../../../schemas/linear.graphql"));
        let mut missing = Missing::default();
        ALL.iter().for_each(|one| assert!(missing.learn(&refused(one))));
        for document in STRUCTS {
            let text = missing.cut(document.document);
            Validated::new(&schema, document.name, &text).unwrap_or_else(|error| panic!("{error}"));
            for name in ["history(", "stateHistory(", "inverseRelations(", "id identifier"] {
                assert_eq!(text.contains(name), document.document.contains(name), "{name}");
            }
        }
        assert!(
            !missing.learn("Cannot query field \"history\" on type \"Issue\"."),
            "nothing is understood without it"
        );
        assert!(!missing.learn("Cannot query field \"delegate\" on type \"Project\"."));
    }
}
