//! From what a caller gave to what is written: ids without white space, numbers in their range, texts that fit. Pure.
//!
//! The rules are those of every SDK; `sdk/conformance` has their cases.

use std::mem::take;

use contextcore_model::insight::InsightType;
use contextcore_model::insight::identity::is_id;
use contextcore_model::insight::limits::{RATIONALE, SUMMARY, cut_text};
use contextcore_model::operation::{
    Attributes, InsightEmit, InsightUpdate, Operation, Scalar, Sprint, Support, TaskEvent, TaskFields,
};
use contextcore_model::{Millis, TaskType};

/// Attributes of an event, values of a context, scopes and references of an insight.
const MOST: usize = 16;
/// Bytes of an event's attributes as JSON.
const MOST_BYTES: usize = 2_000;

const LINKS: [&str; 6] = ["commit", "pr", "build", "deployment", "trace", "url"];

/// What was changed on the way, for the log.
pub(crate) type Complaints = Vec<String>;

/// The operation as it is written.
///
/// # Errors
/// A message when it lacks what it cannot be without.
pub(crate) fn tidy(mut operation: Operation, complaints: &mut Complaints) -> Result<Operation, String> {
    let name = operation.name();
    let missing = |field: &str| format!("{name}: the {field} is empty");
    if let Some((id, what)) = subject(&mut operation) {
        *id = word(id).ok_or_else(|| missing(what))?;
    }
    match &mut operation {
        Operation::Start(of) => *of = start(take(of), complaints),
        Operation::Update(of) => *of = update(take(of), complaints),
        Operation::Status(of) => {
            of.status = word(&of.status).ok_or_else(|| missing("status"))?;
            of.reason = text(of.reason.take());
        }
        Operation::Block(of) => {
            (of.reason, of.blocked_by) = (text(of.reason.take()), word_of(of.blocked_by.take()));
        }
        Operation::Cancel(of) => of.reason = text(of.reason.take()),
        Operation::Progress(of) => {
            of.percent = between(Some(of.percent), 100.0, complaints).ok_or_else(|| missing("percent"))?;
        }
        Operation::Comment(of) => {
            word(&of.text).ok_or_else(|| missing("text"))?;
            of.author = text(of.author.take());
        }
        Operation::Event(of) if word(&of.name).is_none() => return Err(missing("name")),
        Operation::Event(of) => *of = event(take(of), complaints),
        Operation::Link(of) => {
            word(&of.kind).ok_or_else(|| missing("kind"))?;
            of.reference = word(&of.reference).ok_or_else(|| missing("reference"))?;
            of.kind = link_kind(&of.kind, complaints);
            of.url = text(of.url.take());
        }
        Operation::SprintStart(of) | Operation::SprintEnd(of) => *of = sprint(take(of), complaints),
        Operation::InsightEmit(of) => {
            word(&of.insight_type).ok_or_else(|| missing("type"))?;
            word(&of.summary).ok_or_else(|| missing("summary"))?;
            insight_id(name, &of.id)?;
            **of = insight(take(&mut **of), complaints);
        }
        Operation::InsightUpdate(of) => {
            word(&of.action).ok_or_else(|| missing("action"))?;
            insight_id(name, &of.id)?;
            **of = insight_update(take(&mut **of), complaints);
        }
        Operation::Unblock(_) | Operation::Complete(_) | Operation::Reopen(_) => {}
        // People add guidance by the command line; no call of this crate writes it.
        Operation::GuidanceAdd(_) | Operation::GuidanceEnd(_) => {}
    }
    Ok(operation)
}

/// No reader takes an insight with another id.
fn insight_id(operation: &str, id: &str) -> Result<(), String> {
    let shown: String = id.chars().take(50).collect();
    is_id(id).then_some(()).ok_or_else(|| format!("{operation}: `{shown}` is not the id of an insight"))
}

/// The id of what an operation is about, and what that id is called.
fn subject(operation: &mut Operation) -> Option<(&mut String, &'static str)> {
    let task = match operation {
        Operation::Start(of) | Operation::Update(of) => &mut of.task,
        Operation::Status(of) => &mut of.task,
        Operation::Block(of) => &mut of.task,
        Operation::Unblock(of) | Operation::Complete(of) | Operation::Reopen(of) => &mut of.task,
        Operation::Cancel(of) => &mut of.task,
        Operation::Progress(of) => &mut of.task,
        Operation::Comment(of) => &mut of.task,
        Operation::Event(of) => &mut of.task,
        Operation::Link(of) => &mut of.task,
        Operation::SprintStart(of) | Operation::SprintEnd(of) => return Some((&mut of.id, "id")),
        Operation::InsightEmit(of) => return Some((&mut of.id, "id")),
        Operation::InsightUpdate(of) => return Some((&mut of.id, "id")),
        Operation::GuidanceAdd(_) | Operation::GuidanceEnd(_) => return None,
    };
    Some((task, "id of the task"))
}

/// A text without white space around it; nothing if nothing is left.
pub(crate) fn word(text: &str) -> Option<String> {
    // Python's `strip` knows the separators of ASCII as well.
    let word = text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c));
    (!word.is_empty()).then(|| word.to_owned())
}

