//! The tools. Each file reads the arguments of one or a few of them, asks the [`Reads`], and gives an [`Answer`]; what all have in
//! common is here: the check of arguments, the project that is meant, the time and age of the data, cleaning, and the budget.

mod diverse;
mod find_tasks;
pub(crate) mod get_context;
mod get_project;
mod get_task;
mod hint;
mod history;
mod insight;
mod insights;
mod people;
mod report_task;
mod task;

use contextcore_core::config::nearest_known;
use contextcore_core::model::insight::identity;
use contextcore_core::model::leak::looks_like_secret;
use contextcore_core::model::operation::Operation;
use contextcore_core::query::{ShowView, TaskSelector};
use contextcore_core::{ErrorKind, Millis};
use serde_json::{Map, Value, json};

use crate::answer::{self, Answer, Problem};
use crate::backend::{Backend, Reads, Written};
use crate::budget;
use crate::caller::Caller;
use crate::clean;
use crate::deadline::Deadline;
use crate::definitions::Definition;
use crate::fence::Fence;
use crate::scoped::Scoped;

/// All that a tool needs for one call.
pub(crate) struct Call<'a> {
    pub(crate) backend: &'a dyn Backend,
    pub(crate) reads: &'a dyn Reads,
    pub(crate) caller: &'a Caller,
    pub(crate) fence: Fence,
    pub(crate) now: Millis,
    /// The task whose untrusted text was served to the agent lately.
    pub(crate) tainted_by: Option<String>,
    /// Random, for what needs an id of its own.
    pub(crate) random: u64,
    deadline: Deadline,
}

/// What is one call's own.
#[derive(Debug, Default)]
pub(crate) struct CallContext {
    /// The task whose untrusted text was served to the agent lately.
    pub(crate) tainted_by: Option<String>,
    /// What it passes before it writes.
    pub(crate) deadline: Deadline,
    /// Random, for what needs an id or a mark of its own.
    pub(crate) random: u64,
}

impl CallContext {
    /// One of an agent that read nothing untrusted.
    pub(crate) fn of(random: u64) -> Self {
        Self { random, ..Self::default() }
    }
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The answer as one line of JSON.
    pub(crate) json: String,
    /// The same as a value.
    pub(crate) value: Value,
    /// Whether it holds untrusted text.
    pub(crate) is_untrusted: bool,
    /// The project that it is about, where the caller's next step needs to know.
    pub(crate) project: Option<String>,
}

impl Outcome {
    /// The answer without the id of what the call itself is about: who writes an insight does not read it.
    pub(crate) fn read(&self, is_write: bool) -> String {
        let Value::Object(fields) = &self.value else { return self.json.clone() };
        let is_shown = |name: &String| !is_write || name != "id";
        Value::Object(fields.clone().into_iter().filter(|(name, _)| is_shown(name)).collect()).to_string()
    }
}

