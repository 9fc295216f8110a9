//! Does with a dashboard what Grafana does before it draws: reads the JSON, finds what each variable may be and chooses,
//! fills the variables into every query, and asks the server that the query is for.
//!
//! Read [`Dashboard`], then [`View`]: a dashboard with its variables chosen, at a moment. What comes back is an [`Answer`].
//! The rules are Grafana's own (`packages/grafana-prometheus`, `pkg/promlib`, `public/app/features/templating`, release 12),
//! as far as they change which numbers are asked for: the formats of variables, the step of a range query, and that its ends
//! are rounded down to it. Transformations, units and colours are not done here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use regex::{Captures, Regex};
use serde_json::Value;

use crate::ask::{Line, Range, Sample, Span, items, text};
use crate::servers::Stack;

/// Points of a range query that a panel as wide as the screen asks for.
const MOST_POINTS: i64 = 1_500;
/// The least step of a range query, in seconds: the scrape interval that Grafana assumes.
const LEAST_STEP: i64 = 15;
/// What a link, or Grafana itself, says for "all of them".
const ALL: &str = "$__all";

/// A dashboard as it is committed.
pub(crate) struct Dashboard {
    json: Value,
}

impl Dashboard {
    /// Every dashboard in a folder, by the name of the file.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Self>> {
        let files = std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
        let mut paths: Vec<PathBuf> = files.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        ensure!(!paths.is_empty(), "no dashboard in {}", folder.display());
        paths.into_iter().map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Result<Self> {
        let json = std::fs::read_to_string(&path)?;
        let json = serde_json::from_str(&json).with_context(|| format!("{} is no JSON", path.display()))?;
        Ok(Self { json })
    }

    pub(crate) fn uid(&self) -> &str {
        self.json["uid"].as_str().unwrap_or_default()
    }

    /// Looks at it at a moment, with some of its variables chosen by name; the others are what they are at first.
    pub(crate) async fn view<'a>(
        &'a self,
        stack: &'a Stack,
        now: i64,
        choices: &[(&str, &[&str])],
    ) -> Result<View<'a>> {
        let mut view = View { dashboard: self, stack, now, chosen: BTreeMap::new() };
        for variable in items(&self.json["templating"]["list"]) {
            let name = text(&variable["name"]);
            let choice = choices.iter().find(|(chosen, _)| *chosen == name).map(|(_, values)| *values);
            let chosen = view.choose(variable, choice).await.with_context(|| format!("variable {name}"))?;
            view.chosen.insert(name, chosen);
        }
        Ok(view)
    }

    /// Every panel that asks something, those in folded rows too.
    fn panels(&self) -> Vec<&Value> {
        let panels = items(&self.json["panels"]).iter();
        panels.flat_map(|panel| std::iter::once(panel).chain(items(&panel["panels"]))).collect()
    }
}

/// A dashboard with its variables chosen.
pub(crate) struct View<'a> {
    dashboard: &'a Dashboard,
    stack: &'a Stack,
    now: i64,
    chosen: BTreeMap<String, Chosen>,
}

/// What a variable stands for.
#[derive(Clone, Debug)]
struct Chosen {
    values: Vec<String>,
    /// Whether several may be chosen: then it is a pattern.
    pattern: bool,
    /// Filled in as it is: what the dashboard wants `All` to be.
    verbatim: bool,
}

/// A query of a panel, with its variables filled in.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    /// The panel's number in its dashboard; 0 for an annotation.
    pub(crate) panel: u64,
    pub(crate) title: String,
    pub(crate) letter: String,
    backend: Backend,
    pub(crate) text: String,
    range: Range,
    /// Seconds between two points of a range query; absent when one moment is asked for.
    step: Option<i64>,
    /// The most lines or traces.
    limit: usize,
    /// The most spans of a trace.
    spans: usize,
}

impl Query {
    pub(crate) fn is_promql(&self) -> bool {
        self.backend == Backend::Prometheus
    }

    /// What it is called in a message.
    pub(crate) fn name(&self) -> String {
        let Self { panel, title, letter, text, .. } = self;
        format!("panel {panel} {title:?}, {letter}: {text}")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backend {
    Prometheus,
    Loki,
    Tempo,
}

/// What a query gives.
#[derive(Debug)]
pub(crate) enum Answer {
    Samples(Vec<Sample>),
    Lines(Vec<Line>),
    Spans(Vec<Span>),
}

impl Answer {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Samples(samples) => samples.len(),
            Self::Lines(lines) => lines.len(),
            Self::Spans(spans) => spans.len(),
        }
    }

