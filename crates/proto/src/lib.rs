//! The protobufs of FerroMQ's admin service, and of gRPC's health protocol; generated code only.
//!
//! Not in here: what the messages mean to a broker (`ferromq-admin`), sockets, or any decision.
//!
//! * [`admin`]: `ferromq.admin.v1`, who is master and why, and the two commands that change that.
//! * [`health`]: `grpc.health.v1`, for probes that know nothing of FerroMQ.
//!
//! Invariant: field numbers are never given a second meaning; a field that goes away is reserved.
//!
//! ```
//! use ferromq_proto::admin::{Role, Status};
//!
//! let status = Status { node: "a".into(), role: Role::Active.into(), epoch: 7, ..Status::default() };
//! assert_eq!(status.role(), Role::Active);
//! ```

/// `ferromq.admin.v1`, see `proto/ferromq/admin/v1/admin.proto`.
#[allow(missing_docs, reason = "generated; the documentation stands in the protobuf")]
#[allow(clippy::all, reason = "generated")]
pub mod admin {
    tonic::include_proto!("ferromq.admin.v1");
}

/// `grpc.health.v1`, see `proto/grpc/health/v1/health.proto`.
#[allow(missing_docs, reason = "generated; the documentation stands in the protobuf")]
#[allow(clippy::all, reason = "generated")]
pub mod health {
    tonic::include_proto!("grpc.health.v1");
}
