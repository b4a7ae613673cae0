//! Which Python function made an FX node.
//!
//! The ONNX exporter keeps the source line of a node but not `torch_fn`, which programs of
//! `torch.export` have. The line says it nearly always: `return F.relu(input, …)`. Where it shows
//! only a function around it, the operator has one that PyTorch's own code calls it by.

/// The function of a node, in the form of `torch_fn`: its kind and its bare name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Made<'a> {
    /// `function`, `builtin_function_or_method`, `method_descriptor`, `wrapper_descriptor`.
    pub kind: &'static str,
    pub name: &'a str,
    /// Whether this function makes other operators too.
    pub composite: bool,
    /// Whether the line shows it.
    pub shown: bool,
}

const FUNCTION: &str = "function";
const BUILTIN: &str = "builtin_function_or_method";
const METHOD: &str = "method_descriptor";
const WRAPPER: &str = "wrapper_descriptor";

/// What functions other than the one of the same name call an operator, and by which name it goes
/// when the line does not say.
struct Origin {
    op: &'static str,
    kind: &'static str,
    name: &'static str,
    others: &'static [&'static str],
}

const fn origin(
    op: &'static str,
    kind: &'static str,
    name: &'static str,
    others: &'static [&'static str],
) -> Origin {
    Origin {
        op,
        kind,
        name,
        others,
    }
}