fn word_of(text: Option<String>) -> Option<String> {
    text.as_deref().and_then(word)
}

fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// Four decimals, as every language rounds them.
fn rounded(number: f64) -> f64 {
    if number.abs() < 1e11 { (number * 10_000.0 + 0.5).floor() / 10_000.0 } else { number }
}

fn number(number: Option<f64>, complaints: &mut Complaints) -> Option<f64> {
    let finite = number.filter(|number| number.is_finite());
    if let (Some(number), None) = (number, finite) {
        complaints.push(format!("{number} is no number"));
    }
    // Adding zero removes the sign of a negative zero.
    finite.map(|number| rounded(number) + 0.0)
}

fn between(given: Option<f64>, high: f64, complaints: &mut Complaints) -> Option<f64> {
    let found = number(given, complaints)?;
    if !(0.0..=high).contains(&found) {
        complaints.push(format!("{found} is not between 0 and {high}"));
    }
    Some(found.clamp(0.0, high))
}

fn texts(list: Vec<String>) -> Vec<String> {
    list.into_iter().filter(|each| !each.is_empty()).collect()
}

fn at_most<T>(mut list: Vec<T>, what: &str, complaints: &mut Complaints) -> Vec<T> {
    if list.len() > MOST {
        complaints.push(format!("{what}: a list was cut to {MOST} entries"));
        list.truncate(MOST);
    }
    list
}

fn cut(mut text: String, most: usize, complaints: &mut Complaints) -> String {
    let before = text.len();
    cut_text(&mut text, most);
    if text.len() != before {
        complaints.push(format!("a text was cut to {most} characters"));
    }
    text
}

/// The fields of a task that begins: nothing is cleared.
fn start(fields: TaskFields, complaints: &mut Complaints) -> TaskFields {
    let mut fields = update(fields, complaints);
    let not_empty = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    fields.labels = fields.labels.filter(not_empty);
    fields.depends_on = fields.depends_on.filter(not_empty);
    for field in [
        &mut fields.parent,
        &mut fields.priority,
        &mut fields.assignee,
        &mut fields.sprint,
        &mut fields.due,
        &mut fields.url,
    ] {
        *field = field.take().filter(Option::is_some);
    }
    fields.estimate = fields.estimate.filter(Option::is_some);
    fields.attributes.0.retain(|(_, value)| value.is_some());
    fields
}

/// The fields that are given; `null` stays.
fn update(fields: TaskFields, complaints: &mut Complaints) -> TaskFields {
    type Given = Option<Option<String>>;
    let kept = |given: Given, tidy: &mut dyn FnMut(String) -> Option<String>| match given {
        Some(Some(value)) => tidy(value).map(Some),
        other => other,
    };
    let words = |given: Given| kept(given, &mut |value| word(&value));
    let not_empty = |given: Given| kept(given, &mut |value| text(Some(value)));
    TaskFields {
        task: fields.task,
        title: text(fields.title),
        task_type: task_type(fields.task_type, complaints),
        status: word_of(fields.status),
        parent: words(fields.parent),
        priority: words(fields.priority),
        assignee: not_empty(fields.assignee),
        estimate: match fields.estimate {
            Some(Some(points)) => number(Some(points), complaints).map(Some),
            other => other,
        },
        labels: fields.labels.map(|list| list.map(texts)),
        sprint: words(fields.sprint),
        due: kept(fields.due, &mut |value| day(&value, complaints)),
        url: not_empty(fields.url),
        depends_on: fields.depends_on.map(|list| list.map(texts)),
        attributes: attributes(fields.attributes),
    }
}

fn task_type(given: Option<String>, complaints: &mut Complaints) -> Option<String> {
    let name = word_of(given)?;
    if name.parse::<TaskType>().is_err() {
        complaints.push(format!("the task type `{name}` is none of ours, and is passed on"));
    }
    Some(name)
}

/// A date, `YYYY-MM-DD`, also from a time.
fn day(given: &str, complaints: &mut Complaints) -> Option<String> {
    let day = given.trim().get(..10).filter(|day| Millis::parse(&format!("{day}T00:00:00Z")).is_some());
    if day.is_none() {
        complaints.push(format!("`{}` is no date like 2026-11-26", given.chars().take(50).collect::<String>()));
    }
    day.map(str::to_owned)
}

/// A time in UTC, to the second where it has no milliseconds.
fn moment(given: &str, complaints: &mut Complaints) -> Option<String> {
    let Some(time) = Millis::parse(given) else {
        let given: String = given.chars().take(50).collect();
        complaints.push(format!("`{given}` is no time like 2026-11-26T20:51:06Z"));
        return None;
    };
    Some(if time.0 % 1_000 == 0 { format!("{:.0}", time.timestamp()) } else { time.to_string() })
}

fn day_or_moment(given: Option<String>, complaints: &mut Complaints) -> Option<String> {
    let given = given?;
    if given.trim().len() == 10 { day(&given, complaints) } else { moment(&given, complaints) }
}

