//! The parameters and buffers that pieces name.

use std::borrow::Cow;

use foldhash::{HashMap, HashSet};
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_fx::{Kind, State, Storage};

use super::super::graph::Graph;
use super::super::legacy::{is_anonymous, weight_shape};
use super::super::piece::Operand;
use super::Placed;
use crate::model::Model;
use crate::text::Arena;

/// The full name of a parameter.
pub(super) fn full(owner: &str, own: &str) -> String {
    match owner {
        "" => own.to_owned(),
        owner => [owner, ".", own].concat(),
    }
}

/// The shapes of weights that lost their names, by the names that they were given: another shape is
/// another weight of the same module.
pub(super) type Anonymous = HashMap<String, Vec<Dim>>;

/// The name that a weight of a piece has in the tree.
pub(super) fn weight_name<'a>(
    graph: &Graph<'_, 'a>,
    anonymous: &Anonymous,
    owner: &str,
    name: &str,
    operand: &Operand,
) -> Option<Cow<'a, str>> {
    match operand {
        Operand::Named(own, _) => Some(full(owner, own).into()),
        Operand::Weight(id, _) => {
            let stored = graph.program.value(*id).name;
            if !is_anonymous(stored) {
                return Some(stored.into());
            }
            let base = full(owner, name);
            let shape = weight_shape(graph, operand);
            let taken = |name: &String| {
                let other = anonymous.get(name);
                other.is_some_and(|other| shape.as_ref() != Some(other))
            };
            let mut name = base.clone();
            let mut count = 2;
            while taken(&name) {
                name = format!("{base}_{count}");
                count += 1;
            }
            Some(name.into())
        }
        _ => None,
    }
}

/// Parameters and buffers.
pub(super) struct States<'g, 'p, 'a> {
    graph: &'g Graph<'p, 'a>,
    arena: &'a Arena,
    pub list: Vec<State<'a>>,
    pub anonymous: Anonymous,
    known: HashSet<&'a str>,
}

impl<'g, 'p, 'a> States<'g, 'p, 'a> {
    pub fn new(graph: &'g Graph<'p, 'a>, arena: &'a Arena) -> States<'g, 'p, 'a> {
        States {
            graph,
            arena,
            list: Vec::new(),
            anonymous: Anonymous::default(),
            known: HashSet::default(),
        }
    }

    fn add(&mut self, name: Cow<'a, str>, shape: Vec<Dim>, dtype: DType, kind: Kind) {
        if self.known.contains(&*name) {
            return;
        }
        let name: &'a str = match name {
            Cow::Borrowed(name) => name,
            Cow::Owned(name) => self.arena.string(name),
        };
        self.known.insert(name);
        let (owner, own) = name.rsplit_once('.').unwrap_or(("", name));
        self.list.push(State {
            owner: owner.into(),
            name: own.into(),
            shape,
            dtype,
            requires_grad: kind == Kind::Parameter && dtype.is_floating_point(),
            value: Some(name),
            storage: Storage::Name(name),
            kind,
        });
    }

    fn of_operand(&mut self, owner: &str, name: &str, operand: &Operand, op: &str) {
        if let Operand::List(items) = operand {
            items
                .iter()
                .for_each(|item| self.of_operand(owner, name, item, op));
            return;
        }
        let Some(full) = weight_name(self.graph, &self.anonymous, owner, name, operand) else {
            return;
        };
        let Some(mut shape) = weight_shape(self.graph, operand) else {
            return;
        };
        if let (Operand::Weight(..), Cow::Owned(name)) = (operand, &full) {
            self.anonymous.insert(name.clone(), shape.clone());
        }
        // A slope is kept with the dimensions that broadcasting needs.
        if op == "prelu" {
            shape = vec![Dim::product(&shape)];
        }
        let dtype = match operand {
            Operand::Weight(id, _) => self.graph.dtype(*id),
            _ => None,
        };
        let own = full.rsplit('.').next().unwrap_or(&full);
        // Other exporters have other names for them: then it is what they are used as that tells.
        let kind = if is_buffer(own) || is_buffer(name) {
            Kind::Buffer { persistent: true }
        } else {
            Kind::Parameter
        };
        self.add(full, shape, dtype.unwrap_or(DType::Float32), kind);
    }

    pub fn of_piece(&mut self, placed: &Placed<'a>) {
        let piece = &placed.piece;
        let mut channels = None;
        for (name, operand) in &piece.operands {
            if *name == "weight" {
                channels = weight_shape(self.graph, operand).and_then(|shape| {
                    let transposed = piece.op.starts_with("conv_transpose");
                    shape.get(usize::from(transposed)).cloned()
                });
            }
            if *name == "bias" && placed.batch_norm.is_some() {
                continue;
            }
            self.of_operand(&placed.owner, name, operand, &piece.op);
        }
        if let (Some(norm), Some(channels)) = (&placed.batch_norm, channels) {
            let path = norm.path;
            if norm.biased {
                let name = full(&placed.owner, "bias").into();
                let shape = vec![channels.clone()];
                self.add(name, shape, DType::Float32, Kind::Parameter);
            }
            for name in ["weight", "bias"] {
                let shape = vec![channels.clone()];
                let name = full(path, name).into();
                self.add(name, shape, DType::Float32, Kind::Parameter);
            }
            let buffer = Kind::Buffer { persistent: true };
            for name in ["running_mean", "running_var"] {
                let name = full(path, name).into();
                self.add(name, vec![channels.clone()], DType::Float32, buffer);
            }
            let name = full(path, "num_batches_tracked").into();
            self.add(name, Vec::new(), DType::Int64, buffer);
        }
    }

    /// Initializers that no piece uses as a weight but that kept their names.
    pub fn of_names(&mut self, model: &'a Model<'a>) {
        let aliases = model
            .graph
            .nodes
            .iter()
            .filter(|node| node.op_type == "Identity");
        let names = model.graph.initializers.iter().map(|tensor| tensor.name);
        let names: Vec<&str> = names
            .chain(aliases.flat_map(|node| node.outputs.first().copied()))
            .collect();
        for name in names {
            let Some(id) = self.graph.program.names.get(name).copied() else {
                continue;
            };
            if is_anonymous(name) || !self.graph.is_constant(id) {
                continue;
            }
            let (Some(shape), Some(dtype)) = (self.graph.shape(id), self.graph.dtype(id)) else {
                continue;
            };
            let own = name.rsplit('.').next().unwrap_or(name);
            let kind = if is_buffer(own) || !dtype.is_floating_point() {
                Kind::Buffer { persistent: true }
            } else {
                Kind::Parameter
            };
            self.add(name.into(), shape.to_vec(), dtype, kind);
        }
    }
}

/// Names that buffers have.
fn is_buffer(own: &str) -> bool {
    matches!(
        own,
        "running_mean" | "running_var" | "num_batches_tracked" | "position_ids"
    ) || own.starts_with("relative_position_index")
}
