//! How a model is read: the sizes of its inputs.

use clap::Args;
use modelcost_core::dim::Dim;
use modelcost_reader::Options as ReadOptions;

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
        let mut options = ReadOptions {
            batch: self.batch.map(Dim::from),
            ..ReadOptions::default()
        };
        if self.batch == Some(0) {
            return Err("--batch 0: a batch has at least one element".into());
        }
        for text in &self.input {
            let (name, shape) = match text.split_once('=') {
                Some((name, shape)) => (Some(name.trim()), shape),
                None => (None, text.as_str()),
            };
            let sizes = shape
                .split(['x', 'X', '×', ','])
                .map(|d| d.trim().parse::<u64>().ok().map(Dim::from));
            let Some(dims) = sizes.collect::<Option<Vec<Dim>>>() else {
                return Err(format!(
                    "--input {text}: write the shape as 1x3x224x224, or NAME=1x3x224x224"
                ));
            };
            options.inputs.push((name.map(Into::into), dims));
        }
        for text in &self.dim {
            let parsed = text
                .split_once('=')
                .and_then(|(name, size)| Some((name.trim(), size.trim().parse::<u64>().ok()?)));
            let Some((name, size)) = parsed else {
                return Err(format!(
                    "--dim {text}: write it as NAME=SIZE, for example batch=8"
                ));
            };
            options.dims.insert(name.into(), Dim::from(size));
        }
        Ok(options)
    }
}
