//! Matrix products, and what is made of them.

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;
use modelcost_core::value::Value;

use super::{Entry, Op, broadcast, compatible, row, unify};
use crate::error::Result;
use crate::show;

pub(super) static OPERATORS: [Entry; 16] = [
    row("linear(input, weight, bias=None)", linear),
    row("bilinear(input1, input2, weight, bias=None)", bilinear),
    row("matmul(self, other)", |op| product(op, "self", "other")),
    row("mm(self, mat2)", |op| fixed(op, "self", "mat2", 2)),
    row("bmm(self, mat2)", |op| fixed(op, "self", "mat2", 3)),
    row("addmm(self, mat1, mat2, *, beta=1, alpha=1)", |op| {
        added(op, "mat1", "mat2", 2)
    }),
    row("baddbmm(self, batch1, batch2, *, beta=1, alpha=1)", |op| {
        added(op, "batch1", "batch2", 3)
    }),
    row("mv(self, vec)", |op| product(op, "self", "vec")),
    row("dot(self, tensor)", |op| product(op, "self", "tensor")),
    row("outer(self, vec2)", outer),
    row("einsum(equation, tensors, path=None)", einsum),
    row(
        "scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, \
         is_causal=False, *, scale=None, enable_gqa=False)",
        attention,
    ),
    row(
        "embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False)",
        embedding,
    ),
    row(
        "embedding_bag(weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, \
         per_sample_weights=None, include_last_offset=False, padding_idx=None)",
        embedding_bag,
    ),
    row("cdist(x1, x2, p=2, compute_mode=None)", cdist),
    row("addmv(self, mat, vec, *, beta=1, alpha=1)", |op| {
        product(op, "mat", "vec")
    }),
];

fn linear(op: &mut Op<'_>) -> Result<Value> {
    let (input, weight) = (op.shape("input")?, op.shape("weight")?);
    let (outputs, inputs) = match weight.as_slice() {
        [outputs, inputs] => (Some(outputs.clone()), inputs.clone()),
        [inputs] => (None, inputs.clone()),
        _ => {
            return Err(op.error(format!(
                "expects a weight of 2 dimensions, not {}",
                show::shape(&weight)
            )));
        }
    };
    match input.last() {
        Some(last) if compatible(last, &inputs) => {
            op.assume_equal(std::slice::from_ref(last), std::slice::from_ref(&inputs));
        }
        _ => {
            return Err(op.expected(format!("{inputs} features in the last dimension"), &input));
        }
    }
    let mut shape = input[..input.len() - 1].to_vec();
    if let (Some(bias), Some(outputs)) = (op.optional_shape("bias")?, &outputs)
        && (bias.len() > 1 || !bias.iter().all(|size| compatible(size, outputs)))
    {
        return Err(op.error(format!(
            "expects a bias of {outputs}, not {}",
            show::shape(&bias)
        )));
    }
    shape.extend(outputs);
    op.like("input", shape)
}

fn bilinear(op: &mut Op<'_>) -> Result<Value> {
    let (first, second) = (op.shape("input1")?, op.shape("input2")?);
    let weight = op.shape("weight")?;
    let [outputs, in1, in2] = weight.as_slice() else {
        return Err(op.error("expects a weight of 3 dimensions"));
    };
    for (input, size, which) in [(&first, in1, "first"), (&second, in2, "second")] {
        if !input.last().is_some_and(|last| compatible(last, size)) {
            return Err(op.error(format!(
                "expects {size} features in the last dimension of its {which} input, which is {}",
                show::shape(input)
            )));
        }
    }
    if first.len() != second.len() {
        return Err(op.error("expects two inputs with the same leading dimensions"));
    }
    let mut shape = first[..first.len() - 1].to_vec();
    shape.push(outputs.clone());
    op.like("input1", shape)
}

/// Python's `@` on shapes.
fn matmul_shape(a: &[Dim], b: &[Dim]) -> Option<Shape> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let (rows, inner_a) = match a {
        [inner] => (None, inner),
        [.., rows, inner] => (Some(rows.clone()), inner),
        [] => return None,
    };
    let (inner_b, columns) = match b {
        [inner] => (inner, None),
        [.., inner, columns] => (inner, Some(columns.clone())),
        [] => return None,
    };
    if !compatible(inner_a, inner_b) {
        return None;
    }
    let lead = |shape: &[Dim]| shape[..shape.len().saturating_sub(2)].to_vec();
    let mut shape = broadcast(&lead(a), &lead(b)).ok()?;
    shape.extend(rows);
    shape.extend(columns);
    Some(shape)
}

