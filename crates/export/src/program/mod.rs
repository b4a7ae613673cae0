//! A program of `torch.export` as a trace.

mod flatten;
mod modules;
mod pytree;

use modelcost_archive::Archive;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{Origin, Shape, TensorId, Trace, TraceBuilder};
use modelcost_core::value::Value;
use modelcost_fx::{Root, Scope, Stacks};
use smol_str::SmolStr;

use crate::error::{ExportError, Result};
use crate::json::{Arg, InputSpec, OutputSpec, Payloads, Program, SymArg};
use crate::program::flatten::Flattener;
use crate::program::modules::Storages;
use crate::symbols::Symbols;

/// Reads the program of an archive, with other shapes for some of its inputs.
pub fn read(
    archive: &Archive<'_>,
    entry: &str,
    file: &str,
    name: &str,
    shapes: &[(SmolStr, Shape)],
) -> Result<Trace> {
    let json = archive.read(entry)?;
    let program: Program<'_> = parse(&json, file, entry)?;
    let weights = match archive.find("data/weights/model_weights_config.json") {
        Some(entry) => Some((archive.read(entry)?, entry)),
        None => None,
    };
    let payloads: Option<Payloads<'_>> = match &weights {
        Some((bytes, entry)) => Some(parse(bytes, file, entry)?),
        None => None,
    };
    let storages = match &payloads {
        Some(payloads) => modules::storages(payloads),
        None => Storages::default(),
    };
    let weights = (payloads.as_ref(), &storages);
    trace(&program, weights, file, name, shapes)
}

fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8], file: &str, entry: &str) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| ExportError::Program {
        file: file.to_owned(),
        place: format!("{entry}, line {}, column {}", error.line(), error.column()),
        message: error.to_string(),
    })
}

fn trace<'a>(
    program: &'a Program<'a>,
    (payloads, storages): (Option<&'a Payloads<'a>>, &Storages<'a>),
    file: &str,
    name: &str,
    shapes: &[(SmolStr, Shape)],
) -> Result<Trace> {
    let mut builder = TraceBuilder::new(name, "pt2");
    let graph = &program.graph_module.graph;
    let mut symbols = Symbols::default();
    let mut stacks = Stacks::default();
    for node in &graph.nodes {
        stacks.intern(node.metadata.nn_module_stack.as_deref().unwrap_or(""));
    }
    let called = modelcost_fx::called(stacks.entries());
    let tree = modules::build(
        &mut builder,
        program,
        &called,
        payloads,
        storages,
        &mut symbols,
    );
    let mut scope: Scope<'a> = tree.values.clone();
    let inputs = user_inputs(program, &mut builder, &scope);
    let mut flattener = Flattener {
        builder: &mut builder,
        stacks,
        symbols,
        nodes: Vec::new(),
        without_gradient: false,
    };
    bind_symbolic_inputs(program, &mut flattener, &mut scope);
    flattener.graph(graph, &mut scope, None, 0);
    let given: Vec<Value> = inputs
        .iter()
        .map(|arg| flattener.value(arg, &scope))
        .collect();
    let returned: Vec<Value> = program
        .graph_module
        .signature
        .output_specs
        .iter()
        .filter_map(|spec| match spec {
            OutputSpec::User(arg) => Some(flattener.value(arg, &scope)),
            OutputSpec::Other => None,
        })
        .collect();
    let Flattener {
        stacks,
        symbols,
        mut nodes,
        ..
    } = flattener;
    let trace = builder.trace_mut();
    let inputs_at: Vec<(TensorId, Shape)> = shapes
        .iter()
        .filter_map(|(name, shape)| {
            let (_, id) = trace.inputs.iter().find(|(own, _)| own == name)?;
            Some((*id, shape.clone()))
        })
        .collect();
    if !inputs_at.is_empty() {
        modelcost_fx::replay(trace, &mut nodes, &stacks, &inputs_at).map_err(|refusal| {
            ExportError::Fixed {
                file: file.to_owned(),
                refusal,
            }
        })?;
    }
    if let Some(first) = symbols.unknown.first() {
        let text = format!("some sizes depend on the data, such as {first}");
        builder.trace_mut().fidelity.note(Level::Partial, text);
    }
    if graph
        .nodes
        .iter()
        .all(|node| node.metadata.nn_module_stack.is_none())
        && !nodes.is_empty()
    {
        builder.trace_mut().fidelity.note(
            Level::Partial,
            "the program was stripped of its metadata (nn_module_stack): which module and function \
             made each operator is unknown",
        );
    }
    let root = program
        .graph_module
        .module_call_graph
        .iter()
        .find(|call| call.fqn.is_empty());
    let signature = root.and_then(|call| call.signature.as_ref());
    let names = signature.and_then(|signature| signature.forward_arg_names.as_deref());
    let names: Vec<SmolStr> = names
        .unwrap_or_default()
        .iter()
        .map(|n| SmolStr::new(&**n))
        .collect();
    let fallback: Vec<SmolStr> = inputs.iter().map(|arg| input_name(arg)).collect();
    let in_spec = signature.and_then(|signature| signature.in_spec.as_deref());
    let out_spec = signature.and_then(|signature| signature.out_spec.as_deref());
    let root = Root {
        arguments: pytree::arguments(in_spec, &given, &names, &fallback),
        output: pytree::output(out_spec, returned),
    };
    let done = modelcost_fx::emit(&mut builder, &tree, &stacks, &nodes, root);
    if !done {
        return Err(ExportError::TooLarge {
            file: file.to_owned(),
            what: format!(
                "modules are nested more than {} deep",
                modelcost_fx::MAX_DEPTH
            ),
        });
    }
    Ok(builder.finish())
}

/// The program's own inputs in order; their tensors become the trace's inputs.
fn user_inputs<'a>(
    program: &'a Program<'a>,
    builder: &mut TraceBuilder,
    scope: &Scope<'a>,
) -> Vec<&'a Arg<'a>> {
    let specs = program.graph_module.signature.input_specs.iter();
    let inputs: Vec<&Arg<'a>> = specs
        .filter_map(|spec| match spec {
            InputSpec::User(arg) => Some(arg),
            _ => None,
        })
        .collect();
    for arg in &inputs {
        if let Arg::Tensor(name) = arg
            && let Some(Value::Tensor(tensor)) = scope.get(&**name)
        {
            let trace = builder.trace_mut();
            trace.tensors[tensor.index()].origin = Origin::Input;
            trace.inputs.push((SmolStr::new(&**name), *tensor));
        }
    }
    inputs
}

/// Integers that the program takes as inputs.
fn bind_symbolic_inputs<'a>(
    program: &'a Program<'a>,
    flattener: &mut Flattener<'_, 'a>,
    scope: &mut Scope<'a>,
) {
    let graph = &program.graph_module.graph;
    for input in &graph.inputs {
        if let Arg::SymInt(SymArg::Name(name)) = input
            && let Some(size) = graph.sym_int_values.get(name)
        {
            let value = Value::Int(flattener.symbols.dim(size));
            scope.insert(name, value);
        }
    }
}

fn input_name(arg: &Arg<'_>) -> SmolStr {
    match arg {
        Arg::Tensor(name) | Arg::SymInt(SymArg::Name(name)) => SmolStr::new(&**name),
        _ => SmolStr::default(),
    }
}
