//! From a trace to bodies: what each module of a class that is not PyTorch's holds and does.

use std::collections::{BTreeSet, HashMap, HashSet};

use modelcost_core::SmolStr;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{
    BufferId, Call, CallId, ModuleId, Origin, ParameterId, Shape, Target, TensorId, Trace,
};
use modelcost_core::value::Value;

use super::constructor::{self, Constructor};
use super::pieces::{Body, Constant, Container, Held, Node, Piece};
use super::steps::Steps;

/// A trace in the course of being written.
pub(super) struct Lift<'t> {
    pub trace: &'t Trace,
    /// The calls of each module.
    pub calls: Vec<Vec<CallId>>,
    /// Who owns each parameter and buffer: the tensor's owners and the names there.
    pub owners: HashMap<TensorId, Vec<(ModuleId, SmolStr)>>,
    /// The bodies of modules that are written as blocks.
    pub bodies: HashMap<ModuleId, Body>,
    /// Modules that are written already, under another of their names.
    placed: HashSet<ModuleId>,
    /// The tensors that a module's calls take from outside without being given them.
    captured: HashMap<ModuleId, Vec<TensorId>>,
    constructors: HashMap<ModuleId, Option<Constructor>>,
    /// Whether to write what makes only what nobody uses.
    pub keep_unused: bool,
    /// What could not be written as it was.
    pub notes: BTreeSet<String>,
}

/// What is known around a module that is about to be written.
pub(super) struct Place<'p> {
    /// Names that hide classes of the same name.
    pub names: &'p HashSet<SmolStr>,
    /// How the modules that are made already are called there.
    pub made: &'p HashMap<ModuleId, String>,
}

