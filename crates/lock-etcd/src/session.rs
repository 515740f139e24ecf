//! [`Session`]: a connection to one member, with a deadline on everything.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::Target;
use crate::proto::auth_client::AuthClient;
use crate::proto::kv_client::KvClient;
use crate::proto::lease_client::LeaseClient;
use crate::proto::{AuthenticateRequest, LeaseGrantRequest, LeaseKeepAliveRequest, TxnRequest, TxnResponse};

/// A connection on a runtime of its own. Blocking; never to be used within another runtime.
pub(crate) struct Session {
    // The channel goes first: the runtime's end drops the connection.
    calls: Calls,
    runtime: Runtime,
    member: String,
}

/// What can be asked within [`Session::run`].
#[derive(Clone)]
pub(crate) struct Calls {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Session {
    /// Connects to a member, and logs in if that is asked for.
    pub(crate) fn open(target: &Target, member: &str, within: Duration) -> Result<Self, String> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let endpoint = Endpoint::from_shared(member.to_owned()).map_err(|error| error.to_string())?;
        let endpoint = endpoint.connect_timeout(within).tcp_nodelay(true);
        let opened = async {
            let channel = endpoint.connect().await.map_err(|error| chain(&error))?;
            let token = match &target.login {
                Some((name, password)) => {
                    let login = AuthenticateRequest { name: name.clone(), password: password.clone() };
                    let answer = AuthClient::new(channel.clone()).authenticate(login).await.map_err(told)?;
                    let token = answer.into_inner().token.parse::<MetadataValue<Ascii>>();
                    Some(token.map_err(|_| "the login was answered without a token".to_owned())?)
                }
                None => None,
            };
            Ok::<Calls, String>(Calls { channel, token })
        };
        let outcome = runtime.block_on(async { timeout(within, opened).await });
        match outcome {
            Ok(Ok(calls)) => Ok(Self { calls, runtime, member: member.to_owned() }),
            Ok(Err(reason)) => Err(format!("{member}: {reason}")),
            Err(_) => Err(format!("{member} did not answer within {within:?}")),
        }
    }

    /// Waits for what is asked for; after an error the session is of no more use.
    pub(crate) fn run<T>(
        &self,
        within: Duration,
        ask: impl AsyncFnOnce(Calls) -> Result<T, Status>,
    ) -> Result<T, String> {
        let calls = self.calls.clone();
        match self.runtime.block_on(async { timeout(within, ask(calls)).await }) {
            Ok(answer) => answer.map_err(|status| format!("{}: {}", self.member, told(status))),
            Err(_) => Err(format!("{} did not answer within {within:?}", self.member)),
        }
    }
}

/// Without the details that are for programs.
fn told(status: Status) -> String {
    format!("{:?}, {}", status.code(), status.message())
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl Calls {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }

    /// For what only tests ask.
    #[cfg(test)]
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, Status> {
        let answer = KvClient::new(self.channel.clone()).txn(self.request(txn)).await?;
        Ok(answer.into_inner())
    }

    /// A lease of so many seconds: its id, and how many it became.
    pub(crate) async fn grant(&self, seconds: i64) -> Result<(i64, i64), Status> {
        let wanted = self.request(LeaseGrantRequest { ttl: seconds });
        let answer = LeaseClient::new(self.channel.clone()).lease_grant(wanted).await?.into_inner();
        if !answer.error.is_empty() {
            return Err(Status::internal(answer.error));
        }
        Ok((answer.id, answer.ttl))
    }

    /// How many seconds a lease has from now on; 0 if it has ended.
    pub(crate) async fn keep_alive(&self, lease: i64) -> Result<i64, Status> {
        let once = self.request(tokio_stream::once(LeaseKeepAliveRequest { id: lease }));
        let mut answers = LeaseClient::new(self.channel.clone()).lease_keep_alive(once).await?.into_inner();
        let answer = answers.message().await?;
        Ok(answer.map_or(0, |answer| answer.ttl))
    }
}
