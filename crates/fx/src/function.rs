//! Which Python function made a node, by the name under which tools patch it.
//!
//! `torch_fn` has the function's kind and bare name: `function.relu`, `method_descriptor.add`.
//! Where several functions share those (`x + y` and `x.add(y)`), the source line decides; programs
//! traced through Dynamo say it themselves in `source_fn_stack`.

mod symbols;

use smol_str::SmolStr;

/// Where a node stands in the source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Source<'a> {
    /// The line.
    pub line: &'a str,
    /// The stack trace, innermost frame last.
    pub frame: &'a str,
    /// The class of the module whose call this is inside of.
    pub class: &'a str,
    /// How many nodes of the same function this line has made before.
    pub occurrence: usize,
}

/// The name of a function, and whether it had to be guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// `torch.nn.functional.relu`, `operator.add`.
    pub name: SmolStr,
    /// Nothing in the program tells this name from another one that tools treat differently.
    pub guessed: bool,
}

fn sure(name: impl Into<SmolStr>) -> Option<Named> {
    Some(Named {
        name: name.into(),
        guessed: false,
    })
}

fn joined(prefix: &str, name: &str) -> String {
    [prefix, name].concat()
}

/// Built-in functions of `torch.nn.functional` that are not published under `torch.`.
const FUNCTIONAL: &[&str] = &[
    "avg_pool2d",
    "avg_pool3d",
    "elu_",
    "gelu",
    "hardtanh_",
    "leaky_relu_",
    "linear",
    "logsigmoid",
    "one_hot",
    "scaled_dot_product_attention",
    "softplus",
    "softshrink",
];

/// Built-in functions that `torch.nn.functional` and `torch` publish both.
const SHARED: &[&str] = &[
    "adaptive_avg_pool1d",
    "avg_pool1d",
    "bilinear",
    "celu_",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_similarity",
    "hardshrink",
    "native_channel_shuffle",
    "pairwise_distance",
    "pdist",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu_",
    "rrelu_",
    "selu_",
    "threshold_",
];

/// Whether a function of `torch.nn.functional` is one of C++, and not Python that calls others.
pub fn is_builtin_functional(name: &str) -> bool {
    FUNCTIONAL.contains(&name) || SHARED.contains(&name)
}

/// What recurrent layers call.
const RECURRENT: &[&str] = &[
    "lstm",
    "gru",
    "rnn_tanh",
    "rnn_relu",
    "lstm_cell",
    "gru_cell",
    "rnn_tanh_cell",
    "rnn_relu_cell",
];

/// Python functions that `torch` publishes, not `torch.nn.functional`.
const TORCH: &[&str] = &[
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_tensors",
    "cartesian_prod",
    "cdist",
    "chain_matmul",
    "einsum",
    "istft",
    "lu",
    "meshgrid",
    "norm",
    "split",
    "stft",
    "tensordot",
    "unique",
    "unique_consecutive",
];

/// Python functions that are methods of tensors, if the line does not say otherwise.
const METHODS: &[&str] = &[
    "norm",
    "split",
    "stft",
    "istft",
    "unique",
    "unique_consecutive",
    "unflatten",
    "backward",
    "lu",
    "resize",
];

/// Infix operators: the method that Python calls and the operator.
const INFIX: &[(&str, &str, &str)] = &[
    ("add", "operator.add", "+"),
    ("sub", "operator.sub", "-"),
    ("mul", "operator.mul", "*"),
    ("div", "operator.truediv", "/"),
    ("matmul", "operator.matmul", "@"),
    ("remainder", "operator.mod", "%"),
    ("neg", "operator.neg", "-"),
    ("ne", "operator.ne", "!="),
    ("lt", "operator.lt", "<"),
    ("le", "operator.le", "<="),
    ("gt", "operator.gt", ">"),
    ("ge", "operator.ge", ">="),
    ("add_", "operator.iadd", "+="),
    ("sub_", "operator.isub", "-="),
    ("mul_", "operator.imul", "*="),
    ("div_", "operator.itruediv", "/="),
];

/// Methods that only an operator calls.
const DUNDER: &[(&str, &str)] = &[
    ("__eq__", "operator.eq"),
    ("eq", "operator.eq"),
    ("__and__", "operator.and_"),
    ("__or__", "operator.or_"),
    ("__xor__", "operator.xor"),
    ("__invert__", "operator.invert"),
    ("__lshift__", "operator.lshift"),
    ("__rshift__", "operator.rshift"),
    ("__rsub__", "operator.sub"),
    ("__rdiv__", "operator.truediv"),
    ("__floordiv__", "operator.floordiv"),
    ("__rfloordiv__", "operator.floordiv"),
    ("__rmod__", "operator.mod"),
    ("__rpow__", "operator.pow"),
    ("__rmatmul__", "operator.matmul"),
    ("__getitem__", "operator.getitem"),
    ("__setitem__", "operator.setitem"),
];

