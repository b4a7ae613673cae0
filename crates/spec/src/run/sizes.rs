//! Products of sizes in the lines of a spec.
//!
//! `torch.jit.trace` records `b * h` of `x.view(b * h, -1)` as an operator where `b` was read off a tensor. A spec's lines are
//! those of the `forward`, so that its products are the tracer's: they are noted for the conventions that count them. Where a
//! line has a number in the place of such a product, nobody can tell, and that is noted too. A body with `sizes` says itself
//! which lines there are.

use std::cell::Cell;
use std::rc::Rc;

use modelcost_core::SmolStr;
use modelcost_core::expr::{Argument, BinaryOp, Expr, ExprKind};
use modelcost_core::jit::{self, SizesFor};
use modelcost_core::trace::CallId;
use modelcost_core::value::Value;

use super::{Context, Run, builtins};
use crate::document::{Key, Layer, Part};

/// What an expression is to a tracer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number that Python knows.
    #[default]
    Number,
    /// A size of a tensor, or what was computed from one.
    Size,
    /// A size of the model's input by its symbol: of a tensor, or one that Python knows.
    Unsure,
    /// Several of these.
    Sizes,
    /// A tensor, or something else.
    Other,
}

/// What a name is to a tracer, and how many products were made for it that no tensor has taken yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Traced {
    pub kind: Kind,
    pub products: Rc<Cell<usize>>,
}

/// What is found in a line.
pub(super) struct Reader<'c> {
    pub context: &'c Context,
    pub first_call: CallId,
    products: usize,
    unclear: bool,
}

impl<'d> Run<'d> {
    /// Notes the products of sizes of a line that has been run, and what its names are to a tracer.
    pub(super) fn products_of_sizes(
        &mut self,
        layer: &'d Layer,
        expr: &'d Expr,
        value: &Value,
        context: &Context,
        first_call: CallId,
    ) {
        if self.sizes_said || self.dry {
            return;
        }
        let expr = match &expr.kind {
            ExprKind::Binary(BinaryOp::Mul, _, what)
                if layer.repeat.is_none()
                    && self
                        .repeat_count(expr, super::layers::index_named(layer), context)
                        .is_some() =>
            {
                what
            }
            _ => expr,
        };
        let mut reader = Reader {
            context,
            first_call,
            products: 0,
            unclear: false,
        };
        let kind = self.traced_kind(expr, &mut reader);
        let (products, unclear) = (reader.products, reader.unclear);
        if unclear {
            self.note_unclear(layer);
        }
        if !value.tensors().is_empty() {
            self.note_products(products, first_call);
            // Numbers beside tensors are sizes: `x, h, w = embed`.
            if let Key::Unpack(parts) = &layer.key {
                Part::names(parts)
                    .iter()
                    .for_each(|name| context.scope.take_sizes(&name.name));
            }
            return;
        }
        let waiting = Rc::new(Cell::new(products));
        let traced = |kind| Traced {
            kind,
            products: waiting.clone(),
        };
        match &layer.key {
            Key::Name(name) if kind != Kind::Number => {
                context.scope.set_traced(name.clone(), traced(kind));
            }
            Key::Unpack(parts) if kind == Kind::Sizes => {
                for name in Part::names(parts) {
                    let name = name.name.clone();
                    context.scope.set_traced(name, traced(Kind::Size));
                }
            }
            _ => self.note_products(products, first_call),
        }
    }

    /// Notes the products in what a layer is applied to, or in what a body returns.
    pub(super) fn products_in(
        &mut self,
        exprs: impl Iterator<Item = &'d Expr>,
        context: &Context,
        first_call: CallId,
    ) {
        if self.sizes_said || self.dry {
            return;
        }
        let mut reader = Reader {
            context,
            first_call,
            products: 0,
            unclear: false,
        };
        for expr in exprs {
            self.traced_kind(expr, &mut reader);
        }
        self.note_products(reader.products, first_call);
    }

    fn note_products(&mut self, products: usize, call: CallId) {
        if products > 0 {
            let trace = self.tracer.builder.trace_mut();
            trace.products.push((call, products));
        }
    }

