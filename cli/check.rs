//! `contextcore check`: proves every token, shows what a sync would read, and pings the backend. Nothing is written, but for
//! the canaries of the [`doctor`], where it is asked.

use contextcore_connectors::ALL;
use contextcore_core::config::{Config, OtlpConfig, Resolve, SourceConfig};
use contextcore_core::engine;
use contextcore_core::export::otlp::{self, Batch, OtlpTarget, Signal};
use contextcore_core::http::observed;
use contextcore_core::ingest::connector::{CheckReport, Run};
use contextcore_core::model::printable;
use contextcore_core::{Error, clock};
use serde::Serialize;

use crate::app::{self, Context};
use crate::args;
use crate::doctor::{self, Backends, Finding, Verdict};
use crate::failure::{Exit, Outcome};
use crate::report::{ErrorLine, by_message};
use crate::table::{Cell, Column, Table};
use crate::tone::Tone;
use crate::{output, stop, terminal};

/// What a check found.
#[derive(Debug, Serialize)]
struct Findings {
    sources: Vec<SourceFinding>,
    backends: Vec<BackendFinding>,
    /// The tokens of `ops` and `mcp` that cannot be read: whoever brings one is refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tokens: Vec<TokenFinding>,
    /// Where the projects file and the configuration disagree, and what of it was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    projects: Vec<String>,
    /// What the doctor found, if it was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    doctor: Vec<Finding>,
}

/// What was found of a source.
#[derive(Debug, Serialize)]
struct SourceFinding {
    name: String,
    kind: String,
    url: String,
    /// Absent when the source failed.
    report: Option<CheckReport>,
    error: Option<ErrorLine>,
}

/// What was found of one signal's backend.
#[derive(Debug, Serialize)]
struct BackendFinding {
    signal: Signal,
    url: String,
    error: Option<ErrorLine>,
}

/// A token that cannot be read.
#[derive(Debug, Serialize)]
struct TokenFinding {
    /// Its list and name.
    name: String,
    error: ErrorLine,
}

pub(crate) async fn run(context: &Context, arguments: &args::Check) -> Outcome {
    let json = context.is_json("check")?;
    let config = context.config_for_network()?;
    let chosen = app::chosen(&config, &arguments.sources)?;
    let asked = &arguments.doctor;
    app::warn_of_flags([
        ("--tempo-url", asked.tempo_url.as_ref()),
        ("--loki-url", asked.loki_url.as_ref()),
        ("--prometheus-url", asked.prometheus_url.as_ref()),
        ("--grafana-url", asked.grafana_url.as_ref()),
    ]);
    let backends = Backends::open(&config, &arguments.doctor)?;
    let work = async {
        let mut findings = find(&config, &chosen).await;
        if arguments.doctor.is_asked() {
            findings.doctor = doctor::examine(&config, &arguments.doctor, &backends).await;
        }
        findings
    };
    let findings = stop::interruptible(work).await?;
    output::print(json, &findings, |findings| findings.render(context.global.verbose > 0, terminal::width()))?;
    eprint!("{}", findings.errors());
    Ok(findings.exit())
}

async fn find(config: &Config, sources: &[&SourceConfig]) -> Findings {
    let projects = config.projects_file.as_ref().map(|file| file.notes.clone()).unwrap_or_default();
    let (tokens, doctor) = (unread_tokens(config), Vec::new());
    let mut findings = Findings { sources: Vec::new(), backends: Vec::new(), tokens, projects, doctor };
    for source in sources {
        let checked = check_source(config, source).await;
        let (report, error) = match checked {
            Ok(report) => (Some(report), None),
            Err(error) => (None, Some(ErrorLine::from(&error))),
        };
        let SourceConfig { name, kind, .. } = source;
        findings.sources.push(SourceFinding {
            name: name.clone(),
            kind: kind.clone(),
            url: source.place(),
            report,
            error,
        });
    }
    for (signal, target) in &config.export.otlp.targets {
        let error = ping(&config.export.otlp, *signal).await.err();
        let error = error.as_ref().map(ErrorLine::from);
        findings.backends.push(BackendFinding { signal: *signal, url: target.url.clone(), error });
    }
    findings
}

