// SPDX-License-Identifier: GPL-2.0-only

//! Runs a kernel in QEMU until it ends, and logs its serial console.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::{Running, emulator, tail};
use crate::device_tree;
use crate::engines::EngineKind;
use crate::files;
use crate::guest::Guest;
use crate::layout::Layout;
use crate::processors;
use crate::progress::Step;

/// A guest that prints nothing for this long hangs. Slow machines stay well below.
pub const SILENCE: Duration = Duration::from_secs(600);

/// How often to check whether a socket exists.
const SOCKET_POLL: Duration = Duration::from_millis(10);

/// UEFI firmware: its code, and its variables as in a new machine.
pub const FIRMWARE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub const FIRMWARE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The same with Secure Boot on, and Microsoft's keys, as in a machine that is delivered.
pub const SECURE_VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";

/// For `-accel`: emulation, without this machine's processor.
const EMULATED: &str = "tcg";

/// The output on the serial console of a guest.
pub struct SerialLog {
    text: String,
}

impl SerialLog {
    pub fn new(console: &[u8]) -> Self {
        Self {
            text: String::from_utf8_lossy(console).into_owned(),
        }
    }

    /// The lines, without the kernel's time stamps.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| {
            let line = line.trim_end();
            match line
                .strip_prefix('[')
                .and_then(|rest| rest.split_once("] "))
            {
                Some((stamp, message)) if is_time_stamp(stamp) => message,
                _ => line,
            }
        })
    }

    /// The rest of the first line that begins with `prefix`.
    pub fn after(&self, prefix: &str) -> Option<&str> {
        self.lines().find_map(|line| line.strip_prefix(prefix))
    }

    /// The rest of each line that begins with `prefix`.
    pub fn all_after(&self, prefix: &str) -> impl Iterator<Item = &str> {
        self.lines()
            .filter_map(move |line| line.strip_prefix(prefix))
    }

    /// Fails with the reason if the guest's `/init` said that it failed.
    pub fn expect_no_failure(&self) -> Result<()> {
        match self.after("guest: failed: ") {
            Some(failure) => bail!("{failure}"),
            None => Ok(()),
        }
    }

    /// The end of the log, for a message.
    pub fn tail(&self) -> String {
        tail(&self.text)
    }
}

fn is_time_stamp(stamp: &str) -> bool {
    stamp.trim_start().parse::<f64>().is_ok()
}

/// Boots `kernel` with a guest, and waits until the guest resets or powers off its machine.
///
/// With an engine, the processor is one on which the loader picks that engine. Such a processor is
/// always emulated, because this machine's own has fixed features. Without an engine, the processor
/// has everything that QEMU can provide here.
pub fn boot(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    guest: &Guest,
    engine: Option<EngineKind>,
) -> Result<SerialLog> {
    boot_until(layout, name, kernel, guest, engine, &|_| false)
}

/// Like [`boot`], but stops waiting once `over` is true for a line.
pub fn boot_until(
    layout: &Layout,
    name: &str,
    kernel: &Path,
    guest: &Guest,
    engine: Option<EngineKind>,
    over: &dyn Fn(&str) -> bool,
) -> Result<SerialLog> {
    let hardware = guest.hardware;
    let (accelerator, mut processor) = match engine {
        Some(engine) => {
            let processor = processors::that_picks(engine)
                .with_context(|| format!("QEMU has no processor for {}", engine.name()))?;
            (EMULATED, processor)
        }
        None if hardware.emulated => (EMULATED, processors::MAX.to_owned()),
        None => (fastest_accelerator(), processors::MAX.to_owned()),
    };
    processor += hardware.without;
    let path = layout.log(name)?;
    let mut step = Step::start(format!("boot {name}"));
    // The firmware writes its variables to this directory.
    let folder = tempfile::tempdir_in(&layout.build)?;
    let mut kernel = kernel.to_owned();
    if hardware.device_tree {
        let mut image = fs::read(&kernel)?;
        device_tree::append_to(&mut image)?;
        kernel = folder.path().join("kernel");
        fs::write(&kernel, image)?;
    }
    let mut qemu = emulator("qemu-system-x86_64");
    qemu.args(["-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-accel", accelerator, "-cpu", &processor])
        .args(["-m", &format!("{}M", hardware.memory)])
        .args(["-smp", &hardware.processors.to_string()])
        .args(["-serial", "stdio"])
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(&guest.initramfs)
        .args(["-append", &guest.cmdline()]);
    if hardware.uefi {
        let variables = folder.path().join("variables");
        fs::copy(FIRMWARE_VARIABLES, &variables)
            .with_context(|| format!("no {FIRMWARE_VARIABLES}"))?;
        qemu.args(uefi(&variables));
    }
    let mut _tpm = None;
    if hardware.tpm {
        let (process, arguments) = emulate_tpm(folder.path())?;
        qemu.args(arguments);
        _tpm = Some(process);
    }
    let mut child = qemu
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run qemu-system-x86_64")?;
    let followed = follow(&mut child, &path, &mut step, over);
    if !matches!(followed, Ok(true)) {
        child.kill()?;
    }
    let ended = child.wait_with_output()?;
    let log = SerialLog::new(&fs::read(&path)?);
    let closed = followed.with_context(|| format!("{}:\n{}", path.display(), log.tail()))?;
    if closed && !ended.status.success() {
        bail!(
            "qemu-system-x86_64: {}\n{}",
            ended.status,
            String::from_utf8_lossy(&ended.stderr)
        );
    }
    step.done();
    Ok(log)
}

