//! Convention: torchprofile 0.1.0.
//!
//! It counts over the graph that `torch.jit.trace` records, one handler an operator; the handlers
//! are the table in `rules/`.

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Failure, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::jit::{self, OperatorScope, Role};
use modelcost_core::report::{Entry, Report};
use modelcost_core::table::{Rule, Table, finish};
use modelcost_core::trace::{Target, Trace};

struct Torchprofile {
    table: Table,
}

static TORCHPROFILE: Lazy<Torchprofile> = Lazy::new(|| Torchprofile {
    table: Table::built_in(include_str!("../rules/torchprofile-0.1.0.toml")),
});

inventory::submit! { Registration {
    id: "torchprofile", version: "0.1.0", variant: "", default_variant: true, order: 110,
    load: || &*TORCHPROFILE as &dyn Convention,
} }

impl Torchprofile {
    /// The rule for products, which are also what sizes are multiplied by.
    fn product_rule(&self) -> Option<usize> {
        let is_product = |rule: &Rule| rule.operators.iter().any(|name| name == "aten.mul");
        self.rules().iter().position(is_product)
    }
}

impl Convention for Torchprofile {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let mut counted_cell = None;
        let graph = jit::graph(trace, false).map_err(|reason| self.info().fails(reason))?;
        for node in graph {
            let call = node.call;
            match node.role {
                Role::Scalar { from_line } => {
                    if let ("aten::mul" | "aten::mul_", Some(rule)) =
                        (node.kind.as_str(), self.product_rule())
                    {
                        if from_line {
                            let note = "products of sizes, which torchprofile counts, were read off the source lines";
                            report.fidelity.note(Level::Reconstructed, note);
                        }
                        report.entries.push(Entry {
                            call,
                            module: trace.enclosing_module(call),
                            rule,
                            part: "sizes".into(),
                            count: Dim::ONE,
                        });
                    }
                }
                Role::Fused => {}
                // One rule covers all that a cell is recorded as.
                Role::PartOfCell if counted_cell == Some(call) => {}
                Role::PartOfCell | Role::Operator => {
                    counted_cell = Some(call);
                    let scope = OperatorScope::new(trace, call);
                    let rules = &self.table.rules;
                    let counted = rules.evaluate_or_fail(trace, call, &scope, &mut report)?;
                    if let Some(counted) = counted {
                        report.record(trace, call, counted);
                    }
                }
            }
        }
        if let Some(place) = &trace.products_unsaid {
            let note = format!(
                "torchprofile counts the products of sizes of a forward, and the spec has numbers where there may be some, such as in '{place}': list the lines of the forward that multiply sizes under 'sizes', 'sizes = []' if none does"
            );
            report.fidelity.note(Level::Reconstructed, note);
        }
        if lines_name_sizes(trace) {
            let note = "a model of the user's computes with sizes; a product of them on a line that makes no operator is not in the program, and torchprofile counts it as one";
            report.fidelity.note(Level::Reconstructed, note);
        }
        if trace.views_unknown && (has_own_forward(trace) || has_attention(trace)) {
            let note = "the exporter took out calls that only change shapes; torchprofile counts the products of sizes in them";
            report.fidelity.note(Level::Reconstructed, note);
        }
        let total = report.entries.iter().map(|entry| entry.count.clone()).sum();
        finish(trace, report, Some(total), self.table.params, |_| false)
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        let scope = OperatorScope::new(trace, entry.call);
        Some(self.formula(entry)?.with_values(&scope))
    }
}

/// Whether a class is PyTorch's or torchvision's, whose arithmetic on sizes is known.
fn is_library(class: &str) -> bool {
    class.starts_with("torch.") || class.starts_with("torchvision.")
}

/// Whether a forward that is not PyTorch's calls operators or functions itself.
fn has_own_forward(trace: &Trace) -> bool {
    trace.calls().any(|(id, call)| {
        let module = trace.module(trace.enclosing_module(id));
        !matches!(call.target, Target::Module(_)) && !is_library(&module.class.name)
    })
}

