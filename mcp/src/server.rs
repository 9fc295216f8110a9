//! The protocol: what a client may ask, and which answer of [`tools`] it gets. No state is kept between two requests, but for what an
//! agent has written lately and which forms were used.

mod forms;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use contextcore_core::export::calls::Call;
use contextcore_core::{Millis, lock};
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomRequest, CustomResult,
    DiscoverResult, ErrorData, GetPromptRequestParams, GetPromptResponse, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ReadResourceRequestParams, ReadResourceResponse, RequestStateCodec, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::answer::Problem;
use crate::backend::Backend;
use crate::caller::Caller;
use crate::deadline::{Deadline, in_time, too_long};
use crate::definitions::{ALL, Definition};
use crate::limits::Memory;
use crate::tools::{self, CallContext, Outcome};
use crate::{audit, budget, clean, prompts, resources};

/// How long lists may be kept by a client, in milliseconds; and what is read.
const LISTS: u64 = 3_600_000;
const READS: u64 = 30_000;

/// What every client reads first. Clients cut it at 2,048 characters.
const INSTRUCTIONS: &str = include_str!("instructions.md");

/// Which tools there are.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Only those that read.
    pub read_only: bool,
    /// Only these; all when empty.
    pub tools: Vec<String>,
}

/// A server of the protocol. Clones share what it counts.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    backend: Arc<dyn Backend>,
    options: Options,
    /// The caller of a request that carries none of its own.
    caller: Caller,
    /// What each agent wrote and read lately.
    memories: Mutex<BTreeMap<String, Memory>>,
    /// Seals forms, once one is sent.
    forms: OnceCell<RequestStateCodec>,
    used: Mutex<BTreeSet<String>>,
}

/// What somebody asks for, for the record of it. Never the arguments.
struct Asked {
    method: &'static str,
    /// The tool, the kind of the resource, or the prompt.
    name: String,
    project: Option<String>,
    at: Millis,
    begun: Instant,
    parent: Option<String>,
}

/// What the name of somebody is in the library of the protocol when a client gives none.
const NO_NAME: &str = "rmcp";

impl Server {
    /// A server that answers from `backend`. `caller` is whoever asks, unless a request says otherwise by an extension of its HTTP
    /// parts.
    ///
    /// # Errors
    /// For a tool that does not exist, in words that name the nearest, and for a choice that leaves no tool.
    pub fn new(backend: Arc<dyn Backend>, caller: Caller, options: Options) -> Result<Self, String> {
        for name in &options.tools {
            if Definition::of(name).is_none() {
                return Err(unknown_tool(name));
            }
        }
        let is_left = |tool: &&Definition| options.tools.contains(&tool.name) && !tool.write;
        if options.read_only && !options.tools.is_empty() && !ALL.iter().any(|tool| is_left(&tool)) {
            let reading: Vec<&str> = ALL.iter().filter(|tool| !tool.write).map(|tool| tool.name.as_str()).collect();
            return Err(format!(
                "the tools that were chosen only write; with read-only, choose of {}",
                reading.join(", ")
            ));
        }
        let inner = Inner {
            backend,
            options,
            caller,
            memories: Mutex::default(),
            forms: OnceCell::new(),
            used: Mutex::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Who sends a request.
    fn caller(&self, context: &RequestContext<RoleServer>) -> Caller {
        let parts = context.extensions.get::<http::request::Parts>();
        let given = parts.and_then(|parts| parts.extensions.get::<Caller>());
        let named = context.client_info().map(|client| client.name.clone());
        let claimed = claimed(named, parts.map(|parts| &parts.headers));
        let caller = given.unwrap_or(&self.0.caller).clone();
        // Without a name from whoever started this program, the client's own is all there is.
        let unnamed = || claimed.clone().unwrap_or_else(|| "agent".to_owned());
        let agent = if caller.agent.is_empty() { unnamed() } else { caller.agent };
        Caller { agent, claimed, ..caller }
    }

    /// The tools that a caller has.
    fn listed(&self, caller: &Caller) -> impl Iterator<Item = &'static Definition> {
        let options = self.0.options.clone();
        let may_write = caller.write && !options.read_only;
        ALL.iter().filter(move |tool| {
            (may_write || !tool.write) && (options.tools.is_empty() || options.tools.contains(&tool.name))
        })
    }

    fn tool(&self, caller: &Caller, name: &str) -> Result<&'static Definition, ErrorData> {
        let found = self.listed(caller).find(|tool| tool.name == name);
        found.ok_or_else(|| match Definition::of(name) {
            Some(_) => refusals::invalid(&format!("the tool `{name}` is not offered here")),
            None => refusals::invalid(&unknown_tool(&refusals::word(name))),
        })
    }

