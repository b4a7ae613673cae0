//! ATen's operators: one row each, with the rule for the shape of its output.

mod contract;
mod conv;
mod create;
mod cut;
mod elementwise;
mod index;
mod matmul;
mod norm;
mod output;
mod pool;
mod recurrent;
mod reduce;
mod reshape;
mod spectral;

use std::sync::OnceLock;

use foldhash::HashMap;
use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Shape, TensorId};
use modelcost_core::value::Value;

use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::show;
use crate::signature::{Lazy, Signature};
use crate::tracer::Tracer;

pub use output::output_shapes;

/// More dimensions than PyTorch allows a tensor.
pub(crate) const MAX_RANK: usize = 64;

/// What one operator is: a row of a table. The signature is its ATen schema in Python's syntax.
#[derive(Debug)]
pub(crate) struct Entry {
    signature: Lazy,
    names: OnceLock<[SmolStr; 2]>,
    /// Makes the output.
    pub shape: Rule,
}

/// A rule that makes an operator's output.
pub(crate) type Rule = fn(&mut Op<'_>) -> Result<Value>;

const fn row(signature: &'static str, shape: Rule) -> Entry {
    Entry {
        signature: Lazy::new(signature),
        names: OnceLock::new(),
        shape,
    }
}

impl Entry {
    /// `aten.relu`, or `aten.relu_`.
    pub(crate) fn name(&self, in_place: bool) -> &SmolStr {
        let names = self.names.get_or_init(|| {
            let short = self.signature.name();
            let namespace = match short {
                "deform_conv2d" => "torchvision",
                _ => "aten",
            };
            [
                format!("{namespace}.{short}").into(),
                format!("{namespace}.{short}_").into(),
            ]
        });
        &names[usize::from(in_place)]
    }

    pub(crate) fn signature(&self) -> &Signature {
        self.signature.get()
    }
}

static TABLES: [&[Entry]; 13] = [
    &contract::OPERATORS,
    &conv::OPERATORS,
    &matmul::OPERATORS,
    &elementwise::OPERATORS,
    &norm::OPERATORS,
    &pool::OPERATORS,
    &reshape::OPERATORS,
    &cut::OPERATORS,
    &reduce::OPERATORS,
    &create::OPERATORS,
    &index::OPERATORS,
    &recurrent::OPERATORS,
    &spectral::OPERATORS,
];

/// Finds an operator, and whether the name is the in-place form, which ends in `_`.
pub(crate) fn find(name: &str) -> Result<(&'static Entry, bool)> {
    let short = ["aten.", "torchvision."]
        .iter()
        .find_map(|namespace| name.strip_prefix(namespace))
        .unwrap_or(name);
    find_short(short).ok_or_else(|| TorchError::new(format!("there is no operator '{name}'")))
}

/// As [`find`], without the namespace.
pub(crate) fn find_short(short: &str) -> Option<(&'static Entry, bool)> {
    static INDEX: OnceLock<HashMap<&'static str, &'static Entry>> = OnceLock::new();
    let index = INDEX.get_or_init(|| {
        let mut index = HashMap::default();
        index.reserve(TABLES.iter().map(|table| table.len()).sum());
        let rows = TABLES.iter().flat_map(|table| table.iter());
        index.extend(rows.map(|entry| (entry.signature.name(), entry)));
        index
    });
    match index.get(short) {
        Some(entry) => Some((entry, false)),
        None => index
            .get(short.strip_suffix('_')?)
            .map(|entry| (*entry, true)),
    }
}

/// The schema of an operator, `aten.conv2d`, in Python's syntax.
pub fn signature(name: &str) -> Option<&'static Signature> {
    find(name).ok().map(|(entry, _)| entry.signature())
}

/// An operator call in the making.
pub(crate) struct Op<'a> {
    pub tracer: &'a mut Tracer,
    pub args: &'a Bound,
}

