//! Parameters and buffers of the exported program, also those that the optimizer changed or folded.

use std::collections::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Shape;
use modelcost_fx::{Kind, State};

use super::dynamo::Group;
use super::fx_text::{self, FxArg};
use super::recompose;
use super::signature::{Input, InputKind};
use crate::infer::{Fact, Origin, Program};
use crate::model::{Model, Tensor};

/// What is known of parameters and buffers.
pub(super) struct Known<'a> {
    pub states: Vec<State<'a>>,
    pub notes: Vec<(Level, String)>,
}

/// Finds every parameter and buffer of the signature.
pub(super) fn states<'a>(
    model: &'a Model<'a>,
    program: &Program<'a>,
    groups: &[Group<'a>],
    inputs: &[Input<'a>],
) -> Known<'a> {
    let initializers: HashMap<&str, &Tensor<'a>> = model
        .graph
        .initializers
        .iter()
        .map(|tensor| (tensor.name, tensor))
        .collect();
    let by_name: HashMap<&str, &Input<'a>> =
        inputs.iter().map(|input| (input.name, input)).collect();
    let finder = Finder {
        program,
        initializers: &initializers,
        by_name: &by_name,
    };
    let mut found: HashMap<&str, Shape> = HashMap::new();
    let mut used: HashSet<&str> = HashSet::new();
    let mut tied: HashMap<&str, &str> = HashMap::new();
    for group in groups {
        let named = recompose::named_args(&group.op(), group.fx.target, &group.fx.args);
        finder.collect(group, &named, &mut found, &mut used);
        finder.tie(group, &named, inputs, &mut tied);
    }
    finder.fused(groups, inputs, &mut found, &mut used);
    finder.tables(groups, inputs, &mut found, &mut used);
    let mut out = Known {
        states: Vec::new(),
        notes: Vec::new(),
    };
    let (mut unknown, mut unused) = (Vec::new(), Vec::new());
    for input in inputs {
        let kind = match input.kind {
            InputKind::Parameter => Kind::Parameter,
            InputKind::Buffer { persistent } => Kind::Buffer { persistent },
            InputKind::Constant | InputKind::User => continue,
        };
        let source = tied.get(input.name).and_then(|name| by_name.get(name));
        let target = source.map_or(input.target, |source| source.target);
        let tensor = initializers.get(target);
        let scalar = input.target.ends_with("num_batches_tracked");
        let shape = match tensor {
            Some(tensor) => Some(tensor.dims.iter().map(|size| Dim::from(*size)).collect()),
            None if scalar => Some(Vec::new()),
            None => found
                .get(source.map_or(input.name, |source| source.name))
                .cloned(),
        };
        if kind == Kind::Parameter {
            if shape.is_none() {
                unknown.push(input.target);
            } else if !used.contains(input.name) && source.is_none() {
                unused.push(input.target);
            }
        }
        let (owner, name) = input.target.rsplit_once('.').unwrap_or(("", input.target));
        let dtype = match tensor.and_then(|tensor| tensor.elem_type.dtype()) {
            Some(dtype) => dtype,
            None if scalar => DType::Int64,
            None => DType::Float32,
        };
        out.states.push(State {
            owner: owner.into(),
            name: name.into(),
            shape: shape.unwrap_or_else(|| vec![Dim::unknown(input.target)]),
            dtype,
            requires_grad: dtype.is_floating_point(),
            value: Some(input.name),
            storage: format!("name:{target}"),
            kind,
        });
    }
    if let Some(first) = unknown.first() {
        out.notes.push((
            Level::Partial,
            format!(
                "the file no longer says the shape of {} parameter{}, such as {first}",
                unknown.len(),
                if unknown.len() == 1 { "" } else { "s" },
            ),
        ));
    }
    // The optimizer computes what depends on nothing but parameters, so that a layer applied to
    // constants is gone with all that it would have counted.
    let optimized = model
        .graph
        .initializers
        .iter()
        .any(|tensor| !inputs.iter().any(|input| input.target == tensor.name));
    if optimized && let Some(first) = unknown.iter().chain(&unused).next() {
        out.notes.push((
            Level::Partial,
            format!(
                "no operator uses {} parameter{}, such as {first}: the exporter computed beforehand what did, or nothing does",
                unknown.len() + unused.len(),
                if unknown.len() + unused.len() == 1 { "" } else { "s" },
            ),
        ));
    }
    out
}

struct Finder<'f, 'a> {
    program: &'f Program<'a>,
    initializers: &'f HashMap<&'a str, &'a Tensor<'a>>,
    by_name: &'f HashMap<&'a str, &'f Input<'a>>,
}

