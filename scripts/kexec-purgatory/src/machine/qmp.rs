// SPDX-License-Identifier: GPL-2.0-only

//! A client of QEMU's machine protocol: one JSON object per line.
//!
//! It uses few of the commands; a crate with all of them takes minutes to compile.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// How often to ask whether a migration is done.
const POLL: Duration = Duration::from_millis(2);

/// Makes migration leave out memory that is in a shared file.
const IGNORE_SHARED: &str = "x-ignore-shared";

/// A connection that can take commands.
pub struct Qmp {
    stream: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Qmp {
    pub fn connect(stream: UnixStream) -> Result<Self> {
        let mut qmp = Self {
            stream: BufReader::new(stream),
            events: Vec::new(),
        };
        let greeting = qmp.line()?.context("QEMU did not greet")?;
        ensure!(
            greeting.get("QMP").is_some(),
            "QEMU greeted with {greeting}"
        );
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Saves the state of the stopped machine, except the memory that is in a shared file.
    pub fn save(&mut self, to: &Path) -> Result<()> {
        self.migrate("migrate", to)
    }

    /// Restores what [`Qmp::save`] saved, in a machine that was started to wait for it.
    pub fn restore(&mut self, from: &Path) -> Result<()> {
        self.migrate("migrate-incoming", from)
    }

    /// Runs a command of the monitor for people. Returns its output.
    pub fn monitor(&mut self, command: &str) -> Result<String> {
        let printed = self.execute("human-monitor-command", json!({ "command-line": command }))?;
        Ok(printed.as_str().unwrap_or_default().to_owned())
    }

    /// Resets the machine, as its button does.
    pub fn reset(&mut self) -> Result<()> {
        self.execute("system_reset", json!({})).map(drop)
    }

    /// Presses and releases a key of the keyboard. `key` is QEMU's name of it (`QKeyCode`).
    pub fn press(&mut self, key: &str) -> Result<()> {
        let keys = [json!({ "type": "qcode", "data": key })];
        self.execute("send-key", json!({ "keys": keys })).map(drop)
    }

    /// Sets what happens when a watchdog expires: `reset` the machine, or `none`.
    pub fn set_watchdog_action(&mut self, action: &str) -> Result<()> {
        self.execute("watchdog-set-action", json!({ "action": action }))
            .map(drop)
    }

    /// Why QEMU ended: `reason` of its event `SHUTDOWN`. Call this only after QEMU has ended.
    pub fn shutdown_reason(&mut self) -> Result<String> {
        while let Some(event) = self.line()? {
            self.events.push(event);
        }
        self.events
            .iter()
            .find(|event| event["event"] == "SHUTDOWN")
            .and_then(|event| event["data"]["reason"].as_str())
            .map(str::to_owned)
            .context("QEMU ended without a reason")
    }

    /// The number of instructions that the machine has executed; each iteration of a `rep movsq`
    /// counts. Only a machine that records its execution knows it.
    pub fn instructions(&mut self) -> Result<u64> {
        let replay = self.execute("query-replay", json!({}))?;
        replay["icount"]
            .as_u64()
            .with_context(|| format!("QEMU does not count: {replay}"))
    }

    /// Moves the machine's state to or from a file, and waits until that is done.
    fn migrate(&mut self, command: &str, file: &Path) -> Result<()> {
        let capability = json!({ "capability": IGNORE_SHARED, "state": true });
        self.execute(
            "migrate-set-capabilities",
            json!({ "capabilities": [capability] }),
        )?;
        let uri = format!("file:{}", file.display());
        self.execute(command, json!({ "uri": uri }))?;
        loop {
            let state = self.execute("query-migrate", json!({}))?;
            match state["status"].as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => bail!("the machine's state: {state}"),
                _ => thread::sleep(POLL),
            }
        }
    }

    fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{request}").context("cannot write to QEMU's monitor")?;
        loop {
            let mut reply = self
                .line()?
                .with_context(|| format!("QEMU ended during {command}"))?;
            if reply.get("event").is_some() {
                self.events.push(reply);
            } else if let Some(error) = reply.get("error") {
                bail!("{command}: {error}");
            } else {
                return Ok(reply["return"].take());
            }
        }
    }

    fn line(&mut self) -> Result<Option<Value>> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Ok(None),
            _ => Ok(Some(serde_json::from_str(&line)?)),
        }
    }
}
