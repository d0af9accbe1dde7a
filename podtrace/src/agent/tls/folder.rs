//! A folder with what TLS takes: a certificate, its key, and the authority of the other side, named
//! as the secrets of Kubernetes name them.
use std::{
    fs::File,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use rustls::{
    Error, InconsistentKeys, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};

use super::certificate::Certificate;
use crate::text::{escape::shown, system_error::without_numbers};

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";
/// Upper bound of a file in bytes.
const BYTES_MAX: u64 = 1 << 20;
/// Read permission of everybody.
const OTHERS_READ: u32 = 0o004;

/// What one side of a connection needs.
pub(super) struct Folder {
    pub(super) own: Arc<CertifiedKey>,
    /// Of the own certificate.
    pub(super) certificate: Certificate,
    /// Who signs those of the other side.
    pub(super) authority: Arc<RootCertStore>,
    /// What is wrong, and does not hinder.
    pub(super) warning: Option<String>,
}

/// The cryptography.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Folder {
    /// The files of a folder.
    pub(super) fn paths(folder: &Path) -> Vec<PathBuf> {
        let names = [CERTIFICATE, KEY, AUTHORITY];
        names.iter().map(|name| folder.join(name)).collect()
    }

    /// The file of the authority of the other side.
    pub(super) fn authority(folder: &Path) -> PathBuf {
        folder.join(AUTHORITY)
    }

    /// Reads a folder.
    ///
    /// # Errors
    /// In words that say which file is wrong, and why.
    pub(super) fn read(folder: &Path) -> Result<Self, String> {
        let [certificate, key, authority] =
            [CERTIFICATE, KEY, AUTHORITY].map(|file| folder.join(file));
        let (chain, _) = read(&certificate)?;
        let chain: Vec<_> = certificates(&certificate, &chain)?;
        let (bytes, mode) = read(&key)?;
        let name = shown(&key);
        let secret = PrivateKeyDer::from_pem_slice(&bytes)
            .map_err(|_error| format!("{name} holds no private key in PEM"))?;
        let facts = chain.first().map(|first| Certificate::of(first));
        let own = CertifiedKey::from_der(chain, secret, &provider());
        let own = own.map_err(|error| match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("{name} is not the key of {}", shown(&certificate))
            }
            error => format!("{name} and {} cannot be used: {error}", shown(&certificate)),
        })?;
        let (bytes, _) = read(&authority)?;
        let mut store = RootCertStore::empty();
        for one in certificates(&authority, &bytes)? {
            let added = store.add(one);
            added.map_err(|error| format!("{} cannot be used: {error}", shown(&authority)))?;
        }
        let facts = facts.unwrap_or_default();
        let others = (mode & OTHERS_READ != 0).then(|| {
            format!(
                "others can read {name}\nhint: chmod 600 {name}; for a secret of Kubernetes, \
                     defaultMode: 0400"
            )
        });
        let now = Timestamp::now();
        let warning = facts.invalid_at(now).map(|why| {
            format!(
                "the certificate in {}, of {}, {why}",
                shown(&certificate),
                facts.name()
            )
        });
        Ok(Self {
            own: Arc::new(own),
            certificate: facts,
            authority: Arc::new(store),
            warning: warning.or(others),
        })
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| format!("{} holds no certificate in PEM", shown(path)))
}

/// The bytes of a file, and its mode.
fn read(path: &Path) -> Result<(Vec<u8>, u32), String> {
    let name = shown(path);
    let failed = |error: std::io::Error| {
        let reason = without_numbers(&error.to_string());
        format!(
            "failed to read {name}: {reason}\nhint: --tls takes a folder with {CERTIFICATE}, {KEY} \
                 and {AUTHORITY}"
        )
    };
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("{name} is larger than {} KiB", BYTES_MAX >> 10));
    }
    Ok((bytes, mode))
}
