//! The file provider passes the suite, on a simulated disk and virtual time, and on a real one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ferromq_env::simulated::{Fault, FaultError, OpKind, SeededEntropy, SimClock, SimDisk};
use ferromq_env::{Clock, Disk, OpenMode, SystemDisk, SystemEntropy};
use tempfile::TempDir;

use super::{Names, World};
use crate::file::FileLock;
use crate::{LockError, LockProvider, Timings};

/// Names and bytes of all files below `folder`.
pub(crate) fn contents(disk: &dyn Disk, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for path in disk.list(folder).unwrap_or_default() {
        match disk.open(&path, OpenMode::Read).and_then(|file| Ok((file.len()?, file))) {
            Ok((length, file)) if disk.list(&path).is_err() => {
                let mut bytes = vec![0; usize::try_from(length).unwrap()];
                file.read_at(&mut bytes, 0).unwrap();
                found.push((path.display().to_string(), bytes));
            }
            _ => found.extend(contents(disk, &path)),
        }
    }
    found
}

mod simulated {
    use super::*;

    struct Simulated {
        disk: SimDisk,
        clock: SimClock,
        dice: std::sync::Mutex<SeededEntropy>,
    }

    fn world() -> Option<Simulated> {
        let dice = std::sync::Mutex::new(SeededEntropy::new(7));
        Some(Simulated { disk: SimDisk::new(), clock: SimClock::default(), dice })
    }

    impl World for Simulated {
        fn node(
            &self,
            name: &str,
            timings: Timings,
            _clock: Arc<dyn Clock>,
        ) -> Result<Box<dyn LockProvider>, LockError> {
            let (disk, dice) = (self.disk.another_process(), self.dice.lock().unwrap().split());
            let lock = FileLock::new(Arc::new(disk), Box::new(dice), Path::new("/shared"), name, timings)?;
            Ok(Box::new(lock))
        }

        fn clock(&self) -> Arc<dyn Clock> {
            Arc::new(self.clock.clone())
        }

        fn pass(&self, time: Duration) {
            self.clock.advance(time);
        }

        fn contents(&self) -> Vec<(String, Vec<u8>)> {
            contents(&self.disk, Path::new("/"))
        }

        fn names(&self) -> Names {
            Names::AtTheLook
        }

        fn cut_off(&self, cut: bool) -> bool {
            self.disk.heal();
            if cut {
                self.disk.plan(Fault::for_good(OpKind::Any, 1, FaultError::Eio));
            }
            true
        }
    }

    crate::conformance_tests!(world);
}

mod real {
    use super::*;

    struct Folder(TempDir);

    fn world() -> Option<Folder> {
        Some(Folder(tempfile::tempdir().unwrap()))
    }

    impl World for Folder {
        fn node(
            &self,
            name: &str,
            timings: Timings,
            _clock: Arc<dyn Clock>,
        ) -> Result<Box<dyn LockProvider>, LockError> {
            let (disk, entropy) = (Arc::new(SystemDisk), Box::new(SystemEntropy));
            Ok(Box::new(FileLock::new(disk, entropy, self.0.path(), name, timings)?))
        }

        fn contents(&self) -> Vec<(String, Vec<u8>)> {
            contents(&SystemDisk, self.0.path())
        }

        fn names(&self) -> Names {
            Names::AtTheLook
        }
    }

    crate::conformance_tests!(world);
}
