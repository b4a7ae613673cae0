//! `torch.nn.utils.parametrizations`: layers whose weight is computed at every use (PyTorch 2.15).

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Class, ModuleId, Parameter};
use modelcost_core::value::Value;

use super::Entry;
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::signature::{Arguments, Lazy};
use crate::tracer::{Member, Tracer};

/// What a layer's weight is computed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parametrization {
    /// From its direction and its length.
    WeightNorm,
    /// By its largest singular value.
    SpectralNorm,
}

static WEIGHT_NORM: Lazy = Lazy::new("weight_norm(module, name='weight', dim=0)");
static SPECTRAL_NORM: Lazy =
    Lazy::new("spectral_norm(module, name='weight', n_power_iterations=1, eps=1e-12, dim=None)");

impl Parametrization {
    /// By the function's name, as people import it.
    pub fn find(name: &str) -> Option<Parametrization> {
        let name = name.strip_prefix("torch.").unwrap_or(name);
        let name = name.strip_prefix("nn.utils.").unwrap_or(name);
        match name.strip_prefix("parametrizations.")? {
            "weight_norm" => Some(Parametrization::WeightNorm),
            "spectral_norm" => Some(Parametrization::SpectralNorm),
            _ => None,
        }
    }

    fn signature(self) -> &'static Lazy {
        match self {
            Parametrization::WeightNorm => &WEIGHT_NORM,
            Parametrization::SpectralNorm => &SPECTRAL_NORM,
        }
    }
}

static DICT: Entry = Entry::new("torch.nn.ModuleDict", "ModuleDict()", "Parametrizations.");

static LIST: Entry = Entry::new(
    "torch.nn.utils.parametrize.ParametrizationList",
    "ParametrizationList()",
    "What a weight is computed from.",
)
.bases(&["torch.nn.ModuleList"])
.takes("forward()")
.forward_code(computed);

static BY_LENGTH: Entry = Entry::new(
    "torch.nn.utils.parametrizations._WeightNorm",
    "_WeightNorm(dim=0)",
    "A weight from its direction and its length.",
)
.takes("forward(weight_g, weight_v)")
.forward_line("torch._weight_norm(weight_v, weight_g, self.dim)");

static BY_SPECTRUM: Entry = Entry::new(
    "torch.nn.utils.parametrizations._SpectralNorm",
    "_SpectralNorm(dim=0)",
    "A weight by its largest singular value.",
)
.takes("forward(weight)")
.forward_code(by_spectrum);

/// What a `ParametrizationList` holds its weight as: of a weight norm the length, then the direction.
const ORIGINALS: [&str; 3] = ["original", "original0", "original1"];

fn computed(t: &mut Tracer, module: ModuleId, _: &Bound) -> Result<Value> {
    let originals = ORIGINALS
        .iter()
        .filter_map(|name| match t.member(module, name) {
            Some(Member::Value(value)) => Some(value),
            _ => None,
        });
    let arguments = Arguments::of(originals.collect::<Vec<_>>());
    let first = t.child(module, "0")?;
    t.call_module(first, &arguments, None)
}

/// In evaluation the vectors are those of the last step of training.
fn by_spectrum(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let weight = args.value("weight").clone();
    let rank = t.shape(args.tensor("weight")?).len();
    let dim = t
        .get(module, "dim")
        .int()
        .and_then(|dim| dim.as_usize())
        .unwrap_or(0);
    let mut matrix = weight.clone();
    if dim != 0 {
        let order = std::iter::once(dim).chain((0..rank).filter(|at| *at != dim));
        let order = order.map(Value::from).collect();
        let arguments = Arguments::of([matrix, Value::List(order)]);
        matrix = t.call_function("torch.Tensor.permute", &arguments, None)?;
    }
    let flat = Arguments::of([matrix, Value::from(1usize)]);
    let matrix = t.call_function("torch.Tensor.flatten", &flat, None)?;
    let mut copied = |name| {
        let arguments = Arguments::of([t.get(module, name)]);
        t.call_function("torch.Tensor.clone", &arguments, None)
    };
    let (u, v) = (copied("_u")?, copied("_v")?);
    let product = t.call_function("torch.mv", &Arguments::of([matrix, v]), None)?;
    let sigma = t.call_function("torch.vdot", &Arguments::of([u, product]), None)?;
    t.call_function("operator.truediv", &Arguments::of([weight, sigma]), None)
}

