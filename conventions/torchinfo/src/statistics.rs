//! `ModelStatistics`: what a list of rows sums to.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{Passed, Trace};

use crate::layer_info::SummaryList;

/// What Python says that the storage of a tensor takes beyond its elements (`sys.getsizeof`, torch
/// 2.15 on 64 bits).
const STORAGE_OVERHEAD: i128 = 64;

/// The totals of a summary.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// `total_mult_adds`
    pub mult_adds: Dim,
    /// `total_params`
    pub params: Dim,
    /// `trainable_params`
    pub trainable: Dim,
    /// `total_input`, in bytes.
    pub input_bytes: Dim,
    /// `total_output_bytes`: of layers with parameters, twice, for gradients.
    pub output_bytes: Dim,
    /// `total_param_bytes`: of layers without children.
    pub param_bytes: Dim,
}

impl Statistics {
    /// Of a model.
    pub fn of(trace: &Trace, list: &SummaryList) -> Statistics {
        let mut sum = Statistics {
            input_bytes: input_bytes(trace),
            ..Statistics::default()
        };
        let positive = |dim: &Dim| dim.maximum(&Dim::ZERO);
        for (info, (leftover, leftover_trainable)) in list.rows().zip(list.leftovers()) {
            let parameters = &info.parameters;
            if info.is_leaf_layer {
                sum.mult_adds += &info.macs;
                if parameters.count != Dim::ZERO {
                    sum.output_bytes += &info.output_bytes * 2;
                }
                if !info.is_recursive {
                    sum.params += &parameters.count;
                    sum.trainable += &parameters.trainable;
                    sum.param_bytes += &parameters.bytes;
                }
            } else if !info.is_recursive {
                sum.params += positive(&leftover);
                sum.trainable += positive(&leftover_trainable);
            }
        }
        sum
    }

    /// The lines about memory: what each is called, and its bytes.
    pub fn sizes(&self) -> [(&'static str, Dim); 4] {
        let total = self.input_bytes.clone() + &self.output_bytes + &self.param_bytes;
        [
            ("Input size (MB)", self.input_bytes.clone()),
            ("Forward/backward pass size (MB)", self.output_bytes.clone()),
            ("Params size (MB)", self.param_bytes.clone()),
            ("Estimated Total Size (MB)", total),
        ]
    }
}

fn input_bytes(trace: &Trace) -> Dim {
    let Some(root) = trace.root_call() else {
        return Dim::ZERO;
    };
    let arguments = trace.call(root).arguments.iter();
    let given = arguments.filter(|argument| argument.passed != Passed::Default);
    let tensors = given.flat_map(|argument| argument.value.tensors());
    let bytes = tensors.map(|id| {
        let tensor = trace.tensor(id);
        let element = tensor.dtype.unwrap_or(DType::Float32).bytes();
        let elements = Dim::product(tensor.shape.iter().flatten());
        elements * i128::from(element) + STORAGE_OVERHEAD
    });
    bytes.sum()
}
