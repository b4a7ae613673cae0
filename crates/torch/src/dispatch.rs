//! What each operator dispatches to below autograd.
//!
//! `torch.export` records an operator as Python called it; a `TorchDispatchMode`, which is how
//! PyTorch's own counter and others look, sees what that one is composed of on the CPU with
//! gradients enabled. Written down is what counters have rules for (matrix products, convolutions,
//! attention), not the views and copies between. Behaviour of torch 2.15.0, as logged by such a
//! mode; the composition itself is in `aten/src/ATen/native`.

mod attention;
mod conv;
mod einsum;
pub mod layout;
mod product;
mod recurrent;

use modelcost_core::SmolStr;
use modelcost_core::dim::Dim;
use modelcost_core::dtype::DType;
use modelcost_core::trace::{
    Argument, Origin, Passed, Shape, Target, TensorId, Trace, TraceBuilder,
};
use modelcost_core::value::Value;

/// Writes the calls that an operator dispatches to; called between its begin and its end. Operators
/// that are called as they are, and those that no counter looks into, have none.
pub fn expand(builder: &mut TraceBuilder, operator: &str, arguments: &[Argument], output: &Value) {
    let Some((name, rule)) = rule_of(operator) else {
        return;
    };
    let mut dispatch = Dispatch {
        builder,
        name,
        arguments,
        output,
    };
    // Without shapes there is nothing to say.
    let _ = rule(&mut dispatch);
}

/// The name of an operator without its namespace, and what takes it apart.
fn rule_of(operator: &str) -> Option<(&str, Rule)> {
    let name = operator.strip_prefix("aten.")?;
    let rule: Rule = match name {
        "linear" => product::linear,
        "matmul" | "linalg_matmul" | "__matmul__" => product::matmul,
        "tensordot" => product::tensordot,
        "inner" => product::inner,
        "linalg_multi_dot" | "chain_matmul" => product::chain,
        "bilinear" => product::bilinear,
        "einsum" => einsum::einsum,
        "conv1d" | "conv2d" | "conv3d" => conv::conv,
        "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d" => conv::conv_transpose,
        "scaled_dot_product_attention" => attention::attention,
        "lstm" | "gru" | "rnn_tanh" | "rnn_relu" => recurrent::layers,
        "lstm_cell" | "gru_cell" | "rnn_tanh_cell" | "rnn_relu_cell" => recurrent::cell,
        _ => return None,
    };
    Some((name, rule))
}

/// Whether what an operator dispatches to may depend on how its inputs were made: on their layout, or on whether
/// gradients flow to them. Convolutions do not ask.
pub(crate) fn looks_back(operator: &str) -> bool {
    rule_of(operator).is_some_and(|(name, _)| !name.starts_with("conv"))
}

type Rule = fn(&mut Dispatch<'_>) -> Option<()>;

/// More calls than any operator makes; a recurrent layer makes a few for each step.
const MAX_CALLS: usize = 1 << 20;

/// One operator call that is being taken apart.
struct Dispatch<'a> {
    builder: &'a mut TraceBuilder,
    name: &'a str,
    arguments: &'a [Argument],
    output: &'a Value,
}

/// A matrix or a batch of them on its way into a product.
#[derive(Clone, Debug)]
struct Matrix {
    shape: Shape,
    dtype: Option<DType>,
}

