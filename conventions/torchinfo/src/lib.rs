//! Convention: torchinfo 1.8.0.
//!
//! torchinfo hooks every module. [`layer_info`] is the row that it makes for each call, with the
//! multiply-adds that follow from the module's parameters; [`statistics`] is what it sums;
//! [`text`] is what it prints. The formulas are in `rules/torchinfo-1.8.0.toml`.

use once_cell::sync::Lazy;

use modelcost_core::convention::{Convention, Failure, Options, Registration};
use modelcost_core::dim::Dim;
use modelcost_core::fidelity::Level;
use modelcost_core::report::{Entry, Extra, Layer, Report};
use modelcost_core::table::Table;
use modelcost_core::trace::Trace;

pub mod layer_info;
pub mod parameters;
pub mod statistics;
pub mod text;

use layer_info::SummaryList;
use statistics::Statistics;

/// torchinfo.
pub struct Torchinfo {
    table: Table,
}

static TORCHINFO: Lazy<Torchinfo> = Lazy::new(|| Torchinfo {
    table: Table::built_in(include_str!("../rules/torchinfo-1.8.0.toml")),
});

inventory::submit! { Registration {
    id: "torchinfo", version: "1.8.0", variant: "", default_variant: true, order: 10,
    load: || &*TORCHINFO as &dyn Convention,
} }

/// The rows of a model, and the totals.
pub fn summary(trace: &Trace) -> Result<(SummaryList, Statistics), Failure> {
    TORCHINFO.summary(trace, &mut Report::new(&TORCHINFO.table.info, trace))
}

impl Torchinfo {
    fn summary(
        &self,
        trace: &Trace,
        report: &mut Report,
    ) -> Result<(SummaryList, Statistics), Failure> {
        let list = layer_info::summary_list(trace, &self.table.rules, report)?;
        let statistics = Statistics::of(trace, &list);
        Ok((list, statistics))
    }
}

/// A row for each of torchinfo's. A module with children gets the sum of the layers below it, which
/// torchinfo prints where it stops at a depth.
fn layers(list: &SummaryList) -> Vec<Layer> {
    let row = |info: &layer_info::LayerInfo| {
        let count = if info.is_leaf_layer {
            info.macs.clone()
        } else {
            let below = (info.children.0..info.children.1).map(|at| list.row(at));
            let leaves = below.filter(|info| info.is_leaf_layer);
            leaves.map(|info| info.macs.clone()).sum()
        };
        Layer {
            path: info.path.clone(),
            class: info.class_name.clone(),
            depth: info.depth,
            calls: usize::from(info.call.is_some()),
            count: Some(count),
            params: (!info.is_recursive).then(|| info.parameters.count.clone()),
            output_shape: info.call.map(|_| info.output_size.clone()),
            module: info.module,
            is_container: !info.is_leaf_layer,
        }
    };
    list.rows().map(row).collect()
}

/// The class of a layer of the user's own that counts because nothing is inside it, where the file
/// does not say that there was nothing.
fn open_leaf<'a>(trace: &'a Trace, list: &SummaryList) -> Option<&'a str> {
    let own = |class: &str| !class.starts_with("torch.") && !class.starts_with("torchvision.");
    let open = list.rows().find(|info| {
        let class = &trace.module(info.module).class.name;
        info.is_leaf_layer && info.macs != Dim::ZERO && own(class)
    });
    let module = open.filter(|_| trace.idle_unknown)?.module;
    Some(trace.module(module).class.short_name())
}

impl Convention for Torchinfo {
    fn table(&self) -> &Table {
        &self.table
    }

    fn count(&self, trace: &Trace, options: &Options) -> Result<Report, Failure> {
        self.info().forward_only(options)?;
        let mut report = Report::new(self.info(), trace);
        let (list, statistics) = self.summary(trace, &mut report)?;
        report.set_count(trace, statistics.mult_adds.clone())?;
        report.params = Some(statistics.params.clone());
        trace.note_frozen(&mut report.fidelity, Level::Exact);
        report.trainable_params = Some(statistics.trainable.clone());
        if let Some(class) = open_leaf(trace, &list) {
            let note = format!(
                "the file leaves out modules that change nothing; a {class} that holds one counts only its children's, and is taken to hold none"
            );
            report.fidelity.note(Level::Reconstructed, note);
        }
        report.layers = layers(&list);
        let non_trainable = &statistics.params - &statistics.trainable;
        let figure = |name: &str, value: String, exact: Dim| Extra {
            name: name.into(),
            value,
            exact: Some(exact),
        };
        let text = non_trainable.grouped();
        report
            .extras
            .push(figure("Non-trainable params", text, non_trainable));
        for (name, bytes) in statistics.sizes() {
            report
                .extras
                .push(figure(name, text::megabytes(&bytes), bytes));
        }
        Ok(report)
    }

    fn printed(&self, trace: &Trace) -> Option<Result<String, Failure>> {
        Some(summary(trace).map(|(list, statistics)| text::table(&list, &statistics)))
    }

    fn with_values(&self, trace: &Trace, entry: &Entry) -> Option<String> {
        layer_info::with_values(trace, entry.call, self.formula(entry)?)
    }
}
