//! What torchinfo's loops over `module.named_parameters()` add up.

use std::sync::Arc;

use foldhash::{HashSet, HashSetExt};
use modelcost_core::dim::Dim;
use modelcost_core::trace::{ModuleId, ParameterId, Trace};

/// The parameters of a module and of all modules inside it, each once.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    /// Elements.
    pub count: Dim,
    /// Elements of those that are trained.
    pub trainable: Dim,
    /// Bytes.
    pub bytes: Dim,
    /// Elements of the module's own `weight`.
    pub weight: Dim,
    /// Elements of the module's own `bias`.
    pub bias: Dim,
    /// Elements of others with `weight` in their path.
    pub other_weights: Dim,
    /// Elements of others with `bias`, and not `weight`, in their path.
    pub other_biases: Dim,
    /// Whether `torch.nn.utils.prune` masks one of them: torchinfo sums the mask, which no file of a
    /// program holds without its weights.
    pub is_pruned: bool,
}

impl Parameters {
    /// Adds what a child has that shares nothing with what was added before.
    fn add_child(&mut self, name: &str, child: &Parameters) {
        let weights = &child.weight + &child.other_weights;
        if name.contains("weight") {
            self.other_weights += &child.count;
        } else if name.contains("bias") {
            self.other_biases += &child.count - &weights;
            self.other_weights += weights;
        } else {
            self.other_biases += &child.bias + &child.other_biases;
            self.other_weights += weights;
        }
        self.count += &child.count;
        self.trainable += &child.trainable;
        self.bytes += &child.bytes;
        self.is_pruned |= child.is_pruned;
    }

    /// Of a module.
    pub fn of(trace: &Trace, module: ModuleId) -> Parameters {
        let mut loop_ = Loop::new(trace, is_alone(trace, module));
        loop_.visit(module, Path::default());
        loop_.sum
    }
}

/// The parameters of the modules of a trace.
pub struct Sums<'a> {
    trace: &'a Trace,
    /// Whether every module and every parameter stands in one place, so that what a module has is
    /// what its children have and its own.
    is_tree: bool,
    known: Vec<Option<Arc<Parameters>>>,
}

impl<'a> Sums<'a> {
    /// Nothing is added up yet.
    pub fn new(trace: &'a Trace) -> Sums<'a> {
        let mut modules: Vec<bool> = (0..trace.modules.len()).map(|at| at == 0).collect();
        let mut parameters = vec![false; trace.parameters.len()];
        let is_tree = trace.modules.iter().all(|module| {
            let mut children = module.children.iter().map(|(_, child)| child.index());
            let mut own = module.parameters.iter().filter_map(|(_, id)| *id);
            children.all(|at| !std::mem::replace(&mut modules[at], true))
                && own.all(|id| !std::mem::replace(&mut parameters[id.index()], true))
        });
        Sums {
            trace,
            is_tree,
            known: vec![None; trace.modules.len()],
        }
    }

    /// Those of a module.
    pub fn of(&mut self, module: ModuleId) -> Arc<Parameters> {
        if let Some(known) = &self.known[module.index()] {
            return known.clone();
        }
        let trace = self.trace;
        let sum = if self.is_tree {
            let mut own = Loop::new(trace, true);
            own.add_own(module, Path::default());
            let mut sum = own.sum;
            for (name, child) in &trace.module(module).children {
                let inside = self.of(*child);
                sum.add_child(name, &inside);
            }
            sum
        } else {
            Parameters::of(trace, module)
        };
        self.known[module.index()].insert(Arc::new(sum)).clone()
    }
}

/// Whether a module has no others inside it and a few parameters of its own, each once: most do.
fn is_alone(trace: &Trace, module: ModuleId) -> bool {
    let module = trace.module(module);
    let own = &module.parameters;
    let is_new = |at: usize| own[at].1.is_none() || own[..at].iter().all(|o| o.1 != own[at].1);
    module.children.is_empty() && own.len() <= 8 && (0..own.len()).all(is_new)
}

/// What matters of the path of a module inside the one that is looked at.
#[derive(Clone, Copy, Default)]
struct Path {
    is_inside: bool,
    has_weight: bool,
    has_bias: bool,
}

struct Loop<'a> {
    trace: &'a Trace,
    sum: Parameters,
    /// Whether nothing can come up twice, which sets would be kept for.
    is_alone: bool,
    modules: HashSet<ModuleId>,
    parameters: HashSet<ParameterId>,
}

impl<'a> Loop<'a> {
    fn new(trace: &'a Trace, is_alone: bool) -> Loop<'a> {
        Loop {
            trace,
            sum: Parameters::default(),
            is_alone,
            modules: HashSet::new(),
            parameters: HashSet::new(),
        }
    }

    fn visit(&mut self, id: ModuleId, path: Path) {
        if !self.is_alone && !self.modules.insert(id) {
            return;
        }
        self.add_own(id, path);
        for (name, child) in &self.trace.module(id).children {
            let path = Path {
                is_inside: true,
                has_weight: path.has_weight || name.contains("weight"),
                has_bias: path.has_bias || name.contains("bias"),
            };
            self.visit(*child, path);
        }
    }

    /// Adds what a module has itself.
    fn add_own(&mut self, id: ModuleId, path: Path) {
        let module = self.trace.module(id);
        for (name, parameter) in &module.parameters {
            let Some(parameter) = *parameter else {
                continue;
            };
            if !self.is_alone && !self.parameters.insert(parameter) {
                continue;
            }
            let mut name = name.as_str();
            if let Some(unpruned) = name.strip_suffix("_orig") {
                let mask = format!("{unpruned}_mask");
                if module.buffers.iter().any(|(buffer, _)| *buffer == mask) {
                    self.sum.is_pruned = true;
                    name = unpruned;
                }
            }
            self.add(name, parameter, path);
        }
    }

    fn add(&mut self, name: &str, parameter: ParameterId, path: Path) {
        let parameter = self.trace.parameter(parameter);
        let count = Dim::product(&parameter.shape);
        self.sum.bytes += &count * i128::from(parameter.dtype.bytes());
        if parameter.requires_grad {
            self.sum.trainable += &count;
        }
        let sum = match name {
            "weight" if !path.is_inside => Some(&mut self.sum.weight),
            "bias" if !path.is_inside => Some(&mut self.sum.bias),
            _ if path.has_weight || name.contains("weight") => Some(&mut self.sum.other_weights),
            _ if path.has_bias || name.contains("bias") => Some(&mut self.sum.other_biases),
            _ => None,
        };
        if let Some(sum) = sum {
            *sum += &count;
        }
        self.sum.count += count;
    }
}
