//! Arithmetic on sizes in the source lines of a user's `forward`.
//!
//! `x.view(b * h, -1)` multiplies two sizes, which the tracer records and a program does not. Where
//! a file keeps the line, it can be read off: `x.size(0)` and `x.shape[0]` are sizes by their form,
//! a bare name where a shape is written is one if people call sizes so.

use super::einops::{self, Length};
use crate::expr::{self, Argument, BinaryOp, Expr, ExprKind, UnaryOp};

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A size, or a number that was computed from one.
    Size,
    /// A shape.
    Shape,
    /// Another number.
    Number,
    /// Something else, a tensor perhaps.
    Other,
}

/// The operators on scalars that a line records, by name without `aten::`, in order. A product of bare names that
/// people give sizes is one of sizes outside shapes too where the line has more products than it makes `tensors`.
pub fn scalars(line: &str, tensors: impl FnOnce() -> usize) -> Vec<&'static str> {
    let mut reader = Reader::default();
    if let Some(text) = value(line) {
        let expr = expr::parse(text).expr;
        reader.visit(&expr, false);
        if reader.named > 0 && reader.signs > tensors() {
            reader = Reader {
                names_are_sizes: true,
                ..Reader::default()
            };
            reader.visit(&expr, false);
        }
    }
    reader.recorded
}

/// Whether an expression is a product of two names or more, each of which people give sizes.
fn is_product_of_names(expr: &Expr) -> bool {
    let is_factor = |expr: &Expr| match &expr.kind {
        ExprKind::Name(name) => is_size_name(name),
        _ => is_product_of_names(expr),
    };
    matches!(&expr.kind, ExprKind::Binary(BinaryOp::Mul, a, b) if is_factor(a) && is_factor(b))
}

/// The expression that a statement computes.
fn value(line: &str) -> Option<&str> {
    let line = line.trim();
    if [
        "if ", "elif ", "while ", "for ", "assert ", "with ", "def ", "#",
    ]
    .iter()
    .any(|keyword| line.starts_with(keyword))
    {
        return None;
    }
    Some(expr::assigned(line).0)
}

#[derive(Default)]
struct Reader {
    recorded: Vec<&'static str>,
    /// Whether a product of bare names is one of sizes wherever it is written.
    names_are_sizes: bool,
    /// How many products there are of such names outside shapes.
    named: usize,
    /// How many products outside shapes are not of two numbers.
    signs: usize,
}

impl Reader {
    /// `in_shape` says whether the expression stands where a shape or an index is written.
    fn visit(&mut self, expr: &Expr, in_shape: bool) -> Kind {
        match &expr.kind {
            ExprKind::Int(_) | ExprKind::Float(_) => Kind::Number,
            ExprKind::Name(name) if in_shape && is_size_name(name) => Kind::Size,
            ExprKind::Name(_) if in_shape => Kind::Number,
            ExprKind::Tuple(items) | ExprKind::List(items) => {
                for item in items {
                    self.visit(item, in_shape);
                }
                Kind::Other
            }
            ExprKind::Unary(UnaryOp::Neg, operand) => {
                let kind = self.visit(operand, in_shape);
                if kind == Kind::Size {
                    self.recorded.push("neg");
                }
                kind
            }
            ExprKind::Binary(op, a, b) => {
                let names = !in_shape && is_product_of_names(expr);
                let in_shape = in_shape || names && self.names_are_sizes;
                let (left, right) = (self.visit(a, in_shape), self.visit(b, in_shape));
                let of_numbers = |kind| matches!(kind, Kind::Size | Kind::Number);
                self.named += usize::from(names);
                // A name times a literal may be a plain number as well.
                let literal =
                    |expr: &Expr| matches!(expr.kind, ExprKind::Int(_) | ExprKind::Float(_));
                let name = |expr: &Expr| matches!(expr.kind, ExprKind::Name(_));
                let open = literal(a) && name(b) || name(a) && literal(b);
                let product = *op == BinaryOp::Mul && !in_shape && !open;
                self.signs += usize::from(product && !(of_numbers(left) && of_numbers(right)));
                self.binary(*op, left, right)
            }
            ExprKind::IfElse {
                then, otherwise, ..
            } => {
                self.visit(otherwise, in_shape);
                self.visit(then, in_shape)
            }
            ExprKind::Attribute(base, attribute) => {
                let base_kind = self.visit(base, false);
                match (attribute.name.as_str(), &base.kind) {
                    ("shape", _) => Kind::Shape,
                    // What a module keeps is a plain number, as far as shapes are concerned.
                    (_, ExprKind::Name(name)) if name == "self" => Kind::Number,
                    _ if base_kind == Kind::Number => Kind::Number,
                    _ => Kind::Other,
                }
            }
            ExprKind::Subscript(base, indices) => {
                let base = self.visit(base, false);
                for index in indices {
                    self.visit(index, true);
                }
                match (base, indices.as_slice()) {
                    (Kind::Shape, [index]) if !matches!(index.kind, ExprKind::Slice(..)) => {
                        Kind::Size
                    }
                    (Kind::Shape, _) => Kind::Shape,
                    _ => Kind::Other,
                }
            }
            ExprKind::Slice(lower, upper, step) => {
                for bound in [lower, upper, step].into_iter().flatten() {
                    self.visit(bound, true);
                }
                Kind::Other
            }
            ExprKind::Call(function, arguments) => self.call(function, arguments),
            _ => Kind::Other,
        }
    }

