//! What was measured beside what is allowed, in every benchmark that has budgets.

use std::process::ExitCode;

/// A row of the result.
struct Row {
    what: String,
    measured: f64,
    budget: f64,
    unit: &'static str,
}

/// All rows, printed as they come.
#[derive(Default)]
pub(crate) struct Rows(Vec<Row>);

impl Rows {
    pub(crate) fn add(&mut self, what: impl Into<String>, measured: f64, budget: f64, unit: &'static str) {
        let row = Row { what: what.into(), measured, budget, unit };
        // Nothing of a budget of nothing is no share of it.
        let used = if measured == 0.0 { 0.0 } else { 100.0 * measured / budget };
        println!("{:<62} {measured:>11.2} {unit:<6} of {budget:>10.2} {used:>4.0} %", row.what);
        self.0.push(row);
    }

    /// Fails when a row is over its budget, or is no number.
    pub(crate) fn verdict(&self) -> ExitCode {
        let over: Vec<_> = self.0.iter().filter(|row| row.measured > row.budget || row.measured.is_nan()).collect();
        for row in &over {
            println!("OVER BUDGET: {} ({:.3} {})", row.what, row.measured, row.unit);
        }
        println!("{} passed, {} failed", self.0.len() - over.len(), over.len());
        if over.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