/// The ids of the insights in an answer, each once.
pub(crate) fn insight_ids(json: &str) -> Vec<String> {
    let starts = json.match_indices(r#""id":"ins_"#).map(|(at, _)| at + r#""id":""#.len());
    let mut ids: Vec<String> = starts.filter_map(|at| json[at..].split('"').next().map(str::to_owned)).collect();
    ids.retain(|id| identity::is_id(id));
    ids.sort();
    ids.dedup();
    ids
}

/// Answers a call. May block.
pub(crate) fn call(
    backend: &dyn Backend,
    caller: &Caller,
    tool: &Definition,
    arguments: &Map<String, Value>,
    turn: CallContext,
) -> Result<Outcome, Problem> {
    check(tool, arguments)?;
    let repo = arguments.get("repo").and_then(Value::as_str);
    answered(backend, (caller, repo), turn, |call| match tool.name.as_str() {
        "get_context" => get_context::answer(call, arguments),
        "find_insights" => insights::find(call, arguments),
        "record_insight" => insights::record(call, arguments),
        "update_insight" => insights::update(call, arguments),
        "ask_human" => people::ask(call, arguments),
        "hand_off" => people::hand_off(call, arguments),
        "find_tasks" => find_tasks::answer(call, arguments),
        "get_task" => get_task::answer(call, arguments),
        "get_project" => get_project::answer(call, arguments),
        "report_task" => report_task::answer(call, arguments),
        name => Err(Problem::refused(format!("`{name}` is not in this build"))),
    })
}

/// Checks the arguments of a call before anything is opened for it.
pub(crate) fn check(tool: &Definition, arguments: &Map<String, Value>) -> Result<(), Problem> {
    crate::arguments::check(&tool.input_schema(), arguments)?;
    if tool.write { refuse_secrets(arguments) } else { Ok(()) }
}

/// Keeps the answer that a client collected for a question. May block.
pub(crate) fn keep_answer(
    backend: &dyn Backend,
    caller: &Caller,
    deadline: Deadline,
    (project, id): (&str, &str),
    text: &str,
) -> Result<Outcome, Problem> {
    refuse_secrets(&Map::from_iter([("answer".to_owned(), json!(text))]))?;
    let turn = CallContext { deadline, ..CallContext::default() };
    with(backend, caller, turn, |call| people::answered(call, (project, id), text))
}

/// Makes a change of an insight that was read a while ago.
#[cfg(test)]
pub(crate) fn change(
    backend: &dyn Backend,
    caller: &Caller,
    before: &contextcore_core::query::InsightView,
    action: contextcore_core::model::insight::InsightAction,
) -> Result<Outcome, Problem> {
    with(backend, caller, CallContext::default(), |call| {
        call.update(before, action, None, Vec::new()).map(|_| Answer::default())
    })
}

/// Opens what is stored, gets an answer, and finishes it.
pub(crate) fn with(
    backend: &dyn Backend,
    caller: &Caller,
    turn: CallContext,
    answer: impl FnOnce(&Call<'_>) -> Result<Answer, Problem>,
) -> Result<Outcome, Problem> {
    answered(backend, (caller, None), turn, answer)
}

fn answered(
    backend: &dyn Backend,
    (caller, repo): (&Caller, Option<&str>),
    turn: CallContext,
    answer: impl FnOnce(&Call<'_>) -> Result<Answer, Problem>,
) -> Result<Outcome, Problem> {
    let CallContext { tainted_by, deadline, random } = turn;
    let mut all = backend.open()?;
    if let Some(repo) = repo {
        all.mean_repository(repo);
    }
    let scoped = Scoped { all: &*all, caller };
    let reads: &dyn Reads = if caller.is_restricted() { &scoped } else { &*all };
    #[expect(clippy::cast_possible_truncation, reason = "half of the random bits")]
    let fence = Fence::new(random as u32);
    let answer = answer(&Call { backend, reads, caller, fence, now: backend.now(), tainted_by, random, deadline })?;
    let budget = answer.budget.unwrap_or(budget::DEFAULT);
    finish(answer, &reads.freshness()?, budget)
}

/// How many rows of a list fit a budget, with what stands around them.
fn fitting(rows: &[Value], budget: usize) -> usize {
    const AROUND: usize = 120;
    /// A whole result has the JSON twice, so bytes can run out before tokens.
    const MOST_BYTES: usize = 9_500;
    let (mut tokens, mut bytes) = (AROUND, 0);
    let fits = |row: &&Value| {
        let mut row = (*row).clone();
        clean::answer(&mut row);
        budget::shorten_times(&mut row);
        let text = row.to_string();
        tokens += budget::tokens(&text) + 1;
        bytes += text.len();
        tokens <= budget && bytes <= MOST_BYTES
    };
    rows.iter().take_while(fits).count()
}

/// Cleans an answer, adds the time and age of the data and the fenced texts, and cuts it to its budget.
fn finish(answer: Answer, freshness: &contextcore_core::query::Freshness, budget: usize) -> Result<Outcome, Problem> {
    let project = answer.project;
    let mut value = Value::Object(answer.fields);
    let changed = clean::answer(&mut value);
    let Value::Object(cleaned) = value else { return Err(Problem::refused("the answer is no object")) };
    let is_untrusted = !answer.untrusted.is_empty();
    let mut fields = Map::new();
    fields.insert("as_of".to_owned(), answer::json(&freshness.as_of));
    fields.extend(cleaned);
    if is_untrusted {
        fields.insert("text".to_owned(), answer.untrusted.iter().map(crate::fence::Fenced::json).collect());
    }
    if changed > 0 {
        fields.insert("sanitised".to_owned(), json!(changed));
    }
    if !freshness.stale.is_empty() {
        let stale = freshness
            .stale
            .iter()
            .map(|lag| json!({"source": clean::one_line(&lag.source), "lag": lag.lag.map(f64::round)}));
        let mut stale = Value::Array(stale.collect());
        clean::answer(&mut stale);
        fields.insert("stale".to_owned(), stale);
    }
    fields.values_mut().for_each(budget::shorten_times);
    budget::fit(&mut fields, budget, answer.lists);
    let value = Value::Object(fields);
    Ok(Outcome { json: value.to_string(), value, is_untrusted, project })
}

/// Refuses a call that holds what looks like a secret, wherever it stands.
fn refuse_secrets(arguments: &Map<String, Value>) -> Result<(), Problem> {
    fn search(value: &Value) -> Option<&'static str> {
        match value {
            Value::String(text) => secret(text),
            Value::Array(items) => items.iter().find_map(search),
            Value::Object(fields) => {
                fields.iter().find_map(|(name, value)| secret(name).or_else(|| named(name, value)))
            }
            _ => None,
        }
    }
    /// A name beside its value is read as one text too: `password` and what it is.
    fn named(name: &str, value: &Value) -> Option<&'static str> {
        let together = value.as_str().and_then(|text| secret(&format!("{name}={text}")));
        together.or_else(|| search(value))
    }
    /// A text as it came, and as it will be stored: cleaning joins what a link or an image had parted.
    fn secret(text: &str) -> Option<&'static str> {
        let stored = || [clean::one_line(text), clean::lines(text)];
        looks_like_secret(text).or_else(|| stored().iter().find_map(|text| looks_like_secret(text)))
    }
    for (name, value) in arguments {
        if let Some(what) = search(value) {
            return Err(Problem::refused(format!(
                "`{name}` looks like a secret ({what}); nothing was stored: leave it out"
            )));
        }
    }
    Ok(())
}

