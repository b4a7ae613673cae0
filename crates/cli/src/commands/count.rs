//! The default command: one model, one convention.

use modelcost_core::convention::Options;

use super::{convention, open};
use crate::args::CountArgs;
use crate::errors::Failed;
use crate::render::{Answer, render};

pub fn run(args: &CountArgs) -> Result<String, Failed> {
    let Some(path) = &args.model else {
        return Err(Failed::input("which model? Give the path of a model file"));
    };
    let convention = convention(&args.convention)?;
    let model = open(path, &args.read.options().map_err(Failed::input)?)?;
    let report = convention
        .count(
            &model.trace,
            &Options {
                training: args.training,
            },
        )
        .map_err(|failure| Failed::input(format!("{}: {failure}", path.display())))?;
    Ok(render(&Answer {
        model: &model,
        convention,
        report: &report,
        output: &args.output,
    }))
}
