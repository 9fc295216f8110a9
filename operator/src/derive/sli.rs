//! Where the numbers of objectives come from: queries for how many requests there were, and how many were bad, in a window.
//!
//! Every query sums to one series without labels. PromQL that a person wrote stays on lines of its own, so that a comment in it
//! ends before what follows.

use std::convert::Infallible;

use promql_parser::label::MatchOp;
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{self, Expr};
use promql_parser::util::{ExprVisitor, walk_expr};

use super::names::{OWN_METRIC_PREFIX, OWN_METRICS};
use super::promql;
use super::subject::Subject;
use crate::escape;
use crate::resource::{self, Histogram, Profile};
use crate::settings::Prometheus;
use crate::units;

const WINDOW: &str = "{{window}}";
const CONCRETE: &str = "000000005m";

/// The metrics of an instrumentation.
#[derive(Debug)]
struct Instrument {
    /// Counter of requests.
    counter: &'static str,
    /// Whether the counter is part of the histogram of durations, so that a native histogram has no counter of its own.
    counted_by_histogram: bool,
    /// Matcher of failed requests.
    failed: &'static str,
    /// Histogram of durations.
    durations: &'static str,
    /// Units of it in a second.
    scale: f64,
    /// Matcher that always belongs to it.
    fixed: &'static str,
}

const OTEL_HTTP: Instrument = Instrument {
    counter: "http_server_request_duration_seconds_count",
    counted_by_histogram: true,
    failed: r#"http_response_status_code=~"5..""#,
    durations: "http_server_request_duration_seconds",
    scale: 1.0,
    fixed: "",
};
const OTEL_RPC: Instrument = Instrument {
    counter: "rpc_server_call_duration_seconds_count",
    counted_by_histogram: true,
    failed: r#"error_type!="""#,
    durations: "rpc_server_call_duration_seconds",
    scale: 1.0,
    fixed: "",
};
const ISTIO: Instrument = Instrument {
    counter: "istio_requests_total",
    counted_by_histogram: false,
    failed: r#"response_code=~"5..""#,
    durations: "istio_request_duration_milliseconds",
    scale: 1000.0,
    fixed: r#"reporter="destination","#,
};

/// The queries of a context.
#[derive(Clone, Debug)]
pub(crate) struct Sli {
    queries: Queries,
    is_native: bool,
}

#[derive(Clone, Debug)]
enum Queries {
    Instrumented { instrument: &'static Instrument, matchers: String },
    Custom { total: String, errors: Option<String>, latency: Option<String> },
}

/// Where a request counts as slow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Threshold {
    /// Here, between two boundaries of the histogram.
    Interpolated(f64),
    /// At this boundary, the last one that is not above what was asked.
    Boundary(f64),
}

impl Sli {
    /// # Errors
    /// What is wrong with PromQL of the context: `field: message`.
    pub(crate) fn new(subject: &Subject) -> Result<Self, String> {
        let said = subject.sli();
        let is_native = said.histogram == Histogram::Native;
        let instrument = match said.profile {
            Profile::OtelHttp => &OTEL_HTTP,
            Profile::OtelRpc => &OTEL_RPC,
            Profile::Istio => &ISTIO,
            Profile::Custom => return Ok(Self { queries: custom(&said)?, is_native }),
        };
        let own = own_matchers(subject, said.profile);
        let matchers = said.matchers.map_or_else(|| Ok(own.clone()), |text| given_matchers(&text, &own))?;
        let matchers = format!("{}{matchers}", instrument.fixed);
        Ok(Self { queries: Queries::Instrumented { instrument, matchers }, is_native })
    }