/// From the `torch_fn` of the programs that `torch.export` makes of the same models, torch 2.15.
const ORIGINS: &[Origin] = &[
    origin("_log_softmax", FUNCTION, "log_softmax", &[]),
    origin(
        "_native_batch_norm_legit_no_training",
        FUNCTION,
        "batch_norm",
        &[],
    ),
    origin("_softmax", FUNCTION, "softmax", &[]),
    origin(
        "_unsafe_view",
        METHOD,
        "reshape",
        &["view", "flatten", "matmul", "contiguous", "unflatten"],
    ),
    origin("add", METHOD, "add", &["add_"]),
    origin("alias", WRAPPER, "__getitem__", &["detach"]),
    origin("amax", METHOD, "amax", &["max"]),
    origin("argmax", METHOD, "argmax", &[]),
    origin(
        "as_strided",
        METHOD,
        "permute",
        &["expand", "view", "transpose"],
    ),
    origin("batch_norm", FUNCTION, "batch_norm", &[]),
    origin("bmm", BUILTIN, "bmm", &[]),
    origin("cat", BUILTIN, "cat", &["concat", "concatenate"]),
    origin("celu", FUNCTION, "celu", &["celu_"]),
    origin("clamp", BUILTIN, "clamp", &["clip", "clamp_"]),
    origin(
        "clone",
        METHOD,
        "contiguous",
        &["clone", "reshape", "flatten"],
    ),
    origin("div", METHOD, "div", &["div_", "true_divide"]),
    origin("elu", FUNCTION, "elu", &["elu_"]),
    origin("embedding", FUNCTION, "embedding", &[]),
    origin("exp", METHOD, "exp", &[]),
    origin("expand", METHOD, "expand", &["expand_as", "broadcast_to"]),
    origin("fill", WRAPPER, "__setitem__", &["fill_"]),
    origin("glu", FUNCTION, "glu", &[]),
    origin("grid_sampler", FUNCTION, "grid_sample", &[]),
    origin("group_norm", FUNCTION, "group_norm", &[]),
    origin("hardsigmoid", FUNCTION, "hardsigmoid", &[]),
    origin("hardswish", FUNCTION, "hardswish", &[]),
    origin("hardtanh", FUNCTION, "hardtanh", &["relu6", "hardtanh_"]),
    origin("index", WRAPPER, "__getitem__", &[]),
    origin("instance_norm", FUNCTION, "instance_norm", &[]),
    origin("layer_norm", FUNCTION, "layer_norm", &[]),
    origin("leaky_relu", FUNCTION, "leaky_relu", &["leaky_relu_"]),
    origin("log_softmax", FUNCTION, "log_softmax", &[]),
    origin("masked_fill", METHOD, "masked_fill", &["masked_fill_"]),
    origin("matmul", METHOD, "matmul", &["mm"]),
    origin("max_pool1d", FUNCTION, "max_pool1d", &[]),
    origin("max_pool2d", FUNCTION, "max_pool2d", &[]),
    origin("max_pool3d", FUNCTION, "max_pool3d", &[]),
    origin("mean", METHOD, "mean", &[]),
    origin("mish", FUNCTION, "mish", &[]),
    origin("mul", METHOD, "mul", &["mul_"]),
    origin("native_group_norm", FUNCTION, "group_norm", &[]),
    origin("native_layer_norm", FUNCTION, "layer_norm", &[]),
    origin("neg", METHOD, "neg", &[]),
    origin("new_zeros", METHOD, "new_zeros", &[]),
    origin("normalize", FUNCTION, "normalize", &[]),
    origin("pad", FUNCTION, "pad", &[]),
    origin("permute", METHOD, "permute", &[]),
    origin("pow", METHOD, "pow", &[]),
    origin("relu", FUNCTION, "relu", &["relu_"]),
    origin("relu6", FUNCTION, "relu6", &[]),
    origin("repeat", METHOD, "repeat", &[]),
    origin("rms_norm", FUNCTION, "rms_norm", &[]),
    origin("select", WRAPPER, "__getitem__", &["select"]),
    origin("selu", FUNCTION, "selu", &["selu_"]),
    origin("silu", FUNCTION, "silu", &[]),
    origin("slice", WRAPPER, "__getitem__", &[]),
    origin("slice_scatter", WRAPPER, "__setitem__", &[]),
    origin("softmax", FUNCTION, "softmax", &[]),
    origin("softmin", FUNCTION, "softmin", &[]),
    origin("split", METHOD, "split", &["chunk", "tensor_split"]),
    origin("split_with_sizes", METHOD, "split", &["chunk"]),
    origin("squeeze", METHOD, "squeeze", &[]),
    origin("sub", METHOD, "sub", &["sub_", "rsub"]),
    origin("sum", METHOD, "sum", &[]),
    origin("tanhshrink", FUNCTION, "tanhshrink", &[]),
    origin("threshold", FUNCTION, "threshold", &[]),
    origin(
        "transpose",
        METHOD,
        "transpose",
        &["swapaxes", "swapdims", "t"],
    ),
    origin("unbind", METHOD, "unbind", &[]),
    origin("unsafe_split", METHOD, "chunk", &["split"]),
    origin("unsqueeze", METHOD, "unsqueeze", &[]),
    origin("upsample_bicubic2d", FUNCTION, "interpolate", &["upsample"]),
    origin(
        "upsample_bilinear2d",
        FUNCTION,
        "interpolate",
        &["upsample"],
    ),
    origin("upsample_linear1d", FUNCTION, "interpolate", &["upsample"]),
    origin("upsample_nearest1d", FUNCTION, "interpolate", &["upsample"]),
    origin("upsample_nearest2d", FUNCTION, "interpolate", &["upsample"]),
    origin("upsample_nearest3d", FUNCTION, "interpolate", &["upsample"]),
    origin(
        "upsample_trilinear3d",
        FUNCTION,
        "interpolate",
        &["upsample"],
    ),
    origin(
        "view",
        METHOD,
        "view",
        &["reshape", "flatten", "unflatten", "view_as"],
    ),
    origin("zero", METHOD, "zero_", &[]),
];

/// Functions of `torch.nn.functional` that call several operators, or one of another name.
const COMPOSITE: &[&str] = &[
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "cosine_similarity",
    "cross_entropy",
    "fold",
    "gumbel_softmax",
    "local_response_norm",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "multi_head_attention_forward",
    "normalize",
    "rms_norm",
    "scaled_dot_product_attention",
    "tanhshrink",
    "softsign",
    "softmin",
    "unfold",
];

/// Functions of `torch.nn.functional` that are the method and nothing else.
const METHODS: &[&str] = &["sigmoid", "tanh"];

