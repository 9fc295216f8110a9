//! Node ids: opaque to a client, readable to us. An issue's names its repository too, so that a transfer changes it, while the
//! old one goes on finding the issue, as it does at GitHub for a while.

use crate::world::{BoardId, CommitId, Content, DeploymentId, IssueId, MilestoneId, NoteId, ProjectId, PullId, UserId};

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeId {
    Owner,
    User(UserId),
    Repository(ProjectId),
    Issue(ProjectId, IssueId),
    Pull(PullId),
    Note(NoteId),
    Commit(CommitId),
    Deployment(DeploymentId),
    Milestone(MilestoneId),
    Project(BoardId),
    Field(BoardId, u32),
    Item(BoardId, Content),
}

impl std::fmt::Display for NodeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (prefix, scope, number) = match *self {
            Self::Owner => ("O", 0, 1),
            Self::User(id) => ("U", 0, u32::from(id.0)),
            Self::Repository(id) => ("R", 0, u32::from(id.0)),
            Self::Issue(project, id) => ("I", u32::from(project.0), id.0),
            Self::Pull(id) => ("PR", 0, id.0),
            Self::Note(id) => ("DI", 0, id.0),
            Self::Commit(id) => ("C", 0, id.0),
            Self::Deployment(id) => ("DE", 0, id.0),
            Self::Milestone(id) => ("MI", 0, id.0),
            Self::Project(id) => ("PVT", 0, id.0),
            Self::Field(board, number) => ("PVTF", board.0, number),
            Self::Item(board, Content::Issue(id)) => ("PVTI", board.0, id.0),
            Self::Item(board, Content::Pull(id)) => ("PVTIP", board.0, id.0),
            Self::Item(board, Content::Note(id)) => ("PVTID", board.0, id.0),
        };
        write!(f, "{prefix}_kwDO{scope:04X}z{number:08X}")
    }
}

impl NodeId {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once("_kwDO")?;
        let (scope, number) = rest.split_once('z')?;
        let (scope, number) = (u32::from_str_radix(scope, 16).ok()?, u32::from_str_radix(number, 16).ok()?);
        let small = |number| u16::try_from(number).ok();
        Some(match prefix {
            "O" => Self::Owner,
            "U" => Self::User(UserId(small(number)?)),
            "R" => Self::Repository(ProjectId(small(number)?)),
            "I" => Self::Issue(ProjectId(small(scope)?), IssueId(number)),
            "PR" => Self::Pull(PullId(number)),
            "DI" => Self::Note(NoteId(number)),
            "C" => Self::Commit(CommitId(number)),
            "DE" => Self::Deployment(DeploymentId(number)),
            "MI" => Self::Milestone(MilestoneId(number)),
            "PVT" => Self::Project(BoardId(number)),
            "PVTF" => Self::Field(BoardId(scope), number),
            "PVTI" => Self::Item(BoardId(scope), Content::Issue(IssueId(number))),
            "PVTIP" => Self::Item(BoardId(scope), Content::Pull(PullId(number))),
            "PVTID" => Self::Item(BoardId(scope), Content::Note(NoteId(number))),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_back_as_what_they_were() {
        let ids = [
            NodeId::Issue(ProjectId(3), IssueId(10_001)),
            NodeId::Item(BoardId(2), Content::Pull(PullId(7))),
            NodeId::Field(BoardId(2), 4),
            NodeId::Owner,
        ];
        for id in ids {
            assert_eq!(NodeId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(NodeId::parse("I_kwDONothing"), None);
    }
}
