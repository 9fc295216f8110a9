//! The *Service* dashboard: does a service keep what its `ProjectContext` promises, what is being done, and what could go wrong?
//!
//! One for each context, a pure function of it. What people wrote into a context goes through [`crate::escape`].

use contextcore_model::config::project::{Criticality, ServiceContext};
use contextcore_model::semconv as names;
use serde_json::json;

use crate::escape;
use crate::links;
use crate::model::{Annotations, Dashboard, DashboardLink, SCHEMA_VERSION, Templating, TimeRange};
use crate::panel::{
    self, Draft, Section, at_least, background, bar_gauge, coloured, course, decimals, display_name, lines, moment,
    rows, section, spans, stat, statuses, table, text, to, trace_cells, unit, value_mapping, width, wrapped,
};
use crate::query::{Selector, Series, label};
use crate::recordings::{BAD, BUDGET_LEFT, BURN_RATE, OBJECTIVE, PERIOD_RATIO, RATIO, TOTAL, WINDOW};
use crate::variable;

/// A tag of every Service dashboard, by which they are found.
pub const TAG: &str = "contextcore-service";

/// In which folder a Service dashboard is, below that of all dashboards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Folder {
    /// What everybody should see.
    Featured,
    /// The usual.
    Services,
    /// What hardly anybody looks at.
    Archive,
}

impl Folder {
    /// All folders.
    pub const ALL: [Self; 3] = [Self::Featured, Self::Services, Self::Archive];

    /// Its title, below the folder of all dashboards.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Featured => "Featured",
            Self::Services => "Services",
            Self::Archive => "Archive",
        }
    }

    /// Its uid, below that of the folder of all dashboards.
    #[must_use]
    pub fn uid(self, parent: &str) -> String {
        format!("{parent}-{}", self.title().to_lowercase())
    }
}

/// A service, as its dashboard needs it.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Namespace of its context.
    pub namespace: &'a str,
    /// Name of its context.
    pub name: &'a str,
    /// Id of its project.
    pub project: &'a str,
    /// Name of its project.
    pub project_name: Option<&'a str>,
    /// How much hangs on it.
    pub criticality: Criticality,
    /// Who answers for it.
    pub owner: Option<&'a str>,
    /// What it is for.
    pub value: Option<&'a str>,
    /// Label `service` of its rules.
    pub rules: &'a str,
    /// What to do when it fails.
    pub runbook: Option<&'a str>,
    /// What it promises, risks, and what else its context says.
    pub context: &'a ServiceContext,
}

/// The uid of the dashboard of a context. It follows from its namespace and name alone.
#[must_use]
pub fn uid(namespace: &str, name: &str) -> String {
    let hash = blake3::hash(format!("{namespace}/{name}").as_bytes()).to_hex();
    format!("cc-svc-{}", &hash.as_str()[..12])
}

/// The dashboard of a service.
#[must_use]
pub fn dashboard(service: &Service<'_>) -> Dashboard {
    let mut variables = variable::data_sources();
    variables.push(variable::lookback());
    let mut tags = vec!["contextcore".to_owned(), TAG.to_owned(), service.criticality.as_str().to_owned()];
    tags.extend([service.value, service.owner].into_iter().flatten().map(str::to_owned));
    Dashboard {
        uid: uid(service.namespace, service.name),
        title: format!("{} ({})", service.name, service.namespace),
        description: "Does this service keep what it promises, what is being done, and what could go wrong?".to_owned(),
        tags,
        timezone: "browser",
        editable: true,
        graph_tooltip: 1,
        refresh: "1m",
        schema_version: SCHEMA_VERSION,
        time: TimeRange { from: "now-24h", to: "now" },
        links: top_links(service),
        annotations: Annotations { list: Vec::new() },
        templating: Templating { list: variables },
        panels: panel::page(sections(service)),
    }
}

fn top_links(service: &Service<'_>) -> Vec<DashboardLink> {
    let mut all = vec![links::to_project(service.project), links::top("Project Portfolio Overview", links::PORTFOLIO)];
    let documents = service.context.design.documents();
    let others = service.runbook.map(|url| ("Runbook", url)).into_iter().chain(documents.map(|(kind, place)| {
        let title = match kind {
            "adr" => "Decision record",
            "doc" => "Design",
            _ => "API contract",
        };
        (title, place)
    }));
    all.extend(others.filter_map(|(title, place)| Some(links::outside(title, escape::url(place)?))));
    all
}

