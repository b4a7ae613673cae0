//! Activations, softmax and dropout.

use super::{ALL, BOTH, Entry, F, METHOD, METHOD_, OPERATOR, TORCH};
use crate::error::TorchError;
use modelcost_core::value::Value;

use crate::bound::Bound;
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;

macro_rules! in_place {
    ($signature:literal, $aten:literal, $arguments:literal, $doc:literal) => {
        Entry::line(
            F,
            $signature,
            concat!(
                "aten.",
                $aten,
                "_(",
                $arguments,
                ") if inplace else aten.",
                $aten,
                "(",
                $arguments,
                ")"
            ),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 45] = [
    in_place!("relu(input, inplace=False)", "relu", "input", "max(0, x)."),
    in_place!(
        "relu6(input, inplace=False)",
        "relu6",
        "input",
        "min(max(0, x), 6)."
    ),
    in_place!(
        "hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False)",
        "hardtanh",
        "input, min_val, max_val",
        "Clamps to a range."
    ),
    in_place!(
        "elu(input, alpha=1.0, inplace=False)",
        "elu",
        "input, alpha",
        "x, or α(eˣ − 1) below zero."
    ),
    in_place!(
        "selu(input, inplace=False)",
        "selu",
        "input",
        "ELU with a fixed scale."
    ),
    in_place!(
        "celu(input, alpha=1.0, inplace=False)",
        "celu",
        "input, alpha",
        "ELU that is smooth for every α."
    ),
    in_place!(
        "leaky_relu(input, negative_slope=0.01, inplace=False)",
        "leaky_relu",
        "input, negative_slope",
        "x, or a small multiple of x below zero."
    ),
    in_place!(
        "threshold(input, threshold, value, inplace=False)",
        "threshold",
        "input, threshold, value",
        "x above a threshold, else a constant."
    ),
    in_place!(
        "rrelu(input, lower=0.125, upper=0.3333333333333333, training=False, inplace=False)",
        "rrelu",
        "input, lower, upper, training",
        "Leaky ReLU with a random slope in training."
    ),
    in_place!(
        "silu(input, inplace=False)",
        "silu",
        "input",
        "x·sigmoid(x), also called swish."
    ),
    in_place!(
        "mish(input, inplace=False)",
        "mish",
        "input",
        "x·tanh(softplus(x))."
    ),
    in_place!(
        "hardswish(input, inplace=False)",
        "hardswish",
        "input",
        "x·relu6(x + 3)/6."
    ),
    in_place!(
        "hardsigmoid(input, inplace=False)",
        "hardsigmoid",
        "input",
        "relu6(x + 3)/6."
    ),
    Entry::line(
        F,
        "gelu(input, approximate='none')",
        "aten.gelu(input, approximate=approximate)",
        "x·Φ(x).",
    ),
    Entry::line(
        F,
        "logsigmoid(input)",
        "aten.log_sigmoid(input)",
        "log(sigmoid(x)).",
    ),
    Entry::line(
        F,
        "softplus(input, beta=1, threshold=20)",
        "aten.softplus(input, beta, threshold)",
        "log(1 + eˣ).",
    ),
    Entry::line(
        F,
        "softshrink(input, lambd=0.5)",
        "aten.softshrink(input, lambd)",
        "x moved towards zero by λ.",
    ),
    Entry::line(
        F,
        "hardshrink(input, lambd=0.5)",
        "aten.hardshrink(input, lambd)",
        "x, or zero within λ of zero.",
    ),
    Entry::line(
        F,
        "tanhshrink(input)",
        "input - input.tanh()",
        "x − tanh(x).",
    ),
    Entry::line(
        F,
        "softsign(input)",
        "input / (input.abs() + 1)",
        "x / (1 + |x|).",
    ),
    Entry::line(
        F.and(TORCH),
        "prelu(input, weight)",
        "aten.prelu(input, weight)",
        "Leaky ReLU with a learned slope.",
    ),
    Entry::line(
        F,
        "glu(input, dim=-1)",
        "aten.glu(input, dim)",
        "One half of a dimension times the sigmoid of the other.",
    ),
    // Two signatures: F.softmax has a private argument, torch.softmax has not.
    Entry::code(
        F,
        "softmax(input, dim=None, _stacklevel=3, dtype=None)",
        softmax,
        "eˣ over its sum.",
    ),
    Entry::code(
        F,
        "log_softmax(input, dim=None, _stacklevel=3, dtype=None)",
        log_softmax,
        "The logarithm of softmax.",
    ),
    Entry::code(
        F,
        "softmin(input, dim=None, _stacklevel=3, dtype=None)",
        softmin,
        "softmax(−x).",
    ),
    Entry::line(
        BOTH,
        "softmax(input, dim, *, dtype=None)",
        "aten.softmax(input, dim, dtype)",
        "eˣ over its sum.",
    ),
    Entry::line(
        BOTH,
        "log_softmax(input, dim, *, dtype=None)",
        "aten.log_softmax(input, dim, dtype)",
        "The logarithm of softmax.",
    ),
    Entry::line(ALL, "relu(input)", "aten.relu(input)", "max(0, x)."),
    Entry::line(
        ALL,
        "sigmoid(input)",
        "aten.sigmoid(input)",
        "1 / (1 + e⁻ˣ).",
    ),
    Entry::line(
        ALL,
        "tanh(input)",
        "aten.tanh(input)",
        "Hyperbolic tangent.",
    ),
    Entry::line(F, "sigmoid(input)", "aten.sigmoid(input)", "1 / (1 + e⁻ˣ)."),
    Entry::line(F, "tanh(input)", "aten.tanh(input)", "Hyperbolic tangent."),
    Entry::line(
        F,
        "dropout(input, p=0.5, training=True, inplace=False)",
        "aten.dropout_(input, p, training) if inplace else aten.dropout(input, p, training)",
        "Zeroes elements at random in training; passes its input on otherwise.",
    ),
    Entry::line(
        F,
        "alpha_dropout(input, p=0.5, training=False, inplace=False)",
        "aten.alpha_dropout_(input, p, training) if inplace else aten.alpha_dropout(input, p, training)",
        "Dropout that keeps mean and variance, for SELU networks.",
    ),
    Entry::line(
        F,
        "feature_alpha_dropout(input, p=0.5, training=False, inplace=False)",
        "aten.feature_alpha_dropout_(input, p, training) if inplace else \
         aten.feature_alpha_dropout(input, p, training)",
        "Alpha dropout of whole channels.",
    ),
    Entry::code(
        F,
        "dropout1d(input, p=0.5, training=True, inplace=False)",
        |t, args| feature_dropout(t, args, 3),
        "Dropout of whole channels of sequences.",
    ),
    Entry::code(
        F,
        "dropout2d(input, p=0.5, training=True, inplace=False)",
        |t, args| feature_dropout(t, args, 0),
        "Dropout of whole channels of images.",
    ),
    Entry::code(
        F,
        "dropout3d(input, p=0.5, training=True, inplace=False)",
        |t, args| feature_dropout(t, args, 5),
        "Dropout of whole channels of volumes.",
    ),
    Entry::line(
        TORCH,
        "dropout(input, p, train)",
        "aten.dropout(input, p, train)",
        "Zeroes elements at random in training.",
    ),
    Entry::line(
        TORCH,
        "selu(input)",
        "aten.selu(input)",
        "ELU with a fixed scale.",
    ),
    Entry::line(
        TORCH,
        "celu(input, alpha=1.0)",
        "aten.celu(input, alpha)",
        "ELU that is smooth for every α.",
    ),
    Entry::line(
        METHOD,
        "prelu(input, weight)",
        "aten.prelu(input, weight)",
        "Leaky ReLU with a learned slope.",
    ),
    Entry::line(
        METHOD.and(METHOD_),
        "hardshrink(input, lambd=0.5)",
        "aten.hardshrink(input, lambd)",
        "x, or zero within λ of zero.",
    ),
    Entry::line(OPERATOR, "neg(input)", "aten.neg(input)", "−x."),
    Entry::line(
        F,
        "normalize(input, p=2.0, dim=1, eps=1e-12, out=None)",
        "input / input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)",
        "Divides by the norm along a dimension.",
    ),
];

/// The dimension that softmax takes when none is given: 0 for 0, 1 and 3 dimensions, else 1.
fn default_dim(rank: usize) -> i32 {
    i32::from(!matches!(rank, 0 | 1 | 3))
}

fn softmax_by(t: &mut Tracer, args: &Bound, input: Value, operator: &str) -> Result<Value> {
    let rank = t.shape(args.tensor("input")?).len();
    let dim = match args.value("dim") {
        Value::None => default_dim(rank).into(),
        given => given.clone(),
    };
    let arguments = Arguments::of([input, dim, args.value("dtype").clone()]);
    t.call_operator(operator, &arguments)
}

fn softmax(t: &mut Tracer, args: &Bound) -> Result<Value> {
    softmax_by(t, args, args.value("input").clone(), "aten.softmax")
}

fn log_softmax(t: &mut Tracer, args: &Bound) -> Result<Value> {
    softmax_by(t, args, args.value("input").clone(), "aten.log_softmax")
}

fn softmin(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let negative = Arguments::of([args.value("input").clone()]);
    let negative = t.call_function("operator.neg", &negative, None)?;
    softmax_by(t, args, negative, "aten.softmax")
}

/// `batched` is the number of dimensions of a batch; other inputs get a batch of one.
fn feature_dropout(t: &mut Tracer, args: &Bound, batched: usize) -> Result<Value> {
    let rank = t.shape(args.tensor("input")?).len();
    if batched == 3 && !matches!(rank, 2 | 3) {
        return Err(TorchError::new(format!(
            "dropout1d expects an input of 2 or 3 dimensions, but it has {rank}"
        )));
    }
    let alone = batched != 0 && rank != batched;
    let in_place = args.bool("inplace")?;
    let name = |name: &str| format!("{name}{}", if in_place { "_" } else { "" });
    let mut input = args.value("input").clone();
    if alone {
        let call = Arguments::of([input, 0.into()]);
        input = t.call_function(&name("torch.Tensor.unsqueeze"), &call, None)?;
    }
    let call = Arguments::of([
        input,
        args.value("p").clone(),
        args.value("training").clone(),
    ]);
    let output = t.call_operator(&name("aten.feature_dropout"), &call)?;
    if !alone {
        return Ok(output);
    }
    let call = Arguments::of([output, 0.into()]);
    t.call_function(&name("torch.Tensor.squeeze"), &call, None)
}