impl Tracer {
    /// Has a layer that was just made compute its weight: what `how` does with it in Python. `arguments` are those after
    /// the module.
    pub fn parametrize(
        &mut self,
        module: ModuleId,
        how: Parametrization,
        arguments: &Arguments,
    ) -> Result<()> {
        let mut given = arguments.clone();
        given.positional.insert(0, Value::None);
        let bound = how.signature().get().bind(given, &[])?;
        let class = self.builder.trace().module(module).class.clone();
        let short = class.short_name().to_string();
        let parameter = match self.parameter_of(module, "weight") {
            Some(parameter)
                if bound.str("name")? == "weight" && class.name.starts_with("torch.nn.") =>
            {
                parameter
            }
            _ => {
                let message = format!(
                    "{} takes a layer of PyTorch with a 'weight' whose sizes are given, not this {short}",
                    bound.callee()
                );
                return Err(TorchError::new(message));
            }
        };
        let path = self.path_of(module);
        let weight: Parameter = self.builder.trace().parameter(parameter).clone();
        let transposed = short.starts_with("ConvTranspose");
        let dim = match bound.optional_index("dim")? {
            Some(dim) => dim,
            None => i64::from(transposed),
        };
        let rank = weight.shape.len() as i64;
        if dim < -1 || dim >= rank {
            return Err(bound.error(
                "dim",
                format!("a weight of {rank} dimensions has no dimension {dim}"),
            ));
        }
        let name = |rest: &str| match path.as_str() {
            "" => format!("parametrizations.{rest}"),
            path => format!("{path}.parametrizations.{rest}"),
        };
        let dict = self.construct_new(&DICT, &Arguments::new(), &name("")[..name("").len() - 1])?;
        let list = self.construct_new(&LIST, &Arguments::new(), &name("weight"))?;
        let rule = match how {
            Parametrization::WeightNorm => &BY_LENGTH,
            Parametrization::SpectralNorm => &BY_SPECTRUM,
        };
        let rule =
            self.construct_new(rule, &Arguments::of([Value::from(dim)]), &name("weight.0"))?;
        let kept = usize::try_from(dim).ok();
        let dtype = weight.dtype;
        match how {
            Parametrization::WeightNorm => {
                let shape = weight.shape.iter().enumerate();
                let length = shape.map(|(at, size)| match Some(at) == kept {
                    true => size.clone(),
                    false => Dim::ONE,
                });
                let length = if kept.is_some() {
                    length.collect()
                } else {
                    Vec::new()
                };
                let full = name("weight.original0");
                self.builder
                    .parameter(list, "original0", full, length, dtype);
                self.move_parameter(
                    module,
                    list,
                    "original1",
                    name("weight.original1"),
                    parameter,
                );
            }
            Parametrization::SpectralNorm => {
                self.move_parameter(module, list, "original", name("weight.original"), parameter);
                let rows = kept
                    .and_then(|at| weight.shape.get(at))
                    .cloned()
                    .unwrap_or(Dim::ONE);
                let others = weight
                    .shape
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| Some(*at) != kept);
                let columns = Dim::product(others.map(|(_, size)| size));
                self.builder
                    .buffer(rule, "_u", name("weight.0._u"), vec![rows], dtype);
                self.builder
                    .buffer(rule, "_v", name("weight.0._v"), vec![columns], dtype);
            }
        }
        self.builder.add_child(list, "0", rule);
        self.builder.add_child(dict, "weight", list);
        self.builder.add_child(module, "parametrizations", dict);
        self.forget_source(module);
        let bases = std::iter::once(class.name).chain(class.bases);
        self.builder.trace_mut().modules[module.index()].class = Class {
            name: format!("torch.nn.utils.parametrize.Parametrized{short}").into(),
            bases: bases.collect(),
        };
        Ok(())
    }

    /// As [`Tracer::get`], of a weight that is computed too.
    pub(crate) fn held(&mut self, module: ModuleId, name: &str) -> Result<Value> {
        if name == "weight"
            && let Some(Member::Module(dict)) = self.member(module, "parametrizations")
            && let Some(Member::Module(list)) = self.member(dict, name)
        {
            return self.call_module(list, &Arguments::new(), None);
        }
        Ok(self.get(module, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let found = Parametrization::find;
        let weight_norm = Some(Parametrization::WeightNorm);
        assert_eq!(found("nn.utils.parametrizations.weight_norm"), weight_norm);
        assert_eq!(found("parametrizations.weight_norm"), weight_norm);
        // What the older one of `torch.nn.utils` makes is another module.
        assert_eq!(found("nn.utils.weight_norm"), None);
    }
}
