//! `contextcore agents flow`: how work flowed with and without agents. Groups, never people, and no word on what a difference comes from.

use contextcore_core::model::printable;
use contextcore_core::query::{AgentFlowQuery, AgentFlowView, AgentGroupView, Quantiles};

use crate::app::Context;
use crate::args::AgentsFlow;
use crate::failure::{Exit, Outcome};
use crate::reader::Reader;
use crate::table::{Column, Table, wrapped};
use crate::{humanize, output, terminal};

pub(super) async fn run(context: &Context, arguments: &AgentsFlow) -> Outcome {
    let json = context.is_json("agents flow")?;
    let query = AgentFlowQuery { project: arguments.project.clone() };
    let reader = Reader::open(context.config()?).await?;
    let found = reader.view("agents/flow", &query, |viewer| viewer.agent_flow(&query)).await?;
    output::print(json, &found, |found| render(found, terminal::width()))?;
    Ok(Exit::Done)
}

fn render(projects: &[AgentFlowView], width: Option<usize>) -> String {
    if projects.is_empty() {
        return "nothing was completed in the last 90 days\n".to_owned();
    }
    let groups = projects.iter().any(|project| !project.groups.is_empty());
    let table = if groups { table(projects).render(width) + "\n" } else { String::new() };
    let fit = |line: String| match width {
        Some(width) => wrapped(&line, width).join("\n"),
        None => line,
    };
    let about: String = projects.iter().map(|project| fit(about(project)) + "\n").collect();
    table + &about
}

fn table(projects: &[AgentFlowView]) -> Table {
    let mut table = Table::new(&[
        ("PROJECT", Column::Flexible),
        ("TYPE", Column::Left),
        ("SIZE", Column::Left),
        ("AGENTS", Column::Left),
        ("TASKS", Column::Right),
        ("CYCLE P50", Column::Right),
        ("P85", Column::Right),
        ("BLOCKED P50", Column::SpareRight(0)),
        ("P85", Column::SpareRight(1)),
        ("REWORK", Column::Right),
    ]);
    for (project, group) in projects.iter().flat_map(|project| project.groups.iter().map(move |group| (project, group)))
    {
        table.row(cells(&project.project, group));
    }
    table
}

fn cells(project: &str, group: &AgentGroupView) -> [String; 10] {
    let [cycle, long_cycle] = durations(group.cycle_time);
    let [blocked, long_blocked] = durations(Some(group.blocked_time));
    [
        project.to_owned(),
        group.task_type.to_string(),
        group.size.to_string(),
        group.agent_assisted.to_string(),
        group.tasks.to_string(),
        cycle,
        long_cycle,
        blocked,
        long_blocked,
        format!("{:.0}%", group.rework),
    ]
}

/// The middle and the long end, as people read them.
fn durations(found: Option<Quantiles>) -> [String; 2] {
    found.map(|found| [found.p50, found.p85].map(humanize::duration)).unwrap_or_default()
}

/// How much is known of a project, and how much is not shown.
fn about(project: &AgentFlowView) -> String {
    let completed = humanize::plural(project.completed, "task");
    let known = project.coverage.map(|share| format!(", {share:.0}% known")).unwrap_or_default();
    let hidden = match project.hidden {
        0 => String::new(),
        hidden => format!(", {hidden} in groups of fewer than 20 tasks or 5 people, which are not shown"),
    };
    format!("{}: {completed} completed in 90 days{known}{hidden}", printable::one_line(&project.project))
}

#[cfg(test)]
mod tests {
    use contextcore_core::model::TaskType;
    use contextcore_core::model::agent_flow::TaskSize;
    use contextcore_core::model::agents::AgentAssisted;

    use super::*;

    #[test]
    fn groups_coverage_and_what_is_hidden_are_shown() {
        let days = |p50: f64, p85: f64| Quantiles { p50: p50 * 86_400.0, p85: p85 * 86_400.0 };
        let group = |agent_assisted, cycle_time| AgentGroupView {
            task_type: TaskType::Story,
            size: TaskSize::Medium,
            agent_assisted,
            tasks: 40,
            cycle_time,
            blocked_time: days(0.0, 1.0),
            rework: 12.5,
        };
        let groups = vec![group(AgentAssisted::Assisted, Some(days(2.0, 5.0))), group(AgentAssisted::Unknown, None)];
        let shown = AgentFlowView {
            project: "commerce".into(),
            completed: 95,
            known: 40,
            coverage: Some(42.1),
            hidden: 15,
            groups,
        };
        let empty =
            AgentFlowView { project: "blog".into(), completed: 0, known: 0, coverage: None, hidden: 0, groups: vec![] };
        insta::assert_snapshot!("flow", render(&[shown.clone(), empty], None));
        let hostile = AgentFlowView { project: "a\u{1b}[2J\u{202e}b".into(), ..shown.clone() };
        let text = render(&[hostile], Some(80));
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("\\u{1b}"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert_eq!(render(&[], None), "nothing was completed in the last 90 days\n");
    }
}
