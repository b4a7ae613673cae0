//! Sizes that stand as numbers among the arguments of an operator.

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Argument, TensorId};
use modelcost_core::value::Value;

use crate::flat::Flat;
use crate::replay::align::{self, Factors, Wanted};
use crate::replay::source::{self, Written};
use crate::replay::{Run, short};

/// The arguments of an operator at the new sizes.
#[derive(Default)]
pub struct Rewritten {
    /// All of them, where some have changed.
    pub arguments: Option<Vec<Argument>>,
    /// What the dimensions of its output are made of, where the operator tells.
    pub factors: Option<Vec<Factors>>,
    /// Whether a size stays that the source does not show to be a number.
    pub kept: bool,
}

/// Brings the sizes among the arguments of an operator up to date. `class` is the module's whose
/// forward calls it. The error says what is open.
pub fn rewrite(run: &Run<'_>, node: &Flat<'_>, class: &str) -> Result<Rewritten, String> {
    let literals = Literals { run, node, class };
    let op = short(&node.op);
    match op {
        "view" | "_unsafe_view" => literals.view("size", &["view", "reshape"]),
        "reshape" => literals.view("shape", &["reshape", "view"]),
        "unflatten" => literals.unflatten(),
        "expand" | "broadcast_to" => literals.expand(&["expand", "broadcast_to"]),
        "repeat" => literals.repeat("repeats", &["repeat"]),
        "tile" => literals.repeat("dims", &["tile"]),
        "zeros" | "ones" | "empty" | "rand" | "randn" | "full" | "new_zeros" | "new_ones"
        | "new_empty" | "new_full" => literals.created(op),
        "arange" => literals.arange(),
        "eye" => literals.single("n", &["eye"]),
        "slice" => literals.slice(),
        "pad" | "constant_pad_nd" | "reflection_pad1d" | "reflection_pad2d"
        | "replication_pad1d" | "replication_pad2d" => literals.pad(),
        _ if op.starts_with("upsample_") => literals.upsample(),
        _ if op.starts_with("adaptive_") => literals.adaptive(),
        _ => Ok(Rewritten::default()),
    }
}

/// The element that is taken of a dimension that has changed, by an index that the source does not
/// show to be a number: the tensor, the dimension and the index.
pub fn element(run: &Run<'_>, node: &Flat<'_>) -> Option<(TensorId, usize, i128)> {
    if short(&node.op) != "select" {
        return None;
    }
    let literals = Literals {
        run,
        node,
        class: "",
    };
    let input = literals.changed()?;
    let factors = run.factors_of(input);
    let dim = wrap(&literals.argument("dim")?.int()?, factors.len())?;
    let index = literals.argument("index")?.int()?.as_const()?;
    let before = Dim::product(factors[dim].iter().map(|atom| &atom.old));
    let same = before == align::size(&factors[dim]);
    let open = match source::index(node, index) {
        Written::Constant => false,
        // The batch of one that many take the first of.
        Written::Unknown => before != Dim::ONE,
        _ => true,
    };
    (!same && open).then_some((input, dim, index))
}

/// One operator with sizes.
struct Literals<'r> {
    run: &'r Run<'r>,
    node: &'r Flat<'r>,
    class: &'r str,
}

