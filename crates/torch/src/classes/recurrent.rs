//! Recurrent layers and cells.

use modelcost_core::dim::Dim;
use modelcost_core::trace::ModuleId;
use modelcost_core::value::Value;

use super::{Construct, Entry, From};
use crate::bound::Bound;
use crate::error::{Result, TorchError};
use crate::show;
use crate::signature::Arguments;
use crate::tracer::Tracer;

pub(super) static CLASSES: [Entry; 6] = [
    Entry::new(
        "torch.nn.RNN",
        "RNN(input_size, hidden_size, num_layers=1, nonlinearity='tanh', bias=True, \
         batch_first=False, dropout=0.0, bidirectional=False, device=None, dtype=None)",
        "Recurrent layers with tanh or ReLU.",
    )
    .bases(&["torch.nn.RNNBase"])
    .infer(&[("input_size", From::Last)])
    .construct(|c| {
        let relu = c.arguments.str("nonlinearity")? == "relu";
        c.keep(&["nonlinearity"]);
        layers(c, if relu { "RNN_RELU" } else { "RNN_TANH" }, 1)
    })
    .takes("forward(input, hx=None)")
    .forward_code(layers_forward),
    Entry::new(
        "torch.nn.LSTM",
        "LSTM(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, \
         bidirectional=False, proj_size=0, device=None, dtype=None)",
        "Long short-term memory layers; returns the output and (h, c).",
    )
    .bases(&["torch.nn.RNNBase"])
    .infer(&[("input_size", From::Last)])
    .construct(|c| layers(c, "LSTM", 4))
    .takes("forward(input, hx=None)")
    .forward_code(layers_forward),
    Entry::new(
        "torch.nn.GRU",
        "GRU(input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, \
         bidirectional=False, device=None, dtype=None)",
        "Gated recurrent layers; returns the output and h.",
    )
    .bases(&["torch.nn.RNNBase"])
    .infer(&[("input_size", From::Last)])
    .construct(|c| layers(c, "GRU", 3))
    .takes("forward(input, hx=None)")
    .forward_code(layers_forward),
    Entry::new(
        "torch.nn.RNNCell",
        "RNNCell(input_size, hidden_size, bias=True, nonlinearity='tanh', device=None, dtype=None)",
        "One step of a recurrent layer.",
    )
    .bases(&["torch.nn.RNNCellBase"])
    .infer(&[("input_size", From::Last)])
    .construct(|c| {
        cell(c, 1)?;
        c.keep(&["nonlinearity"]);
        Ok(())
    })
    .takes("forward(input, hx=None)")
    .forward_code(|t, module, args| {
        let relu = t.get(module, "nonlinearity") == Value::from("relu");
        cell_forward(
            t,
            module,
            args,
            if relu {
                "rnn_relu_cell"
            } else {
                "rnn_tanh_cell"
            },
        )
    }),
    Entry::new(
        "torch.nn.LSTMCell",
        "LSTMCell(input_size, hidden_size, bias=True, device=None, dtype=None)",
        "One step of an LSTM; returns (h, c).",
    )
    .bases(&["torch.nn.RNNCellBase"])
    .infer(&[("input_size", From::Last)])
    .construct(|c| cell(c, 4))
    .takes("forward(input, hx=None)")
    .forward_code(|t, module, args| cell_forward(t, module, args, "lstm_cell")),
    Entry::new(
        "torch.nn.GRUCell",
        "GRUCell(input_size, hidden_size, bias=True, device=None, dtype=None)",
        "One step of a GRU.",
    )
    .bases(&["torch.nn.RNNCellBase"])
    .infer(&[("input_size", From::Last)])
    .construct(|c| cell(c, 3))
    .takes("forward(input, hx=None)")
    .forward_code(|t, module, args| cell_forward(t, module, args, "gru_cell")),
];

/// More layers than any network stacks.
const MAX_LAYERS: usize = 10_000;