    /// Its numbers.
    pub(crate) fn samples(&self) -> Result<&[Sample]> {
        match self {
            Self::Samples(samples) => Ok(samples),
            other => bail!("no numbers: {other:?}"),
        }
    }

    /// Its spans.
    pub(crate) fn spans(&self) -> Result<&[Span]> {
        match self {
            Self::Spans(spans) => Ok(spans),
            other => bail!("no spans: {other:?}"),
        }
    }
}

impl View<'_> {
    pub(crate) fn uid(&self) -> &str {
        self.dashboard.uid()
    }

    /// Every query of every panel and annotation.
    pub(crate) fn queries(&self) -> Result<Vec<Query>> {
        let panels = self.dashboard.panels().into_iter();
        let annotations = items(&self.dashboard.json["annotations"]["list"]).iter();
        let asked = panels
            .flat_map(|panel| items(&panel["targets"]).iter().map(move |target| (panel, target)))
            .chain(annotations.map(|annotation| (annotation, annotation)));
        let queries = asked.filter_map(|(panel, target)| {
            let query = self.query(panel, target).transpose()?;
            Some(query.with_context(|| format!("panel {} {}, {}", panel["id"], panel["title"], target["refId"])))
        });
        queries.collect()
    }

    /// Variables that ask for what may be chosen: every panel waits for them.
    pub(crate) fn asking_variables(&self) -> Vec<&Value> {
        let variables = items(&self.dashboard.json["templating"]["list"]).iter();
        variables.filter(|variable| variable["type"] == "query").collect()
    }

    /// How many targets there are anywhere in the JSON that ask a server: what [`View::queries`] must find.
    pub(crate) fn asking_targets(&self) -> usize {
        fn count(value: &Value) -> usize {
            // An annotation has its query in itself.
            let has_query = value["refId"].is_string() || value["expr"].is_string();
            let asks = has_query && value["datasource"]["type"] != "datasource";
            let below = match value {
                Value::Array(all) => all.iter().map(count).sum(),
                Value::Object(all) => all.values().map(count).sum(),
                _ => 0,
            };
            usize::from(asks) + below
        }
        count(&self.dashboard.json["panels"]) + count(&self.dashboard.json["annotations"])
    }

    /// The answer to one query of a panel.
    pub(crate) async fn panel(&self, panel: u64, letter: &str) -> Result<Answer> {
        let queries = self.queries()?;
        let query = queries.iter().find(|query| query.panel == panel && query.letter == letter);
        let query = query.with_context(|| format!("no panel {panel} with a query {letter}"))?;
        self.ask(query).await.with_context(|| query.name())
    }

    /// The number that a panel shows: the last of its one series.
    pub(crate) async fn number(&self, panel: u64, letter: &str) -> Result<f64> {
        let answer = self.panel(panel, letter).await?;
        let samples = answer.samples()?;
        let series = samples.chunk_by(|one, next| one.labels == next.labels).count();
        ensure!(series == 1, "panel {panel}, {letter}: {series} series, not one: {samples:?}");
        Ok(samples[samples.len() - 1].value)
    }

    /// The number of each row of a table, by a label.
    pub(crate) async fn column(&self, panel: u64, letter: &str, label: &str) -> Result<BTreeMap<String, f64>> {
        let answer = self.panel(panel, letter).await?;
        let rows = answer.samples()?;
        let column: BTreeMap<_, _> = rows.iter().map(|row| (row.get(label).to_owned(), row.value)).collect();
        ensure!(column.len() == rows.len(), "panel {panel}, {letter}: two rows of one {label}: {rows:?}");
        Ok(column)
    }

    pub(crate) async fn ask(&self, query: &Query) -> Result<Answer> {
        let Query { backend, text, range, step, limit, spans, .. } = query;
        let (text, range) = (text.as_str(), *range);
        Ok(match (backend, step) {
            (Backend::Prometheus, None) => Answer::Samples(self.stack.prometheus.instant(text, range.to).await?),
            (Backend::Prometheus, Some(step)) => {
                // Both ends are rounded down to a multiple of the step.
                let round = |at: i64| at.div_euclid(step * 1_000) * step * 1_000;
                let (from, to) = (round(range.from), round(range.to));
                Answer::Samples(self.stack.prometheus.range(text, from, to, *step).await?)
            }
            (Backend::Loki, None) => Answer::Samples(self.stack.loki()?.instant(text, range.to).await?),
            (Backend::Loki, Some(step)) => {
                let (lines, samples) = self.stack.loki()?.range(text, range, *step, *limit).await?;
                if samples.is_empty() { Answer::Lines(lines) } else { Answer::Samples(samples) }
            }
            (Backend::Tempo, None) => Answer::Spans(self.stack.tempo()?.search_as(text, range, *limit, *spans).await?),
            (Backend::Tempo, Some(step)) => {
                Answer::Samples(self.stack.tempo()?.metric_range(text, range, *step).await?)
            }
        })
    }

    /// A target of a panel; `None` when it takes the answer of another panel.
    fn query(&self, panel: &Value, target: &Value) -> Result<Option<Query>> {
        let kind = [&target["datasource"], &panel["datasource"]].into_iter().find_map(|source| source["type"].as_str());
        let backend = match kind {
            Some("prometheus") => Backend::Prometheus,
            Some("loki") => Backend::Loki,
            Some("tempo") => Backend::Tempo,
            Some("datasource") => return Ok(None),
            other => bail!("unknown data source {other:?}"),
        };
        let range = self.range_of(panel)?;
        let step = step(range, panel)?;
        let raw = target["expr"].as_str().or(target["query"].as_str()).context("no text")?;
        let filled = self.fill(raw, backend, range, step)?;
        let once = match backend {
            Backend::Prometheus => target["instant"] == true && target["range"] != true,
            Backend::Loki => target["queryType"] == "instant",
            Backend::Tempo => !is_trace_metric(&filled),
        };
        let number = |name: &str, default: u64| target[name].as_u64().unwrap_or(default) as usize;
        let (limit, spans) = match backend {
            Backend::Tempo => (number("limit", 20), number("spss", 3)),
            _ => (number("maxLines", 1_000), 0),
        };
        Ok(Some(Query {
            panel: panel["id"].as_u64().unwrap_or(0),
            title: text(panel.get("title").unwrap_or(&panel["name"])),
            letter: text(&target["refId"]),
            backend,
            text: filled,
            range,
            step: (!once).then_some(step),
            limit,
            spans,
        }))
    }

    /// The time range of the dashboard, or the panel's own.
    fn range_of(&self, panel: &Value) -> Result<Range> {
        let time = &self.dashboard.json["time"];
        let (mut from, to) = (self.moment(&text(&time["from"]))?, self.moment(&text(&time["to"]))?);
        if let Some(back) = panel["timeFrom"].as_str() {
            from = to - seconds_of(back)? * 1_000;
        }
        Ok(Range { from, to })
    }

    /// `now` or `now-30d`, in epoch milliseconds.
    fn moment(&self, words: &str) -> Result<i64> {
        let back = words.strip_prefix("now").with_context(|| format!("{words:?} is no time we know"))?;
        Ok(self.now - back.strip_prefix('-').map_or(Ok(0), seconds_of)? * 1_000)
    }

    /// Fills variables in. An unknown one is an error: it would be queried by its name.
    fn fill(&self, raw: &str, backend: Backend, range: Range, step: i64) -> Result<String> {
        let pattern = Regex::new(r"\$(\w+)|\$\{(\w+)(?::([^}]+))?\}|\[\[(\w+)(?::(\w+))?\]\]")?;
        let mut unknown = Vec::new();
        let filled = pattern.replace_all(raw, |found: &Captures<'_>| {
            let part = |n: usize| found.get(n).map(|part| part.as_str());
            let name = part(1).or(part(2)).or(part(4)).unwrap_or_default();
            let format = part(3).or(part(5));
            let value =
                built_in(name, format, range, step).or_else(|| Some(self.chosen.get(name)?.text(format, backend)));
            value.unwrap_or_else(|| {
                // `$1` is what label_replace calls its groups.
                if !name.starts_with(|c: char| c.is_ascii_digit()) {
                    unknown.push(name.to_owned());
                }
                found[0].to_owned()
            })
        });
        let filled = filled.into_owned();
        ensure!(unknown.is_empty(), "unknown variables {unknown:?} in {raw}");
        Ok(filled)
    }

    /// Chooses for a variable: what was asked for, else what is chosen at first, else the first option.
    async fn choose(&self, variable: &Value, wanted: Option<&[&str]>) -> Result<Chosen> {
        let kind = text(&variable["type"]);
        let pattern = variable["multi"] == true || variable["includeAll"] == true;
        let plain = |values: Vec<String>| Chosen { values, pattern, verbatim: false };
        let at_first: Vec<String> = match &variable["current"]["value"] {
            Value::Array(values) => values.iter().map(text).collect(),
            Value::Null => Vec::new(),
            value => vec![text(value)],
        };
        let wanted = wanted.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
        let chosen: Vec<String> = wanted.unwrap_or(at_first);
        if kind == "datasource" {
            return Ok(plain(vec![text(&variable["query"])]));
        }
        if chosen == [ALL]
            && let Some(all) = variable["allValue"].as_str()
        {
            return Ok(Chosen { values: vec![all.to_owned()], pattern, verbatim: true });
        }
        if kind != "query" {
            return Ok(plain(chosen));
        }
        let options = self.options(variable).await?;
        if chosen == [ALL] {
            return Ok(plain(options));
        }
        let there = !chosen.is_empty() && chosen.iter().all(|value| options.contains(value));
        ensure!(there || chosen.is_empty(), "{chosen:?} cannot be chosen from {options:?}");
        Ok(plain(if there { chosen } else { options.into_iter().take(1).collect() }))
    }

    /// What may be chosen for a variable that asks Prometheus, as Grafana orders it.
    pub(crate) async fn options(&self, variable: &Value) -> Result<Vec<String>> {
        let range = self.range_of(&Value::Null)?;
        let raw = variable["query"]["query"].as_str().or(variable["query"].as_str()).context("no query")?;
        let query = self.fill(raw, Backend::Prometheus, range, step(range, &Value::Null)?)?;
        let label_values = Regex::new(r"^label_values\((?:(.+),\s*)?(\w+)\)$")?;
        let given = if let Some(found) = label_values.captures(&query) {
            let (series, label) = (found.get(1).map(|series| series.as_str()), &found[2]);
            self.stack.prometheus.label_values(label, series, range).await?
        } else if let Some(inner) = query.strip_prefix("query_result(").and_then(|rest| rest.strip_suffix(')')) {
            self.stack.prometheus.instant(inner, self.now).await?.iter().map(result_line).collect()
        } else {
            bail!("a variable query we do not know: {query}")
        };
        let mut options = extract(&given, variable["regex"].as_str().unwrap_or_default())?;
        if variable["sort"] == 1 {
            options.sort_by(|(_, one), (_, other)| one.cmp(other));
        }
        let mut values: Vec<String> = Vec::new();
        for (value, _) in options {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        Ok(values)
    }
}

