//! Operations: what code and agents report of their own work, one JSON object a line.
//!
//! A [`Line`] is one [`Operation`] with its place (writer and number), when it was written, and by whom. Files of lines are
//! the *spool*; `docs/SPOOL.md` describes them, and `schemas/ops.schema.json` is generated from the types here. What the
//! operations of a task come to is folded in [`crate::reported`]. A line of another version, or of an operation that this
//! program does not know, is kept for a newer one: [`parse`] returns it as [`Parsed::Newer`].

mod agent;
mod attributes;
mod guidance;
mod insight;
pub(crate) mod number;
mod place;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use attributes::{Attributes, Scalar};
pub use guidance::{GuidanceAdd, GuidanceEnd};
pub use insight::{InsightEmit, InsightUpdate, Support};
pub use place::{names, native_id, percent_encode};

use crate::time::Millis;

/// The version of the lines that this program writes and reads.
pub const VERSION: u32 = 1;
/// The longest line, with the `\n` at its end.
pub const MAX_LINE: usize = 64 * 1024;
/// How many operations this program knows.
const KNOWN: usize = 18;
/// How many of [`NAMES`] this program can store, from the first. A reader that could fewer left the other lines in the
/// spool for a newer one.
pub const SUPPORTED: u32 = 18;

/// One operation, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// The version of the format, [`VERSION`].
    pub v: u32,
    /// The number of the line within its writer, from 1, increasing.
    pub seq: u64,
    /// When it was written; never smaller than in the line before.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub t: Millis,
    /// When it happened, if the caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "short_time")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub at: Option<Millis>,
    /// What is reported.
    #[serde(flatten)]
    pub operation: Operation,
    /// Who did it, by display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The span that was active in the caller, as the W3C writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl Line {
    /// When the operation counts: when it happened, but not after it was written and not before 1970.
    pub fn counts_at(&self) -> Millis {
        self.at.filter(|at| at.0 >= 0).map_or(self.t, |at| at.min(self.t))
    }

    /// The line as it is written, with `\n`; `None` when it is longer than [`MAX_LINE`] even after its texts were cut.
    pub fn text(&self) -> Option<String> {
        let written = |line: &Self| serde_json::to_string(line).ok().map(|text| text + "\n");
        let text = written(self)?;
        if text.len() <= MAX_LINE {
            return Some(text);
        }
        let mut shorter = self.clone();
        (0..PARTS).find_map(|part| {
            shorter.operation.cut(part);
            written(&shorter).filter(|text| text.len() <= MAX_LINE)
        })
    }
}

/// What is reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "op")]
pub enum Operation {
    /// Creates a task; if it exists, updates what is given. `status` counts at creation only; a finished task is reopened.
    #[serde(rename = "task.start")]
    Start(TaskFields),
    /// Changes fields; `null` clears one.
    #[serde(rename = "task.update")]
    Update(TaskFields),
    /// The task entered a status.
    #[serde(rename = "task.status")]
    Status(TaskStatus),
    /// Something keeps the task from going on.
    #[serde(rename = "task.block")]
    Block(TaskBlock),
    /// Nothing keeps it any more.
    #[serde(rename = "task.unblock")]
    Unblock(TaskOnly),
    /// The task is done.
    #[serde(rename = "task.complete")]
    Complete(TaskOnly),
    /// The task was given up.
    #[serde(rename = "task.cancel")]
    Cancel(TaskReason),
    /// Work on a finished task goes on.
    #[serde(rename = "task.reopen")]
    Reopen(TaskOnly),
    /// How much of it is done.
    #[serde(rename = "task.progress")]
    Progress(TaskProgress),
    /// Somebody said something about it.
    #[serde(rename = "task.comment")]
    Comment(TaskComment),
    /// Something happened around it.
    #[serde(rename = "task.event")]
    Event(TaskEvent),
    /// Something belongs to it.
    #[serde(rename = "task.link")]
    Link(TaskLink),
    /// A sprint began.
    #[serde(rename = "sprint.start")]
    SprintStart(Sprint),
    /// A sprint ended.
    #[serde(rename = "sprint.end")]
    SprintEnd(Sprint),
    /// An agent or a person found, decided or asks something.
    #[serde(rename = "insight.emit")]
    InsightEmit(Box<InsightEmit>),
    /// What became of it.
    #[serde(rename = "insight.update")]
    InsightUpdate(Box<InsightUpdate>),
    /// Somebody adds guidance for agents.
    #[serde(rename = "guidance.add")]
    GuidanceAdd(Box<GuidanceAdd>),
    /// It holds no more.
    #[serde(rename = "guidance.end")]
    GuidanceEnd(Box<GuidanceEnd>),
}