fn layers(c: &mut Construct<'_>, mode: &'static str, gates: i128) -> Result<()> {
    let a = c.arguments;
    let (inputs, hidden) = (a.positive("input_size")?, a.positive("hidden_size")?);
    let count = a
        .positive("num_layers")?
        .as_usize()
        .filter(|count| *count <= MAX_LAYERS);
    let Some(count) = count else {
        return Err(a.error(
            "num_layers",
            format!(
                "{}: 'num_layers' must be known and at most {MAX_LAYERS}",
                a.callee()
            ),
        ));
    };
    let projection = if a.has("proj_size") {
        a.size("proj_size")?
    } else {
        Dim::ZERO
    };
    let projected = projection != Dim::ZERO;
    if let (Some(projection), Some(hidden)) = (projection.as_const(), hidden.as_const()) {
        c.require(
            projection < hidden,
            "proj_size",
            format!("'proj_size' ({projection}) must be smaller than hidden_size ({hidden})"),
        )?;
    }
    let dropout = a.float("dropout")?;
    c.require(
        (0.0..=1.0).contains(&dropout),
        "dropout",
        format!("'dropout' is a probability between 0 and 1, not {dropout}"),
    )?;
    let (bias, both) = (a.bool("bias")?, a.bool("bidirectional")?);
    c.attribute("mode", mode);
    c.keep(&[
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
    ]);
    c.attribute("dropout", dropout);
    c.keep(&["bidirectional"]);
    c.attribute("proj_size", projection.clone());
    let gate_size = &hidden * gates;
    let state = if projected {
        projection.clone()
    } else {
        hidden.clone()
    };
    let directions: &[&str] = if both { &["", "_reverse"] } else { &[""] };
    for layer in 0..count {
        let width = match layer {
            0 => inputs.clone(),
            _ => &state * directions.len() as i128,
        };
        for suffix in directions {
            c.parameter(
                format!("weight_ih_l{layer}{suffix}"),
                vec![gate_size.clone(), width.clone()],
            )?;
            c.parameter(
                format!("weight_hh_l{layer}{suffix}"),
                vec![gate_size.clone(), state.clone()],
            )?;
            if bias {
                c.parameter(format!("bias_ih_l{layer}{suffix}"), vec![gate_size.clone()])?;
                c.parameter(format!("bias_hh_l{layer}{suffix}"), vec![gate_size.clone()])?;
            }
            if projected {
                c.parameter(
                    format!("weight_hr_l{layer}{suffix}"),
                    vec![projection.clone(), hidden.clone()],
                )?;
            }
        }
    }
    Ok(())
}

fn method(t: &mut Tracer, tensor: Value, name: &str, argument: i64) -> Result<Value> {
    let arguments = Arguments::of([tensor, argument.into()]);
    t.call_function(&format!("torch.Tensor.{name}"), &arguments, None)
}

/// A method on a tensor, or on each of a tuple of them.
fn map(t: &mut Tracer, value: Value, name: &str, argument: i64) -> Result<Value> {
    match value.items() {
        None => method(t, value, name, argument),
        Some(items) => {
            let mut out = Vec::with_capacity(items.len());
            for item in items {
                out.push(method(t, item.clone(), name, argument)?);
            }
            Ok(Value::Tuple(out))
        }
    }
}

fn zeros(t: &mut Tracer, shape: &[Dim], like: modelcost_core::dtype::DType) -> Result<Value> {
    let sizes = shape.iter().cloned().map(Value::Int);
    let arguments = Arguments::of(sizes).named("dtype", like);
    t.call_function("torch.zeros", &arguments, None)
}

