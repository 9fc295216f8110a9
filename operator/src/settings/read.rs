//! Reads settings from YAML, and says what the types let through.

use serde_json::Value;

use super::{CollectorMode, NAMESPACE, Settings, Strategy, check};
use crate::nearest;
use crate::units;
use crate::yaml;

impl Settings {
    /// Reads settings from YAML.
    ///
    /// # Errors
    /// Lines `file:line: key: what is wrong` when the text is not YAML, has an unknown key or a wrong value.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<String>> {
        Self::parse_in(file, text, NAMESPACE)
    }

    /// The same; the shared outputs are in `namespace` where the text does not say.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_in(file: &str, text: &str, namespace: &str) -> Result<Self, Vec<String>> {
        let at = |line: Option<u64>| line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        let mut documents =
            yaml::documents(text).map_err(|(line, message)| vec![format!("{}: {message}", at(line))])?;
        if documents.len() > 1 {
            return Err(vec![format!("{file}: has several documents: keep the settings in one")]);
        }
        let default = || Self { namespace: namespace.to_owned(), ..Self::default() };
        let Some(document) = documents.pop() else { return Ok(default()) };
        let (mut value, lines) = document;
        match &mut value {
            Value::Object(map) => drop(map.entry("namespace").or_insert_with(|| namespace.into())),
            Value::Null => return Ok(default()),
            _ => {
                return Err(vec![format!("{}: is not a map of settings: write keys such as `channels:`", at(Some(1)))]);
            }
        }
        let settings: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            // An unknown key of a table has no path of its own.
            let path = error.path().to_string().trim_end_matches(".?").to_owned();
            vec![format!("{}: {path}: {}", at(lines.of(&path)), in_words(&error.inner().to_string()))]
        })?;
        let wrong = settings.problems();
        let place = |(path, message): (String, String)| format!("{}: {path}: {message}", at(lines.of(&path)));
        if wrong.is_empty() { Ok(settings) } else { Err(wrong.into_iter().map(place).collect()) }
    }

    /// What the types let through: key path and what to do.
    fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let share = |value: f64| (0.0..=1.0).contains(&value);
        let mut shares = vec![("sampling.others".to_owned(), Some(self.sampling.others))];
        let mut intervals = vec![("alerts.absent".to_owned(), self.alerts.absent.as_deref())];
        for (criticality, row) in &self.derivation {
            shares.push((format!("derivation.{criticality}.traceSampling"), row.trace_sampling));
            intervals.push((format!("derivation.{criticality}.metricsInterval"), row.metrics_interval.as_deref()));
        }
        let named = self.limits.namespaces.iter().map(|(name, limit)| (format!("limits.namespaces.{name}"), limit));
        for (path, limit) in named.chain([("limits.default".to_owned(), &self.limits.default)]) {
            shares.push((format!("{path}.maxTraceSampling"), limit.max_trace_sampling));
            intervals.push((format!("{path}.minMetricsInterval"), limit.min_metrics_interval.as_deref()));
        }
        let wrong_share = |(path, value): (String, Option<f64>)| {
            value.filter(|value| !share(*value)).map(|_| (path, "is a share between 0 and 1, such as 0.1".to_owned()))
        };
        found.extend(shares.into_iter().filter_map(wrong_share));
        let wrong_interval = |(path, value): (String, Option<&str>)| {
            let wrong = value.is_some_and(|value| units::interval(value).is_none());
            wrong.then(|| (path, "is a whole number of seconds or minutes, such as 30s".to_owned()))
        };
        found.extend(intervals.into_iter().filter_map(wrong_interval));
        if self.prometheus.compat < 3 && self.prometheus.buckets.is_empty() {
            let message =
                "before Prometheus 3 the boundaries of the histograms must be known: add `buckets: [0.005, …]`";
            found.push(("prometheus.compat".to_owned(), message.to_owned()));
        }
        found.extend(self.grafana.problems());
        found.extend(check::problems(self));
        if self.collector.mode == CollectorMode::Attach && self.collector.name.is_none() {
            let message = "needs the `name` of the OpenTelemetryCollector in mode attach";
            found.push(("collector".to_owned(), message.to_owned()));
        }
        if self.collector.mode == CollectorMode::Attach && self.sampling.strategy == Strategy::Consistent {
            let message = "consistent needs collector.mode configMap or managed: mode attach adds processors only, and this strategy has \
                           pipelines of its own";
            found.push(("sampling.strategy".to_owned(), message.to_owned()));
        }
        found.extend(self.gateway_problems().map(|message| ("collector".to_owned(), message)));
        found
    }

    /// What is wrong with our own gateway.
    fn gateway_problems(&self) -> Option<String> {
        let collector = &self.collector;
        if collector.mode == CollectorMode::Managed && collector.exporters.is_empty() {
            return Some("needs `exporters` in mode managed: where the gateway sends what it received".to_owned());
        }
        let known = |name: &&String| collector.exporters.contains_key(*name);
        let (signal, name) = collector
            .pipelines
            .iter()
            .find_map(|(signal, names)| names.iter().find(|name| !known(name)).map(|name| (signal.as_str(), name)))?;
        Some(format!("pipelines.{signal} names exporter {name}, which is not in `exporters`: add it there"))
    }
}

