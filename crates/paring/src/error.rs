//! The one error type of the public interface.

use std::{error::Error as StdError, fmt};

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is, for programs to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be read.
    Io,
    /// A model is damaged or contradicts itself.
    Corrupt,
    /// A model asks for something that Paring does not have, or the program for something that this platform lacks.
    Unsupported,
    /// An argument is wrong: a name, shape, type or option.
    Invalid,
    /// The data given to a run is outside what an operator allows.
    Data,
    /// A limit of [`crate::Limits`] was hit.
    Limit,
    /// The run was cancelled.
    Cancelled,
    /// No memory.
    Memory,
    /// Code that the program brought failed, such as an [`crate::Operator`].
    Program,
    /// A defect of Paring itself.
    Internal,
}

/// A failure: a kind for programs, a sentence for people.
pub struct Error {
    kind: ErrorKind,
    node: Option<String>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error { kind, node: None, message: message.into(), source: None }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Error {
        Error::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn from_source(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Error {
        Error { kind, node: None, message: source.to_string(), source: Some(Box::new(source)) }
    }

    /// The system gave no thread where `what` asked for some.
    pub(crate) fn threads(what: &str, refused: &std::io::Error) -> Error {
        if refused.kind() != std::io::ErrorKind::Unsupported {
            return Error::new(ErrorKind::Memory, format!("{what}: {refused}"));
        }
        let instead =
            "leave runs to the calling thread, as they are where nothing is asked for, or bring threads of your own";
        Error::new(ErrorKind::Unsupported, format!("{what}: this platform has no threads to give; {instead}"))
    }

    pub(crate) fn at(mut self, node: &str) -> Error {
        self.node = Some(node.into());
        self
    }

    pub(crate) fn maybe_at(self, node: Option<String>) -> Error {
        Error { node, ..self }
    }

    /// The same failure, blamed on what the caller gave: the graph was well formed before that was known.
    pub(crate) fn blame(self, kind: ErrorKind) -> Error {
        if self.kind == ErrorKind::Corrupt { Error { kind, ..self } } else { self }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The node of the network at which it happened, where there is one.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref()?.source()
    }
}

impl From<paring_ir::GraphError> for Error {
    fn from(e: paring_ir::GraphError) -> Error {
        let kind = match e {
            paring_ir::GraphError::Limit { .. } => ErrorKind::Limit,
            _ => ErrorKind::Corrupt,
        };
        let node = graph_node(&e);
        Error::from_source(kind, e).maybe_at(node)
    }
}

/// The node that a defect of a graph is at.
pub(crate) fn graph_node(e: &paring_ir::GraphError) -> Option<String> {
    use paring_ir::GraphError as G;
    match e {
        G::Infer { node, .. } | G::NoSuchValue { node, .. } | G::Cycle { node } => Some(node.clone()),
        G::TypeMismatch { node, .. } | G::Epilogue { node, .. } => Some(node.clone()),
        _ => None,
    }
}

impl From<paring_plan::PlanError> for Error {
    fn from(e: paring_plan::PlanError) -> Error {
        use paring_plan::PlanError as P;
        let (kind, node) = match &e {
            P::NoKernel { node, .. } | P::UnknownShape { node, .. } => (ErrorKind::Unsupported, Some(node.clone())),
            P::Kernel { node, source, .. } => (kernel_kind(source), Some(node.clone())),
            P::Limit { .. } => (ErrorKind::Limit, None),
            P::Graph(g) => (ErrorKind::Corrupt, graph_node(g)),
            _ => (ErrorKind::Internal, None),
        };
        Error::from_source(kind, e).maybe_at(node)
    }
}

fn kernel_kind(e: &paring_kernel::KernelError) -> ErrorKind {
    match e {
        paring_kernel::KernelError::Alloc(_) => ErrorKind::Memory,
        paring_kernel::KernelError::Problem(_) => ErrorKind::Corrupt,
        paring_kernel::KernelError::Program(_) => ErrorKind::Program,
        _ => ErrorKind::Data,
    }
}

impl From<paring_core::TensorError> for Error {
    fn from(e: paring_core::TensorError) -> Error {
        let kind = match e {
            paring_core::TensorError::Alloc(_) => ErrorKind::Memory,
            _ => ErrorKind::Invalid,
        };
        Error::from_source(kind, e)
    }
}

impl From<paring_core::AllocError> for Error {
    fn from(e: paring_core::AllocError) -> Error {
        Error::from_source(ErrorKind::Memory, e)
    }
}

/// The error of a kernel at a node.
pub(crate) fn at_node(node: &str, op: &str, e: paring_kernel::KernelError) -> Error {
    Error::new(kernel_kind(&e), format!("node '{node}' ({op}): {e}")).at(node)
}
