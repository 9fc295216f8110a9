//! What is committed is what the code says; it is sound JSON for Grafana, and its queries name only what we emit.
//!
//! `UPDATE_DASHBOARDS=1 cargo test -p contextcore-dashboards` writes the files anew.

mod sample;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use contextcore_dashboards::model::{Dashboard, Panel, Target};
use contextcore_dashboards::{alerts, dashboards, docs, files};
use contextcore_model::semconv::exposition_name;
use contextcore_model::semconv::{ATTRIBUTES, EVENTS, Instrument, METRICS, On};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Compares a committed file, or writes it.
#[expect(clippy::disallowed_methods, reason = "a switch of the test, not of the product")]
fn fresh(file: &str, text: &str) -> std::io::Result<()> {
    let path = folder().join(file);
    if std::env::var("UPDATE_DASHBOARDS").is_ok() {
        std::fs::create_dir_all(path.with_file_name(""))?;
        std::fs::write(&path, text)?;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "{file} is not what the code says: run UPDATE_DASHBOARDS=1 cargo test -p contextcore-dashboards"
    );
    Ok(())
}

#[test]
fn the_committed_dashboards_are_fresh() -> std::io::Result<()> {
    for (name, dashboard) in dashboards() {
        fresh(&format!("{name}.json"), &dashboard.to_json())?;
    }
    let (_, service) = sample::all().pop().unwrap();
    fresh("tests/service.json", &service.to_json())
}

/// The Helm chart provisions again when this changes.
#[test]
fn the_chart_knows_which_dashboards_there_are() -> std::io::Result<()> {
    let provisioned =
        dashboards().map(|(_, dashboard)| dashboard.to_json()).into_iter().chain([alerts::prometheus_rules()]);
    let hash = blake3::hash(provisioned.collect::<String>().as_bytes()).to_hex();
    fresh("../deploy/helm/contextcore/files/dashboards.hash", &format!("{hash}\n"))
}

fn panels(dashboard: &Dashboard) -> impl Iterator<Item = &Panel> {
    dashboard.all_panels().filter(|panel| panel.kind != "row")
}

#[test]
fn panels_describe_their_rule_and_why_they_may_be_empty() {
    for (name, dashboard) in sample::all() {
        for panel in panels(&dashboard).filter(|panel| panel.kind != "text") {
            let name = format!("{name}: {}", panel.title);
            assert!(panel.description.len() > 30, "{name}: no rule");
            let config = panel.field_config.as_ref().unwrap();
            assert!(config.defaults.no_value.len() > 10, "{name}: does not say why it may be empty");
            let shown = config.defaults.no_value.chars().count();
            assert!(panel.kind != "stat" || shown <= 24, "{name}: {shown} characters do not fit in a tile");
            assert!(!panel.targets.is_empty() && panel.datasource.is_some(), "{name}: has no query");
        }
    }
}

#[test]
fn numbers_and_places_are_there_once() {
    for (name, dashboard) in sample::all() {
        let all: Vec<&Panel> = dashboard.all_panels().collect();
        let ids: BTreeSet<u32> = all.iter().map(|panel| panel.id).collect();
        assert_eq!(ids.len(), all.len(), "{name}");
        for panel in &all {
            let letters: BTreeSet<_> = panel.targets.iter().map(Target::ref_id).collect();
            assert_eq!(letters.len(), panel.targets.len(), "{name}: {}", panel.title);
            assert!(panel.grid_pos.x + panel.grid_pos.w <= 24 && panel.grid_pos.h > 0, "{name}: {}", panel.title);
        }
        for panel in &dashboard.panels {
            let others = dashboard.panels.iter().filter(|other| other.id != panel.id);
            assert!(others.into_iter().all(|other| !overlap(panel, other)), "{name}: {}", panel.title);
        }
    }
}

/// What a table calls its columns: by the last step that leaves only some.
fn columns(panel: &Panel) -> Option<BTreeSet<String>> {
    let last = panel.transformations.iter().rposition(|step| step.id == "organize")?;
    let organize = &panel.transformations[last].options;
    let renamed = organize["renameByName"].as_object()?;
    let kept = organize["indexByName"].as_object()?.keys().filter(|name| !renamed.contains_key(*name)).cloned();
    Some(kept.chain(renamed.values().filter_map(|name| Some(name.as_str()?.to_owned()))).collect())
}