/// The task and its fields, those that are given. Those that can be cleared are `Some(None)` for `null`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskFields {
    /// The id that people see, unique within the project.
    pub task: String,
    /// The title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The type, ours or any word.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<String>,
    /// The status, ours or any word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The id of the parent task, in the same project.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub parent: Option<Option<String>>,
    /// The priority.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub priority: Option<Option<String>>,
    /// Who works on it, by display name.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub assignee: Option<Option<String>>,
    /// Story points, or another estimate.
    #[serde(default, with = "number::given", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<f64>")]
    pub estimate: Option<Option<f64>>,
    /// Labels.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub labels: Option<Option<Vec<String>>>,
    /// The id of the sprint it is in.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub sprint: Option<Option<String>>,
    /// The due date, `YYYY-MM-DD`.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub due: Option<Option<String>>,
    /// Its address.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub url: Option<Option<String>>,
    /// The ids of the tasks that it needs, in the same project.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub depends_on: Option<Option<Vec<String>>>,
    /// Attributes of the caller's own, exported as `task.attr.*`.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// A task and the status that it entered.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatus {
    /// The task.
    pub task: String,
    /// The status, ours or any word.
    pub status: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A task and what blocks it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskBlock {
    /// The task.
    pub task: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of the task that blocks it, or any words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
}

/// A task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskOnly {
    /// The task.
    pub task: String,
}

/// A task and a reason.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskReason {
    /// The task.
    pub task: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A task and how much of it is done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskProgress {
    /// The task.
    pub task: String,
    /// In percent, 0 to 100.
    #[serde(with = "number::plain")]
    #[schemars(with = "f64")]
    pub percent: f64,
}

/// A comment on a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskComment {
    /// The task.
    pub task: String,
    /// The text. Stored and exported only as `privacy.comments` says.
    pub text: String,
    /// Who wrote it, by display name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
}

/// Something that happened around a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskEvent {
    /// The task.
    pub task: String,
    /// Its name.
    #[schemars(extend("pattern" = "^[a-z][a-z0-9_.]{0,63}$"))]
    pub name: String,
    /// At most 16.
    #[serde(default, skip_serializing_if = "Attributes::is_empty")]
    pub attributes: Attributes,
}

/// Something that belongs to a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskLink {
    /// The task.
    pub task: String,
    /// `commit`, `pr`, `build`, `deployment`, `trace` or `url`.
    pub kind: String,
    /// Which one, such as a commit's hash.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// A sprint, with what is given of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sprint {
    /// Its id, unique within the project.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<String>,
    /// When it starts: a date or a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// When it ends: a date or a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl Operation {
    /// The name of the operation, as in `op`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "task.start",
            Self::Update(_) => "task.update",
            Self::Status(_) => "task.status",
            Self::Block(_) => "task.block",
            Self::Unblock(_) => "task.unblock",
            Self::Complete(_) => "task.complete",
            Self::Cancel(_) => "task.cancel",
            Self::Reopen(_) => "task.reopen",
            Self::Progress(_) => "task.progress",
            Self::Comment(_) => "task.comment",
            Self::Event(_) => "task.event",
            Self::Link(_) => "task.link",
            Self::SprintStart(_) => "sprint.start",
            Self::SprintEnd(_) => "sprint.end",
            Self::InsightEmit(_) => "insight.emit",
            Self::InsightUpdate(_) => "insight.update",
            Self::GuidanceAdd(_) => "guidance.add",
            Self::GuidanceEnd(_) => "guidance.end",
        }
    }

    /// The task it is about, if it is about one.
    pub fn task(&self) -> Option<&str> {
        match self {
            Self::Start(TaskFields { task, .. })
            | Self::Update(TaskFields { task, .. })
            | Self::Status(TaskStatus { task, .. })
            | Self::Block(TaskBlock { task, .. })
            | Self::Unblock(TaskOnly { task })
            | Self::Complete(TaskOnly { task })
            | Self::Cancel(TaskReason { task, .. })
            | Self::Reopen(TaskOnly { task })
            | Self::Progress(TaskProgress { task, .. })
            | Self::Comment(TaskComment { task, .. })
            | Self::Event(TaskEvent { task, .. })
            | Self::Link(TaskLink { task, .. }) => Some(task),
            Self::InsightEmit(insight) => insight.task.as_deref(),
            Self::SprintStart(_)
            | Self::SprintEnd(_)
            | Self::InsightUpdate(_)
            | Self::GuidanceAdd(_)
            | Self::GuidanceEnd(_) => None,
        }
    }

    /// The first field that is empty and must not be.
    fn empty(&self) -> Option<&'static str> {
        let of: &[(&str, &'static str)] = match self {
            Self::Status(of) => &[(&of.status, "status")],
            Self::Comment(of) => &[(&of.text, "text")],
            Self::Link(of) => &[(&of.kind, "kind"), (&of.reference, "ref")],
            Self::SprintStart(of) | Self::SprintEnd(of) => &[(&of.id, "id")],
            _ => &[],
        };
        let task = self.task().map(|task| (task, "task"));
        let mut all = task.iter().chain(of);
        all.find(|(text, _)| text.trim().is_empty()).map(|(_, field)| *field)
    }

    /// Cuts a long text, so that the line fits: the first `part` gives way first.
    fn cut(&mut self, part: usize) {
        match (self, part) {
            (Self::Start(fields) | Self::Update(fields), 0) => cut_some(&mut fields.title),
            (Self::Start(fields) | Self::Update(fields), 1) => fields.attributes.cut(CUT),
            (Self::Status(status), 0) => cut_some(&mut status.reason),
            (Self::Block(block), 0) => cut_some(&mut block.reason),
            (Self::Cancel(cancel), 0) => cut_some(&mut cancel.reason),
            (Self::Comment(comment), 0) => cut(&mut comment.text),
            (Self::Event(event), 0) => event.attributes.cut(CUT),
            (Self::InsightEmit(insight), 0) => cut_some(&mut insight.rationale),
            (Self::InsightEmit(insight), 1) => cut(&mut insight.summary),
            (Self::InsightEmit(insight), 2) => insight.context.cut(CUT),
            (Self::InsightEmit(insight), 3) => insight.inputs.cut(CUT),
            (Self::InsightUpdate(update), 0) => cut_some(&mut update.text),
            (Self::GuidanceAdd(add), 0) => cut_some(&mut add.reason),
            (Self::GuidanceAdd(add), 1) => cut(&mut add.text),
            (Self::GuidanceEnd(end), 0) => cut_some(&mut end.reason),
            _ => {}
        }
    }
}

