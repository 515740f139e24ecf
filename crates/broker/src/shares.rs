//! Limits that are a part of a disk, in bytes: measured once, when the broker starts.

use std::path::Path;

use ferromq_env::SystemDisk;

use crate::{Settings, SpoolPlace, StoreChoice};

/// The least that a limit may be.
const LEAST: u64 = 1 << 20;

impl Settings {
    /// With the limits that [`crate::Shares`] come to. What cannot be measured keeps the limit of the engine, and the log
    /// says so.
    pub(crate) fn measured(mut self) -> Self {
        let spool = match &self.spool {
            SpoolPlace::In(folder) => folder,
            SpoolPlace::BesideStore | SpoolPlace::Nowhere => &self.data,
        };
        let temp = part(self.shares.temp, "limits.temp_bytes", Some(spool));
        let on_disk = matches!(self.store, StoreChoice::Journal | StoreChoice::Sqlite);
        let store = part(self.shares.store, "limits.store_bytes", on_disk.then_some(self.data.as_path()));
        let limits = &mut self.engine.limits;
        limits.temp_bytes = temp.unwrap_or(limits.temp_bytes);
        limits.store_bytes = store.unwrap_or(limits.store_bytes);
        self
    }
}

/// So many percent of the disk that holds a folder.
fn part(percent: Option<u8>, key: &str, folder: Option<&Path>) -> Option<u64> {
    let percent = percent?;
    let Some(folder) = folder else {
        tracing::warn!(
            key,
            "a part of a disk is no limit for this store, which has none that could be measured; the default holds; \
             set a size"
        );
        return None;
    };
    match SystemDisk.total_bytes(folder) {
        Ok(total) => {
            let bytes = u128::from(total) * u128::from(percent) / 100;
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).max(LEAST);
            tracing::info!(key, percent, folder = %folder.display(), bytes, "this limit is a part of the disk");
            Some(bytes)
        }
        Err(error) => {
            tracing::warn!(
                key,
                folder = %folder.display(),
                %error,
                "the disk of this folder can't be measured; the default holds; set a size"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shares;

    fn measured(store: StoreChoice, shares: Shares) -> (u64, u64) {
        let data = tempfile::tempdir().unwrap();
        // It is made later than it is measured.
        let settings = Settings { data: data.path().join("not/yet"), store, shares, ..Settings::default() };
        let limits = settings.measured().engine.limits;
        (limits.store_bytes, limits.temp_bytes)
    }

    #[test]
    fn a_percentage_is_one_of_the_disk_that_holds_the_folder() {
        let all = measured(StoreChoice::Journal, Shares { store: Some(100), temp: Some(100) });
        let total = SystemDisk.total_bytes(tempfile::tempdir().unwrap().path()).unwrap();
        assert_eq!(all, (total, total));
        let parts = measured(StoreChoice::Sqlite, Shares { store: Some(60), temp: Some(1) });
        assert_eq!(parts, (total / 100 * 60 + total % 100 * 60 / 100, total / 100));
    }

    #[test]
    fn nothing_is_measured_unless_it_is_asked_for_and_there_is_a_disk() {
        let own = Settings::default().engine.limits;
        let plain = measured(StoreChoice::Journal, Shares::default());
        assert_eq!(plain, (own.store_bytes, own.temp_bytes));
        let remote = measured(StoreChoice::Postgres, Shares { store: Some(60), temp: None });
        assert_eq!(remote, (own.store_bytes, own.temp_bytes));
    }
}
