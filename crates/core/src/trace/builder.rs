//! How a trace is made.

use smol_str::SmolStr;

use super::{
    Argument, Buffer, BufferId, Call, CallId, Module, ModuleId, Origin, Parameter, ParameterId,
    Shape, Target, Tensor, TensorId, Trace,
};
use crate::dtype::DType;
use crate::expr::Span;
use crate::value::Value;

/// Builds a trace call by call.
#[derive(Debug, Default)]
pub struct TraceBuilder {
    trace: Trace,
    open: Vec<CallId>,
}

impl TraceBuilder {
    /// An empty trace of a model read from a file of the given kind.
    pub fn new(name: impl Into<String>, format: &'static str) -> TraceBuilder {
        let trace = Trace {
            name: name.into(),
            format,
            ..Trace::default()
        };
        TraceBuilder {
            trace,
            open: Vec::new(),
        }
    }

    /// What was built so far.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What was built so far, to amend.
    pub fn trace_mut(&mut self) -> &mut Trace {
        &mut self.trace
    }

    /// Adds a module. The first one is the root.
    pub fn module(&mut self, module: Module) -> ModuleId {
        self.trace.modules.push(module);
        ModuleId::new(self.trace.modules.len() - 1)
    }

    /// Makes `child` a child of `parent` under a name.
    pub fn add_child(&mut self, parent: ModuleId, name: impl Into<SmolStr>, child: ModuleId) {
        self.trace.modules[parent.index()]
            .children
            .push((name.into(), child));
    }

    /// Adds a tensor.
    pub fn tensor(
        &mut self,
        shape: Option<Shape>,
        dtype: Option<DType>,
        origin: Origin,
    ) -> TensorId {
        self.trace.tensors.push(Tensor {
            shape,
            dtype,
            origin,
            strides: None,
            without_gradient: false,
            wants_gradient: false,
        });
        TensorId::new(self.trace.tensors.len() - 1)
    }

    /// Adds a tensor that the innermost open call makes.
    pub fn output_tensor(&mut self, shape: Option<Shape>, dtype: Option<DType>) -> TensorId {
        let origin = self
            .open
            .last()
            .map_or(Origin::Constant, |call| Origin::Call(*call));
        self.tensor(shape, dtype, origin)
    }

    /// Adds a parameter and registers it with its module. `path` is the full name.
    pub fn parameter(
        &mut self,
        owner: ModuleId,
        name: impl Into<SmolStr>,
        path: impl Into<SmolStr>,
        shape: Shape,
        dtype: DType,
    ) -> ParameterId {
        let id = ParameterId::new(self.trace.parameters.len());
        let tensor = self.tensor(Some(shape.clone()), Some(dtype), Origin::Parameter(id));
        let requires_grad = dtype.is_floating_point();
        self.trace.parameters.push(Parameter {
            name: path.into(),
            shape,
            dtype,
            requires_grad,
            tensor,
        });
        self.trace.modules[owner.index()]
            .parameters
            .push((name.into(), Some(id)));
        id
    }

    /// Registers an absent parameter, such as the bias of a layer without one.
    pub fn no_parameter(&mut self, owner: ModuleId, name: impl Into<SmolStr>) {
        self.trace.modules[owner.index()]
            .parameters
            .push((name.into(), None));
    }

    /// Registers an existing parameter with one more module (tied weights).
    pub fn tie_parameter(
        &mut self,
        owner: ModuleId,
        name: impl Into<SmolStr>,
        parameter: ParameterId,
    ) {
        let name = name.into();
        let parameters = &mut self.trace.modules[owner.index()].parameters;
        match parameters
            .iter_mut()
            .find(|(existing, _)| *existing == name)
        {
            Some(entry) => entry.1 = Some(parameter),
            None => parameters.push((name, Some(parameter))),
        }
    }

    /// Adds a buffer and registers it with its module.
    pub fn buffer(
        &mut self,
        owner: ModuleId,
        name: impl Into<SmolStr>,
        path: impl Into<SmolStr>,
        shape: Shape,
        dtype: DType,
    ) -> BufferId {
        let id = BufferId::new(self.trace.buffers.len());
        let tensor = self.tensor(Some(shape.clone()), Some(dtype), Origin::Buffer(id));
        self.trace.buffers.push(Buffer {
            name: path.into(),
            shape,
            dtype,
            persistent: true,
            tensor,
        });
        self.trace.modules[owner.index()]
            .buffers
            .push((name.into(), id));
        id
    }

    /// Begins a call inside the innermost open one.
    pub fn begin(
        &mut self,
        target: Target,
        arguments: Vec<Argument>,
        span: Option<Span>,
    ) -> CallId {
        let id = CallId::new(self.trace.calls.len());
        let parent = self.open.last().copied();
        self.trace.calls.push(Call {
            target,
            parent,
            end: id,
            arguments,
            output: Value::None,
            span,
        });
        self.open.push(id);
        id
    }

    /// Ends the innermost open call.
    pub fn end(&mut self, output: Value) {
        if let Some(id) = self.open.pop() {
            let end = CallId::new(self.trace.calls.len());
            let call = &mut self.trace.calls[id.index()];
            call.end = end;
            call.output = output;
        }
    }

    /// Adds a call that makes one tensor and calls nothing else.
    pub fn leaf(
        &mut self,
        target: Target,
        arguments: Vec<Argument>,
        shape: Shape,
        dtype: DType,
    ) -> TensorId {
        self.begin(target, arguments, None);
        let output = self.output_tensor(Some(shape), Some(dtype));
        self.end(Value::Tensor(output));
        output
    }

    /// The innermost open call.
    pub fn innermost(&self) -> Option<CallId> {
        self.open.last().copied()
    }

    /// How many calls are open.
    pub fn depth(&self) -> usize {
        self.open.len()
    }

    /// The trace, with calls that are still open ended without a value.
    pub fn finish(mut self) -> Trace {
        while !self.open.is_empty() {
            self.end(Value::None);
        }
        self.trace
    }
}
