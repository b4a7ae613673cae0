//! Compares every case of `tests/data/recorded.txt` with what PyTorch itself did: the operators
//! called, the shapes they return, and the parameters and buffers owned. `record.py` beside the
//! file says how it was made.

use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::{Expr, ExprKind, parse};
use modelcost_core::trace::{Class, Module, ModuleId, Target, Trace};
use modelcost_core::value::Value;

use crate::eval::Scope;
use crate::signature::{Arguments, Signature, literal};
use crate::{Result, Tracer};

const RECORDED: &str = include_str!("../tests/data/recorded.txt");

/// The functions whose calls are recorded: those that counting tools replace by name.
const SEEN: [(&str, &[&str]); 3] = [
    (
        "torch.nn.functional",
        &[
            "linear",
            "conv1d",
            "conv2d",
            "conv3d",
            "conv_transpose1d",
            "conv_transpose2d",
            "conv_transpose3d",
            "relu",
            "prelu",
            "elu",
            "leaky_relu",
            "relu6",
            "silu",
            "gelu",
            "batch_norm",
            "layer_norm",
            "instance_norm",
            "group_norm",
            "avg_pool1d",
            "avg_pool2d",
            "avg_pool3d",
            "max_pool1d",
            "max_pool2d",
            "max_pool3d",
            "adaptive_avg_pool1d",
            "adaptive_avg_pool2d",
            "adaptive_avg_pool3d",
            "adaptive_max_pool1d",
            "adaptive_max_pool2d",
            "adaptive_max_pool3d",
            "upsample",
            "interpolate",
            "softmax",
            "embedding",
            "scaled_dot_product_attention",
            "multi_head_attention_forward",
            "dropout",
        ],
    ),
    (
        "torch",
        &[
            "matmul", "mm", "bmm", "addmm", "baddbmm", "mul", "add", "einsum",
        ],
    ),
    (
        "torch.Tensor",
        &[
            "matmul",
            "__matmul__",
            "mm",
            "bmm",
            "addmm",
            "baddbmm",
            "mul",
            "mul_",
            "add",
            "add_",
        ],
    ),
];

fn show(trace: &Trace, value: &Value) -> String {
    match value {
        Value::Tensor(id) => {
            let shape = trace.tensor(*id).shape.clone().unwrap_or_default();
            shape_text(&shape)
        }
        Value::Tuple(items) | Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| show(trace, item)).collect();
            format!("({})", items.join(" "))
        }
        _ => "None".into(),
    }
}

fn dtypes(trace: &Trace, value: &Value) -> String {
    match value {
        Value::Tensor(id) => trace.tensor(*id).dtype.unwrap().to_string(),
        Value::Tuple(items) | Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| dtypes(trace, item)).collect();
            items.join(" ")
        }
        _ => "None".into(),
    }
}

fn shape_text(shape: &[Dim]) -> String {
    match shape {
        [] => "s".into(),
        _ => shape
            .iter()
            .map(Dim::to_string)
            .collect::<Vec<_>>()
            .join("x"),
    }
}

/// An argument of a constructor: a literal, a class, or another module.
fn value(tracer: &mut Tracer, expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Call(..) => Tracer::module_value(construct(tracer, expr, "").unwrap()),
        _ => literal(expr),
    }
}

fn construct(tracer: &mut Tracer, expr: &Expr, path: &str) -> Result<ModuleId> {
    let ExprKind::Call(callee, given) = &expr.kind else {
        panic!("not a module: {expr:?}")
    };
    let mut arguments = Arguments::new();
    for argument in given {
        let value = value(tracer, &argument.value);
        match &argument.name {
            Some(name) => arguments.keyword.push((name.name.clone(), value)),
            None => arguments.positional.push(value),
        }
    }
    tracer.construct(&callee.dotted_name().unwrap(), &arguments, path)
}

fn input(tracer: &mut Tracer, name: &str, text: &str) -> Value {
    let dtype = match text.as_bytes()[0] {
        b'i' => DType::Int64,
        b'b' => DType::Bool,
        _ => DType::Float32,
    };
    let sizes = text.trim_start_matches(['i', 'b']).split('x');
    let shape = sizes
        .map(|size| Dim::Const(size.parse().unwrap()))
        .collect();
    tracer.input(name, shape, dtype).into()
}

