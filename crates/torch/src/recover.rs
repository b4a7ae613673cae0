//! What a program's operator calls tell about the modules that made them.