#[test]
fn links_name_columns_that_are_there() {
    let mut seen = 0;
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels() {
            let Some(columns) = columns(panel) else { continue };
            let config = serde_json::to_string(&panel.field_config).unwrap();
            for rest in config.split("${__data.fields.").skip(1) {
                let column = &rest[..rest.find(['.', ':', '}']).unwrap()];
                assert!(columns.contains(column), "{name}: {}: {column} is not among {columns:?}", panel.title);
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn empty_cells_do_not_explain_an_empty_table() {
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels().filter(|panel| panel.kind == "table") {
            let first = &panel.field_config.as_ref().unwrap().overrides[0];
            let all = first.matcher.id == "byRegexp" && first.matcher.options == "/.*/";
            assert!(all && first.properties[0].id == "noValue", "{name}: {}", panel.title);
        }
    }
}

/// Grafana names such a bar by the texts of its row, unless its number has a name of its own.
#[test]
fn bars_of_rows_are_called_by_their_rows() {
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels().filter(|panel| panel.kind == "bargauge") {
            if panel.options["reduceOptions"]["values"] == true {
                assert!(columns(panel).is_some_and(|all| all.contains("Value")), "{name}: {}", panel.title);
            }
        }
    }
}

/// Bars of a time series stand upon each other's place, and the larger hides the smaller.
#[test]
fn bars_side_by_side_are_bar_charts() {
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels().filter(|panel| panel.kind == "timeseries") {
            let config = serde_json::to_string(&panel.field_config).unwrap();
            assert!(!config.contains("\"bars\""), "{name}: {}", panel.title);
        }
    }
}

fn overlap(a: &Panel, b: &Panel) -> bool {
    let (a, b) = (a.grid_pos, b.grid_pos);
    a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

#[test]
fn answers_of_other_panels_are_of_panels_that_are_there() {
    for (_, dashboard) in sample::all() {
        for panel in dashboard.all_panels() {
            for target in &panel.targets {
                let Target::Panel(of) = target else { continue };
                assert!(
                    dashboard.all_panels().any(|other| other.id == of.panel_id && other.id != panel.id),
                    "{}",
                    panel.title
                );
            }
        }
    }
}

#[test]
fn variables_come_after_those_they_depend_on_and_every_one_that_is_used_is_there() {
    const GRAFANAS: [&str; 3] = ["__range", "__from", "__to"];
    for (name, dashboard) in sample::all() {
        let mut known: BTreeSet<&str> = GRAFANAS.into();
        for variable in &dashboard.templating.list {
            assert!(
                used(&variable.definition).is_subset(&known),
                "{name}: ${}: {}",
                variable.name,
                variable.definition
            );
            known.insert(variable.name);
        }
        for panel in dashboard.all_panels() {
            for query in panel.targets.iter().filter_map(Target::query) {
                let unknown: Vec<_> = used(query).difference(&known).copied().collect();
                assert!(unknown.is_empty(), "{name}: {}: {unknown:?}", panel.title);
            }
        }
    }
}

/// The variables in a text: `$name` and `${name…}`.
fn used(text: &str) -> BTreeSet<&str> {
    text.split('$')
        .skip(1)
        .map(|rest| rest.trim_start_matches('{'))
        .map(|rest| &rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())])
        .collect()
}

/// What PromQL calls its own.
const PROMQL: &str = "max min sum count avg by on and or unless group_left offset bool last_over_time max_over_time \
min_over_time avg_over_time stddev_over_time timestamp histogram_quantile label_replace sort_desc sqrt scalar time vector \
query_result label_values changes sort label_join";
/// What queries name themselves.
const OURS: &str = "rule weekday hour le at line link";
/// What LogQL calls its own.
const LOGQL: &str = "sum by count_over_time label_format";
/// What TraceQL calls its own.
const TRACEQL: &str = "by select with most_recent true status error";

/// The words of a query outside of texts and durations.
fn tokens(query: &str) -> BTreeSet<String> {
    let mut outside = String::new();
    let mut quote = None;
    let mut brackets = 0;
    for c in query.chars() {
        match (quote, c) {
            (None, '"' | '`') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '[') => brackets += 1,
            (None, ']') => brackets -= 1,
            (None, _) if brackets == 0 => outside.push(c),
            _ => {}
        }
    }
    let all = outside.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | ':' | '$'));
    let number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    all.filter(|word| !word.is_empty() && !number(word) && !word.starts_with('$')).map(str::to_owned).collect()
}

