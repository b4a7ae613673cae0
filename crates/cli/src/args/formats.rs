//! The values that options take.

use clap::ValueEnum;

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
pub enum Column {
    /// The model's path
    Model,
    /// The convention's identity
    Convention,
    /// The exact count
    Count,
    /// The count with its unit, scaled
    Scaled,
    /// MAC or FLOP
    Unit,
    /// The parameters the tool reports
    Params,
    /// The trainable ones among them
    Trainable,
    /// How much of the answer the file holds
    Fidelity,
    /// The convention's reason in a line
    Why,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconcileFormat {
    /// For reading
    Text,
    /// Machine-readable (schema modelcost-reconcile/1, or modelcost-reconcile-table/1)
    Json,
    /// A Markdown table; of a table of figures, a page
    Markdown,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// For reading
    Text,
    /// Machine-readable (schema modelcost-memory/1, modelcost-shapes/1)
    Json,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeFormat {
    /// For reading, with bars
    Text,
    /// Machine-readable (schema modelcost-bridge/1)
    Json,
    /// A waterfall chart
    Svg,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum SweepFormat {
    /// For reading
    Text,
    /// Machine-readable (schema modelcost-sweep/1)
    Json,
    /// Comma-separated values
    Csv,
    /// A Markdown table
    Markdown,
    /// A curve
    Svg,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckFormat {
    /// For reading
    Text,
    /// Machine-readable (schema modelcost-check/1)
    Json,
    /// GitHub's annotations
    Github,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListFormat {
    /// For reading
    Table,
    /// Machine-readable, with the rules (schema modelcost-conventions/1)
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

impl From<Units> for modelcost_analysis::format::Units {
    fn from(units: Units) -> Self {
        match units {
            Units::Auto => Self::Auto,
            Units::Raw => Self::Raw,
            Units::K => Self::K,
            Units::M => Self::M,
            Units::G => Self::G,
        }
    }
}

/// What a model can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// A TOML spec, which every model file can become
    Toml,
    /// Binary ONNX, from its text
    Onnx,
    /// ONNX's own text, from ONNX
    Onnxtxt,
}
