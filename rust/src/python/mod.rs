//! The Python face of the core, one file a subject. Nothing else knows Python.

pub mod formats;
pub mod tiles;
