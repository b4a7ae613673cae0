//! Convention: ptflops 0.7.5 and 0.6.9.
