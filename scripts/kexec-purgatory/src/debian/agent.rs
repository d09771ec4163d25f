// SPDX-License-Identifier: GPL-2.0-only

//! A client of QEMU's guest agent, which runs commands in a guest: one JSON object per line.
//!
//! Source: `docs/interop/qemu-ga-ref` of QEMU.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::qemu::SILENCE;

/// How long to wait for an answer that shows whether there is an agent.
pub const PING: Duration = Duration::from_secs(5);

/// How often to ask whether a command has ended.
const POLL: Duration = Duration::from_millis(200);

/// A command that takes this long hangs.
const HANGS: Duration = Duration::from_secs(3600);

/// The result of a command in the guest.
pub struct Ended {
    pub status: i64,
    pub stdout: String,
    pub stderr: String,
}

/// The agent of one guest.
pub struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// `socket` leads to the guest's serial port with the agent.
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// The kernel's random number for this boot: a different one means a different boot. `None` on
    /// a crash kernel, which is about to reboot.
    ///
    /// # Errors
    ///
    /// If no agent answers.
    pub fn boot_id(&self) -> Result<Option<String>> {
        let ended = self.run_within(
            "test ! -e /proc/vmcore && cat /proc/sys/kernel/random/boot_id",
            PING,
        )?;
        Ok((ended.status == 0).then(|| ended.stdout.trim_end().to_owned()))
    }

    /// Runs a shell command. Returns its output without the end of the last line.
    ///
    /// # Errors
    ///
    /// If its exit status is not 0.
    pub fn output(&self, script: &str) -> Result<String> {
        let ended = self.run(script)?;
        ensure!(
            ended.status == 0,
            "{script}: exit status {}\n{}{}",
            ended.status,
            ended.stdout,
            ended.stderr
        );
        Ok(ended.stdout.trim_end().to_owned())
    }

    /// Runs a shell command, as root.
    pub fn run(&self, script: &str) -> Result<Ended> {
        self.run_within(script, SILENCE)
    }

    /// Like [`Agent::run`], but waits at most `answer` for each answer of the agent.
    pub fn run_within(&self, script: &str, answer: Duration) -> Result<Ended> {
        let began = Instant::now();
        let mut connection = Connection::open(&self.socket, answer)?;
        let started = connection.execute(
            "guest-exec",
            json!({ "path": "/bin/sh", "arg": ["-c", script], "capture-output": true }),
        )?;
        loop {
            let mut state =
                connection.execute("guest-exec-status", json!({ "pid": started["pid"] }))?;
            if state["exited"] != true {
                ensure!(began.elapsed() < HANGS, "{script}: does not end");
                thread::sleep(POLL);
                continue;
            }
            let mut text = |key: &str| match state[key].take() {
                Value::String(data) => {
                    let bytes = BASE64.decode(data)?;
                    Ok(String::from_utf8_lossy(&bytes).into_owned())
                }
                _ => anyhow::Ok(String::new()),
            };
            let (stdout, stderr) = (text("out-data")?, text("err-data")?);
            let status = state["exitcode"]
                .as_i64()
                .with_context(|| format!("{script}: {state}"))?;
            return Ok(Ended {
                status,
                stdout,
                stderr,
            });
        }
    }

    /// Starts a shell command that may end the guest, and its agent.
    pub fn start(&self, script: &str) -> Result<()> {
        Connection::open(&self.socket, SILENCE)?
            .execute(
                "guest-exec",
                json!({ "path": "/bin/sh", "arg": ["-c", script] }),
            )
            .map(drop)
    }
}

/// A connection to an agent that answers.
struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn open(socket: &Path, answer: Duration) -> Result<Self> {
        let stream = UnixStream::connect(socket).context("cannot connect to the guest's agent")?;
        stream.set_read_timeout(Some(answer))?;
        let stream = BufReader::new(stream);
        let mut connection = Self { stream };
        // Ends an incomplete request in the agent, whose rest was lost between two boots.
        connection.stream.get_mut().write_all(&[0xff])?;
        // Answers to earlier requests that nobody waited for may come first, or their ends.
        let id = fastrand::u32(..);
        connection.send("guest-sync", json!({ "id": id }))?;
        loop {
            let line = connection.line()?;
            if serde_json::from_str::<Value>(&line).is_ok_and(|reply| reply["return"] == id) {
                return Ok(connection);
            }
        }
    }

    fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.send(command, arguments)?;
        let line = self.line()?;
        let mut reply: Value = serde_json::from_str(&line)
            .with_context(|| format!("the guest's agent says {line:?}"))?;
        if let Some(error) = reply.get("error") {
            bail!("{command}: {error}");
        }
        Ok(reply["return"].take())
    }

    fn send(&mut self, command: &str, arguments: Value) -> Result<()> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}").context("cannot write to the guest's agent")
    }

    fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let length = self
            .stream
            .read_until(b'\n', &mut line)
            .context("the guest's agent does not answer")?;
        ensure!(length > 0, "the guest's agent has gone");
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}
