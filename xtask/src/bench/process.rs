//! What the kernel counts for a process.

use std::fs;

use anyhow::Context;

/// CPU time of a process so far, in microseconds (the kernel counts in hundredths of a second).
pub fn cpu_us(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the broker's process is gone")?;
    let fields: Vec<_> = stat.rsplit_once(')').context("stat")?.1.split_whitespace().collect();
    let ticks = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok()).context("stat");
    Ok((ticks(11)? + ticks(12)?) * 10_000)
}

/// What the processors did since the machine started, in hundredths of a second of all of them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Processors {
    all: u64,
    /// Ready to run, and the host ran something else.
    stolen: u64,
}

impl Processors {
    pub fn read() -> anyhow::Result<Self> {
        Self::parse(&fs::read_to_string("/proc/stat")?).context("/proc/stat")
    }

    /// The first line: `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal, and guests, who are in user.
    fn parse(stat: &str) -> Option<Self> {
        let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
        let fields: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        Some(Self { all: fields.iter().sum(), stolen: *fields.get(7)? })
    }

    /// The share that the host took away.
    pub fn stolen_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        self.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// A value of `/proc/PID/status` in KiB: `VmRSS`, `VmHWM`.
pub fn memory_kib(pid: u32, key: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the broker's process is gone")?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix(key)?.trim_start_matches(':').trim().strip_suffix(" kB")?.trim().parse().ok()
        })
        .with_context(|| format!("{key} of process {pid}"))
}

/// Bytes allocated on disk below a folder.
pub fn disk_bytes(folder: &std::path::Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(sum)
}

/// CPU time so far of all processes that work in a folder, in microseconds: of a database server and its sessions.
pub fn cpu_us_below(folder: &std::path::Path) -> u64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let within =
        |pid: &u32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
    // One that ends meanwhile counts no longer.
    pids.filter(within).filter_map(|pid| cpu_us(pid).ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::Processors;

    #[test]
    fn what_the_host_takes_away_is_a_share() {
        let parsed = |text| Processors::parse(text).unwrap();
        let before = parsed("cpu  100 0 50 800 20 0 10 20 0 0\ncpu0 1 2 3");
        let after = parsed("cpu  150 0 60 820 20 0 10 40 7 0\n");
        assert_eq!(before, Processors { all: 1_000, stolen: 20 });
        assert_eq!(after.stolen_since(before), 0.2);
        assert_eq!(Processors::parse("cpu  1 2 3"), None);
    }
}
