//! Convention: calflops 0.3.2.
//!
//! A relative of DeepSpeed's profiler: it replaces functions of `torch.nn.functional`, `torch` and
//! `torch.Tensor` by ones that count, and hooks recurrent layers; the rules are tables in `rules/`.
//! What a function costs is added to the innermost module that is being called. The total goes from
//! each module to its children, so a module that stands in two places is added twice.

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Registration};
use modelcost_core::patched::{Aliases, PatchedConvention, Signatures};
use modelcost_core::table::Table;

static CALFLOPS: Lazy<PatchedConvention> = Lazy::new(|| PatchedConvention {
    table: Table::built_in(include_str!("../rules/calflops-0.3.2.toml")),
    macs: Table::built_in(include_str!("../rules/macs.toml")),
    signatures: Signatures::built_in(include_str!("../rules/signatures.toml")),
    // `include_backPropagation=True` takes a backward pass for two forward passes.
    backward: Some(2),
    aliases: Aliases::EveryPlace,
    // `calculate_flops` asks for the device of the first parameter.
    without_parameters: Some("StopIteration: the model has no parameter to take the device of"),
});

inventory::submit! { Registration {
    id: "calflops", version: "0.3.2", variant: "", default_variant: true, order: 90,
    load: || &*CALFLOPS as &dyn Convention,
} }

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::convention::{Failure, Options};
    use modelcost_core::dim::Dim;
    use modelcost_core::dtype::DType;
    use modelcost_core::sketch;
    use modelcost_core::trace::{Argument, Class, Module, ModuleId, Target, Trace, TraceBuilder};
    use modelcost_core::value::Value;

    fn module(builder: &mut TraceBuilder, class: &str) -> ModuleId {
        builder.module(Module {
            class: Class::new(class),
            ..Module::default()
        })
    }

    /// A model with a parameter: calflops fails without.
    fn model() -> TraceBuilder {
        let mut builder = sketch::model();
        let shape = sketch::shape(&[1]);
        builder.parameter(Trace::ROOT, "scale", "scale", shape, DType::Float32);
        builder
    }

    /// Calls one function with tensors of the given shapes and further arguments.
    fn call(builder: &mut TraceBuilder, name: &str, tensors: &[&[usize]], rest: Vec<Argument>) {
        let out = tensors.last().copied().unwrap_or_default();
        sketch::function(builder, name, tensors, rest, out);
    }

    fn count(trace: &Trace) -> Result<(Dim, String), Failure> {
        let report = CALFLOPS.count(trace, &Options::default())?;
        let sum: Dim = report.entries.iter().map(|e| e.count.clone()).sum();
        let count = report.count.map(|count| count.count().clone());
        assert_eq!(count, Some(sum.clone()));
        Ok((sum, report.extras[0].value.clone()))
    }

    #[test]
    fn every_patched_function_has_a_signature() {
        assert!(CALFLOPS.without_signature().is_empty());
    }

    #[test]
    fn divides_by_the_groups_twice() {
        // nn.ConvTranspose2d(16, 8, 3, groups=4, bias=False): calflops 0.3.2 prints 0.
        let mut builder = model();
        let groups = vec![
            Argument::new("bias", Value::None),
            Argument::new("stride", 2),
            Argument::new("padding", 1),
            Argument::new("output_padding", 1),
            Argument::new("groups", 4),
        ];
        let name = "torch.nn.functional.conv_transpose2d";
        call(
            &mut builder,
            name,
            &[&[1, 16, 14, 14], &[16, 2, 3, 3]],
            groups,
        );
        assert_eq!(count(&builder.finish()), Ok((Dim::ZERO, "0".into())));
    }

    #[test]
    fn compares_shapes_from_the_left() {
        // Three times the elements that are there: _elementwise_flops_compute of calflops 0.3.2.
        let mut builder = model();
        call(&mut builder, "torch.mul", &[&[2, 3, 4], &[4]], Vec::new());
        assert_eq!(
            count(&builder.finish()),
            Ok((Dim::from(4 * 3 * 4), "0".into()))
        );
    }

    #[test]
    fn adds_a_module_for_every_place_it_stands_in() {
        // One nn.ReLU in two Sequentials, called once on 8 elements: get_module_flops finds it twice.
        let mut builder = model();
        let [a, b, relu] = ["Sequential", "Sequential", "ReLU"]
            .map(|name| module(&mut builder, &format!("torch.nn.{name}")));
        builder.add_child(Trace::ROOT, "a", a);
        builder.add_child(Trace::ROOT, "b", b);
        builder.add_child(a, "0", relu);
        builder.add_child(b, "0", relu);
        builder.begin(Target::Module(relu), Vec::new(), None);
        call(
            &mut builder,
            "torch.nn.functional.relu",
            &[&[8]],
            Vec::new(),
        );
        assert_eq!(count(&builder.finish()), Ok((Dim::from(16), "0".into())));
    }

    #[test]
    fn a_backward_pass_is_two_forward_passes() {
        let mut builder = model();
        call(
            &mut builder,
            "torch.nn.functional.relu",
            &[&[8]],
            Vec::new(),
        );
        let report = CALFLOPS.count(&builder.finish(), &Options { training: true });
        let count = report.map(|report| report.count.map(|count| count.count().clone()));
        assert_eq!(count, Ok(Some(Dim::from(24))));
    }

    #[test]
    fn fails_as_the_tool_does() {
        // A tuple to the power of the batch size, unless it is as long as the batch.
        let upsample = |batch: usize| {
            let mut builder = model();
            let scale = vec![
                Argument::new("size", Value::None),
                Argument::new("scale_factor", vec![2.0.into(), 2.0.into()]),
            ];
            let name = "torch.nn.functional.interpolate";
            call(&mut builder, name, &[&[batch, 3, 4, 4]], scale);
            count(&builder.finish())
        };
        assert!(matches!(upsample(1), Err(Failure::Tool { .. })));
        assert_eq!(upsample(2), Ok((Dim::from(96), "0".into())));
        // No parameter to take the device of.
        let mut builder = TraceBuilder::new("test", "test");
        let root = module(&mut builder, "torch.nn.ReLU");
        builder.begin(Target::Module(root), Vec::new(), None);
        assert!(matches!(
            count(&builder.finish()),
            Err(Failure::Tool { .. })
        ));
    }
}
