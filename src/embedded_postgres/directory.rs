//! The data directory and the directory of the socket.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::Error;
use super::account::Account;

/// Maximum bytes of a socket's path. The address of a Unix socket has 104 bytes on macOS and 108 on
/// Linux.
const LONGEST_SOCKET: usize = 100;
const SOCKET: &str = ".s.PGSQL.5432";

/// Creates the data directory if it is missing. Returns its absolute path.
pub(super) fn prepare(data_dir: &Path) -> Result<PathBuf, Error> {
    let failed = || Error::directory(data_dir);
    if !data_dir.try_exists().map_err(failed())? {
        std::fs::create_dir_all(data_dir).map_err(failed())?;
        // Root runs PostgreSQL under another user, which must be able to enter.
        let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
        std::fs::set_permissions(data_dir, Permissions::from_mode(mode)).map_err(failed())?;
    }
    let path = data_dir.canonicalize().map_err(failed())?;
    let quotable =
        |text: &str| !text.contains(['"', '$', '`', '\\']) && !text.contains(char::is_control);
    if path.to_str().is_some_and(quotable) { Ok(path) } else { Err(Error::Unquotable { path }) }
}

/// Creates the directory of the socket, which only the server's user may enter.
pub(super) fn sockets(data_dir: &Path, account: &Account) -> Result<PathBuf, Error> {
    let path = sockets_path(data_dir);
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check_ours(&path, account)?,
        Err(error) => return Err(Error::directory(&path)(error)),
    }
    account.own(&path)?;
    Ok(path)
}

/// The directory `socket` in the data directory, unless its path is too long for a socket or has a
/// character that would need quoting, for the shell or in Postgres's list of socket directories.
fn sockets_path(data_dir: &Path) -> PathBuf {
    let path = data_dir.join("socket");
    let bytes = path.as_os_str().as_bytes();
    let plain = bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+".contains(byte));
    if plain && bytes.len() + "/".len() + SOCKET.len() <= LONGEST_SOCKET {
        return path;
    }
    // Not in TMPDIR, because the server of a killed run must be found from another environment.
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    let short = hash.first_chunk().copied().map_or(0, u64::from_be_bytes);
    PathBuf::from(format!("/tmp/thread-store-{short:016x}"))
}

/// In `/tmp` another user may have created a directory or a link with this name.
fn check_ours(path: &Path, account: &Account) -> Result<(), Error> {
    let found = path.symlink_metadata().map_err(Error::directory(path))?;
    let ours = [account.uid(), rustix::process::geteuid().as_raw()].contains(&found.uid());
    if found.is_dir() && ours && found.mode() & 0o777 == 0o700 {
        return Ok(());
    }
    Err(Error::Sockets { path: path.to_owned(), account: account.describe() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_stays_in_the_data_directory_when_the_path_allows() {
        assert_eq!(sockets_path(Path::new("/srv/data")), Path::new("/srv/data/socket"));
    }

    #[test]
    fn long_and_odd_paths_get_a_short_plain_directory_of_their_own() {
        let long = sockets_path(Path::new(&format!("/{}", "x".repeat(90))));
        let odd = sockets_path(Path::new("/home/o'brien, jr/data"));
        for path in [&long, &odd] {
            assert!(path.starts_with("/tmp") && path.as_os_str().len() < 50, "{path:?}");
        }
        assert_ne!(long, odd);
    }
}
