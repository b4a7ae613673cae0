//! The functions that layers with weights and norms call.

use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::{Entry, F, METHOD, TORCH};
use crate::bound::Bound;
use crate::error::Result;
use crate::signature::Arguments;
use crate::tracer::Tracer;

macro_rules! conv {
    ($name:literal, $doc:literal) => {
        Entry::line(
            F.and(TORCH),
            concat!(
                $name,
                "(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)"
            ),
            concat!(
                "aten.",
                $name,
                "(input, weight, bias, stride, padding, dilation, groups)"
            ),
            $doc,
        )
    };
}

macro_rules! conv_transpose {
    ($name:literal, $doc:literal) => {
        Entry::line(
            F.and(TORCH),
            concat!(
                $name,
                "(input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, \
                 dilation=1)"
            ),
            concat!(
                "aten.",
                $name,
                "(input, weight, bias, stride, padding, output_padding, groups, dilation)"
            ),
            $doc,
        )
    };
}

pub(super) static FUNCTIONS: [Entry; 19] = [
    Entry::line(
        F,
        "linear(input, weight, bias=None)",
        "aten.linear(input, weight, bias)",
        "Affine map of the last dimension: x Wᵀ + b.",
    ),
    Entry::line(
        F,
        "bilinear(input1, input2, weight, bias=None)",
        "aten.bilinear(input1, input2, weight, bias)",
        "Bilinear form of two inputs.",
    ),
    conv!("conv1d", "Convolution over a sequence."),
    conv!("conv2d", "Convolution over an image."),
    conv!("conv3d", "Convolution over a volume."),
    conv_transpose!(
        "conv_transpose1d",
        "Transposed convolution over a sequence."
    ),
    conv_transpose!("conv_transpose2d", "Transposed convolution over an image."),
    conv_transpose!("conv_transpose3d", "Transposed convolution over a volume."),
    Entry::line(
        F,
        "embedding(input, weight, padding_idx=None, max_norm=None, norm_type=2.0, \
         scale_grad_by_freq=False, sparse=False)",
        "aten.embedding(weight, input, -1 if padding_idx is None else padding_idx, \
         scale_grad_by_freq, sparse)",
        "Looks up the rows of a matrix.",
    ),
    Entry::code(
        F,
        "embedding_bag(input, weight, offsets=None, max_norm=None, norm_type=2, \
         scale_grad_by_freq=False, mode='mean', sparse=False, per_sample_weights=None, \
         include_last_offset=False, padding_idx=None)",
        embedding_bag,
        "Looks up rows and sums or averages them by bag.",
    ),
    Entry::line(
        F,
        "batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False, \
         momentum=0.1, eps=1e-05)",
        "aten.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, \
         True)",
        "Normalises each channel over the batch.",
    ),
    Entry::line(
        F,
        "instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None, \
         use_input_stats=True, momentum=0.1, eps=1e-05)",
        "aten.instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, \
         momentum, eps, True)",
        "Normalises each channel of each input by itself.",
    ),
    Entry::line(
        F,
        "layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05)",
        "aten.layer_norm(input, normalized_shape, weight, bias, eps, True)",
        "Normalises over the last dimensions.",
    ),
    Entry::line(
        F,
        "rms_norm(input, normalized_shape, weight=None, eps=None)",
        "aten.rms_norm(input, normalized_shape, weight, eps)",
        "Divides by the root mean square over the last dimensions.",
    ),
    Entry::line(
        F,
        "group_norm(input, num_groups, weight=None, bias=None, eps=1e-05)",
        "aten.group_norm(input, num_groups, weight, bias, eps, True)",
        "Normalises groups of channels of each input by themselves.",
    ),
    Entry::line(
        F,
        "scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, \
         is_causal=False, scale=None, enable_gqa=False)",
        "aten.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, \
         scale=scale, enable_gqa=enable_gqa)",
        "softmax(Q Kᵀ / √d) V.",
    ),
    Entry::line(
        F,
        "unfold(input, kernel_size, dilation=1, padding=0, stride=1)",
        "aten.im2col(input, kernel_size, dilation, padding, stride)",
        "The windows of an image as columns.",
    ),
    Entry::line(
        F,
        "fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1)",
        "aten.col2im(input, output_size, kernel_size, dilation, padding, stride)",
        "Adds columns back to the windows of an image.",
    ),
    Entry::line(
        METHOD,
        "unfold(input, dimension, size, step)",
        "aten.unfold(input, dimension, size, step)",
        "The windows of one dimension as a new, last one.",
    ),
];

fn embedding_bag(t: &mut Tracer, args: &Bound) -> Result<Value> {
    let mut input = args.value("input").clone();
    let mut offsets = args.value("offsets").clone();
    let shape = t.shape(args.tensor("input")?);
    let mut weights = args.value("per_sample_weights").clone();
    let mut last = args.value("include_last_offset").clone();
    match (shape.as_slice(), offsets.is_none()) {
        ([_, _], true) => {
            let arange = Arguments::of([
                0.into(),
                Value::Int(Dim::product(&shape)),
                Value::Int(shape[1].clone()),
            ]);
            let arange = arange.named("dtype", t.dtype(args.tensor("input")?));
            offsets = t.call_function("torch.arange", &arange, None)?;
            last = Value::Bool(false);
            let flat = |tensor: Value| Arguments::of([tensor, (-1).into()]);
            input = t.call_function("torch.Tensor.reshape", &flat(input), None)?;
            if !weights.is_none() {
                weights = t.call_function("torch.Tensor.reshape", &flat(weights), None)?;
            }
        }
        ([_], false) => {}
        ([_, _], false) => {
            return Err(args.error(
                "offsets",
                "embedding_bag: an input of 2 dimensions takes no offsets",
            ));
        }
        ([_], true) => {
            return Err(args.error(
                "input",
                "embedding_bag: an input of 1 dimension needs offsets",
            ));
        }
        _ => {
            return Err(args.error(
                "input",
                "embedding_bag expects an input of 1 or 2 dimensions",
            ));
        }
    }
    let mode: i32 = match args.str("mode")? {
        "sum" => 0,
        "max" => 2,
        _ => 1,
    };
    let arguments = Arguments::of([
        args.value("weight").clone(),
        input,
        offsets,
        args.value("scale_grad_by_freq").clone(),
        mode.into(),
        args.value("sparse").clone(),
        weights,
        last,
        args.value("padding_idx").clone(),
    ]);
    let output = t.call_operator("aten.embedding_bag", &arguments)?;
    Ok(output
        .items()
        .and_then(|items| items.first())
        .cloned()
        .unwrap_or_default())
}
