//! What ultralytics-thop's formulas ask beyond a call's own names.

use std::collections::BTreeMap;

use modelcost_core::dim::Dim;
use modelcost_core::formula::{EvalError, Quantity};

type Evaluated = Result<Quantity, EvalError>;

fn error(message: &str) -> Evaluated {
    Err(EvalError::Type(message.into()))
}

/// `calculate_softmax(batch_size, nfeatures)`: exponentials, additions and divisions of each vector.
pub fn softmax(arguments: &[Quantity]) -> Evaluated {
    let [Quantity::Int(vectors), Quantity::Int(features)] = arguments else {
        return error("softmax() takes two numbers");
    };
    // A free size is positive.
    let additions = match features {
        Dim::Const(0) => Dim::ZERO,
        features => features - 1,
    };
    Ok(Quantity::Int(vectors * &(features * 2 + additions)))
}

/// How many elements a softmax normalises together. `dim` is the module's, `None` for torch's
/// implicit choice.
pub fn features(arguments: &[Quantity], dim: Option<Dim>) -> Evaluated {
    let [Quantity::Seq(shape)] = arguments else {
        return error("features() takes a shape");
    };
    let rank = shape.len();
    let dim = match dim {
        Some(dim) => dim.as_i64().unwrap_or(0),
        None if [0, 1, 3].contains(&rank) => 0,
        None => 1,
    };
    if rank == 0 {
        return Ok(Quantity::Int(Dim::ONE));
    }
    let at = if dim < 0 { dim + rank as i64 } else { dim };
    let size = usize::try_from(at).ok().and_then(|at| shape.get(at));
    size.cloned().ok_or(EvalError::Index {
        index: dim,
        length: rank,
    })
}

/// The inputs that the windows of an average pooling read, for each pooled dimension:
/// `windows(sizes, outputs, kernel_size, stride, padding)`.
pub fn windows(arguments: &[Quantity], include_pad: bool, ceil_mode: bool) -> Evaluated {
    let [sizes, outputs, kernel, stride, padding] = arguments else {
        return error("windows() takes five arguments");
    };
    let dims = integers(sizes, 0)?.len();
    let (sizes, outputs) = (integers(sizes, dims)?, integers(outputs, dims)?);
    let (kernel, padding) = (integers(kernel, dims)?, integers(padding, dims)?);
    let stride = match stride {
        Quantity::None => kernel.clone(),
        stride => integers(stride, dims)?,
    };
    let mut product = Dim::ONE;
    for at in 0..dims {
        let (k, p) = (&kernel[at], &padding[at]);
        let known = [&sizes[at], &outputs[at], k, &stride[at], p].map(|d| d.as_const());
        product = product
            * match known {
                [
                    Some(size),
                    Some(output),
                    Some(kernel),
                    Some(stride),
                    Some(pad),
                ] => {
                    let window = Window {
                        kernel,
                        stride,
                        pad,
                        include_pad,
                    };
                    window.read(size, output)?
                }
                // Without ceil_mode no window leaves the padded input.
                _ if !ceil_mode && (include_pad || *p == Dim::ZERO) => k * &outputs[at],
                _ => return error("the windows at the border depend on the size"),
            };
    }
    Ok(Quantity::Int(product))
}

struct Window {
    kernel: i128,
    stride: i128,
    pad: i128,
    include_pad: bool,
}

impl Window {
    fn read(&self, size: i128, output: i128) -> Result<Dim, EvalError> {
        // No real pooling has so many outputs; a loop over them must end.
        if output > 1 << 24 {
            return Err(EvalError::Overflow);
        }
        let (lower, upper) = if self.include_pad {
            (-self.pad, size.saturating_add(self.pad))
        } else {
            (0, size)
        };
        let mut sum = Dim::ZERO;
        for at in 0..output {
            let start = at.saturating_mul(self.stride).saturating_sub(self.pad);
            let end = start.saturating_add(self.kernel);
            sum += Dim::from((end.min(upper) - start.max(lower)).max(0));
        }
        Ok(sum)
    }
}

fn integers(quantity: &Quantity, dims: usize) -> Result<Vec<Dim>, EvalError> {
    let number = |quantity: &Quantity| match quantity {
        Quantity::Int(dim) => Ok(dim.clone()),
        _ => Err(EvalError::Type("a size must be a number".into())),
    };
    match quantity {
        Quantity::Seq(items) => items.iter().map(number).collect(),
        single => Ok(vec![number(single)?; dims]),
    }
    .and_then(|sizes: Vec<Dim>| {
        if dims > 0 && sizes.len() != dims {
            return Err(EvalError::Type("sizes of different dimensions".into()));
        }
        Ok(sizes)
    })
}

/// The inputs that the windows of an adaptive pooling read: `adaptive_windows(in.shape, out.shape)`.
///
/// Window `j` spans `[j * i // o, ceil((j + 1) * i / o))`, and the lengths of all of them sum to
/// `i + o - gcd(i, o)`.
pub fn adaptive_windows(arguments: &[Quantity]) -> Evaluated {
    let [inputs, outputs] = arguments else {
        return error("adaptive_windows() takes two shapes");
    };
    let (inputs, outputs) = (integers(inputs, 0)?, integers(outputs, 0)?);
    let mut product = Dim::ONE;
    for (i, o) in inputs.iter().zip(&outputs) {
        product = product
            * match (i.as_const(), o.as_const()) {
                _ if i == o => o.clone(),
                (_, Some(1)) => i.clone(),
                (Some(i), Some(o)) => Dim::from(i) + o - gcd(i, o),
                _ => return error("the windows depend on the size"),
            };
    }
    Ok(Quantity::Int(product))
}