/// Parts that may be cut, of the operation that has most.
const PARTS: usize = 4;
/// Characters that a text keeps when its line is too long, and one for what was cut.
const CUT: usize = 999;

fn cut_some(text: &mut Option<String>) {
    if let Some(text) = text {
        cut(text);
    }
}

fn cut(text: &mut String) {
    cut_to(text, CUT);
}

/// Cuts a text that is longer than `most` characters and one.
fn cut_to(text: &mut String, most: usize) {
    let mut places = text.char_indices().skip(most).map(|(place, _)| place);
    if let (Some(place), Some(_)) = (places.next(), places.next()) {
        text.truncate(place);
        text.push('…');
    }
}

/// What a line is to this program.
#[derive(Debug, Clone, PartialEq)]
pub enum Parsed {
    /// An operation that it knows.
    Line(Box<Line>),
    /// One of a newer version, or that this program does not know. It is kept.
    Newer {
        /// Its number.
        seq: u64,
    },
}

/// The part of a line that every version has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Envelope {
    /// The version.
    pub v: u32,
    /// The number.
    pub seq: u64,
    /// The operation.
    pub op: String,
}

impl Envelope {
    /// Reads that part; `None` when the line has none.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// Whether this program can store what the line reports. Other lines are kept for one that can.
    pub fn is_supported(&self) -> bool {
        self.v == VERSION && NAMES[..SUPPORTED as usize].contains(&self.op.as_str())
    }
}

/// Reads a line.
///
/// # Errors
/// A message when it is no operation: not JSON, or a known one with a field that is missing or wrong.
pub fn parse(text: &str) -> Result<Parsed, String> {
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if envelope.v != VERSION || !is_known(&envelope.op) {
        return Ok(Parsed::Newer { seq: envelope.seq });
    }
    let line: Line = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(field) = line.operation.empty() {
        return Err(format!("`{field}` is empty"));
    }
    Ok(Parsed::Line(Box::new(line)))
}

/// Whether an operation of this name is known.
fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The names of the operations, in the order of [`Operation`].
pub const NAMES: [&str; KNOWN] = [
    "task.start",
    "task.update",
    "task.status",
    "task.block",
    "task.unblock",
    "task.complete",
    "task.cancel",
    "task.reopen",
    "task.progress",
    "task.comment",
    "task.event",
    "task.link",
    "sprint.start",
    "sprint.end",
    "insight.emit",
    "insight.update",
    "guidance.add",
    "guidance.end",
];

/// The JSON Schema of a line.
pub fn json_schema() -> String {
    let mut schema = schemars::schema_for!(Line);
    schema.insert("title".to_owned(), "An operation of the ContextCore spool, version 1".into());
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// A field that is there, whether or not it is `null`.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A time without milliseconds where there are none.
#[expect(clippy::ref_option, reason = "serde passes the field")]
fn short_time<S: Serializer>(at: &Option<Millis>, serializer: S) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) if at.0 % 1_000 == 0 => serializer.collect_str(&format_args!("{:.0}", at.timestamp())),
        at => at.serialize(serializer),
    }
}

#[cfg(test)]
mod tests;
