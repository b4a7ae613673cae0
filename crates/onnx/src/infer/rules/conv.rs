//! Convolutions and pools.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;

use super::{MICROSOFT, Row};
use crate::infer::bounds;
use crate::infer::op::Op;

pub(super) const RULES: &[Row] = &[
    ("", "Conv", |op| conv(op, 1, None)),
    ("", "ConvInteger", |op| conv(op, 1, Some(DType::Int32))),
    ("", "QLinearConv", |op| {
        let dtype = op.dtype(7).or(op.dtype(0));
        conv(op, 3, dtype)
    }),
    ("", "DeformConv", |op| conv(op, 1, None)),
    ("", "ConvTranspose", |op| conv_transpose(op, 1, None)),
    ("", "CausalConvWithState", causal_conv),
    ("", "MaxPool", |op| pool(op, true)),
    ("", "AveragePool", |op| pool(op, true)),
    ("", "LpPool", |op| pool(op, true)),
    ("", "MaxUnpool", max_unpool),
    ("", "GlobalAveragePool", global_pool),
    ("", "GlobalMaxPool", global_pool),
    ("", "GlobalLpPool", global_pool),
    (MICROSOFT, "FusedConv", |op| conv(op, 1, None)),
    (MICROSOFT, "NhwcFusedConv", |op| {
        channels_last(op, |op| conv(op, 1, None))
    }),
    (MICROSOFT, "NhwcConv", |op| {
        channels_last(op, |op| conv(op, 1, None))
    }),
    (MICROSOFT, "NhwcMaxPool", |op| {
        channels_last(op, |op| pool(op, true))
    }),
    (MICROSOFT, "QLinearAveragePool", |op| {
        maybe_channels_last(op, |op| pool(op, true))
    }),
    (MICROSOFT, "QLinearGlobalAveragePool", |op| {
        maybe_channels_last(op, global_pool)
    }),
    (MICROSOFT, "QLinearConv", |op| {
        maybe_channels_last(op, |op| {
            let dtype = op.dtype(7).or(op.dtype(0));
            conv(op, 3, dtype)
        })
    }),
    (MICROSOFT, "ConvTransposeWithDynamicPads", |op| {
        conv_transpose(op, 1, Some(2))
    }),
    (MICROSOFT, "MaxpoolWithMask", |op| pool(op, true)),
];

/// The window of a convolution or a pool, one entry for each spatial dimension.
struct Window {
    kernel: Vec<Dim>,
    strides: Vec<i64>,
    dilations: Vec<i64>,
    /// Before and after; `None` for `SAME_UPPER` and `SAME_LOWER`.
    pads: Option<Vec<(i64, i64)>>,
    ceil: bool,
}

impl Window {
    fn of(op: &Op<'_, '_>, kernel: Vec<Dim>) -> Option<Window> {
        let spatial = kernel.len();
        let each = |name: &str| match op.attr_ints(name) {
            Some(values) if values.len() == spatial && values.iter().all(|v| *v > 0) => {
                Some(values.to_vec())
            }
            Some(values) if !values.is_empty() => None,
            _ => Some(vec![1; spatial]),
        };
        let pads = match (op.attr_str("auto_pad"), op.attr_ints("pads")) {
            (Some("SAME_UPPER" | "SAME_LOWER"), _) => None,
            (Some("VALID"), _) => Some(vec![(0, 0); spatial]),
            (_, Some(pads)) if !pads.is_empty() => {
                if pads.len() != 2 * spatial {
                    return None;
                }
                Some(
                    (0..spatial)
                        .map(|at| (pads[at], pads[at + spatial]))
                        .collect(),
                )
            }
            _ => Some(vec![(0, 0); spatial]),
        };
        Some(Window {
            strides: each("strides")?,
            dilations: each("dilations")?,
            kernel,
            pads,
            ceil: op.attr_int_or("ceil_mode", 0) != 0,
        })
    }

    /// How many elements the window covers along a dimension.
    fn extent(&self, at: usize) -> Dim {
        (&self.kernel[at] - Dim::ONE) * Dim::from(self.dilations[at]) + 1
    }

