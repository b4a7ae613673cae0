//! What a program leaves open, and what was taken for it: one note for each kind, with how often
//! and a first example, for the tools that it concerns.

use std::collections::BTreeMap;

use modelcost_core::fidelity::{Fidelity, Layer, Level};

/// Something that a program does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// A function is called as `self.act(x)`.
    Kept,
    /// A function is called by a bare name, so it was imported before a tool came.
    Imported,
    /// A function is called where the line does not show it.
    Hidden,
    /// A method or an infix operator is used where the line does not show which.
    Infix,
    /// A line calls a module in two ways.
    Site,
    /// A layer may take or return more than tensors.
    Values,
    /// A module returns several tensors.
    Outputs,
    /// What a function was given is not in the program.
    Arguments,
    /// What a layer is given is a constant.
    Folded,
    /// A module is never seen at work.
    Unseen,
    /// Modules hold the same modules or the same weight.
    Same,
    /// A layer's own argument is not in the program.
    Attribute,
    /// A user's class does what a layer does.
    Bases,
    /// A user's class holds what a layer holds, and more.
    Similar,
    /// A module is never called as a whole, so that its class is not in the program.
    Uncalled,
    /// A part of the model is computed again when gradients are.
    Recomputed,
    /// Layers are called inside a function that has a backward pass of its own.
    Wrapped,
    /// A function has a backward pass of its own.
    Backward,
    /// A function may be one that `torch.jit.script` compiled.
    Scripted,
    /// Functions run on a dimension less than the program shows them with.
    Batched,
    /// Operators run on a dimension that the program does not show them with.
    Mapped,
    /// A layer runs as one operator.
    Fused,
    /// What a layer does is not divided among its parts.
    Flattened,
    /// A layer computes in another way while it is exported.
    Exported,
}

impl Doubt {
    fn layers(self) -> &'static [Layer] {
        match self {
            Doubt::Kept
            | Doubt::Imported
            | Doubt::Hidden
            | Doubt::Infix
            | Doubt::Arguments
            | Doubt::Batched => &[Layer::Functions],
            Doubt::Values => &[Layer::Values],
            Doubt::Recomputed | Doubt::Backward => &[Layer::Gradients],
            Doubt::Scripted => &[Layer::Traced],
            Doubt::Wrapped | Doubt::Mapped => &[Layer::Operators],
            Doubt::Exported => &[Layer::Functions, Layer::Operators],
            Doubt::Fused | Doubt::Flattened => {
                &[Layer::Modules, Layer::Functions, Layer::Operators]
            }
            Doubt::Site
            | Doubt::Outputs
            | Doubt::Folded
            | Doubt::Unseen
            | Doubt::Same
            | Doubt::Attribute
            | Doubt::Bases
            | Doubt::Similar
            | Doubt::Uncalled => &[Layer::Modules],
        }
    }

    /// The note, between the number of cases and the example, and after it.
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Doubt::Kept => (
                "a function that a module keeps is called",
                "taken for the function itself, which tools that replace it by name do not see",
            ),
            Doubt::Imported => (
                "a function is called by its bare name",
                "taken for one that was imported, which tools that replace it do not see",
            ),
            Doubt::Hidden => (
                "a function is called where the program does not show the source",
                "taken for a call by name, which tools that replace functions see",
            ),
            Doubt::Infix => (
                "a sum or product is made where the program does not show the source",
                "taken for the infix operator, which tools that patch Tensor methods do not count",
            ),
            Doubt::Site => (
                "the source does not show which arguments of a module are given by keyword",
                "taken for none; hooks do not see those",
            ),
            Doubt::Values => (
                "the program shows only the tensors that a layer takes and returns",
                "taken for all that it takes and returns, as far as the source does not say",
            ),
            Doubt::Outputs => (
                "a module returns several tensors, and a program does not say how they are nested",
                "taken for a tuple",
            ),
            Doubt::Arguments => ("an argument of a function is not in the program", ""),
            Doubt::Folded => (
                "the state that a recurrent layer begins with is a constant of the program",
                "taken for one that it is given; it may be made inside",
            ),
            Doubt::Unseen => (
                "a module that owns nothing leaves no node in the program",
                "taken for one that returns its input; it may be unused, or another name of a module that works",
            ),
            Doubt::Same => (
                "two paths lead to the same parameters",
                "whether they lead to one module object is not in the program",
            ),
            Doubt::Uncalled => (
                "a module is never called, so its class is not in the program",
                "the class is taken from what it holds",
            ),
            Doubt::Flattened => (
                "the program does not divide what a layer does among its parts",
                "the calls of the parts are missing; newer releases of torch write them down",
            ),
            Doubt::Exported => (
                "a layer asks whether it is exported, and does something else then",
                "counted as it was exported; what it does when it runs is not in the program",
            ),
            Doubt::Fused => (
                "a layer runs as one operator, and what it calls is not in the program",
                "not counted; newer releases of torch write it down",
            ),
            Doubt::Recomputed => (
                "a part of the model runs under torch.utils.checkpoint",
                "counted once; a backward pass computes it again",
            ),
            Doubt::Wrapped => (
                "layers are called inside a torch.autograd.Function of the user's",
                "taken for calls like any other; tools that trace, or that put hooks on tensors, may fail there",
            ),
            Doubt::Backward => (
                "a torch.autograd.Function of the user's has a backward pass of its own",
                "taken for the one that autograd would find",
            ),
            Doubt::Scripted => (
                "a line does not show what it does, as where a function is compiled by torch.jit.script",
                "taken for Python; a tool that traces does not see inside a compiled function",
            ),
            Doubt::Batched => (
                "a part of the model runs under torch.vmap, and the program shows it for all slices",
                "counted for all of them; functions are called with one",
            ),
            Doubt::Mapped => (
                "a part of the model runs under torch.vmap, and the program shows it for one slice",
                "counted for that slice; the operators below work on all of them at once",
            ),
            Doubt::Bases => (
                "a user's class owns and does what a layer does",
                "taken to derive from it, which tools that look for subclasses see",
            ),
            Doubt::Similar => (
                "a user's class computes what a layer computes, with a weight of that shape and more",
                "taken not to derive from it; tools that look for subclasses see those",
            ),
            Doubt::Attribute => ("an argument of a layer is not in the program", ""),
        }
    }
}

/// The doubts of one program.
#[derive(Debug, Default)]
pub struct Doubts(BTreeMap<Doubt, (usize, String)>);

impl Doubts {
    /// Adds one; the example of the first is kept.
    pub fn add(&mut self, doubt: Doubt, example: impl FnOnce() -> String) {
        let (count, _) = self.0.entry(doubt).or_insert_with(|| (0, example()));
        *count += 1;
    }

    /// Writes them down.
    pub fn note(self, fidelity: &mut Fidelity) {
        for (doubt, (count, example)) in self.0 {
            let (what, taken) = doubt.text();
            let times = match count {
                1 => String::new(),
                count => format!(" ({count} times)"),
            };
            let taken = match taken {
                "" => String::new(),
                taken => format!("; {taken}"),
            };
            let note = format!("{what}{times}, such as {example}{taken}");
            let level = match doubt {
                Doubt::Fused | Doubt::Flattened | Doubt::Mapped => Level::Partial,
                _ => Level::Reconstructed,
            };
            fidelity.doubt(doubt.layers(), level, note);
        }
    }
}