/// Whether PyTorch's attention is called, whose arithmetic depends on which views it makes.
fn has_attention(trace: &Trace) -> bool {
    trace.calls().any(|(_, call)| {
        matches!(&call.target, Target::Function(name) if name.ends_with(".multi_head_attention_forward"))
    })
}

/// Whether a line multiplies in an argument that it names, as in `torch.fft.rfft(x, n=2 * length)`.
fn multiplies_in_argument(line: &str) -> bool {
    let mut depth = 0;
    let mut named = None;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'=' if depth > 0 => named = Some(depth),
            b'*' if named == Some(depth)
                && !line[at + 1..].starts_with('*')
                && !line[..at].ends_with('*') =>
            {
                return true;
            }
            _ => {}
        }
        if named.is_some_and(|named| depth < named) || byte == b',' && named == Some(depth) {
            named = None;
        }
    }
    false
}

/// Whether a class of torchvision computes with sizes in functions that its forward calls, which no line shows:
/// `grid_sample` and `upsample_flow` of models/optical_flow/_utils.py, `shifted_window_attention_3d` of
/// models/video/swin_transformer.py (torchvision 0.29.2).
fn hides_sizes(class: &str) -> bool {
    [
        "torchvision.models.optical_flow.",
        "torchvision.models.video.swin_transformer.",
    ]
    .iter()
    .any(|module| class.starts_with(module))
}

/// Whether source lines use sizes, of classes whose arithmetic on them is not known.
fn lines_name_sizes(trace: &Trace) -> bool {
    let uses = |line: &str| {
        [".view(", ".reshape(", ".shape", ".size("]
            .iter()
            .any(|part| line.contains(part))
            || multiplies_in_argument(line)
    };
    trace.lines.iter().any(|(call, line)| {
        let class = &trace.module(trace.enclosing_module(*call)).class.name;
        let known = class.starts_with("torch.") || jit::knows_sizes(trace, *call);
        !known && (uses(line) || hides_sizes(class))
    }) || lines_hide_sizes(trace)
}

