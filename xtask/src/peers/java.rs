//! The Java side: tools, jars by Maven, and our Java programs compiled against each line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use super::work_dir;
use crate::workspace::root;

/// What installs the missing tools; printed as it is when they cannot be found.
pub(crate) const INSTALL: &str = "apt-get update && apt-get install -y openjdk-17-jdk-headless maven";

/// A JDK of version 17 or later, and Maven.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    pub(crate) java: PathBuf,
    pub(crate) javac: PathBuf,
    pub(crate) mvn: PathBuf,
}

impl Java {
    /// Looks in `JAVA_HOME`, then on the path. In CI, as root, a missing tool is installed by apt.
    ///
    /// # Errors
    /// Names what is missing and the command that installs it.
    pub(crate) fn find() -> Result<Java> {
        match Java::look() {
            Err(_) if may_install() => {
                println!("installing the JDK and Maven: {INSTALL}");
                let done = Command::new("sh").args(["-c", INSTALL]).status().context("cannot run apt-get")?;
                if !done.success() {
                    bail!(
                        "the JDK or Maven is missing and could not be installed; install it with: {INSTALL}"
                    );
                }
                Java::look()
            }
            found => found,
        }
    }

    fn look() -> Result<Java> {
        let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin"));
        let tool = |name: &str| {
            let inside = home.iter().map(|bin| bin.join(name)).find(|path| path.is_file());
            inside
                .or_else(|| on_path(name))
                .with_context(|| format!("{name} not found; install it with: {INSTALL}"))
        };
        let found = Java { java: tool("java")?, javac: tool("javac")?, mvn: tool("mvn")? };
        let version = Command::new(&found.javac).arg("-version").output().context("cannot run javac")?;
        let text =
            String::from_utf8_lossy(&version.stdout).into_owned() + &String::from_utf8_lossy(&version.stderr);
        let major: u32 = text
            .trim()
            .trim_start_matches("javac ")
            .split(|c: char| !c.is_ascii_digit())
            .next()
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0);
        if major < 17 {
            bail!(
                "a JDK of version 17 or later is needed, this one is {:?}; install it with: {INSTALL}",
                text.trim()
            );
        }
        Ok(found)
    }

    /// A JVM with the flags that suit a small shared machine.
    pub(crate) fn command(&self, programs: &Programs) -> Command {
        let mut command = Command::new(&self.java);
        command.arg("-XX:+UseSerialGC").arg("-XX:TieredStopAtLevel=4").arg("-cp").arg(&programs.classpath);
        command
    }

    /// Our Java programs, compiled against one client line.
    ///
    /// # Errors
    /// When Maven cannot fetch a jar or the sources do not compile.
    pub(crate) fn programs(&self, line: Line) -> Result<Programs> {
        let libraries = self.libraries(line.name())?;
        self.compile(line.name(), line.is_jakarta(), &["client"], &libraries)
    }

    /// The embedded real broker, compiled against one broker line.
    ///
    /// # Errors
    /// When Maven cannot fetch a jar or the sources do not compile.
    pub(crate) fn broker_programs(&self, line: BrokerLine) -> Result<Programs> {
        let libraries = self.libraries(line.name())?;
        let jakarta = line == BrokerLine::V6;
        let trees: &[&str] = if line.has_database() { &["broker", "broker-jdbc"] } else { &["broker"] };
        self.compile(line.name(), jakarta, trees, &libraries)
    }

    /// Fetches what the pom of `line` names; keeps it until the pom changes.
    fn libraries(&self, line: &str) -> Result<Vec<PathBuf>> {
        let pom = root().join("tests/interop/lines").join(line).join("pom.xml");
        let text = fs::read_to_string(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
        let folder = work_dir().join(line);
        let library = folder.join("lib");
        let stamp = folder.join("lib.stamp");
        let wanted = format!("{:016x}", fingerprint(&text));
        if fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
            println!("fetching the jars of {line} by Maven");
            let _ = fs::remove_dir_all(&library);
            fs::create_dir_all(&folder)?;
            let output = Command::new(&self.mvn)
                .args(["-q", "-B", "-f"])
                .arg(&pom)
                .arg("dependency:copy-dependencies")
                .arg(format!("-DoutputDirectory={}", library.display()))
                .output()
                .context("cannot run mvn")?;
            if !output.status.success() {
                bail!("Maven cannot fetch {}:\n{}", pom.display(), String::from_utf8_lossy(&output.stdout));
            }
            fs::write(&stamp, &wanted)?;
        }
        let mut jars: Vec<PathBuf> = fs::read_dir(&library)
            .with_context(|| format!("cannot list {}", library.display()))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "jar"))
            .collect();
        jars.sort();
        Ok(jars)
    }

    /// The release of an artefact that a line uses, from the name of its jar.
    pub(crate) fn version_of(&self, line: &str, artefact: &str) -> String {
        let jars = self.libraries(line).unwrap_or_default();
        let version = |jar: &PathBuf| {
            let name = jar.file_stem()?.to_str()?;
            Some(name.strip_prefix(artefact)?.strip_prefix('-')?.to_owned())
        };
        jars.iter().find_map(version).unwrap_or_else(|| line.to_owned())
    }

    fn compile(&self, line: &str, jakarta: bool, trees: &[&str], libraries: &[PathBuf]) -> Result<Programs> {
        let folder = work_dir().join(line);
        let classes = folder.join("classes");
        let generated = folder.join("src");
        let stamp = folder.join("classes.stamp");
        let mut sources = BTreeMap::new();
        for tree in trees {
            sources.extend(read_sources(&root().join("tests/interop/java").join(tree), jakarta)?);
        }
        let classpath = std::iter::once(&classes)
            .chain(libraries)
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(":");
        let wanted = format!("{:016x}", fingerprint(&(&sources, &classpath)));
        if fs::read_to_string(&stamp).ok().as_deref() != Some(wanted.as_str()) {
            let _ = fs::remove_dir_all(&classes);
            let _ = fs::remove_dir_all(&generated);
            fs::create_dir_all(&classes)?;
            let mut command = Command::new(&self.javac);
            command
                .args(["-nowarn", "-proc:none", "-encoding", "UTF-8", "--release", "17", "-d"])
                .arg(&classes);
            command.arg("-cp").arg(&classpath);
            for (relative, text) in &sources {
                let path = generated.join(relative);
                fs::create_dir_all(path.parent().unwrap_or(&generated))?;
                fs::write(&path, text)?;
                command.arg(path);
            }
            let output = command.output().context("cannot run javac")?;
            if !output.status.success() {
                bail!(
                    "the Java programs do not compile for {line}:\n{}",
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            fs::write(&stamp, &wanted)?;
        }
        Ok(Programs { classpath })
    }
}

/// Compiled Java programs and everything they need.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// Ready for `java -cp`.
    pub(crate) classpath: String,
}

