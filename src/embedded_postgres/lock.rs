//! A lock that one program at a time can hold for a data directory. The operating system releases
//! it however its holder ends.

use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::Path;

use super::Error;

/// The exclusive right to a data directory, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
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
        // The number is only for the message above; the lock itself is the kernel's.
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(Error::directory(&path))?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that another thread has just forked has a copy of
        // the file until the child executes its program.
        let _ = self.file.unlock();
    }
}

fn holder(path: &Path) -> Option<u32> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_ends_with_its_holder_though_a_forked_child_has_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let lock = Lock::acquire(directory.path()).unwrap();
        let in_child = lock.file.try_clone().unwrap();
        assert!(matches!(Lock::acquire(directory.path()), Err(Error::InUse { .. })));
        drop(lock);
        Lock::acquire(directory.path()).unwrap();
        drop(in_child);
    }
}
