//! What each operator dispatches to below autograd.

use modelcost_core::trace::{Argument, TraceBuilder};
use modelcost_core::value::Value;

/// Writes the calls that an operator dispatches to; called between its begin and its end.
pub fn expand(
    _builder: &mut TraceBuilder,
    _operator: &str,
    _arguments: &[Argument],
    _output: &Value,
) {
}
