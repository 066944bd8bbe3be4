//! Why there is no connection, in words that end a sentence which names the deployment.

use std::io;
use std::path::PathBuf;

use rustls::{CertificateError, InvalidMessage};

/// Why an address cannot be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It begins with another scheme, or none.
    #[error("it begins with neither http:// nor https://")]
    Scheme,
    /// It lacks a host.
    #[error("it names no host")]
    Host,
}

/// Why the certificates to trust cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read, or is not made of certificates.
    #[error("failed to read the certificates in {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate: it must be a PEM file", .0.display())]
    Empty(PathBuf),
}

/// Why a connection does not come about. All of these may pass: whoever asks may try again.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The network does not lead there, or nobody listens.
    #[error("{0}")]
    Network(io::Error),
    /// The host cannot be the name on a certificate.
    #[error("no certificate can be for the name {0:?}")]
    NoServerName(String),
    /// Nobody that this host trusts vouches for the peer.
    #[error(
        "its certificate is not trusted ({0}): have this host trust the authority that issued it, or name that authority's certificate in tls_ca_file"
    )]
    Untrusted(String),
    /// The peer's certificate is for others.
    #[error("its certificate is not for {host} ({reason})")]
    WrongName {
        /// The name that was connected to.
        host: String,
        /// What the certificate says.
        reason: String,
    },
    /// The peer shows the certificate of an authority as its own, as self-signed ones often are.
    #[error(
        "its certificate is that of an authority (CA:TRUE), with which nobody may serve: have it certify another one for {0}"
    )]
    OfAuthority(String),
    /// The peer's certificate is too old or too new.
    #[error("its certificate is not valid now ({0})")]
    OutOfDate(String),
    /// Something else than TLS is spoken there.
    #[error("it does not speak TLS: is its address http:// instead of https://?")]
    NoTls,
    /// The two sides do not agree.
    #[error("the TLS handshake failed: {0}")]
    Handshake(io::Error),
}

/// How the verifier calls a certificate of an authority that serves: it has no variant for it.
const AUTHORITY_AS_SERVER: &str = "CaUsedAsEndEntity";

impl ConnectError {
    /// Says why the handshake with `host` failed.
    pub(crate) fn of_handshake(host: &str, cause: io::Error) -> Self {
        let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(rustls::Error::InvalidCertificate(error)) => {
                let reason = error.to_string();
                if is_of_name(error) {
                    Self::WrongName { host: host.to_owned(), reason }
                } else if is_of_time(error) {
                    Self::OutOfDate(reason)
                } else if reason.contains(AUTHORITY_AS_SERVER) {
                    Self::OfAuthority(host.to_owned())
                } else {
                    Self::Untrusted(reason)
                }
            }
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::NoTls,
            Some(_) | None => Self::Handshake(cause),
        }
    }
}

fn is_of_name(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
    )
}

fn is_of_time(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}