    /// Does `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Backend) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let backend = Arc::clone(&self.0.backend);
        let done = tokio::task::spawn_blocking(move || work(&*backend)).await;
        done.unwrap_or_else(|error| Err(Problem::refused(format!("the call broke off: {error}"))))
    }

    /// Begins the record of a request.
    fn asked(&self, context: &RequestContext<RoleServer>, method: &'static str, name: &str) -> Asked {
        let short = |text: &str, most| clean::cut(&clean::one_line(text), most);
        Asked {
            method,
            name: short(name, 100),
            project: None,
            at: self.0.backend.now(),
            begun: Instant::now(),
            parent: context.meta.get_traceparent().map(|parent| short(parent, 100)),
        }
    }

    /// What every answer goes through, of tools, resources and prompts alike: the insights in `read` count as given to the caller, and
    /// who asked for what is recorded.
    fn ended(&self, caller: &Caller, asked: Asked, answer: &str, read: &str, error: Option<&'static str>) {
        let count = self.note_served(caller, read);
        let project = asked.project.as_deref().or(caller.project.as_deref());
        let call = Call {
            method: asked.method,
            tool: asked.name.clone(),
            project: project.map(|project| clean::cut(&clean::one_line(project), 200)),
            agent: caller.agent.clone(),
            bytes: answer.len(),
            tokens: budget::tokens(answer),
            insights: (error.is_none() && (count > 0 || asked.name == "find_insights")).then_some(count),
            begun: asked.at,
            took: asked.begun.elapsed(),
            error,
            parent: asked.parent,
        };
        audit::record(&call);
        self.0.backend.called(call);
    }

    /// Counts the insights in an answer as given to the caller. Returns how many there are.
    fn note_served(&self, caller: &Caller, json: &str) -> usize {
        let (ids, agent) = (tools::insight_ids(json), caller.agent.clone());
        let count = ids.len();
        if count > 0 {
            let backend = Arc::clone(&self.0.backend);
            // Nobody waits for the disk.
            drop(tokio::task::spawn_blocking(move || backend.served(ids, &agent)));
        }
        count
    }

    async fn answer(
        &self,
        caller: &Caller,
        tool: &'static Definition,
        request: &CallToolRequestParams,
        deadline: Deadline,
    ) -> Result<Outcome, Problem> {
        let arguments = request.arguments.clone().unwrap_or_default();
        tools::check(tool, &arguments)?;
        let tainted_by = if tool.write { self.may_write(&caller.agent).await? } else { None };
        if let Some(sealed) = &request.request_state {
            return self.form_returned(caller, request, sealed, deadline).await;
        }
        let agent = caller.agent.clone();
        let subject = arguments.get("key").and_then(Value::as_str).unwrap_or("guidance").to_owned();
        let (caller, turn) = (caller.clone(), CallContext { tainted_by, deadline, random: rand::random() });
        let asked = move |backend: &dyn Backend| tools::call(backend, &caller, tool, &arguments, turn);
        let outcome = self.blocking(asked).await?;
        if outcome.is_untrusted {
            let now = self.0.backend.now();
            self.remember(agent, move |memory| memory.taint(&subject, now)).await?;
        }
        Ok(outcome)
    }

    /// Reads a resource. Untrusted text in it is remembered as that of a tool is.
    async fn read(&self, caller: &Caller, uri: String) -> Result<resources::Read, Problem> {
        let (asking, random) = (caller.clone(), rand::random());
        let read = self.blocking(move |backend| resources::read(backend, &asking, &uri, random)).await?;
        if let Some(subject) = read.untrusted.clone() {
            let now = self.0.backend.now();
            self.remember(caller.agent.clone(), move |memory| memory.taint(&subject, now)).await?;
        }
        Ok(read)
    }

    /// Counts a write of an agent. Gives the task whose untrusted text it read within a day.
    async fn may_write(&self, agent: &str) -> Result<Option<String>, Problem> {
        let now = self.0.backend.now();
        let counted = move |memory: &mut Memory| memory.count(now).map(|()| memory.tainted_by(now));
        self.remember(agent.to_owned(), counted).await?.map_err(Problem::refused)
    }

    /// Changes what is remembered of an agent, here and where other processes see it.
    async fn remember<T: Send + 'static>(
        &self,
        agent: String,
        change: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let server = self.clone();
        let changed = move |backend: &dyn Backend| {
            let (mut change, mut result) = (Some(change), None);
            let mut memories = lock(&server.0.memories);
            let memory = memories.entry(agent.clone()).or_default();
            let kept = backend.remember(&agent, &mut |stored| {
                if let Some(stored) = stored.as_deref().and_then(Memory::read) {
                    *memory = stored;
                }
                result = change.take().map(|change| change(memory));
                memory.text()
            });
            if let Err(error) = kept {
                // What this process knows still counts.
                tracing::warn!("could not keep what is remembered of an agent: {}", error.full());
                result = result.or_else(|| change.take().map(|change| change(memory)));
            }
            result.ok_or_else(|| Problem::refused("what is remembered of this agent cannot be read"))
        };
        self.blocking(changed).await
    }
}