fn sections(service: &Service<'_>) -> Vec<Section> {
    vec![
        section(0, "", header(service)),
        section(100, "Objectives", vec![objectives(service), budget(service), burn(service)]),
        section(101, "Traffic", vec![traffic(service), bad(service), failed(service)]),
        section(102, "Open work of the project", vec![by_status(service), under_way(service)]),
        section(103, "Context", vec![promises(service), risks(service), guidance(service)]),
    ]
}

/// Why nothing is measured, and where to look.
const NO_RULES: &str = "No rule recorded anything. Look at RulesReady and SLIResolved of the ProjectContext";
const NO_WORK: &str = "No data about the project within the look back: see ContextCore Health";

/// The recordings of the service, with more matchers.
fn recorded(service: &Service<'_>, name: &str, more: &str) -> String {
    let labels = [("project", service.project), ("namespace", service.namespace), ("service", service.rules)];
    let matchers = labels.map(|(label, value)| format!("{label}=\"{}\"", escape::quoted(value))).join(",");
    format!("{name}{{{matchers}{more}}}")
}

/// The newest values of an objective each.
fn by_objective(service: &Service<'_>, name: &str, more: &str) -> String {
    format!("max by (slo) ({})", recorded(service, name, more))
}

/// The series of the project that the service belongs to.
fn project(service: &Service<'_>) -> Selector {
    Selector::all().equal(names::PROJECT_ID, &escape::quoted(service.project))
}

const BUDGET_STEPS: panel::Steps<'static> = &[("red", None), ("yellow", Some(0.0)), ("green", Some(0.25))];
const BURN_STEPS: panel::Steps<'static> = &[("green", None), ("yellow", Some(1.0)), ("red", Some(6.0))];

fn header(service: &Service<'_>) -> Vec<Draft> {
    let open = project(service).unlike(names::TASK_STATUS, "done|cancelled");
    let open = Series::new(names::M_TASK_COUNT, open).sum(&[names::TASK_STATUS, names::TASK_TYPE]);
    let blocked = Series::new(names::M_TASK_BLOCKED, project(service)).sum(&[names::PROJECT_ID]);
    let urgent = project(service).like(names::PRIORITY, "P[12]");
    let urgent = Series::new(names::M_RISK_COUNT, urgent).newest(&[names::PRIORITY, names::TYPE]);
    vec![
        stat(1, "Budget left", 4)
            .rule("The smallest error budget that is left of all objectives of this service, over their period. Below 0 % an objective is missed.")
            .empty(NO_RULES)
            .unit("percentunit")
            .decimals(1)
            .steps(BUDGET_STEPS)
            .ask(course("A", format!("min({})", recorded(service, BUDGET_LEFT, "")), "left")),
        stat(2, "Burn, 1 h", 4)
            .rule("How many times as fast as allowed the error budget burnt within an hour: the fastest of all objectives. At 1 the budget lasts for the period.")
            .empty(NO_RULES)
            .decimals(1)
            .steps(BURN_STEPS)
            .ask(course("A", format!("max({})", recorded(service, BURN_RATE, ",window=\"1h\"")), "burn rate")),
        stat(3, "Requests", 4)
            .rule("Requests per second that count for an objective, over the last five minutes.")
            .empty(NO_RULES)
            .unit("reqps")
            .ask(course("A", format!("max({})", recorded(service, TOTAL, "")), "requests")),
        stat(4, "Open tasks", 4)
            .rule("Tasks of the project that are neither done nor cancelled. Click to open Project Details.")
            .empty(NO_WORK)
            .no_course()
            .link("Project Details", links::of_project(service.project))
            .ask(moment("A", open, "open")),
        stat(5, "Blocked", 4)
            .rule("Tasks of the project that are blocked. Click to open Project Details.")
            .empty(NO_WORK)
            .no_course()
            .steps(panel::NONE_IS_GOOD)
            .link("Project Details", links::of_project(service.project))
            .ask(moment("A", blocked, "blocked")),
        stat(6, "Urgent risks", 4)
            .rule("Risks of priority P1 or P2 of all services of the project.")
            .blank("None is known", "no context of the project names such a risk, or the sync service has no `projects_file`")
            .no_course()
            .steps(panel::NONE_IS_GOOD)
            .ask(moment("A", format!("sum({urgent})"), "risks")),
    ]
}

