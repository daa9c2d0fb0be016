//! Errors of the core, by whose bytes are at fault.

/// What is wrong, in words for the user.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// The user's input is malformed.
    #[error("{0}")]
    Input(String),
    /// Bytes of a dataset fail their checks.
    #[error("{0}")]
    Corrupt(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn input(message: impl Into<String>) -> Self {
        Error::Input(message.into())
    }

    pub fn corrupt(message: impl Into<String>) -> Self {
        Error::Corrupt(message.into())
    }

    /// The same error about records that were stored, and not given by the user.
    pub fn stored(self) -> Self {
        match self {
            Error::Input(message) | Error::Corrupt(message) => Error::Corrupt(message),
        }
    }

    /// Say first where the error is: "record 7: ...".
    pub fn within(self, place: &str) -> Self {
        match self {
            Error::Input(message) => Error::Input(format!("{place}: {message}")),
            Error::Corrupt(message) => Error::Corrupt(format!("{place}: {message}")),
        }
    }
}

/// An error about damaged dataset bytes.
pub fn corrupt(message: &str) -> Error {
    Error::corrupt(message)
}

/// Quote text of the input for a message: printable, and at most some 40 characters.
pub fn quote(text: &[u8]) -> String {
    const LONGEST: usize = 40;
    let shown = text[..text.len().min(LONGEST)].escape_ascii();
    let more = if text.len() > LONGEST { "..." } else { "" };
    format!("\"{shown}{more}\"")
}
