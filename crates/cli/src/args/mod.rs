//! The command line.

mod commands;
mod formats;
mod read;

use std::path::Path;

use clap::{CommandFactory, Parser, Subcommand};
use modelcost_core::convention::closest;

pub use commands::{
    CheckArgs, CompareArgs, ConventionsArgs, ConvertArgs, CountArgs, ExplainArgs, MemoryArgs,
    OutputArgs, ReconcileArgs, ReportArgs, ShapesArgs, SweepArgs,
};
pub use formats::{
    BridgeFormat, CheckFormat, Column, CompareFormat, Format, ListFormat, ReconcileFormat, Sort,
    SweepFormat, Target, TextFormat, Units,
};
pub use read::ReadArgs;

/// What each tool would print for a model's parameters, MACs and FLOPs.
///
/// Reads a model file (a TOML spec, ONNX, a PyTorch .pt2 program, a checkpoint) without Python and
/// without touching its weights.
#[derive(Parser, Debug)]
#[command(
    name = "modelcost",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  modelcost --convention ptflops model.onnx\n  modelcost compare model.pt2\n  modelcost examples/resnet50.toml --input 1x3x512x512 --depth 2\n  modelcost conventions"
)]
pub struct Cli {
    /// Count with one convention.
    #[command(flatten)]
    pub count: CountArgs,

    /// Other things to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Every convention side by side
    Compare(CompareArgs),
    /// The conventions there are, or the rules of one
    Conventions(ConventionsArgs),
    /// The difference between two conventions' totals, by cause
    Explain(ExplainArgs),
    /// Which convention gave a reported number
    Reconcile(ReconcileArgs),
    /// Cost as a function of a dimension
    Sweep(SweepArgs),
    /// Bytes of parameters and activations, and the roofline of a chip
    Memory(MemoryArgs),
    /// Budgets for CI: exit status 1 over budget
    Check(CheckArgs),
    /// One self-contained HTML page about a model
    Report(ReportArgs),
    /// Every tensor's inferred shape and element type
    Shapes(ShapesArgs),
    /// Write a model in another format: any model as a spec, ONNX as its text and back
    Convert(ConvertArgs),
    /// Start the language server on standard input and output, for editors
    Lsp {
        /// Ignored: clients pass it to say that they speak over standard input and output
        #[arg(long, hide = true)]
        stdio: bool,
    },
    /// Write shell completions to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page (troff) to standard output
    Man {
        /// The page of this command, such as `compare`
        command: Option<String>,
    },
}

/// The command that is meant by a word that is no file.
pub fn misspelt_command(word: &str) -> Option<String> {
    if Path::new(word).exists() {
        return None;
    }
    let program = Cli::command();
    let names = program.get_subcommands().map(clap::Command::get_name);
    closest(word, names).map(str::to_owned)
}
