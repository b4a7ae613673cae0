//! Which operator of PyTorch a node with one or two tensors stands for.

use super::super::piece::{BUILTIN, FUNCTION, METHOD};

/// A function of one tensor: its operator, its kind, and the module of `torch.nn.modules` with the
/// class that calls it.
pub struct Unary {
    pub op: &'static str,
    pub kind: &'static str,
    pub class: Option<(&'static str, &'static str)>,
}

/// Activations that are functions of Python: ONNX, ATen, the class.
const FUNCTIONS: &[(&str, &str, &str)] = &[
    ("Relu", "relu", "ReLU"),
    ("Elu", "elu", "ELU"),
    ("Selu", "selu", "SELU"),
    ("Celu", "celu", "CELU"),
    ("LeakyRelu", "leaky_relu", "LeakyReLU"),
    ("HardSigmoid", "hardsigmoid", "Hardsigmoid"),
    ("HardSwish", "hardswish", "Hardswish"),
    ("Softsign", "softsign", "Softsign"),
    ("Mish", "mish", "Mish"),
    ("Swish", "silu", "SiLU"),
    ("ThresholdedRelu", "threshold", "Threshold"),
];

/// Activations that are functions of C++.
const BUILTINS: &[(&str, &str, &str)] = &[
    ("Sigmoid", "sigmoid", "Sigmoid"),
    ("Tanh", "tanh", "Tanh"),
    ("Softplus", "softplus", "Softplus"),
];

/// Methods of tensors: ONNX, ATen.
const METHODS: &[(&str, &str)] = &[
    ("Abs", "abs"),
    ("Neg", "neg"),
    ("Exp", "exp"),
    ("Log", "log"),
    ("Sqrt", "sqrt"),
    ("Erf", "erf"),
    ("Floor", "floor"),
    ("Ceil", "ceil"),
    ("Round", "round"),
    ("Sign", "sign"),
    ("Sin", "sin"),
    ("Cos", "cos"),
    ("Reciprocal", "reciprocal"),
    ("Not", "logical_not"),
    ("Cast", "to"),
    ("CastLike", "to"),
    ("Transpose", "permute"),
    ("Reshape", "view"),
    ("Squeeze", "squeeze"),
    ("Unsqueeze", "unsqueeze"),
    ("Slice", "slice"),
    ("Expand", "expand"),
    ("Tile", "repeat"),
    ("ReduceMean", "mean"),
    ("ReduceSum", "sum"),
    ("ReduceMax", "amax"),
    ("ReduceMin", "amin"),
    ("ReduceProd", "prod"),
    ("ArgMax", "argmax"),
    ("ArgMin", "argmin"),
];

/// Other functions of one tensor: ONNX, ATen, the kind, and the module and class, if there is one.
const OTHERS: &[(&str, &str, &str, [&str; 2])] = &[
    ("Flatten", "flatten", BUILTIN, ["flatten", "Flatten"]),
    ("Pad", "pad", FUNCTION, ["", ""]),
    (
        "DepthToSpace",
        "pixel_shuffle",
        BUILTIN,
        ["pixelshuffle", "PixelShuffle"],
    ),
    (
        "SpaceToDepth",
        "pixel_unshuffle",
        BUILTIN,
        ["pixelshuffle", "PixelUnshuffle"],
    ),
    (
        "LRN",
        "local_response_norm",
        FUNCTION,
        ["normalization", "LocalResponseNorm"],
    ),
    ("CumSum", "cumsum", BUILTIN, ["", ""]),
    ("Trilu", "tril", BUILTIN, ["", ""]),
    ("ReduceL2", "linalg_vector_norm", FUNCTION, ["", ""]),
    ("TopK", "topk", BUILTIN, ["", ""]),
];

/// Functions of two tensors.
const BINARY: &[(&str, &str)] = &[
    ("Add", "add"),
    ("Sub", "sub"),
    ("Mul", "mul"),
    ("Div", "div"),
    ("Pow", "pow"),
    ("Mod", "remainder"),
    ("Equal", "eq"),
    ("Less", "lt"),
    ("Greater", "gt"),
    ("LessOrEqual", "le"),
    ("GreaterOrEqual", "ge"),
    ("And", "__and__"),
    ("Or", "__or__"),
    ("Max", "maximum"),
    ("Min", "minimum"),
];

/// The function of one tensor that an ONNX operator stands for.
pub fn unary(onnx: &str) -> Option<Unary> {
    let activation = |table: &'static [(&str, &str, &str)], kind: &'static str| {
        let (_, op, class) = table.iter().find(|(name, ..)| *name == onnx)?;
        let class = Some(("activation", *class));
        Some(Unary { op, kind, class })
    };
    let method = || {
        let (_, op) = METHODS.iter().find(|(name, _)| *name == onnx)?;
        let (kind, class) = (METHOD, None);
        Some(Unary { op, kind, class })
    };
    let other = || {
        let (_, op, kind, [module, class]) = *OTHERS.iter().find(|(name, ..)| *name == onnx)?;
        let class = (!class.is_empty()).then_some((module, class));
        Some(Unary { op, kind, class })
    };
    activation(FUNCTIONS, FUNCTION)
        .or_else(|| activation(BUILTINS, BUILTIN))
        .or_else(method)
        .or_else(other)
}

/// The function of two tensors that an ONNX operator stands for.
pub fn binary(onnx: &str) -> Option<&'static str> {
    let (_, op) = BINARY.iter().find(|(name, _)| *name == onnx)?;
    Some(op)
}
