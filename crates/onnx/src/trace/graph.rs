//! What flows where: questions that patterns ask of a program.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use crate::infer::{Origin, Program, Step, ValueId};
use crate::model::AttributeValue;

/// A program with its uses.
pub(super) struct Graph<'p, 'a> {
    pub program: &'p Program<'a>,
    /// The steps that read each value.
    users: Vec<Vec<usize>>,
    /// Whether a value depends on no input of the model.
    constant: Vec<bool>,
    /// Whether a value depends on the elements of an input, and not on shapes alone.
    data: Vec<bool>,
    outputs: Vec<ValueId>,
}

impl<'p, 'a> Graph<'p, 'a> {
    pub fn new(program: &'p Program<'a>) -> Graph<'p, 'a> {
        let count = program.values.len();
        let mut graph = Graph {
            program,
            users: vec![Vec::new(); count],
            constant: vec![true; count],
            data: vec![false; count],
            outputs: program.outputs.iter().map(|(_, id)| *id).collect(),
        };
        for (at, value) in program.values.iter().enumerate() {
            let free = matches!(value.origin, Origin::Input | Origin::Block);
            graph.constant[at] = !free;
            graph.data[at] = free;
        }
        for (at, step) in program.steps.iter().enumerate() {
            let inputs = step.inputs.iter().flatten();
            let constant = inputs.clone().all(|id| graph.is_constant(*id));
            let shape_only = matches!(step.node.op_type, "Shape" | "Size" | "ConstantOfShape");
            let data = !shape_only && inputs.clone().any(|id| graph.is_data(*id));
            inputs.for_each(|id| graph.users[id.0 as usize].push(at));
            for id in step.outputs.iter().flatten() {
                graph.constant[id.0 as usize] = constant;
                graph.data[id.0 as usize] = data;
            }
        }
        graph
    }

    /// Whether a value depends on no input of the model.
    pub fn is_constant(&self, id: ValueId) -> bool {
        self.constant[id.0 as usize]
    }

    /// Whether a value depends on the elements of an input.
    pub fn is_data(&self, id: ValueId) -> bool {
        self.data[id.0 as usize]
    }

    pub fn step(&self, at: usize) -> &'p Step<'a> {
        &self.program.steps[at]
    }

    pub fn op(&self, at: usize) -> &'a str {
        self.program.steps[at].node.op_type
    }

    pub fn input(&self, at: usize, index: usize) -> Option<ValueId> {
        self.program.steps[at].inputs.get(index).copied().flatten()
    }

    pub fn output(&self, at: usize) -> Option<ValueId> {
        self.program.steps[at].outputs.first().copied().flatten()
    }

    pub fn shape(&self, id: ValueId) -> Option<&'p [Dim]> {
        self.program.fact(id).shape()
    }

    pub fn dtype(&self, id: ValueId) -> Option<DType> {
        self.program.fact(id).dtype()
    }

    pub fn rank(&self, id: ValueId) -> usize {
        self.shape(id).map_or(0, <[Dim]>::len)
    }

    pub fn users(&self, id: ValueId) -> &[usize] {
        &self.users[id.0 as usize]
    }

    pub fn is_output(&self, id: ValueId) -> bool {
        self.outputs.contains(&id)
    }

    /// The one step that reads a value, if the model does not return it.
    pub fn sole_user(&self, id: ValueId) -> Option<usize> {
        match self.users(id) {
            [one] if !self.is_output(id) => Some(*one),
            _ => None,
        }
    }

    /// The one step that reads what a step makes, if it is of a kind.
    pub fn next(&self, at: usize, op_type: &str) -> Option<usize> {
        let user = self.sole_user(self.output(at)?)?;
        (self.op(user) == op_type).then_some(user)
    }

    /// The step that makes a value.
    pub fn maker(&self, id: ValueId) -> Option<usize> {
        match self.program.value(id).origin {
            Origin::Step(step, _) => Some(step.0 as usize),
            _ => None,
        }
    }

    /// The operand of a two-operand step that is not `id`.
    pub fn other(&self, at: usize, id: ValueId) -> Option<ValueId> {
        match (self.input(at, 0)?, self.input(at, 1)?) {
            (a, b) if a == id => Some(b),
            (a, b) if b == id => Some(a),
            _ => None,
        }
    }

    /// The only element of a constant.
    pub fn scalar(&self, id: ValueId) -> Option<f64> {
        match self.program.fact(id).content()?.items.as_slice() {
            [one] => one.float(),
            _ => None,
        }
    }

    /// Whether a value is a constant with about this one element.
    pub fn is_scalar(&self, id: ValueId, value: f64) -> bool {
        self.scalar(id)
            .is_some_and(|found| (found - value).abs() < 1e-3 * value.abs().max(1.0))
    }

    /// Through nodes that hand on their input.
    pub fn resolve(&self, mut id: ValueId) -> ValueId {
        for _ in 0..64 {
            match self.maker(id) {
                Some(at) if matches!(self.op(at), "Identity" | "Dropout") => {
                    match self.input(at, 0) {
                        Some(inner) => id = inner,
                        None => return id,
                    }
                }
                _ => return id,
            }
        }
        id
    }

    pub fn attribute(&self, at: usize, name: &str) -> Option<&'a AttributeValue<'a>> {
        self.program.attribute(self.step(at), name)
    }

    pub fn int(&self, at: usize, name: &str, default: i64) -> i64 {
        match self.attribute(at, name) {
            Some(AttributeValue::Int(value)) => *value,
            _ => default,
        }
    }

    pub fn float(&self, at: usize, name: &str, default: f64) -> f64 {
        match self.attribute(at, name) {
            Some(AttributeValue::Float(value)) => f64::from(*value),
            _ => default,
        }
    }

    pub fn ints(&self, at: usize, name: &str) -> Option<&'a [i64]> {
        match self.attribute(at, name) {
            Some(AttributeValue::Ints(values)) => Some(values),
            _ => None,
        }
    }

    pub fn text(&self, at: usize, name: &str) -> Option<&'a str> {
        match self.attribute(at, name) {
            Some(AttributeValue::String(value)) => std::str::from_utf8(value).ok(),
            _ => None,
        }
    }
}
