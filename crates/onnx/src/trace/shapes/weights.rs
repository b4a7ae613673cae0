//! Weights of layers whose shapes follow from each other.

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::trace::Shape;

use super::super::dynamo::{CLASSES, Group, SCOPES};
use super::super::fx_text;
use super::super::signature::{Input, InputKind};
use super::Finder;

impl<'a> Finder<'_, 'a> {
    /// `weight` is out × in1 × in2.
    pub fn bilinear(
        &self,
        group: &Group<'a>,
        name: &str,
        flat: &[(&str, &'a str)],
    ) -> Option<Shape> {
        let last = |at: usize| self.shape(flat.get(at)?.1)?.last().cloned();
        let out = self.made(group)?.last()?.clone();
        match name {
            "weight" => Some(vec![out, last(0)?, last(1)?]),
            "bias" => Some(vec![out]),
            _ => None,
        }
    }

    /// PRelu's slope is reshaped for broadcasting.
    pub fn prelu(&self, group: &Group<'a>) -> Option<Shape> {
        let shape = self.constant(group, None)?;
        Some(vec![Dim::product(&shape)])
    }

    /// Weights of recurrent layers by their names: `weight_ih_l0`, `bias_hh_l1_reverse`.
    pub fn recurrent(
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

    /// Biases of convolutions that were fused with the BatchNorm after them.
    pub fn fused(
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
    pub fn siblings(
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

    /// Weights of norms that the optimizer folded because they are all ones: a class of the user's that is named for
    /// what it does and holds one weight. The shape is that of the last dimension of what the norm computes with.
    pub fn norms(
        &self,
        groups: &[Group<'a>],
        inputs: &[Input<'a>],
        found: &mut HashMap<&'a str, Shape>,
    ) -> Vec<&'a str> {
        let lost = |input: &&Input<'a>| {
            input.kind == InputKind::Parameter
                && (input.target == "weight" || input.target.ends_with(".weight"))
                && !found.contains_key(input.name)
                && self.shape(input.name).is_none()
        };
        let lost: Vec<&Input<'a>> = inputs.iter().filter(lost).collect();
        let mut wanted: HashMap<&str, (&'a str, Option<Dim>)> = HashMap::default();
        for input in &lost {
            let owner = input.target.strip_suffix("weight").unwrap_or_default();
            let alone = inputs.iter().filter(|other| {
                let rest = other.target.strip_prefix(owner);
                rest.is_some_and(|rest| !rest.contains('.'))
            });
            if alone.count() == 1 {
                wanted.insert(owner.trim_end_matches('.'), (input.name, None));
            }
        }
        if wanted.is_empty() {
            return Vec::new();
        }
        for group in groups {
            let (Some(paths), Some(classes)) = (group.node.meta(SCOPES), group.node.meta(CLASSES))
            else {
                continue;
            };
            let (paths, classes) = (fx_text::strings(paths), fx_text::strings(classes));
            // The last of each is the FX node itself.
            let Some(at) = paths.len().min(classes.len()).checked_sub(2) else {
                continue;
            };
            let Some((_, width)) = wanted.get_mut(paths[at]) else {
                continue;
            };
            let name = classes[at].rsplit('.').next().unwrap_or_default();
            // The mean has one element in that dimension.
            if (name.ends_with("RMSNorm") || name.ends_with("LayerNorm"))
                && let Some(last) = self.made(group).and_then(|shape| shape.last().cloned())
                && last != Dim::ONE
            {
                *width = Some(last);
            }
        }
        let mut out = Vec::new();
        for (name, width) in wanted.into_values() {
            if let Some(width) = width {
                found.insert(name, vec![width]);
                out.push(name);
            }
        }
        out
    }

    /// How many gates the recurrent cell at a path has.
    pub fn gates(&self, groups: &[Group<'a>], owner: &str) -> Option<i32> {
        let class = groups.iter().find_map(|group| {
            let paths = fx_text::strings(group.node.meta(SCOPES)?);
            let classes = fx_text::strings(group.node.meta(CLASSES)?);
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
}