    fn note_unclear(&mut self, layer: &Layer) {
        let name = match &layer.key {
            Key::Name(name) => name.clone(),
            Key::Unpack(parts) => Part::written(parts).into(),
            Key::Pattern { stem, .. } => stem.clone(),
            Key::Next => "an array".into(),
        };
        let block = self.stack.last().map(|(block, _)| block.clone());
        let place = match block {
            Some(block) => format!("{block}.{name}").into(),
            None => name,
        };
        let unsaid = &mut self.tracer.builder.trace_mut().products_unsaid;
        unsaid.get_or_insert(place);
    }

    fn traced_kind(&mut self, expr: &'d Expr, reader: &mut Reader<'_>) -> Kind {
        match &expr.kind {
            ExprKind::Int(_) | ExprKind::Float(_) | ExprKind::Bool(_) => Kind::Number,
            ExprKind::Name(name) => self.traced_name(name, reader),
            ExprKind::Tuple(items) | ExprKind::List(items) => {
                let mut out = Kind::Other;
                for item in items {
                    if matches!(self.traced_kind(item, reader), Kind::Size | Kind::Unsure) {
                        out = Kind::Sizes;
                    }
                }
                out
            }
            ExprKind::Unary(_, operand) => self.traced_kind(operand, reader),
            ExprKind::Binary(op, a, b) => {
                let (a, b) = (self.traced_kind(a, reader), self.traced_kind(b, reader));
                computed(*op, a, b, reader)
            }
            ExprKind::IfElse {
                then, otherwise, ..
            } => match self.taken.get(&(expr.span.start, expr.span.end)) {
                Some(true) => self.traced_kind(then, reader),
                Some(false) => self.traced_kind(otherwise, reader),
                None => Kind::Other,
            },
            ExprKind::Attribute(base, name) => {
                self.traced_kind(base, reader);
                match name.name.as_str() {
                    "shape" => Kind::Sizes,
                    _ => Kind::Other,
                }
            }
            ExprKind::Subscript(base, indices) => {
                if is_size_among(base, indices, reader) {
                    return Kind::Size;
                }
                let base = self.traced_kind(base, reader);
                for index in indices {
                    self.traced_kind(index, reader);
                }
                let part = indices.len() == 1 && matches!(indices[0].kind, ExprKind::Slice(..));
                match base {
                    Kind::Sizes if part => Kind::Sizes,
                    Kind::Sizes => Kind::Size,
                    _ => Kind::Other,
                }
            }
            ExprKind::Slice(lower, upper, step) => {
                for bound in [lower, upper, step].into_iter().flatten() {
                    self.traced_kind(bound, reader);
                }
                Kind::Other
            }
            ExprKind::Call(callee, arguments) => self.traced_call(expr, callee, arguments, reader),
            // What is compared is used no more once it has been.
            _ => Kind::Other,
        }
    }

    fn traced_name(&mut self, name: &SmolStr, reader: &mut Reader<'_>) -> Kind {
        let scope = &reader.context.scope;
        if let Some(traced) = scope.traced(name) {
            reader.products += traced.products.take();
            return traced.kind;
        }
        let number = scope.with(name, |binding| {
            matches!(
                &binding.value,
                Some(super::Val::Data(Value::Int(_) | Value::Float(_)))
            )
        });
        match number {
            Some(true) if self.known_dims.contains(name) => Kind::Unsure,
            Some(true) => Kind::Number,
            _ => Kind::Other,
        }
    }

