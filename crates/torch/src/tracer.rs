//! Running modules and functions on shapes alone.

use std::sync::Arc;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::expr::Span;
use modelcost_core::fidelity::Level;
use modelcost_core::trace::{
    Argument, CallId, Class, Module, ModuleId, Origin, ParameterId, Passed, Shape, Target,
    TensorId, Trace, TraceBuilder,
};
use modelcost_core::value::Value;

use crate::bound::Bound;
use crate::classes::{self, Construct, Forward};
use crate::error::{Result, TorchError};
use crate::eval::Scope;
use crate::memo::{self, Memo, Source};
use crate::operators::{self, Op};
use crate::signature::Arguments;
use crate::{dispatch, functions, show};

/// Runs modules and functions on shapes, and writes the trace.
#[derive(Debug, Default)]
pub struct Tracer {
    /// The trace so far, for whoever makes modules or calls of their own.
    pub builder: TraceBuilder,
    pub(crate) instances: Vec<Option<Instance>>,
    /// What is known from earlier modules and calls, where that is wanted.
    pub(crate) memo: Option<Memo>,
    /// How often something was noted about fidelity.
    pub(crate) notes: usize,
    /// Whether parameters were shared after they were made.
    pub(crate) is_tied: bool,
}

/// A module of a class that this crate knows.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    class: &'static classes::Entry,
    pub(crate) path: SmolStr,
    arguments: Arc<Bound>,
    materialised: bool,
    pub(crate) source: Option<Source>,
}

impl Instance {
    /// Whether it would be the same anywhere: whole, and without modules that it was given.
    pub(crate) fn is_plain(&self) -> bool {
        let mut arguments = self.arguments.arguments().iter();
        self.materialised && arguments.all(|argument| memo::is_data(&argument.value))
    }
}

/// More than any model has; hostile repetition ends here.
pub(crate) const MAX_MODULES: usize = 1_000_000;

/// Calls nest by the nesting of modules; deeper is a cycle.
pub(crate) const MAX_DEPTH: usize = 400;

impl Tracer {
    /// An empty trace of a model read from a file of the given kind.
    pub fn new(name: impl Into<String>, format: &'static str) -> Tracer {
        Tracer {
            builder: TraceBuilder::new(name, format),
            ..Tracer::default()
        }
    }

    /// Adds an input of the model.
    pub fn input(&mut self, name: impl Into<SmolStr>, shape: Shape, dtype: DType) -> TensorId {
        let id = self.builder.tensor(Some(shape), Some(dtype), Origin::Input);
        self.builder.trace_mut().inputs.push((name.into(), id));
        id
    }

    /// Makes a module of a class of PyTorch or torchvision, by any of the names people import it
    /// under. `path` is its full name, which its parameters' names begin with. The caller makes it
    /// a child of its parent. What it infers (`in_channels` left out, `LazyConv2d`) is made at the
    /// first call.
    pub fn construct(&mut self, class: &str, args: &Arguments, path: &str) -> Result<ModuleId> {
        let class = classes::find(class)?;
        if self.builder.trace().modules.len() >= MAX_MODULES {
            return Err(TorchError::new(format!("more than {MAX_MODULES} modules")));
        }
        self.construct_once(class, args, path)
    }

    pub(crate) fn construct_new(
        &mut self,
        class: &'static classes::Entry,
        args: &Arguments,
        path: &str,
    ) -> Result<ModuleId> {
        let omittable: Vec<&str> = class.infers().map(|(name, _)| name).collect();
        let arguments = class.signature().bind(args.clone(), &omittable)?;
        let ready = class.becomes.is_none() && omittable.iter().all(|name| arguments.has(name));
        let module = self.builder.module(Module {
            class: class.class(),
            ..Module::default()
        });
        self.instances.resize_with(module.index() + 1, || None);
        self.instances[module.index()] = Some(Instance {
            class,
            path: path.into(),
            arguments: Arc::new(arguments),
            materialised: false,
            source: None,
        });
        if ready {
            self.materialise(module)?;
        }
        Ok(module)
    }

    /// Makes a module's parameters, buffers and children.
    fn materialise(&mut self, module: ModuleId) -> Result<()> {
        let Some(instance) = self
            .instances
            .get_mut(module.index())
            .and_then(Option::as_mut)
        else {
            return Ok(());
        };
        instance.materialised = true;
        if let Some(name) = instance.class.becomes {
            instance.class = classes::find(name)?;
        }
        let (class, path, arguments) = (
            instance.class,
            instance.path.clone(),
            instance.arguments.clone(),
        );
        self.builder.trace_mut().modules[module.index()].class = class.class();
        (class.construct)(&mut Construct {
            tracer: self,
            module,
            path,
            arguments: &arguments,
        })
    }

