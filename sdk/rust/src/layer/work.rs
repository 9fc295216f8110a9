//! What a span says of the work that it is part of.

use std::fmt;

use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::tidy::word;

const TASK: &str = "task.id";
const PROJECT: &str = "project.id";

/// What fields of a span say, when it is made or later.
#[derive(Debug, Default)]
pub(super) struct Fields {
    task: Option<String>,
    project: Option<String>,
}

impl Fields {
    /// Whether spans of this kind have such a field. One without a value may get it later.
    pub(super) fn are_in(metadata: &Metadata<'_>) -> bool {
        [TASK, PROJECT].iter().any(|name| metadata.fields().field(name).is_some())
    }

    /// The fields that are shown to a visitor.
    pub(super) fn read(show: impl FnOnce(&mut dyn Visit)) -> Self {
        let mut fields = Self::default();
        show(&mut fields);
        fields
    }

    fn set(&mut self, field: &Field, value: impl FnOnce() -> String) {
        let place = match field.name() {
            TASK => &mut self.task,
            PROJECT => &mut self.project,
            _ => return,
        };
        *place = word(&value());
    }
}

/// Whole numbers are ids too. Of a fraction or a flag nobody makes an id, and they are written as they are.
impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, || value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, || format!("{value:?}"));
    }
}

/// What is kept with a span.
#[derive(Debug, Default)]
pub(super) struct Work {
    task: Option<String>,
    pub(super) project: Option<String>,
    /// It has been left once, or a span in it was entered: its trace has an id.
    has_started: bool,
    /// The layers that have seen to this task.
    seen_to: Vec<usize>,
}

impl Work {
    pub(super) fn of(fields: Fields) -> Self {
        Self { task: fields.task, project: fields.project, ..Self::default() }
    }

    /// Takes what was recorded later, and says whether the span has started.
    pub(super) fn change(&mut self, fields: Fields) -> bool {
        if fields.task.is_some() && fields.task != self.task {
            self.task = fields.task;
            self.seen_to.clear();
        }
        self.project = fields.project.or_else(|| self.project.take());
        self.has_started
    }

    /// Whether [`Self::start`] has something to do.
    pub(super) fn is_due(&self, layer: usize) -> bool {
        !self.has_started || (self.task.is_some() && !self.seen_to.contains(&layer))
    }

    /// The span has started. Returns its task, the first time that this layer asks for it.
    pub(super) fn start(&mut self, layer: usize) -> Option<String> {
        self.has_started = true;
        let task = self.task.as_ref().filter(|_| !self.seen_to.contains(&layer))?;
        self.seen_to.push(layer);
        Some(task.clone())
    }
}
