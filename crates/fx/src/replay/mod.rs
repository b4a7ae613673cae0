//! A program run again with inputs of other sizes.
//!
//! An exported program is a list of operators with the shapes that one input gave. Here the
//! operators' shape rules are applied again to other inputs. Sizes that the model's code computed
//! from its input stand in the program as numbers; they follow where it is certain what they were
//! ([`align`], [`literal`]), and where it is not the program is refused. A rule counts only if it
//! gives the recorded shapes for the recorded inputs.

mod align;
mod literal;
mod source;

use foldhash::{HashMap, HashSet};
use std::fmt;

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Argument, Passed, Shape, TensorId, Trace};
use modelcost_core::value::Value;
use modelcost_torch::dispatch::layout::dense_strides;
use modelcost_torch::operators::output_shapes;
use modelcost_torch::show;
use smol_str::SmolStr;

use crate::flat::Flat;
use crate::stack::Stacks;
use align::{Atom, Factors};

/// Why a program cannot be run at other sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The operator that is in the way: `aten.add`.
    pub operator: SmolStr,
    /// The module that calls it, and its class.
    pub path: SmolStr,
    /// The class of that module.
    pub class: String,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.path.as_str() {
            "" => "the model itself",
            path => path,
        };
        write!(f, "{} in {place}", self.operator)?;
        if !self.class.is_empty() {
            write!(f, " ({})", self.class)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Gives every tensor of a program the shape that it has when the inputs have the given ones. The
/// tensors' shapes and the sizes among the nodes' arguments change; a note says what was assumed.
pub fn replay(
    trace: &mut Trace,
    nodes: &mut [Flat<'_>],
    stacks: &Stacks<'_>,
    inputs: &[(TensorId, Shape)],
) -> Result<(), Refusal> {
    let mut run = Run {
        recorded: trace.tensors.iter().map(|t| t.shape.clone()).collect(),
        trace,
        factors: HashMap::default(),
        sizes: HashMap::default(),
        batch: None,
        taken: HashMap::default(),
        carried: Places::default(),
        kept: Places::default(),
    };
    let mut changes = Vec::new();
    let mut batches: Vec<Atom> = Vec::new();
    for (tensor, shape) in inputs {
        let Some(old) = run.recorded[tensor.index()].clone() else {
            continue;
        };
        if old == *shape {
            continue;
        }
        let name = run.trace.inputs.iter().find(|(_, id)| id == tensor);
        let name = name.map_or("", |(name, _)| name.as_str());
        changes.push(format!(
            "{name} {} (exported at {})",
            show::shape(shape),
            show::shape(&old)
        ));
        let factors = old.iter().zip(shape).map(|(old, new)| {
            vec![Atom {
                old: old.clone(),
                new: new.clone(),
            }]
        });
        let factors: Vec<Factors> = factors.collect();
        batches.extend(factors.first().into_iter().flatten().cloned());
        run.set(*tensor, shape.clone(), factors);
    }
    run.batch = match batches.as_slice() {
        [first, rest @ ..] if rest.iter().all(|other| other == first) => Some(first.clone()),
        _ => None,
    };
    for node in nodes.iter_mut() {
        run.node(node, stacks)?;
    }
    run.note(&changes);
    Ok(())
}

/// Where something was done, by operator.
#[derive(Default)]
struct Places {
    first: Vec<String>,
    count: usize,
}

impl Places {
    fn add(&mut self, node: &Flat<'_>, stacks: &Stacks<'_>) {
        self.count += 1;
        let place = match place(node, stacks).0.as_str() {
            "" => short(&node.op).to_owned(),
            path => format!("{} in {path}", short(&node.op)),
        };
        if self.first.len() < 3 && !self.first.contains(&place) {
            self.first.push(place);
        }
    }

    fn show(&self) -> String {
        let more = match self.count > self.first.len() {
            true => format!(", … ({} in all)", self.count),
            false => String::new(),
        };
        format!("{}{more}", self.first.join(", "))
    }
}

/// The operator's name without its namespace.
fn short(op: &str) -> &str {
    op.rsplit('.').next().unwrap_or(op)
}

/// The innermost module around a node, and its class.
fn place(node: &Flat<'_>, stacks: &Stacks<'_>) -> (SmolStr, String) {
    let stack = node.stack.map(|id| stacks.get(id)).unwrap_or_default();
    match stack.last() {
        Some(entry) => {
            let class = entry.class.rsplit('.').next().unwrap_or(entry.class);
            (entry.path.clone(), class.to_owned())
        }
        None => Default::default(),
    }
}

/// A run in progress.
struct Run<'t> {
    trace: &'t mut Trace,
    /// The shapes as they were recorded, by tensor.
    recorded: Vec<Option<Shape>>,
    /// What the dimensions of a tensor that has changed are made of.
    factors: HashMap<TensorId, Vec<Factors>>,
    /// Of the tensors that have changed, what a recorded size at a place counted from the end has
    /// become; `None` where it has become several things.
    sizes: HashMap<(usize, Dim), Option<Dim>>,
    /// What the first dimension of every input that has changed was and is, if they agree.
    batch: Option<Atom>,
    /// The elements of a changed dimension that were taken by a computed index.
    taken: HashMap<(TensorId, usize), HashSet<i128>>,
    /// Where sizes followed their input.
    carried: Places,
    /// Where a size that may have been computed was kept.
    kept: Places,
}

impl Run<'_> {
    fn changed(&self, tensor: TensorId) -> bool {
        self.factors.contains_key(&tensor)
    }

    fn old(&self, tensor: TensorId) -> Option<&Shape> {
        self.recorded.get(tensor.index())?.as_ref()
    }

    fn now(&self, tensor: TensorId) -> Option<&Shape> {
        self.trace.tensor(tensor).shape.as_ref()
    }

    /// What the dimensions of a tensor are made of.
    fn factors_of(&self, tensor: TensorId) -> Vec<Factors> {
        match self.factors.get(&tensor) {
            Some(factors) => factors.clone(),
            None => {
                let shape = self.old(tensor).into_iter().flatten();
                shape.map(|size| vec![Atom::same(size)]).collect()
            }
        }
    }

    /// What a size has become at a place counted from the end, if that is one thing.
    fn became(&self, from_end: usize, old: &Dim) -> Option<&Dim> {
        self.sizes.get(&(from_end, old.clone()))?.as_ref()
    }

    /// Gives a tensor its new shape.
    fn set(&mut self, tensor: TensorId, shape: Shape, factors: Vec<Factors>) {
        let rank = shape.len();
        let old = self.recorded[tensor.index()].clone().unwrap_or_default();
        for (at, (old, new)) in old.iter().zip(&shape).enumerate() {
            let known = self
                .sizes
                .entry((rank - at, old.clone()))
                .or_insert_with(|| Some(new.clone()));
            if known.as_ref() != Some(new) {
                *known = None;
            }
        }
        let own = &mut self.trace.tensors[tensor.index()];
        own.strides = own
            .strides
            .take()
            .and_then(|strides| like_strides(&old, &strides, &shape));
        own.shape = Some(shape);
        self.factors.insert(tensor, factors);
    }

    fn node(&mut self, node: &mut Flat<'_>, stacks: &Stacks<'_>) -> Result<(), Refusal> {
        let refuse = |node: &Flat<'_>, reason: String| {
            let (path, class) = place(node, stacks);
            Refusal {
                operator: short(&node.op).into(),
                path,
                class,
                reason,
            }
        };
        let given: Vec<TensorId> = node
            .arguments
            .iter()
            .flat_map(|argument| argument.value.tensors())
            .collect();
        let class = node.stack.and_then(|id| stacks.get(id).last());
        let class = class.map_or("", |entry| entry.class);
        let rewritten = literal::rewrite(self, node, class).map_err(|why| refuse(node, why))?;
        self.element(node).map_err(|why| refuse(node, why))?;
        if rewritten.kept {
            self.kept.add(node, stacks);
        }
        let any = given.iter().any(|tensor| self.changed(*tensor));
        if !any && rewritten.arguments.is_none() {
            return Ok(());
        }
        let outputs = node.output.tensors();
        if outputs.is_empty() {
            return Ok(());
        }
        let arguments = rewritten.arguments.as_ref().unwrap_or(&node.arguments);
        let before = self.shapes(node, &node.arguments, false);
        let recorded: Option<Vec<Shape>> =
            outputs.iter().map(|id| self.old(*id).cloned()).collect();
        if before.ok() != recorded || recorded.is_none() {
            let why = "its shape rule is not known, and its input has changed";
            return Err(refuse(node, why.into()));
        }
        let shapes = self
            .shapes(node, arguments, true)
            .map_err(|why| refuse(node, why))?;
        let same_rank = |(id, new): (&TensorId, &Shape)| {
            self.old(*id).is_some_and(|old| old.len() == new.len())
        };
        if shapes.len() != outputs.len() || !outputs.iter().zip(&shapes).all(same_rank) {
            let why = format!(
                "it gives {} tensors and gave {} when the program was exported, which the rest of \
                 the program counts on",
                shapes.len(),
                outputs.len()
            );
            return Err(refuse(node, why));
        }
        for (id, shape) in outputs.into_iter().zip(shapes) {
            if self.old(id) == Some(&shape) {
                continue;
            }
            let factors = self.inherited(id, &shape, &given, rewritten.factors.as_deref());
            self.set(id, shape, factors);
        }
        if let Some(arguments) = rewritten.arguments {
            node.arguments = arguments;
            self.carried.add(node, stacks);
        }
        Ok(())
    }

    /// Refuses a loop over a dimension that has changed: the program holds one round for each
    /// element that there was.
    fn element(&mut self, node: &Flat<'_>) -> Result<(), String> {
        let Some((tensor, dim, index)) = literal::element(self, node) else {
            return Ok(());
        };
        let taken = self.taken.entry((tensor, dim)).or_default();
        taken.insert(index);
        let count = taken.len();
        let old = self.old(tensor).and_then(|shape| shape.get(dim));
        match old.and_then(Dim::as_usize) == Some(count) {
            true => Err(format!(
                "the elements of a dimension that was {count} are taken one by one, so a loop over \
                 it stands in the program as its rounds"
            )),
            false => Ok(()),
        }
    }

    /// The shapes that an operator gives, as recorded or now.
    fn shapes(
        &self,
        node: &Flat<'_>,
        arguments: &[Argument],
        now: bool,
    ) -> Result<Vec<Shape>, String> {
        let tensor = |id: TensorId| {
            let shape = if now { self.now(id) } else { self.old(id) };
            let dtype = self.trace.tensor(id).dtype.unwrap_or(DType::Float32);
            Some((shape?.clone(), dtype))
        };
        let whole: Vec<Argument>;
        let mut arguments = arguments;
        // `arange(end)` begins at 0.
        if short(&node.op) == "arange" && !arguments.iter().any(|own| own.name == "start") {
            let start = Argument {
                name: "start".into(),
                value: Value::Int(Dim::ZERO),
                passed: Passed::Default,
            };
            whole = arguments.iter().cloned().chain([start]).collect();
            arguments = &whole;
        }
        let call = crate::operators::call(node);
        output_shapes(&node.op, arguments, &tensor)
            .or_else(|error| match call.op == node.op {
                true => Err(error),
                false => output_shapes(&call.op, arguments, &tensor),
            })
            .map_err(|error| error.message)
    }

    /// What the dimensions of an output are made of: of what the dimension of an input is that was
    /// and is as large.
    fn inherited(
        &self,
        output: TensorId,
        shape: &[Dim],
        given: &[TensorId],
        known: Option<&[Factors]>,
    ) -> Vec<Factors> {
        let old = self.old(output).cloned().unwrap_or_default();
        let inputs: Vec<Factors> = match known {
            Some(known) => known.to_vec(),
            None => given.iter().flat_map(|id| self.factors_of(*id)).collect(),
        };
        let one = |(at, (old, new)): (usize, (&Dim, &Dim))| {
            let whole = Atom {
                old: old.clone(),
                new: new.clone(),
            };
            let is = |factors: &&Factors| {
                let before = Dim::product(factors.iter().map(|atom| &atom.old));
                before == *old && align::size(factors) == *new
            };
            let found: Vec<&Factors> = match known {
                Some(known) => known[at..].iter().take(1).filter(is).collect(),
                None => inputs.iter().filter(is).collect(),
            };
            let finest = found.iter().max_by_key(|factors| factors.len());
            match finest {
                Some(finest) if found.iter().all(|other| align::refines(finest, other)) => {
                    (*finest).clone()
                }
                _ => vec![whole],
            }
        };
        old.iter().zip(shape).enumerate().map(one).collect()
    }

    fn note(&mut self, changes: &[String]) {
        let mut text = format!(
            "the program was run again at {}: what its code decides by the size is as it was",
            changes.join(" and ")
        );
        if self.carried.count > 0 {
            text.push_str(&format!(
                "; sizes in it followed their input ({})",
                self.carried.show()
            ));
        }
        if self.kept.count > 0 {
            text.push_str(&format!(
                "; sizes that do not depend on it by what the program tells were kept ({})",
                self.kept.show()
            ));
        }
        self.trace.fidelity.note(Level::Reconstructed, text);
    }
}

/// The strides of a tensor of another size that lies in memory as the old one does: dense, in the
/// same order of dimensions. `None` where the old one has gaps or repeats.
fn like_strides(old: &[Dim], strides: &[Dim], new: &[Dim]) -> Option<Shape> {
    if old.len() != new.len() || strides.len() != old.len() {
        return None;
    }
    let known: Option<Vec<i128>> = strides.iter().map(Dim::as_const).collect();
    let Some(known) = known else {
        return (*strides == *dense_strides(old)).then(|| dense_strides(new));
    };
    let mut order: Vec<usize> = (0..old.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(known[*at]));
    let mut expected = Dim::ONE;
    for at in order.iter().rev() {
        if old[*at] != Dim::ONE && strides[*at] != expected {
            return None;
        }
        expected *= &old[*at];
    }
    let mut out = vec![Dim::ONE; new.len()];
    let mut next = Dim::ONE;
    for at in order.into_iter().rev() {
        out[at] = next.clone();
        next *= &new[at];
    }
    Some(out)
}