/// A line of the released client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// JMS 1.1 only.
    V5_16,
    /// The last line on `javax.jms`.
    V5_19,
    /// `jakarta.jms`.
    V6,
}

impl Line {
    pub(crate) const ALL: [Line; 3] = [Line::V5_16, Line::V5_19, Line::V6];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Line::V5_16 => "5.16",
            Line::V5_19 => "5.19",
            Line::V6 => "6",
        }
    }

    /// The real broker whose behaviour this client expects: a jakarta broker names exceptions that a javax client
    /// cannot load, so each client is measured against its own generation.
    pub(crate) fn broker(self) -> BrokerLine {
        match self {
            Line::V5_16 | Line::V5_19 => BrokerLine::V5_19,
            Line::V6 => BrokerLine::V6,
        }
    }

    fn is_jakarta(self) -> bool {
        self == Line::V6
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Line {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Line> {
        Line::ALL
            .into_iter()
            .find(|line| {
                line.name() == text
                    || text.strip_prefix(line.name()).is_some_and(|rest| rest.starts_with('.'))
            })
            .with_context(|| format!("unknown client line {text:?}; known are 5.16, 5.19 and 6"))
    }
}

/// A line of the real broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum BrokerLine {
    /// The last line on `javax.jms` whose jars the registry has whole.
    V5_19,
    /// The latest.
    #[default]
    V6,
}

impl BrokerLine {
    /// Whether it can keep its messages in a database: the registry lacks the older line's jar for that.
    pub(crate) fn has_database(self) -> bool {
        self == BrokerLine::V6
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            BrokerLine::V5_19 => "broker-5.19",
            BrokerLine::V6 => "broker-6",
        }
    }
}

/// All sources under `folder` and those shared by every tree, by relative path. The one source tree is written
/// against `javax.jms`; the jakarta API differs for these programs in nothing but the package name.
fn read_sources(folder: &Path, jakarta: bool) -> Result<BTreeMap<PathBuf, String>> {
    let mut sources = BTreeMap::new();
    let mut pending = vec![folder.to_path_buf()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot list {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|end| end == "java") {
                let text = fs::read_to_string(&path)?;
                let text = if jakarta { text.replace("javax.jms", "jakarta.jms") } else { text };
                sources.insert(path.strip_prefix(folder)?.to_path_buf(), text);
            }
        }
    }
    Ok(sources)
}

fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|candidate| candidate.is_file())
}

/// A developer's machine is left as it is; a CI machine run as root is ours to complete.
pub(crate) fn may_install() -> bool {
    std::env::var_os("CI").is_some() && rustix::process::geteuid().is_root() && on_path("apt-get").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_named_by_its_generation_or_a_release_of_it() {
        assert_eq!("5.16".parse::<Line>().unwrap(), Line::V5_16);
        assert_eq!("5.19.9".parse::<Line>().unwrap(), Line::V5_19);
        assert_eq!("6".parse::<Line>().unwrap(), Line::V6);
        assert!("5.1".parse::<Line>().is_err());
        assert!("61".parse::<Line>().is_err());
    }
}