    fn traced_call(
        &mut self,
        expr: &'d Expr,
        callee: &'d Expr,
        arguments: &'d [Argument],
        reader: &mut Reader<'_>,
    ) -> Kind {
        // What a constructor is given is worked out before anything is traced.
        if self.is_constructor(expr, reader.context) {
            return Kind::Other;
        }
        let dotted = self.free_dotted_name(callee, reader.context);
        match dotted.as_deref() {
            Some("min" | "max" | "abs" | "sum" | "list" | "tuple") => {
                let mut out = Kind::Number;
                for argument in arguments {
                    let kind = self.traced_kind(&argument.value, reader);
                    if kind != Kind::Number {
                        out = kind;
                    }
                }
                return out;
            }
            Some("math.prod") => {
                let known = self.traced_arguments(arguments, reader);
                reader.unclear |= known;
                return if known { Kind::Size } else { Kind::Number };
            }
            // These give Python's numbers, and what they are computed from is used no more.
            Some(name) if builtins::is_function(name) && name != builtins::HOOKED => {
                return Kind::Number;
            }
            _ => {}
        }
        if let Some(name) = dotted
            .as_deref()
            .and_then(|name| name.strip_prefix("einops."))
            && let Some(pattern) = jit::einops_pattern(name, arguments)
        {
            self.rearranged(pattern, arguments, reader);
            return Kind::Other;
        }
        let method = match &callee.kind {
            ExprKind::Attribute(base, name) => {
                if dotted.is_none() {
                    self.traced_kind(base, reader);
                }
                Some(name.name.as_str())
            }
            ExprKind::Call(..) if !self.is_constructor(callee, reader.context) => {
                self.traced_kind(callee, reader);
                None
            }
            _ => None,
        };
        match (method, arguments) {
            (Some("size"), []) => return Kind::Sizes,
            (Some("size" | "numel" | "nelement"), _) => return Kind::Size,
            (Some("dim" | "ndimension"), []) => return Kind::Number,
            _ => {}
        }
        // A line with sizes of tensors is taken at its word.
        let sized = self.traced_arguments(arguments, reader);
        let Some(method) = method.filter(|_| !sized) else {
            return Kind::Other;
        };
        reader.unclear |= match jit::takes_sizes(method) {
            Some(SizesFor::Reshaping) => self.hides_a_product(expr, arguments, reader),
            Some(SizesFor::Making) => self.may_be_a_product(arguments, reader),
            Some(SizesFor::Cutting) | None => false,
        };
        Kind::Other
    }

    /// Reads a call of einops, which multiplies lengths itself.
    fn rearranged(&mut self, pattern: &str, arguments: &'d [Argument], reader: &mut Reader<'_>) {
        let mut lengths = Vec::new();
        for argument in arguments {
            let kind = self.traced_kind(&argument.value, reader);
            if let Some(axis) = &argument.name {
                lengths.push((axis.name.as_str(), kind == Kind::Size));
                reader.unclear |= kind == Kind::Unsure;
            }
        }
        match jit::einops_products(pattern, &lengths) {
            Some(products) => reader.products += products,
            None => reader.unclear = true,
        }
    }

    /// Reads arguments; says whether sizes are among them.
    fn traced_arguments(&mut self, arguments: &'d [Argument], reader: &mut Reader<'_>) -> bool {
        let mut sizes = false;
        for argument in arguments {
            let kind = self.traced_kind(&argument.value, reader);
            sizes |= matches!(kind, Kind::Size | Kind::Sizes | Kind::Unsure);
        }
        sizes
    }
}

/// Whether an item of several values is a number beside tensors: `parts[1]` of `x, h, w`.
fn is_size_among(base: &Expr, indices: &[Expr], reader: &Reader<'_>) -> bool {
    let (ExprKind::Name(name), [index]) = (&base.kind, indices) else {
        return false;
    };
    let ExprKind::Int(at) = index.kind else {
        return false;
    };
    let found = reader.context.scope.with(name, |binding| {
        let Some(super::Val::Data(value)) = &binding.value else {
            return false;
        };
        let item = usize::try_from(at)
            .ok()
            .and_then(|at| value.items()?.get(at));
        !value.tensors().is_empty() && matches!(item, Some(Value::Int(_)))
    });
    found == Some(true)
}

/// What an operation gives.
fn computed(op: BinaryOp, a: Kind, b: Kind, reader: &mut Reader<'_>) -> Kind {
    let scalar = |kind| matches!(kind, Kind::Number | Kind::Size | Kind::Unsure);
    if !scalar(a) || !scalar(b) {
        return match (a, b) {
            // `x.shape[:2] + (4,)`
            (Kind::Sizes, _) | (_, Kind::Sizes) if op == BinaryOp::Add => Kind::Sizes,
            _ => Kind::Other,
        };
    }
    let sized = a == Kind::Size || b == Kind::Size;
    let product = match op {
        BinaryOp::Mul => true,
        // `1 / size` is `size.reciprocal() * 1`.
        BinaryOp::Div => a == Kind::Number,
        _ => false,
    };
    match (sized, a == b) {
        (true, _) => {
            reader.products += usize::from(product);
            Kind::Size
        }
        (false, true) if a == Kind::Number => Kind::Number,
        (false, _) => {
            reader.unclear |= product;
            Kind::Unsure
        }
    }
}