    fn call(&mut self, function: &Expr, arguments: &[Argument]) -> Kind {
        let name = match &function.kind {
            ExprKind::Name(name) => name.as_str(),
            ExprKind::Attribute(base, method) => {
                self.visit(base, false);
                method.name.as_str()
            }
            _ => "",
        };
        let is_math = function
            .dotted_name()
            .is_some_and(|name| name.starts_with("math."));
        // These give Python numbers, and what they are computed from is not used any more.
        if is_math || matches!(name, "int" | "float" | "len" | "range" | "round") {
            return Kind::Number;
        }
        if let Some(pattern) = einops::pattern(name, arguments) {
            self.rearranged(pattern, arguments);
            return Kind::Other;
        }
        let takes_shape = takes_sizes(name).is_some();
        for argument in arguments {
            self.visit(&argument.value, takes_shape);
        }
        match (name, arguments.is_empty()) {
            ("size", true) => Kind::Shape,
            ("size", false) | ("numel", _) => Kind::Size,
            _ => Kind::Other,
        }
    }

    fn rearranged(&mut self, pattern: &str, arguments: &[Argument]) {
        let mut lengths = Vec::new();
        for argument in arguments {
            match &argument.name {
                // `h=h` is a height beside a width, and a number of heads otherwise.
                Some(axis) if axis.name == "h" && !pattern.contains('w') => {
                    lengths.push(("h", Length::Number));
                }
                Some(axis) => {
                    let kind = self.visit(&argument.value, true);
                    let length = match kind {
                        Kind::Size => Length::Size,
                        _ => Length::Number,
                    };
                    lengths.push((axis.name.as_str(), length));
                }
                None => {
                    self.visit(&argument.value, false);
                }
            }
        }
        let recorded = einops::arithmetic(pattern, &lengths);
        self.recorded.extend(recorded.into_iter().flatten());
    }

    fn binary(&mut self, op: BinaryOp, left: Kind, right: Kind) -> Kind {
        let scalar = |kind| matches!(kind, Kind::Size | Kind::Number);
        if !scalar(left) || !scalar(right) {
            return Kind::Other;
        }
        if left == Kind::Number && right == Kind::Number {
            return Kind::Number;
        }
        match op {
            BinaryOp::Add => self.recorded.push("add"),
            BinaryOp::Sub if left == Kind::Size => self.recorded.push("sub"),
            BinaryOp::Sub => self.recorded.push("rsub"),
            BinaryOp::Mul => self.recorded.push("mul"),
            BinaryOp::Div if left == Kind::Size => self.recorded.push("div"),
            // `1 / size` is `size.reciprocal() * 1`.
            BinaryOp::Div => self.recorded.extend(["reciprocal", "mul"]),
            BinaryOp::FloorDiv => self.recorded.push("floor_divide"),
            BinaryOp::Mod => self.recorded.push("remainder"),
            BinaryOp::Pow => self.recorded.push("pow"),
            BinaryOp::MatMul | BinaryOp::BitAnd | BinaryOp::BitOr => {}
        }
        Kind::Size
    }
}

