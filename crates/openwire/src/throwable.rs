//! Exceptions as text: a class name is never looked up, only carried.

use std::sync::Arc;

use crate::text::WireStr;

/// An exception of the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Throwable {
    /// Name of the Java class, such as `javax.jms.JMSException`.
    pub class: Option<WireStr>,
    /// The message.
    pub message: Option<WireStr>,
    /// Where it was thrown, outermost call last; travels only if stack traces were negotiated.
    pub stack: Vec<StackFrame>,
    /// What caused it; travels only if stack traces were negotiated.
    pub cause: Option<Arc<Throwable>>,
}

/// One line of a stack trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StackFrame {
    /// Name of the class.
    pub class: Option<WireStr>,
    /// Name of the method.
    pub method: Option<WireStr>,
    /// Name of the file, if it is known.
    pub file: Option<WireStr>,
    /// Number of the line; -2 is a native method.
    pub line: i32,
}

impl Throwable {
    /// An exception without a stack.
    pub fn new(class: impl Into<WireStr>, message: impl Into<WireStr>) -> Self {
        Self { class: Some(class.into()), message: Some(message.into()), ..Self::default() }
    }
}