    /// Checks the PromQL of an `sli` without a context.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn check(said: &resource::Sli) -> Result<(), String> {
        if said.profile == Profile::Custom {
            custom(said)?;
        }
        said.matchers.as_ref().map_or(Ok(()), |text| given_matchers(text, "").map(|_| ()))
    }

    /// All requests per second.
    pub(crate) fn total(&self, window: &str) -> String {
        match &self.queries {
            Queries::Instrumented { instrument, matchers } if self.is_native && instrument.counted_by_histogram => {
                format!("histogram_count({})", sum(instrument.durations, matchers, window))
            }
            Queries::Instrumented { instrument, matchers } => sum(instrument.counter, matchers, window),
            Queries::Custom { total, .. } => summed(total, window),
        }
    }

    /// Failed requests per second; 0 where there are requests and none failed yet. `None`: the context has no such query.
    pub(crate) fn failed(&self, window: &str) -> Option<String> {
        let failed = match &self.queries {
            Queries::Instrumented { instrument, matchers } => {
                let matchers = format!("{matchers},{}", instrument.failed);
                if self.is_native && instrument.counted_by_histogram {
                    format!("histogram_count({})", sum(instrument.durations, &matchers, window))
                } else {
                    sum(instrument.counter, &matchers, window)
                }
            }
            Queries::Custom { errors, .. } => summed(errors.as_ref()?, window),
        };
        Some(format!("({failed} or 0 * {})", self.total(window)))
    }

    /// All requests whose duration is known, per second. `None`: the context has no such query.
    pub(crate) fn timed(&self, window: &str) -> Option<String> {
        match &self.queries {
            Queries::Instrumented { .. } | Queries::Custom { latency: Some(_), .. } if self.is_native => {
                Some(format!("histogram_count({})", self.durations(window)?))
            }
            Queries::Instrumented { instrument, matchers } => {
                Some(sum(&format!("{}_count", instrument.durations), matchers, window))
            }
            Queries::Custom { total, latency, .. } => latency.as_ref().map(|_| summed(total, window)),
        }
    }

    /// Slow requests per second; 0 in a window without any. `None`: the context has no such query.
    pub(crate) fn slow(&self, threshold: &Threshold, window: &str) -> Option<String> {
        let timed = self.timed(window)?;
        match threshold {
            // An idle window has no fraction, which is NaN, and one NaN would silence every sum over it for hours. The rounding
            // of an interpolation can leave slightly less than nothing.
            Threshold::Interpolated(at) => {
                let low = if self.is_native { "0" } else { "-Inf" };
                let fraction =
                    format!("histogram_fraction({low}, {}, {})", self.in_units(*at), self.durations(window)?);
                Some(format!("(clamp_min({timed} * (1 - {fraction}), 0) >= 0 or 0 * ({timed} == 0))"))
            }
            Threshold::Boundary(at) => {
                let Queries::Instrumented { instrument, matchers } = &self.queries else { return None };
                let matchers = format!("{matchers},le=~\"{}\"", escape::promql(&spellings(&self.in_units(*at))));
                let fast = sum(&format!("{}_bucket", instrument.durations), &matchers, window);
                Some(format!("clamp_min({timed} - {fast}, 0)"))
            }
        }
    }

    /// Where requests count as slow, when everything up to `seconds` is fast enough.
    ///
    /// # Errors
    /// What to do when the histograms have no boundary for it.
    pub(crate) fn threshold(&self, seconds: f64, prometheus: &Prometheus) -> Result<Threshold, String> {
        if self.is_native {
            return Ok(Threshold::Interpolated(seconds));
        }
        let above = prometheus.buckets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !prometheus.buckets.is_empty() && seconds > above {
            return Err(format!(
                "is above {above}s, the last boundary of the histograms, so that every request would count as slow: write {above}s or less"
            ));
        }
        if prometheus.compat >= 3 {
            return Ok(Threshold::Interpolated(seconds));
        }
        if matches!(self.queries, Queries::Custom { .. }) {
            return Err("cannot be read from profile custom before Prometheus 3: use native histograms".to_owned());
        }
        let below = prometheus.buckets.iter().copied().filter(|at| *at <= seconds).fold(f64::NEG_INFINITY, f64::max);
        if below.is_finite() {
            return Ok(Threshold::Boundary(below));
        }
        Err("is below the first boundary of the histograms: write a longer time".to_owned())
    }

    /// Counts the series that the queries read.
    pub(crate) fn series(&self) -> String {
        match &self.queries {
            Queries::Instrumented { matchers, .. } => {
                format!("count(last_over_time({}{{{matchers}}}[15m]))", self.counter())
            }
            Queries::Custom { total, .. } => format!("count(\n{}\n)", total.replace(WINDOW, "15m")),
        }
    }

    /// Queries of a context besides [`Self::series`] that count nothing when their numbers are not there, each with what it is for.
    /// `is_timed`: the context requires latencies.
    pub(crate) fn further(&self, is_timed: bool) -> Vec<(&'static str, String)> {
        let counted = |query: &str| format!("count(\n{}\n)", query.replace(WINDOW, "15m"));
        match &self.queries {
            Queries::Instrumented { instrument, matchers }
                if is_timed && self.is_native && !instrument.counted_by_histogram =>
            {
                let durations = instrument.durations;
                vec![("the latency", format!("count(last_over_time({durations}{{{matchers}}}[15m]))"))]
            }
            Queries::Custom { latency: Some(latency), .. } if is_timed && self.is_native => {
                vec![("spec.requirements.sli.latency", counted(latency))]
            }
            _ => Vec::new(),
        }
    }

    /// Counts the failures of a query that a person wrote, and the series of all metrics that it names: without a failure yet, only
    /// the latter may be there.
    pub(crate) fn failures(&self) -> Option<(String, Option<String>)> {
        let Queries::Custom { errors: Some(errors), .. } = &self.queries else { return None };
        let concrete = errors.replace(WINDOW, "15m");
        let metrics =
            parser::parse(&concrete).ok().map(|expr| promql::metrics(&expr)).filter(|names| !names.is_empty());
        let named = |name: &String| format!("last_over_time({{__name__=\"{}\"}}[15m])", escape::promql(name));
        let all = metrics.map(|names| names.iter().map(named).collect::<Vec<_>>().join(" or "));
        Some((format!("count(\n{concrete}\n)"), all.map(|all| format!("count({all})"))))
    }

    /// Counts all series of the same metric by the label that says whose they are.
    pub(crate) fn others(&self) -> Option<(&'static str, String)> {
        let Queries::Instrumented { instrument, .. } = &self.queries else { return None };
        let label = if instrument.fixed.is_empty() { "job" } else { "destination_workload" };
        Some((label, format!("count by ({label}) ({})", self.counter())))
    }

    /// Counts the series of each boundary. `None`: the histograms have none.
    pub(crate) fn boundaries(&self) -> Option<String> {
        match &self.queries {
            Queries::Instrumented { instrument, matchers } if !self.is_native => {
                Some(format!("count by (le) (last_over_time({}_bucket{{{matchers}}}[15m]))", instrument.durations))
            }
            Queries::Custom { latency, .. } if !self.is_native => {
                Some(format!("count by (le) (\n{}\n)", latency.as_ref()?.replace(WINDOW, "15m")))
            }
            _ => None,
        }
    }

    /// A threshold in the units of the histogram.
    pub(crate) fn at(&self, threshold: &Threshold) -> f64 {
        let (Threshold::Interpolated(seconds) | Threshold::Boundary(seconds)) = threshold;
        self.in_units(*seconds).parse().unwrap_or(*seconds)
    }

    /// The metric whose series are counted.
    fn counter(&self) -> &'static str {
        match &self.queries {
            Queries::Instrumented { instrument, .. } if self.is_native && instrument.counted_by_histogram => {
                instrument.durations
            }
            Queries::Instrumented { instrument, .. } => instrument.counter,
            Queries::Custom { .. } => "",
        }
    }

    fn in_units(&self, seconds: f64) -> String {
        let scale = match &self.queries {
            Queries::Instrumented { instrument, .. } => instrument.scale,
            Queries::Custom { .. } => 1.0,
        };
        units::number(seconds * scale)
    }

    /// The histogram of durations, as `histogram_fraction` takes it.
    fn durations(&self, window: &str) -> Option<String> {
        match &self.queries {
            Queries::Instrumented { instrument, matchers } if self.is_native => {
                Some(sum(instrument.durations, matchers, window))
            }
            Queries::Instrumented { instrument, matchers } => {
                Some(format!("sum by (le) (rate({}_bucket{{{matchers}}}[{window}]))", instrument.durations))
            }
            Queries::Custom { latency, .. } => {
                let by = if self.is_native { "" } else { " by (le) " };
                Some(format!("sum{by}(\n{}\n)", latency.as_ref()?.replace(WINDOW, window)))
            }
        }
    }
}

