//! A model's cost at many sizes.
//!
//! Where the sizes can be left free, the model is read once and its polynomial is evaluated. A
//! polynomial is only believed when it gives what the model gives at both ends: a file can hold a
//! size that should have followed from its input.

use modelcost_core::convention::{Convention, Options};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Fidelity;
use modelcost_core::report::Report;
use modelcost_core::trace::Trace;

/// A dimension and the sizes to try.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Its name.
    pub name: String,
    /// The sizes, ascending.
    pub sizes: Vec<u64>,
}

/// The cost at one combination of sizes.
#[derive(Clone, Debug)]
pub struct Point {
    /// The sizes by axis.
    pub at: Vec<(String, u64)>,
    /// The count, or why there is none.
    pub count: Result<Dim, String>,
}

/// A sweep's answer.
pub struct Sweep {
    /// The points, the last axis running fastest.
    pub points: Vec<Point>,
    /// The model and its report with the axes left free, where that says the same as the points.
    pub symbolic: Option<(Trace, Report)>,
    /// How far the counts can be trusted: all that is said of any of them.
    pub fidelity: Fidelity,
}

impl Sweep {
    /// The count as an expression in the axes.
    pub fn polynomial(&self) -> Option<&Dim> {
        let (_, report) = self.symbolic.as_ref()?;
        Some(report.count.as_ref()?.count())
    }
}

/// Reads a model with its axes at given sizes, which may be symbols.
pub type ReadAt<'a> = dyn Fn(&[(String, Dim)]) -> Result<Trace, String> + 'a;

/// Counts a model at every combination of sizes.
pub fn sweep(axes: &[Axis], read: &ReadAt<'_>, convention: &dyn Convention) -> Sweep {
    let grid = grid(axes);
    let symbolic = symbolic(axes, read, convention).filter(|(_, report)| {
        let ends = [grid.first(), grid.last()];
        ends.into_iter().flatten().all(|at| {
            let concrete = count(at, read, convention);
            concrete.is_ok_and(|(concrete, _)| substitute(report, at) == Some(concrete))
        })
    });
    let mut fidelity = match &symbolic {
        Some((_, report)) => report.fidelity.clone(),
        None => Fidelity::default(),
    };
    let points = grid.into_iter().map(|at| {
        let known = symbolic
            .as_ref()
            .and_then(|(_, report)| substitute(report, &at));
        let count = known.map_or_else(
            || {
                let (count, said) = count(&at, read, convention)?;
                fidelity.merge(&said);
                Ok(count)
            },
            Ok,
        );
        Point { at, count }
    });
    Sweep {
        points: points.collect(),
        symbolic,
        fidelity,
    }
}

/// The model with the axes left free; none when they do not all reach the count.
fn symbolic(
    axes: &[Axis],
    read: &ReadAt<'_>,
    convention: &dyn Convention,
) -> Option<(Trace, Report)> {
    let symbols: Vec<(String, Dim)> = axes
        .iter()
        .map(|axis| (axis.name.clone(), Dim::symbol(axis.name.as_str())))
        .collect();
    let trace = read(&symbols).ok()?;
    let report = convention.count(&trace, &Options::default()).ok()?;
    let reached = report.count.as_ref()?.count().symbols();
    let all = axes.iter().all(|axis| reached.contains(axis.name.as_str()));
    all.then_some((trace, report))
}

fn substitute(report: &Report, at: &[(String, u64)]) -> Option<Dim> {
    let size = |name: &str| {
        let found = at.iter().find(|(axis, _)| axis == name);
        found.map(|(_, size)| Dim::from(*size))
    };
    Some(report.count.as_ref()?.count().substitute(&size))
}

fn count(
    at: &[(String, u64)],
    read: &ReadAt<'_>,
    convention: &dyn Convention,
) -> Result<(Dim, Fidelity), String> {
    let sizes = at
        .iter()
        .map(|(name, size)| (name.clone(), Dim::from(*size)));
    let trace = read(&sizes.collect::<Vec<_>>())?;
    let report = convention
        .count(&trace, &Options::default())
        .map_err(|failure| failure.to_string())?;
    let cost = report
        .count
        .ok_or_else(|| format!("{} counts parameters only", convention.info().identity()))?;
    Ok((cost.count().clone(), report.fidelity))
}

fn grid(axes: &[Axis]) -> Vec<Vec<(String, u64)>> {
    axes.iter().fold(vec![Vec::new()], |points, axis| {
        let longer = |point: &Vec<(String, u64)>, size: u64| {
            let mut point = point.clone();
            point.push((axis.name.clone(), size));
            point
        };
        points
            .iter()
            .flat_map(|point| axis.sizes.iter().map(move |size| longer(point, *size)))
            .collect()
    })
}
