//! Errors: what went wrong, where in the model and in the caller's code, and what to do about it.
//!
//! Tensor operators do not return `Result`. An op that cannot be recorded yields a *failed tensor* that carries the
//! first error through all later ops; the error also waits in a slot of the thread, so that the next evaluation
//! returns it even if the tensor was dropped.

use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// What the outside world may fail with.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of mistake an [`Error`] reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes or dtypes that do not fit an op.
    Shape,
    /// A value that does not satisfy a check, such as a label out of range.
    Value,
    /// Misuse of gradients, such as a second backward.
    Autograd,
    /// A dataset or sample that cannot be used.
    Data,
    /// A file that cannot be read or written.
    Io,
    /// A file whose content is not what its format says.
    Format,
    /// An argument or a combination of arguments that makes no sense.
    Usage,
    /// A device that is missing or tensors on different devices.
    Device,
}

/// An error with its context. Cheap to clone: a failed tensor and all that is made of it share one.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    /// The modules that were running, outermost first.
    scope: String,
    location: Option<&'static Location<'static>>,
}

impl Error {
    /// An error from its kind and message.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error(Arc::new(Inner {
            kind,
            message: message.into(),
            scope: String::new(),
            location: None,
        }))
    }

    /// An error at the line of the caller's code: what a layer refuses.
    #[track_caller]
    pub fn here(kind: ErrorKind, message: impl Into<String>) -> Error {
        Error::located(kind, message, Location::caller())
    }

    /// An error at a line of the caller's code.
    pub(crate) fn located(
        kind: ErrorKind,
        message: impl Into<String>,
        location: &'static Location<'static>,
    ) -> Error {
        let (message, location) = (message.into(), Some(location));
        Error(Arc::new(Inner { kind, message, scope: String::new(), location }))
    }

    /// The same error with the module it happened in put before its module path.
    pub(crate) fn within(&self, module: impl fmt::Display) -> Error {
        let scope = match self.0.scope.as_str() {
            "" => module.to_string(),
            inner => format!("{module} › {inner}"),
        };
        let Inner { kind, message, location, .. } = &*self.0;
        let (kind, message, location) = (*kind, message.clone(), *location);
        Error(Arc::new(Inner { kind, message, scope, location }))
    }

    /// The same error with what was being done put before its message: `reading x.gz: …`.
    #[must_use]
    pub fn context(&self, doing: impl fmt::Display) -> Error {
        Error(Arc::new(Inner {
            kind: self.0.kind,
            message: format!("{doing}: {}", self.0.message),
            scope: self.0.scope.clone(),
            location: self.0.location,
        }))
    }

    /// What kind of mistake it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The message alone, without module path and location.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn is_same(&self, other: &Error) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if !self.0.scope.is_empty() {
            write!(f, "\n  in {}", self.0.scope)?;
        }
        match self.0.location {
            Some(at) => write!(f, "\n  at {}:{}:{}", at.file(), at.line(), at.column()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self}", self.0.kind)
    }
}

impl std::error::Error for Error {}

thread_local! {
    static UNREPORTED: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Leaves an error for the thread's next evaluation; the first one stays.
pub(crate) fn leave(error: &Error) {
    UNREPORTED.with_borrow_mut(|slot| {
        slot.get_or_insert_with(|| error.clone());
    });
}

/// Takes the error left for this evaluation.
pub(crate) fn take() -> Option<Error> {
    UNREPORTED.with_borrow_mut(Option::take)
}

/// Replaces an error that waits by the same one with more context, or by nothing once it is reported.
pub(crate) fn replace(error: &Error, by: Option<&Error>) {
    UNREPORTED.with_borrow_mut(|slot| {
        if slot.as_ref().is_some_and(|e| e.is_same(error)) {
            *slot = by.cloned();
        }
    });
}