/// The tokens of `serve` that cannot be read.
fn unread_tokens(config: &Config) -> Vec<TokenFinding> {
    let ops = config.ops.iter().flat_map(|ops| &ops.tokens).map(|token| ("ops", &token.name, &token.token));
    let mcp = config.mcp.iter().flat_map(|mcp| &mcp.tokens).map(|token| ("mcp", &token.name, &token.token));
    let unread = ops.chain(mcp).filter_map(|(list, name, token)| {
        let error = token.resolve().err()?;
        Some(TokenFinding { name: format!("{list}.tokens: {name}"), error: ErrorLine::from(&error) })
    });
    unread.collect()
}

async fn check_source(config: &Config, source: &SourceConfig) -> Result<CheckReport, Error> {
    let connector = engine::connect(ALL, source, &config.privacy)?;
    let run = Run { now: clock::now(), full: false };
    let work = async { connector.open(None, &run).await?.check().await };
    observed(work, |retry| output::note(&printable::one_line(&format!("{}: {retry}", source.name)))).await
}

/// Sends a request with nothing in it: proves address, protocol and credential, and leaves nothing behind.
async fn ping(config: &OtlpConfig, signal: Signal) -> Result<(), Error> {
    let Some(target) = OtlpTarget::of(config, signal)? else { return Ok(()) };
    match otlp::connect(&target, signal)?.export(&Batch::empty(signal)).await {
        // Loki says so of a request that holds nothing: it was reached, and understood us.
        Err(error) if error.context("answer").is_some_and(|answer| answer.contains("at least one valid stream")) => {
            Ok(())
        }
        answered => answered.map(drop),
    }
}

impl Findings {
    /// All is well only when no source and no backend failed. A source is reported before a backend.
    fn exit(&self) -> Exit {
        let sources = self.sources.iter().filter_map(|source| source.error.as_ref()).map(ErrorLine::exit);
        let problems = self.problems().map(|_| Exit::Source);
        let backends = self.backends.iter().filter(|backend| backend.error.is_some()).map(|_| Exit::Backend);
        let doctor = self.doctor.iter().filter(|finding| finding.verdict == Verdict::Wrong).map(|_| Exit::Backend);
        let tokens = self.tokens.iter().map(|token| token.error.exit());
        Exit::worst(sources.chain(problems).chain(backends).chain(tokens).chain(doctor))
    }

    /// What is wrong with sources that answered, by source.
    fn problems(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().flat_map(|source| {
            let problems = source.report.iter().flat_map(|report| &report.problems);
            problems.map(|problem| (source.name.as_str(), problem.as_str()))
        })
    }

    fn errors(&self) -> String {
        let sources = self.sources.iter().filter_map(|source| Some((source.name.as_str(), source.error.as_ref()?)));
        let sources = sources.map(|(name, error)| format!("error: {name}: {}\n", error.message()));
        let backends =
            self.backends.iter().filter_map(|backend| Some((backend.signal.as_str(), backend.error.as_ref()?)));
        let backends = by_message(backends).into_iter().map(|(names, message)| format!("error: {names}: {message}\n"));
        let failed = sources.chain(backends);
        let problems = self.problems().map(|(name, problem)| format!("error: {name}: {problem}\n"));
        let wrong = self.doctor.iter().filter(|finding| finding.verdict == Verdict::Wrong).map(complaint);
        let tokens = self.tokens.iter().map(|token| format!("error: {}: {}\n", token.name, token.error.message()));
        let all: String = failed.chain(tokens).chain(problems).chain(wrong).collect();
        printable::lines(&all).into_owned()
    }