    /// Whether a module still waits for its first call to know its parameters.
    pub fn is_lazy(&self, module: ModuleId) -> bool {
        self.instance(module)
            .is_some_and(|instance| !instance.materialised)
    }

    pub(crate) fn instance(&self, module: ModuleId) -> Option<&Instance> {
        self.instances.get(module.index())?.as_ref()
    }

    /// Calls a module that [`Tracer::construct`] made.
    pub fn call_module(
        &mut self,
        module: ModuleId,
        args: &Arguments,
        span: Option<Span>,
    ) -> Result<Value> {
        self.call_once(module, args.clone(), span)
    }

    pub(crate) fn call_new(
        &mut self,
        module: ModuleId,
        args: Arguments,
        span: Option<Span>,
    ) -> Result<Value> {
        let Some(instance) = self.instance(module) else {
            return Err(TorchError::new("this module has no forward of its own"));
        };
        let (class, materialised) = (instance.class, instance.materialised);
        let bound = class.forward_signature().bind(args, &[])?;
        self.check_depth()?;
        if !materialised {
            self.infer(module, class, &bound)?;
        }
        let class = self
            .instance(module)
            .map_or(class, |instance| instance.class);
        let call = self.builder.begin(Target::Module(module), Vec::new(), span);
        let result = match class.forward() {
            Forward::Expr(expr) => self.eval(&Scope::of_module(module, &bound), expr),
            Forward::Code(code) => code(self, module, &bound),
        };
        self.close(call, bound, result)
    }

    /// Fills in what a module learns from its first input, then makes its parameters.
    fn infer(
        &mut self,
        module: ModuleId,
        class: &'static classes::Entry,
        bound: &Bound,
    ) -> Result<()> {
        let input = bound.arguments().first().and_then(|a| a.value.tensor());
        let Some(shape) = input.and_then(|id| self.builder.trace().tensor(id).shape.clone()) else {
            return Err(TorchError::new(format!(
                "{} infers its sizes from its input, which must be a tensor",
                class.short_name()
            )));
        };
        for (name, from) in class.infers() {
            let size = from.read(&shape).ok_or_else(|| {
                TorchError::new(format!(
                    "{} cannot infer '{name}' from an input of {}",
                    class.short_name(),
                    show::shape(&shape)
                ))
            })?;
            let instance = self.instances[module.index()].as_mut();
            if let Some(instance) = instance.filter(|instance| !instance.arguments.has(name)) {
                Arc::make_mut(&mut instance.arguments).fill(name, Value::Int(size));
            }
        }
        self.materialise(module)
    }

    /// Has a module share a parameter with another.
    pub fn tie_parameter(&mut self, owner: ModuleId, name: &str, parameter: ParameterId) {
        self.is_tied = true;
        self.builder.tie_parameter(owner, name, parameter);
    }

    /// Notes that something is not known for certain.
    pub(crate) fn note(&mut self, level: Level, note: impl Into<String>) {
        self.notes += 1;
        self.builder.trace_mut().fidelity.note(level, note);
    }

    /// Calls a function by its Python name: `F.relu`, `torch.nn.functional.relu`, `torch.cat`,
    /// `Tensor.view`, `operator.add`.
    pub fn call_function(
        &mut self,
        name: &str,
        args: &Arguments,
        span: Option<Span>,
    ) -> Result<Value> {
        self.call_found(functions::find(name)?, args.clone(), span)
    }

    pub(crate) fn call_found(
        &mut self,
        found: &'static functions::Found,
        args: Arguments,
        span: Option<Span>,
    ) -> Result<Value> {
        let bound = found.entry.signature().bind(args, &[])?;
        self.check_depth()?;
        let target = Target::Function(found.name().clone());
        let call = self.builder.begin(target, Vec::new(), span);
        let result = self.run_body(found, &bound);
        let result = self.close(call, bound, result);
        let arguments = &mut self.builder.trace_mut().calls[call.index()].arguments;
        if let (true, Some(first)) = (found.is_method(), arguments.first_mut()) {
            first.name = SmolStr::new_static("self");
        }
        result
    }

    fn run_body(&mut self, found: &functions::Found, bound: &Bound) -> Result<Value> {
        match found.entry.body() {
            functions::Body::Expr(expr) => {
                self.eval(&Scope::of_function(bound, found.in_place()), expr)
            }
            functions::Body::Code(code) => code(self, bound),
        }
    }