/// What a function or method does with the sizes that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizesFor {
    /// They are the new sizes of its first argument.
    Reshaping,
    /// It makes or repeats a tensor of them.
    Making,
    /// They are places and lengths in a tensor.
    Cutting,
}

/// What a function or method of this name takes sizes for, if it takes any.
pub fn takes_sizes(name: &str) -> Option<SizesFor> {
    Some(match name {
        "reshape" | "view" => SizesFor::Reshaping,
        "arange" | "empty" | "expand" | "full" | "interpolate" | "new_empty" | "new_full"
        | "new_ones" | "new_zeros" | "ones" | "rand" | "randn" | "repeat" | "tile" | "zeros" => {
            SizesFor::Making
        }
        "adaptive_avg_pool2d"
        | "linspace"
        | "narrow"
        | "pad"
        | "roll"
        | "split"
        | "unflatten"
        | "unfold" => SizesFor::Cutting,
        _ => return None,
    })
}

/// Whether people call a size so: `B, C, H, W = x.shape`.
fn is_size_name(name: &str) -> bool {
    matches!(
        name.trim_start_matches('_').to_ascii_lowercase().as_str(),
        "b" | "bs"
            | "bsz"
            | "batch"
            | "batch_size"
            | "batchsize"
            | "c"
            | "ch"
            | "channels"
            | "num_channels"
            | "d"
            | "h"
            | "height"
            | "l"
            | "length"
            | "n"
            | "s"
            | "seq"
            | "seq_len"
            | "seqlen"
            | "seq_length"
            | "q_len"
            | "k_len"
            | "kv_len"
            | "src_len"
            | "tgt_len"
            | "slen"
            | "t"
            | "w"
            | "width"
            | "num_key_value_heads"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_tracer_records() {
        // Scalar operators in the graphs of torch 2.15.
        for (line, expected) in [
            (
                "weights = (q @ k.transpose(-2, -1)) * (1.0 / k.size(-1) ** 0.5)",
                &["pow", "reciprocal", "mul"] as &[_],
            ),
            (
                "x = x.reshape(B * C * num_patch_h, patch_h, num_patch_w, patch_w).transpose(1, 2)",
                &["mul", "mul"],
            ),
            (
                "x = x.reshape(B, C, n, self.patch_area).transpose(1, 3).reshape(B * self.patch_area, n, -1)",
                &["mul"],
            ),
            (
                "x = x.reshape(B, C, num_patch_h * patch_h, num_patch_w * patch_w)",
                &[],
            ),
            (
                "y = torch.einsum('bqd,bkd->bqk', q, k) * q.size(-1) ** -0.5",
                &["pow"],
            ),
            ("return x.view(x.size(0), -1)", &[]),
            (
                "q, k = (rearrange(t, 'b n (h d) -> (b h) n d', h=self.heads) for t in (q, k))",
                &["floor_divide", "mul", "mul_", "mul", "mul"],
            ),
            (
                "a, b = x[..., : x.shape[-1] // 2], y * H",
                &["floor_divide"],
            ),
            (
                "x = x.view(b, 7 - h % 7, int(h * w))",
                &["remainder", "rsub"],
            ),
            ("if x.size(0) * 2 == y.size(1):", &[]),
            ("y = self.conv(x, size=x.shape[2:]) == 3", &[]),
        ] {
            assert_eq!(scalars(line, || 1), expected, "{line}");
        }
    }

    #[test]
    fn products_of_names_are_of_sizes_where_the_line_makes_fewer_of_tensors() {
        let line = "y = x * torch.sigmoid(e / (4 * (e.sum((2, 3)) / (w * h - 1))))";
        assert_eq!(scalars(line, || 2), ["mul", "sub"]);
        assert_eq!(scalars(line, || 3), [] as [&str; 0]);
        assert_eq!(scalars("l, step = l * l, step * 2", || 1), [] as [&str; 0]);
        assert_eq!(scalars("h = o * torch.tanh(c * h)", || 2), [] as [&str; 0]);
    }
}