    fn render(&self, all: bool, width: Option<usize>) -> String {
        let mut text = String::new();
        for source in &self.sources {
            text.push_str(&format!("{} ({}) at {}\n", source.name, source.kind, source.url));
            match (&source.report, &source.error) {
                (Some(report), _) => text.push_str(&source_text(report, all, width)),
                // What failed and why is on stderr, once.
                (None, Some(_)) => text.push_str("  failed\n"),
                (None, None) => {}
            }
            text.push('\n');
        }
        text.push_str("backend\n");
        let mut table = Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Wrapped)]);
        for backend in &self.backends {
            let found = match backend.error {
                None => Cell::new("ok", Tone::Good),
                Some(_) => Cell::new("failed", Tone::Bad),
            };
            table.row([Cell::from(format!("  {}", backend.signal)), Cell::from(backend.url.clone()), found]);
        }
        text.push_str(&table.render(width));
        if !self.projects.is_empty() {
            let line = |note: &String| format!("  warning: {}\n", printable::one_line(note));
            text.push_str(&format!("projects\n{}", self.projects.iter().map(line).collect::<String>()));
        }
        if !self.doctor.is_empty() {
            text.push_str(&format!("doctor\n{}", doctor_text(&self.doctor, width)));
        }
        text
    }
}

fn doctor_text(findings: &[Finding], width: Option<usize>) -> String {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Wrapped)]);
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => Cell::new("ok", Tone::Good),
            Verdict::Wrong => Cell::new("WRONG", Tone::Bad),
            Verdict::Unknown => Cell::new("?", Tone::Warning),
        };
        // What is wrong and what to do about it is on stderr, once.
        let found = if finding.verdict == Verdict::Wrong { "see the error below" } else { &finding.found };
        table.row([Cell::from(format!("  {}", finding.backend)), verdict, Cell::from(found.to_owned())]);
    }
    table.render(width)
}

fn complaint(finding: &Finding) -> String {
    let advice = finding.advice.as_ref().map(|advice| format!(": {advice}")).unwrap_or_default();
    format!("error: {}: {}{advice}\n", finding.backend, finding.found)
}

/// Projects and statuses shown without `-v`.
const SHOWN: usize = 20;

fn source_text(report: &CheckReport, all: bool, width: Option<usize>) -> String {
    let mut text = head(report).render(width);
    let lists: [(&str, Vec<Vec<String>>); 3] = [
        ("projects", report.projects.iter().map(|(key, name)| vec![key.clone(), name.clone()]).collect()),
        ("fields", report.fields.iter().map(|(ours, id, name)| vec![ours.clone(), id.clone(), name.clone()]).collect()),
        (
            "statuses",
            report.statuses.iter().map(|(native, ours, why)| vec![native.clone(), ours.clone(), why.clone()]).collect(),
        ),
    ];
    for (heading, rows) in lists {
        text.push_str(&section(heading, &rows, all, width));
    }
    for problem in &report.problems {
        text.push_str(&format!("  problem: {}\n", printable::one_line(problem)));
    }
    for warning in &report.warnings {
        text.push_str(&format!("  warning: {}\n", printable::one_line(warning)));
    }
    text
}

fn head(report: &CheckReport) -> Table {
    let mut table = Table::new(&[("", Column::Left), ("", Column::Wrapped)]);
    table.row(["  token of".to_owned(), report.identity.clone()]);
    table.row(["  product".to_owned(), report.product.clone()]);
    if !report.scopes.is_empty() {
        table.row(["  scopes".to_owned(), report.scopes.join(", ")]);
    }
    table
}

