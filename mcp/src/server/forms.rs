//! The form that `ask_human` has a client show, and what comes back: sealed, so that only we can have made it, and used once.

use std::time::Duration;

use contextcore_core::lock;
use rmcp::RoleServer;
use rmcp::model::{
    CallToolRequestParams, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
    InputRequest, InputRequiredResult, ProtocolVersion, RequestStateCodec, SealOptions,
};
use rmcp::service::RequestContext;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Server;
use crate::answer::Problem;
use crate::caller::Caller;
use crate::clean;
use crate::deadline::Deadline;
use crate::tools::{self, CallContext, Outcome};

/// How long a form may stay open.
const FORM: Duration = Duration::from_secs(900);
/// What a form is about, sealed so that only we can have made it.
#[derive(Serialize, Deserialize)]
struct Form {
    id: String,
    /// The project of the question, which a call may have named and the client does not name again.
    project: String,
}

impl Server {
    /// A client brings back the form that `ask_human` sent.
    pub(super) async fn form_returned(
        &self,
        caller: &Caller,
        request: &CallToolRequestParams,
        sealed: &str,
        deadline: Deadline,
    ) -> Result<Outcome, Problem> {
        let bound = binding(caller, request);
        let Form { id, project } = self.codec().await?.open_json_with(sealed, &bound).map_err(|_| {
            Problem::refused("this form is not one that was sent for this question, or its time is over")
        })?;
        let given = request.input_responses.as_ref().and_then(|all| all.get("answer"));
        let answered = given.and_then(|given| serde_json::from_value::<ElicitResult>(given.clone()).ok());
        let accepted =
            answered.filter(|result| result.action == ElicitationAction::Accept).and_then(|result| result.content);
        let text = accepted.and_then(|content| Some(content.get("answer")?.as_str()?.to_owned()));
        if let Some(text) = &text
            && !is_allowed(request.arguments.as_ref(), text)
        {
            return Err(Problem::usage("the answer is none of `options`: bring the form back with one of them"));
        }
        let is_first = lock(&self.0.used).insert(id.clone());
        let (used, until) =
            (id.clone(), self.0.backend.now().plus(i64::try_from(FORM.as_millis()).unwrap_or(i64::MAX)));
        if !is_first || !self.blocking(move |backend| Ok(backend.use_form(&used, until)?)).await? {
            return Err(Problem::refused("this form was brought back before"));
        }
        let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
            let answer = crate::answer::Answer::new(json!({"id": id, "status": "open"}), &[]);
            let caller = caller.clone();
            return self
                .blocking(move |backend| tools::with(backend, &caller, CallContext::default(), |_| Ok(answer)))
                .await;
        };
        let caller = caller.clone();
        self.blocking(move |backend| tools::keep_answer(backend, &caller, deadline, (&project, &id), &text)).await
    }

    /// What seals forms.
    async fn codec(&self) -> Result<&RequestStateCodec, Problem> {
        let make = || async {
            let key = self.blocking(|backend| Ok(backend.form_key()?)).await?.unwrap_or_else(rand::random);
            let refused = |error| Problem::refused(format!("the key of forms cannot be used: {error}"));
            RequestStateCodec::try_new(key.to_vec()).map_err(refused)
        };
        self.0.forms.get_or_try_init(make).await
    }

    /// The form that a client shows for a question, if the caller wants that and the client can.
    pub(super) async fn form(
        &self,
        caller: &Caller,
        request: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
        outcome: &Outcome,
    ) -> Option<InputRequiredResult> {
        let arguments = request.arguments.as_ref()?;
        let wants = request.name == "ask_human"
            && request.request_state.is_none()
            && arguments.get("wait") == Some(&json!(true));
        let is_new = context
            .protocol_version()
            .is_some_and(|version| version.as_str() >= ProtocolVersion::V_2026_07_28.as_str());
        let can = context.client_capabilities().is_some_and(|can| can.elicitation.is_some());
        if !(wants && is_new && can) {
            return None;
        }
        let id = outcome.value.get("id")?.as_str()?.to_owned();
        let form = Form { id, project: outcome.project.clone()? };
        let bound = binding(caller, request);
        let options = SealOptions::new().associated_data(&bound).ttl(FORM);
        let state = self.codec().await.ok()?.seal_json_with(&form, &options).ok()?;
        let asked = InputRequest::Elicitation(ElicitRequest::new(elicitation(arguments)?));
        Some(InputRequiredResult::new(Some([("answer".to_owned(), asked)].into()), Some(state)))
    }
}

/// What a form is bound to: who asks, and what.
fn binding(caller: &Caller, request: &CallToolRequestParams) -> Vec<u8> {
    json!([caller.agent, request.name, request.arguments]).to_string().into_bytes()
}

/// The answers that a question allows, if it names any.
fn options(arguments: &Map<String, Value>) -> Option<&Vec<Value>> {
    arguments.get("options").and_then(Value::as_array).filter(|options| !options.is_empty())
}

/// Whether a text may be the answer to a question. A client need not hold a person to the list that the form has.
fn is_allowed(arguments: Option<&Map<String, Value>>, text: &str) -> bool {
    arguments.and_then(options).is_none_or(|options| options.iter().any(|option| option.as_str() == Some(text)))
}

/// A form with one field.
fn elicitation(arguments: &Map<String, Value>) -> Option<ElicitRequestParams> {
    let message = clean::one_line(arguments.get("question")?.as_str()?);
    let field = match options(arguments) {
        Some(options) => json!({"type": "string", "title": "Answer", "enum": options}),
        None => json!({"type": "string", "title": "Answer"}),
    };
    let schema = json!({"type": "object", "properties": {"answer": field}, "required": ["answer"]});
    let requested_schema = ElicitationSchema::from_json_schema(schema.as_object()?.clone()).ok()?;
    Some(ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_one_of_the_options_if_there_are_any() {
        let allowed = |arguments: &Value, text| is_allowed(arguments.as_object(), text);
        let chosen = json!({"question": "Which bank?", "options": ["First", "Second"]});
        assert!(allowed(&chosen, "Second") && !allowed(&chosen, "A third") && !allowed(&chosen, "second"));
        assert!(allowed(&json!({"question": "Which bank?", "options": []}), "A third") && allowed(&json!({}), "x"));
    }
}
