//! What runs: sources and their schedules, exporters and their loops, and the metrics of the program itself.

pub mod telemetry;
