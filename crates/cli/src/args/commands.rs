//! The arguments of each command.

use std::path::PathBuf;

use clap::Args;
use modelcost_reader::Options as ReadOptions;

use super::formats::{
    BridgeFormat, CheckFormat, Column, CompareFormat, Format, ListFormat, ReconcileFormat, Sort,
    SweepFormat, Target, TextFormat, Units,
};
use super::read::ReadArgs;

#[derive(Args, Debug)]
pub struct CountArgs {
    /// The model file
    #[arg(required = true)]
    pub model: Option<PathBuf>,

    /// How to count: TOOL, TOOL@VERSION, TOOL/VARIANT, or the path of a rule table (.toml)
    #[arg(short, long, default_value = "torchinfo", env = "MODELCOST_CONVENTION")]
    pub convention: String,

    /// Whether it stands on the command line
    #[arg(skip)]
    pub is_convention_given: bool,

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
    /// The model files, or patterns such as 'models/*.pt2'
    #[arg(required = true)]
    pub models: Vec<PathBuf>,

    /// Only these conventions (may be given several times)
    #[arg(short, long)]
    pub convention: Vec<String>,

    /// Which columns, in this order
    #[arg(long, value_enum, value_delimiter = ',')]
    pub columns: Vec<Column>,

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
pub struct ExplainArgs {
    /// The model file
    pub model: PathBuf,

    /// The convention to start from
    #[arg(long)]
    pub from: String,

    /// The convention to arrive at
    #[arg(long)]
    pub to: String,

    #[command(flatten)]
    pub read: ReadArgs,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = BridgeFormat::Text)]
    pub format: BridgeFormat,

    /// Show the formulas behind every cause, and its largest layers
    #[arg(short, long)]
    pub verbose: bool,
}

#[derive(Args, Debug)]
pub struct ReconcileArgs {
    /// The model file
    #[arg(required_unless_present = "table")]
    pub model: Option<PathBuf>,

    /// The figure as it is printed: 4.1G, 4.089 GFLOPs, 4089184256
    #[arg(long, required_unless_present = "table")]
    pub reported: Option<String>,

    /// The parameters as they are printed: 25.6M
    #[arg(long)]
    pub reported_params: Option<String>,

    /// Several figures at once: a CSV file with the columns model and reported, and as wanted unit,
    /// params, input, name, source, where, year; paths are relative to it
    #[arg(long, conflicts_with_all = ["model", "reported"])]
    pub table: Option<PathBuf>,

    /// Only these conventions (may be given several times)
    #[arg(short, long)]
    pub convention: Vec<String>,

    /// Image sides to try besides the file's own, instead of the usual ones
    #[arg(long, value_delimiter = ',')]
    pub sizes: Vec<u64>,

    #[command(flatten)]
    pub read: ReadArgs,

    /// How many readings to show
    #[arg(long, default_value_t = 10)]
    pub most: usize,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = ReconcileFormat::Text)]
    pub format: ReconcileFormat,
}

#[derive(Args, Debug)]
pub struct SweepArgs {
    /// The model file
    pub model: PathBuf,

    /// A free dimension and its sizes, `seq=128..8192*2` or `seq=128..1024+128`; or one size, `batch=1`
    #[arg(short, long, value_name = "NAME=RANGE")]
    pub dim: Vec<String>,

    /// The side of a square image, `160..512+32`
    #[arg(long, value_name = "RANGE")]
    pub input_size: Option<String>,

    /// How to count
    #[arg(short, long, default_value = "torch", env = "MODELCOST_CONVENTION")]
    pub convention: String,

    /// The shape of an input, `1x3x512x512` or `NAME=1x3x512x512`
    #[arg(short, long, value_name = "[NAME=]SHAPE")]
    pub input: Vec<String>,

    /// The batch size: the first dimension of every input
    #[arg(short, long)]
    pub batch: Option<u64>,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = SweepFormat::Text)]
    pub format: SweepFormat,
}

impl SweepArgs {
    /// The reader's options for everything that is not swept.
    pub fn read_options(&self) -> Result<ReadOptions, String> {
        let dim = self
            .dim
            .iter()
            .filter(|text| !text.contains(".."))
            .cloned()
            .collect();
        ReadArgs {
            input: self.input.clone(),
            batch: self.batch,
            dim,
        }
        .options()
    }
}

#[derive(Args, Debug)]
pub struct MemoryArgs {
    /// The model file
    pub model: PathBuf,

    /// Put the model under this chip's roofline: H100-SXM, A100-SXM-80GB, RTX-4090 …
    #[arg(long)]
    pub chip: Option<String>,

    /// A table of further chips (TOML, [[chip]])
    #[arg(long, requires = "chip")]
    pub chips: Option<PathBuf>,

    /// The element type whose peak rate the roofline uses; float16 if left out
    #[arg(long, requires = "chip")]
    pub dtype: Option<String>,

    /// The convention whose operations the roofline uses
    #[arg(short, long, default_value = "torch")]
    pub convention: String,

    #[command(flatten)]
    pub read: ReadArgs,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The model files, or patterns such as 'models/*.toml'
    #[arg(required = true)]
    pub models: Vec<PathBuf>,

    /// How to count; modelcost.toml and then torchinfo decide otherwise
    #[arg(short, long)]
    pub convention: Option<String>,

    /// The most operations, in the convention's unit: 600M
    #[arg(long)]
    pub max_count: Option<String>,

    /// The most parameters: 5M
    #[arg(long)]
    pub max_params: Option<String>,

    /// An earlier answer (--format json): fail when the count has grown, and show which layers changed
    #[arg(long)]
    pub baseline: Option<PathBuf>,

    #[command(flatten)]
    pub read: ReadArgs,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = CheckFormat::Text)]
    pub format: CheckFormat,
}

#[derive(Args, Debug)]
pub struct ShapesArgs {
    /// The model file
    pub model: PathBuf,

    /// The value of an ONNX model's input, `NAME=[1,2]`; it then counts as a constant
    #[arg(long, value_name = "NAME=VALUE")]
    pub value: Vec<String>,

    /// Values of inputs by name, as a JSON file
    #[arg(long, value_name = "FILE")]
    pub values: Option<PathBuf>,

    #[command(flatten)]
    pub read: ReadArgs,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = TextFormat::Text)]
    pub format: TextFormat,
}

#[derive(Args, Debug)]
pub struct ConvertArgs {
    /// The model file
    pub model: PathBuf,

    /// The file to write; its extension says the format. Text goes to standard output if left out
    #[arg(short, long)]
    pub output: Option<PathBuf>,

    /// The format to write, where the output's extension does not say it
    #[arg(long, value_enum)]
    pub to: Option<Target>,

    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The model file
    pub model: PathBuf,

    /// Where to write the page; standard output if left out
    #[arg(short, long)]
    pub output: Option<PathBuf>,

    /// The convention of the layers and the map
    #[arg(short, long, default_value = "macs", env = "MODELCOST_CONVENTION")]
    pub convention: String,

    /// The convention to build a bridge to; of the well-known ones the one that differs most if left out
    #[arg(long)]
    pub against: Option<String>,

    #[command(flatten)]
    pub read: ReadArgs,
}

#[derive(Args, Debug)]
pub struct ConventionsArgs {
    /// Show the rules of this one
    pub convention: Option<String>,

    /// The shape of the output
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    pub format: ListFormat,
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
