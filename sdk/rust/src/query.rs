//! Questions to whoever holds the insights: the socket of a running helper or service, else the command line.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use contextcore_model::insight::Insight;
use contextcore_spool::StateDir;
use serde::Serialize;
use serde_json::{Value, json};

use crate::environment::variable;

/// A question may take so long.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Where the environment says which agent asks.
const READER: &str = "CONTEXTCORE_AGENT";

/// What is asked. What is not given does not matter.
#[derive(Debug, Clone, Serialize)]
pub struct Query {
    /// The project; by default that of the querier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// One type, such as `decision`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub insight_type: Option<String>,
    /// Words to look for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A file; insights that apply to it come first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Only those of a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Only those of an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// `human` or `agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Only those at least as sure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_confidence: Option<f64>,
    /// How far back; `90d` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// `open` (what still holds) by default, `all`, or one status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// At most so many; 20 by default.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            project: None,
            insight_type: None,
            text: None,
            path: None,
            task: None,
            agent: None,
            audience: None,
            min_confidence: None,
            since: Some("90d".to_owned()),
            status: Some("open".to_owned()),
            limit: 20,
        }
    }
}

/// Asks what was reported: the running service or helper, else the command `contextcore insight query`.
#[derive(Debug, Clone)]
pub struct InsightQuerier {
    project: Option<String>,
    state: Option<PathBuf>,
    reader: Option<String>,
}

impl InsightQuerier {
    /// A querier for a project, with the state directory of the environment.
    pub fn new(project: impl Into<String>) -> Self {
        Self { project: Some(project.into()), state: None, reader: variable(READER) }
    }

    pub(crate) fn of(project: &str, state: Option<&StateDir>, reader: Option<&str>) -> Self {
        Self {
            project: Some(project.to_owned()),
            state: state.map(|state| state.path().to_owned()),
            reader: reader.map(str::to_owned),
        }
    }

    /// Id of the agent that asks. Default: `CONTEXTCORE_AGENT`. What it is given is noted: an agent does not corroborate what it was
    /// given, and handoffs to it come first.
    #[must_use]
    pub fn reader(mut self, agent: impl Into<String>) -> Self {
        self.reader = Some(agent.into());
        self
    }

    /// Where helpers are. Default: `CONTEXTCORE_STATE_DIR`, else `~/.local/state/contextcore`.
    #[must_use]
    pub fn state_dir(mut self, path: impl Into<PathBuf>) -> Self {
        self.state = Some(path.into());
        self
    }

    /// Insights, best first.
    ///
    /// # Errors
    /// When nobody answers, or what is answered cannot be read.
    pub fn query(&self, query: &Query) -> io::Result<Vec<Insight>> {
        let query = Query { project: query.project.clone().or_else(|| self.project.clone()), ..query.clone() };
        let rows = self.answer("insight.query", &json!(query), "insights", &["insight", "query"])?;
        rows.into_iter().map(|row| serde_json::from_value(row).map_err(io::Error::from)).collect()
    }

    /// What stops work at present.
    ///
    /// # Errors
    /// As [`Self::query`], here and below.
    pub fn blockers(&self) -> io::Result<Vec<Insight>> {
        self.of_type("blocker")
    }

