//! Opens any model file: finds out what it is and hands it to the reader of its format.
