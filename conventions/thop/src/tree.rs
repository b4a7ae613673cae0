//! What the walks of the thop releases share.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{ModuleId, Trace};

/// `isinstance(m, (nn.Sequential, nn.ModuleList))`
pub fn is_container(trace: &Trace, module: ModuleId) -> bool {
    let class = &trace.module(module).class;
    class.is("torch.nn.Sequential") || class.is("torch.nn.ModuleList")
}

/// The nearest integer that a float64 holds. Symbols stay what they are.
pub fn float64(value: Dim) -> Dim {
    match value {
        Dim::Const(value) => Dim::Const(value as f64 as i128),
        other => other,
    }
}

/// The nearest integer that a float32 holds. Symbols stay what they are.
pub fn float32(value: Dim) -> Dim {
    match value {
        Dim::Const(value) => Dim::Const(value as f32 as i128),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float64_rounds_to_even() {
        assert_eq!(float64(Dim::from((1i64 << 53) + 1)), Dim::from(1i64 << 53));
    }

    #[test]
    fn float32_rounds_to_even() {
        assert_eq!(float32(Dim::from((1i64 << 24) + 1)), Dim::from(1i64 << 24));
    }
}
