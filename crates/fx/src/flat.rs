//! Nodes in one sequence, with their names resolved.

use std::borrow::Cow;

use foldhash::HashMap;
use modelcost_core::trace::Argument;
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::stack::StackId;

/// The values of one graph by name.
pub type Scope<'a> = HashMap<&'a str, Value>;

/// A node with its names resolved.
#[derive(Clone, Debug, Default)]
pub struct Flat<'a> {
    /// `aten.conv2d`
    pub op: SmolStr,
    /// Arguments under the names of the operator's schema.
    pub arguments: Vec<Argument>,
    /// What it returns.
    pub output: Value,
    /// The module calls around it.
    pub stack: Option<StackId>,
    /// The Python function that made it, with a number for each call:
    /// `relu_1;function.relu`.
    pub torch_fn: Cow<'a, str>,
    /// The same as Dynamo saw it: `torch.nn.functional.relu`, `_operator.add`, `sub`.
    pub source_fn: Option<&'a str>,
    /// The source line that made it, as far as the program kept it.
    pub line: Cow<'a, str>,
    /// The stack trace as Python prints it, innermost frame last; just that one's first line,
    /// `File "…", line 3, in forward`, where the program has no more.
    pub frame: Cow<'a, str>,
}
