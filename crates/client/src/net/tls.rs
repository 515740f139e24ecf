//! TLS to a broker, by rustls.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ferromq_uri::Host;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::stream::Stream;
use crate::settings::TlsSettings;

/// Where Debian, and who follows it, keeps the authorities that the machine trusts.
const SYSTEM_ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Shakes hands with the broker, and leaves the rest to a task that ends with the stream.
pub(super) async fn wrap(tcp: TcpStream, host: &Host, settings: &TlsSettings) -> io::Result<Stream> {
    let own = settings.clone();
    // Files are read anew each time, so that renewed certificates count at the next connection.
    let config = tokio::task::spawn_blocking(move || config(&own)).await.map_err(io::Error::other)??;
    let name = match host {
        Host::Address(ip) => ServerName::from(*ip),
        other => ServerName::try_from(other.to_string()).map_err(io::Error::other)?,
    };
    let secured = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    let (near, far) = UnixStream::pair()?;
    tokio::spawn(async move {
        let (mut from_broker, mut to_broker) = split(secured);
        let (mut from_us, mut to_us) = far.into_split();
        let out = async {
            let sent = copy(&mut from_us, &mut to_broker).await;
            sent.and(to_broker.shutdown().await)
        };
        // Whichever way ends first ends both; what is left in the pair is still read.
        let _ = tokio::select! {
            received = copy(&mut from_broker, &mut to_us) => received.map(drop),
            sent = out => sent,
        };
    });
    Ok(Stream::Near(near))
}

fn config(settings: &TlsSettings) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = settings.trust_store.as_deref().unwrap_or(Path::new(SYSTEM_ROOTS));
    let mut store = RootCertStore::empty();
    for certificate in certificates(roots)? {
        // One authority that can't be used spoils no other.
        let _ = store.add(certificate);
    }
    let wrong = |file: &Path, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", file.display()))
    };
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider)).build();
    let inner = inner.map_err(|error| wrong(roots, &error))?;
    let verifier = Verifier { inner, any_host: !settings.verify_host, provider: Arc::clone(&provider) };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let Some(own) = &settings.key_store else { return Ok(builder.with_no_client_auth()) };
    let key = PrivateKeyDer::from_pem_file(own).map_err(|error| wrong(own, &error))?;
    builder.with_client_auth_cert(certificates(own)?, key).map_err(|error| wrong(own, &error))
}

fn certificates(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let text = format!("{}: {error}; a file of certificates in PEM is wanted", file.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let read = CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| unreadable(&error))?;
    if read.is_empty() { Err(unreadable(&"there is no certificate in it")) } else { Ok(read) }
}

/// The library's verifier, less the name of the host if it does not count (`verifyHostName=false`).
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    any_host: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last: whoever fails there alone is signed.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.any_host => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
