//! The order in which the nodes of a graph run.

use std::collections::BTreeSet;

use rustc_hash::{FxHashMap, FxHashSet};

use super::engine::{Result, Scope, undefined};
use crate::model::{AttributeValue, Graph, Node};

/// The order in which to run nodes: the file's, if every value is made before it is read.
pub(super) fn order(nodes: &[Node<'_>], scope: &Scope<'_, '_>) -> Result<Vec<usize>> {
    let mut defined: FxHashSet<&str> = FxHashSet::default();
    defined.reserve(nodes.len());
    let sorted = nodes.iter().all(|node| {
        let ready = reads(node).all(|name| defined.contains(name) || scope.get(name).is_some());
        defined.extend(node.outputs.iter());
        ready
    });
    if sorted {
        return Ok((0..nodes.len()).collect());
    }
    let mut maker: FxHashMap<&str, usize> = FxHashMap::default();
    for (index, node) in nodes.iter().enumerate() {
        for name in node.outputs.iter().filter(|name| !name.is_empty()) {
            maker.entry(name).or_insert(index);
        }
    }
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut waiting = vec![0usize; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        let captured = captures(node);
        for name in reads(node).chain(captured) {
            if let Some(from) = maker.get(name) {
                users[*from].push(index);
                waiting[index] += 1;
            }
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len())
        .filter(|index| waiting[*index] == 0)
        .collect();
    let mut out = Vec::with_capacity(nodes.len());
    while let Some(index) = ready.pop_first() {
        out.push(index);
        for user in &users[index] {
            waiting[*user] -= 1;
            if waiting[*user] == 0 {
                ready.insert(*user);
            }
        }
    }
    if out.len() < nodes.len()
        && let Some(stuck) = (0..nodes.len()).find(|index| waiting[*index] > 0)
    {
        let node = &nodes[stuck];
        let name = reads(node)
            .find(|name| maker.get(name).is_some_and(|from| waiting[*from] > 0))
            .unwrap_or_default();
        return Err(undefined(node.label(), name, true));
    }
    Ok(out)
}

fn reads<'a>(node: &Node<'a>) -> impl Iterator<Item = &'a str> {
    node.inputs.iter().copied().filter(|name| !name.is_empty())
}

/// The names that the subgraphs of a node read, their own included.
fn captures<'a>(node: &Node<'a>) -> Vec<&'a str> {
    let mut out = Vec::new();
    let mut stack: Vec<&Graph<'a>> = Vec::new();
    for attribute in &node.attributes {
        collect_graphs(&attribute.value, &mut stack);
    }
    while let Some(graph) = stack.pop() {
        for node in &graph.nodes {
            out.extend(reads(node));
            for attribute in &node.attributes {
                collect_graphs(&attribute.value, &mut stack);
            }
        }
        out.extend(graph.outputs.iter().map(|output| output.name));
    }
    out
}

fn collect_graphs<'g, 'a>(value: &'g AttributeValue<'a>, out: &mut Vec<&'g Graph<'a>>) {
    match value {
        AttributeValue::Graph(graph) => out.push(graph),
        AttributeValue::Graphs(graphs) => out.extend(graphs),
        _ => {}
    }
}