    /// How many places the window has along a dimension.
    fn places(&self, at: usize, size: &Dim) -> Dim {
        let stride = Dim::from(self.strides[at]);
        let Some(pads) = &self.pads else {
            return size.ceil_div(&stride);
        };
        let (before, after) = pads[at];
        let room = size + Dim::from(before) + Dim::from(after) - self.extent(at);
        if !self.ceil {
            return room.floor_div(&stride) + 1;
        }
        let places = room.ceil_div(&stride) + 1;
        // A window that would start in the padding after the input does not count.
        let last = (&places - Dim::ONE) * &stride;
        if bounds::less(&last, &(size + Dim::from(before))) == Some(false) {
            places - 1
        } else {
            places
        }
    }
}

/// A convolution with the weight at input `weight`.
fn conv(op: &mut Op<'_, '_>, weight: usize, dtype: Option<DType>) -> Option<()> {
    op.set_dtype(0, dtype.or(op.dtype(0)));
    let rank = op.rank(0).or(op.rank(weight))?;
    let spatial = rank.checked_sub(2)?;
    let batch = op.shape(0).and_then(|shape| shape.first().cloned());
    let filters = op.shape(weight).and_then(|shape| shape.first().cloned());
    let mut out = vec![
        batch.unwrap_or_else(|| op.fresh()),
        filters.unwrap_or_else(|| op.fresh()),
    ];
    out.extend(op.fresh_shape(spatial));
    op.set_shape(0, out.clone());
    let kernel = match op.attr_ints("kernel_shape") {
        Some(kernel) if !kernel.is_empty() => kernel.iter().map(|k| Dim::from(*k)).collect(),
        _ => op.shape(weight)?.get(2..)?.to_vec(),
    };
    let window = Window::of(op, kernel).filter(|window| window.kernel.len() == spatial)?;
    let shape = op.shape(0)?;
    for at in 0..spatial {
        out[2 + at] = window.places(at, &shape[2 + at]);
    }
    op.set_shape(0, out);
    Some(())
}

/// A pool; the second output, of indices, has the same shape.
fn pool(op: &mut Op<'_, '_>, indices: bool) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    if indices {
        op.set_dtype(1, DType::Int64);
    }
    let shape = op.shape(0)?;
    let spatial = shape.len().checked_sub(2)?;
    let mut out = shape[..2].to_vec();
    out.extend(op.fresh_shape(spatial));
    let kernel: Vec<Dim> = match op.attr_ints("kernel_shape") {
        Some(kernel) => kernel.iter().map(|k| Dim::from(*k)).collect(),
        None => Vec::new(),
    };
    if let Some(window) = Window::of(op, kernel).filter(|w| w.kernel.len() == spatial) {
        for at in 0..spatial {
            out[2 + at] = window.places(at, &shape[2 + at]);
        }
    }
    if op.wants(1) {
        op.set_shape(1, out.clone());
    }
    op.set_shape(0, out);
    Some(())
}

/// A transposed convolution.
fn conv_transpose(op: &mut Op<'_, '_>, weight: usize, pads_input: Option<usize>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let rank = op.rank(0).or(op.rank(weight))?;
    let spatial = rank.checked_sub(2)?;
    let groups = Dim::from(op.attr_int_or("group", 1).max(1));
    let batch = op.shape(0).and_then(|shape| shape.first().cloned());
    let filters = op
        .shape(weight)
        .and_then(|shape| shape.get(1))
        .map(|f| f * &groups);
    let mut out = vec![
        batch.unwrap_or_else(|| op.fresh()),
        filters.unwrap_or_else(|| op.fresh()),
    ];
    out.extend(op.fresh_shape(spatial));
    op.set_shape(0, out.clone());
    if let Some(given) = op
        .attr_ints("output_shape")
        .filter(|given| !given.is_empty())
    {
        // Some exporters list the batch and the channels too.
        let given = given.get(given.len().checked_sub(spatial)?..)?;
        for (at, size) in given.iter().enumerate() {
            out[2 + at] = Dim::from(*size);
        }
        op.set_shape(0, out);
        return Some(());
    }
    let kernel = match op.attr_ints("kernel_shape") {
        Some(kernel) if !kernel.is_empty() => kernel.iter().map(|k| Dim::from(*k)).collect(),
        _ => op.shape(weight)?.get(2..)?.to_vec(),
    };
    let mut window = Window::of(op, kernel).filter(|window| window.kernel.len() == spatial)?;
    if let Some(index) = pads_input.filter(|index| op.has(*index)) {
        let pads = op
            .const_ints(index)
            .filter(|pads| pads.len() == 2 * spatial)?;
        window.pads = Some(
            (0..spatial)
                .map(|at| (pads[at], pads[at + spatial]))
                .collect(),
        );
    }
    let extra = op.attr_ints("output_padding").unwrap_or_default();
    let shape = op.shape(0)?;
    for at in 0..spatial {
        let stride = Dim::from(window.strides[at]);
        let size = &shape[2 + at];
        let extra = extra.get(at).copied().unwrap_or(0);
        out[2 + at] = match &window.pads {
            None => size * &stride,
            Some(pads) => {
                let (before, after) = pads[at];
                (size - Dim::ONE) * &stride + window.extent(at) + Dim::from(extra)
                    - Dim::from(before)
                    - Dim::from(after)
            }
        };
    }
    op.set_shape(0, out);
    Some(())
}