fn labels() -> BTreeSet<String> {
    ATTRIBUTES.iter().map(|attribute| attribute.name.replace('.', "_")).collect()
}

fn metrics() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for metric in METRICS {
        let name = exposition_name(metric.name, metric.unit, metric.instrument == Instrument::Counter);
        if metric.instrument == Instrument::Histogram {
            all.extend(["_bucket", "_sum", "_count"].map(|part| format!("{name}{part}")));
        } else {
            all.insert(name);
        }
    }
    all
}

/// What the rules of a context record.
fn recorded() -> BTreeSet<String> {
    use contextcore_dashboards::recordings::*;
    let ratios = ["5m", "1h"].map(|window| format!("{RATIO}{window}"));
    let names = [TOTAL, BAD, PERIOD_RATIO, BUDGET_LEFT, OBJECTIVE, BURN_RATE, WINDOW].map(str::to_owned);
    names.into_iter().chain(ratios).chain(LABELS.map(str::to_owned)).collect()
}

fn listed(words: &str) -> BTreeSet<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

/// The words of a query that are neither the language's nor in the registry.
fn unknown_promql(query: &str) -> Vec<String> {
    let known = [labels(), metrics(), recorded(), listed(PROMQL), listed(OURS)];
    let known: BTreeSet<String> = known.into_iter().flatten().collect();
    tokens(query).difference(&known).cloned().collect()
}

fn unknown_logql(query: &str) -> Vec<String> {
    let known: BTreeSet<String> = [labels(), listed(LOGQL), listed(OURS)].into_iter().flatten().collect();
    let events: BTreeSet<String> = EVENTS.iter().map(|event| event.name.to_owned()).collect();
    let named = query.split("event_name=~\"").skip(1).flat_map(|rest| rest.split('"').next());
    let named = named.flat_map(|names| names.split('|')).map(|name| name.replace("[.]", "."));
    named.filter(|name| !events.contains(name)).chain(tokens(query).difference(&known).cloned()).collect()
}

fn unknown_traceql(query: &str) -> Vec<String> {
    let mut known = listed(TRACEQL);
    known.insert("span:id".to_owned());
    for attribute in ATTRIBUTES {
        let scope = match attribute.on {
            On::Resource => "resource",
            On::Span => "span",
            On::Event | On::Link | On::Point => continue,
        };
        known.insert(format!("{scope}.{}", attribute.name));
    }
    let query = query.replace("${__from:date:seconds}", "0").replace("${__to:date:seconds}", "0");
    tokens(&query).difference(&known).cloned().collect()
}

#[test]
fn queries_name_only_what_we_emit() {
    for (name, dashboard) in sample::all() {
        for panel in dashboard.all_panels() {
            for target in &panel.targets {
                let unknown = match target {
                    Target::Prometheus(target) => unknown_promql(&target.expr),
                    Target::Loki(target) => unknown_logql(&target.expr),
                    Target::Tempo(target) => unknown_traceql(&target.query),
                    Target::Panel(_) => continue,
                };
                assert!(unknown.is_empty(), "{name}: {}: {unknown:?} in {:?}", panel.title, target.query());
            }
        }
        for variable in &dashboard.templating.list {
            assert_eq!(unknown_promql(&variable.definition), Vec::<String>::new(), "{name}: ${}", variable.name);
        }
        for annotation in &dashboard.annotations.list {
            assert_eq!(unknown_logql(&annotation.expr), Vec::<String>::new(), "{name}: {}", annotation.name);
        }
    }
}

#[test]
fn the_check_of_names_can_fail() {
    assert_eq!(unknown_promql("sum(task_wpi{project_id=\"x\"}[5m])"), ["task_wpi"]);
    assert_eq!(unknown_logql("{project_id=\"x\"} | event_name=~\"task[.]done\""), ["task.done"]);
    assert_eq!(unknown_traceql("{ span.project.id = \"x\" }"), ["span.project.id"]);
}

#[test]
fn the_committed_alerts_are_fresh() -> std::io::Result<()> {
    fresh("alerts/contextcore.rules.yaml", &alerts::prometheus_rules())?;
    for file in files::provisioning(&local_stack()) {
        fresh(&format!("../deploy/grafana/{}", file.path), &file.text)?;
    }
    Ok(())
}

