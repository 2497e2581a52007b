//! The signing secret: a file in the data directory that only its owner can read. If the file is
//! lost, all users must sign in again. Anyone who has the secret can sign in as any user.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};

use super::Error;

const FILE_NAME: &str = "local-auth-secret";
const RANDOM_BYTES: usize = 48;
const SHORTEST: usize = 32;

/// Reads the secret, or creates it if there is none.
pub(super) fn load_or_create(data_dir: &Path) -> Result<SecretString, Error> {
    let path = data_dir.join(FILE_NAME);
    let secret = read_or_create(data_dir, &path)
        .map_err(|source| Error::Secret { path: path.clone(), source })?;
    if secret.expose_secret().len() < SHORTEST {
        return Err(Error::DamagedSecret { path });
    }
    Ok(secret)
}

fn read_or_create(data_dir: &Path, path: &Path) -> io::Result<SecretString> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(data_dir)?;
            create(data_dir, path)?;
            read(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> io::Result<SecretString> {
    let text = SecretString::from(fs::read_to_string(path)?);
    keep_private(path)?;
    Ok(SecretString::from(text.expose_secret().trim()))
}

/// Two servers may start on one directory at once. Each writes its own file; the hard link lets
/// exactly one complete file become the secret, and both read that one.
fn create(data_dir: &Path, path: &Path) -> io::Result<()> {
    let draft = data_dir.join(format!("{FILE_NAME}.{}", uuid::Uuid::new_v4()));
    let linked = write_private(&draft).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => removed,
    }
}

fn write_private(path: &Path) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(random_text().as_bytes())?;
    file.sync_all()
}

/// A random, unguessable text.
pub(super) fn random_text() -> String {
    let bytes: [u8; RANDOM_BYTES] = rand::random();
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Makes the file private again, because a copy or a backup of the directory may lose its mode.
#[cfg(unix)]
fn keep_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path)?.permissions().mode();
    if matches!(mode & 0o777, 0o600 | 0o400) {
        return Ok(());
    }
    tracing::warn!("other users could read the local sign-in's secret; making it private again");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
fn keep_private(_path: &Path) -> io::Result<()> {
    Ok(())
}
