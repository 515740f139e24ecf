//! The admin port as operators, probes and Prometheus see it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ferromq_admin::{
    Command, DestinationCount, Door, Meters, Refusal, Role, RoleView, Switched, Takeover, serve,
};
use ferromq_model::{ClaimId, Epoch};
use ferromq_proto::admin::admin_client::AdminClient;
use ferromq_proto::admin::{
    self, ForceClaimRequest, GetStatusRequest, SwitchoverRequest, WatchStatusRequest,
};
use ferromq_proto::health::HealthCheckRequest;
use ferromq_proto::health::health_check_response::ServingStatus;
use ferromq_proto::health::health_client::HealthClient;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tonic::Code;
use tonic::transport::Channel;

/// A node with nothing behind its port but this test.
struct Node {
    publish: watch::Sender<RoleView>,
    meters: Arc<Meters>,
    todo: mpsc::Receiver<Command>,
    address: String,
}

async fn node(role: Role, token: Option<&str>) -> Node {
    let mut view = RoleView::new("a");
    view.role = role;
    view.epoch = Epoch { number: 7, claim: ClaimId(0xab) };
    view.master = Some(if role == Role::Active { "a" } else { "b" }.to_owned());
    view.store = "journal in /shared".to_owned();
    let (publish, views) = watch::channel(view);
    let (commands, todo) = mpsc::channel(4);
    let meters = Arc::new(Meters::default());
    let door = Door { views, meters: Arc::clone(&meters), commands, token: token.map(Arc::from) };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
    let address = listener.local_addr().expect("loopback").to_string();
    tokio::spawn(serve(listener, door));
    Node { publish, meters, todo, address }
}

impl Node {
    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address))
            .expect("loopback")
            .connect()
            .await
            .expect("loopback")
    }

    async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::new(self.channel().await)
    }

    async fn health(&self, service: &str) -> Result<ServingStatus, Code> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = HealthClient::new(self.channel().await).check(request).await;
        answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
    }

    /// One request in HTTP/1.1, as curl and Prometheus send it.
    async fn plain(&self, head: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.expect("loopback");
        stream
            .write_all(format!("{head}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .expect("loopback");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("loopback");
        text
    }
}

#[tokio::test]
async fn status_tells_role_epoch_and_the_last_takeover_and_follows_changes() {
    let node = node(Role::Standby, None).await;
    node.meters.takeovers.store(2, Ordering::Relaxed);
    let mut admin = node.admin().await;
    let status = admin.get_status(GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.role(), status.epoch, status.takeovers), (admin::Role::Standby, 7, 2));
    assert_eq!((status.master.as_deref(), status.claim.as_str()), (Some("b"), "00000000000000ab"));

    let mut watched = admin.watch_status(WatchStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().role(), admin::Role::Standby);
    node.publish.send_modify(|view| {
        view.enter(Role::Active);
        view.last_takeover =
            Some(Takeover { epoch: 8, claimed: Some(Duration::from_millis(143)), ..Takeover::default() });
    });
    let changed = watched.message().await.unwrap().unwrap();
    assert_eq!(changed.role(), admin::Role::Active);
    assert_eq!(changed.last_takeover.unwrap().claimed_ms, Some(143));
}

