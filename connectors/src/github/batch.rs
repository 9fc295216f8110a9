//! Fetching nodes by their ids, as many at once as GitHub answers.
//!
//! A batch that GitHub does not answer is halved, down to one node. A node that it cannot serve even by itself, with short lists
//! and without comments, is [`FetchOutcome::Torn`], and the others arrive. How many it answers at once is remembered ([`Sizes`]);
//! one bad node says nothing about that.

use contextcore_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tracing::{debug, info, warn};

use super::answer::{Answer, FetchOutcome, gave_up, is_divisible, outcomes};
use super::api::Api;
use super::connection::capped;
use super::queries;

/// Rows of the long lists of an issue that come with it.
const ROWS: i64 = 100;
/// The same for an issue that GitHub could not serve so.
const FEW_ROWS: i64 = 10;

/// How much one request asks for, as far as it was learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Sizes {
    /// Items of a page of the sweep.
    pub(super) sweep: u32,
    /// Issues with their histories.
    pub(super) issues: u32,
    /// Other items.
    pub(super) others: u32,
    /// Pull requests with what people did to them.
    pub(super) pulls: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { sweep: 100, issues: 25, others: 50, pulls: 25 }
    }
}

impl Sizes {
    /// A little more than what worked, up to the usual.
    pub(super) fn relaxed(self) -> Self {
        let most = Self::default();
        let more = |size: u32, most: u32| (size + size / 4 + 1).min(most);
        Self {
            sweep: more(self.sweep, most.sweep),
            issues: more(self.issues, most.issues),
            others: more(self.others, most.others),
            pulls: more(self.pulls, most.pulls),
        }
    }
}

/// Nodes that are requested by their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Items that wrap issues.
    IssueItems,
    /// Items that wrap pull requests.
    PullRequestItems,
    /// Drafts and hidden items.
    OtherItems,
    /// Issues by themselves.
    Issues,
    /// Pull requests by themselves.
    PullRequests,
    /// Deployments by themselves.
    Deployments,
}

impl Kind {
    fn size(self, sizes: &mut Sizes) -> &mut u32 {
        match self {
            Self::IssueItems | Self::Issues => &mut sizes.issues,
            Self::PullRequestItems | Self::OtherItems | Self::Deployments => &mut sizes.others,
            Self::PullRequests => &mut sizes.pulls,
        }
    }

    const fn has_long_lists(self) -> bool {
        matches!(self, Self::IssueItems | Self::Issues)
    }
}

/// How much of each node is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    rows: i64,
    comments: bool,
}

/// Nodes in the order they were asked for.
#[derive(Debug, Deserialize)]
struct Nodes {
    #[serde(default, deserialize_with = "capped")]
    nodes: Vec<Option<Box<RawValue>>>,
}

/// What became of a batch.
#[derive(Default)]
struct Batch {
    done: Vec<(Box<str>, FetchOutcome)>,
    /// Parts that are still to be asked for, the next one last.
    parts: Vec<Vec<Box<str>>>,
    /// The most that were answered at once.
    most: usize,
    /// It had to be asked for in parts.
    was_split: bool,
    /// One of it cannot be served at all.
    has_bad_node: bool,
}

impl Batch {
    fn of(ids: Vec<Box<str>>) -> Self {
        Self { parts: vec![ids], ..Self::default() }
    }

    /// Takes an answer. What is torn among others is asked for again.
    fn take(&mut self, part: Vec<Box<str>>, outcomes: Vec<FetchOutcome>) {
        let count = part.len();
        let is_torn = |outcome: &FetchOutcome| matches!(outcome, FetchOutcome::Torn(_));
        let (torn, good): (Vec<_>, Vec<_>) = part.into_iter().zip(outcomes).partition(|(_, one)| is_torn(one));
        if !good.is_empty() {
            self.most = self.most.max(count);
        }
        self.done.extend(good);
        self.split(torn.into_iter().map(|(id, _)| id).collect());
    }

    /// Both halves, the first to be taken first.
    fn split(&mut self, mut part: Vec<Box<str>>) {
        self.was_split |= part.len() > 1;
        let second = part.split_off(part.len().div_ceil(2));
        self.parts.extend([second, part].into_iter().filter(|part| !part.is_empty()));
    }

    /// The size to use from now on, when this one was too large and no single node explains that.
    fn learned(&self) -> Option<u32> {
        (self.was_split && !self.has_bad_node).then(|| u32::try_from(self.most.max(1)).unwrap_or(1))
    }
}

impl Api {
    /// Nodes by their ids, in the order requested.
    ///
    /// # Errors
    /// As the session's; and when GitHub answers nothing at all.
    pub(super) async fn nodes(
        &self,
        kind: Kind,
        ids: &[Box<str>],
        sizes: &mut Sizes,
    ) -> Result<Vec<(Box<str>, FetchOutcome)>> {
        let (mut done, mut rest) = (Vec::with_capacity(ids.len()), ids);
        while !rest.is_empty() {
            let size = usize::try_from(*kind.size(sizes)).unwrap_or(1).clamp(1, rest.len());
            let (part, left) = rest.split_at(size);
            let batch = self.batch(kind, part.to_vec()).await?;
            if let Some(most) = batch.learned() {
                *kind.size(sizes) = most.min(*kind.size(sizes));
                info!(?kind, most, "will ask for fewer at once");
            }
            done.extend(batch.done);
            rest = left;
        }
        Ok(done)
    }

