//! einops: tensors reshaped, reduced and multiplied by patterns, with the calls to PyTorch that
//! einops 0.8 makes.

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::{EINOPS, Entry};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::operators::compatible;
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static FUNCTIONS: [Entry; 4] = [
    Entry::code(
        EINOPS,
        "rearrange(tensor, pattern, **axes_lengths)",
        |t, args| transform(t, args, "rearrange"),
        "Dimensions reordered, split and merged by a pattern: 'b (h w) c -> b c h w'.",
    ),
    Entry::code(
        EINOPS,
        "repeat(tensor, pattern, **axes_lengths)",
        |t, args| transform(t, args, "repeat"),
        "Copies along new dimensions by a pattern: 'h w -> h w c'.",
    ),
    Entry::code(
        EINOPS,
        "reduce(tensor, pattern, reduction, **axes_lengths)",
        |t, args| transform(t, args, "reduce"),
        "Reduces dimensions by a pattern: 'b c h w -> b c'.",
    ),
    Entry::code(
        EINOPS,
        "einsum(*tensors_and_pattern)",
        einsum,
        "Products summed over the names that a pattern does not keep.",
    ),
];

/// One side of a pattern: for each dimension the names that make it up.
type Side = Vec<Vec<SmolStr>>;

const ELLIPSIS: &str = "...";

fn wrong(pattern: &str, why: impl std::fmt::Display) -> TorchError {
    TorchError::new(format!("the pattern '{pattern}' {why}"))
}

fn side(pattern: &str, text: &str) -> Result<Side> {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut out = Side::new();
    let mut open = false;
    for word in spaced.split_whitespace() {
        let name = word == ELLIPSIS
            || word.parse::<u32>().is_ok()
            || word.chars().all(|c| c.is_alphanumeric() || c == '_');
        match (word, out.last_mut()) {
            ("(", _) if !open => {
                open = true;
                out.push(Vec::new());
            }
            (")", _) if open => open = false,
            (word, Some(group)) if open && name => group.push(word.into()),
            (word, _) if !open && name => out.push(vec![word.into()]),
            _ => return Err(wrong(pattern, format!("cannot be read at '{word}'"))),
        }
    }
    match open {
        true => Err(wrong(pattern, "has a parenthesis that is not closed")),
        false => Ok(out),
    }
}

/// Both sides, with `...` written out for an input of `rank` dimensions. A number on the right is
/// an axis of its own; `1` is no axis at all.
fn sides(pattern: &str, rank: usize) -> Result<(Side, Side)> {
    let Some((left, right)) = pattern.split_once("->") else {
        return Err(wrong(pattern, "has no '->'"));
    };
    let (left, right) = (side(pattern, left)?, side(pattern, right)?);
    let spread = left
        .iter()
        .any(|group| group.iter().any(|name| name == ELLIPSIS));
    let named = left.len() - usize::from(spread);
    if rank < named || (!spread && rank != named) {
        return Err(wrong(
            pattern,
            format!("names {named} dimensions, but the input has {rank}"),
        ));
    }
    let extra: Vec<SmolStr> = (0..rank - named)
        .map(|i| format!("{ELLIPSIS}{i}").into())
        .collect();
    // Two numbers are two axes, equal or not.
    let mut numbers = 0;
    let mut expand = |side: Side| -> Side {
        let mut out = Side::new();
        for group in side {
            if group == [ELLIPSIS] {
                out.extend(extra.iter().map(|name| vec![name.clone()]));
                continue;
            }
            let names = group.into_iter().flat_map(|name| match name.as_str() {
                ELLIPSIS => extra.clone(),
                "1" => Vec::new(),
                number if number.parse::<u32>().is_ok() => {
                    numbers += 1;
                    vec![format!("{number}#{numbers}").into()]
                }
                _ => vec![name],
            });
            out.push(names.collect());
        }
        out
    };
    Ok((expand(left), expand(right)))
}

/// The sizes of the named axes: given, or found in the input.
struct Lengths {
    known: Vec<(SmolStr, Dim)>,
}

impl Lengths {
    fn given(args: &Bound) -> Result<Lengths> {
        let mut known = Vec::new();
        if let Value::Dict(items) = args.value("axes_lengths") {
            for (name, value) in items {
                let size = value.int().filter(|size| !size.is_overflow());
                let size = size.ok_or_else(|| {
                    args.error(
                        name,
                        format!("{}: '{name}' must be an integer", args.callee()),
                    )
                })?;
                known.push((name.clone(), size));
            }
        }
        Ok(Lengths { known })
    }

