//! Exceptions as text: a class name is never looked up, only carried.

use std::fmt;
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

macro_rules! exception_classes {
    ($($variant:ident = $name:literal,)*) => {
        /// Java classes that peers are known to send and to understand. No other name is ever acted upon.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ExceptionClass {
            $( #[doc = concat!("`", $name, "`")] $variant, )*
        }

        impl ExceptionClass {
            /// Every class of the list.
            pub const ALL: &[ExceptionClass] = &[$( ExceptionClass::$variant, )*];

            /// The name of the class, in the spelling of ActiveMQ 5 (`javax.jms`), which every client understands.
            pub fn name(self) -> &'static str {
                match self {
                    $( ExceptionClass::$variant => $name, )*
                }
            }
        }
    };
}

exception_classes! {
    Jms = "javax.jms.JMSException",
    JmsIllegalState = "javax.jms.IllegalStateException",
    JmsSecurity = "javax.jms.JMSSecurityException",
    InvalidClientId = "javax.jms.InvalidClientIDException",
    InvalidDestination = "javax.jms.InvalidDestinationException",
    InvalidSelector = "javax.jms.InvalidSelectorException",
    MessageEof = "javax.jms.MessageEOFException",
    MessageFormat = "javax.jms.MessageFormatException",
    MessageNotReadable = "javax.jms.MessageNotReadableException",
    MessageNotWriteable = "javax.jms.MessageNotWriteableException",
    ResourceAllocation = "javax.jms.ResourceAllocationException",
    TransactionInProgress = "javax.jms.TransactionInProgressException",
    TransactionRolledBack = "javax.jms.TransactionRolledBackException",
    Xa = "javax.transaction.xa.XAException",
    DestinationDoesNotExist = "org.apache.activemq.DestinationDoesNotExistException",
    ConnectionFailed = "org.apache.activemq.ConnectionFailedException",
    BrokerStopped = "org.apache.activemq.broker.BrokerStoppedException",
    MaxFrameSizeExceeded = "org.apache.activemq.MaxFrameSizeExceededException",
    Security = "java.lang.SecurityException",
    IllegalArgument = "java.lang.IllegalArgumentException",
    IllegalState = "java.lang.IllegalStateException",
    NullPointer = "java.lang.NullPointerException",
    Runtime = "java.lang.RuntimeException",
    UnsupportedOperation = "java.lang.UnsupportedOperationException",
    Exception = "java.lang.Exception",
    Io = "java.io.IOException",
    Interrupted = "java.io.InterruptedIOException",
}

impl ExceptionClass {
    /// The class behind a name. Peers of ActiveMQ 6 say `jakarta.jms` where others say `javax.jms`.
    pub fn from_name(name: &str) -> Option<Self> {
        let tail = name.strip_prefix("jakarta.jms.");
        let same = |class: &&Self| match tail {
            Some(tail) => class.name().strip_prefix("javax.jms.") == Some(tail),
            None => class.name() == name,
        };
        Self::ALL.iter().find(same).copied()
    }
}

impl Throwable {
    /// An exception of a known class.
    pub fn of(class: ExceptionClass, message: impl Into<WireStr>) -> Self {
        Self::new(class.name(), message)
    }

    /// The class, if it is a known one.
    pub fn known_class(&self) -> Option<ExceptionClass> {
        ExceptionClass::from_name(&self.class.as_ref()?.to_str())
    }
}

/// `class: message`, as Java prints it.
impl fmt::Display for Throwable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.as_ref().map_or("unknown exception".into(), WireStr::to_str);
        match &self.message {
            Some(message) => write!(f, "{class}: {message}"),
            None => f.write_str(&class),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_classes_are_found_in_both_spellings() {
        for &class in ExceptionClass::ALL {
            assert_eq!(ExceptionClass::from_name(class.name()), Some(class));
        }
        assert_eq!(
            ExceptionClass::from_name("jakarta.jms.InvalidSelectorException"),
            Some(ExceptionClass::InvalidSelector)
        );
        assert_eq!(ExceptionClass::from_name("jakarta.jms.java.lang.Exception"), None);
        assert_eq!(ExceptionClass::from_name("evil.Gadget"), None);
        assert_eq!(Throwable::new("evil.Gadget", "x").known_class(), None);
    }
}
