//! One program per data directory: a lock the operating system drops when its holder
//! dies, however it dies.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::Path;

use super::Error;

/// The exclusive right to a data directory, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn acquire(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join("lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::directory(&path))?;
        file.try_lock().map_err(|refused| match refused {
            TryLockError::WouldBlock => {
                Error::InUse { data_dir: data_dir.to_owned(), owner: holder(&path) }
            }
            TryLockError::Error(because) => Error::directory(&path)(because),
        })?;
        // The number only serves the message above; the lock itself is the kernel's.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::directory(&path))?;
        Ok(Self { _file: file })
    }
}

fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}
