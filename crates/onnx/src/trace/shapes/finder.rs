//! Shapes that follow from what a node does.

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::Shape;

use super::super::dynamo::Group;
use super::super::fx_text::FxArg;
use super::Finder;
use crate::infer::{Fact, Origin};

impl<'a> Finder<'_, 'a> {
    /// The shape of an FX node's value.
    pub fn shape(&self, name: &str) -> Option<Shape> {
        if let Some(input) = self.by_name.get(name)
            && let Some(tensor) = self.initializers.get(input.target)
        {
            return Some(tensor.dims.iter().map(|size| Dim::from(*size)).collect());
        }
        let id = self.program.names.get(name)?;
        if matches!(self.program.value(*id).origin, Origin::Initializer(_)) {
            return None;
        }
        self.program.fact(*id).shape().map(<[Dim]>::to_vec)
    }

    /// The first floating-point value that the group makes and others read.
    pub fn made(&self, group: &Group<'a>) -> Option<Shape> {
        if let Some(shape) = self.shape(group.fx.name) {
            return Some(shape);
        }
        let last = group.steps.last()?;
        let id = self.program.steps[*last].outputs.iter().flatten().next()?;
        self.program.fact(*id).shape().map(<[Dim]>::to_vec)
    }

    /// What the group reads first of what is not a constant.
    pub fn read(&self, group: &Group<'a>) -> Option<Shape> {
        let mut ids = group.steps.iter().flat_map(|step| {
            let inputs = self.program.steps[*step].inputs.iter();
            inputs.flatten().copied()
        });
        let id = ids.find(|id| {
            matches!(
                self.program.value(*id).origin,
                Origin::Step(..) | Origin::Input
            )
        })?;
        self.program.fact(id).shape().map(<[Dim]>::to_vec)
    }

    /// Notes which parameters a group uses, and the shapes that follow from what it does.
    pub fn collect(
        &self,
        group: &Group<'a>,
        named: &[(&str, &FxArg<'a>)],
        found: &mut HashMap<&'a str, Shape>,
        used: &mut HashSet<&'a str>,
    ) {
        let op = group.op();
        let short = op.strip_prefix("aten.").unwrap_or(&op);
        let mut flat: Vec<(&str, &'a str)> = Vec::new();
        for (argument, value) in named {
            match value {
                FxArg::Node(name) => flat.push((argument, name)),
                FxArg::List(items) => flat.extend(items.iter().filter_map(|item| match item {
                    FxArg::Node(name) => Some((*argument, *name)),
                    _ => None,
                })),
                _ => {}
            }
        }
        let input = || {
            let first = flat.first().and_then(|(_, name)| self.shape(name));
            first.or_else(|| self.read(group))
        };
        for (argument, name) in &flat {
            let Some(state) = self.by_name.get(name) else {
                continue;
            };
            used.insert(name);
            if self.initializers.contains_key(state.target) || found.contains_key(name) {
                continue;
            }
            let shape = match (short, *argument) {
                ("linear", "weight") => self.made(group).zip(input()).and_then(|(out, input)| {
                    Some(vec![out.last()?.clone(), input.last()?.clone()])
                }),
                ("linear", "bias") => self
                    .made(group)
                    .and_then(|out| Some(vec![out.last()?.clone()])),
                ("conv1d" | "conv2d" | "conv3d", "bias") => self
                    .made(group)
                    .and_then(|out| Some(vec![out.get(1)?.clone()])),
                ("layer_norm" | "native_layer_norm", "weight" | "bias") => normalized_shape(named),
                (norm, _)
                    if norm.contains("batch_norm")
                        || norm.contains("group_norm")
                        || norm == "instance_norm" =>
                {
                    self.made(group)
                        .and_then(|out| Some(vec![out.get(1)?.clone()]))
                }
                ("prelu", "weight") => self.prelu(group),
                ("bilinear", name) => self.bilinear(group, name, &flat),
                ("lstm" | "gru" | "rnn_tanh" | "rnn_relu", "params") => {
                    self.recurrent(group, short, state.target, input())
                }
                ("embedding", "weight") => self.constant(group, Some(2)),
                _ => self.constant(group, None),
            };
            if let Some(shape) = shape {
                found.insert(name, shape);
            }
        }
    }

    /// The only constant of floats that a group reads.
    pub fn constant(&self, group: &Group<'a>, rank: Option<usize>) -> Option<Shape> {
        let mut constants = Vec::new();
        for step in &group.steps {
            for id in self.program.steps[*step].inputs.iter().flatten() {
                let value = self.program.value(*id);
                let Fact::Tensor(tensor) = &value.fact else {
                    continue;
                };
                let float = tensor.dtype.is_some_and(DType::is_floating_point);
                let shape = tensor.shape.clone().unwrap_or_default();
                let fits = rank.is_none_or(|rank| shape.len() == rank);
                let own = self.by_target.contains(value.name);
                if matches!(value.origin, Origin::Initializer(_))
                    && float
                    && fits
                    && !own
                    && !shape.is_empty()
                {
                    constants.push(shape);
                }
            }
        }
        match constants.as_slice() {
            [single] => Some(single.clone()),
            _ => None,
        }
    }
}

fn normalized_shape(named: &[(&str, &FxArg<'_>)]) -> Option<Shape> {
    let (_, value) = named.iter().find(|(name, _)| *name == "normalized_shape")?;
    let FxArg::List(items) = value else {
        return None;
    };
    items
        .iter()
        .map(|item| match item {
            FxArg::Int(size) => Some(Dim::from(*size)),
            _ => None,
        })
        .collect()
}
