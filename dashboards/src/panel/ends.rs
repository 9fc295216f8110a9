//! Courses that end where the range ends. A range query ends at its last whole step, so that a line with a step of a day stops up
//! to a day early, and contradicts a number beside it. The value asked at the end is put behind it.

use serde_json::json;

use crate::model::Target;

use super::{Draft, course, moment};

/// What the number at the end of the range is called before its course is put before it.
pub(crate) const AT_END: &str = "at the end";
/// What that course is called.
const COURSE: &str = "course";
/// Letters for the queries at the end, one a series.
const LETTERS: [&str; 6] = ["P", "Q", "R", "S", "T", "U"];

impl Draft {
    /// A stat with the course of its first number beneath it. The course has a step of a day, and so ends up to a day before
    /// the end of the range; the number asked at that end is put behind it. `keep` are the other numbers of the stat.
    pub(crate) fn with_course(self, expr: String, name: &str, keep: &[&str]) -> Self {
        let row = json!({"include": [AT_END, COURSE], "reducer": "lastNotNull"});
        let mut kept = vec![("Time", "Time"), (name, name)];
        kept.extend(keep.iter().map(|other| (*other, *other)));
        self.option("graphMode", json!("area"))
            .step("1d")
            .ask(course("Z", expr, COURSE))
            .joined("Time")
            .then("calculateField", json!({"mode": "reduceRow", "alias": name, "reduce": row, "replaceFields": false}))
            .columns(&kept)
    }

    /// Lines or areas whose last value is that of the end of the range. Every series must have a fixed name.
    pub(crate) fn until_now(self) -> Self {
        let courses = self.courses();
        let at_end = courses.into_iter().map(|(_, expr)| expr).collect();
        self.until_now_by(at_end)
    }

    /// The same where the values at the end are asked for in another way than the course: a query a series.
    pub(crate) fn until_now_by(mut self, at_end: Vec<String>) -> Self {
        let names: Vec<String> = self.courses().into_iter().map(|(name, _)| name).collect();
        for target in &mut self.0.targets {
            if let Target::Prometheus(target) = target {
                target.legend_format = format!("{} {COURSE}", target.legend_format);
            }
        }
        let asked = names.iter().zip(at_end).zip(LETTERS);
        let asked = asked
            .fold(self, |draft, ((name, expr), letter)| draft.ask(moment(letter, expr, &format!("{name} {AT_END}"))));
        let joined = names.iter().fold(asked.joined("Time"), |draft, name| draft.followed(name));
        let kept = std::iter::once("Time").chain(names.iter().map(String::as_str));
        joined.columns(&kept.map(|name| (name, name)).collect::<Vec<_>>())
    }

    /// The name and the query of every series.
    fn courses(&self) -> Vec<(String, String)> {
        let prometheus = self.0.targets.iter().filter_map(|target| match target {
            Target::Prometheus(target) => Some((target.legend_format.clone(), target.expr.clone())),
            _ => None,
        });
        prometheus.collect()
    }

    /// Makes one series of a course and its value at the end.
    fn followed(self, name: &str) -> Self {
        let row =
            json!({"include": [format!("{name} {COURSE}"), format!("{name} {AT_END}")], "reducer": "lastNotNull"});
        self.then("calculateField", json!({"mode": "reduceRow", "alias": name, "reduce": row, "replaceFields": false}))
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines;
    use super::*;

    #[test]
    fn every_series_is_asked_for_again_at_the_end() {
        let draft = lines(1, "t", (12, 8)).ask(course("A", "x".into(), "a")).ask(course("B", "y".into(), "b"));
        let panel = draft.until_now().done();
        let asked: Vec<(&str, &str, bool)> = panel
            .targets
            .iter()
            .filter_map(|target| match target {
                Target::Prometheus(target) => Some((&*target.expr, &*target.legend_format, target.instant)),
                _ => None,
            })
            .collect();
        let want = [
            ("x", "a course", false),
            ("y", "b course", false),
            ("x", "a at the end", true),
            ("y", "b at the end", true),
        ];
        assert_eq!(asked, want);
        let shown = &panel.transformations.last().unwrap().options["indexByName"];
        assert_eq!(shown, &json!({"Time": 0, "a": 1, "b": 2}));
    }
}