/// What a client says its name is. One that speaks HTTP without a conversation says it in no message, but as browsers do.
fn claimed(named: Option<String>, headers: Option<&http::HeaderMap>) -> Option<String> {
    let of_program = |headers: &http::HeaderMap| {
        let text = headers.get(http::header::USER_AGENT)?.to_str().ok()?;
        text.split(['/', ' ']).next().map(str::to_owned)
    };
    let named = match headers {
        Some(headers) => named.filter(|name| name != NO_NAME).or_else(|| of_program(headers)),
        None => named,
    };
    named.map(|name| clean::cut(&clean::one_line(&name), 100)).filter(|name| !name.is_empty())
}

fn unknown_tool(name: &str) -> String {
    let known: Vec<&str> = ALL.iter().map(|tool| tool.name.as_str()).collect();
    match contextcore_core::config::nearest_known(name, &known) {
        Some(near) => format!("there is no tool `{name}`; did you mean `{near}`?"),
        None => format!("there is no tool `{name}`; known: {}", known.join(", ")),
    }
}

/// What goes to the client, and the kind of problem, if there is one.
fn result(answer: Result<Outcome, Problem>) -> (CallToolResult, Option<&'static str>) {
    match answer {
        Ok(outcome) => {
            let mut result = CallToolResult::success(vec![ContentBlock::text(outcome.json)]);
            result.structured_content = Some(outcome.value);
            (result, None)
        }
        Err(problem) => (CallToolResult::error(vec![ContentBlock::text(problem.to_string())]), Some(problem.kind)),
    }
}

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder().enable_tools().enable_resources().enable_prompts().build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("contextcore", env!("CARGO_PKG_VERSION")).with_title("ContextCore"))
            .with_instructions(INSTRUCTIONS.trim())
    }

    async fn discover(&self, _: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let versions = self.supported_protocol_versions().into_owned();
        Ok(DiscoverResult::from_server_info(versions, self.get_info())
            .with_ttl_ms(LISTS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let caller = self.caller(&context);
        let tools: Vec<Tool> = self.listed(&caller).map(Definition::tool).collect();
        // Another token may be offered others.
        Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(LISTS).with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let caller = self.caller(&context);
        let mut asked =
            self.asked(&context, "tools/call", Definition::of(&request.name).map_or("unknown", |tool| &tool.name));
        let given = request.arguments.as_ref().and_then(|given| given.get("project")).and_then(Value::as_str);
        asked.project = given.map(str::to_owned);
        let tool = match self.tool(&caller, &request.name) {
            Ok(tool) => tool,
            Err(error) => {
                self.ended(&caller, asked, "", "", Some("refused"));
                return Err(error);
            }
        };
        let deadline = Deadline::default();
        let late = || if tool.write { deadline.close() } else { too_long() };
        let answer = in_time(self.answer(&caller, tool, &request, deadline.clone()), late).await;
        let form = match &answer {
            Ok(outcome) => self.form(&caller, &request, &context, outcome).await,
            Err(_) => None,
        };
        let (json, read) = answer
            .as_ref()
            .map_or_else(|_| Default::default(), |outcome| (outcome.json.clone(), outcome.read(tool.write)));
        let (result, error) = result(answer);
        self.ended(&caller, asked, &json, &read, error);
        Ok(form.map_or_else(|| result.into(), CallToolResponse::from))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        Definition::of(name).map(Definition::tool)
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let caller = self.caller(&context);
        let cursor = request.and_then(|request| request.cursor);
        let listed = move |backend: &dyn Backend| resources::list(backend, &caller, cursor.as_deref());
        let (listed, next) = in_time(self.blocking(listed), too_long).await.unwrap_or_else(|problem| {
            tracing::debug!(%problem, "could not list the projects");
            (Vec::new(), None)
        });
        let mut result = ListResourcesResult::with_all_items(listed);
        result.next_cursor = next;
        Ok(result.with_ttl_ms(READS).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(resources::templates())
            .with_ttl_ms(LISTS)
            .with_cache_scope(CacheScope::Public))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let caller = self.caller(&context);
        let asked = self.asked(&context, "resources/read", resources::kind(&request.uri));
        let read = in_time(self.read(&caller, request.uri.clone()), too_long).await;
        let (text, error) = match &read {
            Ok(read) => (read.text.as_str(), None),
            Err(problem) => ("", Some(problem.kind)),
        };
        self.ended(&caller, asked, text, text, error);
        match read {
            Ok(read) => Ok(read.result.with_ttl_ms(READS).with_cache_scope(CacheScope::Private).into()),
            Err(problem) if matches!(problem.kind, "refused" | "failed") => Err(refusals::internal(&problem)),
            Err(problem) => Err(refusals::no_resource(&problem, &request.uri)),
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(prompts::list()).with_ttl_ms(LISTS).with_cache_scope(CacheScope::Public))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let asked = self.asked(&context, "prompts/get", prompts::known(&request.name));
        let arguments = request.arguments.unwrap_or_default();
        let prompt = prompts::get(&refusals::word(&request.name), &arguments);
        let text = prompt.as_ref().ok().and_then(|prompt| serde_json::to_string(prompt).ok()).unwrap_or_default();
        self.ended(&self.caller(&context), asked, &text, "", prompt.is_err().then_some("usage"));
        Ok(prompt.map_err(|text| refusals::invalid(&text))?.into())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        Err(refusals::no_method(&request.method))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::deadline::PATIENCE;

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_answered_after_ten_seconds() {
        let (ended, hangs) = std::sync::mpsc::channel::<()>();
        let server =
            Server::new(Arc::new(crate::fake::Fake::default()), Caller::default(), Options::default()).unwrap();
        let hanging = server.blocking(move |_| {
            // Until the sender is gone, as a store that does not answer.
            let _gone = hangs.recv();
            Ok(())
        });
        let mut call = std::pin::pin!(in_time(hanging, too_long));
        tokio::select! {
            biased;
            _ = &mut call => panic!("nothing answers yet"),
            () = tokio::time::advance(PATIENCE - Duration::from_secs(1)) => {}
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        let problem = call.await.unwrap_err();
        assert!(problem.to_string().contains("longer than 10 s"), "{problem}");
        drop(ended);
    }

    #[test]
    fn a_client_without_a_name_is_the_program_that_it_says_it_is() {
        let headers = |agent: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::USER_AGENT, agent.parse().unwrap());
            headers
        };
        let named = |name: Option<&str>, headers: Option<&http::HeaderMap>| claimed(name.map(str::to_owned), headers);
        let python = headers("python-httpx/0.28 (x)");
        assert_eq!(named(Some(NO_NAME), Some(&python)).as_deref(), Some("python-httpx"));
        assert_eq!(named(Some("claude-code"), Some(&python)).as_deref(), Some("claude-code"));
        assert_eq!(named(Some(NO_NAME), Some(&http::HeaderMap::new())), None);
        assert_eq!(named(Some(NO_NAME), None).as_deref(), Some(NO_NAME), "over stdio it is what the client said");
        assert_eq!(named(None, Some(&headers("/"))), None);
    }

    #[test]
    fn instructions_are_not_cut_by_any_client() {
        let length = INSTRUCTIONS.trim().chars().count();
        assert!((600..=1_800).contains(&length), "{length}");
    }
}
