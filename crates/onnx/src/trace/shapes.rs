//! Parameters and buffers of the exported program, also those that the optimizer changed or folded.

use std::collections::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::Shape;
use modelcost_fx::{Kind, State};

use super::dynamo::Group;
use super::fx_text::{self, FxArg};
use super::schema;
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
        by_target: inputs.iter().map(|input| input.target).collect(),
    };
    let mut found: HashMap<&str, Shape> = HashMap::new();
    let mut used: HashSet<&str> = HashSet::new();
    let mut tied: HashMap<&str, &str> = HashMap::new();
    for group in groups {
        let named = schema::named_args(&group.op(), group.fx.target, &group.fx.args);
        finder.collect(group, &named, &mut found, &mut used);
        finder.tie(group, &named, inputs, &mut tied);
    }
    finder.fused(groups, inputs, &mut found, &mut used);
    finder.tables(groups, inputs, &mut found, &mut used);
    finder.siblings(groups, inputs, &mut found, &mut used);
    let moved = finder.moved(model, groups, inputs, &found, &used);
    let mut out = Known {
        states: Vec::new(),
        notes: Vec::new(),
    };
    for (name, shape) in moved {
        out.notes.push((
            Level::Reconstructed,
            format!(
                "the shape of {} is that of the constant which the exporter made of it",
                by_name.get(name).map_or(name, |input| input.target)
            ),
        ));
        found.insert(name, shape);
        used.insert(name);
    }
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
    /// The paths of all parameters and buffers.
    by_target: HashSet<&'a str>,
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
        if matches!(self.program.value(*id).origin, Origin::Initializer(_)) {
            return None;
        }
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

    /// `weight` is out × in1 × in2.
    fn bilinear(&self, group: &Group<'a>, name: &str, flat: &[(&str, &'a str)]) -> Option<Shape> {
        let last = |at: usize| self.shape(flat.get(at)?.1)?.last().cloned();
        let out = self.made(group)?.last()?.clone();
        match name {
            "weight" => Some(vec![out, last(0)?, last(1)?]),
            "bias" => Some(vec![out]),
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
        // With a projection the states have another size than the gates.
        let (owner, _) = target.rsplit_once('.').unwrap_or(("", target));
        let projected = self.by_target.iter().any(|other| {
            let own = other.strip_prefix(owner).unwrap_or_default();
            own.trim_start_matches('.').starts_with("weight_hr_l")
        });
        if projected {
            return None;
        }
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
        let Some(scopes) = group.node.meta(super::dynamo::SCOPES) else {
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

    /// Weights that follow from others of the same layer: the optimizer folds products with a
    /// state that is zero, and cuts the packed projection of an attention layer in two.
    fn siblings(
        &self,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &mut HashMap<&'a str, Shape>,
        used: &mut HashSet<&'a str>,
    ) {
        let shape_of = |found: &HashMap<&'a str, Shape>, target: &str| {
            let input = inputs.iter().find(|input| input.target == target)?;
            let known = found.get(input.name).cloned();
            known.or_else(|| self.shape(input.name))
        };
        for input in inputs {
            if used.contains(input.name) {
                continue;
            }
            let (owner, own) = input.target.rsplit_once('.').unwrap_or(("", input.target));
            let sibling = |name: &str| match owner {
                "" => name.to_owned(),
                owner => format!("{owner}.{name}"),
            };
            let shape = match own {
                "weight_hh" | "bias_hh" => {
                    let gates = self.gates(groups, owner);
                    let rows =
                        shape_of(found, &sibling("weight_ih")).and_then(|s| s.first().cloned());
                    rows.zip(gates).map(|(rows, gates)| match own {
                        "bias_hh" => vec![rows],
                        _ => vec![rows.clone(), rows.floor_div(&Dim::from(gates))],
                    })
                }
                "in_proj_weight" | "in_proj_bias" => {
                    let size = shape_of(found, &sibling("out_proj.weight"))
                        .and_then(|s| s.first().cloned());
                    size.map(|size| match own {
                        "in_proj_bias" => vec![&size * 3],
                        _ => vec![&size * 3, size],
                    })
                }
                _ => None,
            };
            if let Some(shape) = shape {
                found.insert(input.name, shape);
                used.insert(input.name);
            }
        }
    }

    /// How many gates the recurrent cell at a path has.
    fn gates(&self, groups: &[Group<'a>], owner: &str) -> Option<i32> {
        let class = groups.iter().find_map(|group| {
            let paths = fx_text::strings(group.node.meta(super::dynamo::SCOPES)?);
            let classes = fx_text::strings(group.node.meta(super::dynamo::CLASSES)?);
            let at = paths.iter().position(|path| *path == owner)?;
            classes.get(at).copied()
        })?;
        match class.rsplit('.').next()? {
            "LSTMCell" => Some(4),
            "GRUCell" => Some(3),
            "RNNCell" => Some(1),
            _ => None,
        }
    }

    /// Parameters that are left under another name because only their shape or order was changed:
    /// the one parameter of a module that nothing uses, and the one constant of that module that
    /// is called after such a change.
    fn moved(
        &self,
        model: &'a Model<'a>,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &HashMap<&'a str, Shape>,
        used: &HashSet<&'a str>,
    ) -> Vec<(&'a str, Shape)> {
        let mut constants: HashMap<&str, Vec<Shape>> = HashMap::new();
        let mut seen = HashSet::new();
        for group in groups {
            let Some(scopes) = group.node.meta(super::dynamo::SCOPES) else {
                continue;
            };
            let scopes = fx_text::strings(scopes);
            let Some(path) = scopes.len().checked_sub(2).and_then(|at| scopes.get(at)) else {
                continue;
            };
            for step in &group.steps {
                for id in self.program.steps[*step].inputs.iter().flatten() {
                    let value = self.program.value(*id);
                    let float = value.fact.dtype().is_some_and(DType::is_floating_point);
                    if matches!(value.origin, Origin::Initializer(_))
                        && float
                        && is_view(value.name)
                        && seen.insert(*id)
                        && let Some(shape) = value.fact.shape()
                    {
                        constants.entry(path).or_default().push(shape.to_vec());
                    }
                }
            }
        }
        let mut lost: HashMap<&str, Vec<&'a str>> = HashMap::new();
        for input in inputs {
            let known = found.contains_key(input.name)
                || used.contains(input.name)
                || model
                    .graph
                    .initializers
                    .iter()
                    .any(|t| t.name == input.target);
            if input.kind == InputKind::Parameter && !known {
                let owner = input.target.rsplit_once('.').map_or("", |(owner, _)| owner);
                lost.entry(owner).or_default().push(input.name);
            }
        }
        lost.into_iter()
            .filter_map(|(owner, names)| {
                match (names.as_slice(), constants.get(owner)?.as_slice()) {
                    ([name], [shape]) => Some((*name, shape.clone())),
                    _ => None,
                }
            })
            .collect()
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
                let scopes = group.node.meta(super::dynamo::SCOPES).unwrap_or_default();
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

/// Whether a constant is called after an operator that only moves elements.
fn is_view(name: &str) -> bool {
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let base = base.strip_suffix('_').unwrap_or(base);
    matches!(
        base,
        "expand" | "unsqueeze" | "view" | "permute" | "transpose" | "clone" | "squeeze" | "alias"
    )
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