impl Op<'_> {
    /// The shape of an argument.
    pub fn shape(&self, name: &str) -> Result<Shape> {
        Ok(self.tracer.shape(self.args.tensor(name)?))
    }

    /// The shape of an argument that may be `None`.
    pub fn optional_shape(&self, name: &str) -> Result<Option<Shape>> {
        let tensor = self.args.optional_tensor(name)?;
        Ok(tensor.map(|id| self.tracer.shape(id)))
    }

    /// The element type of an argument.
    pub fn dtype(&self, name: &str) -> Result<DType> {
        Ok(self.tracer.dtype(self.args.tensor(name)?))
    }

    /// The argument `dtype` where it is given, else the type of an argument.
    pub fn dtype_or(&self, name: &str) -> Result<DType> {
        match self.args.value("dtype") {
            Value::DType(dtype) => Ok(*dtype),
            _ => self.dtype(name),
        }
    }

    /// A tensor of the operator's output.
    pub fn tensor(&mut self, shape: Shape, dtype: DType) -> Result<Value> {
        self.tracer.new_tensor(shape, dtype)
    }

    /// An output of an argument's type.
    pub fn like(&mut self, name: &str, shape: Shape) -> Result<Value> {
        let dtype = self.dtype(name)?;
        self.tensor(shape, dtype)
    }

    /// The shape of a tensor.
    pub fn shape_of(&self, tensor: TensorId) -> Shape {
        self.tracer.shape(tensor)
    }

    /// A size that depends on the numbers in the tensors; the trace says so.
    pub fn unknown(&mut self, what: &str) -> Dim {
        let caller = self.tracer.caller();
        let note = format!("how much {caller} gives depends on the numbers in its input");
        self.tracer.note(Level::Partial, note);
        let trace = self.tracer.builder.trace();
        Dim::unknown(format!("{what}{}", trace.tensors.len()))
    }

    /// Notes where two shapes that must broadcast do so only if a free size is the other's: the
    /// answer holds for that size alone. Both are aligned at their last dimension.
    pub fn assume_equal(&mut self, a: &[Dim], b: &[Dim]) {
        for (a, b) in a.iter().rev().zip(b.iter().rev()) {
            if *a == Dim::ONE || *b == Dim::ONE || !may_differ(a, b) {
                continue;
            }
            let caller = self.tracer.caller();
            let note =
                format!("{caller} takes {a} and {b} for equal, which holds for some sizes only");
            self.tracer.note(Level::Reconstructed, note);
        }
    }

    /// An error that begins with who called.
    pub fn error(&self, message: impl std::fmt::Display) -> TorchError {
        TorchError::new(format!("{} {message}", self.tracer.caller()))
    }

    /// An error about the size of one dimension of the input.
    pub fn expected(&self, what: impl std::fmt::Display, input: &[Dim]) -> TorchError {
        self.error(format!(
            "expects {what}, but the input is {}",
            show::shape(input)
        ))
    }

    /// A dimension, counted from the end if negative, as an index.
    pub fn dimension(&self, name: &str, rank: usize) -> Result<usize> {
        let index = self.args.index(name)?;
        self.wrap(index, rank)
    }

    /// Counts a dimension from the end if it is negative. A scalar has the dimensions 0 and -1.
    pub fn wrap(&self, index: i64, rank: usize) -> Result<usize> {
        let range = rank.max(1) as i64;
        if index < -range || index >= range {
            return Err(self.error(format!(
                "is given dimension {index}, but the input has {rank} (from {} to {})",
                -range,
                range - 1
            )));
        }
        Ok(index.rem_euclid(range) as usize)
    }

    /// Several dimensions, each once.
    pub fn dimensions(&self, name: &str, rank: usize) -> Result<Vec<usize>> {
        let mut out = Vec::new();
        for index in self.args.indices(name)? {
            let dim = self.wrap(index, rank)?;
            if out.contains(&dim) {
                return Err(self.error(format!("is given dimension {dim} twice")));
            }
            out.push(dim);
        }
        Ok(out)
    }
}

/// Whether two sizes can be equal: they are, or at least one is not known.
pub(crate) fn compatible(a: &Dim, b: &Dim) -> bool {
    match (a.as_const(), b.as_const()) {
        (Some(a), Some(b)) => a == b,
        _ => !a.is_overflow() && !b.is_overflow(),
    }
}

/// Whether two sizes that can be equal are different ones for most values of their symbols. Sizes
/// that depend on the data are not judged.
fn may_differ(a: &Dim, b: &Dim) -> bool {
    if a == b || a.is_const() && b.is_const() || a.has_unknown() || b.has_unknown() {
        return false;
    }
    let mut symbols = a.symbols();
    symbols.extend(b.symbols());
    // Two ways to write one size, `(s + 31) // 32` and `((s + 15) // 16 + 1) // 2`, agree everywhere.
    [64i64, 97, 224].into_iter().any(|size| {
        let value = |name: &str| {
            let at = symbols.iter().position(|symbol| symbol == name)?;
            Some(Dim::from(size + 7 * at as i64))
        };
        a.substitute(&value) != b.substitute(&value)
    })
}

/// The better known of two sizes that are equal.
pub(crate) fn unify(a: &Dim, b: &Dim) -> Dim {
    if a.is_const() || !b.is_const() {
        a.clone()
    } else {
        b.clone()
    }
}

/// The shape that two broadcast to, or the sizes that do not fit.
pub(crate) fn broadcast(a: &[Dim], b: &[Dim]) -> std::result::Result<Shape, (Dim, Dim)> {
    let rank = a.len().max(b.len());
    let at = |shape: &[Dim], index: usize| {
        let missing = rank - shape.len();
        index
            .checked_sub(missing)
            .map_or(Dim::ONE, |i| shape[i].clone())
    };
    (0..rank)
        .map(|index| {
            let (x, y) = (at(a, index), at(b, index));
            match () {
                _ if x == y || y == Dim::ONE => Ok(x),
                _ if x == Dim::ONE => Ok(y),
                _ if compatible(&x, &y) => Ok(unify(&x, &y)),
                _ => Err((x, y)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Arguments;

    fn add(a: Dim, b: Dim) -> (Level, String) {
        let mut tracer = Tracer::new("case", "test");
        let mut input = |name, size| {
            let shape = vec![Dim::ONE, size, Dim::from(64)];
            Value::Tensor(tracer.input(name, shape, DType::Float32))
        };
        let arguments = Arguments::of([input("x", a), input("y", b)]);
        tracer.call_operator("aten.add", &arguments).unwrap();
        let fidelity = tracer.finish().fidelity;
        (fidelity.level, fidelity.notes.join("; "))
    }

    #[test]
    fn a_free_size_that_meets_another_is_noted() {
        let length = || Dim::symbol("seq");
        let (level, note) = add(length(), Dim::from(512));
        assert_eq!(level, Level::Reconstructed);
        assert!(note.contains("takes seq and 512 for equal"), "{note}");
        assert_eq!(add(length(), length()).0, Level::Exact);
        assert_eq!(add(length(), Dim::ONE).0, Level::Exact);
        // Two ways to write one size.
        let halved_twice = length().ceil_div(&Dim::from(2)).ceil_div(&Dim::from(2));
        let quartered = length().ceil_div(&Dim::from(4));
        assert_eq!(add(halved_twice, quartered).0, Level::Exact);
    }
}
