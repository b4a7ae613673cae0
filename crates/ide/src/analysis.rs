//! A spec, read and run: what every answer about it is read from.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use modelcost_core::SmolStr;
use modelcost_core::convention::Convention;
use modelcost_core::diagnostic::{Diagnostic, Severity};
use modelcost_core::dim::Dim;
use modelcost_core::expr::ExprKind;
use modelcost_core::trace::{CallId, ModuleId, Target, Trace};
use modelcost_spec::{Content, Document, Key, Layer, LayerId, Made, Memo, Options, Part};

use crate::excerpt;
use crate::hints::Subject;
use crate::model::{Facts, Model, Subjects, outermost};

/// Sizes of free dimensions by name.
pub type Dims = BTreeMap<SmolStr, u64>;

/// A spec, read and run.
#[derive(Debug)]
pub struct Analysis {
    /// What the text says.
    pub document: Document,
    /// What each layer became, by its position in the document.
    made: Vec<Vec<Made>>,
    /// What is wrong with the text.
    pub diagnostics: Vec<Diagnostic>,
    /// The sizes of free dimensions that it was run with.
    pub dims: Dims,
    /// What it does.
    model: Model,
    /// The layers of the model that stand one after another: told where the whole is read, so that no keystroke waits for it.
    in_turn: Vec<LayerId>,
}

impl Analysis {
    /// Reads and runs a text, with free dimensions of its inputs bound to the sizes given.
    pub fn new(text: &str, dims: &Dims) -> Analysis {
        Analysis::until(text, dims, &mut Memo::default(), None)
    }

    /// As [`Analysis::new`], with what is known from earlier texts. Once the flag is set what comes of it is of no use,
    /// and comes soon.
    pub fn until(
        text: &str,
        dims: &Dims,
        memo: &mut Memo,
        superseded: Option<Arc<AtomicBool>>,
    ) -> Analysis {
        let (document, diagnostics) = Document::parse(text);
        Analysis::of(text, document, diagnostics, dims, memo, superseded)
    }

    /// Runs what was read from a text.
    pub(crate) fn of(
        text: &str,
        document: Document,
        mut diagnostics: Vec<Diagnostic>,
        dims: &Dims,
        memo: &mut Memo,
        superseded: Option<Arc<AtomicBool>>,
    ) -> Analysis {
        let mut options = options(&document, dims);
        options.superseded = superseded;
        let traced = document.trace_again(&options, memo);
        diagnostics.extend(traced.diagnostics);
        Analysis {
            in_turn: excerpt::in_turn(&document, text),
            document,
            made: traced.made,
            diagnostics,
            dims: dims.clone(),
            model: Model::new(traced.trace),
        }
    }

    /// Counts by a convention, before anyone asks.
    pub fn count(&self, convention: &dyn Convention) {
        self.model.numbers(convention);
    }

    /// The trace.
    pub fn trace(&self) -> &Trace {
        &self.model.trace
    }

    /// The layers of the model that stand one after another in a table, each on lines of its own.
    pub(crate) fn in_turn(&self) -> &[LayerId] {
        &self.in_turn
    }

    /// Whether the text means a whole model.
    pub fn is_complete(&self) -> bool {
        let is_error = |diagnostic: &Diagnostic| diagnostic.severity == Severity::Error;
        !self.diagnostics.iter().any(is_error)
    }

    /// What a layer became, one entry for every time that it was made.
    pub fn made_by(&self, layer: LayerId) -> &[Made] {
        self.made.get(layer.index()).map_or(&[], Vec::as_slice)
    }

    fn layer_facts(&self, layer: &Layer) -> Facts {
        let is_body = matches!(layer.content, Content::Body(_));
        let mut facts = Facts::default();
        let mut modules = Vec::new();
        for made in self.made_by(layer.id) {
            facts.times += 1;
            let container = || self.container(&made.calls).filter(|_| is_body);
            modules.extend(made.module.or_else(container));
            if made.calls.start < made.calls.end {
                self.model.add(&mut facts, made.calls.clone(), &made.output);
            } else if let Some(module) = made.module {
                // An item of a Sequential is called by that.
                self.model.add_module(&mut facts, module);
            }
        }
        facts.params = (!modules.is_empty()).then(|| self.model.parameters(&modules));
        facts
    }

