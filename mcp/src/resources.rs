//! Resources: a project, a task, an insight as JSON, and the guidance of a project as Markdown.

use contextcore_core::model::guidance::in_force;
use contextcore_core::query::ProjectQuery;
use rmcp::model::{ReadResourceResult, Resource, ResourceContents, ResourceTemplate};
use serde_json::json;

use crate::answer::{Answer, Problem};
use crate::backend::Backend;
use crate::caller::Caller;
use crate::clean;
use crate::definitions::Definition;
use crate::tools;

const SCHEME: &str = "contextcore://";
const JSON: &str = "application/json";
/// The longest text of a resource, in bytes.
const LONGEST: usize = 6_000;

/// The templates of all resources.
pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = |path: &str, name: &str, about: &str, kind: &str| {
        ResourceTemplate::new(format!("{SCHEME}{path}"), name).with_description(about).with_mime_type(kind)
    };
    vec![
        template("project/{id}", "project", "A project in numbers: is it on track?", JSON),
        template("task/{key}", "task", "A task with its timeline, blockers and artifacts", JSON),
        template("insight/{id}", "insight", "An insight in full, with its history", JSON),
        template("guidance/{project}", "guidance", "Guidance from people for agents in a project", "text/markdown"),
    ]
}

/// The projects in sight, and their guidance.
pub(crate) fn list(backend: &dyn Backend, caller: &Caller) -> Result<Vec<Resource>, Problem> {
    let reads = backend.open()?;
    let mut listed = Vec::new();
    for project in reads.projects()?.into_iter().filter(|project| caller.sees(&project.id)) {
        let (id, name) = (encoded(&project.id), clean::cut(&clean::one_line(&project.name), 200));
        listed.push(Resource::new(format!("{SCHEME}project/{id}"), name.clone()).with_mime_type(JSON));
        let guidance = Resource::new(format!("{SCHEME}guidance/{id}"), format!("Guidance of {name}"));
        listed.push(guidance.with_mime_type("text/markdown"));
    }
    Ok(listed)
}

/// Reads a resource.
pub(crate) fn read(
    backend: &dyn Backend,
    caller: &Caller,
    uri: &str,
    random: u64,
) -> Result<ReadResourceResult, Problem> {
    let missing = || Problem::usage(format!("there is no resource `{uri}`"));
    let (kind, name) = uri.strip_prefix(SCHEME).and_then(|path| path.split_once('/')).ok_or_else(missing)?;
    let name = decoded(name).filter(|name| !name.is_empty()).ok_or_else(missing)?;
    let call = |tool: &str, arguments: serde_json::Value| {
        let tool = Definition::of(tool).ok_or_else(missing)?;
        tools::call(backend, caller, tool, arguments.as_object().unwrap_or(&serde_json::Map::new()), None, random)
    };
    let (text, kind) = match kind {
        "project" => (call("get_project", json!({"project": name}))?.json, JSON),
        "task" => {
            (call("get_task", json!({"key": name, "include": ["timeline", "blockers", "artifacts"]}))?.json, JSON)
        }
        "insight" => (call("find_insights", json!({"id": name}))?.json, JSON),
        "guidance" => (guidance(backend, caller, &name)?, "text/markdown"),
        _ => return Err(missing()),
    };
    Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri).with_mime_type(kind)]))
}

/// The guidance of a project as Markdown, the binding first.
fn guidance(backend: &dyn Backend, caller: &Caller, project: &str) -> Result<String, Problem> {
    let mut text = String::new();
    tools::with(backend, caller, 0, |call| {
        let project = call.visible(project)?;
        if call.reads.project_config(&project).is_none() {
            call.reads.project(&ProjectQuery { project: project.clone(), sprint: None })?;
        }
        let items = in_force(call.reads.guidance(&project)?, call.now);
        text = format!("# Guidance of {}\n", clean::cut(&clean::one_line(&project), 200));
        if items.is_empty() {
            text.push_str("\nThere is no guidance.\n");
        }
        for (place, item) in items.iter().enumerate() {
            let mut row = tools::get_context::guidance_row(item);
            clean::answer(&mut row);
            let of = |name: &str| row.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            let more = [
                ("scope", of("scope")),
                ("until", of("until")),
                ("why", of("why")),
                ("from", of("from")),
                ("trust", of("trust")),
            ];
            let more =
                more.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name} {value}"));
            let line = format!("\n- **{}** {} ({})", of("severity"), of("rule"), more.collect::<Vec<_>>().join("; "));
            if text.len() + line.len() > LONGEST - 40 {
                text.push_str(&format!("\n\n{} more", items.len() - place));
                break;
            }
            text.push_str(&line);
        }
        Ok(Answer::default())
    })?;
    Ok(text)
}

/// A name as a part of an address.
fn encoded(name: &str) -> String {
    contextcore_core::model::operation::percent_encode(name)
}

/// A part of an address as a name.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_an_address() {
        for name in ["PROJ-1", "acme/shop#12", "é %", "a b"] {
            assert_eq!(decoded(&encoded(name)).as_deref(), Some(name));
        }
        assert_eq!(decoded("%zz"), None);
    }
}
