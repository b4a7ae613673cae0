//! What the names of ONNX text stand for: where a value is given, and where it is taken.

use std::collections::HashMap;
use std::ops::Range;

use modelcost_onnx::model::{AttributeValue, Function, Graph, Model, Node};
use modelcost_onnx::text::{Arena, parse};

/// Where the value or function at an offset is defined, and where it is used; the definition first. Nothing for a name
/// that the text does not define.
pub fn occurrences(text: &str, offset: usize) -> Vec<Range<usize>> {
    let arena = Arena::default();
    let parsed = parse(text, &arena);
    let mut walk = Walk {
        text,
        definitions: Vec::new(),
        frames: Vec::new(),
        functions: HashMap::new(),
    };
    walk.model(&parsed.model);
    // The innermost name: what is seen first may be hidden further in.
    let found = walk.definitions.into_iter().find(|places| {
        let mut places = places.iter();
        places.any(|place| place.start <= offset && offset <= place.end)
    });
    let mut found = found.unwrap_or_default();
    if let Some((_, uses)) = found.split_first_mut() {
        uses.sort_by_key(|place| place.start);
    }
    found.dedup();
    found
}

struct Walk<'a> {
    text: &'a str,
    /// The places of each name, its definition first.
    definitions: Vec<Vec<Range<usize>>>,
    /// The values of the graphs that are open, the innermost last: an inner graph sees those around it.
    frames: Vec<HashMap<&'a str, usize>>,
    functions: HashMap<(&'a str, &'a str, &'a str), usize>,
}

impl<'a> Walk<'a> {
    fn model(&mut self, model: &Model<'a>) {
        for function in &model.functions {
            if let Some(place) = self.place(function.name) {
                let key = (function.domain, function.name, function.overload);
                self.functions.insert(key, self.definitions.len());
                self.definitions.push(vec![place]);
            }
        }
        self.graph(&model.graph);
        for function in &model.functions {
            self.function(function);
        }
    }

    fn graph(&mut self, graph: &Graph<'a>) {
        self.frames.push(HashMap::new());
        let sparse = graph.sparse_initializers.iter();
        let given = graph.inputs.iter().map(|input| input.name);
        let given = given
            .chain(graph.initializers.iter().map(|tensor| tensor.name))
            .chain(sparse.map(|tensor| tensor.values.name));
        given.for_each(|name| self.define(name));
        graph.nodes.iter().for_each(|node| self.node(node));
        let said = graph.value_info.iter().chain(&graph.outputs);
        said.for_each(|value| self.refer(value.name));
        self.frames.pop();
    }

    fn function(&mut self, function: &Function<'a>) {
        self.frames.push(HashMap::new());
        function.inputs.iter().for_each(|name| self.define(name));
        function.nodes.iter().for_each(|node| self.node(node));
        function.outputs.iter().for_each(|name| self.refer(name));
        self.frames.pop();
    }

    fn node(&mut self, node: &Node<'a>) {
        let key = (node.domain, node.op_type, node.overload);
        if let (Some(definition), Some(place)) =
            (self.functions.get(&key).copied(), self.place(node.op_type))
        {
            self.definitions[definition].push(place);
        }
        node.inputs.iter().for_each(|name| self.refer(name));
        for attribute in &node.attributes {
            match &attribute.value {
                AttributeValue::Graph(graph) => self.graph(graph),
                AttributeValue::Graphs(graphs) => graphs.iter().for_each(|graph| self.graph(graph)),
                _ => {}
            }
        }
        node.outputs.iter().for_each(|name| self.define(name));
    }

    /// A value is given. Before IR version 4 the initializers are inputs too: the first place defines.
    fn define(&mut self, name: &'a str) {
        let Some(place) = self.place(name) else {
            return;
        };
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        match frame.get(name) {
            Some(known) => self.definitions[*known].push(place),
            None => {
                frame.insert(name, self.definitions.len());
                self.definitions.push(vec![place]);
            }
        }
    }

    fn refer(&mut self, name: &'a str) {
        let known = self.frames.iter().rev().find_map(|frame| frame.get(name));
        if let (Some(known), Some(place)) = (known.copied(), self.place(name)) {
            self.definitions[known].push(place);
        }
    }

    /// Where a name stands: the parser gives the bytes of the text themselves, but for names with escapes, which have no
    /// place here.
    fn place(&self, name: &'a str) -> Option<Range<usize>> {
        let start = (name.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let place = start..start.checked_add(name.len())?;
        (!name.is_empty() && self.text.get(place.clone()) == Some(name)).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<ir_version: 8, opset_import: ["" : 17, "own" : 1]>
net (float[1,4] x, bool c) => (float[1,4] y)
<float[4,4] w = {1.0}>
{
   h = MatMul(x, w)
   g = If (c) <
      then_branch = a () => (float[1,4] t) { t = Relu(h) },
      else_branch = b () => (float[1,4] e) { h = Neg(x)  e = Abs(h) }
   >
   y = own.Twice(g)
}
<domain: "own", opset_import: ["" : 17]>
Twice (x) => (y)
{
   y = Add(x, x)
}
"#;

    /// The lines of the occurrences of what stands where `at` does in `line`.
    fn lines(line: &str, at: &str) -> Vec<usize> {
        let from = TEXT.find(line).unwrap();
        let offset = from + line.find(at).unwrap();
        let line_of = |place: &Range<usize>| TEXT[..place.start].matches('\n').count();
        occurrences(TEXT, offset).iter().map(line_of).collect()
    }

    #[test]
    fn values_lead_to_the_node_that_makes_them() {
        assert_eq!(lines("MatMul(x, w)", "w)"), [2, 4]);
        assert_eq!(lines("h = MatMul", "h"), [4, 6]);
        assert_eq!(lines("own.Twice(g)", "g)"), [5, 9]);
        assert_eq!(lines("y = own", "y"), [9, 1]);
    }

    #[test]
    fn graphs_inside_see_what_is_around_them() {
        assert_eq!(lines("Relu(h)", "h)"), [4, 6]);
        // The other branch has its own.
        assert_eq!(lines("Abs(h)", "h)"), [7, 7]);
        assert_eq!(lines("Neg(x)", "x)"), [1, 4, 7]);
    }

    #[test]
    fn functions_have_values_of_their_own() {
        assert_eq!(lines("Twice(g)", "Twice"), [12, 9]);
        assert_eq!(lines("Add(x, x)", "x, "), [12, 14, 14]);
    }

    #[test]
    fn what_is_no_value_has_no_place() {
        assert!(lines("MatMul(x", "Mat").is_empty());
    }
}