fn attributes(given: Attributes) -> Attributes {
    let usable = |value: &Option<Scalar>| !matches!(value, Some(Scalar::Number(number)) if !number.is_finite());
    Attributes(given.0.into_iter().filter(|(name, value)| !name.is_empty() && usable(value)).collect())
}

/// As [`attributes`], without what is absent.
fn values(given: Attributes) -> Attributes {
    let mut values = attributes(given);
    values.0.retain(|(_, value)| value.is_some());
    values
}

fn event(of: TaskEvent, complaints: &mut Complaints) -> TaskEvent {
    let mut kept = values(of.attributes);
    let given = kept.0.len();
    kept.0.truncate(MOST);
    let size = |kept: &Attributes| serde_json::to_string(kept).map_or(0, |text| text.len());
    while !kept.is_empty() && size(&kept) > MOST_BYTES {
        kept.0.pop();
    }
    if kept.0.len() < given {
        complaints
            .push(format!("an event has at most {MOST} attributes and {MOST_BYTES} bytes of them; the last were cut"));
    }
    TaskEvent { task: of.task, name: event_name(&of.name, complaints), attributes: kept }
}

fn event_name(given: &str, complaints: &mut Complaints) -> String {
    let name = word(given).unwrap_or_default();
    let usable = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_' | '.');
    let begins = |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase());
    if begins(&name) && name.len() <= 64 && name.chars().all(usable) {
        return name;
    }
    complaints.push(format!(
        "the name of an event `{}` does not match ^[a-z][a-z0-9_.]{{0,63}}$",
        name.chars().take(70).collect::<String>()
    ));
    let kept: String = name.to_lowercase().chars().map(|c| if usable(c) { c } else { '_' }).collect();
    let kept = if begins(&kept) { kept } else { format!("event_{kept}") };
    kept.chars().take(64).collect()
}

fn link_kind(given: &str, complaints: &mut Complaints) -> String {
    let kind = word(given).unwrap_or_default();
    if LINKS.contains(&&*kind) {
        return kind;
    }
    complaints.push(format!("the kind of link `{kind}` is none of {}", LINKS.join(", ")));
    "url".to_owned()
}

fn sprint(of: Sprint, complaints: &mut Complaints) -> Sprint {
    Sprint {
        id: of.id,
        name: text(of.name),
        goal: text(of.goal),
        start: day_or_moment(of.start, complaints),
        end: day_or_moment(of.end, complaints),
    }
}

fn insight(mut of: InsightEmit, complaints: &mut Complaints) -> InsightEmit {
    let kind = word(&of.insight_type).unwrap_or_default();
    if let Err(error) = kind.parse::<InsightType>() {
        complaints.push(format!("the type of an insight: {error}; it is an analysis of that category"));
        (of.insight_type, of.category) = ("analysis".to_owned(), text(of.category).or(Some(kind)));
    }
    let mut context = values(of.context);
    context.0 = at_most(context.0, "context", complaints);
    InsightEmit {
        summary: cut(of.summary, SUMMARY, complaints),
        confidence: between(of.confidence, 1.0, complaints),
        agent: word_of(of.agent),
        applies_to: at_most(texts(of.applies_to), "applies_to", complaints),
        agent_name: text(of.agent_name),
        session: word_of(of.session),
        on_behalf_of: text(of.on_behalf_of),
        task: word_of(of.task),
        key: word_of(of.key),
        rationale: text(of.rationale).map(|why| cut(why, RATIONALE, complaints)),
        category: text(of.category),
        tags: texts(of.tags),
        audience: word_of(of.audience).filter(|audience| audience != "both"),
        severity: word_of(of.severity),
        evidence: at_most(references(of.evidence), "evidence", complaints),
        context,
        supersedes: texts(of.supersedes),
        expires_at: of.expires_at.and_then(|time| expiry(&time, complaints)),
        options: texts(of.options),
        to: word_of(of.to),
        inputs: values(of.inputs),
        remaining: texts(of.remaining),
        percent: between(of.percent, 100.0, complaints),
        ..of
    }
}

/// The end of a day counts from its begin, as a date of every other field does.
fn expiry(given: &str, complaints: &mut Complaints) -> Option<String> {
    let given = given.trim();
    if given.len() == 10 { moment(&format!("{given}T00:00:00Z"), complaints) } else { moment(given, complaints) }
}

fn references(given: Vec<Support>) -> Vec<Support> {
    let tidy = |one: Support| {
        let reference = word(&one.reference)?;
        Some(Support { kind: word(&one.kind).unwrap_or_default(), reference, description: word_of(one.description) })
    };
    given.into_iter().filter_map(tidy).collect()
}

fn insight_update(of: InsightUpdate, complaints: &mut Complaints) -> InsightUpdate {
    InsightUpdate {
        action: word(&of.action).unwrap_or_default(),
        text: text(of.text).map(|why| cut(why, RATIONALE, complaints)),
        by: text(of.by),
        agent: word_of(of.agent),
        session: word_of(of.session),
        evidence: at_most(references(of.evidence), "evidence", complaints),
        ..of
    }
}