fn gcd(a: i128, b: i128) -> i128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The multiply-adds of an einsum of two operands, `(equation, a, b)` or `(equation, [a, b])`: the
/// product of the sizes of all labels that both have or that the output keeps. Other numbers of
/// operands count nothing.
pub fn einsum_products(arguments: &[Quantity]) -> Evaluated {
    let [Quantity::Seq(inputs)] = arguments else {
        return error("einsum_products() takes the arguments of einsum()");
    };
    let Some((Quantity::Str(equation), mut operands)) = inputs.split_first() else {
        return error("the equation of an einsum must be a string");
    };
    // All operands together are one value, and so is a list that they were given as.
    while let [Quantity::Seq(inner)] = operands {
        operands = inner;
    }
    let [a, b] = operands else {
        return Ok(Quantity::Int(Dim::ZERO));
    };
    let equation = equation.replace(' ', "");
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, right.to_string()),
        None => (equation.as_str(), implicit_output(&equation)),
    };
    let subscripts: Vec<&str> = left.split(',').collect();
    let [first, second] = subscripts[..] else {
        return error("an einsum needs a subscript for each operand");
    };
    let (first, second) = (labels(first, a)?, labels(second, b)?);
    let mut product = Dim::ONE;
    for label in first
        .keys()
        .chain(second.keys().filter(|k| !first.contains_key(k)))
    {
        let is_kept = match label {
            Label::Letter(letter) => right.contains(*letter),
            Label::Ellipsis(_) => right.contains("..."),
        };
        let both = first.contains_key(label) && second.contains_key(label);
        if let Some(size) = first.get(label).or_else(|| second.get(label))
            && (both || is_kept)
        {
            product *= size;
        }
    }
    Ok(Quantity::Int(product))
}

/// The ellipsis and every label written once, in no particular order.
fn implicit_output(left: &str) -> String {
    let once = left
        .chars()
        .filter(|c| left.matches(*c).count() == 1 && *c != ',');
    format!("...{}", once.collect::<String>())
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Letter(char),
    /// A dimension under the ellipsis, counted from the right.
    Ellipsis(usize),
}

/// The size of each label of an operand; sizes of one are left out, they broadcast.
fn labels(subscript: &str, operand: &Quantity) -> Result<BTreeMap<Label, Dim>, EvalError> {
    let Quantity::Tensor { shape, .. } = operand else {
        return Err(EvalError::Type("an operand must be a tensor".into()));
    };
    let Some(shape) = shape else {
        return Err(EvalError::UnknownShape("an operand".into()));
    };
    let (head, tail) = subscript.split_once("...").unwrap_or((subscript, ""));
    let letters = head.chars().count() + tail.chars().count();
    let hidden = shape.len().saturating_sub(letters);
    let names = head.chars().map(Label::Letter);
    let names = names.chain((1..=hidden).rev().map(Label::Ellipsis));
    let names = names.chain(tail.chars().map(Label::Letter));
    let sizes = names.zip(shape.iter().cloned());
    Ok(sizes.filter(|(_, size)| *size != Dim::ONE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::dtype::DType;

    fn sizes(sizes: &[i64]) -> Quantity {
        Quantity::Seq(sizes.iter().map(|d| Quantity::Int(Dim::from(*d))).collect())
    }

    fn tensor(sizes: &[i64]) -> Quantity {
        Quantity::Tensor {
            shape: Some(sizes.iter().map(|d| Dim::from(*d)).collect()),
            dtype: Some(DType::Float32),
        }
    }

    fn number(value: i64) -> Evaluated {
        Ok(Quantity::Int(Dim::from(value)))
    }

    #[test]
    fn adaptive_windows_overlap() {
        // ultralytics-thop 2.2.3 counts AdaptiveAvgPool2d(6) of 1×256×13×13 as 92160, which has
        // 9216 divisions.
        let windows = adaptive_windows(&[sizes(&[1, 256, 13, 13]), sizes(&[1, 256, 6, 6])]);
        assert_eq!(windows, number(92160 - 9216));
    }

    #[test]
    fn windows_stop_at_the_border() {
        let read = |include_pad| {
            let arguments = [
                sizes(&[5]),
                sizes(&[3]),
                sizes(&[3]),
                Quantity::Int(Dim::from(2)),
                sizes(&[1]),
            ];
            windows(&arguments, include_pad, false)
        };
        assert_eq!(read(true), number(9));
        assert_eq!(read(false), number(7));
    }

    #[test]
    fn einsum_of_two() {
        let count = |equation: &str, a: &[i64], b: &[i64]| {
            let inputs = vec![Quantity::Str(equation.into()), tensor(a), tensor(b)];
            einsum_products(&[Quantity::Seq(inputs)])
        };
        assert_eq!(
            count("bhid, bhjd -> bhij", &[2, 4, 10, 8], &[2, 4, 12, 8]),
            number(2 * 4 * 10 * 12 * 8)
        );
        assert_eq!(
            count("...ij,jk", &[7, 3, 4], &[4, 5]),
            number(7 * 3 * 4 * 5)
        );
        // `j` of the first operand is summed before the product.
        assert_eq!(count("ij,ik->ik", &[3, 4], &[3, 5]), number(15));
    }
}
