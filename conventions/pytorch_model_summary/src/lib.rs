//! Convention: pytorch_model_summary 0.1.2.