/// The lines that `record.py` would have written.
fn run(case: &str, shapes: &str) -> Result<Vec<String>> {
    let mut tracer = Tracer::new("case", "test");
    let root = tracer.builder.module(Module {
        class: Class::new("Case"),
        ..Module::default()
    });
    let (module, call) = match case.split_once(" => ") {
        Some((module, call)) => (Some(module), format!("self.{call}")),
        None => (None, case.to_string()),
    };
    let inputs: Vec<Value> = shapes
        .split_whitespace()
        .zip(["x", "y", "z"])
        .map(|(shape, name)| input(&mut tracer, name, shape))
        .collect();
    let made = match module {
        Some(module) => {
            let made = construct(&mut tracer, &parse(module).expr, "m")?;
            tracer.builder.add_child(root, "m", made);
            Some(made)
        }
        None => None,
    };
    let names = &["x", "y", "z"][..inputs.len()];
    let signature = Signature::parse(&format!("case({})", names.join(", ")));
    let arguments = Arguments::of(inputs);
    let bound = signature.bind(arguments.clone(), &[])?;
    tracer.begin_module(root, &arguments, None);
    let expr = parse(&call).expr;
    let output = tracer.eval(&Scope::of_module(root, &bound), &expr)?;
    tracer.end_module(output.clone());
    let trace = tracer.finish();

    let mut lines = Vec::new();
    for (_, call) in trace.calls() {
        let Target::Operator(name) = &call.target else {
            continue;
        };
        let inside = call.parent.map(|parent| &trace.call(parent).target);
        if !matches!(inside, Some(Target::Operator(_))) {
            lines.push(format!("  {name} {}", show(&trace, &call.output)));
        }
    }
    let types = dtypes(&trace, &output);
    lines.push(format!("  = {} {types}", show(&trace, &output)));
    for (_, call) in trace.calls() {
        let Target::Function(name) = &call.target else {
            continue;
        };
        let name = match name.as_str() {
            "operator.matmul" => "torch.Tensor.__matmul__",
            name => name,
        };
        let (owner, short) = name.rsplit_once('.').unwrap_or_default();
        if SEEN
            .iter()
            .any(|(place, names)| *place == owner && names.contains(&short))
        {
            lines.push(format!("  sees {name}"));
        }
    }
    if let Some(made) = made {
        let class = &trace.module(made).class;
        let mut names = vec![class.name.as_str()];
        names.extend(class.bases.iter().map(|base| base.as_str()));
        lines.push(format!("  class {}", names.join(" ")));
        let attends = class.short_name() == "MultiheadAttention";
        let mut attributes: Vec<String> = trace
            .module(made)
            .attributes
            .iter()
            .filter(|(name, value)| !name.starts_with('_') && !matches!(value, Value::List(_)))
            // What torch keeps as a function, or does not keep at all.
            .filter(|(name, _)| name != "activation" && !(attends && name == "bias"))
            .map(|(name, value)| format!("  attribute {name} {}", crate::show::plain(value)))
            .collect();
        attributes.sort();
        lines.extend(attributes);
        let paths: Vec<(String, ModuleId)> = trace.named_modules();
        for (_, call) in trace.calls().skip(1) {
            let Target::Module(module) = call.target else {
                continue;
            };
            let path = paths.iter().find(|(_, id)| *id == module);
            let path = path.map_or("", |(path, _)| path.trim_start_matches('m'));
            let path = if path.is_empty() { "." } else { &path[1..] };
            let given = Value::Tuple(call.positional().cloned().collect());
            lines.push(format!(
                "  module {path} {} {} {}",
                trace.module(module).class.short_name(),
                show(&trace, &given),
                show(&trace, &call.output)
            ));
        }
        for (name, id) in trace.named_parameters(made) {
            let shape = shape_text(&trace.parameter(id).shape);
            assert_eq!(trace.parameter(id).name, format!("m.{name}"));
            lines.push(format!("  parameter {name} {shape}"));
        }
        for (path, module) in trace.named_modules() {
            for (name, id) in &trace.module(module).buffers {
                let name = format!("{path}.{name}");
                let name = name.trim_start_matches("m.");
                let shape = shape_text(&trace.buffers[id.index()].shape);
                lines.push(format!("  buffer {name} {shape}"));
            }
        }
    }
    Ok(lines)
}

#[test]
fn traces_equal_what_torch_recorded() {
    let mut cases: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        match (line.starts_with("  "), cases.last_mut()) {
            (true, Some((_, lines))) => lines.push(line),
            _ => cases.push((line, Vec::new())),
        }
    }
    assert!(cases.len() > 300, "the file is there and has its cases");
    let mut wrong = Vec::new();
    for (case, expected) in &cases {
        let (text, shapes) = case.rsplit_once(';').unwrap();
        let found = match run(text.trim(), shapes) {
            Ok(lines) => lines,
            Err(error) if expected == &["  raises"] => {
                assert!(!error.message.is_empty());
                continue;
            }
            Err(error) => vec![format!("  raises: {error}")],
        };
        if &found != expected {
            wrong.push(format!(
                "{case}\n torch:\n{}\n here:\n{}",
                expected.join("\n"),
                found.join("\n")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} cases differ:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n\n")
    );
}
