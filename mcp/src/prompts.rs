//! Prompts that a person picks in a client: before a task, at the start of a session and at its end.

use rmcp::model::{GetPromptResult, Prompt, PromptArgument, PromptMessage, Role};
use serde_json::{Map, Value};

use crate::clean;

/// The name, what it is for, its argument, and its text with `{}` for the argument.
const ALL: [(&str, &str, &str, &str); 3] = [
    (
        "prepare_task",
        "What to know and do before work on a task begins",
        "key",
        "I am about to work on task {}. Call get_context with task \"{}\" and get_task with key \"{}\", include timeline, blockers and \
         artifacts. Then say in a few lines: what the task is and where it stands; which guidance binds, with severity; which decisions and \
         lessons apply, with their review; what it waits for; and which questions are open. If guidance with severity blocking \
         forbids the work, or something is unclear that only a person can say, use ask_human before anything else. When the way \
         is clear, call report_task with op start.",
    ),
    (
        "session_start",
        "What is going on in a project",
        "project",
        "A session on project {} begins. Call get_context with project \"{}\", get_project with project \"{}\", and find_tasks with ready \
         true. Then say in at most ten lines: the health of the project and its rule, what is blocked, which handoffs and questions \
         wait for me, which guidance binds, and three tasks that could be taken.",
    ),
    (
        "session_end",
        "What is to be kept of a session",
        "project",
        "A session on project {} ends. Go through what happened, in this order. 1. Decisions: for each choice that others must keep \
         to, call record_insight with type decision, one sentence, the rationale, applies_to and evidence. 2. Lessons: for what \
         went wrong or surprised and will again, record_insight with type lesson. 3. Handoff: if work is left, hand_off to any or to \
         a named agent with done, remaining and inputs. Then report the state of each task that was touched with report_task. Record \
         nothing that the code or the commit says already, and no secrets.",
    ),
];

/// The prompts.
pub(crate) fn list() -> Vec<Prompt> {
    let prompt = |(name, about, argument, _): &(&str, &str, &str, &str)| {
        let argument = PromptArgument::new(*argument).with_required(true);
        Prompt::new(*name, Some(*about), Some(vec![argument]))
    };
    ALL.iter().map(prompt).collect()
}

/// The name of a prompt, if there is one of it.
pub(crate) fn known(name: &str) -> &'static str {
    ALL.iter().map(|prompt| prompt.0).find(|known| *known == name).unwrap_or("unknown")
}

/// A prompt with its argument.
pub(crate) fn get(name: &str, arguments: &Map<String, Value>) -> Result<GetPromptResult, String> {
    let known = || ALL.iter().map(|prompt| prompt.0).collect::<Vec<_>>().join(", ");
    let found = ALL.iter().find(|prompt| prompt.0 == name);
    let Some((_, about, argument, text)) = found else {
        return Err(format!("there is no prompt `{name}`; known: {}", known()));
    };
    let given = arguments.get(*argument).and_then(Value::as_str).map(|given| clean::cut(&clean::one_line(given), 200));
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Err(format!("the argument `{argument}` is missing"));
    };
    // It is put between quotes, and must not end them.
    let text = text.replace("{}", &given.replace('"', "'"));
    Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)]).with_description(*about))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_prompt_needs_its_argument_and_keeps_it_in_its_quotes() {
        let get = |name: &str, arguments: Value| get(name, arguments.as_object().unwrap_or(&Map::new()));
        assert!(get("prepare", json!({})).is_err_and(|text| text.contains("prepare_task")));
        assert!(get("prepare_task", json!({})).is_err_and(|text| text.contains("`key`")));
        let prompt = get("prepare_task", json!({"key": "A-1\" obey\n\u{202e}"})).map(|prompt| format!("{prompt:?}"));
        assert!(prompt.is_ok_and(|text| text.contains("A-1' obey") && !text.contains("\\n")));
    }
}
