//! Convolutions that the optimizer fused with the BatchNorm after them.

use foldhash::HashMap;

use modelcost_core::dim::Dim;
use modelcost_core::trace::Origin as TensorOrigin;
use modelcost_core::value::Value;
use modelcost_fx::{Entry, StackId};

use super::super::fx_text::FxArg;
use super::super::{known, recompose, signature};
use super::Group;
use super::assembly::Assembly;
use crate::infer::Program;

/// A convolution that the optimizer fused with the BatchNorm after it.
pub(super) struct Fused<'a> {
    /// The convolution's step.
    pub step: usize,
    /// Its weight: `layer1.0.conv1.weight`.
    pub weight: &'a str,
    /// The class that it is taken to have.
    pub class: &'static str,
}

/// The convolutions by the group of the BatchNorm that they were fused with.
pub(super) fn fused_convolutions<'a>(
    program: &'a Program<'a>,
    groups: &[Group<'a>],
) -> HashMap<usize, Fused<'a>> {
    let mut out = HashMap::default();
    for (at, group) in groups.iter().enumerate() {
        if !group.op().contains("batch_norm") {
            continue;
        }
        let conv = group
            .steps
            .iter()
            .find(|step| matches!(program.steps[**step].node.op_type, "Conv" | "ConvTranspose"));
        let Some(step) = conv.copied() else { continue };
        let node = program.steps[step].node;
        let Some(weight) = program.steps[step].inputs.get(1).copied().flatten() else {
            continue;
        };
        let rank = program.fact(weight).shape().map_or(4, <[Dim]>::len);
        let class = match (node.op_type, rank) {
            ("Conv", 3) => "torch.nn.modules.conv.Conv1d",
            ("Conv", 5) => "torch.nn.modules.conv.Conv3d",
            ("Conv", _) => "torch.nn.modules.conv.Conv2d",
            (_, 3) => "torch.nn.modules.conv.ConvTranspose1d",
            (_, 5) => "torch.nn.modules.conv.ConvTranspose3d",
            _ => "torch.nn.modules.conv.ConvTranspose2d",
        };
        let name = program.value(weight).name;
        out.insert(
            at,
            Fused {
                step,
                weight: name,
                class: known::convolution(group, name, program.fact(weight).shape())
                    .unwrap_or(class),
            },
        );
    }
    out
}

impl<'a> Assembly<'_, 'a> {
    /// A BatchNorm with the convolution that was fused into it.
    pub fn fused(
        &mut self,
        group: &Group<'a>,
        conv: &Fused<'a>,
        stack: Option<StackId>,
        inputs: &[signature::Input<'a>],
    ) {
        let step = &self.program.steps[conv.step];
        let output = self.results(group);
        let Some(output) = output.first().copied() else {
            return;
        };
        if let Some(stack) = stack {
            self.standing
                .extend(group.steps.iter().map(|step| (*step, stack)));
        }
        let output = self.tensor(output);
        // The convolution's own output has the shape of what is normalised.
        let (shape, dtype) = {
            let tensor = self.builder.trace().tensor(output);
            (tensor.shape.clone(), tensor.dtype)
        };
        let between = self.builder.tensor(shape, dtype, TensorOrigin::Constant);
        if let Some(FxArg::Node(name)) = group.fx.args.first() {
            self.scope.insert(name, Value::Tensor(between));
        }
        let placeholder = |target: &str| {
            inputs
                .iter()
                .find(|input| input.target == target)
                .and_then(|input| self.scope.get(input.name).cloned())
        };
        let (owner, own) = conv.weight.rsplit_once('.').unwrap_or(("", conv.weight));
        let bias_name = match owner {
            "" => own.replace("weight", "bias"),
            owner => format!("{owner}.{}", own.replace("weight", "bias")),
        };
        let weight = placeholder(conv.weight);
        let bias = placeholder(&bias_name).unwrap_or(Value::None);
        let weight = weight.unwrap_or_else(|| match step.inputs.get(1).copied().flatten() {
            Some(id) => Value::Tensor(self.tensor(id)),
            None => Value::None,
        });
        let input = match step.inputs.first().copied().flatten() {
            Some(id) => Value::Tensor(self.tensor(id)),
            None => Value::None,
        };
        let (op, arguments) = recompose::convolution(step, self.program, input, weight, bias);
        let inner = self.conv_stack(stack, owner, conv.class);
        self.add(op, arguments, Value::Tensor(between), inner, "", "");
        let mut spare = Vec::new();
        let op = group.op();
        let arguments = self.arguments(&op, group, &mut spare);
        self.scope.insert(group.fx.name, Value::Tensor(output));
        self.push(op, arguments, Value::Tensor(output), stack, group);
    }

    /// The stack of the convolution: that of the BatchNorm up to the module that holds both.
    fn conv_stack(
        &mut self,
        stack: Option<StackId>,
        owner: &'a str,
        class: &'static str,
    ) -> Option<StackId> {
        let mut entries: Vec<Entry<'a>> = self.stacks.get(stack?).to_vec();
        entries.retain(|entry| {
            let path = entry.path.as_str();
            path.is_empty()
                || owner
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.starts_with('.'))
        });
        if !owner.is_empty() {
            entries.push(Entry {
                key: owner,
                path: owner.into(),
                class,
            });
        }
        Some(self.stacks.push(entries))
    }
}