/// Functions of torchvision whose bodies a program does not show, and that call the method where
/// most code would write the operator (torchvision 0.20 to 0.29).
const CALLS_METHODS: &[(&str, &str)] = &[
    ("shifted_window_attention", "matmul"),
    ("shifted_window_attention_3d", "matmul"),
];

/// The same function, called by this class, compares by cosine first, and writes `@` for that.
const COSINE: &str = "torchvision.models.swin_transformer.ShiftedWindowAttentionV2";

/// The function that made a node. `None` if the operator was called with no Python function that
/// a tool could patch.
pub fn name(
    torch_fn: &str,
    source_fn: Option<&str>,
    op: &str,
    source: &Source<'_>,
) -> Option<Named> {
    if let Some(named) = source_fn.and_then(|source| from_source(source, torch_fn)) {
        return Some(named);
    }
    let (_, function) = torch_fn.split_once(';')?;
    let (kind, name) = function.split_once('.')?;
    match kind {
        "function" => python(name, source.line),
        "builtin_function_or_method" => builtin(name, source.line),
        "method_descriptor" | "wrapper_descriptor" => method(name, source),
        // A property, such as x.T: the operator is the only name it has.
        "method-wrapper" => sure(format!("torch.Tensor.{}", op.rsplit('.').next()?)),
        "OpOverload" | "OpOverloadPacket" => operator_call(op),
        _ => None,
    }
}

/// Dynamo's own record, unless it is a module that was traced as a whole.
fn from_source(source: &str, torch_fn: &str) -> Option<Named> {
    if source.starts_with("torch.nn.modules.") {
        return None;
    }
    if let Some(name) = source.strip_prefix("_operator.") {
        return sure(format!("operator.{name}"));
    }
    if let Some(name) = source.strip_prefix("torch._C._nn.") {
        return sure(format!("torch.nn.functional.{name}"));
    }
    if let Some(name) = source.strip_prefix("torch.functional.") {
        return sure(format!("torch.{name}"));
    }
    if let Some(name) = source.strip_prefix("torch.") {
        if name.starts_with("ops.") {
            return None;
        }
        return match SHARED.contains(&name) {
            true => sure(format!("torch.nn.functional.{name}")),
            false => sure(source),
        };
    }
    let is_name = source
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let is_method = torch_fn.contains(";method_descriptor.") || torch_fn.contains(";function.");
    (is_name && is_method && !source.is_empty())
        .then(|| sure(format!("torch.Tensor.{source}")))
        .flatten()
}

fn python(name: &str, line: &str) -> Option<Named> {
    if let Some((_, operator)) = DUNDER.iter().find(|(dunder, _)| *dunder == name) {
        return sure(*operator);
    }
    match name {
        // `**` is wrapped in Python; `x.pow(2)` is not.
        "pow" => return sure("operator.pow"),
        "pow_" => return sure("operator.ipow"),
        "__len__" | "__iter__" | "__contains__" => return sure(joined("torch.Tensor.", name)),
        _ => {}
    }
    let written = |prefix: &str| line.contains(&format!("{prefix}{name}("));
    if METHODS.contains(&name) && !(TORCH.contains(&name) && written("torch.")) {
        return sure(joined("torch.Tensor.", name));
    }
    if TORCH.contains(&name) {
        return sure(joined("torch.", name));
    }
    sure(joined("torch.nn.functional.", name))
}

fn builtin(name: &str, line: &str) -> Option<Named> {
    if FUNCTIONAL.contains(&name) {
        return sure(joined("torch.nn.functional.", name));
    }
    if SHARED.contains(&name) {
        return match line.contains(&format!("torch.{name}(")) {
            true => sure(joined("torch.", name)),
            false => sure(joined("torch.nn.functional.", name)),
        };
    }
    if RECURRENT.contains(&name) {
        return sure(joined("torch._VF.", name));
    }
    for (prefix, module) in [
        ("linalg_", "torch.linalg."),
        ("fft_", "torch.fft."),
        ("special_", "torch.special."),
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return sure(joined(module, rest));
        }
    }
    sure(joined("torch.", name))
}

