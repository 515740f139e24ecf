//! `grpc.health.v1`: the answers for probes.

use std::pin::Pin;

use ferromq_proto::health::health_check_response::ServingStatus;
use ferromq_proto::health::health_server::Health;
use ferromq_proto::health::{HealthCheckRequest, HealthCheckResponse};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use crate::view::{Role, RoleView};

/// Liveness and readiness of a node.
pub(crate) struct HealthService {
    views: watch::Receiver<RoleView>,
}

impl HealthService {
    pub(crate) fn new(views: watch::Receiver<RoleView>) -> Self {
        Self { views }
    }
}

/// `None` for a service that is not known.
fn judged(service: &str, role: Role) -> Option<ServingStatus> {
    match service {
        "" | "liveness" => Some(ServingStatus::Serving),
        "readiness" if role == Role::Active => Some(ServingStatus::Serving),
        "readiness" => Some(ServingStatus::NotServing),
        _ => None,
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        let role = self.views.borrow().role;
        judged(&service, role)
            .map(|status| Response::new(answer(status)))
            .ok_or_else(|| Status::not_found("no such service; there is '' or 'liveness', and 'readiness'"))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let mut last = None;
        let changes = WatchStream::new(self.views.clone()).filter_map(move |view| {
            let status = judged(&service, view.role).unwrap_or(ServingStatus::ServiceUnknown);
            (last.replace(status) != Some(status)).then(|| Ok(answer(status)))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
