//! The `contextcore` command: reads the arguments, runs the subcommand, and turns its result into an exit code.
//!
//! Read [`args`] for what can be typed, [`failure`] for what the codes mean. Each subcommand has a file of its own name; what
//! they share is in [`app`] (configuration, store, engine), [`reader`] (reading the store) and [`list`] (printing lists).

mod agents;
mod app;
mod args;
mod ask;
mod check;
mod connections;
#[cfg(feature = "kubernetes")]
mod controller;
mod dashboards;
mod dead_letters;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod drain;
mod duration;
mod failure;
#[cfg(test)]
mod fixture;
mod git;
mod guide;
mod host;
mod humanize;
mod init;
mod insight;
mod insights;
mod lanes;
mod list;
mod logging;
#[cfg(feature = "mcp")]
mod mcp;
mod moment;
mod output;
mod person;
#[cfg(feature = "demo")]
mod portfolio;
mod progress;
mod project;
mod reader;
mod record;
mod replay;
mod report;
#[cfg(all(test, feature = "kubernetes"))]
mod round_trip;
mod self_metrics;
mod serve;
mod served;
mod show;
mod socket;
mod sources;
mod sprints;
mod status;
mod stop;
mod store;
mod sync;
mod table;
mod task;
mod tasks;
mod terminal;
mod tone;
mod visible;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::error::ContextValue;
use clap::{CommandFactory, Parser};
use contextcore_core::model::printable;
use indicatif::MultiProgress;
use tokio::runtime::{Builder, Runtime};

use crate::app::Context;
use crate::args::{Cli, Command};
use crate::failure::{Exit, Outcome};

fn main() -> ExitCode {
    let Cli { global, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(error),
    };
    if matches!(&command, Command::Drain(arguments) if arguments.detached) {
        drain::close_inherited();
    }
    terminal::set_colour(global.color);
    let bars = MultiProgress::new();
    logging::start(global.verbose, base_verbosity(&command), &bars);
    let context = Context { global, bars };
    let is_service = is_service(&command);
    let result = match runtime(&command) {
        Ok(runtime) => runtime.block_on(run(&context, command)),
        Err(error) => Err(error.into()),
    };
    let exit = result.unwrap_or_else(|failure| {
        eprint!("{failure}");
        failure.exit
    });
    ending(exit, stop::requested(), is_service).into()
}

/// Ends after arguments that cannot be used, or that ask for help. What was typed is quoted, and acts on no terminal.
fn usage(mut error: clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let quoted = error.context().filter_map(|(kind, value)| match value {
        ContextValue::String(text) => Some((kind, ContextValue::String(printable::one_line(text).into_owned()))),
        _ => None,
    });
    for (kind, value) in quoted.collect::<Vec<_>>() {
        error.insert(kind, value);
    }
    let colours = console::colors_enabled_stderr();
    let text = error.render();
    let text = if colours { text.ansi().to_string() } else { text.to_string() };
    eprint!("{}", visible::lines(&text, colours));
    Exit::Usage.into()
}

/// Whether the command works until somebody stops it.
fn is_service(command: &Command) -> bool {
    match command {
        Command::Serve => true,
        #[cfg(feature = "kubernetes")]
        Command::Controller(command) => matches!(**command, args::Controller::Run(_)),
        _ => false,
    }
}

/// How the process ends. Stopping is how a service is meant to end; any other command was cut short, and says by which signal.
fn ending(exit: Exit, requested: Option<Exit>, is_service: bool) -> Exit {
    requested.filter(|_| !is_service).unwrap_or(exit)
}

/// The runtime of a command. One thread is enough for work that mostly waits, and each further one costs memory: the C library
/// keeps an arena for it, which added half as much again. A service must answer while it works, and the demo runs its own vendors.
fn runtime(command: &Command) -> io::Result<Runtime> {
    match command {
        command if is_service(command) => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        #[cfg(feature = "demo")]
        Command::Demo(_) => Builder::new_multi_thread().worker_threads(2).enable_all().build(),
        _ => Builder::new_current_thread().enable_all().build(),
    }
}

/// How much a command logs without `-v`. A service logs what happens, and so does long work that draws no progress bar.
fn base_verbosity(command: &Command) -> u8 {
    match command {
        command if is_service(command) => 1,
        Command::Sync(_) | Command::Replay(_) => u8::from(!terminal::is_watched()),
        #[cfg(feature = "demo")]
        Command::Demo(_) => u8::from(!terminal::is_watched()),
        _ => 0,
    }
}

async fn run(context: &Context, command: Command) -> Outcome {
    match command {
        #[cfg(feature = "demo")]
        Command::Demo(arguments) => demo::run(context, &arguments).await,
        Command::Init(arguments) => init::run(context, &arguments).await,
        Command::Check(arguments) => check::run(context, &arguments).await,
        Command::Sync(arguments) => sync::run(context, &arguments).await,
        Command::Serve => serve::run(context).await,
        Command::Task(arguments) => task::run(context, *arguments),
        Command::Guide(arguments) => guide::run(context, *arguments).await,
        Command::Git(command) => git::run(context, command).await,
        Command::Agents(command) => agents::run(context, &command).await,
        Command::Insight(command) => insight::run(context, *command).await,
        Command::Handoff(command) => insight::handoff(context, *command).await,
        Command::Answer(arguments) => insight::answer(context, arguments).await,
        Command::Questions(arguments) => insight::questions(context, arguments).await,
        Command::Handoffs(arguments) => insight::handoffs(context, arguments).await,
        Command::Drain(arguments) => drain::run(context, &arguments).await,
        #[cfg(feature = "mcp")]
        Command::Mcp(arguments) => mcp::run(context, &arguments).await,
        Command::Tasks(arguments) => list::print(context, arguments.query()).await,
        Command::Sprints(arguments) => list::print(context, arguments.query()).await,
        Command::Show(arguments) => show::run(context, &arguments).await,
        Command::Sources(arguments) => sources::run(context, &arguments).await,
        Command::Status(arguments) => status::run(context, &arguments).await,
        Command::Replay(arguments) => replay::run(context, &arguments).await,
        Command::DeadLetters(command) => dead_letters::run(context, &command).await,
        Command::Dashboards(command) => dashboards::run(context, &command).await,
        Command::Store(command) => store::run(context, &command).await,
        #[cfg(feature = "kubernetes")]
        Command::Controller(command) => controller::run(&command, context.global.output).await,
        #[cfg(not(feature = "kubernetes"))]
        Command::Controller(_) => Err(failure::Failure::usage(
            "`controller` is not in this build: use the image, or `cargo build --features kubernetes`",
        )),
        Command::Schema(arguments) => print(&match (arguments.projects, arguments.guidance) {
            (true, _) => contextcore_core::config::projects::json_schema(),
            (_, true) => contextcore_core::config::guidance::json_schema(),
            _ => contextcore_core::config::json_schema(&app::kinds()),
        }),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Cli::command(), "contextcore", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    }
}

fn print(text: &str) -> Outcome {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_was_stopped_ends_as_its_signal_says_and_a_service_does_not() {
        assert_eq!(ending(Exit::Source, Some(Exit::Terminated), false).code(), 143);
        assert_eq!(ending(Exit::Done, Some(Exit::Interrupted), false).code(), 130);
        assert_eq!(ending(Exit::Done, Some(Exit::Terminated), true).code(), 0);
        assert_eq!(ending(Exit::Backend, None, false).code(), 4);
    }
}