impl Literals<'_> {
    fn argument(&self, name: &str) -> Option<&Value> {
        let found = self.node.arguments.iter();
        let mut found = found.filter(|argument| argument.name == name);
        found.next().map(|argument| &argument.value)
    }

    fn sizes(&self, name: &str) -> Option<Vec<Dim>> {
        let items = self.argument(name)?.items()?;
        items.iter().map(Value::int).collect()
    }

    /// Whether one of PyTorch's own layers calls it, whose sizes are its attributes.
    fn is_of_layer(&self) -> bool {
        self.class.starts_with("torch.nn.modules.")
    }

    fn operand(&self) -> Option<TensorId> {
        self.node.arguments.first()?.value.tensor()
    }

    /// The first operand, if it has changed.
    fn changed(&self) -> Option<TensorId> {
        self.operand().filter(|tensor| self.run.changed(*tensor))
    }

    fn with(&self, name: &str, value: Value) -> Rewritten {
        let mut arguments = self.node.arguments.clone();
        for argument in &mut arguments {
            if argument.name == name {
                argument.value = value.clone();
            }
        }
        Rewritten {
            arguments: Some(arguments),
            ..Rewritten::default()
        }
    }

    fn with_sizes(&self, name: &str, before: &[Dim], after: Vec<Dim>) -> Rewritten {
        match before == after {
            true => Rewritten::default(),
            false => self.with(
                name,
                Value::List(after.into_iter().map(Value::Int).collect()),
            ),
        }
    }

    fn view(&self, name: &str, written_as: &[&str]) -> Result<Rewritten, String> {
        let (Some(input), Some(sizes)) = (self.changed(), self.sizes(name)) else {
            return Ok(Rewritten::default());
        };
        let output = self.node.output.tensor();
        let Some(recorded) = output.and_then(|id| self.run.old(id)) else {
            return Ok(Rewritten::default());
        };
        let atoms: Factors = self.run.factors_of(input).into_iter().flatten().collect();
        self.split(name, &atoms, &sizes, recorded, written_as)
    }

    /// Sizes that the given factors are viewed as.
    fn split(
        &self,
        name: &str,
        atoms: &Factors,
        sizes: &[Dim],
        recorded: &[Dim],
        written_as: &[&str],
    ) -> Result<Rewritten, String> {
        let written = source::sizes(self.node, written_as, sizes.len());
        let wanted = recorded.iter().zip(sizes).zip(written);
        let wanted: Vec<Wanted> = wanted
            .map(|((old, size), written)| Wanted {
                old: old.clone(),
                free: *size == Dim::Const(-1),
                written,
            })
            .collect();
        let factors = align::view(atoms, &wanted)?;
        let after = wanted.iter().zip(&factors).zip(sizes);
        let after = after.map(|((wanted, factors), size)| {
            match wanted.free || wanted.written == Written::Constant {
                true => size.clone(),
                false => align::size(factors),
            }
        });
        let after = after.collect();
        Ok(Rewritten {
            factors: Some(factors),
            ..self.with_sizes(name, sizes, after)
        })
    }

    fn unflatten(&self) -> Result<Rewritten, String> {
        let (Some(input), Some(sizes)) = (self.changed(), self.sizes("sizes")) else {
            return Ok(Rewritten::default());
        };
        let output = self.node.output.tensor();
        let recorded = output.and_then(|id| self.run.old(id));
        let factors = self.run.factors_of(input);
        let dim = self.argument("dim").and_then(Value::int);
        let dim = dim.and_then(|dim| wrap(&dim, factors.len()));
        let (Some(recorded), Some(dim)) = (recorded, dim) else {
            return Ok(Rewritten::default());
        };
        let own = recorded.get(dim..dim + sizes.len()).unwrap_or_default();
        let mut out = self.split("sizes", &factors[dim], &sizes, own, &["unflatten"])?;
        out.factors = None;
        Ok(out)
    }

    /// What a size of which nothing else is known has become: what the same size at the same place
    /// has become elsewhere.
    fn elsewhere(&self, at: usize, rank: usize, size: &Dim, written: Written) -> Option<Dim> {
        // `expand(x.size(0), -1)`: what stands first and was the batch.
        let batch = self.run.batch.as_ref().filter(|batch| batch.old == *size);
        if let (0, Some(batch)) = (at, batch)
            && !matches!(written, Written::Constant | Written::Unknown)
        {
            return Some(batch.new.clone());
        }
        // A one that is not shown to be computed stands in too many places.
        let plain = *size == Dim::ONE && written == Written::Unknown;
        if written == Written::Constant || plain {
            return None;
        }
        self.run.became(rank - at, size).cloned()
    }

    fn expand(&self, written_as: &[&str]) -> Result<Rewritten, String> {
        let (Some(input), Some(sizes)) = (self.operand(), self.sizes("size")) else {
            return Ok(Rewritten::default());
        };
        let written = source::sizes(self.node, written_as, sizes.len());
        let factors = self.run.factors_of(input);
        let missing = sizes.len().saturating_sub(factors.len());
        let mut kept = false;
        let mut after = Vec::with_capacity(sizes.len());
        for (at, (size, written)) in sizes.iter().zip(written).enumerate() {
            let own = at.checked_sub(missing).map(|at| &factors[at]);
            let before = own.map(|own| Dim::product(own.iter().map(|atom| &atom.old)));
            let now = own.map(|own| align::size(own));
            let fixed = *size == Dim::Const(-1) || written == Written::Constant;
            after.push(match (&before, now) {
                _ if fixed => size.clone(),
                (Some(before), Some(now)) if before == size && *before != now => now,
                (Some(before), _) if before == size && *size != Dim::ONE => size.clone(),
                _ => {
                    let found = self.elsewhere(at, sizes.len(), size, written);
                    kept |= found.is_none() && *size != Dim::ONE && !self.run.sizes.is_empty();
                    found.unwrap_or_else(|| size.clone())
                }
            });
        }
        Ok(Rewritten {
            kept,
            ..self.with_sizes("size", &sizes, after)
        })
    }

    fn repeat(&self, name: &str, written_as: &[&str]) -> Result<Rewritten, String> {
        let (Some(input), Some(counts)) = (self.operand(), self.sizes(name)) else {
            return Ok(Rewritten::default());
        };
        let written = source::sizes(self.node, written_as, counts.len());
        let factors = self.run.factors_of(input);
        let missing = counts.len().saturating_sub(factors.len());
        let mut kept = false;
        let mut after = Vec::with_capacity(counts.len());
        for (at, (count, written)) in counts.iter().zip(written).enumerate() {
            let own = at.checked_sub(missing).map(|at| align::size(&factors[at]));
            let single = own.is_none_or(|own| own == Dim::ONE);
            let found = match single {
                true => self.elsewhere(at, counts.len(), count, written),
                false => None,
            };
            kept |= found.is_none() && written != Written::Constant && *count != Dim::ONE;
            after.push(found.unwrap_or_else(|| count.clone()));
        }
        Ok(Rewritten {
            kept,
            ..self.with_sizes(name, &counts, after)
        })
    }

    fn created(&self, op: &str) -> Result<Rewritten, String> {
        let Some(sizes) = self.sizes("size") else {
            return Ok(Rewritten::default());
        };
        if self.class.starts_with("torch.nn.modules.rnn.") && sizes.len() == 3 {
            // `torch.zeros(layers * directions, batch, hidden_size)`, the state to begin with.
            let batch = self.anywhere(&sizes[1]).unwrap_or_else(|| sizes[1].clone());
            let after = vec![sizes[0].clone(), batch, sizes[2].clone()];
            return Ok(self.with_sizes("size", &sizes, after));
        }
        let written = source::sizes(self.node, &[op], sizes.len());
        let mut kept = false;
        let after = sizes.iter().zip(written).enumerate();
        let after = after.map(|(at, (size, written))| {
            let found = self.elsewhere(at, sizes.len(), size, written);
            kept |= found.is_none() && written != Written::Constant;
            found.unwrap_or_else(|| size.clone())
        });
        let after = after.collect();
        Ok(Rewritten {
            kept,
            ..self.with_sizes("size", &sizes, after)
        })
    }

    /// A size that may stand for a dimension at any place.
    fn anywhere(&self, size: &Dim) -> Option<Dim> {
        let mut found = self.run.sizes.iter().filter(|((_, old), _)| old == size);
        let first = found.next()?.1.clone()?;
        let agree = found.all(|(_, new)| new.as_ref() == Some(&first));
        (agree && *size != Dim::ONE).then_some(first)
    }

    fn single(&self, name: &str, written_as: &[&str]) -> Result<Rewritten, String> {
        let Some(size) = self.argument(name).and_then(Value::int) else {
            return Ok(Rewritten::default());
        };
        let written = source::sizes(self.node, written_as, 1);
        if written == [Written::Constant] {
            return Ok(Rewritten::default());
        }
        Ok(match self.anywhere(&size) {
            Some(new) if new != size => self.with(name, Value::Int(new)),
            Some(_) => Rewritten::default(),
            None => Rewritten {
                kept: true,
                ..Rewritten::default()
            },
        })
    }

    fn arange(&self) -> Result<Rewritten, String> {
        let start = self.argument("start").and_then(Value::int);
        let plain = start.is_none_or(|start| start == Dim::ZERO);
        match plain {
            true => self.single("end", &["arange"]),
            false => Ok(Rewritten {
                kept: true,
                ..Rewritten::default()
            }),
        }
    }

    fn slice(&self) -> Result<Rewritten, String> {
        let Some(input) = self.changed() else {
            // A part of a table that is as long as the input.
            return Ok(self.table_slice());
        };
        let factors = self.run.factors_of(input);
        let dim = self.argument("dim").and_then(Value::int);
        let dim = dim.and_then(|dim| wrap(&dim, factors.len())).unwrap_or(0);
        let Some(own) = factors.get(dim) else {
            return Ok(Rewritten::default());
        };
        let before = Dim::product(own.iter().map(|atom| &atom.old));
        if before == align::size(own) {
            return Ok(Rewritten::default());
        }
        let step = self.argument("step").and_then(Value::int);
        let step = step.and_then(|step| step.as_const()).unwrap_or(1);
        let mut arguments = self.node.arguments.clone();
        let mut any = false;
        for argument in &mut arguments {
            if argument.name != "start" && argument.name != "end" {
                continue;
            }
            let Some(bound) = argument.value.int() else {
                continue;
            };
            let Some(number) = bound.as_const() else {
                continue;
            };
            let open = number <= 0 || number >= i128::from(i64::MAX);
            let offset = argument.name == "start" && number < step;
            if open || offset || source::bound(self.node, number) == Written::Constant {
                continue;
            }
            let new = self.run.became(factors.len() - dim, &bound);
            let new = new.ok_or_else(|| {
                format!(
                    "it cuts a dimension that was {before} and is now {} at {number}, which was \
                     computed when the program was exported",
                    align::size(own)
                )
            })?;
            any |= *new != bound;
            argument.value = Value::Int(new.clone());
        }
        Ok(Rewritten {
            arguments: any.then_some(arguments),
            ..Rewritten::default()
        })
    }

    fn table_slice(&self) -> Rewritten {
        let Some(end) = self.argument("end").and_then(Value::int) else {
            return Rewritten::default();
        };
        let Some(number) = end.as_const().filter(|end| *end < i128::from(i64::MAX)) else {
            return Rewritten::default();
        };
        match source::bound(self.node, number) {
            Written::Constant => Rewritten::default(),
            _ => match self.anywhere(&end) {
                Some(new) if new != end => self.with("end", Value::Int(new)),
                _ => Rewritten::default(),
            },
        }
    }

    fn pad(&self) -> Result<Rewritten, String> {
        let name = match self.argument("pad") {
            Some(_) => "pad",
            None => "padding",
        };
        let (Some(input), Some(amounts)) = (self.changed(), self.sizes(name)) else {
            return Ok(Rewritten::default());
        };
        if self.is_of_layer() {
            return Ok(Rewritten::default());
        }
        let written = source::sizes(self.node, &["pad"], amounts.len());
        let factors = self.run.factors_of(input);
        for (at, written) in written.iter().enumerate() {
            let Some(own) = factors.len().checked_sub(1 + at / 2) else {
                break;
            };
            let before = Dim::product(factors[own].iter().map(|atom| &atom.old));
            let now = align::size(&factors[own]);
            if *written != Written::Constant && before != now {
                return Err(format!(
                    "by how much it pads a dimension that was {before} and is now {now} was \
                     computed when the program was exported"
                ));
            }
        }
        Ok(Rewritten::default())
    }

    fn upsample(&self) -> Result<Rewritten, String> {
        let (Some(input), Some(sizes)) = (self.changed(), self.sizes("output_size")) else {
            return Ok(Rewritten::default());
        };
        if self.is_of_layer() {
            return Ok(Rewritten::default());
        }
        let written = source::sizes(self.node, &["interpolate", "upsample"], sizes.len());
        let factors = self.run.factors_of(input);
        let mut after = Vec::with_capacity(sizes.len());
        for (at, (size, written)) in sizes.iter().zip(written).enumerate() {
            let own = (factors.len() + at).checked_sub(sizes.len());
            let same = own.is_some_and(|own| factors[own].iter().all(|atom| atom.old == atom.new));
            after.push(match written {
                Written::Constant => size.clone(),
                _ if same => size.clone(),
                _ => {
                    let new = self.run.became(sizes.len() - at, size).cloned();
                    new.ok_or_else(|| {
                        format!(
                            "the size that it makes ({size}) was computed when the program was \
                             exported"
                        )
                    })?
                }
            });
        }
        Ok(self.with_sizes("output_size", &sizes, after))
    }

    /// Pools to a size that the layer has; that it was computed is rare, and noted.
    fn adaptive(&self) -> Result<Rewritten, String> {
        let (Some(_), Some(sizes)) = (self.changed(), self.sizes("output_size")) else {
            return Ok(Rewritten::default());
        };
        if self.is_of_layer() {
            return Ok(Rewritten::default());
        }
        let names = [
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "adaptive_max_pool1d",
            "adaptive_max_pool2d",
            "adaptive_max_pool3d",
        ];
        let written = source::sizes(self.node, &names, sizes.len());
        let kept = sizes
            .iter()
            .zip(written)
            .any(|(size, written)| *size != Dim::ONE && written == Written::Computed);
        Ok(Rewritten {
            kept,
            ..Rewritten::default()
        })
    }
}

/// A dimension, counted from the end if it is negative.
fn wrap(dim: &Dim, rank: usize) -> Option<usize> {
    let dim = dim.as_i64()?;
    let rank_signed = i64::try_from(rank).ok()?;
    usize::try_from(if dim < 0 { dim + rank_signed } else { dim })
        .ok()
        .filter(|dim| *dim < rank)
}
