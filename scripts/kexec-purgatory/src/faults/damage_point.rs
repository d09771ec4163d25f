// SPDX-License-Identifier: GPL-2.0-only

//! An image, and when it is damaged.

use crate::guest::Purpose;

/// When an image is damaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment {
    /// It is loaded, and the kernel does other work.
    AtRest,
    /// At the entry of `machine_kexec()`; the pages of a normal image are all over memory.
    BeforeCopy,
    /// At the purgatory's first instruction; everything is in its place.
    BeforeCheck,
}

/// An image, and when it is damaged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DamagePoint {
    pub purpose: Purpose,
    pub moment: Moment,
}

impl DamagePoint {
    pub const CRASH_AT_REST: Self = Self::new(Purpose::Crash, Moment::AtRest);
    pub const NORMAL_AT_REST: Self = Self::new(Purpose::Enter, Moment::AtRest);
    pub const CRASH_BEFORE_CHECK: Self = Self::new(Purpose::Crash, Moment::BeforeCheck);
    pub const NORMAL_BEFORE_COPY: Self = Self::new(Purpose::Enter, Moment::BeforeCopy);
    pub const NORMAL_BEFORE_CHECK: Self = Self::new(Purpose::Enter, Moment::BeforeCheck);

    /// The points that the running kernel checks on request.
    pub const AT_REST: [Self; 2] = [Self::CRASH_AT_REST, Self::NORMAL_AT_REST];

    /// The points with faults that the purgatory must find. A normal image at rest is the same
    /// as before the copy; a crash image is not copied.
    pub const ALL: [Self; 4] = [
        Self::CRASH_AT_REST,
        Self::NORMAL_BEFORE_COPY,
        Self::CRASH_BEFORE_CHECK,
        Self::NORMAL_BEFORE_CHECK,
    ];

    const fn new(purpose: Purpose, moment: Moment) -> Self {
        Self { purpose, moment }
    }

    pub fn name(self) -> String {
        let moment = match self.moment {
            Moment::AtRest => "at rest",
            Moment::BeforeCopy => "before the copy",
            Moment::BeforeCheck => "before the check",
        };
        format!("{} image {moment}", self.purpose.name())
    }
}
