//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use modelcost_reader::Options as ReadOptions;

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
    /// Write shell completions to standard output
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual page (troff) to standard output
    Man,
}

#[derive(Args, Debug)]
pub struct CountArgs {
    /// The model file
    #[arg(required = true)]
    pub model: Option<PathBuf>,

    /// How to count: TOOL, TOOL@VERSION, TOOL/VARIANT, or the path of a rule table (.toml)
    #[arg(short, long, default_value = "torchinfo", env = "MODELCOST_CONVENTION")]
    pub convention: String,

    /// Count the forward and the backward pass
    #[arg(long)]
    pub training: bool,

    #[command(flatten)]
    pub read: ReadArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Args, Debug)]
pub struct CompareArgs {
    /// The model files
    #[arg(required = true)]
    pub models: Vec<PathBuf>,

    /// Only these conventions (may be given several times)
    #[arg(short, long)]
    pub convention: Vec<String>,

    #[command(flatten)]
    pub read: ReadArgs,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = CompareFormat::Table)]
    pub format: CompareFormat,

    /// How to write counts
    #[arg(short, long, value_enum, default_value_t = Units::Auto)]
    pub units: Units,
}

#[derive(Args, Debug)]
pub struct ConventionsArgs {
    /// Show the rules of this one
    pub convention: Option<String>,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
}

/// How a model is read.
#[derive(Args, Debug, Default, Clone)]
pub struct ReadArgs {
    /// The shape of an input, `1x3x512x512` or `NAME=1x3x512x512`
    #[arg(short, long, value_name = "[NAME=]SHAPE")]
    pub input: Vec<String>,

    /// The batch size: the first dimension of every input
    #[arg(short, long)]
    pub batch: Option<u64>,

    /// The size of a free dimension
    #[arg(short, long, value_name = "NAME=SIZE")]
    pub dim: Vec<String>,
}

impl ReadArgs {
    /// The reader's options, or a sentence about what is wrong.
    pub fn options(&self) -> Result<ReadOptions, String> {
        let mut options = ReadOptions { batch: self.batch, ..ReadOptions::default() };
        if self.batch == Some(0) {
            return Err("--batch 0: a batch has at least one element".into());
        }
        for text in &self.input {
            let (name, shape) = match text.split_once('=') {
                Some((name, shape)) => (Some(name.trim()), shape),
                None => (None, text.as_str()),
            };
            let dims: Option<Vec<u64>> = shape.split(['x', 'X', '×', ',']).map(|d| d.trim().parse().ok()).collect();
            let Some(dims) = dims else {
                return Err(format!("--input {text}: write the shape as 1x3x224x224, or NAME=1x3x224x224"));
            };
            options.inputs.push((name.map(Into::into), dims));
        }
        for text in &self.dim {
            let parsed = text.split_once('=').and_then(|(name, size)| Some((name.trim(), size.trim().parse().ok()?)));
            let Some((name, size)) = parsed else {
                return Err(format!("--dim {text}: write it as NAME=SIZE, for example batch=8"));
            };
            options.dims.push((name.into(), size));
        }
        Ok(options)
    }
}

/// How an answer is shown.
#[derive(Args, Debug, Clone)]
pub struct OutputArgs {
    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = Format::Tree)]
    pub format: Format,

    /// Show modules down to this depth
    #[arg(long)]
    pub depth: Option<usize>,

    /// The order of the rows; anything but `model` makes the tree a flat table
    #[arg(long, value_enum, default_value_t = Sort::Model)]
    pub sort: Sort,

    /// How to write counts
    #[arg(short, long, value_enum, default_value_t = Units::Auto)]
    pub units: Units,

    /// Show the formula of every row, with its numbers and its source
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A module tree, as tools print it
    Tree,
    /// One row a module
    Table,
    /// The machine-readable report (schema modelcost/1)
    Json,
    /// Comma-separated values
    Csv,
    /// A Markdown table
    Markdown,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareFormat {
    /// One row a convention
    Table,
    /// Machine-readable (schema modelcost-compare/1)
    Json,
    /// Comma-separated values
    Csv,
    /// A Markdown table
    Markdown,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// For reading
    Table,
    /// Machine-readable
    Json,
    /// The reference page, generated from the rules
    Markdown,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// As the model declares its modules
    Model,
    /// By count, largest first
    Count,
    /// By parameters, largest first
    Params,
    /// By path
    Path,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// K, M, G or T as it fits
    Auto,
    /// Whole numbers
    Raw,
    /// Thousands
    K,
    /// Millions
    M,
    /// Thousands of millions
    G,
}