/// The addresses within `deploy/compose.yaml`.
fn local_stack() -> files::Settings {
    let urls = [("prometheus", "http://prometheus:9090"), ("tempo", "http://tempo:3200"), ("loki", "http://loki:3100")];
    let urls = urls.map(|(kind, url)| (kind, url.to_owned())).to_vec();
    files::Settings { folder: "ContextCore".to_owned(), urls }
}

#[test]
fn alerts_name_only_what_we_emit() {
    for rule in alerts::rules() {
        assert_eq!(unknown_promql(&rule.promql()), Vec::<String>::new(), "{}", rule.name);
    }
}

const NO_PROMTOOL: &str = "
**********************************************************************************************
*  SKIPPED: the alert rules were not tried. promtool is neither in $CONTEXTCORE_STACK nor in  *
*  target/stack; tests/stack/build.sh builds it. CONTEXTCORE_REQUIRE_STACK=1 makes this fail. *
**********************************************************************************************
";

/// promtool, if it was built.
fn promtool() -> Option<PathBuf> {
    let given = std::env::var_os("CONTEXTCORE_STACK").map(PathBuf::from);
    let file = given.unwrap_or_else(|| folder().join("../target/stack")).join("promtool");
    file.is_file().then_some(file)
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    let Some(promtool) = promtool() else {
        assert!(std::env::var_os("CONTEXTCORE_REQUIRE_STACK").is_none_or(|value| value != "1"), "{NO_PROMTOOL}");
        // Past the test harness, which shows what a test prints only when it fails.
        std::io::stderr().write_all(NO_PROMTOOL.as_bytes()).unwrap();
        return;
    };
    for arguments in [
        ["check", "rules", "contextcore.rules.yaml"],
        ["test", "rules", "contextcore.rules.test.yaml"],
        ["test", "rules", "contextcore.rules.days.test.yaml"],
    ] {
        let run = Command::new(&promtool).args(arguments).current_dir(folder().join("alerts")).output().unwrap();
        let said = [run.stdout, run.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(run.status.success(), "promtool {arguments:?}: {said}");
    }
}

#[test]
fn the_committed_pages_are_fresh() -> std::io::Result<()> {
    for (name, dashboard) in dashboards() {
        fresh(&format!("../docs/dashboards/{name}.md"), &docs::page(name, &dashboard))?;
    }
    fresh("../docs/ALERTS.md", &docs::alerts())?;
    fresh("../docs/TELEMETRY.md", &docs::telemetry())
}

#[test]
fn every_page_has_its_picture_and_none_is_large() {
    for (name, _) in dashboards() {
        let size = std::fs::metadata(folder().join(format!("../docs/dashboards/{name}.png"))).unwrap().len();
        assert!((10_000..300_000).contains(&size), "{name}.png: {size} bytes");
    }
}

#[test]
fn the_cookbook_names_only_what_we_emit() {
    let text = std::fs::read_to_string(folder().join("../docs/COOKBOOK.md")).unwrap();
    let mut blocks = 0;
    for block in text.split("\n```").filter(|block| block.contains("ql\n")) {
        let (language, query) = block.split_once('\n').unwrap();
        let unknown = match language {
            "promql" => unknown_promql(query),
            "logql" => unknown_logql(query),
            "traceql" => unknown_traceql(query),
            _ => continue,
        };
        assert!(unknown.is_empty(), "{unknown:?} in {query}");
        blocks += 1;
    }
    assert!(blocks > 20, "only {blocks} queries were found");
}

#[test]
fn the_local_stack_mounts_files_that_are_there_and_sets_variables_that_are_read() {
    let deploy = folder().join("../deploy");
    let read = |file: &str| std::fs::read_to_string(deploy.join(file)).unwrap();
    let compose = read("compose.yaml");
    let mounted = compose.split(|c: char| c.is_whitespace() || c == '"').filter(|word| word.ends_with(":ro"));
    let mounted: Vec<&str> = mounted.filter_map(|word| word.split(':').next()).collect();
    assert!(mounted.len() >= 8, "{mounted:?}");
    for path in mounted {
        assert!(deploy.join(path).exists(), "{path} is not there");
    }
    let backends = read("backends/tempo-2.yaml") + &read("backends/loki.yaml");
    let variables = compose.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name);
    for variable in variables.filter(|name| name.starts_with("TEMPO_") || name.starts_with("LOKI_")) {
        assert!(backends.contains(&format!("${{{variable}:-")), "nobody reads {variable}");
    }
}
