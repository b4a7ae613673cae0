//! Operators of linear algebra whose derivatives multiply matrices in ways that no formula here says.

use modelcost_core::fidelity::{Fidelity, Level};
use modelcost_core::gradients::Gradients;
use modelcost_core::table::describe;
use modelcost_core::trace::{Target, Trace};

/// What `aten.linalg_` begins and has no such derivative.
const PLAIN: &[&str] = &[
    "vector_norm",
    "norm",
    "matmul",
    "multi_dot",
    "vecdot",
    "cross",
    "diagonal",
    "det",
    "slogdet",
    "matrix_exp",
];

/// Those without the prefix.
const OTHERS: &[&str] = &[
    "inverse",
    "pinverse",
    "svd",
    "cholesky_inverse",
    "cholesky_solve",
    "triangular_solve",
    "lu_solve",
];

/// Says which operators a backward pass is not fully counted of.
pub fn note(trace: &Trace, gradients: &Gradients, fidelity: &mut Fidelity) {
    for (id, call) in trace.calls() {
        let Target::Operator(name) = &call.target else {
            continue;
        };
        let name = name.strip_prefix("aten.").unwrap_or(name);
        let multiplies = match name.strip_prefix("linalg_") {
            Some(rest) => !PLAIN.contains(&rest),
            None => OTHERS.contains(&name),
        };
        if multiplies && gradients.reaches(id) {
            let call = describe(trace, id);
            let note = format!("the products in the backward pass of {call} are not counted");
            fidelity.note(Level::Partial, note);
        }
    }
}
