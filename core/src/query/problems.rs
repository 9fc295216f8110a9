//! What is wrong, in words for the person who has to act: the verdict of `contextcore status`. Pure, from the views of sources
//! and backends.

use super::status::{BackendView, Problem, ProblemPart, SourceView, StatusView};
use super::viewer::Viewer;
use crate::config::{Config, Schedule};
use crate::export::otlp;
use crate::model::error::Result;
use crate::model::signal::Signal;
use crate::model::time::{HOUR, Millis};

/// A source that fell due this often without being read is late.
const MISSED_RUNS: usize = 3;
/// And it is late no sooner than this, in milliseconds: a computer may sleep.
const LATE: i64 = HOUR;
/// How the reasons of backends begin that gave no answer.
const NO_ANSWER: [&str; 3] = ["no connection", "the connection broke", "no answer within"];
/// How much of an error a problem shows.
const SHORT: usize = 60;

impl Viewer<'_> {
    /// The state of every source, of the backends and of the store, and what is wrong with it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Store`] when the store cannot be read.
    pub fn status(&self) -> Result<StatusView> {
        let mut view = self.state()?;
        view.problems = problems(&view, self.config);
        Ok(view)
    }
}

/// Everything that is wrong, backends first: what a source delivers is of use only once it is exported.
fn problems(view: &StatusView, config: &Config) -> Vec<Problem> {
    let mut all = refusing(&view.backends, view.now);
    all.extend(view.dead_letters.iter().map(|letter| {
        let again = if letter.can_retry { "dead-letters retry" } else { "replay" };
        let cause = letter.hint.clone().unwrap_or_else(|| "look at the reason below".to_owned());
        Problem {
            part: ProblemPart::Backend,
            what: format!("{} {} permanently refused ({})", letter.items, letter.signal, short(&letter.reason)),
            next: format!("{cause}; then `contextcore {again}` sends it again"),
        }
    }));
    all.extend(unusable_projects(config, view.now));
    all.extend(unusable_entries(config));
    for source in &view.sources {
        let schedule = config.source(&source.name).map(|source| &source.schedule);
        all.extend(unread(source, schedule, view.now));
        all.extend(incomplete(source));
    }
    all
}

/// Backends that do not accept, one problem for those that fail in the same way.
fn refusing(backends: &[BackendView], now: Millis) -> Vec<Problem> {
    let mut groups: Vec<Refusing<'_>> = Vec::new();
    for backend in backends {
        let Some((error, since)) = backend.last_error.as_ref().zip(backend.failing_since) else { continue };
        let (name, reason) = (backend_name(&backend.url), short(error));
        let setting = setting(&backend.signal, error);
        match groups.iter_mut().find(|group| (&group.name, &group.reason) == (&name, &reason)) {
            Some(group) => {
                group.since = group.since.min(since);
                group.signals.push(&backend.signal);
                group.setting = group.setting.or(setting);
            }
            None => groups.push(Refusing { name, reason, since, signals: vec![&backend.signal], setting }),
        }
    }
    groups.iter().map(|group| group.problem(now)).collect()
}

/// A backend that does not accept these signals for one reason.
struct Refusing<'a> {
    name: String,
    reason: String,
    since: Millis,
    signals: Vec<&'a str>,
    /// The setting of the backend behind it, if its answer names one.
    setting: Option<&'static str>,
}

impl Refusing<'_> {
    fn problem(&self, now: Millis) -> Problem {
        let Self { name, reason, since, signals, setting } = self;
        let next = match setting {
            Some(setting) => {
                format!("{setting}; nothing is lost, the journal keeps it and is exported once {name} accepts again")
            }
            None => {
                format!(
                    "nothing is lost, the journal keeps it; `contextcore check` asks {name} again and says what is wrong"
                )
            }
        };
        let what = format!("{name} {} ({reason}, {})", behaviour(reason, &signals.join(" and ")), age(now, *since));
        Problem { part: ProblemPart::Backend, what, next }
    }
}

/// The setting of the backend that a refusal comes from, such as a limit that holds up a signal until it is raised.
fn setting(signal: &str, error: &str) -> Option<&'static str> {
    let signal = Signal::ALL.into_iter().find(|known| known.as_str() == signal)?;
    otlp::hint(signal, error)
}

/// What a backend does, by its last answer: one that gives none is down or out of reach, and refuses nothing.
fn behaviour(reason: &str, signals: &str) -> String {
    if NO_ANSWER.iter().any(|text| reason.starts_with(text)) || reason.contains("certificate") {
        format!("cannot be reached, {signals} wait")
    } else {
        format!("refuses {signals}")
    }
}

/// A projects file that `serve` cannot use.
fn unusable_projects(config: &Config, now: Millis) -> Option<Problem> {
    let file = config.projects_file.as_ref()?;
    Some(Problem {
        part: ProblemPart::Configuration,
        what: format!("{} cannot be used for {}", file.path.display(), age(now, file.failing_since?)),
        next: "its last good state is in force; `contextcore check` names file and line".to_owned(),
    })
}