/// What serde says of a value, with the name that was probably meant instead of all that are known: the unknown one comes first in
/// its words, the known ones after it, each between backticks.
fn in_words(said: &str) -> String {
    let names: Vec<&str> = said.split('`').skip(1).step_by(2).collect();
    match names.split_first() {
        Some((unknown, known)) if said.starts_with("unknown field") => {
            format!("unknown key `{unknown}`: {}", nearest::hint(unknown, known))
        }
        Some((unknown, known)) if said.starts_with("unknown variant") => {
            format!("`{unknown}` is unknown: {}", nearest::hint(unknown, known))
        }
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(Settings::parse("s.yaml", "").unwrap(), Settings::default());
        assert_eq!(Settings::parse("s.yaml", "# nothing\n{}\n").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_wrong_says_where() {
        for (text, wanted) in [
            ("limits:\n  default:\n    maxTraceSampling: 2\n", "s.yaml:3: limits.default.maxTraceSampling: is a share"),
            ("sampling: {others: -1}\n", "s.yaml:1: sampling.others: is a share"),
            ("zz: 1\n", "s.yaml:1: zz: unknown key `zz`: known here: instance, namespace"),
            ("\ngrafna: {url: 'http://g'}\n", "s.yaml:2: grafna: unknown key `grafna`: did you mean grafana?"),
            ("sampling: {stratgy: tail}\n", "sampling.stratgy: unknown key `stratgy`: did you mean strategy?"),
            ("derivation:\n  criticl: {}\n", "s.yaml:1: derivation: `criticl` is unknown: did you mean critical?"),
            ("derivation: {low: {metricsInterval: soon}}\n", "derivation.low.metricsInterval: is a whole number"),
            ("prometheus:\n  compat: 2\n", "s.yaml:2: prometheus.compat: before Prometheus 3"),
            ("grafana: {mode: url}\n", "s.yaml:1: grafana.mode: needs the `url`"),
            ("grafana: {url: grafana}\n", "s.yaml:1: grafana.url: is not a web address"),
            ("grafana: {folderUid: 'a b'}\n", "s.yaml:1: grafana.folderUid: is not a uid"),
            ("collector: {mode: attach}\n", "s.yaml:1: collector: needs the `name`"),
            (
                "collector: {mode: attach, name: a}\nsampling: {strategy: consistent}\n",
                "s.yaml:2: sampling.strategy: consistent needs collector.mode configMap or managed",
            ),
            ("sampling: {strategy: consistant}\n", "`consistant` is unknown: did you mean consistent?"),
            ("collector: {mode: managed}\n", "s.yaml:1: collector: needs `exporters`"),
            ("collector: {exporters: {a: {}}, pipelines: {logs: [b]}}\n", "pipelines.logs names exporter b"),
            ("a: [\n", "not valid YAML"),
            ("- platform\n", "s.yaml:1: is not a map of settings"),
            ("[]\n", "s.yaml:1: is not a map of settings"),
            ("platform\n", "s.yaml:1: is not a map of settings"),
        ] {
            let error = Settings::parse("s.yaml", text).unwrap_err().join("\n");
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
