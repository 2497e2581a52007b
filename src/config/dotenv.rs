//! The file `.env` of the working directory.
//!
//! It can name programs to run (`POSTGRES_BIN`) and servers to trust, so write access to it is
//! control of the program. Files of parent directories are not read, and neither is one that
//! another user owns or may write: the working directory may be shared, such as `/tmp`.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;

use super::{ConfigError, wrong};

const FILE: &str = ".env";

/// Sets the variables of the file that are not set yet. A missing file is no error.
pub(super) fn load() -> Result<(), ConfigError> {
    let refused = |problem: &str| wrong(FILE, problem);
    let cannot_be_read = |error| wrong(FILE, format!("cannot be read: {error}"));
    // A symbolic link is not followed here, because its owner chooses the file.
    let link = match fs::symlink_metadata(FILE) {
        Ok(link) => link,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(cannot_be_read(error)),
    };
    // Checked before it is opened, because opening a pipe blocks.
    if !fs::metadata(FILE).map_err(cannot_be_read)?.is_file() {
        return Err(refused("is not a file"));
    }
    // The open file is checked, so that it is the one that is read.
    let file = File::open(FILE).map_err(cannot_be_read)?;
    let opened = file.metadata().map_err(cannot_be_read)?;
    if !is_ours(&link) || !is_ours(&opened) {
        return Err(refused(
            "is not read: it must belong to the user who runs the program, or to root",
        ));
    }
    if opened.mode() & 0o022 != 0 {
        return Err(refused(
            "is not read, because other users may write it: run `chmod go-w .env`",
        ));
    }
    match dotenvy::from_read(file) {
        Ok(()) => Ok(()),
        // The error's own message contains the line, which may hold a secret.
        Err(dotenvy::Error::LineParse(..)) => {
            Err(refused("must have only lines of the form NAME=value"))
        }
        Err(_) => Err(refused("must be a text file in UTF-8")),
    }
}

fn is_ours(file: &Metadata) -> bool {
    file.uid() == 0 || file.uid() == rustix::process::geteuid().as_raw()
}
