//! Our server with the tools, prompts and resources that the official conformance suite calls: `fixture PORT` answers on
//! `http://127.0.0.1:PORT/mcp`. What is not the suite's goes to our server. `mcp/clients/check.sh` starts it.
//!
//! The suite does not know our tools, so without these it could not see that the transport carries images, errors, progress and
//! requests for input as it should. [`CONTENT`] and [`asked`] are what the scenarios name; nothing of it is in the program.

#![allow(deprecated, reason = "the suite tests what newer revisions of the protocol have deprecated too")]
#![expect(clippy::print_stderr, reason = "a program of tests says why it ends")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use contextcore_core::model::operation::Operation;
use contextcore_core::{ErrorKind, Millis};
use contextcore_mcp::{Backend, Caller, Options, Reads, Server, Written, http_config};
use rmcp::model::*;
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::{RoleServer, ServerHandler};
use serde_json::{Map, Value, json};

type Context = RequestContext<RoleServer>;
type Called = Result<CallToolResponse, ErrorData>;

const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8/5+hHgAHggJ/PchI7wAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";
const TEXT: &str = "test://static-text";
const BINARY: &str = "test://static-binary";
const TTL: u64 = 60_000;

/// Tools that answer at once.
const CONTENT: [&str; 9] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_logging_tool",
];
/// Tools that need something of the client first.
const ASKING: [&str; 10] = [
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_tampered_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_capabilities",
];
const PROMPTS: [&str; 5] = [
    "test_simple_prompt",
    "test_prompt_with_arguments",
    "test_prompt_with_embedded_resource",
    "test_prompt_with_image",
    "test_input_required_result_prompt",
];

/// Nothing is stored.
struct Nothing;

impl Backend for Nothing {
    fn open(&self) -> contextcore_core::Result<Box<dyn Reads + '_>> {
        Err(contextcore_core::Error::new(ErrorKind::NotFound, "nothing is stored"))
    }

    fn write(&self, _: &str, _: Operation, _: &str) -> contextcore_core::Result<Written> {
        Err(contextcore_core::Error::new(ErrorKind::Store, "nothing can be written"))
    }

    fn tasks_near(&self, _: &[String]) -> Option<Vec<String>> {
        None
    }

    fn now(&self) -> Millis {
        Millis(0)
    }
}

#[derive(Clone)]
struct Fixture {
    server: Server,
    state: RequestStateCodec,
}

fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text.into())])
}

fn resource(uri: &str, kind: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(kind))
}

