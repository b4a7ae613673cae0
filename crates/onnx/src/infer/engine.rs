//! Runs a model on what is known about its inputs.

use std::cell::Cell;

use modelcost_core::dim::Dim;
use rustc_hash::{FxHashMap, FxHashSet};

use super::fact::{Content, Fact, Scalar, SequenceFact, TensorFact};
use super::op::{CallAttribute, Op, fresh, resolve};
use super::program::*;
use super::rules::{self, Control};
use crate::dims;
use crate::error::OnnxError;
use crate::model::*;

/// Function calls and subgraphs may nest this deep.
pub(super) const MAX_DEPTH: usize = 96;
/// Operator calls after expansion. The largest real models have some hundred thousand.
const MAX_STEPS: usize = 1_000_000;
/// Constants of up to this many elements are read. Shapes and indices are integers; a float
/// constant that shapes depend on is a handful of scales, and every page of weights that is not
/// read is time and memory saved.
const MAX_CONSTANT_INTS: usize = 1024;
const MAX_CONSTANT_FLOATS: usize = 16;

pub(crate) type Result<T> = std::result::Result<T, OnnxError>;

/// Infers everything about a model.
///
/// # Errors
/// When a node reads an undefined value, when functions call each other without end, or when a
/// binding does not fit the model.
pub fn infer<'m>(model: &'m Model<'m>, options: &Options) -> Result<Program<'m>> {
    let mut engine = Engine {
        functions: model
            .functions
            .iter()
            .map(|function| {
                (
                    (function.domain, function.name, function.overload),
                    function,
                )
            })
            .collect(),
        options,
        unknowns: Cell::new(0),
        program: Program::default(),
        depth: 0,
    };
    if super::size::expanded(model, &engine.functions) > MAX_STEPS {
        return Err(OnnxError::TooLarge { limit: MAX_STEPS });
    }
    engine.check_bindings(model)?;
    let main = engine.frame(Frame {
        kind: FrameKind::Main(&model.graph),
        parent: None,
        node: None,
        attributes: Vec::new(),
        opset_import: &model.opset_import,
    });
    let mut scope = Scope::default();
    engine.define_constants(&model.graph, &mut scope);
    engine.define_inputs(&model.graph, &mut scope)?;
    engine.run_nodes(
        &model.graph.nodes,
        &model.graph.value_info,
        &mut scope,
        main,
    )?;
    for output in &model.graph.outputs {
        let id = scope
            .get(output.name)
            .ok_or_else(|| undefined("the graph's output list", output.name, false))?;
        engine.refine_declared(id, output);
        engine.program.outputs.push((output.name, id));
    }
    engine.program.names = scope.names;
    Ok(engine.program)
}

pub(crate) struct Engine<'m, 'o> {
    functions: FxHashMap<(&'m str, &'m str, &'m str), &'m Function<'m>>,
    options: &'o Options,
    pub unknowns: Cell<u32>,
    pub program: Program<'m>,
    depth: usize,
}

/// The names that are visible in a graph. Subgraphs see those of the graphs around them.
#[derive(Default)]
pub(crate) struct Scope<'s, 'm> {
    pub names: FxHashMap<&'m str, ValueId>,
    pub parent: Option<&'s Scope<'s, 'm>>,
}

impl<'m> Scope<'_, 'm> {
    pub fn get(&self, name: &str) -> Option<ValueId> {
        match self.names.get(name) {
            Some(id) => Some(*id),
            None => self.parent?.get(name),
        }
    }
}

fn undefined(node: impl Into<String>, value: &str, cyclic: bool) -> OnnxError {
    OnnxError::Undefined {
        node: node.into(),
        value: value.to_owned(),
        cyclic,
    }
}

