//! Products over chosen dimensions, and of vectors.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, broadcast, compatible, row};
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 12] = [
    row("tensordot(self, other, dims_self, dims_other)", tensordot),
    row("inner(self, other)", inner),
    row("vdot(self, other)", |op| vectors(op, "other")),
    row("ger(self, vec2)", |op| {
        let (a, b) = (op.shape("self")?, op.shape("vec2")?);
        outer(op, &a, &b)
    }),
    row("addr(self, vec1, vec2, *, beta=1, alpha=1)", |op| {
        let (a, b) = (op.shape("vec1")?, op.shape("vec2")?);
        outer(op, &a, &b)
    }),
    row("addbmm(self, batch1, batch2, *, beta=1, alpha=1)", addbmm),
    row("linalg_multi_dot(tensors)", chain),
    row("linalg_vecdot(x, y, *, dim=-1)", vecdot),
    row("det(self)", determinant),
    row("logdet(self)", determinant),
    row("slogdet(self)", |op| {
        let (sign, logarithm) = (determinant(op)?, determinant(op)?);
        Ok(Value::Tuple(vec![sign, logarithm]))
    }),
    row("inverse(self)", |op| {
        square(op)?;
        let shape = op.shape("self")?;
        op.like("self", shape)
    }),
];

/// The sizes before those of square matrices.
fn square(op: &mut Op<'_>) -> Result<Shape> {
    let shape = op.shape("self")?;
    match shape.as_slice() {
        [batch @ .., rows, columns] if compatible(rows, columns) => Ok(batch.to_vec()),
        _ => Err(op.error(format!(
            "takes square matrices, not {}",
            show::shape(&shape)
        ))),
    }
}

/// One number for each matrix.
fn determinant(op: &mut Op<'_>) -> Result<Value> {
    let batch = square(op)?;
    op.like("self", batch)
}

fn cannot(op: &Op<'_>, a: &Shape, b: &Shape) -> crate::TorchError {
    op.error(format!(
        "cannot multiply {} by {}",
        show::shape(a),
        show::shape(b)
    ))
}

/// The dimensions that are not summed over, of one operand and of the other.
fn tensordot(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("self")?, op.shape("other")?);
    let over_a = op.dimensions("dims_self", a.len())?;
    let over_b = op.dimensions("dims_other", b.len())?;
    // A size of one stands for any, as in every broadcast.
    let fits = |(at, to): (&usize, &usize)| match (a.get(*at), b.get(*to)) {
        (Some(x), Some(y)) => *x == Dim::ONE || *y == Dim::ONE || compatible(x, y),
        _ => false,
    };
    if over_a.len() != over_b.len() || !over_a.iter().zip(&over_b).all(fits) {
        return Err(cannot(op, &a, &b));
    }
    let rest = |shape: &Shape, over: &[usize]| -> Shape {
        let kept = shape
            .iter()
            .enumerate()
            .filter(|(at, _)| !over.contains(at));
        kept.map(|(_, size)| size.clone()).collect()
    };
    let mut shape = rest(&a, &over_a);
    shape.extend(rest(&b, &over_b));
    op.like("self", shape)
}

/// Over the last dimensions; a scalar is a factor.
fn inner(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("self")?, op.shape("other")?);
    let shape = match (a.split_last(), b.split_last()) {
        (Some((x, rows)), Some((y, columns))) => {
            if !compatible(x, y) {
                return Err(cannot(op, &a, &b));
            }
            [rows, columns].concat()
        }
        _ => [a, b].concat(),
    };
    op.like("self", shape)
}

fn vectors(op: &mut Op<'_>, other: &str) -> Result<Value> {
    let (a, b) = (op.shape("self")?, op.shape(other)?);
    match (a.as_slice(), b.as_slice()) {
        ([x], [y]) if compatible(x, y) => op.like("self", Vec::new()),
        _ => Err(cannot(op, &a, &b)),
    }
}

fn outer(op: &mut Op<'_>, a: &Shape, b: &Shape) -> Result<Value> {
    match (a.as_slice(), b.as_slice()) {
        ([rows], [columns]) => op.like("vec2", vec![rows.clone(), columns.clone()]),
        _ => Err(op.error("expects two vectors")),
    }
}

fn addbmm(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("batch1")?, op.shape("batch2")?);
    match (a.as_slice(), b.as_slice()) {
        ([n, rows, x], [m, y, columns]) if compatible(n, m) && compatible(x, y) => {
            op.like("self", vec![rows.clone(), columns.clone()])
        }
        _ => Err(cannot(op, &a, &b)),
    }
}

/// A product of matrices, of which the first and the last may be vectors.
fn chain(op: &mut Op<'_>) -> Result<Value> {
    let tensors = op.args.tensors("tensors")?;
    let shapes: Vec<Shape> = tensors.iter().map(|id| op.shape_of(*id)).collect();
    let [first, .., last] = shapes.as_slice() else {
        return Err(op.error("expects two tensors at least"));
    };
    for pair in shapes.windows(2) {
        let inner = match pair[1].as_slice() {
            [size] | [size, _] => size,
            _ => return Err(cannot(op, &pair[0], &pair[1])),
        };
        if !pair[0].last().is_some_and(|size| compatible(size, inner)) {
            return Err(cannot(op, &pair[0], &pair[1]));
        }
    }
    let mut shape: Shape = first[..first.len() - 1].to_vec();
    shape.extend(last.iter().skip(1).cloned());
    let dtype = op.tracer.dtype(tensors[0]);
    op.tensor(shape, dtype)
}

fn vecdot(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("x")?, op.shape("y")?);
    let Ok(mut shape) = broadcast(&a, &b) else {
        return Err(cannot(op, &a, &b));
    };
    let dim = op.dimension("dim", shape.len())?;
    if dim < shape.len() {
        shape.remove(dim);
    }
    op.like("x", shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Arguments;
    use crate::tracer::Tracer;
    use modelcost_core::dtype::DType;

    #[test]
    fn determinants_are_of_square_matrices() {
        let mut tracer = Tracer::new("test", "toml");
        let mut call = |sizes: &[i64], name: &str| {
            let shape = sizes.iter().map(|size| Dim::from(*size)).collect();
            let input = tracer.input("x", shape, DType::Float32);
            let arguments = Arguments {
                positional: vec![Value::Tensor(input)],
                keyword: Vec::new(),
            };
            let output = tracer.call_function(name, &arguments, None)?;
            let shapes = output.tensors().into_iter();
            let shapes = shapes.map(|id| tracer.builder.trace().tensor(id).shape.clone());
            Ok::<_, crate::TorchError>(shapes.collect::<Vec<_>>())
        };
        let three = Some(vec![Dim::from(3)]);
        assert_eq!(
            call(&[3, 6, 6], "torch.slogdet").unwrap(),
            [three.clone(), three]
        );
        let square = Some([4, 4].map(Dim::from).to_vec());
        assert_eq!(call(&[4, 4], "torch.inverse").unwrap(), [square]);
        assert!(call(&[4, 3], "torch.det").is_err());
    }
}
