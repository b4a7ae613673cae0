//! `build_module_tree`: which modules get a row.
//!
//! `Sequential` and `ModuleList`, and what derives from them, are no layers: their children stand at
//! their place. With `max_depth=1` the layers right below the root have rows, and the root itself
//! when it has none.

use modelcost_core::trace::{ModuleId, Trace};

/// What is known of a module in the tree.
#[derive(Clone, Debug, Default)]
struct Node {
    depth: usize,
    children: usize,
}

/// By module: whether its first call makes a row.
pub fn shown(trace: &Trace, max_depth: usize) -> Vec<bool> {
    let mut nodes: Vec<Option<Node>> = vec![None; trace.modules.len()];
    if let Some(root) = nodes.first_mut() {
        *root = Some(Node::default());
        descend(trace, Trace::ROOT, Trace::ROOT, 1, &mut nodes);
    }
    let is_shown = |node: &Option<Node>| {
        node.as_ref().is_some_and(|node| {
            node.depth == max_depth || (node.depth < max_depth && node.children == 0)
        })
    };
    nodes.iter().map(is_shown).collect()
}

fn descend(
    trace: &Trace,
    module: ModuleId,
    parent: ModuleId,
    depth: usize,
    nodes: &mut [Option<Node>],
) {
    for (_, child) in trace.named_children(module) {
        let class = &trace.module(child).class;
        if class.is("torch.nn.Sequential") || class.is("torch.nn.ModuleList") {
            descend(trace, child, parent, depth, nodes);
            continue;
        }
        // A module that stands in several places is described by the last one.
        nodes[child.index()] = Some(Node { depth, children: 0 });
        if let Some(parent) = &mut nodes[parent.index()] {
            parent.children += 1;
        }
        descend(trace, child, child, depth + 1, nodes);
    }
}