/// Functions of `torch._VF`, which recurrent layers call and the exporter may unroll.
const RECURRENT: &[&str] = &[
    "gru",
    "gru_cell",
    "lstm",
    "lstm_cell",
    "rnn_relu",
    "rnn_relu_cell",
    "rnn_tanh",
    "rnn_tanh_cell",
];

/// Infix operators that call an operator of ATen.
const INFIX: &[(&str, &str)] = &[("add", "+="), ("sub", "-="), ("mul", "*="), ("div", "/=")];

/// Operators of Python that call an operator of ATen.
const SIGNS: &[(&str, &str)] = &[
    ("add", "+"),
    ("sub", "-"),
    ("rsub", "-"),
    ("mul", "*"),
    ("div", "/"),
    ("matmul", "@"),
    ("pow", "**"),
    ("neg", "-"),
    ("reciprocal", "/"),
    ("remainder", "%"),
    ("floor_divide", "//"),
];

/// The function that made an operator call, from its source line. `before` is how many calls of the
/// operator the line has made already: it may name several functions that make it.
pub(super) fn made<'a>(op: &'a str, line: &'a str, before: usize) -> Made<'a> {
    let short = op.rsplit('.').next().unwrap_or(op);
    let known = ORIGINS.iter().find(|origin| origin.op == short);
    let others = known.map_or(&[][..], |origin| origin.others);
    let plain = known.map_or(short, |origin| origin.name);
    let fits = |name: &str| {
        name == short
            || name == plain
            || name.strip_suffix('_') == Some(short)
            || others.contains(&name)
    };
    let mut fitting: Vec<Call<'a>> = calls(line).filter(|call| fits(call.name)).collect();
    // Of two functions that each have an operator, the one of the operator's name called it.
    if fitting.iter().any(|call| call.name == short) {
        fitting.retain(|call| call.name == short || !is_operator(call.name));
    }
    // Arguments are called before what they are arguments of.
    fitting.sort_by_key(|call| call.end);
    if !fitting.is_empty() {
        let call = &fitting[before % fitting.len()];
        return Made {
            kind: call.kind(known),
            name: call.name,
            composite: false,
            shown: true,
        };
    }
    let mut around = None;
    for call in calls(line) {
        if call.functional() && COMPOSITE.contains(&call.name) {
            around = Some((FUNCTION, call.name));
        }
        if call.owner.ends_with("_VF") && RECURRENT.contains(&call.name) {
            around = Some((BUILTIN, call.name));
        }
    }
    if let Some((kind, name)) = around {
        return Made {
            kind,
            name,
            composite: true,
            shown: true,
        };
    }
    // `x += y` runs the in-place operator, which the exporter has replaced by the other.
    if let Some((name, sign)) = INFIX.iter().find(|(name, _)| *name == short)
        && line.contains(sign)
    {
        let in_place = match *name {
            "add" => "add_",
            "sub" => "sub_",
            "mul" => "mul_",
            _ => "div_",
        };
        return Made {
            kind: METHOD,
            name: in_place,
            composite: false,
            shown: true,
        };
    }
    Made {
        kind: known.map_or(BUILTIN, |origin| origin.kind),
        name: plain,
        composite: false,
        shown: SIGNS
            .iter()
            .any(|(name, sign)| *name == short && line.contains(sign)),
    }
}

/// Whether a function has an operator of its own name.
fn is_operator(name: &str) -> bool {
    ORIGINS.iter().any(|origin| origin.op == name)
}

/// A call in a line of Python.
struct Call<'a> {
    /// What stands before the last dot.
    owner: &'a str,
    name: &'a str,
    /// Where it is closed.
    end: usize,
}

