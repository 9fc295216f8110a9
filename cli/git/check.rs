//! `contextcore git check`: whether each commit of a range names a task that is known. Merges are left out.

use std::collections::BTreeMap;

use contextcore_core::model::printable;
use contextcore_core::query::{ShowView, TaskSelector};
use contextcore_core::{Error, ErrorKind};
use serde::Serialize;
use serde_json::json;

use super::{message, remote, repository};
use crate::app::Context;
use crate::failure::{Exit, Failure, Outcome};
use crate::guide::found::configuration;
use crate::reader::Reader;
use crate::{humanize, output};

/// A commit.
struct Commit {
    hash: String,
    message: String,
}

/// A commit that is not as it should be.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    commit: String,
    subject: String,
    problem: String,
}

pub(super) async fn run(context: &Context, range: &str) -> Outcome {
    let json = context.is_json("git check")?;
    let repository = repository()?;
    if range.starts_with('-') {
        return Err(Failure::usage(format!("`{range}` is not a range of commits: write it like origin/main..HEAD")));
    }
    let printed = repository.git(&["log", "--no-merges", "--reverse", "-z", "--format=%H%n%B", range, "--"]);
    let printed = printed.ok_or_else(|| {
        Failure::usage(format!("git does not know the range `{range}`: fetch it, or write it like origin/main..HEAD"))
    })?;
    let commits: Vec<Commit> = printed.split('\0').filter_map(commit).collect();
    let remote = remote(&repository);
    let known = Known::open(context).await?;
    let mut findings = Vec::new();
    let mut asked = BTreeMap::new();
    for commit in &commits {
        findings.extend(finding(commit, remote.as_deref(), &known, &mut asked).await?);
    }
    let view = json!({"commits": commits.len(), "known": known.0.is_some(), "findings": findings});
    output::print(json, &view, |_| text(commits.len(), &findings))?;
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Found })
}

fn commit(text: &str) -> Option<Commit> {
    let (hash, message) = text.trim_start_matches('\n').split_once('\n')?;
    Some(Commit { hash: hash.to_owned(), message: message.to_owned() })
}

fn text(commits: usize, findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { commit, subject, problem } in findings {
        let (subject, problem) = (printable::one_line(subject), printable::one_line(problem));
        text.push_str(&format!("{} {subject}: {problem}\n", &commit[..commit.len().min(10)]));
    }
    let all = humanize::plural(commits as u64, "commit");
    text.push_str(&match findings.len() {
        0 => format!("{all}: each names a task or needs none\n"),
        some => format!("{all}: {some} without a known task\n"),
    });
    text
}

/// The tasks of the store, if there is one. Without one every key counts as known.
struct Known(Option<Reader>);

impl Known {
    async fn open(context: &Context) -> Result<Self, Failure> {
        let reader = match configuration(context)? {
            Some(config) => Reader::open_if_any(config).await?,
            None => None,
        };
        if reader.is_none() {
            tracing::warn!("there is no store to look tasks up in, so every key counts as known");
        }
        Ok(Self(reader))
    }

    async fn has(&self, key: &str) -> Result<bool, Failure> {
        let Some(reader) = &self.0 else { return Ok(true) };
        let selector = TaskSelector::of(key);
        is_known(reader.view("show", &selector, |viewer| viewer.show(&selector)).await)
    }
}

/// Whether there is a task, by what the store answers. One in several sources is known, too.
fn is_known(found: Result<ShowView, Error>) -> Result<bool, Failure> {
    match found {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            ErrorKind::Config => Ok(true),
            ErrorKind::NotFound => Ok(false),
            _ => Err(error.into()),
        },
    }
}

async fn finding(
    commit: &Commit,
    remote: Option<&str>,
    known: &Known,
    asked: &mut BTreeMap<String, bool>,
) -> Result<Option<Finding>, Failure> {
    if message::is_free(&commit.message) {
        return Ok(None);
    }
    let named = message::named(&commit.message, remote);
    for key in &named {
        let is_known = match asked.get(key) {
            Some(known) => *known,
            None => known.has(key).await?,
        };
        asked.insert(key.clone(), is_known);
        if is_known {
            return Ok(None);
        }
    }
    let problem = match named.into_iter().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => {
            "names no task, and is of none of the types chore, docs, ci, build, style".to_owned()
        }
        keys => format!("names no known task: {keys}"),
    };
    let subject = commit.message.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Finding { commit: commit.hash.clone(), subject, problem }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_several_sources_have_is_known() {
        let found = |kind| is_known(Err(Error::new(kind, "`A-1` is a task in each of one, two"))).ok();
        assert_eq!(found(ErrorKind::Config), Some(true));
        assert_eq!(found(ErrorKind::NotFound), Some(false));
        assert_eq!(found(ErrorKind::Store), None);
    }
}
