//! Operators whose arguments rules read, with the defaults that a program leaves out
//! (schemas of torch 2.15; `torch.ops.aten.….default._schema`).

use std::collections::HashMap;
use std::sync::OnceLock;

use modelcost_torch::Signature;

const OPERATORS: &[&str] = &[
    "conv1d(input, weight, bias=None, stride=[1], padding=[0], dilation=[1], groups=1)",
    "conv2d(input, weight, bias=None, stride=[1, 1], padding=[0, 0], dilation=[1, 1], groups=1)",
    "conv3d(input, weight, bias=None, stride=[1, 1, 1], padding=[0, 0, 0], dilation=[1, 1, 1], groups=1)",
    "conv_transpose1d(input, weight, bias=None, stride=[1], padding=[0], output_padding=[0], groups=1, dilation=[1])",
    "conv_transpose2d(input, weight, bias=None, stride=[1, 1], padding=[0, 0], output_padding=[0, 0], groups=1, dilation=[1, 1])",
    "conv_transpose3d(input, weight, bias=None, stride=[1, 1, 1], padding=[0, 0, 0], output_padding=[0, 0, 0], groups=1, dilation=[1, 1, 1])",
    "linear(input, weight, bias=None)",
    "einsum(equation, tensors, *, path=None)",
    "bilinear(input1, input2, weight, bias=None)",
    "layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-05, cudnn_enable=True)",
    "group_norm(input, num_groups, weight=None, bias=None, eps=1e-05, cudnn_enabled=True)",
    "rms_norm(input, normalized_shape, weight=None, eps=None)",
    "max_pool1d(self, kernel_size, stride=[], padding=[0], dilation=[1], ceil_mode=False)",
    "max_pool2d(self, kernel_size, stride=[], padding=[0, 0], dilation=[1, 1], ceil_mode=False)",
    "max_pool3d(self, kernel_size, stride=[], padding=[0, 0, 0], dilation=[1, 1, 1], ceil_mode=False)",
    "avg_pool1d(self, kernel_size, stride=[], padding=[0], ceil_mode=False, count_include_pad=True)",
    "avg_pool2d(self, kernel_size, stride=[], padding=[0, 0], ceil_mode=False, count_include_pad=True, divisor_override=None)",
    "avg_pool3d(self, kernel_size, stride=[], padding=[0, 0, 0], ceil_mode=False, count_include_pad=True, divisor_override=None)",
    "softmax(self, dim, dtype=None)",
    "log_softmax(self, dim, dtype=None)",
    "scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, *, scale=None, enable_gqa=False)",
    "embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False)",
    "gelu(self, *, approximate='none')",
    "addmm(self, mat1, mat2, *, beta=1, alpha=1)",
    "baddbmm(self, batch1, batch2, *, beta=1, alpha=1)",
    "lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)",
    "gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)",
    "rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)",
    "rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None)",
    "add(self, other, *, alpha=1)",
    "sub(self, other, *, alpha=1)",
    "mean(self, dim=None, keepdim=False, *, dtype=None)",
    "sum(self, dim=None, keepdim=False, *, dtype=None)",
    "pad(self, pad, mode='constant', value=None)",
    "flatten(self, start_dim=0, end_dim=-1)",
    "cat(tensors, dim=0)",
    "pixel_shuffle(self, upscale_factor)",
];

/// The schema of an operator: `aten.conv2d`.
pub fn schema(op: &str) -> Option<&'static Signature> {
    static PARSED: OnceLock<HashMap<&'static str, OnceLock<Signature>>> = OnceLock::new();
    let table = PARSED.get_or_init(|| {
        let rows = OPERATORS.iter();
        rows.map(|text| (*text, OnceLock::new()))
            .map(|(text, cell)| (name(text), cell))
            .collect()
    });
    let short = op.strip_prefix("aten.")?;
    let cell = table.get(short)?;
    Some(cell.get_or_init(|| {
        let text = OPERATORS.iter().find(|text| name(text) == short);
        Signature::parse(text.copied().unwrap_or_default())
    }))
}

fn name(text: &'static str) -> &'static str {
    text.split('(').next().unwrap_or(text)
}
