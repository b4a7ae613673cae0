//! Where graphs and nodes stand in the text that was written.

use modelcost_core::expr::Span;

use crate::model::*;

/// Notes the places in a model, in the order in which the printer made them.
pub(super) fn note(model: &mut Model<'_>, spans: Vec<Span>) {
    let mut spans = spans.into_iter();
    place_graph(&mut model.graph, &mut spans);
    for function in &mut model.functions {
        place_attributes(&mut function.defaults, &mut spans);
        place_nodes(&mut function.nodes, &mut spans);
    }
}

fn place_graph(graph: &mut Graph<'_>, spans: &mut impl Iterator<Item = Span>) {
    graph.span = spans.next();
    place_nodes(&mut graph.nodes, spans);
}

fn place_nodes(nodes: &mut [Node<'_>], spans: &mut impl Iterator<Item = Span>) {
    for node in nodes {
        node.span = spans.next();
        place_attributes(&mut node.attributes, spans);
    }
}

fn place_attributes(attributes: &mut [Attribute<'_>], spans: &mut dyn Iterator<Item = Span>) {
    // Behind a reference, because this and `place_graph` call each other.
    let mut spans = spans;
    for attribute in attributes {
        match &mut attribute.value {
            AttributeValue::Graph(graph) => place_graph(graph, &mut spans),
            AttributeValue::Graphs(graphs) => {
                for graph in graphs {
                    place_graph(graph, &mut spans);
                }
            }
            _ => {}
        }
    }
}
