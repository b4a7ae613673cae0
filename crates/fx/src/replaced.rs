//! Weights that stand in the place of a module's own: `torch.func.functional_call`, and hooks that
//! compute them before a layer runs.

use foldhash::HashSet;
use modelcost_core::trace::{ModuleId, Origin, TensorId, Trace};

use crate::flat::Flat;
use crate::site;
use crate::stack::Stacks;

/// What `torch.jit.trace` raises at a `functional_call` (`torch/nn/utils/stateless.py`, torch 2.15).
const STATELESS: &str = "RuntimeError: The stateless API can't be used with Jitted modules, by torch.func.functional_call";

/// What `torch.jit.trace` raises under `parametrize.cached()` (`torch/nn/utils/parametrize.py`, torch 2.15).
const CACHED: &str = "RuntimeError: Cannot trace a model while caching parametrizations";

/// Says where a weight is computed less often than the layer runs that computes with it: then it is kept, which
/// only `parametrize.cached()` does, and no line of a `with` is in a program.
pub fn cached(trace: &mut Trace) {
    let child = |id: ModuleId| trace.module(id).children.iter();
    let computed: Vec<(ModuleId, ModuleId)> = (0..trace.modules.len())
        .map(ModuleId::new)
        .flat_map(|layer| {
            let lists = child(layer).filter(|(name, _)| name == "parametrizations");
            let weights = lists.flat_map(|(_, lists)| child(*lists));
            weights.map(move |(_, weight)| (layer, *weight))
        })
        .collect();
    if computed.is_empty() {
        return;
    }
    let calls = trace.calls_by_module();
    let times = |module: &ModuleId| calls[module.index()].len();
    let is_kept =
        |(layer, weight): &(ModuleId, ModuleId)| times(weight) > 0 && times(weight) < times(layer);
    if computed.iter().any(is_kept) {
        trace.not_traceable = Some(CACHED);
    }
}

/// The computed tensors that layers of PyTorch use as weights: no module is called with them. Where they were put
/// there by a `functional_call`, the trace says that it cannot be traced again.
pub fn weights(trace: &mut Trace, nodes: &[Flat<'_>], stacks: &Stacks<'_>) -> HashSet<TensorId> {
    let mut out = HashSet::default();
    for node in nodes {
        let innermost = node.stack.and_then(|stack| stacks.get(stack).last());
        if !innermost.is_some_and(|entry| entry.class.starts_with("torch.nn.modules.")) {
            continue;
        }
        for argument in &node.arguments {
            if argument.name != "weight" && argument.name != "bias" {
                continue;
            }
            let Some(tensor) = argument.value.tensor() else {
                continue;
            };
            let origin = trace.tensor(tensor).origin;
            if matches!(origin, Origin::Parameter(_) | Origin::Buffer(_)) || !out.insert(tensor) {
                continue;
            }
            let stateless = |line: &&str| line.contains("functional_call(");
            if site::lines(&node.frame).iter().any(stateless) {
                trace.not_traceable = Some(STATELESS);
            }
        }
    }
    out
}
