//! How many operator calls a model expands to, before any of them is run.
//!
//! Functions that call others twice grow as a power of their number: a file of a few kilobytes can
//! ask for more calls than there is memory.

use rustc_hash::FxHashMap;

use crate::model::{AttributeValue, Function, Model, Node};

type Key<'m> = (&'m str, &'m str, &'m str);

/// The number of operator calls, functions expanded and both branches counted; the most that fits
/// where it is more than that.
pub(super) fn expanded<'m>(
    model: &'m Model<'m>,
    functions: &FxHashMap<Key<'m>, &'m Function<'m>>,
) -> usize {
    let mut sizes = Sizes {
        functions,
        known: FxHashMap::default(),
    };
    sizes.nodes(&model.graph.nodes, 0)
}

struct Sizes<'f, 'm> {
    functions: &'f FxHashMap<Key<'m>, &'m Function<'m>>,
    /// Sizes of functions; none for those that are being looked at.
    known: FxHashMap<Key<'m>, Option<usize>>,
}

impl<'m> Sizes<'_, 'm> {
    fn nodes(&mut self, nodes: &'m [Node<'m>], depth: usize) -> usize {
        // Deeper calls are an error of their own when the model is run.
        if depth > super::engine::MAX_DEPTH {
            return 0;
        }
        let mut total = 0usize;
        for node in nodes {
            total = total.saturating_add(self.node(node, depth));
        }
        total
    }

    fn node(&mut self, node: &'m Node<'m>, depth: usize) -> usize {
        let mut size = 1usize;
        for attribute in &node.attributes {
            match &attribute.value {
                AttributeValue::Graph(graph) => {
                    size = size.saturating_add(self.nodes(&graph.nodes, depth + 1));
                }
                AttributeValue::Graphs(graphs) => {
                    for graph in graphs {
                        size = size.saturating_add(self.nodes(&graph.nodes, depth + 1));
                    }
                }
                _ => {}
            }
        }
        let key = (node.domain, node.op_type, node.overload);
        let Some(function) = self.functions.get(&key).copied() else {
            return size;
        };
        if let Some(known) = self.known.get(&key) {
            return size.saturating_add(known.unwrap_or(0));
        }
        self.known.insert(key, None);
        let own = self.nodes(&function.nodes, depth + 1);
        self.known.insert(key, Some(own));
        size.saturating_add(own)
    }
}
