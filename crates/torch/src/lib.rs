//! PyTorch's vocabulary: what each module owns and calls, and the shapes of its operators.