    fn get(&self, name: &str) -> Option<Dim> {
        let number = name
            .split_once('#')
            .map(|(number, _)| number.parse::<u32>());
        if let Some(Ok(number)) = number {
            return Some(Dim::from(i64::from(number)));
        }
        let found = self.known.iter().find(|(known, _)| known == name);
        found.map(|(_, size)| size.clone())
    }

    fn read(&mut self, pattern: &str, left: &Side, shape: &[Dim]) -> Result<()> {
        for (group, size) in left.iter().zip(shape) {
            let mut product = Dim::ONE;
            let mut open = None;
            for name in group {
                match (self.get(name), &open) {
                    (Some(length), _) => product = product * length,
                    (None, None) => open = Some(name.clone()),
                    (None, Some(other)) => {
                        return Err(wrong(
                            pattern,
                            format!("leaves the sizes of both '{other}' and '{name}' open"),
                        ));
                    }
                }
            }
            let rest = size.exact_div(&product);
            match open {
                None if compatible(&product, size) => {}
                Some(name) if size.is_const() && product.is_const() => match rest {
                    Some(rest) => self.known.push((name, rest)),
                    None => {
                        return Err(wrong(
                            pattern,
                            format!("divides a dimension of {size} by {product}"),
                        ));
                    }
                },
                Some(name) => {
                    let rest = rest.unwrap_or_else(|| size.floor_div(&product));
                    self.known.push((name, rest));
                }
                None => {
                    return Err(wrong(pattern, format!("expects {product}, not {size}")));
                }
            }
        }
        Ok(())
    }

    fn product(&self, pattern: &str, names: &[SmolStr]) -> Result<Dim> {
        let sizes: Result<Vec<Dim>> = names
            .iter()
            .map(|name| {
                self.get(name)
                    .ok_or_else(|| wrong(pattern, format!("says nothing of the size of '{name}'")))
            })
            .collect();
        Ok(Dim::product(&sizes?))
    }
}

fn method(t: &mut Tracer, name: &str, arguments: Arguments) -> Result<Value> {
    t.call_function(&format!("torch.Tensor.{name}"), &arguments, None)
}

fn list(dims: impl IntoIterator<Item = Dim>) -> Value {
    Value::List(dims.into_iter().map(Value::Int).collect())
}

fn transform(t: &mut Tracer, args: &Bound, operation: &str) -> Result<Value> {
    let pattern = args.str("pattern")?;
    let shape = t.shape(args.tensor("tensor")?);
    let (left, right) = sides(pattern, shape.len())?;
    let mut lengths = Lengths::given(args)?;
    lengths.read(pattern, &left, &shape)?;
    let before: Vec<SmolStr> = left.iter().flatten().cloned().collect();
    let after: Vec<SmolStr> = right.iter().flatten().cloned().collect();
    check_names(pattern, operation, &before, &after)?;

    let mut value = args.value("tensor").clone();
    if left.iter().any(|group| group.len() != 1) {
        let sizes: Result<Vec<Dim>> = before
            .iter()
            .map(|name| lengths.product(pattern, std::slice::from_ref(name)))
            .collect();
        value = method(t, "reshape", Arguments::of([value, list(sizes?)]))?;
    }
    let kept = after.iter().filter(|name| before.contains(name));
    let gone = before.iter().filter(|name| !after.contains(name));
    let count = gone.clone().count();
    let place = |name: &SmolStr| before.iter().position(|other| other == name);
    let order: Vec<usize> = kept.chain(gone).filter_map(place).collect();
    if order.iter().enumerate().any(|(index, axis)| index != *axis) {
        let order = list(order.into_iter().map(Dim::from));
        value = method(t, "permute", Arguments::of([value, order]))?;
    }
    if count > 0 {
        value = reduced(t, args, value, before.len() - count..before.len())?;
    }
    value = added(t, value, pattern, &lengths, (&before, &after))?;
    if right.iter().any(|group| group.len() != 1) {
        let sizes: Result<Vec<Dim>> = right
            .iter()
            .map(|group| lengths.product(pattern, group))
            .collect();
        value = method(t, "reshape", Arguments::of([value, list(sizes?)]))?;
    }
    Ok(value)
}