/// Entries of the projects file that cannot be used, while the others are in force.
fn unusable_entries(config: &Config) -> Option<Problem> {
    let file = config.projects_file.as_ref()?;
    Some(Problem {
        part: ProblemPart::Configuration,
        what: format!("entries of the projects file cannot be used: {}", short(file.unusable.first()?)),
        next: "the other entries are in force; `contextcore check` lists all that is wrong".to_owned(),
    })
}

/// A source whose runs fail, or do not happen.
fn unread(source: &SourceView, schedule: Option<&Schedule>, now: Millis) -> Option<Problem> {
    let name = &source.name;
    let stopped = source.last_error_kind.as_deref() == Some("cancelled");
    let error = source.last_error.as_ref().filter(|_| !stopped);
    let late = source.last_success.is_none_or(|last| is_late(schedule, last, now));
    if error.is_none() && !late {
        return None;
    }
    let reason = error.map(|error| format!(" ({})", short(error))).unwrap_or_default();
    let what = match source.last_success {
        None => format!("{name} was never read{reason}"),
        Some(last) => format!("{name} not read for {}{reason}", age(now, last)),
    };
    let next = match source.last_error_kind.as_deref().filter(|_| error.is_some()) {
        None => format!("run `contextcore sync {name}`, or keep `contextcore serve` running"),
        Some("rate_limited") => "wait: it is read when the tool allows it again".to_owned(),
        Some("auth" | "permission") => format!("renew the token or its rights, then `contextcore check {name}`"),
        Some("config") => format!("correct the configuration, then `contextcore check {name}`"),
        Some("store") => "see to the store: the last error below says what it needs".to_owned(),
        Some(_) => format!("`contextcore check {name}` asks the tool now and says what is wrong"),
    };
    Some(Problem { part: ProblemPart::Source, what, next })
}

fn is_late(schedule: Option<&Schedule>, last: Millis, now: Millis) -> bool {
    let due = |schedule: &Schedule| (0..MISSED_RUNS).try_fold(last, |at, _| schedule.next_after(at));
    now.0.saturating_sub(last.0) >= LATE && schedule.and_then(due).is_some_and(|due| due < now)
}

/// Records that a source has and the store lacks.
fn incomplete(source: &SourceView) -> Vec<Problem> {
    let name = &source.name;
    let records = |count: u64| if count == 1 { "1 record".to_owned() } else { format!("{count} records") };
    let missing = source.coverage.listed.map_or(0, |listed| listed.missing);
    let again = |when: &str| format!("`contextcore status -v` gives the reasons; each is read again {when}");
    let all = [
        (missing, "listed by the tool and missing", format!("`contextcore sync --full {name}` reads everything again")),
        (source.coverage.set_aside, "quarantined, as not understood", again("at the next complete pass")),
        (source.coverage.unreadable, "not served by the tool", again("on the next run")),
    ];
    let problem = |(count, why, next): (u64, &str, String)| Problem {
        part: ProblemPart::Source,
        what: format!("{} of {name} {why}", records(count)),
        next,
    };
    all.into_iter().filter(|(count, ..)| *count > 0).map(problem).collect()
}

/// What people call a backend: the product, when its address says so, else its host and port.
fn backend_name(url: &str) -> String {
    let lower = url.to_lowercase();
    let product =
        ["Tempo", "Loki", "Prometheus", "Mimir"].into_iter().find(|name| lower.contains(&name.to_lowercase()));
    let host = || {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        format!("the backend at {}", rest.split('/').next().unwrap_or(rest))
    };
    product.map_or_else(host, str::to_owned)
}

/// The part of an error that people recognise: the HTTP status, else how it begins.
fn short(error: &str) -> String {
    let after = |mark: &str| error.split_once(mark).map(|(_, rest)| rest);
    let digits = |rest: &str| rest.chars().take_while(char::is_ascii_digit).collect::<String>();
    let status = ["status=", "HTTP "].into_iter().filter_map(after).map(digits).find(|digits| digits.len() == 3);
    if let Some(status) = status {
        return format!("HTTP {status}");
    }
    let head = error.split(" (").next().unwrap_or(error);
    match head.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", head[..end].trim_end()),
        None => head.to_owned(),
    }
}

