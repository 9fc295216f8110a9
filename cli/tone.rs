//! What a text on a terminal means, as a colour. What is no terminal, and whoever sets NO_COLOR, sees the text alone.

use console::Style;
use contextcore_core::model::Status;

const DAY: f64 = 86_400.0;

/// What a text means to who reads it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Finished, or well.
    Good,
    /// Under way.
    Active,
    /// To look at.
    Warning,
    /// To act on.
    Bad,
    /// Over.
    Faint,
}

impl Tone {
    pub(crate) fn of_status(status: Status) -> Self {
        match status {
            Status::Blocked => Self::Bad,
            Status::InProgress | Status::InReview => Self::Active,
            Status::Done => Self::Good,
            Status::Cancelled => Self::Faint,
            Status::Backlog | Status::Todo => Self::Plain,
        }
    }

    /// The age of an open task: a month is long, a quarter very long.
    pub(crate) fn of_age(seconds: f64) -> Self {
        Self::beyond(seconds, 30.0 * DAY, 90.0 * DAY)
    }

    /// The time a task has been blocked: two days are long, a week very long.
    #[cfg(feature = "demo")]
    pub(crate) fn of_blocked(seconds: f64) -> Self {
        Self::beyond(seconds, 2.0 * DAY, 7.0 * DAY)
    }

    fn beyond(seconds: f64, warning: f64, bad: f64) -> Self {
        match seconds {
            _ if seconds >= bad => Self::Bad,
            _ if seconds >= warning => Self::Warning,
            _ => Self::Plain,
        }
    }

    /// The text in this tone; as it is without `colour`.
    pub(crate) fn paint(self, text: &str, colour: bool) -> String {
        let style = Style::new().force_styling(true);
        let style = match self {
            _ if !colour || text.is_empty() => return text.to_owned(),
            Self::Plain => return text.to_owned(),
            Self::Good => style.green(),
            Self::Active => style.cyan(),
            Self::Warning => style.yellow(),
            Self::Bad => style.red(),
            Self::Faint => style.dim(),
        };
        style.apply_to(text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_are_colours_only_where_colours_are_wanted() {
        assert_eq!(Tone::Bad.paint("blocked", true), "\u{1b}[31mblocked\u{1b}[0m");
        assert_eq!(Tone::Bad.paint("blocked", false), "blocked");
        assert_eq!(Tone::Plain.paint("todo", true), "todo");
        let ages = [1.0, 31.0, 91.0].map(|days| Tone::of_age(days * DAY));
        assert_eq!(ages, [Tone::Plain, Tone::Warning, Tone::Bad]);
        assert_eq!(Tone::of_blocked(8.0 * DAY), Tone::Bad);
    }
}