fn objectives(service: &Service<'_>) -> Draft {
    let joined = |name, more| by_objective(service, name, more);
    table(10, "Objectives", (24, 6))
        .rule(
            "Each objective with what was measured over its period. Met: share of good requests. Burn rate: how many times as fast \
as allowed the budget burnt within an hour and within six hours. Latency objectives count requests that were slower than the limit as bad.",
        )
        .empty(NO_RULES)
        .ask(rows("A", joined(OBJECTIVE, "")))
        .ask(rows("B", format!("1 - {}", joined(PERIOD_RATIO, ""))))
        .ask(rows("C", joined(BUDGET_LEFT, "")))
        .ask(rows("D", joined(BURN_RATE, ",window=\"1h\"")))
        .ask(rows("E", joined(BURN_RATE, ",window=\"6h\"")))
        .joined("slo")
        .columns(&[
            ("slo", "Objective"),
            ("Value #A", "Wanted"),
            ("Value #B", "Met"),
            ("Value #C", "Budget left"),
            ("Value #D", "Burn rate, 1 h"),
            ("Value #E", "Burn rate, 6 h"),
        ])
        .field("Objective", vec![at_least(140)])
        .field("Wanted", vec![unit("percentunit"), decimals(3)])
        .field("Met", vec![unit("percentunit"), decimals(3)])
        .field("Budget left", [coloured(BUDGET_STEPS), vec![unit("percentunit"), decimals(1)]].concat())
        .field("Burn rate, 1 h", [background(BURN_STEPS), vec![decimals(1)]].concat())
        .field("Burn rate, 6 h", [background(BURN_STEPS), vec![decimals(1)]].concat())
}

fn budget(service: &Service<'_>) -> Draft {
    lines(11, "Error budget left", (12, 8))
        .rule("Share of the error budget that is left, over the period of each objective. It is known once the service was measured for a while.")
        .empty(NO_RULES)
        .unit("percentunit")
        .up_to(1.0)
        .ask(course("A", by_objective(service, BUDGET_LEFT, ""), "{{slo}}"))
}

fn burn(service: &Service<'_>) -> Draft {
    lines(12, "Burn rate", (12, 8))
        .rule("How many times as fast as allowed the error budget burns, within one hour and six: the windows of the alerts that page.")
        .empty(NO_RULES)
        .zero_based()
        .ask(course(
            "A",
            format!("max by (slo, {WINDOW}) ({})", recorded(service, BURN_RATE, ",window=~\"1h|6h\"")),
            "{{slo}} {{window}}",
        ))
}

fn traffic(service: &Service<'_>) -> Draft {
    lines(20, "Requests per second", (12, 8))
        .rule("Requests that count, and bad ones among them, for each objective, over five minutes.")
        .empty(NO_RULES)
        .unit("reqps")
        .zero_based()
        .ask(course("A", by_objective(service, TOTAL, ""), "{{slo}}: all"))
        .ask(course("B", by_objective(service, BAD, ""), "{{slo}}: bad"))
}

fn bad(service: &Service<'_>) -> Draft {
    lines(21, "Share of bad requests", (12, 8))
        .rule("Bad requests as a share of all, over five minutes and one hour. There is no value without traffic.")
        .empty(NO_RULES)
        .unit("percentunit")
        .zero_based()
        .ask(course("A", by_objective(service, &format!("{RATIO}5m"), ""), "{{slo}} 5m"))
        .ask(course("B", by_objective(service, &format!("{RATIO}1h"), ""), "{{slo}} 1h"))
}

fn failed(service: &Service<'_>) -> Draft {
    let is = |attribute: &str, value: &str| format!("resource.{attribute} = \"{}\"", escape::quoted(value));
    let services = service.context.targets.iter().filter_map(|target| target.service.as_deref());
    let mut services: Vec<String> = services.map(|name| is(names::SERVICE_NAME, name)).collect();
    if services.is_empty() {
        services.push(is(names::SERVICE_NAME, service.name));
    }
    let project = is(names::PROJECT_ID, service.project);
    let query = format!("{{ {project} && ({}) && status = error }}", services.join(" || "));
    table(22, "Failed requests", (24, 7))
        .rule("Spans of the service with status error in this time range. The collector keeps every trace with an error, whatever the sampling rate.")
        .empty("No span failed in this time range, or the collector does not run our processors (SamplingReady of the ProjectContext)")
        .ask(spans("A", query, 20))
        .columns(&[("Start time", "Time"), ("Name", "Span"), ("traceIdHidden", "Trace")])
        .field("Time", vec![width(174)])
        .field("Trace", trace_cells())
}

fn by_status(service: &Service<'_>) -> Draft {
    let counted = Series::new(names::M_TASK_COUNT, project(service)).by(&[names::TASK_STATUS, names::TASK_TYPE]);
    let status = label(names::TASK_STATUS);
    bar_gauge(30, "Tasks by status", (8, 9), false)
        .rule("Tasks of the project by status, newest value within the look back.")
        .empty(NO_WORK)
        .kind("number", vec![display_name(&format!("${{__field.labels.{status}}}"))])
        .ask(moment("A", format!("sum by ({status}) ({counted})"), &format!("{{{{{status}}}}}")))
}

