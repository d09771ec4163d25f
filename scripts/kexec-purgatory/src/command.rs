// SPDX-License-Identifier: GPL-2.0-only

//! Runs other programs, with the distribution's own programs first in `PATH`.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

use crate::files;
use crate::progress::Step;

/// Lines of a log that are shown when its program failed.
const TAIL: usize = 40;

/// Variables that the caller's make or toolchain manager leaves behind and that would affect the
/// kernel's build.
const UNWANTED: &[&str] = &[
    "ARCH",
    "CROSS_COMPILE",
    "KBUILD_OUTPUT",
    "KCONFIG_CONFIG",
    "KDIR",
    "LLVM",
    "MAKEFLAGS",
    "MAKELEVEL",
    "MAKEOVERRIDES",
    "MFLAGS",
    "O",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "SERIES",
    "VERIFY",
];

/// Where the distribution's programs are.
const PATH: &str = "/usr/bin:/usr/sbin:/bin:/sbin";

/// A command in a clean environment.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let path = env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command
        .env("PATH", format!("{PATH}:{path}"))
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    for name in UNWANTED {
        command.env_remove(name);
    }
    command
}

/// git in a scratch repository, with nothing of the user's configuration.
pub fn git(tree: &Path) -> Command {
    let mut git = command("git");
    git.current_dir(tree)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(["-c", "user.name=Kexec Purgatory"])
        .args(["-c", "user.email=kexec-purgatory@example.org"]);
    git
}

/// A process that is killed when this value is dropped.
pub struct Running(pub Child);

impl Running {
    /// Starts `command`.
    pub fn new(command: &mut Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}", spelled(command)))?;
        Ok(Self(child))
    }

    pub fn has_ended(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command in a clean environment. It is killed when the thread that started it ends, for
/// whatever reason: an unattended machine would run forever.
///
/// The thread must live as long as the command's process.
pub fn emulator(program: impl AsRef<OsStr>) -> Command {
    let mut command = command(program);
    let parent = getpid();
    let tie = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // If the parent died before that call, no signal will come.
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    };
    // SAFETY: The closure makes system calls and does nothing else; it neither allocates nor locks.
    unsafe { command.pre_exec(tie) };
    command
}

/// Environment variable with the cargo that `bootstrap` chose in place of the distribution's.
const CARGO: &str = "KEXEC_PURGATORY_CARGO";

/// The distribution's cargo with its compiler. If [`CARGO`] is set, that cargo with its own
/// compiler.
pub fn cargo() -> Command {
    match env::var_os(CARGO) {
        Some(cargo) => {
            let mut cargo = command(cargo);
            // A toolchain manager's programs find each other through `PATH`.
            cargo.env("PATH", env::var_os("PATH").unwrap_or_default());
            cargo
        }
        None => {
            let mut cargo = command("/usr/bin/cargo");
            cargo.env("RUSTC", "/usr/bin/rustc");
            // Where it is not in `PATH`, cargo looks for clippy there first, but a toolchain
            // manager's clippy cannot read what the distribution's compiler has built.
            let managed = env::var_os("CARGO_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(env::home_dir()?.join(".cargo")));
            if let Some(managed) = managed {
                let path = env::var("PATH").unwrap_or_default();
                let managed = managed.join("bin");
                cargo.env("PATH", format!("{PATH}:{path}:{}", managed.display()));
            }
            cargo
        }
    }
}

/// A command as it is written in messages.
pub fn spelled(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(OsStr::to_string_lossy));
    words.join(" ")
}

/// Whether a program is installed. Fails if it is, but cannot be run.
pub fn is_installed(program: &str) -> Result<bool> {
    match command(program).arg("--version").output() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot run {program}")),
    }
}

/// Runs a command and returns what it printed.
pub fn output(command: &mut Command) -> Result<String> {
    let name = spelled(command);
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}\n{}", output.status, tail(stderr.trim_end()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that prints only what is wrong. Fails if the command fails or prints something;
/// the error has everything that it printed.
pub fn silent(command: &mut Command) -> Result<()> {
    let name = spelled(command);
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    let printed = [output.stdout, output.stderr].concat();
    ensure!(
        output.status.success() && printed.is_empty(),
        "{name}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&printed)
    );
    Ok(())
}

/// Runs a command. Writes its output to `log` and shows each line of it in `step`.
pub fn logged(command: &mut Command, log: &Path, step: &mut Step) -> Result<()> {
    let name = spelled(command);
    let (reader, writer) = io::pipe()?;
    let mut file = files::create(log)?;
    let mut child = command
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    // The write ends that `command` still holds would keep the pipe open.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        file.write_all(&line)?;
        file.write_all(b"\n")?;
        step.line(&String::from_utf8_lossy(&line));
    }
    let status = child.wait()?;
    if !status.success() {
        let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        bail!("{name}: {status}; from {}:\n{}", log.display(), why(&text));
    }
    Ok(())
}

/// Runs a command as a step that is called `label`. Writes its output to `log`.
pub fn logged_step(label: impl Into<String>, log: &Path, command: &mut Command) -> Result<()> {
    let mut step = Step::start(label);
    logged(command, log, &mut step)?;
    step.done();
    Ok(())
}

/// The lines of a log that say why a build failed: those up to make's first complaint.
fn why(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    if let Some(first) = lines.iter().position(|line| line.contains("***")) {
        lines.truncate(first + 1);
        // Drops make's progress line for each object.
        lines.retain(|line| !line.starts_with("  "));
    }
    tail(&lines.join("\n"))
}

/// The last lines of a text.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::process::ExitStatusExt;
    use std::thread;

    use super::{emulator, is_installed};

    #[test]
    fn a_program_that_cannot_be_run_is_not_missing() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        let path = program.to_str().unwrap();
        assert!(!is_installed(path).unwrap());
        // Not executable.
        fs::write(&program, "").unwrap();
        assert!(is_installed(path).is_err());
        assert!(is_installed("true").unwrap());
    }

    #[test]
    fn an_emulator_ends_with_the_thread_that_started_it() {
        let start = || emulator("sleep").arg("infinity").spawn().unwrap();
        let mut alive = start();
        let mut left = thread::spawn(start).join().unwrap();
        assert_eq!(left.wait().unwrap().signal(), Some(libc::SIGKILL));
        assert!(alive.try_wait().unwrap().is_none());
        alive.kill().unwrap();
        alive.wait().unwrap();
    }
}
