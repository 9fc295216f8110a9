//! The arguments of the commands that report work, and of the helper that sends it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use contextcore_core::Millis;

use crate::duration;

/// Where reported work goes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Place {
    /// Project to report to [default: $CONTEXTCORE_PROJECT, else the file .contextcore/project here or above]
    #[arg(long, short = 'p', value_name = "PROJECT", global = true)]
    pub(crate) project: Option<String>,
    /// Who does it [default: nobody is named; of insights the user of the operating system, unless an agent does]
    #[arg(long, value_name = "NAME", global = true)]
    pub(crate) actor: Option<String>,
    /// When it happened, e.g. 2026-11-26T09:00:00Z [default: now]
    #[arg(long, value_name = "TIME", global = true, value_parser = time)]
    pub(crate) at: Option<Millis>,
    /// State directory of the SDK [default: $CONTEXTCORE_STATE_DIR, else ~/.local/state/contextcore]
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) state: Option<PathBuf>,
    /// OTLP backend [default: $OTEL_EXPORTER_OTLP_ENDPOINT, else that of the project's earlier work]
    #[arg(long, value_name = "URL", global = true)]
    pub(crate) endpoint: Option<String>,
    /// Protocol of the backend
    #[arg(long, value_name = "PROTOCOL", global = true, value_parser = ["grpc", "http/protobuf"])]
    pub(crate) protocol: Option<String>,
    /// Only write it down; do not start the helper that sends it
    #[arg(long, global = true)]
    pub(crate) no_drain: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Task {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) operation: TaskOperation,
}

/// What is reported of a task.
#[derive(Debug, Subcommand)]
pub(crate) enum TaskOperation {
    /// Create a task; one that exists gets what is given
    Start(Given),
    /// Report the status that a task entered
    Status {
        /// Task
        key: String,
        /// Status: backlog, todo, in_progress, in_review, blocked, done, cancelled, or any word
        #[arg(value_parser = status)]
        status: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Change fields of a task
    Update {
        #[command(flatten)]
        fields: Given,
        /// Field to clear (repeatable)
        #[arg(long, value_name = "FIELD", value_parser = CLEARABLE)]
        clear: Vec<String>,
    },
    /// Report what blocks a task
    Block {
        /// Task
        key: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Task that blocks it
        #[arg(long, value_name = "KEY")]
        by: Option<String>,
    },
    /// Report that nothing blocks a task any more
    Unblock {
        /// Task
        key: String,
    },
    /// Report that a task is done
    Complete {
        /// Task
        key: String,
    },
    /// Report that a task was given up
    Cancel {
        /// Task
        key: String,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Report that work on a finished task goes on
    Reopen {
        /// Task
        key: String,
    },
    /// Report how much of a task is done
    Progress {
        /// Task
        key: String,
        /// In percent, 0 to 100
        #[arg(value_parser = percent)]
        percent: f64,
    },
    /// Comment on a task
    Comment {
        /// Task
        key: String,
        /// Text
        #[arg(value_parser = comment)]
        text: String,
        /// Who wrote it [default: --actor]
        #[arg(long, value_name = "NAME")]
        author: Option<String>,
    },
    /// Report something that happened around a task
    Event {
        /// Task
        key: String,
        /// Name, e.g. deploy.started
        #[arg(value_parser = event_name)]
        name: String,
        /// Attribute (repeatable, at most 16)
        #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = pair)]
        attributes: Vec<(String, String)>,
    },
    /// Link a commit, pull request, build, deployment, trace or address to a task
    Link {
        /// Task
        key: String,
        /// Kind
        #[arg(value_parser = ["commit", "pr", "build", "deployment", "trace", "url"])]
        kind: String,
        /// Which one, such as a commit's hash
        #[arg(value_parser = reference)]
        reference: String,
        /// Its address
        #[arg(long, value_name = "URL")]
        url: Option<String>,
    },
}

/// The fields that `task update --clear` takes.
const CLEARABLE: [&str; 9] =
    ["parent", "priority", "assignee", "points", "labels", "sprint", "due", "url", "depends-on"];

/// A task and its fields.
#[derive(Debug, Args)]
pub(crate) struct Given {
    /// Task
    pub(crate) key: String,
    /// Title
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Type: epic, story, task, subtask, bug, spike, incident, or any word
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) task_type: Option<String>,
    /// Status
    #[arg(long, value_name = "STATUS")]
    pub(crate) status: Option<String>,
    /// Parent task
    #[arg(long, value_name = "KEY")]
    pub(crate) parent: Option<String>,
    /// Priority: highest, high, medium, low, lowest, or any word
    #[arg(long, value_name = "PRIORITY")]
    pub(crate) priority: Option<String>,
    /// Assignee
    #[arg(long, value_name = "NAME")]
    pub(crate) assignee: Option<String>,
    /// Estimate
    #[arg(long, value_name = "N", value_parser = points)]
    pub(crate) points: Option<f64>,
    /// Label (repeatable)
    #[arg(long = "label", value_name = "LABEL")]
    pub(crate) labels: Vec<String>,
    /// Sprint
    #[arg(long, value_name = "ID")]
    pub(crate) sprint: Option<String>,
    /// Due date
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = due)]
    pub(crate) due: Option<String>,
    /// Address
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Task that it needs (repeatable)
    #[arg(long, value_name = "KEY")]
    pub(crate) depends_on: Vec<String>,
    /// Attribute, exported as task.attr.NAME (repeatable)
    #[arg(long = "attr", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) attributes: Vec<(String, String)>,
}