impl Chosen {
    /// It in a query.
    fn text(&self, format: Option<&str>, backend: Backend) -> String {
        let joined = |separator: &str| self.values.join(separator);
        if self.verbatim {
            return joined("|");
        }
        match (format, backend) {
            (Some("raw"), _) => joined(","),
            (Some("pipe"), _) | (None, Backend::Tempo) => joined("|"),
            (Some("csv"), _) => joined(","),
            (Some("regex"), _) => alternatives(self.values.iter().map(|value| regex::escape(value)).collect()),
            _ if self.pattern => alternatives(self.values.iter().map(|value| escaped_pattern(value)).collect()),
            _ => joined(",").replace('\\', "\\\\").replace('"', "\\\""),
        }
    }
}

fn alternatives(values: Vec<String>) -> String {
    match values.as_slice() {
        [one] => one.clone(),
        all => format!("({})", all.join("|")),
    }
}

/// A value as part of a pattern between quotes: both need a backslash.
fn escaped_pattern(value: &str) -> String {
    let escaped = value.chars().map(|c| match c {
        '\\' => r"\\\\".to_owned(),
        '$' | '^' | '*' | '{' | '}' | '[' | ']' | '\'' | '+' | '?' | '.' | '(' | ')' | '|' => format!(r"\\{c}"),
        plain => plain.to_string(),
    });
    escaped.collect()
}