fn product(op: &mut Op<'_>, left: &str, right: &str) -> Result<Value> {
    let (a, b) = (op.shape(left)?, op.shape(right)?);
    match matmul_shape(&a, &b) {
        Some(shape) => {
            if let ([.., inner], [.., other, _] | [other]) = (a.as_slice(), b.as_slice()) {
                op.assume_equal(std::slice::from_ref(inner), std::slice::from_ref(other));
            }
            let lead = |shape: &[Dim]| shape[..shape.len().saturating_sub(2)].to_vec();
            op.assume_equal(&lead(&a), &lead(&b));
            op.like(left, shape)
        }
        None => Err(op.error(format!(
            "cannot multiply {} by {}",
            show::shape(&a),
            show::shape(&b)
        ))),
    }
}

/// A product of two tensors with exactly `rank` dimensions, nothing broadcast.
fn fixed(op: &mut Op<'_>, left: &str, right: &str, rank: usize) -> Result<Value> {
    let (a, b) = (op.shape(left)?, op.shape(right)?);
    let shape = fixed_shape(op, &a, &b, rank)?;
    op.like(left, shape)
}

fn fixed_shape(op: &Op<'_>, a: &[Dim], b: &[Dim], rank: usize) -> Result<Shape> {
    let fits = a.len() == rank && b.len() == rank && (rank < 3 || compatible(&a[0], &b[0]));
    match matmul_shape(a, b).filter(|_| fits) {
        Some(shape) => Ok(shape),
        None => Err(op.error(format!(
            "cannot multiply {} by {}; both need {rank} dimensions that fit",
            show::shape(a),
            show::shape(b)
        ))),
    }
}

fn added(op: &mut Op<'_>, left: &str, right: &str, rank: usize) -> Result<Value> {
    let (a, b) = (op.shape(left)?, op.shape(right)?);
    let shape = fixed_shape(op, &a, &b, rank)?;
    let added = op.shape("self")?;
    match broadcast(&added, &shape) {
        Ok(whole) if whole.len() == shape.len() => op.like(left, shape),
        _ => Err(op.error(format!(
            "cannot add {} to a product of {}",
            show::shape(&added),
            show::shape(&shape)
        ))),
    }
}

fn outer(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("self")?, op.shape("vec2")?);
    match (a.as_slice(), b.as_slice()) {
        ([rows], [columns]) => op.like("self", vec![rows.clone(), columns.clone()]),
        _ => Err(op.error("expects two vectors")),
    }
}

/// Shapes by the letters of an equation; `…` stands for broadcast dimensions.
fn einsum(op: &mut Op<'_>) -> Result<Value> {
    let equation: String = op
        .args
        .str("equation")?
        .chars()
        .filter(|c| *c != ' ')
        .collect();
    let operands = op.args.tensors("tensors")?;
    let shapes: Vec<Shape> = operands.iter().map(|id| op.shape_of(*id)).collect();
    let shape = einsum_shape(&equation, &shapes)
        .map_err(|why| op.error(format!("cannot follow '{equation}': {why}")))?;
    let dtype = operands.first().map(|id| op.tracer.dtype(*id));
    match dtype {
        Some(dtype) => op.tensor(shape, dtype),
        None => Err(op.error("needs at least one operand")),
    }
}

fn einsum_shape(equation: &str, shapes: &[Shape]) -> Result<Shape, String> {
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (equation, None),
    };
    let terms: Vec<&str> = inputs.split(',').collect();
    if terms.len() != shapes.len() {
        return Err(format!(
            "it names {} operands, but {} are given",
            terms.len(),
            shapes.len()
        ));
    }
    let mut sizes: Vec<(char, Dim, usize)> = Vec::new();
    let mut spread: Shape = Vec::new();
    for (term, shape) in terms.iter().zip(shapes) {
        let letters = term.replace("...", "");
        if letters.contains('.') || letters.chars().any(|c| !c.is_ascii_alphabetic()) {
            return Err(format!("'{term}' is not made of letters and '...'"));
        }
        let has_spread = letters.len() != term.len();
        let count = letters.len();
        if shape.len() < count || (!has_spread && shape.len() != count) {
            return Err(format!(
                "'{term}' does not fit an operand of {}",
                show::shape(shape)
            ));
        }
        let before = term.find("...").unwrap_or(count);
        let extra = shape.len() - count;
        let middle = &shape[before..before + extra];
        spread = broadcast(&spread, middle)
            .map_err(|(a, b)| format!("the dimensions under '...' are {a} and {b}"))?;
        let named = shape[..before].iter().chain(&shape[before + extra..]);
        for (letter, size) in letters.chars().zip(named) {
            match sizes.iter_mut().find(|(known, ..)| *known == letter) {
                None => sizes.push((letter, size.clone(), 1)),
                Some((_, known, uses)) => {
                    *uses += 1;
                    if *known == Dim::ONE {
                        *known = size.clone();
                    } else if *size != Dim::ONE && !compatible(known, size) {
                        return Err(format!("'{letter}' is {known} and {size}"));
                    } else if *size != Dim::ONE {
                        *known = unify(known, size);
                    }
                }
            }
        }
    }
    let mut alphabetical: Vec<(char, usize)> = sizes.iter().map(|(c, _, n)| (*c, *n)).collect();
    alphabetical.sort();
    let implied: String = alphabetical
        .iter()
        .filter(|(_, uses)| *uses == 1)
        .map(|(letter, _)| *letter)
        .collect();
    let implied = format!("...{implied}");
    let output = output.unwrap_or(&implied);
    let mut shape = Vec::new();
    let mut rest = output;
    while let Some(letter) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("...") {
            shape.extend(spread.iter().cloned());
            rest = after;
            continue;
        }
        match sizes.iter().find(|(known, ..)| *known == letter) {
            Some((_, size, _)) => shape.push(size.clone()),
            None => return Err(format!("'{letter}' of the output is in no operand")),
        }
        rest = &rest[letter.len_utf8()..];
    }
    Ok(shape)
}

