//! Convention: the FLOPs profiler of DeepSpeed 0.19.8.
//!
//! It replaces the functions of `torch.nn.functional` and some of `torch` and `torch.Tensor` by ones
//! that count, and hooks recurrent layers; the rules are tables in `rules/`. What a function costs
//! is added to the innermost module that is being called, each module's sum once to the total.

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::patched::{Aliases, PatchedConvention, Signatures};
use modelcost_core::table::Table;

static DEEPSPEED: Lazy<PatchedConvention> = Lazy::new(|| PatchedConvention {
    table: Table::built_in(include_str!("../rules/deepspeed-0.19.8.toml")),
    macs: Table::built_in(include_str!("../rules/macs.toml")),
    signatures: Signatures::built_in(include_str!("../rules/signatures.toml")),
    backward: None,
    aliases: Aliases::Once,
    without_parameters: None,
});

inventory::submit! { Registration {
    id: "deepspeed", version: "0.19.8", variant: "", default_variant: true, order: 100,
    load: || &*DEEPSPEED as &dyn Convention,
} }

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::convention::{Failure, Options};
    use modelcost_core::dim::Dim;
    use modelcost_core::dtype::DType;
    use modelcost_core::sketch::{function, model, returning, shape, tensor};
    use modelcost_core::trace::{Argument, Class, Module, Passed, Target, Trace, TraceBuilder};
    use modelcost_core::value::Value;

    /// A model that calls one function with tensors of the given shapes and further arguments.
    fn calls(name: &str, tensors: &[&[usize]], rest: Vec<Argument>, out: &[usize]) -> Trace {
        let mut builder = model();
        let out = function(&mut builder, name, tensors, rest, out);
        returning(builder, out)
    }

    fn count(trace: &Trace) -> Result<(Dim, String), Failure> {
        let report = DEEPSPEED.count(trace, &Options::default())?;
        let sum: Dim = report.entries.iter().map(|e| e.count.clone()).sum();
        let count = report.count.map(|count| count.count().clone());
        assert_eq!(count, Some(sum.clone()));
        Ok((sum, report.extras[0].value.clone()))
    }

    #[test]
    fn every_patched_function_has_a_signature() {
        assert!(DEEPSPEED.without_signature().is_empty());
    }

    #[test]
    fn counts_what_deepspeed_0_19_8_prints() {
        // nn.Conv2d(3, 64, 3, padding=1) on 1×3×224×224.
        let padding = vec![
            Argument::new("stride", vec![1.into(), 1.into()]),
            Argument::new("padding", vec![1.into(), 1.into()]),
        ];
        let conv = calls(
            "torch.nn.functional.conv2d",
            &[&[1, 3, 224, 224], &[64, 3, 3, 3], &[64]],
            padding,
            &[1, 64, 224, 224],
        );
        assert_eq!(
            count(&conv),
            Ok((Dim::from(176_619_520), "86704128".into()))
        );
        // nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1, groups=4, bias=False).
        let transposed = calls(
            "torch.nn.functional.conv_transpose2d",
            &[&[1, 16, 14, 14], &[16, 2, 3, 3]],
            vec![
                Argument::new("bias", Value::None),
                Argument::new("stride", 2),
                Argument::new("padding", 1),
                Argument::new("output_padding", 1),
                Argument::new("groups", 4),
            ],
            &[1, 8, 28, 28],
        );
        assert_eq!(count(&transposed), Ok((Dim::from(112_896), "56448".into())));
        // nn.Upsample(size=(20, 30)) on 2×3×7×7; nn.Upsample(scale_factor=2) on 1×8×7×7.
        let size = vec![Argument::new("size", vec![20.into(), 30.into()])];
        let upsample = "torch.nn.functional.interpolate";
        let to_size = calls(upsample, &[&[2, 3, 7, 7]], size, &[2, 3, 20, 30]);
        assert_eq!(count(&to_size), Ok((Dim::from(600), "0".into())));
        let scale = vec![
            Argument::new("size", Value::None),
            Argument::new("scale_factor", 2.0),
        ];
        let by_scale = calls(upsample, &[&[1, 8, 7, 7]], scale, &[1, 8, 14, 14]);
        assert_eq!(count(&by_scale), Ok((Dim::from(1_568), "0".into())));
    }

    #[test]
    fn recurrent_layers_are_hooked() {
        // nn.LSTM(128, 256, num_layers=2, batch_first=True, bidirectional=True) on 4×7×128.
        let mut builder = TraceBuilder::new("test", "test");
        builder.module(Module {
            class: Class::new("torch.nn.LSTM"),
            ..Module::default()
        });
        let attributes = [
            ("num_layers", Value::from(2)),
            ("hidden_size", Value::from(256)),
            ("bidirectional", Value::from(true)),
            ("bias", Value::from(true)),
        ];
        builder.trace_mut().modules[0].attributes = attributes
            .map(|(name, value)| (name.into(), value))
            .to_vec();
        for (layer, width) in [(0, 128), (1, 512)] {
            for suffix in ["", "_reverse"] {
                for (kind, sizes) in [("weight_ih", [1024, width]), ("weight_hh", [1024, 256])] {
                    let name = format!("{kind}_l{layer}{suffix}");
                    let (path, sizes) = (name.clone(), shape(&sizes));
                    builder.parameter(Trace::ROOT, name, path, sizes, DType::Float32);
                }
            }
        }
        let input = tensor(&mut builder, &[4, 7, 128]);
        builder.begin(
            Target::Module(Trace::ROOT),
            vec![Argument::new("input", input)],
            None,
        );
        assert_eq!(
            count(&builder.finish()),
            Ok((Dim::from(132_407_296), "0".into()))
        );
    }

    #[test]
    fn keywords_that_its_functions_do_not_have_are_errors() {
        let mut builder = model();
        let mut arguments = Vec::new();
        for name in ["query", "key", "value"] {
            arguments.push(Argument {
                passed: Passed::Keyword,
                ..Argument::new(name, tensor(&mut builder, &[2, 4, 8, 16]))
            });
        }
        let name = "torch.nn.functional.scaled_dot_product_attention";
        let target = Target::Function(name.into());
        builder.leaf(target, arguments, shape(&[2, 4, 8, 16]), DType::Float32);
        let error = count(&builder.finish()).unwrap_err().to_string();
        assert!(error.contains("is given no 'q'"), "{error}");
    }

    #[test]
    fn a_batch_is_asked_for() {
        let conv = "torch.nn.functional.conv2d";
        let trace = calls(conv, &[&[3, 8, 8], &[4, 3, 3, 3]], vec![], &[4, 6, 6]);
        assert!(matches!(count(&trace), Err(Failure::Tool { .. })));
    }
}