/// A causal depthwise convolution over the last dimension that carries the last inputs along.
fn causal_conv(op: &mut Op<'_, '_>) -> Option<()> {
    op.same(0, 0);
    op.set_dtype(1, op.dtype(0));
    let past = op.shape(3);
    let kernel = op.shape(1).and_then(|shape| shape.last());
    let width = match (past, kernel) {
        (Some([.., width]), _) => Some(width.clone()),
        (_, Some(kernel)) => Some(kernel - Dim::ONE),
        _ => None,
    };
    let [batch, channels, ..] = op.shape(0)? else {
        return None;
    };
    let shape = vec![
        batch.clone(),
        channels.clone(),
        width.unwrap_or_else(|| op.fresh()),
    ];
    op.set_shape(1, shape);
    Some(())
}

/// Undoes a max pool.
fn max_unpool(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?.to_vec();
    let spatial = shape.len().checked_sub(2)?;
    op.set_shape(0, op.fresh_shape(shape.len()));
    if op.has(2) {
        let given: Vec<Dim> = op
            .items(2)?
            .iter()
            .map(|size| size.int().unwrap_or_else(|| op.fresh()))
            .collect();
        if given.len() == shape.len() {
            op.set_shape(0, given);
        }
        return Some(());
    }
    let kernel = op
        .attr_ints("kernel_shape")?
        .iter()
        .map(|k| Dim::from(*k))
        .collect();
    let window = Window::of(op, kernel).filter(|window| window.kernel.len() == spatial)?;
    let mut out = shape[..2].to_vec();
    for at in 0..spatial {
        let (before, after) = window.pads.as_ref()?[at];
        let stride = Dim::from(window.strides[at]);
        out.push(
            (&shape[2 + at] - Dim::ONE) * &stride + &window.kernel[at]
                - Dim::from(before)
                - Dim::from(after),
        );
    }
    op.set_shape(0, out);
    Some(())
}

/// Every spatial dimension becomes one.
fn global_pool(op: &mut Op<'_, '_>) -> Option<()> {
    op.set_dtype(0, op.dtype(0));
    let shape = op.shape(0)?;
    let mut out = shape.get(..2)?.to_vec();
    out.resize(shape.len(), Dim::ONE);
    op.set_shape(0, out);
    Some(())
}

/// Runs a rule on the input with the channels moved to the second dimension, and moves the
/// output's back to the last.
fn channels_last(op: &mut Op<'_, '_>, rule: fn(&mut Op<'_, '_>) -> Option<()>) -> Option<()> {
    let mut fact = op.fact(0)?.clone();
    if let crate::infer::fact::Fact::Tensor(tensor) = &mut fact
        && let Some(shape) = &mut tensor.shape
        && shape.len() >= 2
    {
        shape[1..].rotate_right(1);
    }
    let mut inputs = op.inputs.clone();
    inputs[0] = Some(&fact);
    let mut inner = Op {
        node: op.node,
        version: op.version,
        inputs,
        outputs: op.outputs.clone(),
        call_attributes: op.call_attributes,
        unknowns: op.unknowns,
    };
    let result = rule(&mut inner);
    let mut outputs = std::mem::take(&mut inner.outputs);
    for fact in &mut outputs {
        if let crate::infer::fact::Fact::Tensor(tensor) = fact
            && let Some(shape) = &mut tensor.shape
            && shape.len() >= 2
        {
            shape[1..].rotate_left(1);
        }
    }
    op.outputs = outputs;
    result
}

fn maybe_channels_last(op: &mut Op<'_, '_>, rule: fn(&mut Op<'_, '_>) -> Option<()>) -> Option<()> {
    if op.attr_int_or("channels_last", 0) != 0 {
        channels_last(op, rule)
    } else {
        rule(op)
    }
}
