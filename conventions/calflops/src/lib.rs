//! Convention: calflops 0.3.2.
