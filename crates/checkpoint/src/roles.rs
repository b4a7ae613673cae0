//! Which tensors of a state dict are parameters. A state dict does not say; names and types do.

use std::collections::HashSet;

use crate::element::Element;
use crate::model::Role;

/// What is known of a tensor besides its name.
pub struct Look<'t> {
    /// Its full name.
    pub name: &'t str,
    /// Its sizes.
    pub shape: &'t [u64],
    /// Its element type.
    pub element: &'t Element,
}

/// Names that well-known layers register as buffers, by the last part of the name.
const BUFFERS: [&str; 48] = [
    // Positions, masks and tables of transformers.
    "position_ids",
    "token_type_ids",
    "inv_freq",
    "original_inv_freq",
    "cos_cached",
    "sin_cached",
    "freqs_cis",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
    "causal_mask",
    "masked_bias",
    "_float_tensor",
    // Normalisation of inputs, grids of detectors.
    "pixel_mean",
    "pixel_std",
    "anchors",
    "anchor_grid",
    // Power iteration of spectral_norm.
    "weight_u",
    "weight_v",
    // Observers and fake quantization.
    "min_val",
    "max_val",
    "zero_point",
    "zero_points",
    "fake_quant_enabled",
    "observer_enabled",
    // Averages of weights and codebooks.
    "n_averaged",
    "num_updates",
    "decay",
    "cluster_size",
    "embed_avg",
    "ema_w",
    // Noise schedules of diffusion models.
    "betas",
    "alphas",
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "log_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
    "lvlb_weights",
    "sigmas",
    "_u",
    "_v",
];

/// The path of the module that owns a tensor, and the tensor's name there.
pub fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// Guesses every tensor's role.
pub fn guess(tensors: &[Look<'_>]) -> Vec<Role> {
    // A layer that has both keeps running statistics.
    let with = |wanted: &str| -> HashSet<&str> {
        let owners = tensors.iter().map(|tensor| split(tensor.name));
        owners
            .filter(|(_, name)| *name == wanted)
            .map(|(owner, _)| owner)
            .collect()
    };
    let (means, variances) = (with("running_mean"), with("running_var"));
    let keeps_statistics = |owner| means.contains(owner) && variances.contains(owner);
    tensors
        .iter()
        .map(|tensor| {
            let (owner, name) = split(tensor.name);
            match name {
                "running_mean" | "running_var" if keeps_statistics(owner) => Role::NormStatistic,
                "num_batches_tracked" => Role::NormCounter,
                _ if is_buffer(tensor, name) => Role::Buffer,
                _ => Role::Parameter,
            }
        })
        .collect()
}

/// The role of a tensor that is a buffer for certain.
pub fn of_buffer(name: &str) -> Role {
    match split(name).1 {
        "running_mean" | "running_var" => Role::NormStatistic,
        "num_batches_tracked" => Role::NormCounter,
        _ => Role::Buffer,
    }
}

fn is_buffer(tensor: &Look<'_>, name: &str) -> bool {
    if BUFFERS.contains(&name) || name.starts_with("running_") {
        return true;
    }
    // GPT-2 keeps its causal mask as `attn.bias`, 1×1×n×n; a bias of a layer has one dimension.
    if let [1, 1, rows, columns] = tensor.shape
        && name == "bias"
        && rows == columns
        && *rows > 1
    {
        return true;
    }
    // Whole numbers are not trained; but quantized weights are stored as such.
    tensor.element.is_integer() && !name.ends_with("weight")
}
