// SPDX-License-Identifier: GPL-2.0-only

//! What a guest that loads an image is to do.

use super::{Extra, Loader, PAYLOAD, Purpose};
use crate::engines::EngineKind;
use crate::hardware::Hardware;

/// How an image is loaded, and on what machine.
#[derive(Clone, Copy)]
pub struct Plan<'a> {
    pub purpose: Purpose,
    pub loader: Loader,
    /// The modules of the first kernel to insert, by name.
    pub modules: &'a [&'a str],
    /// The engine that the loader picks on the guest's processor, if that matters.
    pub engine: Option<EngineKind>,
    /// Added to the first kernel's command line.
    pub arguments: &'a str,
    /// Added to the next kernel's command line.
    pub next_arguments: &'a str,
    /// What the guest does besides loading.
    pub extra: Option<Extra>,
    /// Bytes in the next kernel's initramfs that must arrive intact.
    pub payload: u64,
    pub hardware: Hardware,
}

impl Plan<'_> {
    /// A plan with the distribution's kexec, on the usual machine.
    pub const fn new(purpose: Purpose) -> Self {
        Self {
            purpose,
            loader: Loader::Kexec,
            modules: &[],
            engine: None,
            arguments: "",
            next_arguments: "",
            extra: None,
            payload: PAYLOAD,
            hardware: Hardware::USUAL,
        }
    }
}