/// What a tool that answers at once answers.
async fn content(name: &str, context: &Context) -> CallToolResult {
    match name {
        "test_image_content" => CallToolResult::success(vec![ContentBlock::image(PNG, "image/png")]),
        "test_audio_content" => CallToolResult::success(vec![ContentBlock::Audio(AudioContent::new(WAV, "audio/wav"))]),
        "test_embedded_resource" => CallToolResult::success(vec![resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => CallToolResult::success(vec![
            ContentBlock::text("Multiple content types test:"),
            ContentBlock::image(PNG, "image/png"),
            resource("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "test_error_handling" => {
            CallToolResult::error(vec![ContentBlock::text("This tool intentionally returns an error for testing")])
        }
        "test_tool_with_progress" => {
            progress(context).await;
            text("Progress test completed")
        }
        "test_tool_with_logging" => {
            for step in ["started", "processing data", "completed"] {
                say(context, LoggingLevel::Info, &format!("Tool {step}")).await;
            }
            text("Tool with logging executed successfully")
        }
        "test_logging_tool" => {
            log(context).await;
            text("Logging tool completed")
        }
        _ => text("This is a simple text response for testing."),
    }
}

async fn progress(context: &Context) {
    let Some(token) = context.meta.get_progress_token() else { return };
    for (done, message) in [(0.0, "Starting"), (50.0, "Halfway"), (100.0, "Complete")] {
        let report = ProgressNotificationParam::new(token.clone(), done).with_total(100.0).with_message(message);
        drop(context.peer.notify_progress(report).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn log(context: &Context) {
    if let Some(level) = context.meta.log_level() {
        say(context, level, "logLevel was requested").await;
    }
}

async fn say(context: &Context, level: LoggingLevel, text: &str) {
    let message = LoggingMessageNotificationParam::new(level, json!(text)).with_logger("fixture");
    drop(context.peer.notify_logging_message(message).await);
}

fn form(message: &str, field: &str, kind: &str) -> InputRequest {
    let schema = json!({"type": "object", "properties": {field: {"type": kind}}, "required": [field]});
    let requested_schema = serde_json::from_value(schema).expect("the schema of a form");
    let form = ElicitRequestParams::FormElicitationParams { meta: None, message: message.into(), requested_schema };
    InputRequest::Elicitation(ElicitRequest::new(form))
}

fn name_form() -> (String, InputRequest) {
    ("user_name".into(), form("What is your name?", "name", "string"))
}

fn sampling(key: &str, prompt: &str) -> (String, InputRequest) {
    let asked = CreateMessageRequestParams::new(vec![SamplingMessage::user_text(prompt)], 100);
    (key.into(), InputRequest::CreateMessage(CreateMessageRequest::new(asked)))
}

fn roots() -> (String, InputRequest) {
    ("client_roots".into(), InputRequest::ListRoots(ListRootsRequest::default()))
}

fn ask(inputs: impl IntoIterator<Item = (String, InputRequest)>) -> InputRequiredResult {
    InputRequiredResult::from_input_requests(inputs.into_iter().collect())
}

/// What the client sent for a key, if it has the form of an answer.
fn sent<'a>(responses: Option<&'a InputResponses>, key: &str) -> Option<&'a Map<String, Value>> {
    responses?.get(key)?.as_object()
}

/// A text in the content of an answer.
fn said<'a>(response: &'a Map<String, Value>, field: &str) -> &'a str {
    response.get("content").and_then(|content| content.get(field)).and_then(Value::as_str).unwrap_or("?")
}

/// The answer of a tool that needs a single input, or the request for it.
fn asked(key: &str, responses: Option<&InputResponses>, input: (String, InputRequest)) -> Called {
    let Some(response) = sent(responses, key) else { return Ok(ask([input]).into()) };
    Ok(text(format!("{key}: {} {}", said(response, "name"), said(response, "text"))).into())
}

impl Fixture {
    fn sealed(&self, value: &Value) -> Result<String, ErrorData> {
        self.state.seal_json(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
    }

    fn opened(&self, sealed: Option<&str>) -> Result<Option<Value>, ErrorData> {
        let open = |sealed| self.state.open_json(sealed);
        sealed
            .map(open)
            .transpose()
            .map_err(|_| ErrorData::invalid_params("requestState failed integrity verification", None))
    }

    fn call_asking(&self, request: &CallToolRequestParams, context: &Context) -> Called {
        let responses = request.input_responses.as_ref();
        let state = self.opened(request.request_state.as_deref())?;
        match request.name.strip_prefix("test_input_required_result_").unwrap_or(&request.name) {
            "test_missing_capability" => match context.meta.client_capabilities().unwrap_or_default().sampling {
                Some(_) => Ok(text("Required capability declared").into()),
                None => Err(ErrorData::missing_required_client_capability(
                    ClientCapabilities::builder().enable_sampling().build(),
                )),
            },
            "test_streaming_elicitation" => {
                Ok(ask([("streaming_elicitation".into(), form("Provide a value", "value", "string"))]).into())
            }
            "elicitation" => asked("user_name", responses, name_form()),
            "sampling" => {
                asked("capital_question", responses, sampling("capital_question", "What is the capital of France?"))
            }
            "list_roots" => asked("client_roots", responses, roots()),
            "multiple_inputs" => self.several(responses, state.is_some()),
            "multi_round" => self.rounds(state.as_ref()),
            "capabilities" => Ok(by_capability(responses, context)),
            _ if state.is_some() => Ok(text("Confirmed: state-ok").into()),
            _ => self.with_state([("confirm".into(), form("Please confirm", "ok", "boolean"))], &json!({"stage": 1})),
        }
    }

    fn with_state(&self, inputs: impl IntoIterator<Item = (String, InputRequest)>, state: &Value) -> Called {
        Ok(InputRequiredResult::new(Some(inputs.into_iter().collect()), Some(self.sealed(state)?)).into())
    }

    fn several(&self, responses: Option<&InputResponses>, has_state: bool) -> Called {
        let all = ["user_name", "greeting", "client_roots"];
        if has_state && all.iter().all(|key| sent(responses, key).is_some()) {
            return Ok(text("All inputs received").into());
        }
        self.with_state([name_form(), sampling("greeting", "Generate a greeting"), roots()], &json!({"stage": "all"}))
    }

    fn rounds(&self, state: Option<&Value>) -> Called {
        match state.map_or(0, |state| state["round"].as_i64().unwrap_or(0)) {
            0 => {
                self.with_state([("step1".into(), form("Step 1: your name?", "name", "string"))], &json!({"round": 1}))
            }
            1 => self.with_state([("step2".into(), form("Step 2: a color?", "color", "string"))], &json!({"round": 2})),
            _ => Ok(text("Multi-round flow complete").into()),
        }
    }
}

/// Asks only for what the client can give.
fn by_capability(responses: Option<&InputResponses>, context: &Context) -> CallToolResponse {
    let can = context.meta.client_capabilities().unwrap_or_default();
    let inputs = [
        can.elicitation.is_some().then(name_form),
        can.sampling.is_some().then(|| sampling("greeting", "Generate a greeting")),
        can.roots.is_some().then(roots),
    ];
    let inputs: Vec<_> = inputs.into_iter().flatten().collect();
    if responses.is_some() || inputs.is_empty() { text("done").into() } else { ask(inputs).into() }
}

fn prompt(request: &GetPromptRequestParams) -> Result<GetPromptResponse, ErrorData> {
    let given = |name: &str| request.arguments.as_ref().and_then(|all| all.get(name)?.as_str()).unwrap_or_default();
    let one = |text: String| vec![PromptMessage::new_text(Role::User, text)];
    let messages = match request.name.as_str() {
        "test_simple_prompt" => one("This is a simple test prompt.".into()),
        "test_prompt_with_arguments" => {
            one(format!("Prompt with arguments: arg1='{}', arg2='{}'", given("arg1"), given("arg2")))
        }
        "test_prompt_with_embedded_resource" => {
            let embedded = resource(TEXT, "text/plain", "Embedded resource content for testing.");
            let about = PromptMessage::new_text(Role::User, "Please process the embedded resource above.");
            vec![PromptMessage::new(Role::User, embedded), about]
        }
        "test_prompt_with_image" => {
            let image = ContentBlock::Image(ImageContent::new(PNG, "image/png"));
            let about = PromptMessage::new_text(Role::User, "Please analyze the image above.");
            vec![PromptMessage::new(Role::User, image), about]
        }
        _ => match sent(request.input_responses.as_ref(), "user_context") {
            Some(response) => one(format!("Prompt with context: {}", said(response, "context"))),
            None => {
                return Ok(ask([("user_context".into(), form("Which context?", "context", "string"))]).into());
            }
        },
    };
    Ok(GetPromptResult::new(messages).with_description("A prompt of the conformance suite").into())
}

impl ServerHandler for Fixture {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.server.get_info();
        info.capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_prompts()
            .enable_logging()
            .enable_completions()
            .build();
        info
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut listed = self.server.list_tools(page, context).await?;
        let schema = Arc::new(Map::from_iter([("type".to_owned(), json!("object"))]));
        let fixture = |name: &&'static str| Tool::new(*name, "A tool of the conformance suite", Arc::clone(&schema));
        listed.tools.extend(CONTENT.iter().chain(&ASKING).map(fixture));
        Ok(listed)
    }

    async fn call_tool(&self, request: CallToolRequestParams, context: Context) -> Called {
        match request.name.as_ref() {
            name if CONTENT.contains(&name) => Ok(content(name, &context).await.into()),
            name if ASKING.contains(&name) => self.call_asking(&request, &context),
            _ => self.server.call_tool(request, context).await,
        }
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut listed = self.server.list_resources(page, context).await?;
        listed.resources.push(Resource::new(TEXT, "Static text").with_mime_type("text/plain"));
        listed.resources.push(Resource::new(BINARY, "Static binary").with_mime_type("image/png"));
        Ok(listed)
    }

    async fn list_resource_templates(
        &self,
        page: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut listed = self.server.list_resource_templates(page, context).await?;
        let template = ResourceTemplate::new("test://template/{id}/data", "Template");
        listed.resource_templates.push(template.with_mime_type("application/json"));
        Ok(listed)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = request.uri.as_str();
        let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
        let found = match (uri, id) {
            (TEXT, _) => ResourceContents::text("This is the content of the static text resource.", uri)
                .with_mime_type("text/plain"),
            (BINARY, _) => ResourceContents::blob(PNG, uri).with_mime_type("image/png"),
            (_, Some(id)) => {
                let json = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
                ResourceContents::text(json.to_string(), uri).with_mime_type("application/json")
            }
            _ => return self.server.read_resource(request, context).await,
        };
        Ok(ReadResourceResult::new(vec![found]).with_ttl_ms(TTL).with_cache_scope(CacheScope::Public).into())
    }

    async fn list_prompts(
        &self,
        page: Option<PaginatedRequestParams>,
        context: Context,
    ) -> Result<ListPromptsResult, ErrorData> {
        let mut listed = self.server.list_prompts(page, context).await?;
        let arguments = ["arg1", "arg2"].map(|name| PromptArgument::new(name).with_required(true));
        let of = |name: &str| (name == "test_prompt_with_arguments").then(|| arguments.to_vec());
        listed
            .prompts
            .extend(PROMPTS.map(|name| Prompt::new(name, Some("A prompt of the conformance suite"), of(name))));
        Ok(listed)
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: Context,
    ) -> Result<GetPromptResponse, ErrorData> {
        if PROMPTS.contains(&request.name.as_str()) {
            return prompt(&request);
        }
        self.server.get_prompt(request, context).await
    }

    async fn complete(&self, _: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        let values = CompletionInfo::new(vec!["paris".into(), "park".into()]);
        values.map(CompleteResult::new).map_err(|error| ErrorData::internal_error(error, None))
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(port) = std::env::args().nth(1) else {
        eprintln!("usage: fixture PORT");
        return Err("a port is missing".into());
    };
    let caller = Caller { write: true, ..Caller::default() };
    let server = Server::new(Arc::new(Nothing), caller, Options::default())?;
    let fixture = Fixture { server, state: RequestStateCodec::try_new(rand::random::<[u8; 32]>().to_vec())? };
    let make = move || Ok(fixture.clone());
    // Progress and log messages come before the answer, so it is a stream. `serve` checks hosts by its configuration.
    let local = ["localhost", "127.0.0.1"];
    let origins = local.map(|host| format!("http://{host}:{port}"));
    let config = http_config().with_json_response(false).with_allowed_hosts(local).with_allowed_origins(origins);
    let service = StreamableHttpService::new(make, Arc::new(NeverSessionManager::default()), config);
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await?;
    Ok(())
}
