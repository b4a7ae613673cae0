//! What a block takes: the constants in which the modules that it stands for differ.

use std::collections::HashSet;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::value::Value;

use super::pieces::Constant;
use super::variants::Member;

/// More parameters than anyone wants to give: such modules get blocks of their own.
const MAX_PARAMETERS: usize = 14;

/// A parameter of a block.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub name: SmolStr,
    pub default: Option<Value>,
    pub constructs: bool,
}

/// The parameters, what each constant is written as, and the values of each parameter.
pub(super) type Found = (Vec<Parameter>, Vec<Option<String>>, Vec<Vec<Value>>);

/// A constant's values in all members of a group; nothing where a member lacks it.
type Column = Vec<Option<Value>>;

/// The parameters that several bodies need, what their constants are in terms of them, and what
/// each body gives. Nothing if those are too many.
pub(super) fn parameters(
    constants: &[Constant],
    members: &[Member],
    used: &HashSet<SmolStr>,
) -> Option<Found> {
    let mut columns: Vec<(usize, Parameter, Column)> = Vec::new();
    let mut names: Vec<Option<String>> = Vec::new();
    let mut taken = used.clone();
    for (at, constant) in constants.iter().enumerate() {
        let column: Column = members
            .iter()
            .map(|member| member.constants[at].clone())
            .collect();
        let mut there = column.iter().flatten();
        let first = there.next();
        if there.all(|value| Some(value) == first) {
            names.push(None);
            continue;
        }
        if let Some(name) = derived(&column, &columns) {
            names.push(Some(name));
            continue;
        }
        if let Some(name) = completed(&column, &mut columns) {
            names.push(Some(name));
            continue;
        }
        if columns.len() >= MAX_PARAMETERS {
            return None;
        }
        let base = parameter_name(&constant.role, &taken);
        let name = super::names::fresh(base, &taken);
        taken.insert(name.clone());
        names.push(Some(name.to_string()));
        let parameter = Parameter {
            name,
            default: usual(&constant.role, &column),
            constructs: constant.constructs,
        };
        columns.push((at, parameter, column));
    }
    // Parameters with a default come last, as in Python.
    columns.sort_by_key(|(_, parameter, _)| parameter.default.is_some());
    let mut parameters = Vec::new();
    let mut values: Vec<Vec<Value>> = Vec::new();
    for (at, parameter, column) in columns {
        // Who lacks the part that needs it may give anything; the usual, or what comes next.
        let given = column.into_iter().zip(members).map(|(value, member)| {
            value
                .or_else(|| parameter.default.clone())
                .unwrap_or_else(|| {
                    let rest = member.constants.iter().skip(at + 1).flatten();
                    rest.into_iter()
                        .find(|value| value.int().is_some())
                        .cloned()
                        .unwrap_or_default()
                })
        });
        values.push(given.collect());
        parameters.push(parameter);
    }
    Some((parameters, names, values))
}

/// What a parameter is called that stands for a constant of some role.
fn parameter_name<'r>(role: &'r str, taken: &HashSet<SmolStr>) -> &'r str {
    match role {
        "num_features" | "normalized_shape" => "width",
        "in_channels" | "out_channels" if taken.contains(role) => "channels",
        "in_features" | "out_features" if taken.contains(role) => "features",
        "" => "value",
        role => role,
    }
}

/// Arguments that torch has defaults for, too.
fn usual(role: &str, column: &Column) -> Option<Value> {
    const USUAL: &[(&str, i64)] = &[
        ("stride", 1),
        ("padding", 0),
        ("dilation", 1),
        ("groups", 1),
    ];
    let (_, default) = USUAL.iter().find(|(name, _)| *name == role)?;
    let default = Value::from(*default);
    column.contains(&Some(default.clone())).then_some(default)
}

/// A constant in terms of the parameters that there are.
fn derived(column: &Column, columns: &[(usize, Parameter, Column)]) -> Option<String> {
    let same = |own: &Option<Value>, other: &Option<Value>| own.is_none() || own == other;
    let equal = |other: &Column| {
        column
            .iter()
            .zip(other)
            .all(|(own, other)| same(own, other))
    };
    if let Some((_, parameter, _)) = columns.iter().find(|(.., values)| equal(values)) {
        return Some(parameter.name.to_string());
    }
    for (_, parameter, values) in columns {
        let pairs = pairs(column, values)?;
        let name = &parameter.name;
        if let Some(factor) = ratio(pairs.iter().copied()) {
            return Some(format!("{factor} * {name}"));
        }
        if let Some(factor) = ratio(pairs.iter().map(|(own, other)| (*other, *own))) {
            return Some(format!("{name} // {factor}"));
        }
    }
    None
}

/// A parameter of a part that some members lack takes the values of a constant that all have, where
/// the two are the same as far as both are there.
fn completed(column: &Column, columns: &mut [(usize, Parameter, Column)]) -> Option<String> {
    let found = columns.iter_mut().find(|(.., own)| {
        let mut both = column.iter().zip(own.iter());
        own.iter().any(Option::is_none) && both.all(|(a, b)| a.is_none() || b.is_none() || a == b)
    });
    let (_, parameter, own) = found?;
    for (own, value) in own.iter_mut().zip(column) {
        if own.is_none() {
            own.clone_from(value);
        }
    }
    Some(parameter.name.to_string())
}

/// Two columns of integers side by side, where the first has a value.
fn pairs(own: &Column, other: &Column) -> Option<Vec<(i128, i128)>> {
    let number = |value: &Option<Value>| match value {
        Some(Value::Int(Dim::Const(number))) => Some(*number),
        _ => None,
    };
    let there = own.iter().zip(other).filter(|(own, _)| own.is_some());
    there
        .map(|(own, other)| Some((number(own)?, number(other).unwrap_or(0))))
        .collect()
}

/// The whole number that every first is times its second.
fn ratio(mut pairs: impl Iterator<Item = (i128, i128)> + Clone) -> Option<i128> {
    let (first, second) = pairs.clone().next()?;
    let factor = first.checked_div(second)?;
    let fits = pairs.all(|(a, b)| b > 0 && b.checked_mul(factor) == Some(a));
    (fits && (2..=64).contains(&factor)).then_some(factor)
}
