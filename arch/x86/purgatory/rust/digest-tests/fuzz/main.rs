// SPDX-License-Identifier: GPL-2.0-only

//! Runs libFuzzer on a property in `purgatory_digest_tests::fuzz`.
//!
//! The environment variable `FUZZ_TARGET` names the property. The program takes libFuzzer's
//! arguments.

#![no_main]

use libfuzzer_sys::fuzz_target;
use purgatory_digest_tests::fuzz::{Target, TARGETS};
use std::{
    env,
    sync::LazyLock, //
};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let wanted = env::var("FUZZ_TARGET").expect("FUZZ_TARGET names no target");

    TARGETS
        .into_iter()
        .find(|target| target.name == wanted)
        .expect("FUZZ_TARGET names no target")
});

fuzz_target!(|input: &[u8]| (TARGET.check)(input));
