//! What torchinfo's loops over `module.named_parameters()` add up.

use std::collections::HashSet;

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
    /// Of a module.
    pub fn of(trace: &Trace, module: ModuleId) -> Parameters {
        let mut loop_ = Loop {
            trace,
            sum: Parameters::default(),
            is_alone: is_alone(trace, module),
            modules: HashSet::new(),
            parameters: HashSet::new(),
        };
        loop_.visit(module, Path::default());
        loop_.sum
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

impl Loop<'_> {
    fn visit(&mut self, id: ModuleId, path: Path) {
        if !self.is_alone && !self.modules.insert(id) {
            return;
        }
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
        for (name, child) in &module.children {
            let path = Path {
                is_inside: true,
                has_weight: path.has_weight || name.contains("weight"),
                has_bias: path.has_bias || name.contains("bias"),
            };
            self.visit(*child, path);
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