impl<'m> Engine<'m, '_> {
    pub fn fresh(&self) -> Dim {
        fresh(&self.unknowns)
    }

    pub fn frame(&mut self, frame: Frame<'m>) -> FrameId {
        self.program.frames.push(frame);
        FrameId(self.program.frames.len() as u32 - 1)
    }

    pub fn value(&mut self, name: &'m str, fact: Fact, origin: Origin<'m>) -> ValueId {
        self.program.values.push(ValueData { name, fact, origin });
        ValueId(self.program.values.len() as u32 - 1)
    }

    pub fn fact(&self, id: ValueId) -> &Fact {
        self.program.fact(id)
    }

    /// Counts one more level of nesting while `run` runs.
    pub fn nested<T>(&mut self, run: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(OnnxError::TooDeep {
                what: "function calls and subgraphs",
                limit: MAX_DEPTH,
            });
        }
        self.depth += 1;
        let result = run(self);
        self.depth -= 1;
        result
    }

    // Inputs and constants.

    fn check_bindings(&self, model: &Model<'m>) -> Result<()> {
        let bound = self.options.inputs.iter().map(|(name, _)| name);
        let valued = self.options.values.iter().map(|(name, _)| name);
        for name in bound.chain(valued) {
            if !model.graph.inputs.iter().any(|input| input.name == name) {
                let names: Vec<_> = model.graph.inputs.iter().map(|i| i.name).collect();
                return Err(OnnxError::Binding(format!(
                    "the model has no input '{name}'; its inputs are {}",
                    names.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn define_inputs(&mut self, graph: &'m Graph<'m>, scope: &mut Scope<'_, 'm>) -> Result<()> {
        for input in &graph.inputs {
            // Before IR version 4 initializers are listed as inputs too.
            let value = self.options.values.iter().find(|(n, _)| n == input.name);
            if scope.names.contains_key(input.name) && value.is_none() {
                continue;
            }
            let mut fact = input
                .ty
                .as_ref()
                .map_or(Fact::Unknown, |ty| self.declared(ty));
            if let Some((_, shape)) = self.options.inputs.iter().find(|(n, _)| n == input.name) {
                fact = bind_shape(fact, input.name, shape)?;
            }
            if let Some((_, Binding(content))) = value {
                fact = bind_value(fact, input.name, content)?;
            }
            let id = self.value(input.name, fact, Origin::Input);
            scope.names.insert(input.name, id);
            self.program.inputs.push((input.name, id));
        }
        Ok(())
    }

    pub fn define_constants(&mut self, graph: &'m Graph<'m>, scope: &mut Scope<'_, 'm>) {
        for tensor in &graph.initializers {
            let fact = constant(tensor);
            let id = self.value(tensor.name, fact, Origin::Initializer(tensor));
            scope.names.insert(tensor.name, id);
        }
        for sparse in &graph.sparse_initializers {
            let fact = sparse_constant(sparse);
            let name = sparse.values.name;
            let id = self.value(name, fact, Origin::SparseInitializer);
            scope.names.insert(name, id);
        }
    }

    /// What a declared type says, with the user's sizes for its symbols.
    pub fn declared(&self, ty: &Type<'m>) -> Fact {
        let dim = |dim: &Dimension<'_>| match dim {
            Dimension::Value(size) if *size >= 0 => Dim::from(*size),
            Dimension::Value(_) | Dimension::Unknown => self.fresh(),
            Dimension::Param(text) => match dims::parse(text) {
                Some(dim) => dim.substitute(&|name| {
                    let bound = self.options.dims.iter().find(|(key, _)| key == name)?;
                    Some(bound.1.clone())
                }),
                None => self.fresh(),
            },
        };
        match ty {
            Type::Tensor(elem, shape) => {
                let shape = shape.as_ref().map(|dims| dims.iter().map(dim).collect());
                Fact::tensor(elem.dtype(), shape)
            }
            Type::Sequence(element) => Fact::Sequence(SequenceFact {
                element: Box::new(element.as_ref().map_or(Fact::Unknown, |e| self.declared(e))),
                items: None,
            }),
            Type::Optional(element) => Fact::Optional {
                element: Box::new(element.as_ref().map_or(Fact::Unknown, |e| self.declared(e))),
                present: None,
            },
            Type::Map(..) => Fact::Other("map"),
            Type::SparseTensor(..) => Fact::Other("sparse tensor"),
            Type::Opaque(..) => Fact::Other("opaque"),
        }
    }

    /// Takes from a declaration what inference did not find.
    pub fn refine_declared(&mut self, id: ValueId, info: &ValueInfo<'m>) {
        if self.fact(id).is_complete() {
            return;
        }
        if let Some(ty) = &info.ty {
            let declared = self.declared(ty);
            self.program.values[id.0 as usize].fact.refine(&declared);
        }
    }

    // Nodes.

    /// Runs nodes in order, or in an order in which they can run if the file's is not one.
    pub fn run_nodes(
        &mut self,
        nodes: &'m [Node<'m>],
        infos: &'m [ValueInfo<'m>],
        scope: &mut Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<()> {
        let declared: FxHashMap<&str, &ValueInfo<'m>> =
            infos.iter().map(|info| (info.name, info)).collect();
        for at in order(nodes, scope)? {
            let node = &nodes[at];
            let outputs = self.run_node(node, scope, frame)?;
            for (name, id) in node.outputs.iter().zip(outputs) {
                let (false, Some(id)) = (name.is_empty(), id) else {
                    continue;
                };
                if let Some(info) = declared.get(name) {
                    self.refine_declared(id, info);
                }
                scope.names.insert(name, id);
            }
        }
        Ok(())
    }

    fn run_node(
        &mut self,
        node: &'m Node<'m>,
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Vec<Option<ValueId>>> {
        if self.program.steps.len() >= MAX_STEPS {
            return Err(OnnxError::TooLarge { limit: MAX_STEPS });
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for name in &node.inputs {
            inputs.push(if name.is_empty() {
                None
            } else {
                let id = scope
                    .get(name)
                    .ok_or_else(|| undefined(node.label(), name, false))?;
                let absent = matches!(self.program.value(id).origin, Origin::Absent);
                (!absent).then_some(id)
            });
        }
        let key = (node.domain, node.op_type, node.overload);
        if let Some(function) = self.functions.get(&key).copied() {
            return self.nested(|engine| engine.call(function, node, &inputs, frame));
        }
        match rules::find(node.domain, node.op_type) {
            Some(rules::Entry::Control(control)) => {
                self.nested(|engine| engine.control(control, node, &inputs, scope, frame))
            }
            Some(rules::Entry::Rule(rule)) => {
                let facts = self.apply(rule, node, &inputs, frame);
                Ok(self.record(node, inputs, facts, frame))
            }
            None => {
                let name = match node.domain {
                    "" => node.op_type.to_owned(),
                    domain => format!("{domain}::{}", node.op_type),
                };
                *self.program.unsupported.entry(name).or_default() += 1;
                let facts = vec![Fact::Unknown; node.outputs.len()];
                Ok(self.record(node, inputs, facts, frame))
            }
        }
    }

    fn apply(
        &self,
        rule: super::op::Rule,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        frame: FrameId,
    ) -> Vec<Fact> {
        let frame = self.program.frame(frame);
        let version = |domain| {
            let import = frame.opset_import.iter().find(|(name, _)| *name == domain);
            // A file that does not say means the newest.
            import.map_or(i64::MAX, |(_, version)| *version)
        };
        let mut op = Op {
            node,
            version: version(node.domain),
            inputs: inputs.iter().map(|id| id.map(|id| self.fact(id))).collect(),
            outputs: vec![Fact::Unknown; node.outputs.len()],
            call_attributes: &frame.attributes,
            unknowns: &self.unknowns,
        };
        // `None` only says that the rule stopped early; what it set stays.
        let _ = rule(&mut op);
        op.outputs
    }

    /// Adds an operator call and its outputs.
    pub fn record(
        &mut self,
        node: &'m Node<'m>,
        inputs: Vec<Option<ValueId>>,
        facts: Vec<Fact>,
        frame: FrameId,
    ) -> Vec<Option<ValueId>> {
        let step = StepId(self.program.steps.len() as u32);
        let outputs: Vec<Option<ValueId>> = node
            .outputs
            .iter()
            .zip(facts)
            .enumerate()
            .map(|(index, (name, fact))| {
                let origin = Origin::Step(step, index as u32);
                (!name.is_empty()).then(|| self.value(name, fact, origin))
            })
            .collect();
        self.program.steps.push(Step {
            node,
            frame,
            inputs,
            outputs: outputs.clone(),
        });
        outputs
    }

    /// Expands a function of the model.
    fn call(
        &mut self,
        function: &'m Function<'m>,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        frame: FrameId,
    ) -> Result<Vec<Option<ValueId>>> {
        let outer = &self.program.frame(frame).attributes;
        let mut attributes: Vec<CallAttribute<'m>> = node
            .attributes
            .iter()
            .filter_map(|a| Some((a.name, resolve(&a.value, outer)?)))
            .collect();
        for default in &function.defaults {
            if !attributes.iter().any(|(name, _)| *name == default.name) {
                attributes.push((default.name, &default.value));
            }
        }
        let opset_import = if function.opset_import.is_empty() {
            self.program.frame(frame).opset_import
        } else {
            &function.opset_import
        };
        let body = self.frame(Frame {
            kind: FrameKind::Function(function),
            parent: Some(frame),
            node: Some(node),
            attributes,
            opset_import,
        });
        let mut scope = Scope::default();
        for (index, name) in function.inputs.iter().enumerate() {
            let id = match inputs.get(index).copied().flatten() {
                Some(id) => id,
                None => self.value(name, Fact::Unknown, Origin::Absent),
            };
            scope.names.insert(name, id);
        }
        self.run_nodes(&function.nodes, &function.value_info, &mut scope, body)?;
        function
            .outputs
            .iter()
            .take(node.outputs.len())
            .map(|name| {
                let id = scope.get(name);
                id.map(Some).ok_or_else(|| {
                    undefined(
                        format!("function {}'s output list", function.name),
                        name,
                        false,
                    )
                })
            })
            .collect()
    }

    fn control(
        &mut self,
        control: Control,
        node: &'m Node<'m>,
        inputs: &[Option<ValueId>],
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Vec<Option<ValueId>>> {
        match control {
            Control::If => self.run_if(node, inputs, scope, frame),
            Control::Loop => self.run_loop(node, inputs, scope, frame),
            Control::Scan => self.run_scan(node, inputs, scope, frame),
            Control::SequenceMap => self.run_sequence_map(node, inputs, scope, frame),
        }
    }

    /// Runs a subgraph on facts or values for its inputs, and gives its outputs.
    pub fn run_body(
        &mut self,
        graph: &'m Graph<'m>,
        inputs: Vec<Input>,
        scope: &Scope<'_, 'm>,
        frame: FrameId,
    ) -> Result<Vec<ValueId>> {
        let mut inner = Scope {
            names: FxHashMap::default(),
            parent: Some(scope),
        };
        self.define_constants(graph, &mut inner);
        let mut given = inputs.into_iter();
        for info in &graph.inputs {
            if inner.names.contains_key(info.name) && given.len() == 0 {
                continue;
            }
            let id = match given.next() {
                Some(Input::Value(id)) => id,
                Some(Input::Fact(fact)) => self.value(info.name, fact, Origin::Block),
                None => self.value(info.name, Fact::Unknown, Origin::Block),
            };
            self.refine_declared(id, info);
            inner.names.insert(info.name, id);
        }
        self.run_nodes(&graph.nodes, &graph.value_info, &mut inner, frame)?;
        graph
            .outputs
            .iter()
            .map(|info| {
                let id = inner
                    .get(info.name)
                    .ok_or_else(|| undefined("a subgraph's output list", info.name, false))?;
                Ok(id)
            })
            .collect()
    }
}

/// What a subgraph is given for an input.
pub(crate) enum Input {
    Value(ValueId),
    Fact(Fact),
}

/// What is known about a constant.
pub(crate) fn constant(tensor: &Tensor<'_>) -> Fact {
    let dtype = tensor.elem_type.dtype();
    let sizes: Option<Vec<usize>> = tensor
        .dims
        .iter()
        .map(|size| usize::try_from(*size).ok())
        .collect();
    let Some(sizes) = sizes.filter(|_| tensor.numel().is_some()) else {
        return Fact::tensor(dtype, None);
    };
    let limit = match dtype {
        Some(dtype) if dtype.is_floating_point() => MAX_CONSTANT_FLOATS,
        _ => MAX_CONSTANT_INTS,
    };
    let content = tensor
        .elements(limit)
        .and_then(|elements| Content::from_elements(sizes.clone(), elements));
    Fact::Tensor(TensorFact {
        dtype,
        shape: Some(sizes.into_iter().map(Dim::from).collect()),
        content: content.map(std::sync::Arc::new),
    })
}

/// What is known about a sparse constant: the shape of the dense tensor.
pub(crate) fn sparse_constant(sparse: &SparseTensor<'_>) -> Fact {
    let shape = sparse
        .dims
        .iter()
        .map(|size| (*size >= 0).then(|| Dim::from(*size)))
        .collect();
    Fact::tensor(sparse.values.elem_type.dtype(), shape)
}

fn bind_shape(fact: Fact, name: &str, shape: &[Dim]) -> Result<Fact> {
    let Fact::Tensor(mut tensor) = fact else {
        return Err(OnnxError::Binding(format!(
            "the input '{name}' is not a tensor, so it has no shape to set"
        )));
    };
    if let Some(declared) = &tensor.shape
        && declared.len() != shape.len()
    {
        return Err(OnnxError::Binding(format!(
            "the input '{name}' has {} dimensions, not {}",
            declared.len(),
            shape.len()
        )));
    }
    tensor.shape = Some(shape.to_vec());
    Ok(Fact::Tensor(tensor))
}

fn bind_value(fact: Fact, name: &str, content: &Content) -> Result<Fact> {
    if let Fact::Optional { element, .. } = fact {
        // A value for an optional input says that it is there; null says that it is not.
        let null = content.shape.is_empty() && content.items == [Scalar::Unknown];
        let element = if null {
            element
        } else {
            Box::new(bind_value(*element, name, content)?)
        };
        return Ok(Fact::Optional {
            element,
            present: Some(!null),
        });
    }
    let Fact::Tensor(mut tensor) = fact else {
        return Err(OnnxError::Binding(format!(
            "the input '{name}' is not a tensor, so it has no value to set"
        )));
    };
    // A list stands for a tensor of any rank with as many elements: `[2]` for a declared scalar.
    let mut content = content.clone();
    let sizes: Option<Vec<usize>> = tensor
        .shape
        .as_ref()
        .and_then(|shape| shape.iter().map(Dim::as_usize).collect());
    if let Some(sizes) = sizes
        && sizes.iter().product::<usize>() == content.items.len()
    {
        content.shape = sizes;
    }
    tensor.shape = Some(content.shape.iter().map(|size| Dim::from(*size)).collect());
    tensor.content = Some(std::sync::Arc::new(content));
    Ok(Fact::Tensor(tensor))
}

/// The order in which to run nodes: the file's, if every value is made before it is read.
fn order(nodes: &[Node<'_>], scope: &Scope<'_, '_>) -> Result<Vec<usize>> {
    let mut defined: FxHashSet<&str> = FxHashSet::default();
    let sorted = nodes.iter().all(|node| {
        let ready = reads(node)
            .iter()
            .all(|name| defined.contains(name) || scope.get(name).is_some());
        defined.extend(node.outputs.iter());
        ready
    });
    if sorted {
        return Ok((0..nodes.len()).collect());
    }
    let mut maker: FxHashMap<&str, usize> = FxHashMap::default();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            maker.entry(name).or_insert(index);
        }
    }
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let captured = captures(node);
        for name in reads(node).into_iter().chain(captured) {
            if let Some(from) = maker.get(name) {
                users[*from].push(index);
                waiting[index] += 1;
            }
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..nodes.len())
        .filter(|index| waiting[*index] == 0)
        .collect();
    let mut out = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        out.push(index);
        for user in &users[index] {
            waiting[*user] -= 1;
            if waiting[*user] == 0 {
                ready.insert(*user);
            }
        }
    }
    if out.len() < nodes.len()
        && let Some(stuck) = (0..nodes.len()).find(|index| waiting[*index] > 0)
    {
        let node = &nodes[stuck];
        let name = reads(node)
            .into_iter()
            .find(|name| maker.get(name).is_some_and(|from| waiting[*from] > 0))
            .unwrap_or_default();
        return Err(undefined(node.label(), name, true));
    }
    Ok(out)
}

fn reads<'a>(node: &Node<'a>) -> Vec<&'a str> {
    node.inputs
        .iter()
        .copied()
        .filter(|name| !name.is_empty())
        .collect()
}

/// The names that the subgraphs of a node read, their own included.
fn captures<'a>(node: &Node<'a>) -> Vec<&'a str> {
    let mut out = Vec::new();
    let mut stack: Vec<&Graph<'a>> = Vec::new();
    for attribute in &node.attributes {
        collect_graphs(&attribute.value, &mut stack);
    }
    while let Some(graph) = stack.pop() {
        for node in &graph.nodes {
            out.extend(reads(node));
            for attribute in &node.attributes {
                collect_graphs(&attribute.value, &mut stack);
            }
        }
        out.extend(graph.outputs.iter().map(|output| output.name));
    }
    out
}

fn collect_graphs<'g, 'a>(value: &'g AttributeValue<'a>, out: &mut Vec<&'g Graph<'a>>) {
    match value {
        AttributeValue::Graph(graph) => out.push(graph),
        AttributeValue::Graphs(graphs) => out.extend(graphs),
        _ => {}
    }
}