    /// The module that the first call of a range is to: that of a table or array of layers.
    fn container(&self, calls: &Range<CallId>) -> Option<ModuleId> {
        if calls.start == calls.end {
            return None;
        }
        match self.trace().call(calls.start).target {
            Target::Module(module) => Some(module),
            _ => None,
        }
    }

    /// The modules that a block became, and their calls.
    fn block_facts(&self, index: usize) -> Facts {
        let mut facts = Facts::default();
        let Some(block) = self.document.blocks.get(index) else {
            return facts;
        };
        let class = block.body.class.as_ref().unwrap_or(&block.name);
        let mut modules = Vec::new();
        for (index, module) in self.trace().modules.iter().enumerate() {
            if module.class.short_name() == class.name {
                modules.push(ModuleId::new(index));
            }
        }
        for module in &modules {
            self.model.add_module(&mut facts, *module);
        }
        facts.times = modules.len();
        facts.params = (!modules.is_empty()).then(|| self.model.parameters(&modules));
        outermost(&mut facts.calls);
        facts
    }

    /// The path of the module that a layer makes first: `layer1.0.conv1`.
    fn path(&self, layer: &Layer) -> Option<String> {
        let module = self.made_by(layer.id).first()?.module?;
        let paths = self.trace().named_modules();
        let found = paths.into_iter().find(|(_, id)| *id == module);
        found.map(|(path, _)| path)
    }
}

impl Subjects for Analysis {
    fn model(&self) -> &Model {
        &self.model
    }

    fn facts(&self, subject: Subject) -> Facts {
        match subject {
            Subject::Layer(index) => match self.document.layers.get(index) {
                Some(layer) => self.layer_facts(layer),
                None => Facts::default(),
            },
            Subject::Block(index) => self.block_facts(index),
            Subject::Model | Subject::Node(_) => Facts::default(),
        }
    }

    fn title(&self, subject: Subject) -> Option<String> {
        let mut out = String::new();
        match subject {
            Subject::Layer(index) => {
                let layer = self.document.layers.get(index)?;
                let name = self.path(layer).or_else(|| layer_name(layer));
                let _ = write!(out, "**{}**", name.unwrap_or_else(|| "layer".into()));
                if let Some(module) = self.made_by(layer.id).first().and_then(|made| made.module) {
                    let class = self.trace().module(module).class.short_name();
                    let _ = write!(out, " · `{class}`");
                }
            }
            Subject::Block(index) => {
                let block = self.document.blocks.get(index)?;
                let _ = write!(out, "**{}** · block", block.name.name);
            }
            Subject::Model | Subject::Node(_) => return None,
        }
        Some(out)
    }

    fn is_shared(&self, subject: Subject) -> bool {
        match subject {
            Subject::Block(_) => true,
            Subject::Layer(index) => {
                let layer = self.document.layers.get(index);
                layer.is_some_and(|layer| layer.block.is_some())
            }
            Subject::Model | Subject::Node(_) => false,
        }
    }
}

/// What a layer is called; nothing in an array.
pub fn layer_name(layer: &Layer) -> Option<String> {
    match &layer.key {
        Key::Name(name) => Some(name.to_string()),
        Key::Pattern { stem, .. } => Some(stem.to_string()),
        Key::Unpack(parts) => Some(Part::written(parts)),
        Key::Next => None,
    }
}

/// Binds those dimensions that the inputs have and that the spec itself leaves free.
fn options(document: &Document, dims: &Dims) -> Options {
    let mut options = Options::default();
    let sizes = document.inputs.iter().flat_map(|input| &input.shape);
    for size in sizes.filter(|size| size.default.is_none()) {
        size.value.walk(&mut |expr| {
            if let ExprKind::Name(name) = &expr.kind
                && let Some(size) = dims.get(name)
                && document
                    .variables
                    .iter()
                    .all(|variable| variable.name.name != *name)
            {
                options.dims.insert(name.clone(), Dim::from(*size));
            }
        });
    }
    options
}