/// How long ago, in its largest unit: `12 min`, `3 h`.
fn age(now: Millis, since: Millis) -> String {
    let seconds = now.0.saturating_sub(since.0).max(0) / 1_000;
    let units = [(86_400, 2 * 86_400, "d"), (3_600, 3_600, "h"), (60, 60, "min")];
    let unit = units.into_iter().find(|(_, least, _)| seconds >= *least);
    unit.map_or_else(|| format!("{seconds} s"), |(length, _, unit)| format!("{} {unit}", seconds / length))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::time::MINUTE;
    use crate::query::Coverage;

    const NOW: Millis = Millis(1_000 * HOUR);

    fn source(last_success: Option<i64>, error: Option<(&str, &str)>) -> SourceView {
        SourceView {
            name: "acme-jira".into(),
            tool: "jira".into(),
            last_attempt: None,
            last_success: last_success.map(|before| NOW.plus(-before)),
            cursor_age: None,
            next_run: None,
            last_error: error.map(|(_, text)| text.to_owned()),
            last_error_kind: error.map(|(kind, _)| kind.to_owned()),
            failures: u64::from(error.is_some()),
            backlog: BTreeMap::new(),
            coverage: Coverage::default(),
            set_aside: Vec::new(),
            lease: None,
            warnings: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    fn backend(signal: &str, url: &str, error: Option<&str>) -> BackendView {
        BackendView {
            signal: signal.into(),
            url: url.into(),
            is_default: false,
            is_new: false,
            backlog: 5,
            last_error: error.map(str::to_owned),
            failing_since: error.map(|_| NOW.plus(-12 * MINUTE)),
            next_try: None,
        }
    }

    #[test]
    fn a_limit_that_holds_up_a_signal_names_the_setting() {
        let limit = "HTTP 400: per-user series limit of 150000 exceeded (err-mimir-max-series-per-user)";
        let found = refusing(&[backend("metrics", "http://mimir:8080/otlp/v1/metrics", Some(limit))], NOW);
        let [Problem { what, next, .. }] = found.as_slice() else { panic!("{found:?}") };
        assert!(what.contains("refuses metrics") && what.contains("12 min"), "{what}");
        assert!(next.starts_with("Mimir: raise limits.max_global_series_per_user; nothing is lost"), "{next}");
        let down = refusing(&[backend("metrics", "http://mimir:8080/otlp/v1/metrics", Some("HTTP 503"))], NOW);
        assert!(down[0].next.contains("contextcore check"), "{down:?}");
    }

    #[test]
    fn a_source_is_a_problem_when_it_fails_or_is_late() {
        let schedule: Schedule = "*/5 * * * *".parse().unwrap();
        let what = |last, error| unread(&source(last, error), Some(&schedule), NOW).map(|problem| problem.what);
        assert_eq!(what(Some(10 * MINUTE), None), None);
        assert_eq!(what(Some(59 * MINUTE), None), None);
        assert_eq!(what(Some(3 * HOUR), None).as_deref(), Some("acme-jira not read for 3 h"));
        assert_eq!(what(None, None).as_deref(), Some("acme-jira was never read"));
        let failed = ("unavailable", "the server failed (path=/rest/api/3/myself, status=500, tries=8)");
        assert_eq!(what(Some(6 * MINUTE), Some(failed)).as_deref(), Some("acme-jira not read for 6 min (HTTP 500)"));
        assert_eq!(what(Some(MINUTE), Some(("cancelled", "stopped on request"))), None);
        let daily: Schedule = "0 3 * * *".parse().unwrap();
        assert_eq!(unread(&source(Some(50 * HOUR), None), Some(&daily), NOW), None);
        let auth = unread(&source(Some(HOUR), Some(("auth", "the token was refused"))), None, NOW).unwrap();
        assert!(auth.next.contains("token") && auth.next.contains("contextcore check acme-jira"), "{auth:?}");
    }

    #[test]
    fn backends_that_fail_alike_are_one_problem() {
        let down = "the backend failed: HTTP 503: starting";
        let all = [
            backend("logs", "http://loki:3100/otlp/v1/logs", Some(down)),
            backend("metrics", "http://127.0.0.1:4317", Some("no connection: tcp connect error")),
            backend("traces", "http://127.0.0.1:4317", Some("no connection: tcp connect error")),
            backend("traces", "http://mimir:4317", Some("no answer within 30s")),
            backend("traces", "http://tempo:4317", None),
        ];
        let whats: Vec<_> = refusing(&all, NOW).into_iter().map(|problem| problem.what).collect();
        assert_eq!(
            whats,
            [
                "Loki refuses logs (HTTP 503, 12 min)",
                "the backend at 127.0.0.1:4317 cannot be reached, metrics and traces wait (no connection: tcp connect error, 12 min)",
                "Mimir cannot be reached, traces wait (no answer within 30s, 12 min)"
            ]
        );
    }

    #[test]
    fn what_the_store_lacks_is_counted() {
        let coverage = Coverage { set_aside: 1, unreadable: 2, ..Coverage::default() };
        let whats: Vec<_> =
            incomplete(&SourceView { coverage, ..source(Some(0), None) }).into_iter().map(|found| found.what).collect();
        assert_eq!(
            whats,
            ["1 record of acme-jira quarantined, as not understood", "2 records of acme-jira not served by the tool"]
        );
    }

    #[test]
    fn a_long_error_is_cut() {
        let long = "x".repeat(100);
        assert_eq!(short(&long).chars().count(), SHORT + 1);
        assert_eq!(short("log in: refused (path=/a)"), "log in: refused");
    }
}
