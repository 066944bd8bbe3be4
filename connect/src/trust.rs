//! Whose certificates are believed: what the host trusts, and what the operator adds.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::TrustError;

/// How peers are told from impostors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// A PEM file of authorities that are trusted beside those of the host: for deployments whose
    /// certificates a private authority issued.
    pub ca_file: Option<PathBuf>,
}

/// Reads the certificates of all that is trusted.
pub(crate) fn roots(options: &TlsOptions) -> Result<Arc<RootCertStore>, TrustError> {
    let mut roots = RootCertStore::empty();
    let of_host = rustls_native_certs::load_native_certs();
    for error in of_host.errors {
        tracing::warn!(%error, "some certificates that this host trusts cannot be read");
    }
    // Hosts collect certificates that are no use, which is no reason to do without the others.
    roots.add_parsable_certificates(of_host.certs);
    if let Some(path) = &options.ca_file {
        let unreadable = |reason: String| TrustError::Unreadable { path: path.clone(), reason };
        let certificates = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|cause| unreadable(cause.to_string()))?;
        if certificates.is_empty() {
            return Err(TrustError::Empty(path.clone()));
        }
        for certificate in certificates {
            roots.add(certificate).map_err(|cause| unreadable(cause.to_string()))?;
        }
    }
    Ok(Arc::new(roots))
}

/// Makes the settings of a client that trusts `roots`.
pub(crate) fn client_config(roots: &Arc<RootCertStore>) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider knows the default versions")
        .with_root_certificates(Arc::clone(roots))
        .with_no_client_auth()
}
