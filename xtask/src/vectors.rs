//! `cargo xtask vectors PATH`: checks recorded OpenWire frames, decode and encode, to the byte.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ferromq_openwire::json::vectors::{check_line, describe};

/// Differences that are printed in full.
const SHOWN: usize = 50;

/// Checks every line of a file, or of all `*.jsonl` files of a folder; the last line counts.
pub(crate) fn run(path: &Path) -> Result<()> {
    let (mut passed, mut failed) = (0usize, 0usize);
    for file in files(path)? {
        let reader = fs::File::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
        for (number, line) in std::io::BufReader::new(reader).lines().enumerate() {
            let line = line.with_context(|| format!("cannot read {}", file.display()))?;
            if line.trim().is_empty() {
                continue;
            }
            match check_line(&line) {
                Ok(()) => passed += 1,
                Err(why) => {
                    failed += 1;
                    if failed <= SHOWN {
                        println!("{}:{}: {}: {why}", file.display(), number + 1, describe(&line));
                    }
                }
            }
        }
    }
    if passed + failed == 0 {
        bail!("no frames in {}: nothing was checked", path.display());
    }
    println!("{passed} passed, {failed} failed");
    if failed > 0 {
        // The count is the last line; no report of an error may follow it.
        std::process::exit(1);
    }
    Ok(())
}

fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("cannot read {}", path.display()))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    if files.is_empty() {
        bail!("no *.jsonl files in {}", path.display());
    }
    Ok(files)
}