impl Dispatch<'_> {
    fn trace(&self) -> &Trace {
        self.builder.trace()
    }

    fn value(&self, name: &str) -> &Value {
        self.arguments
            .iter()
            .find(|argument| argument.name == name)
            .map_or(&Value::None, |argument| &argument.value)
    }

    fn tensor(&self, name: &str) -> Option<TensorId> {
        self.value(name).tensor()
    }

    fn shape(&self, name: &str) -> Option<Shape> {
        self.shape_of(self.tensor(name)?)
    }

    fn shape_of(&self, tensor: TensorId) -> Option<Shape> {
        self.trace().tensor(tensor).shape.clone()
    }

    fn dtype(&self, name: &str) -> Option<DType> {
        self.trace().tensor(self.tensor(name)?).dtype
    }

    /// A tensor that the operator makes on the way.
    fn temporary(&mut self, shape: Shape, dtype: Option<DType>) -> Value {
        let origin = self
            .builder
            .innermost()
            .map_or(Origin::Constant, Origin::Call);
        Value::Tensor(self.builder.tensor(Some(shape), dtype, origin))
    }

    /// A call of an operator that is not taken apart further.
    fn call(
        &mut self,
        operator: &'static str,
        arguments: Vec<(&'static str, Value)>,
        output: Value,
    ) {
        let named = |(name, value)| Argument {
            name: SmolStr::new_static(name),
            value,
            passed: Passed::Position,
        };
        let arguments = arguments.into_iter().map(named).collect();
        let target = Target::Operator(SmolStr::new_static(operator));
        self.builder.begin(target, arguments, None);
        self.builder.end(output);
    }

    /// The value that stands for `shape`: the operator's own output if it has that shape.
    fn result(&mut self, shape: Shape, dtype: Option<DType>) -> Value {
        let own = self
            .output
            .tensor()
            .filter(|id| self.shape_of(*id).as_ref() == Some(&shape));
        match own {
            Some(id) => Value::Tensor(id),
            None => self.temporary(shape, dtype),
        }
    }

    /// `a @ b` of matrices.
    fn mm(&mut self, a: Matrix, b: Matrix) -> Option<()> {
        let shape = vec![a.shape.first()?.clone(), b.shape.get(1)?.clone()];
        let dtype = a.dtype;
        let output = self.result(shape, dtype);
        let arguments = self.operands(["self", "mat2"], [a, b]);
        self.call("aten.mm", arguments, output);
        Some(())
    }

    /// `bias + a @ b` of matrices.
    fn addmm(&mut self, bias: Value, a: Matrix, b: Matrix) -> Option<()> {
        let shape = vec![a.shape.first()?.clone(), b.shape.get(1)?.clone()];
        let dtype = a.dtype;
        let output = self.result(shape, dtype);
        let mut arguments = vec![("self", bias)];
        arguments.extend(self.operands(["mat1", "mat2"], [a, b]));
        self.call("aten.addmm", arguments, output);
        Some(())
    }

    /// `a @ b` of batches of matrices.
    fn bmm(&mut self, a: Matrix, b: Matrix) -> Option<()> {
        let shape = vec![
            a.shape.first()?.clone(),
            a.shape.get(1)?.clone(),
            b.shape.get(2)?.clone(),
        ];
        let dtype = a.dtype;
        let output = self.result(shape, dtype);
        let arguments = self.operands(["self", "mat2"], [a, b]);
        self.call("aten.bmm", arguments, output);
        Some(())
    }

    fn operands(
        &mut self,
        names: [&'static str; 2],
        matrices: [Matrix; 2],
    ) -> Vec<(&'static str, Value)> {
        let named = names.into_iter().zip(matrices);
        named
            .map(|(name, matrix)| (name, self.temporary(matrix.shape, matrix.dtype)))
            .collect()
    }
}

impl Matrix {
    fn new(shape: impl Into<Shape>, dtype: Option<DType>) -> Matrix {
        Matrix {
            shape: shape.into(),
            dtype,
        }
    }
}

/// The numbers of an argument such as `stride`, one for each of `n` dimensions.
fn per_dimension(value: &Value, n: usize, default: i32) -> Option<Vec<Dim>> {
    match value {
        Value::None => Some(vec![Dim::from(default); n]),
        Value::Int(single) => Some(vec![single.clone(); n]),
        Value::List(items) | Value::Tuple(items) => match items.as_slice() {
            [] => Some(vec![Dim::from(default); n]),
            [Value::Int(single)] => Some(vec![single.clone(); n]),
            items => items.iter().map(Value::int).collect(),
        },
        _ => None,
    }
}

fn list(dims: Vec<Dim>) -> Value {
    Value::List(dims.into_iter().map(Value::Int).collect())
}
