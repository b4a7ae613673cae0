//! The module calls around each FX node.

use foldhash::HashMap;

use modelcost_fx::{Entry, StackId, Stacks};

use super::super::fx_text::FxArg;
use super::super::signature::Input;
use super::super::{fx_text, rounds};
use super::{CLASSES, Group, SCOPES, STACK_TRACE, regions};
use crate::text::Arena;

/// Operators that exporters make again after a tensor was changed in place.
const VIEWS: &[&str] = &[
    "aten.alias",
    "aten.as_strided",
    "aten.diagonal",
    "aten.expand",
    "aten.permute",
    "aten.select",
    "aten.slice",
    "aten.split",
    "aten.squeeze",
    "aten.transpose",
    "aten.unbind",
    "aten.unsqueeze",
    "aten.view",
];

/// The stacks of module calls around each group.
pub(super) fn stacks<'a>(
    groups: &[Group<'a>],
    inputs: &[Input<'a>],
    stacks: &mut Stacks<'a>,
    arena: &'a Arena,
) -> Vec<Option<StackId>> {
    let mut rounds = rounds::Rounds::default();
    let mut seen: HashMap<String, StackId> = HashMap::default();
    groups
        .iter()
        .map(|group| {
            let mut paths = fx_text::strings(group.node.meta(SCOPES)?);
            let mut classes = fx_text::strings(group.node.meta(CLASSES)?);
            // The last of each is the FX node itself.
            let mut depth = paths.len().min(classes.len()).checked_sub(1)?;
            if regions::is_inside(group) {
                if let Some((path, class)) = regions::layer(group, inputs)
                    && depth > 0
                    && is_below(path, paths[depth - 1])
                {
                    paths.truncate(depth);
                    classes.truncate(depth);
                    paths.push(path);
                    classes.push(class);
                    depth += 1;
                }
            } else {
                depth = depth.min(
                    caller(group, inputs, &paths[..depth], &classes[..depth]).unwrap_or(depth),
                );
            }
            let lines = call_lines(group, depth);
            let calls = rounds.enter(&paths[..depth], &classes[..depth], &lines);
            let entries = (0..depth).map(|at| Entry {
                key: match calls[at] {
                    0 => paths[at],
                    again => arena.string(format!("{}@{again}", paths[at])),
                },
                path: paths[at].into(),
                class: classes[at],
            });
            let entries: Vec<Entry<'a>> = entries.collect();
            let keys: Vec<&str> = entries.iter().map(|entry| entry.key).collect();
            let id = seen
                .entry(keys.join(";"))
                .or_insert_with(|| stacks.push(entries));
            Some(*id)
        })
        .collect()
}

/// Where each module around a group is called: the place in the forward around it. Nothing where the stack trace has
/// another frame than those of the modules.
fn call_lines<'a>(group: &Group<'a>, depth: usize) -> Vec<&'a str> {
    let trace = group.node.meta(STACK_TRACE).unwrap_or_default();
    let frames: Vec<&str> = trace
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("File \""))
        .collect();
    if frames.len() != depth || regions::is_inside(group) {
        return Vec::new();
    }
    std::iter::once("").chain(frames).take(depth).collect()
}

/// Whether a module stands below another one.
fn is_below(path: &str, other: &str) -> bool {
    let rest = path.strip_prefix(other);
    rest.is_some_and(|rest| rest.starts_with('.') || other.is_empty() && !rest.is_empty())
}

/// Whether a view is of what an exporter writes in the place of a change to a part of a tensor: no hook makes it.
fn is_of_a_scatter(group: &Group<'_>) -> bool {
    let scatters = [
        "as_strided_scatter",
        "diagonal_scatter",
        "select_scatter",
        "slice_scatter",
    ];
    match group.fx.args.first() {
        Some(FxArg::Node(name)) => scatters.iter().any(|scatter| name.starts_with(scatter)),
        _ => false,
    }
}

/// How many modules around a view called it, where those are fewer than its scopes. A view of what
/// was changed in place since is made again where it is used next, and that may be inside the module
/// that it is handed to; its stack trace is that of the line that made it first.
fn caller(
    group: &Group<'_>,
    inputs: &[Input<'_>],
    paths: &[&str],
    classes: &[&str],
) -> Option<usize> {
    if !VIEWS.contains(&group.op().as_str()) {
        return None;
    }
    // A hook of the module looks at the module's own weight before the forward begins.
    let own = paths.last()?;
    let given = match group.fx.args.first()? {
        FxArg::Node(name) => inputs.iter().find(|input| input.name == *name),
        _ => None,
    };
    if given.is_some_and(|input| is_below(input.target, own)) {
        return None;
    }
    let trace = group.node.meta(STACK_TRACE)?;
    let frames = trace.matches("File \"").count();
    if frames > 0 && frames < classes.len() {
        // Hooks run before the forward that they belong to, where the line calls the module.
        let line = trace.trim_end().rsplit('\n').next()?;
        let module = paths.get(frames)?.rsplit('.').next()?;
        let calls = line.match_indices(module).any(|(at, name)| {
            line[..at].ends_with('.') && line[at + name.len()..].starts_with('(')
        });
        return (!calls || is_of_a_scatter(group)).then_some(frames);
    }
    // A forward of a base class is a frame, too, so that counts may agree by chance.
    let file = trace.rsplit("File \"").next()?.split('"').next()?;
    let is_layer = classes.last()?.starts_with("torch.nn.modules.");
    (is_layer && frames > 0 && !file.contains("torch/nn/")).then_some(classes.len() - 1)
}
