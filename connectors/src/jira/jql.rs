//! JQL, rendered: pure.
//!
//! JQL reads times by the minute and in the time zone of the *account's profile*, not in UTC, and has no way to say another
//! zone that all sites understand. So a moment is written in that zone, floored to the minute; in the repeated hour at the end
//! of summer time, where one text means two moments, it is written one hour earlier. An upper bound is set for no sweep: what
//! changes while we read must come to the end of the list, not fall out of it.

use contextcore_core::Millis;
use contextcore_core::model::time::HOUR;
use jiff::ToSpan;
use jiff::tz::TimeZone;

/// How far the easternmost zones read a UTC text too late: when the account's zone is unknown, so much is added to the overlap.
const UNKNOWN_ZONE: i64 = 12 * HOUR;

/// A moment as JQL reads it: `2026-11-10 09:30`.
pub(super) fn minute(at: Millis, zone: Option<&TimeZone>) -> String {
    let (at, zone) = match zone {
        Some(zone) => (at, zone.clone()),
        None => (at.plus(-UNKNOWN_ZONE), TimeZone::UTC),
    };
    let mut local = zone.to_datetime(at.timestamp());
    if zone.to_ambiguous_timestamp(local).is_ambiguous() {
        local = local.saturating_sub(1.hour());
    }
    local.strftime("%Y-%m-%d %H:%M").to_string()
}

/// All issues of these projects changed since that minute, the longest unchanged first.
///
/// Jira refuses a query without any restriction, so without projects and a minute it begins with 1970.
pub(super) fn changed(projects: &[String], since: Option<&str>) -> String {
    format!("{} ORDER BY updated ASC, key ASC", restriction(projects, since))
}

/// Issues of these projects changed since one minute and before another, the last one first.
pub(super) fn changed_between(projects: &[String], from: &str, to: &str) -> String {
    format!("{} AND updated < \"{to}\" ORDER BY updated DESC, key DESC", restriction(projects, Some(from)))
}

/// All issues of these projects.
pub(super) fn all(projects: &[String]) -> String {
    format!("{} ORDER BY key ASC", restriction(projects, None))
}

fn restriction(projects: &[String], since: Option<&str>) -> String {
    let scope = (!projects.is_empty()).then(|| {
        let quoted: Vec<String> = projects.iter().map(|project| quote(project)).collect();
        format!("project in ({})", quoted.join(","))
    });
    let since = since.or_else(|| projects.is_empty().then_some("1970-01-01 00:00"));
    let since = since.map(|since| format!("updated >= \"{since}\""));
    scope.into_iter().chain(since).collect::<Vec<_>>().join(" AND ")
}

/// Issues that have one of these keys in this field.
pub(super) fn keys(field: &str, keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| quote(key)).collect();
    format!("{field} in ({})", quoted.join(","))
}

/// Issues that have a value in the custom field of this number, the oldest first.
pub(super) fn with_value(field: u64) -> String {
    format!("cf[{field}] is not EMPTY ORDER BY created ASC, key ASC")
}

/// A text as a JQL literal. Keys are quoted because some are reserved words.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The projects that Jira's refusal says do not exist: "The value 'X' does not exist for the field 'project'." The words are
/// translated on some sites, the quoted key is not.
pub(super) fn unknown_projects(projects: &[String], refusal: &str) -> Vec<String> {
    let refusal = refusal.to_lowercase();
    projects.iter().filter(|project| refusal.contains(&format!("'{}'", project.to_lowercase()))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Millis {
        Millis::parse(text).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn moments_are_in_the_zone_of_the_account_and_floored() {
        let moment = at("2026-11-10T23:59:59.999Z");
        assert_eq!(minute(moment, Some(&TimeZone::UTC)), "2026-11-10 23:59");
        assert_eq!(minute(moment, Some(&zone("Asia/Shanghai"))), "2026-11-11 07:59");
        assert_eq!(minute(moment, Some(&zone("Asia/Kathmandu"))), "2026-11-11 05:44");
        assert_eq!(minute(moment, None), "2026-11-10 11:59");
    }

    #[test]
    fn the_repeated_hour_steps_back_before_both_of_its_readings() {
        let berlin = zone("Europe/Berlin");
        // 02:30 summer time, and 02:30 winter time an hour later, on 2026-10-25.
        assert_eq!(minute(at("2026-10-25T00:30:00Z"), Some(&berlin)), "2026-10-25 01:30");
        assert_eq!(minute(at("2026-10-25T01:30:00Z"), Some(&berlin)), "2026-10-25 01:30");
        assert_eq!(minute(at("2026-10-25T02:00:00Z"), Some(&berlin)), "2026-10-25 03:00");
        // 01:45 becomes 01:15 ... the half-hour change of Lord Howe Island repeats 01:30 to 02:00.
        assert_eq!(minute(at("2026-04-04T14:45:00Z"), Some(&zone("Australia/Lord_Howe"))), "2026-04-05 00:45");
    }

    #[test]
    fn queries_are_bounded_and_quoted() {
        let projects = ["A".to_owned(), "OR".to_owned()];
        assert_eq!(
            changed(&projects, Some("2026-11-10 09:30")),
            r#"project in ("A","OR") AND updated >= "2026-11-10 09:30" ORDER BY updated ASC, key ASC"#
        );
        assert_eq!(changed(&projects, None), r#"project in ("A","OR") ORDER BY updated ASC, key ASC"#);
        assert_eq!(changed(&[], None), r#"updated >= "1970-01-01 00:00" ORDER BY updated ASC, key ASC"#);
        assert_eq!(all(&projects[..1]), r#"project in ("A") ORDER BY key ASC"#);
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
    }

    #[test]
    fn a_refusal_names_the_projects_it_means() {
        let projects = ["OPS".to_owned(), "PROJ".to_owned()];
        let refusal = "the request was refused: The value 'OPS' does not exist for the field 'project'.";
        assert_eq!(unknown_projects(&projects, refusal), ["OPS"]);
        assert!(unknown_projects(&projects, "the request was refused: bad JQL").is_empty());
    }
}
