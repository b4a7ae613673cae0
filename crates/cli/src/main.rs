//! `modelcost`: what each tool would print for a model, from the model file.
//!
//! Exit status: 0 done, 1 a check failed, 2 bad input or usage.

mod args;
mod commands;
mod errors;
mod files;
mod paint;
mod parallel;
mod render;
mod svg;
mod treemap;
mod units;
mod width;

use std::io;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches};
use errors::Failed;

/// A trace is many small vectors, which this allocator makes and frees in half the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    modelcost_conventions::link();
    let cli = arguments();
    let result = match cli.command {
        None => commands::count::run(&cli.count),
        Some(Command::Compare(args)) => commands::compare::run(&args),
        Some(Command::Conventions(args)) => commands::conventions::run(&args),
        Some(Command::Explain(args)) => commands::explain::run(&args),
        Some(Command::Reconcile(args)) => commands::reconcile::run(&args),
        Some(Command::Sweep(args)) => commands::sweep::run(&args),
        Some(Command::Memory(args)) => commands::memory::run(&args),
        Some(Command::Check(args)) => commands::check::run(&args),
        Some(Command::Report(args)) => commands::report::run(&args),
        Some(Command::Shapes(args)) => commands::shapes::run(&args),
        Some(Command::Convert(args)) => commands::convert::run(&args),
        Some(Command::Lsp { .. }) => modelcost_lsp::serve()
            .map(|()| String::new())
            .map_err(|error| Failed::input(format!("the language server cannot start: {error}"))),
        Some(Command::Completions { shell }) => {
            let mut out = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "modelcost", &mut out);
            Ok(String::from_utf8_lossy(&out).into_owned())
        }
        Some(Command::Man { command }) => manual(command.as_deref()),
    };
    modelcost_reader::forget_pipes();
    let (text, status) = match result {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(Failed::Check(verdicts)) => (verdicts, ExitCode::from(1)),
        Err(Failed::Input(message)) => {
            errors::say(&message);
            return ExitCode::from(2);
        }
    };
    match paint::print(&text) {
        Ok(()) => status,
        // `modelcost … | head` closes the pipe when it has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(error) => {
            errors::say(&format!("error: cannot write the answer: {error}"));
            ExitCode::from(2)
        }
    }
}

/// The command line; clap says what is wrong with it and ends the program.
fn arguments() -> Cli {
    let matches = Cli::command().try_get_matches().unwrap_or_else(|error| {
        // A misspelt command is taken for a model, and what follows it for another.
        match error.kind() {
            ErrorKind::ArgumentConflict => not_one_model().unwrap_or(error).exit(),
            _ => error.exit(),
        }
    });
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli.count.is_convention_given =
        matches.value_source("convention") == Some(ValueSource::CommandLine);
    cli
}

/// What is meant by more than one model, or by a command that there is not.
fn not_one_model() -> Option<clap::Error> {
    let mut program = Cli::command();
    let is_command = |word: &String| program.find_subcommand(word).is_some();
    let mut words = std::env::args().skip(1);
    let first = words.next().filter(|first| !is_command(first))?;
    let message = match (words.find(is_command), args::misspelt_command(&first)) {
        (Some(command), _) => format!("the command comes first: modelcost {command} …"),
        (None, Some(meant)) => {
            format!("there is no command '{first}'; did you mean '{meant}'?")
        }
        (None, None) if first.starts_with('-') => return None,
        (None, None) => format!(
            "'{first}' is no command, and one model is counted at a time; `modelcost compare` \
             takes several"
        ),
    };
    Some(program.error(ErrorKind::InvalidSubcommand, message))
}

/// The manual page of the program, or of one of its commands.
fn manual(command: Option<&str>) -> Result<String, Failed> {
    let mut program = Cli::command();
    program.build();
    let page = match command {
        None => program,
        Some(name) => {
            let found = program.find_subcommand(name).cloned();
            let found = found.ok_or_else(|| {
                let names = program.get_subcommands().map(clap::Command::get_name);
                let names: Vec<&str> = names.collect();
                Failed::input(format!(
                    "there is no command '{name}'; there are {}",
                    names.join(", ")
                ))
            })?;
            // `man modelcost-compare`, which is what the program's own page refers to.
            found.display_name(format!("modelcost-{name}"))
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(page)
        .render(&mut out)
        .map_err(|error| Failed::input(format!("cannot write the manual: {error}")))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
