//! `modelcost`: what each tool would print for a model, from the model file.
//!
//! Exit status: 0 done, 1 a check failed, 2 bad input or usage.

mod args;
mod commands;
mod errors;
mod paint;
mod parallel;
mod render;
mod svg;
mod treemap;
mod units;

use std::io;
use std::process::ExitCode;

use args::{Cli, Command};
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
        Some(Command::Man) => manual(),
    };
    let (text, status) = match result {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(failed) => {
            failed.print();
            return failed.status();
        }
    };
    match paint::print(&text) {
        Ok(()) => status,
        // `modelcost … | head` closes the pipe when it has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => status,
        Err(error) => {
            let failed = Failed::input(format!("cannot write the answer: {error}"));
            failed.print();
            failed.status()
        }
    }
}

/// The command line; clap says what is wrong with it and ends the program.
fn arguments() -> Cli {
    let matches = Cli::command().get_matches();
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    cli.count.is_convention_given =
        matches.value_source("convention") == Some(ValueSource::CommandLine);
    cli
}

fn manual() -> Result<String, Failed> {
    let mut out = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut out)
        .map_err(|error| Failed::input(format!("cannot write the manual: {error}")))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}