impl<'t> Lift<'t> {
    pub fn new(trace: &'t Trace, keep_unused: bool) -> Lift<'t> {
        let mut owners: HashMap<TensorId, Vec<(ModuleId, SmolStr)>> = HashMap::new();
        for (_, id) in trace.named_modules() {
            let module = trace.module(id);
            for (name, parameter) in &module.parameters {
                if let Some(parameter) = parameter {
                    let tensor = trace.parameter(*parameter).tensor;
                    owners.entry(tensor).or_default().push((id, name.clone()));
                }
            }
            for (name, buffer) in &module.buffers {
                let tensor = trace.buffers[buffer.index()].tensor;
                owners.entry(tensor).or_default().push((id, name.clone()));
            }
        }
        Lift {
            trace,
            calls: trace.calls_by_module(),
            owners,
            bodies: HashMap::new(),
            placed: HashSet::new(),
            captured: HashMap::new(),
            constructors: HashMap::new(),
            keep_unused,
            notes: BTreeSet::new(),
        }
    }

    /// The calls of a module.
    pub fn calls_of(&self, module: ModuleId) -> &[CallId] {
        self.calls.get(module.index()).map_or(&[], Vec::as_slice)
    }

    /// How the model is written.
    pub fn root(&mut self, place: &Place<'_>) -> Node {
        self.node(Trace::ROOT, place)
    }

    /// How a module is written where it is made.
    pub fn node(&mut self, module: ModuleId, place: &Place<'_>) -> Node {
        if let Some(path) = place.made.get(&module) {
            return Node::Line(super::pieces::text(path.clone()));
        }
        if !self.placed.insert(module) {
            let class = self.trace.module(module).class.short_name();
            self.notes.insert(format!(
                "a {class} that several modules share is written as one for each of them"
            ));
        }
        let calls = self.calls_of(module).to_vec();
        if let Some(found) = self.constructor(module) {
            let short = found.class.short_name();
            let hidden = place.names.contains(short);
            return Node::Line(match hidden {
                true => found.pieces(&full_name(found.class.name())),
                false => found.pieces(short),
            });
        }
        match self.container(module, &calls, place) {
            Some(container) => Node::Container(container),
            None => {
                self.block(module);
                Node::Line(vec![Piece::Block(module)])
            }
        }
    }

    /// A `Sequential`, `ModuleList` or `ModuleDict`, written where it stands.
    fn container(
        &mut self,
        module: ModuleId,
        calls: &[CallId],
        place: &Place<'_>,
    ) -> Option<Container> {
        let found = self.trace.module(module);
        let sequential = match found.class.name.as_str() {
            "torch.nn.Sequential" => true,
            "torch.nn.ModuleList" | "torch.nn.ModuleDict" => false,
            _ => return None,
        };
        if !found.parameters.is_empty() || !found.buffers.is_empty() {
            return None;
        }
        let chain = calls.iter().all(|call| self.is_chain(module, *call));
        if !(sequential && chain || !sequential && calls.is_empty()) {
            return None;
        }
        let children = found.children.clone();
        // An empty array would be no module at all.
        if children.is_empty() && !sequential {
            return None;
        }
        let mut written = Vec::new();
        for (name, child) in children {
            written.push((name, self.node(child, place)));
        }
        Some(Container {
            class: (!sequential).then(|| SmolStr::from(found.class.short_name())),
            base: None,
            from: None,
            when: None,
            children: written,
        })
    }

    /// Whether a call of a module is no more than its children in turn.
    pub fn is_chain(&mut self, module: ModuleId, call: CallId) -> bool {
        let trace = self.trace;
        let own = trace.call(call);
        let children = &trace.module(module).children;
        let Some(mut flow) = single_tensor(own) else {
            return false;
        };
        let mut count = 0;
        for (_, inner) in trace.direct(call) {
            let expected = children.get(count).map(|(_, child)| *child);
            count += 1;
            let input = match (&inner.target, expected) {
                (Target::Module(module), Some(expected)) if *module == expected => {
                    single_tensor(inner)
                }
                _ => return false,
            };
            let captured = module_of(inner).map(|module| self.captured(module));
            if input != Some(flow) || captured.is_some_and(|captured| !captured.is_empty()) {
                return false;
            }
            match inner.output {
                Value::Tensor(output) => flow = output,
                _ => return false,
            }
        }
        count == children.len() && own.output == Value::Tensor(flow)
    }

    /// The tensors that a module's first call takes from outside without being given them.
    pub fn captured(&mut self, module: ModuleId) -> Vec<TensorId> {
        if let Some(found) = self.captured.get(&module) {
            return found.clone();
        }
        self.captured.insert(module, Vec::new());
        let Some(call) = self.calls_of(module).first().copied() else {
            return Vec::new();
        };
        // What a layer of PyTorch does inside is its own affair.
        if self.constructor(module).is_some() {
            return Vec::new();
        }
        let trace = self.trace;
        let inside: HashSet<ModuleId> = trace.modules_inside(module).into_iter().collect();
        let mut known: HashSet<TensorId> = HashSet::new();
        for argument in &trace.call(call).arguments {
            known.extend(argument.value.tensors());
        }
        let mut out = Vec::new();
        for (id, inner) in trace.direct(call) {
            let mut wanted = self.taken_by(id);
            if let Some(callee) = module_of(inner) {
                wanted.extend(self.captured(callee));
            }
            for tensor in wanted {
                let owned = self
                    .owners
                    .get(&tensor)
                    .is_some_and(|owners| owners.iter().any(|(owner, _)| inside.contains(owner)));
                // What is made in here and not returned to here is taken as a hook takes it.
                let own = match trace.tensor(tensor).origin {
                    Origin::Constant => true,
                    Origin::Call(maker) => maker > call && maker < trace.call(call).end,
                    _ => false,
                };
                if !known.contains(&tensor) && !owned && !own && !out.contains(&tensor) {
                    out.push(tensor);
                }
            }
            known.extend(inner.output.tensors());
        }
        self.captured.insert(module, out.clone());
        out
    }

    /// Whether a call of a module gives tensors to the same parameters as its first call does.
    pub fn gives_all(&self, module: ModuleId, id: CallId) -> bool {
        let given = |id: CallId| -> Vec<&SmolStr> {
            let arguments = self.trace.call(id).arguments.iter();
            arguments
                .filter(|argument| !argument.value.tensors().is_empty())
                .map(|argument| &argument.name)
                .collect()
        };
        let first = self.calls_of(module).first();
        first.is_some_and(|first| given(*first) == given(id))
    }

    /// As [`Lift::captured`], where it is worked out already.
    pub fn known_captured(&self, module: ModuleId) -> &[TensorId] {
        self.captured.get(&module).map_or(&[], Vec::as_slice)
    }

    /// The tensors that a call takes. An index may hold tensors that only the operators of the call
    /// are given.
    pub fn taken_by(&self, id: CallId) -> Vec<TensorId> {
        let call = self.trace.call(id);
        let mut out: Vec<TensorId> = Vec::new();
        for argument in &call.arguments {
            out.extend(argument.value.tensors());
        }
        if let Target::Function(_) = call.target {
            for (_, inner) in self.trace.direct(id) {
                let tensors = inner.arguments.iter().flat_map(|a| a.value.tensors());
                let from_outside = |tensor: &TensorId| match self.trace.tensor(*tensor).origin {
                    Origin::Call(maker) => maker < id,
                    Origin::Constant => false,
                    _ => true,
                };
                for tensor in tensors.filter(from_outside) {
                    if !out.contains(&tensor) {
                        out.push(tensor);
                    }
                }
            }
        }
        out
    }

    /// The constructor call of a module of PyTorch.
    pub fn constructor(&mut self, module: ModuleId) -> Option<Constructor> {
        if let Some(found) = self.constructors.get(&module) {
            return found.clone();
        }
        let found = constructor::find(self.trace, module, self.calls_of(module));
        self.constructors.insert(module, found.clone());
        found
    }

    /// Writes a module's body, to become a block.
    pub fn block(&mut self, module: ModuleId) {
        if self.bodies.contains_key(&module) {
            return;
        }
        // Noted first: a module that holds itself ends here.
        self.bodies.insert(module, Body::default());
        let body = self.body(module);
        self.bodies.insert(module, body);
    }

    fn body(&mut self, module: ModuleId) -> Body {
        let found = self.trace.module(module);
        let class = match found.class.name.is_empty() {
            true => modelcost_core::trace::Class::new("Module"),
            false => found.class.clone(),
        };
        let calls = self.calls_of(module).to_vec();
        if let Some(base) = constructor::find_base(self.trace, module, &calls) {
            return Body {
                class,
                single: Some(base.pieces(base.class.short_name())),
                ..Body::default()
            };
        }
        let mut body = Body {
            class,
            held: self.held(module),
            sizes: calls.first().map_or(Vec::new(), |call| self.sizes(*call)),
            ..Body::default()
        };
        match calls.first() {
            Some(call) => Steps::new(self, module, *call).write(&mut body),
            None => {
                let names = HashSet::new();
                for (name, child) in found.children.clone() {
                    let place = Place {
                        names: &names,
                        made: &HashMap::new(),
                    };
                    let node = self.node(child, &place);
                    body.modules.push((name, node));
                }
            }
        }
        body
    }

    /// The lines of a module's own that compute with sizes.
    fn sizes(&self, call: CallId) -> Vec<SmolStr> {
        let trace = self.trace;
        let end = trace.call(call).end;
        let lines = trace.lines.iter();
        let inside = lines.filter(|(first, _)| *first >= call && *first < end);
        let own = inside.filter(|(first, _)| trace.module_call_around(*first) == Some(call));
        let mut out: Vec<SmolStr> = own
            .filter(|(first, line)| modelcost_core::jit::computes_with_sizes(trace, *first, line))
            .map(|(_, line)| line.trim().into())
            .collect();
        // What a spec computes with names is written with numbers.
        let products = trace.products.iter();
        let products = products.filter(|(next, _)| *next >= call && *next < end);
        let own = products.filter(|(next, _)| trace.module_call_around(*next) == Some(call));
        out.extend(own.map(|(_, times)| {
            let sizes: Vec<String> = (0..=*times).map(|at| format!("x.size({at})")).collect();
            sizes.join(" * ").into()
        }));
        out
    }

    /// The parameters and buffers that a module holds itself.
    fn held(&self, module: ModuleId) -> Vec<Held> {
        let found = self.trace.module(module);
        let parameter = |(name, id): &(SmolStr, Option<ParameterId>)| {
            let parameter = self.trace.parameter((*id)?);
            Some(held(name, &parameter.shape, parameter.dtype, None))
        };
        let buffer = |(name, id): &(SmolStr, BufferId)| {
            let buffer = &self.trace.buffers[id.index()];
            held(name, &buffer.shape, buffer.dtype, Some(buffer.persistent))
        };
        let parameters = found.parameters.iter().filter_map(parameter);
        parameters.chain(found.buffers.iter().map(buffer)).collect()
    }
}

fn held(name: &SmolStr, shape: &Shape, dtype: DType, buffer: Option<bool>) -> Held {
    let size = |dim: &modelcost_core::dim::Dim| Constant {
        value: Value::Int(dim.clone()),
        role: name.clone(),
        constructs: true,
        number: 0,
    };
    let unknown = shape.iter().any(modelcost_core::dim::Dim::has_unknown);
    Held {
        name: name.clone(),
        shape: match unknown {
            true => None,
            false => Some(shape.iter().map(size).collect()),
        },
        dtype: (dtype != DType::Float32).then(|| SmolStr::from(dtype.name())),
        buffer: buffer.is_some(),
        persistent: buffer.unwrap_or(true),
    }
}

/// The one tensor that a call takes, if that is all it takes.
pub(super) fn single_tensor(call: &Call) -> Option<TensorId> {
    use modelcost_core::trace::Passed;
    let mut given = call
        .arguments
        .iter()
        .filter(|a| a.passed != Passed::Default);
    let first = given.next()?;
    let alone = given.next().is_none() && first.passed == Passed::Position;
    first.value.tensor().filter(|_| alone)
}

/// The module that a call is of.
pub(super) fn module_of(call: &Call) -> Option<ModuleId> {
    match call.target {
        Target::Module(module) => Some(module),
        _ => None,
    }
}

/// A class under a name that no layer hides.
fn full_name(name: &str) -> String {
    match name.strip_prefix("torch.nn.") {
        Some(short) => format!("nn.{short}"),
        None => name.into(),
    }
}