fn layers_forward(t: &mut Tracer, module: ModuleId, args: &Bound) -> Result<Value> {
    let get = |t: &Tracer, name: &str| t.get(module, name);
    let size = |t: &Tracer, name: &str| get(t, name).int().unwrap_or(Dim::ONE);
    let flag = |t: &Tracer, name: &str| get(t, name) == Value::Bool(true);
    let mut input = args.value("input").clone();
    let tensor = args.tensor("input")?;
    let (rank, dtype) = (t.shape(tensor).len(), t.dtype(tensor));
    if !matches!(rank, 2 | 3) {
        return Err(TorchError::new(format!(
            "{} expects an input of 3 dimensions, or 2 without a batch, but it is {}",
            args.callee(),
            show::shape(&t.shape(tensor))
        )));
    }
    let batch_first = flag(t, "batch_first");
    let batch_dim = if batch_first { 0 } else { 1 };
    let batched = rank == 3;
    if !batched {
        input = method(t, input, "unsqueeze", batch_dim)?;
    }
    let shape = input.tensor().map(|id| t.shape(id)).unwrap_or_default();
    let batch = shape.get(batch_dim as usize).cloned().unwrap_or(Dim::ONE);
    let directions = if flag(t, "bidirectional") { 2 } else { 1 };
    let count = size(t, "num_layers") * directions;
    let hidden = size(t, "hidden_size");
    let state = match size(t, "proj_size") {
        Dim::ZERO => hidden.clone(),
        projection => projection,
    };
    let mode = match get(t, "mode") {
        Value::Str(mode) => mode.to_lowercase(),
        _ => String::new(),
    };
    let hx = match args.value("hx") {
        Value::None => {
            let h = zeros(t, &[count.clone(), batch.clone(), state], dtype)?;
            match mode.as_str() {
                "lstm" => {
                    let c = zeros(t, &[count, batch, hidden], dtype)?;
                    Value::Tuple(vec![h, c])
                }
                _ => h,
            }
        }
        given if batched => given.clone(),
        given => map(t, given.clone(), "unsqueeze", 1)?,
    };
    let trace = t.builder.trace();
    let weights = trace.module(module).parameters.iter();
    let weights = weights
        .filter_map(|(_, parameter)| Some(Value::Tensor(trace.parameter((*parameter)?).tensor)))
        .collect();
    let arguments = Arguments::of([
        input,
        hx,
        Value::List(weights),
        get(t, "bias"),
        get(t, "num_layers"),
        get(t, "dropout"),
        Value::Bool(false),
        get(t, "bidirectional"),
        Value::Bool(batch_first),
    ]);
    let result = t.call_function(&format!("torch._VF.{mode}"), &arguments, None)?;
    let items = result.items().unwrap_or_default();
    let mut output = items.first().cloned().unwrap_or_default();
    let mut state = match items.get(1..) {
        Some([one]) => one.clone(),
        Some(several) => Value::Tuple(several.to_vec()),
        None => Value::None,
    };
    if !batched {
        output = method(t, output, "squeeze", batch_dim)?;
        state = map(t, state, "squeeze", 1)?;
    }
    Ok(Value::Tuple(vec![output, state]))
}

fn cell(c: &mut Construct<'_>, gates: i128) -> Result<()> {
    let a = c.arguments;
    let (inputs, hidden) = (a.size("input_size")?, a.size("hidden_size")?);
    let gate_size = &hidden * gates;
    c.keep(&["input_size", "hidden_size", "bias"]);
    c.parameter("weight_ih", vec![gate_size.clone(), inputs])?;
    c.parameter("weight_hh", vec![gate_size.clone(), hidden])?;
    let bias = a.bool("bias")?;
    c.optional_parameter(bias, "bias_ih", vec![gate_size.clone()])?;
    c.optional_parameter(bias, "bias_hh", vec![gate_size])
}

fn cell_forward(t: &mut Tracer, module: ModuleId, args: &Bound, function: &str) -> Result<Value> {
    let mut input = args.value("input").clone();
    let tensor = args.tensor("input")?;
    let (shape, dtype) = (t.shape(tensor), t.dtype(tensor));
    let batched = match shape.len() {
        2 => true,
        1 => false,
        _ => {
            return Err(TorchError::new(format!(
                "{} expects an input of 2 dimensions, or 1 without a batch, but it is {}",
                args.callee(),
                show::shape(&shape)
            )));
        }
    };
    if !batched {
        input = method(t, input, "unsqueeze", 0)?;
    }
    let hidden = t.get(module, "hidden_size").int().unwrap_or(Dim::ONE);
    let hx = match args.value("hx") {
        Value::None => {
            let batch = if batched { shape[0].clone() } else { Dim::ONE };
            let zero = zeros(t, &[batch, hidden], dtype)?;
            match function {
                "lstm_cell" => Value::Tuple(vec![zero.clone(), zero]),
                _ => zero,
            }
        }
        given if batched => given.clone(),
        given => map(t, given.clone(), "unsqueeze", 0)?,
    };
    let arguments = Arguments::of([
        input,
        hx,
        t.get(module, "weight_ih"),
        t.get(module, "weight_hh"),
        t.get(module, "bias_ih"),
        t.get(module, "bias_hh"),
    ]);
    let output = t.call_function(&format!("torch._VF.{function}"), &arguments, None)?;
    match batched {
        true => Ok(output),
        false => map(t, output, "squeeze", 0),
    }
}