fn section(heading: &str, rows: &[Vec<String>], all: bool, width: Option<usize>) -> String {
    if rows.is_empty() {
        return format!("  {heading}: none\n");
    }
    let shown = if all { rows.len() } else { SHOWN };
    let mut table = Table::new(&[("", Column::Left), ("", Column::Left), ("", Column::Flexible)]);
    for row in rows.iter().take(shown) {
        let mut cells = row.iter().cloned();
        let first = format!("    {}", cells.next().unwrap_or_default());
        table.row(std::iter::once(first).chain(cells));
    }
    let rest = rows.len().saturating_sub(shown);
    let more = if rest > 0 { format!("    and {rest} more: -v shows all\n") } else { String::new() };
    format!("  {heading}\n{}{more}", table.render(width))
}

#[cfg(test)]
mod tests {
    use contextcore_core::ErrorKind;

    use super::*;

    fn findings() -> Findings {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let triple = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        let report = CheckReport {
            identity: "Bot <bot@acme.example>".into(),
            product: "Jira Cloud".into(),
            scopes: vec![],
            projects: vec![pair("OPS", "Operations"), pair("PROJ", "Commerce checkout")],
            fields: vec![triple("story_points", "customfield_10016", "Story point estimate (by its kind)")],
            statuses: vec![
                triple("To Do (1)", "todo", "its category"),
                triple("Awaiting QA (7)", "in_review", "its name says review"),
            ],
            warnings: vec!["no board of these projects can be seen".into()],
            problems: vec!["project HR does not exist or is hidden from this token".into()],
        };
        let refused = Error::new(ErrorKind::Auth, "log in: the token was refused (401); make a new one");
        let unreachable = Error::new(ErrorKind::Export, "reach the backend: connection refused");
        let source = |name: &str, report, error: Option<&Error>| SourceFinding {
            name: name.into(),
            kind: "jira".into(),
            url: "https://acme.example".into(),
            report,
            error: error.map(ErrorLine::from),
        };
        let backend = |signal, error: Option<&Error>| BackendFinding {
            signal,
            url: "http://127.0.0.1:4317".into(),
            error: error.map(ErrorLine::from),
        };
        Findings {
            sources: vec![source("acme", Some(report), None), source("other", None, Some(&refused))],
            backends: vec![backend(Signal::Traces, None), backend(Signal::Logs, Some(&unreachable))],
            tokens: Vec::new(),
            projects: vec![
                "shop: owner is a in the configuration and b in the projects file: the configuration wins".into(),
            ],
            doctor: Vec::new(),
        }
    }

    #[test]
    fn findings_read_well_and_each_failure_is_an_error_line() {
        insta::assert_snapshot!("check", findings().render(false, None) + &findings().errors());
    }

    #[test]
    fn a_token_that_cannot_be_read_is_an_error() {
        let unread = Error::new(ErrorKind::Config, "read the secret: no such file");
        let name = "ops.tokens: ci".to_owned();
        let tokens = vec![TokenFinding { name, error: ErrorLine::from(&unread) }];
        let findings = Findings { sources: vec![], backends: vec![], tokens, projects: vec![], doctor: vec![] };
        assert_eq!(findings.exit(), Exit::Usage);
        assert_eq!(findings.errors(), "error: ops.tokens: ci: read the secret: no such file\n");
    }

    #[test]
    fn all_is_well_only_when_nothing_failed() {
        let mut findings = findings();
        assert_eq!(findings.exit(), Exit::Source);
        findings.sources.pop();
        assert_eq!(findings.exit(), Exit::Source, "a project that is not there");
        findings.sources[0].report.as_mut().unwrap().problems.clear();
        assert_eq!(findings.exit(), Exit::Backend);
        findings.backends.pop();
        assert_eq!(findings.exit(), Exit::Done);
    }

    #[test]
    fn long_lists_are_cut_unless_all_is_asked_for() {
        let rows: Vec<Vec<String>> = (0..SHOWN + 2).map(|n| vec![format!("P{n}"), String::new()]).collect();
        assert!(section("projects", &rows, false, None).ends_with("and 2 more: -v shows all\n"));
        assert!(section("projects", &rows, true, None).contains(&format!("P{}", SHOWN + 1)));
    }
}
