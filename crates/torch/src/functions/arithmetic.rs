//! Arithmetic: element by element, comparisons, matrix products.

use modelcost_core::value::Value;

use super::{ALL, BOTH, Entry, METHOD, METHOD_, OPERATOR, TORCH};
use crate::bound::Bound;
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;

macro_rules! unary {
    ($name:literal, $doc:literal) => {
        Entry::line(
            ALL,
            concat!($name, "(input)"),
            concat!("aten.", $name, "(input)"),
            $doc,
        )
    };
}

macro_rules! operator {
    ($name:literal, $aten:literal, $doc:literal) => {
        Entry::line(
            OPERATOR,
            concat!($name, "(a, b)"),
            concat!("aten.", $aten, "(a, b)"),
            $doc,
        )
    };
}

macro_rules! compare {
    ($name:literal, $doc:literal) => {
        Entry::line(
            ALL.and(OPERATOR),
            concat!($name, "(input, other)"),
            concat!("aten.", $name, "(input, other)"),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 93] = [
    // Python's operators.
    operator!("add", "add", "x + y."),
    operator!("sub", "sub", "x − y."),
    operator!("mul", "mul", "x · y, element by element."),
    operator!("truediv", "div", "x / y."),
    operator!("floordiv", "floor_divide", "x // y."),
    operator!("mod", "remainder", "x % y."),
    operator!("pow", "pow", "x ** y."),
    operator!("matmul", "matmul", "x @ y."),
    operator!("and_", "__and__", "x & y."),
    operator!("or_", "__or__", "x | y."),
    operator!("xor", "__xor__", "x ^ y."),
    Entry::line(OPERATOR, "invert(a)", "aten.bitwise_not(a)", "~x."),
    compare!("eq", "Whether elements are equal."),
    compare!("ne", "Whether elements differ."),
    compare!("lt", "Whether elements are less."),
    compare!("le", "Whether elements are less or equal."),
    compare!("gt", "Whether elements are greater."),
    compare!("ge", "Whether elements are greater or equal."),
    // Functions and methods of two arguments.
    Entry::line(
        ALL,
        "add(input, other, *, alpha=1)",
        "aten.add(input, other, alpha=alpha)",
        "x + α·y.",
    ),
    Entry::line(
        ALL,
        "sub(input, other, *, alpha=1)",
        "aten.sub(input, other, alpha=alpha)",
        "x − α·y.",
    ),
    Entry::line(
        ALL,
        "subtract(input, other, *, alpha=1)",
        "aten.subtract(input, other, alpha=alpha)",
        "x − α·y.",
    ),
    Entry::line(
        TORCH,
        "rsub(input, other, *, alpha=1)",
        "aten.rsub(input, other, alpha=alpha)",
        "y − α·x.",
    ),
    Entry::line(
        ALL,
        "mul(input, other)",
        "aten.mul(input, other)",
        "x · y, element by element.",
    ),
    Entry::line(
        ALL,
        "multiply(input, other)",
        "aten.multiply(input, other)",
        "x · y, element by element.",
    ),
    Entry::line(
        ALL,
        "div(input, other, *, rounding_mode=None)",
        "aten.div(input, other, rounding_mode=rounding_mode)",
        "x / y.",
    ),
    Entry::line(
        ALL,
        "divide(input, other, *, rounding_mode=None)",
        "aten.divide(input, other, rounding_mode=rounding_mode)",
        "x / y.",
    ),
    Entry::line(
        ALL,
        "true_divide(input, other)",
        "aten.true_divide(input, other)",
        "x / y.",
    ),
    Entry::line(
        ALL,
        "floor_divide(input, other)",
        "aten.floor_divide(input, other)",
        "x // y.",
    ),
    Entry::line(
        ALL,
        "remainder(input, other)",
        "aten.remainder(input, other)",
        "x % y.",
    ),
    Entry::line(
        ALL,
        "fmod(input, other)",
        "aten.fmod(input, other)",
        "The rest of a division, with the sign of x.",
    ),
    Entry::line(
        ALL,
        "pow(input, exponent)",
        "aten.pow(input, exponent)",
        "x to a power.",
    ),
    Entry::line(
        BOTH,
        "maximum(input, other)",
        "aten.maximum(input, other)",
        "The larger of two, element by element.",
    ),
    Entry::line(
        BOTH,
        "minimum(input, other)",
        "aten.minimum(input, other)",
        "The smaller of two, element by element.",
    ),
    Entry::line(
        ALL,
        "atan2(input, other)",
        "aten.atan2(input, other)",
        "The angle of a point.",
    ),
    Entry::line(
        ALL,
        "logical_and(input, other)",
        "aten.logical_and(input, other)",
        "Whether both hold.",
    ),
    Entry::line(
        ALL,
        "logical_or(input, other)",
        "aten.logical_or(input, other)",
        "Whether either holds.",
    ),
    Entry::line(
        ALL,
        "logical_xor(input, other)",
        "aten.logical_xor(input, other)",
        "Whether one holds and not both.",
    ),
    Entry::line(
        ALL,
        "logical_not(input)",
        "aten.logical_not(input)",
        "Whether it does not hold.",
    ),
    // One argument.
    unary!("abs", "|x|."),
    unary!("neg", "−x."),
    unary!("exp", "eˣ."),
    unary!("exp2", "2ˣ."),
    unary!("expm1", "eˣ − 1."),
    unary!("log", "Natural logarithm."),
    unary!("log2", "Logarithm to base 2."),
    unary!("log10", "Logarithm to base 10."),
    unary!("log1p", "log(1 + x)."),
    unary!("sqrt", "Square root."),
    unary!("rsqrt", "1 / √x."),
    unary!("reciprocal", "1 / x."),
    unary!("square", "x²."),
    unary!("sin", "Sine."),
    unary!("cos", "Cosine."),
    unary!("tan", "Tangent."),
    unary!("asin", "Inverse sine."),
    unary!("acos", "Inverse cosine."),
    unary!("atan", "Inverse tangent."),
    unary!("sinh", "Hyperbolic sine."),
    unary!("cosh", "Hyperbolic cosine."),
    unary!("erf", "Error function."),
    unary!("erfc", "1 − erf(x)."),
    unary!("sign", "−1, 0 or 1."),
    unary!("floor", "Rounds down."),
    unary!("ceil", "Rounds up."),
    unary!("trunc", "Rounds towards zero."),
    unary!("frac", "What is behind the point."),
    Entry::line(
        ALL,
        "round(input)",
        "aten.round(input)",
        "Rounds to the nearest integer.",
    ),
    Entry::line(
        BOTH,
        "isnan(input)",
        "aten.isnan(input)",
        "Whether elements are not numbers.",
    ),
    Entry::line(
        BOTH,
        "isinf(input)",
        "aten.isinf(input)",
        "Whether elements are infinite.",
    ),
    Entry::line(
        BOTH,
        "isfinite(input)",
        "aten.isfinite(input)",
        "Whether elements are finite.",
    ),
    Entry::line(ALL, "bitwise_not(input)", "aten.bitwise_not(input)", "~x."),
    Entry::line(
        ALL,
        "logit(input, eps=None)",
        "aten.logit(input, eps)",
        "log(x / (1 − x)).",
    ),
    Entry::line(
        ALL,
        "clamp(input, min=None, max=None)",
        "aten.clamp(input, min, max)",
        "Clamps to a range.",
    ),
    Entry::line(
        ALL,
        "clip(input, min=None, max=None)",
        "aten.clip(input, min, max)",
        "Clamps to a range.",
    ),
    Entry::line(
        ALL,
        "clamp_min(input, min)",
        "aten.clamp_min(input, min)",
        "At least a value.",
    ),
    Entry::line(
        ALL,
        "clamp_max(input, max)",
        "aten.clamp_max(input, max)",
        "At most a value.",
    ),
    Entry::line(
        ALL,
        "nan_to_num(input, nan=0.0, posinf=None, neginf=None)",
        "aten.nan_to_num(input, nan, posinf, neginf)",
        "Replaces what is not a finite number.",
    ),
    // Three.
    Entry::line(
        BOTH,
        "where(condition, input, other)",
        "aten.where(condition, input, other)",
        "One or the other, by a condition.",
    ),
    Entry::line(
        ALL,
        "masked_fill(input, mask, value)",
        "aten.masked_fill(input, mask, value)",
        "A value wherever a mask holds.",
    ),
    Entry::line(
        ALL,
        "lerp(input, end, weight)",
        "aten.lerp(input, end, weight)",
        "Between two tensors.",
    ),
    Entry::line(
        ALL,
        "addcmul(input, tensor1, tensor2, *, value=1)",
        "aten.addcmul(input, tensor1, tensor2, value=value)",
        "x + v·a·b.",
    ),
    Entry::line(
        ALL,
        "addcdiv(input, tensor1, tensor2, *, value=1)",
        "aten.addcdiv(input, tensor1, tensor2, value=value)",
        "x + v·a/b.",
    ),
    // Matrix products.
    Entry::line(
        BOTH,
        "matmul(input, other)",
        "aten.matmul(input, other)",
        "Matrix product, broadcast over leading dimensions.",
    ),
    Entry::line(
        BOTH,
        "mm(input, mat2)",
        "aten.mm(input, mat2)",
        "Product of two matrices.",
    ),
    Entry::line(
        BOTH,
        "bmm(input, mat2)",
        "aten.bmm(input, mat2)",
        "Products of two batches of matrices.",
    ),
    Entry::line(
        ALL,
        "addmm(input, mat1, mat2, *, beta=1, alpha=1)",
        "aten.addmm(input, mat1, mat2, beta=beta, alpha=alpha)",
        "β·x + α·(A B).",
    ),
    Entry::line(
        ALL,
        "baddbmm(input, batch1, batch2, *, beta=1, alpha=1)",
        "aten.baddbmm(input, batch1, batch2, beta=beta, alpha=alpha)",
        "β·x + α·(A B) for batches.",
    ),
    Entry::line(
        BOTH,
        "mv(input, vec)",
        "aten.mv(input, vec)",
        "Product of a matrix and a vector.",
    ),
    Entry::line(
        BOTH,
        "dot(input, tensor)",
        "aten.dot(input, tensor)",
        "Product of two vectors.",
    ),
    Entry::line(
        BOTH,
        "outer(input, vec2)",
        "aten.outer(input, vec2)",
        "All products of two vectors' elements.",
    ),
    Entry::code(
        TORCH,
        "einsum(equation, *operands)",
        einsum,
        "Products summed over the letters an equation repeats.",
    ),
    Entry::line(
        TORCH,
        "cdist(x1, x2, p=2.0)",
        "aten.cdist(x1, x2, p)",
        "Distances between two sets of points.",
    ),
    Entry::line(
        METHOD.and(METHOD_),
        "fill(input, value)",
        "aten.fill(input, value)",
        "One value everywhere.",
    ),
];

/// The operands are given one by one or as one list.
fn einsum(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let operands = args.value("operands").tensors();
    let operands = operands.into_iter().map(Value::Tensor).collect();
    let arguments = Arguments::of([args.value("equation").clone(), Value::Tuple(operands)]);
    t.call_operator("aten.einsum", &arguments)
}
