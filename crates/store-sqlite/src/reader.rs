//! The reader, on a connection of its own.

use std::path::PathBuf;

use bytes::Bytes;
use ferromq_model::{DestinationId, Sequence};
use ferromq_store::{IndexEntry, Loaded, MessageRef, PageRequest, StoreError, StoreReader, header};
use rusqlite::{Connection, Row, params};

use crate::error::{database, int, uint};

pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) path: PathBuf,
}

impl StoreReader for Reader {
    fn load(&mut self, wanted: &[MessageRef]) -> Result<Vec<Loaded>, StoreError> {
        let wrong = |error: rusqlite::Error| database(&self.path, &error);
        let mut statement = self
            .connection
            .prepare_cached(
                "SELECT crc, header, properties, body FROM messages WHERE sequence = ?1 AND destination = ?2",
            )
            .map_err(wrong)?;
        wanted
            .iter()
            .map(|wanted| {
                let mut rows = statement
                    .query(params![int(wanted.sequence.0), int(wanted.destination.0)])
                    .map_err(wrong)?;
                match rows.next() {
                    Ok(None) => Ok(Loaded::Gone),
                    Ok(Some(row)) => Ok(message_of(row).map_err(wrong)?.unwrap_or_else(|| {
                        Loaded::Damaged(format!(
                            "{}: message {} of destination {} does not match its checksum",
                            self.path.display(),
                            wanted.sequence.0,
                            wanted.destination.0
                        ))
                    })),
                    // A page that SQLite finds malformed concerns what is on it, not the store as a whole.
                    Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) => {
                        Ok(Loaded::Damaged(format!(
                            "{}: message {}: {error}",
                            self.path.display(),
                            wanted.sequence.0
                        )))
                    }
                    Err(error) => Err(wrong(error)),
                }
            })
            .collect()
    }

    fn page(&mut self, wanted: PageRequest) -> Result<Vec<IndexEntry>, StoreError> {
        self.entries(wanted).map_err(|error| database(&self.path, &error))
    }
}

impl Reader {
    fn entries(&self, wanted: PageRequest) -> rusqlite::Result<Vec<IndexEntry>> {
        match wanted {
            PageRequest::Queue { destination, after, limit } => self
                .connection
                .prepare_cached(
                    "SELECT sequence, expiration, charge, priority FROM messages \
                     WHERE destination = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
                )?
                .query_map(page_params(destination, after, limit), entry_of)?
                .collect(),
            PageRequest::Subscription { subscription, destination, after, limit } => {
                let (destination, after, limit) = page_params(destination, after, limit);
                self.connection
                    .prepare_cached(
                        "SELECT m.sequence, m.expiration, m.charge, m.priority \
                         FROM waiting AS w JOIN messages AS m ON m.sequence = w.sequence \
                         WHERE w.subscription = ?1 AND w.destination = ?2 AND w.sequence > ?3 \
                         ORDER BY w.sequence LIMIT ?4",
                    )?
                    .query_map(params![int(subscription.0), destination, after, limit], entry_of)?
                    .collect()
            }
        }
    }
}

fn page_params(destination: DestinationId, after: Sequence, limit: usize) -> (i64, i64, i64) {
    (int(destination.0), int(after.0), i64::try_from(limit).unwrap_or(i64::MAX))
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<IndexEntry> {
    Ok(IndexEntry {
        sequence: Sequence(uint(row.get(0)?)),
        expiration: row.get(1)?,
        charge: row.get(2)?,
        priority: row.get(3)?,
    })
}

/// `None` if the row is not what was written.
fn message_of(row: &Row<'_>) -> rusqlite::Result<Option<Loaded>> {
    let crc: u32 = row.get(0)?;
    let header: Vec<u8> = row.get(1)?;
    let properties: Option<Vec<u8>> = row.get(2)?;
    let body: Option<Vec<u8>> = row.get(3)?;
    if header::checksum(&header, properties.as_deref(), body.as_deref()) != crc {
        return Ok(None);
    }
    let message = header::decode(&header, properties.map(Bytes::from), body.map(Bytes::from));
    Ok(message.map(|message| Loaded::Message(message.into())))
}
