//! The two ways in which bytes can be wrong.

/// What is wrong with which bytes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user's input is malformed.
    #[error("{0}")]
    Input(String),
    /// Bytes of a dataset are not what was written.
    #[error("{0}")]
    Corrupt(String),
}

pub type Result<T> = std::result::Result<T, Error>;

/// An error about damaged dataset bytes.
pub fn corrupt(message: &str) -> Error {
    Error::Corrupt(message.to_owned())
}
