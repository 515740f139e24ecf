//! Sessions against a real server.

use std::time::{Duration, Instant};

use ferromq_testkit::Postgres;

use crate::{Access, PgError, PgErrorKind, Session, Target, pipeline, refuse_pooler};

const WITHIN: Duration = Duration::from_secs(20);

fn open(server: &Postgres, access: Access) -> Result<Session, PgError> {
    Session::open(&Target::parse(&server.url())?, "a test", access, WITHIN)
}

#[test]
fn a_session_reads_writes_and_pipelines() {
    let Some(server) = Postgres::shared_or_skip() else { return };
    let (mut one, mut two) = (open(&server, Access::Write).unwrap(), open(&server, Access::Read).unwrap());
    refuse_pooler(&mut one, &mut two, WITHIN).unwrap();
    let answers = one
        .run(WITHIN, async |client| {
            pipeline(vec![
                Box::pin(client.execute("CREATE TEMPORARY TABLE t (x int)", &[])),
                Box::pin(client.execute("INSERT INTO pg_temp.t VALUES (1), (2)", &[])),
                Box::pin(client.execute("UPDATE pg_temp.t SET x = 3 WHERE x = 2", &[])),
            ])
            .await
        })
        .unwrap_err();
    // The statements are parsed when they are sent, and the table is not there yet: the first error is told.
    assert_eq!(answers.kind(), PgErrorKind::Server);
    let refused = two.run(WITHIN, async |client| client.batch_execute("CREATE TABLE public.t ()").await);
    assert!(refused.unwrap_err().to_string().contains("read-only"));
}

#[test]
fn a_server_that_forgets_is_refused() {
    for (setting, told) in [("fsync", "fsync = on"), ("full_page_writes", "full_page_writes = on")] {
        let Some(server) = Postgres::start_with(&[(setting, "off")]) else { return };
        let error = open(&server, Access::Write).unwrap_err();
        assert!(error.kind() == PgErrorKind::Refused && error.to_string().contains(told), "{error}");
        open(&server, Access::Read).unwrap();
    }
    let Some(server) = Postgres::start_with(&[("synchronous_commit", "off")]) else { return };
    let mut session = open(&server, Access::Write).unwrap();
    let row = session.run(WITHIN, async |client| client.query_one("SHOW synchronous_commit", &[]).await);
    assert_eq!(row.unwrap().get::<_, &str>(0), "on", "what can be set is set");
}

#[test]
fn a_server_that_stands_still_is_given_up_in_time() {
    let Some(server) = Postgres::start_or_skip() else { return };
    let mut session = open(&server, Access::Write).unwrap();
    server.pause();
    let began = Instant::now();
    let error = session
        .run(Duration::from_millis(300), async |client| client.batch_execute("SELECT 1").await)
        .unwrap_err();
    assert!(matches!(error, PgError::Slow { .. }), "{error}");
    assert!(session.is_closed());
    assert!(began.elapsed() < Duration::from_secs(10), "its kernel answers, so TCP would wait for ever");
    server.resume();
    assert_eq!(session.run(WITHIN, async |_| Ok(())).unwrap_err().kind(), PgErrorKind::Lost);
    open(&server, Access::Write).unwrap();
}

#[test]
fn a_look_at_tables_without_statistics_is_not_compiled_by_the_server() {
    let Some(server) = Postgres::shared_or_skip() else { return };
    let mut session = open(&server, Access::Write).unwrap();
    let plan = session.run(WITHIN, async |client| {
        client.batch_execute("CREATE TEMPORARY TABLE row_of_state (number int8)").await?;
        client
            .query("EXPLAIN SELECT a.number FROM pg_temp.row_of_state AS a, pg_temp.row_of_state AS b", &[])
            .await
    });
    let lines: Vec<String> = plan.unwrap().iter().map(|row| row.get(0)).collect();
    assert!(!lines.iter().any(|line| line.contains("JIT")), "{lines:#?}");
}
