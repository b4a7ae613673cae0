//! Which operators the graph keeps.

use std::collections::HashSet;

use crate::fused::Fused;
use crate::jit::is_outermost;
use crate::trace::{CallId, TensorId, Trace};
use crate::views::{Views, written};

/// For every call, whether it is an outermost operator that something uses. The tracer drops the
/// others: `torch/csrc/jit/passes/dead_code_elimination.cpp`.
pub fn operators(trace: &Trace, fused: &[Fused]) -> Vec<bool> {
    let mut live = vec![false; trace.calls.len()];
    let views = Views::new(trace);
    let outputs = trace.outputs();
    // A trace that does not say what the model returns keeps everything.
    let keep_all = outputs.is_empty();
    let mut needed: HashSet<TensorId> = HashSet::new();
    let need = |needed: &mut HashSet<TensorId>, tensor: TensorId| {
        needed.insert(tensor);
        needed.insert(views.base(tensor));
    };
    outputs
        .into_iter()
        .for_each(|tensor| need(&mut needed, tensor));
    for index in (0..trace.calls.len()).rev() {
        let id = CallId::new(index);
        let call = trace.call(id);
        let by_end = fused.partition_point(|fused| fused.call <= id);
        let around = fused[..by_end].last().map(|fused| fused.call);
        let is_fused = around == Some(id);
        let is_hidden = around.is_some_and(|around| id < trace.call(around).end) && !is_fused;
        if is_hidden || !is_fused && !is_outermost(trace, call) {
            continue;
        }
        let is_needed = call.output.tensors().iter().any(|id| needed.contains(id));
        let writes_to_needed = written(call).is_some_and(|id| needed.contains(&views.base(id)));
        live[index] = keep_all || is_needed || writes_to_needed;
        if live[index] {
            let tensors = call.arguments.iter().flat_map(|a| a.value.tensors());
            tensors.for_each(|tensor| need(&mut needed, tensor));
        }
    }
    live
}
