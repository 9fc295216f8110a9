//! Cron lines as people know them from crontab(5): five fields, UTC, Sunday is 0 or 7.
//!
//! The `cron` crate follows Quartz instead: it wants seconds first, counts Sunday as 1, and joins day-of-month and
//! day-of-week with *and* where crontab says *or*. This file translates, so that no schedule runs on the wrong day.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::time::Millis;

/// When something is due, in UTC.
#[derive(Clone)]
pub struct Schedule {
    line: String,
    /// It is due when any of these is: two when a line restricts both the day of the month and the day of the week.
    any_of: Vec<cron::Schedule>,
}

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Schedule {
    /// The first moment after `moment` at which it is due; `None` when there is none.
    pub fn next_after(&self, moment: Millis) -> Option<Millis> {
        let moment = DateTime::<Utc>::from_timestamp_millis(moment.0)?;
        let next = self.any_of.iter().filter_map(|schedule| schedule.after(&moment).next()).min()?;
        Some(Millis(next.timestamp_millis()))
    }
}

impl FromStr for Schedule {
    type Err = String;

    /// Reads five fields, or one of `@hourly @daily @midnight @weekly @monthly @yearly @annually`. The error is a
    /// fragment that says what is wrong with the line.
    fn from_str(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let fields: Vec<&str> = expand_nickname(line)?.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("it has {} fields instead of five", fields.len()));
        };
        let weekdays = quartz_weekdays(weekday)?;
        let days: Vec<(&str, &str)> = if day.starts_with('*') || weekday.starts_with('*') {
            vec![(day, &weekdays)]
        } else {
            vec![(day, "*"), ("*", &weekdays)]
        };
        let any_of = days
            .into_iter()
            .map(|(day, weekdays)| parse_quartz(&format!("0 {minute} {hour} {day} {month} {weekdays}")))
            .collect::<Result<Vec<_>, _>>()?;
        let schedule = Self { line: line.to_owned(), any_of };
        match schedule.next_after(Millis(0)) {
            Some(_) => Ok(schedule),
            None => Err("no such date exists".to_owned()),
        }
    }
}

fn parse_quartz(line: &str) -> Result<cron::Schedule, String> {
    cron::Schedule::from_str(line).map_err(|_| "a field is malformed or out of range".to_owned())
}

fn expand_nickname(line: &str) -> Result<&str, String> {
    Ok(match line {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ if line.starts_with('@') => {
            return Err("known nicknames are @hourly, @daily, @weekly, @monthly, @yearly".to_owned());
        }
        _ => line,
    })
}

/// Crontab's day-of-week field as the list of numbers that Quartz means by it.
fn quartz_weekdays(field: &str) -> Result<String, String> {
    let mut days = Vec::new();
    for part in field.split(',') {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let step: usize = step.parse().ok().filter(|step| *step > 0).ok_or_else(|| bad_weekday(part))?;
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            None if part.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        let last = if last < first { last + 7 } else { last };
        days.extend((first..=last).step_by(step).map(|day| day % 7 + 1));
    }
    days.sort_unstable();
    days.dedup();
    Ok(days.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
}

/// A day's number, Sunday 0 to Sunday 7.
fn weekday(text: &str) -> Result<usize, String> {
    let by_name = || DAYS.iter().position(|day| text.eq_ignore_ascii_case(day));
    text.parse().ok().filter(|day| *day <= 7).or_else(by_name).ok_or_else(|| bad_weekday(text))
}

fn bad_weekday(text: &str) -> String {
    format!("`{text}` is not a day of the week (0 to 7, or SUN to SAT)")
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first times due after Monday, 2026-11-09T10:02:30Z.
    fn due(line: &str, count: usize) -> Vec<String> {
        let schedule: Schedule = line.parse().unwrap();
        let mut at = Millis::parse("2026-11-09T10:02:30Z").unwrap();
        (0..count)
            .map(|_| {
                at = schedule.next_after(at).unwrap();
                at.timestamp().strftime("%a %Y-%m-%d %H:%M").to_string()
            })
            .collect()
    }

    #[test]
    fn five_fields_in_utc() {
        assert_eq!(due("*/5 * * * *", 2), ["Mon 2026-11-09 10:05", "Mon 2026-11-09 10:10"]);
        assert_eq!(due("30 6 1 * *", 2), ["Tue 2026-12-01 06:30", "Fri 2027-01-01 06:30"]);
        assert_eq!(due("@hourly", 1), ["Mon 2026-11-09 11:00"]);
        assert_eq!(due("@weekly", 1), ["Sun 2026-11-15 00:00"]);
    }

    #[test]
    fn weekdays_are_crontabs_not_quartzs() {
        let friday_then_monday = ["Fri 2026-11-13 00:00", "Mon 2026-11-16 00:00"];
        assert_eq!(due("0 0 * * 1", 1), ["Mon 2026-11-16 00:00"]);
        assert_eq!(due("0 0 * * 0", 1), due("0 0 * * 7", 1));
        assert_eq!(due("0 0 * * 1-5/4", 2), friday_then_monday);
        assert_eq!(due("0 0 * * FRI-MON/3", 2), friday_then_monday);
        assert_eq!(due("0 0 * * mon,5", 2), friday_then_monday);
        assert_eq!(due("0 0 * * 5-7", 3), ["Fri 2026-11-13 00:00", "Sat 2026-11-14 00:00", "Sun 2026-11-15 00:00"]);
        assert_eq!(due("0 0 * * */2", 2), ["Tue 2026-11-10 00:00", "Thu 2026-11-12 00:00"]);
    }

    #[test]
    fn day_of_month_or_day_of_week() {
        assert_eq!(due("0 0 11 * 5", 3), ["Wed 2026-11-11 00:00", "Fri 2026-11-13 00:00", "Fri 2026-11-20 00:00"]);
    }

    #[test]
    fn malformed_lines_get_different_errors() {
        let error = |line: &str| line.parse::<Schedule>().unwrap_err();
        assert_eq!(error("* * * *"), "it has 4 fields instead of five");
        assert_eq!(error(""), "it has 0 fields instead of five");
        assert_eq!(error("61 * * * *"), "a field is malformed or out of range");
        assert_eq!(error("*/0 * * * *"), "a field is malformed or out of range");
        assert_eq!(error("* * * * 8"), "`8` is not a day of the week (0 to 7, or SUN to SAT)");
        assert_eq!(error("* * * * 1/0"), "`1/0` is not a day of the week (0 to 7, or SUN to SAT)");
        assert_eq!(error("0 0 30 2 *"), "no such date exists");
        assert!(error("@often").starts_with("known nicknames are @hourly"));
    }
}
