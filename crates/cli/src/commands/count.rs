//! The default command: one model, one convention; or the parameters of a checkpoint.

use modelcost_core::convention::{Convention, Options};
use modelcost_reader::{Opened, no_graph, open_any};

use super::convention;
use crate::args::{CountArgs, misspelt_command};
use crate::errors::Failed;
use crate::render::{Answer, render, render_checkpoint};

pub fn run(args: &CountArgs) -> Result<String, Failed> {
    let Some(path) = &args.model else {
        return Err(Failed::input("which model? Give the path of a model file"));
    };
    let convention = convention(&args.convention)?;
    if let Some(command) = path.to_str().and_then(misspelt_command) {
        let word = path.display();
        return Err(Failed::input(format!(
            "there is no file and no command '{word}'; did you mean '{command}'?"
        )));
    }
    let options = args.read.options().map_err(Failed::input)?;
    let opened = open_any(path, &options).map_err(|error| Failed::open(&error))?;
    let model = match opened {
        Opened::Model(model) => model,
        Opened::Checkpoint(_) if counts(args, convention) => {
            return Err(Failed::open(&no_graph(path)));
        }
        Opened::Checkpoint(checkpoint) => {
            return Ok(render_checkpoint(path, &checkpoint, &args.output));
        }
    };
    let report = convention
        .count(
            &model.trace,
            &Options {
                training: args.training,
            },
        )
        .map_err(|failure| Failed::in_file(path, failure))?;
    let text = render(&Answer {
        model: &model,
        convention,
        report: &report,
        output: &args.output,
    });
    // The program ends here, and freeing what it holds value by value is a tenth of its time.
    std::mem::forget((model, report));
    Ok(text)
}

/// Whether more is asked for than parameters, which is what a checkpoint has.
fn counts(args: &CountArgs, convention: &dyn Convention) -> bool {
    let read = &args.read;
    let is_sized = !read.input.is_empty() || read.batch.is_some() || !read.dim.is_empty();
    is_sized || args.training || (args.is_convention_given && convention.info().counts)
}