/// The helper that sends what was reported.
#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// State directory of the SDK [default: $CONTEXTCORE_STATE_DIR, else ~/.local/state/contextcore]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Send everything to this OTLP backend, wherever it was to go
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// Post everything to the /v1/ops of a `contextcore serve`, e.g. https://contextcore.example/v1/ops
    #[arg(long, value_name = "URL", conflicts_with = "endpoint", requires = "token_file")]
    pub(crate) to: Option<String>,
    /// File with the token for --to
    #[arg(long, value_name = "FILE", requires = "to")]
    pub(crate) token_file: Option<PathBuf>,
    /// Only this lane (repeatable) [default: all]
    #[arg(long, value_name = "LANE")]
    pub(crate) lane: Vec<String>,
    /// How long to wait for more; 0s ends when nothing is left to send
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = linger)]
    pub(crate) linger: Duration,
    /// Go on in the background, and return at once
    #[arg(long)]
    pub(crate) detach: bool,
    /// This is the process in the background
    #[arg(long, hide = true, conflicts_with = "detach")]
    pub(crate) detached: bool,
}

fn time(text: &str) -> Result<Millis, String> {
    Millis::parse(text).ok_or_else(|| "write it like 2026-11-26T09:00:00Z".to_owned())
}

fn linger(text: &str) -> Result<Duration, String> {
    let seconds = duration::seconds(text).filter(|_| !text.trim().is_empty());
    seconds.map(Duration::from_secs).ok_or_else(|| "write it like 10m, 30s or 0s".to_owned())
}

pub(super) fn number(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| "is not a number".to_owned())
}

fn points(text: &str) -> Result<f64, String> {
    let points = number(text)?;
    if points >= 0.0 { Ok(points) } else { Err("is less than 0".to_owned()) }
}

pub(super) fn percent(text: &str) -> Result<f64, String> {
    let inside = number(text)?;
    if (0.0..=100.0).contains(&inside) { Ok(inside) } else { Err("is not between 0 and 100".to_owned()) }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like name=value")?;
    if name.is_empty() { Err("the name is missing".to_owned()) } else { Ok((name.to_owned(), value.to_owned())) }
}

fn status(text: &str) -> Result<String, String> {
    said(text, "is empty: write the status, such as in_progress")
}

fn comment(text: &str) -> Result<String, String> {
    said(text, "is empty: write the text of the comment")
}

fn reference(text: &str) -> Result<String, String> {
    said(text, "is empty: write which one, such as a commit's hash")
}

/// A text that says something.
fn said(text: &str, or: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err(or.to_owned()) } else { Ok(text.to_owned()) }
}

/// A day, also of a time, as the SDKs take it.
fn due(text: &str) -> Result<String, String> {
    let (day, rest) = text.trim().split_at_checked(10).unwrap_or_default();
    let is_day =
        Millis::parse(&format!("{day}T00:00:00Z")).is_some() && (rest.is_empty() || rest.starts_with(['T', ' ']));
    if is_day {
        Ok(day.to_owned())
    } else {
        Err("write it like 2026-11-30; `update --clear due` removes it".to_owned())
    }
}

/// `^[a-z][a-z0-9_.]{0,63}$`.
fn event_name(text: &str) -> Result<String, String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'.';
    let is_name = text.len() <= 64 && text.bytes().all(good) && text.starts_with(|c: char| c.is_ascii_lowercase());
    if is_name { Ok(text.to_owned()) } else { Err("use up to 64 of a-z, 0-9, `_` and `.`, a letter first".to_owned()) }
}