fn sum(metric: &str, matchers: &str, window: &str) -> String {
    format!("sum(rate({metric}{{{matchers}}}[{window}]))")
}

fn summed(query: &str, window: &str) -> String {
    format!("sum(\n{}\n)", query.replace(WINDOW, window))
}

/// The ways in which a boundary is written as a label: Prometheus 3 has `1.0` where earlier ones had `1`.
fn spellings(number: &str) -> String {
    let literal = escape::regex(number);
    if number.contains('.') { literal } else { format!(r"{literal}(\.0)?") }
}

/// Matchers that find the services of a context in what an instrumentation writes.
fn own_matchers(subject: &Subject, profile: Profile) -> String {
    match profile {
        Profile::Istio => {
            let within = escape::promql(subject.namespace);
            format!(
                r#"destination_workload_namespace="{within}",{}"#,
                matcher("destination_workload", &subject.workloads)
            )
        }
        _ => {
            let jobs: Vec<String> =
                subject.services.iter().map(|service| format!("{}/{service}", subject.namespace)).collect();
            matcher("job", &jobs)
        }
    }
}

fn matcher(label: &str, values: &[impl AsRef<str>]) -> String {
    if let [one] = values {
        return format!(r#"{label}="{}""#, escape::promql(one.as_ref()));
    }
    let any: Vec<String> = values.iter().map(|value| escape::regex(value.as_ref())).collect();
    format!(r#"{label}=~"{}""#, escape::promql(&any.join("|")))
}

/// Matchers that a person wrote. They are read and written again, so that nothing but matchers gets into a rule.
fn given_matchers(text: &str, own: &str) -> Result<String, String> {
    const FIELD: &str = "spec.requirements.sli.matchers";
    let trimmed = text.trim();
    let braced = trimmed.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let inside = braced.unwrap_or(trimmed);
    let start = text.len() - text.trim_start().len() + usize::from(braced.is_some());
    let expr = parser::parse(&format!("x{{{inside}\n}}")).map_err(|error| {
        let place = promql::place_of_matchers(text, start, inside);
        format!("{FIELD} are no matchers: {}, {place}", one_line(&error))
    })?;
    let Expr::VectorSelector(selector) = expr else {
        return Err(format!("{FIELD} are no matchers: write them as {{label=\"value\"}}"));
    };
    let plain = selector.offset.is_none() && selector.at.is_none() && selector.matchers.or_matchers.is_empty();
    let found = selector.matchers.matchers;
    if !plain || found.is_empty() || found.iter().any(|matcher| matcher.name == "__name__") {
        return Err(format!("{FIELD}: write labels only, as {{label=\"value\"}}; no metric, `or`, offset or @"));
    }
    for matcher in &found {
        promql::matcher(matcher).map_err(|error| format!("{FIELD}: {error}"))?;
    }
    let excludes = found.iter().all(|matcher| matches!(matcher.op, MatchOp::NotEqual | MatchOp::NotRe(_)));
    let written: Vec<String> = found
        .iter()
        .map(|matcher| {
            format!(r#"{}{}"{}""#, escape::label_name(&matcher.name), matcher.op, escape::promql(&matcher.value))
        })
        .collect();
    let own = if excludes && !own.is_empty() { format!("{own},") } else { String::new() };
    Ok(format!("{own}{}", written.join(",")))
}

fn custom(said: &resource::Sli) -> Result<Queries, String> {
    let total = said.total.clone().ok_or("spec.requirements.sli.total is missing: profile custom needs it")?;
    for (field, query) in
        [("total", Some(&total)), ("errors", said.errors.as_ref()), ("latency", said.latency.as_ref())]
    {
        if let Some(query) = query {
            check_query(query).map_err(|error| format!("spec.requirements.sli.{field} {error}"))?;
        }
    }
    Ok(Queries::Custom { total, errors: said.errors.clone(), latency: said.latency.clone() })
}

fn check_query(query: &str) -> Result<(), String> {
    if !query.contains(WINDOW) {
        return Err(format!("must contain {WINDOW}, which is replaced by each window"));
    }
    // As long as what it stands for, so that places in one are places in the other.
    let concrete = query.replace(WINDOW, CONCRETE);
    let wrong = |error: String| format!("is not PromQL: {}, {}", one_line(&error), promql::place(&concrete));
    let expr = parser::parse(&concrete).map_err(wrong)?;
    if expr.value_type() != ValueType::Vector {
        return Err(format!("must be a rate for each series, such as rate(requests_total[{WINDOW}])"));
    }
    let mut names = OwnNames(false);
    let _ = walk_expr(&mut names, &expr);
    if names.0 {
        return Err("names a metric that is derived from it: use the metrics of the service".to_owned());
    }
    promql::check_enabled(&expr, &concrete)
}

/// Whether a query reads our own recordings.
struct OwnNames(bool);

impl ExprVisitor for OwnNames {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        let selector = match expr {
            Expr::VectorSelector(selector) => selector,
            Expr::MatrixSelector(matrix) => &matrix.vs,
            _ => return Ok(true),
        };
        let by_label = selector.matchers.matchers.iter().filter(|matcher| matcher.name == "__name__");
        self.0 |= selector.name.as_deref().is_some_and(|name| name.starts_with(OWN_METRIC_PREFIX));
        self.0 |= by_label.into_iter().any(|matcher| OWN_METRICS.iter().any(|name| matcher.is_match(name)));
        Ok(true)
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
