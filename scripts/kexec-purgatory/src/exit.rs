// SPDX-License-Identifier: GPL-2.0-only

//! The tool's exit status.

use std::fmt;

use anyhow::Result;

/// Why a command did not run, other than a failure of what it tests.
#[derive(Debug, PartialEq)]
pub enum Cause {
    /// The user asked for something that the tool cannot do; status 2, as for a bad option.
    Use(String),
    /// Something has to be installed, or room made on the disk, first; status 3.
    Missing(String),
}

/// Returns an error that tells the user what to do instead: [`Cause::Use`].
macro_rules! misuse {
    ($($text:tt)+) => {
        return Err($crate::exit::Cause::Use(format!($($text)+)).into())
    };
}
pub(crate) use misuse;

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(text) | Self::Missing(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Cause {}

/// The exit status for a command's result: 0 if everything that it checked passed, 1 if something
/// failed, or that of the [`Cause`].
pub fn code(result: &Result<bool>) -> u8 {
    match result {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(error) => match error.downcast_ref() {
            Some(Cause::Use(_)) => 2,
            Some(Cause::Missing(_)) => 3,
            None => 1,
        },
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::{Cause, code};

    #[test]
    fn a_status_tells_why() {
        let text = || "text".to_owned();
        assert_eq!(code(&Ok(true)), 0);
        assert_eq!(code(&Ok(false)), 1);
        assert_eq!(code(&Err(anyhow!("text"))), 1);
        assert_eq!(code(&Err(Cause::Use(text()).into())), 2);
        assert_eq!(code(&Err(Cause::Missing(text()).into())), 3);
        let wrapped = Err::<bool, _>(Cause::Missing(text())).context("more");
        assert_eq!(code(&wrapped), 3);
    }
}
