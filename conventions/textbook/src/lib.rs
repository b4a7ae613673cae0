//! Conventions: the formulas of textbooks, and `textbook/article` with attention as articles print it.
//!
//! The formulas are the tables in `rules/`. Textbooks ignore biases, so parameters are those of the
//! weights and of normalisation, whose scale and shift they do count.

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Failure, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::report::Report;
use modelcost_core::table::Table;
use modelcost_core::trace::{Class, ModuleId, Trace};

/// A variant of the textbook's formulas.
pub struct Textbook {
    table: Table,
}

static TEXTBOOK: Lazy<Textbook> = Lazy::new(|| Textbook {
    table: Table::built_in(include_str!("../rules/textbook-1.toml")),
});

static ARTICLE: Lazy<Textbook> = Lazy::new(|| Textbook {
    table: Table::built_in(include_str!("../rules/textbook-1-article.toml")),
});

inventory::submit! { Registration {
    id: "textbook", version: "1", variant: "", default_variant: true, order: 60,
    load: || &*TEXTBOOK as &dyn Convention,
} }

inventory::submit! { Registration {
    id: "textbook", version: "1", variant: "article", default_variant: false, order: 60,
    load: || &*ARTICLE as &dyn Convention,
} }

/// Whether the scale and shift of a class are counted: those of normalisation are, by their names.
fn is_normalisation(class: &Class) -> bool {
    let names = std::iter::once(&class.name).chain(&class.bases);
    names
        .filter_map(|name| name.rsplit('.').next())
        .any(|name| name.contains("Norm"))
}

/// `bias`, `in_proj_bias`, `bias_ih_l0`, `bias_k` …
fn is_bias(name: &str) -> bool {
    name == "bias" || name == "in_proj_bias" || name.starts_with("bias_")
}

/// The parameters in a module and inside it without biases, each once: all, and the trained ones.
fn parameters(trace: &Trace, module: ModuleId) -> (Dim, Dim) {
    let mut seen = std::collections::HashSet::new();
    let (mut all, mut trained) = (Dim::ZERO, Dim::ZERO);
    for inside in trace.modules_inside(module) {
        let inside = trace.module(inside);
        let ignores_bias = !is_normalisation(&inside.class);
        for (name, parameter) in &inside.parameters {
            let Some(parameter) = *parameter else {
                continue;
            };
            if (ignores_bias && is_bias(name)) || !seen.insert(parameter) {
                continue;
            }
            let parameter = trace.parameter(parameter);
            let count = Dim::product(&parameter.shape);
            if parameter.requires_grad {
                trained += &count;
            }
            all += count;
        }
    }
    (all, trained)
}

impl Convention for Textbook {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        let mut report = self.table.count(trace, options)?;
        if !trace.modules.is_empty() {
            let (all, trained) = parameters(trace, Trace::ROOT);
            report.params = Some(all);
            report.trainable_params = Some(trained);
        }
        for layer in &mut report.layers {
            layer.params = Some(parameters(trace, layer.module).0);
        }
        Ok(report)
    }
}
