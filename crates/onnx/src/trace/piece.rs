//! One call of an operator of PyTorch, as it was before it became ONNX.

use modelcost_core::dim::Dim;
use smol_str::SmolStr;

use crate::infer::ValueId;

/// An operator call that one or more ONNX nodes stand for.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// Positions in the program; the first is where it stands.
    pub steps: Vec<usize>,
    /// `conv2d`
    pub op: SmolStr,
    /// Arguments under the names of the operator's schema.
    pub operands: Vec<(&'static str, Operand)>,
    /// What it makes.
    pub outputs: Vec<ValueId>,
    /// The Python function that calls the operator: its kind and its name, as in `torch_fn`.
    pub function: (&'static str, SmolStr),
    /// The class of `torch.nn` whose forward is this call.
    pub class: Option<String>,
    /// Pieces of one function call have one number.
    pub group: Option<usize>,
    /// The shape of what it makes, where the file has no value for it.
    pub result: Option<Vec<Dim>>,
    /// What tells the layers apart that one node stands for.
    pub place: Option<String>,
}

/// An argument.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    None,
    Value(ValueId),
    /// A parameter, stored transposed or not.
    Weight(ValueId, bool),
    /// A parameter that the file keeps in another form, by its own name and its shape.
    Named(String, Vec<Dim>),
    /// A tensor of a shape that the file does not have as such.
    Shaped(Vec<Dim>),
    Int(i64),
    Float(f64),
    Bool(bool),
    Ints(Vec<i64>),
    Dims(Vec<Dim>),
    Text(String),
    List(Vec<Operand>),
}

pub(super) const FUNCTION: &str = "function";
pub(super) const BUILTIN: &str = "builtin_function_or_method";
pub(super) const METHOD: &str = "method_descriptor";

impl Piece {
    /// A call of a function of the operator's name.
    pub fn new(op: impl Into<SmolStr>, kind: &'static str) -> Piece {
        let op = op.into();
        Piece {
            steps: Vec::new(),
            function: (kind, op.clone()),
            op,
            operands: Vec::new(),
            outputs: Vec::new(),
            class: None,
            group: None,
            result: None,
            place: None,
        }
    }

    pub fn makes(mut self, shape: Vec<Dim>) -> Piece {
        self.result = Some(shape);
        self
    }

    pub fn at(mut self, place: impl Into<String>) -> Piece {
        self.place = Some(place.into());
        self
    }

    pub fn class(mut self, class: impl Into<String>) -> Piece {
        self.class = Some(class.into());
        self
    }

    pub fn called(mut self, name: impl Into<SmolStr>) -> Piece {
        self.function.1 = name.into();
        self
    }

    pub fn with(mut self, name: &'static str, operand: Operand) -> Piece {
        self.operands.push((name, operand));
        self
    }

    /// Whether a rule could count it: not a view or a copy.
    pub fn computes(&self) -> bool {
        !matches!(
            self.op.as_str(),
            "view"
                | "permute"
                | "squeeze"
                | "unsqueeze"
                | "slice"
                | "select"
                | "expand"
                | "to"
                | "split"
                | "split_with_sizes"
                | "cat"
                | "index"
                | "flatten"
                | "zeros"
        )
    }
}