/// Options for a machine with UEFI firmware, which writes its variables to the file `variables`.
pub fn uefi(variables: &Path) -> [String; 4] {
    let flash = |unit, more: &str, file: &dyn Display| {
        format!("if=pflash,unit={unit},format=raw{more},file={file}")
    };
    [
        "-drive".to_owned(),
        flash(0, ",readonly=on", &FIRMWARE),
        "-drive".to_owned(),
        flash(1, "", &variables.display()),
    ]
}

/// Starts an emulated TPM with its files in `folder`. Returns the process and QEMU's options for
/// it.
fn emulate_tpm(folder: &Path) -> Result<(Running, Vec<String>)> {
    let socket = folder.join("tpm");
    let mut process = Running::new(
        emulator("swtpm")
            .args(["socket", "--tpm2", "--tpmstate"])
            .arg(format!("dir={}", folder.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", socket.display()))
            .stdout(Stdio::null()),
    )?;
    let started = Instant::now();
    while !socket.exists() {
        if process.has_ended()? || started.elapsed() > SILENCE {
            bail!("swtpm does not start");
        }
        thread::sleep(SOCKET_POLL);
    }
    let arguments = [
        "-chardev",
        &format!("socket,id=tpm,path={}", socket.display()),
        "-tpmdev",
        "emulator,id=tpm,chardev=tpm",
        "-device",
        "tpm-tis,tpmdev=tpm",
    ];
    Ok((process, arguments.map(str::to_owned).to_vec()))
}

/// Copies the serial console to the log until QEMU ends or `over` is true for a line. Returns
/// whether QEMU closed the console.
fn follow(
    child: &mut Child,
    path: &Path,
    step: &mut Step,
    over: &dyn Fn(&str) -> bool,
) -> Result<bool> {
    let mut serial = child.stdout.take().context("QEMU has no output")?;
    let mut log = files::create(path)?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = serial.read(&mut buffer) {
            if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut pending = Vec::new();
    loop {
        match receiver.recv_timeout(SILENCE) {
            Ok(bytes) => {
                log.write_all(&bytes)?;
                pending.extend(&bytes);
                let complete = pending.iter().rposition(|&byte| byte == b'\n');
                let rest = pending.split_off(complete.map_or(0, |last| last + 1));
                let lines = SerialLog::new(&std::mem::replace(&mut pending, rest));
                if lines.lines().any(over) {
                    return Ok(false);
                }
                let text = String::from_utf8_lossy(&bytes);
                if let Some(line) = text.lines().rfind(|line| !line.trim().is_empty()) {
                    step.line(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(true),
            Err(RecvTimeoutError::Timeout) => {
                bail!("the guest printed nothing for {} s", SILENCE.as_secs())
            }
        }
    }
}

/// KVM only if the processor has it too: `/dev/kvm` can exist and not work.
pub fn fastest_accelerator() -> &'static str {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let virtualises = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .any(|line| {
            line.split_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm")
        });
    let opened = File::options().read(true).write(true).open("/dev/kvm");
    match virtualises && opened.is_ok() {
        true => "kvm",
        false => EMULATED,
    }
}
