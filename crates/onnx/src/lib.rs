//! ONNX models: binary and text, shape inference, the module tree put back.
