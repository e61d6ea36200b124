//! Trust for `amqps`: the system's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR` where these are set.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

use super::address::BadAmqp;

/// Returns a client configuration that trusts what the system trusts.
///
/// # Errors
/// When not one certificate can be read.
pub(super) fn trusting_the_system() -> Result<Arc<ClientConfig>, BadAmqp> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none are installed".to_owned(), ToString::to_string);
        return Err(BadAmqp(format!("amqps needs trusted root certificates: {why}")));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| BadAmqp(format!("amqps is not possible: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
