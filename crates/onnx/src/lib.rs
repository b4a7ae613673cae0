//! ONNX models: binary and text, shape inference, the module tree put back.

mod convert;
mod decode;
mod dims;
mod encode;
mod error;
mod file;
pub mod infer;
pub mod model;
mod shapes;
mod source;
mod tensor;
pub mod text;
mod trace;
mod wire;

pub use convert::{Converted, convert};
pub use decode::decode;
pub use encode::encode;
pub use error::OnnxError;
pub use file::ModelFile;
pub use shapes::{Shapes, ValueShape, parse_value, shapes, shapes_of};
pub use tensor::Elements;
pub use trace::{Listing, NodePlace, listing, read_path, trace};