impl<'a> Finder<'_, 'a> {
    /// The shape of an FX node's value.
    fn shape(&self, name: &str) -> Option<Shape> {
        if let Some(input) = self.by_name.get(name)
            && let Some(tensor) = self.initializers.get(input.target)
        {
            return Some(tensor.dims.iter().map(|size| Dim::from(*size)).collect());
        }
        let id = self.program.names.get(name)?;
        self.program.fact(*id).shape().map(<[Dim]>::to_vec)
    }

    /// The first floating-point value that the group makes and others read.
    fn made(&self, group: &Group<'a>) -> Option<Shape> {
        if let Some(shape) = self.shape(group.fx.name) {
            return Some(shape);
        }
        let last = group.steps.last()?;
        let id = self.program.steps[*last].outputs.iter().flatten().next()?;
        self.program.fact(*id).shape().map(<[Dim]>::to_vec)
    }

    /// What the group reads first of what is not a constant.
    fn read(&self, group: &Group<'a>) -> Option<Shape> {
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
    fn collect(
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
    fn constant(&self, group: &Group<'a>, rank: Option<usize>) -> Option<Shape> {
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
                if matches!(value.origin, Origin::Initializer(_))
                    && float
                    && fits
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

    /// PRelu's slope is reshaped for broadcasting.
    fn prelu(&self, group: &Group<'a>) -> Option<Shape> {
        let shape = self.constant(group, None)?;
        Some(vec![Dim::product(&shape)])
    }

    /// Weights of recurrent layers by their names: `weight_ih_l0`, `bias_hh_l1_reverse`.
    fn recurrent(
        &self,
        group: &Group<'a>,
        op: &str,
        target: &str,
        input: Option<Shape>,
    ) -> Option<Shape> {
        let gates = match op {
            "lstm" => 4,
            "gru" => 3,
            _ => 1,
        };
        // W of the ONNX operator: directions, gates × hidden, input.
        let mut hidden = None;
        let mut directions = Dim::ONE;
        for step in &group.steps {
            let step = &self.program.steps[*step];
            if matches!(step.node.op_type, "LSTM" | "GRU" | "RNN") {
                let id = step.inputs.get(2).copied().flatten()?;
                let shape = self.program.fact(id).shape()?;
                hidden = shape.last().cloned();
                directions = shape.first().cloned()?;
            }
        }
        let hidden = hidden?;
        let rows = &hidden * gates;
        let name = target.rsplit('.').next()?;
        if name.starts_with("bias") {
            return Some(vec![rows]);
        }
        if name.starts_with("weight_hh") {
            return Some(vec![rows, hidden]);
        }
        let first = name.starts_with("weight_ih_l0");
        let columns = if first {
            input?.last()?.clone()
        } else {
            hidden * directions
        };
        Some(vec![rows, columns])
    }

    /// A layer whose weight is another layer's: the program knows the storage by one name.
    fn tie(
        &self,
        group: &Group<'a>,
        named: &[(&str, &FxArg<'a>)],
        inputs: &[Input<'a>],
        tied: &mut HashMap<&'a str, &'a str>,
    ) {
        let Some(scopes) = group.node.meta("pkg.torch.onnx.name_scopes") else {
            return;
        };
        let scopes = fx_text::strings(scopes);
        let Some(path) = scopes.len().checked_sub(2).and_then(|at| scopes.get(at)) else {
            return;
        };
        for (argument, value) in named {
            let FxArg::Node(name) = value else { continue };
            if !matches!(*argument, "weight" | "bias") || path.is_empty() {
                continue;
            }
            let Some(state) = self.by_name.get(name) else {
                continue;
            };
            let own = |input: &&Input<'a>| {
                input
                    .target
                    .strip_prefix(path)
                    .and_then(|rest| rest.strip_prefix('.'))
                    == Some(argument)
            };
            if let Some(own) = inputs.iter().find(own)
                && own.target != state.target
            {
                tied.insert(own.name, name);
            }
        }
    }

    /// Biases of convolutions that were fused with the BatchNorm after them.
    fn fused(
        &self,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &mut HashMap<&'a str, Shape>,
        used: &mut HashSet<&'a str>,
    ) {
        for group in groups
            .iter()
            .filter(|group| group.op().contains("batch_norm"))
        {
            for step in &group.steps {
                let step = &self.program.steps[*step];
                if !step.node.op_type.starts_with("Conv") {
                    continue;
                }
                let Some(weight) = step.inputs.get(1).copied().flatten() else {
                    continue;
                };
                let weight = self.program.value(weight).name;
                let bias = weight.replace("weight", "bias");
                for input in inputs {
                    if input.target == weight {
                        used.insert(input.name);
                    } else if input.target == bias {
                        used.insert(input.name);
                        if let Some(channels) = self.made(group).and_then(|out| out.get(1).cloned())
                        {
                            found.insert(input.name, vec![channels]);
                        }
                    }
                }
            }
        }
    }

    /// Position tables of torchvision's window attention, of which only the lookup's result is
    /// left: one row for each offset between two positions of a window.
    fn tables(
        &self,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &mut HashMap<&'a str, Shape>,
        used: &mut HashSet<&'a str>,
    ) {
        for input in inputs {
            let Some(owner) = input.target.strip_suffix(".relative_position_bias_table") else {
                continue;
            };
            if self.initializers.contains_key(input.target) {
                continue;
            }
            for group in groups {
                let scopes = group
                    .node
                    .meta("pkg.torch.onnx.name_scopes")
                    .unwrap_or_default();
                if !fx_text::strings(scopes).contains(&owner) {
                    continue;
                }
                for step in &group.steps {
                    for id in self.program.steps[*step].inputs.iter().flatten() {
                        let value = self.program.value(*id);
                        let constant = matches!(value.origin, Origin::Initializer(_));
                        if let (true, Some([one, heads, n, m])) = (constant, value.fact.shape())
                            && *one == Dim::ONE
                            && n == m
                            && let Some(window) = n.as_usize().and_then(root)
                        {
                            let offsets = Dim::from((2 * window - 1) * (2 * window - 1));
                            found.insert(input.name, vec![offsets, heads.clone()]);
                            used.insert(input.name);
                        }
                    }
                }
            }
        }
    }
}

fn root(square: usize) -> Option<usize> {
    let root = square.isqrt();
    (root * root == square && root > 0).then_some(root)
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
