//! Activations, softmax and dropout.

use super::{Construct, Entry};
use crate::error::Result;

const DROPOUT: &[&str] = &["torch.nn.modules.dropout._DropoutNd"];

macro_rules! simple {
    ($name:literal, $arguments:literal, $forward:literal, $doc:literal) => {
        Entry::new(
            concat!("torch.nn.", $name),
            concat!($name, "(", $arguments, ")"),
            $doc,
        )
        .forward_line($forward)
    };
}

pub(super) static CLASSES: [Entry; 34] = [
    simple!(
        "ReLU",
        "inplace=False",
        "F.relu(input, inplace=self.inplace)",
        "max(0, x)."
    ),
    simple!(
        "ReLU6",
        "inplace=False",
        "F.hardtanh(input, self.min_val, self.max_val, self.inplace)",
        "min(max(0, x), 6)."
    )
    .bases(&["torch.nn.Hardtanh"])
    .construct(relu6),
    simple!(
        "Hardtanh",
        "min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None",
        "F.hardtanh(input, self.min_val, self.max_val, self.inplace)",
        "Clamps to a range."
    )
    .construct(|c| {
        c.keep(&["min_val", "max_val", "inplace"]);
        Ok(())
    }),
    simple!(
        "ELU",
        "alpha=1.0, inplace=False",
        "F.elu(input, self.alpha, self.inplace)",
        "x, or α(eˣ − 1) below zero."
    ),
    simple!(
        "CELU",
        "alpha=1.0, inplace=False",
        "F.celu(input, self.alpha, self.inplace)",
        "ELU that is smooth for every α."
    ),
    simple!(
        "SELU",
        "inplace=False",
        "F.selu(input, self.inplace)",
        "ELU with a fixed scale."
    ),
    simple!(
        "GELU",
        "approximate='none'",
        "F.gelu(input, approximate=self.approximate)",
        "x·Φ(x)."
    ),
    simple!(
        "SiLU",
        "inplace=False",
        "F.silu(input, inplace=self.inplace)",
        "x·sigmoid(x), also called swish."
    ),
    simple!(
        "Mish",
        "inplace=False",
        "F.mish(input, inplace=self.inplace)",
        "x·tanh(softplus(x))."
    ),
    simple!("Sigmoid", "", "torch.sigmoid(input)", "1 / (1 + e⁻ˣ)."),
    simple!("Tanh", "", "torch.tanh(input)", "Hyperbolic tangent."),
    simple!(
        "Hardsigmoid",
        "inplace=False",
        "F.hardsigmoid(input, self.inplace)",
        "relu6(x + 3)/6."
    ),
    simple!(
        "Hardswish",
        "inplace=False",
        "F.hardswish(input, self.inplace)",
        "x·relu6(x + 3)/6."
    ),
    simple!(
        "LeakyReLU",
        "negative_slope=0.01, inplace=False",
        "F.leaky_relu(input, self.negative_slope, self.inplace)",
        "x, or a small multiple of x below zero."
    ),
    simple!(
        "RReLU",
        "lower=0.125, upper=0.3333333333333333, inplace=False",
        "F.rrelu(input, self.lower, self.upper, False, self.inplace)",
        "Leaky ReLU with a random slope in training."
    ),
    simple!(
        "PReLU",
        "num_parameters=1, init=0.25, device=None, dtype=None",
        "F.prelu(input, self.weight)",
        "Leaky ReLU with a learned slope."
    )
    .construct(prelu),
    simple!("LogSigmoid", "", "F.logsigmoid(input)", "log(sigmoid(x))."),
    simple!(
        "Softplus",
        "beta=1.0, threshold=20.0",
        "F.softplus(input, self.beta, self.threshold)",
        "log(1 + eˣ)."
    ),
    simple!(
        "Softshrink",
        "lambd=0.5",
        "F.softshrink(input, self.lambd)",
        "x moved towards zero by λ."
    ),
    simple!(
        "Hardshrink",
        "lambd=0.5",
        "F.hardshrink(input, self.lambd)",
        "x, or zero within λ of zero."
    ),
    simple!("Tanhshrink", "", "F.tanhshrink(input)", "x − tanh(x)."),
    simple!("Softsign", "", "F.softsign(input)", "x / (1 + |x|)."),
    simple!(
        "Threshold",
        "threshold, value, inplace=False",
        "F.threshold(input, self.threshold, self.value, self.inplace)",
        "x above a threshold, else a constant."
    ),
    simple!(
        "GLU",
        "dim=-1",
        "F.glu(input, self.dim)",
        "One half of a dimension times the sigmoid of the other."
    ),
    simple!(
        "Softmax",
        "dim=None",
        "F.softmax(input, self.dim, _stacklevel=5)",
        "eˣ over its sum along a dimension."
    ),
    simple!(
        "Softmin",
        "dim=None",
        "F.softmin(input, self.dim, _stacklevel=5)",
        "softmax(−x)."
    ),
    simple!(
        "LogSoftmax",
        "dim=None",
        "F.log_softmax(input, self.dim, _stacklevel=5)",
        "The logarithm of softmax."
    ),
    simple!(
        "Softmax2d",
        "",
        "F.softmax(input, -3, _stacklevel=5)",
        "Softmax over the channels of an image."
    ),
    simple!(
        "Dropout",
        "p=0.5, inplace=False",
        "F.dropout(input, self.p, False, self.inplace)",
        "Zeroes elements at random in training."
    )
    .bases(DROPOUT)
    .construct(dropout),
    simple!(
        "Dropout1d",
        "p=0.5, inplace=False",
        "F.dropout1d(input, self.p, False, self.inplace)",
        "Dropout of whole channels of sequences."
    )
    .bases(DROPOUT)
    .construct(dropout),
    simple!(
        "Dropout2d",
        "p=0.5, inplace=False",
        "F.dropout2d(input, self.p, False, self.inplace)",
        "Dropout of whole channels of images."
    )
    .bases(DROPOUT)
    .construct(dropout),
    simple!(
        "Dropout3d",
        "p=0.5, inplace=False",
        "F.dropout3d(input, self.p, False, self.inplace)",
        "Dropout of whole channels of volumes."
    )
    .bases(DROPOUT)
    .construct(dropout),
    simple!(
        "AlphaDropout",
        "p=0.5, inplace=False",
        "F.alpha_dropout(input, self.p, False)",
        "Dropout that keeps mean and variance, for SELU networks."
    )
    .bases(DROPOUT)
    .construct(dropout),
    simple!(
        "FeatureAlphaDropout",
        "p=0.5, inplace=False",
        "F.feature_alpha_dropout(input, self.p, False)",
        "Alpha dropout of whole channels."
    )
    .bases(DROPOUT)
    .construct(dropout),
];

/// A Hardtanh from 0 to 6.
fn relu6(c: &mut Construct<'_>) -> Result<()> {
    c.attribute("min_val", 0.0);
    c.attribute("max_val", 6.0);
    c.keep(&["inplace"]);
    Ok(())
}

fn prelu(c: &mut Construct<'_>) -> Result<()> {
    let count = c.arguments.size("num_parameters")?;
    c.keep(&["num_parameters", "init"]);
    c.parameter("weight", vec![count])
}

fn dropout(c: &mut Construct<'_>) -> Result<()> {
    let p = c.arguments.float("p")?;
    c.require(
        (0.0..=1.0).contains(&p),
        "p",
        format!("'p' is a probability between 0 and 1, not {p}"),
    )?;
    c.keep(&["p", "inplace"]);
    Ok(())
}