fn check_names(
    pattern: &str,
    operation: &str,
    before: &[SmolStr],
    after: &[SmolStr],
) -> Result<()> {
    let twice = |names: &[SmolStr]| {
        let again = names
            .iter()
            .enumerate()
            .find(|(i, name)| names[..*i].contains(name));
        again.map(|(_, name)| name.clone())
    };
    if let Some(name) = twice(before).or_else(|| twice(after)) {
        return Err(wrong(pattern, format!("names '{name}' twice")));
    }
    let lost = before.iter().find(|name| !after.contains(name));
    let new = after.iter().find(|name| !before.contains(name));
    match (operation, lost, new) {
        ("rearrange" | "repeat", Some(name), _) => {
            Err(wrong(pattern, format!("has '{name}' on the left only")))
        }
        ("rearrange" | "reduce", _, Some(name)) => {
            Err(wrong(pattern, format!("has '{name}' on the right only")))
        }
        _ => Ok(()),
    }
}

fn reduced(
    t: &mut Tracer,
    args: &Bound,
    value: Value,
    axes: std::ops::Range<usize>,
) -> Result<Value> {
    let reduction = args.str("reduction")?;
    let name = match reduction {
        "min" => "amin",
        "max" => "amax",
        "sum" | "mean" | "any" | "all" | "prod" => reduction,
        _ => {
            return Err(args.error(
                "reduction",
                format!("reduce knows min, max, sum, mean, prod, any and all, not '{reduction}'"),
            ));
        }
    };
    if matches!(name, "any" | "all" | "prod") {
        return axes.rev().try_fold(value, |value, axis| {
            method(
                t,
                name,
                Arguments::of([value]).named("dim", Value::from(axis)),
            )
        });
    }
    let axes = list(axes.map(Dim::from));
    method(t, name, Arguments::of([value]).named("dim", axes))
}

/// New axes, each made of size 1 and then expanded together.
fn added(
    t: &mut Tracer,
    mut value: Value,
    pattern: &str,
    lengths: &Lengths,
    (before, after): (&[SmolStr], &[SmolStr]),
) -> Result<Value> {
    let mut sizes = vec![Dim::Const(-1); after.len()];
    let mut any = false;
    for (index, name) in after.iter().enumerate() {
        if !before.contains(name) {
            sizes[index] = lengths.product(pattern, std::slice::from_ref(name))?;
            let arguments = Arguments::of([value, index.into()]);
            value = t.call_function("torch.unsqueeze", &arguments, None)?;
            any = true;
        }
    }
    match any {
        true => method(t, "expand", Arguments::of([value, list(sizes)])),
        false => Ok(value),
    }
}

/// Words become letters, and `torch.einsum` does the rest.
fn einsum(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let items = args
        .value("tensors_and_pattern")
        .items()
        .unwrap_or_default();
    let Some((Value::Str(pattern), tensors)) = items.split_last() else {
        return Err(TorchError::new(
            "einops.einsum takes tensors and then a pattern",
        ));
    };
    let mut letters: Vec<SmolStr> = Vec::new();
    let mut compact = |text: &str| -> Result<String> {
        let mut out = String::new();
        for group in side(pattern, text)? {
            let [name] = group.as_slice() else {
                return Err(wrong(
                    pattern,
                    "has parentheses, which einsum does not allow",
                ));
            };
            if name == ELLIPSIS {
                out.push_str(ELLIPSIS);
                continue;
            }
            let index = letters
                .iter()
                .position(|known| known == name)
                .unwrap_or_else(|| {
                    letters.push(name.clone());
                    letters.len() - 1
                });
            match (b'a'..=b'z').chain(b'A'..=b'Z').nth(index) {
                Some(letter) => out.push(letter as char),
                None => return Err(wrong(pattern, "names more axes than there are letters")),
            }
        }
        Ok(out)
    };
    let Some((left, right)) = pattern.split_once("->") else {
        return Err(wrong(pattern, "has no '->'"));
    };
    let left: Result<Vec<String>> = left.split(',').map(&mut compact).collect();
    let equation = format!("{}->{}", left?.join(","), compact(right)?);
    let mut arguments = Arguments::of([Value::from(equation.as_str())]);
    arguments.positional.extend(tensors.iter().cloned());
    t.call_function("torch.einsum", &arguments, None)
        .map_err(|error| {
            let shapes: Vec<String> = tensors
                .iter()
                .map(|x| show::value(t.builder.trace(), x))
                .collect();
            let message = format!("{} ('{pattern}' of {})", error.message, shapes.join(", "));
            TorchError { message, ..error }
        })
}
