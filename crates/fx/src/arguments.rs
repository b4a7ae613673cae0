//! A function call's arguments, put back under its Python signature from the operator's.

use modelcost_core::trace::{Argument, Passed};
use modelcost_core::value::Value;
use modelcost_torch::{Kind, Signature};
use smol_str::SmolStr;

/// What a function calls its parameters where the operator calls them otherwise.
const RENAMED: &[(&str, &str, &str)] = &[
    // function, parameter, operator's argument
    ("dropout", "training", "train"),
    ("dropout1d", "training", "train"),
    ("dropout2d", "training", "train"),
    ("dropout3d", "training", "train"),
    ("alpha_dropout", "training", "train"),
    ("feature_alpha_dropout", "training", "train"),
    ("embedding", "input", "indices"),
    ("interpolate", "size", "output_size"),
    ("interpolate", "scale_factor", "scale_factors"),
    ("upsample", "size", "output_size"),
    ("upsample", "scale_factor", "scale_factors"),
    ("instance_norm", "use_input_stats", "use_input_stats"),
    ("truediv", "other", "other"),
    ("einsum", "operands", "tensors"),
    ("split", "split_size_or_sections", "split_size"),
];

/// The arguments of a function under its own signature. Without one, those of the operator.
pub fn bind(name: &str, op: &str, given: &[Argument]) -> Vec<Argument> {
    let signature = modelcost_torch::function(name).map(|function| function.signature());
    let Some(signature) = signature else {
        return plain(name, given);
    };
    let short = name.rsplit('.').next().unwrap_or(name);
    let renamed: Vec<_> = RENAMED.iter().filter(|row| row.0 == short).collect();
    let mut out = Vec::with_capacity(signature.parameters.len());
    let mut gap = false;
    for (index, parameter) in signature.parameters.iter().enumerate() {
        let found = lookup(&renamed, index, &parameter.name, given);
        let found = found.or_else(|| implied(&parameter.name, op));
        match found {
            Some(value) => out.push(Argument {
                name: parameter.name.clone(),
                value: written(&parameter.name, value),
                passed: match gap || parameter.kind == Kind::KeywordOnly {
                    true => Passed::Keyword,
                    false => Passed::Position,
                },
            }),
            None => {
                gap = true;
                let Some(default) = &parameter.default else {
                    continue;
                };
                out.push(Argument {
                    name: parameter.name.clone(),
                    value: default.clone(),
                    passed: Passed::Default,
                });
            }
        }
    }
    // A signature that has nothing to do with the operator says less than the operator does.
    let bound = out
        .iter()
        .any(|argument| argument.passed != Passed::Default);
    if bound { out } else { plain(name, given) }
}

fn lookup(
    renamed: &[&(&str, &str, &str)],
    index: usize,
    parameter: &str,
    given: &[Argument],
) -> Option<Value> {
    let named = |name: &str| {
        let found = given.iter().find(|argument| argument.name == name)?;
        Some(found.value.clone())
    };
    let renamed = renamed.iter().find(|(_, own, _)| *own == parameter);
    if let Some((_, _, theirs)) = renamed
        && let Some(value) = named(theirs)
    {
        // A scale of (2.0, 2.0) is what F.interpolate makes of `scale_factor=2`.
        return match parameter {
            "scale_factor" => modelcost_torch::recover::as_written(Some(&value)),
            _ => Some(value),
        };
    }
    named(parameter).or_else(|| match parameter {
        "input" | "self" => match index {
            0 => named("self")
                .or_else(|| named("input"))
                .or_else(|| first_tensor(given)),
            _ => None,
        },
        "a" if index == 0 => named("self").or_else(|| first_tensor(given)),
        "b" if index == 1 => named("other").or_else(|| named("exponent")),
        // torch.tensordot
        "dims" => Some(Value::Tuple(vec![
            named("dims_self")?,
            named("dims_other")?,
        ])),
        _ => None,
    })
}

fn first_tensor(given: &[Argument]) -> Option<Value> {
    let found = given
        .iter()
        .find(|argument| argument.value.tensor().is_some())?;
    Some(found.value.clone())
}

/// A factor for each dimension is mostly written as one for all.
fn written(parameter: &str, value: Value) -> Value {
    match value {
        Value::List(items) if parameter == "scale_factor" => match items.as_slice() {
            [first, rest @ ..] if rest.iter().all(|item| item == first) => first.clone(),
            _ => Value::Tuple(items),
        },
        value => value,
    }
}

/// What the operator's name says.
fn implied(parameter: &str, op: &str) -> Option<Value> {
    let short = op.rsplit('.').next().unwrap_or(op);
    match parameter {
        "inplace" => Some(Value::Bool(short.ends_with('_'))),
        "mode" => {
            let rest = short
                .strip_prefix("upsample_")
                .or_else(|| short.strip_prefix("_upsample_"))?;
            let mode = match rest {
                "linear1d" => "linear",
                "bilinear2d" | "bilinear2d_aa" => "bilinear",
                "bicubic2d" | "bicubic2d_aa" => "bicubic",
                "trilinear3d" => "trilinear",
                exact if exact.starts_with("nearest_exact") => "nearest-exact",
                nearest if nearest.starts_with("nearest") => "nearest",
                _ => return None,
            };
            Some(Value::Str(SmolStr::new_static(mode)))
        }
        _ => None,
    }
}

/// The operator's arguments under the names that functions use.
fn plain(name: &str, given: &[Argument]) -> Vec<Argument> {
    let method = name.starts_with("torch.Tensor.");
    let mut out = given.to_vec();
    for argument in &mut out {
        if argument.name == "self" && !method {
            argument.name = SmolStr::new_static("input");
        }
    }
    out
}

/// An operator's arguments with the defaults that the program leaves out.
pub fn complete(signature: Option<&Signature>, given: &[Argument]) -> Vec<Argument> {
    let Some(signature) = signature else {
        return given.to_vec();
    };
    // A schema under other names than the program's says nothing of what is left out.
    let is_given = |name: &SmolStr| given.iter().any(|argument| argument.name == *name);
    let required = signature
        .parameters
        .iter()
        .filter(|parameter| parameter.default.is_none());
    if !required.clone().all(|parameter| is_given(&parameter.name)) {
        return given.to_vec();
    }
    let mut out = Vec::with_capacity(signature.parameters.len().max(given.len()));
    for parameter in &signature.parameters {
        let same = |argument: &&Argument| argument.name == parameter.name;
        match (given.iter().find(same), &parameter.default) {
            (Some(argument), _) => out.push(argument.clone()),
            (None, Some(default)) => out.push(Argument {
                name: parameter.name.clone(),
                value: default.clone(),
                passed: Passed::Default,
            }),
            (None, None) => {}
        }
    }
    for argument in given {
        if !out.iter().any(|known| known.name == argument.name) {
            out.push(argument.clone());
        }
    }
    out
}
