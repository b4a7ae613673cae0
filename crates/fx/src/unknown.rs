//! What the tree of modules leaves open when all calls are known.

use foldhash::{HashMap, HashSet};

use modelcost_core::dim::Dim;
use modelcost_core::trace::{Call, CallId, Module, ModuleId, Trace};
use modelcost_core::value::Value;
use smol_str::SmolStr;

use crate::doubts::{Doubt, Doubts};
use crate::flat::Flat;
use crate::known;
use crate::modules::Tree;
use crate::scripted;
use crate::site;
use crate::stack::Stacks;

/// Operators that some releases of torch record in the place of all that a layer calls.
const FUSED: &[&str] = &[
    "aten._transformer_encoder_layer_fwd",
    "aten._native_multi_head_attention",
];

/// The node at the beginning of what `torch.vmap` maps (`torch/_functorch/predispatch.py`, torch 2.15):
/// the nodes after it have the shapes of one slice.
const MAPPED: &str = "torch._functorch";

/// Adds what the program does not tell of its modules.
pub fn modules(
    trace: &Trace,
    tree: &Tree<'_>,
    nodes: &[Flat<'_>],
    stacks: &Stacks<'_>,
    doubts: &mut Doubts,
) {
    let called = trace.calls_by_module();
    unseen(trace, tree, nodes, stacks, &called, doubts);
    let mapped = nodes.iter().any(|node| node.op == MAPPED);
    for node in nodes {
        if node.frame.contains("checkpoint(")
            && let Some(line) = node.frame.lines().find(|line| line.contains("checkpoint("))
        {
            doubts.add(Doubt::Recomputed, || format!("`{}`", line.trim()));
        }
        if let Some(name) = scripted::called(node) {
            doubts.add(Doubt::Scripted, || {
                format!("{name} in `{}`", node.line.trim())
            });
        }
        if FUSED.contains(&node.op.as_str()) {
            doubts.add(Doubt::Fused, || node.op.to_string());
        }
        if node.op == MAPPED {
            doubts.add(Doubt::Mapped, || format!("`{}`", node.line));
        } else if node.line.contains("vmap(") && !mapped {
            doubts.add(Doubt::Batched, || format!("`{}`", node.line));
        }
    }
    for (first, other) in &tree.same {
        doubts.add(Doubt::Same, || format!("{first} and {other}"));
    }
    for (index, calls) in called.iter().enumerate() {
        let Some(call) = calls.first().map(|id| trace.call(*id)) else {
            continue;
        };
        attribute(trace, ModuleId::new(index), call, doubts);
        let module = &trace.modules[index];
        if known::asks_for_export(&module.class.name) {
            doubts.add(Doubt::Exported, || module.class.short_name().into());
        }
        let works = |child: &ModuleId| {
            !called[child.index()].is_empty() || trace.module(*child).parameters.is_empty()
        };
        let composite = module.class.name.starts_with("torch.nn.Transformer");
        if composite && !module.children.iter().all(|(_, child)| works(child)) {
            doubts.add(Doubt::Flattened, || module.class.short_name().into());
        }
    }
}

/// Modules that own nothing and are never called. The file has them as paths alone. One that was
/// called and returned its input is an identity whatever its class is; one that was not called may
/// be another name of a module that was.
fn unseen(
    trace: &Trace,
    tree: &Tree<'_>,
    nodes: &[Flat<'_>],
    stacks: &Stacks<'_>,
    called: &[Vec<CallId>],
    doubts: &mut Doubts,
) {
    let is_empty = |module: &Module| {
        module.children.is_empty() && module.parameters.is_empty() && module.buffers.is_empty()
    };
    let works = called
        .iter()
        .enumerate()
        .any(|(index, calls)| !calls.is_empty() && is_empty(&trace.modules[index]));
    let mut open: Vec<(&SmolStr, ModuleId)> = tree
        .by_path
        .iter()
        .map(|(path, id)| (path, *id))
        .filter(|(path, id)| {
            let module = trace.module(*id);
            !path.is_empty()
                && called[id.index()].is_empty()
                && is_empty(module)
                && module.class.name == "torch.nn.Identity"
        })
        .collect();
    if !works || open.is_empty() {
        return;
    }
    let names = called_names(nodes, stacks);
    open.sort();
    for (path, _) in open {
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let by_parent = names.get(parent);
        let is_called = by_parent.is_some_and(|names| names.contains(name));
        // Items of a list are called as anything.
        let numbered = name.bytes().all(|byte| byte.is_ascii_digit());
        if !is_called && !numbered {
            doubts.add(Doubt::Unseen, || path.to_string());
        }
    }
}

/// The names that the lines of each module's forward call: `drop` of `self.drop(x)`.
fn called_names<'n>(
    nodes: &'n [Flat<'_>],
    stacks: &Stacks<'_>,
) -> HashMap<SmolStr, HashSet<&'n str>> {
    let mut out: HashMap<SmolStr, HashSet<&'n str>> = HashMap::default();
    for node in nodes {
        let Some(stack) = node.stack else { continue };
        let mut names: HashSet<&'n str> = HashSet::default();
        for line in site::lines(&node.frame) {
            for (at, _) in line.match_indices('(') {
                let start = line[..at].rfind(|c: char| !c.is_alphanumeric() && c != '_');
                if let Some(start) = start
                    && line[start..].starts_with('.')
                {
                    names.insert(&line[start + 1..at]);
                }
            }
        }
        for path in std::iter::once(SmolStr::default())
            .chain(stacks.get(stack).iter().map(|entry| entry.path.clone()))
        {
            out.entry(path).or_default().extend(&names);
        }
    }
    out
}

/// Arguments of layers that leave nothing in the program where they are as they are here.
fn attribute(trace: &Trace, id: ModuleId, call: &Call, doubts: &mut Doubts) {
    let class = trace.module(id).class.short_name();
    let shape = |value: &Value| trace.tensor(value.tensor()?).shape.clone();
    let Some(input) = call.positional().next().and_then(shape) else {
        return;
    };
    if !known::is_library(&trace.module(id).class.name) {
        return;
    }
    match class {
        "Softmax" => {
            // `_get_softmax_dim` of torch/nn/functional.py.
            let implicit = if matches!(input.len(), 0 | 1 | 3) {
                0
            } else {
                1
            };
            if trace.attribute(id, "dim") == Some(&Value::Int(Dim::from(implicit))) {
                doubts.add(Doubt::Attribute, || {
                    "the dim of a Softmax: it may have been left out".into()
                });
            }
        }
        "AdaptiveAvgPool2d" | "AdaptiveAvgPool3d" => {
            let Some(Value::Tuple(sizes)) = trace.attribute(id, "output_size") else {
                return;
            };
            let spatial = input.len().saturating_sub(sizes.len());
            let kept = sizes
                .iter()
                .zip(&input[spatial..])
                .any(|(size, dim)| *size == Value::Int(dim.clone()));
            if kept {
                doubts.add(Doubt::Attribute, || {
                    format!("the size of an {class}: it may be None where it is that of the input")
                });
            } else if spatial < 2 && sizes.windows(2).all(|pair| pair[0] == pair[1]) {
                doubts.add(Doubt::Attribute, || {
                    format!("the size of an {class}: it may be one number for all dimensions")
                });
            }
        }
        "Upsample" | "UpsamplingNearest2d" | "UpsamplingBilinear2d" => {
            if matches!(trace.attribute(id, "size"), Some(Value::Int(_))) {
                doubts.add(Doubt::Arguments, || {
                    format!(
                        "the size of an {class}: it may be one number or one for each dimension"
                    )
                });
            }
        }
        _ => {}
    }
}