    /// Calls a function that was kept in an attribute when the model was made, as
    /// `TransformerEncoderLayer` keeps its activation. A tool that replaces `F.relu` afterwards
    /// does not see such a call, and neither does the trace; what the function calls is there.
    pub fn call_kept_function(&mut self, name: &str, args: &Arguments) -> Result<Value> {
        let found = functions::find(name)?;
        let bound = found.entry.signature().bind(args.clone(), &[])?;
        self.check_depth()?;
        self.run_body(found, &bound)
    }

    /// Calls an operator: `aten.conv2d`. A name that ends in `_` is the in-place form.
    pub fn call_operator(&mut self, name: &str, args: &Arguments) -> Result<Value> {
        let (entry, in_place) = operators::find(name)?;
        self.call_entry(entry, in_place, args.clone())
    }

    pub(crate) fn call_entry(
        &mut self,
        entry: &'static operators::Entry,
        in_place: bool,
        args: Arguments,
    ) -> Result<Value> {
        let bound = entry.signature().bind(args, &[])?;
        self.check_depth()?;
        let name = entry.name(in_place);
        let target = Target::Operator(name.clone());
        let call = self.builder.begin(target, Vec::new(), None);
        let result = (entry.shape)(&mut Op {
            tracer: self,
            args: &bound,
        });
        if let Ok(output) = &result {
            dispatch::expand(&mut self.builder, name, bound.arguments(), output);
        }
        self.close(call, bound, result)
    }

    /// Ends the innermost call, however it went. Its arguments move into the trace only now, so
    /// that they need not be copied.
    pub(crate) fn close(
        &mut self,
        call: CallId,
        bound: Bound,
        result: Result<Value>,
    ) -> Result<Value> {
        self.builder.trace_mut().calls[call.index()].arguments = bound.into_arguments();
        match result {
            Ok(output) => {
                self.builder.end(output.clone());
                Ok(output)
            }
            Err(error) => {
                self.builder.end(Value::None);
                Err(error.seen_from_outside())
            }
        }
    }

    pub(crate) fn check_depth(&self) -> Result<()> {
        if self.builder.depth() >= MAX_DEPTH {
            return Err(TorchError::new(format!(
                "calls are nested more than {MAX_DEPTH} deep"
            )));
        }
        Ok(())
    }

    /// Begins the call of a module that the caller made; what is called until
    /// [`Tracer::end_module`] is called inside it.
    pub fn begin_module(&mut self, module: ModuleId, args: &Arguments, span: Option<Span>) {
        let argument = |name: SmolStr, value: &Value, passed| Argument {
            name,
            value: value.clone(),
            passed,
        };
        let positional = args
            .positional
            .iter()
            .map(|value| argument(SmolStr::default(), value, Passed::Position));
        let keyword = args
            .keyword
            .iter()
            .map(|(name, value)| argument(name.clone(), value, Passed::Keyword));
        let arguments = positional.chain(keyword).collect();
        self.builder.begin(Target::Module(module), arguments, span);
    }

    /// Ends the call of a module of the caller.
    pub fn end_module(&mut self, output: Value) {
        self.builder.end(output);
    }

    /// The trace.
    pub fn finish(self) -> Trace {
        self.builder.finish()
    }

    /// The attribute, parameter, buffer or child `m.name` of a module, as Python would find it.
    pub(crate) fn member(&self, module: ModuleId, name: &str) -> Option<Member> {
        let trace = self.builder.trace();
        let found = trace.module(module);
        if let Some(value) = trace.attribute(module, name) {
            return Some(Member::Value(value.clone()));
        }
        if let Some((_, parameter)) = found.parameters.iter().find(|(key, _)| key == name) {
            let tensor = parameter.map(|id| trace.parameter(id).tensor);
            return Some(Member::Value(tensor.into()));
        }
        if let Some((_, buffer)) = found.buffers.iter().find(|(key, _)| key == name) {
            let tensor = trace.buffers[buffer.index()].tensor;
            return Some(Member::Value(tensor.into()));
        }
        let child = found.children.iter().find(|(key, _)| key == name);
        child.map(|(_, child)| Member::Module(*child))
    }

    /// As [`Tracer::member`], `None` where there is none.
    pub(crate) fn get(&self, module: ModuleId, name: &str) -> Value {
        match self.member(module, name) {
            Some(Member::Value(value)) => value,
            _ => Value::None,
        }
    }

    /// A parameter of a module, if it has it itself.
    pub(crate) fn parameter_of(&self, module: ModuleId, name: &str) -> Option<ParameterId> {
        let parameters = &self.builder.trace().module(module).parameters;
        parameters.iter().find(|(key, _)| key == name)?.1
    }

