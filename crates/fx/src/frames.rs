//! Module calls: contiguous runs of nodes with the same stack entry, and what flows in and out.

use modelcost_core::trace::TensorId;

use crate::flat::Flat;
use crate::stack::{Entry, Stacks};

/// One call of a module.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The stack entry; the root's is made up when a program has none.
    pub entry: Entry<'a>,
    /// What was called inside, in order.
    pub items: Vec<Item>,
    /// The first node inside.
    pub start: usize,
    /// One past the last node inside.
    pub end: usize,
    /// Tensors used inside and made outside, in the order of first use.
    pub inputs: Vec<TensorId>,
    /// Tensors made inside and used outside, in the order in which they were made.
    pub outputs: Vec<TensorId>,
}

/// Something inside a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A call of a module, by its index.
    Frame(usize),
    /// A node.
    Node(usize),
}

/// Deeper nesting than any model has.
pub const MAX_DEPTH: usize = 200;

/// Cuts the nodes into calls. The first is the root's. `None` if they nest too deeply.
///
/// `restarts` says whether a node begins a new call of the innermost module although the stack
/// does not tell: before torch 2.6 two calls of a module in a row have the same stack.
pub fn cut<'a>(
    nodes: &[Flat<'a>],
    stacks: &Stacks<'a>,
    restarts: impl Fn(&Entry<'a>, &Flat<'a>, &Flat<'a>) -> bool,
) -> Option<Vec<Frame<'a>>> {
    let root = Entry {
        key: "",
        path: Default::default(),
        class: "",
    };
    let root = nodes
        .iter()
        .filter_map(|node| stacks.get(node.stack?).first())
        .find(|entry| entry.path.is_empty())
        .map_or(root, Entry::clone);
    let new = |entry: Entry<'a>, start| Frame {
        entry,
        items: Vec::new(),
        start,
        end: start,
        inputs: Vec::new(),
        outputs: Vec::new(),
    };
    let mut frames = vec![new(root, 0)];
    let mut open = vec![0usize];
    for (index, node) in nodes.iter().enumerate() {
        if let Some(stack) = node.stack {
            let mut entries = stacks.get(stack);
            if entries.first().is_some_and(|entry| entry.path.is_empty()) {
                entries = &entries[1..];
            }
            if entries.len() > MAX_DEPTH {
                return None;
            }
            let same = |(at, entry): (&usize, &Entry<'a>)| {
                frames[*at].entry.key == entry.key && frames[*at].entry.path == entry.path
            };
            let mut common = open[1..]
                .iter()
                .zip(entries)
                .take_while(|pair| same(*pair))
                .count();
            // The innermost call goes on unless its one function begins again.
            if common == entries.len() && common == open.len() - 1 && common > 0 {
                let frame = &frames[open[common]];
                if let Some(Item::Node(first)) = frame.items.first()
                    && restarts(&frame.entry, &nodes[*first], node)
                {
                    common -= 1;
                }
            }
            for closed in open.drain(common + 1..) {
                frames[closed].end = index;
            }
            for entry in &entries[common..] {
                let parent = open[open.len() - 1];
                let id = frames.len();
                frames.push(new(entry.clone(), index));
                frames[parent].items.push(Item::Frame(id));
                open.push(id);
            }
        }
        frames[open[open.len() - 1]].items.push(Item::Node(index));
    }
    for frame in open {
        frames[frame].end = nodes.len();
    }
    Some(frames)
}

/// Finds out what flows into and out of every call. `returned` are the program's outputs, and
/// `tensors` is how many tensors there are.
pub fn flow(frames: &mut [Frame<'_>], nodes: &[Flat<'_>], returned: &[TensorId], tensors: usize) {
    let parents = parents(frames);
    let innermost = innermost(frames, nodes.len());
    // By tensor: the node that makes it and the last one that uses it.
    let mut made: Vec<Option<usize>> = vec![None; tensors];
    let mut last_use: Vec<Option<usize>> = vec![None; tensors];
    let mut order: Vec<(usize, TensorId)> = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        for argument in &node.arguments {
            argument.value.each_tensor(&mut |tensor| {
                let made = made[tensor.index()];
                let used = last_use[tensor.index()].replace(index);
                let mut frame = Some(innermost[index]);
                while let Some(current) = frame {
                    // Made or used before inside this call, so inside all calls around it too.
                    let start = frames[current].start;
                    if made.max(used).is_some_and(|at| at >= start) {
                        break;
                    }
                    frames[current].inputs.push(tensor);
                    frame = parents[current];
                }
            });
        }
        node.output.each_tensor(&mut |tensor| {
            if made[tensor.index()].replace(index).is_none() {
                order.push((index, tensor));
            }
        });
    }
    for tensor in returned {
        last_use[tensor.index()] = Some(usize::MAX);
    }
    for (index, tensor) in order {
        let Some(last) = last_use[tensor.index()] else {
            continue;
        };
        let mut frame = Some(innermost[index]);
        while let Some(current) = frame {
            if last < frames[current].end {
                break;
            }
            frames[current].outputs.push(tensor);
            frame = parents[current];
        }
    }
}

fn parents(frames: &[Frame<'_>]) -> Vec<Option<usize>> {
    let mut out = vec![None; frames.len()];
    for (parent, frame) in frames.iter().enumerate() {
        for item in &frame.items {
            if let Item::Frame(child) = item {
                out[*child] = Some(parent);
            }
        }
    }
    out
}

fn innermost(frames: &[Frame<'_>], nodes: usize) -> Vec<usize> {
    let mut out = vec![0; nodes];
    for (at, frame) in frames.iter().enumerate() {
        for item in &frame.items {
            if let Item::Node(node) = item {
                out[*node] = at;
            }
        }
    }
    out
}