    async fn batch(&self, kind: Kind, ids: Vec<Box<str>>) -> Result<Batch> {
        let mut batch = Batch::of(ids);
        while let Some(part) = batch.parts.pop() {
            if let [id] = part.as_slice() {
                let outcome = self.one_node(kind, id).await?;
                batch.has_bad_node |= matches!(outcome, FetchOutcome::Torn(_));
                batch.most = batch.most.max(1);
                batch.done.push((id.clone(), outcome));
                continue;
            }
            match self.some_nodes(kind, &part, self.usual()).await {
                Err(error) if is_divisible(&error) => {
                    debug!(?kind, asked = part.len(), error = error.full(), "asking for halves");
                    self.note_failure(&error);
                    batch.split(part);
                }
                Err(error) => return Err(error),
                Ok(outcomes) => batch.take(part, outcomes),
            }
        }
        Ok(batch)
    }

    /// One node, in the end with less of it. An outage must not look like a bad node, so GitHub has to answer something else
    /// before a failure counts.
    async fn one_node(&self, kind: Kind, id: &str) -> Result<FetchOutcome> {
        let usual = self.usual();
        let few = Extent { rows: FEW_ROWS, ..usual };
        let silent = Extent { comments: false, ..few };
        let mut extents = vec![usual, few];
        if !kind.has_long_lists() {
            extents = vec![usual, usual];
        } else if usual.comments {
            extents.push(silent);
        }
        let mut reason = String::new();
        for extent in extents {
            match self.some_nodes(kind, &[id.into()], extent).await {
                Err(error) if is_divisible(&error) => {
                    self.answers_still(&error).await?;
                    reason = error.to_string();
                }
                Err(error) => return Err(error),
                Ok(mut outcomes) => match outcomes.pop() {
                    Some(FetchOutcome::Torn(text)) => reason = text,
                    Some(mut outcome) => {
                        if let FetchOutcome::Whole(node) = &mut outcome
                            && extent == silent
                            && usual.comments
                        {
                            warn!(%id, reason, "the comments cannot be read, given without them");
                            node.lacks.get_or_insert(format!("its comments could not be read: {reason}"));
                        }
                        return Ok(outcome);
                    }
                    None => {}
                },
            }
        }
        Ok(FetchOutcome::Torn(reason))
    }

    /// Proves that GitHub answers, after a failure that may be an outage. Waits for the end of one.
    ///
    /// # Errors
    /// As the session's, when it is an outage.
    pub(super) async fn answers_still(&self, after: &Error) -> Result<()> {
        self.note_failure(after);
        if after.kind() == ErrorKind::Unavailable && !gave_up(after) {
            self.proven().await?;
        }
        Ok(())
    }

    /// Proves that GitHub answers anything at all.
    ///
    /// # Errors
    /// As the session's.
    pub(super) async fn proven(&self) -> Result<()> {
        self.reference::<serde::de::IgnoredAny>(Vec::new()).await.map(drop)
    }

    fn usual(&self) -> Extent {
        Extent { rows: ROWS, comments: self.comments().is_read() }
    }

    async fn some_nodes(&self, kind: Kind, ids: &[Box<str>], extent: Extent) -> Result<Vec<FetchOutcome>> {
        let (wanted, tries) = (ids.len(), self.tries(ids.len()));
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let (Extent { rows, comments }, texts, after) = (extent, self.comments().has_texts(), None);
        let answer: Result<Answer<Nodes>> = match kind {
            Kind::IssueItems => self.ask(&queries::Items { ids, comments, texts, rows, after }, tries).await,
            Kind::Issues => self.ask(&queries::Issues { ids, comments, texts, rows, after }, tries).await,
            Kind::PullRequestItems => self.ask(&queries::PullRequestItems { ids }, tries).await,
            Kind::OtherItems => self.ask(&queries::OtherItems { ids }, tries).await,
            Kind::PullRequests => self.ask(&queries::PullRequestStates { ids }, tries).await,
            Kind::Deployments => self.ask(&queries::DeploymentStates { ids }, tries).await,
        };
        let Answer { data, errors } = answer?;
        if data.nodes.len() != wanted {
            let text = "the answer holds another number of nodes than was asked for";
            return Err(Error::new(ErrorKind::Protocol, text).with("asked", wanted).with("got", data.nodes.len()));
        }
        Ok(outcomes(data.nodes, &errors))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: usize) -> Vec<Box<str>> {
        (0..count).map(|n| n.to_string().into()).collect()
    }

    fn torn(count: usize) -> Vec<FetchOutcome> {
        (0..count).map(|_| FetchOutcome::Torn(String::new())).collect()
    }

    #[test]
    fn sizes_recover_slowly_up_to_the_usual() {
        let mut sizes = Sizes { sweep: 1, issues: 12, others: 50, pulls: 3 };
        sizes = sizes.relaxed();
        assert_eq!(sizes, Sizes { sweep: 2, issues: 16, others: 50, pulls: 4 });
        for _ in 0..40 {
            sizes = sizes.relaxed();
        }
        assert_eq!(sizes, Sizes::default());
    }

    #[test]
    fn a_batch_that_was_too_large_teaches_its_size_and_a_bad_node_does_not() {
        let mut batch = Batch::of(ids(5));
        let part = batch.parts.pop().unwrap();
        batch.take(part, torn(5));
        assert_eq!(batch.parts.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3], "the first half comes first");
        while let Some(part) = batch.parts.pop() {
            let gone = part.iter().map(|_| FetchOutcome::Gone).collect();
            batch.take(part, gone);
        }
        assert_eq!((batch.learned(), batch.done.len()), (Some(3), 5));
        batch.has_bad_node = true;
        assert_eq!(batch.learned(), None);
        assert_eq!(Batch::of(ids(1)).learned(), None);
    }
}