impl Call<'_> {
    fn functional(&self) -> bool {
        matches!(
            self.owner,
            "" | "F" | "nn.functional" | "torch.nn.functional" | "functional"
        )
    }

    fn kind(&self, known: Option<&Origin>) -> &'static str {
        match self.owner {
            "torch" | "torch.special" | "torch.linalg" | "_VF" | "torch._VF" => {
                if matches!(
                    self.name,
                    "einsum" | "split" | "norm" | "stft" | "cdist" | "tensordot"
                ) {
                    FUNCTION
                } else {
                    BUILTIN
                }
            }
            "" => match known {
                Some(origin) if origin.kind == FUNCTION => FUNCTION,
                _ => BUILTIN,
            },
            _ if self.functional() => match self.name {
                name if METHODS.contains(&name) => METHOD,
                name if modelcost_fx::is_builtin_functional(name) => BUILTIN,
                _ => FUNCTION,
            },
            _ => METHOD,
        }
    }
}

/// The calls of a line from left to right.
fn calls(line: &str) -> impl Iterator<Item = Call<'_>> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices('(').filter_map(move |(open, _)| {
        let before = &line[..open];
        let start = before
            .rfind(|c: char| !(word(c) || c == '.'))
            .map_or(0, |at| {
                at + before[at..].chars().next().map_or(1, char::len_utf8)
            });
        let dotted = &before[start..];
        let (owner, name) = match dotted.rsplit_once('.') {
            Some(("", name)) => (")", name),
            Some((owner, name)) => (owner, name),
            None => ("", dotted),
        };
        (!name.is_empty()).then(|| Call {
            owner,
            name,
            end: closing(line, open),
        })
    })
}

/// The position of the parenthesis that closes the one at `open`; the end of the line if it goes on
/// on another one.
fn closing(line: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in line.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    line.len()
}

/// How `aten.mean` is called by the decomposition of `adaptive_avg_pool2d` to one pixel; people
/// write the dimensions the other way round.
pub(super) const POOLED: Made<'static> = Made {
    kind: FUNCTION,
    name: "adaptive_avg_pool2d",
    composite: true,
    shown: false,
};

#[cfg(test)]
mod tests {
    use super::*;

    fn text(op: &str, line: &str) -> String {
        let made = made(op, line, 0);
        format!(
            "{}.{}{}",
            made.kind,
            made.name,
            if made.composite { "…" } else { "" }
        )
    }

    #[test]
    fn lines_tell() {
        assert_eq!(
            text("aten.relu", "return F.relu(input, inplace=self.inplace)"),
            "function.relu"
        );
        assert_eq!(
            text("aten.relu", "x = torch.relu(x)"),
            "builtin_function_or_method.relu"
        );
        assert_eq!(
            text("aten.sigmoid", "x = F.sigmoid(x)"),
            "method_descriptor.sigmoid"
        );
        assert_eq!(
            text("aten.gelu", "x = F.gelu(x)"),
            "builtin_function_or_method.gelu"
        );
        assert_eq!(
            text("aten.hardtanh", "x = F.relu6(x) + F.hardtanh(x)"),
            "function.hardtanh"
        );
        assert_eq!(text("aten.hardtanh", "x = F.relu6(x)"), "function.relu6");
        assert_eq!(text("aten.relu", "x = x.relu()"), "method_descriptor.relu");
        assert_eq!(
            text("aten.view", "x = torch.flatten(x, 1)"),
            "builtin_function_or_method.flatten"
        );
        assert_eq!(
            text("aten.view", "return s.fc(x.view(x.size(0), -1))"),
            "method_descriptor.view"
        );
        assert_eq!(
            text("aten.add", "out += identity"),
            "method_descriptor.add_"
        );
        assert_eq!(
            text("aten.add", "out = self.a(x) + y"),
            "method_descriptor.add"
        );
        assert_eq!(
            text(
                "aten.conv2d",
                "return self._conv_forward(input, self.weight, self.bias)"
            ),
            "builtin_function_or_method.conv2d"
        );
        assert_eq!(
            text("aten.linear", "a, b = F.multi_head_attention_forward("),
            "function.multi_head_attention_forward…"
        );
        assert_eq!(
            text("aten.matmul", "x = shifted_window_attention("),
            "method_descriptor.matmul"
        );
        assert_eq!(
            text("aten.softmax", "attn = (q @ k).softmax(dim=-1)"),
            "method_descriptor.softmax"
        );
    }
}
