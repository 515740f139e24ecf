//! [`Session`]: one connection, with a deadline on everything.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{PgError, Target, tls};

/// What a session may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write; the server must be one that keeps what it acknowledges.
    Write,
    /// Read; the server refuses everything else.
    Read,
}

/// What is known of the server behind a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The server's process for this session.
    pub backend: i32,
    /// When that process began, in the server's words; with the number it names one process for ever.
    pub backend_start: String,
}

/// A connection on a runtime of its own. Blocking; never to be used within another runtime.
#[derive(Debug)]
pub struct Session {
    // The client goes first: the runtime's end drops the connection.
    client: Client,
    runtime: Runtime,
    shown: String,
    server: Server,
    broken: bool,
}

impl Session {
    /// Connects as `name`, which the server shows to its administrators, and checks the server.
    ///
    /// # Errors
    /// No connection within the time, or a server that is not fit: without `fsync` or `full_page_writes`, or a
    /// standby that can't be written.
    pub fn open(target: &Target, name: &str, access: Access, within: Duration) -> Result<Self, PgError> {
        let shown = target.shown().to_owned();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| PgError::Tls { server: shown.clone(), reason: error.to_string() })?;
        let tls = tls::connector(target)?;
        let mut config = target.config.clone();
        config.connect_timeout(within);
        // The server cuts longer names itself, with a notice.
        config.application_name(name.chars().take(60).collect::<String>());
        let settled = async {
            let (client, connection) = config.connect(tls).await?;
            tokio::spawn(connection);
            let server = settle(&client, access, within).await?;
            Ok::<_, tokio_postgres::Error>((client, server))
        };
        let outcome = runtime.block_on(async { timeout(within, settled).await });
        let (client, checked) = match outcome {
            Ok(Ok(opened)) => opened,
            Ok(Err(source)) => return Err(PgError::Database { server: shown, source }),
            Err(_) => return Err(PgError::Slow { server: shown, within }),
        };
        let server = checked.map_err(|reason| PgError::Unfit { server: shown.clone(), reason })?;
        Ok(Self { client, runtime, shown, server, broken: false })
    }

    /// Runs statements; after an error that is [`Lost`](crate::PgErrorKind::Lost) the session is of no more use.
    ///
    /// # Errors
    /// As the statements say, or [`PgError::Slow`].
    pub fn run<T>(
        &mut self,
        within: Duration,
        statements: impl AsyncFnOnce(&Client) -> Result<T, tokio_postgres::Error>,
    ) -> Result<T, PgError> {
        let server = || self.shown.clone();
        if self.broken {
            return Err(PgError::Slow { server: server(), within: Duration::ZERO });
        }
        let client = &self.client;
        match self.runtime.block_on(async { timeout(within, statements(client)).await }) {
            Ok(outcome) => outcome.map_err(|source| PgError::Database { server: server(), source }),
            Err(_) => {
                // What was sent may still be done; whoever asks again does so on another session.
                self.broken = true;
                Err(PgError::Slow { server: server(), within })
            }
        }
    }

    /// Whether the connection is known to be gone.
    pub fn is_closed(&self) -> bool {
        self.broken || self.client.is_closed()
    }

    /// What is known of the server.
    pub const fn server(&self) -> &Server {
        &self.server
    }

    /// `host:port/database`, for texts.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// A statement under way.
pub type Statement<'a, T = u64> = Pin<Box<dyn Future<Output = Result<T, tokio_postgres::Error>> + 'a>>;

/// Sends the statements at once, in order, and waits for all answers: one round trip. The error is the first one.
///
/// # Errors
/// As the first statement that failed says.
pub async fn pipeline<T>(mut statements: Vec<Statement<'_, T>>) -> Result<Vec<T>, tokio_postgres::Error> {
    let mut answers: Vec<Option<Result<T, tokio_postgres::Error>>> =
        statements.iter().map(|_| None).collect();
    // A statement is sent when it is first polled, so they go out in their order.
    poll_fn(|context| {
        let mut open = false;
        for (statement, answer) in statements.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match statement.as_mut().poll(context) {
                    Poll::Ready(done) => *answer = Some(done),
                    Poll::Pending => open = true,
                }
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}

/// Sets the session up and looks at the server; the inner error says why it can't be used.
async fn settle(
    client: &Client,
    access: Access,
    within: Duration,
) -> Result<Result<Server, String>, tokio_postgres::Error> {
    let millis = within.as_millis().max(100).to_string();
    let read_only = if access == Access::Read { "on" } else { "off" };
    // A setting that this server does not have is passed over. The plans: statistics of an empty table must not lead
    // to a scan of a full one. And no compiler: the estimates that `enable_seqscan = off` makes call for it at every look
    // at a table of one row, which then takes 200 ms instead of one.
    let wanted: [(&str, &str); 15] = [
        ("statement_timeout", &millis),
        ("idle_in_transaction_session_timeout", &millis),
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "10000"),
        ("client_connection_check_interval", "2000"),
        ("default_transaction_read_only", read_only),
        ("default_transaction_isolation", "read committed"),
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_bitmapscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
    ];
    let (names, values): (Vec<&str>, Vec<&str>) = wanted.into_iter().unzip();
    client
        .query(
            "SELECT set_config(w.name, w.value, false) FROM unnest($1::text[], $2::text[]) AS w(name, value) \
             WHERE current_setting(w.name, true) IS NOT NULL",
            &[&names, &values],
        )
        .await?;
    client.batch_execute("SET search_path = pg_catalog").await?;
    let row = client
        .query_one(
            "SELECT current_setting('fsync', true), current_setting('full_page_writes', true), \
             pg_is_in_recovery(), pg_backend_pid(), \
             coalesce((SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid()), ''), \
             CASE WHEN current_setting('synchronous_commit', true) IN ('on', 'remote_apply') THEN \
             current_setting('synchronous_commit') ELSE set_config('synchronous_commit', 'on', false) END",
            &[],
        )
        .await?;
    let off = |place: usize| row.get::<_, Option<&str>>(place) == Some("off");
    if access == Access::Write {
        if row.get(2) {
            return Ok(Err("it is a standby that can only be read; name the primary in the URL".to_owned()));
        }
        if off(0) {
            return Ok(Err("fsync is off, so a crash loses what it acknowledged; set fsync = on".to_owned()));
        }
        if off(1) {
            let remedy = "set full_page_writes = on";
            return Ok(Err(format!("full_page_writes is off, so a crash may tear pages; {remedy}")));
        }
        let writable = client.query_one("SELECT current_setting('transaction_read_only')", &[]).await?;
        if writable.get::<_, &str>(0) == "on" {
            return Ok(Err("it takes no writes (transaction_read_only is on)".to_owned()));
        }
    }
    Ok(Ok(Server { backend: row.get(3), backend_start: row.get(4) }))
}
