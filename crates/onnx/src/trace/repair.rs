//! Operands whose FX nodes the optimizer took out.
//!
//! What the file has in their place may be another view of the same elements, so that its shape
//! is not the operand's. For products and attention the shape follows from the others.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Argument, Origin, Shape, TensorId, TraceBuilder};
use modelcost_core::value::Value;

/// Gives operands at the positions in `unresolved` the shapes that they must have had. Returns
/// which tensors are views of which.
pub(super) fn operands(
    builder: &mut TraceBuilder,
    op: &str,
    arguments: &mut [Argument],
    output: &Value,
    unresolved: &[usize],
) -> Vec<(TensorId, TensorId)> {
    let shape = |value: &Value| {
        let id = value.tensor()?;
        builder.trace().tensor(id).shape.clone()
    };
    let known = |at: usize| {
        let argument = arguments.get(at).filter(|_| !unresolved.contains(&at))?;
        shape(&argument.value)
    };
    let current = |at: usize| shape(&arguments.get(at)?.value);
    let out = shape(output);
    let wanted: Vec<(usize, Option<Shape>)> = unresolved
        .iter()
        .map(|at| {
            let shape = match op {
                "aten.scaled_dot_product_attention" => {
                    attention(*at, &known, &current, out.as_ref())
                }
                "aten.linear" => linear(*at, &known, out.as_ref()),
                "aten.matmul" | "aten.bmm" | "aten.mm" => product(*at, &known, out.as_ref()),
                _ => None,
            };
            (*at, shape)
        })
        .collect();
    let mut views = Vec::new();
    for (at, wanted) in wanted {
        let Some(wanted) = wanted else { continue };
        let Some(argument) = arguments.get_mut(at) else {
            continue;
        };
        let current = argument.value.tensor();
        let has = current.and_then(|id| builder.trace().tensor(id).shape.clone());
        if has.as_ref() != Some(&wanted) {
            let dtype = current.and_then(|id| builder.trace().tensor(id).dtype);
            let view = builder.tensor(Some(wanted), dtype, Origin::Constant);
            argument.value = Value::Tensor(view);
            views.extend(current.map(|current| (current, view)));
        }
    }
    views
}

fn with_last(shape: &[Dim], last: &Dim) -> Option<Shape> {
    let (_, leading) = shape.split_last()?;
    let mut out = leading.to_vec();
    out.push(last.clone());
    Some(out)
}

/// Query, key and value have heads and batch in common; query and key the size of a head.
fn attention(
    at: usize,
    known: &dyn Fn(usize) -> Option<Shape>,
    current: &dyn Fn(usize) -> Option<Shape>,
    out: Option<&Shape>,
) -> Option<Shape> {
    // What has been repeated for each head has the heads of the query, however it is seen now.
    let repeated = |width: &Dim| {
        let query = known(0).or_else(|| out.cloned())?;
        let heads = query.get(..query.len().checked_sub(2)?)?;
        let elements = Dim::product(&current(at)?);
        let others = Dim::product(heads) * width;
        let length = elements.floor_div(&others);
        let mut shape = heads.to_vec();
        shape.extend([length.clone(), width.clone()]);
        (others != Dim::ZERO && length * others == elements).then_some(shape)
    };
    match at {
        0 => with_last(out?, known(1)?.last()?),
        1 => match known(2) {
            Some(value) => with_last(&value, known(0)?.last()?),
            None => repeated(known(0)?.last()?),
        },
        2 => match known(1) {
            Some(key) => with_last(&key, out?.last()?),
            None => repeated(out?.last()?),
        },
        // The mask is added to the scores.
        3 => {
            let (query, key) = (known(0)?, known(1)?);
            let rows = query.get(query.len().checked_sub(2)?)?;
            let columns = key.get(key.len().checked_sub(2)?)?;
            Some(vec![rows.clone(), columns.clone()])
        }
        _ => None,
    }
}

/// `weight` is out × in.
fn linear(at: usize, known: &dyn Fn(usize) -> Option<Shape>, out: Option<&Shape>) -> Option<Shape> {
    match at {
        0 => with_last(out?, known(1)?.last()?),
        1 => Some(vec![out?.last()?.clone(), known(0)?.last()?.clone()]),
        2 => Some(vec![out?.last()?.clone()]),
        _ => None,
    }
}

/// Either factor of a product of matrices with the same batch.
fn product(
    at: usize,
    known: &dyn Fn(usize) -> Option<Shape>,
    out: Option<&Shape>,
) -> Option<Shape> {
    let out = out?;
    match (at, known(1 - at.min(1))?.as_slice(), out.as_slice()) {
        (0, [.., inner, _], [.., _, _]) => with_last(out, inner),
        (1, [.., inner], [batch @ .., _, columns]) => {
            let mut shape = batch.to_vec();
            shape.push(inner.clone());
            shape.push(columns.clone());
            Some(shape)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::dtype::DType;
    use modelcost_core::trace::Passed;

    /// A key and a value of two heads that are repeated for a query of four: the file has them before the view that
    /// joins the two dimensions.
    #[test]
    fn repeated_heads() {
        let mut builder = TraceBuilder::new("test", "onnx");
        let mut tensor = |sizes: &[i64]| {
            let shape = sizes.iter().map(|size| Dim::from(*size)).collect();
            Value::Tensor(builder.tensor(Some(shape), Some(DType::Float32), Origin::Constant))
        };
        let (query, output) = (tensor(&[2, 4, 12, 16]), tensor(&[2, 4, 12, 16]));
        let (key, value) = (tensor(&[2, 2, 2, 9, 16]), tensor(&[2, 2, 2, 9, 16]));
        let mut arguments =
            [("query", query), ("key", key), ("value", value)].map(|(name, value)| Argument {
                name: name.into(),
                value,
                passed: Passed::Position,
            });
        let op = "aten.scaled_dot_product_attention";
        operands(&mut builder, op, &mut arguments, &output, &[1, 2]);
        for argument in &arguments[1..] {
            let id = argument.value.tensor().unwrap();
            let shape = builder.trace().tensor(id).shape.clone().unwrap();
            assert_eq!(shape, [2, 4, 9, 16].map(Dim::from), "{}", argument.name);
        }
    }
}
