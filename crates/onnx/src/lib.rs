//! ONNX models: binary and text, shape inference, the module tree put back.

mod decode;
mod dims;
mod error;
mod file;
pub mod infer;
pub mod model;
mod shapes;
mod tensor;
mod wire;

pub use decode::decode;
pub use error::{Diagnostic, OnnxError};
pub use file::ModelFile;
pub use shapes::{Shapes, ValueShape, parse_value, shapes, shapes_of};
pub use tensor::Elements;