    /// Decisions that hold.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn recent_decisions(&self) -> io::Result<Vec<Insight>> {
        self.of_type("decision")
    }

    /// Lessons, for a path if one is given.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn lessons(&self, path: Option<&str>) -> io::Result<Vec<Insight>> {
        let path = path.map(str::to_owned);
        self.query(&Query { insight_type: Some("lesson".to_owned()), path, ..Query::default() })
    }

    /// Questions without an answer.
    ///
    /// # Errors
    /// As [`Self::query`].
    pub fn open_questions(&self) -> io::Result<Vec<Insight>> {
        self.of_type("question")
    }

    fn of_type(&self, insight_type: &str) -> io::Result<Vec<Insight>> {
        self.query(&Query { insight_type: Some(insight_type.to_owned()), ..Query::default() })
    }

    fn guidance(&self, path: Option<&str>) -> io::Result<Vec<Value>> {
        let given = [("project", self.project.as_deref()), ("path", path)];
        let query: BTreeMap<&str, &str> = given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        self.answer("guidance.query", &json!(query), "guidance", &["guide", "list"])
    }

    fn answer(&self, cmd: &str, query: &Value, field: &str, command: &[&str]) -> io::Result<Vec<Value>> {
        let state = self.state.clone().map_or_else(|| StateDir::find(variable), |path| Ok(StateDir::at(path)))?;
        let mut asked = query.clone();
        if let Some(reader) = &self.reader {
            asked["reader"] = json!(reader);
        }
        let request = json!({"v": 1, "cmd": cmd, "query": asked});
        let mut found: Option<Vec<Value>> = None;
        for lane in state.lanes()? {
            let Ok(answer) = lane.ask(&request, TIMEOUT) else { continue };
            if answer["ok"] == true {
                found.get_or_insert_default().extend(rows(answer, field)?);
            }
        }
        let mut rows = match found {
            Some(rows) => merged(rows),
            None => rows(by_command(&state, query, command, self.reader.as_deref())?, field)?,
        };
        rows.truncate(query["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX));
        Ok(rows)
    }
}

fn by_command(state: &StateDir, query: &Value, command: &[&str], reader: Option<&str>) -> io::Result<Value> {
    let unknown = || io::Error::new(io::ErrorKind::NotFound, "CONTEXTCORE_BIN does not name the binary of ContextCore");
    let mut asked = Command::new(variable("CONTEXTCORE_BIN").ok_or_else(unknown)?);
    asked.args(command).args(["--output", "json", "--state"]).arg(state.path()).stdin(Stdio::null());
    asked.envs(reader.map(|reader| (READER, reader)));
    for (name, value) in query.as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        asked.arg(format!("--{}={text}", name.replace('_', "-")));
    }
    let done = asked.output()?;
    if done.status.success() {
        return serde_json::from_slice(&done.stdout).map_err(io::Error::from);
    }
    Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned()))
}

/// The rows of several lanes, each once, in the order in which each lane has them: the best first, as the command has them.
fn merged(mut rows: Vec<Value>) -> Vec<Value> {
    fn order(row: &Value) -> impl Ord + '_ {
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        (Reverse(row["score"].as_u64()), Reverse(text("updated")), text("id"), text("project"))
    }
    // Guidance has no score, and the order of its source.
    if rows.iter().any(|row| row.get("score").is_some()) {
        rows.sort_by(|one, other| order(one).cmp(&order(other)));
    }
    let mut known = BTreeSet::new();
    rows.retain(|row| known.insert(row["id"].to_string()));
    rows
}

/// The rows of an answer: a list, or an object with one.
fn rows(answer: Value, field: &str) -> io::Result<Vec<Value>> {
    match answer {
        Value::Array(rows) => Ok(rows),
        Value::Object(mut object) => match object.remove(field) {
            Some(Value::Array(rows)) => Ok(rows),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("the answer has no list of {field}"))),
        },
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no object")),
    }
}

/// Guidance from people for a project. Guidance binds; insights inform.
#[derive(Debug, Clone)]
pub struct GuidanceReader {
    querier: InsightQuerier,
}

impl GuidanceReader {
    /// Of a project.
    pub fn new(querier: InsightQuerier) -> Self {
        Self { querier }
    }

    /// All of it, for a path if one is given.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn guidance(&self, path: Option<&str>) -> io::Result<Vec<Value>> {
        self.querier.guidance(path)
    }

    /// What must not be done.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn constraints(&self, path: Option<&str>) -> io::Result<Vec<Value>> {
        let mut found = self.guidance(path)?;
        found.retain(|each| each["kind"].as_str().is_none_or(|kind| kind == "constraint"));
        Ok(found)
    }

    /// Constraints that forbid a change.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn blocking(&self, path: Option<&str>) -> io::Result<Vec<Value>> {
        let mut found = self.constraints(path)?;
        found.retain(|each| each["severity"] == "blocking");
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_all_lanes_come_first_and_each_once() {
        let row = |id: &str, score: u64, day: &str| json!({"id": id, "score": score, "updated": day});
        let rows = vec![row("b", 3, "02"), row("a", 1, "01"), row("c", 9, "01"), row("d", 3, "03"), row("a", 1, "01")];
        let ids = |rows: Vec<Value>| -> Vec<String> {
            merged(rows).iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect()
        };
        assert_eq!(ids(rows), ["c", "d", "b", "a"]);
        assert_eq!(ids(vec![json!({"id": "z"}), json!({"id": "a"})]), ["z", "a"], "guidance keeps its order");
    }
}