impl Call<'_> {
    /// Writes an operation, as whom it came from, unless the client has the answer already that the call took too long.
    pub(crate) fn write(&self, project: &str, operation: Operation) -> Result<Written, Problem> {
        self.deadline.pass()?;
        Ok(self.backend.write(project, operation, &self.caller.agent)?)
    }

    /// Paths as insights and guidance have them.
    pub(crate) fn make_relative(&self, paths: &mut [String]) {
        paths.iter_mut().for_each(|path| *path = self.reads.relative(path));
    }

    /// An id for what is new each time.
    pub(crate) fn random_id(&self) -> String {
        contextcore_core::model::insight::identity::random_id(self.random.to_be_bytes())
    }

    /// The project that is meant: the argument, else that of the caller, else the only one in sight.
    pub(crate) fn project(&self, given: Option<&str>) -> Result<String, Problem> {
        if let Some(project) = given.or(self.caller.project.as_deref()) {
            return self.visible(project);
        }
        let known = self.known_projects()?;
        match known.as_slice() {
            [] => Err(Problem::usage("no project is known yet; name one with `project`")),
            [only] => Ok(only.clone()),
            several => Err(Problem::usage(format!("which project? Name one with `project`: {}", several.join(", ")))),
        }
    }

    /// A project that the caller may see. One outside its sight is answered like one that does not exist.
    pub(crate) fn visible(&self, project: &str) -> Result<String, Problem> {
        if self.caller.sees(project) {
            return Ok(project.to_owned());
        }
        let known = self.known_projects()?;
        let names: Vec<&str> = known.iter().map(String::as_str).collect();
        let hint = match nearest_known(project, &names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known: {}", names.join(", ")),
        };
        Err(Problem::usage(format!("there is no project `{project}`; {hint}")))
    }

    /// The projects in sight.
    fn known_projects(&self) -> Result<Vec<String>, Problem> {
        let all = self.reads.projects()?;
        Ok(all.into_iter().map(|project| project.id).filter(|id| self.caller.sees(id)).collect())
    }

    /// The task of this key, if the caller may see it: of the project that is meant, if that has one.
    pub(crate) fn task(&self, key: &str) -> Result<ShowView, Problem> {
        self.task_of(key, None)
    }

    /// The same in a project, if one is given.
    pub(crate) fn task_of(&self, key: &str, project: Option<&str>) -> Result<ShowView, Problem> {
        if let Some(project) = project {
            let project = self.visible(project)?;
            return self.task_in(self.reads, key, &project)?.ok_or_else(|| no_task(key));
        }
        match &self.caller.projects {
            Some(projects) if self.caller.is_restricted() => self.task_among(key, projects),
            _ => match self.reads.task(&TaskSelector::of(key)) {
                // Several sources or projects have one with this key.
                Err(error) if error.kind() == ErrorKind::Config => self.task_among(key, &self.known_projects()?),
                found => Ok(found?),
            },
        }
    }

    /// The same after a change of it was written, which was after what is read was opened. What cannot be read is not there yet.
    pub(crate) fn task_after(&self, key: &str, project: &str) -> Result<Option<ShowView>, Problem> {
        let all = self.backend.open()?;
        Ok(self.task_in(&Scoped { all: &*all, caller: self.caller }, key, project).ok().flatten())
    }

    /// The task of this key in a project, in what was opened.
    fn task_in(&self, reads: &dyn Reads, key: &str, project: &str) -> Result<Option<ShowView>, Problem> {
        match reads.task(&TaskSelector::of(key).in_project(project)) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            // What is not known of the project at all has no task either; which sources there are is no matter of who sees one of them.
            Err(error) if error.kind() == ErrorKind::Config && error.full().contains("there is no ") => Ok(None),
            Err(error) if error.kind() == ErrorKind::Config => Err(Problem::usage(format!(
                "`{key}` is the key of several tasks of `{project}`: give the own id that their tool has"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// The task of this key in one of the projects: that of the caller, else the only one that is not deleted.
    fn task_among(&self, key: &str, projects: &[String]) -> Result<ShowView, Problem> {
        if let Some(project) = &self.caller.project
            && let Some(found) = self.task_in(self.reads, key, project)?
        {
            return Ok(found);
        }
        let mut found = Vec::new();
        for project in projects {
            found.extend(self.task_in(self.reads, key, project)?.map(|view| (project.as_str(), view)));
        }
        if found.iter().any(|(_, view)| view.task.deleted.is_none()) {
            found.retain(|(_, view)| view.task.deleted.is_none());
        }
        // A project of the portfolio and one of a tool may be the same.
        found.dedup_by(|one, other| one.1.task.span_id == other.1.task.span_id);
        let names: Vec<&str> = found.iter().map(|(project, _)| *project).collect();
        if names.len() > 1 {
            let names = names.join(", ");
            return Err(Problem::usage(format!("`{key}` is a task of each of {names}: name one with `project`")));
        }
        found.pop().map(|(_, view)| view).ok_or_else(|| no_task(key))
    }
}

/// The same words whether a task does not exist or is out of sight.
pub(crate) fn no_task(key: &str) -> Problem {
    contextcore_core::Error::new(ErrorKind::NotFound, format!("there is no task `{key}`")).into()
}

/// A budget that a call gives, or the default one.
pub(crate) fn budget_of(given: Option<i64>) -> usize {
    given.map_or(budget::DEFAULT, |given| {
        usize::try_from(given.clamp(budget::LIMITS.0, budget::LIMITS.1)).unwrap_or(budget::DEFAULT)
    })
}

/// A date or a time.
pub(crate) fn moment(name: &str, text: &str) -> Result<Millis, Problem> {
    let day = || Millis::parse(&format!("{}T00:00:00Z", text.trim()));
    let parsed = Millis::parse(text).or_else(day);
    parsed.ok_or_else(|| {
        Problem::usage(format!(
            "`{name}` is neither a date nor a time: write it like 2026-11-26 or 2026-11-26T09:00:00Z"
        ))
    })
}