    /// Gives a module's parameter to another one, under another name.
    pub(crate) fn move_parameter(
        &mut self,
        from: ModuleId,
        to: ModuleId,
        name: &'static str,
        path: String,
        parameter: ParameterId,
    ) {
        let trace = self.builder.trace_mut();
        trace.modules[from.index()]
            .parameters
            .retain(|(_, id)| *id != Some(parameter));
        trace.parameters[parameter.index()].name = path.into();
        self.builder.tie_parameter(to, name, parameter);
    }

    /// The full name of a module that was made here.
    pub(crate) fn path_of(&self, module: ModuleId) -> SmolStr {
        let instance = self.instance(module);
        instance.map_or_else(SmolStr::default, |instance| instance.path.clone())
    }

    /// Says that a module is no longer what its constructor made: what is known of others like it is no use.
    pub(crate) fn forget_source(&mut self, module: ModuleId) {
        if let Some(Some(instance)) = self.instances.get_mut(module.index()) {
            instance.source = None;
        }
    }

    /// A child of a module.
    pub(crate) fn child(&self, module: ModuleId, name: &str) -> Result<ModuleId> {
        match self.member(module, name) {
            Some(Member::Module(child)) => Ok(child),
            _ => Err(TorchError::new(format!("the module has no child '{name}'"))),
        }
    }

    /// The shape of a tensor. Every tensor of this crate has one.
    pub fn shape(&self, tensor: TensorId) -> Shape {
        let trace = self.builder.trace();
        trace.tensor(tensor).shape.clone().unwrap_or_default()
    }

    /// The element type of a tensor.
    pub fn dtype(&self, tensor: TensorId) -> DType {
        let trace = self.builder.trace();
        trace.tensor(tensor).dtype.unwrap_or(DType::Float32)
    }

    /// Who an error should name: the module if it makes the call itself, else the function.
    pub(crate) fn caller(&self) -> SmolStr {
        let trace = self.builder.trace();
        let mut at = self.builder.innermost();
        let mut function: Option<SmolStr> = None;
        while let Some(id) = at {
            let call = trace.call(id);
            match &call.target {
                Target::Module(module) => {
                    let module_known = self.instance(*module).is_some();
                    let module = trace.module(*module);
                    if module_known && module.children.is_empty() {
                        return module.class.short_name().into();
                    }
                    break;
                }
                Target::Function(name) if function.is_none() => {
                    function = Some(functions::spoken_name(name));
                }
                Target::Operator(name) if function.is_none() => {
                    let outer = call.parent.map(|parent| &trace.call(parent).target);
                    if !matches!(outer, Some(Target::Function(_) | Target::Module(_))) {
                        function = Some(name.trim_start_matches("aten.").into());
                    }
                }
                _ => {}
            }
            at = call.parent;
        }
        function.unwrap_or_else(|| SmolStr::new_static("the operator"))
    }

    /// A tensor that the innermost call makes, if PyTorch could make it.
    pub(crate) fn new_tensor(&mut self, shape: Shape, dtype: DType) -> Result<Value> {
        const LIMIT: i128 = i64::MAX as i128;
        let numel = Dim::product(shape.iter().filter(|dim| **dim != Dim::ZERO));
        let negative = shape
            .iter()
            .any(|dim| dim.as_const().is_some_and(|n| n < 0));
        let too_large = numel.is_overflow() || numel.as_const().is_some_and(|n| n > LIMIT);
        if negative || too_large || shape.len() > operators::MAX_RANK {
            let caller = self.caller();
            let why = match () {
                _ if negative => "which has a negative size",
                _ if too_large => "more elements than 64 bits can count",
                _ => "more dimensions than PyTorch allows",
            };
            let shown: String = show::shape(&shape).chars().take(200).collect();
            return Err(TorchError::new(format!(
                "the output of {caller} would be {shown}, {why}"
            )));
        }
        Ok(Value::Tensor(
            self.builder.output_tensor(Some(shape), Some(dtype)),
        ))
    }
}

/// What `self.name` is.
#[derive(Clone, Debug)]
pub(crate) enum Member {
    /// An attribute, parameter or buffer.
    Value(Value),
    /// A child.
    Module(ModuleId),
}

/// The class of a module that a caller makes itself.
pub(crate) fn class_of(name: &'static str, bases: &'static [&'static str]) -> Class {
    Class {
        name: SmolStr::new_static(name),
        bases: bases.iter().map(|base| SmolStr::new_static(base)).collect(),
    }
}