/// Whether a function that a user's forward calls, whose lines a program does not show, runs
/// operators that take sizes.
fn lines_hide_sizes(trace: &Trace) -> bool {
    let mut lines = trace.lines.iter().peekable();
    let mut line = "";
    trace.calls().any(|(id, call)| {
        while let Some((_, next)) = lines.next_if(|(first, _)| *first <= id) {
            line = next;
        }
        let Target::Operator(name) = &call.target else {
            return false;
        };
        let name = name.strip_prefix("aten.").unwrap_or(name);
        let shows = |words: &[&str]| words.iter().any(|word| line.contains(word));
        let hidden = match name {
            "view" | "reshape" => !shows(&["view", "shape", "flatten", "->"]),
            "slice" | "split" => !shows(&["[", "narrow", "chunk", "split"]),
            "expand" => !shows(&["expand", "broadcast", "->", "repeat"]),
            _ if name.starts_with("fft_") => !shows(&["fft"]),
            _ => jit::takes_sizes(name).is_some() && !shows(&[name]),
        };
        if !hidden || line.is_empty() || !jit::is_outermost(trace, call) {
            return false;
        }
        let class = &trace.module(trace.enclosing_module(id)).class.name;
        !is_library(class) && !jit::knows_sizes(trace, id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use modelcost_core::dtype::DType;
    use modelcost_core::sketch::{model, operator, returning, shape, tensor};
    use modelcost_core::trace::{Argument, TensorId, TraceBuilder};
    use modelcost_core::value::Value;

    fn count(builder: TraceBuilder, output: TensorId) -> Result<Dim, Failure> {
        let report = TORCHPROFILE.count(&returning(builder, output), &Options::default())?;
        Ok(report
            .count
            .map_or(Dim::ZERO, |count| count.count().clone()))
    }

    #[test]
    fn products_in_arguments() {
        assert!(multiplies_in_argument("k_f = torch.fft.rfft(k, n=2 * L)"));
        assert!(!multiplies_in_argument("y = x.sum(dim=1) * self.scale"));
        assert!(!multiplies_in_argument("y = f(x, n=2, *rest)"));
        assert!(!multiplies_in_argument("y = f(**options, n=2**3)"));
    }

    #[test]
    fn counts_what_torchprofile_0_1_0_prints() {
        // nn.ConvTranspose2d(16, 8, 3, stride=2, padding=1, output_padding=1, groups=4, bias=False).
        let mut builder = model();
        let x = tensor(&mut builder, &[1, 16, 14, 14]).into();
        let weight = tensor(&mut builder, &[16, 2, 3, 3]).into();
        let name = "aten.conv_transpose2d";
        let out = operator(
            &mut builder,
            name,
            &[("input", x), ("weight", weight)],
            &[1, 8, 28, 28],
        );
        assert_eq!(count(builder, out), Ok(Dim::from(903_168)));

        // nn.GRUCell(32, 48) on 5×32: two linear layers and two products.
        let mut builder = model();
        let x = tensor(&mut builder, &[5, 32]).into();
        let w_ih = tensor(&mut builder, &[144, 32]).into();
        let w_hh = tensor(&mut builder, &[144, 48]).into();
        let arguments = [("input", x), ("w_ih", w_ih), ("w_hh", w_hh)];
        let out = operator(&mut builder, "aten.gru_cell", &arguments, &[5, 48]);
        assert_eq!(count(builder, out), Ok(Dim::from(58_080)));

        // nn.LSTM(128, 256, num_layers=2, batch_first=True, bidirectional=True) on 4×7×128.
        let mut builder = model();
        let x = tensor(&mut builder, &[4, 7, 128]);
        let target = Target::Operator("aten.lstm".into());
        builder.begin(target, vec![Argument::new("input", x)], None);
        let outputs = [&[4, 7, 512], &[4, 4, 256], &[4, 4, 256]]
            .map(|sizes| builder.output_tensor(Some(shape(sizes)), Some(DType::Float32)));
        builder.end(Value::Tuple(outputs.map(Value::Tensor).to_vec()));
        assert_eq!(count(builder, outputs[0]), Ok(Dim::from(66_060_288)));
    }

    #[test]
    fn products_of_sizes_count_one_each() {
        let mut builder = model();
        let x = tensor(&mut builder, &[2, 3, 4]).into();
        let next = modelcost_core::trace::CallId::new(1);
        let line = "return x.reshape(x.size(0) * x.size(1) * x.size(2))";
        builder.trace_mut().lines.push((next, line.into()));
        let out = operator(&mut builder, "aten.reshape", &[("self", x)], &[24]);
        assert_eq!(count(builder, out), Ok(Dim::from(2)));
    }

    #[test]
    fn what_nothing_uses_is_not_in_the_graph() {
        let mut builder = model();
        let x = tensor(&mut builder, &[2, 8]);
        let out = operator(&mut builder, "aten.mul", &[("self", x.into())], &[2, 8]);
        operator(&mut builder, "aten.mean", &[("self", out.into())], &[2]);
        assert_eq!(count(builder, out), Ok(Dim::from(16)));
    }

    #[test]
    fn attention_with_fewer_key_heads_is_an_error() {
        let mut builder = model();
        let query = tensor(&mut builder, &[2, 4, 6, 8]);
        let key = tensor(&mut builder, &[2, 2, 6, 8]);
        let arguments = [
            ("query", query.into()),
            ("key", key.into()),
            ("value", key.into()),
        ];
        let name = "aten.scaled_dot_product_attention";
        let out = operator(&mut builder, name, &arguments, &[2, 4, 6, 8]);
        assert!(matches!(count(builder, out), Err(Failure::Tool { .. })));
    }
}
