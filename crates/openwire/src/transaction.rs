//! Transactions of one connection, or branches of distributed ones.

use std::fmt;

use crate::error::{Error, Result};
use crate::fields::{Nested, Sink, Source};
use crate::structures::{Command, LocalTransactionId, XaTransactionId};

/// The identity of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TransactionId {
    /// A transaction of one connection.
    Local(LocalTransactionId),
    /// A branch of a distributed transaction.
    Xa(XaTransactionId),
}

impl Nested for TransactionId {
    fn code(&self) -> u8 {
        match self {
            TransactionId::Local(id) => id.code(),
            TransactionId::Xa(id) => id.code(),
        }
    }

    fn read_as<S: Source>(code: u8, source: &mut S) -> Result<Self> {
        match code {
            111 => Ok(TransactionId::Local(Nested::read_as(code, source)?)),
            112 => Ok(TransactionId::Xa(Nested::read_as(code, source)?)),
            _ => Err(Error::UnexpectedType { code, expected: "a transaction id" }),
        }
    }

    fn write_fields<S: Sink>(&self, sink: &mut S) -> Result<()> {
        match self {
            TransactionId::Local(id) => id.write_fields(sink),
            TransactionId::Xa(id) => id.write_fields(sink),
        }
    }
}

impl From<LocalTransactionId> for TransactionId {
    fn from(value: LocalTransactionId) -> Self {
        TransactionId::Local(value)
    }
}

impl From<XaTransactionId> for TransactionId {
    fn from(value: XaTransactionId) -> Self {
        TransactionId::Xa(value)
    }
}

impl From<TransactionId> for Command {
    fn from(value: TransactionId) -> Self {
        match value {
            TransactionId::Local(id) => Command::LocalTransactionId(id),
            TransactionId::Xa(id) => Command::XaTransactionId(id),
        }
    }
}

/// `TX:connection:value`, or `XID:[format,globalId=hex,branchId=hex]` with every digit.
impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets = |bytes: &Option<bytes::Bytes>| -> String {
            bytes.iter().flatten().map(|b| format!("{b:02x}")).collect()
        };
        match self {
            TransactionId::Local(id) => {
                let connection = id.connection_id.as_ref().and_then(|c| c.value.clone()).unwrap_or_default();
                write!(f, "TX:{connection}:{}", id.value)
            }
            TransactionId::Xa(id) => write!(
                f,
                "XID:[{},globalId={},branchId={}]",
                id.format_id,
                octets(&id.global_transaction_id),
                octets(&id.branch_qualifier)
            ),
        }
    }
}

/// What a [`crate::TransactionInfo`] does (its field `kind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
#[non_exhaustive]
pub enum TransactionType {
    /// Begins; a second one is ignored.
    Begin = 0,
    /// First phase; answered with an `IntegerResponse` (0 ready, 3 read-only and gone).
    Prepare = 1,
    /// Commits without a first phase.
    CommitOnePhase = 2,
    /// Second phase.
    CommitTwoPhase = 3,
    /// Undoes everything.
    Rollback = 4,
    /// Asks for prepared transactions; answered with a `DataArrayResponse`.
    Recover = 5,
    /// Forgets a heuristic outcome.
    Forget = 6,
    /// Ends the association of a branch.
    End = 7,
}

impl TransactionType {
    /// The type behind the field, if it is known.
    pub fn from_wire(value: i8) -> Option<Self> {
        Some(match value {
            0 => Self::Begin,
            1 => Self::Prepare,
            2 => Self::CommitOnePhase,
            3 => Self::CommitTwoPhase,
            4 => Self::Rollback,
            5 => Self::Recover,
            6 => Self::Forget,
            7 => Self::End,
            _ => return None,
        })
    }
}
