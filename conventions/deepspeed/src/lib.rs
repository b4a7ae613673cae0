//! Convention: DeepSpeed's flops profiler 0.19.8.