fn attention(op: &mut Op<'_>) -> Result<Value> {
    let (query, key, value) = (op.shape("query")?, op.shape("key")?, op.shape("value")?);
    let problem = |op: &Op<'_>, why: &str| {
        Err(op.error(format!(
            "{why}: query {}, key {}, value {}",
            show::shape(&query),
            show::shape(&key),
            show::shape(&value)
        )))
    };
    if query.len() < 2 || key.len() < 2 || value.len() < 2 {
        return problem(op, "expects at least 2 dimensions");
    }
    let (q, k, v) = (query.len(), key.len(), value.len());
    if !compatible(&query[q - 1], &key[k - 1]) {
        return problem(op, "expects query and key with the same last dimension");
    }
    if !compatible(&key[k - 2], &value[v - 2]) {
        return problem(op, "expects a value for each key");
    }
    let grouped = op.args.bool("enable_gqa")?;
    let lead = match grouped {
        // The heads of key and value are repeated to match the query's.
        true => Ok(query[..q - 2].to_vec()),
        false => broadcast(&query[..q - 2], &key[..k - 2])
            .and_then(|lead| broadcast(&lead, &value[..v - 2])),
    };
    let Ok(lead) = lead else {
        return problem(op, "expects the same leading dimensions");
    };
    if let Some(mask) = op.optional_shape("attn_mask")? {
        let mut scores = lead.clone();
        scores.extend([query[q - 2].clone(), key[k - 2].clone()]);
        if broadcast(&mask, &scores).map_or(true, |whole| whole.len() != scores.len()) {
            return Err(op.error(format!(
                "cannot apply a mask of {} to scores of {}",
                show::shape(&mask),
                show::shape(&scores)
            )));
        }
    }
    let mut shape = lead;
    shape.extend([query[q - 2].clone(), value[v - 1].clone()]);
    op.like("query", shape)
}

fn embedding(op: &mut Op<'_>) -> Result<Value> {
    let (weight, mut shape) = (op.shape("weight")?, op.shape("indices")?);
    let dtype = op.dtype("indices")?;
    if dtype.is_floating_point() {
        return Err(op.error(format!("looks up indices, but its input is {dtype}")));
    }
    let [_, width] = weight.as_slice() else {
        return Err(op.error("expects a weight of 2 dimensions"));
    };
    shape.push(width.clone());
    op.like("weight", shape)
}

fn embedding_bag(op: &mut Op<'_>) -> Result<Value> {
    let (weight, offsets) = (op.shape("weight")?, op.shape("offsets")?);
    let ([_, width], [bags]) = (weight.as_slice(), offsets.as_slice()) else {
        return Err(op.error("expects a weight of 2 dimensions and offsets of 1"));
    };
    let bags = match op.args.bool("include_last_offset")? {
        true => bags - &Dim::ONE,
        false => bags.clone(),
    };
    let output = op.like("weight", vec![bags.clone(), width.clone()])?;
    // Sums need no list of which bag each index is in.
    let listed = match op.args.index("mode")? {
        0 => vec![Dim::ZERO],
        _ => op.shape("indices")?,
    };
    let bag = op.like("offsets", listed)?;
    let sizes = op.like("offsets", vec![bags.clone()])?;
    let places = match op.args.index("mode")? {
        2 => vec![bags, width.clone()],
        _ => vec![bags],
    };
    let maximum = op.like("offsets", places)?;
    Ok(Value::Tuple(vec![output, bag, sizes, maximum]))
}

fn cdist(op: &mut Op<'_>) -> Result<Value> {
    let (a, b) = (op.shape("x1")?, op.shape("x2")?);
    let (n, m) = (a.len(), b.len());
    if n < 2 || m < 2 || !compatible(&a[n - 1], &b[m - 1]) {
        return Err(op.error(format!(
            "expects two sets of points of the same size, not {} and {}",
            show::shape(&a),
            show::shape(&b)
        )));
    }
    match broadcast(&a[..n - 2], &b[..m - 2]) {
        Ok(mut shape) => {
            shape.extend([a[n - 2].clone(), b[m - 2].clone()]);
            op.like("x1", shape)
        }
        Err(_) => Err(op.error("cannot broadcast the leading dimensions")),
    }
}
