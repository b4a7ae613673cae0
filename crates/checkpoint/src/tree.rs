//! The tree of modules that the dotted names of tensors make.

use std::collections::HashMap;

use crate::model::{Part, Role};

/// Names of more parts than this are not split further.
const MAX_DEPTH: usize = 64;

/// A module, or what the names make look like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'p> {
    /// Its path; empty for the root.
    pub path: &'p str,
    /// How deep it is.
    pub depth: usize,
    /// Its class, where the file has it.
    pub class: Option<&'p str>,
    /// Values in its parameters and those of modules in it; tied weights once.
    pub params: u128,
    /// Values in its buffers, statistics included, and those of modules in it.
    pub buffers: u128,
    /// Bytes of both.
    pub bytes: u128,
    /// Its own tensors, by their places in the part.
    pub tensors: Vec<usize>,
}

/// A part's modules, parents first, in the order in which their tensors come.
pub fn rows(part: &Part) -> Vec<Row<'_>> {
    let mut tree = Tree {
        nodes: vec![Node::default()],
        index: HashMap::new(),
    };
    for module in &part.modules {
        let at = tree.node(&module.path);
        let class = Some(module.class.as_str());
        tree.nodes[at].class = class.filter(|class| !class.is_empty());
    }
    for (place, tensor) in part.tensors.iter().enumerate() {
        let owner = tensor.name.rsplit_once('.').map_or("", |(owner, _)| owner);
        let at = tree.node(owner);
        tree.nodes[at].tensors.push(place);
    }
    tree.sum(part);
    tree.rows()
}

#[derive(Default)]
struct Node<'p> {
    path: &'p str,
    parent: usize,
    depth: usize,
    children: Vec<usize>,
    class: Option<&'p str>,
    params: u128,
    buffers: u128,
    bytes: u128,
    tensors: Vec<usize>,
}

/// Nodes; parents stand before their children.
struct Tree<'p> {
    nodes: Vec<Node<'p>>,
    index: HashMap<&'p str, usize>,
}

impl<'p> Tree<'p> {
    /// The node of a path, made with its parents where it is not there.
    fn node(&mut self, path: &'p str) -> usize {
        if path.is_empty() {
            return 0;
        }
        if let Some(at) = self.index.get(path) {
            return *at;
        }
        let mut at = 0;
        let ends = path.match_indices('.').map(|(end, _)| end);
        let ends = ends.take(MAX_DEPTH - 1).chain([path.len()]);
        for end in ends {
            let path = &path[..end];
            at = match self.index.get(path) {
                Some(known) => *known,
                None => self.child(at, path),
            };
        }
        at
    }

    fn child(&mut self, parent: usize, path: &'p str) -> usize {
        let at = self.nodes.len();
        self.nodes.push(Node {
            path,
            parent,
            depth: self.nodes[parent].depth + 1,
            ..Node::default()
        });
        self.nodes[parent].children.push(at);
        self.index.insert(path, at);
        at
    }

    fn sum(&mut self, part: &Part) {
        for node in &mut self.nodes {
            for tensor in node.tensors.iter().map(|at| &part.tensors[*at]) {
                if tensor.tied_to.is_some() {
                    continue;
                }
                match tensor.role {
                    Role::Parameter => node.params += u128::from(tensor.numel),
                    _ => node.buffers += u128::from(tensor.numel),
                }
                node.bytes += u128::from(tensor.bytes);
            }
        }
        for at in (1..self.nodes.len()).rev() {
            let node = &self.nodes[at];
            let (parent, params, buffers, bytes) =
                (node.parent, node.params, node.buffers, node.bytes);
            let parent = &mut self.nodes[parent];
            parent.params += params;
            parent.buffers += buffers;
            parent.bytes += bytes;
        }
    }

    fn rows(mut self) -> Vec<Row<'p>> {
        let mut out = Vec::with_capacity(self.nodes.len());
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            let node = std::mem::take(&mut self.nodes[at]);
            open.extend(node.children.iter().rev());
            out.push(Row {
                path: node.path,
                depth: node.depth,
                class: node.class,
                params: node.params,
                buffers: node.buffers,
                bytes: node.bytes,
                tensors: node.tensors,
            });
        }
        out
    }
}
