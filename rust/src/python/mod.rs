//! The Python face of the core, one file a subject. Nothing else knows Python.

pub mod blobs;
pub mod formats;
pub mod sorting;
pub mod tiles;