fn method(name: &str, source: &Source<'_>) -> Option<Named> {
    if let Some((_, operator)) = DUNDER.iter().find(|(dunder, _)| *dunder == name) {
        return sure(*operator);
    }
    let Some((_, operator, symbol)) = INFIX.iter().find(|(method, _, _)| *method == name) else {
        return sure(joined("torch.Tensor.", name));
    };
    let method = || sure(joined("torch.Tensor.", name));
    let written = symbols::written(source.line, name, symbol);
    match (written.contains(&true), written.contains(&false)) {
        (true, false) => return method(),
        (false, true) => return sure(*operator),
        // Both stand in the line; nodes come in the order in which Python evaluates it.
        (true, true) => {
            return match written[source.occurrence % written.len()] {
                true => method(),
                false => sure(*operator),
            };
        }
        (false, false) => {}
    }
    let calls = |function: &str| source.line.contains(&format!("{function}("));
    if CALLS_METHODS
        .iter()
        .any(|(function, called)| *called == name && calls(function))
    {
        let cosine = source.class == COSINE && source.occurrence.is_multiple_of(2);
        return if cosine { sure(*operator) } else { method() };
    }
    let innermost = source.frame.rsplit("File \"").next().unwrap_or_default();
    // The first line of a longer statement shows the left operand alone. A line with a call hides
    // what is in the function; only of PyTorch's own code is it known that it has operators there.
    let hidden = source.line.contains('(') || source.line.is_empty();
    let own = innermost.contains("torchvision/") || innermost.contains("torch/nn/");
    Some(Named {
        name: (*operator).into(),
        guessed: hidden && !own && PATCHED.contains(&name),
    })
}

/// The methods with an infix operator that some tool counts and the operator it does not.
const PATCHED: &[&str] = &["add", "mul", "matmul"];

/// An operator called as such, `torch.ops.…`, or under a name that a library publishes.
fn operator_call(op: &str) -> Option<Named> {
    let name = op.strip_prefix("torchvision.")?;
    sure(format!("torchvision.ops.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(torch_fn: &str, line: &str, occurrence: usize) -> String {
        let source = Source {
            line,
            frame: "File \"net.py\", line 3, in forward",
            class: "",
            occurrence,
        };
        let named = name(torch_fn, None, "aten.x", &source).unwrap();
        format!("{}{}", named.name, if named.guessed { "?" } else { "" })
    }

    #[test]
    fn functions() {
        assert_eq!(
            named("relu_1;function.relu", "", 0),
            "torch.nn.functional.relu"
        );
        assert_eq!(named("einsum_1;function.einsum", "", 0), "torch.einsum");
        assert_eq!(
            named("split_1;function.split", "a, b = x.split(3)", 0),
            "torch.Tensor.split"
        );
        assert_eq!(
            named("split_1;function.split", "torch.split(x, 3)", 0),
            "torch.split"
        );
        let gelu = "gelu_1;builtin_function_or_method.gelu";
        assert_eq!(named(gelu, "", 0), "torch.nn.functional.gelu");
        let conv = "conv2d_1;builtin_function_or_method.conv2d";
        assert_eq!(
            named(conv, "F.conv2d(x, w)", 0),
            "torch.nn.functional.conv2d"
        );
        assert_eq!(named(conv, "torch.conv2d(x, w)", 0), "torch.conv2d");
        let matmul = "matmul_1;builtin_function_or_method.matmul";
        assert_eq!(named(matmul, "", 0), "torch.matmul");
    }

    #[test]
    fn operators_and_methods() {
        let add = "add_1;method_descriptor.add";
        assert_eq!(named(add, "x = x + y", 0), "operator.add");
        assert_eq!(named(add, "x = x.add(y)", 0), "torch.Tensor.add");
        assert_eq!(named(add, "x", 0), "operator.add");
        assert_eq!(named(add, "return self.helper(x)", 0), "operator.add?");
        assert_eq!(
            named("add__1;method_descriptor.add_", "x += 1", 0),
            "operator.iadd"
        );
        assert_eq!(
            named("add__1;method_descriptor.add_", "x.add_(1)", 0),
            "torch.Tensor.add_"
        );
        let mul = "mul_1;method_descriptor.mul";
        assert_eq!(named(mul, "x = f(*args).mul(y)", 0), "torch.Tensor.mul");
        assert_eq!(named(mul, "x = f(*args) * y", 0), "operator.mul");
        assert_eq!(named(mul, "x = x ** 2 * y", 0), "operator.mul");
        let matmul = "matmul_1;method_descriptor.matmul";
        let mixed = "x = q.matmul(k) @ v";
        assert_eq!(named(matmul, mixed, 0), "torch.Tensor.matmul");
        assert_eq!(named(matmul, mixed, 1), "operator.matmul");
        let swin = "return shifted_window_attention(";
        assert_eq!(named(matmul, swin, 0), "torch.Tensor.matmul");
        assert_eq!(
            named("rsub_1;function.__rsub__", "1 - x", 0),
            "operator.sub"
        );
    }
}
