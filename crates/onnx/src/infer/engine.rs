//! Runs a model on what is known about its inputs.

use std::cell::Cell;

use modelcost_core::dim::Dim;
use rustc_hash::FxHashMap;

use super::control::Call;
use super::fact::Fact;
use super::op::{CallAttribute, Op, fresh, resolve};
use super::order::order;
use super::program::*;
use super::rules;
use crate::error::OnnxError;
use crate::model::*;

/// Function calls and subgraphs may nest this deep.
pub(super) const MAX_DEPTH: usize = 96;
/// Operator calls after expansion. The largest real models have some hundred thousand.
const MAX_STEPS: usize = 1_000_000;

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
    pub options: &'o Options,
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

pub(super) fn undefined(node: impl Into<String>, value: &str, cyclic: bool) -> OnnxError {
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
        scope.names.reserve(nodes.len());
        self.program.steps.reserve(nodes.len());
        self.program.values.reserve(nodes.len());
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
        if !self.functions.is_empty()
            && let Some(function) = self.functions.get(&key).copied()
        {
            return self.nested(|engine| engine.call(function, node, &inputs, frame));
        }
        match rules::find(node.domain, node.op_type) {
            Some(rules::Entry::Control(control)) => {
                let call = Call {
                    node,
                    inputs: &inputs,
                    scope,
                    frame,
                };
                self.nested(|engine| engine.control(control, &call))
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
}
