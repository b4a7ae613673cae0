//! Bytes: parameters, and activations in the order in which the forward pass makes them.

use std::collections::HashMap;

use modelcost_core::dim::Dim;
use modelcost_core::table::describe;
use modelcost_core::trace::{CallId, Origin, Target, TensorId, Trace};
use serde::Serialize;

use crate::storage::Storage;

/// A model's memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All parameters, each storage once.
    pub parameters: u128,
    /// All buffers.
    pub buffers: u128,
    /// The model's inputs.
    pub inputs: u128,
    /// The most that is alive at once in a forward pass without gradients, inputs included: each
    /// tensor lives from the operator that makes it to the last one that reads it.
    pub peak_activations: u128,
    /// The operator call at which that is reached.
    #[serde(skip)]
    pub peak_at: Option<CallId>,
    /// Everything that operators make, inputs included, as training keeps it for the backward pass.
    pub all_activations: u128,
    /// Gradients of the trainable parameters.
    pub gradients: u128,
    /// Optimizer state: SGD without momentum has none; with momentum, one value a trainable
    /// parameter.
    pub sgd_momentum: u128,
    /// Optimizer state of Adam and AdamW: two values a trainable parameter.
    pub adam: u128,
}

impl Memory {
    /// What inference needs at the least: parameters, buffers and the peak.
    pub fn inference(&self) -> u128 {
        self.parameters + self.buffers + self.peak_activations
    }

    /// What training with Adam needs at the least.
    pub fn training_adam(&self) -> u128 {
        self.parameters + self.buffers + self.all_activations + self.gradients + self.adam
    }

    /// What training with SGD and momentum needs at the least.
    pub fn training_sgd(&self) -> u128 {
        self.parameters + self.buffers + self.all_activations + self.gradients + self.sgd_momentum
    }
}

/// Why there is no answer in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemoryError {
    /// Sizes are free.
    #[error("the sizes depend on {0}; bind them with --dim")]
    Symbolic(String),
    /// A tensor's shape or dtype is not known.
    #[error("the shape or dtype of a tensor is not known: {0}")]
    Unknown(String),
}

/// Bytes of one tensor.
pub fn bytes_of(trace: &Trace, id: TensorId) -> Result<u128, MemoryError> {
    bytes_in(trace, id, None)
}

/// Bytes of one tensor, floating-point numbers taking so many bits.
pub fn bytes_in(trace: &Trace, id: TensorId, float_bits: Option<u32>) -> Result<u128, MemoryError> {
    let tensor = trace.tensor(id);
    let (Some(shape), Some(dtype)) = (&tensor.shape, tensor.dtype) else {
        return Err(MemoryError::Unknown(made_by(trace, tensor.origin)));
    };
    let bits = match float_bits {
        Some(bits) if dtype.is_floating_point() => bits,
        _ => dtype.bits(),
    };
    let numel = constant(&Dim::product(shape))?;
    Ok((numel * u128::from(bits)).div_ceil(8))
}

/// Where a tensor comes from, for a message.
fn made_by(trace: &Trace, origin: Origin) -> String {
    match origin {
        Origin::Input => "an input".into(),
        Origin::Parameter(id) => trace.parameter(id).name.to_string(),
        Origin::Buffer(_) => "a buffer".into(),
        Origin::Constant => "a constant".into(),
        Origin::Call(id) => describe(trace, id),
    }
}

fn constant(dim: &Dim) -> Result<u128, MemoryError> {
    match dim.as_const() {
        Some(value) => Ok(u128::try_from(value).unwrap_or(0)),
        None => Err(MemoryError::Symbolic(
            dim.symbols().into_iter().collect::<Vec<_>>().join(", "),
        )),
    }
}

/// The outermost operator calls in order: what the program runs, one step each.
pub fn steps(trace: &Trace) -> Vec<CallId> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < trace.calls.len() {
        let id = CallId::new(at);
        if matches!(trace.call(id).target, Target::Operator(_)) {
            out.push(id);
            at = trace.call(id).end.index();
        } else {
            at += 1;
        }
    }
    out
}

/// The memory of a forward pass.
pub fn memory(trace: &Trace) -> Result<Memory, MemoryError> {
    let size = |shape: &[Dim], bits: u32| -> Result<u128, MemoryError> {
        Ok((constant(&Dim::product(shape))? * u128::from(bits)).div_ceil(8))
    };
    let (mut parameters, mut gradients, mut trainable) = (0, 0, 0);
    for parameter in &trace.parameters {
        let bytes = size(&parameter.shape, parameter.dtype.bits())?;
        parameters += bytes;
        if parameter.requires_grad {
            gradients += bytes;
            trainable += bytes;
        }
    }
    let mut buffers = 0;
    for buffer in &trace.buffers {
        buffers += size(&buffer.shape, buffer.dtype.bits())?;
    }
    let mut inputs = 0;
    for (_, id) in &trace.inputs {
        inputs += bytes_of(trace, *id)?;
    }
    let steps = steps(trace);
    let storage = Storage::new(trace);
    let lifetimes = lifetimes(trace, &steps, &storage)?;
    // Bytes that appear and disappear at each step, then a running sum.
    let mut change = vec![0i128; steps.len() + 2];
    let mut all_activations = inputs;
    for life in lifetimes.values() {
        change[life.made] += life.bytes as i128;
        change[life.last_read + 1] -= life.bytes as i128;
        all_activations += life.bytes;
    }
    let (mut alive, mut peak, mut peak_at) = (inputs as i128, inputs as i128, None);
    for (step, call) in steps.iter().enumerate() {
        alive += change[step];
        if alive > peak {
            (peak, peak_at) = (alive, Some(*call));
        }
    }
    Ok(Memory {
        parameters,
        buffers,
        inputs,
        peak_activations: peak as u128,
        peak_at,
        all_activations,
        gradients,
        sgd_momentum: trainable,
        adam: trainable * 2,
    })
}

struct Life {
    made: usize,
    last_read: usize,
    bytes: u128,
}

/// From making to last reading, of every storage that a step makes.
fn lifetimes(
    trace: &Trace,
    steps: &[CallId],
    storage: &Storage,
) -> Result<HashMap<TensorId, Life>, MemoryError> {
    let owner = |tensor: TensorId| storage.owner(tensor);
    let mut lives: HashMap<TensorId, Life> = HashMap::new();
    for (step, id) in steps.iter().enumerate() {
        let call = trace.call(*id);
        for read in call
            .arguments
            .iter()
            .flat_map(|argument| argument.value.tensors())
        {
            if let Some(life) = lives.get_mut(&owner(read)) {
                life.last_read = step;
            }
        }
        for output in call.output.tensors() {
            let owner = owner(output);
            let is_activation = matches!(trace.tensor(owner).origin, Origin::Call(_));
            if owner == output && is_activation && !lives.contains_key(&owner) {
                lives.insert(
                    owner,
                    Life {
                        made: step,
                        last_read: step,
                        bytes: bytes_of(trace, owner)?,
                    },
                );
            }
        }
    }
    for output in trace.outputs() {
        if let Some(life) = lives.get_mut(&owner(output)) {
            life.last_read = steps.len();
        }
    }
    Ok(lives)
}
