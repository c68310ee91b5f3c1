//! Exit statuses, and the failure that carries one together with a sentence for the user.

use paring::{Error, ErrorKind};
use std::fmt::Display;
use std::process::ExitCode;

/// What the process tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    Differs = 3,
    Unsupported = 4,
    Corrupt = 5,
    Limit = 6,
    Timeout = 124,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command stopped. An empty message is not printed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

/// The result of every step of a command.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into() }
    }

    /// The arguments ask for something that makes no sense.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    /// Anything without a status of its own, such as an unreadable file.
    pub fn other(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Failure, message)
    }

    /// What a library says, as it says it.
    pub fn said(error: impl Display) -> Failure {
        Failure::other(error.to_string())
    }

    /// More than the limits allow.
    pub fn limit(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Limit, message)
    }

    /// Puts `what` before the message.
    #[must_use]
    pub fn within(mut self, what: impl Display) -> Failure {
        self.message = format!("{what}: {}", self.message);
        self
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        let exit = match e.kind() {
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::Unsupported => Exit::Unsupported,
            ErrorKind::Corrupt => Exit::Corrupt,
            ErrorKind::Limit | ErrorKind::Memory => Exit::Limit,
            // Nothing but the time limit cancels a run here.
            ErrorKind::Cancelled => {
                return Failure::new(Exit::Timeout, format!("out of time: the limit is reached, {e}"));
            }
            // I/O, data outside what an operator allows, and defects have no status of their own.
            _ => Exit::Failure,
        };
        Failure::new(exit, e.to_string())
    }
}

/// Adds what was being done to an error of the standard library or of a decoder.
pub trait Context<T> {
    fn context(self, what: impl Display) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|e| Failure::other(format!("{what}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_the_interface() {
        let all = [Exit::Ok, Exit::Failure, Exit::Usage, Exit::Differs, Exit::Unsupported, Exit::Corrupt, Exit::Limit];
        for (i, e) in all.into_iter().enumerate() {
            assert_eq!(e as usize, i);
        }
        assert_eq!(Exit::Timeout as u8, 124);
    }

    #[test]
    fn context_precedes_the_cause() {
        let f = "x".parse::<u8>().context("reading a number").expect_err("not a number");
        assert!(f.message.starts_with("reading a number: "), "{}", f.message);
        assert_eq!(f.within("file a").message.split(": ").next(), Some("file a"));
    }
}
