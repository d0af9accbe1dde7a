//! The process's cryptography.

/// Makes ring the process's cryptography if nothing else is yet: rustls asks
/// for a choice where more than one is built in.
pub(super) fn install_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error says that another thread was first, with the same choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}
