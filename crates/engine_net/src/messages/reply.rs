//! The answer to a request: `{"ok": …}` or `{"error": {"code": …, "message": …}}`.

use serde::{Deserialize, Serialize};

/// An answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply<T> {
    /// It was done; here is what was asked for.
    Ok(T),
    /// It was not done.
    Error(Problem),
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A word for programs.
    pub code: String,
    /// For people: what was tried, on what, and what to do.
    pub message: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(code: &str, message: impl std::fmt::Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl<T> From<Problem> for Reply<T> {
    fn from(problem: Problem) -> Self {
        Self::Error(problem)
    }
}

impl<T> Reply<T> {
    /// As a result.
    pub fn into_result(self) -> Result<T, Problem> {
        match self {
            Self::Ok(answer) => Ok(answer),
            Self::Error(problem) => Err(problem),
        }
    }
}