/// Variables that Grafana knows by itself.
fn built_in(name: &str, format: Option<&str>, range: Range, step: i64) -> Option<String> {
    let length = (range.to - range.from).div_euclid(1_000);
    Some(match name {
        "__range" => format!("{length}s"),
        "__range_s" => length.to_string(),
        "__range_ms" => (length * 1_000).to_string(),
        "__interval" | "__auto" => format!("{step}s"),
        "__interval_ms" => (step * 1_000).to_string(),
        "__rate_interval" => format!("{}s", (step + LEAST_STEP).max(4 * LEAST_STEP)),
        "__from" => moment_text(range.from, format),
        "__to" => moment_text(range.to, format),
        _ => return None,
    })
}

/// A moment in a query: epoch milliseconds unless a format is given.
fn moment_text(at: i64, format: Option<&str>) -> String {
    match format {
        Some("date:seconds") => at.div_euclid(1_000).to_string(),
        _ => at.to_string(),
    }
}

/// Seconds between two points: as many points as are drawn, but no closer than the panel wants.
fn step(range: Range, panel: &Value) -> Result<i64> {
    let points = panel["maxDataPoints"].as_i64().unwrap_or(MOST_POINTS).max(1);
    let least = panel["interval"].as_str().map_or(Ok(LEAST_STEP), seconds_of)?;
    Ok(((range.to - range.from) / 1_000 / points).max(least))
}