fn under_way(service: &Service<'_>) -> Draft {
    let chosen = project(service).like(names::TASK_STATUS, "in_progress|in_review|blocked");
    let by = [names::TASK_ID, names::TASK_TITLE, names::TASK_STATUS, names::TASK_ASSIGNEE, names::TASK_URL];
    table(31, "Under way", (16, 9))
        .rule("Tasks of the project that are in progress, in review or blocked. The key links to the ticket.")
        .empty("Nothing is under way, or more than `task_info_limit` tasks are open: see ContextCore Health")
        .ask(rows("A", Series::new(names::M_TASK_INFO, chosen).newest(&by)))
        .columns(&[
            ("task_id", "Task"),
            ("task_title", "Title"),
            ("task_status", "Status"),
            ("task_assignee", "Assignee"),
            ("task_url", "Ticket"),
        ])
        .field("Task", vec![to("Ticket", links::ticket("Ticket")), width(130), wrapped()])
        .field("Title", vec![at_least(100), wrapped()])
        .field("Status", vec![value_mapping(&statuses()), width(110)])
        .field("Assignee", vec![width(120), wrapped()])
        .field("Ticket", panel::hidden())
}

/// Lines of a list in Markdown, or what stands for none.
fn list(lines: Vec<String>, none: &str) -> String {
    if lines.is_empty() {
        format!("{none}\n\n")
    } else {
        lines.iter().map(|line| format!("- {line}\n")).collect::<String>() + "\n"
    }
}

/// A document: a link where it has an address.
fn document(place: &str) -> String {
    let shown = escape::markdown(place);
    escape::url(place).map_or(shown.clone(), |url| format!("[{shown}]({url})"))
}

fn promises(service: &Service<'_>) -> Draft {
    let line = |what: &str, text: Option<&str>| text.map(|text| format!("**{what}**: {}", escape::markdown(text)));
    let who = [
        line("Project", Some(service.project_name.unwrap_or(service.project))),
        line("Criticality", Some(service.criticality.as_str())),
        line("Owner", service.owner),
        line("Value", service.value),
    ];
    let required = &service.context.requirements;
    let mut wanted: Vec<String> = service
        .context
        .slos
        .iter()
        .map(|slo| {
            let [name, objective, window] = [&slo.name, &slo.objective, &slo.window].map(|part| escape::markdown(part));
            format!("{name}: {objective} % of requests over {window}")
        })
        .collect();
    wanted.extend(
        required
            .latency_texts()
            .map(|(key, _, limit)| format!("{}: {}", escape::markdown(key), escape::markdown(limit))),
    );
    wanted.extend(required.throughput.as_deref().map(|rate| format!("throughput: {}", escape::markdown(rate))));
    let content = list(who.into_iter().flatten().collect(), "") + &list(wanted, "It promises nothing measurable.");
    text(40, "Importance and promises", (8, 10), &content)
}

fn risks(service: &Service<'_>) -> Draft {
    let mut risks: Vec<_> = service.context.risks.iter().collect();
    risks.sort_by_key(|risk| risk.priority);
    let lines = risks.into_iter().map(|risk| {
        let mut line = format!("**{}** {}", risk.priority.as_str(), escape::markdown(&risk.risk));
        let more = [("type", &risk.kind), ("mitigation", &risk.mitigation), ("owner", &risk.owner), ("due", &risk.due)];
        for (what, said) in more {
            if let Some(said) = said {
                line.push_str(&format!("; {what}: {}", escape::markdown(said)));
            }
        }
        line
    });
    text(41, "Risks", (8, 10), &list(lines.collect(), "No risk is named in the ProjectContext."))
}

fn guidance(service: &Service<'_>) -> Draft {
    let documents = service.context.design.documents().map(|(kind, place)| {
        let what = if kind == "adr" {
            "decision record"
        } else if kind == "doc" {
            "design"
        } else {
            "API contract"
        };
        format!("{what}: {}", document(place))
    });
    let runbook = service.runbook.map(|url| format!("runbook: {}", document(url)));
    let design = list(documents.chain(runbook).collect(), "No design is named in the ProjectContext.");
    let lines = service.context.guidance.lines().map(|line| format!("{}: {}", line.kind, escape::markdown(line.text)));
    let lines: Vec<String> = lines.collect();
    let guidance = if lines.is_empty() { String::new() } else { format!("**For agents**\n\n{}", list(lines, "")) };
    text(42, "Design and guidance", (8, 10), &(design + &guidance))
        .option("code", json!({"language": "plaintext", "showLineNumbers": false}))
}