#[tokio::test]
async fn probes_find_every_node_alive_and_the_active_one_ready() {
    let node = node(Role::Standby, None).await;
    assert_eq!(node.health("").await, Ok(ServingStatus::Serving));
    assert_eq!(node.health("liveness").await, Ok(ServingStatus::Serving));
    assert_eq!(node.health("readiness").await, Ok(ServingStatus::NotServing));
    assert_eq!(node.health("other").await, Err(Code::NotFound));
    assert!(node.plain("GET /readyz HTTP/1.1").await.starts_with("HTTP/1.1 503"));

    let request = HealthCheckRequest { service: "readiness".to_owned() };
    let mut watched = HealthClient::new(node.channel().await).watch(request).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    node.publish.send_modify(|view| view.enter(Role::Active));
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(node.health("readiness").await, Ok(ServingStatus::Serving));
    assert!(node.plain("GET /readyz HTTP/1.1").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_are_a_page_with_the_engines_counts_if_it_answers() {
    let mut node = node(Role::Active, None).await;
    let engine = async {
        let Some(Command::Destinations { reply }) = node.todo.recv().await else { panic!("another command") };
        let orders =
            DestinationCount { name: "queue://orders".into(), held: 3, ..DestinationCount::default() };
        reply.send(vec![orders]).unwrap();
    };
    let address = node.address.clone();
    let (page, ()) = tokio::join!(
        async {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            text
        },
        engine
    );
    assert!(page.contains("ferromq_role{role=\"active\"} 1\n"), "{page}");
    assert!(page.contains("ferromq_destination_messages{destination=\"queue://orders\"} 3\n"), "{page}");

    // An engine that is busy costs the page a part, not the whole.
    let page = node.plain("GET /metrics HTTP/1.1").await;
    assert!(page.contains("ferromq_epoch 7\n") && !page.contains("queue://orders"), "{page}");
}

#[tokio::test]
async fn the_active_node_is_asked_to_switch_over_and_a_standby_says_whom_to_ask() {
    let mut node = node(Role::Active, None).await;
    let mut admin = node.admin().await;
    let role_machine = async {
        let Some(Command::Switchover { drain, reply }) = node.todo.recv().await else { panic!("another") };
        assert_eq!(drain, Some(Duration::from_millis(500)));
        reply.send(Ok(Switched { epoch: Epoch { number: 7, claim: ClaimId(0xab) } })).unwrap();
    };
    let (answer, ()) = tokio::join!(admin.switchover(SwitchoverRequest { drain_ms: 500 }), role_machine);
    assert_eq!(answer.unwrap().into_inner().epoch, 7);

    node.publish.send_modify(|view| {
        view.enter(Role::Standby);
        view.master = Some("b".to_owned());
    });
    let refused = admin.switchover(SwitchoverRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.message(), "a is standby, the master is b: ask the master");
}

#[tokio::test]
async fn a_forced_claim_is_told_first_and_done_once_with_what_was_told() {
    let mut node = node(Role::Standby, None).await;
    let mut admin = node.admin().await;
    let told = admin.force_claim(ForceClaimRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.epoch, 0);
    assert!(told.steps.iter().any(|step| step.contains("claims epoch 8 in journal in /shared")));
    assert!(node.todo.try_recv().is_err(), "nothing is done by asking");

    let wrong = admin.force_claim(ForceClaimRequest { token: "1".into() }).await.unwrap_err();
    assert_eq!(wrong.code(), Code::FailedPrecondition);

    let role_machine = async {
        let Some(Command::ForceClaim { seen, reply }) = node.todo.recv().await else { panic!("another") };
        reply.send(Ok(Epoch { number: seen.number + 1, claim: ClaimId(1) })).unwrap();
    };
    let confirm = ForceClaimRequest { token: told.token.clone() };
    let (done, ()) = tokio::join!(admin.force_claim(confirm.clone()), role_machine);
    assert_eq!(done.unwrap().into_inner().epoch, 8);
    let twice = admin.force_claim(confirm).await.unwrap_err();
    assert_eq!(twice.code(), Code::FailedPrecondition);

    // What was told about epoch 7 confirms nothing about epoch 9.
    let told = admin.force_claim(ForceClaimRequest::default()).await.unwrap().into_inner();
    node.publish.send_modify(|view| view.epoch.number = 9);
    let late = admin.force_claim(ForceClaimRequest { token: told.token }).await.unwrap_err();
    assert!(late.message().contains("another epoch"), "{late}");
}

#[tokio::test]
async fn with_a_token_commands_need_it_and_reading_does_not() {
    let mut node = node(Role::Active, Some("s3cret")).await;
    let mut admin = node.admin().await;
    let reader = async {
        let Some(Command::Streams { reply }) = node.todo.recv().await else { panic!("another") };
        reply.send(Vec::new()).unwrap();
    };
    let (read, ()) = tokio::join!(admin.get_status(GetStatusRequest {}), reader);
    read.unwrap();
    let refused = admin.switchover(SwitchoverRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let mut request = tonic::Request::new(SwitchoverRequest::default());
    request.metadata_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
    let role_machine = async {
        let Some(Command::Switchover { reply, .. }) = node.todo.recv().await else { panic!("another") };
        reply.send(Err(Refusal::Failed("the store could not be synced".to_owned()))).unwrap();
    };
    let (failed, ()) = tokio::join!(admin.switchover(request), role_machine);
    assert_eq!(failed.unwrap_err().message(), "the store could not be synced");
}

#[tokio::test]
async fn a_web_page_can_not_command() {
    let mut node = node(Role::Active, None).await;
    for kind in ["text/plain", "application/grpc"] {
        let head = format!(
            "POST /ferromq.admin.v1.Admin/Switchover HTTP/1.1\r\ncontent-type: {kind}\r\ncontent-length: 0"
        );
        let answer = node.plain(&head).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    assert!(node.todo.try_recv().is_err());
}

#[tokio::test]
async fn a_node_that_ends_says_so() {
    let Node { publish, todo, meters, address } = node(Role::Active, None).await;
    drop(todo);
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let refused = AdminClient::new(channel).switchover(SwitchoverRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    drop((publish, meters));
}