/// `6h` in seconds.
fn seconds_of(range: &str) -> Result<i64> {
    let (number, unit) = range.split_at(range.find(|c: char| !c.is_ascii_digit()).unwrap_or(range.len()));
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => bail!("{range:?} is not a time range we know"),
    };
    Ok(number.parse::<i64>().with_context(|| range.to_owned())? * unit)
}

/// Whether a TraceQL query gives numbers.
fn is_trace_metric(query: &str) -> bool {
    ["rate(", "_over_time(", "compare("].iter().any(|function| query.contains(function))
}

/// A series as `query_result` writes it.
fn result_line(sample: &Sample) -> String {
    let name = sample.get("__name__");
    let labels = sample.labels.iter().filter(|(label, _)| *label != "__name__");
    let labels: Vec<String> = labels.map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    format!("{name}{{{}}} {} {}", labels.join(","), sample.value, sample.at)
}

/// Values and texts out of what a variable query gives, by its regular expression.
fn extract(given: &[String], pattern: &str) -> Result<Vec<(String, String)>> {
    if pattern.is_empty() {
        return Ok(given.iter().map(|text| (text.clone(), text.clone())).collect());
    }
    let pattern = pattern.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).unwrap_or(pattern);
    let pattern = Regex::new(pattern)?;
    let found = given.iter().filter_map(|text| pattern.captures(text)).filter_map(|found| {
        let named = |name: &str| found.name(name).map(|part| part.as_str().to_owned());
        let first = found.get(1).or(found.get(0)).map(|part| part.as_str().to_owned());
        let value = named("value").or_else(|| named("text")).or(first)?;
        let shown = named("text").unwrap_or_else(|| value.clone());
        Some((value, shown))
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(values: &[&str], pattern: bool) -> Chosen {
        Chosen { values: values.iter().map(|value| (*value).to_owned()).collect(), pattern, verbatim: false }
    }

    #[test]
    fn variables_take_the_form_that_each_backend_wants() {
        let several = chosen(&["a.b", "c"], true);
        assert_eq!(several.text(None, Backend::Prometheus), r"(a\\.b|c)");
        assert_eq!(several.text(None, Backend::Tempo), "a.b|c");
        assert_eq!(several.text(Some("raw"), Backend::Prometheus), "a.b,c");
        assert_eq!(chosen(&["a.b"], true).text(None, Backend::Loki), r"a\\.b");
        assert_eq!(chosen(&["a.b \"c\""], false).text(None, Backend::Prometheus), r#"a.b \"c\""#);
        let all = Chosen { verbatim: true, ..chosen(&[".*"], true) };
        assert_eq!(all.text(None, Backend::Prometheus), ".*");
    }

    #[test]
    fn options_are_taken_out_of_what_the_query_gives() {
        let labels = [("project_id", "shop"), ("project_name", "The shop")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let line = result_line(&Sample { labels, at: 7, value: 1.0 });
        assert_eq!(line, r#"{project_id="shop",project_name="The shop"} 1 7"#);
        let named = extract(&[line, "else".to_owned()], r#"/project_id="(?<value>[^"]*)".*name="(?<text>[^"]*)"/"#);
        assert_eq!(named.expect("a sound pattern"), [("shop".to_owned(), "The shop".to_owned())]);
    }

    #[test]
    fn a_step_is_no_shorter_than_what_the_panel_wants() {
        let month = Range { from: 0, to: 30 * 86_400_000 };
        let panel = serde_json::json!({"interval": "6h"});
        assert_eq!(step(month, &panel).expect("a sound panel"), 21_600);
        assert_eq!(step(month, &Value::Null).expect("a sound panel"), 1_728);
    }
}
